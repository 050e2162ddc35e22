//! What a mutation makes of one record's values: parts by precedence, ops on the cell that is there,
//! conditions. Pure: a schema, cells and a request go in; cells or refusals come out. Where records are,
//! who else has a key and what is logged is `txn`'s matter.
//!
//! # Precedence
//!
//! For one attribute the first part that names it counts ([`given`]):
//!
//! | record     | parts, first one first                                                              |
//! |------------|-------------------------------------------------------------------------------------|
//! | is made    | `create`, `set` with `clear`, `create_or_update_if_empty`, the key                  |
//! | is changed | `update`, `set` with `clear`, `update_if_empty`, `create_or_update_if_empty`        |
//!
//! The `_if_empty` parts count where the record has no value. Ops follow the parts, those that take away
//! before the others ([`ordered`]), each on what the one before left ([`apply`]).

mod condition;
mod entry;
mod list;
mod number;
mod parts;

#[cfg(test)]
mod tests;

pub use condition::{check, holds};
pub use parts::{Given, When, given, ordered};

use crate::error::{Error, ErrorKind, Result};
use crate::mutation::Op;
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::{Date, Timestamp, Value, ValueType};
use std::cmp::Ordering;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// The attribute that an op is about, and the time that it may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The record's object.
    pub object: &'a ObjectSchema,
    /// The attribute that changes.
    pub attribute: &'a AttributeSchema,
    /// The time of the commit.
    pub now: Timestamp,
}

impl Place<'_> {
    #[cold]
    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::attribute(ErrorKind::InvalidValue, self.object.key(), self.attribute.key(), reason)
            .with_type(self.attribute.value_type().name())
    }

    #[cold]
    fn unfit(&self, op: &Op) -> Error {
        self.refuse(format!("{} is no change of the type {}", op.name(), self.attribute.value_type()))
    }

    fn decode(&self, current: Option<&[u8]>) -> Result<Option<Value>> {
        current.map(|cell| self.attribute.decode(cell)).transpose()
    }

    /// Appends a value's cell; false for no value.
    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        if value.is_null() {
            return Ok(false);
        }
        self.attribute.encode(self.object, value, out)
    }
}

/// Appends the cell that `op` makes of `current`; false where no value is left. On an error `out` is as
/// before.
///
/// # Errors
/// `InvalidValue` and what [`AttributeSchema::encode`] says of the result; `Corrupt` for `current`.
pub fn apply(place: Place<'_>, current: Option<&[u8]>, op: &Op, out: &mut Vec<u8>) -> Result<bool> {
    match op {
        Op::Set(value) => place.encode(value, out),
        Op::Clear => Ok(false),
        Op::SetIfEmpty(value) => match current {
            None => place.encode(value, out),
            Some(cell) => keep(cell, out),
        },
        Op::Now => place.encode(&now(place, op)?, out),
        Op::Increment(by, bounds) | Op::Multiply(by, bounds) => {
            let result = number::changed(place, place.decode(current)?, op, by)?;
            number::check_bounds(place, &result, bounds)?;
            place.encode(&result, out)
        }
        Op::Min(value) => extreme(place, current, op, value, Ordering::Less, out),
        Op::Max(value) => extreme(place, current, op, value, Ordering::Greater, out),
        Op::SetEntry(..) | Op::ClearEntry(_) | Op::Merge(_) => {
            let value = entry::changed(place, place.decode(current)?, op)?;
            place.encode(&value, out)
        }
        Op::Replace(values)
        | Op::Prepend(values)
        | Op::Append(values)
        | Op::Add(values)
        | Op::Remove(values) => list::change(place, current, op, values, out),
    }
}

/// The values that an op would write. What it takes away is none of them.
pub fn written(op: &Op, has_value: bool) -> &[Value] {
    match op {
        Op::SetIfEmpty(_) if has_value => &[],
        Op::Set(value) | Op::SetIfEmpty(value) | Op::Min(value) | Op::Max(value) => {
            std::slice::from_ref(value)
        }
        Op::Replace(values) | Op::Prepend(values) | Op::Append(values) | Op::Add(values) => values,
        _ => &[],
    }
}

fn keep(cell: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    out.extend_from_slice(cell);
    Ok(true)
}

fn now(place: Place<'_>, op: &Op) -> Result<Value> {
    match place.attribute.value_type() {
        ValueType::Timestamp => Ok(Value::Timestamp(coarsened(place))),
        ValueType::Date => Ok(Value::Date(Date(place.now.0.div_euclid(NANOS_PER_DAY) as i32))),
        _ => Err(place.unfit(op)),
    }
}

/// Now, as fine as the attribute keeps it.
fn coarsened(place: Place<'_>) -> Timestamp {
    let unit = if place.attribute.microseconds { 1_000 } else { 1 };
    Timestamp(place.now.0 - place.now.0.rem_euclid(unit))
}

/// The new value if it lies on `side` of the one that is there.
fn extreme(
    place: Place<'_>,
    current: Option<&[u8]>,
    op: &Op,
    value: &Value,
    side: Ordering,
    out: &mut Vec<u8>,
) -> Result<bool> {
    if !has_order(place.attribute) {
        return Err(place.unfit(op));
    }
    let start = out.len();
    if !place.encode(value, out)? {
        return current.map_or(Ok(false), |cell| keep(cell, out));
    }
    if let Some(cell) = current
        && place.attribute.compare(&out[start..], cell) != side
    {
        out.truncate(start);
        return keep(cell, out);
    }
    Ok(true)
}

/// Whether the values have an order that a person would name.
fn has_order(attribute: &AttributeSchema) -> bool {
    use ValueType as T;
    let ordered = matches!(
        attribute.value_type(),
        T::Integer | T::Rating | T::Number | T::Decimal | T::Currency | T::Date | T::Timestamp
    );
    // Amounts of several currencies have none.
    let one_currency = attribute.value_type() != T::Currency || attribute.currency().is_some();
    ordered && one_currency && !attribute.is_multi()
}
