//! Cells of the types with rules of their own, one value at a time. All out of the way of the plain
//! types (see `coding`).

use super::attribute::Refusal;
use super::scalar::{append_text, fixed, integer, text_of, wrong_kind};
use super::{AttributeSchema, Codec, list, parts};
use crate::error::ErrorKind;
use crate::id::RecordId;
use crate::value::{
    Actor, CurrencyCode, Json, Value, ValueType, append_key_bytes, excerpt, money_of_json, validate,
};
use std::cmp::Ordering;
use uuid::Uuid;

impl AttributeSchema {
    /// Appends the cell of one value or of several; false for none. On an error `out` may have more bytes.
    #[cold]
    pub(super) fn append_other(&self, value: &Value, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        if self.rules.multi {
            return list::append(self, value, out);
        }
        let start = out.len();
        self.append_one(value, out)?;
        Ok(out.len() > start || !self.value_type.is_structured())
    }

    /// Appends the cell of one value, whether or not there may be several; nothing for a structure
    /// without members.
    pub(super) fn append_one(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        match Codec::of_type(self.value_type) {
            Codec::Other => self.append_kind(value, out)?,
            coding => self.append_plain(coding, value, out)?,
        }
        if self.rules.pattern.is_some()
            && let Ok(text) = std::str::from_utf8(&out[start..])
            && !self.pattern.matches(text)
        {
            let pattern = self.rules.pattern.as_deref().unwrap_or_default();
            let reason = format!("{} does not match the pattern {}", excerpt(text), excerpt(pattern));
            return Err(reason.into());
        }
        if self.min.is_some() || self.max.is_some() {
            self.check_limits(&out[start..])?;
        }
        Ok(())
    }

    /// Appends the key bytes of one value; a list of one is its value.
    #[cold]
    pub(super) fn append_other_key(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let value = match value {
            Value::List(values) if self.rules.multi && values.len() == 1 => &values[0],
            value => value,
        };
        let mut cell = Vec::new();
        self.append_one(value, &mut cell)?;
        append_key_bytes(out, self.value_type, &cell);
        Ok(())
    }

    pub(super) fn append_kind(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.value_type {
            ValueType::Rating => out.extend_from_slice(&integer(value)?.to_le_bytes()),
            ValueType::Autonumber => out.extend_from_slice(&self.autonumber(value)?.to_le_bytes()),
            ValueType::Email => append_word(value, "an e-mail address", validate::email, out)?,
            ValueType::Url => append_word(value, "a web address", validate::url, out)?,
            ValueType::Domain => append_word(value, "a domain", validate::domain, out)?,
            ValueType::Phone => append_word(value, "a telephone number", validate::phone, out)?,
            ValueType::Country => out.extend_from_slice(country(value)?.as_bytes()),
            ValueType::Radio if self.rules.custom_values => append_custom(value, out)?,
            ValueType::Radio => out.extend_from_slice(&self.option_number(value)?.to_le_bytes()),
            ValueType::Reference => out.extend_from_slice(&reference(value)?.bytes()),
            ValueType::Actor => actor(value)?.append_cell(out),
            ValueType::Bytes => append_hex(value, out)?,
            ValueType::Currency => self.append_money(value, out)?,
            ValueType::Address
            | ValueType::Location
            | ValueType::PersonName
            | ValueType::TextList
            | ValueType::File => parts::append(self, value, out)?,
            _ => append_text(value, out)?,
        }
        Ok(())
    }

    /// The value of a cell with one or several.
    #[cold]
    pub(super) fn other_of(&self, cell: &[u8]) -> Result<Value, String> {
        if self.rules.multi { list::values(self, cell) } else { self.one_of(cell) }
    }

    /// The value of a cell with one.
    pub(super) fn one_of(&self, cell: &[u8]) -> Result<Value, String> {
        match Codec::of_type(self.value_type) {
            Codec::Other => self.kind_of(cell),
            coding => self.plain_of(coding, cell),
        }
    }

    pub(super) fn kind_of(&self, cell: &[u8]) -> Result<Value, String> {
        Ok(match self.value_type {
            ValueType::Rating => Value::Integer(i64::from_le_bytes(fixed(cell)?)),
            ValueType::Autonumber => {
                let number = i64::from_le_bytes(fixed(cell)?);
                match self.sequence().filter(|sequence| !sequence.is_plain()) {
                    Some(sequence) => Value::Text(sequence.show(number)),
                    None => Value::Integer(number),
                }
            }
            ValueType::Radio if !self.rules.custom_values => {
                Value::Text(self.option_of(u32::from_le_bytes(fixed(cell)?))?.key.clone())
            }
            ValueType::Reference => Value::Reference(RecordId::from_bytes(fixed(cell)?)),
            ValueType::Actor => Value::Actor(Actor::of_cell(cell)?),
            ValueType::Bytes => Value::Text(cell.iter().map(|byte| format!("{byte:02x}")).collect()),
            ValueType::Currency => self.money_of(cell)?,
            ValueType::Address
            | ValueType::Location
            | ValueType::PersonName
            | ValueType::TextList
            | ValueType::File => Value::Json(Json::from_stored(text_of(cell)?)?),
            _ => Value::Text(text_of(cell)?.to_string()),
        })
    }

    fn autonumber(&self, value: &Value) -> Result<i64, String> {
        let sequence = self.sequence();
        match value {
            Value::Text(text) => {
                let number = sequence.and_then(|sequence| sequence.read(text));
                number.ok_or_else(|| format!("{} is no number of the sequence", excerpt(text)))
            }
            other => integer(other),
        }
    }

    fn append_money(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let (amount, code) = match value {
            Value::Currency { amount, code } => (Value::Decimal(*amount), Some(*code)),
            Value::Json(json) => {
                let (amount, code) = money_of_json(json)?;
                (Value::Decimal(amount), code)
            }
            Value::Text(text) => match text.trim().rsplit_once(' ') {
                Some((amount, code)) => (Value::from(amount.trim()), Some(CurrencyCode::read(code)?)),
                None => (value.clone(), None),
            },
            other => (other.clone(), None),
        };
        let mantissa = self.decimal(&amount)?;
        match (self.rules.currency, code) {
            (Some(fixed), Some(given)) if fixed != given => {
                return Err(format!("amounts are in {fixed}, this one is in {given}"));
            }
            (Some(_), _) => out.extend_from_slice(&mantissa.to_le_bytes()),
            (None, None) => return Err("the amount needs the code of its currency".to_string()),
            (None, Some(code)) => {
                out.extend_from_slice(&code.bytes());
                out.extend_from_slice(shortest(&mantissa.to_le_bytes()));
            }
        }
        Ok(())
    }

    fn money_of(&self, cell: &[u8]) -> Result<Value, String> {
        let (code, mantissa) = self.money_parts(cell).ok_or("the bytes are no amount of money")?;
        let code = self.rules.currency.or(code).ok_or("the code of a currency is no three letters")?;
        Ok(Value::Currency { amount: self.decimal_of(mantissa)?, code })
    }

    fn money_parts(&self, cell: &[u8]) -> Option<(Option<CurrencyCode>, i128)> {
        if self.rules.currency.is_some() {
            return Some((None, i128::from_le_bytes(cell.try_into().ok()?)));
        }
        let (code, mantissa) = cell.split_first_chunk::<3>()?;
        if mantissa.is_empty() || mantissa.len() > 16 {
            return None;
        }
        let fill = if mantissa[mantissa.len() - 1] & 0x80 == 0 { 0 } else { 0xff };
        let mut bytes = [fill; 16];
        bytes[..mantissa.len()].copy_from_slice(mantissa);
        Some((CurrencyCode::from_bytes(*code), i128::from_le_bytes(bytes)))
    }

    /// Amounts of one currency by size; currencies by code.
    pub(super) fn compare_money(&self, a: &[u8], b: &[u8]) -> Ordering {
        match (self.money_parts(a), self.money_parts(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.cmp(b),
        }
    }
}

/// The fewest bytes that say the same two's complement number.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let mut len = bytes.len();
    while len > 1 {
        let fill = if bytes[len - 2] & 0x80 == 0 { 0 } else { 0xff };
        if bytes[len - 1] != fill {
            break;
        }
        len -= 1;
    }
    &bytes[..len]
}

fn append_word(
    value: &Value,
    what: &str,
    check: fn(&str) -> Result<(), String>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Value::Text(text) = value else { return Err(wrong_kind(what, value).into()) };
    let text = text.trim();
    check(text)?;
    append_text(&Value::from(text), out)
}

fn append_custom(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match value {
        Value::Text(text) if text.is_empty() => Err("a choice needs a text".to_string().into()),
        value => append_text(value, out),
    }
}

fn country(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => validate::country(text.trim()),
        other => Err(wrong_kind("the code of a country", other)),
    }
}

fn reference(value: &Value) -> Result<RecordId, String> {
    match value {
        Value::Reference(id) => Ok(*id),
        Value::Uuid(id) => Ok(RecordId(*id)),
        Value::Text(text) => Uuid::try_parse(text).map(RecordId).map_err(|_| {
            format!("{} is not a record id; write it as 8-4-4-4-12 hexadecimal digits", excerpt(text))
        }),
        other => Err(wrong_kind("the id of a record", other)),
    }
}

fn actor(value: &Value) -> Result<Actor, String> {
    match value {
        Value::Actor(actor) => actor.check().map(|()| actor.clone()),
        Value::Text(text) => Actor::read(text),
        Value::Json(json) => {
            let actor: Actor = serde_json::from_str(json.as_str())
                .map_err(|error| format!("expected {{\"kind\", \"id\"}} of an actor: {error}"))?;
            actor.check().map(|()| actor)
        }
        other => Err(wrong_kind("an actor", other)),
    }
}

/// One too many values for the attribute.
pub(super) fn too_many(max: u32, given: usize) -> Refusal {
    let values = if max == 1 { "value" } else { "values" };
    let reason = format!("at most {max} {values} allowed, {given} given");
    let limit = Some((u64::from(max), given as u64));
    Refusal { limit, ..Refusal::new(ErrorKind::TooManyValues, reason) }
}

/// The bytes that pairs of hexadecimal digits stand for.
fn append_hex(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let text = value.as_text().filter(|text| text.len() % 2 == 0 && text.is_ascii());
    let text = text.ok_or_else(|| wrong_kind("bytes as hexadecimal digits", value))?;
    for at in (0..text.len()).step_by(2) {
        let byte = u8::from_str_radix(&text[at..at + 2], 16);
        out.push(byte.map_err(|_| wrong_kind("bytes as hexadecimal digits", value))?);
    }
    Ok(())
}
