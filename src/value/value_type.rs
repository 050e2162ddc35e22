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
    pub const ALL: [ValueType; 11] = [
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
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|value_type| value_type.name() == name)
    }

    /// How its values lie in a page.
    #[must_use]
    #[inline]
    pub fn form(self) -> Form {
        match self {
            ValueType::Boolean => Form::Bit,
            ValueType::Date | ValueType::Select => Form::Fixed4,
            ValueType::Integer | ValueType::Number | ValueType::Timestamp => Form::Fixed8,
            ValueType::Uuid | ValueType::Decimal => Form::Fixed16,
            ValueType::Text | ValueType::LongText | ValueType::Json => Form::View,
        }
    }

    /// Whether values of this type may be part of a unique key.
    #[must_use]
    pub fn is_keyable(self) -> bool {
        !matches!(self, ValueType::LongText | ValueType::Json)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
