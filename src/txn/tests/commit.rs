//! Preparing a commit: keys on the end state, rows, the record of the log; and its LSN.

use super::*;
use crate::{ErrorKind, patch, record};

fn rename(domain: &str, to: &str) -> Mutation {
    mutation("company", Action::Update, Some(by_domain(domain)), patch! { "domain" => to })
}

#[test]
fn unique_keys_are_checked_on_the_end_state() {
    let mut world = World::new();
    let both = ["a.example", "b.example"].map(|domain| create("company", record! { "domain" => domain }));
    world.commit(&both).unwrap();
    let swap = [
        rename("a.example", "c.example"),
        rename("b.example", "a.example"),
        rename("c.example", "b.example"),
    ];
    assert_eq!(world.commit(&swap).unwrap().len(), 3, "keys may be swapped in one transaction");
    let error = world.commit(&[rename("a.example", "b.example")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    let twins = [1, 2].map(|_| create("company", record! { "domain" => "d.example" }));
    assert_eq!(world.commit(&twins).unwrap_err().kind(), ErrorKind::UniqueConflict);
}

#[test]
fn key_of_a_deleted_record_is_free_in_the_same_transaction() {
    let (mut world, company) = World::with_company("a.example", 5);
    let delete = mutation("company", Action::Delete, Some(Key::Id(company)), Patch::default());
    let outcomes = world.commit(&[delete, create("company", record! { "domain" => "a.example" })]).unwrap();
    assert!(outcomes[1].created && outcomes[1].id != company);
}

#[test]
fn rows_of_deleted_records_are_given_again() {
    let mut world = World::new();
    let domains = ["a.example", "b.example", "c.example"];
    world.commit(&domains.map(|domain| create("company", record! { "domain" => domain }))).unwrap();
    let delete = |domain| mutation("company", Action::Delete, Some(by_domain(domain)), Patch::default());
    world.commit(&[delete("a.example"), delete("b.example")]).unwrap();
    let make = |domain| create("company", record! { "domain" => domain });
    for domain in ["d.example", "e.example", "f.example"] {
        world.execute(&make(domain)).unwrap();
    }
    world.step(|txn| txn.prepare()).unwrap();
    let rows: Vec<u64> = world.writer.stage.records().iter().map(|staged| staged.row.0).collect();
    assert_eq!(rows, [1, 0, 3], "the newest free row first, then new ones");
}

#[test]
fn transaction_that_undoes_itself_commits_nothing() {
    let mut world = World::new();
    let person = Mutation { key: Some(Key::Id(id(1))), ..create("person", record! { "name" => "Ann" }) };
    let delete = mutation("person", Action::Delete, Some(Key::Id(id(1))), Patch::default());
    let outcomes = world.commit(&[person, delete]).unwrap();
    assert_eq!((outcomes[1].lsn, world.records.applied()), (Lsn(1), Lsn(1)));
}

#[test]
fn commit_stamps_every_outcome_with_its_lsn() {
    let mut world = World::new();
    let both = ["a.example", "b.example"].map(|domain| create("company", record! { "domain" => domain }));
    let lsns: Vec<Lsn> = world.commit(&both).unwrap().iter().map(|outcome| outcome.lsn).collect();
    assert_eq!(lsns, [Lsn(2), Lsn(2)]);
}

#[test]
fn rejected_mutation_takes_back_only_what_it_staged() {
    let (mut world, company) = World::with_company("a.example", 5);
    let update = |patch| mutation("company", Action::Update, Some(Key::Id(company)), patch);
    world.execute(&update(patch! { "seats" => 6 })).unwrap();
    world.execute(&update(patch! { "notes" => "kept out", "seats" => -1 })).unwrap_err();
    let staged = &world.writer.stage.records()[0];
    assert_eq!((staged.version, staged.cells.len()), (2, 1));
    world.step(|txn| txn.prepare()).unwrap().expect("the first change is there");
}

#[test]
fn prefault_counts_what_this_change_adds_to_images() {
    let mut world = World::new();
    let mut images_len = |count: usize| {
        for number in 0..count {
            world.execute(&create("person", record! { "name" => format!("{number}") })).unwrap();
        }
        world.step(|txn| txn.prepare()).unwrap().unwrap();
        let (catalog, root) = (world.records.catalog().clone(), world.records.pages.live().clone());
        let len = prefault(&world.records, &root, &catalog, &mut world.writer.stage).unwrap();
        world.writer.stage.clear();
        len
    };
    let (one, ten) = (images_len(1), images_len(10));
    assert!(ten > one, "{ten} bytes for ten records, {one} for one");
    assert_eq!(images_len(1), one, "the change before does not count");
}
