//! How many bytes a record has, in the model, and what `max_record_bytes` makes of that. Written from docs/types.md and
//! from the table of cell forms in the engine's `src/value/mod.rs`.

use crate::model::Values;
use crate::open;
use crate::schema::{AttributeDef, ObjectDef, Type};
use vellum::{Decimal, ErrorKind, Value};

/// Digits behind the point of an amount of money.
const MONEY_DECIMALS: u8 = 4;

impl ObjectDef {
    /// Refuses a record that has more bytes than its object allows.
    ///
    /// # Errors
    /// `LimitExceeded`.
    pub fn check_size(&self, values: &Values) -> Result<(), ErrorKind> {
        match self.max_record_bytes.is_some_and(|max| size(self, values) > max) {
            true => Err(ErrorKind::LimitExceeded),
            false => Ok(()),
        }
    }
}

/// The bytes of all values.
#[must_use]
pub fn size(def: &ObjectDef, values: &Values) -> usize {
    values.iter().map(|(at, value)| cell_len(&def.attributes[*at], value)).sum()
}

fn cell_len(attribute: &AttributeDef, value: &Value) -> usize {
    let elements = value.as_list().unwrap_or_default();
    match attribute.of {
        Type::Boolean => 1,
        Type::Select | Type::Status | Type::Date => 4,
        Type::Integer | Type::Rating | Type::Number | Type::Timestamp | Type::Autonumber => 8,
        // A bit for each option.
        Type::Options => 8,
        Type::Uuid | Type::Reference | Type::Decimal => 16,
        Type::OptionList => 2 * elements.len(),
        Type::References => 16 * elements.len(),
        Type::Texts | Type::Emails => elements.iter().map(|text| prefixed(text_len(text))).sum(),
        Type::Open => members_len(value),
        _ => text_len(value),
    }
}

fn text_len(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Json(json) => json.as_str().len(),
        Value::Actor(actor) => 1 + actor.id.len(),
        Value::Currency { amount, .. } => 3 + shortest(*amount),
        value => panic!("{value:?} is no text"),
    }
}

/// A length of seven bits a byte, then that many bytes.
fn prefixed(len: usize) -> usize {
    let bits = (usize::BITS - len.leading_zeros()).max(1);
    bits.div_ceil(7) as usize + len
}

/// The fewest bytes of a two's complement number.
fn shortest(amount: Decimal) -> usize {
    let mantissa = amount.rescale(MONEY_DECIMALS).expect("an amount that was kept").mantissa();
    (1..16).find(|len| (mantissa << (128 - 8 * len)) >> (128 - 8 * len) == mantissa).unwrap_or(16)
}

/// A JSON object with a name, a colon and a value for each member.
fn members_len(hidden: &Value) -> usize {
    let json_len = |value: &Value| match value {
        Value::Json(json) => json.as_str().len(),
        value => value.to_json().to_string().len(),
    };
    let members = open::members(Some(hidden));
    let len = |(name, value): (&String, &Value)| json_len(&Value::from(name)) + 1 + json_len(value);
    members.iter().map(len).sum::<usize>() + members.len() - 1 + 2
}
