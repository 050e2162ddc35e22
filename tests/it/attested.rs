//! What was reported durable is never cut in silence, whichever part of the log is damaged (crash rule 5).
//!
//! A store at `Sync` is killed; every commit was reported durable. One bit, sector, page or file of its log is
//! damaged at a time. Then the store opens with everything, or it does not open and names the damage.

use crate::common::companies;
use crate::damage::{Random, World, bits_of, by_number, config, factor, make};
use crate::history::on;
use std::sync::Arc;
use vellum::{Config, Durability, ErrorKind, Store, patch};
use vellum_admin::verify_on;
use vellum_testkit::MemDisk;

fn settings() -> Config {
    config().durability(Durability::Sync).threads(false).log_file_len(8 << 10, 16 << 10)
}

fn update(store: &Store, world: &mut World, n: i64) {
    let companies = store.object("company").unwrap();
    companies
        .update(by_number(n % 8), patch! { "score" => n as f64, "notes" => format!("{n} ").repeat(40) })
        .unwrap();
    world.note(store);
}

/// Log files that come and go: a checkpoint, a clean close, a recovery, and commits after each.
fn killed(sessions: usize) -> (MemDisk, World) {
    let mut world = World::default();
    let mut disk = MemDisk::new();
    let mut store = settings().create_on(on(&disk), &companies()).unwrap();
    (0..8).for_each(|n| make(&store, n));
    world.note(&store);
    for session in 0..sessions {
        (0..40).for_each(|n| update(&store, &mut world, n));
        match session {
            1 => drop(store.checkpoint().unwrap()),
            2 => {
                store.close().unwrap();
                world.closed();
                store = settings().open_on(on(&disk)).unwrap();
            }
            3 => {
                let left = disk.after_kill();
                disk.die();
                disk = left;
                store = settings().open_on(on(&disk)).unwrap();
            }
            _ => {}
        }
        // One more, which no later frame vouches for.
        update(&store, &mut world, 7);
    }
    let left = disk.after_kill();
    disk.die();
    world.closed();
    (left, world)
}

/// How the store opens after `change` of a file: with everything, or not at all, and then it says why.
fn look(disk: &MemDisk, world: &World, name: &str, what: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let before = disk.files()[name].clone();
    disk.edit(name, change);
    let opened = settings().read_only(true).open_on(Arc::new(disk.clone()));
    let is_detected = match opened {
        Ok(store) => {
            assert_eq!(store.applied_lsn().0, world.last(), "{name}, {what}: commits are cut in silence");
            assert_eq!(world.judge(&store).len(), 0, "{name}, {what}");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}, {what}: {error}");
            true
        }
    };
    disk.edit(name, |bytes| *bytes = before);
    is_detected
}

fn logs(disk: &MemDisk) -> Vec<(String, Vec<u8>)> {
    disk.files().into_iter().filter(|(name, _)| name.starts_with("log-")).collect()
}

#[test]
fn a_damaged_bit_of_a_killed_store_is_never_a_silent_cut() {
    for sessions in 1..6 {
        let (disk, world) = killed(sessions);
        assert!(verify_on(on(&disk)).unwrap().is_clean());
        let mut detected = 0;
        for (name, bytes) in logs(&disk) {
            let step = if factor() > 1 { 1 } else { 97 };
            for at in (0..bytes.len()).step_by(step) {
                for bit in bits_of(at) {
                    let what = format!("byte {at} bit {bit}");
                    detected += usize::from(look(&disk, &world, &name, &what, |bytes| bytes[at] ^= 1 << bit));
                }
            }
        }
        assert!(detected > 30, "{detected} damages were detected");
    }
}

#[test]
fn a_damaged_sector_or_page_of_a_killed_store_is_never_a_silent_cut() {
    let mut random = Random::new(5);
    for sessions in 1..6 {
        let (disk, world) = killed(sessions);
        for (name, bytes) in logs(&disk) {
            for len in [512, 4096] {
                for start in (0..bytes.len()).step_by(len) {
                    let is_used = bytes[start..start + len].iter().any(|byte| *byte != 0);
                    for fill in 0..3 {
                        let garbage: Vec<u8> = (0..len).map(|_| random.next(256) as u8).collect();
                        let what = format!("{len} bytes from {start}, fill {fill}");
                        look(&disk, &world, &name, &what, |bytes| match fill {
                            0 => bytes[start..start + len].fill(0),
                            1 => bytes[start..start + len].fill(0xff),
                            _ => bytes[start..start + len].copy_from_slice(&garbage),
                        });
                        if !is_used {
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_missing_or_damaged_log_file_of_a_killed_store_is_never_a_silent_cut() {
    for sessions in 1..6 {
        let (disk, world) = killed(sessions);
        let newest = logs(&disk).pop().unwrap().0;
        for (name, bytes) in logs(&disk) {
            for change in 0..4 {
                let what = format!("change {change}, {sessions} sessions");
                let detected = look(&disk, &world, &name, &what, |bytes| match change {
                    0 => bytes.fill(0),
                    1 => bytes[4096..].fill(0),
                    2 => bytes.truncate(bytes.len() / 2),
                    _ => bytes.clear(),
                });
                assert!(detected || name != newest, "{name}, {what}");
            }
            disk.unlink(&name);
            let opened = settings().read_only(true).open_on(on(&disk));
            match opened {
                Ok(store) => assert_eq!(store.applied_lsn().0, world.last(), "without {name}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "without {name}: {error}"),
            }
            assert!(!verify_on(on(&disk)).unwrap().is_clean() || name != newest, "without {name}");
            disk.edit(&name, |content| *content = bytes.clone());
        }
    }
}

#[test]
fn a_damaged_record_of_what_was_reported_durable_loses_nothing() {
    let (disk, world) = killed(5);
    for at in (8192..12288).filter(|at| factor() > 1 || at % 512 < 48 || at % 61 == 0) {
        for bit in bits_of(at) {
            let what = format!("byte {at} bit {bit}");
            assert!(!look(&disk, &world, "superblock", &what, |bytes| bytes[at] ^= 1 << bit), "{what}");
        }
    }
    // Both slots: the log itself still has everything, and opening reports it.
    disk.edit("superblock", |bytes| bytes[8192..].fill(0));
    let store = settings().open_on(on(&disk)).unwrap();
    assert_eq!(store.applied_lsn().0, world.last());
    assert!(store.recovery().damage.as_ref().is_some_and(|damage| damage.contains("reported durable")));
    assert_eq!(world.judge(&store).len(), 0);
    store.close().unwrap();
    assert!(verify_on(on(&disk)).unwrap().is_clean());
}

#[test]
fn a_commit_that_was_answered_at_buffered_is_not_called_durable() {
    let disk = MemDisk::new();
    let store = settings().durability(Durability::Buffered).create_on(on(&disk), &companies()).unwrap();
    let created = store.durable_lsn();
    make(&store, 1);
    make(&store, 2);
    assert_eq!(store.durable_lsn(), created);
    let left = disk.after_kill();
    // Its frame may be cut: nothing was promised for it, and a torn tail is all that can be known.
    let (name, bytes) = logs(&left).pop().unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    left.edit(&name, |bytes| bytes[end] ^= 1);
    let cut = settings().open_on(on(&left)).unwrap();
    assert_eq!(cut.object("company").unwrap().count(), 1);
    assert!(cut.recovery().torn.is_some());
    // Once it was waited for, it may not.
    store.wait_durable(store.applied_lsn()).unwrap();
    let left = disk.after_kill();
    left.edit(&name, |bytes| bytes[end] ^= 1);
    assert_eq!(settings().open_on(on(&left)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn what_a_clean_close_sealed_stays_a_floor_after_the_next_commit() {
    let disk = MemDisk::new();
    let store = settings().create_on(on(&disk), &companies()).unwrap();
    (0..20).for_each(|n| make(&store, n));
    store.close().unwrap();
    let store = settings().durability(Durability::Buffered).open_on(on(&disk)).unwrap();
    make(&store, 20);
    let left = disk.after_kill();
    drop(store);
    for (name, bytes) in logs(&left) {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for page in (4096..=used).step_by(4096) {
            left.edit(&name, |bytes| bytes[page..page + 4096].fill(0));
            match settings().read_only(true).open_on(on(&left)) {
                // The last page holds the one commit that nothing promised.
                Ok(store) => assert!(store.object("company").unwrap().count() >= 20, "{name} page {page}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} page {page}: {error}"),
            }
            left.edit(&name, |content| *content = bytes.clone());
        }
    }
}
