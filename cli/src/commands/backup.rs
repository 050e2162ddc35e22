//! `vellum backup`: a verified copy of a store, also while another process writes it.

use crate::failure::Failure;
use crate::open;
use crate::output::{Output, bytes, counted};
use crate::progress::Progress;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Copy a store as it is now into a new directory, and verify the copy
///
/// Works while another process has the store open for writing: the copy is the state of one commit.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Directory of the copy, which must not exist or be empty
    dest: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    lsn: u64,
    record_count: u64,
    byte_count: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    copy(&args.store, &args.dest, "copying", output)
}

/// Copies the store in one directory to another; also what a restore does.
pub(super) fn copy(from: &Path, to: &Path, doing: &'static str, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(from, output)?;
    let bar = Progress::of_work(output, doing);
    let report = vellum_admin::backup_with(&store, to, &|at| bar.reached_of(at.done_count, at.total_count));
    bar.finish();
    let report = report?;
    let verified = &report.verified;
    let answer =
        Answer { lsn: report.lsn.0, record_count: verified.record_count, byte_count: verified.byte_count };
    let text = format!(
        "{} at lsn {}: {}, {}, verified",
        to.display(),
        report.lsn,
        counted(verified.record_count, "record"),
        bytes(verified.byte_count)
    );
    output.answer(&answer, text)
}
