//! Reads by id, records chosen at random: one attribute, and the whole record owned by the caller.
//!
//! Stores of keys and values hand back the row's bytes, which a program would still have to take apart;
//! vellum and SQLite hand back values.

use super::is_buffered;
use crate::Result;
use crate::engine::{Engine, Mode};
use crate::session::Session;
use std::hint::black_box;
use std::time::{Duration, Instant};
use vellum::RecordId;
use vellum_bench::{Random, narrow, rate};

/// One mode of each family: how commits are synced says nothing of reads. LMDB has two ways to map.
fn reads(mode: &Mode) -> bool {
    is_buffered(mode) && !mode.name.contains("NORMAL") && !mode.name.contains("blind")
}

pub fn run(session: &mut Session) -> Result<()> {
    let (records, time) = (session.records, session.time);
    session.take_turns("get one attribute by id", "gets/s", reads, |engine, round| {
        gets(engine, records, 100 + round, time / 2, |engine, id| engine.get_attribute(id).map(drop))?;
        Ok(Some(gets(engine, records, round, time, |engine, id| {
            black_box(engine.get_attribute(id)?);
            Ok(())
        })?))
    })?;
    session.take_turns("get a whole record by id", "gets/s", reads, |engine, round| {
        gets(engine, records, 300 + round, time / 2, |engine, id| engine.get(id).map(drop))?;
        Ok(Some(gets(engine, records, 200 + round, time, |engine, id| {
            black_box(engine.get(id)?);
            Ok(())
        })?))
    })
}

fn gets(
    engine: &dyn Engine,
    records: u64,
    seed: u64,
    time: Duration,
    get: impl Fn(&dyn Engine, RecordId) -> Result<()>,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < time {
        for _ in 0..64 {
            get(engine, narrow::id(random.below(records)))?;
        }
        count += 64;
    }
    Ok(rate(count, started))
}
