//! `vellum verify`: is everything there as it was written?

use crate::failure::{Failure, Place};
use crate::output::{Output, counted};
use serde::Serialize;
use std::path::PathBuf;
use vellum::VerifyReport;

/// Check every checksum, every reference between structures, and the indexes against the records
///
/// Changes nothing. Exit code 3 if anything is wrong; each finding is a line with file and byte.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    clean: bool,
    file_count: u64,
    image_count: u64,
    frame_count: u64,
    record_count: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    place: Option<Place>,
    message: String,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let report = vellum::verify(&args.store)?;
    let answer = answer_of(&report);
    output.answer(&answer, described(&answer))?;
    if answer.clean {
        return Ok(());
    }
    let message = format!("{}: {} found; the records elsewhere are readable", args.store.display(), {
        counted(answer.findings.len() as u64, "damage")
    });
    let place = answer.findings.into_iter().find_map(|finding| finding.place);
    Err(Failure::damaged_store(message, place))
}

fn answer_of(report: &VerifyReport) -> Answer {
    let findings = report.findings.iter().map(|finding| Finding {
        place: finding.place.as_ref().map(Place::from),
        message: finding.message.clone(),
    });
    Answer {
        clean: report.is_clean(),
        file_count: report.file_count,
        image_count: report.image_count,
        frame_count: report.frame_count,
        record_count: report.record_count,
        findings: findings.collect(),
    }
}

fn described(answer: &Answer) -> String {
    let checked = [
        counted(answer.file_count, "file"),
        counted(answer.image_count, "page image"),
        counted(answer.frame_count, "log frame"),
        counted(answer.record_count, "record"),
    ];
    let checked = format!("checked {}", checked.join(", "));
    if answer.clean {
        return format!("{checked}: clean");
    }
    let findings = answer.findings.iter().map(|finding| match &finding.place {
        Some(place) if !finding.message.contains(&place.file) => {
            format!("{} at byte {}: {}", place.file, place.offset, finding.message)
        }
        _ => finding.message.clone(),
    });
    findings.chain([checked]).collect::<Vec<_>>().join("\n")
}
