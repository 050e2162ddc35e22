//! Members of JSON objects and labelled lists, changed one by one. The text of the members that stay is
//! kept as it is: digits, escapes and order survive.

use super::Place;
use crate::error::Result;
use crate::mutation::Op;
use crate::value::{Json, Value, ValueType};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What an op makes of an object; null when a labelled list has no label left.
pub(super) fn changed(place: Place<'_>, current: Option<Value>, op: &Op) -> Result<Value> {
    if !is_object_type(place) {
        return Err(place.unfit(op));
    }
    let mut members = match &current {
        None => Members::default(),
        Some(Value::Json(json)) => Members::read(json)
            .ok_or_else(|| place.refuse(format!("{} needs an object; the value is {json}", op.name())))?,
        Some(_) => return Err(place.unfit(op)),
    };
    match op {
        Op::SetEntry(label, Value::Null) | Op::ClearEntry(label) => members.remove(label),
        Op::SetEntry(label, value) => members.put(label, raw(&value.to_json())),
        Op::Merge(json) => {
            let given = Members::read(json)
                .ok_or_else(|| place.refuse(format!("merge takes an object, found {json}")))?;
            for (name, value) in given.0 {
                match value.get() {
                    "null" => members.remove(&name),
                    _ => members.put(&name, value),
                }
            }
        }
        _ => return Err(place.unfit(op)),
    }
    if members.0.is_empty() && place.attribute.value_type() != ValueType::Json {
        return Ok(Value::Null);
    }
    members.json().map(Value::Json).map_err(|error| place.refuse(error.to_string()))
}

fn is_object_type(place: Place<'_>) -> bool {
    place.attribute.value_type().is_structured() && !place.attribute.is_multi()
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a tree prints as JSON")
}

/// The members of an object, in order; of a name that stands twice the last one.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn read(json: &Json) -> Option<Members> {
        serde_json::from_str(json.as_str()).ok()
    }

    fn put(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.to_string(), value)),
        }
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn json(&self) -> Result<Json> {
        let mut text = String::from("{");
        for (place, (name, value)) in self.0.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            text += &serde_json::Value::from(name.as_str()).to_string();
            text.push(':');
            text += value.get();
        }
        text.push('}');
        Json::parse(&text)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.put(&name, value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
