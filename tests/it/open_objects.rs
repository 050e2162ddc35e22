//! Members that an open object does not know, in everything that a mutation may have.

use crate::common::{Dir, quick};
use crate::crm::mutation;
use vellum::{
    Action, ErrorKind, Json, Key, Op, Outcome, Patch, RecordId, Result, Schema, Store, Value, patch,
};

const NOTES: &str = r#"{"objects":[{"key":"note","open":true,"attributes":[
    {"key":"code","type":"text","unique":true},{"key":"title","type":"text"}]}]}"#;

fn notes() -> (Store, Dir) {
    let dir = Dir::new("open-objects");
    (quick().create(dir.path(), &Schema::from_json(NOTES).expect("a valid schema")).unwrap(), dir)
}

fn upsert(store: &Store, code: &str, patch: Patch) -> Result<Outcome> {
    store.apply(&mutation("note", Action::Upsert, Some(Key::from(("code", code))), patch))
}

fn made(store: &Store, code: &str, patch: Patch) -> RecordId {
    upsert(store, code, patch).expect("a sound record").id
}

/// The members of a record other than its code, in the order of their names.
fn members(store: &Store, id: RecordId) -> String {
    let record = store.object("note").unwrap().get(id).unwrap().unwrap();
    let mut members: Vec<String> = record
        .iter()
        .filter(|(name, _)| *name != "code")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    members.sort();
    members.join(" ")
}

#[test]
fn the_six_parts_have_their_precedence_for_members_that_are_not_known() {
    let (store, _dir) = notes();
    let parts = || {
        patch! { "both" => 1, "gone" => 1 }
            .on_create("made", 2)
            .on_create("both", 2)
            .on_update("changed", 3)
            .on_update("both", 3)
            .on_update_if_empty("kept", 4)
            .if_empty("first", 5)
            .clear("gone")
    };
    let id = made(&store, "a", parts());
    assert_eq!(members(&store, id), "both=2 first=5 made=2");
    made(&store, "a", patch! { "first" => 6, "gone" => 6 });
    made(&store, "a", parts());
    assert_eq!(members(&store, id), "both=3 changed=3 first=6 kept=4 made=2");
    made(&store, "a", Patch::new().on_update_if_empty("kept", 7).if_empty("late", 7));
    assert_eq!(members(&store, id), "both=3 changed=3 first=6 kept=4 late=7 made=2");
}

#[test]
fn ops_that_need_no_type_work_on_members_that_are_not_known_and_others_say_why_not() {
    let (store, _dir) = notes();
    let id = made(&store, "a", patch! { "there" => "x", "goes" => true });
    let patch = Patch::new()
        .op("there", Op::SetIfEmpty("y".into()))
        .op("new", Op::SetIfEmpty("z".into()))
        .op("goes", Op::Clear)
        .op("set", Op::Set(9.into()));
    let outcome = upsert(&store, "a", patch).unwrap();
    assert!(!outcome.is_unchanged());
    assert_eq!(members(&store, id), "new=z set=9 there=x");
    let patch = Patch::new().op("goes", Op::Set(1.into())).op("goes", Op::SetIfEmpty(2.into()));
    upsert(&store, "a", patch).unwrap();
    upsert(&store, "a", Patch::new().op("set", Op::Clear).op("set", Op::SetIfEmpty(3.into()))).unwrap();
    assert_eq!(members(&store, id), "goes=1 new=z set=3 there=x");
    let count = |patch: Patch| patch.op("set", Op::Add(vec![1.into()])).on_update("$x", 1);
    let error = upsert(&store, "a", count(Patch::new())).unwrap_err();
    let kinds: Vec<ErrorKind> = error.all().iter().map(|error| error.kind()).collect();
    assert_eq!(kinds, [ErrorKind::UnknownAttribute, ErrorKind::UnknownAttribute]);
    assert!(error.to_string().contains("add has no type"), "{error}");
    let outcome = upsert(&store, "a", count(patch! { "set" => 4 }).ignore_invalid()).unwrap();
    assert_eq!(outcome.dropped().len(), 2);
    assert_eq!(members(&store, id), "goes=1 new=z set=4 there=x");
}

#[test]
fn a_replacement_with_parts_and_ops_keeps_the_members_that_it_names_and_no_others() {
    let (store, _dir) = notes();
    let id = made(&store, "a", patch! { "title" => "t", "x" => 1, "y" => 2, "z" => 3 });
    let patch = patch! { "new" => 4 }.on_update_if_empty("y", 5).op("z", Op::SetIfEmpty(6.into())).replace();
    upsert(&store, "a", patch).unwrap();
    assert_eq!(members(&store, id), "new=4 y=2 z=3");
    upsert(&store, "a", Patch::new().op("title", Op::Set("u".into())).replace()).unwrap();
    assert_eq!(members(&store, id), "title=u");
}

#[test]
fn a_member_that_is_left_out_is_named_all_the_same_and_a_replacement_keeps_it() {
    let (store, _dir) = notes();
    let id = made(&store, "a", patch! { "x" => 1, "y" => 2, "z" => 3 });
    let patch = patch! { "x" => f64::NAN }.op("y", Op::Add(vec![4.into()])).replace().ignore_invalid();
    assert_eq!(upsert(&store, "a", patch).unwrap().dropped().len(), 2);
    assert_eq!(members(&store, id), "x=1 y=2");
}

#[test]
fn a_null_that_is_written_as_json_is_no_member() {
    let (store, _dir) = notes();
    let null = || Value::Json(Json::parse("null").expect("JSON"));
    let id = made(&store, "a", patch! { "x" => null(), "y" => 2 });
    assert_eq!(members(&store, id), "y=2");
    upsert(&store, "a", patch! { "y" => null() }.op("y", Op::SetIfEmpty(3.into()))).unwrap();
    assert_eq!(members(&store, id), "y=3");
}

#[test]
fn an_outcome_has_the_members_before_by_their_names() {
    let (store, _dir) = notes();
    let id = made(&store, "a", patch! { "title" => "t", "x" => 1, "y" => 2 });
    let outcome = upsert(&store, "a", patch! { "x" => 3, "y" => Value::Null, "z" => 4 }.before()).unwrap();
    let before = |outcome: &Outcome| {
        let before: Vec<String> =
            outcome.before().iter().map(|(name, value)| format!("{name}={value}")).collect();
        before.join(" ")
    };
    assert_eq!(before(&outcome), format!("x=1 y=2 z={}", Value::Null));
    let delete = mutation("note", Action::Delete, Some(Key::Id(id)), Patch::new().before());
    assert_eq!(before(&store.apply(&delete).unwrap()), "code=a title=t x=3 z=4");
}

#[test]
fn an_attribute_hides_the_member_that_has_its_name() {
    let (store, _dir) = notes();
    let id = made(&store, "a", patch! { "x" => "old", "y" => 2 });
    let change = |change: &str| store.change_schema(&format!(r#"{{"changes":[{change}]}}"#)).unwrap();
    change(r#"{"add_attribute":{"object":"note","attribute":{"key":"x","type":"integer"}}}"#);
    assert_eq!(members(&store, id), "y=2");
    let outcome = upsert(&store, "a", patch! { "x" => 1 }.before().returning()).unwrap();
    assert_eq!((outcome.before().len(), outcome.record.unwrap().iter().len()), (1, 3));
    assert_eq!(members(&store, id), "x=1 y=2");
    let outcome = upsert(&store, "a", Patch::new().replace().before()).unwrap();
    assert_eq!((members(&store, id).as_str(), outcome.before().len()), ("", 2));
    change(r#"{"delete_attribute":{"object":"note","attribute":"x"}}"#);
    assert_eq!(members(&store, id), "x=old");
}
