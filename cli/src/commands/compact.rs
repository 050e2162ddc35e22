//! `vellum compact`: give back the space of superseded pages.

use super::checkpoint;
use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use std::path::PathBuf;
use vellum::Durability;

/// Copy live pages out of sparse segments and give back their space
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let report = store.compact()?;
    store.close()?;
    checkpoint::answer(output, &report)
}
