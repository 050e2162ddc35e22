//! Promise: a reader that keeps a snapshot over ten checkpoints changes neither the rate of commits nor how long
//! the slowest hundredth of them take by more than a fifth; checkpoints make nobody wait for a millisecond.
//! Requirement 38.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin latency
//! ```
//!
//! Each round measures the same patches (two attributes of a random record, one transaction each) with no
//! snapshot, with one held from the first to the last, and with one that another thread reads from end to end over
//! and over; each over so many checkpoints, in another order every round. Options: `--records 1000000`,
//! `--checkpoints 10`, `--rounds 3`, `--log-mib 64` of log between two checkpoints, `--durability buffered`,
//! `--dir DIR`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use vellum::{Config, Snapshot, Store};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Result, WorkDir, args::Args, machine, median, rate};

/// Who reads beside the writer.
const READERS: [&str; 3] = ["no snapshot", "one held", "one iterated"];

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "checkpoints", "rounds", "log-mib", "durability", "dir"])?;
    let records = args.number("records", 1_000_000)?;
    let checkpoints = args.number("checkpoints", 10)?;
    let (rounds, log_mib) = (args.number("rounds", 3)?, args.number("log-mib", 64)?);
    let (durability, dir) = (args.durability()?, args.dir());
    let settings = format!("{durability:?}, {records} records, a checkpoint each {log_mib} MiB of log");
    machine::print_head(&dir, &settings);

    let work = WorkDir::new(&dir, "latency")?;
    let config = Config::new().durability(durability).checkpoint_log_len(log_mib << 20);
    let store = narrow::create(&config, &work.join("store"))?;
    narrow::load(&store, 0, records)?;
    store.checkpoint()?;
    let mut measured: [Vec<Figures>; READERS.len()] = Default::default();
    for round in 0..rounds as usize {
        for turn in 0..READERS.len() {
            let reader = (round + turn) % READERS.len();
            measured[reader].push(measure(&store, records, checkpoints, reader, round as u64)?);
        }
    }
    println!(
        "          median of {rounds} rounds: commits a second, and µs of which so many commits take no more"
    );
    for (reader, figures) in READERS.iter().zip(&measured) {
        let of = |pick: fn(&Figures) -> f64| median(figures.iter().map(pick).collect());
        println!(
            "{reader:13} {:8.0} a second   50 % {:6.2}   99 % {:6.2}   99.9 % {:7.2}   99.99 % {:8.2}",
            of(|f| f.rate),
            of(|f| f.waits[0]),
            of(|f| f.waits[1]),
            of(|f| f.waits[2]),
            of(|f| f.waits[3]),
        );
    }
    Ok(store.close()?)
}

struct Figures {
    rate: f64,
    waits: [f64; 4],
}

/// Patches until so many checkpoints are done.
fn measure(store: &Store, records: u64, checkpoints: u64, reader: usize, seed: u64) -> Result<Figures> {
    let snapshot = if reader == 0 { None } else { Some(store.snapshot()?) };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let (Some(snapshot), 2) = (&snapshot, reader) {
            scope.spawn(|| iterate(snapshot, &stop));
        }
        let figures = patch_until(store, records, checkpoints, seed);
        stop.store(true, Ordering::Relaxed);
        figures
    })
}

fn iterate(snapshot: &Snapshot, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let records = snapshot.iter(narrow::OBJECT).expect("the object of the schema");
        let count = records.take_while(|record| record.is_ok() && !stop.load(Ordering::Relaxed)).count();
        std::hint::black_box(count);
    }
}

fn patch_until(store: &Store, records: u64, checkpoints: u64, seed: u64) -> Result<Figures> {
    let mut patches = Patches::new(38 + seed, records);
    let end = store.health().checkpoint_count + checkpoints;
    let mut waits: Vec<u32> = Vec::with_capacity(1 << 23);
    let started = Instant::now();
    while store.health().checkpoint_count < end {
        // Asking for the count takes a lock: not before each patch.
        for _ in 0..1_000 {
            let mutation = patches.draw();
            let asked = Instant::now();
            store.apply(mutation)?;
            waits.push(u32::try_from(asked.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
    }
    let rate = rate(waits.len() as u64, started);
    waits.sort_unstable();
    let share = |share: f64| f64::from(waits[((waits.len() - 1) as f64 * share) as usize]) / 1e3;
    Ok(Figures { rate, waits: [0.5, 0.99, 0.999, 0.9999].map(share) })
}
