//! January's flights with references instead of names: airline, airports and plane by match. Four airports
//! and every sixth plane are in no file; what becomes of those is a matter of policy, and counted exactly
//! from the stream itself. `VELLUM_FLIGHTS=FILE cargo test --release -p vellum --test it flights_linked -- --nocapture`
//! takes the stream of a whole year instead of January's (`just linked FILE`).

use crate::common::{Dir, quick};
use flate2::read::MultiGzDecoder;
use serde_json::{Value as Json, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use vellum::text::parse_mutation;
use vellum::{ErrorKind, Mutation, Schema, Store, Value, patch};

const JANUARY: &[u8] = include_bytes!("../../examples/flights/data/flights-january.ndjson.gz");
const FILES: [(&str, &str, &str); 3] = [
    ("airline", "carrier", include_str!("../../examples/flights/data/airlines.csv")),
    ("airport", "faa", include_str!("../../examples/flights/data/airports.csv")),
    ("plane", "tailnum", include_str!("../../examples/flights/data/planes.csv")),
];
const SCHEMA: &str = r#"{"objects":[
    {"key":"airline","primary_key":["carrier"],"attributes":[{"key":"carrier","type":"text"}]},
    {"key":"airport","primary_key":["faa"],"attributes":[{"key":"faa","type":"text"}]},
    {"key":"plane","primary_key":["tailnum"],"attributes":[{"key":"tailnum","type":"text"}]},
    {"key":"flight","primary_key":["date","carrier","flight","origin"],"attributes":[
        {"key":"date","type":"date"},{"key":"carrier","type":"text"},{"key":"flight","type":"integer"},
        {"key":"origin","type":"text"},{"key":"dest","type":"text"},{"key":"tailnum","type":"text"},
        {"key":"airline","type":"reference","refers_to":["airline"]},
        {"key":"from","type":"reference","refers_to":["airport"]},
        {"key":"to","type":"reference","refers_to":["airport"]},
        {"key":"plane","type":"reference","refers_to":["plane"]}]}]}"#;

/// The stream without what is not about references, and no line that would then say nothing.
fn lines() -> Vec<Json> {
    let kept = ["date", "carrier", "flight", "origin", "dest", "tailnum"];
    let mut lines = Vec::new();
    let stream: Box<dyn Read> = match std::env::var_os("VELLUM_FLIGHTS") {
        Some(path) => Box::new(File::open(path).unwrap()),
        None => Box::new(JANUARY),
    };
    for line in BufReader::new(MultiGzDecoder::new(stream)).lines() {
        let mut line: Json = serde_json::from_str(&line.unwrap()).unwrap();
        line.as_object_mut().unwrap().remove("at");
        let part = if line["op"] == "create" { "values" } else { "set" };
        let values = line[part].as_object_mut().unwrap();
        values.retain(|name, value| kept.contains(&name.as_str()) && !value.is_null());
        if !values.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// The line with references beside the names.
fn linked(mut line: Json, absent: &str) -> Json {
    let part = if line["op"] == "create" { "values" } else { "set" };
    let values = line[part].as_object_mut().unwrap();
    let links = [
        ("airline", "carrier", "carrier"),
        ("from", "faa", "origin"),
        ("to", "faa", "dest"),
        ("plane", "tailnum", "tailnum"),
    ];
    for (reference, key, name) in links {
        if let Some(value) = values.get(name).cloned() {
            values.insert(reference.to_string(), json!({"match": {key: value}, "absent": absent}));
        }
    }
    line
}

fn mutations(schema: &Schema, lines: &[Json], absent: &str) -> Vec<Mutation> {
    let parse =
        |line: &Json| parse_mutation(schema, linked(line.clone(), absent).to_string().as_bytes()).unwrap();
    lines.iter().map(parse).collect()
}

/// The store with airlines, airports and planes, and the keys of each.
fn with_references(dir: &Dir) -> (Store, HashMap<&'static str, HashSet<String>>) {
    let store = quick().create(dir.path(), &Schema::from_json(SCHEMA).unwrap()).unwrap();
    let mut known = HashMap::new();
    for (object, key, text) in FILES {
        let place = text.lines().next().unwrap().split(',').position(|name| name == key).unwrap();
        let keys: Vec<String> =
            text.lines().skip(1).map(|line| line.split(',').nth(place).unwrap().to_string()).collect();
        store
            .transaction(|txn| {
                keys.iter().try_for_each(|value| txn.create(object, patch! { key => value }.set).map(drop))
            })
            .unwrap();
        known.insert(object, keys.into_iter().collect());
    }
    (store, known)
}

/// Flights without a value for each reference, as the stream and the files say.
struct Expected {
    flights: u64,
    no_airport: u64,
    no_plane: u64,
    with_tailnum: u64,
    airports: BTreeSet<String>,
}

fn expected(lines: &[Json], known: &HashMap<&'static str, HashSet<String>>) -> Expected {
    let mut tailnums: HashMap<String, String> = HashMap::new();
    let mut expected =
        Expected { flights: 0, no_airport: 0, no_plane: 0, with_tailnum: 0, airports: BTreeSet::new() };
    for line in lines {
        let create = line["op"] == "create";
        let (values, key) =
            if create { (&line["values"], &line["values"]) } else { (&line["set"], &line["key"]) };
        let key = format!("{}{}{}{}", key["date"], key["carrier"], key["flight"], key["origin"]);
        if create {
            expected.flights += 1;
            let dest = values["dest"].as_str().unwrap();
            if !known["airport"].contains(dest) {
                expected.no_airport += 1;
                expected.airports.insert(dest.to_string());
            }
        }
        if let Some(tailnum) = values["tailnum"].as_str() {
            tailnums.insert(key, tailnum.to_string());
        }
    }
    expected.with_tailnum = tailnums.len() as u64;
    expected.no_plane = tailnums.values().filter(|tailnum| !known["plane"].contains(*tailnum)).count() as u64;
    expected
}

/// Counts flights without each reference, and compares the others with the names beside them.
fn check(store: &Store, expected: &Expected) {
    let (mut flights, mut no_airport, mut no_plane) = (0, 0, 0);
    let snapshot = store.snapshot().unwrap();
    for record in snapshot.iter("flight").unwrap() {
        let record = record.unwrap();
        flights += 1;
        let names = [
            ("airline", "airline", "carrier", "carrier"),
            ("from", "airport", "faa", "origin"),
            ("to", "airport", "faa", "dest"),
            ("plane", "plane", "tailnum", "tailnum"),
        ];
        for (reference, object, key, name) in names {
            match record.get(reference).and_then(Value::as_reference) {
                Some(id) => {
                    let target = snapshot.get(object, id).unwrap().expect("no reference dangles");
                    assert_eq!(target.get(key), record.get(name));
                }
                None if reference == "to" => no_airport += 1,
                None if reference == "plane" => no_plane += u64::from(record.get("tailnum").is_some()),
                None => panic!("every airline and origin is known"),
            }
        }
    }
    assert_eq!((flights, no_airport, no_plane), (expected.flights, expected.no_airport, expected.no_plane));
}

#[test]
fn references_that_dangle_become_null_or_a_listed_error() {
    let dir = Dir::new("linked");
    let (store, known) = with_references(&dir);
    let lines = lines();
    let expected = expected(&lines, &known);
    assert_eq!(
        expected.airports.iter().map(String::as_str).collect::<Vec<_>>(),
        ["BQN", "PSE", "SJU", "STT"]
    );
    let share = expected.no_plane as f64 / expected.with_tailnum as f64;
    assert!((0.13..0.19).contains(&share), "{share}");
    println!(
        "{} flights, {} to airports in no file; {} tail numbers, {} of planes in no file ({:.1} %)",
        expected.flights,
        expected.no_airport,
        expected.with_tailnum,
        expected.no_plane,
        share * 100.0
    );

    // Null where nothing matches.
    for batch in mutations(&store.schema(), &lines, "null").chunks(500) {
        let outcomes = store.apply_batch(batch).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.dropped().is_empty()));
    }
    check(&store, &expected);
    drop(store);

    // A listed error, and all else of the mutation counts.
    let dir = Dir::new("linked-listed");
    let (store, _) = with_references(&dir);
    let mut listed = HashMap::new();
    let mut lenient = mutations(&store.schema(), &lines, "error");
    lenient
        .iter_mut()
        .for_each(|mutation| mutation.patch = std::mem::take(&mut mutation.patch).ignore_invalid());
    for batch in lenient.chunks(500) {
        for outcome in store.apply_batch(batch).unwrap() {
            for error in outcome.dropped() {
                assert_eq!(error.kind(), ErrorKind::ReferenceNotFound);
                *listed.entry(error.path().unwrap()).or_insert(0u64) += 1;
            }
        }
    }
    check(&store, &expected);
    assert_eq!(listed.remove("to"), Some(expected.no_airport));
    assert_eq!(listed.remove("plane"), Some(expected.no_plane));
    assert!(listed.is_empty(), "{listed:?}");
    drop(store);

    // Strict: each such mutation is refused whole, and no other is.
    let dir = Dir::new("linked-strict");
    let (store, _) = with_references(&dir);
    let creates: Vec<Json> = lines.into_iter().filter(|line| line["op"] == "create").collect();
    let answers = store.apply_each(&mutations(&store.schema(), &creates, "error")).unwrap();
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    let kinds: Vec<ErrorKind> = refused.map(vellum::Error::kind).collect();
    assert_eq!(kinds.len() as u64, expected.no_airport);
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::ReferenceNotFound));
    assert_eq!(store.object("flight").unwrap().count(), expected.flights - expected.no_airport);
}
