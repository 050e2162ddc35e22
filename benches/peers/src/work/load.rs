//! New stores filled in batches of 1,000, buffered, then brought to rest; and what they take on the disk.

use crate::Result;
use crate::engine::Batch;
use crate::session::Session;
use std::time::{Duration, Instant};
use vellum_bench::allocated_len;

const BATCH_LEN: u64 = 1000;

pub fn run(session: &mut Session) -> Result<()> {
    session.close_all();
    for family in session.families.clone() {
        let path = session.dir.join(family.name);
        if path.exists() {
            return Err(format!("{} is there already; take another --dir", path.display()).into());
        }
        let mut engine = (family.open)(&path, session.records)?;
        engine.set_mode(0)?;
        let mut spent = Duration::ZERO;
        let mut n = 0;
        while n < session.records {
            let end = (n + BATCH_LEN).min(session.records);
            let batch = Batch::of(n..end);
            let started = Instant::now();
            if !engine.create(&batch)? {
                return Err(format!("{}: a new record was refused", family.name).into());
            }
            spent += started.elapsed();
            n = end;
        }
        let started = Instant::now();
        engine.settle()?;
        spent += started.elapsed();
        drop(engine);
        let mode = &family.modes[0];
        session.add(
            "load, 1,000 a transaction",
            mode,
            "records/s",
            vec![session.records as f64 / spent.as_secs_f64()],
        )?;
        let bytes_a_record = allocated_len(&path)? as f64 / session.records as f64;
        session.add("bytes on disk a record, after load", mode, "bytes", vec![bytes_a_record])?;
    }
    Ok(())
}
