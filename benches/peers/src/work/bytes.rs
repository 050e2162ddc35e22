//! Bytes written to disk a patch: patches of records chosen at random in windows of as many as there are
//! records, each ended by a settle (checkpoint, flush, compactions that are due) and a sync, until two windows
//! in a row agree within a tenth.
//!
//! Two counters: what the process made the kernel write (`write_bytes` of `/proc/self/io`), and what the
//! block device was told to write, by whoever uses it; the second is an upper bound on a shared machine.

use super::is_buffered;
use crate::Result;
use crate::session::Session;
use std::time::{Duration, Instant};
use vellum_bench::process::{device_written_len, written_len};
use vellum_bench::wide::Changes;

/// Engines that need longer are shown as they are then.
const TIME_MAX: Duration = Duration::from_secs(20);

pub fn run(session: &mut Session) -> Result<()> {
    let (records, dir, rounds) = (session.records, session.dir.clone(), session.rounds);
    session.rounds = 1;
    let (mut by_device, mut own) = (Vec::new(), Vec::new());
    session.take_turns("bytes written a patch, by the process", "bytes", is_buffered, |engine, _| {
        let mut changes = Changes::new(1000, records);
        let (started, mut last) = (Instant::now(), f64::NAN);
        engine.settle()?;
        loop {
            std::process::Command::new("sync").status()?;
            let before = (written_len(), device_written_len(&dir), engine.written_len());
            let mut count: u64 = 0;
            while count < records && (started.elapsed() < TIME_MAX || count < records / 10) {
                engine.patch(&[changes.draw()])?;
                count += 1;
            }
            engine.settle()?;
            std::process::Command::new("sync").status()?;
            let a_patch = |bytes: u64| bytes as f64 / count as f64;
            let now = a_patch(written_len() - before.0);
            if (now - last).abs() < now / 10.0 || started.elapsed() > TIME_MAX {
                by_device.push(a_patch(device_written_len(&dir) - before.1));
                own.push(before.2.zip(engine.written_len()).map(|(before, after)| a_patch(after - before)));
                return Ok(Some(now));
            }
            last = now;
        }
    })?;
    session.rounds = rounds;
    let modes: Vec<_> =
        session.families.iter().flat_map(|family| family.modes).filter(|mode| is_buffered(mode)).collect();
    for ((mode, device), own) in modes.iter().zip(by_device).zip(own) {
        session.add("bytes written a patch, by the device", mode, "bytes", vec![device])?;
        if let Some(own) = own {
            session.add(
                "bytes written a patch, checkpoints by the engine's count",
                mode,
                "bytes",
                vec![own],
            )?;
        }
    }
    Ok(())
}
