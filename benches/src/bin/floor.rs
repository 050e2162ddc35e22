//! What the machine allows, beside vellum: the pieces of a patch as bare memory and file operations, at
//! three sizes; fdatasync one by one and shared; a column read from front to back.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin floor
//! ```
//!
//! Options: `--records 10000,1000000,10000000` sizes, `--ms 300` for each piece, `--dir DIR` to work in,
//! `--vellum 0` to leave vellum's own patch out (loading 10,000,000 records takes minutes).

use std::time::{Duration, Instant};
use vellum::{Config, Durability};
use vellum_bench::floor::{Floor, syncs};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Result, WorkDir, args::Args, machine, rate};

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "ms", "dir", "vellum"])?;
    let time = Duration::from_millis(args.number("ms", 300)?);
    let dir = args.dir();
    machine::print_head(&dir, &format!("{} ms for each piece", time.as_millis()));
    let work = WorkDir::new(&dir, "floor")?;
    println!("ns a piece; patch: dependent probe, one lock, line, two slots, frame with CRC, mapped log");
    for word in args.text("records").unwrap_or("10000,1000000,10000000").split(',') {
        let records: u64 = word.trim().parse()?;
        let floor = Floor::measure(records, &work.join(""), time)?;
        println!(
            "{records:9} records  probe {:.0}  line and slots {:.0}  frame: pwrite {:.0}, every 64 KiB {:.0}, mapped {:.0}",
            floor.probe, floor.write, floor.frame_pwrite, floor.frame_buffered, floor.frame_mapped
        );
        println!(
            "                   patch {:.0} (unlocked, independent probes {:.0}), scan {:.1} GB/s",
            floor.patch,
            floor.patch_free,
            floor.scan / 1e9
        );
        if args.number("vellum", 1)? != 0 {
            println!(
                "                   vellum's patch {:.0}, buffered",
                vellum_patch(records, &work, time)?
            );
        }
    }
    for writers in [1, 16, 64] {
        println!(
            "{writers:9} writers  {:.0} frames a second made durable",
            syncs(writers, &work.join(""), time * 4)?
        );
    }
    Ok(())
}

/// The engine's patch of two attributes of a narrow record, warm.
fn vellum_patch(records: u64, work: &WorkDir, time: Duration) -> Result<f64> {
    let path = work.join(&format!("store-{records}"));
    let store = narrow::create(&Config::new().durability(Durability::Buffered), &path)?;
    narrow::load(&store, 0, records)?;
    store.checkpoint()?;
    let mut patches = Patches::new(1, records);
    for _ in 0..records.min(1_000_000) {
        store.apply(patches.draw())?;
    }
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < time * 5 {
        for _ in 0..1000 {
            store.apply(patches.draw())?;
        }
        count += 1000;
    }
    let ns = 1e9 / rate(count, started);
    store.close()?;
    Ok(ns)
}
