//! `vellum dump`: a whole store as text.

use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use std::path::PathBuf;

/// Write a whole store as JSON Lines to stdout: schema, then every record with id, version and times
///
/// `vellum load` makes the same store of it, in this version and in any later one. The last line has the number of
/// lines and a checksum, so that a dump that was cut is noticed. Works while another process writes the store.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(&args.store, output)?;
    let mut stream = output.stream();
    vellum_admin::dump(&store.snapshot()?, &mut stream)?;
    Ok(())
}
