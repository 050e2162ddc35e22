//! What `verify` says of a tail that a recovery cut, after later crashes (crash rules 2, 3 and 4). Both were
//! found by the simulation.

use crate::history::{History, config, create, is_sound, on};
use vellum::Durability;
use vellum_sim::{EIO, Fault};
use vellum_testkit::{Crash, MemDisk, Op, Rng};

/// A store whose process died in the middle of a write to its log, behind so many commits. What there is of
/// the frame is in the page cache; no sync covered it.
fn torn(history: &mut History, commits: i64) -> MemDisk {
    let disk = MemDisk::new();
    let store = create(&config().log_mapped(false), &disk).unwrap();
    (0..commits).for_each(|number| history.commit(&store, number).unwrap());
    disk.fail_with(|event| {
        (event.op == Op::Write && event.name.starts_with("log-")).then_some(Fault::Partly(EIO))
    });
    history.commit(&store, commits).unwrap_err();
    disk.heal();
    let killed = disk.after_kill();
    drop(store);
    killed
}

fn log_files(disk: &MemDisk) -> Vec<String> {
    disk.files().into_keys().filter(|name| name.starts_with("log-")).collect()
}

#[test]
fn a_tail_that_was_cut_is_durable_where_it_lies_and_where_it_is_kept() {
    let mut torn_count = 0;
    // Which sectors of the frame are written is left to chance, which differs behind other calls.
    for commits in 3..30 {
        let mut history = History::new();
        let disk = torn(&mut history, commits);
        let store = config().open_on(on(&disk)).unwrap();
        history.settle(&store).unwrap();
        torn_count += usize::from(store.recovery().torn.is_some());
        // The power goes: whatever no sync covered is gone. What was cut was in the page cache alone before,
        // and must not differ now from what is kept of it.
        let after = disk.after_crash(&mut Rng::new(1), &Crash::NOTHING_KEPT);
        is_sound(&after).unwrap_or_else(|why| panic!("behind {commits} commits: {why}"));
        history.holds(&config().open_on(on(&after)).unwrap()).unwrap();
    }
    assert!(torn_count > 3, "{torn_count} torn tails were met");
}

#[test]
fn a_log_file_whose_removal_a_power_cut_takes_back_is_no_damage() {
    let mut history = History::new();
    let disk = torn(&mut history, 4);
    let store = config().durability(Durability::Sync).open_on(on(&disk)).unwrap();
    history.settle(&store).unwrap();
    let before = disk.files();
    let old: Vec<String> = log_files(&disk);
    // Checkpoints and new files, until all of these are given back: the one with the torn tail, and the one
    // that says where its generation ended.
    let mut number = 10;
    while log_files(&disk).iter().any(|name| old.contains(name)) {
        history.commit(&store, number).unwrap();
        store.checkpoint().unwrap();
        number += 1;
        assert!(number < 200, "old files stay: {old:?}");
    }
    is_sound(&disk).unwrap();
    // A removal of the first one did not reach the platter, while the others did.
    let first = &old[0];
    disk.edit(first, |bytes| bytes.clone_from(&before[first]));
    is_sound(&disk).unwrap();
    let killed = disk.after_kill();
    history.holds(&config().open_on(on(&killed)).unwrap()).unwrap();
}
