//! Values as the model sees them: what an attribute keeps of one, which are the same, and what uniqueness compares.
//! Written from docs/types.md.

use crate::plan;
use crate::samples;
use crate::schema::{AttributeDef, Type};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use vellum::{Date, Decimal, ErrorKind, Json, RecordId, Timestamp, Value};

/// A value as uniqueness sees it: -0.0 is 0.0, decimals of any scale are their number, addresses are in
/// small letters, telephone numbers without what stands between the digits.
#[must_use]
pub fn key_part(of: Type, value: &Value) -> String {
    match (of, value) {
        (_, Value::Number(number)) => {
            format!("number {:x}", if *number == 0.0 { 0 } else { number.to_bits() })
        }
        (Type::Email | Type::Emails, Value::Text(text)) => text.to_lowercase(),
        (Type::Domain, Value::Text(text)) => samples::host(text),
        (Type::Phone, Value::Text(text)) => text.chars().filter(char::is_ascii_digit).collect(),
        (_, other) => format!("{} {other}", other.kind_name()),
    }
}

/// Whether two values are the same, bit for bit.
#[must_use]
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// What an attribute keeps of a value.
///
/// # Errors
/// `InvalidValue`, `UnknownOption`, `LimitExceeded`.
pub fn canonical(attribute: &AttributeDef, value: &Value) -> Result<Option<Value>, ErrorKind> {
    let kept = of_type(attribute, value)?;
    let beyond = |limit: &Option<Value>, side| match (&kept, limit) {
        (Some(value), Some(limit)) => plan::order(value, limit) == Some(side),
        _ => false,
    };
    match beyond(&attribute.min, Ordering::Less) || beyond(&attribute.max, Ordering::Greater) {
        true => Err(ErrorKind::InvalidValue),
        false => Ok(kept),
    }
}

/// [`canonical`] without limits.
fn of_type(attribute: &AttributeDef, value: &Value) -> Result<Option<Value>, ErrorKind> {
    let kept = match (attribute.of, value) {
        (_, Value::Null) => return Ok(None),
        (Type::Open, _) => Some(value.clone()),
        (Type::Text | Type::LongText, Value::Text(text)) if text.len() > 16 << 20 => {
            return Err(ErrorKind::LimitExceeded);
        }
        (Type::Text | Type::LongText, Value::Text(_)) => Some(value.clone()),
        (Type::Integer, Value::Integer(_)) => Some(value.clone()),
        (Type::Integer, Value::Number(number))
            if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 =>
        {
            Some(Value::Integer(*number as i64))
        }
        (Type::Integer, Value::Decimal(decimal)) => decimal.to_i64().map(Value::Integer),
        (Type::Number, Value::Number(number)) => number.is_finite().then(|| value.clone()),
        (Type::Number, Value::Integer(whole)) => {
            let number = *whole as f64;
            (number as i128 == i128::from(*whole)).then_some(Value::Number(number))
        }
        (Type::Decimal, value) => {
            let decimal = match value {
                Value::Decimal(decimal) => Some(*decimal),
                Value::Integer(whole) => Some(Decimal::from(*whole)),
                Value::Number(number) => Decimal::from_f64(*number),
                Value::Text(text) => text.parse().ok(),
                _ => None,
            };
            decimal.and_then(|d| d.rescale(attribute.decimals)).map(|d| Value::Decimal(d.normalized()))
        }
        (Type::Boolean, Value::Boolean(_)) | (Type::Uuid, Value::Uuid(_)) => Some(value.clone()),
        (Type::Date, Value::Date(date)) => (Date::MIN..=Date::MAX).contains(date).then(|| value.clone()),
        (Type::Date, Value::Text(text)) => text.parse().ok().map(Value::Date),
        (Type::Timestamp, Value::Timestamp(time)) => micros(attribute, *time),
        (Type::Timestamp, Value::Text(text)) => text.parse().ok().and_then(|time| micros(attribute, time)),
        (Type::Uuid, Value::Text(text)) => text.parse::<RecordId>().ok().map(|id| Value::Uuid(id.0)),
        (Type::Select, Value::Text(text)) => {
            if attribute.option(text).is_none() {
                return Err(ErrorKind::UnknownOption);
            }
            Some(value.clone())
        }
        (Type::Rating, Value::Integer(_)) => Some(value.clone()),
        (Type::Rating, Value::Number(_) | Value::Decimal(_)) => {
            return of_type(&AttributeDef { of: Type::Integer, ..attribute.clone() }, value);
        }
        // The generator knows which addresses, numbers and countries are none.
        (Type::Email, Value::Text(text)) => (text.matches('@').count() == 1).then(|| value.clone()),
        (Type::Phone, Value::Text(text)) => (text.starts_with('+') && text.len() > 9).then(|| value.clone()),
        (Type::Country, Value::Text(text)) => ["DE", "FR", "US"].contains(&&**text).then(|| value.clone()),
        (of, Value::List(values)) if of.is_multi() => return several(attribute, values),
        (of, single) if of.is_multi() => return several(attribute, std::slice::from_ref(single)),
        (Type::Reference, Value::Reference(_)) => Some(value.clone()),
        (Type::Reference, Value::Uuid(uuid)) => Some(Value::Reference(RecordId(*uuid))),
        (Type::Reference, Value::Text(text)) => text.parse().ok().map(Value::Reference),
        (Type::Autonumber, value) => attribute.sequence.read(value),
        (of, value) if of.has_samples() => return samples::keep(of, value),
        (Type::Json, Value::Json(_)) => Some(value.clone()),
        (Type::Json, Value::Number(number)) if !number.is_finite() => None,
        (Type::Json, other) => Some(Value::Json(Json::from_value(&other.to_json()))),
        _ => None,
    };
    kept.map(Some).ok_or(ErrorKind::InvalidValue)
}

/// An ordered set, where the first of the same values stays; a set of options has their order.
fn several(attribute: &AttributeDef, values: &[Value]) -> Result<Option<Value>, ErrorKind> {
    let of = match attribute.of {
        Type::Texts => Type::Text,
        Type::Emails => Type::Email,
        Type::References => Type::Reference,
        _ => Type::Select,
    };
    let one = AttributeDef { of, max_values: None, ..attribute.clone() };
    let (mut kept, mut keys) = (Vec::new(), BTreeSet::new());
    for value in values {
        let value = canonical(&one, value)?.ok_or(ErrorKind::InvalidValue)?;
        if keys.insert(key_part(of, &value)) {
            kept.push(value);
        }
    }
    if attribute.of == Type::Options {
        kept.sort_by_key(|value| value.as_text().and_then(|key| attribute.option(key)));
    }
    if attribute.max_values.is_some_and(|max| kept.len() > max) {
        return Err(ErrorKind::TooManyValues);
    }
    Ok((!kept.is_empty()).then_some(Value::List(kept)))
}

fn micros(attribute: &AttributeDef, time: Timestamp) -> Option<Value> {
    (!attribute.micros || time.0 % 1000 == 0).then_some(Value::Timestamp(time))
}
