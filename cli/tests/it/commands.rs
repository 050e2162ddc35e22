//! Each command's way when all is well, and what it says when it is not.

use crate::support::{Dir, create, creates};
use serde_json::json;

fn dir_with_items(count: u64) -> Dir {
    let dir = Dir::with_store();
    dir.feed(&["apply", "store", "-"], &creates(1..=count)).done();
    dir
}

#[test]
fn init_makes_a_store_and_schema_shows_it() {
    let dir = Dir::with_store();
    dir.run(&["schema", "store"]).done().says(&[
        "item · Item · primary key number",
        "code    text · unique",
        "open | done",
    ]);
    let schema = dir.run(&["schema", "store", "--json"]).done();
    assert_eq!(schema.json()["objects"][0]["key"], "item");
    // What schema prints makes the same store again.
    dir.write("again.json", &schema.out);
    let answer = dir.run(&["init", "again", "--schema", "again.json", "--json"]).done().json();
    assert_eq!(answer, json!({"store": "again", "objects": ["item", "entry", "pair"]}));
    assert_eq!(dir.run(&["schema", "again", "--json"]).done().out, schema.out);
    dir.feed(&["init", "third", "--schema", "-"], &schema.out).done();
}

#[test]
fn init_refuses_a_bad_schema_and_writes_nothing() {
    let dir = Dir::empty();
    for (name, text, word) in [
        ("type.json", r#"{"objects":[{"key":"x","attributes":[{"key":"y","type":"colour"}]}]}"#, "colour"),
        ("json.json", r#"{"objects":["#, "JSON"),
        ("empty.json", "", "JSON"),
    ] {
        dir.write(name, text);
        let answer = dir.run(&["init", "store", "--schema", name, "--json"]).refused().says(&[word]);
        assert_eq!(answer.error()["kind"], "invalid_schema");
        assert!(!dir.exists("store"));
    }
    let answer = dir.run(&["init", "store", "--schema", "nowhere.json", "--json"]).ends_with(3);
    assert_eq!(answer.error()["kind"], "io");
    assert!(!dir.exists("store"));
}

#[test]
fn init_leaves_an_existing_store_alone() {
    let dir = dir_with_items(3);
    let answer = dir.run(&["init", "store", "--schema", "schema.json", "--json"]).ends_with(3);
    assert_eq!(answer.error()["kind"], "already_exists");
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "3\n");
}

#[test]
fn get_finds_by_id_by_primary_key_and_by_unique_attribute() {
    let dir = Dir::with_store();
    let line = r#"{"op":"create","object":"item","values":{"number":7,"note":"a, b=c","code":"x=1,y","price":12.5,"on":true}}"#;
    dir.feed(&["apply", "store", "-"], line).done();
    let record = dir.run(&["get", "store", "item", "number=7", "--json"]).done().json();
    let values = json!({"number": 7, "note": "a, b=c", "code": "x=1,y", "price": "12.5", "on": true});
    assert_eq!(record["values"], values);
    assert_eq!((&record["version"], &record["counter"]), (&json!(1), &json!(1)));
    let id = record["id"].as_str().expect("an id is text");
    for key in [id, "code=x=1,y", r#"{"code":"x=1,y"}"#, r#"{"number":7}"#, "number= 7"] {
        assert_eq!(dir.run(&["get", "store", "item", key, "--json"]).done().json(), record, "{key}");
    }
    let some = dir.run(&["get", "store", "item", id, "--attributes", "note,price", "--json"]).done().json();
    assert_eq!(some["values"], json!({"note": "a, b=c", "price": "12.5"}));
    dir.run(&["get", "store", "item", id]).done().says(&[id, "version  1", "price   12.5"]);
}

#[test]
fn get_finds_by_a_key_of_several_attributes_in_any_order() {
    let dir = Dir::with_store();
    let line =
        r#"{"op":"create","object":"pair","values":{"left":"Smith, John","right":"2013-01-01","n":1}}"#;
    dir.feed(&["apply", "store", "-"], line).done();
    for key in ["left=Smith, John,right=2013-01-01", "right=2013-01-01,left=Smith, John"] {
        assert_eq!(dir.run(&["get", "store", "pair", key, "--json"]).done().json()["values"]["n"], 1);
    }
}

#[test]
fn get_says_why_it_finds_nothing() {
    let dir = dir_with_items(1);
    for (args, kind) in [
        (&["item", "number=9"][..], "record_not_found"),
        (&["item", "00000000-0000-0000-0000-000000000001"], "record_not_found"),
        (&["item", "a=1"], "match_not_unique"),
        (&["item", "numbr=1"], "unknown_attribute"),
        (&["item", "number=x"], "invalid_input"),
        (&["item", "number="], "invalid_input"),
        (&["item", "seven"], "invalid_input"),
        (&["item", "{\"number\":"], "invalid_input"),
        (&["thing", "number=1"], "object_not_found"),
        (&["item", "number=1", "--attributes", "nope"], "unknown_attribute"),
    ] {
        let answer = dir.run(&[&["get", "store", "--json"], args].concat()).refused();
        assert_eq!(answer.error()["kind"], kind, "{args:?} {answer:?}");
        assert_eq!(answer.out, "");
    }
    dir.run(&["get", "store", "item", "numbr=1"]).refused().says(&["vellum: ", "did you mean \"number\"?"]);
}

#[test]
fn patch_sets_and_clears() {
    let dir = dir_with_items(1);
    let patch = |args: &[&str]| dir.run(&[&["patch", "store", "item", "number=1", "--json"], args].concat());
    let answer = patch(&["note=x = y", "price=1.20", "state=open", "extra={\"k\":[1,2]}"]).done().json();
    assert_eq!(answer["version"], 2);
    assert_eq!(answer["changed"], json!(["note", "price", "state", "extra"]));
    let answer = patch(&[r#"{"note":"","price":"3.4","state":null}"#, "--clear", "extra"]).done().json();
    assert_eq!(answer["changed"], json!(["note", "price", "state", "extra"]));
    assert_eq!(patch(&["a="]).done().json()["changed"], json!(["a"]));
    assert_eq!(patch(&["--clear", "note"]).done().json()["version"], 5);
    let record = dir.run(&["get", "store", "item", "number=1", "--json"]).done().json();
    assert_eq!(record["values"], json!({"number": 1, "price": "3.4"}));
    // The same value again is no change.
    let answer = patch(&["price=3.40"]).done().json();
    assert_eq!((&answer["version"], &answer["changed"]), (&json!(5), &json!([])));
    dir.run(&["patch", "store", "item", "number=1", "note=n"]).done().says(&["version 6", "changed: note"]);
}

#[test]
fn patch_refuses_with_data_and_changes_nothing() {
    let dir = dir_with_items(2);
    dir.run(&["patch", "store", "item", "number=2", "code=K"]).done();
    let before = dir.export("item");
    let refused = |args: &[&str]| {
        dir.run(&[&["patch", "store", "item", "number=1", "--json"], args].concat()).refused().error()
    };
    let error = refused(&["code=K"]);
    assert_eq!(error["kind"], "unique_conflict");
    let conflict = json!({"object": "item", "attributes": ["code"], "key": ["K"], "record": before[1]["id"], "version": 2});
    assert_eq!(error["conflict"], conflict);
    let error = refused(&["a=1", "--if-version", "7"]);
    assert_eq!((&error["kind"], &error["current_version"]), (&json!("precondition_failed"), &json!(1)));
    let error = refused(&["{\"a\":\"one\"}"]);
    assert_eq!(
        (&error["kind"], &error["object"], &error["attribute"]),
        (&json!("invalid_value"), &json!("item"), &json!("a"))
    );
    assert_eq!(refused(&["state=closed"])["kind"], "unknown_option");
    assert_eq!(refused(&["day=2013-02-29"])["kind"], "invalid_input");
    assert_eq!(refused(&["ratio=NaN"])["kind"], "invalid_input");
    assert_eq!(refused(&["a=9223372036854775808"])["kind"], "invalid_input");
    assert_eq!(refused(&["a=1,200"])["kind"], "invalid_input");
    assert_eq!(refused(&["number="])["kind"], "missing_required");
    assert_eq!(refused(&["nope=1"])["kind"], "unknown_attribute");
    assert_eq!(refused(&["a"])["kind"], "invalid_input");
    assert_eq!(refused(&["{\"a\":1"])["kind"], "invalid_input");
    assert_eq!(dir.export("item"), before);
    dir.run(&["patch", "store", "item", "number=9", "a=1"]).refused().says(&["vellum: "]);
}

#[test]
fn delete_removes_one_record() {
    let dir = dir_with_items(3);
    let answer = dir.run(&["delete", "store", "item", "number=2", "--if-version", "2", "--json"]).refused();
    assert_eq!(answer.error()["kind"], "precondition_failed");
    let answer =
        dir.run(&["delete", "store", "item", "number=2", "--if-version", "1", "--json"]).done().json();
    assert!(answer["id"].is_string() && answer["lsn"].is_u64());
    assert_eq!(dir.column("item", "number"), [1, 3]);
    let answer = dir.run(&["delete", "store", "item", "number=2", "--json"]).refused();
    assert_eq!(answer.error()["kind"], "record_not_found");
    // The key is free again.
    dir.feed(&["apply", "store", "-"], &create(2)).done();
}

#[test]
fn count_prints_digits() {
    let dir = dir_with_items(1234);
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "1234\n");
    assert_eq!(
        dir.run(&["count", "store", "entry", "--json"]).done().json(),
        json!({"object": "entry", "count": 0})
    );
    assert_eq!(dir.run(&["count", "store", "nope", "--json"]).refused().error()["kind"], "object_not_found");
}

#[test]
fn stats_has_a_number_for_everything() {
    let dir = dir_with_items(2000);
    dir.run(&["checkpoint", "store"]).done().says(&["checkpoint at lsn"]);
    let stats = dir.run(&["stats", "store", "--json"]).done().json();
    assert_eq!(stats["objects"][0], json!({"name": "item", "records": 2000, "row_groups": 2}));
    assert_eq!(stats["indexes"][0]["entries"], 2000);
    for name in [
        "segment_len",
        "live_len",
        "log_len",
        "applied_lsn",
        "durable_lsn",
        "checkpoint_lsn",
        "checkpoint_generation",
    ] {
        assert!(stats[name].as_u64().is_some_and(|number| number > 0), "{name} in {stats}");
    }
    assert!(stats["bytes_by_kind"].as_object().is_some_and(|kinds| kinds.len() > 2));
    dir.run(&["stats", "store"]).done().says(&[
        "2,000 records in 2 row groups",
        "last checkpoint",
        "bytes by page kind",
    ]);
}

#[test]
fn checkpoint_and_compact_say_what_they_did_and_keep_every_record() {
    let dir = dir_with_items(3000);
    let report = dir.run(&["checkpoint", "store", "--json"]).done().json();
    assert!(report["written_len"].as_u64().is_some_and(|len| len > 0), "{report}");
    let updates: String = (1..=3000)
        .map(|n| {
            format!(
                "{{\"op\":\"update\",\"object\":\"item\",\"key\":{{\"number\":{n}}},\"set\":{{\"b\":{n}}}}}\n"
            )
        })
        .collect();
    dir.feed(&["apply", "store", "-", "--durability", "buffered"], &updates).done();
    let before = dir.export("item");
    dir.run(&["compact", "store", "--json"]).done();
    assert_eq!(dir.export("item"), before);
    let stats = dir.run(&["stats", "store", "--json"]).done().json();
    assert!(stats["dead_len"].as_u64() < stats["live_len"].as_u64(), "{stats}");
}

#[test]
fn verify_finds_nothing_in_a_sound_store() {
    let dir = dir_with_items(3000);
    dir.run(&["checkpoint", "store"]).done();
    dir.run(&["patch", "store", "item", "number=3", "a=4"]).done();
    let report = dir.run(&["verify", "store", "--json"]).done().json();
    assert_eq!((&report["clean"], &report["findings"]), (&json!(true), &json!([])));
    for name in ["file_count", "byte_count", "image_count", "frame_count", "record_count"] {
        assert!(report[name].as_u64().is_some_and(|count| count > 0), "{name} in {report}");
    }
    dir.run(&["verify", "store"]).done().says(&["clean: checked "]);
}

#[test]
fn verify_names_file_and_byte_of_a_damage() {
    // One bit of each segment and of each superblock copy, where the store says something lies.
    let dir = dir_with_items(3000);
    dir.run(&["checkpoint", "store"]).done();
    let names = std::fs::read_dir(dir.path("store")).expect("a store is a directory");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let names: Vec<String> = names.filter(|name| name.starts_with("seg") || name == "superblock").collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let file = format!("store/{name}");
        let sound = std::fs::read(dir.path(&file)).expect("it is there");
        let mut damaged = sound.clone();
        let at = if name == "superblock" { 20 } else { sound.len() / 2 };
        damaged[at] ^= 0x10;
        dir.write(&file, &damaged);
        let answer = dir.run(&["verify", "store", "--json"]).ends_with(3);
        let error = answer.error();
        assert_eq!(
            (&error["kind"], &error["place"]["file"]),
            (&json!("corrupt"), &json!(name)),
            "{answer:?}"
        );
        let offset = error["place"]["offset"].as_u64().expect("a number");
        assert!(offset < sound.len() as u64, "{error}");
        assert_eq!(answer.json()["clean"], false);
        dir.run(&["verify", "store"]).ends_with(3).says(&[&format!("{name} at byte {offset}: ")]);
        assert_eq!(std::fs::read(dir.path(&file)).expect("it is there"), damaged, "verify changes nothing");
        dir.write(&file, &sound);
    }
    dir.run(&["verify", "store"]).done();
}

#[test]
fn export_writes_ids_versions_and_times() {
    let dir = dir_with_items(2);
    dir.run(&["patch", "store", "item", "number=2", "note=say \"hi\", twice\nor so"]).done();
    let records = dir.export("item");
    assert_eq!(records[1]["version"], 2);
    assert!(records[0]["created_at"].is_string() && records[0]["updated_at"].is_string());
    let text = dir.run(&["export", "store", "item", "--format", "csv"]).done().out;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().expect("a header").iter().map(String::from).collect();
    assert_eq!(header[..7], ["id", "version", "counter", "created_at", "updated_at", "number", "a"]);
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(&rows[1][8], "say \"hi\", twice\nor so");
    assert_eq!(rows[1][0], records[1]["id"]);
}

#[test]
fn an_empty_object_exports_nothing_but_a_header() {
    let dir = Dir::with_store();
    assert_eq!(dir.run(&["export", "store", "entry"]).done().out, "");
    let csv = dir.run(&["export", "store", "entry", "--format", "csv"]).done().out;
    assert_eq!(csv, "id,version,counter,created_at,updated_at,note\n");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let dir = Dir::with_store();
    for args in [
        &["frobnicate"][..],
        &["count", "store"],
        &["init", "x"],
        &["patch", "store", "item", "number=1"],
        &["apply", "store", "-", "--durability", "often"],
        &["apply", "store", "-", "--durability", "interval:0"],
        &["apply", "store", "-", "--batch", "0"],
        &["apply", "store", "-", "--on-error", "skip"],
        &["apply", "store", "-", "--rejects", "r"],
        &["import", "store", "item", "data"],
        &["export", "store", "item", "--format", "xml"],
    ] {
        dir.run(args).ends_with(2);
        let answer = dir.run(&[args, &["--json"]].concat()).ends_with(2);
        assert_eq!(answer.error()["kind"], "usage", "{args:?}");
    }
}

#[test]
fn every_command_has_help() {
    let dir = Dir::empty();
    let help = dir.run(&["--help"]).done();
    for command in [
        "init",
        "schema",
        "import",
        "apply",
        "get",
        "patch",
        "delete",
        "count",
        "export",
        "stats",
        "verify",
        "checkpoint",
        "compact",
    ] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command} in {}", help.out);
        dir.run(&[command, "--help"]).done().says(&["Usage: vellum"]);
    }
    dir.run(&["--version"]).done().says(&["vellum "]);
}

#[test]
fn a_directory_that_is_no_store_stays_as_it_is() {
    // A directory with a file of the user's, and one that does not exist.
    let dir = Dir::empty();
    std::fs::create_dir(dir.path("photos")).expect("a directory");
    dir.write("photos/one.jpg", "x");
    dir.write("items.ndjson", create(1));
    for store in ["photos", "nowhere"] {
        for args in [
            &["schema", store][..],
            &["count", store, "item"],
            &["get", store, "item", "number=1"],
            &["export", store, "item"],
            &["stats", store],
            &["verify", store],
            &["checkpoint", store],
            &["compact", store],
            &["patch", store, "item", "number=1", "a=1"],
            &["delete", store, "item", "number=1"],
            &["apply", store, "items.ndjson"],
            &["import", store, "item", "items.ndjson"],
        ] {
            let answer = dir.run(&[args, &["--json"]].concat()).ends_with(3);
            assert_eq!(answer.error()["kind"], "not_a_store", "{args:?}");
        }
        assert!(!dir.exists("nowhere"));
    }
    dir.write("schema.json", crate::support::SCHEMA);
    dir.run(&["init", "photos", "--schema", "schema.json"]).ends_with(3);
    let names: Vec<_> = std::fs::read_dir(dir.path("photos")).expect("a directory").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn reading_works_in_a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let dir = dir_with_items(5);
    let set_mode = |mode| {
        std::fs::set_permissions(dir.path("store"), std::fs::Permissions::from_mode(mode))
            .expect("it is ours");
    };
    set_mode(0o555);
    // Root writes everywhere; then only the reading is tested.
    let is_root = std::fs::write(dir.path("store/probe"), "").is_ok();
    drop(std::fs::remove_file(dir.path("store/probe")));
    assert_eq!(dir.run(&["count", "store", "item"]).done().out, "5\n");
    dir.run(&["get", "store", "item", "number=5"]).done();
    dir.run(&["stats", "store"]).done();
    dir.run(&["schema", "store"]).done();
    assert_eq!(dir.export("item").len(), 5);
    if !is_root {
        let answer = dir.run(&["patch", "store", "item", "number=1", "a=2", "--json"]).ends_with(3);
        assert_eq!(answer.error()["kind"], "read_only");
    }
    set_mode(0o755);
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let dir = dir_with_items(3000);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    for format in ["ndjson", "csv"] {
        let mut command = dir.command(&["export", "store", "item", "--format", format, "--json"]);
        let output = command.stdout(full.try_clone().expect("a copy")).output().expect("it runs");
        assert_eq!(output.status.code(), Some(3));
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert_eq!(error["kind"], "disk_full");
    }
}

#[test]
fn a_reader_that_goes_away_ends_an_export_quietly() {
    use std::io::{BufRead, BufReader, Read};
    // More than a pipe holds, so that the export is still writing when `head` has left.
    let dir = dir_with_items(3000);
    for format in ["ndjson", "csv"] {
        let mut child =
            dir.command(&["export", "store", "item", "--format", format]).spawn().expect("it runs");
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut first).expect("a first line");
        drop(stdout);
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
        let mut err = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        assert_eq!(err, "");
    }
}
