//! Checks look at the end state of a transaction: what other stores refuse too eagerly works here, in a
//! closure and as a batch.

use crate::common::{Dir, create, quick};
use vellum::{Action, ErrorKind, Key, Mutation, Patch, RecordId, Store, Value, patch, record};

fn mutation(action: Action, key: impl Into<Option<Key>>, patch: Patch) -> Mutation {
    Mutation { object: "company".into(), action, key: key.into(), patch }
}

fn made(number: i64, domain: &str) -> Patch {
    patch! { "country" => "DE", "number" => number, "domain" => domain, "name" => format!("the company of {domain}") }
}

fn id(store: &Store, number: i64, domain: &str) -> RecordId {
    store.apply(&mutation(Action::Create, None, made(number, domain))).unwrap().id
}

fn domain(store: &Store, of: RecordId) -> Option<String> {
    let found = store.object("company").unwrap().get(of).unwrap()?;
    found.get("domain").map(ToString::to_string)
}

/// Who has this domain, by the index.
fn holder(store: &Store, domain: &str) -> Option<RecordId> {
    store.object("company").unwrap().get(("domain", domain)).unwrap().map(|record| record.id)
}

/// Runs a test with a batch, then with a closure; and looks at the end again after a reopening.
fn both_ways(name: &str, mutations: impl Fn(&Store) -> Vec<Mutation>, check: impl Fn(&Store)) {
    for closure in [false, true] {
        let dir = Dir::new(name);
        let store = create(&dir);
        let mutations = mutations(&store);
        match closure {
            true => {
                store.transaction(|txn| mutations.iter().try_for_each(|m| txn.apply(m).map(drop))).unwrap()
            }
            false => drop(store.apply_batch(&mutations).unwrap()),
        }
        check(&store);
        store.close().unwrap();
        check(&quick().open(dir.path()).unwrap());
    }
}

#[test]
fn a_deleted_key_can_be_created_again_in_the_same_transaction() {
    both_ways(
        "again",
        |store| {
            let old = id(store, 1, "a.example");
            vec![
                mutation(Action::Delete, Key::Id(old), Patch::new()),
                mutation(Action::Create, None, made(1, "a.example").set("score", 7.0)),
            ]
        },
        |store| {
            assert_eq!(store.object("company").unwrap().count(), 1);
            let new = store.object("company").unwrap().get(("domain", "a.example")).unwrap().unwrap();
            assert_eq!((new.get("score"), new.version, new.counter), (Some(&Value::Number(7.0)), 1, 2));
        },
    );
}

#[test]
fn a_deleted_id_can_be_created_again_and_its_version_goes_on() {
    let given = RecordId::from_bytes([9; 16]);
    both_ways(
        "same-id",
        |store| {
            store.apply(&mutation(Action::Create, Key::Id(given), made(1, "a.example"))).unwrap();
            vec![
                mutation(Action::Delete, Key::Id(given), Patch::new()),
                mutation(Action::Create, Key::Id(given), made(1, "a.example")),
            ]
        },
        |store| {
            let found = store.object("company").unwrap().get(given).unwrap().unwrap();
            assert!(found.version > 2, "{}", found.version);
            assert_eq!(holder(store, "a.example"), Some(given));
        },
    );
}

#[test]
fn the_values_of_keys_written_again_are_no_conflict_and_no_change() {
    let dir = Dir::new("unchanged");
    let store = create(&dir);
    let first = id(&store, 1, "a.example");
    let before = store.object("company").unwrap().get(first).unwrap().unwrap();
    let lsn = store.applied_lsn();
    for action in [Action::Update, Action::Upsert] {
        let again = mutation(action, Key::Id(first), made(1, "a.example"));
        let outcome = store.apply(&again).unwrap();
        assert!(outcome.is_unchanged());
        store.apply_batch(&[again.clone(), again.clone()]).unwrap();
        store.transaction(|txn| txn.apply(&again)).unwrap();
    }
    assert_eq!(store.applied_lsn(), lsn);
    assert_eq!(store.object("company").unwrap().get(first).unwrap().unwrap(), before);
    // With a real change beside it, the key stays where it is.
    store.apply(&mutation(Action::Update, Key::Id(first), made(1, "a.example").set("score", 1.0))).unwrap();
    assert_eq!(holder(&store, "a.example"), Some(first));
}

#[test]
fn two_records_swap_a_key() {
    both_ways(
        "swap",
        |store| {
            let (a, b) = (id(store, 1, "a.example"), id(store, 2, "b.example"));
            vec![
                mutation(Action::Update, Key::Id(a), patch! { "domain" => "b.example", "score" => 1.0 }),
                mutation(Action::Update, Key::Id(b), patch! { "domain" => "a.example", "score" => 2.0 }),
            ]
        },
        |store| {
            let companies = store.object("company").unwrap();
            let number =
                |domain: &str| companies.get(("domain", domain)).unwrap().unwrap().get("number").cloned();
            assert_eq!(number("a.example"), Some(Value::Integer(2)));
            assert_eq!(number("b.example"), Some(Value::Integer(1)));
        },
    );
}

#[test]
fn a_composite_primary_key_goes_round_three_records() {
    both_ways(
        "round",
        |store| {
            let ids: Vec<_> = (0..3).map(|n| id(store, n, &format!("{n}.example"))).collect();
            let turn = |n: usize| {
                mutation(Action::Update, Key::Id(ids[n]), patch! { "number" => (n as i64 + 1) % 3 })
            };
            (0..3).map(turn).collect()
        },
        |store| {
            for n in 0..3i64 {
                let key = vec![("number".into(), n.into()), ("country".into(), "DE".into())];
                let found = store.object("company").unwrap().get(key).unwrap().unwrap();
                assert_eq!(found.get("domain"), Some(&Value::from(format!("{}.example", (n + 2) % 3))));
            }
        },
    );
}

#[test]
fn a_key_is_handed_on_in_any_order_of_the_mutations() {
    // The taker comes first, when the giver still has it.
    both_ways(
        "handed-on",
        |store| {
            let giver = id(store, 1, "a.example");
            vec![
                mutation(Action::Create, None, made(2, "a.example")),
                mutation(Action::Update, Key::Id(giver), Patch::new().clear("domain")),
            ]
        },
        |store| {
            let found = store.object("company").unwrap().get(("domain", "a.example")).unwrap().unwrap();
            assert_eq!(found.get("number"), Some(&Value::Integer(2)));
            assert_eq!(store.object("company").unwrap().count(), 2);
        },
    );
}

#[test]
fn a_record_made_and_removed_leaves_nothing() {
    let dir = Dir::new("gone");
    let store = create(&dir);
    let (lsn, stays) = (store.applied_lsn(), made(1, "a.example"));
    let gone = Key::Attributes(record! { "domain" => "a.example" });
    let mutations = [mutation(Action::Create, None, stays), mutation(Action::Delete, gone, Patch::new())];
    store.apply_batch(&mutations).unwrap();
    assert_eq!((store.applied_lsn(), store.object("company").unwrap().count()), (lsn, 0));
    // It used up no number.
    id(&store, 1, "a.example");
    assert_eq!(store.object("company").unwrap().get(("domain", "a.example")).unwrap().unwrap().counter, 1);
}

#[test]
fn a_duplicate_at_the_end_is_refused_whole() {
    let dir = Dir::new("whole");
    let store = create(&dir);
    let (a, b) = (id(&store, 1, "a.example"), id(&store, 2, "b.example"));
    let lsn = store.applied_lsn();
    let mutations = [
        mutation(Action::Update, Key::Id(a), patch! { "score" => 5.0, "name" => "other" }),
        mutation(Action::Delete, Key::Id(b), Patch::new()),
        mutation(Action::Create, None, made(3, "c.example")),
        mutation(Action::Create, None, made(4, "c.example")),
    ];
    let error = store.apply_batch(&mutations).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    assert_eq!(error.conflict().unwrap().attributes, ["domain"]);
    let error =
        store.transaction(|txn| mutations.iter().try_for_each(|m| txn.apply(m).map(drop))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    assert_eq!((store.applied_lsn(), domain(&store, b)), (lsn, Some("b.example".to_string())));
    let found = store.object("company").unwrap().get(a).unwrap().unwrap();
    assert_eq!((found.version, found.get("score")), (1, None));
    assert_eq!(holder(&store, "c.example"), None);
}

#[test]
fn records_are_made_again_after_an_attribute_was_added() {
    let dir = Dir::new("added");
    let store = create(&dir);
    let old = id(&store, 1, "a.example");
    store.add_attribute("company", r#"{"key":"motto","type":"text"}"#).unwrap();
    store
        .apply_batch(&[
            mutation(Action::Delete, Key::Id(old), Patch::new()),
            mutation(Action::Create, Key::Id(old), made(1, "a.example").set("motto", "again")),
        ])
        .unwrap();
    let found = store.object("company").unwrap().get(("domain", "a.example")).unwrap().unwrap();
    assert_eq!((found.id, found.get("motto")), (old, Some(&Value::from("again"))));
}

#[test]
fn a_key_that_two_staged_records_had_finds_the_one_that_has_it_still() {
    // The second one takes the key and gives it up again; the first one must be found by it.
    let dir = Dir::new("claims");
    let store = create(&dir);
    let second = id(&store, 2, "b.example");
    store
        .transaction(|txn| {
            txn.apply(&mutation(Action::Create, None, made(1, "k.example")))?;
            txn.update("company", second, patch! { "domain" => "k.example" })?;
            txn.update("company", second, patch! { "domain" => "c.example" })?;
            txn.update("company", ("domain", "k.example"), patch! { "score" => 3.0 })
        })
        .unwrap();
    let found = store.object("company").unwrap().get(("domain", "k.example")).unwrap().unwrap();
    assert_eq!(
        (found.get("number"), found.get("score")),
        (Some(&Value::Integer(1)), Some(&Value::Number(3.0)))
    );
}
