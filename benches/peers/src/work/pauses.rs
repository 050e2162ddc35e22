//! A thread that patches as fast as it can for eight measurements' time, checkpoints, flushes and
//! compactions running as they come: the longest waits, and the rate over all. Then two threads.

use super::{hammer, is_buffered};
use crate::Result;
use crate::session::Session;

pub fn run(session: &mut Session) -> Result<()> {
    let (records, time, rounds) = (session.records, session.time * 8, session.rounds);
    session.rounds = 1;
    for (threads, name) in [(1, "sustained patches"), (2, "sustained patches, 2 threads")] {
        let mut waits: Vec<[f64; 3]> = Vec::new();
        session.take_turns(name, "patches/s", is_buffered, |engine, round| {
            let hammered = hammer(engine, records, threads, 900 + round, time, true)?;
            waits.push([0.999, 0.9999, 1.0].map(|share| hammered.quantile(share) / 1e3));
            Ok(Some(hammered.rate))
        })?;
        let modes: Vec<_> = session
            .families
            .iter()
            .flat_map(|family| family.modes)
            .filter(|mode| is_buffered(mode))
            .collect();
        for (mode, waits) in modes.iter().zip(&waits) {
            for (quantile, wait) in ["p99.9", "p99.99", "max"].iter().zip(waits) {
                session.add(&format!("{name}: {quantile}"), mode, "µs", vec![*wait])?;
            }
        }
    }
    session.rounds = rounds;
    Ok(())
}
