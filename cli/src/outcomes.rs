//! What a mutation did, as one line of JSON: for `vellum apply --outcomes`.

use serde::Serialize;
use serde_json::{Map, Value};
use vellum::{Action, Error, Outcome, Record};

/// One line's answer. What is empty is left out.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    line: u64,
    id: String,
    version: u64,
    lsn: u64,
    did: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    before: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<Dropped>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Map<String, Value>>,
}

/// Something that was left out.
#[derive(Serialize)]
struct Dropped {
    kind: &'static str,
    path: Option<String>,
    reason: String,
}

/// Another record that was touched.
#[derive(Serialize)]
struct OtherRecord<'a> {
    object: &'a str,
    id: String,
    version: u64,
    did: &'static str,
}

pub(crate) fn answer(line: u64, action: Action, outcome: &Outcome) -> Answer<'_> {
    let before = outcome.before().iter().map(|(name, value)| (name.to_string(), value.to_json()));
    let others = outcome.others().iter().map(|other| OtherRecord {
        object: &other.object,
        id: other.id.to_string(),
        version: other.version,
        did: match (other.created, other.deleted) {
            (true, _) => "created",
            (_, true) => "deleted",
            _ => "updated",
        },
    });
    Answer {
        line,
        id: outcome.id.to_string(),
        version: outcome.version,
        lsn: outcome.lsn.0,
        did: match action {
            Action::Delete => "deleted",
            _ if outcome.created => "created",
            _ if outcome.is_unchanged() => "unchanged",
            _ => "updated",
        },
        changed: if action == Action::Delete { Vec::new() } else { outcome.changed().collect() },
        before: before.collect(),
        dropped: outcome.dropped().iter().map(dropped).collect(),
        others: others.collect(),
        record: outcome.record.as_ref().map(Record::to_json),
    }
}

fn dropped(error: &Error) -> Dropped {
    Dropped { kind: error.kind().name(), path: error.path(), reason: error.reason() }
}
