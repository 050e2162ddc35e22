//! One field of a CSV file as a typed value.

use crate::error::{Error, ErrorKind, Result};
use crate::schema::AttributeSchema;
use crate::value::{Date, Decimal, Json, Timestamp, Value, ValueType, excerpt};
use uuid::Uuid;

/// Reads a CSV field as a value of the attribute. An empty field is no value. White space around
/// anything but text is ignored. Booleans are true, false, yes, no, 1, 0 in any case. Several values are
/// a JSON array, or stand between semicolons. Limits and options are left to the write.
///
/// # Errors
/// `InvalidInput` with the attribute's name when the field cannot be read as its type.
pub fn value_from_text(attribute: &AttributeSchema, text: &str) -> Result<Value> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let read =
        if attribute.is_multi() { several(attribute, text) } else { one(attribute.value_type(), text) };
    read.map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("{}: {reason}", attribute.key())))
}

fn several(attribute: &AttributeSchema, text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('[') {
        return Json::parse(text).map(Value::Json).map_err(|error| error.to_string());
    }
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let values: Result<Vec<Value>, String> = parts.map(|part| one(attribute.value_type(), part)).collect();
    values.map(|values| if values.is_empty() { Value::Null } else { Value::List(values) })
}

fn one(value_type: ValueType, text: &str) -> Result<Value, String> {
    use ValueType as T;
    match value_type {
        T::Text | T::LongText | T::RegexpText | T::Select | T::Status | T::Radio => {
            Ok(Value::Text(text.to_string()))
        }
        value_type => match text.trim() {
            "" => Ok(Value::Null),
            trimmed => typed(value_type, trimmed),
        },
    }
}

fn typed(value_type: ValueType, text: &str) -> Result<Value, String> {
    let no = |what: &str| format!("{} is not {what}", excerpt(text));
    Ok(match value_type {
        ValueType::Integer | ValueType::Rating => {
            Value::Integer(whole(text).ok_or_else(|| no("a whole number of 64 bits"))?)
        }
        ValueType::Number => Value::Number(number(text).ok_or_else(|| no("a finite number"))?),
        ValueType::Decimal => Value::Decimal(Decimal::read(text)?),
        ValueType::Boolean => {
            Value::Boolean(boolean(text).ok_or_else(|| no("one of true, false, yes, no, 1, 0"))?)
        }
        ValueType::Date => Value::Date(Date::read(text)?),
        ValueType::Timestamp => Value::Timestamp(Timestamp::read(text)?),
        ValueType::Uuid => Value::Uuid(Uuid::try_parse(text).map_err(|_| no("a UUID"))?),
        ValueType::Json => Value::Json(Json::parse(text).map_err(|error| error.to_string())?),
        ValueType::Reference => Value::Reference(text.parse().map_err(|_| no("the id of a record"))?),
        // Objects; a name or a file may also come as one text, and the write judges that.
        _ if text.starts_with('{') => Value::Json(Json::parse(text).map_err(|error| error.to_string())?),
        _ => Value::Text(text.to_string()),
    })
}

/// Digits, or a number with an exponent or a point that is whole, as spreadsheets write them.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| Decimal::read(text).ok()?.to_i64())
}

/// Digits only: `inf` and `nan`, which Rust would read, are no numbers here.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match (is(["true", "yes", "1"]), is(["false", "no", "0"])) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
