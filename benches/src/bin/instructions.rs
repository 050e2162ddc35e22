//! A fixed number of patches, gets or look-ups, for `benches/instructions.sh` to count the instructions of
//! under valgrind, and `benches/misses.sh` the cache misses. Counts say what time cannot on a shared machine: whether the code became longer.
//!
//! ```sh
//! benches/instructions.sh
//! cargo run --release -p vellum-bench --bin instructions -- patch 1000    # the bare work, without counting
//! ```
//!
//! `set` and `option` change an integer, and a set of options by one, of the records of `tags`.
//!
//! 4,096 narrow records (`--records`) in a store without threads, clock and seed fixed, so that two runs do the same:
//! the difference between two counts of different length is that of the work alone.

use vellum::{Config, Durability, Timestamp};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::tags::{self, Change, Changes};
use vellum_bench::{Random, Result, WorkDir, args::Args};

fn main() -> Result<()> {
    let args = Args::from_env(&["dir", "records"])?;
    let records = args.number("records", 4096)?;
    let [work, count] = args.files() else { return Err("name the work, and how many".into()) };
    let (work, count): (String, u64) = (work.to_string_lossy().into(), count.to_string_lossy().parse()?);
    let dir = WorkDir::new(&args.dir(), "instructions")?;
    let config = Config::new()
        .durability(Durability::Buffered)
        .threads(false)
        .seed(1)
        .clock(std::sync::Arc::new(|| Timestamp(1_700_000_000_000_000_000)));
    let change = match work.as_str() {
        "set" => Some(Change::Set),
        "option" => Some(Change::Option),
        _ => None,
    };
    if let Some(change) = change {
        let store = tags::create(&config, &dir.join("store"), records)?;
        let mut changes = Changes::new(records, change);
        (0..records.min(4 * 4096)).try_for_each(|_| store.apply(changes.draw()).map(drop))?;
        (0..count).try_for_each(|_| store.apply(changes.draw()).map(drop))?;
        return Ok(store.close()?);
    }
    let store = narrow::create(&config, &dir.join("store"))?;
    narrow::load(&store, 0, records)?;
    let object = narrow::object(&store)?;
    // Warm: pages are in memory of their own, and buffers have their size.
    let mut patches = Patches::new(1, records);
    (0..records.min(4 * 4096)).try_for_each(|_| store.apply(patches.draw()).map(drop))?;
    let mut random = Random::new(2);
    match work.as_str() {
        "patch" => (0..count).try_for_each(|_| store.apply(patches.draw()).map(drop))?,
        "get" => (0..count).try_for_each(|_| object.get(narrow::id(random.below(records))).map(drop))?,
        "hit" => (0..count)
            .try_for_each(|_| object.get_attributes(narrow::id(random.below(records)), &[]).map(drop))?,
        "absent" => {
            (0..count).try_for_each(|_| object.get(narrow::id(records + random.below(1 << 40))).map(drop))?
        }
        _ => return Err(format!("{work} is none of patch, get, hit, absent, set, option").into()),
    }
    Ok(store.close()?)
}
