//! Promise: 10,000,000 records, each patch of a record chosen at random, two attributes each, with a
//! budget of 256 MiB for dirty memory: 250,000 patches a second or more sustained over 5,000,000
//! patches, checkpoints included; under 1 KiB written a patch; anonymous memory under 1 GiB.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin random_patch
//! ```
//!
//! Options: `--records 10000000`, `--patches 5000000`, `--budget-mib 256`, `--durability buffered`,
//! `--reopen 1` to close and open between loading and patching, `--dir DIR` to work in.

use std::time::Instant;
use vellum::{Config, Store};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::process::{self, MemoryWatch};
use vellum_bench::{Result, WorkDir, args::Args, dir_len, machine, rate};

/// The rate is shown for each of so many equal parts, so that a slow stretch is seen.
const PARTS: u64 = 10;

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "patches", "budget-mib", "durability", "reopen", "dir"])?;
    let records = args.number("records", 10_000_000)?;
    let patches = args.number("patches", 5_000_000)?;
    let budget_mib = args.number("budget-mib", 256)?;
    let (durability, dir) = (args.durability()?, args.dir());
    let settings =
        format!("{durability:?}, {records} records, {patches} patches, dirty budget {budget_mib} MiB");
    machine::print_head(&dir, &settings);

    let work = WorkDir::new(&dir, "random-patch")?;
    let path = work.join("store");
    let config = Config::new().durability(durability).dirty_budget(budget_mib << 20);
    let memory = MemoryWatch::start();
    let started = Instant::now();
    let mut store = narrow::create(&config, &path)?;
    narrow::load(&store, 0, records)?;
    println!("loading   {:.0} records a second", rate(records, started));
    store.checkpoint()?;
    if args.number("reopen", 0)? != 0 {
        store.close()?;
        store = config.open(&path)?;
    }
    println!("memory    {} MiB anonymous at most while loading", memory.take_peak() >> 20);

    let before = Written::now(&store)?;
    let patch_rate = patch(&store, records, patches)?;
    println!("patches   {patch_rate:.0} a second");
    println!("memory    {} MiB anonymous at most while patching", memory.take_peak() >> 20);
    let generation = store.stats()?.checkpoint_generation;
    before.print_growth(&store, "when the last patch was done", patches)?;
    store.checkpoint()?;
    before.print_growth(&store, "after one more checkpoint", patches)?;
    println!("          {generation} checkpoints since the store was made");
    store.close()?;
    println!("disk      {} MiB after closing", dir_len(&path)? >> 20);
    Ok(())
}

/// Patches at random; the rate over all.
fn patch(store: &Store, records: u64, patches: u64) -> Result<f64> {
    let mut stream = Patches::new(1, records);
    let started = Instant::now();
    for part in 0..PARTS {
        let count = patches * (part + 1) / PARTS - patches * part / PARTS;
        let part_started = Instant::now();
        for _ in 0..count {
            store.apply(stream.draw())?;
        }
        println!("          part {:2}: {:.0} a second", part + 1, rate(count, part_started));
    }
    Ok(rate(patches, started))
}

/// What had been written at some moment.
struct Written {
    by_process: u64,
    segment_len: u64,
}

impl Written {
    fn now(store: &Store) -> Result<Written> {
        Ok(Written { by_process: process::written_len(), segment_len: store.stats()?.segment_len })
    }

    fn print_growth(&self, store: &Store, when: &str, patches: u64) -> Result<()> {
        let now = Written::now(store)?;
        let per_patch = (now.by_process - self.by_process) as f64 / patches as f64;
        let stats = store.stats()?;
        println!("written   {per_patch:.0} bytes a patch {when} (write_bytes of the process)");
        println!(
            "          segments {} -> {} MiB, live {} MiB, log {} MiB in {} files",
            self.segment_len >> 20,
            now.segment_len >> 20,
            stats.live_len >> 20,
            stats.log_len >> 20,
            stats.log_file_count,
        );
        Ok(())
    }
}
