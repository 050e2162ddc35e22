//! Actors: who commits is on every record that the commit made or changed, whatever happens to the store.

use crate::common::{Dir, companies, create, quick};
use vellum::{Actor, ActorKind, Config, Key, Record, RecordId, Store, patch, record};
use vellum_admin::{Repair, verify};

fn user(id: &str) -> Actor {
    Actor::new(ActorKind::User, id)
}

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

fn who(record: &Record) -> (Option<String>, Option<String>) {
    let name = |actor: Option<&Actor>| actor.map(ToString::to_string);
    (name(record.created_by()), name(record.updated_by()))
}

fn by(created: &str, updated: &str) -> (Option<String>, Option<String>) {
    let name = |text: &str| (!text.is_empty()).then(|| text.to_string());
    (name(created), name(updated))
}

/// A record, and who made and who changed it.
type Signed = (RecordId, (Option<String>, Option<String>));

/// Four companies: alice's, alice's that an app changed, nobody's, and one that the system took over.
fn fill(store: &Store) -> Vec<Signed> {
    let make = |store: &Store, number: i64| {
        let made = store.object("company").unwrap();
        made.create(record! { "country" => "DE", "number" => number }).unwrap().id
    };
    let alice = store.acting_as(user("alice"));
    let (first, second, third, fourth) = (make(&alice, 1), make(&alice, 2), make(store, 3), make(store, 4));
    let app = store.acting_as(Actor::new(ActorKind::App, "importer"));
    app.object("company").unwrap().update(key(2), patch! { "score" => 2.0 }).unwrap();
    let system = store.acting_as(Actor::new(ActorKind::System, ""));
    system.transaction(|txn| txn.update("company", key(4), patch! { "score" => 4.0 })).unwrap();
    vec![
        (first, by("user:alice", "user:alice")),
        (second, by("user:alice", "app:importer")),
        (third, by("", "")),
        (fourth, by("", "system:")),
    ]
}

fn check(store: &Store, expected: &[Signed]) {
    let (companies, snapshot) = (store.object("company").unwrap(), store.snapshot().unwrap());
    for (id, names) in expected {
        assert_eq!(&who(&companies.get(id).unwrap().unwrap()), names);
        assert_eq!(&who(&snapshot.get("company", id).unwrap().unwrap()), names);
        let listed = snapshot.iter("company").unwrap().map(Result::unwrap).find(|record| record.id == *id);
        assert_eq!(&who(&listed.unwrap()), names);
    }
    assert_eq!(snapshot.count("company").unwrap(), expected.len() as u64);
}

#[test]
fn a_record_names_who_made_and_who_changed_it_through_log_checkpoint_and_backup() {
    let (dir, copy) = (Dir::new("actors"), Dir::new("actors-copy"));
    let store = create(&dir);
    let expected = fill(&store);
    check(&store, &expected);
    drop(store);
    let store = quick().open(dir.path()).unwrap();
    check(&store, &expected);
    store.checkpoint().unwrap();
    store.compact().unwrap();
    drop(store);
    let store = quick().open(dir.path()).unwrap();
    check(&store, &expected);
    vellum_admin::backup(&store, copy.path()).unwrap();
    drop(store);
    check(&Config::new().read_only(true).open(copy.path()).unwrap(), &expected);
    for dir in [&dir, &copy] {
        let report = verify(dir.path()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        // Actors are records of the engine's own and are not counted.
        assert_eq!(report.record_count, expected.len() as u64);
    }
}

#[test]
fn a_salvaged_store_has_the_same_actors() {
    let (dir, into) = (Dir::new("actors-repair"), Dir::new("actors-repaired"));
    let store = create(&dir);
    let expected = fill(&store);
    store.checkpoint().unwrap();
    drop(store);
    let report = Repair::new().run(dir.path(), into.path()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.record_count, expected.len() as u64);
    let store = quick().open(into.path()).unwrap();
    check(&store, &expected);
    // Whoever comes next gets a number of his own.
    let bob = store.acting_as(user("bob")).object("company").unwrap();
    let id = bob.create(record! { "country" => "DE", "number" => 5 }).unwrap().id;
    assert_eq!(who(&bob.get(id).unwrap().unwrap()), by("user:bob", "user:bob"));
}

#[test]
fn an_actor_is_stored_once_and_a_refused_commit_stores_none() {
    let dir = Dir::new("actors-once");
    let store = create(&dir);
    let log_len = |store: &Store| store.stats().unwrap().log_since_checkpoint;
    let carol = store.acting_as(user("carol")).object("company").unwrap();
    let made = carol.create(record! { "country" => "DE", "number" => 1 }).unwrap();
    let before = log_len(&store);
    carol.update(made.id, patch! { "score" => 1.0 }).unwrap();
    let (first, before) = (log_len(&store) - before, log_len(&store));
    carol.update(made.id, patch! { "score" => 2.0 }).unwrap();
    assert_eq!(log_len(&store) - before, first, "the second change of an actor costs what the first did");
    // What changes nothing, or is refused, makes nobody known.
    let dave = store.acting_as(user("dave")).object("company").unwrap();
    let before = (log_len(&store), store.applied_lsn());
    dave.update(made.id, patch! { "score" => 2.0 }).unwrap();
    dave.create(record! { "country" => "DE", "number" => 1 }).unwrap_err();
    assert_eq!((log_len(&store), store.applied_lsn()), before);
    // An actor whose id is none is refused, and so is what it asked for.
    let nobody = store.acting_as(user("")).object("company").unwrap();
    nobody.create(record! { "country" => "DE", "number" => 2 }).unwrap_err();
    assert_eq!(store.object("company").unwrap().count(), 1);
}

#[test]
fn what_a_mutation_returns_names_the_one_who_made_it() {
    let dir = Dir::new("actors-outcome");
    let store = quick().create(dir.path(), &companies()).unwrap();
    let erin = store.acting_as(user("erin")).object("company").unwrap();
    let values = patch! { "country" => "DE", "number" => 7 };
    let made = erin.upsert(key(7), values.returning()).unwrap().record.unwrap();
    assert_eq!(who(&made), by("user:erin", "user:erin"));
    let frank = store.acting_as(user("frank")).object("company").unwrap();
    let changed = frank.update(key(7), patch! { "score" => 7.0 }.returning()).unwrap().record.unwrap();
    assert_eq!(who(&changed), by("user:erin", "user:frank"));
    let stored = frank.get(key(7)).unwrap().unwrap();
    assert_eq!(who(&stored), who(&changed));
}
