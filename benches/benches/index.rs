//! Promise: a key is found, missed and added at a cost that does not grow with the index, and a split is
//! so short that nobody notices it.
//!
//! ```sh
//! cargo bench --bench index
//! VELLUM_BENCH_RECORDS=10000000 cargo bench --bench index
//! ```
//!
//! Through the engine's front door, since the index has none of its own: a hit reads no attribute (probe,
//! then the record's header to confirm), a miss is the probe alone, an insert is the creation of a narrow
//! record (two indexes: id and primary key), and a split is the creation during which an index got a
//! bucket more. 10,000 and 1,000,000 records, seeded.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use vellum_bench::fixture::{Fixture, sizes};
use vellum_bench::{Random, narrow};

fn probes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe");
    group.throughput(Throughput::Elements(1));
    for records in sizes() {
        let fixture = Fixture::narrow("index-probe", records);
        let (object, mut random) = (&fixture.object, Random::new(41));
        group.bench_function(BenchmarkId::new("hit_id", records), |bencher| {
            bencher.iter(|| {
                black_box(object.get_attributes(narrow::id(random.below(records)), &[])).expect("it reads")
            });
        });
        group.bench_function(BenchmarkId::new("hit_key", records), |bencher| {
            bencher.iter(|| {
                black_box(object.get_attributes(("n", random.below(records) as i64), &[])).expect("it reads")
            });
        });
        group.bench_function(BenchmarkId::new("miss_id", records), |bencher| {
            bencher.iter(|| {
                let id = narrow::id(records + random.below(1 << 40));
                assert!(object.get_attributes(id, &[]).expect("it reads").is_none());
            });
        });
    }
    group.finish();
}

fn inserts(criterion: &mut Criterion) {
    const RECORDS: u64 = 10_000;
    let mut group = criterion.benchmark_group("insert");
    group.throughput(Throughput::Elements(1));
    let fixture = Fixture::narrow("index-insert", RECORDS);
    let mut n = RECORDS;
    let mut create = |fixture: &Fixture| {
        let creation = narrow::creation(n);
        n += 1;
        let started = Instant::now();
        fixture.apply(&creation);
        started.elapsed()
    };
    group.bench_function("with_splits_among_them", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| create(&fixture)).sum());
    });
    // A store of its own, small enough to ask for its bucket counts after each creation.
    let fixture = Fixture::narrow("index-split", RECORDS);
    let buckets = || -> u64 {
        let stats = fixture.store.stats().expect("an open store");
        stats.indexes.iter().map(|index| index.buckets).sum()
    };
    let mut create = |n: u64| {
        let creation = narrow::creation(n);
        let (before, started) = (buckets(), Instant::now());
        fixture.apply(&creation);
        let elapsed = started.elapsed();
        (buckets() > before).then_some(elapsed)
    };
    let mut next = RECORDS..;
    group.bench_function("that_splits", |bencher| {
        bencher.iter_custom(|count| {
            let splits = next.by_ref().filter_map(&mut create);
            splits.take(usize::try_from(count).expect("few")).sum()
        });
    });
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(600))
}

criterion_group! { name = benches; config = settings(); targets = probes, inserts }
criterion_main!(benches);
