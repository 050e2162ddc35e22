//! `vellum checkpoint`: write changed pages now, so that the next opening has no log to read.

use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;
use vellum::Durability;

/// Write changed pages to segments and recycle the log before them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let report = store.checkpoint()?;
    store.close()?;
    todo!()
}
