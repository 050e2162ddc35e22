//! Promise: a full log of 64 MiB is replayed in under a second.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin recovery
//! cargo run --release -p vellum-bench --bin recovery -- --fill creates
//! ```
//!
//! A second process fills the log without a checkpoint and aborts. Options: `--records 1000000` that
//! are there before (and checkpointed), `--log-mib 64`, `--fill patches|creates` what the log holds,
//! `--runs 3`, `--dir DIR` to work in.

#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark removes its directories with std::fs"
)]

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use vellum::{Config, Durability, Store};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Result, WorkDir, args::Args, machine, median};

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "log-mib", "fill", "runs", "dir", "as-writer"])?;
    let (records, log_mib) = (args.number("records", 1_000_000)?, args.number("log-mib", 64)?);
    let fill = Fill::read(args.text("fill").unwrap_or("patches"))?;
    if let Some(path) = args.text("as-writer") {
        return write_and_abort(Path::new(path), records, log_mib << 20, fill);
    }
    let (runs, dir) = (args.number("runs", 3)?, args.dir());
    machine::print_head(&dir, &format!("{log_mib} MiB of log: {fill:?} over {records} records, {runs} runs"));

    let work = WorkDir::new(&dir, "recovery")?;
    let mut times = Vec::new();
    for run in 1..=runs {
        let path = work.join(&format!("run-{run}"));
        let mut writer = Command::new(std::env::current_exe()?);
        writer.args(std::env::args_os().skip(1)).arg("--as-writer").arg(&path);
        let status = writer.status()?;
        if status.code().is_some() {
            return Err(format!("the writer ended by itself: {status}").into());
        }
        let started = Instant::now();
        let store = Config::new().open(&path)?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let report = store.recovery();
        println!(
            "run {run}     {ms:.0} ms for {} frames, {} bytes of log",
            report.replayed, report.replayed_len
        );
        times.push(ms);
        store.close()?;
        std::fs::remove_dir_all(&path)?;
    }
    println!("median    {:.0} ms", median(times));
    Ok(())
}

/// What the log holds.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Patches,
    Creates,
}

impl Fill {
    fn read(text: &str) -> Result<Fill> {
        match text {
            "patches" => Ok(Fill::Patches),
            "creates" => Ok(Fill::Creates),
            _ => Err(format!("--fill {text} is neither patches nor creates").into()),
        }
    }
}

fn write_and_abort(path: &Path, records: u64, log_len: u64, fill: Fill) -> Result<()> {
    let config =
        Config::new().durability(Durability::Buffered).background(false).checkpoint_log_len(u64::MAX);
    let store = narrow::create(&config, path)?;
    narrow::load(&store, 0, records)?;
    store.checkpoint()?;
    match fill {
        Fill::Patches => {
            let mut patches = Patches::new(2, records);
            fill_log(&store, log_len, |_| Ok(store.apply(patches.draw()).map(drop)?))
        }
        Fill::Creates => {
            fill_log(&store, log_len, |n| Ok(store.apply(&narrow::creation(records + n)).map(drop)?))
        }
    }?;
    std::process::abort()
}

/// Writes until the log since the checkpoint has this length; looks every thousand writes.
fn fill_log(store: &Store, log_len: u64, mut write: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let mut n = 0;
    while store.stats()?.log_since_checkpoint < log_len {
        for _ in 0..1000 {
            write(n)?;
            n += 1;
        }
    }
    Ok(())
}
