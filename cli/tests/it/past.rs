//! The past through the tool: `get --as-of`, `history`, `undelete`, `revert`, and changes of the schema.

use crate::support::Dir;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"objects":[{"key":"deal","primary_key":["code"],"history":true,"attributes":[
    {"key":"code","type":"text"}, {"key":"stage","type":"text"}, {"key":"amount","type":"integer"}]}]}"#;

fn dir() -> Dir {
    let dir = Dir::empty();
    dir.write("deals.json", SCHEMA);
    dir.run(&["init", "store", "--schema", "deals.json"]).done();
    let line = r#"{"op":"create","object":"deal","values":{"code":"A","stage":"lead","amount":5}}"#;
    dir.feed(&["apply", "store", "-"], line).done();
    dir
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn history_lists_values_and_get_shows_a_moment() {
    let dir = dir();
    dir.run(&["patch", "store", "deal", "code=A", "stage=won", "--actor", "user:ann"]).done();
    let values = lines(&dir.run(&["history", "store", "deal", "code=A", "stage", "--json"]).done().out);
    assert_eq!((&values[0]["value"], &values[1]["value"]), (&json!("lead"), &json!("won")));
    assert_eq!(values[0]["active_until"], values[1]["active_from"]);
    assert_eq!((&values[0]["set_by"], &values[1]["set_by"]), (&Value::Null, &json!("user:ann")));
    assert_eq!(values[1]["active_until"], Value::Null);
    let at = values[0]["active_from"].as_str().unwrap();
    let then = dir.run(&["get", "store", "deal", "code=A", "--as-of", at, "--json"]).done().json();
    assert_eq!((&then["values"]["stage"], &then["version"]), (&json!("lead"), &json!(1)));
    dir.run(&["history", "store", "deal", "code=A"]).done().says(&["lead", "won · by user:ann", "to now"]);
    let answer = dir.run(&["get", "store", "deal", "code=A", "--as-of", "1999-01-01T00:00:00Z"]).refused();
    assert_eq!(answer.out, "");
    dir.run(&["get", "store", "deal", "code=A", "--as-of", "yesterday"]).ends_with(2);
}

#[test]
fn what_was_deleted_comes_back_and_a_commit_is_taken_back() {
    let dir = dir();
    let id = dir.run(&["get", "store", "deal", "code=A", "--json"]).done().json()["id"].clone();
    let id = id.as_str().unwrap();
    dir.run(&["delete", "store", "deal", "code=A"]).done();
    let back = dir.run(&["undelete", "store", "deal", id, "--actor", "app:tool", "--json"]).done().json();
    assert_eq!((&back["id"], &back["version"]), (&json!(id), &json!(2)));
    dir.run(&["get", "store", "deal", "code=A"]).done().says(&["lead"]);
    assert_eq!(
        dir.run(&["undelete", "store", "deal", id, "--json"]).refused().error()["kind"],
        "record_not_found"
    );
    let patched =
        dir.run(&["patch", "store", "deal", "code=A", "stage=lost", "amount=6", "--json"]).done().json();
    let lsn = patched["lsn"].to_string();
    let reverted = dir.run(&["revert", "store", &lsn, "--json"]).done().json();
    assert_eq!(reverted["records"], json!([id]));
    let record = dir.run(&["get", "store", "deal", "code=A", "--json"]).done().json();
    assert_eq!(record["values"], json!({"code": "A", "stage": "lead", "amount": 5}));
    let answer = dir.run(&["revert", "store", &lsn, "--json"]).refused();
    assert_eq!(answer.error()["kind"], "precondition_failed");
}

#[test]
fn a_schema_is_changed_and_a_refused_change_changes_nothing() {
    let dir = dir();
    let change = r#"[{"widen":{"object":"deal","attribute":"amount","type":"decimal","decimals":2}},
        {"rename_attribute":{"object":"deal","attribute":"stage","to":"phase"}}]"#;
    dir.write("change.json", change);
    dir.run(&["schema", "store", "--change", "change.json"]).done().says(&["amount  decimal", "phase"]);
    dir.run(&["patch", "store", "deal", "code=A", "amount=5.25"]).done();
    let before = dir.run(&["schema", "store", "--json"]).done().out;
    let refused = r#"[{"set_limits":{"object":"deal","attribute":"amount","max":1}}]"#;
    let answer = dir.feed(&["schema", "store", "--change", "-", "--json"], refused).refused();
    assert_eq!(answer.error()["kind"], "invalid_value");
    assert_eq!(dir.run(&["schema", "store", "--json"]).done().out, before);
}
