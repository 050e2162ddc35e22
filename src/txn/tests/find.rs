//! Finding a record among what is staged and what is stored.

use super::*;
use crate::txn::find::Located;
use crate::txn::key::object_ref;
use crate::{ErrorKind, patch, record};

fn locate(world: &mut World, key: &Key) -> Result<Option<Located>> {
    world.step(|txn| {
        let object = object_ref(txn.catalog, "company").unwrap();
        txn.locate(object, key)
    })
}

#[test]
fn stored_record_is_found_by_id_and_key() {
    let (mut world, company) = World::with_company("a.example", 5);
    for key in [Key::Id(company), by_domain("a.example")] {
        let found = locate(&mut world, &key).unwrap();
        assert!(matches!(found, Some(Located::Stored { id, version: 1, .. }) if id == company), "{key:?}");
    }
    assert!(locate(&mut world, &Key::Id(id(9))).unwrap().is_none());
    assert!(locate(&mut world, &by_domain("b.example")).unwrap().is_none());
}

#[test]
fn staged_record_is_found_by_the_key_that_it_has_now() {
    let (mut world, company) = World::with_company("a.example", 5);
    let rename = patch! { "domain" => "b.example" };
    world.execute(&mutation("company", Action::Update, Some(Key::Id(company)), rename)).unwrap();
    assert!(matches!(locate(&mut world, &by_domain("b.example")).unwrap(), Some(Located::Staged(0))));
    assert!(locate(&mut world, &by_domain("a.example")).unwrap().is_none(), "the old key is free");
}

#[test]
fn record_that_the_transaction_deleted_is_not_found() {
    let (mut world, company) = World::with_company("a.example", 5);
    let key = Some(Key::Id(company));
    world.execute(&mutation("company", Action::Delete, key, Patch::default())).unwrap();
    assert!(locate(&mut world, &by_domain("a.example")).unwrap().is_none());
}

#[test]
fn values_beside_a_key_narrow_what_is_found() {
    let (mut world, _) = World::with_company("a.example", 5);
    let with_seats = |seats: i64| {
        Key::Attributes(vec![("domain".into(), "a.example".into()), ("seats".into(), seats.into())])
    };
    assert!(locate(&mut world, &with_seats(5)).unwrap().is_some());
    assert!(locate(&mut world, &with_seats(6)).unwrap().is_none());
    let no_index = Key::Attributes(vec![("seats".into(), 5.into())]);
    assert_eq!(locate(&mut world, &no_index).unwrap_err().kind(), ErrorKind::MatchNotUnique);
}

#[test]
fn mutations_that_find_no_record_say_so() {
    let mut world = World::new();
    let missing = Some(by_domain("a.example"));
    for action in [Action::Update, Action::Delete] {
        let error = world.execute(&mutation("company", action, missing.clone(), Patch::default()));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::RecordNotFound);
    }
    let error = world.execute(&mutation("company", Action::Update, None, Patch::default()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::MissingKey);
    let upsert = mutation("company", Action::Upsert, missing, patch! { "seats" => 1 });
    assert!(world.execute(&upsert).unwrap().created, "an upsert creates it, with its key");
    assert_eq!(world.writer.stage.records().len(), 1);
    let again = create("company", record! { "domain" => "b.example" });
    assert!(world.execute(&again).unwrap().created);
}
