//! History in a dump: one line an entry, in the order of the commits.
//!
//! ```text
//! {"history":"deal","kind":"value","record":"…","version":2,"at":"…","by":"user:ann","lsn":9,
//!  "attribute":"stage","type":"select","cell":"01000000"}
//! ```
//!
//! A cell is what the log has of the value, as hexadecimal digits, so that it comes back exactly; a value without a
//! cell is none. Entries of attributes that were deleted are left out. Links follow from the order, so a line has
//! none.

use crate::import::{NewRecord, StoreBuilder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use vellum::records::row_header::Header;
use vellum::records::{Entry, EntryKind};
use vellum_types::schema::{ACTOR, ACTORS, ObjectSchema, Schema, Status, history as h};
use vellum_types::value::{Actor, Timestamp, ValueType};
use vellum_types::{AttributeId, ObjectId, RecordId};
use vellum_types::{Error, Result};

/// One entry as a line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryLine {
    history: String,
    kind: String,
    record: String,
    version: u64,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    lsn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    value_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cell: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Of a record that died: what a restore needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counter: Option<u64>,
    /// Whether the record is dead still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

const KINDS: [(&str, EntryKind); 4] = [
    ("value", EntryKind::Value),
    ("born", EntryKind::Born),
    ("died", EntryKind::Died),
    ("inserted", EntryKind::Inserted),
];

/// The line of an entry; nothing for one of an attribute that is no more. `actor` says who has a number,
/// `deleted` whether the record's death is its present state.
pub(super) fn line(
    object: &ObjectSchema,
    entry: &Entry,
    deleted: bool,
    actor: &dyn Fn(u32) -> Result<Option<String>>,
) -> Result<Option<String>> {
    let is_value = matches!(entry.kind, EntryKind::Value | EntryKind::Inserted);
    let attribute = object.attribute_by_id(entry.attribute).filter(|_| is_value);
    if is_value && attribute.is_none_or(|attribute| attribute.standing() == Status::Deleted) {
        return Ok(None);
    }
    let value_type = ValueType::ALL.get(entry.value_type as usize).filter(|_| is_value);
    let (name, _) = KINDS.iter().find(|(_, kind)| *kind == entry.kind).expect("every kind has a name");
    let hex = |cell: &Vec<u8>| cell.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = EntryLine {
        history: object.key().to_string(),
        kind: (*name).to_string(),
        record: entry.record.to_string(),
        version: entry.version,
        at: entry.at.to_string(),
        by: actor(entry.by)?,
        lsn: entry.lsn.0,
        attribute: attribute.map(|attribute| attribute.key().to_string()),
        value_type: value_type.map(|value_type| value_type.name().to_string()),
        cell: entry.cell.as_ref().map(hex),
        from: entry.interval.map(|(from, _)| from.to_string()),
        until: entry.interval.map(|(_, until)| until.to_string()),
        created_at: entry.origin.map(|origin| origin.created_at.to_string()),
        created_by: entry.origin.map_or(Ok(None), |origin| actor(origin.created_by))?,
        counter: entry.origin.map(|origin| origin.counter),
        deleted,
    };
    Ok(Some(serde_json::to_string(&line).expect("text keys and plain values")))
}

/// What a load knows of the past so far.
#[derive(Default)]
pub(super) struct Past {
    actors: HashMap<Actor, u32>,
    /// Newest entry of each record, as a link.
    heads: HashMap<RecordId, u64>,
    entries: HashMap<ObjectId, u64>,
}

impl Past {
    /// The number of an actor, who is put into the store at the first mention.
    pub(super) fn actor(&mut self, build: &mut StoreBuilder, text: Option<&str>) -> Result<u32> {
        let Some(text) = text else { return Ok(0) };
        let actor: Actor = text.parse()?;
        if let Some(number) = self.actors.get(&actor) {
            return Ok(*number);
        }
        let number = self.actors.len() as u32 + 1;
        let mut cell = Vec::new();
        actor.append_cell(&mut cell);
        let header = header_of(RecordId::from_bytes([0; 16]), 1, u64::from(number), Timestamp(0), 0);
        build.add(&NewRecord { object: ACTORS, header, row: None, cells: vec![(ACTOR, cell)] })?;
        self.actors.insert(actor, number);
        Ok(number)
    }

    /// The newest entry of a record's history, as its header has it.
    pub(super) fn head(&self, record: RecordId) -> u64 {
        self.heads.get(&record).copied().unwrap_or(0)
    }

    /// Puts an entry into the store.
    pub(super) fn add(&mut self, build: &mut StoreBuilder, schema: &Schema, line: &str) -> Result<()> {
        let line: EntryLine =
            serde_json::from_str(line).map_err(|error| Error::invalid_input(error.to_string()))?;
        let object = schema.object(&line.history)?;
        if object.history_trees.is_none() {
            return Err(Error::invalid_input(format!("{} keeps no history", object.key())));
        }
        let time = |text: &str| Timestamp::read(text).map_err(Error::invalid_input);
        let kind = KINDS.iter().find(|(name, _)| *name == line.kind).map(|(_, kind)| *kind);
        let kind =
            kind.ok_or_else(|| Error::invalid_input(format!("{:?} is no kind of entry", line.kind)))?;
        let record: RecordId = line.record.parse()?;
        let by = self.actor(build, line.by.as_deref())?;
        let created_by = self.actor(build, line.created_by.as_deref())?;
        let row = self.entries.entry(object.id()).or_insert(0);
        *row += 1;
        let mut cells: Vec<(AttributeId, Vec<u8>)> = Vec::new();
        let mut number = |id: AttributeId, value: i64| cells.push((id, value.to_le_bytes().to_vec()));
        number(h::KIND, kind.number());
        number(h::LSN, line.lsn as i64);
        if let Some(name) = &line.attribute {
            number(h::ATTRIBUTE, i64::from(object.attribute(name)?.id().0));
        }
        if let Some(name) = &line.value_type {
            let known = ValueType::from_name(name);
            let known = known.ok_or_else(|| Error::invalid_input(format!("{name:?} is no type")))?;
            number(h::VALUE_TYPE, i64::from(known as u32));
        }
        for (id, text) in [(h::FROM, &line.from), (h::UNTIL, &line.until), (h::CREATED_AT, &line.created_at)]
        {
            if let Some(text) = text {
                number(id, time(text)?.0);
            }
        }
        if let Some(counter) = line.counter {
            number(h::CREATED_BY, i64::from(created_by));
            number(h::COUNTER, counter as i64);
        }
        let previous = self.heads.insert(record, *row).unwrap_or(0);
        if previous != 0 {
            number(h::PREVIOUS, previous as i64);
        }
        if let Some(hex) = &line.cell {
            cells.push((h::CELL, bytes_of(hex)?));
        }
        if line.deleted {
            cells.push((h::DELETED, record.bytes().to_vec()));
        }
        let header = header_of(record, line.version, *row, time(&line.at)?, by);
        Ok(build.add(&NewRecord { object: object.id().history(), header, row: None, cells })?)
    }
}

fn header_of(id: RecordId, version: u64, counter: u64, at: Timestamp, by: u32) -> Header {
    Header {
        version: version.max(1),
        updated_at: at.0,
        updated_by: by,
        history: 0,
        id,
        created_at: at.0,
        counter,
        created_by: by,
    }
}

fn bytes_of(hex: &str) -> Result<Vec<u8>> {
    let wrong = || Error::invalid_input("a cell is pairs of hexadecimal digits");
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| wrong())).collect()
}

/// Whether a line of a dump is an entry.
pub(super) fn is_entry(line: &str) -> bool {
    line.starts_with(r#"{"history":"#)
}
