//! One attribute at work: values to cells, checked and converted; cells to values.
//!
//! What a value may become: text a date, timestamp, decimal or UUID, when it is one; a whole number a
//! number or decimal, and the reverse, only when nothing is lost (a whole number from a double only
//! within ±2^53, where doubles are still exact); anything becomes JSON.

use super::{AttributeSchema, ObjectSchema, SelectOption, names};
use crate::error::{Error, ErrorKind, Result};
use crate::id::AttributeId;
use crate::value::{
    Date, Decimal, Form, Json, TEXT_LEN_MAX, Timestamp, Value, ValueType, compare_cells, excerpt, write_json,
};
use std::cmp::Ordering;
use std::sync::Arc;
use uuid::Uuid;

/// Whole doubles beyond this are no longer known to be the number that was meant.
const EXACT_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
const NANOS_PER_MICRO: i64 = 1_000;

/// Why a value is refused; the caller knows the names.
struct Refusal {
    kind: ErrorKind,
    reason: String,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Refusal {
        Refusal { kind: ErrorKind::InvalidValue, reason }
    }
}

impl AttributeSchema {
    /// An optional attribute of this type, without limits.
    pub(super) fn plain(id: AttributeId, key: &str, value_type: ValueType) -> AttributeSchema {
        AttributeSchema {
            id,
            column: id.0 + 1,
            key: key.to_string(),
            title: None,
            value_type,
            required: false,
            unique: false,
            read_only: false,
            decimals: 0,
            microseconds: false,
            min: None,
            max: None,
            options: Vec::new(),
            name: Arc::from(key),
            option_names: names::Names::default(),
        }
    }

    /// Number within the object.
    #[must_use]
    #[inline]
    pub fn id(&self) -> AttributeId {
        self.id
    }

    /// Column of its pages, at least 1.
    #[must_use]
    #[inline]
    pub fn column(&self) -> u16 {
        self.column
    }

    /// Its name in values.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name, to be shared without a copy.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its name for people, where it has one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// What it holds.
    #[must_use]
    #[inline]
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// Whether each record must have a value.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether no two records may have the same value.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Whether callers may not write it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The options of a select; the number of an option is its position.
    #[must_use]
    pub fn options(&self) -> &[SelectOption] {
        &self.options
    }

    /// How its values lie in a page.
    #[must_use]
    #[inline]
    pub fn form(&self) -> Form {
        self.value_type.form()
    }

    /// Appends the cell of a value that is not null. On an error `out` is as before.
    ///
    /// # Errors
    /// `InvalidValue` when the value does not fit the type or its limits, `UnknownOption`,
    /// `LimitExceeded` for text over 16 MiB.
    #[inline]
    pub fn encode(&self, object: &ObjectSchema, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        self.append_checked(value, out).map_err(|refusal| self.refused(object, refusal))
    }

    /// [`AttributeSchema::encode`] for one who has no object at hand.
    pub(super) fn encode_cell(&self, value: &Value) -> Result<Vec<u8>, String> {
        let mut cell = Vec::new();
        self.append_checked(value, &mut cell).map(|()| cell).map_err(|refusal| refusal.reason)
    }

    #[cold]
    fn refused(&self, object: &ObjectSchema, refusal: Refusal) -> Error {
        Error::attribute(refusal.kind, &object.key, &self.key, refusal.reason)
    }

    #[inline]
    fn append_checked(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        self.append_cell(value, out)?;
        if self.min.is_none() && self.max.is_none() {
            return Ok(());
        }
        let checked = self.check_limits(&out[start..]);
        if checked.is_err() {
            out.truncate(start);
        }
        checked
    }

    #[inline]
    fn append_cell(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.value_type {
            ValueType::Text | ValueType::LongText => append_text(value, out)?,
            ValueType::Integer => out.extend_from_slice(&integer(value)?.to_le_bytes()),
            ValueType::Number => out.extend_from_slice(&number(value)?.to_le_bytes()),
            ValueType::Decimal => out.extend_from_slice(&self.decimal(value)?.to_le_bytes()),
            ValueType::Boolean => out.push(u8::from(boolean(value)?)),
            ValueType::Date => out.extend_from_slice(&date(value)?.0.to_le_bytes()),
            ValueType::Timestamp => out.extend_from_slice(&self.timestamp(value)?.to_le_bytes()),
            ValueType::Uuid => out.extend_from_slice(uuid(value)?.as_bytes()),
            ValueType::Select => out.extend_from_slice(&self.option_number(value)?.to_le_bytes()),
            ValueType::Json => append_json(value, out)?,
        }
        Ok(())
    }

    fn check_limits(&self, cell: &[u8]) -> Result<(), Refusal> {
        let beyond = |limit: &Option<Vec<u8>>, side: Ordering| {
            limit.clone().filter(|limit| compare_cells(self.value_type, cell, limit) == side)
        };
        if let Some(min) = beyond(&self.min, Ordering::Less) {
            return Err(
                format!("{} is below the minimum {}", self.key_text(cell), self.key_text(&min)).into()
            );
        }
        if let Some(max) = beyond(&self.max, Ordering::Greater) {
            return Err(
                format!("{} is above the maximum {}", self.key_text(cell), self.key_text(&max)).into()
            );
        }
        Ok(())
    }

    fn decimal(&self, value: &Value) -> Result<i128, String> {
        let decimal = match value {
            Value::Decimal(decimal) => *decimal,
            Value::Integer(whole) => Decimal::from(*whole),
            Value::Text(text) => Decimal::read(text)?,
            Value::Number(number) => {
                Decimal::from_f64(*number).ok_or_else(|| format!("{number} is not a decimal of 128 bits"))?
            }
            other => return Err(wrong_kind("a decimal", other)),
        };
        decimal.rescale(self.decimals).map(Decimal::mantissa).ok_or_else(|| {
            let digits = self.decimals;
            format!(
                "{decimal} does not fit 128 bits with {digits} digits behind the point; nothing is rounded"
            )
        })
    }

    #[inline]
    fn timestamp(&self, value: &Value) -> Result<i64, String> {
        let Timestamp(nanos) = match value {
            Value::Timestamp(timestamp) => *timestamp,
            Value::Text(text) => Timestamp::read(text)?,
            other => return Err(wrong_kind("a timestamp", other)),
        };
        if !self.microseconds {
            return Ok(nanos);
        }
        if nanos % NANOS_PER_MICRO != 0 {
            return Err(format!("{} has nanoseconds; the attribute keeps microseconds", Timestamp(nanos)));
        }
        Ok(nanos / NANOS_PER_MICRO)
    }

    #[inline]
    fn option_number(&self, value: &Value) -> Result<u32, Refusal> {
        let Value::Text(name) = value else {
            return Err(wrong_kind("the key of an option", value).into());
        };
        match self.option_names.find(name, |at| &self.options[at].key) {
            Some(at) => Ok(at as u32),
            None => Err(self.no_option(name)),
        }
    }

    #[cold]
    fn no_option(&self, name: &str) -> Refusal {
        let hint = names::hint(name, self.options.iter().map(|option| option.key.as_str()));
        Refusal {
            kind: ErrorKind::UnknownOption,
            reason: format!("there is no option {}{hint}", excerpt(name)),
        }
    }

    /// The value of a cell that was read from a page or a frame. A decimal comes with the fewest
    /// digits behind the point: 12.50 reads as 12.5 at any scale.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no cell of this attribute.
    #[inline]
    pub fn decode(&self, cell: &[u8]) -> Result<Value> {
        self.value_of(cell)
            .map_err(|reason| Error::corrupt("", 0, format!("attribute {}: {reason}", self.key)))
    }

    #[inline]
    fn value_of(&self, cell: &[u8]) -> Result<Value, String> {
        Ok(match self.value_type {
            ValueType::Text | ValueType::LongText => Value::Text(text_of(cell)?.to_string()),
            ValueType::Integer => Value::Integer(i64::from_le_bytes(fixed(cell)?)),
            ValueType::Number => Value::Number(finite(f64::from_le_bytes(fixed(cell)?))?),
            ValueType::Decimal => Value::Decimal(self.decimal_of(i128::from_le_bytes(fixed(cell)?))?),
            ValueType::Boolean => match cell {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                _ => return Err(format!("a boolean is one byte 0 or 1, found {cell:02x?}")),
            },
            ValueType::Date => Value::Date(known_date(Date(i32::from_le_bytes(fixed(cell)?)))?),
            ValueType::Timestamp => Value::Timestamp(self.timestamp_of(i64::from_le_bytes(fixed(cell)?))?),
            ValueType::Uuid => Value::Uuid(Uuid::from_bytes(fixed(cell)?)),
            ValueType::Select => Value::Text(self.option_of(u32::from_le_bytes(fixed(cell)?))?.key.clone()),
            ValueType::Json => Value::Json(Json::from_stored(text_of(cell)?)?),
        })
    }

    fn decimal_of(&self, mantissa: i128) -> Result<Decimal, String> {
        let decimal = Decimal::new(mantissa, self.decimals).ok_or("the scale of a decimal is over 38")?;
        Ok(decimal.normalized())
    }

    fn timestamp_of(&self, stored: i64) -> Result<Timestamp, String> {
        let nanos = if self.microseconds { stored.checked_mul(NANOS_PER_MICRO) } else { Some(stored) };
        nanos.map(Timestamp).ok_or_else(|| format!("{stored} microseconds are outside 1677 to 2262"))
    }

    fn option_of(&self, number: u32) -> Result<&SelectOption, String> {
        let count = self.options.len();
        self.options.get(number as usize).ok_or_else(|| format!("option {number} of {count}"))
    }

    /// A cell as a message shows it, in a conflict for example.
    #[must_use]
    pub fn key_text(&self, cell: &[u8]) -> String {
        match self.value_of(cell) {
            Ok(value) => value.to_string(),
            Err(reason) => format!("unreadable: {reason}"),
        }
    }
}

impl SelectOption {
    /// Its name in values.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name for people, where it has one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }
}

#[cold]
fn wrong_kind(expected: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("expected {expected}, found null; clear the attribute instead"),
        Value::Json(json) => format!("expected {expected}, found JSON {}", excerpt(json.as_str())),
        other => {
            format!("expected {expected}, found the {} {}", other.kind_name(), excerpt(&other.to_string()))
        }
    }
}

#[cold]
fn too_long(len: usize) -> Refusal {
    let reason = format!("{len} bytes are over the limit of {TEXT_LEN_MAX} bytes for one value");
    Refusal { kind: ErrorKind::LimitExceeded, reason }
}

#[inline]
fn append_text(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match value {
        Value::Text(text) if text.len() > TEXT_LEN_MAX => Err(too_long(text.len())),
        Value::Text(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        other => Err(wrong_kind("text", other).into()),
    }
}

fn append_json(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    match value {
        Value::Null => return Err(wrong_kind("JSON", value).into()),
        Value::Number(number) => drop(finite(*number)?),
        Value::Json(json) if json.is_too_deep() => {
            return Err("the JSON is nested deeper than 127".to_string().into());
        }
        _ => {}
    }
    write_json(out, value);
    let len = out.len() - start;
    if len > TEXT_LEN_MAX {
        out.truncate(start);
        return Err(too_long(len));
    }
    Ok(())
}

#[inline]
fn integer(value: &Value) -> Result<i64, String> {
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
fn number(value: &Value) -> Result<f64, String> {
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
fn finite(number: f64) -> Result<f64, String> {
    if number.is_finite() { Ok(number) } else { Err(format!("{number} is not a finite number")) }
}

#[inline]
fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(wrong_kind("true or false", other)),
    }
}

#[inline]
fn date(value: &Value) -> Result<Date, String> {
    match value {
        Value::Date(date) => known_date(*date),
        Value::Text(text) => Date::read(text),
        other => Err(wrong_kind("a date", other)),
    }
}

#[inline]
fn known_date(date: Date) -> Result<Date, String> {
    if (Date::MIN..=Date::MAX).contains(&date) {
        return Ok(date);
    }
    Err(format!("{date} is outside the range of a date, {} to {}", Date::MIN, Date::MAX))
}

#[inline]
fn uuid(value: &Value) -> Result<Uuid, String> {
    match value {
        Value::Uuid(uuid) => Ok(*uuid),
        Value::Text(text) => Uuid::try_parse(text).map_err(|_| {
            format!("{} is not a UUID; write it as 8-4-4-4-12 hexadecimal digits", excerpt(text))
        }),
        other => Err(wrong_kind("a UUID", other)),
    }
}

fn text_of(cell: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(cell).map_err(|error| format!("text is not UTF-8: {error}"))
}

#[inline]
fn fixed<const N: usize>(cell: &[u8]) -> Result<[u8; N], String> {
    cell.try_into().map_err(|_| format!("{N} bytes expected, found {}", cell.len()))
}
