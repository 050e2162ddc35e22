//! `vellum delete`: remove one record.

use crate::failure::Failure;
use crate::key::parse_key;
use crate::open;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;
use vellum::{Action, Durability, Mutation, Patch};

/// Remove one record
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// A record id, or attr=value[,attr=value…] of the primary key or a unique attribute, or these as JSON
    key: String,

    /// Refuse unless the record has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    version: u64,
    lsn: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let key = parse_key(&store.schema(), &args.object, &args.key)?;
    let patch = Patch { if_version: args.if_version, ..Patch::default() };
    let mutation =
        Mutation { object: args.object.as_str().into(), action: Action::Delete, key: Some(key), patch };
    let outcome = store.apply(&mutation)?;
    store.close()?;
    let answer = Answer { id: outcome.id.to_string(), version: outcome.version, lsn: outcome.lsn.0 };
    let text = format!("deleted {} {}", args.object, answer.id);
    output.answer(&answer, text)
}
