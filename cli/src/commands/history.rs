//! `vellum history`: the values that a record has had.

use crate::failure::Failure;
use crate::key::parse_key;
use crate::open;
use crate::output::{Output, columns};
use serde::Serialize;
use std::path::PathBuf;
use vellum::PastValue;

/// Show the values that a record has had, the oldest first
///
/// A record that was deleted is found by its id.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// A record id, or attr=value[,attr=value…] of the primary key or a unique attribute, or these as JSON
    key: String,

    /// Only this attribute
    attribute: Option<String>,
}

/// One value as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    attribute: &'a str,
    value: serde_json::Value,
    active_from: String,
    active_until: Option<String>,
    set_by: Option<String>,
    ended_by: Option<String>,
    ended_lsn: Option<u64>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(&args.store, output)?;
    let key = parse_key(&store.schema(), &args.object, &args.key)?;
    let object = store.object(&args.object)?;
    let values = match &args.attribute {
        Some(attribute) => object.history(key, attribute)?,
        None => object.full_history(key)?,
    };
    if output.is_json() {
        for value in &values {
            let line = serde_json::to_string(&line_of(value)).expect("text keys and plain values");
            output.print(line)?;
        }
        return Ok(());
    }
    output.print(columns("", values.iter().map(|value| (&*value.attribute, described(value)))))
}

fn line_of(value: &PastValue) -> Line<'_> {
    Line {
        attribute: &value.attribute,
        value: value.value.to_json(),
        active_from: value.active_from.to_string(),
        active_until: value.active_until.map(|until| until.to_string()),
        set_by: value.set_by.as_ref().map(|actor| actor.to_string()),
        ended_by: value.ended_by.as_ref().map(|actor| actor.to_string()),
        ended_lsn: value.ended_lsn.map(|lsn| lsn.0),
    }
}

fn described(value: &PastValue) -> String {
    let until = value.active_until.map_or("now".to_string(), |until| until.to_string());
    let by = value.set_by.as_ref().map_or(String::new(), |actor| format!(" · by {actor}"));
    format!("{} to {until} · {}{by}", value.active_from, value.value)
}
