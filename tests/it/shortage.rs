//! A disk that is nearly full: a commit is rejected when nothing more can be freed, and not before (requirement 13);
//! and what a store takes of a disk before it holds anything.

use crate::common::{Dir, companies};
use crate::full_disk::SmallDisk;
use crate::history::on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum::{
    Action, Config, Durability, Error, ErrorKind, Mutation, Patch, Store, Timestamp, patch, record,
};
use vellum_testkit::{MemDisk, Op};

/// What a store keeps for deletes and checkpoints when it rejects other commits: two reserves, and a log file.
const KEPT: u64 = (4 << 20) + (64 << 10);

/// The ways in which a store may do its work: with threads, without a checkpointer, and without any thread.
fn ways() -> [Config; 3] {
    // Ids follow from the time too, and buckets from ids: what fits on a disk must not depend on the hour.
    let clock = Arc::new(|| Timestamp(1_700_000_000_000_000_000));
    let config = Config::new().durability(Durability::Buffered).seed(3).clock(clock);
    [config.clone(), config.clone().background(false), config.threads(false)]
}

fn create_of(number: i64) -> Mutation {
    let set = record! {
        "country" => "DE", "number" => number, "name" => format!("company number {number}"),
        "domain" => format!("company-{number}.example"), "score" => number as f64,
        "notes" => format!("what there is to say of company {number}")
    };
    let patch = Patch { set, ..Patch::default() };
    Mutation { object: "company".into(), action: Action::Create, key: None, patch }
}

fn delete_of(number: i64) -> Mutation {
    let key = Some(vellum::Key::Attributes(vec![
        ("country".into(), "DE".into()),
        ("number".into(), number.into()),
    ]));
    Mutation { object: "company".into(), action: Action::Delete, key, patch: Patch::default() }
}

/// Creates records in batches, from `first` on, until a commit is rejected or `end` is reached.
fn load(store: &Store, batch: i64, first: i64, end: i64) -> (i64, Option<Error>) {
    let mut number = first;
    while number < end {
        let all: Vec<_> = (number..number + batch).map(create_of).collect();
        let result =
            if batch == 1 { store.apply(&all[0]).map(drop) } else { store.apply_batch(&all).map(drop) };
        match result {
            Ok(()) => number += batch,
            Err(error) => return (number, Some(error)),
        }
    }
    (number, None)
}

/// Creates records until the disk is full.
fn fill(store: &Store, batch: i64) -> (i64, Error) {
    let (count, error) = load(store, batch, 0, i64::MAX);
    let error = error.expect("the disk is full some day");
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(store.object("company").unwrap().count(), count as u64);
    (count, error)
}

fn limited(capacity: u64) -> MemDisk {
    let disk = MemDisk::new();
    disk.set_capacity(Some(capacity));
    disk
}

#[test]
fn full_disk_is_reported_only_after_everything_that_can_be_freed_was_freed() {
    const CAPACITY: u64 = 24 << 20;
    for batch in [1, 1000] {
        for config in ways() {
            let disk = limited(CAPACITY);
            let store = config.create_on(on(&disk), &companies()).unwrap();
            let (count, _) = fill(&store, batch);
            // No log is left that a checkpoint covers: apart from the records there is what the store keeps.
            let files = disk.files();
            let kept: usize = files
                .iter()
                .filter(|(name, _)| !name.starts_with("seg-"))
                .map(|(_, bytes)| bytes.len())
                .sum();
            assert!(disk.used_len() + KEPT > CAPACITY, "{config:?}: rejected at {}", disk.used_len());
            assert!(kept as u64 <= KEPT, "{config:?}: {kept} bytes are no segments");
            // Nor does the caller find much by hand.
            store.compact().unwrap();
            let (more, _) = load(&store, batch, count, i64::MAX);
            assert!(
                more - count < count / 50,
                "{config:?}: {count} records, and {} after a compaction",
                more - count
            );
            disk.set_capacity(None);
            store.close().unwrap();
            let store = config.open_on(on(&disk)).unwrap();
            assert_eq!(store.object("company").unwrap().count(), more as u64);
        }
    }
}

#[test]
fn short_records_load_completely_onto_a_disk_with_half_again_as_much_room_as_they_need() {
    // 100,000 of them take 34 MB in the end; a commit used to be rejected when a quarter of the disk was used.
    for (config, batch) in ways().into_iter().zip([1, 1000, 1]) {
        let disk = limited(52_000_000);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let (count, error) = load(&store, batch, 0, 100_000);
        assert!(error.is_none(), "{config:?}: rejected at {count}: {error:?}");
        store.close().unwrap();
    }
}

#[test]
fn a_second_rejection_repeats_no_work_until_there_is_something_to_gain() {
    let disk = limited(12 << 20);
    let [_, _, config] = ways();
    let store = config.create_on(on(&disk), &companies()).unwrap();
    let (count, _) = fill(&store, 1);
    // An id of its own, so that each try needs the same bucket: another one may be dirty already, and need less.
    let with_id = |number: i64| {
        let id = vellum::RecordId::from_bytes((number as u128).to_be_bytes());
        Mutation { key: Some(vellum::Key::Id(id)), ..create_of(number) }
    };
    let tried = (count..count + 90).map(with_id).find(|create| store.apply(create).is_err());
    let rejected = tried.expect("the disk is full");
    let calls = disk.calls();
    for _ in 0..50 {
        assert_eq!(store.apply(&rejected).unwrap_err().kind(), ErrorKind::DiskFull);
    }
    assert_eq!(disk.calls(), calls, "a rejection changed something on the disk");
    // A delete leaves something to free: the next commit frees it.
    for number in 0..100 {
        store.apply(&delete_of(number)).unwrap();
    }
    disk.record();
    let _ = store.apply(&rejected);
    assert!(disk.trace().iter().any(|event| event.name.starts_with("seg-")), "no checkpoint was taken");
    // And where others made room, it is taken.
    disk.set_capacity(Some(24 << 20));
    assert!(load(&store, 1, count + 100, count + 1100).1.is_none());
}

#[test]
fn a_rejection_says_how_much_is_needed_for_what_and_what_would_help() {
    let disk = limited(12 << 20);
    let [_, _, config] = ways();
    let store = config.create_on(on(&disk), &companies()).unwrap();
    let (_, error) = fill(&store, 1);
    let text = error.to_string();
    for part in [
        "needs",
        "free",
        "log frame",
        "images of changed pages",
        "reserve",
        "delete records",
        "vellum compact",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    // What it asks for is enough.
    let missing = text.split("Free at least ").nth(1).and_then(|rest| rest.split(' ').next());
    let missing: u64 = missing.unwrap().parse().unwrap();
    assert!((1..8 << 20).contains(&missing), "{text}");
    disk.set_capacity(Some((12 << 20) + missing + 4096));
    store.apply(&create_of(1_000_000)).unwrap();
}

#[test]
fn a_transaction_that_finds_no_room_is_run_once_and_committed_when_room_was_made() {
    for config in ways() {
        let disk = limited(16 << 20);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        // What is dirty and logged takes most of the disk; a frame of this length finds no room next to it.
        assert!(load(&store, 1, 0, 5000).1.is_none());
        let free = Arc::new(AtomicU64::new(0));
        let runs = AtomicU64::new(0);
        let created = store.transaction(|txn| {
            runs.fetch_add(1, Ordering::Relaxed);
            free.store((16 << 20) - disk.used_len(), Ordering::Relaxed);
            txn.create(
                "company",
                record! { "country" => "FR", "number" => 1, "notes" => "x".repeat(4 << 20) },
            )
        });
        let id = created.unwrap_or_else(|error| panic!("{config:?}: {error}")).id;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(store.object("company").unwrap().count(), 5001);
        assert!(store.object("company").unwrap().get(id).unwrap().is_some());
        let killed = disk.after_kill();
        killed.set_capacity(None);
        assert_eq!(config.open_on(on(&killed)).unwrap().object("company").unwrap().count(), 5001);
    }
}

#[test]
fn threads_that_commit_while_one_makes_room_lose_nothing() {
    for config in ways() {
        let disk = limited(12 << 20);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let counts: Vec<i64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || {
                        let first = thread * 1_000_000;
                        let (next, error) = load(store, 1 + thread * 7, first, i64::MAX);
                        assert_eq!(error.unwrap().kind(), ErrorKind::DiskFull);
                        next - first
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let count = counts.iter().sum::<i64>() as u64;
        assert_eq!(store.object("company").unwrap().count(), count);
        let killed = disk.after_kill();
        killed.set_capacity(None);
        assert_eq!(config.open_on(on(&killed)).unwrap().object("company").unwrap().count(), count);
    }
}

#[test]
fn a_store_that_rejects_commits_takes_every_delete_and_then_commits_again() {
    // With a checkpointer of its own the store empties segments in another order each time; how many creates find room
    // on a disk as small as this is promised without one alone.
    for (config, is_promised) in ways().into_iter().zip([false, true, true]) {
        let disk = limited(16 << 20);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let (count, _) = fill(&store, 1);
        // The store alone makes room.
        disk.set_capacity(Some(disk.used_len()));
        for number in (0..count * 3 / 4).step_by(10) {
            let deletes: Vec<_> = (number..(number + 10).min(count)).map(delete_of).collect();
            let deleted = store.apply_batch(&deletes);
            deleted.unwrap_or_else(|error| panic!("{config:?}: deleting from {number} on: {error}"));
        }
        // Pages that hold fewer records stay as long as they were, so less comes back than went.
        let (next, error) = load(&store, 1, count, count + count / 8);
        assert!(error.is_none() || !is_promised, "{config:?}: {} of {} found room", next - count, count / 8);
        assert_eq!(store.health().poisoned, None);
    }
}

#[test]
fn a_frame_that_no_freed_room_holds_is_rejected_and_smaller_ones_go_on() {
    let disk = limited(16 << 20);
    let [config, ..] = ways();
    let store = config.create_on(on(&disk), &companies()).unwrap();
    assert!(load(&store, 1, 0, 2000).1.is_none());
    let companies = store.object("company").unwrap();
    let large = "x".repeat(12 << 20);
    for _ in 0..3 {
        let key = vellum::Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), 7.into())]);
        let error = companies.update(key, patch! { "notes" => large.as_str() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert!(load(&store, 1, companies.count() as i64, companies.count() as i64 + 100).1.is_none());
    }
}

#[test]
fn a_full_disk_is_read_and_takes_no_first_commit() {
    for config in ways() {
        let disk = MemDisk::new();
        let store = config.create_on(on(&disk), &companies()).unwrap();
        disk.set_capacity(Some(disk.used_len() + 100_000));
        let before = disk.files();
        let error = store.apply(&create_of(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        let segments = |files: std::collections::BTreeMap<String, Vec<u8>>| {
            files.into_iter().filter(|(name, _)| name.starts_with("log-")).collect::<Vec<_>>()
        };
        assert_eq!(segments(disk.files()).len(), segments(before).len());
        store.close().unwrap();
        let reader = config.clone().read_only(true).open_on(on(&disk)).unwrap();
        assert_eq!(reader.object("company").unwrap().count(), 0);
        drop(reader);
        disk.set_capacity(None);
        config.open_on(on(&disk)).unwrap().apply(&create_of(0)).unwrap();
    }
}

#[test]
fn an_empty_store_takes_at_most_256_kib() {
    const MOST: u64 = 256 << 10;
    for config in ways() {
        let disk = MemDisk::new();
        let store = config.create_on(on(&disk), &companies()).unwrap();
        assert!(disk.used_len() <= MOST, "{config:?}: {} bytes while it is open", disk.used_len());
        store.checkpoint().unwrap();
        assert!(disk.used_len() <= MOST, "{config:?}: {} bytes after a checkpoint", disk.used_len());
        let killed = disk.after_kill();
        store.close().unwrap();
        for disk in [disk, killed] {
            let store = config.open_on(on(&disk)).unwrap();
            assert!(disk.used_len() <= MOST, "{config:?}: {} bytes when it is opened again", disk.used_len());
            store.close().unwrap();
            assert!(disk.used_len() <= MOST, "{config:?}: {} bytes when it is closed", disk.used_len());
        }
    }
    let dir = Dir::new("empty-store");
    Store::create(dir.path(), &companies()).unwrap().close().unwrap();
    let taken: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| std::os::unix::fs::MetadataExt::blocks(&entry.unwrap().metadata().unwrap()) * 512)
        .sum();
    assert!(taken <= MOST, "{taken} bytes");
}

#[test]
fn a_first_commit_makes_the_reserves() {
    let disk = MemDisk::new();
    let [_, _, config] = ways();
    let store = config.create_on(on(&disk), &companies()).unwrap();
    let reserves = || disk.files().keys().filter(|name| name.starts_with("reserve")).count();
    assert_eq!(reserves(), 0);
    store.apply(&create_of(0)).unwrap();
    assert_eq!(reserves(), 2);
    // From there on a full disk takes deletes and a checkpoint, in a later session too.
    drop(store);
    let store = config.open_on(on(&disk)).unwrap();
    disk.set_capacity(Some(disk.used_len()));
    store.apply(&delete_of(0)).unwrap();
    store.checkpoint().unwrap();
    disk.fail(|event| (event.op == Op::Allocate).then_some(std::io::ErrorKind::StorageFull));
    assert_eq!(store.object("company").unwrap().count(), 0);
}

#[test]
fn a_real_file_system_is_full_when_nothing_more_can_be_freed() {
    let Some(small) = SmallDisk::mount("shortage", 24) else {
        eprintln!("SKIPPED: this process may not mount, so no small file system was tried");
        return;
    };
    for (number, config) in ways().into_iter().enumerate() {
        let path = small.path().join(format!("store-{number}"));
        let store = config.create(&path, &companies()).unwrap();
        let (count, _) = fill(&store, [1000, 30, 1][number]);
        // 330 bytes each, and what the store keeps.
        assert!(count > 45_000, "{config:?}: {count} records are all on 24 MiB");
        store.close().unwrap();
        assert!(vellum_admin::verify(&path).unwrap().is_clean());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
