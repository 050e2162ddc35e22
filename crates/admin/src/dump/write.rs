//! A snapshot as lines.

use super::{FORMAT, history};
use std::io::Write;
use vellum::Snapshot;
use vellum::records::{EntryKind, ROWS};
use vellum_bytes::Crc32;
use vellum_engine::RowId;
use vellum_types::schema::ObjectSchema;
use vellum_types::text::format_record;
use vellum_types::value::{Actor, Json, Record};
use vellum_types::{Error, Result};

/// Counts lines and bytes on their way out.
struct Lines<'w> {
    out: &'w mut dyn Write,
    crc: Crc32,
    count: u64,
}

impl Lines<'_> {
    fn put(&mut self, line: &str) -> Result<()> {
        self.crc.add(line.as_bytes());
        self.crc.add(b"\n");
        self.count += 1;
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(unwritten)
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::io("writing", "the dump", error)
}

/// The members that say who made a record and who changed it.
fn actors_of(record: &Record) -> String {
    let member = |name: &str, actor: Option<&Actor>| {
        let text = actor.map(|actor| serde_json::Value::from(actor.to_string()));
        text.map_or_else(String::new, |text| format!("\"{name}\":{text},"))
    };
    member("created_by", record.created_by()) + &member("updated_by", record.updated_by())
}

/// The entries of an object's history, in the order of the commits.
fn put_history(snapshot: &Snapshot, object: &ObjectSchema, lines: &mut Lines<'_>) -> Result<()> {
    let (catalog, records, root) = (snapshot.catalog(), snapshot.records(), snapshot.root());
    let history = catalog.object(object.id()).and_then(|layout| catalog.history_of(layout));
    let Some(history) = history else { return Ok(()) };
    let actor = |number| Ok(records.actor(root, number)?.map(|actor| actor.to_string()));
    let rows = root.tree(history.tree).map_or(0, |tree| tree.meta(ROWS));
    for row in (0..rows).map(RowId) {
        let Some(entry) = records.entry(root, history, row)? else { continue };
        let deleted = entry.kind == EntryKind::Died
            && records.died(root, history, entry.record)?.is_some_and(|(died, _)| died.row == row);
        if let Some(line) = history::line(object, &entry, deleted, &actor)? {
            lines.put(&line)?;
        }
    }
    Ok(())
}

/// Writes everything that a snapshot shows as a dump; see docs/dump-format.md. Returns the number of
/// records.
///
/// ```no_run
/// let store = vellum::Config::new().read_only(true).open("crm.vellum")?;
/// let mut file = std::io::stdout().lock();
/// vellum_admin::dump(&store.snapshot()?, &mut file)?;
/// # Ok::<(), vellum::Error>(())
/// ```
///
/// # Errors
/// `Corrupt` when a record cannot be read: the dump then has no last line, and cannot be loaded.
/// `Io` when `out` cannot be written.
pub fn dump(snapshot: &Snapshot, out: &mut dyn Write) -> Result<u64> {
    let mut lines = Lines { out, crc: Crc32::new(), count: 0 };
    let schema = snapshot.schema();
    let neutral = Json::parse(&schema.to_json())?;
    let (lsn, time) = (snapshot.lsn(), snapshot.commit_time());
    lines.put(&format!(
        r#"{{"vellum_dump":{FORMAT},"lsn":{lsn},"commit_time":"{time}","schema":{neutral}}}"#
    ))?;
    let (mut counters, mut record_count) = (serde_json::Map::new(), 0);
    for object in schema.objects() {
        put_history(snapshot, object, &mut lines)?;
    }
    for object in schema.objects() {
        let name = serde_json::to_string(object.key()).expect("text always serializes");
        for record in snapshot.iter(object.key())? {
            let record = record?;
            let text = format_record(&record);
            let by = actors_of(&record);
            // The record's own line, with the object and its actors in front.
            lines.put(&format!("{{\"object\":{name},{by}{}", &text[1..]))?;
            record_count += 1;
        }
        counters.insert(object.key().to_string(), snapshot.counter(object.key())?.into());
    }
    let Lines { out, crc, count } = lines;
    let (counters, sum) = (serde_json::Value::Object(counters), crc.sum());
    let end = format!(r#"{{"end":{{"lines":{count},"counters":{counters},"crc32":"{sum:08x}"}}}}"#);
    writeln!(out, "{end}").and_then(|()| out.flush()).map_err(unwritten)?;
    Ok(record_count)
}
