//! Damaged files: `verify` finds it, and reading gives right values or errors, never others.
//!
//! Each test makes a store, damages one file, looks, and puts the file back. `VELLUM_DAMAGE=n` makes n
//! times as many damages, `VELLUM_SEED=n` begins with other ones.

use crate::common::{Dir, companies, quick};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use vellum::{Config, Error, ErrorKind, Key, Record, Store, Timestamp, Value, VerifyReport, patch, record, verify};

/// Records are numbered below this.
const NUMBERS: i64 = 300;

/// A config whose ids and times repeat.
fn config() -> Config {
    let now = AtomicI64::new(1_700_000_000_000_000_000);
    let clock = move || Timestamp(now.fetch_add(1_000_000, Ordering::Relaxed));
    quick().seed(7).clock(Arc::new(clock)).background(false)
}

/// All that a store ever held, for judging answers: what each key led to, after each commit.
#[derive(Default)]
struct World {
    keys: BTreeMap<String, Key>,
    states: BTreeMap<u64, BTreeMap<String, Record>>,
}

fn by_number(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
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

impl World {
    /// Notes the state that the store is in.
    fn note(&mut self, store: &Store) {
        let mut state = BTreeMap::new();
        for record in store.snapshot().unwrap().iter("company").unwrap() {
            let record = record.unwrap();
            for (name, key) in keys_of(&record) {
                self.keys.insert(name.clone(), key);
                state.insert(name, record.clone());
            }
        }
        self.states.insert(store.applied_lsn().0, state);
    }

    fn last(&self) -> u64 {
        *self.states.keys().last().unwrap()
    }

    /// Reads everything in every way. Panics at an answer that is wrong for the commit that the store
    /// says it is at; returns the errors.
    fn judge(&self, store: &Store) -> Vec<Error> {
        let lsn = store.applied_lsn().0;
        let state = self.states.get(&lsn).unwrap_or_else(|| panic!("opened at lsn {lsn}"));
        let companies = store.object("company").unwrap();
        let mut errors = Vec::new();
        for (name, key) in &self.keys {
            match companies.get(key.clone()) {
                Ok(found) => assert_eq!(found.as_ref(), state.get(name), "{name} at lsn {lsn}"),
                Err(error) => errors.push(error),
            }
        }
        let mut seen = 0;
        let mut complete = true;
        for found in store.snapshot().unwrap().iter("company").unwrap() {
            match found {
                Ok(record) => {
                    assert_eq!(state.get(&format!("id {}", record.id)), Some(&record), "in a scan at lsn {lsn}");
                    seen += 1;
                }
                Err(error) => {
                    complete = false;
                    errors.push(error);
                }
            }
        }
        let expected = state.keys().filter(|name| name.starts_with("id ")).count();
        assert!(seen == expected || (!complete && seen < expected), "a scan gave {seen} of {expected} records");
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.place().is_some_and(|place| !place.file.is_empty()), "without a place: {error}");
        }
        errors
    }
}

fn make(store: &Store, n: i64) {
    let name = format!("company number {n}{}", ", of a rather long name".repeat((n % 5) as usize));
    let values = record! {
        "country" => "DE", "number" => n, "name" => name, "domain" => format!("{n}.companies.example"),
        "status" => if n % 3 == 0 { "inactive" } else { "active" }, "listed" => n % 2 == 0,
        "score" => n as f64 / 3.0, "notes" => "note ".repeat((n % 40) as usize)
    };
    store.object("company").unwrap().create(values).unwrap();
}

/// A change of one of many kinds: values, keys, texts that grow, a delete, a create. Some are refused.
fn change(store: &Store, n: i64) {
    let companies = store.object("company").unwrap();
    let note = if n % 8 == 0 { Value::Null } else { Value::from(format!("changed {n} ").repeat(9)) };
    match n % 7 {
        0 => drop(companies.update(by_number(n), patch! { "score" => -1.5, "status" => "inactive" })),
        1 => drop(companies.update(by_number(n), patch! { "domain" => format!("moved.{n}.example.org") })),
        2 => drop(companies.update(by_number(n), patch! { "name" => format!("{n} is called otherwise, {n}") })),
        3 => drop(companies.delete(by_number(n))),
        4 => drop(companies.update(by_number(n), patch! { "notes" => note, "listed" => n % 4 == 0 })),
        5 => drop(companies.update(by_number(n), patch! { "number" => n + 1000 })),
        _ => make(store, NUMBERS / 2 + n / 2),
    }
}

/// A store with two checkpoints and, if it is to be `closed`, a small log behind the last one; else what
/// a killed process leaves, with changes of every kind in the log.
fn store_on_disk(name: &str, closed: bool) -> (Dir, World) {
    let dir = Dir::new(name);
    let mut world = World::default();
    let store = config().create(dir.path(), &companies()).unwrap();
    (0..NUMBERS / 2).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    (0..NUMBERS / 2).step_by(2).for_each(|n| change(&store, n));
    store.checkpoint().unwrap();
    world.note(&store);
    if closed {
        let companies = store.object("company").unwrap();
        for n in (0..NUMBERS / 2).step_by(4) {
            drop(companies.update(by_number(n), patch! { "score" => n as f64, "name" => format!("{n}, the last name") }));
            world.note(&store);
        }
        drop(companies);
        store.close().unwrap();
        return (dir, world);
    }
    for n in (1..NUMBERS / 2).step_by(2) {
        change(&store, n);
        world.note(&store);
    }
    let killed = copy_dir(dir.path(), name);
    drop(store);
    (killed, world)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("lock"));
    files.sort();
    files
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn copy_dir(from: &Path, name: &str) -> Dir {
    let to = Dir::new(name);
    std::fs::create_dir_all(to.path()).unwrap();
    for file in files(from) {
        std::fs::copy(&file, to.path().join(name_of(&file))).unwrap();
    }
    to
}

/// Opens for reading and judges all answers; `None` when it does not open.
fn open_and_judge(dir: &Path, world: &World) -> Option<Vec<Error>> {
    match config().read_only(true).open(dir) {
        Ok(store) => Some(world.judge(&store)),
        Err(error) => {
            let told = [ErrorKind::Corrupt, ErrorKind::NotAStore, ErrorKind::Io].contains(&error.kind());
            assert!(told, "{error}");
            None
        }
    }
}

fn factor() -> u64 {
    std::env::var("VELLUM_DAMAGE").map_or(1, |text| text.parse().expect("VELLUM_DAMAGE is a number"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        let more = std::env::var("VELLUM_SEED").map_or(0, |text| text.parse().expect("VELLUM_SEED is a number"));
        Random(seed.wrapping_add(more << 20))
    }

    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// A byte of a file; half of the time one that is not zero, for log files are mostly zeros.
    fn byte(&mut self, bytes: &[u8]) -> usize {
        let at = self.next(bytes.len() as u64) as usize;
        if self.next(2) == 0 {
            return at;
        }
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        self.next(used as u64 + 1) as usize
    }
}

/// Runs `each` with one bit of a file flipped, and puts it back.
fn with_flip<R>(path: &Path, bytes: &[u8], at: usize, bit: u8, each: impl FnOnce() -> R) -> R {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at] ^ 1 << bit], at as u64).unwrap();
    let result = each();
    file.write_all_at(&[bytes[at]], at as u64).unwrap();
    result
}

fn names_file(report: &VerifyReport, name: &str) -> bool {
    report.findings.iter().any(|finding| finding.place.as_ref().is_some_and(|place| place.file == name))
}

#[test]
fn sound_stores_verify_clean_and_nothing_is_changed() {
    for closed in [true, false] {
        let (dir, world) = store_on_disk("sound", closed);
        let before: Vec<_> = files(dir.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
        let report = verify(dir.path()).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!(open_and_judge(dir.path(), &world).expect("a sound store opens").len(), 0);
        let after: Vec<_> = files(dir.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(before == after);
    }
}

/// Where images of a kind start in a segment.
fn images(segment: &[u8], kind: u8) -> Vec<usize> {
    (0..segment.len()).step_by(64).filter(|at| segment[*at..].starts_with(b"vlPG") && segment[at + 4] == kind).collect()
}

#[test]
fn a_damaged_delta_is_not_taken_for_an_unchanged_page() {
    // The log changes pages whose delta image is damaged: the changes of before are not known.
    let (dir, world) = store_on_disk("delta", true);
    let path = dir.path().join("seg-00000002");
    let bytes = std::fs::read(&path).unwrap();
    let deltas = images(&bytes, 2);
    assert!(deltas.len() > 5, "the second checkpoint writes deltas");
    for at in deltas {
        with_flip(&path, &bytes, at + 64, 0, || open_and_judge(dir.path(), &world));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_never_read() {
    let (dir, world) = store_on_disk("flips", true);
    let mut random = Random::new(1);
    for path in files(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        for _ in 0..350 * factor() {
            let (at, bit) = (random.byte(&bytes), random.next(8) as u8);
            with_flip(&path, &bytes, at, bit, || {
                let place = format!("{} byte {at} bit {bit}", name_of(&path));
                let report = verify(dir.path()).unwrap();
                assert!(names_file(&report, name_of(&path)), "{place}: {report:#?}");
                println!("{place}");
                open_and_judge(dir.path(), &world);
            });
        }
    }
}
