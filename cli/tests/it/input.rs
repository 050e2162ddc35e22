//! Inputs that are empty, cut, damaged, missing or something else: a clear error, and nothing lost.

use crate::support::{Dir, create, creates, gzip};
use serde_json::json;

#[test]
fn an_empty_input_is_done_at_once_with_a_note() {
    let dir = Dir::with_store();
    for (name, bytes) in [
        ("empty.ndjson", Vec::new()),
        ("blank.ndjson", b"\n \r\n\n".to_vec()),
        ("empty.ndjson.gz", gzip("")),
        ("empty.csv", Vec::new()),
        ("header.csv", b"number,a\n".to_vec()),
    ] {
        dir.write(name, bytes);
        let answer = dir.run(&["import", "store", "item", name]).done();
        assert!(answer.err.contains("no rows") && answer.out.contains("0 records created"), "{answer:?}");
        if !name.ends_with(".csv") {
            let answer = dir.run(&["apply", "store", name]).done();
            assert!(answer.err.contains("no lines") && answer.out.contains("0 lines applied"), "{answer:?}");
        }
    }
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "0\n");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let dir = Dir::with_store();
    for args in [&["apply", "store", "nowhere.ndjson"][..], &["import", "store", "item", "nowhere.csv"]] {
        let answer = dir.run(&[args, &["--json"]].concat()).ends_with(3).says(&["nowhere"]);
        assert_eq!(answer.error()["kind"], "io");
    }
    let answer = dir.run(&["apply", "store", "store", "--json"]).ends_with(3);
    assert_eq!(answer.error()["kind"], "io");
}

#[test]
fn a_gzip_file_that_is_cut_applies_what_is_whole_and_says_where_it_ended() {
    // Lines that do not compress to nothing, cut at many places; the last line must never be half.
    let text: String = (1..=400u64)
        .map(|n| {
            let note = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{{\"op\":\"create\",\"object\":\"item\",\"values\":{{\"number\":{n},\"note\":\"{note:x}\"}}}}\n")
        })
        .collect();
    let whole = gzip(&text);
    for part in 1..8 {
        let dir = Dir::with_store();
        dir.write("items.ndjson.gz", &whole[..whole.len() * part / 8]);
        let answer = dir
            .run(&["apply", "store", "items.ndjson.gz", "--json", "--ack"])
            .ends_with(3)
            .says(&["cut short"]);
        let error = answer.error();
        assert_eq!(error["kind"], "damaged_input");
        let applied = error["applied"].as_u64().expect("a number");
        assert_eq!(error["line"], json!(applied + 1));
        assert_eq!(dir.column("item", "number"), (1..=applied).collect::<Vec<u64>>());
        assert_eq!(answer.out.lines().count() as u64, applied);
        assert!(part < 3 || applied > 50, "{applied} lines of part {part}");
    }
}

#[test]
fn a_gzip_file_with_a_flipped_byte_is_damaged() {
    let dir = Dir::with_store();
    let mut bytes = gzip(creates(1..=100));
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    dir.write("items.ndjson.gz", bytes);
    let answer = dir.run(&["apply", "store", "items.ndjson.gz", "--json"]).ends_with(3).says(&["damaged"]);
    assert_eq!(answer.error()["kind"], "damaged_input");
    assert_eq!(answer.error()["applied"], 100);
}

#[test]
fn a_name_that_promises_gzip_is_held_to_it() {
    let dir = Dir::with_store();
    for bytes in [&b""[..], &b"\x1f"[..], create(1).as_bytes()] {
        dir.write("items.ndjson.gz", bytes);
        for args in
            [&["apply", "store", "items.ndjson.gz"][..], &["import", "store", "item", "items.ndjson.gz"]]
        {
            let answer = dir.run(&[args, &["--json"]].concat()).ends_with(3);
            assert_eq!(answer.error()["kind"], "damaged_input");
        }
    }
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "0\n");
}

#[test]
fn a_csv_that_is_cut_in_its_gzip_imports_what_is_whole() {
    let rows: String =
        (1..=500u64).map(|n| format!("{n},{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let whole = gzip(format!("number,note\n{rows}"));
    let dir = Dir::with_store();
    dir.write("items.csv.gz", &whole[..whole.len() / 2]);
    let error = dir.run(&["import", "store", "item", "items.csv.gz", "--json"]).ends_with(3).error();
    assert_eq!(error["kind"], "damaged_input");
    let applied = error["applied"].as_u64().expect("a number");
    assert!(applied > 100, "{error}");
    assert_eq!(dir.column("item", "number"), (1..=applied).collect::<Vec<u64>>());
}

#[test]
fn text_that_is_not_utf8_names_its_line() {
    let dir = Dir::with_store();
    let mut bytes = create(1).into_bytes();
    bytes.extend_from_slice(
        b"{\"op\":\"create\",\"object\":\"item\",\"values\":{\"number\":2,\"note\":\"\xff\"}}\n",
    );
    dir.write("items.ndjson", &bytes);
    let error = dir.run(&["apply", "store", "items.ndjson", "--json"]).refused().says(&["UTF-8"]).error();
    assert_eq!(
        (&error["kind"], &error["line"], &error["applied"]),
        (&json!("invalid_input"), &json!(2), &json!(1))
    );
    dir.write("schema2.json", b"{\"objects\":[\xff]}");
    dir.run(&["init", "two", "--schema", "schema2.json"]).refused().says(&["UTF-8"]);
}
