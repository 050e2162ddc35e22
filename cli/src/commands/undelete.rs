//! `vellum undelete`: a deleted record put back.

use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use serde_json::json;
use std::path::PathBuf;
use vellum::{Actor, Durability, RecordId};

/// Put a deleted record back, as its history has it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// The record's id
    id: String,

    /// Who does it: user:ID, app:ID, api_token:ID, system:
    #[arg(long, value_name = "KIND:ID")]
    actor: Option<Actor>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let store = open::acting_as(store, args.actor.as_ref());
    let id: RecordId = args.id.parse()?;
    let outcome = store.object(&args.object)?.restore(id)?;
    store.close()?;
    let answer = json!({"id": id.to_string(), "version": outcome.version, "lsn": outcome.lsn.0});
    output.answer(&answer, format!("{} {id} is back, at version {}", args.object, outcome.version))
}
