//! `vellum restore`: a store from a backup.

use super::backup;
use crate::failure::Failure;
use crate::output::Output;
use std::path::PathBuf;

/// Make a store from a backup, and verify it
///
/// The backup is only read, each page of it through its checksums; the store must not exist yet.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the backup
    backup: PathBuf,

    /// Directory of the store, which must not exist or be empty
    store: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    backup::copy(&args.backup, &args.store, "restoring", output)
}
