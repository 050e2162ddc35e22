//! A disk of 64 MiB that is filled to the last byte and freed, again and again: no acknowledged commit is
//! lost, and nobody has to restart anything (requirements 13 and 14). Deletes, checkpoints and compaction
//! alone make room again, while others hold every byte that the store does not.

use crate::common::{Dir, companies};
use crate::history::on;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vellum::{Config, Durability, ErrorKind, Key, Result, Store, Value, patch};
use vellum_testkit::{Crash, MemDisk, Op, Rng};

const CAPACITY: u64 = 64 << 20;

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

/// Length of each company's notes, as acknowledged.
type Acknowledged = BTreeMap<i64, usize>;

fn put(store: &Store, known: &mut Acknowledged, number: i64, len: usize) -> Result<()> {
    let notes = "x".repeat(len);
    store.object("company")?.upsert(key(number), patch! { "notes" => notes, "score" => len as f64 })?;
    known.insert(number, len);
    Ok(())
}

fn holds(store: &Store, known: &Acknowledged) {
    let mut found = Acknowledged::new();
    for record in store.snapshot().unwrap().iter("company").unwrap() {
        let record = record.unwrap();
        let (Some(Value::Integer(number)), Some(Value::Text(notes))) =
            (record.get("number"), record.get("notes"))
        else {
            panic!("half a record: {record:?}");
        };
        found.insert(*number, notes.len());
    }
    assert!(found == *known, "{} companies expected, {} found, or other notes", known.len(), found.len());
}

/// Commits until there is no room; how many were taken.
fn fill(store: &Store, known: &mut Acknowledged, first: i64, len: usize, checkpoints: bool) -> i64 {
    for number in first.. {
        let mut result = put(store, known, number, len);
        if result.is_err() && !checkpoints {
            // The store's own thread may be about to make room; whether there is any is known behind this.
            let _ = store.checkpoint();
            result = put(store, known, number, len);
        }
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            assert_eq!(store.object("company").unwrap().count(), known.len() as u64);
            return number - first;
        }
        if number % 64 == 63 && checkpoints {
            // What would happen in the background; without room it is told and tried again.
            if let Err(error) = store.checkpoint() {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                assert!(store.health().checkpoint.is_some());
            }
        }
    }
    unreachable!("64 MiB are full some day")
}

/// Deletes seven of eight companies. Where the log or the reserve is used up, the caller takes the
/// checkpoint that a thread would.
fn thin_out(store: &Store, known: &mut Acknowledged, checkpoints: bool) {
    let companies = store.object("company").unwrap();
    for number in known.keys().copied().filter(|number| number % 8 != 0).collect::<Vec<_>>() {
        let mut result = companies.delete(key(number));
        for _ in 0..100 {
            match &result {
                Err(error) if error.kind() == ErrorKind::DiskFull => {}
                _ => break,
            }
            if checkpoints {
                store.checkpoint().unwrap_or_else(|error| panic!("deleting {number}: {error}"));
            } else {
                // The store's own thread takes it.
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            result = companies.delete(key(number));
        }
        result.unwrap_or_else(|error| panic!("deleting {number}: {error}"));
        known.remove(&number);
    }
}

#[test]
fn requirement_14_a_disk_of_64_mib_is_filled_to_the_last_byte_and_freed_repeatedly() {
    for mapped in [true, false] {
        let disk = MemDisk::new();
        disk.set_capacity(Some(CAPACITY));
        let config = Config::new().threads(false).durability(Durability::Sync).log_mapped(mapped).seed(3);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let mut known = Acknowledged::new();
        for round in 0..4i64 {
            let first = round * 1_000_000;
            let taken = fill(&store, &mut known, first, 60_000, true);
            assert!(taken > 100, "round {round}: {taken} commits of 60 kB are all");
            // Somebody else takes what is left, to the last byte.
            disk.set_capacity(Some(disk.used_len()));
            fill(&store, &mut known, first + 500_000, 300, true);
            disk.set_capacity(Some(disk.used_len()));
            holds(&store, &known);
            if round == 1 {
                let mut rng = Rng::new(round as u64);
                for left in [disk.after_kill(), disk.after_crash(&mut rng, &Crash::NOTHING_KEPT)] {
                    left.set_capacity(None);
                    holds(&config.open_on(on(&left)).unwrap(), &known);
                }
            }
            // Nobody makes room but the store: deletes are let through, and make some.
            thin_out(&store, &mut known, true);
            store.compact().unwrap_or_else(|error| panic!("round {round}: {error}"));
            store.checkpoint().unwrap();
            assert_eq!(store.health().checkpoint, None);
            let taken = fill(&store, &mut known, first + 700_000, 60_000, true);
            assert!(taken > 50, "round {round}: after the deletes only {taken} commits of 60 kB found room");
            holds(&store, &known);
            thin_out(&store, &mut known, true);
            store.compact().unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(store.health().poisoned, None);
            disk.set_capacity(Some(CAPACITY));
        }
        store.close().unwrap();
        disk.set_capacity(None);
        holds(&config.open_on(on(&disk)).unwrap(), &known);
    }
}

/// A store on a disk that is filled to the last byte, with something to write for a checkpoint.
fn full(known: &mut Acknowledged) -> (MemDisk, Arc<Store>) {
    let disk = MemDisk::new();
    disk.set_capacity(Some(CAPACITY));
    let config = Config::new().threads(false).durability(Durability::Buffered).seed(3);
    let store = config.create_on(on(&disk), &companies()).unwrap();
    fill(&store, known, 0, 60_000, true);
    store.checkpoint().unwrap();
    disk.set_capacity(Some(disk.used_len()));
    for number in 0..3 {
        store.object("company").unwrap().delete(key(number)).unwrap();
        known.remove(&number);
    }
    (disk, Arc::new(store))
}

#[test]
fn requirement_14_who_commits_beside_a_checkpoint_takes_none_of_the_room_that_was_reserved_for_it() {
    // Found on a real file system under load: commits made the reserve again, or a log file, of the room that a
    // checkpoint had just given up for itself, and it failed for ever.
    let mut known = Acknowledged::new();
    let (disk, store) = full(&mut known);
    let (refused, beside) = (Arc::new(AtomicUsize::new(0)), (disk.clone(), Arc::clone(&store)));
    let counted = Arc::clone(&refused);
    disk.on_call(move |event| {
        let (disk, store) = &beside;
        if event.op != Op::Write || !event.name.starts_with("seg-") {
            return;
        }
        let before = disk.used_len();
        let companies = store.object("company").unwrap();
        for result in [companies.delete(key(7)), companies.upsert(key(7), patch! { "score" => 1.0 })] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::DiskFull);
            counted.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(disk.used_len(), before);
    });
    store.checkpoint().unwrap();
    disk.no_hook();
    assert!(refused.load(Ordering::Relaxed) > 0, "the checkpoint wrote no segment");
    thin_out(&store, &mut known, true);
    holds(&store, &known);
}

#[test]
fn requirement_14_a_checkpoint_whose_room_somebody_else_took_goes_on_in_that_of_the_log() {
    let mut known = Acknowledged::new();
    let (disk, store) = full(&mut known);
    let thief = disk.clone();
    disk.on_call(move |event| {
        if event.op == Op::Create
            && event.name.starts_with("seg-")
            && thief.files().contains_key("reserve-log")
        {
            thief.set_capacity(Some(thief.used_len() + 24_000));
        }
    });
    store.checkpoint().unwrap();
    disk.no_hook();
    // He keeps it, and still the store makes its own room again.
    thin_out(&store, &mut known, true);
    store.compact().unwrap();
    holds(&store, &known);
    let lens: Vec<_> = disk.files().iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect();
    assert!(["reserve", "reserve-log"].iter().all(|name| disk.files().contains_key(*name)), "{lens:?}");
}

/// A small file system, where this process may mount one.
pub struct SmallDisk(Dir);

impl SmallDisk {
    pub fn mount(name: &str, mib: u64) -> Option<SmallDisk> {
        let dir = Dir::new(name);
        std::fs::create_dir_all(dir.path()).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}M"), "none"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk(dir))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// Somebody else takes what is free, to the last byte.
fn take_the_rest(path: &Path) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    for len in [1 << 20, 4096, 1] {
        let zeros = vec![7; len];
        while file.write_all(&zeros).is_ok() {}
    }
}

#[test]
fn requirement_14_a_real_file_system_of_64_mib_is_filled_and_freed_beside_the_threads_of_the_store() {
    let Some(small) = SmallDisk::mount("small-disk", 64) else {
        eprintln!("SKIPPED: this process may not mount, so no small file system was tried");
        return;
    };
    let config = Config::new().durability(Durability::Buffered).dirty_budget(8 << 20);
    let store = config.create(small.path().join("store"), &companies()).unwrap();
    let (mut known, thief) = (Acknowledged::new(), small.path().join("thief"));
    // Which of its files the store finds room for first is a matter of time; in the end there is room.
    let fill_past = |known: &mut Acknowledged, first: i64, wanted: i64| {
        let mut taken = 0;
        for _ in 0..200 {
            taken += fill(&store, known, first + taken, 60_000, false);
            if taken > wanted {
                return;
            }
            let _ = store.compact();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("from {first} on: {taken} commits of 60 kB are all");
    };
    for round in 0..3i64 {
        let first = round * 1_000_000;
        fill_past(&mut known, first, 100);
        // Who takes the room of a checkpoint that runs can starve it for as long as he keeps it: so each time the
        // one that a refused commit asked for is over first.
        let _ = store.checkpoint();
        take_the_rest(&thief);
        fill(&store, &mut known, first + 500_000, 300, false);
        let _ = store.checkpoint();
        take_the_rest(&thief);
        holds(&store, &known);
        thin_out(&store, &mut known, false);
        store.compact().unwrap_or_else(|error| panic!("round {round}: {error}"));
        fill_past(&mut known, first + 700_000, 50);
        holds(&store, &known);
        thin_out(&store, &mut known, false);
        store.compact().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(store.health().poisoned, None);
        std::fs::remove_file(&thief).unwrap();
    }
    store.close().unwrap();
    holds(&config.open(small.path().join("store")).unwrap(), &known);
    assert!(vellum_admin::verify(small.path().join("store")).unwrap().is_clean());
}

#[test]
fn snapshots_between_writes_reserve_no_more_room_than_writes_alone() {
    // Each snapshot makes the next write copy its group; what was counted as dirty once is not counted again.
    let reserved = |snapshots: bool| {
        let disk = MemDisk::new();
        let config = Config::new().threads(false).durability(Durability::Buffered).seed(3);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let mut known = Acknowledged::new();
        (0..300).for_each(|number| put(&store, &mut known, number, 200).unwrap());
        for number in 300..1500 {
            put(&store, &mut known, number, 200).unwrap();
            if snapshots {
                drop(store.snapshot().unwrap());
            }
        }
        disk.files()["reserve"].len()
    };
    let (without, with) = (reserved(false), reserved(true));
    assert!(with <= without * 2, "{with} bytes with snapshots, {without} without");
}

#[test]
fn a_reserve_that_a_power_cut_made_of_a_log_file_is_made_anew() {
    // Found by the simulation (seed 61376): on a full disk the log took its reserve for a file; the power cut took
    // the new name back, so that the reserve held a log's header, and `verify` called it a sign of a bad disk.
    let dir = Dir::new("reserve-renamed");
    let config = Config::new().seed(5);
    let store = config.create(dir.path(), &companies()).unwrap();
    put(&store, &mut Acknowledged::new(), 0, 200).unwrap();
    store.close().unwrap();
    let reserve = dir.path().join("reserve-log");
    let log = std::fs::read(dir.path().join("log-00000001")).unwrap();
    let mut held = std::fs::OpenOptions::new().write(true).open(&reserve).unwrap();
    held.write_all(&log[..4096]).unwrap();
    assert!(!vellum_admin::verify(dir.path()).unwrap().is_clean(), "a log's header is in the reserve");
    config.open(dir.path()).unwrap().close().unwrap();
    assert!(vellum_admin::verify(dir.path()).unwrap().is_clean(), "it was made anew");
}
