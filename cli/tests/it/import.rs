//! `vellum import`: CSV and NDJSON, conflicts, rejects, and what export wrote.

use crate::support::{Answer, Dir, gzip};
use serde_json::{Value, json};

fn import(dir: &Dir, file: &str, args: &[&str]) -> Answer {
    dir.run(&[&["import", "store", "item", file], args].concat())
}

fn rejects(dir: &Dir, name: &str) -> Vec<Value> {
    dir.read(name).lines().map(|line| serde_json::from_str(line).expect("rejects are JSON")).collect()
}

fn values(dir: &Dir) -> Vec<Value> {
    dir.export("item").into_iter().map(|record| record["values"].clone()).collect()
}

#[test]
fn csv_is_typed_by_the_schema() {
    let dir = Dir::with_store();
    let csv = "note,number,price,day,state,extra,ratio,on,at\r\n\
        \"two, lines\nhere\",1,12.50,2013-01-01,open,\"{\"\"k\"\": [1]}\",1.5,yes,2013-01-01T05:15:00Z\r\n\
        NA,2,,NA,,,,,\r\n\
        \"\",3,n/a,2013-12-31,done,,-2e3,FALSE,\n";
    dir.write("items.csv", csv);
    let summary = import(&dir, "items.csv", &["--null", "NA", "--null", "n/a", "--json"]).done().json();
    assert_eq!(
        (&summary["created"], &summary["rejected"], &summary["rejects_file"]),
        (&json!(3), &json!(0), &json!(null))
    );
    assert_eq!(
        values(&dir),
        [
            json!({"number": 1, "note": "two, lines\nhere", "price": "12.5", "day": "2013-01-01", "state": "open",
                "extra": {"k": [1]}, "ratio": 1.5, "on": true, "at": "2013-01-01T05:15:00Z"}),
            json!({"number": 2}),
            json!({"number": 3, "day": "2013-12-31", "state": "done", "ratio": -2000.0, "on": false}),
        ]
    );
    assert!(!dir.exists("items.csv.rejects.ndjson"));
}

#[test]
fn csv_comes_compressed_and_through_a_pipe() {
    let dir = Dir::with_store();
    dir.write("items.csv.gz", gzip("\u{feff}number,a\n1,1\n2,2\n"));
    import(&dir, "items.csv.gz", &[]).done().says(&["item: 2 records created"]);
    dir.feed(&["import", "store", "item", "-", "--format", "csv"], "number,a\n3,3").done();
    dir.feed(&["import", "store", "item", "-", "--format", "ndjson"], "{\"number\":4,\"a\":4}").done();
    assert_eq!(dir.column("item", "a"), [1, 2, 3, 4]);
    dir.feed(&["import", "store", "item", "-"], "number\n9\n").ends_with(2).says(&["--format"]);
}

#[test]
fn rows_that_are_wrong_go_to_the_rejects_file_and_the_others_come_in() {
    let dir = Dir::with_store();
    let mut csv =
        b"number,a,note,day\n1,1,fine,\n2,\"1,200\",thousands,\n3,3\n4,4,x,y,z\n5,5,\"a\nb\",2013-02-30\n"
            .to_vec();
    csv.extend_from_slice(
        b"6,6,latin \xe9,\n7,9223372036854775808,big,\n,8,no key,\n9,nan,x,\n10,10,fine,2013-02-28\n",
    );
    dir.write("items.csv", csv);
    let answer = import(&dir, "items.csv", &["--json"]).refused();
    let error = answer.error();
    assert_eq!(error["kind"], "rejected");
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains("items.csv.rejects.ndjson")),
        "{error}"
    );
    let summary = answer.json();
    assert_eq!((&summary["created"], &summary["rejected"]), (&json!(2), &json!(8)));
    assert_eq!(dir.column("item", "number"), [1, 10]);
    let rejects = rejects(&dir, "items.csv.rejects.ndjson");
    let facts: Vec<(u64, &str, &str)> = rejects
        .iter()
        .map(|reject| {
            let text = |name: &str| reject[name].as_str().expect("text");
            (reject["line"].as_u64().expect("a number"), text("kind"), text("reason"))
        })
        .collect();
    let expected = [
        (3, "invalid_input", "a: "),
        (4, "invalid_input", "the row has 2 fields, the header has 4"),
        (5, "invalid_input", "the row has 5 fields, the header has 4"),
        (6, "invalid_input", "2013-02 has 28 days"),
        (8, "invalid_input", "field 3 is not UTF-8 at its byte 6"),
        (9, "invalid_input", "whole number"),
        (10, "missing_required", "number"),
        (11, "invalid_input", "a: "),
    ];
    for (fact, expected) in facts.iter().zip(expected) {
        assert!(
            fact.0 == expected.0 && fact.1 == expected.1 && fact.2.contains(expected.2),
            "{fact:?} {expected:?}"
        );
    }
    assert_eq!(facts.len(), expected.len());
    assert_eq!(rejects[0]["input"], "2,\"1,200\",thousands,");
    assert_eq!(rejects[3]["input"], "5,5,\"a\nb\",2013-02-30");
}

#[test]
fn line_numbers_count_blank_lines_and_lines_in_quotes_whatever_the_line_end() {
    // Rejects in lines 4, 8 (which begins behind a value of three lines) and the last one, which has no end.
    let csv = "number,note\n\n\n4x,a\n5,\"b\n\nc\"\n8x,\"d\ne\"\n\n11x,f";
    for (text, mark) in [(csv.to_string(), ""), (csv.replace('\n', "\r\n"), "\u{feff}")] {
        let dir = Dir::with_store();
        dir.write("items.csv", format!("{mark}{text}"));
        import(&dir, "items.csv", &[]).refused();
        let rejects = rejects(&dir, "items.csv.rejects.ndjson");
        let lines: Vec<&Value> = rejects.iter().map(|reject| &reject["line"]).collect();
        assert_eq!(lines, [4, 8, 11]);
        let inputs: Vec<&Value> = rejects.iter().map(|reject| &reject["input"]).collect();
        let end = if mark.is_empty() { "\n" } else { "\r\n" };
        assert_eq!(inputs, ["4x,a", &format!("8x,\"d{end}e\""), "11x,f"]);
    }
}

#[test]
fn long_csv_files_keep_their_line_numbers() {
    // Rows of many lengths over several buffers; each thousandth is wrong.
    let mut text = "number,note\r\n".to_string();
    for n in 2..=30_000u64 {
        let wrong = if n % 1000 == 0 { "x" } else { "" };
        text += &format!("{n}{wrong},{}\r\n", "y".repeat((n % 71) as usize));
    }
    let dir = Dir::with_store();
    dir.write("items.csv.gz", gzip(text));
    import(&dir, "items.csv.gz", &[]).refused();
    let rejects = rejects(&dir, "items.csv.gz.rejects.ndjson");
    assert_eq!(rejects.len(), 30);
    for reject in rejects {
        let line = reject["line"].as_u64().expect("a number");
        assert_eq!(reject["input"], format!("{line}x,{}", "y".repeat((line % 71) as usize)));
    }
}

#[test]
fn the_rejects_file_may_be_named_but_not_like_the_input() {
    let dir = Dir::with_store();
    dir.write("items.csv", "number\nx\n");
    import(&dir, "items.csv", &["--rejects", "bad"]).refused();
    assert_eq!(rejects(&dir, "bad").len(), 1);
    import(&dir, "items.csv", &["--rejects", "items.csv"]).ends_with(2);
    assert_eq!(dir.read("items.csv"), "number\nx\n");
}

#[test]
fn a_header_that_does_not_fit_stops_before_the_first_row() {
    let dir = Dir::with_store();
    for (header, kind, word) in [
        ("number,nte", "unknown_attribute", "did you mean"),
        ("number,note,number", "invalid_input", "twice"),
        ("1,x", "unknown_attribute", "1"),
    ] {
        dir.write("items.csv", format!("{header}\n1,x\n"));
        let answer = import(&dir, "items.csv", &["--json"]).refused().says(&[word]);
        assert_eq!((&answer.error()["kind"], &answer.error()["line"]), (&json!(kind), &json!(1)));
    }
    let answer = dir.run(&["import", "store", "itm", "items.csv", "--json"]).refused();
    assert_eq!(answer.error()["kind"], "object_not_found");
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "0\n");
}

#[test]
fn a_conflict_stops_or_skips_or_updates() {
    let dir = Dir::with_store();
    dir.write("first.csv", "number,a,note,code\n1,1,one,A\n2,2,two,B\n");
    dir.write("second.csv", "number,a,note\n1,10,\n3,3,three\n2,2,two\n");
    import(&dir, "first.csv", &[]).done();
    let error = import(&dir, "second.csv", &["--json"]).refused().error();
    assert_eq!(
        (&error["kind"], &error["line"], &error["applied"]),
        (&json!("unique_conflict"), &json!(2), &json!(0))
    );
    assert_eq!(error["conflict"]["key"], json!(["1"]));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("--on-conflict")));

    let summary = import(&dir, "second.csv", &["--on-conflict", "skip", "--json"]).done().json();
    assert_eq!((&summary["created"], &summary["skipped"]), (&json!(1), &json!(2)));
    assert_eq!(dir.column("item", "a"), [1, 2, 3]);

    let summary = import(&dir, "second.csv", &["--on-conflict", "update", "--json"]).done().json();
    assert_eq!(
        (&summary["created"], &summary["updated"], &summary["unchanged"]),
        (&json!(0), &json!(1), &json!(2))
    );
    // Only the columns given change, and an empty field is no value.
    assert_eq!(values(&dir)[0], json!({"number": 1, "a": 10, "code": "A"}));
    assert_eq!(values(&dir)[1], json!({"number": 2, "a": 2, "note": "two", "code": "B"}));
}

#[test]
fn an_update_that_takes_the_key_of_a_third_record_is_rejected() {
    let dir = Dir::with_store();
    dir.write("first.csv", "number,code\n1,A\n2,B\n");
    dir.write("second.csv", "number,code\n1,B\n3,A\n2,C\n");
    import(&dir, "first.csv", &[]).done();
    let summary = import(&dir, "second.csv", &["--on-conflict", "update", "--json"]).refused().json();
    assert_eq!((&summary["updated"], &summary["rejected"]), (&json!(1), &json!(2)));
    assert_eq!(dir.column("item", "code"), ["A", "C"]);
    let rejects = rejects(&dir, "second.csv.rejects.ndjson");
    assert!(rejects.iter().all(|reject| reject["kind"] == "unique_conflict"), "{rejects:?}");
}

#[test]
fn ndjson_comes_as_values_and_wrong_lines_are_rejected() {
    let dir = Dir::with_store();
    let lines = "{\"number\":1,\"price\":0.1,\"note\":\"values\"}\n\n{\"number\":2,\"extra\":{\"values\":[1]}}\n\
        {\"number\":\n{\"number\":\"4\"}\n[5]\n{\"number\":6},\"at\":1\n{\"number\":7,\"number\":8}\n{\"number\":9}";
    dir.write("items.ndjson", lines);
    let summary = import(&dir, "items.ndjson", &["--json"]).refused().json();
    assert_eq!((&summary["created"], &summary["rejected"]), (&json!(3), &json!(5)));
    assert_eq!(values(&dir)[0], json!({"number": 1, "price": "0.1", "note": "values"}));
    let rejects = rejects(&dir, "items.ndjson.rejects.ndjson");
    let lines: Vec<&Value> = rejects.iter().map(|reject| &reject["line"]).collect();
    assert_eq!(lines, [4, 5, 6, 7, 8]);
    assert_eq!(rejects[0]["input"], "{\"number\":");
    assert_eq!(rejects[0]["reason"], "not JSON at column 10: EOF while parsing a value");
    assert_eq!(rejects[4]["reason"], "\"number\" stands twice");
}

#[test]
fn what_export_writes_import_reads() {
    // Texts that need quotes in one form or the other, every type, and records that were changed.
    let dir = Dir::with_store();
    let lines: String = (0..300u64).map(|n| {
        let values = json!({"number": n, "a": n as i64 - 150, "note": format!("n\"{n}\",\né\\ {}", "x".repeat(n as usize % 40)),
            "code": format!("c{n}"), "price": format!("{}.{:02}", n, n % 100), "day": format!("2013-01-{:02}", 1 + n % 31),
            "state": if n % 2 == 0 { "open" } else { "done" }, "extra": {"n": [n, null, "x"]}, "ratio": n as f64 / 7.0,
            "on": n % 3 == 0, "at": "2013-01-01T05:15:00.123456789Z"});
        let mut values = values;
        if n % 5 == 0 {
            for name in ["note", "price", "extra"] {
                values.as_object_mut().expect("an object").remove(name);
            }
        }
        format!("{}\n", json!({"op": "create", "object": "item", "values": values}))
    }).collect();
    dir.feed(&["apply", "store", "-", "--durability", "buffered"], &lines).done();
    dir.run(&["patch", "store", "item", "number=4", "a=77"]).done();
    let before = dir.export("item");
    for format in ["ndjson", "csv"] {
        let text = dir.run(&["export", "store", "item", "--format", format]).done().out;
        let file = format!("items.{format}");
        dir.write(&file, text);
        let copy = Dir::with_store();
        std::fs::copy(dir.path(&file), copy.path(&file)).expect("a copy");
        import(&copy, &file, &[]).done();
        let keep = |records: &[Value]| -> Vec<(Value, Value)> {
            records.iter().map(|record| (record["id"].clone(), record["values"].clone())).collect()
        };
        assert_eq!(keep(&copy.export("item")), keep(&before), "{format}");
        // Once more: each record is found again by its id and key.
        import(&copy, &file, &[]).refused();
        let summary = import(&copy, &file, &["--on-conflict", "update", "--json"]).done().json();
        assert_eq!(summary["unchanged"], 300);
    }
}

#[test]
fn an_object_without_keys_is_matched_by_id() {
    let dir = Dir::with_store();
    let id = "00000000-0000-0000-0000-0000000000aa";
    let run = |file: &str, args: &[&str]| dir.run(&[&["import", "store", "entry", file], args].concat());
    dir.write("first.csv", format!("id,note\n{id},one\n,two\n"));
    dir.write("second.csv", format!("id,note\n{id},three\n,four\n"));
    run("first.csv", &[]).done();
    run("second.csv", &[]).refused().says(&[id]);
    run("second.csv", &["--on-conflict", "update"]).done();
    assert_eq!(dir.column("entry", "note"), ["three", "two", "four"]);
}
