//! JSON as a value: compact text, valid since it was made. And values as JSON.
//!
//! The text is kept, not a tree: digits of big numbers, the order of members and escapes survive
//! byte for byte. White space between tokens is dropped. Valid here means what `serde_json` can
//! make a tree of: nesting of at most 127, numbers in the range of a double, paired surrogates.

use crate::error::{Error, Result};
use crate::value::{Actor, Decimal, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::Write;

/// Deepest nesting of arrays and objects; one more and `serde_json` refuses.
const DEPTH_MAX: usize = 127;

/// Valid, compact JSON text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Json(String);

impl Json {
    /// Checks `text` and drops the white space between its tokens.
    ///
    /// # Errors
    /// `InvalidInput` with the place when it is not JSON, or nested deeper than 127.
    pub fn parse(text: &str) -> Result<Json> {
        check(text).map_err(|error| match is_too_deep(text) {
            true => Error::invalid_input(format!("JSON that is nested deeper than {DEPTH_MAX}")),
            false => Error::invalid_input(format!("not JSON: {error}")),
        })?;
        Ok(Json(compact(text)))
    }

    /// The text of a tree.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Json {
        Json(value.to_string())
    }

    /// JSON that was checked when it was written; still checked, because the bytes come from a file.
    pub fn from_stored(text: &str) -> Result<Json, String> {
        check(text).map_err(|error| format!("a JSON value does not parse: {error}"))?;
        Ok(Json(text.to_string()))
    }

    /// Whether a tree made by hand is nested deeper than text that is read may be.
    pub fn is_too_deep(&self) -> bool {
        is_too_deep(&self.0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tree; numbers become 64-bit integers or doubles.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        // Only a tree made by hand, nested deeper than any text that is read, comes back as null.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    text.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<Checked>(text).map(|Checked| ())
}

/// Reads any JSON completely and keeps nothing. (`IgnoredAny` would skip without judging numbers,
/// escapes and depth.)
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Checked, D::Error> {
        deserializer.deserialize_any(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

/// Valid JSON without the white space between tokens.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut kept_from) = (false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                out.push_str(&text[kept_from..at]);
                kept_from = at + 1;
            }
            _ => {}
        }
    }
    out.push_str(&text[kept_from..]);
    out
}

impl Value {
    /// The value that untyped JSON means: strings are text, whole numbers integers, other numbers
    /// doubles, arrays and objects JSON. A whole number over 63 bits becomes a decimal, so that
    /// no digit is lost.
    #[must_use]
    pub fn from_json(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Boolean(value),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Value::Integer(whole),
                (None, Some(whole)) => Value::Decimal(Decimal::from(whole)),
                (None, None) => number.as_f64().map_or(Value::Null, Value::Number),
            },
            tree @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
                Value::Json(Json::from_value(&tree))
            }
        }
    }

    /// The value as JSON. Decimals, dates, timestamps, UUIDs and references are strings; a list is an
    /// array, an actor `{"kind", "id"}`, an amount of money `{"amount", "code"}`; a number that is not
    /// finite, which no attribute takes, is null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Number(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::Json(value) => value.to_value(),
            Value::Decimal(_)
            | Value::Date(_)
            | Value::Timestamp(_)
            | Value::Uuid(_)
            | Value::Reference(_) => self.to_string().into(),
            Value::List(values) => values.iter().map(Value::to_json).collect(),
            Value::Actor(actor) => serde_json::json!({"kind": actor.kind.name(), "id": actor.id}),
            Value::Currency { amount, code } => {
                serde_json::json!({"amount": amount.to_string(), "code": code.as_str()})
            }
        }
    }
}

/// Appends the value as JSON text: what [`Value::to_json`] says, but JSON values digit by digit.
pub fn write_json(out: &mut Vec<u8>, value: &Value) {
    const PROOF: &str = "writing to a Vec<u8> cannot fail";
    match value {
        Value::Json(json) => out.extend_from_slice(json.as_str().as_bytes()),
        Value::Decimal(_) | Value::Date(_) | Value::Timestamp(_) | Value::Uuid(_) | Value::Reference(_) => {
            write!(out, "\"{value}\"").expect(PROOF);
        }
        Value::List(values) => {
            for (at, value) in values.iter().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                write_json(out, value);
            }
            out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
        }
        Value::Actor(Actor { kind, id }) => {
            write!(out, r#"{{"kind":"{}","id":"#, kind.name()).expect(PROOF);
            serde_json::to_writer(&mut *out, id).expect(PROOF);
            out.push(b'}');
        }
        Value::Currency { amount, code } => {
            write!(out, r#"{{"amount":"{amount}","code":"{code}"}}"#).expect(PROOF);
        }
        Value::Text(text) => serde_json::to_writer(out, text).expect(PROOF),
        Value::Number(number) => serde_json::to_writer(out, number).expect(PROOF),
        Value::Null | Value::Boolean(_) | Value::Integer(_) => write!(out, "{value}").expect(PROOF),
    }
}
