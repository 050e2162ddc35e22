//! Random operations against a store and against a map of records give the same answers.
//!
//! `VELLUM_SEEDS=100000 cargo test -p vellum-testkit --release --test model` is a long campaign,
//! `VELLUM_SEED=7 cargo test -p vellum-testkit --test model` runs one seed again
//! (`VELLUM_TRACE=1` prints its operations as they are rolled, `VELLUM_OPS=n` makes it longer).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum_testkit::run::{Counts, MUST_HAPPEN, run};

const SEEDS: u64 = 2_000;
const OPS: usize = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn a_store_answers_as_a_map_of_records_does() {
    let (first, count) = match number("VELLUM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("VELLUM_FIRST_SEED").unwrap_or(0), number("VELLUM_SEEDS").unwrap_or(SEEDS)),
    };
    let ops = number("VELLUM_OPS").map_or(OPS, |ops| ops as usize);
    let next = AtomicU64::new(first);
    let all = Mutex::new((Counts::new(), Vec::new()));
    let work = || {
        let mut counts = Counts::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, ops, &mut counts)));
            let why = match result {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "a panic, see above".to_string(),
            };
            println!("seed {seed}: {why}\n  VELLUM_SEED={seed} cargo test -p vellum-testkit --test model\n");
            all.lock().unwrap().1.push(seed);
        }
        for (what, by) in counts {
            *all.lock().unwrap().0.entry(what).or_default() += by;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let (counts, mut failed) = all.into_inner().unwrap();
    failed.sort_unstable();
    for (what, by) in &counts {
        println!("{by:>12} {what}");
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
    if count >= 500 {
        for what in MUST_HAPPEN {
            assert!(counts.get(what).is_some_and(|by| *by > 0), "it never came to: {what}");
        }
    }
}
