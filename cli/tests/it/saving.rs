//! repair, backup, restore, dump and load, as people call them; and readers beside a writer.

use crate::support::{Dir, create, creates, gzip};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

fn filled() -> Dir {
    let dir = Dir::with_store();
    dir.write("creates.ndjson", creates(1..=50));
    dir.run(&["apply", "store", "creates.ndjson"]).done();
    dir
}

#[test]
fn a_dump_loads_into_the_same_store() {
    let dir = filled();
    let dump = dir.run(&["dump", "store"]).done().out;
    assert!(dump.lines().next().unwrap().starts_with(r#"{"vellum_dump":2,"#));
    dir.write("dump.ndjson", &dump);
    let answer = dir.run(&["load", "dump.ndjson", "loaded", "--json"]).done().json();
    assert_eq!(answer["record_count"], 50);
    dir.write("dump.ndjson.gz", gzip(&dump));
    dir.run(&["load", "dump.ndjson.gz", "zipped"]).done().says(&["50 records loaded into zipped"]);
    dir.feed(&["load", "-", "piped"], &dump).done();
    for store in ["loaded", "zipped", "piped"] {
        let export = dir.run(&["export", store, "item"]).done().out;
        assert_eq!(export, dir.run(&["export", "store", "item"]).done().out);
        dir.run(&["verify", store]).done();
    }
    dir.run(&["load", "dump.ndjson", "loaded"]).ends_with(3).says(&["holds a store already"]);
    let cut = &dump[..dump.len() - 5];
    let error = dir.feed(&["load", "-", "cut", "--json"], cut).refused().error();
    assert!(error["message"].as_str().unwrap().contains("dump line 52"), "{error}");
    dir.run(&["get", "cut", "item", "number=1"]).ends_with(3).says(&["holds no vellum store"]);
}

#[test]
fn a_backup_is_restored_and_never_written_over() {
    let dir = filled();
    dir.run(&["backup", "store", "copy"]).done().says(&["50 records", "verified"]);
    dir.run(&["backup", "store", "copy"]).ends_with(3).says(&["holds a store already"]);
    dir.run(&["restore", "copy", "store"]).ends_with(3).says(&["holds a store already"]);
    std::fs::rename(dir.path("store"), dir.path("old")).unwrap();
    let answer = dir.run(&["restore", "copy", "store", "--json"]).done().json();
    assert_eq!(answer["record_count"], 50);
    let of = |store: &str| dir.run(&["export", store, "item"]).done().out;
    assert_eq!(of("store"), of("old"));
    dir.feed(&["apply", "store", "-"], &create(51)).done();
    dir.run(&["count", "store", "item"]).done().says(&["51"]);
    dir.run(&["restore", "nothing", "new"]).ends_with(3).says(&["holds no vellum store"]);
    assert!(!dir.exists("new"));
}

#[test]
fn a_damaged_store_is_named_repaired_and_left_as_it_was() {
    let dir = filled();
    dir.run(&["checkpoint", "store"]).done();
    dir.run(&["repair", "store", "--into", "whole"]).done().says(&["50 records salvaged into whole"]);
    // The page of `item.a`, whose column is 2, of the newest segment.
    let path = dir.path("store/seg-00000001");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (0..bytes.len())
        .step_by(64)
        .find(|at| {
            let column = u32::from_le_bytes(bytes[at + 24..at + 28].try_into().unwrap());
            bytes[*at..].starts_with(b"vlPG") && bytes[at + 4] == 1 && column == 2 << 16
        })
        .expect("a page of the second attribute");
    bytes[at + 64] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let log_is_older = std::fs::read_dir(dir.path("store"))
        .unwrap()
        .all(|entry| entry.unwrap().file_name() != "log-00000001");
    let first = dir.export_one("whole");
    dir.run(&["verify", "store"]).ends_with(3).says(&["affects item.a", &first]);
    let report = dir.run(&["verify", "store", "--json"]).ends_with(3).json();
    let named = report["findings"][0]["affected"][0]["records"].as_array().unwrap().len();
    assert_eq!(named, 50, "{report}");
    let answer = dir.run(&["repair", "store", "--into", "new", "--json"]);
    // The log still goes back to the first commit, so nothing is lost here.
    let answer = if log_is_older { answer.refused() } else { answer.done() };
    assert_eq!(answer.json()["record_count"], 50);
    dir.run(&["verify", "new"]).done();
    assert!(std::fs::read(&path).unwrap() == bytes);
    dir.run(&["repair", "store", "--into", "new"]).ends_with(3).says(&["holds a store already"]);
}

impl Dir {
    /// The id of the first item of a store.
    fn export_one(&self, store: &str) -> String {
        let out = self.run(&["export", store, "item"]).done().out;
        let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        first["id"].as_str().unwrap().to_string()
    }
}

#[test]
fn a_store_is_read_and_copied_beside_the_process_that_writes_it() {
    let dir = filled();
    let mut writer =
        dir.command(&["apply", "store", "-", "--ack"]).stdin(Stdio::piped()).spawn().expect("it runs");
    let mut lines = writer.stdin.take().expect("piped");
    let mut acks = BufReader::new(writer.stdout.take().expect("piped")).lines();
    for number in 51..=60 {
        lines.write_all(create(number).as_bytes()).unwrap();
        lines.flush().unwrap();
        assert!(acks.next().is_some_and(|ack| ack.is_ok()));
        // What was acknowledged is there for everyone.
        dir.run(&["count", "store", "item"]).done().says(&[&number.to_string()]);
        dir.run(&["get", "store", "item", &format!("number={number}")]).done();
    }
    dir.run(&["stats", "store"]).done().says(&["60 records"]);
    assert_eq!(dir.export("item").len(), 60);
    dir.run(&["backup", "store", "copy"]).done().says(&["60 records"]);
    assert_eq!(dir.run(&["dump", "store"]).done().out.lines().count(), 62);
    dir.run(&["verify", "store"]).done();
    // Who writes needs the store alone, and is told so.
    for args in [&["checkpoint", "store"][..], &["repair", "store", "--into", "new"]] {
        dir.run(args).ends_with(3).says(&["is open for writing", "by process"]);
    }
    drop(lines);
    assert!(writer.wait().unwrap().success());
    dir.run(&["verify", "store"]).done();
}
