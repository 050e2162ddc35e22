//! `vellum checkpoint`: write changed pages now, so that the next opening has little log to read.

use crate::failure::Failure;
use crate::open;
use crate::output::{Output, bytes, counted};
use serde::Serialize;
use std::path::PathBuf;
use vellum::{CheckpointReport, Durability};

/// Write changed pages to segments and recycle the log before them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

/// What a checkpoint or a compaction did.
#[derive(Serialize)]
pub(super) struct Answer {
    lsn: u64,
    group_count: u64,
    written_len: u64,
    freed_segment_count: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let report = store.checkpoint()?;
    store.close()?;
    answer(output, &report)
}

pub(super) fn answer(output: &Output, report: &CheckpointReport) -> Result<(), Failure> {
    let CheckpointReport { lsn, group_count, written_len, freed_segment_count } = *report;
    let text = format!(
        "checkpoint at lsn {lsn}: {}, {} written, {} freed",
        counted(group_count, "page group"),
        bytes(written_len),
        counted(freed_segment_count, "segment")
    );
    output.answer(&Answer { lsn: lsn.0, group_count, written_len, freed_segment_count }, text)
}
