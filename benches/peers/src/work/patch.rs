//! Patches of two attributes and the time, by id, records chosen at random: one transaction each, and a
//! thousand a transaction.

use super::{hammer, is_buffered, is_durable};
use crate::Result;
use crate::engine::{Mode, Survives};
use crate::session::Session;
use std::collections::HashSet;
use std::time::Instant;
use vellum_bench::floor;
use vellum_bench::wide::{Change, Changes};

/// One thread and two, not synced.
pub fn buffered(session: &mut Session) -> Result<()> {
    let (records, time) = (session.records, session.time);
    session.take_turns("patch", "patches/s", is_buffered, |engine, round| {
        // Half the time to warm up: the turn before may have left this engine's pages cold.
        hammer(engine, records, 1, 100 + round, time / 2, false)?;
        Ok(Some(hammer(engine, records, 1, round, time, false)?.rate))
    })?;
    session.take_turns("patch, 2 threads", "patches/s", is_buffered, |engine, round| {
        hammer(engine, records, 2, 300 + round, time / 4, false)?;
        Ok(Some(hammer(engine, records, 2, 200 + round, time, false)?.rate))
    })
}

/// One, 16 and 64 threads, each commit on stable storage; the disk itself beside them.
pub fn durable(session: &mut Session) -> Result<()> {
    let (records, time) = (session.records, session.time);
    for threads in [1, 16, 64] {
        let work = format!("patch, synced, {threads} thread{}", if threads == 1 { "" } else { "s" });
        let dir = session.dir.clone();
        let mut ideal = Vec::new();
        let mut last_round = u64::MAX;
        session.take_turns(&work, "patches/s", is_durable, |engine, round| {
            if round != last_round {
                ideal.push(floor::syncs(threads as usize, &dir, time)?);
                last_round = round;
            }
            Ok(Some(hammer(engine, records, threads, 400 + round, time, false)?.rate))
        })?;
        let bare = Mode { name: "(bare append + fdatasync)", survives: Survives::PowerCut };
        session.add(&work, &bare, "patches/s", ideal)?;
    }
    Ok(())
}

/// A thousand patches a transaction, each transaction on stable storage.
pub fn batch(session: &mut Session) -> Result<()> {
    const LEN: usize = 1000;
    let (records, time) = (session.records, session.time);
    session.take_turns("patch, 1,000 a transaction, synced", "patches/s", is_durable, |engine, round| {
        let mut changes = Changes::new(500 + round, records);
        let batches: Vec<Vec<Change>> = (0..32).map(|_| distinct(&mut changes, LEN)).collect();
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            engine.patch(&batches[count % batches.len()])?;
            count += 1;
        }
        Ok(Some(vellum_bench::rate((count * LEN) as u64, started)))
    })
}

/// Changes of different records: engines that read before they write a batch would lose one of two.
fn distinct(changes: &mut Changes, len: usize) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut drawn = Vec::with_capacity(len);
    while drawn.len() < len {
        let change = changes.draw();
        if seen.insert(change.id.bytes()) {
            drawn.push(change);
        }
    }
    drawn
}
