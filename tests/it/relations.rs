//! References: found or made on the way, with two sides, and what happens when the record goes that they
//! name.

use crate::crm::{Crm, ids, list, mutation};
use vellum::{
    Absent, Action, ErrorKind, Filter, Key, Link, Mutation, Op, Patch, RecordId, Value, patch, record,
};

fn company(crm: &Crm, domain: &str) -> RecordId {
    crm.make("company", patch! { "domain" => domain, "name" => domain })
}

fn person(crm: &Crm, email: &str) -> RecordId {
    crm.make("person", patch! { "email" => email })
}

fn find(domain: &str, absent: Absent) -> Link {
    Link::Match { object: "company".into(), values: record! { "domain" => domain }, absent }
}

#[test]
fn a_reference_by_id_must_be_to_a_record_that_exists_and_is_allowed() {
    let crm = Crm::new("by-id");
    let (acme, ann) = (company(&crm, "acme.example"), person(&crm, "ann@acme.example"));
    let before = crm.fingerprint();
    let missing = RecordId::from_bytes([7; 16]);
    let set = |value: Value| {
        crm.try_run("person", Action::Update, Some(Key::Id(ann)), patch! { "company" => value })
    };
    let error = set(missing.into()).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::ReferenceNotFound, Some("company")));
    assert_eq!(error.target(), Some(missing.to_string().as_str()));
    let error = set(ann.into()).unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::ReferenceNotAllowed, Some("person")));
    assert_eq!(set("nonsense".into()).unwrap_err().kind(), ErrorKind::InvalidValue);
    assert_eq!(set(5.into()).unwrap_err().kind(), ErrorKind::InvalidValue);
    assert_eq!(crm.fingerprint(), before);
    set(acme.to_string().into()).unwrap();
    assert_eq!(crm.value("person", ann, "company"), Value::Reference(acme));
}

#[test]
fn a_reference_by_match_may_be_null_or_an_error_where_nothing_matches() {
    let crm = Crm::new("by-match");
    let (acme, ann) = (company(&crm, "acme.example"), person(&crm, "ann@acme.example"));
    let set = |domain: &str, absent: Absent| {
        let patch = patch! { "company" => "@it" }.link("it", find(domain, absent));
        crm.try_run("person", Action::Update, Some(Key::Id(ann)), patch)
    };
    set("acme.example", Absent::Error).unwrap();
    assert_eq!(crm.value("person", ann, "company"), Value::Reference(acme));
    let error = set("none.example", Absent::Error).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::ReferenceNotFound, Some("company")));
    assert_eq!(crm.value("person", ann, "company"), Value::Reference(acme));
    set("none.example", Absent::Null).unwrap();
    assert_eq!(crm.value("person", ann, "company"), Value::Null);
    // A link that cannot be looked for is told with its path.
    let link =
        Link::Match { object: "company".into(), values: record! { "name" => "x" }, absent: Absent::Null };
    let patch = patch! { "company" => "@it" }.link("it", link);
    let error = crm.try_run("person", Action::Update, Some(Key::Id(ann)), patch).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::MatchNotUnique, Some("company")));
}

/// An upsert of a person with a company that is made or changed on the way.
fn nested(email: &str, domain: &str, name: &str) -> Mutation {
    let company = mutation(
        "company",
        Action::Upsert,
        Some(Key::from(("domain", domain))),
        Patch::new().on_create("source", "nested").set("name", name),
    );
    let patch = patch! { "company" => "@company" }.link("company", Link::Mutate(Box::new(company)));
    mutation("person", Action::Upsert, Some(Key::from(("email", email))), patch)
}

#[test]
fn a_nested_upsert_makes_its_record_in_the_same_commit() {
    let crm = Crm::new("nested");
    let lsn = crm.store.applied_lsn();
    let first = crm.store.apply(&nested("ann@acme.example", "acme.example", "Acme")).unwrap();
    assert_eq!(first.lsn, lsn.next());
    assert_eq!(first.created_ids().count(), 2);
    let other = &first.others()[0];
    assert!(other.object == "company" && other.created && other.version == 1);
    assert_eq!(crm.value("person", first.id, "company"), Value::Reference(other.id));
    assert_eq!(crm.value("company", other.id, "people"), ids(&[first.id]));
    assert_eq!(crm.value("company", other.id, "source"), Value::from("nested"));
    // The second time both are there; only the name changes.
    let second = crm.store.apply(&nested("ann@acme.example", "acme.example", "Acme Inc")).unwrap();
    assert_eq!((second.id, second.created, second.is_unchanged()), (first.id, false, false));
    assert_eq!(crm.value("company", other.id, "name"), Value::from("Acme Inc"));
    assert_eq!(second.others()[0].version, 2);
    // The third time nothing does.
    let before = crm.fingerprint();
    assert!(crm.store.apply(&nested("ann@acme.example", "acme.example", "Acme Inc")).unwrap().is_unchanged());
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn a_nested_mutation_that_is_refused_takes_the_whole_plan_with_it() {
    let crm = Crm::new("nested-refused");
    company(&crm, "acme.example");
    let before = crm.fingerprint();
    let mut bad = nested("ann@acme.example", "new.example", "New");
    let Some((_, Link::Mutate(inner))) = bad.patch.terms_mut().links.first_mut() else { panic!() };
    inner.patch.set.push(("seats".into(), "x".into()));
    inner.patch.set.push(("colour".into(), "red".into()));
    let error = crm.store.apply(&bad).unwrap_err();
    let paths: Vec<Option<String>> = error.all().iter().map(vellum::Error::path).collect();
    assert_eq!(paths, [Some("company.seats".to_string()), Some("company.colour".to_string())]);
    // A key that the nested record takes from another one: the conflict is told, nothing is made.
    let mut clash = nested("ann@acme.example", "new.example", "New");
    let Some((_, Link::Mutate(inner))) = clash.patch.terms_mut().links.first_mut() else { panic!() };
    inner.patch.set.push(("domain".into(), "acme.example".into()));
    assert_eq!(crm.store.apply(&clash).unwrap_err().kind(), ErrorKind::UniqueConflict);
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn nested_mutations_of_parts_that_do_not_count_are_not_carried_out() {
    let crm = Crm::new("nested-lazy");
    let ann = person(&crm, "ann@acme.example");
    let made =
        mutation("company", Action::Create, None, patch! { "domain" => "new.example", "name" => "New" });
    let patch = Patch::new()
        .on_create("company", "@new")
        .set("name", "Ann")
        .link("new", Link::Mutate(Box::new(made)));
    let outcome = crm.run("person", Action::Upsert, Some(Key::from(("email", "ann@acme.example"))), patch);
    assert_eq!((outcome.id, outcome.others().len()), (ann, 0));
    assert_eq!(crm.store.object("company").unwrap().count(), 0);
}

#[test]
fn a_nested_mutation_may_not_make_the_record_that_is_being_made() {
    let crm = Crm::new("nested-same");
    let id = RecordId::from_bytes([5; 16]);
    let create = |domain: &str, patch: Patch| {
        mutation("company", Action::Create, Some(Key::Id(id)), patch.set("domain", domain).set("name", "n"))
    };
    let inner = create("inner.example", Patch::new());
    let before = crm.fingerprint();
    let outer =
        create("outer.example", patch! { "parent" => "@up" }).patch.link("up", Link::Mutate(Box::new(inner)));
    let error = crm.try_run("company", Action::Create, Some(Key::Id(id)), outer).unwrap_err();
    assert_eq!((error.kind(), error.conflict().unwrap().record), (ErrorKind::UniqueConflict, id));
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn what_is_empty_is_judged_before_a_nested_mutation_changes_the_record() {
    let crm = Crm::new("nested-empty");
    let ann = person(&crm, "ann@x.example");
    // The nested company names Ann as its own, which sets her company; she had none when she was found.
    let company = mutation(
        "company",
        Action::Upsert,
        Some(Key::from(("domain", "acme.example"))),
        patch! { "name" => "Acme", "people" => ids(&[ann]) },
    );
    let other = crate::relations::company(&crm, "other.example");
    let patch = Patch::new()
        .set("friend", "@friend")
        .on_update_if_empty("company", other)
        .link("friend", Link::Mutate(Box::new(befriend(company))));
    let update = mutation("person", Action::Update, Some(Key::Id(ann)), patch);
    let touch = mutation("person", Action::Update, Some(Key::Id(ann)), patch! { "name" => "Ann" });
    // Alone, and behind a mutation that staged her.
    for batch in [vec![update.clone()], vec![touch, update]] {
        crm.update("person", ann, Patch::new().clear("company").clear("name"));
        crm.store.apply_batch(&batch).unwrap();
        assert_eq!(crm.value("person", ann, "company"), Value::Reference(other));
    }
}

/// A person of this company, found by e-mail or made.
fn befriend(company: Mutation) -> Mutation {
    let patch = patch! { "company" => "@it" }.link("it", Link::Mutate(Box::new(company)));
    mutation("person", Action::Upsert, Some(Key::from(("email", "friend@x.example"))), patch)
}

#[test]
fn the_first_of_several_refusals_shows_its_data() {
    let crm = Crm::new("several");
    let acme = company(&crm, "acme.example");
    let clash = mutation(
        "company",
        Action::Create,
        Some(Key::Id(acme)),
        patch! { "domain" => "new.example", "name" => "New" },
    );
    let patch = patch! { "email" => "ann@x.example", "company" => "@it", "colour" => "red" }
        .link("it", Link::Mutate(Box::new(clash)));
    let error = crm.try_run("person", Action::Create, None, patch).unwrap_err();
    assert_eq!((error.kind(), error.all().len()), (ErrorKind::UniqueConflict, 2));
    assert_eq!(error.conflict().unwrap().record, acme);
    assert_eq!(error.path().as_deref(), Some("company.id"));
    let stale = mutation("company", Action::Update, Some(Key::Id(acme)), Patch::new().if_version(7));
    let patch = patch! { "email" => "ann@x.example", "company" => "@it", "colour" => "red" }
        .link("it", Link::Mutate(Box::new(stale)));
    let error = crm.try_run("person", Action::Create, None, patch).unwrap_err();
    assert_eq!((error.kind(), error.current_version()), (ErrorKind::PreconditionFailed, Some(1)));
}

#[test]
fn nesting_is_bounded() {
    let crm = Crm::new("nested-deep");
    let chain = |depth: usize| {
        let mut inner =
            mutation("company", Action::Create, None, patch! { "domain" => "0.example", "name" => "0" });
        for level in 1..=depth {
            let patch = patch! { "domain" => format!("{level}.example"), "name" => "n", "parent" => "@up" }
                .link("up", Link::Mutate(Box::new(inner)));
            inner = mutation("company", Action::Create, None, patch);
        }
        inner
    };
    let before = crm.fingerprint();
    let error = crm.store.apply(&chain(9)).unwrap_err();
    assert_eq!((error.kind(), error.limit()), (ErrorKind::LimitExceeded, Some((8, 9))));
    assert_eq!(crm.fingerprint(), before);
    assert_eq!(crm.store.apply(&chain(8)).unwrap().created_ids().count(), 9);
}

#[test]
fn a_record_may_name_itself_and_a_circle_is_closed_in_one_batch() {
    let crm = Crm::new("circle");
    let own = RecordId::from_bytes([5; 16]);
    let create = patch! { "domain" => "self.example", "name" => "Self", "parent" => own };
    crm.run("company", Action::Create, Some(Key::Id(own)), create);
    let batch = [
        mutation("person", Action::Create, None, patch! { "email" => "a@x.example" }.named("a")),
        mutation(
            "person",
            Action::Create,
            None,
            patch! { "email" => "b@x.example", "friend" => "@a" }.named("b"),
        ),
        mutation("person", Action::Update, Some(Key::Named("a".into())), patch! { "friend" => "@b" }),
    ];
    let outcomes = crm.store.apply_batch(&batch).unwrap();
    assert_eq!(crm.value("person", outcomes[0].id, "friend"), Value::Reference(outcomes[1].id));
    // A cascade goes round once.
    crm.run("company", Action::Delete, Some(Key::Id(own)), Patch::new());
    assert_eq!(crm.get("company", own), None);
}

#[test]
fn writing_one_side_of_a_relation_writes_the_other() {
    let crm = Crm::new("two-sided");
    let (acme, other) = (company(&crm, "acme.example"), company(&crm, "other.example"));
    let (ann, bob) = (person(&crm, "ann@x.example"), person(&crm, "bob@x.example"));
    crm.update("person", ann, patch! { "company" => acme });
    crm.update("person", bob, patch! { "company" => acme });
    assert_eq!(crm.value("company", acme, "people"), ids(&[ann, bob]));
    // From the other side: ann moves, off her old company in the same commit.
    let outcome = crm.update("company", other, patch! { "people" => ids(&[ann]) });
    assert_eq!(crm.value("person", ann, "company"), Value::Reference(other));
    assert_eq!(crm.value("company", acme, "people"), ids(&[bob]));
    let mut touched: Vec<RecordId> = outcome.others().iter().map(|other| other.id).collect();
    touched.sort();
    let mut expected = vec![acme, ann];
    expected.sort();
    assert_eq!(touched, expected);
    // Taken off from the side of many; cleared from the side of one.
    crm.update("company", other, Patch::new().op("people", Op::Remove(vec![ann.into()])));
    assert_eq!(crm.value("person", ann, "company"), Value::Null);
    crm.update("person", bob, Patch::new().clear("company"));
    assert_eq!(crm.value("company", acme, "people"), Value::Null);
    // Linking twice is no error and no change.
    crm.update("person", bob, patch! { "company" => acme });
    let again = crm.update("company", acme, Patch::new().op("people", Op::Add(vec![bob.into()])));
    assert!(again.is_unchanged());
    let crm = crm.reopen();
    assert_eq!(crm.value("company", acme, "people"), ids(&[bob]));
}

#[test]
fn a_relation_of_one_to_one_moves_both_old_partners() {
    let crm = Crm::new("one-to-one");
    let badge = |number: i64| crm.make("badge", patch! { "number" => number });
    let (one, two) = (badge(1), badge(2));
    let (ann, bob) = (person(&crm, "ann@x.example"), person(&crm, "bob@x.example"));
    crm.update("person", ann, patch! { "badge" => one });
    crm.update("badge", two, patch! { "holder" => bob });
    // Bob takes Ann's badge: Ann has none, and Bob's old one has no holder.
    crm.update("person", bob, patch! { "badge" => one });
    assert_eq!(crm.value("person", ann, "badge"), Value::Null);
    assert_eq!(crm.value("badge", two, "holder"), Value::Null);
    assert_eq!(crm.value("badge", one, "holder"), Value::Reference(bob));
    // A create takes it as well, and a swap works in one transaction.
    let eve = crm.make("person", patch! { "email" => "eve@x.example", "badge" => one });
    assert_eq!(
        (crm.value("person", bob, "badge"), crm.value("badge", one, "holder")),
        (Value::Null, eve.into())
    );
    crm.update("person", bob, patch! { "badge" => two });
    let swap = [
        mutation("person", Action::Update, Some(Key::Id(eve)), patch! { "badge" => two }),
        mutation("person", Action::Update, Some(Key::Id(bob)), patch! { "badge" => one }),
    ];
    crm.store.apply_batch(&swap).unwrap();
    assert_eq!(
        (crm.value("badge", one, "holder"), crm.value("badge", two, "holder")),
        (bob.into(), eve.into())
    );
    assert_eq!(
        (crm.value("person", bob, "badge"), crm.value("person", eve, "badge")),
        (one.into(), two.into())
    );
}

#[test]
fn a_delete_clears_references_by_default() {
    let crm = Crm::new("clear");
    let acme = company(&crm, "acme.example");
    let people: Vec<RecordId> = (0..3).map(|n| person(&crm, &format!("p{n}@x.example"))).collect();
    for id in &people {
        crm.update("person", *id, patch! { "company" => acme, "friend" => people[0] });
    }
    let outcome = crm.run("company", Action::Delete, Some(Key::Id(acme)), Patch::new());
    assert_eq!(outcome.others().len(), 3);
    // A reference with one side is found too, also one that this very transaction wrote.
    let batch = [
        mutation(
            "person",
            Action::Create,
            None,
            patch! { "email" => "new@x.example", "friend" => people[0] },
        ),
        mutation("person", Action::Delete, Some(Key::Id(people[0])), Patch::new()),
    ];
    let outcomes = crm.store.apply_batch(&batch).unwrap();
    for id in [people[1], people[2], outcomes[0].id] {
        let record = crm.get("person", id).unwrap();
        assert_eq!((record.get("company"), record.get("friend")), (None, None));
    }
}

#[test]
fn a_restricted_delete_is_judged_at_the_end_of_the_transaction() {
    let crm = Crm::new("restrict");
    let (acme, ann) = (company(&crm, "acme.example"), person(&crm, "ann@x.example"));
    crm.update("company", acme, patch! { "keeper" => ann });
    let before = crm.fingerprint();
    let delete = mutation("person", Action::Delete, Some(Key::Id(ann)), Patch::new());
    let error = crm.store.apply(&delete).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::ReferenceRestricted, Some("keeper")));
    assert_eq!((error.records(), error.target()), (&[acme][..], Some(ann.to_string().as_str())));
    assert_eq!(
        crm.store.dry_run(std::slice::from_ref(&delete)).unwrap_err().kind(),
        ErrorKind::ReferenceRestricted
    );
    assert_eq!(crm.fingerprint(), before);
    // In any order: the reference goes, or the record with it does.
    let clear = mutation("company", Action::Update, Some(Key::Id(acme)), Patch::new().clear("keeper"));
    crm.store.apply_batch(&[delete, clear]).unwrap();
    assert_eq!((crm.get("person", ann), crm.value("company", acme, "keeper")), (None, Value::Null));
    let bob = person(&crm, "bob@x.example");
    crm.update("company", acme, patch! { "keeper" => bob });
    let both = [
        mutation("person", Action::Delete, Some(Key::Id(bob)), Patch::new()),
        mutation("company", Action::Delete, Some(Key::Id(acme)), Patch::new()),
    ];
    crm.store.apply_batch(&both).unwrap();
    assert_eq!(crm.store.object("company").unwrap().count(), 0);
}

#[test]
fn a_cascade_takes_everything_below_along_and_stops_at_a_restriction() {
    let crm = Crm::new("cascade");
    let top = company(&crm, "top.example");
    let child = |domain: &str, parent: RecordId| {
        crm.make("company", patch! { "domain" => domain, "name" => domain, "parent" => parent })
    };
    let (left, right) = (child("l.example", top), child("r.example", top));
    let leaf = child("ll.example", left);
    let ann = crm.make("person", patch! { "email" => "ann@x.example", "company" => leaf });
    let outcome = crm.run("company", Action::Delete, Some(Key::Id(left)), Patch::new());
    assert_eq!(outcome.others().iter().filter(|other| other.deleted).count(), 1);
    assert_eq!((crm.get("company", leaf), crm.value("person", ann, "company")), (None, Value::Null));
    assert!(crm.get("company", right).is_some());
    // The keys of what went are free again.
    child("ll.example", right);
    let crm = crm.reopen();
    crm.run("company", Action::Delete, Some(Key::Id(top)), Patch::new());
    assert_eq!(crm.store.object("company").unwrap().count(), 0);
}

#[test]
fn a_relation_holds_many_and_their_order() {
    let crm = Crm::new("many");
    let acme = company(&crm, "acme.example");
    let people: Vec<RecordId> = (0..50).map(|n| person(&crm, &format!("p{n}@x.example"))).collect();
    crm.update("company", acme, patch! { "people" => ids(&people) });
    crm.update("company", acme, Patch::new().op("people", Op::Prepend(vec![people[49].into()])));
    let mut expected = vec![people[49]];
    expected.extend(&people[..49]);
    assert_eq!(crm.value("company", acme, "people"), ids(&expected));
    for id in &people {
        assert_eq!(crm.value("person", *id, "company"), Value::Reference(acme));
    }
}

#[test]
fn what_is_wrong_with_a_reference_is_dropped_under_ignore_invalid() {
    let crm = Crm::new("ignore-links");
    let ann = person(&crm, "ann@x.example");
    let patch = patch! { "name" => "Ann", "company" => "@it", "friend" => RecordId::from_bytes([9; 16]) }
        .link("it", find("none.example", Absent::Error))
        .ignore_invalid();
    let outcome = crm.update("person", ann, patch);
    let kinds: Vec<ErrorKind> = outcome.dropped().iter().map(vellum::Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::ReferenceNotFound, ErrorKind::ReferenceNotFound]);
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["name"]);
}

#[test]
fn terms_beside_plain_values_see_one_record() {
    // A condition, an op on a relation and a plain value in one update of the record by its key.
    let crm = Crm::new("beside");
    let (acme, ann) = (company(&crm, "acme.example"), person(&crm, "ann@x.example"));
    let patch = patch! { "status" => "active", "notes" => list(&["n"]) }
        .op("people", Op::Add(vec![ann.into()]))
        .only_if(Filter::eq("status", Value::Null))
        .before();
    let outcome = crm.run("company", Action::Update, Some(Key::from(("domain", "acme.example"))), patch);
    assert_eq!(outcome.id, acme);
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["status", "notes", "people"]);
    assert_eq!(outcome.before().len(), 3);
    assert_eq!(crm.value("person", ann, "company"), Value::Reference(acme));
}
