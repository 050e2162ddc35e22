//! `vellum apply` with plans: parts, ops, conditions, nested references; what is printed of them.

use crate::support::{Answer, Dir};
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"objects":[
  {"key":"company","primary_key":["domain"],"attributes":[
    {"key":"domain","type":"text"},{"key":"name","type":"text","required":true},{"key":"seats","type":"integer"},
    {"key":"tags","type":"text","multi":true},
    {"key":"people","type":"reference","multi":true,"refers_to":["person"],"inverse":{"object":"person","attribute":"company"}}]},
  {"key":"person","attributes":[{"key":"email","type":"email","unique":true},
    {"key":"company","type":"reference","refers_to":["company"],"inverse":{"object":"company","attribute":"people"}}]}]}"#;

fn with_store() -> Dir {
    let dir = Dir::empty();
    dir.write("schema.json", SCHEMA);
    dir.run(&["init", "store", "--schema", "schema.json"]).done();
    dir
}

fn apply(dir: &Dir, args: &[&str], lines: &[Value]) -> Answer {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    dir.feed(&[&["apply", "store", "-"], args].concat(), &text)
}

fn outcomes(answer: &Answer) -> Vec<Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).expect("outcomes are JSON")).collect()
}

fn upsert_person(email: &str, domain: &str) -> Value {
    json!({"op":"upsert","object":"person","match":{"email":email},
        "set":{"company":{"match":{"domain":domain},"create":{"name":domain},"ops":{"seats":{"increment":1}}}}})
}

#[test]
fn a_whole_plan_is_one_line_and_its_outcome_another() {
    let dir = with_store();
    let answer = apply(
        &dir,
        &["--outcomes"],
        &[upsert_person("a@x.example", "x.example"), upsert_person("b@x.example", "x.example")],
    )
    .done()
    .says(&["2 lines applied"]);
    let outcomes = outcomes(&answer);
    assert_eq!(outcomes[0]["did"], "created");
    assert_eq!(outcomes[0]["others"][0]["object"], "company");
    assert_eq!(
        (&outcomes[0]["others"][0]["did"], &outcomes[1]["others"][0]["did"]),
        (&json!("created"), &json!("updated"))
    );
    assert_eq!(dir.column("company", "seats"), [2]);
    assert_eq!(dir.export("company")[0]["values"]["people"], json!([outcomes[0]["id"], outcomes[1]["id"]]));

    let update = json!({"op":"update","object":"company","match":{"domain":"x.example"},
        "ops":{"tags":{"add":["a","b"]},"seats":{"increment":{"by":1,"max":3}}},"if":{"seats":{"$lt":3}},"before":true,"returning":true});
    let answer = apply(&dir, &["--outcomes"], std::slice::from_ref(&update)).done();
    let outcome: Value = serde_json::from_str(answer.out.trim()).unwrap();
    assert_eq!(outcome["changed"], json!(["seats", "tags"]));
    assert_eq!(outcome["before"], json!({"seats": 2, "tags": null}));
    assert_eq!(outcome["record"]["tags"], json!(["a", "b"]));
    // The condition does not hold any more.
    let error = apply(&dir, &["--json"], &[update]).refused().error();
    assert_eq!(
        (&error["kind"], error["records"].as_array().map(Vec::len)),
        (&json!("precondition_failed"), Some(1))
    );
}

#[test]
fn a_dry_run_changes_nothing_and_refuses_what_the_real_one_would() {
    let dir = with_store();
    let good = upsert_person("a@x.example", "x.example");
    let summary = apply(&dir, &["--json", "--dry-run"], std::slice::from_ref(&good)).done().json();
    assert_eq!((&summary["applied"], &summary["created"]), (&json!(1), &json!(1)));
    assert_eq!(dir.export("person").len() + dir.export("company").len(), 0);
    apply(&dir, &[], &[good]).done();
    let twice = json!({"op":"create","object":"person","values":{"email":"A@x.example"}});
    let error = apply(&dir, &["--json", "--dry-run"], &[twice]).refused().error();
    assert_eq!(error["kind"], "unique_conflict");
    assert_eq!(error["conflict"]["attributes"], json!(["email"]));
}

#[test]
fn everything_that_is_wrong_is_printed_or_dropped() {
    let dir = with_store();
    let bad = |validation: &str| {
        json!({"op":"create","object":"company","validation":validation,
            "values":{"domain":"x.example","name":"X","seats":"many","colour":"red"}})
    };
    let error = apply(&dir, &["--json"], &[bad("strict")]).refused().error();
    let paths: Vec<&Value> = error["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!(paths, ["colour", "seats"]);
    let answer = apply(&dir, &["--outcomes"], &[bad("ignore_invalid")]).done();
    let kinds: Vec<Value> = outcomes(&answer)[0]["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dropped| dropped["kind"].clone())
        .collect();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&json!("invalid_value")) && kinds.contains(&json!("unknown_attribute")));
}

#[test]
fn lines_of_one_batch_name_records_of_earlier_ones() {
    let dir = with_store();
    let lines = [
        json!({"op":"create","object":"company","values":{"domain":"x.example","name":"X"},"as":"x"}),
        json!({"op":"create","object":"person","values":{"email":"a@x.example","company":"@x"}}),
        json!({"op":"update","object":"company","named":"x","set":{"seats":1}}),
    ];
    apply(&dir, &["--batch", "3"], &lines).done();
    assert_eq!(dir.column("company", "seats"), [1]);
    // Each line a transaction of its own: the name is unknown.
    let dir = with_store();
    let error = apply(&dir, &["--json"], &lines).refused().error();
    assert_eq!((&error["kind"], &error["line"]), (&json!("reference_not_found"), &json!(2)));
}

#[test]
fn the_schema_of_lines_is_printed_without_a_store() {
    let dir = Dir::empty();
    let schema = dir.run(&["apply", "--print-schema"]).done().json();
    assert!(schema["$defs"]["members"]["properties"]["create_or_update_if_empty"].is_object());
    dir.run(&["apply"]).ends_with(2);
    dir.run(&["apply", "store"]).ends_with(2);
    dir.run(&["apply", "store", "x", "--print-schema"]).ends_with(2);
}
