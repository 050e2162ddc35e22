//! Heap allocations, counted on this thread: a warm patch of fixed-width attributes makes none, a
//! snapshot makes as many in a large store as in a small one. A binary of its own: it replaces the allocator.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement; this one counts and passes on")]
#![allow(clippy::disallowed_methods, reason = "the test removes its own directory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;
use vellum::{Action, Config, Durability, Key, Mutation, RecordId, Schema, Store, Timestamp, patch};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // Gone at the end of a thread, where nothing is counted.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count_one();
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What pages took from the engine's own heap, counted in a build with assertions.
fn in_pages() -> u64 {
    #[cfg(debug_assertions)]
    let count = vellum_memory::heap_allocations();
    #[cfg(not(debug_assertions))]
    let count = 0;
    count
}

/// Allocations that `body` makes on this thread.
fn allocations<T>(body: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.get() + in_pages();
    let value = body();
    (COUNT.get() + in_pages() - before, value)
}

const SCHEMA: &str = r#"{"objects":[{"key":"flight","primary_key":["day","number"],"attributes":[
    {"key":"day","type":"date"},{"key":"number","type":"integer"},
    {"key":"tail","type":"text","unique":true},
    {"key":"delay","type":"integer"},{"key":"speed","type":"number"},{"key":"fuel","type":"decimal","decimals":2},
    {"key":"late","type":"boolean"},{"key":"seen","type":"timestamp"},{"key":"plane","type":"uuid"},
    {"key":"state","type":"select","options":[{"key":"planned"},{"key":"gone"},{"key":"landed"}]}]}]}"#;

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn create(name: &str, count: i64) -> (Dir, Store) {
    let dir = Dir(std::env::temp_dir().join(format!("vellum-alloc-{name}-{}", std::process::id())));
    let _ = std::fs::remove_dir_all(&dir.0);
    let config = Config::new().durability(Durability::Buffered).background(false);
    let store = config.create(&dir.0, &Schema::from_json(SCHEMA).unwrap()).unwrap();
    let creation = |n: i64| Mutation {
        object: "flight".into(),
        action: Action::Create,
        key: None,
        patch: patch! { "day" => "2013-01-01", "number" => n, "tail" => format!("N{n}"), "delay" => 0, "state" => "planned" },
    };
    for first in (0..count).step_by(500) {
        let mutations: Vec<Mutation> = (first..count.min(first + 500)).map(creation).collect();
        store.apply_batch(&mutations).unwrap();
    }
    (dir, store)
}

fn update(key: Key, round: i64) -> Mutation {
    let state = ["planned", "gone", "landed"][round as usize % 3];
    let fuel: vellum::Decimal = format!("{round}.25").parse().unwrap();
    let patch = patch! {
        "delay" => round, "speed" => round as f64 / 3.0, "fuel" => fuel, "late" => round % 2 == 0,
        "seen" => Timestamp(round), "plane" => RecordId::from_bytes([round as u8; 16]).0, "state" => state
    };
    Mutation { object: "flight".into(), action: Action::Update, key: Some(key), patch }
}

#[test]
fn a_warm_patch_of_fixed_width_attributes_allocates_nothing() {
    let (_dir, store) = create("patch", 2000);
    let id_of = |n: i64| {
        let key = Key::Attributes(vec![("number".into(), n.into()), ("day".into(), "2013-01-01".into())]);
        store.object("flight").unwrap().get(key).unwrap().unwrap().id
    };
    let keys = |n: i64| {
        [
            Key::Id(id_of(n)),
            Key::Attributes(vec![("day".into(), vellum::Date(15706).into()), ("number".into(), n.into())]),
            Key::from(("tail", format!("N{n}"))),
        ]
    };
    for (kind, _) in keys(0).iter().enumerate() {
        let rounds = |first: i64| -> Vec<Mutation> {
            (first..first + 300).map(|round| update(keys(round * 7 % 2000)[kind].clone(), round)).collect()
        };
        rounds(0).iter().for_each(|mutation| drop(store.submit(mutation).unwrap()));
        for mutation in &rounds(1000) {
            let (count, outcome) =
                allocations(|| store.submit(mutation).map(|(outcome, commit)| (outcome.version, commit)));
            assert!(outcome.is_ok());
            assert_eq!(count, 0, "by key {kind}: {mutation:?}");
        }
    }
}

#[test]
fn a_snapshot_allocates_the_same_in_a_small_and_in_a_large_store() {
    let taken = |count: i64| {
        let (_dir, store) = create(&format!("snapshot-{count}"), count);
        drop(store.snapshot().unwrap());
        let read = store.stats().unwrap().images_read;
        let (count, snapshot) = allocations(|| store.snapshot().unwrap());
        assert_eq!(store.stats().unwrap().images_read, read);
        drop(snapshot);
        count
    };
    let (small, large) = (taken(10), taken(30_000));
    assert_eq!(small, large);
    assert!(small < 10, "{small}");
}
