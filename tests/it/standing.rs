//! What is archived is shown and not written, whoever tries; what is deleted is shown to nobody and gives up its
//! name; and what a refused change says of the records in its way.

use crate::common::{Dir, quick};
use vellum::{Comparison, ErrorKind, Filter, Object, Op, Patch, Schema, Store, Value, patch, record};

const STOCK: &str = r#"{"objects":[
    {"key":"item","attributes":[
        {"key":"name","type":"text","required":true},
        {"key":"code","type":"text","unique":true},
        {"key":"count","type":"integer"},
        {"key":"tags","type":"text","multi":true},
        {"key":"states","type":"select","multi":true,"options":[{"key":"new"},{"key":"old"},{"key":"gone"}]},
        {"key":"state","type":"select","options":[{"key":"new"},{"key":"old"},{"key":"gone"}]}]}]}"#;

fn create(dir: &Dir) -> Store {
    quick().create(dir.path(), &Schema::from_json(STOCK).unwrap()).unwrap()
}

fn change(store: &Store, change: &str) -> vellum::Result<vellum::Lsn> {
    store.change_schema(&format!(r#"{{"changes":[{change}]}}"#))
}

fn op(items: &Object, attribute: &str, op: Op) -> vellum::Result<vellum::Outcome> {
    let mut patch = Patch::new();
    patch.terms_mut().ops.push((attribute.into(), op));
    items.update(("code", "A"), patch)
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|value| Value::from(*value)).collect()
}

#[test]
fn what_is_archived_is_written_by_no_op_and_cleared_by_no_replacement() {
    let dir = Dir::new("standing-archived");
    let store = create(&dir);
    let items = store.object("item").unwrap();
    let values =
        record! { "name" => "a", "code" => "A", "count" => 5, "state" => "old", "states" => ["old"] };
    let id = items.create(values).unwrap().id;
    change(
        &store,
        r#"{"archive_attribute":{"object":"item","attribute":"count"}},
           {"archive_option":{"object":"item","attribute":"states","option":"old"}},
           {"archive_option":{"object":"item","attribute":"state","option":"old"}}"#,
    )
    .unwrap();
    let refused = |name: &str, what: Op, kind| {
        assert_eq!(op(&items, name, what).unwrap_err().kind(), kind, "{name}");
    };
    refused("count", Op::Increment(1.into(), vellum::Bounds::default()), ErrorKind::NotWritable);
    refused("count", Op::Set(1.into()), ErrorKind::NotWritable);
    refused("count", Op::Clear, ErrorKind::NotWritable);
    refused("state", Op::Set("old".into()), ErrorKind::UnknownOption);
    refused("states", Op::Add(texts(&["old"])), ErrorKind::UnknownOption);
    // A list that has one stays as it is and takes others, and what is archived may go.
    op(&items, "states", Op::Add(texts(&["new"]))).unwrap();
    assert_eq!(items.get(id).unwrap().unwrap().get("states"), Some(&Value::from(["old", "new"])));
    op(&items, "states", Op::Remove(texts(&["old"]))).unwrap();
    for terms in [false, true] {
        let mut replacement = patch! { "name" => format!("b{terms}"), "code" => "A" }.replace();
        if terms {
            replacement.terms_mut().before = true;
        }
        items.update(id, replacement).unwrap();
        let record = items.get(id).unwrap().unwrap();
        assert_eq!((record.get("count"), record.get("state")), (Some(&Value::Integer(5)), None));
    }
    let require = r#"{"set_required":{"object":"item","attribute":"count","required":true}}"#;
    assert_eq!(change(&store, require).unwrap_err().kind(), ErrorKind::InvalidSchema);
}

#[test]
fn an_attribute_that_was_deleted_finds_nobody_and_its_name_is_free() {
    let dir = Dir::new("standing-deleted");
    let store = create(&dir);
    let items = store.object("item").unwrap();
    let id = items.create(record! { "name" => "a", "code" => "A" }).unwrap().id;
    change(&store, r#"{"delete_attribute":{"object":"item","attribute":"code"}}"#).unwrap();
    let kind = |items: &Object| items.get(("code", "A")).unwrap_err().kind();
    assert_eq!(kind(&items), ErrorKind::UnknownAttribute);
    let added = r#"{"add_attribute":{"object":"item","attribute":{"key":"code","type":"text"}}}"#;
    change(&store, added).unwrap();
    assert_eq!(kind(&items), ErrorKind::MatchNotUnique, "the new one is no key");
    change(&store, r#"{"set_unique":{"object":"item","attribute":"code"}}"#).unwrap();
    assert_eq!(items.get(("code", "A")).unwrap(), None);
    items.update(id, patch! { "code" => "B" }).unwrap();
    assert_eq!(items.get(("code", "B")).unwrap().unwrap().id, id);
    let indexes = store.stats().unwrap().indexes;
    assert_eq!(indexes.iter().filter(|index| index.name == "item.code").count(), 1);
}

#[test]
fn an_option_with_the_key_of_a_deleted_one_is_archived_like_any_other() {
    let dir = Dir::new("standing-option");
    let store = create(&dir);
    change(
        &store,
        r#"{"delete_option":{"object":"item","attribute":"state","option":"old"}},
           {"add_option":{"object":"item","attribute":"state","option":{"key":"old"}}},
           {"archive_option":{"object":"item","attribute":"state","option":"old"}}"#,
    )
    .unwrap();
    let items = store.object("item").unwrap();
    let error = items.create(record! { "name" => "a", "state" => "old" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownOption);
}

#[test]
fn a_record_is_in_the_way_once_however_many_of_its_values_are() {
    let dir = Dir::new("standing-once");
    let store = create(&dir);
    let items = store.object("item").unwrap();
    let make = |name: &str| items.create(record! { "name" => name, "tags" => ["x", "y"] }).unwrap().id;
    let mut both = [make("a"), make("b")];
    let error = change(&store, r#"{"set_unique":{"object":"item","attribute":"tags"}}"#).unwrap_err();
    let mut named = error.records().to_vec();
    named.sort();
    both.sort();
    assert_eq!(named, both);
    assert!(error.to_string().contains("2 records in the way"), "{error}");
}

#[test]
fn a_condition_may_compare_with_a_value_that_no_record_may_have() {
    let dir = Dir::new("standing-limits");
    let store = create(&dir);
    let items = store.object("item").unwrap();
    items.create(record! { "name" => "a", "code" => "A", "count" => 9 }).unwrap();
    change(&store, r#"{"set_limits":{"object":"item","attribute":"count","min":8,"max":20}}"#).unwrap();
    let mut patch = patch! { "count" => 10 };
    patch.terms_mut().condition = Some(Filter::is("count", Comparison::AtLeast, 5));
    items.update(("code", "A"), patch.clone()).unwrap();
    patch.terms_mut().condition = Some(Filter::is("count", Comparison::Greater, 100));
    assert_eq!(items.update(("code", "A"), patch).unwrap_err().kind(), ErrorKind::PreconditionFailed);
}
