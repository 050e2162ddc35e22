//! Commits with numbers, and the content that the first so many of them leave: what a test holds a store
//! against after calls failed and machines died.

use crate::common::companies;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::disk::Disk;
use vellum::{Action, Commit, Config, Key, Mutation, Patch, Result, Store, Value, patch, record};
use vellum_testkit::MemDisk;

pub fn on(disk: &MemDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Small log files, and no thread: the same calls come in the same order each time.
pub fn config() -> Config {
    Config::new().threads(false).log_file_len(8 << 10, 16 << 10).seed(11)
}

pub fn create(config: &Config, disk: &MemDisk) -> Result<Store> {
    config.create_on(on(disk), &companies())
}

/// Which commits are in the log, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Commit 1 is the schema: the commit with lsn n + 2 is the n-th here.
    done: Vec<i64>,
    /// Newest lsn that was acknowledged.
    floor: u64,
    /// The last one failed in a way that leaves its fate open.
    open_end: bool,
}

/// Score and notes of a company.
type Content = BTreeMap<i64, (f64, usize)>;

fn key(number: i64) -> Key {
    Key::Attributes(vec![("country".into(), "DE".into()), ("number".into(), number.into())])
}

/// What the commit with this number does: it makes a company, changes an older one, removes a third.
fn mutations(number: i64) -> Vec<Mutation> {
    let one = |action, key, patch: Patch| Mutation { object: "company".into(), action, key, patch };
    let notes = "n".repeat(notes_len(number));
    let made = record! {
        "country" => "DE", "number" => number, "domain" => format!("{number}.example"), "score" => 0.0,
        "notes" => notes
    };
    let mut all = vec![one(Action::Create, None, Patch { set: made, ..Patch::default() })];
    if number % 3 == 1 {
        all.push(one(Action::Upsert, Some(key(number / 2)), patch! { "score" => number as f64 }));
    }
    if number % 5 == 4 {
        all.push(one(Action::Delete, Some(key(number - 4)), Patch::default()));
    }
    all
}

/// Now and then a long text, so that a frame needs a log file of its own.
fn notes_len(number: i64) -> usize {
    if number % 11 == 6 { 9000 } else { 200 }
}

fn content(numbers: &[i64]) -> Content {
    let mut content = Content::new();
    for number in numbers.iter().copied() {
        content.insert(number, (0.0, notes_len(number)));
        if number % 3 == 1 {
            content.entry(number / 2).or_insert((0.0, 0)).0 = number as f64;
        }
        if number % 5 == 4 {
            content.remove(&(number - 4));
        }
    }
    content
}

impl History {
    pub fn new() -> History {
        History { floor: 1, ..History::default() }
    }

    pub fn ceiling(&self) -> u64 {
        self.done.len() as u64 + 1
    }

    /// A number that no commit had.
    pub fn next(&self) -> i64 {
        self.done.iter().max().map_or(0, |max| max + 1)
    }

    /// Commits, and takes note of what may be there now.
    pub fn submit(&mut self, store: &Store, number: i64) -> Result<Commit> {
        let was_stopped = store.health().poisoned.is_some();
        match store.submit_batch(&mutations(number)) {
            Ok((_, commit)) => {
                self.done.push(number);
                assert_eq!(commit.lsn().0, self.ceiling(), "commits are numbered without gaps");
                Ok(commit)
            }
            Err(error) => {
                // A refusal leaves no trace; a log that stopped may have the frame.
                if store.health().poisoned.is_some() && !was_stopped {
                    self.done.push(number);
                    self.open_end = true;
                }
                Err(error)
            }
        }
    }

    pub fn acknowledged(&mut self, lsn: u64) {
        self.floor = self.floor.max(lsn);
    }

    /// Commits durably.
    pub fn commit(&mut self, store: &Store, number: i64) -> Result<()> {
        let commit = self.submit(store, number)?;
        commit.wait_for(vellum::Durability::Sync)?;
        self.acknowledged(commit.lsn().0);
        Ok(())
    }

    /// Holds a store against the content that its lsn stands for.
    pub fn holds(&self, store: &Store) -> std::result::Result<(), String> {
        let lsn = store.applied_lsn().0;
        if !(self.floor..=self.ceiling()).contains(&lsn) {
            return Err(format!("lsn {} to {} expected, {lsn} found", self.floor, self.ceiling()));
        }
        let wanted = content(&self.done[..lsn as usize - 1]);
        let fail = |error: vellum::Error| error.to_string();
        let mut found = Content::new();
        for record in store.snapshot().map_err(fail)?.iter("company").map_err(fail)? {
            let record = record.map_err(fail)?;
            let (Some(Value::Integer(number)), Some(Value::Number(score))) =
                (record.get("number"), record.get("score"))
            else {
                return Err(format!("half a record: {record:?}"));
            };
            let notes = if let Some(Value::Text(notes)) = record.get("notes") { notes.len() } else { 0 };
            found.insert(*number, (*score, notes));
        }
        if found != wanted {
            return Err(format!("at lsn {lsn}: {wanted:?} expected, {found:?} found"));
        }
        let object = store.object("company").map_err(fail)?;
        if object.count() != wanted.len() as u64 {
            return Err(format!("{} companies counted, {} expected", object.count(), wanted.len()));
        }
        for number in wanted.keys() {
            let by_key = object.get(key(*number)).map_err(fail)?;
            let by_domain = object.get(("domain", format!("{number}.example"))).map_err(fail)?;
            // A company that an upsert made has no domain.
            let has_domain = self.done[..lsn as usize - 1].contains(number);
            if by_key.is_none() || (has_domain && by_domain.is_none() && wanted[number].1 > 0) {
                return Err(format!("company {number} is not found by its keys"));
            }
        }
        Ok(())
    }

    /// [`History::holds`]; from here on the store's content is what there is.
    pub fn settle(&mut self, store: &Store) -> std::result::Result<(), String> {
        self.holds(store)?;
        self.done.truncate(store.applied_lsn().0 as usize - 1);
        self.floor = store.applied_lsn().0;
        self.open_end = false;
        Ok(())
    }
}

impl History {
    /// After a reopening, the commit whose fate was open is there or gone for good.
    pub fn settle_if_reopened(&mut self, store: &Store) -> std::result::Result<(), String> {
        let settles = self.open_end || store.applied_lsn().0 < self.ceiling();
        if settles { self.settle(store) } else { self.holds(store) }
    }
}

/// `verify` finds nothing.
pub fn is_sound(disk: &MemDisk) -> std::result::Result<(), String> {
    let report =
        vellum_admin::verify_on(on(&disk.after_kill())).map_err(|error| format!("verify: {error}"))?;
    if report.is_clean() { Ok(()) } else { Err(format!("verify: {:#?}", report.findings)) }
}
