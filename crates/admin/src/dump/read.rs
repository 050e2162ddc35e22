//! One line of a dump as what it says.

use super::history::Past;
use super::{FIRST_FORMAT, FORMAT};
use crate::import::{NewRecord, StoreBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use vellum::records::row_header::Header;
use vellum_types::schema::Schema;
use vellum_types::text::read_values;
use vellum_types::value::{Json, Timestamp, Value, ValueType};
use vellum_types::{Error, ErrorKind, Result};

/// The first line.
pub(super) struct Head {
    pub(super) lsn: u64,
    pub(super) commit_time: i64,
    pub(super) schema: Schema,
}

/// The last line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Lines before it.
    pub(super) lines: u64,
    /// The newest counter of each object.
    pub(super) counters: BTreeMap<String, u64>,
    /// Of all bytes before it, as eight hexadecimal digits.
    pub(super) crc32: String,
}

#[derive(Deserialize)]
struct Version {
    vellum_dump: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine<'a> {
    #[serde(rename = "vellum_dump")]
    _version: u64,
    lsn: u64,
    #[serde(borrow)]
    commit_time: Cow<'a, str>,
    #[serde(borrow)]
    schema: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    #[serde(borrow)]
    object: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    version: u64,
    counter: u64,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    updated_at: Cow<'a, str>,
    #[serde(borrow, default)]
    created_by: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    updated_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    values: &'a RawValue,
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| Error::invalid_input(error.to_string()))
}

/// Reads the first line.
///
/// # Errors
/// `UnknownFormat` for a later format; `InvalidInput`, `InvalidSchema`.
pub(super) fn head(line: &str) -> Result<Head> {
    let Ok(Version { vellum_dump: version }) = parse::<Version>(line) else {
        return Err(Error::invalid_input("this is no dump: its first line has no vellum_dump"));
    };
    if !(FIRST_FORMAT..=FORMAT).contains(&version) {
        return Err(Error::new(
            ErrorKind::UnknownFormat,
            format!(
                "the dump has format {version} and this build reads {FORMAT}; load it with a newer vellum"
            ),
        ));
    }
    let HeadLine { lsn, commit_time, schema, .. } = parse(line)?;
    let Timestamp(commit_time) = Timestamp::read(&commit_time).map_err(Error::invalid_input)?;
    Ok(Head { lsn, commit_time, schema: Schema::from_json(schema.get())? })
}

/// The last line, if this is one.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn end(line: &str) -> Option<Result<End>> {
    line.starts_with(r#"{"end":"#).then(|| parse::<EndLine>(line).map(|line| line.end))
}

/// Reads a record.
///
/// # Errors
/// `InvalidInput`, and what is wrong with object, attributes or values.
pub(super) fn record(
    build: &mut StoreBuilder,
    past: &mut Past,
    schema: &Schema,
    line: &str,
) -> Result<NewRecord> {
    let line: RecordLine<'_> = parse(line)?;
    let object = schema.object(&line.object)?;
    let time = |text: &str| Timestamp::read(text).map(|time| time.0).map_err(Error::invalid_input);
    let id = line.id.parse()?;
    let header = Header {
        version: line.version,
        updated_at: time(&line.updated_at)?,
        updated_by: past.actor(build, line.updated_by.as_deref())?,
        history: past.head(id),
        id,
        created_at: time(&line.created_at)?,
        counter: line.counter,
        created_by: past.actor(build, line.created_by.as_deref())?,
    };
    if header.version == 0 || header.counter == 0 {
        return Err(Error::invalid_input("versions and counters begin with 1"));
    }
    let mut cells = Vec::new();
    let values = read_values(object, line.values.get())?;
    let unknown = values.iter().filter(|(name, _)| object.takes_unknown(name));
    let unknown: Vec<(&str, &Value)> = unknown.map(|(name, value)| (name.as_str(), value)).collect();
    if let (Some(hidden), false) = (object.open_attribute(), unknown.is_empty()) {
        let mut cell = Vec::new();
        if object.merge_unknown(None, unknown.into_iter(), &mut cell)? {
            cells.push((hidden.id(), cell));
        }
    }
    for (name, value) in values.iter().filter(|(name, _)| !object.takes_unknown(name)) {
        let attribute = object.attribute(name)?;
        // What has no value is left out, so this is JSON's own null.
        let value = match value {
            Value::Null if attribute.value_type() == ValueType::Json => &Value::Json(Json::parse("null")?),
            value => value,
        };
        let mut cell = Vec::new();
        if attribute.encode(object, value, &mut cell)? {
            cells.push((attribute.id(), cell));
        }
    }
    cells.sort_unstable_by_key(|(id, _)| *id);
    Ok(NewRecord { object: object.id(), header, row: None, cells })
}
