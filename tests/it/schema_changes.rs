//! Changes of a schema whose objects have records: made in one commit, refused with the records in the way,
//! recovered from the log; and numbers that the engine gives.

use crate::common::{Dir, quick};
use vellum::{
    Action, Config, Error, ErrorKind, Mutation, Object, Patch, Record, RecordId, Schema, Store, Timestamp,
    Value, patch, record,
};
use vellum_admin::{Repair, verify};

const STOCK: &str = r#"{"objects":[
    {"key":"item","primary_key":["sku"],"history":true,"attributes":[
        {"key":"sku","type":"text"},
        {"key":"name","type":"text"},
        {"key":"count","type":"integer","min":0},
        {"key":"code","type":"text"},
        {"key":"tags","type":"text","multi":true},
        {"key":"state","type":"select","options":[{"key":"new"},{"key":"old"},{"key":"gone"}]}]},
    {"key":"invoice","attributes":[
        {"key":"number","type":"autonumber","prefix":"INV-","padding":3,"next":99,"unique":true},
        {"key":"total","type":"decimal","decimals":2}]}]}"#;

fn create(dir: &Dir) -> Store {
    quick().create(dir.path(), &Schema::from_json(STOCK).unwrap()).unwrap()
}

/// Items of which only the even ones have a name, and every third one a code.
fn fill(store: &Store, count: i64) -> Vec<RecordId> {
    let items = store.object("item").unwrap();
    let id = |n: i64| {
        let mut values = record! { "sku" => format!("s{n}"), "count" => n };
        if n % 2 == 0 {
            values.push(("name".into(), format!("item {n}").into()));
        }
        if n % 3 == 0 {
            values.push(("code".into(), format!("c{n}").into()));
        }
        items.create(values).unwrap().id
    };
    (0..count).map(id).collect()
}

fn change(store: &Store, change: &str) -> vellum::Result<vellum::Lsn> {
    store.change_schema(&format!(r#"{{"changes":[{change}]}}"#))
}

fn refused(store: &Store, what: &str, kind: ErrorKind) -> Error {
    let (lsn, schema) = (store.applied_lsn(), store.schema());
    let error = change(store, what).expect_err(what);
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(
        (store.applied_lsn(), store.schema()),
        (lsn, schema),
        "{what}: what is refused leaves no trace"
    );
    error
}

fn get(items: &Object, n: i64) -> Record {
    items.get(("sku", format!("s{n}"))).unwrap().unwrap()
}

/// The same after the log is replayed, after a checkpoint, and salvaged.
fn everywhere(dir: &Dir, store: Store, check: &dyn Fn(&Store)) -> Store {
    check(&store);
    drop(store);
    let store = quick().open(dir.path()).unwrap();
    check(&store);
    store.checkpoint().unwrap();
    drop(store);
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    let into = Dir::new("changes-repaired");
    let report = Repair::new().run(dir.path(), into.path()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    check(&Config::new().read_only(true).open(into.path()).unwrap());
    let store = quick().open(dir.path()).unwrap();
    check(&store);
    store
}

#[test]
fn attributes_and_options_are_added_renamed_archived_and_deleted() {
    let dir = Dir::new("changes-names");
    let store = create(&dir);
    fill(&store, 10);
    let items = store.object("item").unwrap();
    items.update(("sku", "s1"), patch! { "state" => "old" }).unwrap();
    store
        .change_schema(
            r#"[{"add_attribute":{"object":"item","attribute":{"key":"seen","type":"timestamp"}}},
                {"rename_attribute":{"object":"item","attribute":"count","to":"amount"}},
                {"add_option":{"object":"item","attribute":"state","option":{"key":"lost"}}},
                {"rename_option":{"object":"item","attribute":"state","option":"old","to":"used"}},
                {"archive_option":{"object":"item","attribute":"state","option":"new"}},
                {"archive_attribute":{"object":"item","attribute":"name"}},
                {"delete_attribute":{"object":"item","attribute":"code"}},
                {"rename_object":{"object":"invoice","to":"bill"}}]"#,
        )
        .unwrap();
    drop(items);
    let store = everywhere(&dir, store, &|store| {
        let items = store.object("item").unwrap();
        let record = get(&items, 6);
        assert_eq!(record.get("amount"), Some(&Value::Integer(6)));
        assert_eq!(record.get("name"), Some(&Value::from("item 6")), "archived values are shown");
        assert_eq!((record.get("count"), record.get("code")), (None, None));
        assert_eq!(get(&items, 1).get("state"), Some(&Value::from("used")));
        assert_eq!(items.history(record.id, "amount").unwrap().len(), 1);
        assert_eq!(store.object("bill").unwrap().count(), 0);
    });
    let items = store.object("item").unwrap();
    let kind = |patch| items.update(("sku", "s6"), patch).unwrap_err().kind();
    assert_eq!(kind(patch! { "name" => "x" }), ErrorKind::NotWritable);
    assert_eq!(kind(patch! { "code" => "x" }), ErrorKind::UnknownAttribute);
    assert_eq!(kind(patch! { "state" => "old" }), ErrorKind::UnknownOption);
    assert_eq!(kind(patch! { "state" => "new" }), ErrorKind::UnknownOption);
    items.update(("sku", "s6"), patch! { "state" => "lost", "amount" => 7 }).unwrap();
    // A name that was given up can be taken again, and brings nothing back.
    change(&store, r#"{"add_attribute":{"object":"item","attribute":{"key":"code","type":"integer"}}}"#)
        .unwrap();
    assert_eq!(get(&items, 6).get("code"), None);
    change(&store, r#"{"archive_attribute":{"object":"item","attribute":"name","archived":false}}"#).unwrap();
    items.update(("sku", "s6"), patch! { "name" => "x" }).unwrap();
}

#[test]
fn an_attribute_becomes_required_once_every_record_has_it() {
    let dir = Dir::new("changes-required");
    let store = create(&dir);
    let ids = fill(&store, 50);
    let require = r#"{"set_required":{"object":"item","attribute":"name","required":true}}"#;
    let error = refused(&store, require, ErrorKind::MissingRequired);
    assert_eq!(error.records().len(), 20, "as many as are named: {error}");
    assert!(error.records().iter().all(|id| ids.iter().position(|other| other == id).unwrap() % 2 == 1));
    assert!(error.to_string().contains("25 records"), "{error}");
    let added =
        r#"{"add_attribute":{"object":"item","attribute":{"key":"n","type":"text","required":true}}}"#;
    refused(&store, added, ErrorKind::MissingRequired);
    let items = store.object("item").unwrap();
    for n in (1..50).step_by(2) {
        items.update(("sku", format!("s{n}")), patch! { "name" => "now" }).unwrap();
    }
    change(&store, require).unwrap();
    let error = items.create(record! { "sku" => "new" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequired);
    change(&store, r#"{"set_required":{"object":"item","attribute":"name","required":false}}"#).unwrap();
    items.create(record! { "sku" => "new" }).unwrap();
    // An object without records takes a required attribute at once.
    let added =
        r#"{"add_attribute":{"object":"invoice","attribute":{"key":"n","type":"text","required":true}}}"#;
    change(&store, added).unwrap();
}

#[test]
fn an_attribute_becomes_unique_and_its_index_is_built_with_the_change() {
    let dir = Dir::new("changes-unique");
    let store = create(&dir);
    // More than two row groups, and buckets that split.
    let ids = fill(&store, 2500);
    let items = store.object("item").unwrap();
    items.update(ids[6], patch! { "code" => "c9" }).unwrap();
    let unique = r#"{"set_unique":{"object":"item","attribute":"code"}}"#;
    let error = refused(&store, unique, ErrorKind::UniqueConflict);
    let mut named = error.records().to_vec();
    named.sort();
    let mut expected = vec![ids[6], ids[9]];
    expected.sort();
    assert_eq!(named, expected, "{error}");
    assert!(error.to_string().contains("c9"), "{error}");
    items.update(ids[6], patch! { "code" => "c6" }).unwrap();
    change(&store, unique).unwrap();
    drop(items);
    let store = everywhere(&dir, store, &|store| {
        let items = store.object("item").unwrap();
        for n in (0..2500).step_by(3) {
            let found = items.get(("code", format!("c{n}"))).unwrap().unwrap();
            assert_eq!(found.get("sku"), Some(&Value::from(format!("s{n}"))));
        }
        assert_eq!(items.get(("code", "c1")).unwrap(), None);
    });
    let items = store.object("item").unwrap();
    let error = items.update(ids[1], patch! { "code" => "c9" }).unwrap_err();
    assert_eq!(error.conflict().unwrap().record, ids[9]);
    // Several values: each is a key, and a record may repeat none of another's.
    items.update(ids[0], patch! { "tags" => Value::List(vec!["a".into(), "b".into()]) }).unwrap();
    items.update(ids[1], patch! { "tags" => Value::List(vec!["b".into()]) }).unwrap();
    let unique = r#"{"set_unique":{"object":"item","attribute":"tags"}}"#;
    refused(&store, unique, ErrorKind::UniqueConflict);
    items.update(ids[1], patch! { "tags" => Value::List(vec!["c".into()]) }).unwrap();
    change(&store, unique).unwrap();
    assert_eq!(items.get(("tags", "b")).unwrap().unwrap().id, ids[0]);
}

#[test]
fn an_integer_becomes_a_number_a_decimal_or_a_text_with_its_past() {
    for (to, shown) in [("number", "7"), ("decimal\",\"decimals\":\"", "7"), ("text", "7")] {
        let dir = Dir::new("changes-widen");
        let store = create(&dir);
        let ids = fill(&store, 1100);
        let items = store.object("item").unwrap();
        items.update(ids[8], patch! { "count" => 7 }).unwrap();
        let to = if to.starts_with("decimal") {
            r#""decimal","decimals":2"#.to_string()
        } else {
            format!("{to:?}")
        };
        let widen = format!(r#"{{"widen":{{"object":"item","attribute":"count","type":{to}}}}}"#);
        change(&store, &widen).unwrap();
        drop(items);
        let store = everywhere(&dir, store, &|store| {
            let items = store.object("item").unwrap();
            let kind = items.get(ids[7]).unwrap().unwrap().get("count").unwrap().kind_name();
            for (n, id) in ids.iter().enumerate().filter(|(n, _)| *n != 8) {
                let value = items.get(id).unwrap().unwrap().get("count").cloned().unwrap();
                assert_eq!((value.to_string(), value.kind_name()), (n.to_string(), kind));
            }
            let past = items.history(ids[8], "count").unwrap();
            let past: Vec<_> = past.iter().map(|v| (v.value.to_string(), v.value.kind_name())).collect();
            assert_eq!(past, [("8".to_string(), kind), (shown.to_string(), kind)]);
        });
        let items = store.object("item").unwrap();
        if to.contains("decimal") {
            items.update(ids[3], patch! { "count" => "3.25" }).unwrap();
            let error = items.update(ids[3], patch! { "count" => "-1" }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "limits are kept: {error}");
        }
        // The next attribute takes no column that is or was in use.
        let added = r#"{"add_attribute":{"object":"item","attribute":{"key":"more","type":"integer"}}}"#;
        change(&store, added).unwrap();
        items.update(ids[3], patch! { "more" => 5 }).unwrap();
        assert_eq!(items.get(ids[3]).unwrap().unwrap().get("more"), Some(&Value::Integer(5)));
        drop((items, store));
        let report = verify(dir.path()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

#[test]
fn what_would_break_records_is_refused_with_those_records() {
    let dir = Dir::new("changes-limits");
    let store = create(&dir);
    let ids = fill(&store, 30);
    let items = store.object("item").unwrap();
    let limit = |min: i64| {
        format!(r#"{{"set_limits":{{"object":"item","attribute":"count","min":{min},"max":100}}}}"#)
    };
    let error = refused(&store, &limit(2), ErrorKind::InvalidValue);
    assert_eq!(error.records(), [ids[0], ids[1]]);
    change(&store, &limit(0)).unwrap();
    assert_eq!(items.update(ids[1], patch! { "count" => 101 }).unwrap_err().kind(), ErrorKind::InvalidValue);
    change(&store, r#"{"set_limits":{"object":"item","attribute":"count","max":null}}"#).unwrap();
    items.update(ids[1], patch! { "count" => (1i64 << 53) + 1 }).unwrap();
    let widen = r#"{"widen":{"object":"item","attribute":"count","type":"number"}}"#;
    assert_eq!(refused(&store, widen, ErrorKind::InvalidValue).records(), [ids[1]]);
    items.update(ids[2], patch! { "state" => "old" }).unwrap();
    let delete = r#"{"delete_option":{"object":"item","attribute":"state","option":"old"}}"#;
    assert_eq!(refused(&store, delete, ErrorKind::InvalidValue).records(), [ids[2]]);
    items.update(ids[2], patch! { "state" => "gone" }).unwrap();
    change(&store, delete).unwrap();
    let record_len = |max| format!(r#"{{"set_limits":{{"object":"item","max_record_bytes":{max}}}}}"#);
    refused(&store, &record_len(5), ErrorKind::LimitExceeded);
    change(&store, &record_len(200)).unwrap();
    for wrong in [
        r#"{"set_limits":{"object":"item","attribute":"name","min":1}}"#,
        r#"{"delete_attribute":{"object":"item","attribute":"sku"}}"#,
        r#"{"archive_attribute":{"object":"item","attribute":"sku"}}"#,
        r#"{"widen":{"object":"item","attribute":"name","type":"integer"}}"#,
        r#"{"rename_attribute":{"object":"item","attribute":"name","to":"count"}}"#,
        r#"{"no_such_change":{"object":"item","attribute":"name"}}"#,
        r#"{"set_required":{"object":"item","attribute":"name","required":true,"more":1}}"#,
        r#"{"set_next":{"object":"item","attribute":"name","next":1}}"#,
    ] {
        refused(&store, wrong, ErrorKind::InvalidSchema);
    }
    refused(&store, r#"{"set_unique":{"object":"item","attribute":"nam"}}"#, ErrorKind::UnknownAttribute);
    // All changes of a list are one commit: the first is not made when the second is refused.
    let both =
        format!(r#"{{"rename_attribute":{{"object":"item","attribute":"name","to":"n"}}}},{}"#, limit(50));
    refused(&store, &both, ErrorKind::InvalidValue);
}

#[test]
fn history_is_switched_on_for_records_that_are_there() {
    let dir = Dir::new("changes-history");
    let store = create(&dir);
    let bills = store.object("invoice").unwrap();
    let id = bills.create(record! { "total" => 1 }).unwrap().id;
    bills.update(id, patch! { "total" => 2 }).unwrap();
    change(&store, r#"{"set_history":{"object":"invoice","history":true}}"#).unwrap();
    bills.update(id, patch! { "total" => 3 }).unwrap();
    let totals = bills.history(id, "total").unwrap();
    let texts: Vec<String> = totals.iter().map(|value| value.value.to_string()).collect();
    assert_eq!(texts, ["2", "3"]);
    drop(bills);
    everywhere(&dir, store, &|store| {
        assert_eq!(store.object("invoice").unwrap().history(id, "total").unwrap().len(), 2);
    });
}

#[test]
fn numbers_are_given_once_and_not_spent_by_what_fails() {
    let dir = Dir::new("changes-numbers");
    let store = create(&dir);
    let bills = store.object("invoice").unwrap();
    let number = |record: &Record| record.get("number").unwrap().to_string();
    let make = |total: &str| {
        let made = bills.create(record! { "total" => total })?;
        Ok::<_, Error>(number(&bills.get(made.id)?.unwrap()))
    };
    assert_eq!(make("1").unwrap(), "INV-099");
    make("no total").unwrap_err();
    assert_eq!(make("2").unwrap(), "INV-100");
    assert_eq!(make("3").unwrap(), "INV-101");
    // Nobody writes it, and it is a key like any other.
    let error = bills.create(record! { "number" => "INV-500" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotWritable);
    let last = bills.get(("number", "INV-101")).unwrap().unwrap();
    assert_eq!(last.get("total").unwrap().to_string(), "3");
    bills.delete(last.id).unwrap();
    assert_eq!(make("4").unwrap(), "INV-102", "a number is not given again");
    // A transaction that fails spends none; one that removes what it made has told the number, and spends it.
    let failed: vellum::Result<()> = store.transaction(|txn| {
        txn.create("invoice", record! { "total" => 5 })?;
        txn.create("invoice", record! { "total" => 6 })?;
        Err(Error::invalid_input("on purpose"))
    });
    failed.unwrap_err();
    let numbers = store
        .transaction(|txn| {
            let first = txn.create("invoice", record! { "total" => 5 })?.id;
            let second = txn.create("invoice", record! { "total" => 6 })?.id;
            let shown = number(&txn.get("invoice", second)?.unwrap());
            txn.delete("invoice", first)?;
            let third = txn.create("invoice", record! { "total" => 7 })?.id;
            let numbers = [shown, number(&txn.get("invoice", third)?.unwrap())];
            Ok((numbers, [second, third]))
        })
        .unwrap();
    assert_eq!(numbers.0, ["INV-104", "INV-105"]);
    let stored = numbers.1.map(|id| number(&bills.get(id).unwrap().unwrap()));
    assert_eq!(stored, numbers.0, "what was told is what is stored");
    // The next number is raised, and never lowered.
    let next =
        |next: i64| format!(r#"{{"set_next":{{"object":"invoice","attribute":"number","next":{next}}}}}"#);
    refused(&store, &next(105), ErrorKind::InvalidSchema);
    change(&store, &next(5000)).unwrap();
    assert_eq!(make("8").unwrap(), "INV-5000", "more digits than the padding says");
    // A sequence that comes later begins with the next record.
    let added = r#"{"add_attribute":{"object":"invoice","attribute":{"key":"line","type":"autonumber"}}}"#;
    change(&store, added).unwrap();
    let id = bills.create(record! { "total" => 9 }).unwrap().id;
    assert_eq!(bills.get(id).unwrap().unwrap().get("line"), Some(&Value::Integer(1)));
    drop(bills);
    // The schema that is written down is one that can be read, and counts on from there.
    let schema = store.schema().to_json();
    assert_eq!(Schema::from_json(&schema).unwrap().to_json(), schema);
    let store = everywhere(&dir, store, &|store| {
        let bills = store.object("invoice").unwrap();
        for text in ["INV-099", "INV-104", "INV-105", "INV-5000", "INV-5001"] {
            assert!(bills.get(("number", text)).unwrap().is_some(), "{text}");
        }
        assert_eq!(bills.get(("number", "INV-103")).unwrap(), None);
    });
    let bills = store.object("invoice").unwrap();
    let id = bills.create(record! { "total" => 9 }).unwrap().id;
    assert_eq!(number(&bills.get(id).unwrap().unwrap()), "INV-5002");
}

#[test]
fn a_default_that_a_change_took_back_is_given_to_nobody() {
    let dir = Dir::new("schema-defaults");
    let schema = Schema::from_json(
        r#"{"objects":[{"key":"o","attributes":[
            {"key":"number","type":"integer","default":7},
            {"key":"kind","type":"select","options":[{"key":"a"},{"key":"b"}],"default":"a"},
            {"key":"other","type":"select","options":[{"key":"a"},{"key":"b"}],"default":"a"},
            {"key":"day","type":"date","default":{"$now":true}},
            {"key":"at","type":"timestamp","unit":"us","default":{"$now":true}}]}]}"#,
    );
    let store = quick().create(dir.path(), &schema.unwrap()).unwrap();
    for what in [
        r#"{"set_limits":{"object":"o","attribute":"number","max":5}}"#,
        r#"{"delete_option":{"object":"o","attribute":"kind","option":"a"}}"#,
        r#"{"add_option":{"object":"o","attribute":"kind","option":{"key":"a"}}}"#,
        r#"{"archive_option":{"object":"o","attribute":"other","option":"a"}}"#,
        r#"{"archive_attribute":{"object":"o","attribute":"day"}}"#,
    ] {
        change(&store, what).unwrap();
    }
    // The first moment that there is has no microsecond before it.
    let first = Patch { at: Some(Timestamp(i64::MIN)), ..Patch::default() };
    let create = Mutation { object: "o".into(), action: Action::Create, key: None, patch: first };
    let id = store.apply(&create).unwrap().id;
    let record = store.object("o").unwrap().get(id).unwrap().unwrap();
    assert_eq!(record.iter().len(), 0, "{record:?}");
}

#[test]
fn what_is_left_of_a_deleted_attribute_does_not_count_for_the_size_of_a_record() {
    let dir = Dir::new("schema-size");
    let schema = r#"{"objects":[{"key":"o","max_record_bytes":20,"attributes":[
        {"key":"a","type":"text"},{"key":"b","type":"text"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let object = store.object("o").unwrap();
    let id = object.create(record! { "a" => "fifteen bytes..", "b" => "five." }).unwrap().id;
    assert_eq!(object.update(id, patch! { "b" => "six..." }).unwrap_err().kind(), ErrorKind::LimitExceeded);
    change(&store, r#"{"delete_attribute":{"object":"o","attribute":"a"}}"#).unwrap();
    object.update(id, patch! { "b" => "six..." }).unwrap();
    change(&store, r#"{"set_limits":{"object":"o","max_record_bytes":6}}"#).unwrap();
}

#[test]
fn a_limit_of_an_attribute_that_the_same_change_deletes_is_nobodys() {
    let dir = Dir::new("schema-limit-deleted");
    let schema = r#"{"objects":[{"key":"o","attributes":[{"key":"a","type":"integer"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    store.object("o").unwrap().create(record! { "a" => 7 }).unwrap();
    let limit = r#"{"set_limits":{"object":"o","attribute":"a","max":3}}"#;
    assert_eq!(change(&store, limit).unwrap_err().kind(), ErrorKind::InvalidValue);
    change(&store, &format!(r#"{limit},{{"delete_attribute":{{"object":"o","attribute":"a"}}}}"#)).unwrap();
}

#[test]
fn the_values_before_a_delete_have_no_attribute_that_was_deleted() {
    let dir = Dir::new("schema-before-deleted");
    let schema =
        r#"{"objects":[{"key":"o","attributes":[{"key":"a","type":"text"},{"key":"b","type":"text"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let id = store.object("o").unwrap().create(record! { "a" => "gone", "b" => "kept" }).unwrap().id;
    change(&store, r#"{"delete_attribute":{"object":"o","attribute":"a"}}"#).unwrap();
    let (object, action, key) = ("o".into(), vellum::Action::Delete, Some(vellum::Key::Id(id)));
    let delete = vellum::Mutation { object, action, key, patch: vellum::Patch::new().before() };
    assert_eq!(store.apply(&delete).unwrap().before(), [("b".into(), "kept".into())]);
}
