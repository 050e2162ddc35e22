//! A store is its directory, not a path: what becomes of the path, and of the directory's files, while it is open.

use crate::common::{Dir, companies, quick};
use crate::damage::make;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vellum::{Config, Durability, ErrorKind, Store};
use vellum_admin::verify;

const DURABILITIES: [Durability; 3] = [Durability::Sync, Durability::Interval(5), Durability::Buffered];

fn settings(durability: Durability) -> Config {
    // Small files, so that many are created, recycled and removed.
    Config::new().durability(durability).log_file_len(16 << 10, 64 << 10).checkpoint_log_len(64 << 10)
}

/// A directory with a store `data` of twenty records, for each durability, with and without background work.
fn each_store(name: &str, check: impl Fn(&Dir, &Path, (Config, Durability), Store)) {
    for durability in DURABILITIES {
        for background in [true, false] {
            let dir = Dir::new(name);
            fs::create_dir_all(dir.path()).unwrap();
            let path = dir.path().join("data");
            let config = settings(durability).background(background);
            let store = config.create(&path, &companies()).unwrap();
            (0..20).for_each(|n| make(&store, n));
            check(&dir, &path, (config, durability), store);
        }
    }
}

/// Commits enough for several log files and checkpoints.
fn work(store: &Store, numbers: std::ops::Range<i64>) {
    for n in numbers {
        make(store, n);
        if n % 100 == 0 {
            store.checkpoint().unwrap();
        }
    }
}

fn other_store(path: &Path) {
    let store = quick().create(path, &companies()).unwrap();
    make(&store, 5000);
    store.close().unwrap();
}

/// Closed, sound, and with so many records.
fn is_sound(path: &Path, count: u64) {
    let report = verify(path).unwrap();
    assert!(report.is_clean(), "{}: {report:#?}", path.display());
    let store = quick().open(path).unwrap();
    assert_eq!(store.object("company").unwrap().count(), count, "{}", path.display());
}

#[test]
fn a_store_whose_directory_is_renamed_goes_on_and_the_one_at_its_path_is_left_alone() {
    each_store("dir-renamed", |dir, path, _, store| {
        let moved = dir.path().join("data.old");
        fs::rename(path, &moved).unwrap();
        other_store(path);
        work(&store, 20..320);
        store.wait_durable(store.applied_lsn()).unwrap();
        store.close().unwrap();
        is_sound(&moved, 320);
        is_sound(path, 1);
    });
}

#[test]
fn a_store_behind_a_link_that_is_switched_goes_on_where_it_was() {
    each_store("dir-link", |dir, path, (config, _), store| {
        store.close().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(path, &link).unwrap();
        let store = config.open(&link).unwrap();
        let other = dir.path().join("other");
        other_store(&other);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        work(&store, 20..320);
        store.close().unwrap();
        is_sound(path, 320);
        is_sound(&other, 1);
    });
}

#[test]
fn a_store_below_a_directory_that_is_renamed_goes_on() {
    each_store("dir-parent", |dir, path, (config, _), store| {
        store.close().unwrap();
        let (above, moved) = (dir.path().join("above"), dir.path().join("elsewhere"));
        fs::create_dir(&above).unwrap();
        fs::rename(path, above.join("data")).unwrap();
        let store = config.open(above.join("data")).unwrap();
        fs::rename(&above, &moved).unwrap();
        fs::create_dir(&above).unwrap();
        other_store(&above.join("data"));
        work(&store, 20..320);
        let store = store.reopen().unwrap();
        work(&store, 320..340);
        store.close().unwrap();
        is_sound(&moved.join("data"), 340);
        is_sound(&above.join("data"), 1);
    });
}

/// Commits until the store reports that its files are not the ones it opened, and returns what it says.
fn until_poisoned(store: &Store, durability: Durability) -> String {
    let started = Instant::now();
    let before = store.durable_lsn();
    for n in 10_000.. {
        let companies = store.object("company").unwrap();
        let created = companies.create(vellum::record! { "country" => "DE", "number" => n });
        assert_eq!(store.durable_lsn(), before, "a commit is reported durable in a store that is not there");
        match created {
            Ok(_) => assert_ne!(durability, Durability::Sync, "a waited-for commit was acknowledged"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                return error.to_string();
            }
        }
        assert!(started.elapsed() < Duration::from_secs(60), "commits go on for ever");
        std::thread::sleep(Duration::from_millis(1));
    }
    unreachable!("numbers do not end")
}

#[test]
fn a_store_whose_directory_was_deleted_stops_and_the_new_one_is_left_alone() {
    each_store("dir-deleted", |_, path, (_, durability), store| {
        store.wait_durable(store.applied_lsn()).unwrap();
        fs::remove_dir_all(path).unwrap();
        other_store(path);
        let text = until_poisoned(&store, durability);
        assert!(text.contains("superblock") && text.contains("was deleted"), "{text}");
        assert!(store.checkpoint().is_err());
        let snapshot = store.snapshot().map(drop).unwrap_err();
        assert_eq!(snapshot.kind(), ErrorKind::Poisoned);
        drop(store);
        is_sound(path, 1);
    });
}

#[test]
fn a_store_whose_files_are_deleted_or_replaced_stops() {
    // The file that takes frames: a thread may have prepared another one, which has none yet.
    let log = |path: &Path| -> PathBuf {
        let mut files: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_str().unwrap().contains("/log-") && path.extension().is_none());
        files.sort();
        let has_frames = |path: &PathBuf| fs::read(path).unwrap()[4096..].iter().any(|byte| *byte != 0);
        files.into_iter().rfind(has_frames).expect("a log file with frames")
    };
    for event in 0..5 {
        each_store("dir-files", |dir, path, (_, durability), store| {
            store.wait_durable(store.applied_lsn()).unwrap();
            let other = dir.path().join("other");
            other_store(&other);
            let (superblock, log) = (path.join("superblock"), log(path));
            match event {
                0 => fs::remove_file(&superblock).unwrap(),
                1 => fs::rename(other.join("superblock"), &superblock).unwrap(),
                2 => fs::write(&superblock, fs::read(other.join("superblock")).unwrap()).unwrap(),
                3 => {
                    for entry in fs::read_dir(path).unwrap() {
                        let entry = entry.unwrap().path();
                        if entry.to_str().unwrap().contains("/log-") {
                            fs::remove_file(entry).unwrap();
                        }
                    }
                }
                _ => {
                    let copy = dir.path().join("copy");
                    fs::copy(&log, &copy).unwrap();
                    fs::rename(&copy, &log).unwrap();
                }
            }
            let text = until_poisoned(&store, durability);
            let expected =
                ["was deleted", "was replaced", "holds another store", "was deleted", "was replaced"];
            assert!(text.contains(expected[event]), "event {event}: {text}");
        });
    }
}

#[test]
fn deleting_replacing_or_restoring_the_lock_file_changes_nothing() {
    each_store("dir-lock", |_, path, (config, _), store| {
        let lock = path.join("lock");
        for event in 0..3 {
            match event {
                0 => fs::remove_file(&lock).unwrap(),
                1 => fs::write(&lock, "1 1\n").unwrap(),
                _ => fs::write(&lock, "").unwrap(),
            }
            let error = config.open(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
            assert!(error.to_string().contains("in this process"), "{error}");
            make(&store, 100 + event);
        }
        store.close().unwrap();
        is_sound(path, 23);
    });
}

#[test]
fn a_backup_goes_where_its_directory_is_taken() {
    let dir = Dir::new("dir-backup");
    fs::create_dir_all(dir.path()).unwrap();
    let store = quick().create(dir.path().join("data"), &companies()).unwrap();
    (0..2000).for_each(|n| make(&store, n));
    let (path, moved) = (dir.path().join("copy"), dir.path().join("moved"));
    let report = vellum_admin::backup_with(&store, &path, &|_| {
        if !moved.exists() {
            fs::rename(&path, &moved).unwrap();
            other_store(&path);
        }
    });
    assert_eq!(report.unwrap().lsn, store.applied_lsn());
    is_sound(&moved, 2000);
    is_sound(&path, 1);
}

#[test]
fn a_writer_opens_while_readers_read_and_readers_while_a_writer_opens() {
    let dir = Dir::new("dir-readers");
    let store = quick().create(dir.path(), &companies()).unwrap();
    (0..50).for_each(|n| make(&store, n));
    store.close().unwrap();
    let reader = quick().read_only(true).open(dir.path()).unwrap();
    for round in 0..5 {
        let store = quick().open(dir.path()).unwrap();
        let beside = quick().read_only(true).open(dir.path()).unwrap();
        make(&store, 100 + round);
        assert_eq!(beside.object("company").unwrap().count(), 50 + round as u64);
        store.checkpoint().unwrap();
        store.compact().unwrap();
        store.close().unwrap();
    }
    // It sees what it opened, although every file of it was replaced since.
    assert_eq!(reader.snapshot().unwrap().iter("company").unwrap().filter_map(Result::ok).count(), 50);
}

#[test]
fn a_writer_waits_for_the_lock_as_long_as_it_is_told() {
    let dir = Dir::new("dir-wait");
    let store = quick().create(dir.path(), &companies()).unwrap();
    let started = Instant::now();
    let error = quick().lock_wait(Duration::from_millis(50)).open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(started.elapsed() >= Duration::from_millis(50));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| quick().lock_wait(Duration::from_secs(600)).open(dir.path()).unwrap());
        make(&store, 1);
        drop(store);
        assert_eq!(waiting.join().unwrap().object("company").unwrap().count(), 1);
    });
}
