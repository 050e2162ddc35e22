//! KEY and attr=value arguments, typed by the schema.
//!
//! A KEY is a record id, `attr=value[,attr=value…]`, or a JSON object. A comma begins a new attribute
//! only where a name and `=` follow it, so `name=Smith, John` is one value; what that cannot say,
//! JSON can. An argument that begins with `{` is JSON.

use serde_json::value::RawValue;
use vellum::text::{parse_mutation, value_from_text};
use vellum::{Error, Key, Mutation, Name, Result, Schema, Value};

/// Reads a KEY.
pub(crate) fn parse_key(schema: &Schema, object: &str, text: &str) -> Result<Key> {
    schema.object(object)?;
    if text.starts_with('{') {
        return parse_json(schema, object, "key", text)
            .map(|mutation| mutation.key.expect("the line has a key"));
    }
    if !text.contains('=') {
        return text.parse().map(Key::Id).map_err(|_| {
            Error::invalid_input(format!(
                "{text:?} is no KEY; write a record id, or attr=value[,attr=value…] of the primary key or a unique attribute"
            ))
        });
    }
    let values = split_key(text).into_iter().map(|pair| parse_value(schema, object, pair));
    let values = values.collect::<Result<Vec<_>>>()?;
    match values.iter().find(|(_, value)| value.is_null()) {
        Some((name, _)) => Err(Error::invalid_input(format!("KEY: {name} is empty and matches no record"))),
        None => Ok(Key::Attributes(values)),
    }
}

/// Reads the assignments of a patch: each `attr=value`, or one JSON object. An empty value clears.
pub(crate) fn parse_values(schema: &Schema, object: &str, texts: &[String]) -> Result<Vec<(Name, Value)>> {
    match texts {
        [json] if json.starts_with('{') => {
            parse_json(schema, object, "set", json).map(|mutation| mutation.patch.set)
        }
        _ => texts.iter().map(|text| parse_value(schema, object, text)).collect(),
    }
}

fn parse_value(schema: &Schema, object: &str, text: &str) -> Result<(Name, Value)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid_input(format!("{text:?} is no assignment; write attr=value, or one JSON object alone"))
    })?;
    let attribute = schema.object(object)?.attribute(name)?;
    Ok((attribute.name().into(), value_from_text(attribute, value)?))
}

/// The pairs of `a=1,b=2`.
fn split_key(text: &str) -> Vec<&str> {
    let mut pairs = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        if begins_with_name(&text[at + 1..]) {
            pairs.push(&text[start..at]);
            start = at + 1;
        }
    }
    pairs.push(&text[start..]);
    pairs
}

fn begins_with_name(text: &str) -> bool {
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    text.split_once('=').is_some_and(|(name, _)| !name.is_empty() && is_name(name))
}

/// A JSON argument, as a member of a mutation.
fn parse_json(schema: &Schema, object: &str, member: &str, json: &str) -> Result<Mutation> {
    parse_member(schema, object, member, serde_json::from_str(json).map_err(|error| not_json(&error))?)
}

/// Reads JSON as one member of a mutation line, so that there is one reading of typed values.
pub(crate) fn parse_member(schema: &Schema, object: &str, member: &str, json: &RawValue) -> Result<Mutation> {
    // A line with `set` says which record; nobody looks at it here.
    const SOME_ID: &str = r#""id":"00000000-0000-0000-0000-000000000000","#;
    let (op, id) = match member {
        "values" => ("create", ""),
        "key" => ("update", ""),
        _ => ("update", SOME_ID),
    };
    let name = serde_json::Value::from(object);
    let line = format!(r#"{{"op":"{op}","object":{name},{id}"{member}":{json}}}"#);
    parse_mutation(schema, line.as_bytes()).map_err(|error| {
        // The column in a line that nobody wrote would mislead.
        let text = error.to_string();
        let reason = text.strip_prefix("mutation line").and_then(|rest| rest.split_once(": "));
        reason.map_or(error, |(_, reason)| Error::invalid_input(reason))
    })
}

/// Text that should be JSON and is not; the text is one line.
pub(crate) fn not_json(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    Error::invalid_input(format!("not JSON at column {}: {reason}", error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_parts_a_key_only_before_a_name() {
        assert_eq!(split_key("a=1"), ["a=1"]);
        assert_eq!(split_key("a=1,b=2"), ["a=1", "b=2"]);
        assert_eq!(split_key("name=Smith, John"), ["name=Smith, John"]);
        assert_eq!(split_key("name=Smith,John,b=x=y"), ["name=Smith,John", "b=x=y"]);
        assert_eq!(split_key("a=,b="), ["a=", "b="]);
    }
}
