//! What `vellum import` reads: CSV and NDJSON, plain or gzip, by the tool's own modules.
//!
//! Promise: rows or a failure. Rows come in order, each with the number of the line that it begins in and
//! the text that stands there; values that were read fit the attribute or are refused, never change.

#![no_main]
#![allow(dead_code, reason = "the tool's modules are compiled as they are; a part of them is used here")]
#![allow(clippy::disallowed_methods, reason = "the tool reads the user's own files")]

#[path = "../../cli/src/blocks.rs"]
mod blocks;
#[path = "../../cli/src/failure.rs"]
mod failure;
#[path = "../../cli/src/input.rs"]
mod input;
#[path = "../../cli/src/key.rs"]
mod key;
#[path = "../../cli/src/lines.rs"]
mod lines;
#[path = "../../cli/src/rows.rs"]
mod rows;

use arbitrary::Arbitrary;
use blocks::Blocks;
use libfuzzer_sys::fuzz_target;
use rows::{Target, read_csv, read_ndjson};
use std::io::{Cursor, Read};
use vellum::{Schema, Value};

#[derive(Arbitrary, Debug)]
struct Options {
    is_ndjson: bool,
    /// Bytes that a read gives, so that rows lie across reads.
    piece: u8,
    null: bool,
}

fn schema() -> Schema {
    let json = r#"{"objects":[{"key":"t","primary_key":["a"],"attributes":[
        {"key":"a","type":"text","required":true},{"key":"b","type":"integer"},{"key":"c","type":"number"},
        {"key":"d","type":"decimal","decimals":2},{"key":"e","type":"boolean"},{"key":"f","type":"date"},
        {"key":"g","type":"timestamp"},{"key":"h","type":"uuid"},{"key":"i","type":"json"},
        {"key":"j","type":"select","options":[{"key":"x"}]}]}]}"#;
    Schema::from_json(json).expect("a valid schema")
}

/// A reader that gives a few bytes at a time.
struct Pieces(Cursor<Vec<u8>>, usize);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = into.len().min(self.1);
        self.0.read(&mut into[..len])
    }
}

fuzz_target!(|parts: (Options, &[u8])| {
    let (options, bytes) = parts;
    let nulls = if options.null { vec!["NA".to_string()] } else { Vec::new() };
    let target = Target { schema: schema(), object: "t".into(), nulls };
    let piece = if options.piece == 0 { usize::MAX } else { usize::from(options.piece) };
    let reader = Pieces(Cursor::new(bytes.to_vec()), piece);
    let input = input::Input::of("input", Box::new(reader));
    let blocks = Blocks::spawn(input, true, move |text, sink| match options.is_ndjson {
        true => read_ndjson(text, sink, &target),
        false => read_csv(text, sink, &target),
    });
    let blocks = blocks.unwrap_or_else(|_| panic!("there is a thread to read it"));
    let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
    let schema = schema();
    let mut last = 0;
    for block in blocks {
        // A failure is the last thing sent. Behind it the thread is waited for: one that is about to end still
        // has memory that looks like a leak.
        let Ok(block) = block else { continue };
        for item in block.items {
            // A lone CR ends a row and not a line.
            assert!(item.line >= last, "line {} behind line {last}", item.line);
            last = item.line;
            if !is_gzip {
                stands_in(bytes, item.line, &block.text[item.text]);
            }
            let Ok(mutation) = item.mutation else { continue };
            for (name, value) in &mutation.patch.set {
                round_trip(&schema, name, value);
            }
        }
    }
});

/// The text of a row begins in the line of that number.
fn stands_in(input: &[u8], line: u64, text: &[u8]) {
    let mut start = 0;
    for _ in 1..line {
        start += input[start..].iter().position(|byte| *byte == b'\n').expect("a line of that number") + 1;
    }
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let end = input[start..].iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| start + at);
    let found = input[start..end].windows(first.len().max(1)).any(|window| window == first);
    assert!(first.is_empty() || found, "line {line} does not hold its row");
}

/// What was read is written as text that is read as the same.
fn round_trip(schema: &Schema, name: &str, value: &Value) {
    let Ok(attribute) = schema.object("t").and_then(|object| object.attribute(name)) else { return };
    if matches!(value, Value::Null | Value::Text(_)) {
        return;
    }
    // JSON of another type: the store refuses it, or finds its own value in it, as 0 in -0.0.
    if value.kind_name() != attribute.value_type().name() {
        return;
    }
    let text = value.to_string();
    let again = vellum::text::value_from_text(attribute, &text);
    let again = again.unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    assert!(again.to_string() == text, "{name}: {text} is read as {again}");
}
