//! `vellum verify`: is everything there as it was written?

use crate::failure::Failure;
use crate::output::{Output, bytes, counted};
use serde::Serialize;
use std::path::PathBuf;
use vellum_admin::{Finding, VerifyReport};

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
    affected: Vec<Whom<'a>>,
}

#[derive(Serialize)]
struct Whom<'a> {
    what: &'a str,
    records: Vec<String>,
    rows: (u64, u64),
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let report = vellum_admin::verify(&args.store)?;
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
    let affected = finding.affected.iter().map(|affected| Whom {
        what: &affected.what,
        records: affected.records.iter().map(ToString::to_string).collect(),
        rows: affected.rows,
    });
    Line { file, offset, message: &finding.message, affected: affected.collect() }
}

/// Ids that a line names; JSON has them all.
const IDS_SHOWN: usize = 10;

/// A finding, and under it the records that it touches.
fn with_records(finding: &Finding) -> String {
    let mut text = finding.to_string();
    for affected in finding.affected.iter().filter(|affected| !affected.records.is_empty()) {
        let shown: Vec<String> = affected.records.iter().take(IDS_SHOWN).map(ToString::to_string).collect();
        let more = if affected.records.len() > IDS_SHOWN { ", …" } else { "" };
        text.push_str(&format!("\n  {}: {}{more}", affected.what, shown.join(", ")));
    }
    text
}

fn described(report: &VerifyReport) -> String {
    let findings = report.findings.iter().map(with_records);
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
