//! A store and a model that are kept from run to run: what makes the hot path's target fast.
//!
//! Each run begins and ends without records: what a run made, its end deletes. What stays are numbers that
//! rise (LSN, counters), rows that are free, and text heaps with holes in them, so runs meet pages that
//! have seen something. A store is replaced after [`RUNS_MAX`] runs.
//!
//! An input must fail by itself. A failure that needs what runs before it left behind is written out as
//! one input with all runs since the store was new, parted by [`SPLIT`]: see [`keep_history`].

use crate::config;
use std::cell::RefCell;
use std::panic;
use std::sync::Arc;
use vellum::{Action, Key, Mutation, Patch, RecordId, Schema, Store};
use vellum_testkit::schema::{self, AttributeDef, ObjectDef, Type};
use vellum_testkit::{MemDisk, Model};

/// Runs on one store. A new store costs as much as ten runs.
const RUNS_MAX: usize = 256;
/// Parts runs in an input: an end of a run that a fuzzer does not write by chance.
pub const SPLIT: &[u8] = b"\xff--next run--\xff";

/// A store without records, and the model of it.
pub struct Kept {
    pub store: Store,
    pub model: Model,
    runs: usize,
}

thread_local! {
    static HISTORY: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// One object with every type, a primary key of two attributes, and two unique ones.
fn objects() -> Vec<ObjectDef> {
    let key = |name: &str, of| AttributeDef { required: true, ..AttributeDef::new(name, of) };
    let unique = |name: &str, of| AttributeDef { unique: true, ..AttributeDef::new(name, of) };
    let mut attributes = vec![
        key("region", Type::Select),
        key("name", Type::Text),
        unique("domain", Type::Text),
        unique("number", Type::Integer),
    ];
    let plain = Type::ALL.into_iter().enumerate();
    attributes.extend(plain.map(|(at, of)| AttributeDef::new(format!("plain{at}"), of)));
    let company = ObjectDef {
        name: "company".into(),
        attributes,
        primary_key: vec![1, 0],
        history: false,
        had_history: false,
        max_record_bytes: None,
    };
    let note = ObjectDef {
        name: "note".into(),
        attributes: vec![AttributeDef::new("of", Type::Uuid), AttributeDef::new("text", Type::LongText)],
        primary_key: Vec::new(),
        history: false,
        had_history: false,
        max_record_bytes: None,
    };
    vec![company, note]
}

impl Kept {
    /// A new store.
    pub fn new() -> Kept {
        let objects = objects();
        let schema = Schema::from_json(&schema::to_json(&objects)).expect("a valid schema");
        let store = config(1).create_on(Arc::new(MemDisk::new()), &schema).expect("an empty disk");
        Kept { store, model: Model::new(objects, 1_700_000_000_000_000_000), runs: 0 }
    }

    /// Runs `run` for each part of the input on a store without records: the kept one, or a new one
    /// where the input is a history.
    pub fn with(slot: &mut Option<Kept>, input: &[u8], mut run: impl FnMut(&mut Kept, &[u8])) {
        let parts = split(input);
        if slot.as_ref().is_none_or(|kept| kept.runs >= RUNS_MAX) || parts.len() > 1 {
            *slot = Some(Kept::new());
            HISTORY.with_borrow_mut(Vec::clear);
        }
        let kept = slot.as_mut().expect("made above");
        for part in parts {
            HISTORY.with_borrow_mut(|history| history.push(part.to_vec()));
            run(kept, part);
            kept.runs += 1;
            kept.empty();
        }
    }

    /// Deletes what the run left.
    fn empty(&mut self) {
        let delete = |id: &RecordId, object: usize| Mutation {
            object: self.model.objects[object].name.clone(),
            action: Action::Delete,
            key: Some(Key::Id(*id)),
            patch: Patch::default(),
        };
        let deletes: Vec<Mutation> =
            self.model.records.iter().map(|(id, record)| delete(id, record.object)).collect();
        if deletes.is_empty() {
            return;
        }
        for mutation in &deletes {
            self.model.mutate(mutation, RecordId::from_bytes([0; 16])).expect("the record exists");
        }
        let lsn = self.model.commit(0).expect("deletes cannot conflict");
        let outcomes = self.store.apply_batch(&deletes).expect("deletes are never refused");
        assert_eq!(outcomes[0].lsn.0, lsn);
    }
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::new()
    }
}

fn split(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(SPLIT.len()).position(|window| window == SPLIT) {
        parts.push(&rest[..at]);
        rest = &rest[at + SPLIT.len()..];
    }
    parts.push(rest);
    parts
}

/// From here on, a panic writes the runs since the store was new to a file, before libFuzzer ends the
/// process. Call it once, before the first run.
pub fn keep_history(target: &'static str) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let history = HISTORY.with_borrow(|history| history.join(SPLIT));
        let directory = std::path::Path::new("artifacts").join(target);
        let path = directory.join(format!("history-{:08x}", crc32fast::hash(&history)));
        let written = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, &history));
        match written {
            Ok(()) => eprintln!("all runs since the store was new, as one input: {}", path.display()),
            Err(error) => eprintln!("the runs since the store was new could not be written: {error}"),
        }
        before(info);
    }));
}
