//! `vellum apply`: acks, batches, refusals, times.

use crate::support::{Answer, Dir, Random, create, creates, gzip};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

fn apply(dir: &Dir, args: &[&str], text: &str) -> Answer {
    dir.feed(&[&["apply", "store", "-"], args].concat(), text)
}

fn rejects(dir: &Dir) -> Vec<Value> {
    dir.read("rejects").lines().map(|line| serde_json::from_str(line).expect("rejects are JSON")).collect()
}

#[test]
fn a_stream_of_every_op_leaves_what_it_says() {
    let dir = Dir::with_store();
    let lines = r#"
        {"op":"create","object":"item","values":{"number":1,"a":1,"note":"one"}}
        {"op":"create","object":"item","values":{"number":2,"a":2},"id":"00000000-0000-0000-0000-0000000000aa"}

        {"op":"update","object":"item","key":{"number":1},"set":{"b":3},"clear":["note"],"if_version":1}
        {"op":"upsert","object":"item","key":{"number":3},"set":{"a":9}}
        {"op":"upsert","object":"item","key":{"number":3},"set":{"number":3,"b":9},"mode":"replace"}
        {"op":"update","object":"item","key":{"number":3},"set":{"b":9}}
        {"op":"delete","object":"item","id":"00000000-0000-0000-0000-0000000000aa"}
    "#;
    let summary = apply(&dir, &["--json"], lines).done().json();
    for (name, number) in
        [("applied", 7), ("created", 3), ("updated", 2), ("unchanged", 1), ("deleted", 1), ("rejected", 0)]
    {
        assert_eq!(summary[name], number, "{name} in {summary}");
    }
    let values: Vec<Value> = dir.export("item").into_iter().map(|record| record["values"].clone()).collect();
    assert_eq!(values, [json!({"number": 1, "a": 1, "b": 3}), json!({"number": 3, "b": 9})]);
}

#[test]
fn every_durability_applies_the_same_from_a_file_and_from_gzip() {
    let text = creates(1..=1000);
    for durability in ["sync", "interval:5", "buffered"] {
        let dir = Dir::with_store();
        let first = text.lines().take(500).map(|line| format!("{line}\n")).collect::<String>();
        let second = text.lines().skip(500).map(|line| format!("{line}\n")).collect::<String>();
        dir.write("first.ndjson", first);
        // Two members, one behind the other, are one input; gzip is known by its bytes, not its name.
        let (a, b) = second.split_at(second.len() / 3);
        dir.write("second.dat", [gzip(a), gzip(b)].concat());
        dir.run(&["apply", "store", "first.ndjson", "--durability", durability]).done();
        dir.run(&["apply", "store", "second.dat", "--durability", durability])
            .done()
            .says(&["500 lines applied"]);
        assert_eq!(dir.column("item", "number"), (1..=1000).collect::<Vec<u64>>());
    }
}

#[test]
fn ack_prints_each_line_once_and_in_order() {
    let expected: String = (1..=5000).map(|line| format!("{line}\n")).collect();
    for durability in ["sync", "interval:5", "buffered"] {
        for batch in ["1", "7"] {
            let dir = Dir::with_store();
            let answer =
                apply(&dir, &["--ack", "--durability", durability, "--batch", batch], &creates(1..=5000))
                    .done();
            assert_eq!(answer.out, expected);
            assert!(answer.err.contains("5,000 lines applied"), "{}", answer.err);
            assert_eq!(dir.run(&["count", "store", "item"]).done().out, "5000\n");
        }
    }
}

#[test]
fn a_line_from_a_slow_pipe_is_acknowledged_at_once_and_the_store_is_locked_meanwhile() {
    let dir = Dir::with_store();
    for durability in ["sync", "buffered"] {
        let mut child = dir
            .command(&["apply", "store", "-", "--ack", "--durability", durability])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdin = child.stdin.take().expect("piped");
        let mut acks = BufReader::new(child.stdout.take().expect("piped")).lines();
        let start = if durability == "sync" { 0 } else { 10 };
        for number in 1..=3 {
            stdin.write_all(create(start + number).as_bytes()).expect("it reads");
            assert_eq!(acks.next().expect("an ack").expect("text"), number.to_string());
        }
        let answer = dir.run(&["patch", "store", "item", "number=1", "a=2", "--json"]).ends_with(3);
        assert_eq!(answer.error()["kind"], "locked");
        assert!(answer.err.contains(&child.id().to_string()), "{}", answer.err);
        // A last line without its end counts as a line.
        stdin.write_all(create(start + 4).trim_end().as_bytes()).expect("it reads");
        drop(stdin);
        assert_eq!(acks.next().expect("an ack").expect("text"), "4");
        assert!(child.wait().expect("it ends").success());
    }
}

#[test]
fn the_first_refusal_stops_with_its_line_and_what_was_before_is_there() {
    for (bad, kind) in [
        (create(3), "unique_conflict"),
        (
            "{\"op\":\"update\",\"object\":\"item\",\"key\":{\"number\":99},\"set\":{\"a\":1}}\n".into(),
            "record_not_found",
        ),
        ("{\"op\":\"create\",\"object\":\"itm\",\"values\":{}}\n".into(), "object_not_found"),
        (
            "{\"op\":\"create\",\"object\":\"item\",\"values\":{\"number\":9,\"numbr\":9}}\n".into(),
            "unknown_attribute",
        ),
        (
            "{\"op\":\"create\",\"object\":\"item\",\"values\":{\"number\":9,\"day\":\"2013-02-30\"}}\n"
                .into(),
            "invalid_value",
        ),
        ("{\"op\":\"create\",\"object\":\"item\",\"values\":{\"a\":9}}\n".into(), "missing_required"),
        ("{\"op\":\"create\",\"object\":\"item\",\n".into(), "invalid_input"),
        ("{\"op\":\"drop\",\"object\":\"item\"}\n".into(), "invalid_input"),
        ("[1]\n".into(), "invalid_input"),
        ("number,a\n".into(), "invalid_input"),
    ] {
        let dir = Dir::with_store();
        let text = creates(1..=5) + "\n" + &bad + &create(7);
        let answer = apply(&dir, &["--json", "--ack"], &text).refused();
        let error = answer.error();
        assert_eq!(
            (&error["kind"], &error["line"], &error["applied"]),
            (&json!(kind), &json!(7), &json!(5)),
            "{error}"
        );
        assert_eq!(answer.out, "1\n2\n3\n4\n5\n");
        assert_eq!(dir.column("item", "number"), [1, 2, 3, 4, 5]);
        if kind == "unique_conflict" {
            let record = &dir.export("item")[2];
            let conflict = json!({"object": "item", "attributes": ["number"], "key": ["3"], "record": record["id"], "version": 1});
            assert_eq!(error["conflict"], conflict);
        }
    }
}

#[test]
fn a_refusal_tells_people_the_line() {
    let dir = Dir::with_store();
    let answer = apply(&dir, &[], &(creates(1..=2) + &create(1))).refused();
    assert!(
        answer.err.starts_with("vellum: line 3: item.number: key (1) is held by record "),
        "{}",
        answer.err
    );
    assert!(answer.err.ends_with("2 lines were applied before\n"), "{}", answer.err);
}

#[test]
fn a_line_that_is_no_mutation_is_told_by_line_and_column() {
    let dir = Dir::with_store();
    let answer = apply(&dir, &[], "{\"op\":\"update\"").refused();
    assert_eq!(answer.err, "vellum: line 1: column 14: EOF while parsing an object\nno line was applied\n");
    let answer = apply(&dir, &[], "{\"op\":\"update\"}").refused();
    assert_eq!(answer.err, "vellum: line 1: object is missing\nno line was applied\n");
}

#[test]
fn skip_goes_on_and_keeps_the_refused_lines() {
    let dir = Dir::with_store();
    let text =
        creates(1..=3) + &create(2) + "not json\n" + &create(4) + "{\"op\":\"x\u{fe}\"}\n" + &create(5);
    let args = ["--json", "--ack", "--on-error", "skip", "--rejects", "rejects"];
    let answer = apply(&dir, &args, &text).done();
    assert_eq!(answer.out, "1\n2\n3\n6\n8\n");
    let summary: Value = serde_json::from_str(&answer.err).expect("with --ack the summary is on stderr");
    assert_eq!((&summary["applied"], &summary["rejected"]), (&json!(5), &json!(3)));
    let rejects = rejects(&dir);
    let facts: Vec<_> =
        rejects.iter().map(|reject| (reject["line"].clone(), reject["kind"].clone())).collect();
    let expected = [(4, "unique_conflict"), (5, "invalid_input"), (7, "invalid_input")];
    assert_eq!(facts, expected.map(|(line, kind)| (json!(line), json!(kind))));
    assert_eq!(rejects[0]["input"], create(2).trim_end());
    assert!(rejects[1]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(dir.column("item", "number"), [1, 2, 3, 4, 5]);
}

#[test]
fn no_refusal_makes_no_rejects_file() {
    let dir = Dir::with_store();
    apply(&dir, &["--on-error", "skip", "--rejects", "rejects"], &creates(1..=3)).done();
    assert!(!dir.exists("rejects"));
}

#[test]
fn the_rejects_file_is_never_the_input() {
    let dir = Dir::with_store();
    dir.write("items.ndjson", create(1));
    for path in ["items.ndjson", "./items.ndjson"] {
        dir.run(&["apply", "store", "items.ndjson", "--on-error", "skip", "--rejects", path]).ends_with(2);
    }
    assert_eq!(dir.read("items.ndjson"), create(1));
}

#[test]
fn a_batch_fails_whole() {
    // Lines 1-3 are sound, 4-6 have a conflict in the middle, 7 would be sound.
    let text = creates([1, 2, 3, 4, 2, 6, 7]);
    let dir = Dir::with_store();
    let answer = apply(&dir, &["--json", "--ack", "--batch", "3"], &text).refused();
    let error = answer.error();
    assert_eq!(
        (&error["kind"], &error["line"], &error["applied"]),
        (&json!("unique_conflict"), &json!(5), &json!(3))
    );
    assert_eq!(answer.out, "1\n2\n3\n");
    assert_eq!(dir.column("item", "number"), [1, 2, 3]);

    let dir = Dir::with_store();
    let args = ["--json", "--batch", "3", "--on-error", "skip", "--rejects", "rejects"];
    let summary = apply(&dir, &args, &text).done().json();
    assert_eq!(
        (&summary["applied"], &summary["rejected"], &summary["transactions"]),
        (&json!(4), &json!(3), &json!(2))
    );
    assert_eq!(dir.column("item", "number"), [1, 2, 3, 7]);
    let rejects = rejects(&dir);
    let kinds: Vec<_> =
        rejects.iter().map(|reject| (reject["line"].clone(), reject["kind"].clone())).collect();
    let expected = [(4, "batch_failed"), (5, "unique_conflict"), (6, "batch_failed")];
    assert_eq!(kinds, expected.map(|(line, kind)| (json!(line), json!(kind))));
    assert_eq!(rejects[2]["input"], create(6).trim_end());
}

#[test]
fn a_batch_with_a_broken_line_fails_whole() {
    let text = creates([1, 2]) + "{broken\n" + &creates([4, 5]);
    let dir = Dir::with_store();
    let answer = apply(&dir, &["--json", "--batch", "4"], &text).refused();
    assert_eq!(answer.error()["line"], 3);
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "0\n");
    apply(&dir, &["--batch", "4", "--on-error", "skip", "--rejects", "rejects"], &text).done();
    assert_eq!(dir.column("item", "number"), [5]);
    assert_eq!(rejects(&dir).len(), 4);
}

#[test]
fn a_batch_is_judged_by_what_it_leaves() {
    // Two records swap their codes: no line alone would be allowed.
    let dir = Dir::with_store();
    let first = r#"{"op":"create","object":"item","values":{"number":1,"code":"A"}}
{"op":"create","object":"item","values":{"number":2,"code":"B"}}
"#;
    let swap = r#"{"op":"update","object":"item","key":{"number":1},"set":{"code":"B"}}
{"op":"update","object":"item","key":{"number":2},"set":{"code":"A"}}
"#;
    apply(&dir, &[], first).done();
    apply(&dir, &[], swap).refused();
    apply(&dir, &["--batch", "2"], swap).done();
    assert_eq!(dir.column("item", "code"), ["B", "A"]);
    // A clash of the whole names the batch.
    let clash = swap.replace("\"A\"", "\"C\"").replace("\"B\"", "\"C\"");
    let answer = apply(&dir, &["--batch", "2", "--json"], &clash).refused();
    assert_eq!(answer.error()["kind"], "unique_conflict");
    assert_eq!(dir.column("item", "code"), ["B", "A"]);
}

#[test]
fn at_counts_only_where_it_was_asked_for() {
    let text = r#"{"op":"create","object":"item","values":{"number":1},"at":"2012-12-02T05:15:00Z"}
{"op":"update","object":"item","key":{"number":1},"set":{"a":1},"at":"2013-01-01T00:00:00.5Z"}
"#;
    let dir = Dir::with_store();
    apply(&dir, &["--at-from-input"], text).done();
    let record = &dir.export("item")[0];
    assert_eq!(record["created_at"], "2012-12-02T05:15:00Z");
    assert_eq!(record["updated_at"], "2013-01-01T00:00:00.5Z");
    let dir = Dir::with_store();
    apply(&dir, &[], text).done();
    let record = &dir.export("item")[0];
    for name in ["created_at", "updated_at"] {
        assert!(record[name].as_str().is_some_and(|time| time > "2024"), "{record}");
    }
}

#[test]
fn a_listener_that_goes_away_stops_the_run_with_an_error() {
    // Enough lines that acks cannot all fit into the pipe.
    let dir = Dir::with_store();
    dir.write("items.ndjson", creates(1..=60_000));
    let mut child = dir
        .command(&["apply", "store", "items.ndjson", "--ack", "--durability", "buffered"])
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}

#[test]
fn lines_of_any_length_are_read() {
    // Lengths around the buffer of the line reader, in one stream, in random order.
    let mut random = Random(11);
    let mut lens: Vec<usize> = vec![0, 1, 1 << 16, (1 << 20) - 100, (1 << 20) + 1, 3 << 20];
    lens.extend((0..200).map(|_| random.below(20_000) as usize));
    let text: String = lens
        .iter()
        .enumerate()
        .map(|(n, len)| {
            format!(
                "{{\"op\":\"create\",\"object\":\"item\",\"values\":{{\"number\":{n},\"note\":\"{}\"}}}}\r\n",
                "x".repeat(*len)
            )
        })
        .collect();
    let dir = Dir::with_store();
    dir.write("items.ndjson", format!("\u{feff}{text}"));
    dir.run(&["apply", "store", "items.ndjson", "--durability", "buffered"]).done();
    let found: Vec<usize> =
        dir.column("item", "note").iter().map(|note| note.as_str().map_or(0, str::len)).collect();
    assert_eq!(found, lens);
    let long = format!(
        "{{\"op\":\"create\",\"object\":\"item\",\"values\":{{\"number\":900,\"note\":\"{}\"}}}}",
        "x".repeat((16 << 20) + 1)
    );
    let answer = apply(&dir, &["--json"], &long).refused();
    assert_eq!(answer.error()["kind"], "limit_exceeded");
}
