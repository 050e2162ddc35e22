//! The kinds of work, a file each, and what they share: threads that patch for a while.

pub mod bytes;
pub mod create;
pub mod floor;
pub mod get;
pub mod load;
pub mod patch;
pub mod pauses;
pub mod recovery;
pub mod snapshot;
pub mod year;

use crate::Result;
use crate::engine::{Engine, Mode, Survives};
use crate::session::Session;
use std::time::{Duration, Instant};
use vellum_bench::wide::Changes;

/// All steps, in the order in which they leave each other's stores as they need them.
pub const STEPS: &[&str] = &[
    "floor", "load", "get", "patch", "durable", "batch", "snapshot", "pauses", "bytes", "create", "recovery",
    "year",
];

/// Takes one step.
///
/// # Errors
/// An unknown name; what an engine says.
pub fn run(step: &str, session: &mut Session) -> Result<()> {
    match step {
        "floor" => floor::run(session),
        "load" => load::run(session),
        "get" => get::run(session),
        "patch" => patch::buffered(session),
        "durable" => patch::durable(session),
        "batch" => patch::batch(session),
        "snapshot" => snapshot::run(session),
        "pauses" => pauses::run(session),
        "bytes" => bytes::run(session),
        "create" => create::run(session),
        "recovery" => recovery::run(session),
        "year" => year::run(session),
        _ => Err(format!("{step} is no step; there are {}", STEPS.join(", ")).into()),
    }
}

/// Modes whose commits wait for no disk.
pub fn is_buffered(mode: &Mode) -> bool {
    mode.survives != Survives::PowerCut
}

/// Modes whose commits are on stable storage.
pub fn is_durable(mode: &Mode) -> bool {
    mode.survives == Survives::PowerCut
}

/// Patches from so many threads.
#[derive(Debug)]
pub struct Hammered {
    /// Patches a second.
    pub rate: f64,
    /// Nanoseconds of each, sorted; empty when nobody asked.
    pub latencies: Vec<u32>,
}

impl Hammered {
    /// The latency that this share of the patches does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = ((self.latencies.len() as f64 * share) as usize).min(last);
        self.latencies.get(index).map_or(f64::NAN, |ns| f64::from(*ns))
    }
}

/// Each thread patches records chosen at random, one transaction each, for `time`.
///
/// # Errors
/// What the engine says.
pub fn hammer(
    engine: &dyn Engine,
    records: u64,
    threads: u64,
    seed: u64,
    time: Duration,
    with_latencies: bool,
) -> Result<Hammered> {
    let started = Instant::now();
    let one = |thread: u64| -> Result<(u64, Vec<u32>), String> {
        let mut changes = Changes::new(seed * 1000 + thread, records);
        let (mut count, mut latencies, mut before) = (0, Vec::new(), Instant::now());
        while before.duration_since(started) < time {
            engine.patch(&[changes.draw()]).map_err(|error| error.to_string())?;
            count += 1;
            // The clock costs as much as a tenth of a patch: it is read each time only where that is asked for.
            if with_latencies || count % 16 == 0 || threads > 2 {
                let now = Instant::now();
                if with_latencies {
                    latencies.push(u32::try_from(now.duration_since(before).as_nanos()).unwrap_or(u32::MAX));
                }
                before = now;
            }
        }
        Ok((count, latencies))
    };
    let (mut count, mut latencies) = (0, Vec::new());
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        for thread in threads {
            let (of_thread, mut its) = thread.join().map_err(|_| "a thread panicked")??;
            count += of_thread;
            latencies.append(&mut its);
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    let rate = vellum_bench::rate(count, started);
    latencies.sort_unstable();
    Ok(Hammered { rate, latencies })
}
