//! Many seeds on all cores, with their settings from the environment: `VELLUM_SEEDS` how many,
//! `VELLUM_FIRST_SEED` from where, `VELLUM_SEED` a single one, `VELLUM_FAILURES` how many end it.

use crate::run::Counts;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A number from the environment.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs seeds, tells what happened how often, and fails with the seeds that failed; `replay` is the command
/// that runs one of them again. `must_happen` is looked at when there are 500 seeds or more.
///
/// # Panics
/// When a seed failed, or something never happened.
pub fn campaign(
    seeds: u64,
    must_happen: &[&str],
    replay: &str,
    run: impl Fn(u64, &mut Counts) -> Result<(), String> + Sync,
) {
    let (first, count) = match number("VELLUM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("VELLUM_FIRST_SEED").unwrap_or(0), number("VELLUM_SEEDS").unwrap_or(seeds)),
    };
    let next = AtomicU64::new(first);
    let all = Mutex::new((Counts::new(), Vec::new()));
    let started = Instant::now();
    let work = || {
        let mut counts = Counts::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut counts)));
            let why = match result {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "a panic, see above".to_string(),
            };
            println!("seed {seed}: {why}\n  VELLUM_SEED={seed} {replay}\n");
            let mut all = all.lock().expect("no run panics here");
            all.1.push(seed);
            // The first failures are what one looks at.
            if all.1.len() as u64 >= number("VELLUM_FAILURES").unwrap_or(20) {
                next.store(first + count, Ordering::Relaxed);
            }
        }
        for (what, by) in counts {
            *all.lock().expect("no run panics here").0.entry(what).or_default() += by;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let (counts, mut failed) = all.into_inner().expect("no run panics here");
    failed.sort_unstable();
    for (what, by) in &counts {
        println!("{by:>12} {what}");
    }
    println!("{count} seeds in {:.1} s", started.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}; {replay}", failed.len());
    if count >= 500 {
        for what in must_happen {
            assert!(counts.get(what).is_some_and(|by| *by > 0), "it never came to: {what}");
        }
    }
}
