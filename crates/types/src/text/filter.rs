//! Conditions as JSON: `{"status": "active", "score": {"$gte": 3}, "$or": [{…}, {…}]}`. Several members
//! all hold. A value that stands alone must be the attribute's.

use super::mutation::refuse;
use super::values::{read_one, read_value};
use crate::error::{Error, ErrorKind, Result};
use crate::mutation::{Comparison, Filter};
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::{Name, Value, excerpt};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Deepest nesting that is read; what is judged later is less deep.
const DEPTH_MAX: usize = 64;

/// The filter of a JSON object.
///
/// # Errors
/// `BadFilter` when it is none.
pub(super) fn read_filter(object: Option<&ObjectSchema>, raw: &RawValue) -> Result<Filter> {
    read_at(object, raw, 0)
}

fn read_at(object: Option<&ObjectSchema>, raw: &RawValue, depth: usize) -> Result<Filter> {
    if depth > DEPTH_MAX {
        return Err(bad(&format!("nested deeper than {DEPTH_MAX}")));
    }
    let mut filters = Vec::new();
    for (name, raw) in members(raw).map_err(|error| bad(&error.to_string()))? {
        filters.push(match name.as_str() {
            "$and" => Filter::All(several(object, raw, depth)?),
            "$or" => Filter::Any(several(object, raw, depth)?),
            "$not" => Filter::Not(Box::new(read_at(object, raw, depth + 1)?)),
            other if other.starts_with('$') => return Err(bad(&format!("{} is no filter", excerpt(other)))),
            _ => comparisons(object, &name, raw)?,
        });
    }
    match filters.len() {
        1 => Ok(filters.remove(0)),
        _ => Ok(Filter::All(filters)),
    }
}

fn several(object: Option<&ObjectSchema>, raw: &RawValue, depth: usize) -> Result<Vec<Filter>> {
    let filters: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| bad(&error.to_string()))?;
    filters.into_iter().map(|raw| read_at(object, raw, depth + 1)).collect()
}

fn comparisons(object: Option<&ObjectSchema>, name: &str, raw: &RawValue) -> Result<Filter> {
    let attribute = object.and_then(|object| object.find_attribute(name));
    let tests = if raw.get().starts_with('{') { members(raw).unwrap_or_default() } else { Vec::new() };
    let is_tests = !tests.is_empty() && tests.iter().all(|(word, _)| word.starts_with('$'));
    if !is_tests {
        let value = read_value(attribute, raw).map_err(|error| bad(&error.to_string()))?;
        return Ok(Filter::eq(Name::from(name), value));
    }
    let mut filters = Vec::with_capacity(tests.len());
    for (word, raw) in tests {
        let known = Comparison::ALL.into_iter().find(|(known, _)| *known == word);
        let Some((_, comparison)) = known else {
            let all = Comparison::ALL.map(|(name, _)| name).join(", ");
            return Err(bad(&format!("{} compares nothing; there are {all}", excerpt(&word))));
        };
        let value = compared(attribute, comparison, raw).map_err(|error| bad(&error.to_string()))?;
        filters.push(Filter::is(Name::from(name), comparison, value));
    }
    match filters.len() {
        1 => Ok(filters.remove(0)),
        _ => Ok(Filter::All(filters)),
    }
}

/// The value of a comparison, typed by the attribute where it is one of its values.
fn compared(
    attribute: Option<&AttributeSchema>,
    comparison: Comparison,
    raw: &RawValue,
) -> serde_json::Result<Value> {
    match comparison {
        Comparison::Empty | Comparison::StartsWith | Comparison::EndsWith => read_value(None, raw),
        Comparison::In | Comparison::NotIn => {
            let values: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            let values: serde_json::Result<Vec<Value>> =
                values.into_iter().map(|raw| read_value(attribute, raw)).collect();
            values.map(Value::List)
        }
        Comparison::Contains => match attribute.filter(|attribute| attribute.is_multi()) {
            Some(attribute) => read_one(attribute, raw),
            None => read_value(None, raw),
        },
        _ => read_value(attribute, raw),
    }
}

#[cold]
fn bad(reason: &str) -> Error {
    Error::new(ErrorKind::BadFilter, refuse(&format!("if: {reason}")).to_string())
}

/// The members of a JSON object, in order.
pub(super) fn members(raw: &RawValue) -> serde_json::Result<Vec<(String, &RawValue)>> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
            struct MembersVisitor;
            impl<'de> Visitor<'de> for MembersVisitor {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a JSON object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                    let mut members = Vec::new();
                    while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
                        members.push((name, raw));
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(MembersVisitor)
        }
    }
    serde_json::from_str::<Members<'_>>(raw.get()).map(|Members(members)| members)
}
