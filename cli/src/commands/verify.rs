//! `vellum verify`: is everything there as it was written?

use crate::failure::Failure;
use crate::output::{Output, bytes, counted};
use serde::Serialize;
use std::path::PathBuf;
use vellum::{Finding, VerifyReport};

/// Check every checksum, every reference between structures, and the indexes against the records
///
/// Changes nothing. Exit code 3 if anything is wrong; each finding is a line with file and byte.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    clean: bool,
    file_count: u64,
    byte_count: u64,
    image_count: u64,
    frame_count: u64,
    record_count: u64,
    findings: Vec<Line<'a>>,
    notes: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: Option<&'a str>,
    offset: Option<u64>,
    message: &'a str,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let report = vellum::verify(&args.store)?;
    output.answer(&answer_of(&report), described(&report))?;
    if report.is_clean() {
        return Ok(());
    }
    let found = counted(report.findings.len() as u64, "finding");
    let message = format!("{} is damaged: {found}, listed on standard output", args.store.display());
    let place = report.findings.iter().find_map(|finding| finding.place.as_ref());
    Err(Failure::damaged_store(message, place))
}

fn answer_of(report: &VerifyReport) -> Answer<'_> {
    Answer {
        clean: report.is_clean(),
        file_count: report.file_count,
        byte_count: report.byte_count,
        image_count: report.image_count,
        frame_count: report.frame_count,
        record_count: report.record_count,
        findings: report.findings.iter().map(line_of).collect(),
        notes: report.notes.iter().map(line_of).collect(),
    }
}

fn line_of(finding: &Finding) -> Line<'_> {
    let place = finding.place.as_ref();
    let (file, offset) = (place.map(|place| place.file.as_str()), place.map(|place| place.offset));
    Line { file, offset, message: &finding.message }
}

fn described(report: &VerifyReport) -> String {
    let findings = report.findings.iter().map(ToString::to_string);
    let notes = report.notes.iter().map(|note| format!("note: {note}"));
    let checked = [
        format!("{} of {}", bytes(report.byte_count), counted(report.file_count, "file")),
        counted(report.image_count, "page image"),
        counted(report.frame_count, "log frame"),
        counted(report.record_count, "record"),
    ];
    let verdict = if report.is_clean() { "clean" } else { "damaged" };
    let last = format!("{verdict}: checked {}", checked.join(", "));
    findings.chain(notes).chain([last]).collect::<Vec<_>>().join("\n")
}
