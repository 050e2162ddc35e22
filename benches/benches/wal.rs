//! Promise: handing a frame to the operating system costs a copy, and one sync serves all who wait.
//!
//! ```sh
//! cargo bench --bench wal
//! ```
//!
//! `append`: a frame of 96 bytes into the log's mapped tail, as the engine's disk offers it, and into the
//! file by a write each; and a whole commit where all else is in the first-level cache (one record).
//! `group_commit`: 1, 16 and 64 threads patch 10,000 narrow records, each commit waited for at `Sync`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vellum::disk::{Disk, OsDisk};
use vellum::{Config, Durability};
use vellum_bench::WorkDir;
use vellum_bench::fixture::{Fixture, buffered};
use vellum_bench::narrow::Patches;

const FRAME: [u8; 96] = [0x5a; 96];
const FILE_LEN: u64 = 16 << 20;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: FRAME.len() as u64 });
    let work = WorkDir::new(&std::env::temp_dir(), "wal").expect("the temporary directory can be written");
    let disk = OsDisk::new(work.join(""));
    let file = disk.create("tail").expect("a new file");
    file.allocate_zeroed(FILE_LEN).expect("room for it");
    let mut tail = file.map_tail(FILE_LEN).expect("it maps").expect("this system has such mappings");
    tail.prefault(0, FILE_LEN as usize);
    let mut at = 0;
    let mut next = || {
        at = (at + FRAME.len()) % (FILE_LEN as usize - FRAME.len());
        at
    };
    group.bench_function("mapped_tail", |bencher| bencher.iter(|| tail.write(next(), &FRAME)));
    group.bench_function("write_at", |bencher| {
        bencher.iter(|| file.write_at(next() as u64, &FRAME).expect("it was allocated"));
    });
    for (name, config) in [("commit_mapped", buffered()), ("commit_written", buffered().log_mapped(false))] {
        let fixture = Fixture::with(name, 1, &config);
        let mut patches = Patches::new(31, 1);
        let bytes = fixture.log_len_each(|fixture| fixture.apply(patches.draw()));
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes });
        group.bench_function(name, |bencher| bencher.iter(|| fixture.apply(patches.draw())));
    }
    group.finish();
}

fn group_commit(criterion: &mut Criterion) {
    let fixture = Fixture::with("wal-group", 10_000, &Config::new().durability(Durability::Sync));
    let mut group = criterion.benchmark_group("group_commit");
    group.throughput(Throughput::Elements(1));
    let fixture = Arc::new(fixture);
    for writers in [1, 16, 64] {
        group.bench_function(BenchmarkId::new("writers", writers), |bencher| {
            bencher.iter_custom(|count| together(&fixture, writers, count));
        });
    }
    group.finish();
}

/// The time of `count` commits by so many threads; at least one each.
fn together(fixture: &Fixture, writers: u64, count: u64) -> Duration {
    let each = count.div_ceil(writers);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || {
                let mut patches = Patches::new(writer, fixture.records);
                (0..each).for_each(|_| fixture.apply(patches.draw()));
            });
        }
    });
    // Threads do whole commits: what was done beyond `count` is taken off.
    started.elapsed().mul_f64(count as f64 / (each * writers) as f64)
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = settings(); targets = append, group_commit }
criterion_main!(benches);
