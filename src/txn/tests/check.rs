//! Steps that check: what the caller expects, and what must hold at the end.

use super::*;
use crate::txn::check::check_version;
use crate::{ErrorKind, Filter, patch, record};
use vellum_types::Terms;

fn update(company: RecordId, patch: Patch) -> Mutation {
    mutation("company", Action::Update, Some(Key::Id(company)), patch)
}

#[test]
fn version_is_checked_against_the_record_or_its_absence() {
    let found = Some((id(1), 3));
    assert!(check_version(None, found).is_ok() && check_version(None, None).is_ok());
    assert!(check_version(Some(3), found).is_ok());
    let error = check_version(Some(2), found).unwrap_err();
    assert_eq!((error.kind(), error.current_version()), (ErrorKind::PreconditionFailed, Some(3)));
    assert_eq!(check_version(Some(1), None).unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[test]
fn every_action_checks_the_version() {
    let (mut world, company) = World::with_company("a.example", 5);
    let stale = || patch! { "seats" => 6 }.if_version(7);
    let no_record = Some(by_domain("b.example"));
    for mutation in [
        update(company, stale()),
        mutation("company", Action::Upsert, Some(Key::Id(company)), stale()),
        mutation("company", Action::Delete, Some(Key::Id(company)), Patch::default().if_version(7)),
        mutation("company", Action::Upsert, no_record, stale()),
        mutation("company", Action::Create, None, stale()),
    ] {
        let error = world.execute(&mutation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{mutation:?}");
    }
    assert!(world.writer.stage.records().is_empty());
    assert_eq!(world.execute(&update(company, patch! { "seats" => 6 }.if_version(1))).unwrap().version, 2);
}

#[test]
fn condition_is_checked_on_the_record_as_it_is_staged() {
    let (mut world, company) = World::with_company("a.example", 5);
    let guarded = |seats: i64| {
        let condition = Some(Filter::eq("seats", 5));
        let terms = Terms { condition, ..Terms::default() };
        let set = record! { "seats" => seats };
        update(company, Patch { set, terms: Some(Box::new(terms)), ..Patch::default() })
    };
    world.execute(&guarded(6)).unwrap();
    let error = world.execute(&guarded(7)).unwrap_err();
    assert_eq!((error.kind(), error.current_version()), (ErrorKind::PreconditionFailed, Some(2)));
}

#[test]
fn missing_and_cleared_required_values_are_reported() {
    let (mut world, company) = World::with_company("a.example", 5);
    let error = world.execute(&create("company", record! { "seats" => 1 })).unwrap_err();
    assert_eq!(
        (error.kind(), error.attribute_path()),
        (ErrorKind::MissingRequired, Some(("company", "domain")))
    );
    let error = world.execute(&update(company, Patch::default().clear("domain"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequired);
    // A value that is invalid is not missing too.
    let error = world.execute(&create("company", record! { "domain" => 7 })).unwrap_err();
    assert_eq!((error.all().len(), error.kind()), (1, ErrorKind::InvalidValue));
}

#[test]
fn record_longer_than_its_object_allows_is_rejected() {
    let (mut world, company) = World::with_company("a.example", 5);
    let error = world.execute(&update(company, patch! { "notes" => "x".repeat(5000) })).unwrap_err();
    assert_eq!((error.kind(), error.limit().map(|(max, _)| max)), (ErrorKind::LimitExceeded, Some(4096)));
}

#[test]
fn id_of_a_record_that_exists_is_a_conflict() {
    let (mut world, company) = World::with_company("a.example", 5);
    let values = record! { "domain" => "b.example" };
    let again = Mutation { key: Some(Key::Id(company)), ..create("company", values) };
    let error = world.execute(&again).unwrap_err();
    assert_eq!(error.conflict().map(|conflict| (conflict.record, conflict.version)), Some((company, 1)));
}
