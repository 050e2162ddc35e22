//! Repair: what is intact comes back exactly, what is not is listed, the damaged store is only read.
//! Requirement 25.

use crate::common::{Dir, companies};
use crate::damage::{
    Random, World, change, copy_dir, damaged, factor, files, images, lived_store, make, name_of, read_files,
    store_on_disk, tiny_store, with_flip,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use vellum::{Config, ErrorKind, Record, RecordId, Store};
use vellum_admin::{Repair, RepairReport, verify};
use vellum_testkit::MemDisk;

type Records = BTreeMap<RecordId, Record>;

fn newest(world: &World) -> Records {
    records_at(world, world.last())
}

fn records_at(world: &World, lsn: u64) -> Records {
    let state = &world.states[&lsn];
    state.iter().filter(|(name, _)| name.starts_with("id ")).map(|(_, r)| (r.id, r.clone())).collect()
}

fn all_records(dir: &Path) -> Records {
    let store = Config::new().read_only(true).open(dir).unwrap();
    let snapshot = store.snapshot().unwrap();
    let records: Records = snapshot.iter("company").unwrap().map(|r| r.unwrap()).map(|r| (r.id, r)).collect();
    for record in records.values() {
        let companies = store.object("company").unwrap();
        assert_eq!(companies.get(record.id).unwrap().as_ref(), Some(record));
    }
    records
}

/// Repairs and checks: each record of the new store is as it was, but for attributes that the report
/// lists; each that is missing is listed, by id or by row. Returns what was salvaged.
fn repair(dir: &Path, expected: &Records, how: Repair, what: &str) -> (RepairReport, Records) {
    let into = Dir::new("repaired");
    let report = how.run(dir, into.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(verify(into.path()).unwrap().is_clean(), "{what}");
    let found = all_records(into.path());
    assert_eq!(report.record_count as usize, found.len(), "{what}");
    for (id, record) in &found {
        let Some(expected) = expected.get(id) else { panic!("{what}: record {id} never was") };
        let head = |r: &Record| (r.version, r.counter, r.created_at, r.updated_at);
        assert_eq!(head(record), head(expected), "{what}: {id}");
        let lost: BTreeSet<&str> = report
            .losses
            .iter()
            .filter(|loss| loss.records.contains(id))
            .flat_map(|loss| loss.attributes.iter().map(String::as_str))
            .collect();
        for (name, value) in record.iter() {
            assert_eq!(expected.get(name), Some(value), "{what}: {id}.{name}");
        }
        for (name, _) in expected.iter() {
            assert!(
                record.get(name).is_some() || lost.contains(name),
                "{what}: {id}.{name} is gone unlisted"
            );
        }
    }
    let rows: u64 =
        report.losses.iter().filter_map(|loss| loss.rows).map(|(first, last)| last - first + 1).sum();
    let listed = |id: &RecordId| report.losses.iter().any(|loss| loss.records.contains(id));
    let unlisted = expected.keys().filter(|id| !found.contains_key(id) && !listed(id)).count();
    assert!(unlisted as u64 <= rows, "{what}: {unlisted} records are missing unlisted: {report:#?}");
    (report, found)
}

fn complete(dir: &Path, expected: &Records, what: &str) -> RepairReport {
    let (report, found) = repair(dir, expected, Repair::new(), what);
    assert!(report.is_complete(), "{what}: {report:#?}");
    assert_eq!(&found, expected, "{what}");
    report
}

#[test]
fn a_sound_store_comes_back_whole_and_is_not_touched() {
    for closed in [true, false] {
        for (dir, world) in [store_on_disk("repair-sound", closed), tiny_store("repair-tiny", closed)] {
            let before = read_files(dir.path());
            let report = complete(dir.path(), &newest(&world), "sound");
            assert!(report.notes.is_empty(), "{report:#?}");
            assert!(before == read_files(dir.path()));
        }
    }
}

#[test]
fn what_is_there_already_is_not_written_over() {
    let (dir, _) = tiny_store("repair-over", true);
    for into in [dir.path().to_path_buf(), {
        let other = tiny_store("repair-other", true).0;
        let path = other.path().to_path_buf();
        std::mem::forget(other);
        path
    }] {
        let before = read_files(&into);
        let error = vellum_admin::repair(dir.path(), &into).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert!(before == read_files(&into));
        if into != dir.path() {
            std::fs::remove_dir_all(into).unwrap();
        }
    }
    let nothing = Dir::new("repair-nothing");
    let into = Dir::new("repair-into");
    assert_eq!(vellum_admin::repair(nothing.path(), into.path()).unwrap_err().kind(), ErrorKind::NotAStore);
    assert!(!into.path().exists());
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(vellum_admin::repair(dir.path(), into.path()).unwrap_err().kind(), ErrorKind::Locked);
    drop(store);
}

/// A store whose log does not go back to the first commit: made by a repair, then changed.
fn aged_store(closed: bool) -> (Dir, World) {
    let (young, _) = store_on_disk("repair-young", true);
    let dir = Dir::new("repair-aged");
    vellum_admin::repair(young.path(), dir.path()).unwrap();
    let mut world = World::default();
    let store = crate::damage::config().open(dir.path()).unwrap();
    (1..150).step_by(4).for_each(|n| change(&store, n));
    store.checkpoint().unwrap();
    (3..150).step_by(4).for_each(|n| change(&store, n));
    world.note(&store);
    if closed {
        store.close().unwrap();
        return (dir, world);
    }
    let killed = copy_dir(dir.path(), "repair-aged-killed");
    drop(store);
    (killed, world)
}

#[test]
fn with_one_damaged_page_all_else_is_salvaged() {
    // Each image of each segment is damaged in turn, once in its head and once in its payload.
    for closed in [true, false] {
        let (dir, world) = aged_store(closed);
        let expected = newest(&world);
        let (mut whole, mut tried, mut lost_schemas) = (0, 0, 0);
        for path in files(dir.path()).iter().filter(|path| name_of(path).starts_with("seg-")) {
            let bytes = std::fs::read(path).unwrap();
            for kind in [1, 2, 3, 4] {
                for (nth, at) in images(&bytes, kind).into_iter().enumerate() {
                    let payload = u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap()) as usize;
                    let column = u32::from_le_bytes(bytes[at + 24..at + 28].try_into().unwrap());
                    let tree = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap());
                    let places = if factor() > 1 {
                        vec![at + 9, at + 64]
                    } else {
                        vec![at + if nth % 2 == 0 { 9 } else { 64 }]
                    };
                    for place in places.into_iter().filter(|place| *place < at + 64 + payload) {
                        let what = format!(
                            "{} kind {kind} tree {tree} column {column:#x}, byte {place}, closed: {closed}",
                            name_of(path)
                        );
                        with_flip(path, &bytes, place, 0, || {
                            // The schema is on one page, and in the log of a store that never let go of it.
                            if tree == 0 && kind == 1 {
                                let into = Dir::new("repaired");
                                if let Err(error) = vellum_admin::repair(dir.path(), into.path()) {
                                    assert!(error.to_string().contains("schema"), "{what}: {error}");
                                    assert!(!into.path().join("superblock").exists());
                                    let how = Repair::new().schema(companies());
                                    let (report, found) = repair(dir.path(), &expected, how, &what);
                                    assert!(report.is_complete() && found == expected, "{what}: {report:#?}");
                                    lost_schemas += 1;
                                    return;
                                }
                            }
                            let (report, found) = repair(dir.path(), &expected, Repair::new(), &what);
                            tried += 1;
                            whole += u64::from(found == expected);
                            if !matches!(kind, 1 | 2) || tree == 1 {
                                assert!(report.is_complete(), "{what}: {report:#?}");
                                assert_eq!(found, expected, "{what}");
                            }
                            if column != 0 {
                                assert_eq!(found.len(), expected.len(), "{what}: a record is gone");
                            }
                        });
                    }
                }
            }
        }
        assert!(tried > 40 && whole < tried, "{whole} of {tried}");
        assert!(lost_schemas > 0, "no schema was lost");
    }
}

#[test]
fn without_a_superblock_the_newest_checkpoint_is_found() {
    for closed in [true, false] {
        for (dir, world) in [store_on_disk("repair-super", closed), tiny_store("repair-super", closed), {
            let (dir, world, _) = lived_store("repair-super", closed);
            (dir, world)
        }] {
            std::fs::write(dir.path().join("superblock"), [0u8; 8192]).unwrap();
            complete(dir.path(), &newest(&world), "zeroed superblock");
            std::fs::remove_file(dir.path().join("superblock")).unwrap();
            complete(dir.path(), &newest(&world), "no superblock");
        }
    }
}

/// Zeroes every image of some kinds in every segment.
fn zero_images(dir: &Path, kinds: &[u8]) {
    for path in files(dir).iter().filter(|path| name_of(path).starts_with("seg-")) {
        let mut bytes = std::fs::read(path).unwrap();
        for kind in kinds {
            for at in images(&bytes.clone(), *kind) {
                bytes[at..at + 64].fill(0);
            }
        }
        std::fs::write(path, &bytes).unwrap();
    }
}

#[test]
fn without_a_page_table_pages_are_found_by_scanning() {
    for closed in [true, false] {
        for no_superblock in [false, true] {
            let (dir, world) = aged_store(closed);
            zero_images(dir.path(), &[3, 4]);
            if no_superblock {
                std::fs::remove_file(dir.path().join("superblock")).unwrap();
            }
            let what = format!("no table, closed: {closed}, no superblock: {no_superblock}");
            let (report, found) =
                repair(dir.path(), &newest(&world), Repair::new().keep_doubtful(true), &what);
            assert_eq!(found, newest(&world), "{what}: {report:#?}");
            // Nobody knows what the zeroed places held, so no page in front of them is proven.
            let (report, found) = repair(dir.path(), &newest(&world), Repair::new(), &what);
            assert!(!report.is_complete() && found.len() < newest(&world).len(), "{what}");
        }
    }
}

#[test]
fn a_segment_that_is_gone_or_cut_takes_only_its_pages_with_it() {
    let (dir, world) = store_on_disk("repair-gone", true);
    let expected = newest(&world);
    for path in files(dir.path()).iter().filter(|path| name_of(path).starts_with("seg-")) {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        let into = Dir::new("repaired");
        if Repair::new().run(dir.path(), into.path()).is_ok() {
            repair(dir.path(), &expected, Repair::new(), &format!("{} cut", name_of(path)));
        }
        std::fs::remove_file(path).unwrap();
        let into = Dir::new("repaired");
        if Repair::new().run(dir.path(), into.path()).is_ok() {
            repair(dir.path(), &expected, Repair::new(), &format!("{} gone", name_of(path)));
        }
        std::fs::write(path, &bytes).unwrap();
    }
    complete(dir.path(), &expected, "all put back");
}

#[test]
fn behind_a_damaged_frame_what_a_version_proves_is_salvaged() {
    // Ten records, one after the other; then each is changed twice. A frame is damaged in turn.
    let dir = Dir::new("repair-frame");
    let store = crate::damage::config().durability(vellum::Durability::Sync);
    let store = store.create(dir.path(), &companies()).unwrap();
    let mut world = World::default();
    (0..10).for_each(|n| make(&store, n));
    let object = store.object("company").unwrap();
    for round in 0..2i64 {
        for n in 0..10 {
            object
                .update(
                    crate::damage::by_number(n),
                    vellum::patch! { "score" => (1 + n + round * 100) as f64 },
                )
                .unwrap();
        }
    }
    world.note(&store);
    let killed = copy_dir(dir.path(), "repair-frame-killed");
    drop((object, store));
    let dir = killed;
    let expected = newest(&world);
    let path = dir.path().join("log-00000001");
    let bytes = std::fs::read(&path).unwrap();
    let mut frames = Vec::new();
    let mut at = 4096;
    while u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) != 0 {
        frames.push(at);
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        at += (40 + body).next_multiple_of(8);
    }
    assert!(frames.len() >= 31, "{}", frames.len());
    for (number, at) in frames.iter().copied().enumerate().filter(|(number, _)| *number > 0 && *number < 29) {
        with_flip(&path, &bytes, at + 45, 0, || {
            let into = Dir::new("repaired");
            let report = vellum_admin::repair(dir.path(), into.path()).unwrap();
            assert!(!report.is_complete(), "frame {number}");
            let found = all_records(into.path());
            // Those created behind the damage are counted anew.
            let is_same = |a: Option<&Record>, b: Option<&Record>| match (a, b) {
                (Some(a), Some(b)) => {
                    (a.version, a.updated_at) == (b.version, b.updated_at) && a.iter().eq(b.iter())
                }
                _ => false,
            };
            let changed: Vec<&RecordId> =
                expected.keys().filter(|id| !is_same(found.get(id), expected.get(id))).collect();
            // One record is older than it was, or gone; the other nine are as they were.
            assert_eq!(changed.len(), 1, "frame {number}: {report:#?}");
            if let Some(older) = found.get(changed[0]) {
                assert!(older.version < expected[changed[0]].version);
            }
        });
    }
}

#[test]
fn a_log_file_without_a_header_is_read_all_the_same() {
    for closed in [true, false] {
        let (dir, world) = store_on_disk("repair-header", closed);
        let logs: Vec<_> =
            files(dir.path()).into_iter().filter(|path| name_of(path).starts_with("log-")).collect();
        for path in logs {
            let bytes = std::fs::read(&path).unwrap();
            with_flip(&path, &bytes, 40, 3, || complete(dir.path(), &newest(&world), name_of(&path)));
        }
        let copy = copy_dir(dir.path(), "repair-copy");
        complete(copy.path(), &newest(&world), "copied");
    }
}

#[test]
fn whatever_the_damage_nothing_wrong_is_salvaged() {
    // Every salvaged record must be one that a commit made: its version, and values of that version.
    let mut salvaged = 0;
    for closed in [true, false] {
        let (dir, world, _) = lived_store("repair-any", closed);
        let mut known: BTreeMap<(RecordId, u64), Record> = BTreeMap::new();
        for record in world.states.values().flat_map(|state| state.values()) {
            known.insert((record.id, record.version), record.clone());
        }
        let mut random = Random::new(11);
        for path in files(dir.path()) {
            let bytes = std::fs::read(&path).unwrap();
            for _ in 0..3 * factor() {
                let (damage, changed) = damaged(&mut random, &bytes);
                match &changed {
                    Some(changed) => std::fs::write(&path, changed).unwrap(),
                    None => std::fs::remove_file(&path).unwrap(),
                }
                let what = format!("{}: {damage}, closed: {closed}", name_of(&path));
                let into = Dir::new("repaired");
                match Repair::new().run(dir.path(), into.path()) {
                    Ok(_) => {
                        for (id, record) in all_records(into.path()) {
                            let Some(known) = known.get(&(id, record.version)) else {
                                panic!("{what}: {record:?} never was")
                            };
                            for (name, value) in record.iter() {
                                assert_eq!(known.get(name), Some(value), "{what}: {id}.{name}");
                            }
                            salvaged += 1;
                        }
                    }
                    Err(error) => {
                        assert!(
                            [ErrorKind::Corrupt, ErrorKind::NotAStore].contains(&error.kind()),
                            "{what}: {error}"
                        );
                        assert!(!into.path().join("superblock").exists(), "{what}");
                    }
                }
                std::fs::write(&path, &bytes).unwrap();
            }
        }
    }
    assert!(salvaged > 500, "{salvaged}");
}

#[test]
fn a_repair_outlives_every_failing_call() {
    let disk = MemDisk::new();
    let store = crate::damage::config().create_on(Arc::new(disk.clone()), &companies()).unwrap();
    (0..40).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    (0..20).for_each(|n| change(&store, n));
    store.close().unwrap();
    disk.record();
    let whole = Repair::new().run_on(Arc::new(disk.clone()), Arc::new(MemDisk::new())).unwrap();
    let calls = disk.trace();
    assert!(!calls.iter().any(|call| call.op.changes()), "the damaged store is only read");
    for (failing, call) in calls.iter().enumerate() {
        let mut count = 0;
        disk.fail(move |_| {
            count += 1;
            (count == failing + 1).then_some(std::io::ErrorKind::Other)
        });
        let into = MemDisk::new();
        let result = Repair::new().run_on(Arc::new(disk.clone()), Arc::new(into.clone()));
        disk.heal();
        match result {
            Ok(report) => {
                let has_all = report.record_count == whole.record_count;
                assert!(has_all || !report.is_complete(), "{call:?}: {report:#?}");
            }
            Err(_) => assert!(!into.files().contains_key("superblock"), "{call:?}"),
        }
    }
}
