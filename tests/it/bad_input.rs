//! Bad input gets a clear error and loses nothing: the part of it that reaches the engine.

use crate::common::{Dir, companies, create, quick};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use vellum::{
    Action, Config, Date, ErrorKind, Key, Mutation, Name, Patch, Schema, Store, Value, patch, record,
};
use vellum_testkit::{MemDisk, Op};

fn memory() -> (MemDisk, Store) {
    let disk = MemDisk::new();
    let store = quick().background(false).create_on(Arc::new(disk.clone()), &companies()).unwrap();
    let companies = store.object("company").unwrap();
    companies.create(record! { "country" => "DE", "number" => 1, "domain" => "a.example" }).unwrap();
    companies.create(record! { "country" => "DE", "number" => 2, "domain" => "b.example" }).unwrap();
    (disk, store)
}

fn first() -> Key {
    Key::from(("domain", "a.example"))
}

/// The mutation is refused with this kind and these words; not a byte of the store changes.
fn refused(object: &str, action: Action, key: Option<Key>, patch: Patch, kind: ErrorKind, words: &[&str]) {
    let (disk, store) = memory();
    let before = disk.files();
    let mutation = Mutation { object: object.to_string().into(), action, key, patch };
    for error in [
        store.apply(&mutation).unwrap_err(),
        store.apply_batch(std::slice::from_ref(&mutation)).unwrap_err(),
        store.transaction(|txn| txn.apply(&mutation)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), kind, "{mutation:?}: {error}");
        assert!(kind.is_refusal());
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{text:?} does not say {word:?}");
        }
    }
    assert!(disk.files() == before, "a refusal wrote something");
    let found = store.object("company").unwrap().get(first()).unwrap().unwrap();
    assert_eq!(found.version, 1);
}

fn update(name: &str, value: impl Into<Value>, kind: ErrorKind, words: &[&str]) {
    refused("company", Action::Update, Some(first()), Patch::new().set(name, value), kind, words);
}

#[test]
fn names_that_are_not_there_get_the_nearest_ones_that_are() {
    let patch = patch! { "score" => 1.0 };
    refused(
        "compny",
        Action::Update,
        Some(first()),
        patch.clone(),
        ErrorKind::ObjectNotFound,
        &["compny", "company"],
    );
    update("scor", 1.0, ErrorKind::UnknownAttribute, &["scor", "\"score\""]);
    update("status", "actve", ErrorKind::UnknownOption, &["actve", "\"active\""]);
    let clear = Patch::new().clear("nme");
    refused(
        "company",
        Action::Update,
        Some(first()),
        clear,
        ErrorKind::UnknownAttribute,
        &["nme", "\"name\""],
    );
}

#[test]
fn values_of_a_wrong_type_or_out_of_range_are_refused_by_name() {
    let bad = |name: &str, value: Value, words: &[&str]| update(name, value, ErrorKind::InvalidValue, words);
    bad("name", Value::Integer(1), &["company.name", "text", "integer"]);
    bad("score", Value::from("12"), &["company.score", "number"]);
    bad("score", Value::Number(f64::NAN), &["company.score", "NaN"]);
    bad("score", Value::Number(f64::INFINITY), &["company.score", "inf"]);
    bad("score", Value::Integer(i64::MAX), &["company.score", "exact"]);
    bad("number", Value::Number(1e300), &["company.number", "whole number"]);
    bad("number", Value::Number(0.5), &["company.number", "whole number"]);
    bad("number", Value::Decimal("9223372036854775808".parse().unwrap()), &["company.number", "64 bits"]);
    bad("revenue", Value::from("0.001"), &["company.revenue", "rounded"]);
    bad(
        "revenue",
        Value::Decimal(vellum::Decimal::new(i128::MAX, 0).unwrap()),
        &["company.revenue", "128 bits"],
    );
    bad("founded", Value::from("2013-02-29"), &["company.founded", "28 days"]);
    bad("founded", Value::from("2013-13-01"), &["company.founded", "month 13"]);
    bad("founded", Value::Date(Date(i32::MAX)), &["company.founded", "range"]);
    bad("seen", Value::from("2013-01-01"), &["company.seen", "RFC 3339"]);
    bad("seen", Value::from("1500-01-01T00:00:00Z"), &["company.seen", "range"]);
    bad("listed", Value::from("yes"), &["company.listed", "true or false"]);
    bad("tag", Value::from("12-34"), &["company.tag", "UUID"]);
}

#[test]
fn a_value_over_the_limit_is_refused_and_one_at_it_is_kept() {
    let limit = 16 << 20;
    update("notes", "x".repeat(limit + 1), ErrorKind::LimitExceeded, &["company.notes", "16777216"]);
    let (_, store) = memory();
    let companies = store.object("company").unwrap();
    companies.update(first(), patch! { "notes" => "y".repeat(limit) }).unwrap();
    let found = companies.get(first()).unwrap().unwrap();
    assert_eq!(found.get("notes").and_then(Value::as_text).map(str::len), Some(limit));
}

#[test]
fn a_record_over_the_limit_of_its_object_is_refused() {
    let dir = Dir::new("record-limit");
    let schema = Schema::from_json(
        r#"[{"key":"note","max_record_bytes":100,"attributes":[{"key":"a","type":"text"},{"key":"b","type":"text"}]}]"#,
    )
    .unwrap();
    let store = quick().create(dir.path(), &schema).unwrap();
    let notes = store.object("note").unwrap();
    let id = notes.create(record! { "a" => "x".repeat(60), "b" => "y".repeat(40) }).unwrap().id;
    let error = notes.update(id, patch! { "b" => "y".repeat(41) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("101") && error.to_string().contains("100"), "{error}");
    notes.update(id, patch! { "a" => "", "b" => "y".repeat(100) }).unwrap();
    assert_eq!(notes.get(id).unwrap().unwrap().version, 2);
}

#[test]
fn keys_that_are_missing_not_unique_or_taken_are_told_apart() {
    let patch = || patch! { "score" => 1.0 };
    let by = |parts: Vec<(Name, Value)>| Some(Key::Attributes(parts));
    use Action as A;
    use ErrorKind as K;
    refused(
        "company",
        A::Update,
        by(record! { "domain" => "c.example" }),
        patch(),
        K::RecordNotFound,
        &["c.example"],
    );
    refused(
        "company",
        A::Delete,
        by(record! { "domain" => "c.example" }),
        patch(),
        K::RecordNotFound,
        &["domain"],
    );
    refused(
        "company",
        A::Update,
        by(record! { "country" => "DE" }),
        patch(),
        K::MatchNotUnique,
        &["country+number", "domain"],
    );
    refused(
        "company",
        A::Update,
        by(record! { "name" => "x" }),
        patch(),
        K::MatchNotUnique,
        &["(name) is no key"],
    );
    refused("company", A::Update, by(record! { "nme" => "x" }), patch(), K::UnknownAttribute, &["nme"]);
    refused("company", A::Update, None, patch(), K::MissingKey, &["names no record"]);
    refused(
        "company",
        A::Create,
        None,
        patch! { "country" => "DE" },
        K::MissingRequired,
        &["company.number"],
    );
    refused(
        "company",
        A::Create,
        None,
        patch! { "country" => "DE", "number" => 2 },
        K::UniqueConflict,
        &["country+number", "DE, 2"],
    );
    update("domain", "b.example", K::UniqueConflict, &["company.domain", "b.example", "version 1"]);
    refused(
        "company",
        A::Update,
        Some(first()),
        Patch::new().clear("number"),
        K::MissingRequired,
        &["company.number"],
    );
    refused(
        "company",
        A::Update,
        Some(first()),
        patch().if_version(7),
        K::PreconditionFailed,
        &["version 1, not 7"],
    );
    let (_, store) = memory();
    let error = store.object("company").unwrap().get(("name", "x")).unwrap_err();
    assert_eq!(error.kind(), K::MatchNotUnique);
}

/// Names and contents of the files of a directory.
fn contents(dir: &Dir) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_directory_that_is_no_store_stays_as_it_is() {
    let dir = Dir::new("no-store");
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    assert!(!dir.path().exists(), "opening made a directory");
    std::fs::create_dir_all(dir.path()).unwrap();
    std::fs::write(dir.path().join("letter.txt"), "dear reader").unwrap();
    let before = contents(&dir);
    for config in [Config::new(), Config::new().read_only(true)] {
        let error = config.open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAStore);
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    }
    let error = Store::create(dir.path(), &companies()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(contents(&dir), before);
    // A file where the directory should be.
    let error = Store::open(dir.path().join("letter.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
}

#[test]
fn a_store_is_not_created_over_another_nor_opened_twice() {
    let dir = Dir::new("twice");
    let store = create(&dir);
    assert_eq!(Store::create(dir.path(), &companies()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("another handle in this process"), "{error}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn a_store_of_another_format_is_rejected_and_stays_as_it_is() {
    for (format, way_out) in [(9, "a newer vellum"), (2, "the older vellum")] {
        rejects_format(format, way_out);
    }
}

fn rejects_format(format: u8, way_out: &str) {
    let (disk, store) = memory();
    store.close().unwrap();
    // Version in bytes 8..10, checksum over what lies in front of it in bytes 120..124.
    disk.edit("superblock", |bytes| {
        for copy in bytes.chunks_mut(4096).take(2) {
            let at = (64..256).step_by(4).find(|at| copy[*at..*at + 4] == crc32(&copy[..*at]).to_le_bytes());
            let at = at.expect("a checksum of what lies in front of it");
            copy[8] = format;
            let crc = crc32(&copy[..at]);
            copy[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let before = disk.files();
    for config in [Config::new(), Config::new().read_only(true)] {
        let error = config.open_on(Arc::new(disk.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownFormat);
        assert!(
            error.to_string().contains(&format!("format {format}")) && error.to_string().contains(way_out),
            "{error}"
        );
    }
    assert!(disk.files() == before);
}

#[test]
fn a_store_that_is_opened_for_reading_refuses_writes_and_answers() {
    let (disk, store) = memory();
    store.close().unwrap();
    let before = disk.files();
    // The directory takes no writes at all: opening for reading needs none.
    disk.fail(|event| {
        (event.op.changes() || event.op == Op::Lock).then_some(io::ErrorKind::ReadOnlyFilesystem)
    });
    let error = Config::new().open_on(Arc::new(disk.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    let store = Config::new().read_only(true).open_on(Arc::new(disk.clone())).unwrap();
    let companies = store.object("company").unwrap();
    assert_eq!(companies.count(), 2);
    assert!(companies.get(first()).unwrap().is_some());
    for error in [
        companies.update(first(), patch! { "score" => 1.0 }).unwrap_err(),
        companies.delete(first()).unwrap_err(),
        store.transaction(|_| Ok(())).unwrap_err(),
        store.checkpoint().unwrap_err(),
        store.compact().unwrap_err(),
        store.add_attribute("company", r#"{"key":"x","type":"text"}"#).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    drop(companies);
    store.close().unwrap();
    disk.heal();
    assert!(disk.files() == before);
}

#[test]
fn a_full_disk_refuses_a_creation_and_leaves_no_store() {
    let disk = MemDisk::new();
    disk.fail(|event| (event.op == Op::Allocate).then_some(io::ErrorKind::StorageFull));
    let error = quick().create_on(Arc::new(disk.clone()), &companies()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(!disk.files().contains_key("superblock"));
    disk.heal();
    quick().create_on(Arc::new(disk.clone()), &companies()).unwrap();
}

#[test]
fn a_closed_store_says_so() {
    let (_, store) = memory();
    let (companies, clone) = (store.object("company").unwrap(), store.clone());
    store.close().unwrap();
    for error in [
        companies.get(first()).unwrap_err(),
        companies.delete(first()).unwrap_err(),
        clone.snapshot().unwrap_err(),
        clone.checkpoint().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}
