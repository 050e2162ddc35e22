//! Promise: opening after a clean close takes under 50 ms and reads at most 64 images, whatever the
//! number of records, and builds nothing of their size in memory.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin open_time
//! cargo run --release -p vellum-bench --bin open_time -- --records 100000
//! ```
//!
//! Each opening is done by a process of its own. The page cache is warm, since the store was just written.
//! Options: `--records 10000000`, `--runs 3`, `--dir DIR` to work in.

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use vellum::{Config, Durability};
use vellum_bench::{Result, WorkDir, args::Args, dir_len, machine, median, narrow, process, rate};

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "runs", "dir", "as-opener"])?;
    let records = args.number("records", 10_000_000)?;
    if let Some(path) = args.text("as-opener") {
        return open(Path::new(path), records);
    }
    let (runs, dir) = (args.number("runs", 3)?, args.dir());
    machine::print_head(&dir, &format!("{records} records, closed cleanly, {runs} openings"));

    let work = WorkDir::new(&dir, "open-time")?;
    let path = work.join("store");
    let started = Instant::now();
    let store = narrow::create(&Config::new().durability(Durability::Buffered), &path)?;
    narrow::load(&store, 0, records)?;
    println!("loading   {:.0} records a second", rate(records, started));
    store.close()?;
    println!("disk      {} MiB", dir_len(&path)? >> 20);

    let mut times = Vec::new();
    for run in 1..=runs {
        let mut opener = Command::new(std::env::current_exe()?);
        opener.args(std::env::args_os().skip(1)).arg("--as-opener").arg(&path);
        let output = String::from_utf8(opener.output()?.stdout)?;
        let ms = output.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        times.push(ms.ok_or_else(|| format!("opening failed: {output}"))?);
        println!("run {run}     {}", output.trim_end());
    }
    println!("median    {:.2} ms", median(times));
    Ok(())
}

/// One opening, and one get to show that the store is usable.
fn open(path: &Path, records: u64) -> Result<()> {
    let memory_before = process::anonymous_len();
    let started = Instant::now();
    let store = Config::new().open(path)?;
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let images_read = store.stats()?.images_read;
    let memory_kib = process::anonymous_len().saturating_sub(memory_before) >> 10;
    let started = Instant::now();
    let found = narrow::object(&store)?.get(narrow::id(records / 2))?;
    let get_ms = started.elapsed().as_secs_f64() * 1e3;
    if found.is_none() {
        return Err(format!("record {} is missing", records / 2).into());
    }
    println!(
        "{open_ms:.2} ms, {images_read} images read, {memory_kib} KiB anonymous memory; first get {get_ms:.2} ms"
    );
    Ok(store.close()?)
}
