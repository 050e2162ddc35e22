//! What grows with the number of records, and what does not: one store filled in stages, and at each
//! stage its size, its memory, opening, patches, what they write, and a checkpoint. docs/scale.md counts
//! on from these figures.
//!
//! ```sh
//! cargo run --release -p vellum-bench --bin scale -- --stages 1000000,10000000
//! cargo run --release -p vellum-bench --bin scale -- --stages 10000000,30000000,100000000    # an hour, 20 GB
//! ```
//!
//! Records are as narrow as they may be: an integer key and two attributes of 8 bytes, so that what the
//! engine adds shows. Options: `--patches 500000` at each stage, uniform, `--durability buffered`,
//! `--budget-mib 256` of dirty memory and 64 MiB of log between checkpoints while patching, `--load-mib 2048` of both
//! while loading, `--dir DIR` to work in, `--minutes 120` after which no further stage begins.

use std::time::{Duration, Instant};
use vellum::{Action, Config, Key, Mutation, Patch, Schema, Store, Value, record};
use vellum_bench::process::{anonymous_len, written_len};
use vellum_bench::{Random, Result, WorkDir, allocated_len, args::Args, machine, narrow, rate};

const OBJECT: &str = "pair";
const SCHEMA: &str = r#"{"objects": [{"key": "pair", "primary_key": ["n"], "attributes": [
    {"key": "n", "type": "integer", "required": true},
    {"key": "a", "type": "integer"}, {"key": "d", "type": "number"}]}]}"#;
const BATCH_LEN: u64 = 1000;

fn main() -> Result<()> {
    let args =
        Args::from_env(&["stages", "patches", "durability", "budget-mib", "load-mib", "dir", "minutes"])?;
    let stages = args.text("stages").unwrap_or("1000000,10000000");
    let stages = stages.split(',').map(|word| word.trim().parse()).collect::<Result<Vec<u64>, _>>()?;
    let (patches, budget_mib) = (args.number("patches", 500_000)?, args.number("budget-mib", 256)?);
    let (dir, minutes) = (args.dir(), args.number("minutes", 120)?);
    let load_mib = args.number("load-mib", 2048)?;
    let loading = Config::new()
        .durability(args.durability()?)
        .dirty_budget(load_mib << 20)
        .checkpoint_log_len(load_mib << 20);
    let config = Config::new().durability(args.durability()?).dirty_budget(budget_mib << 20);
    machine::print_head(
        &dir,
        &format!("{patches} patches a stage, {budget_mib} MiB of dirty memory, {load_mib} while loading"),
    );

    let work = WorkDir::new(&dir, "scale")?;
    let path = work.join("store");
    loading.create(&path, &Schema::from_json(SCHEMA)?)?.close()?;
    let (started, mut records) = (Instant::now(), 0);
    for stage in stages {
        if started.elapsed() > Duration::from_secs(minutes * 60) {
            println!("no time is left for {stage} records");
            break;
        }
        println!("{stage} records");
        let store = loading.open(&path)?;
        fill(&store, records, stage)?;
        records = stage;
        store.close()?;
        let opened = Instant::now();
        let store = config.open(&path)?;
        println!("  open      {:.1} ms after a clean close", opened.elapsed().as_secs_f64() * 1e3);
        patch(&store, records, patches)?;
        sizes(&store, &path, records)?;
        store.close()?;
    }
    Ok(())
}

fn fill(store: &Store, from: u64, to: u64) -> Result<()> {
    let (started, written) = (Instant::now(), written_len());
    for start in (from..to).step_by(BATCH_LEN as usize) {
        let batch: Vec<Mutation> = (start..(start + BATCH_LEN).min(to)).map(creation).collect();
        store.apply_batch(&batch)?;
    }
    store.checkpoint()?;
    let each = (written_len() - written) as f64 / (to - from) as f64;
    println!("  load      {:.0} records a second, {each:.0} bytes written each", rate(to - from, started));
    Ok(())
}

fn creation(n: u64) -> Mutation {
    let patch = Patch { set: record! { "n" => n as i64, "a" => 0_i64, "d" => 0.0 }, ..Patch::new() };
    Mutation { object: OBJECT.into(), action: Action::Create, key: Some(Key::Id(narrow::id(n))), patch }
}

fn sizes(store: &Store, path: &std::path::Path, records: u64) -> Result<()> {
    let stats = store.stats()?;
    let a_record = |len: u64| len as f64 / records as f64;
    println!(
        "  disk      {:.0} bytes a record; live {:.0}, dead {:.0}, log {} MiB in {} files",
        a_record(allocated_len(path)?),
        a_record(stats.live_len),
        a_record(stats.dead_len),
        stats.log_len >> 20,
        stats.log_file_count,
    );
    for (kind, len) in &stats.bytes_by_kind {
        println!("            {kind}: {:.1}", a_record(*len));
    }
    println!("  memory    {:.1} bytes a record, anonymous, nothing dirty", a_record(anonymous_len()));
    Ok(())
}

/// Uniform patches until as many are done, checkpoints as they come; then one checkpoint.
fn patch(store: &Store, records: u64, count: u64) -> Result<()> {
    let mut random = Random::new(7);
    let patch = Patch { set: record! { "a" => 0_i64, "d" => 0.0 }, ..Patch::new() };
    let mut mutation = Mutation { object: OBJECT.into(), action: Action::Update, key: None, patch };
    let (started, written) = (Instant::now(), written_len());
    for _ in 0..count {
        let value = random.next_u64() >> 1;
        mutation.key = Some(Key::Id(narrow::id(random.below(records))));
        mutation.patch.set[0].1 = Value::Integer(value as i64);
        mutation.patch.set[1].1 = Value::Number(value as f64);
        store.apply(&mutation)?;
    }
    let (patch_rate, dirty) = (rate(count, started), store.stats()?.dirty_len);
    let checkpoint = Instant::now();
    store.checkpoint()?;
    println!(
        "  patches   {patch_rate:.0} a second, {:.0} bytes written each; {} MiB anonymous",
        (written_len() - written) as f64 / count as f64,
        anonymous_len() >> 20
    );
    println!(
        "  checkpoint {:.0} ms for {} MiB of dirty bytes",
        checkpoint.elapsed().as_secs_f64() * 1e3,
        dirty >> 20
    );
    Ok(())
}
