//! Commits that are polled, waited for and made by many threads; readers beside them.

use crate::common::{Dir, companies, create, quick};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use vellum::{
    Action, Commit, Config, Durability, ErrorKind, Key, Mutation, Patch, Store, Value, patch, record,
};

struct Unpark {
    thread: Thread,
    count: AtomicU64,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

fn creation(number: i64) -> Mutation {
    let patch = patch! { "country" => "DE", "number" => number, "score" => 0.0, "domain" => format!("{number}.example") };
    Mutation { object: "company".into(), action: Action::Create, key: None, patch }
}

/// Polls until all are ready, on this thread, without a runtime.
fn poll_all(mut commits: Vec<Commit>) -> u64 {
    let unpark = Arc::new(Unpark { thread: std::thread::current(), count: AtomicU64::new(0) });
    let waker = Waker::from(unpark.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        commits.retain_mut(|commit| match Pin::new(commit).poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                result.unwrap();
                false
            }
        });
        if commits.is_empty() {
            return unpark.count.load(Ordering::Relaxed);
        }
        std::thread::park();
    }
}

#[test]
fn a_thousand_commits_are_polled_on_one_thread_without_a_runtime() {
    let dir = Dir::new("polled");
    let store = Config::new().create(dir.path(), &companies()).unwrap();
    let commits: Vec<Commit> = (0..1000).map(|n| store.submit(&creation(n)).unwrap().1).collect();
    let last = commits.iter().map(Commit::lsn).max().unwrap();
    poll_all(commits);
    assert!(store.durable_lsn() >= last);
    assert_eq!(store.object("company").unwrap().count(), 1000);
}

#[test]
fn commits_of_a_buffered_or_interval_store_are_ready_and_can_be_waited_for_all_the_same() {
    for durability in [Durability::Buffered, Durability::Interval(10)] {
        let dir = Dir::new("relaxed");
        let store = Config::new().durability(durability).create(dir.path(), &companies()).unwrap();
        let commits: Vec<Commit> = (0..100).map(|n| store.submit(&creation(n)).unwrap().1).collect();
        let last = commits[99].clone();
        assert_eq!(poll_all(commits), 0, "nobody had to be woken");
        last.wait().unwrap();
        last.wait_for(Durability::Sync).unwrap();
        assert!(store.durable_lsn() >= last.lsn());
    }
}

#[test]
fn each_commit_chooses_its_own_durability() {
    let dir = Dir::new("per-commit");
    let store = create(&dir);
    let (_, commit) = store.submit(&creation(1)).unwrap();
    commit.wait_for(Durability::Buffered).unwrap();
    assert!(store.durable_lsn() < commit.lsn());
    commit.wait_for(Durability::Sync).unwrap();
    assert!(store.durable_lsn() >= commit.lsn());
    let (_, commit) = store.submit(&creation(2)).unwrap();
    commit.wait_for(Durability::Interval(1)).unwrap();
    store.wait_durable(commit.lsn()).unwrap();
}

#[test]
fn a_commit_that_is_dropped_is_made_all_the_same() {
    let dir = Dir::new("dropped");
    let store = create(&dir);
    drop(store.submit(&creation(1)).unwrap());
    store.close().unwrap();
    assert_eq!(quick().open(dir.path()).unwrap().object("company").unwrap().count(), 1);
}

#[test]
fn eight_threads_lose_no_update() {
    // Each thread adds to the same few records, once in a transaction and once under `if_version`.
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 150;
    let dir = Dir::new("threads");
    let store = create(&dir);
    (0..4).for_each(|n| drop(store.apply(&creation(n)).unwrap()));
    let add = |store: &Store, round: u64| {
        let key = key(round as i64 % 4);
        store.transaction(|txn| {
            let found = txn.get("company", &key)?.expect("created above");
            let Some(Value::Number(score)) = found.get("score") else { panic!("no score") };
            txn.update("company", &key, patch! { "score" => score + 1.0 })
        })
    };
    let add_by_version = |store: &Store, round: u64| {
        let (companies, key) = (store.object("company").unwrap(), key(round as i64 % 4));
        loop {
            let found = companies.get(&key).unwrap().unwrap();
            let Some(Value::Number(score)) = found.get("score") else { panic!("no score") };
            let patch = Patch::new().set("score", score + 1.0).if_version(found.version);
            match companies.update(&key, patch) {
                Ok(_) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    match (thread + round) % 2 {
                        0 => drop(add(store, round).unwrap()),
                        _ => add_by_version(store, round),
                    }
                }
            });
        }
        for _ in 0..5 {
            store.checkpoint().unwrap();
        }
    });
    let check = |store: &Store| {
        let companies = store.object("company").unwrap();
        let (mut total, mut versions) = (0.0, 0);
        for n in 0..4 {
            let found = companies.get(key(n)).unwrap().unwrap();
            let Some(Value::Number(score)) = found.get("score") else { panic!("no score") };
            total += score;
            versions += found.version - 1;
            assert_eq!(*score, (found.version - 1) as f64);
        }
        assert_eq!((total as u64, versions), (THREADS * ROUNDS, THREADS * ROUNDS));
    };
    check(&store);
    store.close().unwrap();
    check(&quick().open(dir.path()).unwrap());
}

#[test]
fn every_commit_of_many_threads_has_a_number_of_its_own() {
    let dir = Dir::new("numbers");
    let store = Config::new().create(dir.path(), &companies()).unwrap();
    let first = store.applied_lsn();
    let lsns: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    (0..25)
                        .map(|n| store.apply(&creation(thread * 100 + n)).unwrap().lsn.0)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u64> = lsns.iter().copied().collect();
    assert_eq!(distinct, (first.0 + 1..=first.0 + 200).collect());
    assert!(store.durable_lsn().0 >= first.0 + 200);
}

#[test]
fn readers_never_see_half_a_patch_or_miss_a_key_that_every_state_has() {
    // One thread swaps the domains of two companies, which both states have, and writes two attributes
    // that are always alike, while the index splits beside it.
    const SWAPS: i64 = 1500;
    let dir = Dir::new("readers");
    let store = create(&dir);
    let ids: Vec<_> = (0..2).map(|n| store.apply(&creation(n)).unwrap().id).collect();
    let done = AtomicBool::new(false);
    let update = |id, set| Mutation {
        object: "company".into(),
        action: Action::Update,
        key: Some(Key::Id(id)),
        patch: Patch { set, ..Patch::default() },
    };
    let read = || {
        let companies = store.object("company").unwrap();
        let mut reads = 0u64;
        while !done.load(Ordering::Relaxed) || reads < 100 {
            for domain in ["0.example", "1.example"] {
                let found = companies.get(("domain", domain)).unwrap();
                let found = found.unwrap_or_else(|| panic!("{domain} is missing"));
                assert_eq!(found.get("domain"), Some(&Value::from(domain)));
                assert_eq!(found.get("name"), found.get("notes"), "half a patch");
            }
            reads += 1;
        }
    };
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(read)));
        for n in 0..SWAPS {
            let domain = |record: i64| format!("{}.example", (n + 1 + record) % 2);
            let text = "a text in the heap ".repeat(n as usize % 9) + &n.to_string();
            let set = |record| {
                let text = text.as_str();
                record! { "domain" => domain(record), "name" => text, "notes" => text }
            };
            store.apply_batch(&[update(ids[0], set(0)), update(ids[1], set(1))]).unwrap();
            store.apply(&creation(10 + n)).unwrap();
            if n % 500 == 0 {
                store.checkpoint().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_nested_write_is_an_error_and_not_a_deadlock() {
    let dir = Dir::new("nested");
    let store = create(&dir);
    store.apply(&creation(1)).unwrap();
    let error = store.transaction(|_| store.apply(&creation(2))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NestedWrite);
    // Reading is no harm.
    let found = store.transaction(|_| store.object("company")?.get(key(1))).unwrap();
    assert!(found.is_some());
    assert_eq!(store.object("company").unwrap().count(), 1);
}
