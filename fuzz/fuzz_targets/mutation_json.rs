//! Text that comes from outside: mutation lines, and schemas.
//!
//! Promise: `InvalidInput` and its kin, or a mutation that is the same again when it is written as a line
//! and read; a line that is accepted is JSON. A schema that is accepted is the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vellum::text::parse_mutation;
use vellum::{Action, Key, Mode, Mutation, Name, Schema, Value};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let json = r#"{"objects":[{"key":"t","primary_key":["a","b"],"attributes":[
        {"key":"a","type":"text","required":true},{"key":"b","type":"integer","required":true},
        {"key":"c","type":"long_text"},{"key":"d","type":"number"},{"key":"e","type":"decimal","decimals":2},
        {"key":"f","type":"boolean"},{"key":"g","type":"date"},{"key":"h","type":"timestamp"},
        {"key":"i","type":"uuid","unique":true},{"key":"j","type":"select","options":[{"key":"x"}]},
        {"key":"k","type":"json"}]}]}"#;
    Schema::from_json(json).expect("a valid schema")
});

fuzz_target!(|input: &[u8]| {
    if let Ok(mutation) = parse_mutation(&SCHEMA, input) {
        let line = write_line(&mutation);
        let again = parse_mutation(&SCHEMA, line.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(write_line(&again), line, "a mutation is another one when it is written and read");
        serde_json::from_slice::<Box<serde_json::value::RawValue>>(input).expect("what was accepted is JSON");
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(schema) = Schema::from_json(text)
    {
        let json = schema.to_json();
        let again = Schema::from_json(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(again.to_json(), json);
    }
});

/// The mutation as a line, with every member that its op may have; its terms, which a line says in more
/// than one way, are left out.
fn write_line(mutation: &Mutation) -> String {
    let (op, values) = match mutation.action {
        Action::Create => ("create", Some("values")),
        Action::Update => ("update", Some("set")),
        Action::Upsert => ("upsert", Some("set")),
        Action::Delete => ("delete", None),
    };
    let patch = &mutation.patch;
    let mut line = vec![format!(r#""op":"{op}""#), format!(r#""object":{}"#, quoted(&mutation.object))];
    match &mutation.key {
        Some(Key::Id(id)) => line.push(format!(r#""id":"{id}""#)),
        Some(Key::Attributes(parts)) => line.push(format!(r#""key":{}"#, members(parts))),
        Some(Key::Named(name)) => line.push(format!(r#""named":{}"#, quoted(name))),
        None => {}
    }
    line.extend(values.map(|name| format!(r#""{name}":{}"#, members(&patch.set))));
    if values == Some("set") {
        let clear: Vec<String> = patch.clear.iter().map(|name| quoted(name)).collect();
        let mode = if patch.mode == Mode::Merge { "merge" } else { "replace" };
        line.push(format!(r#""clear":[{}],"mode":"{mode}""#, clear.join(",")));
    }
    line.extend(patch.if_version.map(|version| format!(r#""if_version":{version}"#)));
    line.extend(patch.at.map(|at| format!(r#""at":"{at}""#)));
    line.push(format!(r#""returning":{}"#, patch.returning));
    format!("{{{}}}", line.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn members(values: &[(Name, Value)]) -> String {
    let member = |(name, value): &(Name, Value)| {
        let value = match value {
            // Digit by digit, as it was read.
            Value::Json(json) => json.as_str().to_string(),
            other => other.to_json().to_string(),
        };
        format!("{}:{value}", quoted(name))
    };
    let members: Vec<String> = values.iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}
