//! A narrow object: an integer primary key and six attributes of 8 bytes.

use crate::{Random, Result, mix};
use std::path::Path;
use vellum::{Action, Config, Key, Mutation, Object, Patch, RecordId, Schema, Store, Value, record};

/// Name of the object.
pub const OBJECT: &str = "item";

/// Records of one transaction while loading.
pub(crate) const LOAD_BATCH: u64 = 1024;

const SCHEMA: &str = r#"{"objects": [{"key": "item", "primary_key": ["n"], "attributes": [
    {"key": "n", "type": "integer", "required": true},
    {"key": "a", "type": "integer"}, {"key": "b", "type": "integer"}, {"key": "c", "type": "integer"},
    {"key": "d", "type": "number"}, {"key": "e", "type": "number"}, {"key": "f", "type": "timestamp"}]}]}"#;

/// Creates a store for the object.
///
/// # Errors
/// What the store refuses.
pub fn create(config: &Config, path: &Path) -> Result<Store> {
    Ok(config.create(path, &Schema::from_json(SCHEMA)?)?)
}

/// The handle of the object.
///
/// # Errors
/// When the store has no such object.
pub fn object(store: &Store) -> Result<Object> {
    Ok(store.object(OBJECT)?)
}

/// The id of record `n`. It is computed, so that no benchmark keeps a list of ids; like a random UUID
/// it says nothing about where the record lies.
#[must_use]
pub fn id(n: u64) -> RecordId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(n).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(!n).to_be_bytes());
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    RecordId::from_bytes(bytes)
}

/// The creation of record `n`.
#[must_use]
pub fn creation(n: u64) -> Mutation {
    let number = n as i64;
    let values = record! {
        "n" => number,
        "a" => 0_i64,
        "b" => number * 3,
        "c" => number ^ 0x55,
        "d" => number as f64,
        "e" => 0.5,
        "f" => Value::Timestamp(vellum::Timestamp(number * 1_000)),
    };
    let patch = Patch { set: values, ..Patch::new() };
    Mutation { object: OBJECT.into(), action: Action::Create, key: Some(Key::Id(id(n))), patch }
}

/// Creates the records `from..to`, many a transaction.
///
/// # Errors
/// What the store refuses.
pub fn load(store: &Store, from: u64, to: u64) -> Result<()> {
    let mut start = from;
    while start < to {
        let end = (start + LOAD_BATCH).min(to);
        let batch: Vec<Mutation> = (start..end).map(creation).collect();
        store.apply_batch(&batch)?;
        start = end;
    }
    Ok(())
}

/// Patches of two attributes of random records. One mutation is written over again and again, so that
/// the benchmark allocates nothing.
#[derive(Debug)]
pub struct Patches {
    random: Random,
    record_count: u64,
    mutation: Mutation,
}

impl Patches {
    /// Patches of records below `record_count`.
    #[must_use]
    pub fn new(seed: u64, record_count: u64) -> Patches {
        let patch = Patch { set: record! { "a" => 0_i64, "d" => 0.0 }, ..Patch::new() };
        let mutation =
            Mutation { object: OBJECT.into(), action: Action::Update, key: Some(Key::Id(id(0))), patch };
        Patches { random: Random::new(seed), record_count, mutation }
    }

    /// The next patch.
    pub fn draw(&mut self) -> &Mutation {
        let n = self.random.below(self.record_count);
        let value = self.random.next_u64() >> 1;
        self.mutation.key = Some(Key::Id(id(n)));
        self.mutation.patch.set[0].1 = Value::Integer(value as i64);
        self.mutation.patch.set[1].1 = Value::Number(value as f64);
        &self.mutation
    }
}
