//! The types that an attribute may have, and how wide the slots of each are.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What an attribute holds. The order is part of the schema's persisted form: new types come last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ValueType {
    /// UTF-8 text that may be a key.
    Text,
    /// UTF-8 text that is never a key.
    LongText,
    /// A whole number of 64 bits.
    Integer,
    /// A finite IEEE 754 double.
    Number,
    /// An exact decimal at the attribute's scale.
    Decimal,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A moment.
    Timestamp,
    /// 16 bytes.
    Uuid,
    /// One of the attribute's options.
    Select,
    /// Any JSON.
    Json,
    /// Text that matches the attribute's pattern.
    RegexpText,
    /// A whole number from 0 to 5, unless limits say otherwise.
    Rating,
    /// An e-mail address.
    Email,
    /// An address in the web.
    Url,
    /// A host name.
    Domain,
    /// A telephone number that begins with + and the country's code.
    Phone,
    /// Two letters of ISO 3166-1.
    Country,
    /// Parts of a postal address.
    Address,
    /// A place: parts of an address, latitude and longitude.
    Location,
    /// An amount of money.
    Currency,
    /// First, last and full name.
    PersonName,
    /// One of the attribute's options, as a stage of work.
    Status,
    /// One of the attribute's options, or another text where it allows that.
    Radio,
    /// A text for each of the attribute's labels.
    TextList,
    /// Where a file is, with its name.
    File,
    /// Another record.
    Reference,
    /// Someone.
    Actor,
    /// A number that the engine gives, with its prefix.
    Autonumber,
    /// Cells as they are: kept by the engine, and no type of a caller's.
    #[doc(hidden)]
    Bytes,
}

/// How a value lies in a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// One bit of a bitmap.
    Bit,
    /// A slot of 4 bytes.
    Fixed4,
    /// A slot of 8 bytes.
    Fixed8,
    /// A slot of 16 bytes.
    Fixed16,
    /// A view of 16 bytes; the value is inline or in a heap buffer.
    View,
}

impl Form {
    /// Bytes of a slot; 0 for a bit.
    #[must_use]
    #[inline]
    pub fn width(self) -> usize {
        match self {
            Form::Bit => 0,
            Form::Fixed4 => 4,
            Form::Fixed8 => 8,
            Form::Fixed16 | Form::View => 16,
        }
    }

    /// Bytes of a cell, where all cells of this form have the same.
    #[must_use]
    #[inline]
    pub fn cell_len(self) -> Option<usize> {
        match self {
            Form::Bit => Some(1),
            Form::Fixed4 => Some(4),
            Form::Fixed8 => Some(8),
            Form::Fixed16 => Some(16),
            Form::View => None,
        }
    }
}

impl ValueType {
    /// Every type, in the order of the persisted form.
    pub const ALL: [ValueType; 29] = [
        ValueType::Text,
        ValueType::LongText,
        ValueType::Integer,
        ValueType::Number,
        ValueType::Decimal,
        ValueType::Boolean,
        ValueType::Date,
        ValueType::Timestamp,
        ValueType::Uuid,
        ValueType::Select,
        ValueType::Json,
        ValueType::RegexpText,
        ValueType::Rating,
        ValueType::Email,
        ValueType::Url,
        ValueType::Domain,
        ValueType::Phone,
        ValueType::Country,
        ValueType::Address,
        ValueType::Location,
        ValueType::Currency,
        ValueType::PersonName,
        ValueType::Status,
        ValueType::Radio,
        ValueType::TextList,
        ValueType::File,
        ValueType::Reference,
        ValueType::Actor,
        ValueType::Autonumber,
    ];

    /// The name in a schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Text => "text",
            ValueType::LongText => "long_text",
            ValueType::Integer => "integer",
            ValueType::Number => "number",
            ValueType::Decimal => "decimal",
            ValueType::Boolean => "boolean",
            ValueType::Date => "date",
            ValueType::Timestamp => "timestamp",
            ValueType::Uuid => "uuid",
            ValueType::Select => "select",
            ValueType::Json => "json",
            ValueType::RegexpText => "regexp_text",
            ValueType::Rating => "rating",
            ValueType::Email => "email",
            ValueType::Url => "url",
            ValueType::Domain => "domain",
            ValueType::Phone => "phone",
            ValueType::Country => "country",
            ValueType::Address => "address",
            ValueType::Location => "location",
            ValueType::Currency => "currency",
            ValueType::PersonName => "person_name",
            ValueType::Status => "status",
            ValueType::Radio => "radio",
            ValueType::TextList => "text_list",
            ValueType::File => "file",
            ValueType::Reference => "reference",
            ValueType::Actor => "actor",
            ValueType::Autonumber => "autonumber",
            ValueType::Bytes => "bytes",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|value_type| value_type.name() == name)
    }

    /// How one value lies in a page, where the attribute does not say otherwise.
    #[must_use]
    #[inline]
    pub fn form(self) -> Form {
        use ValueType as T;
        match self {
            T::Boolean => Form::Bit,
            T::Date | T::Select | T::Status => Form::Fixed4,
            T::Integer | T::Number | T::Timestamp | T::Rating | T::Autonumber => Form::Fixed8,
            T::Uuid | T::Decimal | T::Reference => Form::Fixed16,
            _ => Form::View,
        }
    }

    /// Whether values of this type may be part of a unique key.
    #[must_use]
    pub fn is_keyable(self) -> bool {
        use ValueType as T;
        !matches!(
            self,
            T::LongText
                | T::Bytes
                | T::Json
                | T::Address
                | T::Location
                | T::Currency
                | T::PersonName
                | T::TextList
                | T::File
        )
    }

    /// Whether a value is one of the attribute's options.
    #[must_use]
    pub fn has_options(self) -> bool {
        matches!(self, ValueType::Select | ValueType::Status | ValueType::Radio)
    }

    /// Whether two different cells may be the same key.
    #[must_use]
    #[inline]
    pub fn has_normal_form(self) -> bool {
        matches!(self, ValueType::Email | ValueType::Domain | ValueType::Phone)
    }

    /// Whether a cell is JSON text.
    #[must_use]
    pub fn is_structured(self) -> bool {
        use ValueType as T;
        matches!(self, T::Json | T::Address | T::Location | T::PersonName | T::TextList | T::File)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
