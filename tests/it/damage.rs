//! Damaged files: `verify` finds it, and reading gives right values or errors, never others.
//!
//! Each test makes a store, damages one file, looks, and puts the file back. `VELLUM_DAMAGE=n` makes n
//! times as many damages, and flips every bit of the small files; `VELLUM_SEED=n` begins with others.

use crate::common::{Dir, companies, quick};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use vellum::{Config, Error, ErrorKind, Key, Record, Store, Timestamp, Value, patch, record};
use vellum_admin::{VerifyReport, verify};
use vellum_testkit::{MemDisk, Op};

/// Records are numbered below this.
const NUMBERS: i64 = 300;

/// A config whose ids and times repeat.
pub fn config() -> Config {
    let now = AtomicI64::new(1_700_000_000_000_000_000);
    let clock = move || Timestamp(now.fetch_add(1_000_000, Ordering::Relaxed));
    quick().seed(7).clock(Arc::new(clock)).background(false)
}

/// All that a store ever held, for judging answers: what each key led to, after each commit.
#[derive(Default)]
pub struct World {
    keys: BTreeMap<String, Key>,
    pub states: BTreeMap<u64, BTreeMap<String, Record>>,
    /// The oldest commit that it may open at: the last one, if it was closed.
    floor: u64,
}

pub fn by_number(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

/// The keys of a record, and a name for each.
pub fn keys_of(record: &Record) -> Vec<(String, Key)> {
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
    pub fn note(&mut self, store: &Store) {
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

    /// From here on it may open at the last commit alone.
    pub fn closed(&mut self) {
        self.floor = self.last();
    }

    pub fn last(&self) -> u64 {
        *self.states.keys().last().unwrap()
    }

    /// Reads everything in every way. Panics at an answer that is wrong for the commit that the store
    /// says it is at; returns the errors.
    pub fn judge(&self, store: &Store) -> Vec<Error> {
        let lsn = store.applied_lsn().0;
        let state = self.states.get(&lsn).unwrap_or_else(|| panic!("opened at lsn {lsn}"));
        assert!(lsn >= self.floor, "opened at lsn {lsn}, closed at {}", self.floor);
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
                    assert_eq!(
                        state.get(&format!("id {}", record.id)),
                        Some(&record),
                        "in a scan at lsn {lsn}"
                    );
                    seen += 1;
                }
                Err(error) => {
                    complete = false;
                    errors.push(error);
                }
            }
        }
        let expected = state.keys().filter(|name| name.starts_with("id ")).count();
        assert!(
            seen == expected || (!complete && seen < expected),
            "a scan gave {seen} of {expected} records"
        );
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.place().is_none_or(|place| !place.file.is_empty()), "without a place: {error}");
        }
        errors
    }
}

pub fn make(store: &Store, n: i64) {
    let name = format!("company number {n}{}", ", of a rather long name".repeat((n % 5) as usize));
    let values = record! {
        "country" => "DE", "number" => n, "name" => name, "domain" => format!("{n}.companies.example"),
        "status" => if n % 3 == 0 { "inactive" } else { "active" }, "listed" => n % 2 == 0,
        "score" => n as f64 / 3.0, "notes" => "note ".repeat((n % 40) as usize)
    };
    store.object("company").unwrap().create(values).unwrap();
}

/// A change of one of many kinds: values, keys, texts that grow, a delete, a create. Some are refused.
pub fn change(store: &Store, n: i64) {
    let companies = store.object("company").unwrap();
    let note = if n % 8 == 0 { Value::Null } else { Value::from(format!("changed {n} ").repeat(9)) };
    match n % 7 {
        0 => drop(companies.update(by_number(n), patch! { "score" => -1.5, "status" => "inactive" })),
        1 => drop(companies.update(by_number(n), patch! { "domain" => format!("moved.{n}.example.org") })),
        2 => {
            drop(companies.update(by_number(n), patch! { "name" => format!("{n} is called otherwise, {n}") }))
        }
        3 => drop(companies.delete(by_number(n))),
        4 => drop(companies.update(by_number(n), patch! { "notes" => note, "listed" => n % 4 == 0 })),
        5 => drop(companies.update(by_number(n), patch! { "number" => n + 1000 })),
        _ => make(store, NUMBERS / 2 + n / 2),
    }
}

/// A store with two checkpoints and, if it is to be `closed`, a small log behind the last one; else what
/// a killed process leaves, with changes of every kind in the log.
pub fn store_on_disk(name: &str, closed: bool) -> (Dir, World) {
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
            drop(companies.update(
                by_number(n),
                patch! { "score" => n as f64, "name" => format!("{n}, the last name") },
            ));
            world.note(&store);
        }
        drop(companies);
        store.close().unwrap();
        world.floor = world.last();
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

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("lock"));
    files.sort();
    files
}

pub fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

pub fn copy_dir(from: &Path, name: &str) -> Dir {
    let to = Dir::new(name);
    std::fs::create_dir_all(to.path()).unwrap();
    for file in files(from) {
        std::fs::copy(&file, to.path().join(name_of(&file))).unwrap();
    }
    to
}

/// Opens for reading and judges all answers; `None` when it does not open.
pub fn open_and_judge(dir: &Path, world: &World) -> Option<Vec<Error>> {
    match config().read_only(true).open(dir) {
        Ok(store) => Some(world.judge(&store)),
        Err(error) => {
            let told = [ErrorKind::Corrupt, ErrorKind::NotAStore, ErrorKind::Io].contains(&error.kind());
            assert!(told, "{error}");
            None
        }
    }
}

pub fn factor() -> u64 {
    std::env::var("VELLUM_DAMAGE").map_or(1, |text| text.parse().expect("VELLUM_DAMAGE is a number"))
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        let more =
            std::env::var("VELLUM_SEED").map_or(0, |text| text.parse().expect("VELLUM_SEED is a number"));
        Random(seed.wrapping_add(more << 20))
    }

    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// A byte of a file; half of the time one that is not zero, for log files are mostly zeros.
    pub fn byte(&mut self, bytes: &[u8]) -> usize {
        let at = self.next(bytes.len() as u64) as usize;
        if self.next(2) == 0 {
            return at;
        }
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        self.next(used as u64 + 1) as usize
    }
}

/// Runs `each` with one bit of a file flipped, and puts it back.
pub fn with_flip<R>(path: &Path, bytes: &[u8], at: usize, bit: u8, each: impl FnOnce() -> R) -> R {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at] ^ 1 << bit], at as u64).unwrap();
    let result = each();
    file.write_all_at(&[bytes[at]], at as u64).unwrap();
    result
}

/// Bits of a byte to flip: all of them where more damage is asked for, else one, another for each byte.
pub fn bits_of(at: usize) -> std::ops::Range<u8> {
    let bit = (at % 8) as u8;
    if factor() > 1 { 0..8 } else { bit..bit + 1 }
}

pub fn names_file(report: &VerifyReport, name: &str) -> bool {
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
pub fn images(segment: &[u8], kind: u8) -> Vec<usize> {
    (0..segment.len())
        .step_by(64)
        .filter(|at| segment[*at..].starts_with(b"vlPG") && segment[at + 4] == kind)
        .collect()
}

#[test]
fn a_store_that_lived_long_leaves_no_file_that_nothing_names() {
    // What the older checkpoint alone names must go with the next one, also in the next session.
    let (dir, world, _) = lived_store("lived", true);
    for session in 0..3 {
        let store = config().open(dir.path()).unwrap();
        let result = if session == 1 { store.compact() } else { store.checkpoint() };
        result.unwrap();
        world.judge(&store);
        store.close().unwrap();
        let report = verify(dir.path()).unwrap();
        assert!(report.is_clean() && report.notes.is_empty(), "session {session}: {report:#?}");
    }
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

/// Looks at a damaged store with `verify` and by reading; `None` from `verify` is an error that says so.
fn look(dir: &Path, world: &World, what: &str) -> Option<VerifyReport> {
    let report = match verify(dir) {
        Ok(report) => Some(report),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotAStore, "{what}: {error}");
            None
        }
    };
    let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open_and_judge(dir, world)));
    assert!(answered.is_ok(), "{what}");
    report
}

#[test]
fn a_key_that_a_replay_writes_to_a_damaged_page_is_not_missed() {
    // The log of a killed store moves domains and numbers; each block of each page is damaged in turn. A
    // composite key of which one part is in the log and the other on the damaged page cannot be known.
    let (dir, world) = store_on_disk("keys", false);
    let mut errors = 0;
    for path in files(dir.path()).iter().filter(|path| name_of(path).starts_with("seg-")) {
        let bytes = std::fs::read(path).unwrap();
        for kind in [1, 2] {
            for at in images(&bytes, kind) {
                let len = u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap()) as usize;
                for block in (0..len).step_by(4096) {
                    let found =
                        with_flip(path, &bytes, at + 128 + block, 0, || open_and_judge(dir.path(), &world));
                    errors += found.map_or(0, |errors| errors.len());
                }
            }
        }
    }
    assert!(errors > 1000, "{errors} errors");
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
                let what = format!("{} byte {at} bit {bit}", name_of(&path));
                let report = look(dir.path(), &world, &what).expect("a superblock is there");
                assert!(names_file(&report, name_of(&path)), "{what}: {report:#?}");
            });
        }
    }
}

/// A store of three records, all in its log; closed, or as a killed process leaves it.
pub fn tiny_store(name: &str, closed: bool) -> (Dir, World) {
    let dir = Dir::new(name);
    let mut world = World::default();
    let store = config().create(dir.path(), &companies()).unwrap();
    for n in 0..3 {
        world.note(&store);
        make(&store, n);
    }
    world.note(&store);
    if closed {
        store.close().unwrap();
        world.floor = world.last();
        return (dir, world);
    }
    let killed = copy_dir(dir.path(), name);
    drop(store);
    (killed, world)
}

#[test]
fn every_bit_of_a_small_log_and_of_the_superblock_is_found() {
    let (dir, world) = tiny_store("tiny", true);
    let _ = std::fs::remove_file(dir.path().join("reserve"));
    let _ = std::fs::remove_file(dir.path().join("reserve-log"));
    for path in files(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let chosen = |at: &usize| factor() > 1 || bytes[*at] != 0 || at.is_multiple_of(5);
        for at in (0..bytes.len().min(used + 100)).filter(chosen) {
            for bit in bits_of(at) {
                with_flip(&path, &bytes, at, bit, || {
                    let what = format!("{} byte {at} bit {bit}", name_of(&path));
                    let report = look(dir.path(), &world, &what).expect("a superblock is there");
                    assert!(names_file(&report, name_of(&path)), "{what}: {report:#?}");
                });
            }
        }
    }
}

#[test]
fn every_bit_of_a_log_that_was_not_closed_gives_a_state_that_was_or_an_error() {
    let (dir, world) = tiny_store("tail", false);
    let path = dir.path().join("log-00000001");
    let bytes = std::fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..4096).step_by(64).chain(4096..used + 1) {
        for bit in bits_of(at) {
            with_flip(&path, &bytes, at, bit, || look(dir.path(), &world, &format!("byte {at} bit {bit}")));
        }
    }
}

#[test]
fn a_killed_store_with_flipped_bits_gives_a_state_that_was_or_an_error() {
    let (dir, world) = store_on_disk("killed", false);
    let mut random = Random::new(2);
    let last = config().read_only(true).open(dir.path()).unwrap().applied_lsn().0;
    assert_eq!(last, world.last(), "what was written before the kill is there");
    for path in files(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        for _ in 0..60 * factor() {
            let (at, bit) = (random.byte(&bytes), random.next(8) as u8);
            let what = format!("{} byte {at} bit {bit}", name_of(&path));
            with_flip(&path, &bytes, at, bit, || look(dir.path(), &world, &what));
        }
    }
}

/// A damage of a whole file or a part of it.
pub fn damaged(random: &mut Random, bytes: &[u8]) -> (String, Option<Vec<u8>>) {
    let mut copy = bytes.to_vec();
    let at = random.byte(bytes);
    match random.next(6) {
        0 => {
            let sector = at / 512 * 512;
            copy[sector..].iter_mut().take(512).for_each(|byte| *byte = 0);
            (format!("sector {sector} zeroed"), Some(copy))
        }
        1 => {
            let (from, len) = (random.byte(bytes) / 512 * 512, bytes.len());
            let piece: Vec<u8> = bytes[from..len.min(from + 512)].to_vec();
            let to = (at / 512 * 512).min(len - piece.len());
            copy[to..to + piece.len()].copy_from_slice(&piece);
            (format!("sector {from} written to {to}"), Some(copy))
        }
        2 => {
            copy.truncate(at);
            (format!("cut at {at}"), Some(copy))
        }
        3 => {
            copy.truncate(at / 64 * 64);
            (format!("cut at {}", at / 64 * 64), Some(copy))
        }
        4 => {
            let more = 1 << random.next(13);
            let fill = if random.next(2) == 0 { 0 } else { 0xa5 };
            copy.resize(bytes.len() + more, fill);
            (format!("{more} bytes of {fill} longer"), Some(copy))
        }
        _ => ("removed".to_string(), None),
    }
}

#[test]
fn damaged_files_of_every_kind_are_found_and_never_read_wrong() {
    for closed in [true, false] {
        let (dir, world) = store_on_disk("files", closed);
        let mut random = Random::new(3);
        for path in files(dir.path()) {
            let bytes = std::fs::read(&path).unwrap();
            for _ in 0..40 * factor() {
                let (damage, changed) = damaged(&mut random, &bytes);
                if changed.as_ref() == Some(&bytes) {
                    continue;
                }
                match &changed {
                    Some(changed) => std::fs::write(&path, changed).unwrap(),
                    None => std::fs::remove_file(&path).unwrap(),
                }
                let what = format!("{}: {damage}", name_of(&path));
                let report = look(dir.path(), &world, &what);
                // The reserve may be of any length or missing, the end of a killed store's log may be torn.
                let harmless =
                    name_of(&path).starts_with("reserve") || (!closed && name_of(&path).starts_with("log-"));
                assert!(harmless || report.is_none_or(|report| !report.is_clean()), "{what}");
                std::fs::write(&path, &bytes).unwrap();
            }
        }
        assert!(verify(dir.path()).unwrap().is_clean());
    }
}

/// The same but for times, which a test that writes does not know.
fn is_same(found: Option<&Record>, expected: Option<&Record>) -> bool {
    match (found, expected) {
        (Some(a), Some(b)) => (a.id, a.version) == (b.id, b.version) && a.iter().eq(b.iter()),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// A store that is written to although it is damaged: what it should hold.
pub struct Written {
    keys: BTreeMap<String, Key>,
    state: BTreeMap<String, Record>,
}

impl Written {
    /// What a store of this world should hold that opened at the commit that it says.
    pub fn of(world: &World, store: &Store) -> Written {
        Written { keys: world.keys.clone(), state: world.states[&store.applied_lsn().0].clone() }
    }

    pub fn judge(&self, store: &Store, when: &str) {
        let companies = store.object("company").unwrap();
        for (name, key) in &self.keys {
            match companies.get(key.clone()) {
                Ok(found) => {
                    let expected = self.state.get(name);
                    assert!(is_same(found.as_ref(), expected), "{when}, {name}: {found:?}, not {expected:?}");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{when}, {name}: {error}"),
            }
        }
    }

    fn replace(&mut self, old: &Record, new: Option<Record>) {
        keys_of(old).iter().for_each(|(name, _)| drop(self.state.remove(name)));
        for (name, key) in new.iter().flat_map(keys_of) {
            self.keys.insert(name.clone(), key);
            self.state.insert(name, new.clone().expect("its keys are there"));
        }
    }

    /// Changes records by chance, and says how many; a change that is refused must leave no trace.
    pub fn write(&mut self, store: &Store, random: &mut Random) -> usize {
        let mut done = 0;
        let companies = store.object("company").unwrap();
        let records: Vec<Record> = self
            .state
            .iter()
            .filter(|(name, _)| name.starts_with("id "))
            .map(|(_, record)| record.clone())
            .collect();
        for record in records {
            let n = random.next(50);
            let values: Vec<(&str, Value)> = match n {
                0 => vec![("score", Value::Number(0.25)), ("listed", true.into())],
                1 => vec![("name", "a name that this record did not have before, and long".into())],
                2 => vec![("domain", format!("again.{}.example", record.counter).into())],
                3 => vec![("number", (5000 + record.counter as i64).into())],
                4 => vec![],
                _ => continue,
            };
            let result = match n {
                4 => companies.delete(Key::Id(record.id)),
                _ => {
                    let set = values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
                    let mut patch = vellum::Patch::new();
                    patch.set = set;
                    companies.update(Key::Id(record.id), patch)
                }
            };
            done += usize::from(result.is_ok());
            match result {
                Ok(_) if n == 4 => self.replace(&record, None),
                Ok(outcome) => {
                    let mut cells: Vec<(Arc<str>, Value)> =
                        record.iter().map(|(name, value)| (Arc::from(name), value.clone())).collect();
                    for (name, value) in values {
                        match cells.iter_mut().find(|(known, _)| &**known == name) {
                            Some(cell) => cell.1 = value,
                            None => cells.push((Arc::from(name), value)),
                        }
                    }
                    let order = |name: &str| companies_order().iter().position(|known| known == name);
                    cells.sort_by_key(|(name, _)| order(name));
                    let (made, changed) = (record.created_at, record.updated_at);
                    let new = Record::new(record.id, outcome.version, record.counter, made, changed, cells);
                    self.replace(&record, Some(new));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            }
        }
        done
    }
}

fn companies_order() -> Vec<String> {
    let schema = companies();
    let object = schema.object("company").unwrap();
    object.attributes().iter().map(|attribute| attribute.key().to_string()).collect()
}

#[test]
fn a_damaged_store_can_be_written_and_never_answers_wrong() {
    for closed in [true, false] {
        let (dir, world) = store_on_disk("written", closed);
        let mut random = Random::new(4);
        for round in 0..60 * factor() {
            let copy = copy_dir(dir.path(), "written-copy");
            let segments: Vec<PathBuf> =
                files(copy.path()).into_iter().filter(|path| name_of(path).starts_with("seg-")).collect();
            let path = &segments[random.next(segments.len() as u64) as usize];
            let mut bytes = std::fs::read(path).unwrap();
            let what = match random.next(2) {
                0 => {
                    let (at, bit) = (random.byte(&bytes), random.next(8));
                    bytes[at] ^= 1 << bit;
                    format!("round {round}: {} byte {at} bit {bit}", name_of(path))
                }
                _ => {
                    let at = random.byte(&bytes) / 512 * 512;
                    bytes[at..].iter_mut().take(512).for_each(|byte| *byte ^= 0x55);
                    format!("round {round}: {} sector {at}", name_of(path))
                }
            };
            std::fs::write(path, &bytes).unwrap();
            let Ok(store) = config().open(copy.path()) else { continue };
            let mut written = Written::of(&world, &store);
            written.judge(&store, &what);
            for step in 0..3 {
                written.write(&store, &mut random);
                written.judge(&store, &format!("{what}, written {step}"));
                let result = if step == 1 { store.compact() } else { store.checkpoint() };
                assert!(result.is_ok(), "{what}, checkpoint {step}: {result:?}");
                written.judge(&store, &format!("{what}, checkpoint {step}"));
            }
            written.write(&store, &mut random);
            store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
            let store = config().open(copy.path()).unwrap_or_else(|error| panic!("{what}, again: {error}"));
            written.judge(&store, &format!("{what}, opened again"));
        }
    }
}

/// What files hold, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn read_files(dir: &Path) -> Files {
    let files = files(dir);
    files.iter().map(|path| (name_of(path).to_string(), std::fs::read(path).unwrap())).collect()
}

/// A store over three sessions: what its files held at each step, the last step being now.
pub fn lived_store(name: &str, closed: bool) -> (Dir, World, Vec<Files>) {
    let dir = Dir::new(name);
    let (mut world, mut steps) = (World::default(), Vec::new());
    let mut store = config().create(dir.path(), &companies()).unwrap();
    world.note(&store);
    for n in 0..NUMBERS / 4 {
        make(&store, n);
        world.note(&store);
    }
    for session in 0..3 {
        for part in 0..3 {
            for n in (session * 3 + part..NUMBERS / 4).step_by(9) {
                change(&store, n);
                world.note(&store);
            }
            steps.push(read_files(dir.path()));
            match part {
                0 => drop(store.checkpoint().unwrap()),
                1 => drop(store.compact().unwrap()),
                _ => {}
            }
        }
        if session == 2 && !closed {
            let killed = copy_dir(dir.path(), name);
            drop(store);
            return (killed, world, steps);
        }
        store.close().unwrap();
        steps.push(read_files(dir.path()));
        if session == 2 {
            world.floor = world.last();
            return (dir, world, steps);
        }
        store = config().open(dir.path()).unwrap();
    }
    unreachable!("the last session returns")
}

#[test]
fn a_file_of_an_earlier_time_is_found_and_never_read_wrong() {
    for closed in [true, false] {
        let (dir, world, mut steps) = lived_store("stale", closed);
        let now = read_files(dir.path());
        assert!(verify(dir.path()).unwrap().is_clean());
        steps.dedup();
        for (step, old) in steps.iter().enumerate() {
            for (name, bytes) in old {
                let path = dir.path().join(name);
                if now.get(name) == Some(bytes) || name.starts_with("reserve") {
                    continue;
                }
                std::fs::write(&path, bytes).unwrap();
                let what = format!("{name} as it was at step {step}, closed: {closed}");
                let report = look(dir.path(), &world, &what);
                // A log that ends earlier is a torn tail to a store that was not closed, and a segment
                // that nothing names is no damage.
                // The superblock of just before the close is what a crash in front of it leaves.
                let unsealed = name == "superblock" && step + 2 >= steps.len();
                let harmless = unsealed || (!closed && name.starts_with("log-")) || !now.contains_key(name);
                assert!(harmless || report.is_none_or(|report| !report.is_clean()), "{what}");
                match now.get(name) {
                    Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                    None => std::fs::remove_file(&path).unwrap(),
                }
            }
        }
        assert!(verify(dir.path()).unwrap().is_clean());
    }
}

#[test]
fn files_that_changed_places_are_found_and_never_read_wrong() {
    let (dir, world, _) = lived_store("swapped", true);
    let now = read_files(dir.path());
    for (a, a_bytes) in &now {
        for (b, b_bytes) in &now {
            if a == b || a_bytes == b_bytes || a.starts_with("reserve") || b.starts_with("reserve") {
                continue;
            }
            std::fs::write(dir.path().join(a), b_bytes).unwrap();
            let what = format!("{b} copied over {a}");
            let report = look(dir.path(), &world, &what);
            assert!(report.is_none_or(|report| !report.is_clean()), "{what}");
            std::fs::write(dir.path().join(b), a_bytes).unwrap();
            let what = format!("{b} and {a} swapped");
            let report = look(dir.path(), &world, &what);
            assert!(report.is_none_or(|report| !report.is_clean()), "{what}");
            std::fs::write(dir.path().join(a), a_bytes).unwrap();
            std::fs::write(dir.path().join(b), b_bytes).unwrap();
        }
    }
}

#[test]
fn verify_changes_nothing_and_outlives_every_failing_call() {
    let disk = MemDisk::new();
    let store = config().create_on(Arc::new(disk.clone()), &companies()).unwrap();
    for n in 0..40 {
        make(&store, n);
    }
    store.checkpoint().unwrap();
    for n in 0..20 {
        change(&store, n);
    }
    store.close().unwrap();
    disk.record();
    let report = vellum_admin::verify_on(Arc::new(disk.clone())).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let calls = disk.trace();
    assert!(!calls.iter().any(|call| call.op.changes()), "{calls:?}");
    for (failing, call) in calls.iter().enumerate() {
        let mut count = 0;
        disk.fail(move |_| {
            count += 1;
            (count == failing + 1).then_some(std::io::ErrorKind::Other)
        });
        // A call that fails is an error or a finding, and never a clean store.
        let report = vellum_admin::verify_on(Arc::new(disk.clone()));
        assert!(report.is_err() || report.is_ok_and(|report| !report.is_clean()), "{call:?}");
        disk.heal();
    }
    disk.fail(|event| {
        (event.op == Op::Read && event.name.starts_with("seg-")).then_some(std::io::ErrorKind::Other)
    });
    // What cannot be read is not mapped afterwards: on some systems a mapping would end the process.
    disk.record();
    let report = vellum_admin::verify_on(Arc::new(disk.clone())).unwrap();
    assert!(!report.is_clean());
    assert!(!disk.trace().iter().any(|call| call.op == Op::Map));
}

#[test]
fn a_tail_that_was_cut_is_noted_and_still_looked_at() {
    let (dir, world) = tiny_store("cut", false);
    let path = dir.path().join("log-00000001");
    let mut bytes = std::fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean() && report.notes.len() == 1, "{report:#?}");
    let store = config().open(dir.path()).unwrap();
    assert_eq!(store.applied_lsn().0 + 1, world.last());
    make(&store, 100);
    store.close().unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean() && report.notes.len() == 2, "{report:#?}");
    let (kept, cut_at) = (report.notes[0].place.as_ref().unwrap(), report.notes[1].place.as_ref().unwrap());
    assert_eq!(kept.file, "torn-log-00000001-".to_string() + &cut_at.offset.to_string(), "{report:#?}");
    for at in cut_at.offset as usize..used + 1 {
        with_flip(&path, &bytes, at, 0, || {
            assert!(names_file(&verify(dir.path()).unwrap(), "log-00000001"), "byte {at}");
        });
    }
}
