//! A snapshot as lines.

use super::FORMAT;
use crate::bytes::Crc32;
use crate::error::{Error, Result};
use crate::store::Snapshot;
use crate::text::format_record;
use crate::value::Json;
use std::io::Write;

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

/// Writes everything that a snapshot shows as a dump; see docs/dump-format.md. Returns the number of
/// records.
///
/// ```no_run
/// let store = vellum::Config::new().read_only(true).open("crm.vellum")?;
/// let mut file = std::io::stdout().lock();
/// vellum::dump(&store.snapshot()?, &mut file)?;
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
    let mut counters = serde_json::Map::new();
    for object in schema.objects() {
        let name = serde_json::to_string(object.key()).expect("text always serializes");
        for record in snapshot.iter(object.key())? {
            let text = format_record(&record?);
            // The record's own line, with the object in front.
            lines.put(&format!("{{\"object\":{name},{}", &text[1..]))?;
        }
        counters.insert(object.key().to_string(), snapshot.counter(object.key())?.into());
    }
    let Lines { out, crc, count } = lines;
    let (counters, sum) = (serde_json::Value::Object(counters), crc.sum());
    let end = format!(r#"{{"end":{{"lines":{count},"counters":{counters},"crc32":"{sum:08x}"}}}}"#);
    writeln!(out, "{end}").and_then(|()| out.flush()).map_err(unwritten)?;
    Ok(count - 1)
}
