//! Attributes of every type through a store: written, found, reopened, refused.

use crate::common::Dir;
use vellum::{Actor, ActorKind, Config, ErrorKind, Json, Schema, Store, Value, patch, record};

const CRM: &str = r#"{"objects": [
    {"key": "company", "attributes": [
        {"key": "domains", "type": "domain", "multi": true, "unique": true},
        {"key": "tags", "type": "select", "multi": true, "ordered": false,
            "options": [{"key": "a"}, {"key": "b"}, {"key": "c"}]},
        {"key": "tiers", "type": "select", "multi": true, "options": [{"key": "gold"}, {"key": "tin"}]},
        {"key": "team", "type": "reference", "multi": true, "refers_to": ["person"],
            "inverse": {"object": "person", "attribute": "company"}},
        {"key": "worth", "type": "currency", "currency": "USD"},
        {"key": "budget", "type": "currency"},
        {"key": "files", "type": "file", "multi": true, "max_values": 2}]},
    {"key": "person", "owners": {"max": 1}, "attributes": [
        {"key": "email", "type": "email", "unique": true},
        {"key": "name", "type": "person_name"},
        {"key": "company", "type": "reference", "refers_to": ["company"],
            "inverse": {"object": "company", "attribute": "team"}}]}]}"#;

fn store(dir: &Dir) -> Store {
    Store::create(dir.path(), &Schema::from_json(CRM).unwrap()).unwrap()
}

fn list(values: &[&str]) -> Value {
    Value::from(values.to_vec())
}

fn json(text: &str) -> Value {
    Json::parse(text).unwrap().into()
}

#[test]
fn lists_references_and_structures_are_read_back_also_after_reopening() {
    let dir = Dir::new("types");
    let made = store(&dir);
    let person = made.object("person").unwrap().create(record! {}).unwrap().id;
    let id = made
        .object("company")
        .unwrap()
        .create(record! {
            "domains" => ["acme.example", "acme.test"],
            "tags" => ["c", "a", "c"],
            "tiers" => ["tin", "gold"],
            "team" => [person],
            "worth" => "12.5",
            "budget" => json(r#"{"amount": -3.25, "code": "eur"}"#),
            "files" => ["https://acme.example/a.pdf"],
        })
        .unwrap()
        .id;
    let check = |store: &Store| {
        let record = store.object("company").unwrap().get(id).unwrap().unwrap();
        assert_eq!(record.get("domains"), Some(&list(&["acme.example", "acme.test"])));
        assert_eq!(record.get("tags"), Some(&list(&["a", "c"])), "a set is in the order of its options");
        assert_eq!(record.get("tiers"), Some(&list(&["tin", "gold"])));
        assert_eq!(record.get("team"), Some(&Value::from([person])));
        let money = |text: &str, code: &str| Value::Currency {
            amount: text.parse().unwrap(),
            code: code.parse().unwrap(),
        };
        assert_eq!(record.get("worth"), Some(&money("12.5", "USD")));
        assert_eq!(record.get("budget"), Some(&money("-3.25", "EUR")));
        let files = Value::List(vec![json(r#"{"url":"https://acme.example/a.pdf"}"#)]);
        assert_eq!(record.get("files"), Some(&files));
    };
    check(&made);
    made.close().unwrap();
    check(&Config::new().open(dir.path()).unwrap());
    assert!(vellum_admin::verify(dir.path()).unwrap().is_clean());
}

#[test]
fn any_value_of_a_unique_list_finds_its_record_and_is_held_by_it() {
    let dir = Dir::new("types");
    let store = store(&dir);
    let companies = store.object("company").unwrap();
    let acme = companies.create(record! { "domains" => ["acme.example", "acme.test"] }).unwrap().id;
    let found = |domain: &str| companies.get(("domains", domain)).unwrap().map(|record| record.id);
    assert_eq!(
        (found("acme.example"), found("ACME.TEST"), found("other.test")),
        (Some(acme), Some(acme), None)
    );
    let error =
        companies.create(record! { "domains" => ["new.test", "https://Acme.Test/about"] }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    let conflict = error.conflict().unwrap();
    assert_eq!((conflict.record, &conflict.key[..]), (acme, &["acme.test".to_string()][..]));
    // One value goes, one stays, one comes: each index entry follows.
    companies.update(acme, patch! { "domains" => ["acme.test", "acme.next"] }).unwrap();
    assert_eq!(
        (found("acme.example"), found("acme.test"), found("acme.next")),
        (None, Some(acme), Some(acme))
    );
    let other = companies.create(record! { "domains" => ["acme.example"] }).unwrap().id;
    assert_eq!(found("acme.example"), Some(other));
    companies.update(acme, patch! { "domains" => Value::List(Vec::new()) }).unwrap();
    assert_eq!(companies.get(acme).unwrap().unwrap().get("domains"), None, "an empty list is no value");
    assert_eq!(found("acme.test"), None);
    companies.delete(other).unwrap();
    assert_eq!(found("acme.example"), None);
    store.close().unwrap();
    assert!(vellum_admin::verify(dir.path()).unwrap().is_clean());
}

#[test]
fn an_email_is_unique_in_any_case_and_shown_as_it_was_given() {
    let dir = Dir::new("types");
    let store = store(&dir);
    let people = store.object("person").unwrap();
    let owner = Actor::new(ActorKind::User, "u1");
    let ada = people
        .create(
            record! { "email" => "Ada@Example.com", "name" => "Lovelace, Ada", "owners" => [owner.clone()] },
        )
        .unwrap()
        .id;
    let record = people.get(("email", "ada@example.COM")).unwrap().unwrap();
    assert_eq!((record.id, record.get("email")), (ada, Some(&"Ada@Example.com".into())));
    assert_eq!(record.get("name"), Some(&json(r#"{"first":"Ada","last":"Lovelace","full":"Ada Lovelace"}"#)));
    assert_eq!(record.get("owners"), Some(&Value::from([owner])));
    let error = people.create(record! { "email" => "ADA@example.com" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    let error = people.update(ada, patch! { "owners" => ["u1", "user:u1", "app:x"] }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyValues);
    assert_eq!(error.to_string(), "person.owners: at most 1 value allowed, 2 given");
}

const TICKETS: &str = r#"{"objects": [{"key": "ticket", "open": true, "attributes": [
    {"key": "state", "type": "status", "required": true, "default": "new",
        "options": [{"key": "new"}, {"key": "done"}]},
    {"key": "due", "type": "date", "default": {"$now": true}},
    {"key": "seen", "type": "timestamp", "unit": "us", "default": {"$now": true}},
    {"key": "labels", "type": "text", "multi": true, "default": ["x", "y"]},
    {"key": "note", "type": "text"}]}]}"#;

#[test]
fn defaults_stand_where_nothing_was_said_and_null_is_something() {
    let dir = Dir::new("types");
    let clock = std::sync::Arc::new(|| vellum::Timestamp(1_700_000_000_123_456_789));
    let config = Config::new().clock(clock);
    let store = config.create(dir.path(), &Schema::from_json(TICKETS).unwrap()).unwrap();
    let tickets = store.object("ticket").unwrap();
    let made = tickets.create(record! { "note" => "a" }).unwrap();
    let record = tickets.get(made.id).unwrap().unwrap();
    assert_eq!(record.get("state"), Some(&"new".into()));
    assert_eq!(record.get("due").unwrap().to_string(), "2023-11-14");
    assert_eq!(record.get("seen").unwrap().to_string(), "2023-11-14T22:13:20.123456Z");
    assert_eq!(record.get("labels"), Some(&list(&["x", "y"])));
    let made =
        tickets.create(record! { "state" => "done", "labels" => Value::Null, "due" => Value::Null }).unwrap();
    let record = tickets.get(made.id).unwrap().unwrap();
    assert_eq!(record.get("state"), Some(&"done".into()));
    assert_eq!((record.get("labels"), record.get("due")), (None, None));
    let error = tickets.create(record! { "state" => Value::Null }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequired);
    // An update is no creation.
    let cleared = tickets.update(made.id, patch! { "seen" => Value::Null }.returning()).unwrap();
    assert_eq!(cleared.record.unwrap().get("seen"), None);
}

#[test]
fn an_open_object_keeps_what_it_does_not_know_and_a_closed_one_refuses_it() {
    let dir = Dir::new("types");
    let store = Store::create(dir.path(), &Schema::from_json(TICKETS).unwrap()).unwrap();
    let tickets = store.object("ticket").unwrap();
    let id = tickets
        .create(record! { "note" => "a", "zeal" => 5, "colour" => "red", "deep" => json(r#"{"a":[1.50]}"#) })
        .unwrap()
        .id;
    let unknown = |store: &Store| {
        let record = store.object("ticket").unwrap().get(id).unwrap().unwrap();
        let known = ["state", "due", "seen", "labels", "note"];
        let unknown = record.iter().filter(|(name, _)| !known.contains(name));
        unknown.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(unknown(&store), r#"colour=red deep={"a":[1.50]} zeal=5"#);
    let outcome =
        tickets.update(id, patch! { "zeal" => Value::Null, "colour" => "blue" }.returning()).unwrap();
    assert_eq!(outcome.record.unwrap().get("colour"), Some(&"blue".into()));
    assert_eq!(unknown(&store), r#"colour=blue deep={"a":[1.50]}"#);
    let same = tickets.update(id, patch! { "colour" => "blue", "nothing" => Value::Null }).unwrap();
    assert!(same.is_unchanged(), "what is there already changes nothing");
    tickets.update(id, patch! { "note" => "b" }).unwrap();
    assert_eq!(unknown(&store), r#"colour=blue deep={"a":[1.50]}"#);
    let error = tickets.update(id, patch! { "$open" => "{}" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownAttribute);
    // A dump has them beside the others, and a load puts them back.
    let copy = Dir::new("types");
    let mut lines = Vec::new();
    vellum_admin::dump(&store.snapshot().unwrap(), &mut lines).unwrap();
    vellum_admin::load(&mut lines.as_slice(), copy.path()).unwrap();
    assert_eq!(unknown(&Config::new().open(copy.path()).unwrap()), r#"colour=blue deep={"a":[1.50]}"#);
    let replaced = tickets.update(id, patch! { "state" => "done", "new" => true }.replace()).unwrap();
    assert!(!replaced.is_unchanged());
    assert_eq!(unknown(&store), "new=true");
    tickets.update(id, patch! { "state" => "done" }.replace()).unwrap();
    assert_eq!(unknown(&store), "");
    let closed = Dir::new("types");
    let store = self::store(&closed);
    let error = store.object("person").unwrap().create(record! { "colour" => "red" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownAttribute);
}
