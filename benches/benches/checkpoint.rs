//! Promise: a checkpoint writes what changed, and those who write meanwhile hardly wait for it.
//!
//! ```sh
//! cargo bench --bench checkpoint
//! VELLUM_BENCH_RECORDS=10000000 cargo bench --bench checkpoint
//! ```
//!
//! Narrow records at 10,000 and 1,000,000, buffered, seeded. `take`: one checkpoint after 10,000 patches
//! of records chosen at random, nobody writing; bytes are what it wrote. `under_write`: patches of one
//! thread while another takes one checkpoint after the other, and while nobody does.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vellum_bench::fixture::{Fixture, buffered, sizes};
use vellum_bench::narrow::Patches;

const PATCHES: u64 = 10_000;

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take");
    for records in sizes() {
        let fixture = Fixture::with("checkpoint-take", records, &buffered().background(false));
        let mut patches = Patches::new(51, records);
        let mut once = || {
            (0..PATCHES).for_each(|_| fixture.apply(patches.draw()));
            let started = Instant::now();
            let report = fixture.store.checkpoint().expect("room for a checkpoint");
            (started.elapsed(), report.written_len)
        };
        let (_, bytes) = once();
        group.throughput(Throughput::ElementsAndBytes { elements: PATCHES, bytes });
        group.bench_function(BenchmarkId::new("after_10000_patches", records), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| once().0).sum());
        });
    }
    group.finish();
}

fn under_write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("under_write");
    group.throughput(Throughput::Elements(1));
    for records in sizes() {
        let fixture = Fixture::narrow("checkpoint-under", records);
        let mut patches = Patches::new(52, records);
        group.bench_function(BenchmarkId::new("patch_alone", records), |bencher| {
            bencher.iter(|| fixture.apply(patches.draw()));
        });
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fixture.store.checkpoint().expect("room for a checkpoint");
                }
            });
            group.bench_function(BenchmarkId::new("patch_beside_checkpoints", records), |bencher| {
                bencher.iter(|| fixture.apply(patches.draw()));
            });
            stop.store(true, Ordering::Relaxed);
        });
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = take, under_write }
criterion_main!(benches);
