//! New records with two unique keys in batches of 1,000; and records refused because their natural key is
//! taken, one transaction each.

use super::is_buffered;
use crate::Result;
use crate::engine::Batch;
use crate::session::Session;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vellum_bench::{Random, rate};

/// Batches of one measurement: few, so that stores stay about as large as they are said to be.
const BATCHES: u64 = 20;
const BATCH_LEN: u64 = 1000;

pub fn run(session: &mut Session) -> Result<()> {
    let records = session.records;
    // Numbers that no run before used in the same stores.
    let mut next = (1 << 62) + (SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() << 24);
    session.take_turns("create, 1,000 a transaction", "records/s", is_buffered, |engine, _| {
        let mut spent = Duration::ZERO;
        for _ in 0..BATCHES {
            let batch = Batch::of(next..next + BATCH_LEN);
            next += BATCH_LEN;
            let started = Instant::now();
            if !engine.create(&batch)? {
                return Err("a new record was refused".into());
            }
            spent += started.elapsed();
        }
        Ok(Some((BATCHES * BATCH_LEN) as f64 / spent.as_secs_f64()))
    })?;
    let time = session.time / 2;
    session.take_turns("create refused, the key is taken", "refusals/s", is_buffered, |engine, round| {
        let mut random = Random::new(round);
        let taken: Vec<Batch> = (0..10_000).map(|_| Batch::duplicate(random.below(records))).collect();
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            for batch in taken.iter().skip(count as usize % taken.len()).take(64) {
                if engine.create(batch)? {
                    return Err("a duplicate was taken".into());
                }
                count += 1;
            }
        }
        Ok(Some(rate(count, started)))
    })
}
