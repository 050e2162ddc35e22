//! CSV rows and NDJSON records as creates, for `vellum import`.
//!
//! CSV: RFC 4180, UTF-8, a header with the names of attributes in any order. A column `id` is the
//! record id, where the object has no attribute of that name. A header that begins as `vellum
//! export` writes it (`id,version,counter,created_at,updated_at`) is taken for one: the id stays,
//! version and times are those of the import. Empty fields and those equal to a `--null` are null.
//!
//! NDJSON: each line is an object of attributes and values, or a record as `vellum export` writes it
//! (`{"id":…,"values":{…}}`), unless the object has an attribute `values` of its own.

use crate::blocks::{Sink, read_lines};
use crate::failure::Failure;
use crate::input::Text;
use crate::key::{not_json, parse_member};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Read};
use vellum::text::value_from_text;
use vellum::{Action, Error, Key, Mutation, Name, Patch, Result, Schema, Value};

/// What stands before the attributes of an exported record.
pub(crate) const EXPORT_HEAD: [&str; 5] = ["id", "version", "counter", "created_at", "updated_at"];

// One read of a file; rows that are longer take several.
const BUFFER_LEN: usize = 256 << 10;
const BYTE_ORDER_MARK_LEN: usize = 3;

/// Where the rows go.
pub(crate) struct Target {
    pub(crate) schema: Schema,
    pub(crate) object: Name,
    /// Texts that mean null.
    pub(crate) nulls: Vec<String>,
}

/// What a column of a CSV file is.
#[derive(Clone, Copy)]
enum Column {
    Id,
    Attribute(usize),
    Ignored,
}

/// Reads CSV.
pub(crate) fn read_csv(text: Text, sink: &mut Sink, target: &Target) -> Result<(), Failure> {
    let explain = text.explain();
    let mut builder = csv::ReaderBuilder::new();
    // Rows of another length than the header are refused one by one, not the file at the first.
    let mut reader = builder.flexible(true).buffer_capacity(BUFFER_LEN).from_reader(Kept::new(text));
    let header = reader.byte_headers().map_err(|error| unreadable(error, 1, &explain))?.clone();
    if header.is_empty() {
        return Ok(());
    }
    let columns = target.columns(&header).map_err(|error| Failure::from(error).at_line(1))?;
    let end = reader.position().byte();
    let mut line = 1 + line_ends(reader.get_mut().take_until(end));
    let mut row = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(unreadable(error, line, &explain)),
        }
        // The reader leaves the second byte of CR LF, and blank lines, for the row behind them.
        let end = reader.position().byte();
        let bytes = reader.get_mut().take_until(end);
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        line += line_ends(&bytes[..start]);
        let text = &bytes[start..];
        if !sink.push(line, text.trim_ascii_end(), target.create_of(&columns, &row)) {
            return Ok(());
        }
        line += line_ends(text);
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Keeps the bytes that pass until their rows are known: for line numbers, and for the rejects file.
struct Kept {
    text: Text,
    bytes: Vec<u8>,
    /// How many of `bytes` were handed out.
    taken: usize,
    /// Offset of the first of `bytes` in the text.
    offset: u64,
}

impl Kept {
    fn new(text: Text) -> Kept {
        Kept { text, bytes: Vec::new(), taken: 0, offset: 0 }
    }

    /// The bytes from where the last call ended until this offset in the text.
    fn take_until(&mut self, end: u64) -> &[u8] {
        if self.taken >= BUFFER_LEN {
            self.bytes.drain(..self.taken);
            self.offset += self.taken as u64;
            self.taken = 0;
        }
        let start = self.taken;
        self.taken =
            usize::try_from(end - self.offset).map_or(self.bytes.len(), |end| end.min(self.bytes.len()));
        &self.bytes[start..self.taken]
    }
}

impl Read for Kept {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut len = self.text.read(into)?;
        // The CSV reader looks for a byte order mark in what the first call brings.
        while self.offset == 0 && self.bytes.is_empty() && (1..BYTE_ORDER_MARK_LEN).contains(&len) {
            match self.text.read(&mut into[len..])? {
                0 => break,
                more => len += more,
            }
        }
        self.bytes.extend_from_slice(&into[..len]);
        Ok(len)
    }
}

fn unreadable(error: csv::Error, line: u64, explain: &impl Fn(io::Error) -> Failure) -> Failure {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => explain(error).at_line(line),
        _ => Failure::invalid_input(text).at_line(line),
    }
}

impl Target {
    fn columns(&self, header: &csv::ByteRecord) -> Result<Vec<Column>> {
        let object = self.schema.object(&self.object)?;
        let names: Vec<Cow<'_, str>> = header.iter().map(String::from_utf8_lossy).collect();
        let is_export =
            names.len() >= EXPORT_HEAD.len() && names.iter().zip(EXPORT_HEAD).all(|(a, b)| a == b);
        let mut columns = Vec::with_capacity(names.len());
        let mut seen = HashSet::new();
        for (at, name) in names.iter().enumerate() {
            if is_export && at < EXPORT_HEAD.len() {
                columns.push(if at == 0 { Column::Id } else { Column::Ignored });
                continue;
            }
            let name = name.trim();
            if !seen.insert(name) {
                return Err(Error::invalid_input(format!("the header names {name:?} twice")));
            }
            let position = object.attributes().iter().position(|attribute| attribute.key() == name);
            columns.push(match position {
                Some(position) => Column::Attribute(position),
                None if name == EXPORT_HEAD[0] => Column::Id,
                None => return Err(self.unknown_column(name)),
            });
        }
        Ok(columns)
    }

    /// The error of an attribute that is not there, which brings a name that is close.
    fn unknown_column(&self, name: &str) -> Error {
        let found = self.schema.object(&self.object).and_then(|object| object.attribute(name).map(|_| ()));
        found.expect_err("the name was not found above")
    }

    fn create_of(&self, columns: &[Column], row: &csv::ByteRecord) -> Result<Mutation> {
        if row.len() != columns.len() {
            let message = format!("the row has {} fields, the header has {}", row.len(), columns.len());
            return Err(Error::invalid_input(message));
        }
        let object = self.schema.object(&self.object)?;
        let mut set: Vec<(Name, Value)> = Vec::with_capacity(columns.len());
        let mut key = None;
        for (at, (column, field)) in columns.iter().zip(row).enumerate() {
            let field = std::str::from_utf8(field).map_err(|error| {
                Error::invalid_input(format!(
                    "field {} is not UTF-8 at its byte {}",
                    at + 1,
                    error.valid_up_to()
                ))
            })?;
            let is_null = field.is_empty() || self.nulls.iter().any(|null| null == field);
            match column {
                Column::Ignored => {}
                Column::Id if is_null => {}
                Column::Id => key = Some(Key::Id(field.trim().parse()?)),
                Column::Attribute(position) => {
                    let attribute = &object.attributes()[*position];
                    let value = if is_null { Value::Null } else { value_from_text(attribute, field)? };
                    set.push((attribute.name().into(), value));
                }
            }
        }
        Ok(self.create(key, set))
    }

    fn create(&self, key: Option<Key>, set: Vec<(Name, Value)>) -> Mutation {
        let patch = Patch { set, ..Patch::default() };
        Mutation { object: self.object.clone(), action: Action::Create, key, patch }
    }
}

/// Reads NDJSON.
pub(crate) fn read_ndjson(text: Text, sink: &mut Sink, target: &Target) -> Result<(), Failure> {
    let has_values = target.schema.object(&target.object)?.find_attribute("values").is_some();
    read_lines(text, sink, |line| target.create_of_json(line, !has_values))
}

/// A record as `vellum export` writes it; version and times are those of the store it came from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported<'a> {
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    values: &'a RawValue,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    #[serde(rename = "counter")]
    _counter: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
}

impl Target {
    fn create_of_json(&self, line: &[u8], may_be_exported: bool) -> Result<Mutation> {
        let text = std::str::from_utf8(line).map_err(|error| {
            Error::invalid_input(format!("the line is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        // A record that merely has the word in a text is no exported one, and is read as what it is.
        if may_be_exported
            && memchr::memmem::find(line, b"\"values\"").is_some()
            && let Ok(Exported { id, values, .. }) = serde_json::from_str(text)
        {
            let id = id.map(|id| id.parse().map(Key::Id)).transpose()?;
            return Ok(self.create(id, self.values_of(values)?));
        }
        let values: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        Ok(self.create(None, self.values_of(values)?))
    }

    fn values_of(&self, values: &RawValue) -> Result<Vec<(Name, Value)>> {
        parse_member(&self.schema, &self.object, "values", values).map(|mutation| mutation.patch.set)
    }
}
