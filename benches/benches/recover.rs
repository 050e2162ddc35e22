//! Promise: opening after a crash costs what the log since the last checkpoint holds, not what the store
//! holds. (`bin/recovery` kills a process that writes; `bin/open_time` measures 10,000,000 records.)
//!
//! ```sh
//! cargo bench --bench recover
//! ```
//!
//! The files of a store are copied while it is open, 100,000 patches after its checkpoint: what a crash at
//! that moment would leave. Each opening is of a fresh copy. Narrow records at 10,000 and 1,000,000. Bytes
//! are those of the log that is replayed.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark copies its stores with std::fs"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use std::time::{Duration, Instant};
use vellum::Config;
use vellum_bench::fixture::{Fixture, buffered, sizes};
use vellum_bench::narrow::Patches;

const PATCHES: u64 = 100_000;

fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for records in sizes() {
        let config = buffered().background(false);
        let fixture = Fixture::with("recover", records, &config);
        let mut patches = Patches::new(61, records);
        (0..PATCHES).for_each(|_| fixture.apply(patches.draw()));
        let bytes = fixture.store.stats().expect("an open store").log_since_checkpoint;
        let (source, copy) = (fixture.work.join("store"), fixture.work.join("copy"));
        group.throughput(Throughput::ElementsAndBytes { elements: PATCHES, bytes });
        group.bench_function(BenchmarkId::new("after_100000_patches", records), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| open_copy(&source, &copy, &config)).sum());
        });
    }
    group.finish();
}

fn open_copy(source: &Path, copy: &Path, config: &Config) -> Duration {
    std::fs::create_dir(copy).expect("a new directory");
    for entry in std::fs::read_dir(source).expect("the store's directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("room for a copy");
    }
    let started = Instant::now();
    let store = config.open(copy).expect("a store as after a crash");
    let elapsed = started.elapsed();
    assert_eq!(store.recovery().replayed, PATCHES);
    store.close().expect("it closes");
    std::fs::remove_dir_all(copy).expect("it is ours");
    elapsed
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = recover }
criterion_main!(benches);
