//! Small stores, damage to their files, and the judge of what a damaged store answers.

use crate::config;
use arbitrary::Arbitrary;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{ErrorKind, Key, Record, RecordId, Schema, Store, Value, patch, record};
use vellum_testkit::MemDisk;

/// One change to the bytes of a file. Places are taken modulo what is used of the file.
#[derive(Arbitrary, Clone, Debug)]
pub enum Edit {
    Flip { at: u32, bit: u8 },
    Byte { at: u32, byte: u8 },
    Word { at: u32, value: u64 },
    Zero { at: u32, len: u16 },
    Copy { from: u32, to: u32, len: u16 },
    Cut { len: u32 },
    Extend { len: u16, byte: u8 },
}

impl Edit {
    /// Makes the change.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let used = used_len(bytes);
        let room = (used + 64).min(bytes.len());
        if room == 0 {
            return;
        }
        let place = |at: u32| at as usize % room;
        let end = |start: usize, len: u16| (start + usize::from(len)).min(room);
        match *self {
            Edit::Flip { at, bit } => bytes[place(at)] ^= 1 << (bit % 8),
            Edit::Byte { at, byte } => bytes[place(at)] = byte,
            Edit::Word { at, value } => {
                let start = place(at) & !7;
                let end = end(start, 8);
                bytes[start..end].copy_from_slice(&value.to_le_bytes()[..end - start]);
            }
            Edit::Zero { at, len } => bytes[place(at)..end(place(at), len)].fill(0),
            Edit::Copy { from, to, len } => {
                let len = (end(place(from), len) - place(from)).min(end(place(to), len) - place(to));
                bytes.copy_within(place(from)..place(from) + len, place(to));
            }
            Edit::Cut { len } => bytes.truncate(len as usize % bytes.len()),
            Edit::Extend { len, byte } => bytes.resize(bytes.len() + usize::from(len), byte),
        }
    }
}

/// Length up to the last block that is not zero; block by block, since each comparison is instrumented.
fn used_len(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 64] = [0; 64];
    let used = bytes.chunks(ZEROS.len()).rposition(|block| *block != ZEROS[..block.len()]);
    used.map_or(0, |last| (last + 1) * ZEROS.len()).min(bytes.len())
}

/// A store that was closed, or whose process was killed, and all that it ever held.
pub struct Sample {
    pub files: BTreeMap<String, Vec<u8>>,
    keys: BTreeMap<String, Key>,
    states: BTreeMap<u64, BTreeMap<String, Record>>,
    /// The oldest commit that it may open at. Where the newest log file is gone as well as what named its commits,
    /// a store that was not closed opens at an earlier one.
    floor: u64,
}

const SCHEMA: &str = r#"{"objects":[{"key":"company","primary_key":["country","number"],"attributes":[
    {"key":"country","type":"text","required":true},{"key":"number","type":"integer","required":true},
    {"key":"name","type":"text"},{"key":"domain","type":"text","unique":true},
    {"key":"status","type":"select","options":[{"key":"active"},{"key":"inactive"}]},
    {"key":"revenue","type":"decimal","decimals":2},{"key":"score","type":"number"},
    {"key":"listed","type":"boolean"},{"key":"seen","type":"timestamp"},{"key":"notes","type":"long_text"}]}]}"#;

fn by_number(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

impl Sample {
    /// A store of some records with checkpoints behind it and log behind the last one.
    pub fn new(record_count: i64, closed: bool) -> Sample {
        let disk = MemDisk::new();
        let schema = Schema::from_json(SCHEMA).expect("a valid schema");
        let store = config(7).create_on(Arc::new(disk.clone()), &schema).expect("an empty disk");
        let (keys, states) = (BTreeMap::new(), BTreeMap::new());
        let mut sample = Sample { files: BTreeMap::new(), keys, states, floor: 0 };
        for number in 0..record_count {
            make(&store, number);
            sample.note(&store);
        }
        store.checkpoint().expect("a sound disk");
        for number in (0..record_count).step_by(2) {
            change(&store, number);
            sample.note(&store);
        }
        store.checkpoint().expect("a sound disk");
        for number in (1..record_count.min(40)).step_by(3) {
            change(&store, number);
            sample.note(&store);
        }
        if closed {
            store.close().expect("a sound disk");
            sample.floor = *sample.states.keys().next_back().expect("noted above");
            sample.files = disk.files();
        } else {
            sample.files = disk.after_kill().files();
        }
        sample.files.remove("lock");
        sample
    }

    /// Notes the state that the store is in.
    fn note(&mut self, store: &Store) {
        let mut state = BTreeMap::new();
        for record in store.snapshot().expect("open").iter("company").expect("an object") {
            let record = record.expect("a sound disk");
            for (name, key) in keys_of(&record) {
                self.keys.insert(name.clone(), key);
                state.insert(name, record.clone());
            }
        }
        self.states.insert(store.applied_lsn().0, state);
    }

    /// Reads everything in every way. Where checksums are as they fell, each answer is right for a commit
    /// that the store may be at, or `Corrupt`; where they were made to fit, only that reading ends.
    pub fn judge(&self, store: &Store, is_sealed_anew: bool) {
        let lsn = store.applied_lsn().0;
        let state = self.states.get(&lsn);
        assert!(is_sealed_anew || (state.is_some() && lsn >= self.floor), "opened at lsn {lsn}");
        let is_corrupt = |error: &vellum::Error| {
            let ours = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::ObjectNotFound);
            assert!(ours || is_sealed_anew, "{error}");
        };
        let Ok(companies) = store.object("company").inspect_err(is_corrupt) else { return };
        for (name, key) in &self.keys {
            match companies.get(key.clone()) {
                Ok(_) if is_sealed_anew => {}
                Ok(found) => {
                    assert_eq!(found.as_ref(), state.and_then(|s| s.get(name)), "{name} at lsn {lsn}")
                }
                Err(error) => is_corrupt(&error),
            }
        }
        let Ok(snapshot) = store.snapshot().inspect_err(is_corrupt) else { return };
        let (mut seen, mut complete) = (0, true);
        for found in snapshot.iter("company").into_iter().flatten() {
            match found {
                Ok(record) => {
                    let wanted = state.and_then(|state| state.get(&format!("id {}", record.id)));
                    assert!(is_sealed_anew || wanted == Some(&record), "in a scan: {record:?}");
                    seen += 1;
                }
                Err(error) => {
                    is_corrupt(&error);
                    complete = false;
                }
            }
        }
        let all = state.map_or(0, |state| state.keys().filter(|name| name.starts_with("id ")).count());
        assert!(
            is_sealed_anew || seen == all || (!complete && seen < all),
            "{seen} of {all} records in a scan"
        );
    }

    /// The files on a disk of their own.
    pub fn on_disk(files: &BTreeMap<String, Vec<u8>>) -> MemDisk {
        let disk = MemDisk::new();
        for (name, bytes) in files {
            disk.edit(name, |content| content.clone_from(bytes));
        }
        disk
    }

    /// Some ids of records.
    pub fn ids(&self) -> impl Iterator<Item = RecordId> + '_ {
        self.keys.values().filter_map(|key| if let Key::Id(id) = key { Some(*id) } else { None })
    }
}

/// The keys of a record, and a name for each.
fn keys_of(record: &Record) -> Vec<(String, Key)> {
    let Some(Value::Integer(number)) = record.get("number") else { panic!("a record without its key") };
    let mut keys = vec![
        (format!("number {number}"), by_number(*number)),
        (format!("id {}", record.id), Key::Id(record.id)),
    ];
    if let Some(domain) = record.get("domain") {
        keys.push((format!("domain {domain}"), Key::from(("domain", domain.clone()))));
    }
    keys
}

fn make(store: &Store, n: i64) {
    let name = format!("company number {n}{}", ", of a rather long name".repeat((n % 5) as usize));
    let values = record! {
        "country" => "DE", "number" => n, "name" => name, "domain" => format!("{n}.companies.example"),
        "status" => if n % 3 == 0 { "inactive" } else { "active" }, "listed" => n % 2 == 0,
        "score" => n as f64 / 3.0, "notes" => "note ".repeat((n % 40) as usize)
    };
    store.object("company").and_then(|companies| companies.create(values)).expect("a new key");
}

/// A change of one of several kinds; some are refused, as keys are taken.
fn change(store: &Store, n: i64) {
    let companies = store.object("company").expect("an object of the schema");
    let done = match n % 6 {
        0 => companies.update(by_number(n), patch! { "score" => -1.5, "status" => "inactive" }),
        1 => companies.update(by_number(n), patch! { "domain" => format!("moved.{n}.example.org") }),
        2 => companies.update(by_number(n), patch! { "name" => format!("{n} is called otherwise, {n}") }),
        3 => companies.delete(by_number(n)),
        4 => companies.update(by_number(n), patch! { "notes" => format!("changed {n} ").repeat(9) }),
        _ => companies.update(by_number(n), patch! { "number" => n + 1000 }),
    };
    drop(done);
}
