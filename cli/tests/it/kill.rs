//! kill -9 at any moment of `vellum apply --ack`: every acknowledged line is there, and no line half.
//!
//! Line `k` of a history upserts one record with all its attributes made from `k`, so the state shows
//! which prefix of the history it is: the largest `k` in it. A run is fed through a pipe, killed after
//! some number of acks, and the state is read by opening it again. It must be exactly the state after
//! a prefix that reaches at least to the last ack. The next run goes on from there, in the same store:
//! crash, recover, write, crash.

use crate::support::{Dir, Random};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const ROUNDS: u64 = 5;
const RECORDS: u64 = 701;

#[test]
fn kill_9_keeps_every_line_that_was_acknowledged_as_synced() {
    crash_cycles(1, &["--durability", "sync"], 1);
}

#[test]
fn kill_9_keeps_every_line_that_was_acknowledged_as_buffered() {
    crash_cycles(2, &["--durability", "buffered"], 1);
}

#[test]
fn kill_9_keeps_batches_whole() {
    crash_cycles(3, &["--durability", "buffered", "--batch", "4"], 4);
}

fn crash_cycles(seed: u64, args: &[&str], batch: u64) {
    let dir = Dir::with_store();
    let mut random = Random(seed);
    let mut done = 0;
    for round in 1..=ROUNDS {
        let acked = run_and_kill(&dir, args, seed, done, 1 + random.below(6000));
        let records = dir.column_pairs();
        let reached =
            records.values().map(|values| values["a"].as_u64().expect("a number")).max().unwrap_or(0);
        let place = format!(
            "seed {seed}, round {round}: from line {done}, {acked} acknowledged, state of line {reached}"
        );
        assert!(reached >= done + acked, "acknowledged lines are missing; {place}");
        assert_eq!((reached - done) % batch, 0, "half a batch; {place}");
        assert_eq!(records, state_after(seed, reached), "{place}");
        done = reached;
        if random.below(2) == 0 {
            dir.run(&["checkpoint", "store"]).done();
        }
    }
    assert!(done > 0);
}

/// Feeds lines without end, kills after `kill_after` acks, and says how many there were in the end.
fn run_and_kill(dir: &Dir, args: &[&str], seed: u64, done: u64, kill_after: u64) -> u64 {
    let args = [&["apply", "store", "-", "--ack"], args].concat();
    let mut child = dir.command(&args).stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    // The feeder ends when the pipe breaks.
    let feeder = std::thread::spawn(move || {
        let mut line = done + 1;
        while stdin.write_all(mutation(seed, line).as_bytes()).is_ok() {
            line += 1;
        }
    });
    let mut acks = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acked = 0;
    let mut is_alive = true;
    // What was in the pipe when it died was acknowledged too.
    while let Some(Ok(ack)) = acks.next() {
        // The last one may be cut.
        if is_alive {
            assert_eq!(ack, (acked + 1).to_string());
        } else if ack != (acked + 1).to_string() {
            break;
        }
        acked += 1;
        if acked == kill_after {
            child.kill().expect("it runs");
            is_alive = false;
        }
    }
    child.wait().expect("it was killed");
    feeder.join().expect("the feeder does not panic");
    assert!(acked >= kill_after, "it ended by itself after {acked} acks");
    acked
}

fn record_of(seed: u64, line: u64) -> u64 {
    Random(seed ^ line.rotate_left(32)).below(RECORDS)
}

fn values(line: u64) -> Value {
    // Lengths on both sides of what a text page keeps inline.
    json!({"a": line, "b": line, "note": format!("{line} {}", "x".repeat((line % 60) as usize))})
}

fn mutation(seed: u64, line: u64) -> String {
    let key = json!({"number": record_of(seed, line)});
    format!("{}\n", json!({"op": "upsert", "object": "item", "key": key, "set": values(line)}))
}

fn state_after(seed: u64, line: u64) -> BTreeMap<u64, Value> {
    let mut records = BTreeMap::new();
    for line in 1..=line {
        let number = record_of(seed, line);
        let mut values = values(line);
        values["number"] = number.into();
        records.insert(number, values);
    }
    records
}

impl Dir {
    /// The values of all items by their numbers.
    fn column_pairs(&self) -> BTreeMap<u64, Value> {
        let records = self.export("item").into_iter();
        let pairs = records
            .map(|record| (record["values"]["number"].as_u64().expect("a key"), record["values"].clone()));
        pairs.collect()
    }
}
