//! The rows of docs/benchmarks.md that cost the most of a wide record, of vellum alone: two builds of this program,
//! run in turns over one store, say what a change did; and `--count` makes runs for callgrind to compare.
//!
//! | work      | what is repeated                                                     |
//! |-----------|----------------------------------------------------------------------|
//! | `get`     | a whole record by id                                                 |
//! | `refused` | a create under an id of its own whose natural key is taken            |
//! | `create`  | a transaction of 1,000 new records, unique by id and by natural key   |
//! | `batch`   | a transaction of 1,000 patches of two attributes, synced              |
//! | `buffered` | the same, not synced                                                 |
//! | `load`    | the whole store, 1,024 records a transaction                          |
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin wide -- get refused batch create --dir DIR
//! ```
//!
//! Options: `--records 1000000`, `--ms 400` a work, `--count N` rounds of 1,000 instead of a time, `--fresh 1` to load a new store and
//! measure over what memory holds of it, `--threads 0` for a store without threads, `--warm N` records read first (a third of them), `--dir DIR`: a store that is made
//! there stays, and later runs go on with it.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use vellum::{Config, Durability, ErrorKind, Mutation, Object, Store};
use vellum_bench::wide::{self, Change, Changes};
use vellum_bench::{Random, Result, args::Args, narrow, rate};

/// Events of one round.
const BATCH_LEN: u64 = 1000;
/// Batches of one measurement of creations: few, so that the store stays about as large as it is said to be.
const CREATED_BATCHES: u64 = 20;

/// How long a work is repeated.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Rounds(u64),
}

impl Until {
    /// Repeats `work` on what `prepare` makes, which is not measured; the rate of its events. What is prepared is
    /// another thing every time: what a round before touched must not be the only warm part of the store.
    fn repeat<T>(
        self,
        events: u64,
        mut prepare: impl FnMut() -> T,
        mut work: impl FnMut(&T) -> Result<()>,
    ) -> Result<f64> {
        let (mut spent, mut rounds) = (Duration::ZERO, 0);
        while match self {
            Until::Time(time) => spent < time,
            Until::Rounds(most) => rounds < most,
        } {
            let prepared = prepare();
            let started = Instant::now();
            measured(&mut work, &prepared)?;
            spent += started.elapsed();
            rounds += 1;
        }
        Ok((rounds * events) as f64 / spent.as_secs_f64())
    }
}

/// What is measured, under a name of its own: `valgrind --tool=callgrind --toggle-collect='*wide::measured*'`.
#[inline(never)]
fn measured<T>(work: &mut impl FnMut(&T) -> Result<()>, prepared: &T) -> Result<()> {
    work(prepared)
}

fn main() -> Result<()> {
    let args = Args::from_env(&["records", "ms", "count", "fresh", "threads", "warm", "dir"])?;
    let records = args.number("records", 1_000_000)?;
    let until = match args.number("count", 0)? {
        0 => Until::Time(Duration::from_millis(args.number("ms", 400)?)),
        count => Until::Rounds(count),
    };
    // Log files of full length from the start, as a store has them that was open for a while.
    let config = Config::new()
        .durability(Durability::Buffered)
        .threads(args.number("threads", 1)? != 0)
        .log_file_len(64 << 20, 64 << 20);
    let path = args.dir().join(format!("vellum-wide-{records}"));
    if args.number("fresh", 0)? != 0 && path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    let (store, object) = open(&config, &path, records, args.number("warm", records / 3)?)?;
    for work in args.files() {
        let work = work.to_string_lossy();
        // Another one for each work and each run: what one changed is not what the next would change it to.
        let seed = store.applied_lsn().0;
        let figure = match &*work {
            "get" => gets(&object, records, until, seed)?,
            "refused" => refusals(&store, records, until, seed)?,
            "create" => creations(&store, until)?,
            "batch" => batches(&store, records, until, seed, Durability::Sync)?,
            "buffered" => batches(&store, records, until, seed, Durability::Buffered)?,
            "load" => continue,
            other => {
                return Err(format!("{other} is none of get, refused, create, batch, buffered, load").into());
            }
        };
        println!("{work:8} {figure:>10.0} a second");
        store.checkpoint()?;
    }
    drop(object);
    Ok(store.close()?)
}

/// The store, made and loaded if it is not there.
fn open(config: &Config, path: &Path, records: u64, warm: u64) -> Result<(Store, Object)> {
    let store = match path.join("superblock").exists() {
        true => config.open(path)?,
        false => {
            let started = Instant::now();
            let store = wide::create(config, path)?;
            wide::load(&store, 0, records)?;
            println!("load     {:>10.0} a second", rate(records, started));
            store.checkpoint()?;
            store
        }
    };
    let object = store.object(wide::OBJECT)?;
    let mut random = Random::new(records);
    (0..warm).try_for_each(|_| object.get(narrow::id(random.below(records))).map(drop))?;
    Ok((store, object))
}

fn gets(object: &Object, records: u64, until: Until, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    until.repeat(
        BATCH_LEN,
        || (0..BATCH_LEN).map(|_| narrow::id(random.below(records))).collect::<Vec<_>>(),
        |ids| Ok(ids.iter().try_for_each(|id| object.get(*id).map(|record| drop(black_box(record))))?),
    )
}

fn refusals(store: &Store, records: u64, until: Until, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let mut taken = || {
        let n = random.below(records);
        wide::creation_as(narrow::id(!n), n)
    };
    until.repeat(
        BATCH_LEN,
        || (0..BATCH_LEN).map(|_| taken()).collect::<Vec<_>>(),
        |taken| {
            taken.iter().try_for_each(|mutation| match store.submit(mutation) {
                Err(error) if error.kind() == ErrorKind::UniqueConflict => {
                    drop(black_box(error));
                    Ok(())
                }
                Err(error) => Err(error.into()),
                Ok(_) => Err("a duplicate was taken".into()),
            })
        },
    )
}

fn creations(store: &Store, until: Until) -> Result<f64> {
    // Numbers that no run before used in the same store.
    let mut next = (1 << 62) + store.object(wide::OBJECT)?.count();
    let rounds = if let Until::Rounds(rounds) = until { rounds } else { CREATED_BATCHES };
    Until::Rounds(rounds).repeat(
        BATCH_LEN,
        || {
            next += BATCH_LEN;
            (next - BATCH_LEN..next).map(wide::creation).collect::<Vec<_>>()
        },
        |batch| {
            let (outcomes, commit) = store.submit_batch(batch)?;
            black_box(outcomes);
            Ok(commit.wait_for(Durability::Buffered)?)
        },
    )
}

fn batches(store: &Store, records: u64, until: Until, seed: u64, durability: Durability) -> Result<f64> {
    let mut changes = Changes::new(seed, records);
    let mut mutations: Vec<Mutation> = (0..BATCH_LEN).map(|_| wide::blank_patch()).collect();
    until.repeat(
        BATCH_LEN,
        || (0..BATCH_LEN).map(|_| changes.draw()).collect::<Vec<Change>>(),
        |batch| {
            batch.iter().zip(&mut mutations).for_each(|(change, mutation)| change.write_into(mutation));
            Ok(store.submit_batch(&mutations)?.1.wait_for(durability)?)
        },
    )
}
