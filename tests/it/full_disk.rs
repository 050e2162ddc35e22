//! A disk of 64 MiB that is filled to the last byte and freed, again and again: no acknowledged commit is
//! lost, and nobody has to restart anything (requirements 13 and 14).

use crate::common::companies;
use crate::history::on;
use std::collections::BTreeMap;
use vellum::{Config, Durability, ErrorKind, Key, Result, Store, Value, patch};
use vellum_testkit::{Crash, MemDisk, Rng};

const CAPACITY: u64 = 64 << 20;
/// What somebody else frees: a checkpoint writes more than what is dirty, where pages are written anew.
const FREED: u64 = 16 << 20;

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

/// Length of each company's notes, as acknowledged.
type Acknowledged = BTreeMap<i64, usize>;

fn put(store: &Store, known: &mut Acknowledged, number: i64, len: usize) -> Result<()> {
    let notes = "x".repeat(len);
    store.object("company")?.upsert(key(number), patch! { "notes" => notes, "score" => len as f64 })?;
    known.insert(number, len);
    Ok(())
}

fn holds(store: &Store, known: &Acknowledged) {
    let mut found = Acknowledged::new();
    for record in store.snapshot().unwrap().iter("company").unwrap() {
        let record = record.unwrap();
        let (Some(Value::Integer(number)), Some(Value::Text(notes))) =
            (record.get("number"), record.get("notes"))
        else {
            panic!("half a record: {record:?}");
        };
        found.insert(*number, notes.len());
    }
    assert!(found == *known, "{} companies expected, {} found, or other notes", known.len(), found.len());
}

/// Commits until there is no room; how many were taken.
fn fill(store: &Store, known: &mut Acknowledged, first: i64, len: usize) -> i64 {
    for number in first.. {
        if let Err(error) = put(store, known, number, len) {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            assert_eq!(store.object("company").unwrap().count(), known.len() as u64);
            return number - first;
        }
        if number % 64 == 63 {
            // What would happen in the background; without room it is told and tried again.
            if let Err(error) = store.checkpoint() {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                assert!(store.health().checkpoint.is_some());
            }
        }
    }
    unreachable!("64 MiB are full some day")
}

#[test]
fn requirement_14_a_disk_of_64_mib_is_filled_to_the_last_byte_and_freed_repeatedly() {
    for mapped in [true, false] {
        let disk = MemDisk::new();
        disk.set_capacity(Some(CAPACITY));
        let config = Config::new().threads(false).durability(Durability::Sync).log_mapped(mapped).seed(3);
        let store = config.create_on(on(&disk), &companies()).unwrap();
        let mut known = Acknowledged::new();
        for round in 0..4i64 {
            let first = round * 1_000_000;
            let taken = fill(&store, &mut known, first, 60_000);
            assert!(taken > 100, "round {round}: {taken} commits of 60 kB are all");
            // Somebody else takes what is left, to the last byte.
            disk.set_capacity(Some(disk.used_len()));
            fill(&store, &mut known, first + 500_000, 300);
            holds(&store, &known);
            if round == 1 {
                let mut rng = Rng::new(round as u64);
                for left in [disk.after_kill(), disk.after_crash(&mut rng, &Crash::NOTHING_KEPT)] {
                    left.set_capacity(None);
                    holds(&config.open_on(on(&left)).unwrap(), &known);
                }
            }
            // Somebody makes room; deletes are let through, and make more.
            disk.set_capacity(Some(CAPACITY + FREED));
            let companies = store.object("company").unwrap();
            for number in known.keys().copied().filter(|number| number % 8 != 0).collect::<Vec<_>>() {
                if let Err(error) = companies.delete(key(number)) {
                    // The log is full too: what the background does anyway gives its files back.
                    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                    store.checkpoint().unwrap_or_else(|error| panic!("round {round}: {error}"));
                    store.checkpoint().unwrap_or_else(|error| panic!("round {round}: {error}"));
                    companies.delete(key(number)).unwrap_or_else(|error| panic!("round {round}: {error}"));
                }
                known.remove(&number);
            }
            store.compact().unwrap_or_else(|error| panic!("round {round}: {error}"));
            store.checkpoint().unwrap();
            disk.set_capacity(Some(CAPACITY));
            assert_eq!(store.health().checkpoint, None);
            assert_eq!(store.health().poisoned, None);
            holds(&store, &known);
        }
        store.close().unwrap();
        disk.set_capacity(None);
        holds(&config.open_on(on(&disk)).unwrap(), &known);
    }
}
