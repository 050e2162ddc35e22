//! Lists and sets of values: what is put in front, at the end, in, or taken away. Two values are the same
//! if their keys are: an e-mail address in capitals is the one in small letters.

use super::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::mutation::Op;
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::Value;

/// Appends the cell that a list op makes of `current`; false where no value is left.
pub(super) fn change(
    place: Place<'_>,
    current: Option<&[u8]>,
    op: &Op,
    values: &[Value],
    out: &mut Vec<u8>,
) -> Result<bool> {
    if !place.attribute.is_multi() {
        return Err(place.refuse(format!("{} changes a list, and the attribute has one value", op.name())));
    }
    if place.attribute.is_bit_set() {
        return change_bits(place, current, op, values, out);
    }
    let mut given: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        let value = canonical_one(place.object, place.attribute, value)?;
        if !has(place, &given, &value) {
            given.push(value);
        }
    }
    let list = match place.decode(current)? {
        Some(Value::List(list)) => list,
        _ => Vec::new(),
    };
    place.encode(&Value::List(combined(place, list, op, given)), out)
}

fn combined(place: Place<'_>, mut list: Vec<Value>, op: &Op, mut given: Vec<Value>) -> Vec<Value> {
    match op {
        Op::Prepend(_) => {
            list.retain(|value| !has(place, &given, value));
            given.append(&mut list);
            given
        }
        Op::Append(_) => {
            list.retain(|value| !has(place, &given, value));
            list.append(&mut given);
            list
        }
        Op::Add(_) => {
            given.retain(|value| !has(place, &list, value));
            list.append(&mut given);
            list
        }
        Op::Remove(_) => {
            list.retain(|value| !has(place, &given, value));
            list
        }
        _ => given,
    }
}

fn has(place: Place<'_>, list: &[Value], value: &Value) -> bool {
    list.iter().any(|other| other == value || place.attribute.is_same_key(place.object, other, value))
}

/// One value of a list as it comes back from its cell.
pub(super) fn canonical_one(
    object: &ObjectSchema,
    attribute: &AttributeSchema,
    value: &Value,
) -> Result<Value> {
    let mut cell = Vec::new();
    let list = match attribute.encode(object, &Value::List(vec![value.clone()]), &mut cell)? {
        true => attribute.decode(&cell)?,
        false => Value::Null,
    };
    match list {
        Value::List(mut list) if list.len() == 1 => Ok(list.remove(0)),
        _ => {
            let reason = format!("{value} is no value of a list");
            Err(Error::attribute(ErrorKind::InvalidValue, object.key(), attribute.key(), reason))
        }
    }
}

/// A set of at most 64 options is eight bytes: no list is made.
fn change_bits(
    place: Place<'_>,
    current: Option<&[u8]>,
    op: &Op,
    values: &[Value],
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut given = 0u64;
    for value in values {
        given |= 1 << (place.attribute.option_of_value(place.object, value)? & 63);
    }
    let current = current.and_then(|cell| cell.try_into().ok()).map_or(0, u64::from_le_bytes);
    let bits = match op {
        Op::Replace(_) => given,
        Op::Remove(_) => current & !given,
        _ => current | given,
    };
    let (count, before) = (bits.count_ones(), current.count_ones());
    if let Some(max) = place.attribute.max_values()
        && count > max
        && count > before
    {
        return Err(too_many(place, max, count));
    }
    if bits == 0 {
        return Ok(false);
    }
    out.extend_from_slice(&bits.to_le_bytes());
    Ok(true)
}

#[cold]
fn too_many(place: Place<'_>, max: u32, given: u32) -> Error {
    let reason = format!("{given} values where at most {max} are allowed");
    Error::attribute(ErrorKind::TooManyValues, place.object.key(), place.attribute.key(), reason)
        .with_limit(u64::from(max), u64::from(given))
}
