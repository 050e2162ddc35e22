//! Steps that plan, choose and stage.

use super::*;
use crate::txn::key::object_ref;
use crate::txn::plan::{DEPTH_MAX, Plan};
use crate::txn::stage::Fate;
use crate::{ErrorKind, Op, patch, record};
use vellum_types::{Bounds, Terms, Validation};

fn is_simple(world: &mut World, mutation: &Mutation) -> bool {
    world.step(|txn| {
        let object = object_ref(txn.catalog, &mutation.object).unwrap();
        Plan::new(object, mutation, 0).unwrap().is_simple
    })
}

fn ops(ops: Vec<(Name, Op)>) -> Patch {
    Patch { terms: Some(Box::new(Terms { ops, ..Terms::default() })), ..Patch::default() }
}

#[test]
fn plan_is_simple_without_terms_and_references() {
    let mut world = World::new();
    let key = || Some(Key::Id(id(1)));
    let update = |object: &str, patch: Patch| mutation(object, Action::Update, key(), patch);
    assert!(!is_simple(&mut world, &create("person", record! { "name" => "Ann" })));
    assert!(is_simple(&mut world, &update("person", patch! { "name" => "Bob" })));
    assert!(!is_simple(&mut world, &update("person", patch! { "employer" => Value::Null })));
    assert!(!is_simple(&mut world, &update("person", patch! { "name" => "Bob" }.replace())));
    assert!(!is_simple(&mut world, &update("person", ops(vec![("name".into(), Op::Clear)]))));
    assert!(!is_simple(&mut world, &mutation("person", Action::Delete, key(), Patch::default())));
}

#[test]
fn plan_that_is_nested_too_deep_is_rejected() {
    let mut world = World::new();
    let mutation = create("company", record! { "domain" => "a.example" });
    let error = world.step(|txn| {
        let object = object_ref(txn.catalog, "company").unwrap();
        Plan::new(object, &mutation, DEPTH_MAX + 1).err().unwrap()
    });
    assert_eq!((error.kind(), error.limit()), (ErrorKind::LimitExceeded, Some((8, 9))));
}

#[test]
fn only_values_that_differ_are_staged() {
    let (mut world, company) = World::with_company("a.example", 5);
    let patch = patch! { "domain" => "a.example", "seats" => 6 };
    world.execute(&mutation("company", Action::Update, Some(Key::Id(company)), patch)).unwrap();
    let [staged] = world.writer.stage.records() else { panic!("one record is staged") };
    assert_eq!((staged.fate, staged.version, staged.cells.len()), (Fate::Update, 2, 1));
    assert!(!staged.moves_keys, "the key is what it was");
}

#[test]
fn update_that_changes_nothing_stages_nothing() {
    let (mut world, company) = World::with_company("a.example", 5);
    let update = mutation("company", Action::Update, Some(Key::Id(company)), patch! { "seats" => 5 });
    let outcome = world.execute(&update).unwrap();
    assert!(outcome.is_unchanged() && outcome.version == 1);
    assert!(world.writer.stage.records().is_empty());
    assert!(world.step(|txn| txn.prepare()).unwrap().is_none());
}

#[test]
fn all_that_is_wrong_is_reported_in_the_order_of_the_request() {
    let (mut world, company) = World::with_company("a.example", 5);
    let patch =
        patch! { "seats" => -1, "color" => "red", "number" => 3, "phase" => "future" }.clear("domain");
    let update = mutation("company", Action::Update, Some(Key::Id(company)), patch);
    let error = world.execute(&update).unwrap_err();
    let kinds: Vec<ErrorKind> = error.all().iter().map(|error| error.kind()).collect();
    use ErrorKind as K;
    assert_eq!(
        kinds,
        [K::InvalidValue, K::UnknownAttribute, K::NotWritable, K::UnknownOption, K::MissingRequired]
    );
    assert!(world.writer.stage.records().is_empty(), "a rejected mutation leaves no trace");
}

#[test]
fn last_value_of_a_name_counts_and_clearing_counts_more() {
    let (mut world, company) = World::with_company("a.example", 5);
    let key = || Some(Key::Id(company));
    let twice = Patch { set: record! { "seats" => -1, "seats" => 5 }, ..Patch::default() };
    let outcome = world.execute(&mutation("company", Action::Update, key(), twice)).unwrap();
    assert!(outcome.is_unchanged(), "the first value does not count, though it is invalid");
    let cleared = patch! { "seats" => 9 }.clear("seats");
    let outcome = world.execute(&mutation("company", Action::Update, key(), cleared)).unwrap();
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["seats"]);
    assert_eq!(world.writer.stage.records()[0].cells[0].bytes, None);
}

#[test]
fn create_gets_defaults_and_numbers_unless_null_was_given() {
    let mut world = World::new();
    let plain = create("company", record! { "domain" => "a.example" });
    let null = create("company", record! { "domain" => "b.example", "phase" => Value::Null });
    world.commit(&[plain, null]).unwrap();
    let read = |txn: &mut Transaction<'_>, domain| txn.get("company", &by_domain(domain)).unwrap().unwrap();
    let (a, b) = world.step(|txn| (read(txn, "a.example"), read(txn, "b.example")));
    assert_eq!((a.get("phase"), a.get("number")), (Some(&"new".into()), Some(&Value::Integer(1))));
    assert_eq!((b.get("phase"), b.get("number")), (None, Some(&Value::Integer(2))));
}

#[test]
fn replacing_clears_what_is_not_named_and_keeps_the_key() {
    let (mut world, _) = World::with_company("a.example", 5);
    let patch = patch! { "notes" => "only these" }.replace();
    let update = mutation("company", Action::Update, Some(by_domain("a.example")), patch);
    let outcome = world.execute(&update).unwrap();
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["seats", "phase", "notes"]);
}

#[test]
fn ops_and_values_of_one_attribute_are_one_change() {
    let (mut world, company) = World::with_company("a.example", 5);
    let mut patch = ops(vec![("seats".into(), Op::Increment((-1).into(), Bounds::default()))]);
    patch.set = record! { "seats" => 6 };
    let update = mutation("company", Action::Update, Some(Key::Id(company)), patch);
    assert!(world.execute(&update).unwrap().is_unchanged(), "6 - 1 is what was there");
}

#[test]
fn invalid_values_are_left_out_where_the_caller_asks_for_it() {
    let (mut world, company) = World::with_company("a.example", 5);
    let terms = Terms { validation: Validation::IgnoreInvalid, ..Terms::default() };
    let set = record! { "seats" => "many", "notes" => "fits" };
    let patch = Patch { set, terms: Some(Box::new(terms)), ..Patch::default() };
    let update = mutation("company", Action::Update, Some(Key::Id(company)), patch);
    let outcome = world.execute(&update).unwrap();
    assert_eq!((outcome.dropped().len(), outcome.changed().count()), (1, 1));
}
