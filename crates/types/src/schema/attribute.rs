//! One attribute at work: values to cells, checked and converted; cells to values.
//!
//! What a value may become: text a date, timestamp, decimal or UUID, when it is one; a whole number a
//! number or decimal, and the reverse, only when nothing is lost (a whole number from a double only
//! within ±2^53, where doubles are still exact); anything becomes JSON.

use super::scalar::{
    append_json, append_text, boolean, date, finite, fixed, integer, known_date, number, text_of, uuid,
    wrong_kind,
};
use super::{
    AttributeSchema, Codec, DefaultValue, Names, ObjectSchema, Pattern, SelectOption, Status, names,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::AttributeId;
use crate::value::{
    Actor, Date, Decimal, Form, Json, TEXT_LEN_MAX, Timestamp, Value, ValueType, compare_cells, excerpt,
};
use std::cmp::Ordering;
use std::sync::Arc;
use uuid::Uuid;

const NANOS_PER_MICRO: i64 = 1_000;

/// Why a value is refused; the caller knows the names.
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
    /// What was given, where a program may want to know.
    pub(super) given: Option<String>,
    /// The limit, and what passed it.
    pub(super) limit: Option<(u64, u64)>,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, reason: String) -> Refusal {
        Refusal { kind, reason, given: None, limit: None }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Refusal {
        Refusal::new(ErrorKind::InvalidValue, reason)
    }
}

impl AttributeSchema {
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
    pub fn form(&self) -> Form {
        let rules = &self.rules;
        match (rules.multi, self.value_type) {
            (true, _) if rules.bit_set => Form::Fixed8,
            (true, _) => Form::View,
            (false, ValueType::Currency) if rules.currency.is_some() => Form::Fixed16,
            (false, ValueType::Radio) if !rules.custom_values => Form::Fixed4,
            (false, value_type) => value_type.form(),
        }
    }

    /// What it is found by: a hidden attribute is nobody's to name.
    pub(super) fn name_or_none(&self) -> &str {
        if self.rules.hidden { "" } else { self.rules.standing.name_or_none(&self.key) }
    }

    /// Appends the cell that a new record gets which is given no value; false without one.
    pub fn append_default(&self, now: Timestamp, actor: Option<&Actor>, out: &mut Vec<u8>) -> bool {
        let value = match (&self.rules.default, actor) {
            (None, _) | (Some(DefaultValue::Actor), None) => return false,
            (Some(DefaultValue::Cell(cell)), _) => {
                let is_kept = self.may_still_have(cell);
                out.extend_from_slice(if is_kept { cell } else { &[] });
                return is_kept;
            }
            // Nobody writes what is archived.
            _ if self.standing() == Status::Archived => return false,
            (Some(DefaultValue::Now), _) if self.value_type == ValueType::Date => Value::Date(now.date()),
            (Some(DefaultValue::Now), _) if self.microseconds => {
                let coarse = now.0.checked_sub(now.0.rem_euclid(NANOS_PER_MICRO));
                coarse.map_or(Value::Null, |coarse| Value::Timestamp(Timestamp(coarse)))
            }
            (Some(DefaultValue::Now), _) => Value::Timestamp(now),
            (Some(DefaultValue::Actor), Some(actor)) => Value::Actor(actor.clone()),
        };
        // The moment may lie outside limits that the schema sets; then there is no default.
        self.append_checked(&value, out).unwrap_or(false)
    }

    /// Whether a default that fitted when it was declared fits what changes of the schema made of the attribute: its
    /// limits, its options, its standing.
    fn may_still_have(&self, default: &[u8]) -> bool {
        if self.standing() == Status::Archived {
            return false;
        }
        let is_bounded = self.min.is_some() || self.max.is_some() || self.rules.max_values.is_some();
        if !is_bounded && self.options.is_empty() {
            return true;
        }
        let Ok(value) = self.decode(default) else { return false };
        let mut again = Vec::new();
        // An option that was deleted decodes to its name, which another one may have.
        self.archived_option(&value).is_none()
            && self.append_checked(&value, &mut again).unwrap_or(false)
            && again == default
    }

    /// The key of an archived option among the values, where there is one: such are shown and not written.
    pub fn archived_option<'v>(&self, value: &'v Value) -> Option<&'v str> {
        if !self.has_archived_options {
            return None;
        }
        let is_archived = |name: &&str| {
            // One that was deleted gave its key up, and another one may have it.
            let has_key = |option: &&SelectOption| option.standing != Status::Deleted && option.key == *name;
            self.options.iter().find(has_key).is_some_and(|option| option.standing == Status::Archived)
        };
        match value {
            Value::List(values) => values.iter().filter_map(Value::as_text).find(is_archived),
            value => value.as_text().filter(is_archived),
        }
    }

    /// Works out what is not persisted.
    pub(super) fn prepare(&mut self) {
        self.name = Arc::from(self.key.as_str());
        self.option_names =
            Names::of(self.options.iter().map(|option| option.standing.name_or_none(&option.key)));
        self.coding = Codec::of(self);
        self.has_archived_options = self.options.iter().any(|option| option.standing == Status::Archived);
        self.limited = (self.min.is_some() || self.max.is_some()) && self.coding != Codec::Other;
        // A pattern that does not compile is refused by `check`.
        let pattern = self.rules.pattern.as_deref();
        self.pattern = pattern.and_then(|text| Pattern::compile(text).ok()).unwrap_or_default();
    }

    /// Appends the cell of a value that is not null; false for a list without values, which is no value
    /// (nothing is appended then). On an error `out` is as before.
    ///
    /// # Errors
    /// `InvalidValue` when the value does not fit the type or its limits, `UnknownOption`,
    /// `TooManyValues`, `LimitExceeded` for text over 16 MiB.
    #[inline]
    pub fn encode(&self, object: &ObjectSchema, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        self.append_checked(value, out).map_err(|refusal| self.refused(object, refusal))
    }

    /// Whether a look at the value's kind shows already that [`AttributeSchema::encode`] takes it. False says nothing.
    #[inline]
    pub fn surely_takes(&self, value: &Value) -> bool {
        if self.read_only || self.limited {
            return false;
        }
        match (self.coding, value) {
            (Codec::Text, Value::Text(text)) => text.len() <= TEXT_LEN_MAX,
            (Codec::Number, Value::Number(number)) => number.is_finite(),
            (Codec::Decimal, Value::Decimal(_)) => self.decimal(value).is_ok(),
            (Codec::Timestamp, Value::Timestamp(_)) => !self.microseconds,
            (Codec::Integer, Value::Integer(_))
            | (Codec::Boolean, Value::Boolean(_))
            | (Codec::Uuid, Value::Uuid(_)) => true,
            _ => false,
        }
    }

    /// [`AttributeSchema::encode`] for a value that is compared with others and not kept: limits are for what
    /// a record has.
    ///
    /// # Errors
    /// As [`AttributeSchema::encode`].
    pub fn encode_unlimited(&self, object: &ObjectSchema, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        if self.min.is_none() && self.max.is_none() {
            return self.encode(object, value, out);
        }
        let mut unlimited = AttributeSchema { min: None, max: None, ..self.clone() };
        unlimited.prepare();
        unlimited.encode(object, value, out)
    }

    /// [`AttributeSchema::encode`] for one who has no object at hand.
    pub(super) fn encode_cell(&self, value: &Value) -> Result<Vec<u8>, String> {
        let mut cell = Vec::new();
        match self.append_checked(value, &mut cell) {
            Ok(true) => Ok(cell),
            Ok(false) => Err("an empty list is no value".to_string()),
            Err(refusal) => Err(refusal.reason),
        }
    }

    /// The cell of one value, for a limit.
    pub(super) fn encode_one(&self, value: &Value) -> Result<Vec<u8>, String> {
        let mut cell = Vec::new();
        self.append_one(value, &mut cell).map(|()| cell).map_err(|refusal| refusal.reason)
    }

    /// Appends the key bytes of a value that is not null; of one value where there may be several.
    ///
    /// # Errors
    /// As [`AttributeSchema::encode`].
    #[inline]
    pub fn append_key(&self, object: &ObjectSchema, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        if self.coding == Codec::Other {
            return self.append_other_key(value, out).map_err(|refusal| self.refused(object, refusal));
        }
        // The component is encoded in place: four bytes of length, then the cell.
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.encode(object, value, out)?;
        if self.coding == Codec::Number && out[start + 4..] == (-0.0f64).to_le_bytes() {
            out[start + 4..].fill(0);
        }
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    #[cold]
    fn refused(&self, object: &ObjectSchema, refusal: Refusal) -> Error {
        self.error_of(&object.key, refusal)
    }

    /// A refusal with names and what is known beside the reason.
    #[cold]
    pub(super) fn error_of(&self, object: &str, refusal: Refusal) -> Error {
        let error = Error::attribute(refusal.kind, object, &self.key, refusal.reason);
        let error = error.with_type(self.value_type.name());
        let error = match refusal.given {
            Some(given) => error.with_given(given),
            None => error,
        };
        match refusal.limit {
            Some((max, given)) => error.with_limit(max, given),
            None => error,
        }
    }

    #[inline]
    fn append_checked(&self, value: &Value, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let start = out.len();
        if self.coding == Codec::Other {
            let appended = self.append_other(value, out);
            if appended.is_err() {
                out.truncate(start);
            }
            return appended;
        }
        self.append_plain(self.coding, value, out)?;
        if self.limited
            && let Err(refusal) = self.check_limits(&out[start..])
        {
            out.truncate(start);
            return Err(refusal);
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn append_plain(
        &self,
        coding: Codec,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match coding {
            Codec::Text => append_text(value, out)?,
            Codec::Integer => out.extend_from_slice(&integer(value)?.to_le_bytes()),
            Codec::Number => out.extend_from_slice(&number(value)?.to_le_bytes()),
            Codec::Decimal => out.extend_from_slice(&self.decimal(value)?.to_le_bytes()),
            Codec::Boolean => out.push(u8::from(boolean(value)?)),
            Codec::Date => out.extend_from_slice(&date(value)?.0.to_le_bytes()),
            Codec::Timestamp => out.extend_from_slice(&self.timestamp(value)?.to_le_bytes()),
            Codec::Uuid => out.extend_from_slice(uuid(value)?.as_bytes()),
            Codec::Choice => out.extend_from_slice(&self.option_number(value)?.to_le_bytes()),
            Codec::Json => append_json(value, out)?,
            Codec::Other => return self.append_kind(value, out),
        }
        Ok(())
    }

    pub(super) fn check_limits(&self, cell: &[u8]) -> Result<(), Refusal> {
        let beyond = |limit: &Option<Vec<u8>>, side: Ordering| {
            limit.clone().filter(|limit| self.compare(cell, limit) == side)
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

    /// The order of two cells of one value each.
    #[must_use]
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match self.value_type {
            ValueType::Currency => self.compare_money(a, b),
            value_type => compare_cells(value_type, a, b),
        }
    }

    pub(super) fn decimal(&self, value: &Value) -> Result<i128, String> {
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
    pub(super) fn timestamp(&self, value: &Value) -> Result<i64, String> {
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
    pub(super) fn option_number(&self, value: &Value) -> Result<u32, Refusal> {
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
        let reason = format!("there is no option {}{hint}", excerpt(name));
        Refusal { given: Some(name.to_string()), ..Refusal::new(ErrorKind::UnknownOption, reason) }
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
        if self.coding == Codec::Other { self.other_of(cell) } else { self.plain_of(self.coding, cell) }
    }

    #[inline]
    pub(super) fn plain_of(&self, coding: Codec, cell: &[u8]) -> Result<Value, String> {
        Ok(match coding {
            Codec::Text => Value::Text(text_of(cell)?.to_string()),
            Codec::Integer => Value::Integer(i64::from_le_bytes(fixed(cell)?)),
            Codec::Number => Value::Number(finite(f64::from_le_bytes(fixed(cell)?))?),
            Codec::Decimal => Value::Decimal(self.decimal_of(i128::from_le_bytes(fixed(cell)?))?),
            Codec::Boolean => boolean_of(cell)?,
            Codec::Date => Value::Date(known_date(Date(i32::from_le_bytes(fixed(cell)?)))?),
            Codec::Timestamp => Value::Timestamp(self.timestamp_of(i64::from_le_bytes(fixed(cell)?))?),
            Codec::Uuid => Value::Uuid(Uuid::from_bytes(fixed(cell)?)),
            Codec::Choice => Value::Text(self.option_of(u32::from_le_bytes(fixed(cell)?))?.key.clone()),
            Codec::Json => Value::Json(Json::from_stored(text_of(cell)?)?),
            Codec::Other => self.kind_of(cell)?,
        })
    }

    pub(super) fn decimal_of(&self, mantissa: i128) -> Result<Decimal, String> {
        let decimal = Decimal::new(mantissa, self.decimals).ok_or("the scale of a decimal is over 38")?;
        Ok(decimal.normalized())
    }

    pub(super) fn timestamp_of(&self, stored: i64) -> Result<Timestamp, String> {
        let nanos = if self.microseconds { stored.checked_mul(NANOS_PER_MICRO) } else { Some(stored) };
        nanos.map(Timestamp).ok_or_else(|| format!("{stored} microseconds are outside 1677 to 2262"))
    }

    pub(super) fn option_of(&self, number: u32) -> Result<&SelectOption, String> {
        let count = self.options.len();
        self.options.get(number as usize).ok_or_else(|| format!("option {number} of {count}"))
    }

    /// A cell of one value as a message shows it, in a conflict for example.
    #[must_use]
    pub fn key_text(&self, cell: &[u8]) -> String {
        match self.one_of(cell) {
            Ok(value) => value.to_string(),
            Err(reason) => format!("unreadable: {reason}"),
        }
    }
}

pub(super) fn boolean_of(cell: &[u8]) -> Result<Value, String> {
    match cell {
        [0] => Ok(Value::Boolean(false)),
        [1] => Ok(Value::Boolean(true)),
        _ => Err(format!("a boolean is one byte 0 or 1, found {cell:02x?}")),
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

    /// The identity that the maker of the schema gave it.
    #[must_use]
    pub fn given_id(&self) -> Option<&str> {
        self.given_id.as_deref()
    }

    /// Whether it is in use.
    #[must_use]
    pub fn standing(&self) -> Status {
        self.standing
    }
}
