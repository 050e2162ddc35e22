//! Backup and restore: a copy is the state of one commit, verified, and there as a whole or not at all.
//! Requirement 10.

use crate::common::{Dir, StopAtEnd, companies, create, quick};
use crate::damage::{Random, change, config, files, images, make, name_of, read_files, store_on_disk};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum::{Config, ErrorKind, Key, Record, RecordId, Store, Value, patch, record};
use vellum_admin::{verify, verify_on};
use vellum_testkit::{MemDisk, Rng};

fn content(store: &Store) -> BTreeMap<RecordId, Record> {
    let snapshot = store.snapshot().unwrap();
    let records: Vec<Record> = snapshot.iter("company").unwrap().map(|record| record.unwrap()).collect();
    records.into_iter().map(|record| (record.id, record)).collect()
}

#[test]
fn a_copy_has_everything_and_a_restored_store_goes_on() {
    let (dir, _) = store_on_disk("backup", true);
    let store = config().open(dir.path()).unwrap();
    (1..40).step_by(2).for_each(|n| change(&store, n));
    let (copy, restored) = (Dir::new("backup-copy"), Dir::new("backup-restored"));
    let mut told = Vec::new();
    let progress = std::sync::Mutex::new(&mut told);
    let report =
        vellum_admin::backup_with(&store, copy.path(), &|at| progress.lock().unwrap().push(at)).unwrap();
    assert_eq!(report.lsn, store.applied_lsn());
    assert!(told.windows(2).all(|pair| pair[0].done_count < pair[1].done_count) && !told.is_empty());
    let expected = content(&store);
    assert_eq!(report.verified.record_count as usize, expected.len());
    drop(store);
    let before = read_files(copy.path());
    let backup = Config::new().read_only(true).open(copy.path()).unwrap();
    assert!(backup.recovery().clean);
    assert_eq!(content(&backup), expected);
    vellum_admin::backup(&backup, restored.path()).unwrap();
    assert!(before == read_files(copy.path()), "restoring reads only");
    let store = config().open(restored.path()).unwrap();
    assert_eq!(content(&store), expected);
    make(&store, 700);
    store.checkpoint().unwrap();
    store.close().unwrap();
    assert!(verify(restored.path()).unwrap().is_clean());
}

#[test]
fn a_directory_that_is_not_empty_is_left_alone() {
    let dir = Dir::new("backup-onto");
    let store = create(&dir);
    make(&store, 1);
    assert_eq!(vellum_admin::backup(&store, dir.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let other = Dir::new("backup-other");
    std::fs::create_dir_all(other.path()).unwrap();
    std::fs::write(other.path().join("letter"), "dear").unwrap();
    assert_eq!(vellum_admin::backup(&store, other.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(read_files(other.path()).len(), 1);
    make(&store, 2);
}

#[test]
fn a_damaged_page_is_never_copied() {
    let (dir, _) = store_on_disk("backup-damaged", true);
    let path = &files(dir.path())[1..].iter().find(|path| name_of(path).starts_with("seg-")).unwrap().clone();
    let mut bytes = std::fs::read(path).unwrap();
    let at = *images(&bytes, 1).last().unwrap();
    bytes[at + 64] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let store = Config::new().read_only(true).open(dir.path()).unwrap();
    let copy = Dir::new("backup-damaged-copy");
    let error = vellum_admin::backup(&store, copy.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.place().unwrap().file, name_of(path));
    assert!(files(copy.path()).is_empty(), "nothing is left of it");
    assert_eq!(Store::open(copy.path()).unwrap_err().kind(), ErrorKind::NotAStore);
}

#[test]
fn a_hundred_copies_beside_writers_each_verify_and_show_one_commit() {
    // Writers move amounts between records in one transaction each: the sum never changes. Checkpoints and
    // compactions run meanwhile.
    let dir = Dir::new("backup-writers");
    let store = quick().create(dir.path(), &companies()).unwrap();
    for n in 0..40i64 {
        let values =
            record! { "country" => "DE", "number" => n, "score" => 100.0, "name" => format!("company {n}") };
        store.object("company").unwrap().create(values).unwrap();
    }
    let stop = AtomicBool::new(false);
    let by_number =
        |n: u64| Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), (n as i64).into())]);
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                while !stop.load(Ordering::Relaxed) {
                    let (from, to) = (random.next(40), random.next(40));
                    let moved = store.transaction(|txn| {
                        let read = |record: Option<Record>| match record.unwrap().get("score") {
                            Some(Value::Number(score)) => *score,
                            other => panic!("{other:?}"),
                        };
                        let score = read(txn.get("company", by_number(from))?);
                        txn.update("company", by_number(from), patch! { "score" => score - 1.0 })?;
                        let score = read(txn.get("company", by_number(to))?);
                        txn.update(
                            "company",
                            by_number(to),
                            patch! { "score" => score + 1.0, "notes" => "moved ".repeat(20) },
                        )?;
                        Ok(())
                    });
                    moved.unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
                store.compact().unwrap();
            }
        });
        let _stop = StopAtEnd(&stop);
        let mut last = vellum::Lsn(0);
        for number in 0..100 {
            let disk = MemDisk::new();
            let report = vellum_admin::backup_on(&store, Arc::new(disk.clone()), &|_| {}).unwrap();
            assert!(report.lsn >= last, "copy {number}");
            last = report.lsn;
            let copy = Config::new().read_only(true).open_on(Arc::new(disk)).unwrap();
            let scores = content(&copy).into_values().map(|record| match record.get("score") {
                Some(Value::Number(score)) => *score,
                other => panic!("{other:?}"),
            });
            assert_eq!(scores.sum::<f64>(), 4000.0, "copy {number} at lsn {last}");
        }
    });
}

/// A store in memory with checkpoints behind it and a log.
fn in_memory() -> Store {
    let store = config().create_on(Arc::new(MemDisk::new()), &companies()).unwrap();
    (0..120).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    (0..60).for_each(|n| change(&store, n));
    store
}

#[test]
fn a_crash_or_an_error_at_any_point_leaves_no_copy_or_a_whole_one() {
    let store = in_memory();
    let expected = content(&store);
    let whole = MemDisk::new();
    whole.record();
    vellum_admin::backup_on(&store, Arc::new(whole.clone()), &|_| {}).unwrap();
    let calls = whole.trace();
    assert!(calls.len() > 10, "{calls:?}");
    let mut complete = 0;
    for (failing, call) in calls.iter().enumerate() {
        for once in [true, false] {
            let disk = MemDisk::new();
            let mut count = 0;
            disk.fail(move |_| {
                count += 1;
                let fails = if once { count == failing + 1 } else { count > failing };
                fails.then_some(std::io::ErrorKind::Other)
            });
            let result = vellum_admin::backup_on(&store, Arc::new(disk.clone()), &|_| {});
            let what = format!("call {failing} {call:?}, once: {once}: {result:?}");
            disk.heal();
            let mut rng = Rng::new(failing as u64);
            let mut states = vec![disk.after_kill()];
            states.extend((0..4).map(|kept| disk.after_power_cut(&mut rng, kept)));
            for state in states {
                let opened = Config::new().read_only(true).open_on(Arc::new(state.clone()));
                match opened {
                    Ok(copy) => {
                        assert_eq!(content(&copy), expected, "{what}");
                        assert!(verify_on(Arc::new(state)).unwrap().is_clean(), "{what}");
                        complete += 1;
                    }
                    Err(error) => {
                        assert!(result.is_err(), "{what}: it was reported done, and {error}");
                        assert_eq!(error.kind(), ErrorKind::NotAStore, "{what}: {error}");
                    }
                }
            }
        }
    }
    assert!(complete > 0, "some crashes come after the superblock");
    assert_eq!(content(&store), expected, "the store itself goes on");
}
