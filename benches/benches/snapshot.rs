//! Promise: a snapshot costs the same to take whatever the number of records, and those who patch while
//! it is held or read lose little.
//!
//! ```sh
//! cargo bench --bench snapshot
//! VELLUM_BENCH_RECORDS=10000000 cargo bench --bench snapshot
//! ```
//!
//! Narrow records at 10,000 and 1,000,000, buffered, seeded. `take` makes a snapshot and drops it, a patch
//! between two, so that there is something new to hold; `patch` is one thread's patches with no snapshot,
//! with one held, and with one read from end to end by another thread, over and over; `iterate` reads all
//! records, bytes are those of the values.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vellum::Snapshot;
use vellum_bench::fixture::{Fixture, sizes};
use vellum_bench::narrow::{self, Patches};

fn snapshot(criterion: &mut Criterion) {
    for records in sizes() {
        let fixture = Fixture::narrow("snapshot", records);
        let mut patches = Patches::new(71, records);
        let take = || fixture.store.snapshot().expect("an open store");
        let mut group = criterion.benchmark_group("snapshot");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("take", records), |bencher| {
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    fixture.apply(patches.draw());
                    let started = Instant::now();
                    drop(take());
                    spent += started.elapsed();
                }
                spent
            });
        });
        group.bench_function(BenchmarkId::new("patch_none", records), |bencher| {
            bencher.iter(|| fixture.apply(patches.draw()));
        });
        let held = take();
        group.bench_function(BenchmarkId::new("patch_held", records), |bencher| {
            bencher.iter(|| fixture.apply(patches.draw()));
        });
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    count_until(&held, &stop);
                }
            });
            group.bench_function(BenchmarkId::new("patch_iterated", records), |bencher| {
                bencher.iter(|| fixture.apply(patches.draw()));
            });
            stop.store(true, Ordering::Relaxed);
        });
        group.throughput(Throughput::ElementsAndBytes { elements: records, bytes: records * 7 * 8 });
        group.bench_function(BenchmarkId::new("iterate", records), |bencher| {
            bencher.iter(|| assert_eq!(count_until(&held, &AtomicBool::new(false)), records));
        });
        group.finish();
    }
}

/// Reads records until there are no more, or until it is told to stop.
fn count_until(snapshot: &Snapshot, stop: &AtomicBool) -> u64 {
    let records = snapshot.iter(narrow::OBJECT).expect("the object of the schema");
    let records = records.take_while(|_| !stop.load(Ordering::Relaxed));
    records.map(|record| record.map(|_| 1).expect("it reads")).sum()
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = snapshot }
criterion_main!(benches);
