//! Steps that look at other records: references, and what a delete does to them.

use super::*;
use crate::{ErrorKind, record};
use vellum_types::{Link, Terms};

fn employed(name: &str, company: RecordId) -> Mutation {
    create("person", record! { "name" => name, "employer" => Value::Reference(company) })
}

#[test]
fn reference_to_a_record_that_is_not_there_is_rejected() {
    let (mut world, company) = World::with_company("a.example", 5);
    assert!(world.execute(&employed("Ann", company)).is_ok());
    let error = world.execute(&employed("Bob", id(9))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReferenceNotFound);
    let person = world.writer.stage.records()[0].id;
    let error = world.execute(&employed("Eve", person)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReferenceNotAllowed);
}

#[test]
fn restricted_delete_is_rejected_unless_its_referrers_are_deleted_too() {
    let (mut world, company) = World::with_company("a.example", 5);
    let person = world.commit(&[employed("Ann", company)]).unwrap()[0].id;
    let delete = |object: &str, id| mutation(object, Action::Delete, Some(Key::Id(id)), Patch::default());
    let error = world.commit(&[delete("company", company)]).unwrap_err();
    assert_eq!((error.kind(), error.records()), (ErrorKind::ReferenceRestricted, &[person][..]));
    world.commit(&[delete("company", company), delete("person", person)]).unwrap();
}

#[test]
fn link_creates_its_record_in_the_same_transaction_and_the_outcome_lists_it() {
    let mut world = World::new();
    let company = create("company", record! { "domain" => "a.example" });
    let links = vec![("new".into(), Link::Mutate(Box::new(company)))];
    let set = record! { "name" => "Ann", "employer" => "@new" };
    let patch = Patch { set, terms: Some(Box::new(Terms { links, ..Terms::default() })), ..Patch::default() };
    let outcomes = world.commit(&[mutation("person", Action::Create, None, patch)]).unwrap();
    let [other] = outcomes[0].others() else { panic!("one other record") };
    assert!(other.created && &*other.object == "company");
    let person = world.step(|txn| txn.get("person", &Key::Id(outcomes[0].id))).unwrap().unwrap();
    assert_eq!(person.get("employer"), Some(&Value::Reference(other.id)));
}

#[test]
fn rejected_mutation_takes_back_the_records_of_its_links() {
    let mut world = World::new();
    let company = create("company", record! { "domain" => "a.example" });
    let links = vec![("new".into(), Link::Mutate(Box::new(company)))];
    let set = record! { "employer" => "@new" };
    let patch = Patch { set, terms: Some(Box::new(Terms { links, ..Terms::default() })), ..Patch::default() };
    let error = world.execute(&mutation("person", Action::Create, None, patch)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequired);
    assert!(world.writer.stage.records().is_empty());
}
