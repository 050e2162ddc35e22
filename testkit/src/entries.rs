//! Changes of single members of JSON objects and labelled lists, in the model. Members keep their order, and so that
//! this is the order of their names, the generator puts `work` behind `home` and `z` behind `n`. Written from
//! docs/mutations.md.

use crate::schema::Type;
use std::collections::BTreeMap;
use vellum::{ErrorKind, Json, Op, Value};
use vellum_sim::Rng;

/// An op on members, for a type that has them.
pub(crate) fn draw(rng: &mut Rng, of: Type) -> Op {
    let text = Value::from(*rng.pick(&["a", "", "a longer text than twelve bytes"]));
    let merged = |json: &str| Op::Merge(Json::parse(json).expect("JSON"));
    match (of, rng.below(5)) {
        (Type::TextList, 0 | 1) => Op::SetEntry("work".into(), text),
        (Type::TextList, 2) => Op::SetEntry("elsewhere".into(), text),
        (Type::TextList, _) => Op::ClearEntry((*rng.pick(&["home", "work"])).into()),
        (_, 0) => merged(&format!(r#"{{"z":{}}}"#, rng.below(1000))),
        (_, 1) => merged(r#"{"n":null,"z":[true]}"#),
        (_, 2) => merged("[1]"),
        (_, 3) => Op::ClearEntry("n".into()),
        _ => Op::SetEntry("z".into(), if rng.one_in(3) { Value::Null } else { text }),
    }
}

/// What an op on members makes of a value.
///
/// # Errors
/// `InvalidValue` where there is no object, or the list has no such label.
pub(crate) fn applied(of: Type, current: Option<&Value>, op: &Op) -> Result<Option<Value>, ErrorKind> {
    if !matches!(of, Type::TextList | Type::Json) {
        return Err(ErrorKind::InvalidValue);
    }
    let mut members = match current {
        None => BTreeMap::new(),
        Some(Value::Json(json)) => members(json).ok_or(ErrorKind::InvalidValue)?,
        Some(_) => return Err(ErrorKind::InvalidValue),
    };
    match op {
        Op::SetEntry(name, Value::Null) | Op::ClearEntry(name) => drop(members.remove(name)),
        Op::SetEntry(name, value) => drop(members.insert(name.clone(), value.to_json().to_string())),
        Op::Merge(json) => {
            for (name, value) in self::members(json).ok_or(ErrorKind::InvalidValue)? {
                match value.as_str() {
                    "null" => members.remove(&name),
                    _ => members.insert(name, value),
                };
            }
        }
        _ => return Err(ErrorKind::InvalidValue),
    }
    if of == Type::TextList && !members.keys().all(|label| is_label(label)) {
        return Err(ErrorKind::InvalidValue);
    }
    if of == Type::TextList && members.is_empty() {
        return Ok(None);
    }
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    let json = Json::parse(&format!("{{{}}}", members.join(",")));
    json.map(|json| Some(Value::Json(json))).map_err(|_| ErrorKind::InvalidValue)
}

fn is_label(name: &str) -> bool {
    ["home", "work"].contains(&name)
}

/// Whether this is a text, or two, under the labels that attributes have here.
pub(crate) fn is_labelled(list: &Json) -> bool {
    let is_text = |text: &String| text.starts_with('"');
    members(list).is_some_and(|members| {
        !members.is_empty() && members.iter().all(|(name, text)| is_label(name) && is_text(text))
    })
}

/// The members of an object with their texts; `None` for other JSON.
fn members(json: &Json) -> Option<BTreeMap<String, String>> {
    let value = json.to_value();
    let members = value.as_object()?;
    Some(members.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
}
