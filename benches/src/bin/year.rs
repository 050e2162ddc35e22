//! Promise: a year of flights, 1,336,337 mutations with one transaction each, goes through the log at
//! 500,000 a second or more, buffered, on two cores. Lines are parsed beforehand.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin year -- flights.ndjson.gz
//! ```
//!
//! `cargo run --release --example flights -- --convert flights.csv` makes the file. Options: `--runs 3`,
//! `--durability buffered`, `--dir DIR` to work in, `--verify 1` to check every checksum afterwards.

#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark removes its directories with std::fs"
)]

use std::time::Instant;
use vellum::{Config, Store, Value};
use vellum_bench::{Result, WorkDir, args::Args, dir_len, machine, median, year};

fn main() -> Result<()> {
    let args = Args::from_env(&["runs", "durability", "dir", "verify"])?;
    let (runs, durability, dir) = (args.number("runs", 3)?, args.durability()?, args.dir());
    let schema = year::schema()?;
    let mutations = year::read(args.file("the year's mutations, flights.ndjson.gz")?, &schema)?;
    machine::print_head(
        &dir,
        &format!("{durability:?}, {} mutations, one transaction each", mutations.len()),
    );

    let work = WorkDir::new(&dir, "year")?;
    let mut rates = Vec::new();
    for run in 1..=runs {
        let path = work.join(&format!("run-{run}"));
        let store = Config::new().durability(durability).create(&path, &schema)?;
        let started = Instant::now();
        for mutation in &mutations {
            store.apply(mutation)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        rates.push(mutations.len() as f64 / seconds);
        println!("run {run}     {:.0} mutations a second ({seconds:.2} s)", mutations.len() as f64 / seconds);
        print_counts(&store)?;
        store.close()?;
        println!("          {} bytes on disk after closing", dir_len(&path)?);
        if run == runs && args.number("verify", 0)? != 0 {
            let report = vellum_admin::verify(&path)?;
            println!("verify    {}", if report.is_clean() { "clean" } else { "found damage" });
        }
        std::fs::remove_dir_all(&path)?;
    }
    println!("median    {:.0} mutations a second", median(rates));
    Ok(())
}

/// The counts that must come out: arrived 327,346, cancelled 8,255, diverted 1,175.
fn print_counts(store: &Store) -> Result<()> {
    let (mut arrived, mut cancelled, mut diverted) = (0, 0, 0);
    for record in store.snapshot()?.iter("flight")? {
        match record?.get("status").and_then(Value::as_text) {
            Some("arrived") => arrived += 1,
            Some("cancelled") => cancelled += 1,
            Some("diverted") => diverted += 1,
            _ => {}
        }
    }
    println!("          arrived {arrived}, cancelled {cancelled}, diverted {diverted}");
    Ok(())
}
