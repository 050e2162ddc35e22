//! Records as NDJSON.

use crate::value::{Record, write_json};
use std::io::Write;

/// The record as one line of JSON, without a line end:
/// `{"id":…,"version":…,"counter":…,"created_at":…,"updated_at":…,"values":{…}}`, attributes in
/// schema order.
#[must_use]
pub fn format_record(record: &Record) -> String {
    const PROOF: &str = "writing to a Vec<u8> cannot fail";
    let mut line = Vec::with_capacity(256);
    let Record { id, version, counter, created_at, updated_at, .. } = record;
    write!(line, r#"{{"id":"{id}","version":{version},"counter":{counter},"#).expect(PROOF);
    write!(line, r#""created_at":"{created_at}","updated_at":"{updated_at}","values":{{"#).expect(PROOF);
    for (at, (name, value)) in record.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        serde_json::to_writer(&mut line, name).expect(PROOF);
        line.push(b':');
        write_json(&mut line, value);
    }
    line.extend_from_slice(b"}}");
    String::from_utf8(line).expect("all pieces were text")
}
