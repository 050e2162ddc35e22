//! Several values of one attribute: the cell of a list (see `value::elements`) and its values.
//!
//! A list is an ordered set: a value that stands again is dropped, where the first one is stays. Two are
//! the same when their key bytes are, so an e-mail address does not stand twice in different case.

use super::AttributeSchema;
use super::attribute::Refusal;
use super::kinds::too_many;
use super::scalar::{fixed, too_long, wrong_kind};
use crate::value::{Decimal, Elements, Form, Json, TEXT_LEN_MAX, Value, ValueType, append_key_bytes};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Most options of a bit set.
pub(super) const BITS_MAX: usize = 64;

impl AttributeSchema {
    /// How the elements of its lists follow each other; `None` for a bit set and for an attribute that
    /// has one value.
    #[must_use]
    pub fn elements(&self) -> Option<Elements> {
        if !self.rules.multi || self.rules.bit_set {
            return None;
        }
        if self.is_choice() {
            return Some(Elements::Fixed(2));
        }
        let form = match self.value_type {
            ValueType::Currency if self.rules.currency.is_some() => Form::Fixed16,
            value_type => value_type.form(),
        };
        Some(form.cell_len().map_or(Elements::Prefixed, |len| Elements::Fixed(len as u8)))
    }

    /// Whether a value is the number of an option.
    pub(super) fn is_choice(&self) -> bool {
        self.value_type.has_options() && !self.rules.custom_values
    }
}

/// Appends the cell of a list; false when it has no values.
pub(super) fn append(attribute: &AttributeSchema, value: &Value, out: &mut Vec<u8>) -> Result<bool, Refusal> {
    let read;
    let values = match value {
        Value::List(values) => values.as_slice(),
        Value::Json(json) if json.as_str().starts_with('[') => {
            read = values_of_json(attribute.value_type, json)?;
            &read
        }
        // One value is a list of one.
        single => std::slice::from_ref(single),
    };
    let count = match attribute.elements() {
        None => append_bits(attribute, values, out)?,
        Some(Elements::Fixed(2)) if attribute.is_choice() => append_options(attribute, values, out)?,
        Some(elements) => append_elements(attribute, elements, values, out)?,
    };
    match attribute.rules.max_values {
        Some(max) if count > max as usize => Err(too_many(max, count)),
        _ => Ok(count > 0),
    }
}

fn append_bits(attribute: &AttributeSchema, values: &[Value], out: &mut Vec<u8>) -> Result<usize, Refusal> {
    let mut bits = 0u64;
    for value in values {
        // `check` allows a bit set for at most 64 options.
        bits |= 1u64.checked_shl(attribute.option_number(value)?).unwrap_or(0);
    }
    if bits != 0 {
        out.extend_from_slice(&bits.to_le_bytes());
    }
    Ok(bits.count_ones() as usize)
}

fn append_options(
    attribute: &AttributeSchema,
    values: &[Value],
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let (mut numbers, mut seen) = (Vec::with_capacity(values.len()), HashSet::new());
    for value in values {
        let number = attribute.option_number(value)? as u16;
        if seen.insert(number) {
            numbers.push(number);
        }
    }
    if attribute.rules.unordered {
        numbers.sort_unstable();
    }
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    Ok(numbers.len())
}

fn append_elements(
    attribute: &AttributeSchema,
    elements: Elements,
    values: &[Value],
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let start = out.len();
    let (mut cell, mut seen) = (Vec::new(), HashSet::with_capacity(values.len()));
    for value in values {
        if matches!(value, Value::Null | Value::List(_)) {
            return Err(wrong_kind(&format!("values of type {}", attribute.value_type), value).into());
        }
        cell.clear();
        attribute.append_one(value, &mut cell)?;
        let nothing = cell.is_empty() && attribute.value_type.is_structured();
        let mut key = Vec::with_capacity(cell.len() + 4);
        append_key_bytes(&mut key, attribute.value_type, &cell);
        if !nothing && seen.insert(key) {
            elements.append(out, &cell);
        }
        if out.len() - start > TEXT_LEN_MAX {
            return Err(too_long(out.len() - start));
        }
    }
    Ok(seen.len())
}

/// The values of a JSON array; numbers for a decimal digit by digit.
fn values_of_json(value_type: ValueType, json: &Json) -> Result<Vec<Value>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(json.as_str()).map_err(|error| error.to_string())?;
    let value = |raw: &RawValue| {
        let text = raw.get();
        if value_type == ValueType::Json || text.starts_with(['[', '{']) {
            return Json::parse(text).map(Value::Json).map_err(|error| error.to_string());
        }
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number && value_type == ValueType::Decimal {
            return Decimal::read(text).map(Value::Decimal);
        }
        serde_json::from_str(text).map(Value::from_json).map_err(|error| error.to_string())
    };
    items.into_iter().map(value).collect()
}

/// The values of a list's cell.
pub(super) fn values(attribute: &AttributeSchema, cell: &[u8]) -> Result<Value, String> {
    let mut values = Vec::new();
    match attribute.elements() {
        None => {
            let bits = u64::from_le_bytes(fixed(cell)?);
            for number in (0..u64::BITS).filter(|number| bits & (1 << number) != 0) {
                values.push(Value::Text(attribute.option_of(number)?.key.clone()));
            }
        }
        Some(elements) if attribute.is_choice() => elements.try_for_each(cell, |number| {
            let number = u16::from_le_bytes(fixed(number)?);
            values.push(Value::Text(attribute.option_of(number.into())?.key.clone()));
            Ok::<(), String>(())
        })?,
        Some(elements) => elements.try_for_each(cell, |element| {
            values.push(attribute.one_of(element)?);
            Ok::<(), String>(())
        })?,
    }
    match values.is_empty() {
        true => Err("a list without elements is no value".to_string()),
        false => Ok(Value::List(values)),
    }
}
