//! `vellum repair`: salvage a damaged store into a new one.

use crate::failure::Failure;
use crate::output::{Output, counted};
use serde::Serialize;
use std::path::PathBuf;
use vellum::Schema;
use vellum_admin::{Loss, Repair, RepairReport};

/// Salvage every intact record of a damaged store into a new one, and list what is lost
///
/// The store itself is only read. The new one is verified before this reports success; the exit code is then 1
/// if anything is lost, each loss being a line: file and byte, what, object, attributes, rows or record ids.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the damaged store
    store: PathBuf,

    /// Directory of the new store, which must not exist or be empty
    #[arg(long, value_name = "NEW")]
    into: PathBuf,

    /// Keep pages too of which a newer version may be gone: their values were right once, and may be old
    #[arg(long)]
    doubtful: bool,

    /// The schema, as `vellum schema` showed it, for a store that lost its own
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer<'a> {
    complete: bool,
    record_count: u64,
    losses: Vec<Line<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    object: Option<&'a str>,
    records: Vec<String>,
    rows: Option<(u64, u64)>,
    attributes: &'a [String],
    file: Option<&'a str>,
    offset: Option<u64>,
    reason: &'a str,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut how = Repair::new().keep_doubtful(args.doubtful);
    if let Some(file) = &args.schema {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| Failure::io("read", file.display(), error))?;
        how = how.schema(Schema::from_json(&text)?);
    }
    let report = how.run(&args.store, &args.into)?;
    let losses = report.losses.iter().map(line_of).collect();
    let RepairReport { record_count, notes, .. } = &report;
    let answer = Answer { complete: report.is_complete(), record_count: *record_count, losses, notes };
    output.answer(&answer, described(args, &report))?;
    if report.is_complete() {
        return Ok(());
    }
    let lost = counted(report.losses.len() as u64, "loss");
    Err(Failure::incomplete(format!(
        "{} was salvaged, not all of it: {lost}, listed above",
        args.store.display()
    )))
}

fn line_of(loss: &Loss) -> Line<'_> {
    Line {
        object: loss.object.as_deref(),
        records: loss.records.iter().map(ToString::to_string).collect(),
        rows: loss.rows,
        attributes: &loss.attributes,
        file: loss.place.as_ref().map(|place| place.file.as_str()),
        offset: loss.place.as_ref().map(|place| place.offset),
        reason: &loss.reason,
    }
}

fn described(args: &Args, report: &RepairReport) -> String {
    let losses = report.losses.iter().map(|loss| format!("lost: {loss}"));
    let notes = report.notes.iter().map(|note| format!("note: {note}"));
    let kept = format!("{} salvaged into {}", counted(report.record_count, "record"), args.into.display());
    losses.chain(notes).chain([kept]).collect::<Vec<_>>().join("\n")
}
