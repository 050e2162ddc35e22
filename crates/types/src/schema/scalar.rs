//! Single values as the plain types take them: conversions where nothing is lost, reasons where
//! something would be.

use super::attribute::Refusal;
use crate::error::ErrorKind;
use crate::value::{Date, Decimal, Json, TEXT_LEN_MAX, Value, excerpt, write_json};
use uuid::Uuid;

/// Whole doubles beyond this are no longer known to be the number that was meant.
const EXACT_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cold]
pub(super) fn wrong_kind(expected: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("expected {expected}, found null; clear the attribute instead"),
        Value::Json(json) => format!("expected {expected}, found JSON {}", excerpt(json.as_str())),
        other => {
            format!("expected {expected}, found the {} {}", other.kind_name(), excerpt(&other.to_string()))
        }
    }
}

#[cold]
pub(super) fn too_long(len: usize) -> Refusal {
    let reason = format!("{len} bytes are over the limit of {TEXT_LEN_MAX} bytes for one value");
    let limit = Some((TEXT_LEN_MAX as u64, len as u64));
    Refusal { limit, ..Refusal::new(ErrorKind::LimitExceeded, reason) }
}

#[inline]
pub(super) fn append_text(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match value {
        Value::Text(text) if text.len() > TEXT_LEN_MAX => Err(too_long(text.len())),
        Value::Text(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        other => Err(wrong_kind("text", other).into()),
    }
}

pub(super) fn append_json(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    match value {
        Value::Null => return Err(wrong_kind("JSON", value).into()),
        Value::Number(number) => drop(finite(*number)?),
        Value::List(_) => all_finite(value)?,
        Value::Json(json) if json.is_too_deep() => {
            return Err("the JSON is nested deeper than 127".to_string().into());
        }
        _ => {}
    }
    write_json(out, value);
    let len = out.len() - start;
    if matches!(value, Value::List(_)) && Json::parse(&String::from_utf8_lossy(&out[start..])).is_err() {
        out.truncate(start);
        return Err("the list is nested deeper than 127".to_string().into());
    }
    if len > TEXT_LEN_MAX {
        out.truncate(start);
        return Err(too_long(len));
    }
    Ok(())
}

#[inline]
pub(super) fn integer(value: &Value) -> Result<i64, String> {
    match value {
        Value::Integer(whole) => Ok(*whole),
        Value::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT_WHOLE_MAX => {
            Ok(*number as i64)
        }
        Value::Decimal(decimal) => {
            decimal.to_i64().ok_or_else(|| format!("{decimal} is not a whole number of 64 bits"))
        }
        other => Err(wrong_kind("a whole number", other)),
    }
}

#[inline]
pub(super) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Number(number) => finite(*number),
        Value::Integer(whole) => {
            let number = *whole as f64;
            let exact = number as i128 == i128::from(*whole);
            exact.then_some(number).ok_or_else(|| format!("{whole} is not exact as a 64-bit float"))
        }
        Value::Decimal(decimal) => {
            let number = decimal.to_f64();
            let exact = Decimal::from_f64(number) == Some(*decimal);
            exact
                .then_some(number)
                .ok_or_else(|| format!("{decimal} has more digits than a 64-bit float keeps"))
        }
        other => Err(wrong_kind("a number", other)),
    }
}

#[inline]
pub(super) fn finite(number: f64) -> Result<f64, String> {
    if number.is_finite() { Ok(number) } else { Err(format!("{number} is not a finite number")) }
}

#[inline]
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(wrong_kind("true or false", other)),
    }
}

#[inline]
pub(super) fn date(value: &Value) -> Result<Date, String> {
    match value {
        Value::Date(date) => known_date(*date),
        Value::Text(text) => Date::read(text),
        other => Err(wrong_kind("a date", other)),
    }
}

#[inline]
pub(super) fn known_date(date: Date) -> Result<Date, String> {
    if (Date::MIN..=Date::MAX).contains(&date) {
        return Ok(date);
    }
    Err(format!("{date} is outside the range of a date, {} to {}", Date::MIN, Date::MAX))
}

#[inline]
pub(super) fn uuid(value: &Value) -> Result<Uuid, String> {
    match value {
        Value::Uuid(uuid) => Ok(*uuid),
        Value::Text(text) => Uuid::try_parse(text).map_err(|_| {
            format!("{} is not a UUID; write it as 8-4-4-4-12 hexadecimal digits", excerpt(text))
        }),
        other => Err(wrong_kind("a UUID", other)),
    }
}

pub(super) fn text_of(cell: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(cell).map_err(|error| format!("text is not UTF-8: {error}"))
}

#[inline]
pub(super) fn fixed<const N: usize>(cell: &[u8]) -> Result<[u8; N], String> {
    cell.try_into().map_err(|_| format!("{N} bytes expected, found {}", cell.len()))
}

/// Refuses a number inside a list or structure that no JSON can say.
pub(super) fn all_finite(value: &Value) -> Result<(), String> {
    match value {
        Value::Number(number) => finite(*number).map(drop),
        Value::List(values) => values.iter().try_for_each(all_finite),
        _ => Ok(()),
    }
}
