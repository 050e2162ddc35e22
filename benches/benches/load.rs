//! Promise: a new store fills as fast as its records can be written down.
//!
//! ```sh
//! cargo bench --bench load
//! ```
//!
//! 20,000 records into a new store, buffered: narrow and wide ones in transactions of 1,024, and the wide
//! ones from a dump, which is the way for much data. Making and closing the store is counted; bytes are
//! those of the store's files afterwards, of the dump where that is read.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark removes its stores with std::fs"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vellum_bench::fixture::{Fixture, buffered};
use vellum_bench::{WorkDir, allocated_len, narrow, wide};

const RECORDS: u64 = 20_000;

fn fill_narrow(path: &Path) {
    let store = narrow::create(&buffered(), path).expect("a new store");
    narrow::load(&store, 0, RECORDS).expect("new records");
    store.close().expect("it closes");
}

fn fill_wide(path: &Path) {
    let store = wide::create(&buffered(), path).expect("a new store");
    wide::load(&store, 0, RECORDS).expect("new records");
    store.close().expect("it closes");
}

fn load(criterion: &mut Criterion) {
    let work = WorkDir::new(&std::env::temp_dir(), "load").expect("the temporary directory can be written");
    let path = work.join("store");
    let fresh = || -> PathBuf {
        // The first time there is nothing to remove.
        let _ = std::fs::remove_dir_all(&path);
        path.clone()
    };
    let mut group = criterion.benchmark_group("load");
    for (name, fill) in [("narrow", fill_narrow as fn(&Path)), ("wide", fill_wide)] {
        fill(&fresh());
        let bytes = allocated_len(&path).expect("the store just made");
        group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes });
        group.bench_function(name, |bencher| {
            bencher.iter_batched(fresh, |path| fill(&path), BatchSize::PerIteration);
        });
    }
    let mut dump = Vec::new();
    let fixture = Fixture::wide("load-dump", RECORDS);
    vellum_admin::dump(&fixture.store.snapshot().expect("an open store"), &mut dump)
        .expect("memory takes it");
    group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: dump.len() as u64 });
    group.bench_function("wide_from_dump", |bencher| {
        let load = |path: PathBuf| vellum_admin::load(&mut &dump[..], path).expect("a dump just made");
        bencher.iter_batched(fresh, load, BatchSize::PerIteration);
    });
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = load }
criterion_main!(benches);
