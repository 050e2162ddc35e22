//! Promise: a patch costs what it changes, at ten thousand records as at ten million.
//!
//! ```sh
//! cargo bench --bench patch
//! cargo bench --bench patch -- --quick                                # what CI runs
//! VELLUM_BENCH_RECORDS=10000000 cargo bench --bench patch -- narrow   # needs 4 GB of disk and minutes to load
//! ```
//!
//! Buffered, one thread, checkpoints as they come, seeded. `wide`: 10,000 records of 16 attributes, every
//! kind of change; `narrow`: 10,000 and 1,000,000 records of seven attributes of 8 bytes, two of them
//! patched, by id, uniform and Zipf (0.99), warm and within 10,000 patches of a checkpoint. Bytes are
//! those of the log.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use vellum::{Action, Key, Mutation, Patch, Value, patch};
use vellum_bench::fixture::{Fixture, Zipf, sizes};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Random, wide};

const WIDE_RECORDS: u64 = 10_000;
/// Patches between two checkpoints, where the time just after one is measured.
const AFTER_CHECKPOINT: u64 = 10_000;

/// Mutations of one kind, of records in turn, values new each time.
struct Kind {
    name: &'static str,
    make: fn(u64) -> Mutation,
}

fn update(n: u64, patch: Patch) -> Mutation {
    let key = Some(Key::Id(narrow::id(n % WIDE_RECORDS)));
    Mutation { object: wide::OBJECT.into(), action: Action::Update, key, patch }
}

/// How often all records were gone through before the n-th mutation.
fn pass(n: u64) -> usize {
    (n / WIDE_RECORDS) as usize
}

const KINDS: [Kind; 8] = [
    Kind { name: "one_attribute", make: |n| update(n, patch! { "a" => n as i64 }) },
    Kind {
        name: "three_attributes",
        make: |n| update(n, patch! { "a" => -(n as i64), "b" => n as i64, "d" => n as f64 }),
    },
    Kind { name: "text_equal", make: |n| update(n, patch! { "note" => wide::text(n, "note", 64) }) },
    Kind {
        name: "text_shorter",
        make: |n| update(n, patch! { "street" => wide::text(n, "street", 40 - pass(n) % 40) }),
    },
    Kind {
        name: "text_longer",
        make: |n| update(n, patch! { "city" => wide::text(n, "city", 24 + pass(n) % 200) }),
    },
    // A cleared attribute is set again on the next pass: clearing what is clear changes nothing.
    Kind {
        name: "clear_and_set",
        make: |n| match pass(n) % 2 {
            0 => update(n, Patch::new().clear("contact")),
            _ => update(n, patch! { "contact" => wide::text(n, "contact", 32) }),
        },
    },
    Kind {
        name: "upsert_by_key",
        make: |n| {
            let key = Some(Key::from(("key", wide::key(n % WIDE_RECORDS))));
            let patch = patch! { "c" => n as i64 };
            Mutation { object: wide::OBJECT.into(), action: Action::Upsert, key, patch }
        },
    },
    Kind { name: "create", make: |n| wide::creation(n + (1 << 40)) },
];

fn kinds(criterion: &mut Criterion) {
    let fixture = Fixture::wide("patch-kinds", WIDE_RECORDS);
    let mut group = criterion.benchmark_group("wide");
    for kind in KINDS {
        let mut n = 0;
        let mut next = || {
            n += 1;
            (kind.make)(n)
        };
        let bytes = fixture.log_len_each(|fixture| fixture.apply(&next()));
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes });
        group.bench_function(kind.name, |bencher| {
            bencher.iter_batched(
                &mut next,
                |mutation| fixture.apply(&mutation),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    let mut n = 0;
    let mut key_change = || {
        n += 1;
        update(n, patch! { "key" => wide::key(n + (1 << 41)) })
    };
    let bytes = fixture.log_len_each(|fixture| fixture.apply(&key_change()));
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes });
    group.bench_function("key_change", |bencher| {
        bencher.iter_batched(
            &mut key_change,
            |mutation| fixture.apply(&mutation),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn refusals(criterion: &mut Criterion) {
    let fixture = Fixture::wide("patch-refusals", WIDE_RECORDS);
    let mut group = criterion.benchmark_group("refused");
    group.throughput(Throughput::Elements(1));
    let mut random = Random::new(11);
    let duplicates: Vec<Mutation> =
        (0..1024).map(|_| random.below(WIDE_RECORDS)).map(|n| wide::creation_as(narrow::id(!n), n)).collect();
    let stale: Vec<Mutation> = (0..1024).map(|n| update(n, patch! { "a" => 1_i64 }.if_version(77))).collect();
    for (name, mutations) in [("conflict", duplicates), ("if_version", stale)] {
        let mut turn = mutations.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| fixture.store.apply(turn.next().expect("a cycle")).expect_err("it must be refused"));
        });
    }
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    const LEN: u64 = 1000;
    let fixture = Fixture::narrow("patch-batches", sizes()[0]);
    let mut group = criterion.benchmark_group("batch");
    let mut patches = Patches::new(12, fixture.records);
    let batches: Vec<Vec<Mutation>> =
        (0..16).map(|_| (0..LEN).map(|_| patches.draw().clone()).collect()).collect();
    let mut turn = batches.iter().cycle();
    let mut apply = || drop(fixture.store.apply_batch(turn.next().expect("a cycle")).expect("all exist"));
    let bytes = fixture.log_len_each(|_| apply());
    group.throughput(Throughput::ElementsAndBytes { elements: LEN, bytes });
    group.bench_function("of_1000", |bencher| bencher.iter(&mut apply));
    group.finish();
}

/// A patch of record `n`: two attributes.
fn set_two(mutation: &mut Mutation, n: u64, value: u64) {
    mutation.key = Some(Key::Id(narrow::id(n)));
    mutation.patch.set[0].1 = Value::Integer(value as i64);
    mutation.patch.set[1].1 = Value::Number(value as f64);
}

fn narrow_sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("narrow");
    for records in sizes() {
        let fixture = Fixture::narrow("patch-narrow", records);
        let mut mutation = Patches::new(3, records).draw().clone();
        let (mut random, mut zipf) = (Random::new(4), Zipf::new(5, records));
        let mut uniform = |fixture: &Fixture| {
            set_two(&mut mutation, random.below(records), random.next_u64() >> 1);
            fixture.apply(&mutation);
        };
        let bytes = fixture.log_len_each(&mut uniform);
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes });
        group.bench_function(BenchmarkId::new("uniform", records), |bencher| {
            bencher.iter(|| uniform(&fixture));
        });
        group.bench_function(BenchmarkId::new("uniform_after_checkpoint", records), |bencher| {
            bencher.iter_custom(|count| after_checkpoints(&fixture, count, &mut uniform));
        });
        let mut value = 0;
        group.bench_function(BenchmarkId::new("zipf", records), |bencher| {
            bencher.iter(|| {
                value += 1;
                set_two(&mut mutation, zipf.draw(), value);
                fixture.apply(&mutation);
            });
        });
    }
    group.finish();
}

/// The time of so many patches, a checkpoint (not counted) before every ten thousand.
fn after_checkpoints(fixture: &Fixture, count: u64, patch: &mut impl FnMut(&Fixture)) -> Duration {
    let (mut spent, mut left) = (Duration::ZERO, count);
    while left > 0 {
        fixture.store.checkpoint().expect("room for a checkpoint");
        let started = Instant::now();
        (0..left.min(AFTER_CHECKPOINT)).for_each(|_| patch(fixture));
        spent += started.elapsed();
        left -= left.min(AFTER_CHECKPOINT);
    }
    spent
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = kinds, refusals, batches, narrow_sizes }
criterion_main!(benches);
