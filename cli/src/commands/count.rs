//! `vellum count`: how many records an object has.

use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;

/// Count the records of an object
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'a str,
    count: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(&args.store, output)?;
    let count = store.object(&args.object)?.count();
    // Bare digits, which a shell can compute with.
    output.answer(&Answer { object: &args.object, count }, count)
}
