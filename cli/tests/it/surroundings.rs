//! What happens around a store while the tool works on it: its directory is renamed, its lock file deleted, a second
//! writer comes, readers are slow, and foreign files lie beside its own.

use crate::support::{Dir, create, creates};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// `vellum apply` fed line by line; each line is acknowledged before the next one.
struct Writer {
    child: Child,
    stdin: Option<ChildStdin>,
    acks: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(dir: &Dir, args: &[&str]) -> Writer {
        let args = [&["apply", "store", "-", "--ack"], args].concat();
        let mut child = dir.command(&args).stdin(Stdio::piped()).spawn().expect("it runs");
        let acks = BufReader::new(child.stdout.take().expect("piped")).lines();
        Writer { stdin: child.stdin.take(), child, acks }
    }

    /// How many of these lines are acknowledged.
    fn feed(&mut self, lines: &str) -> usize {
        let stdin = self.stdin.as_mut().expect("it is open");
        let mut count = 0;
        for line in lines.split_inclusive('\n') {
            if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                break;
            }
            match self.acks.next() {
                Some(Ok(_)) => count += 1,
                _ => break,
            }
        }
        count
    }

    /// The rest of the lines, all at once: how many of them are acknowledged, exit code and stderr.
    fn end_with(mut self, lines: &str) -> (usize, i32, String) {
        // It may end before it has read all.
        let _ = self.stdin.take().expect("it is open").write_all(lines.as_bytes());
        let acks = self.acks.by_ref().map_while(Result::ok).count();
        let (code, text) = self.end();
        (acks, code, text)
    }

    /// Exit code, and what it wrote to stderr.
    fn end(mut self) -> (i32, String) {
        drop(self.stdin.take());
        let output = self.child.wait_with_output().expect("it ends");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn filled(count: u64) -> Dir {
    let dir = Dir::with_store();
    dir.feed(&["apply", "store", "-", "--durability", "buffered"], &creates(1..=count)).done();
    dir
}

#[test]
fn a_store_that_is_moved_aside_while_another_is_restored_keeps_every_acknowledged_line() {
    for durability in ["buffered", "interval:5", "sync"] {
        let dir = filled(500);
        dir.run(&["backup", "store", "bk"]).done();
        let mut writer = Writer::start(&dir, &["--durability", durability]);
        assert_eq!(writer.feed(&create(501)), 1);
        fs::rename(dir.path("store"), dir.path("store.old")).unwrap();
        dir.run(&["restore", "bk", "store"]).done();
        assert_eq!(writer.feed(&creates(502..=1500)), 999);
        let (code, text) = writer.end();
        assert_eq!(code, 0, "{text}");
        for (store, count) in [("store.old", "1500"), ("store", "500")] {
            dir.run(&["verify", store]).done();
            assert_eq!(dir.run(&["count", store, "item"]).done().out.trim(), count, "{store}, {durability}");
        }
    }
}

#[test]
fn a_store_that_is_deleted_and_created_anew_acknowledges_nothing_more_and_spares_the_new_one() {
    let dir = filled(10);
    let mut writer = Writer::start(&dir, &["--durability", "sync"]);
    assert_eq!(writer.feed(&create(11)), 1);
    fs::remove_dir_all(dir.path("store")).unwrap();
    dir.run(&["init", "store", "--schema", "schema.json"]).done();
    let (acks, code, text) = writer.end_with(&creates(12..=20));
    assert_eq!((acks, code), (0, 3), "{text}");
    assert!(text.contains("superblock") && text.contains("was deleted"), "{text}");
    dir.run(&["verify", "store"]).done();
    assert_eq!(dir.run(&["count", "store", "item"]).done().out.trim(), "0");
}

#[test]
fn deleting_the_lock_file_lets_no_second_writer_in() {
    let dir = filled(1);
    let mut writer = Writer::start(&dir, &[]);
    assert_eq!(writer.feed(&create(2)), 1);
    fs::remove_file(dir.path("store/lock")).unwrap();
    let id = format!("process {}", writer.child.id());
    dir.feed(&["apply", "store", "-"], &create(3)).ends_with(3).says(&[&id, "is open for writing", "--wait"]);
    assert_eq!(writer.feed(&create(4)), 1);
    assert_eq!(writer.end().0, 0);
    assert_eq!(dir.run(&["count", "store", "item"]).done().out.trim(), "3");
    dir.run(&["verify", "store"]).done();
}

#[test]
fn the_message_names_the_living_holder_and_a_writer_waits_when_told_to() {
    let dir = filled(1);
    // Words of a holder that ended long ago.
    fs::write(dir.path("store/lock"), "1 1\n").unwrap();
    let mut writer = Writer::start(&dir, &[]);
    assert_eq!(writer.feed(&create(2)), 1);
    let id = writer.child.id().to_string();
    dir.feed(&["apply", "store", "-"], &create(3)).ends_with(3).says(&[&id, "since 20"]);
    let waiting = dir.command(&["apply", "store", "-", "--wait", "600"]).stdin(Stdio::piped()).spawn();
    let mut waiting = waiting.expect("it runs");
    waiting.stdin.take().expect("piped").write_all(create(3).as_bytes()).unwrap();
    assert_eq!(writer.feed(&create(4)), 1);
    assert_eq!(writer.end().0, 0);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(dir.run(&["count", "store", "item"]).done().out.trim(), "4");
}

#[test]
fn an_export_into_a_slow_pipe_keeps_no_writer_from_starting() {
    // More than a pipe holds.
    let dir = filled(5000);
    let mut export = dir.command(&["export", "store", "item"]).spawn().expect("it runs");
    let mut lines = BufReader::new(export.stdout.take().expect("piped")).lines();
    lines.next().expect("a first line").unwrap();
    dir.feed(&["apply", "store", "-"], &creates(5001..=5010)).done();
    dir.run(&["compact", "store"]).done();
    dir.run(&["verify", "store"]).done();
    assert_eq!(lines.count(), 4999, "an export shows one state");
    assert!(export.wait().unwrap().success());
}

#[test]
fn rejects_are_never_written_over_a_file_of_a_store_or_any_other_file() {
    let dir = filled(3);
    dir.write("notes.txt", "mine\n");
    dir.write("empty", "");
    let input = format!("{}{}", create(1), create(4));
    let before = fs::read(dir.path("store/superblock")).unwrap();
    for path in ["store/superblock", "store/log-00000001", "store/lock", "notes.txt", "empty", "schema.json"]
    {
        let content = fs::read(dir.path(path)).unwrap();
        dir.feed(&["apply", "store", "-", "--on-error", "skip", "--rejects", path], &input)
            .ends_with(2)
            .says(&[path, "is not a rejects file", "name another file"]);
        dir.write("rows.csv", "number,a\n9,x\n");
        dir.run(&["import", "store", "item", "rows.csv", "--rejects", path]).ends_with(2);
        assert!(fs::read(dir.path(path)).unwrap() == content, "{path} was changed");
    }
    assert!(fs::read(dir.path("store/superblock")).unwrap() == before);
    assert_eq!(dir.run(&["count", "store", "item"]).done().out.trim(), "3", "no line was applied");
}

#[test]
fn a_rejects_file_of_an_earlier_run_is_replaced_and_removed_by_a_clean_one() {
    let dir = filled(3);
    let args = ["apply", "store", "-", "--on-error", "skip", "--rejects", "rejects"];
    dir.feed(&args, &format!("{}{}", create(1), create(2))).done();
    assert_eq!(dir.read("rejects").lines().count(), 2);
    dir.feed(&args, &create(3)).done();
    assert_eq!(dir.read("rejects").lines().count(), 1);
    dir.feed(&args, &create(4)).done();
    assert!(!dir.exists("rejects"), "nothing was rejected");
}

#[test]
fn foreign_files_and_folders_are_noted_and_are_no_damage() {
    let dir = filled(3);
    for name in [".DS_Store", "Thumbs.db", "superblock (conflicted copy)", "seg-00000001.bak", "notes.txt"] {
        dir.write(&format!("store/{name}"), "not of a store");
        dir.run(&["verify", "store"]).done().says(&[name, "a foreign file"]);
    }
    fs::create_dir(dir.path("store/folder")).unwrap();
    dir.run(&["verify", "store"]).done();
    dir.feed(&["apply", "store", "-"], &create(4)).done();
    assert!(dir.exists("store/.DS_Store") && dir.exists("store/folder"));
}

#[test]
fn a_store_without_its_superblock_is_a_damaged_store_and_is_repaired() {
    for has_checkpoint in [false, true] {
        let dir = filled(3);
        if has_checkpoint {
            dir.run(&["checkpoint", "store"]).done();
        }
        dir.run(&["backup", "store", "bk"]).done();
        fs::remove_file(dir.path("store/superblock")).unwrap();
        let words = ["whose superblock is missing", "vellum repair store --into NEW"];
        dir.run(&["count", "store", "item"]).ends_with(3).says(&words);
        dir.feed(&["apply", "store", "-"], &create(4)).ends_with(3).says(&words);
        dir.run(&["verify", "store"]).ends_with(3).says(&words);
        dir.run(&["init", "store", "--schema", "schema.json"]).ends_with(3).says(&words);
        dir.run(&["restore", "bk", "store"]).ends_with(3).says(&words);
        dir.run(&["repair", "store", "--into", "new"]).says(&["3 records"]);
        assert_eq!(dir.run(&["count", "new", "item"]).done().out.trim(), "3");
        dir.run(&["verify", "new"]).done();
    }
}

#[test]
fn what_an_interrupted_restore_left_is_told_from_a_damaged_store() {
    let dir = filled(3);
    fs::create_dir(dir.path("half")).unwrap();
    dir.write("half/unfinished", "");
    dir.write("half/seg-00000001", "a part");
    dir.run(&["count", "half", "item"])
        .ends_with(3)
        .says(&["restore, load or repair left", "remove the directory"]);
    dir.run(&["backup", "store", "half"]).ends_with(3).says(&["remove the directory"]);
}

#[test]
fn errors_of_the_system_name_store_file_and_way_out() {
    let dir = filled(3);
    let mut failed = 0;
    // With fewer the system's loader does not find its libraries.
    for limit in 4..=6 {
        let script = format!("ulimit -n {limit}; exec \"$0\" count store item");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_vellum")]).current_dir(dir.path(""));
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(3) {
            assert!(text.contains("store") && text.contains("ulimit -n"), "{text}");
            failed += 1;
        }
    }
    assert!(failed > 0, "four descriptors are too few");
}
