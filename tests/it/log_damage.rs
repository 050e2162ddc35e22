//! Damage to the log of a store that was not closed, bit by bit, and to segments of a small closed one.
//! Requirements 19 and 22.

use crate::common::{Dir, companies};
use crate::damage::{World, bits_of, config, copy_dir, files, make, name_of, names_file, with_flip};
use std::path::PathBuf;
use vellum::{Action, Durability, ErrorKind, Mutation, patch};
use vellum_admin::verify;

/// Frames of a log: where each starts, and where it ends.
fn frames(log: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    let mut at = 4096;
    while log[at..at + 8] != [0; 8] {
        let body = u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
        let end = at + (40 + body).next_multiple_of(8);
        frames.push((at, end));
        at = end;
    }
    frames
}

/// A store that was killed, each of whose commits was acknowledged as durable, but the last one if it is not
/// waited for; its log and the frames in it.
fn killed(waits_for_the_last: bool) -> (Dir, World, PathBuf, Vec<u8>, Vec<(usize, usize)>) {
    let dir = Dir::new("log-live");
    let store = config().durability(Durability::Sync).create(dir.path(), &companies()).unwrap();
    let mut world = World::default();
    world.note(&store);
    for n in 0..4 {
        make(&store, n);
        world.note(&store);
    }
    if !waits_for_the_last {
        let values = patch! { "country" => "DE", "number" => 4 };
        let mutation =
            Mutation { object: "company".into(), action: Action::Create, key: None, patch: values };
        let (_, commit) = store.submit(&mutation).unwrap();
        drop(commit);
        world.note(&store);
    }
    let killed = copy_dir(dir.path(), "log-killed");
    drop(store);
    let path = killed.path().join("log-00000001");
    let bytes = std::fs::read(&path).unwrap();
    let found = frames(&bytes);
    (killed, world, path, bytes, found)
}

#[test]
fn a_bad_frame_that_was_reported_durable_is_damage_at_every_bit() {
    let (dir, _, path, bytes, frames) = killed(true);
    // Later frames say so of all but the last one, the superblock's record of that one too.
    for at in frames.iter().flat_map(|(start, end)| *start..*end) {
        for bit in bits_of(at) {
            with_flip(&path, &bytes, at, bit, || {
                let error = config().open(dir.path()).expect_err("damage is no torn tail");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at} bit {bit}: {error}");
                let place = error.place().expect("it has a place");
                assert_eq!(place.file, "log-00000001");
                assert!(place.offset <= at as u64, "byte {at} bit {bit}: {error}");
                assert!(names_file(&verify(dir.path()).unwrap(), "log-00000001"));
            });
        }
    }
    assert!(config().open(dir.path()).is_ok(), "all put back");
}

#[test]
fn a_bad_frame_that_nothing_calls_durable_is_cut_reported_and_kept_aside_at_every_bit() {
    let (dir, world, _, bytes, frames) = killed(false);
    let (start, end) = frames[frames.len() - 1];
    let last = world.last();
    for at in start..end {
        for bit in bits_of(at) {
            let copy = copy_dir(dir.path(), "log-torn");
            let path = copy.path().join("log-00000001");
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&path, &damaged).unwrap();
            let store = config().open(copy.path()).unwrap_or_else(|error| panic!("byte {at}: {error}"));
            let what = format!("byte {at} bit {bit} of {start}..{end}");
            assert_eq!(store.applied_lsn().0, last - 1, "{what}");
            world.judge(&store);
            let told = store.recovery().torn.clone().unwrap_or_else(|| panic!("{what}: nothing was told"));
            assert!(told.contains("kept in torn-log-00000001-"), "{told}");
            let kept = std::fs::read(copy.path().join(format!("torn-log-00000001-{start}"))).unwrap();
            let used = damaged.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            assert_eq!(kept, damaged[start..used], "{what}");
        }
    }
}

#[test]
fn a_last_frame_that_is_torn_at_any_byte_is_gone_alone() {
    let (dir, world, path, bytes, frames) = killed(false);
    let (start, end) = frames[frames.len() - 1];
    for at in start..=end {
        let mut torn = bytes.clone();
        torn[at..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let store = config().read_only(true).open(dir.path()).unwrap();
        let expected = world.last() - u64::from(torn[start..end] != bytes[start..end]);
        assert_eq!(store.applied_lsn().0, expected, "torn at byte {at} of {start}..{end}");
        assert!(world.judge(&store).is_empty());
        assert!(verify(dir.path()).unwrap().is_clean());
    }
}

#[test]
fn every_bit_of_the_segments_of_a_small_closed_store_is_found_and_the_records_are_named() {
    let dir = Dir::new("small");
    let store = config().create(dir.path(), &companies()).unwrap();
    (0..3).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    make(&store, 3);
    let mut world = World::default();
    world.note(&store);
    let ids: Vec<_> = store.snapshot().unwrap().iter("company").unwrap().map(|r| r.unwrap().id).collect();
    store.close().unwrap();
    let mut named = 0;
    for path in files(dir.path()).iter().filter(|path| name_of(path).starts_with("seg-")) {
        let bytes = std::fs::read(path).unwrap();
        for at in 0..bytes.len() {
            for bit in bits_of(at) {
                let what = format!("{} byte {at} bit {bit}", name_of(path));
                with_flip(path, &bytes, at, bit, || {
                    let report = verify(dir.path()).unwrap();
                    assert!(names_file(&report, name_of(path)), "{what}: {report:#?}");
                    for affected in report.findings.iter().flat_map(|finding| &finding.affected) {
                        assert!(affected.rows.1 < 1024 && affected.what.contains("company"), "{affected:?}");
                        assert!(affected.records.iter().all(|id| ids.contains(id)), "{what}: {affected:?}");
                        named += affected.records.len();
                    }
                });
            }
        }
    }
    assert!(named > 1000, "{named} records were named");
}
