//! Values as callers see them, and their cell form: the bytes that a log frame carries and a page
//! slot holds. Pure memory.
//!
//! # Cell form, by [`ValueType`]
//!
//! | type                     | bytes | form                                                     |
//! |--------------------------|------:|----------------------------------------------------------|
//! | boolean                  |     1 | 0 or 1 (a bit in the page)                               |
//! | select, status, radio    |     4 | option number, u32; a radio with custom values is text   |
//! | date                     |     4 | days since 1970-01-01, i32                               |
//! | integer, rating          |     8 | i64                                                      |
//! | autonumber               |     8 | the number without its prefix, i64                       |
//! | number                   |     8 | IEEE 754 double; never NaN or infinite                   |
//! | timestamp                |     8 | nanoseconds (microseconds, by attribute) since 1970, i64 |
//! | uuid, reference          |    16 | in printed order                                         |
//! | decimal                  |    16 | i128 at the attribute's fixed scale                      |
//! | currency, one code       |    16 | the amount as a decimal                                  |
//! | currency                 |  3, n | code, then the amount: the fewest bytes of its i128      |
//! | actor                    |  1, n | see `actor`                                              |
//! | text, email, url, …      |     n | UTF-8                                                    |
//! | json                     |     n | JSON as compact text                                     |
//! | address, location, …     |     n | JSON object, members in a fixed order, none null         |
//! | several values           |     n | see `elements`                                           |
//!
//! A cell is canonical: two values are equal for uniqueness exactly if their key bytes are
//! ([`append_key_bytes`]). Those are the cell itself behind its length, except that -0.0 becomes
//! 0.0. Text is compared byte by byte: NFC and NFD are different keys.

mod actor;
mod cell;
mod de;
mod decimal;
mod json;
mod list_encoding;
mod macros;
mod money;
mod name;
mod normalize;
mod record;
mod serde_forms;
mod time;
pub mod validate;
mod value_type;

#[cfg(test)]
mod tests;

pub use actor::{Actor, ActorKind};
pub use cell::{append_key_bytes, compare_cells};
pub use decimal::Decimal;
pub use decimal::SCALE_MAX;
pub use json::Json;
pub use json::write_json;
pub use list_encoding::Elements;
pub use money::CurrencyCode;
pub use money::money_of_json;
pub use name::Name;
pub use record::{Record, values_from};
pub use time::{Date, Timestamp};
pub use value_type::{Form, ValueType};

use crate::id::RecordId;
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// Most bytes of one text or JSON value; the largest buffer of a text column.
pub const TEXT_LEN_MAX: usize = 16 << 20;

/// Names with values, as a create or a patch takes them; made by [`record!`](crate::record!).
pub type Values = Vec<(Name, Value)>;

/// One attribute's value.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub enum Value {
    /// No value; setting it clears the attribute.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A double.
    Number(f64),
    /// An exact decimal.
    Decimal(Decimal),
    /// A day.
    Date(Date),
    /// A moment.
    Timestamp(Timestamp),
    /// A UUID.
    Uuid(Uuid),
    /// Text; also the option key of a select.
    Text(String),
    /// Any JSON; also the objects of structured types, as an address.
    Json(Json),
    /// The values of an attribute that has several, in order.
    List(Vec<Value>),
    /// Another record.
    Reference(RecordId),
    /// Someone.
    Actor(Actor),
    /// An amount of money.
    Currency {
        /// How much.
        amount: Decimal,
        /// Of what.
        code: CurrencyCode,
    },
}

impl Value {
    /// What kind of value this is, for messages.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Number(_) => "number",
            Value::Decimal(_) => "decimal",
            Value::Date(_) => "date",
            Value::Timestamp(_) => "timestamp",
            Value::Uuid(_) => "uuid",
            Value::Text(_) => "text",
            Value::Json(_) => "json",
            Value::List(_) => "list",
            Value::Reference(_) => "reference",
            Value::Actor(_) => "actor",
            Value::Currency { .. } => "currency",
        }
    }

    /// Whether this is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text of a text or select value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The record that a reference names.
    #[must_use]
    pub fn as_reference(&self) -> Option<RecordId> {
        match self {
            Value::Reference(id) => Some(*id),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Number(value) => value.fmt(f),
            Value::Decimal(value) => value.fmt(f),
            Value::Date(value) => value.fmt(f),
            Value::Timestamp(value) => value.fmt(f),
            Value::Uuid(value) => value.fmt(f),
            Value::Text(value) => f.write_str(value),
            Value::Json(value) => f.write_str(value.as_str()),
            Value::List(_) => {
                let mut text = Vec::new();
                write_json(&mut text, self);
                f.write_str(&String::from_utf8_lossy(&text))
            }
            Value::Reference(id) => id.fmt(f),
            Value::Actor(actor) => actor.fmt(f),
            Value::Currency { amount, code } => write!(f, "{amount} {code}"),
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {$(
        impl From<$source> for Value {
            fn from(value: $source) -> Value {
                Value::$variant(value.into())
            }
        }
    )*};
}
from!(
    bool => Boolean,
    i32 => Integer,
    u32 => Integer,
    i64 => Integer,
    f64 => Number,
    Decimal => Decimal,
    Date => Date,
    Timestamp => Timestamp,
    Uuid => Uuid,
    &str => Text,
    &String => Text,
    String => Text,
    Cow<'_, str> => Text,
    Json => Json,
    RecordId => Reference,
    &RecordId => Reference,
    Actor => Actor,
);

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// Text in quotes for a message, cut where it is long.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
