//! Damaged files: `verify` finds it, and reading gives right values or errors, never others.

use crate::common::{Dir, create, quick};
use std::collections::BTreeMap;
use std::path::Path;
use vellum::{Key, Record, Store, Value, patch, record};

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

#[test]
fn a_sound_store_verifies_clean() {
    let dir = Dir::new("sound");
    let store = create(&dir);
    let companies = store.object("company").unwrap();
    for n in 0..3000i64 {
        companies.create(record! { "country" => "DE", "number" => n, "name" => format!("company number {n} of many"), "domain" => format!("{n}.example"), "listed" => n % 2 == 0, "notes" => "x".repeat((n % 300) as usize) }).unwrap();
        if n % 700 == 0 {
            store.checkpoint().unwrap();
        }
    }
    for n in (0..3000i64).step_by(3) {
        companies.update(key(n), patch! { "name" => format!("renamed {n}"), "domain" => format!("{n}.new.example"), "score" => n as f64 }).unwrap();
    }
    store.checkpoint().unwrap();
    for n in (0..3000i64).step_by(7) {
        companies.delete(key(n)).unwrap();
    }
    for n in 4000..4100i64 {
        companies.create(record! { "country" => "DE", "number" => n }).unwrap();
    }
    drop(companies);
    store.close().unwrap();
    let report = vellum::verify(dir.path()).unwrap();
    println!("{report:#?}");
    assert!(report.is_clean());
}
