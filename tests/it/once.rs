//! Idempotency keys: the same request takes effect once, across restarts; another body is a conflict. BEYOND row 5.

use crate::common::{Dir, companies, quick};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use vellum::{
    Action, Actor, ActorKind, Config, ErrorKind, Json, Key, Mutation, Once, Outcome, Patch, Schema, Store,
    Timestamp, record,
};
use vellum_admin::verify;

fn company(number: i64, name: &str) -> Mutation {
    let values = record! { "country" => "DE", "number" => number, "name" => name, "revenue" => "12.50",
    "listed" => true, "founded" => "2001-02-03" };
    let patch = Patch { set: values, returning: true, ..Patch::default() };
    Mutation { object: "company".into(), action: Action::Create, key: None, patch }
}

fn rename(number: i64, name: &str) -> Mutation {
    let key = Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())]);
    let patch = Patch { set: record! { "name" => name }, ..Patch::default() };
    Mutation { object: "company".into(), action: Action::Update, key: Some(key), patch }
}

fn told(outcomes: &[Outcome]) -> Vec<String> {
    let one = |outcome: &Outcome| {
        let changed: Vec<&str> = outcome.changed().collect();
        format!(
            "{} {} {} {} {changed:?} {:?}",
            outcome.id, outcome.version, outcome.lsn, outcome.created, outcome.record
        )
    };
    outcomes.iter().map(one).collect()
}

/// A clock that the test moves.
fn clocked(clock: &Arc<AtomicI64>) -> Config {
    let clock = clock.clone();
    quick().clock(Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))))
}

#[test]
fn a_request_takes_effect_once_however_often_it_comes() {
    let dir = Dir::new("once");
    let store = quick().create(dir.path(), &companies()).unwrap();
    let ann = store.acting_as(Actor::new(ActorKind::User, "ann"));
    let (once, request) = (Once::new("k1"), [company(1, "a"), company(2, "b"), rename(1, "c")]);
    let first = ann.apply_once(&once, &request).unwrap();
    let (lsn, count) = (store.applied_lsn(), store.object("company").unwrap().count());
    assert_eq!((first.len(), count, first[0].lsn), (3, 2, lsn));
    for _ in 0..3 {
        assert_eq!(told(&store.apply_once(&once, &request).unwrap()), told(&first));
    }
    // A later change does not change the answer.
    store.apply(&rename(2, "later")).unwrap();
    assert_eq!(told(&store.apply_once(&once, &request).unwrap()), told(&first));
    let error = store.apply_once(&once, &request[..1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestConflict);
    drop((ann, store));
    let store = quick().open(dir.path()).unwrap();
    assert_eq!(told(&store.apply_once(&once, &request).unwrap()), told(&first));
    store.checkpoint().unwrap();
    drop(store);
    let store = quick().open(dir.path()).unwrap();
    assert_eq!(told(&store.apply_once(&once, &request).unwrap()), told(&first));
    assert_eq!(store.apply_once(&once, &[]).unwrap_err().kind(), ErrorKind::RequestConflict);
    drop(store);
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.record_count, 2, "keys are not counted");
}

#[test]
fn what_is_refused_stores_no_key_and_what_changes_nothing_stores_one() {
    let dir = Dir::new("once-refused");
    let store = quick().create(dir.path(), &companies()).unwrap();
    store.apply(&company(1, "a")).unwrap();
    let lsn = store.applied_lsn();
    let once = Once::new("k");
    let error = store.apply_once(&once, &[company(2, "b"), company(1, "again")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    assert_eq!(store.applied_lsn(), lsn);
    let unchanged = store.apply_once(&once, &[rename(1, "a")]).unwrap();
    assert!(unchanged[0].is_unchanged());
    assert_eq!(store.apply_once(&once, &[rename(1, "b")]).unwrap_err().kind(), ErrorKind::RequestConflict);
    for key in [String::new(), "k".repeat(256)] {
        assert_eq!(store.apply_once(&Once::new(key), &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_key_that_is_kept_no_longer_is_free_again_and_makes_room() {
    let dir = Dir::new("once-expired");
    let clock = Arc::new(AtomicI64::new(1_700_000_000_000_000_000));
    let store = clocked(&clock).create(dir.path(), &companies()).unwrap();
    let keep = Duration::from_secs(10);
    let request = |store: &Store, key: &str, number: i64| {
        store.apply_once(&Once::new(key).keep_for(keep), &[company(number, "x")])
    };
    request(&store, "k", 1).unwrap();
    assert_eq!(request(&store, "k", 2).unwrap_err().kind(), ErrorKind::RequestConflict);
    clock.fetch_add(10_000_000_000, Ordering::Relaxed);
    request(&store, "k", 2).unwrap();
    assert_eq!(store.object("company").unwrap().count(), 2);
    // A thousand requests, ten of which are kept at a time, take the room of a few.
    for number in 10..1010i64 {
        clock.fetch_add(1_000_000_000, Ordering::Relaxed);
        request(&store, &format!("k{number}"), number).unwrap();
    }
    store.compact().unwrap();
    let kinds = store.stats().unwrap().bytes_by_kind;
    // Outcomes are the only long texts of this store, of several hundred bytes each.
    let heaps: u64 = kinds.iter().filter(|(kind, _)| kind.contains("heap")).map(|(_, len)| *len).sum();
    assert!((1..100_000).contains(&heaps), "{kinds:?}");
    store.checkpoint().unwrap();
    drop(store);
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    let store = clocked(&clock).open(dir.path()).unwrap();
    assert_eq!(store.object("company").unwrap().count(), 1002);
}

#[test]
fn a_request_may_answer_with_a_record_whose_json_is_nested_as_deep_as_can_be() {
    let dir = Dir::new("once-deep");
    let schema = r#"{"objects":[{"key":"o","attributes":[{"key":"json","type":"json"}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let json = Json::parse(&format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap();
    let patch = Patch { set: record! { "json" => json }, returning: true, ..Patch::default() };
    let create = [Mutation { object: "o".into(), action: Action::Create, key: None, patch }];
    let first = store.apply_once(&Once::new("k"), &create).unwrap();
    assert_eq!(told(&store.apply_once(&Once::new("k"), &create).unwrap()), told(&first));
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
}
