//! Opening costs the same whatever the number of records: counted, not timed.

use crate::common::{Dir, companies, quick};
use vellum::{Action, Mutation, patch};

/// Images read when a store with so many records was opened, and after one record was read.
fn images_read(count: i64) -> (u64, u64) {
    let dir = Dir::new("open-cost");
    let store = quick().create(dir.path(), &companies()).unwrap();
    let creation = |n: i64| Mutation {
        object: "company".into(),
        action: Action::Create,
        key: None,
        patch: patch! { "country" => "DE", "number" => n, "name" => format!("company {n}"), "score" => n as f64 },
    };
    for first in (0..count).step_by(2000) {
        let mutations: Vec<Mutation> = (first..count.min(first + 2000)).map(creation).collect();
        store.apply_batch(&mutations).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = quick().open(dir.path()).unwrap();
    let opened = store.stats().unwrap();
    assert!(store.recovery().clean);
    assert_eq!((store.recovery().replayed, opened.memory_len), (0, 0), "something was built at open");
    store.close().unwrap();
    // Statistics walk the page table, and that is counted: each session asks once.
    let store = quick().open(dir.path()).unwrap();
    let key = vec![("country".into(), "DE".into()), ("number".into(), (count / 2).into())];
    assert!(store.object("company").unwrap().get(key).unwrap().is_some());
    (opened.images_read, store.stats().unwrap().images_read)
}

#[test]
fn opening_reads_as_many_images_for_200000_records_as_for_2000_and_at_most_64() {
    let (small, large) = (images_read(2_000), images_read(200_000));
    assert_eq!(small.0, large.0);
    assert!(large.0 <= 64, "{} images", large.0);
    // And one record costs about the same in both.
    assert!(large.1 <= small.1 + 8 && large.1 <= 64, "{small:?} {large:?}");
}
