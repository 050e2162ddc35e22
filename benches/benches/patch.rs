//! Promise: a warm patch and a warm get cost the same at ten thousand and at a hundred thousand records.
//!
//! ```sh
//! cargo bench -p vellum-bench --bench patch
//! ```
//!
//! Buffered, one thread, default checkpoints: a patch of two attributes of 8 bytes, and a get of the
//! whole record of seven attributes, both by record id, records chosen at random.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vellum::{Config, Durability};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Random, WorkDir};

fn patch_and_get(criterion: &mut Criterion) {
    let work = WorkDir::new(&std::env::temp_dir(), "patch").expect("the temporary directory can be written");
    let config = Config::new().durability(Durability::Buffered);
    let mut group = criterion.benchmark_group("warm");
    group.throughput(Throughput::Elements(1));
    for records in [10_000_u64, 100_000] {
        let store = narrow::create(&config, &work.join(&records.to_string())).expect("a new store");
        narrow::load(&store, 0, records).expect("records of the schema");
        let object = narrow::object(&store).expect("the object of the schema");

        let mut patches = Patches::new(3, records);
        group.bench_function(BenchmarkId::new("patch_two_fixed_by_id", records), |bencher| {
            bencher.iter(|| store.apply(patches.draw()).expect("the record exists"));
        });
        let mut random = Random::new(4);
        group.bench_function(BenchmarkId::new("get_by_id", records), |bencher| {
            bencher
                .iter(|| black_box(object.get(narrow::id(random.below(records))).expect("the record reads")));
        });
    }
    group.finish();
}

criterion_group!(benches, patch_and_get);
criterion_main!(benches);
