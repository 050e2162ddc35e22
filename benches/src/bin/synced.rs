//! Commits that are waited for at `Sync`, by 1, 16 and 64 threads: two builds of this program, run in turns, say what a
//! change of the commit path costs.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin synced -- --ms 500 --rounds 1
//! ```
//!
//! Prints a line a round: commits a second with 1, 16 and 64 writers, over a store of 10,000 narrow records.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vellum::{Config, Durability};
use vellum_bench::fixture::Fixture;
use vellum_bench::narrow::Patches;
use vellum_bench::{Result, args::Args};

const WRITERS: [u64; 3] = [1, 16, 64];

/// Commits a second.
fn rate(fixture: &Fixture, writers: u64, time: Duration) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                let mut patches = Patches::new(writer, fixture.records);
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    fixture.apply(patches.draw());
                    done += 1;
                }
                count.fetch_add(done, Ordering::Relaxed);
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    count.into_inner() as f64 / started.elapsed().as_secs_f64()
}

fn main() -> Result<()> {
    let args = Args::from_env(&["ms", "rounds"])?;
    let time = Duration::from_millis(args.number("ms", 500)?);
    let fixture = Fixture::with("synced", 10_000, &Config::new().durability(Durability::Sync));
    for _ in 0..args.number("rounds", 1)? {
        let rates = WRITERS.map(|writers| rate(&fixture, writers, time));
        println!("{:.0} {:.0} {:.0}", rates[0], rates[1], rates[2]);
    }
    Ok(())
}
