//! The past of records that had several lives, of schemas that changed since, and what may come back of it.

use crate::common::{Dir, quick};
use vellum::{
    Action, Actor, ActorKind, ErrorKind, Key, Mutation, Patch, RecordId, Schema, Store, Timestamp, Value,
    patch, record,
};
use vellum_admin::verify;

const DEALS: &str = r#"{"objects":[
    {"key":"deal","history":true,"attributes":[
        {"key":"name","type":"text","required":true},
        {"key":"stage","type":"select","options":[{"key":"lead"},{"key":"won"},{"key":"lost"}]},
        {"key":"amount","type":"integer"}]},
    {"key":"plain","attributes":[{"key":"name","type":"text"}]}]}"#;

fn create(dir: &Dir) -> Store {
    quick().create(dir.path(), &Schema::from_json(DEALS).unwrap()).unwrap()
}

fn change(store: &Store, change: &str) {
    store.change_schema(&format!(r#"{{"changes":[{change}]}}"#)).unwrap();
}

fn id() -> RecordId {
    RecordId::from_bytes([7; 16])
}

fn sound(dir: &Dir) {
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Deletes the deal and makes another one under its id, in one commit.
fn replace(store: &Store, name: &str) {
    let deal = |action, patch| Mutation { object: "deal".into(), action, key: Some(Key::Id(id())), patch };
    let both = [deal(Action::Delete, Patch::new()), deal(Action::Create, patch! { "name" => name })];
    store.apply_batch(&both).unwrap();
}

#[test]
fn each_life_of_an_id_is_read_with_its_own_creation_and_counter() {
    let dir = Dir::new("past-three-lives");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let mut lives = Vec::new();
    for (name, user) in [("a", "ann"), ("b", "bob"), ("c", "cleo")] {
        let acting = store.acting_as(Actor::new(ActorKind::User, user));
        acting.object("deal").unwrap().upsert(id(), patch! { "name" => name }).unwrap();
        lives.push(deals.get(id()).unwrap().unwrap());
        deals.delete(id()).unwrap();
    }
    for life in &lives {
        assert_eq!(deals.get_as_of(id(), life.created_at).unwrap().as_ref(), Some(life));
    }
}

#[test]
fn a_value_begins_with_its_own_life_where_history_was_switched_on_later() {
    let dir = Dir::new("past-later");
    let store = create(&dir);
    let plain = store.object("plain").unwrap();
    plain.upsert(id(), patch! { "name" => "a" }).unwrap();
    let born = plain.get(id()).unwrap().unwrap().created_at;
    change(&store, r#"{"set_history":{"object":"plain","history":true}}"#);
    plain.delete(id()).unwrap();
    plain.upsert(id(), patch! { "name" => "b" }).unwrap();
    let names = plain.history(id(), "name").unwrap();
    assert_eq!(names[0].active_from, born);
    assert!(names[0].active_until.unwrap() < names[1].active_from);
    let then = plain.get_as_of(id(), born).unwrap().unwrap();
    assert_eq!(then.get("name"), Some(&Value::from("a")));
}

#[test]
fn a_value_put_into_the_past_changes_no_version_of_the_past() {
    let dir = Dir::new("past-version");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a" }).unwrap().id;
    let first = deals.get(id).unwrap().unwrap();
    let at = |offset: i64| Timestamp(first.created_at.0 + offset);
    deals.insert_past(id, "amount", 5, at(-20), at(-10)).unwrap();
    deals.update(id, patch! { "name" => "b" }).unwrap();
    assert_eq!(deals.get_as_of(id, first.created_at).unwrap(), Some(first));
}

#[test]
fn a_number_that_a_wider_type_cannot_hold_is_shown_in_the_past_and_not_put_back() {
    let dir = Dir::new("past-inexact");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let odd = (1i64 << 53) + 1;
    let id = deals.create(record! { "name" => "a", "amount" => odd }).unwrap().id;
    deals.update(id, patch! { "amount" => 7 }).unwrap();
    let lsn = store.applied_lsn();
    change(&store, r#"{"widen":{"object":"deal","attribute":"amount","type":"number"}}"#);
    let amounts: Vec<Value> = deals.history(id, "amount").unwrap().into_iter().map(|v| v.value).collect();
    assert_eq!(amounts, [Value::Integer(odd), Value::Number(7.0)]);
    let born = deals.get(id).unwrap().unwrap().created_at;
    let then = deals.get_as_of(id, born).unwrap().unwrap();
    assert_eq!(then.get("amount"), Some(&Value::Integer(odd)));
    assert_eq!(store.revert(lsn).unwrap_err().kind(), ErrorKind::InvalidValue);
}

#[test]
fn what_the_schema_took_back_comes_back_with_no_record() {
    let dir = Dir::new("past-taken-back");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let make = |stage: &str, amount: i64| {
        deals.create(record! { "name" => "a", "stage" => stage, "amount" => amount }).unwrap().id
    };
    let (lost, much, changed) = (make("lost", 1), make("won", 100), make("lost", 1));
    deals.delete(lost).unwrap();
    deals.delete(much).unwrap();
    deals.update(changed, patch! { "stage" => "lead" }).unwrap();
    let lsn = store.applied_lsn();
    change(
        &store,
        r#"{"delete_option":{"object":"deal","attribute":"stage","option":"lost"}},
           {"add_option":{"object":"deal","attribute":"stage","option":{"key":"lost"}}},
           {"set_limits":{"object":"deal","attribute":"amount","max":50}}"#,
    );
    assert_eq!(deals.restore(lost).unwrap_err().kind(), ErrorKind::UnknownOption);
    assert_eq!(deals.restore(much).unwrap_err().kind(), ErrorKind::InvalidValue);
    assert_eq!(store.revert(lsn).unwrap_err().kind(), ErrorKind::UnknownOption);
    change(&store, r#"{"set_limits":{"object":"deal","attribute":"amount","max":null}}"#);
    deals.restore(much).unwrap();
    drop((deals, store));
    sound(&dir);
}

#[test]
fn an_id_that_a_record_of_another_object_took_is_not_restored() {
    let dir = Dir::new("past-taken-id");
    let store = create(&dir);
    let (deals, plain) = (store.object("deal").unwrap(), store.object("plain").unwrap());
    deals.upsert(id(), patch! { "name" => "a" }).unwrap();
    deals.delete(id()).unwrap();
    plain.upsert(id(), patch! { "name" => "other" }).unwrap();
    assert_eq!(deals.restore(id()).unwrap_err().kind(), ErrorKind::UniqueConflict);
    plain.delete(id()).unwrap();
    deals.restore(id()).unwrap();
    drop((deals, plain, store));
    sound(&dir);
}

#[test]
fn a_commit_that_put_another_record_under_an_id_is_reverted_and_an_older_one_is_not() {
    let dir = Dir::new("past-replaced");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    deals.upsert(id(), patch! { "name" => "a", "amount" => 5 }).unwrap();
    let first = deals.get(id()).unwrap().unwrap();
    deals.update(id(), patch! { "amount" => Value::Null }).unwrap();
    let cleared = store.applied_lsn();
    replace(&store, "b");
    let (second, replaced) = (deals.get(id()).unwrap().unwrap(), store.applied_lsn());
    // The amount was another record's.
    assert_eq!(store.revert(cleared).unwrap_err().kind(), ErrorKind::PreconditionFailed);
    store.revert(replaced).unwrap();
    let back = deals.get(id()).unwrap().unwrap();
    assert_eq!((back.get("name"), back.get("amount")), (Some(&Value::from("a")), None));
    assert_eq!((back.counter, back.created_at), (first.counter, first.created_at));
    assert!(back.version > second.version, "a version goes on");
    drop((deals, store));
    sound(&dir);
}

#[test]
fn an_id_that_passes_to_another_object_in_one_commit_has_two_histories() {
    let dir = Dir::new("past-two-objects");
    let schema = r#"{"objects":[
        {"key":"deal","history":true,"attributes":[{"key":"name","type":"text"}]},
        {"key":"order","history":true,"attributes":[{"key":"name","type":"text"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let (deals, orders) = (store.object("deal").unwrap(), store.object("order").unwrap());
    deals.upsert(id(), patch! { "name" => "a" }).unwrap();
    deals.update(id(), patch! { "name" => "b" }).unwrap();
    let of = |object: &'static str, action, patch| Mutation {
        object: object.into(),
        action,
        key: Some(Key::Id(id())),
        patch,
    };
    let moved =
        [of("deal", Action::Delete, Patch::new()), of("order", Action::Create, patch! { "name" => "c" })];
    store.apply_batch(&moved).unwrap();
    let names = |object: &vellum::Object| -> Vec<String> {
        let values = object.history(id(), "name").unwrap();
        values.iter().map(|value| value.value.to_string()).collect()
    };
    assert_eq!((names(&deals), names(&orders)), (vec!["a".into(), "b".into()], vec!["c".into()]));
    orders.delete(id()).unwrap();
    // The deal is found among the dead again.
    deals.restore(id()).unwrap();
    assert_eq!(names(&deals).len(), 3);
    drop((deals, orders));
    store.close().unwrap();
    sound(&dir);
}

#[test]
fn a_record_that_came_while_no_history_was_kept_goes_and_comes_back_with_one() {
    let dir = Dir::new("past-off-on");
    let schema = r#"{"objects":[{"key":"o","history":true,"attributes":[{"key":"a","type":"text"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let set = |on: bool| {
        let change = format!(r#"{{"changes":[{{"set_history":{{"object":"o","history":{on}}}}}]}}"#);
        store.change_schema(&change).unwrap();
    };
    let object = store.object("o").unwrap();
    let id = object.create(record! { "a" => "first" }).unwrap().id;
    object.delete(id).unwrap();
    set(false);
    let create = Mutation {
        object: "o".into(),
        action: Action::Create,
        key: Some(Key::Id(id)),
        patch: Patch { set: record! { "a" => "second" }, ..Patch::default() },
    };
    store.apply(&create).unwrap();
    set(true);
    object.delete(id).unwrap();
    object.restore(id).unwrap();
    assert_eq!(object.get(id).unwrap().unwrap().get("a"), Some(&"second".into()));
    drop(object);
    store.close().unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
