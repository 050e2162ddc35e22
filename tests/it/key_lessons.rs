//! Unique keys where other stores are over-eager (USERS.md, 2.7), with keys of several values and with plans:
//! what counts is the state that the whole transaction leaves. The plain cases are in `end_state`.

use crate::crm::{Crm, list, mutation, texts};
use vellum::{Action, ErrorKind, Key, Op, Patch, RecordId, Value, patch};

fn with_aliases(crm: &Crm, domain: &str, aliases: &[&str]) -> RecordId {
    crm.make("company", patch! { "domain" => domain, "name" => domain, "aliases" => list(aliases) })
}

fn holder(crm: &Crm, alias: &str) -> Option<RecordId> {
    crm.store.object("company").unwrap().get(("aliases", alias)).unwrap().map(|record| record.id)
}

fn update(id: RecordId, patch: Patch) -> vellum::Mutation {
    mutation("company", Action::Update, Some(Key::Id(id)), patch)
}

#[test]
fn multi_valued_unique_each_value_is_a_key_of_its_own() {
    let crm = Crm::new("lesson-multi");
    let (a, b) = (
        with_aliases(&crm, "a.example", &["1.example", "2.example"]),
        with_aliases(&crm, "b.example", &["3.example"]),
    );
    for (alias, id) in [("1.example", a), ("2.example", a), ("3.example", b)] {
        assert_eq!(holder(&crm, alias), Some(id));
    }
    let error =
        crm.store.apply(&update(b, Patch::new().op("aliases", Op::Add(texts(&["2.EXAMPLE"]))))).unwrap_err();
    assert_eq!((error.kind(), error.conflict().unwrap().record), (ErrorKind::UniqueConflict, a));
    // A value that goes is free at once; the others stay taken.
    crm.update("company", a, Patch::new().op("aliases", Op::Remove(texts(&["2.example"]))));
    crm.update("company", b, Patch::new().op("aliases", Op::Add(texts(&["2.example"]))));
    assert_eq!([holder(&crm, "1.example"), holder(&crm, "2.example")], [Some(a), Some(b)]);
    let crm = crm.reopen();
    assert_eq!([holder(&crm, "2.example"), holder(&crm, "3.example")], [Some(b), Some(b)]);
    crm.run("company", Action::Delete, Some(Key::Id(b)), Patch::new());
    assert_eq!(holder(&crm, "3.example"), None);
}

#[test]
fn key_swap_of_values_among_several() {
    let crm = Crm::new("lesson-swap");
    let (a, b) = (
        with_aliases(&crm, "a.example", &["1.example", "x.example"]),
        with_aliases(&crm, "b.example", &["2.example"]),
    );
    let swap = |gone: &str, new: &str| {
        Patch::new().op("aliases", Op::Remove(texts(&[gone]))).op("aliases", Op::Add(texts(&[new])))
    };
    crm.store
        .apply_batch(&[update(a, swap("1.example", "2.example")), update(b, swap("2.example", "1.example"))])
        .unwrap();
    assert_eq!(
        [holder(&crm, "2.example"), holder(&crm, "1.example"), holder(&crm, "x.example")],
        [Some(a), Some(b), Some(a)]
    );
}

#[test]
fn delete_then_create_with_every_kind_of_key() {
    let crm = Crm::new("lesson-again");
    let old = crm.make(
        "company",
        patch! { "domain" => "a.example", "name" => "A", "code" => "C", "aliases" => list(&["1.example"]) },
    );
    let outcomes = crm
        .store
        .apply_batch(&[
            mutation("company", Action::Delete, Some(Key::Id(old)), Patch::new()),
            mutation(
                "company",
                Action::Upsert,
                Some(Key::from(("aliases", list(&["1.example", "9.example"])))),
                patch! { "domain" => "a.example", "name" => "A", "code" => "C" },
            ),
        ])
        .unwrap();
    assert!(outcomes[1].created && outcomes[1].id != old);
    assert_eq!([holder(&crm, "1.example"), holder(&crm, "9.example")], [Some(outcomes[1].id); 2]);
}

#[test]
fn value_unchanged_update_of_every_key() {
    let crm = Crm::new("lesson-same");
    let values =
        || patch! { "domain" => "a.example", "code" => "C", "aliases" => list(&["1.example", "2.example"]) };
    let id = crm.make("company", values().set("name", "A"));
    let before = crm.fingerprint();
    assert!(crm.update("company", id, values()).is_unchanged());
    assert!(crm.update("company", id, values().op("aliases", Op::Add(texts(&["1.example"])))).is_unchanged());
    assert_eq!(crm.fingerprint(), before);
    // Beside a real change too; and another form of the same key is a change of the value, not of the key.
    crm.update("company", id, values().set("score", 2.0));
    let outcome = crm.update("company", id, patch! { "aliases" => list(&["1.Example", "2.example"]) });
    assert_eq!((outcome.version, holder(&crm, "1.example")), (3, Some(id)));
}

#[test]
fn add_attribute_then_create_with_a_key_that_was_freed() {
    let crm = Crm::new("lesson-added");
    let old = with_aliases(&crm, "a.example", &["1.example"]);
    crm.store.add_attribute("company", r#"{"key":"motto","type":"text"}"#).unwrap();
    crm.run("company", Action::Delete, Some(Key::Id(old)), Patch::new());
    let new = crm.make("company", patch! { "domain" => "a.example", "name" => "A", "aliases" => list(&["1.example"]), "motto" => "again" });
    assert_eq!(
        (holder(&crm, "1.example"), crm.value("company", new, "motto")),
        (Some(new), Value::from("again"))
    );
}

#[test]
fn two_new_records_of_one_batch_with_the_same_key_are_refused_whole() {
    let crm = Crm::new("lesson-twice");
    let before = crm.fingerprint();
    let create = |domain: &str| {
        mutation(
            "company",
            Action::Create,
            None,
            patch! { "domain" => domain, "name" => "N", "aliases" => list(&["same.example"]) },
        )
    };
    let error = crm.store.apply_batch(&[create("a.example"), create("b.example")]).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::UniqueConflict, Some(1)));
    assert_eq!(crm.fingerprint(), before);
}
