//! What the public face promises.

use crate::common::{Dir, create, quick};
use vellum::{ErrorKind, Key, Value, patch, record};

fn key(country: &str, number: i64) -> Key {
    Key::Attributes(vec![("country".into(), country.into()), ("number".into(), number.into())])
}

#[test]
fn a_record_is_created_patched_read_and_survives_reopening() {
    let dir = Dir::new("survives");
    let store = create(&dir);
    let companies = store.object("company").unwrap();
    let made = companies
        .create(record! { "country" => "DE", "number" => 1, "name" => "Vellum and Sons, a long name", "status" => "active", "listed" => true, "score" => 1.5 })
        .unwrap();
    assert_eq!((made.version, made.created), (1, true));
    let outcome = companies.update(key("DE", 1), patch! { "status" => "inactive", "score" => 2.5 }).unwrap();
    assert_eq!((outcome.id, outcome.version), (made.id, 2));
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["status", "score"]);
    let check = |store: &vellum::Store| {
        let record = store.object("company").unwrap().get(key("DE", 1)).unwrap().unwrap();
        assert_eq!(record.version, 2);
        assert_eq!(record.get("name"), Some(&Value::from("Vellum and Sons, a long name")));
        assert_eq!(record.get("status"), Some(&Value::from("inactive")));
        assert_eq!(record.get("score"), Some(&Value::Number(2.5)));
        assert_eq!(record.get("listed"), Some(&Value::Boolean(true)));
        assert_eq!(store.object("company").unwrap().get(made.id).unwrap().unwrap(), record);
    };
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    store.close().unwrap();
    let store = quick().open(dir.path()).unwrap();
    assert!(store.recovery().clean);
    check(&store);
    drop(companies);
}

#[test]
fn a_duplicate_is_refused_and_names_its_holder() {
    let dir = Dir::new("duplicate");
    let store = create(&dir);
    let companies = store.object("company").unwrap();
    let first = companies.create(record! { "country" => "DE", "number" => 1, "domain" => "a.de" }).unwrap();
    let error = companies.create(record! { "country" => "DE", "number" => 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict);
    let conflict = error.conflict().unwrap();
    assert_eq!((conflict.record, conflict.version), (first.id, 1));
    assert_eq!(conflict.attributes, ["country", "number"]);
    assert_eq!(companies.count(), 1);
}

#[test]
fn many_records_survive_splits_checkpoints_and_reopening() {
    let dir = Dir::new("many");
    let store = create(&dir);
    let companies = store.object("company").unwrap();
    for n in 0..5000i64 {
        companies
            .create(record! { "country" => "DE", "number" => n, "name" => format!("company number {n}"), "domain" => format!("{n}.example") })
            .unwrap();
        if n % 1000 == 0 {
            store.checkpoint().unwrap();
        }
    }
    for n in (0..5000i64).step_by(3) {
        companies
            .update(
                key("DE", n),
                patch! { "name" => format!("renamed to something else {n}"), "score" => n as f64 },
            )
            .unwrap();
    }
    for n in (0..5000i64).step_by(7) {
        companies.delete(key("DE", n)).unwrap();
    }
    let check = |store: &vellum::Store| {
        let companies = store.object("company").unwrap();
        for n in 0..5000i64 {
            let record = companies.get(key("DE", n)).unwrap();
            assert_eq!(record.is_none(), n % 7 == 0, "{n}");
            let Some(record) = record else { continue };
            let name = if n % 3 == 0 {
                format!("renamed to something else {n}")
            } else {
                format!("company number {n}")
            };
            assert_eq!(record.get("name"), Some(&Value::from(name)));
            assert_eq!(companies.get(("domain", format!("{n}.example"))).unwrap().unwrap().id, record.id);
        }
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.iter("company").unwrap().filter(|r| r.is_ok()).count() as u64, companies.count());
    };
    check(&store);
    store.compact().unwrap();
    check(&store);
    drop(companies);
    store.close().unwrap();
    let store = quick().open(dir.path()).unwrap();
    check(&store);
}
