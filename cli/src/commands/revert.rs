//! `vellum revert`: a commit taken back.

use crate::failure::Failure;
use crate::open;
use crate::output::{Output, counted};
use serde_json::json;
use std::path::PathBuf;
use vellum::{Actor, Durability, Lsn};

/// Take back what a commit did to objects that keep history
///
/// Records that were changed again since are not touched: nothing is reverted then.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Number of the commit, as answers and `vellum history --json` have it
    lsn: u64,

    /// Who does it: user:ID, app:ID, api_token:ID, system:
    #[arg(long, value_name = "KIND:ID")]
    actor: Option<Actor>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let store = open::acting_as(store, args.actor.as_ref());
    let outcomes = store.revert(Lsn(args.lsn))?;
    store.close()?;
    let ids: Vec<String> = outcomes.iter().map(|outcome| outcome.id.to_string()).collect();
    let lsn = outcomes.first().map(|outcome| outcome.lsn.0);
    let text = format!("commit {} is taken back: {}", args.lsn, counted(ids.len() as u64, "record"));
    output.answer(&json!({"reverted": args.lsn, "lsn": lsn, "records": ids}), text)
}
