//! Dump and load: every value comes back exactly; a dump that was cut or changed is refused; a load is whole
//! or nothing. Requirement 9 for bulk loads.

use crate::common::{Dir, companies};
use crate::damage::{Random, config, make};
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{
    Config, Date, Decimal, ErrorKind, Json, Record, RecordId, Schema, Store, Timestamp, Value, record,
};
use vellum_admin::{dump, load, load_on, verify_on};
use vellum_testkit::{MemDisk, Rng};

const TYPES: &str = r#"{"objects":[
  {"key":"thing","title":"A thing","primary_key":["name"],"attributes":[
    {"key":"name","type":"text","required":true},
    {"key":"long","type":"long_text"},{"key":"whole","type":"integer"},{"key":"float","type":"number"},
    {"key":"exact","type":"decimal","decimals":38},{"key":"money","type":"decimal","decimals":2,"min":"-5.25"},
    {"key":"yes","type":"boolean"},{"key":"day","type":"date"},{"key":"moment","type":"timestamp"},
    {"key":"micro","type":"timestamp","unit":"us"},{"key":"tag","type":"uuid","unique":true},
    {"key":"choice","type":"select","options":[{"key":"a","title":"An A"},{"key":"é\"\\"}]},
    {"key":"extra","type":"json"}]},
  {"key":"empty","attributes":[{"key":"n","type":"number","min":0.1,"max":1e300}]}]}"#;

fn every_type(store: &Store) {
    let things = store.object("thing").unwrap();
    let odd =
        ["", "\0", "a\0b\u{7f}\u{1}\r\n\t\"\\", "\u{e9}", "e\u{301}", "\u{1f600}\u{ffff}", "NA", "null"];
    for (number, text) in odd.iter().enumerate() {
        let float = [0.0, -0.0, f64::MIN_POSITIVE / 4.0, f64::MAX, -1.0 / 3.0, 5e-324, 1e16, 0.1][number];
        let whole = [0, i64::MIN, i64::MAX, -1, 1 << 53, (1 << 53) + 1, 7, 8][number];
        let json = [
            "null",
            "{}",
            r#"{"b":1,"a":[1e2,0.10,123456789012345678901234567890],"a":"twice"}"#,
            "[]",
            r#""x""#,
            "false",
            "1.0",
            r#"{"end":{"lines":1}}"#,
        ][number];
        let values = record! {
            "name" => *text, "long" => text.repeat(30), "whole" => whole, "float" => float,
            "exact" => "0.12345678901234567890123456789012345678".parse::<Decimal>().unwrap(),
            "money" => "-5.25".parse::<Decimal>().unwrap(), "yes" => number % 2 == 0,
            "day" => [Date::MIN, Date::MAX][number % 2],
            "moment" => [Timestamp(i64::MIN), Timestamp(i64::MAX), Timestamp(-1), Timestamp(999_999_999)][number % 4],
            "micro" => Timestamp([-1_000, 1_234_567_000][number % 2]),
            "choice" => ["a", "é\"\\"][number % 2], "extra" => Json::parse(json).unwrap()
        };
        things.create(values).unwrap();
    }
    things.create(record! { "name" => "nothing else" }).unwrap();
    let mut random = Random::new(9);
    for n in 0..400 {
        let bits = f64::from_bits(random.next(u64::MAX) ^ random.next(u64::MAX) << 1);
        let float = if bits.is_finite() { bits } else { 1.5 };
        let outcome = things.create(record! { "name" => format!("n{n}"), "float" => float }).unwrap();
        if n % 3 == 0 {
            things.update(outcome.id, vellum::patch! { "whole" => n }).unwrap();
        }
        if n % 50 == 49 {
            things.delete(outcome.id).unwrap();
        }
    }
}

type Content = BTreeMap<(String, RecordId), Record>;

fn content(store: &Store) -> Content {
    let snapshot = store.snapshot().unwrap();
    let schema = store.schema();
    let of = |name: &str| -> Vec<_> {
        snapshot.iter(name).unwrap().map(|r| r.unwrap()).map(|r| ((name.to_string(), r.id), r)).collect()
    };
    schema.objects().iter().flat_map(|object| of(object.key())).collect()
}

/// Equal, to the last bit of each double.
fn assert_same(a: &Content, b: &Content) {
    assert_eq!(a, b);
    let bits = |content: &Content| -> Vec<u64> {
        let values = content.values().flat_map(|record| record.iter().map(|(_, value)| value.clone()));
        values
            .filter_map(|value| if let Value::Number(n) = value { Some(n.to_bits()) } else { None })
            .collect()
    };
    assert_eq!(bits(a), bits(b));
}

fn dumped(store: &Store) -> Vec<u8> {
    let mut out = Vec::new();
    let count = dump(&store.snapshot().unwrap(), &mut out).unwrap();
    assert_eq!(count as usize, content(store).len());
    out
}

#[test]
fn every_type_comes_back_exactly() {
    let store = config().create_on(Arc::new(MemDisk::new()), &Schema::from_json(TYPES).unwrap()).unwrap();
    every_type(&store);
    let text = dumped(&store);
    let disk = MemDisk::new();
    let report = load_on(&mut text.as_slice(), Arc::new(disk.clone())).unwrap();
    let loaded = config().open_on(Arc::new(disk)).unwrap();
    assert_eq!(report.record_count as usize, content(&store).len());
    assert!(loaded.applied_lsn() >= store.applied_lsn());
    assert_same(&content(&loaded), &content(&store));
    assert_eq!(loaded.schema(), store.schema());
    // What comes next is numbered as it would have been.
    let next = |store: &Store| {
        let things = store.object("thing").unwrap();
        let outcome = things.create(record! { "name" => "the next" }).unwrap();
        things.get(outcome.id).unwrap().unwrap().counter
    };
    assert_eq!(next(&loaded), next(&store));
    // And a dump of what was loaded says the same, but for the first line's lsn and time.
    let again = dumped(&loaded);
    let lines = |text: &[u8]| {
        String::from_utf8(text.to_vec()).unwrap().lines().skip(1).map(str::to_string).collect::<Vec<_>>()
    };
    let (a, b) = (lines(&again), lines(&dumped(&store)));
    assert_eq!(a.len(), b.len());
    assert_eq!(a[..9], b[..9]);
}

#[test]
fn what_is_not_finite_never_gets_into_a_store_or_a_dump() {
    let store = config().create_on(Arc::new(MemDisk::new()), &Schema::from_json(TYPES).unwrap()).unwrap();
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = store.object("thing").unwrap().create(record! { "name" => "x", "float" => float });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidValue);
    }
    let text = String::from_utf8(dumped(&store)).unwrap();
    for value in ["1e999", "NaN", "null"] {
        let line = format!(
            r#"{{"object":"thing","id":"0190b5a0-0000-7000-8000-000000000001","version":1,"counter":1,"created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:00Z","values":{{"name":"x","float":{value}}}}}"#
        );
        let (head, _) = text.split_once('\n').unwrap();
        let text = format!("{head}\n{line}\n");
        let disk = MemDisk::new();
        let error = load_on(&mut text.as_bytes(), Arc::new(disk.clone())).unwrap_err();
        assert!(error.to_string().starts_with("dump line 2: "), "{error}");
        assert_eq!(Store::open("no such directory").unwrap_err().kind(), ErrorKind::NotAStore);
        assert!(disk.files().keys().all(|name| name == "lock"), "{:?}", disk.files().keys());
    }
}

fn small() -> (Store, Vec<u8>) {
    let store = config().create_on(Arc::new(MemDisk::new()), &companies()).unwrap();
    (0..3).for_each(|n| make(&store, n));
    let text = dumped(&store);
    (store, text)
}

#[test]
fn a_dump_that_was_cut_or_changed_at_any_byte_is_refused() {
    let (_store, text) = small();
    let refused = |text: &[u8], what: &str| {
        let disk = MemDisk::new();
        let error = load_on(&mut &text[..], Arc::new(disk.clone())).expect_err(what);
        assert!(!error.to_string().is_empty(), "{what}");
        assert!(!disk.files().contains_key("superblock"), "{what}");
    };
    for at in 0..text.len() {
        refused(&text[..at], &format!("cut at {at}"));
        let mut changed = text.clone();
        changed[at] ^= 1 << (at % 8);
        // The last line's checksum is of what is before it; its own letters have one meaning each.
        refused(&changed, &format!("changed at {at}"));
    }
    let line_end = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut without = text.clone();
    let next = line_end + text[line_end..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    without.drain(line_end..next);
    refused(&without, "a line less");
    let twice = [&text[..next], &text[line_end..]].concat();
    refused(&twice, "a line twice");
    refused(&[&text[..], b"\n"].concat(), "a line more");
    let newer = String::from_utf8(text).unwrap().replacen("\"vellum_dump\":2", "\"vellum_dump\":3", 1);
    let error = load_on(&mut newer.as_bytes(), Arc::new(MemDisk::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownFormat, "{error}");
}

#[test]
fn a_crash_or_an_error_at_any_point_of_a_load_leaves_no_store_or_a_whole_one() {
    let (store, text) = small();
    let expected = content(&store);
    let whole = MemDisk::new();
    whole.record();
    load_on(&mut text.as_slice(), Arc::new(whole.clone())).unwrap();
    let calls = whole.trace();
    for (failing, call) in calls.iter().enumerate() {
        let disk = MemDisk::new();
        let mut count = 0;
        disk.fail(move |_| {
            count += 1;
            (count > failing).then_some(std::io::ErrorKind::Other)
        });
        let result = load_on(&mut text.as_slice(), Arc::new(disk.clone()));
        let what = format!("call {failing} {call:?}: {result:?}");
        disk.heal();
        let mut rng = Rng::new(failing as u64);
        let mut states = vec![disk.after_kill()];
        states.extend((0..4).map(|kept| disk.after_power_cut(&mut rng, kept)));
        for state in states {
            match Config::new().read_only(true).open_on(Arc::new(state.clone())) {
                Ok(copy) => {
                    assert_same(&content(&copy), &expected);
                    assert!(verify_on(Arc::new(state)).unwrap().is_clean(), "{what}");
                }
                Err(error) => {
                    assert!(result.is_err(), "{what}");
                    assert_eq!(error.kind(), ErrorKind::NotAStore, "{what}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_load_refuses_a_directory_that_is_not_empty_and_keys_that_stand_twice() {
    let (_store, text) = small();
    let dir = Dir::new("load");
    load(&mut text.as_slice(), dir.path()).unwrap();
    assert_eq!(load(&mut text.as_slice(), dir.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(content(&store).len(), 3);
    let twice = String::from_utf8(text).unwrap().replace("\"number\":1,", "\"number\":2,");
    let error = load_on(&mut twice.as_bytes(), Arc::new(MemDisk::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueConflict, "{error}");
}

/// Dumps of each format, as they were written when it was declared.
const GOLDEN: [&str; 2] =
    [include_str!("../golden/v1/dump.ndjson"), include_str!("../golden/v2/dump.ndjson")];

/// What the golden dumps were made of: `VELLUM_WRITE_GOLDEN=1 cargo test golden` writes it anew.
fn golden() -> Vec<u8> {
    let store = config().create_on(Arc::new(MemDisk::new()), &Schema::from_json(TYPES).unwrap()).unwrap();
    every_type(&store);
    let things = store.object("thing").unwrap();
    for n in 0..400 {
        // Some are gone already.
        let _ = things.delete(("name", format!("n{n}")));
    }
    dumped(&store)
}

#[test]
fn golden_dumps_of_each_format_load_and_the_newest_is_written_as_it_stands() {
    if std::env::var_os("VELLUM_WRITE_GOLDEN").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2/dump.ndjson");
        return std::fs::write(file, golden()).unwrap();
    }
    assert_eq!(String::from_utf8(golden()).unwrap(), GOLDEN[1]);
    for golden in GOLDEN {
        let disk = MemDisk::new();
        load_on(&mut golden.as_bytes(), Arc::new(disk.clone())).unwrap();
        let store = config().open_on(Arc::new(disk)).unwrap();
        assert_eq!(store.schema(), Schema::from_json(TYPES).unwrap());
        let records = content(&store);
        assert_eq!(records.len(), 9);
        let text = String::from_utf8(dumped(&store)).unwrap();
        let records_of = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with(r#"{"object""#)).map(str::to_string).collect()
        };
        assert_eq!(records_of(&text), records_of(golden));
    }
}
