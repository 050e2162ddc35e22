//! Every single bit of small stores, one at a time (requirement 19): closed, and as a killed process leaves
//! it. On a disk in memory, with the smallest log files and reserves there are, so that all of their unused
//! zeros can be tried. Every day one bit of every fifth byte that is not zero, and of every 61st that is; with
//! `VELLUM_DAMAGE` over 1 all eight bits of every byte.

use crate::common::companies;
use crate::damage::{World, bits_of, config, factor, make, names_file};
use crate::history::on;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{Config, Durability, ErrorKind, Work};
use vellum_admin::{VerifyReport, verify_on};
use vellum_testkit::MemDisk;

fn smallest() -> Config {
    config().threads(false).log_file_len(8 << 10, 8 << 10)
}

/// A store with a checkpoint, and frames behind it.
fn small(closed: bool) -> (MemDisk, World) {
    let disk = MemDisk::new();
    let store = smallest().durability(Durability::Sync).create_on(on(&disk), &companies()).unwrap();
    let mut world = World::default();
    (0..2).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    for n in 2..4 {
        world.note(&store);
        make(&store, n);
    }
    world.note(&store);
    if closed {
        store.close().unwrap();
        disk.unlink("lock");
        world.closed();
        return (disk, world);
    }
    // An idle store makes the record of what was reported durable outlive a power cut (crash rule 5).
    store.work(Work::Idle);
    let killed = disk.after_kill();
    killed.unlink("lock");
    (killed, world)
}

/// Verifies, and reads everything where it opens.
fn look(disk: &MemDisk, world: &World, what: &str) -> (VerifyReport, bool) {
    let report = verify_on(on(disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let opens = match smallest().read_only(true).open_on(Arc::new(disk.clone())) {
        Ok(store) => {
            world.judge(&store);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            false
        }
    };
    (report, opens)
}

/// Flips the bits that are tried, one at a time.
fn each_bit(disk: &MemDisk, mut check: impl FnMut(&str, usize, &str)) -> BTreeMap<String, u64> {
    let mut tried = BTreeMap::new();
    for (name, bytes) in disk.files() {
        let step = |at: usize| if bytes[at] != 0 { 5 } else { 61 };
        for at in (0..bytes.len()).filter(|at| factor() > 1 || at.is_multiple_of(step(*at))) {
            for bit in bits_of(at) {
                disk.edit(&name, |content| content[at] ^= 1 << bit);
                check(&name, at, &format!("{name} byte {at} bit {bit}"));
                disk.edit(&name, |content| content[at] ^= 1 << bit);
                *tried.entry(name.clone()).or_default() += 1;
            }
        }
    }
    println!("bits tried: {tried:?}");
    tried
}

#[test]
fn requirement_19_every_bit_of_a_small_closed_store_is_found_and_no_read_is_wrong() {
    let (disk, world) = small(true);
    assert!(verify_on(on(&disk)).unwrap().is_clean());
    let tried = each_bit(&disk, |name, _, what| {
        let (report, _) = look(&disk, &world, what);
        assert!(names_file(&report, name), "{what}: {report:#?}");
    });
    let kinds = ["superblock", "log-", "seg-", "reserve", "reserve-log"];
    assert!(kinds.iter().all(|kind| tried.keys().any(|name| name.starts_with(kind))), "{tried:?}");
}

#[test]
fn requirement_19_every_bit_of_a_killed_store_is_found_up_to_what_was_reported_durable() {
    let (disk, world) = small(false);
    assert!(verify_on(on(&disk)).unwrap().is_clean());
    let (newest, bytes) = disk.files().into_iter().rfind(|(name, _)| name.starts_with("log-")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let end = used.next_multiple_of(8);
    let reported = world.last();
    each_bit(&disk, |name, at, what| {
        let (report, opens) = look(&disk, &world, what);
        let beyond = name == newest && at >= end;
        // A power cut may leave one slot of the record half written, so that is a note.
        let is_record = name == "superblock" && at >= 8192;
        let notes_it =
            || report.notes.iter().any(|note| note.place.as_ref().is_some_and(|place| place.file == name));
        assert!(beyond || names_file(&report, name) || is_record && notes_it(), "{what}: {report:#?}");
        if opens && !beyond {
            let store = smallest().read_only(true).open_on(on(&disk)).unwrap();
            assert_eq!(
                store.applied_lsn().0,
                reported,
                "{what}: commits that were reported durable are gone"
            );
        }
    });
}
