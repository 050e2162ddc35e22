//! Patches while a snapshot is held, and while one is read from end to end again and again.

use super::{hammer, is_buffered};
use crate::Result;
use crate::engine::{Engine, ReadAll};
use crate::session::Session;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub fn run(session: &mut Session) -> Result<()> {
    let (records, time) = (session.records, session.time);
    session.take_turns("patch, no snapshot", "patches/s", is_buffered, |engine, round| {
        Ok(Some(hammer(engine, records, 1, 600 + round, time, false)?.rate))
    })?;
    session.take_turns("patch, a snapshot held", "patches/s", is_buffered, |engine, round| {
        beside(engine, records, 700 + round, time, &mut |_, _| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        })
    })?;
    session.take_turns("patch, a snapshot iterated", "patches/s", is_buffered, |engine, round| {
        beside(engine, records, 800 + round, time, &mut |read_all, done| {
            read_all(&mut || !done.load(Ordering::Relaxed)).map(drop)
        })
    })
}

/// The rate of a thread that patches while this one does `work` with a snapshot, over and over.
fn beside(
    engine: &dyn Engine,
    records: u64,
    seed: u64,
    time: Duration,
    work: &mut dyn FnMut(ReadAll<'_>, &AtomicBool) -> Result<()>,
) -> Result<Option<f64>> {
    let (done, mut rate) = (AtomicBool::new(false), None);
    engine.with_snapshot(&mut |read_all| {
        std::thread::scope(|scope| {
            let patcher = scope.spawn(|| {
                let hammered =
                    hammer(engine, records, 1, seed, time, false).map_err(|error| error.to_string());
                done.store(true, Ordering::Release);
                hammered
            });
            while !done.load(Ordering::Acquire) {
                work(read_all, &done)?;
            }
            rate = Some(patcher.join().map_err(|_| "the patching thread panicked")??.rate);
            Ok(())
        })
    })?;
    Ok(rate)
}
