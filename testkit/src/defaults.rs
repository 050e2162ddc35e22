//! What a new record gets of which nothing is said, and the moment that the op `now` writes, in the model. Written from
//! docs/types.md.

use crate::history::By;
use crate::model::Values;
use crate::ops;
use crate::plan::writable;
use crate::schema::{AttributeDef, ObjectDef, Type};
use crate::values::canonical;
use std::collections::BTreeSet;
use vellum::{Date, ErrorKind, Timestamp, Value};
use vellum_sim::Rng;

/// What stands in for a value of which nothing is said.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "docs/types.md says what they mean")]
pub enum DefaultDef {
    Value(Value),
    Now,
    Actor,
}

/// When a mutation happens, and who asks for it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What the clock says.
    pub now: i64,
    /// Who acts.
    pub actor: By,
}

impl DefaultDef {
    /// The member of the neutral form.
    #[must_use]
    pub fn to_json(&self) -> String {
        let given = match self {
            DefaultDef::Value(value) => value.to_json().to_string(),
            DefaultDef::Now => r#"{"$now":true}"#.to_string(),
            DefaultDef::Actor => r#"{"$actor":true}"#.to_string(),
        };
        format!(r#","default":{given}"#)
    }
}

/// A moment as an attribute has it.
///
/// # Errors
/// `InvalidValue` where it has no moments.
pub fn moment(attribute: &AttributeDef, now: i64) -> Result<Value, ErrorKind> {
    const NANOS_PER_DAY: i64 = 86_400_000_000_000;
    let unit = if attribute.micros { 1000 } else { 1 };
    match attribute.of {
        Type::Date => Ok(Value::Date(Date(now.div_euclid(NANOS_PER_DAY) as i32))),
        Type::Timestamp => {
            let coarse = now.checked_sub(now.rem_euclid(unit)).ok_or(ErrorKind::InvalidValue)?;
            Ok(Value::Timestamp(Timestamp(coarse)))
        }
        _ => Err(ErrorKind::InvalidValue),
    }
}

/// Gives a record in the making the defaults of attributes that nothing was said about. How many.
pub fn fill(
    def: &ObjectDef,
    said: &BTreeSet<usize>,
    at: Option<i64>,
    moment: &Moment,
    values: &mut Values,
) -> usize {
    let mut given = 0;
    for (place, attribute) in def.attributes.iter().enumerate().filter(|(place, _)| !said.contains(place)) {
        if let Some(value) = of_attribute(attribute, at.unwrap_or(moment.now), moment) {
            values.insert(place, value);
            given += 1;
        }
    }
    given
}

/// What is archived, or beyond limits that were set since, no default brings in.
fn of_attribute(attribute: &AttributeDef, now: i64, moment: &Moment) -> Option<Value> {
    let value = match attribute.default.as_ref()? {
        DefaultDef::Value(value) => value.clone(),
        DefaultDef::Now => self::moment(attribute, now).ok()?,
        DefaultDef::Actor => Value::Actor(moment.actor.clone()?),
    };
    writable(attribute, [&value]).ok()?;
    canonical(attribute, &value).ok()?
}

/// A default for some attributes.
pub fn draw(rng: &mut Rng, attribute: &AttributeDef) -> Option<DefaultDef> {
    use Type as T;
    if !rng.one_in(4) {
        return None;
    }
    let has_moments = matches!(attribute.of, T::Date | T::Timestamp);
    match attribute.of {
        T::Actor => Some(DefaultDef::Actor),
        _ if has_moments && rng.one_in(2) => Some(DefaultDef::Now),
        T::Text | T::LongText => {
            Some(DefaultDef::Value(Value::from(*rng.pick(&["", "a default", "d\u{1f600}"]))))
        }
        T::Integer
        | T::Number
        | T::Decimal
        | T::Boolean
        | T::Date
        | T::Timestamp
        | T::Uuid
        | T::Select
        | T::Rating
        | T::Email
        | T::Phone
        | T::Country
        | T::Status
        | T::Radio => {
            let value = ops::value(rng, attribute, false);
            canonical(attribute, &value).ok().flatten().map(DefaultDef::Value)
        }
        _ => None,
    }
}
