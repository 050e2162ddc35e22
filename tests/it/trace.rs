//! The order of the calls that a commit, a checkpoint, a compaction, an opening and a close make, as they
//! were agreed on: a sync that moves shows in a review of `tests/golden/trace/`.
//!
//! `just traces` writes them anew (`VELLUM_WRITE_TRACES=1`); then `git diff` shows what changed.

use crate::common::companies;
use crate::history::on;
use std::path::{Path, PathBuf};
use vellum::{Config, Durability, Store, Work, record};
use vellum_testkit::{Event, MemDisk, Op};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trace")
}

/// One line a call; what only asks is left out, and calls that follow their like are counted.
fn lines(trace: &[Event]) -> String {
    let mut out: Vec<(String, usize)> = Vec::new();
    for event in trace.iter().filter(|event| event.op.changes() || matches!(event.op, Op::Map | Op::Lock)) {
        let line = format!("{:?} {}", event.op, event.name).trim_end().to_string();
        match out.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => out.push((line, 1)),
        }
    }
    let line = |(line, count): (String, usize)| match count {
        1 => line + "\n",
        _ => format!("{line} ({count} times)\n"),
    };
    out.into_iter().map(line).collect()
}

/// Holds the calls since the last time against a file.
fn check(disk: &MemDisk, name: &str, differences: &mut Vec<String>) {
    let found = lines(&disk.trace());
    disk.record();
    let path = folder().join(name);
    if std::env::var_os("VELLUM_WRITE_TRACES").is_some() {
        std::fs::write(&path, &found).expect("the folder of the traces can be written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    if found != wanted {
        differences.push(format!("{name}:\n--- as agreed\n{wanted}+++ now\n{found}"));
    }
}

fn commit(store: &Store, number: i64, notes: usize) {
    let made = record! { "country" => "DE", "number" => number, "notes" => "n".repeat(notes) };
    store.object("company").unwrap().create(made).unwrap();
}

#[test]
fn golden_traces_of_the_calls_of_a_stores_life() {
    let mut differences = Vec::new();
    for (mapped, suffix) in [(true, ""), (false, "_unmapped")] {
        let disk = MemDisk::new();
        let config = Config::new().threads(false).durability(Durability::Sync).log_mapped(mapped).seed(5);
        let config = config.log_file_len(64 << 10, 64 << 10);
        let mut check = |disk: &MemDisk, name: &str| {
            check(disk, &format!("{name}{suffix}.txt"), &mut differences);
        };
        disk.record();
        let store = config.create_on(on(&disk), &companies()).unwrap();
        check(&disk, "create");
        commit(&store, 0, 10);
        check(&disk, "first_commit_of_a_session");
        commit(&store, 1, 10);
        check(&disk, "commit");
        commit(&store, 2, 40_000);
        store.work(Work::LogFile);
        check(&disk, "commit_and_log_file_made_ahead");
        commit(&store, 3, 30_000);
        check(&disk, "commit_in_the_next_log_file");
        // The first look after a commit checks the files; the record is synced when no more came since.
        (0..2).for_each(|_| store.work(Work::Idle));
        check(&disk, "idle");
        store.checkpoint().unwrap();
        check(&disk, "checkpoint");
        commit(&store, 4, 10);
        store.checkpoint().unwrap();
        check(&disk, "commit_and_second_checkpoint");
        store.compact().unwrap();
        check(&disk, "compaction");
        commit(&store, 5, 10);
        disk.record();
        let killed = disk.after_kill();
        store.close().unwrap();
        check(&disk, "close");
        let store = config.open_on(on(&disk)).unwrap();
        check(&disk, "open");
        store.close().unwrap();
        check(&disk, "close_of_a_session_that_read");
        killed.record();
        let store = config.open_on(on(&killed)).unwrap();
        check(&killed, "recovery");
        commit(&store, 6, 10);
        check(&killed, "first_commit_after_recovery");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
