//! Ops as JSON: `{"tags": {"add": ["a"], "remove": ["b"]}, "seats": {"increment": {"by": 1, "max": 400}}}`.

use super::filter::members;
use super::mutation::refuse;
use super::values::{read_one, read_value};
use crate::error::{Error, Result};
use crate::mutation::{Bounds, Op};
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::{Json, Name, Value, ValueType, excerpt};
use serde_json::value::RawValue;

/// The ops of a JSON object, in its order.
///
/// # Errors
/// `InvalidInput` when it is no such object.
pub(super) fn read_ops(object: Option<&ObjectSchema>, raw: &RawValue) -> Result<Vec<(Name, Op)>> {
    let mut ops = Vec::new();
    for (name, raw) in members(raw).map_err(|error| unreadable("ops", &error))? {
        let attribute = object.and_then(|object| object.find_attribute(&name));
        let name: Name = attribute.map_or_else(|| Name::from(&*name), |attribute| attribute.name().into());
        for (word, raw) in members(raw).map_err(|error| unreadable(&format!("ops: {name}"), &error))? {
            read_op(attribute, &name, &word, raw, &mut ops)?;
        }
    }
    Ok(ops)
}

fn read_op(
    attribute: Option<&AttributeSchema>,
    name: &Name,
    word: &str,
    raw: &RawValue,
    ops: &mut Vec<(Name, Op)>,
) -> Result<()> {
    let fail = |error: serde_json::Error| unreadable(&format!("ops: {name}: {word}"), &error);
    let value = || read_value(attribute, raw).map_err(fail);
    let values = || values(attribute, raw).map_err(fail);
    let op = match word {
        "set" => Op::Set(value()?),
        "clear" => yes(name, word, raw, Op::Clear)?,
        "set_if_empty" => Op::SetIfEmpty(value()?),
        "replace" => Op::Replace(values()?),
        "prepend" => Op::Prepend(values()?),
        "append" => Op::Append(values()?),
        "add" => Op::Add(values()?),
        "remove" => Op::Remove(values()?),
        "increment" => {
            let (by, bounds) = amount(attribute, raw).map_err(fail)?;
            Op::Increment(by, bounds)
        }
        "multiply" => {
            let (by, bounds) = amount(attribute, raw).map_err(fail)?;
            Op::Multiply(by, bounds)
        }
        "min" => Op::Min(value()?),
        "max" => Op::Max(value()?),
        "now" => yes(name, word, raw, Op::Now)?,
        "merge" => Op::Merge(Json::parse(raw.get())?),
        "set_entry" => {
            for (label, raw) in members(raw).map_err(fail)? {
                ops.push((name.clone(), Op::SetEntry(label, read_value(None, raw).map_err(fail)?)));
            }
            return Ok(());
        }
        "clear_entry" => {
            let labels: Vec<String> = match raw.get().starts_with('[') {
                true => serde_json::from_str(raw.get()).map_err(fail)?,
                false => vec![serde_json::from_str(raw.get()).map_err(fail)?],
            };
            ops.extend(labels.into_iter().map(|label| (name.clone(), Op::ClearEntry(label))));
            return Ok(());
        }
        other => return Err(refuse(&format!("ops: {name}: {} is no change", excerpt(other)))),
    };
    ops.push((name.clone(), op));
    Ok(())
}

/// An op without a value is asked for by true.
fn yes(name: &Name, word: &str, raw: &RawValue, op: Op) -> Result<Op> {
    match raw.get() {
        "true" => Ok(op),
        _ => Err(refuse(&format!("ops: {name}: {word} takes true"))),
    }
}

/// Several values, or one.
fn values(attribute: Option<&AttributeSchema>, raw: &RawValue) -> serde_json::Result<Vec<Value>> {
    let one = |raw: &RawValue| match attribute {
        Some(attribute) => read_one(attribute, raw),
        None => read_value(None, raw),
    };
    if !raw.get().starts_with('[') {
        return one(raw).map(|value| vec![value]);
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
    items.into_iter().map(one).collect()
}

/// A number, or `{"by": number, "min": number, "max": number}`.
fn amount(attribute: Option<&AttributeSchema>, raw: &RawValue) -> serde_json::Result<(Value, Bounds)> {
    let number = |raw: &RawValue| match attribute.map(AttributeSchema::value_type) {
        // Its digits survive.
        Some(ValueType::Decimal | ValueType::Currency) => crate::value::Decimal::read(raw.get())
            .map_or_else(|_| read_value(None, raw), |d| Ok(Value::Decimal(d))),
        _ => read_value(None, raw),
    };
    if !raw.get().starts_with('{') {
        return number(raw).map(|by| (by, Bounds::default()));
    }
    let (mut by, mut bounds) = (None, Bounds::default());
    for (name, raw) in members(raw)? {
        match name.as_str() {
            "by" => by = Some(number(raw)?),
            "min" => bounds.min = Some(number(raw)?),
            "max" => bounds.max = Some(number(raw)?),
            other => {
                let message = format!("unknown member {}; there are by, min, max", excerpt(other));
                return Err(serde::de::Error::custom(message));
            }
        }
    }
    let by = by.ok_or_else(|| <serde_json::Error as serde::de::Error>::custom("by is missing"))?;
    Ok((by, bounds))
}

#[cold]
fn unreadable(place: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    refuse(&format!("{place}: {reason}"))
}
