//! Promise: a read by id or key costs the same whatever the number of records, cache misses aside, and
//! reads no attribute that was not asked for.
//!
//! ```sh
//! cargo bench --bench get
//! VELLUM_BENCH_RECORDS=10000000 cargo bench --bench get
//! ```
//!
//! Narrow records (seven attributes of 8 bytes) at 10,000 and 1,000,000; wide ones (sixteen attributes,
//! 330 bytes) at 10,000; records chosen at random, seeded, one thread. Bytes are those of the values.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use vellum_bench::fixture::{Fixture, sizes};
use vellum_bench::{Random, narrow, wide};

fn narrow_gets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get_narrow");
    for records in sizes() {
        let fixture = Fixture::narrow("get-narrow", records);
        let (object, mut random) = (&fixture.object, Random::new(21));
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: 7 * 8 });
        group.bench_function(BenchmarkId::new("record_by_id", records), |bencher| {
            bencher.iter(|| black_box(object.get(narrow::id(random.below(records)))).expect("it reads"));
        });
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: 8 });
        group.bench_function(BenchmarkId::new("attribute_by_id", records), |bencher| {
            bencher.iter(|| {
                black_box(object.get_attributes(narrow::id(random.below(records)), &["a"])).expect("it reads")
            });
        });
        group.bench_function(BenchmarkId::new("attribute_by_key", records), |bencher| {
            bencher.iter(|| {
                let key = ("n", random.below(records) as i64);
                black_box(object.get_attributes(key, &["a"])).expect("it reads")
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("absent_id", records), |bencher| {
            bencher.iter(|| {
                let found = object.get(narrow::id(records + random.below(1 << 40))).expect("it reads");
                assert!(found.is_none());
            });
        });
    }
    group.finish();
}

fn wide_gets(criterion: &mut Criterion) {
    const RECORDS: u64 = 10_000;
    let fixture = Fixture::wide("get-wide", RECORDS);
    let (object, mut random) = (&fixture.object, Random::new(22));
    let mut group = criterion.benchmark_group("get_wide");
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: wide::ROW_LEN as u64 });
    group.bench_function("record_by_id", |bencher| {
        bencher.iter(|| black_box(object.get(narrow::id(random.below(RECORDS)))).expect("it reads"));
    });
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: 64 });
    group.bench_function("text_by_id", |bencher| {
        bencher.iter(|| {
            black_box(object.get_attributes(narrow::id(random.below(RECORDS)), &["note"])).expect("it reads")
        });
    });
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = narrow_gets, wide_gets }
criterion_main!(benches);
