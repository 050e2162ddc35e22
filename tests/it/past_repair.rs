//! Histories under damage: `verify` knows every link, and a repair leaves none that leads nowhere. Requirements 24
//! and 25.

use crate::common::{Dir, quick};
use crate::damage::{files, images, name_of, with_flip};
use std::collections::BTreeMap;
use vellum::{Config, RecordId, Schema, Store, patch, record};
use vellum_admin::{Repair, verify};

const SCHEMA: &str = r#"{"objects":[{"key":"deal","history":true,"primary_key":["number"],"attributes":[
    {"key":"number","type":"integer","required":true},
    {"key":"stage","type":"text"},
    {"key":"notes","type":"long_text"}]}]}"#;

/// How many values of the past each record has, deleted ones too.
fn pasts(store: &Store, ids: &[RecordId]) -> BTreeMap<RecordId, usize> {
    let deals = store.object("deal").unwrap();
    let count = |id: &RecordId| Some((*id, deals.full_history(*id).ok()?.len()));
    ids.iter().filter_map(count).collect()
}

/// A closed store with more entries than a group has rows, and the ids of all records that ever were.
fn store(dir: &Dir) -> Vec<RecordId> {
    let store = quick().background(false).create(dir.path(), &Schema::from_json(SCHEMA).unwrap()).unwrap();
    let deals = store.object("deal").unwrap();
    let mut ids = Vec::new();
    for number in 0..60i64 {
        ids.push(deals.create(record! { "number" => number, "stage" => "lead" }).unwrap().id);
    }
    for round in 0..20i64 {
        for number in (0..60i64).filter(|number| number % 3 != round % 3 || round < 3) {
            let notes = "what was said ".repeat((number + round) as usize % 9);
            let _ =
                deals.update(("number", number), patch! { "stage" => format!("s{round}"), "notes" => notes });
        }
        deals.delete(("number", round * 3)).unwrap();
        if round % 7 == 0 {
            store.checkpoint().unwrap();
        }
    }
    deals.restore(ids[3]).unwrap();
    store.close().unwrap();
    ids
}

#[test]
fn whatever_page_of_a_history_is_lost_no_link_leads_nowhere() {
    // Through a repair, so that no log goes back to the first commit and makes up for every page.
    let (young, dir) = (Dir::new("past-young"), Dir::new("past-repair"));
    let ids = store(&young);
    assert!(Repair::new().run(young.path(), dir.path()).unwrap().is_complete());
    assert!(verify(dir.path()).unwrap().is_clean());
    let expected = pasts(&Config::new().read_only(true).open(dir.path()).unwrap(), &ids);
    assert_eq!(expected.len(), ids.len());
    let (mut whole, mut shortened) = (0, 0);
    for path in files(dir.path()).iter().filter(|path| name_of(path).starts_with("seg-")) {
        let bytes = std::fs::read(path).unwrap();
        for at in [1, 2].into_iter().flat_map(|kind| images(&bytes, kind)) {
            // The tree of the schema is asked about elsewhere.
            if u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap()) == 0 {
                continue;
            }
            let what = format!("{} at {at}", name_of(path));
            let into = Dir::new("past-repaired");
            let report = with_flip(path, &bytes, at + 64, 1, || Repair::new().run(dir.path(), into.path()));
            let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
            let verified = verify(into.path()).unwrap();
            assert!(verified.is_clean(), "{what}: {:?}", verified.findings);
            let repaired = quick().open(into.path()).unwrap();
            let found = pasts(&repaired, &ids);
            match found == expected {
                true => whole += 1,
                false => {
                    assert!(!report.is_complete(), "{what}: less is there, and nothing is listed");
                    shortened += 1;
                }
            }
            // Whoever lives has a history that can be read, and goes on with it.
            let deals = repaired.object("deal").unwrap();
            for record in repaired.snapshot().unwrap().iter("deal").unwrap() {
                let id = record.unwrap().id;
                let before =
                    deals.full_history(id).unwrap_or_else(|error| panic!("{what}: {id}: {error}")).len();
                deals.update(id, patch! { "stage" => "after" }).unwrap();
                assert!(deals.full_history(id).unwrap().len() > before, "{what}: {id}");
            }
            drop(deals);
            repaired.close().unwrap();
            assert!(verify(into.path()).unwrap().is_clean(), "{what}");
        }
    }
    assert!(whole > 0 && shortened > 3, "{whole} whole, {shortened} shortened");
}
