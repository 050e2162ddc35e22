//! Flights that left New York City: created, patched, killed, recovered and checked.
//!
//! `cargo run --release --example flights` takes January 2013, which the example brings along: a
//! store is created, 16 airlines, 1,458 airports and 3,322 planes are loaded, and 107,340 mutations
//! go through the log, one transaction each. Then the writing process is killed, the store is
//! reopened, and every record is compared with what the stream says. `--help` lists what else it does.
//!
//! | file        | what                                                        |
//! |-------------|-------------------------------------------------------------|
//! | `options`   | the command line                                            |
//! | `writer`    | the process that writes and is killed                       |
//! | `reference` | airlines, airports, planes                                  |
//! | `lines`     | the mutation lines, plain or compressed                     |
//! | `expected`  | the outcome, worked out without the engine, and the check   |
//! | `convert`   | from the published `flights.csv` to the mutations           |
//! | `progress`  | a line on the terminal                                      |

#![allow(clippy::disallowed_methods, reason = "the seam for disks is the engine's; an example uses std::fs")]

mod convert;
mod expected;
mod lines;
mod options;
mod progress;
mod reference;
mod writer;

use expected::{Expected, Summary};
use options::{Run, Task};
use progress::{Progress, grouped};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vellum::{Config, Store};

/// Any error here is for a person to read.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let done = options::parse(std::env::args_os().skip(1)).and_then(|task| match task {
        Task::Help => {
            println!("{}", options::USAGE);
            Ok(())
        }
        Task::Convert { source, target } => convert::convert(&source, &target),
        Task::Run(run) if run.writer => writer::write(&run),
        Task::Run(run) => show(&run),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flights: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes, kills, reopens, checks, and prints the table.
fn show(run: &Run) -> Result<()> {
    let home = Home::new(run.store.clone());
    println!("store in {}", home.path.display());
    let written = writer::run_and_kill(&home.path)?;
    println!("{} mutations committed; the writer was killed", grouped(written.mutations));

    let (store, recovery_time) = reopen(run, &home.path)?;
    let recovered = store.recovery();
    let (replayed, replayed_len) = (recovered.replayed, recovered.replayed_len);
    println!("reopened; checking every record against the stream");
    let others = reference::check(&store)?;
    let summary = Expected::from_stream(run.full.as_deref())?.check(&store)?;
    store.close()?;
    print_outcome(&summary, others);

    let a_second = written.mutations * 1000 / written.ms.max(1);
    let row = |name: &str, figure: String, note: String| println!("{name:<24}{figure:>14}  {note}");
    println!();
    row("mutations a second", grouped(a_second), format!("one transaction each, {}", run.durability_name));
    let patch_len = written.weighed_len.checked_div(written.weighed);
    row(
        "bytes logged a patch",
        patch_len.map_or("-".into(), grouped),
        format!("of {} weighed", written.weighed),
    );
    row(
        "bytes on disk",
        grouped(len_on_disk(&home.path)?),
        "after closing, with the log's spare room".into(),
    );
    let note = format!("{} transactions, {} bytes of log", grouped(replayed), grouped(replayed_len));
    row("recovery", format!("{} ms", recovery_time.as_millis()), note);
    Ok(())
}

/// Opens the store that the killed writer left behind.
fn reopen(run: &Run, path: &Path) -> Result<(Store, Duration)> {
    let progress = Arc::new(Mutex::new(Progress::new("replaying bytes of log")));
    let shown = Arc::clone(&progress);
    // The engine calls from whichever thread recovers; a poisoned line is only a line.
    let show =
        move |done: vellum::Progress| shown.lock().map(|mut line| line.show(done.done_len)).unwrap_or(());
    let started = Instant::now();
    let store = Config::new().durability(run.durability).on_progress(Arc::new(show)).open(path)?;
    let took = started.elapsed();
    progress.lock().map(|mut line| line.clear()).unwrap_or(());
    Ok((store, took))
}

fn print_outcome(summary: &Summary, others: u64) {
    println!("{summary}");
    let (flights, others) = (grouped(summary.flights), grouped(others));
    println!("all {flights} flights and {others} airlines, airports and planes are as the stream says");
}

fn len_on_disk(path: &Path) -> Result<u64> {
    let mut len = 0;
    for entry in std::fs::read_dir(path)? {
        len += entry?.metadata()?.len();
    }
    Ok(len)
}

/// Where the store lies; one that nobody asked for is removed at the end.
struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    fn new(asked: Option<PathBuf>) -> Home {
        let temporary = asked.is_none();
        let name = format!("vellum-flights-{}", std::process::id());
        Home { path: asked.unwrap_or_else(|| std::env::temp_dir().join(name)), temporary }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            // What is left of a temporary directory is for the system to remove.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
