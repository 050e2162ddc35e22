//! Opening after kill -9: a second process patches at full speed and aborts; then the store is opened, and
//! one record read. And the anonymous memory of a process that opened a store that was closed cleanly.

use super::is_buffered;
use crate::session::Session;
use crate::{Result, engines};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vellum_bench::args::Args;
use vellum_bench::{Random, narrow, process};

/// Records read before memory is looked at.
const READS: u64 = 10_000;

pub fn run(session: &mut Session) -> Result<()> {
    session.close_all();
    for family in session.families.clone() {
        let path = session.dir.join(family.name);
        let mode = family.modes.iter().find(|mode| is_buffered(mode)).ok_or("a mode without syncs")?;
        let idle = errand("memory", family.name, &path, session.records)?;
        let bytes = String::from_utf8(idle.stdout)?.trim().parse::<f64>()?;
        session.add(
            "anonymous memory a record, opened and read",
            mode,
            "bytes",
            vec![bytes / session.records as f64],
        )?;
        let mut times = Vec::new();
        for _ in 0..session.rounds {
            let victim = errand("victim", family.name, &path, session.records)?;
            if victim.status.code().is_some() {
                return Err(format!(
                    "{}: the victim ended by itself: {}",
                    family.name,
                    String::from_utf8_lossy(&victim.stderr)
                )
                .into());
            }
            let started = Instant::now();
            let engine = (family.open)(&path, session.records)?;
            engine.get(narrow::id(session.records / 2))?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        session.add("open after kill -9, and one get", mode, "ms", times)?;
    }
    Ok(())
}

fn errand(name: &str, family: &str, path: &Path, records: u64) -> Result<std::process::Output> {
    let mut child = Command::new(std::env::current_exe()?);
    child
        .args(["--as-child", name, "--engines", family, "--records", &records.to_string(), "--store"])
        .arg(path);
    Ok(child.output()?)
}

/// What a second process does.
pub fn child(errand: &str, args: &Args) -> Result<()> {
    let name = args.text("engines").ok_or("which engine?")?;
    let family = engines::all().into_iter().find(|family| family.name == name).ok_or("no such engine")?;
    let records = args.number("records", 0)?;
    let path = Path::new(args.text("store").ok_or("which store?")?);
    let mut engine = (family.open)(path, records)?;
    engine.set_mode(0)?;
    if errand == "victim" {
        super::hammer(&*engine, records, 1, 1100, Duration::from_secs(2), false)?;
        std::process::abort();
    }
    // Closed cleanly and opened again: what a recovery left in memory is not what is asked for.
    engine.settle()?;
    drop(engine);
    let engine = (family.open)(path, records)?;
    let mut random = Random::new(1200);
    for _ in 0..READS {
        engine.get(narrow::id(random.below(records)))?;
    }
    println!("{}", process::anonymous_len());
    Ok(())
}
