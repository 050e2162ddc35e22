//! Members that an open object does not know, in the model: an attribute behind the others keeps them, as a list of
//! names with values, and is shown to nobody. So history, restores and reverts need to know nothing of them.
//! Written from docs/types.md and docs/mutations.md.

use crate::plan::Choice;
use crate::schema::ObjectDef;
use std::collections::BTreeMap;
use vellum::{Date, ErrorKind, Json, Name, Op, Value};
use vellum_sim::Rng;

/// Members with their values.
pub type Members = BTreeMap<String, Value>;

/// The members of a record, as its hidden attribute has them.
#[must_use]
pub fn members(hidden: Option<&Value>) -> Members {
    let pair = |pair: &Value| match pair.as_list() {
        Some([Value::Text(name), value]) => (name.clone(), value.clone()),
        _ => panic!("{pair:?} is no name with its value"),
    };
    hidden.and_then(Value::as_list).unwrap_or_default().iter().map(pair).collect()
}

/// What the hidden attribute has of members.
#[must_use]
pub fn hidden(members: Members) -> Option<Value> {
    let pair = |(name, value)| Value::List(vec![Value::Text(name), value]);
    (!members.is_empty()).then(|| Value::List(members.into_iter().map(pair).collect()))
}

/// Those that callers see: an attribute hides the member that has its name.
#[must_use]
pub fn shown(def: &ObjectDef, hidden: Option<&Value>) -> Members {
    let mut members = members(hidden);
    members.retain(|name, _| def.find(name).is_none());
    members
}

/// Whether this is a member that only an open object takes, and this one does.
#[must_use]
pub fn takes(def: &ObjectDef, name: &str) -> bool {
    def.open().is_some() && def.find(name).is_none()
}

/// What a part says of a member; `has_value` where it counts for a record without one alone.
pub(crate) fn choice(name: &Name, value: &Value, has_value: bool) -> Choice {
    let kept = if has_value { Ok(None) } else { kept(name, value).map(Some) };
    Choice::Member(name.clone(), kept)
}

/// What an op makes of a member behind what was chosen so far; most ops need a type.
pub(crate) fn op_choice(name: &Name, op: &Op, there: &Members, chosen: &[Choice]) -> Choice {
    let is_said = |choice: &Choice| match choice {
        Choice::Member(known, Ok(Some(value))) if known == name => Some(!value.is_null()),
        _ => None,
    };
    match op {
        Op::Set(value) => choice(name, value, false),
        Op::Clear => choice(name, &Value::Null, false),
        Op::SetIfEmpty(value) => {
            let said = chosen.iter().rev().find_map(is_said);
            choice(name, value, said.unwrap_or_else(|| there.contains_key(&**name)))
        }
        _ => Choice::Member(name.clone(), Err(ErrorKind::UnknownAttribute)),
    }
}

/// A member as untyped JSON means it; null takes it away.
fn kept(name: &str, value: &Value) -> Result<Value, ErrorKind> {
    if name.is_empty() || name.starts_with('$') {
        return Err(ErrorKind::UnknownAttribute);
    }
    let json = |text: &str| Ok(Value::Json(Json::parse(text).expect("JSON")));
    match value {
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Text(_) => Ok(value.clone()),
        Value::Number(number) if number.is_finite() => Ok(value.clone()),
        // The object around it is one level more.
        Value::Json(json) if json.as_str().starts_with(&"[".repeat(127)) => Err(ErrorKind::InvalidValue),
        Value::Json(json) if json.as_str().starts_with(['[', '{']) => Ok(value.clone()),
        Value::Json(json) => Ok(Value::from_json(json.to_value())),
        Value::List(values) => {
            let all: Vec<_> = values.iter().map(Value::to_json).collect();
            Ok(Value::Json(Json::from_value(&all.into())))
        }
        Value::Decimal(_) | Value::Date(_) | Value::Timestamp(_) | Value::Uuid(_) | Value::Reference(_) => {
            Ok(Value::Text(value.to_string()))
        }
        Value::Actor(actor) => {
            let id = Value::from(actor.id.as_str()).to_json();
            json(&format!(r#"{{"kind":"{}","id":{id}}}"#, actor.kind.name()))
        }
        Value::Currency { amount, code } => json(&format!(r#"{{"amount":"{amount}","code":"{code}"}}"#)),
        _ => Err(ErrorKind::InvalidValue),
    }
}

/// The members of a record behind a mutation that says this of them.
#[must_use]
pub(crate) fn end(
    def: &ObjectDef,
    hidden: Option<&Value>,
    named: Vec<(Name, Option<Value>)>,
    replaces: bool,
) -> Members {
    let mut members = members(hidden);
    if replaces {
        let is_named = |known: &str| named.iter().any(|(name, _)| known == name.as_str());
        members.retain(|known, _| is_named(known) || def.find(known).is_some());
    }
    for (name, value) in named {
        match value {
            None => {}
            Some(Value::Null) => drop(members.remove(&*name)),
            Some(value) => drop(members.insert(name.to_string(), value)),
        }
    }
    members
}

/// A member of few, with a value of any kind.
pub fn draw(rng: &mut Rng) -> (Name, Value) {
    const NAMES: [&str; 6] = ["x", "y", "member", "größer als", "0", "an unknown member with a long name"];
    let name = if rng.one_in(60) { "$x" } else { *rng.pick(&NAMES) };
    (name.into(), value(rng))
}

fn value(rng: &mut Rng) -> Value {
    let json = |text: &str| Value::Json(Json::parse(text).expect("JSON"));
    let small = rng.below(6) as i64;
    match rng.below(24) {
        0..3 => Value::Null,
        3 => json("null"),
        4 => json(r#" "a \"text\"" "#),
        5 => json(r#"{"b":[1,2.50],"a":null}"#),
        6 => json(&format!("[{small}]")),
        7 => json(&format!("{}{}", "[".repeat(126), "]".repeat(126))),
        8 if rng.one_in(3) => json(&format!("{}{}", "[".repeat(127), "]".repeat(127))),
        9 if rng.one_in(3) => Value::Number(*rng.pick(&[f64::NAN, f64::INFINITY])),
        10 => Value::Number(0.5 + small as f64),
        11 => Value::Boolean(small > 2),
        12 => Value::List(vec![Value::Integer(small), Value::from("a\n\u{1f600}")]),
        13 => Value::Date(Date(small as i32)),
        14..17 => Value::from("text ".repeat(rng.below(30))),
        17 => Value::Integer(*rng.pick(&[i64::MIN, i64::MAX])),
        _ => Value::Integer(small),
    }
}
