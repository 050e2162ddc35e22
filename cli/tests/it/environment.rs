//! Limits of the process, and its death: a clear error or normal work, and nothing lost. Requirements 28, 32
//! and 33.

use crate::support::{Dir, create, creates};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// Runs the tool under limits that `sh` sets, and says whether the limits could be set.
fn limited(dir: &Dir, limits: &str, args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let script = format!("{limits} && exec \"$0\" \"$@\"");
    let tool = env!("CARGO_BIN_EXE_vellum");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script, tool])
        .args(args)
        .current_dir(dir.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut stdin = child.stdin.take().expect("piped");
    let text = input.to_string();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    feeder.join().expect("the feeder does not panic");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn requirement_32_any_number_of_descriptors_from_three_up_loses_nothing() {
    let dir = Dir::with_store();
    let mut acknowledged = 0;
    for count in (3..24).chain([256]) {
        let first = acknowledged + 1;
        let input = creates(first..first + 20);
        let args = ["apply", "store", "-", "--ack", "--durability", "sync"];
        let (code, out, err) = limited(&dir, &format!("ulimit -n {count}"), &args, &input);
        let code = code.unwrap_or_else(|| panic!("with {count} descriptors it died by a signal: {err}"));
        // With three descriptors the program itself may not start: 127 is the loader's word.
        assert!([0, 1, 3, 127].contains(&code), "with {count} descriptors it ended with {code}: {err}");
        assert!(code == 0 || !err.is_empty(), "with {count} descriptors it failed without a word");
        let acks = out.lines().count() as u64;
        assert!(code != 0 || acks == 20, "{acks} lines of 20");
        let found = dir.run(&["count", "store", "item"]).done().out.trim().parse::<u64>().unwrap();
        assert!(found >= acknowledged + acks, "with {count}: {found}, acknowledged {}", acknowledged + acks);
        // What was applied and not acknowledged may be there: go on behind it.
        acknowledged = found;
        dir.run(&["verify", "store"]).done();
        if count == 256 {
            assert_eq!(code, 0, "256 descriptors are enough: {err}");
        }
    }
    assert!(acknowledged >= 20);
}

#[test]
fn requirement_33_an_address_space_limit_stops_the_work_and_never_the_store() {
    let dir = Dir::with_store();
    dir.write("first.ndjson", creates(1..=500));
    dir.run(&["apply", "store", "first.ndjson"]).done();
    let mut worked = 0;
    // From too little to start with, up to 1 GiB.
    for mib in [8, 12, 14, 16, 18, 20, 22, 24, 26, 28, 32, 48, 64, 96, 128, 256, 1024] {
        let limits = format!("ulimit -v {}", mib * 1024);
        let number = 1000 + mib;
        let (code, _, err) = limited(&dir, &limits, &["apply", "store", "-"], &create(number));
        // An allocation that fails may abort, which is a signal and no exit code.
        assert!(code.is_none_or(|code| [0, 1, 3, 127, 134].contains(&code)), "{mib} MiB: {code:?} {err}");
        worked += u64::from(code == Some(0));
        let found = dir.run(&["count", "store", "item"]).done().out.trim().parse::<u64>().unwrap();
        assert!(found >= 500 + worked, "{mib} MiB: {found} records");
        dir.run(&["verify", "store"]).done();
        if mib == 1024 {
            assert_eq!(code, Some(0), "1 GiB is enough: {err}");
        }
    }
}

#[test]
fn requirement_28_the_lock_dies_with_its_holder() {
    let dir = Dir::with_store();
    for round in 0..5 {
        let mut holder =
            dir.command(&["apply", "store", "-", "--ack"]).stdin(Stdio::piped()).spawn().expect("it runs");
        let mut lines = holder.stdin.take().expect("piped");
        lines.write_all(create(round + 1).as_bytes()).unwrap();
        lines.flush().unwrap();
        let mut acks = BufReader::new(holder.stdout.take().expect("piped")).lines();
        assert!(acks.next().is_some_and(|ack| ack.is_ok()));
        let error = dir.feed(&["apply", "store", "-", "--json"], &create(99)).ends_with(3).error();
        assert_eq!(error["kind"], "locked");
        assert!(error["message"].as_str().unwrap().contains(&holder.id().to_string()), "{error}");
        holder.kill().expect("it runs");
        holder.wait().expect("it was killed");
        dir.run(&["checkpoint", "store"]).done();
        dir.run(&["count", "store", "item"]).done().says(&[&(round + 1).to_string()]);
    }
}
