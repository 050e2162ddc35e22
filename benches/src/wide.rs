//! A wide object: sixteen attributes, about 330 bytes a record, unique by id and by a natural key; and the
//! same record as one row of bytes, for stores of keys and values.
//!
//! # The row
//!
//! | offset | size | what                                                     |
//! |-------:|-----:|----------------------------------------------------------|
//! |      0 |    8 | version                                                  |
//! |      8 |    8 | updated_at, nanoseconds                                  |
//! |     16 |    8 | a: the first attribute that patches set                  |
//! |     24 |    8 | d: the second one                                        |
//! |     32 |   80 | b, c, e, f, g of 8 bytes, 8 of zero; owner, amount of 16 |
//! |    112 |    8 | active, padded                                           |
//! |    120 |  212 | key 20, name 32, city 24, street 40, note 64, contact 32 |
//!
//! All texts have these lengths, so that a row is patched by writing over fixed offsets: the cheapest
//! form that a store of opaque values allows.

use crate::narrow::{LOAD_BATCH, id};
use crate::{Random, Result, mix};
use std::fmt::Write;
use std::path::Path;
use vellum::{Action, Config, Decimal, Key, Mutation, Patch, Schema, Store, Timestamp, Value, record};

/// Name of the object.
pub const OBJECT: &str = "account";
/// Bytes of one row.
pub const ROW_LEN: usize = 332;
/// Where a row holds its version.
pub const VERSION_AT: usize = 0;
/// Where a row holds its time.
pub const UPDATED_AT: usize = 8;
/// Where a row holds `a`.
pub const A_AT: usize = 16;
/// Where a row holds `d`.
pub const D_AT: usize = 24;
/// Texts with their lengths, in the order of the row.
pub const TEXTS: [(&str, usize); 6] =
    [("key", 20), ("name", 32), ("city", 24), ("street", 40), ("note", 64), ("contact", 32)];

const SCHEMA: &str = r#"{"objects": [{"key": "account", "primary_key": ["key"], "attributes": [
    {"key": "key", "type": "text", "required": true},
    {"key": "name", "type": "text"}, {"key": "city", "type": "text"}, {"key": "street", "type": "text"},
    {"key": "note", "type": "text"}, {"key": "contact", "type": "text"},
    {"key": "a", "type": "integer"}, {"key": "b", "type": "integer"}, {"key": "c", "type": "integer"},
    {"key": "d", "type": "number"}, {"key": "e", "type": "number"}, {"key": "f", "type": "number"},
    {"key": "g", "type": "timestamp"}, {"key": "owner", "type": "uuid"},
    {"key": "amount", "type": "decimal", "decimals": 2}, {"key": "active", "type": "boolean"}]}]}"#;

/// Creates a store for the object.
///
/// # Errors
/// What the store refuses.
pub fn create(config: &Config, path: &Path) -> Result<Store> {
    Ok(config.create(path, &Schema::from_json(SCHEMA)?)?)
}

/// One of the texts of record `n`, of exactly `len` bytes: letters that say nothing about each other.
#[must_use]
pub fn text(n: u64, name: &str, len: usize) -> String {
    let salt = name.bytes().fold(0_u64, |salt, byte| salt * 31 + u64::from(byte));
    let mut text = String::with_capacity(len + 16);
    let mut word = 0;
    while text.len() < len {
        let bits = mix(n ^ mix(salt ^ word));
        write!(text, "{bits:016x}").expect("a string takes what is written");
        word += 1;
    }
    text.truncate(len);
    text
}

/// The natural key of record `n`.
#[must_use]
pub fn key(n: u64) -> String {
    text(n, "key", 20)
}

/// The creation of record `n`, under an id of the caller's choice.
#[must_use]
pub fn creation_as(record_id: vellum::RecordId, n: u64) -> Mutation {
    let number = (n >> 1) as i64;
    let mut values = record! {
        "a" => 0_i64,
        "b" => number * 3,
        "c" => number ^ 0x55,
        "d" => 0.0,
        "e" => number as f64,
        "f" => 0.5,
        "g" => Value::Timestamp(Timestamp(number * 1_000)),
        "owner" => Value::Uuid(uuid::Uuid::from_bytes(id(n % 1000).bytes())),
        "amount" => Value::Decimal(Decimal::new(i128::from(number), 2).expect("two digits")),
        "active" => n.is_multiple_of(2),
    };
    values.extend(TEXTS.iter().map(|(name, len)| ((*name).into(), Value::Text(text(n, name, *len)))));
    let patch = Patch { set: values, ..Patch::new() };
    Mutation { object: OBJECT.into(), action: Action::Create, key: Some(Key::Id(record_id)), patch }
}

/// The creation of record `n` under its own id.
#[must_use]
pub fn creation(n: u64) -> Mutation {
    creation_as(id(n), n)
}

/// Record `n` as one row of bytes.
#[must_use]
pub fn row(n: u64) -> [u8; ROW_LEN] {
    let mut row = [0; ROW_LEN];
    let number = n >> 1;
    let owner = id(n % 1000);
    let words = [1, 0, 0, 0, number * 3, number ^ 0x55, (number as f64).to_bits(), 0.5_f64.to_bits()];
    for (index, word) in words.into_iter().enumerate() {
        row[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    row[64..72].copy_from_slice(&(number * 1_000).to_le_bytes());
    row[80..96].copy_from_slice(&owner.bytes());
    row[96..112].copy_from_slice(&i128::from(number).to_le_bytes());
    row[112] = u8::from(n.is_multiple_of(2));
    let mut at = 120;
    for (name, len) in TEXTS {
        row[at..at + len].copy_from_slice(text(n, name, len).as_bytes());
        at += len;
    }
    row
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

/// What one patch sets: `a`, `d` and the time of the change.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The record.
    pub id: vellum::RecordId,
    /// Value of `a`.
    pub a: i64,
    /// Value of `d`.
    pub d: f64,
    /// Time of the change, for those who do not keep it by themselves.
    pub at: i64,
}

impl Change {
    /// Writes the change over a row.
    pub fn write_over(&self, row: &mut [u8]) {
        let version = u64::from_le_bytes(row[VERSION_AT..][..8].try_into().expect("eight bytes")) + 1;
        row[VERSION_AT..][..8].copy_from_slice(&version.to_le_bytes());
        row[UPDATED_AT..][..8].copy_from_slice(&self.at.to_le_bytes());
        row[A_AT..][..8].copy_from_slice(&self.a.to_le_bytes());
        row[D_AT..][..8].copy_from_slice(&self.d.to_bits().to_le_bytes());
    }

    /// The same as vellum's mutation; `updated_at` and version follow by themselves.
    pub fn write_into(&self, mutation: &mut Mutation) {
        mutation.key = Some(Key::Id(self.id));
        mutation.patch.set[0].1 = Value::Integer(self.a);
        mutation.patch.set[1].1 = Value::Number(self.d);
    }
}

/// A mutation that [`Change::write_into`] fills, so that a benchmark allocates nothing.
#[must_use]
pub fn blank_patch() -> Mutation {
    let patch = Patch { set: record! { "a" => 0_i64, "d" => 0.0 }, ..Patch::new() };
    Mutation { object: OBJECT.into(), action: Action::Update, key: Some(Key::Id(id(0))), patch }
}

/// Changes of records chosen at random, all alike.
#[derive(Debug)]
pub struct Changes {
    random: Random,
    record_count: u64,
}

impl Changes {
    /// Changes of records below `record_count`.
    #[must_use]
    pub fn new(seed: u64, record_count: u64) -> Changes {
        Changes { random: Random::new(seed), record_count }
    }

    /// The next change.
    pub fn draw(&mut self) -> Change {
        let n = self.random.below(self.record_count);
        let value = self.random.next_u64() >> 1;
        // A clock is read by whoever keeps the time; that of the row may be any number.
        Change { id: id(n), a: value as i64, d: value as f64, at: value as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_what_the_table_above_says() {
        let row = row(7);
        assert_eq!(row[120..140], *key(7).as_bytes());
        assert_eq!(120 + TEXTS.iter().map(|(_, len)| len).sum::<usize>(), ROW_LEN);
        let mut changed = row;
        Change { id: id(7), a: -1, d: 0.5, at: 9 }.write_over(&mut changed);
        assert_eq!(changed[..8], 2_u64.to_le_bytes());
        assert_eq!(changed[A_AT..][..8], (-1_i64).to_le_bytes());
        assert_eq!(changed[32..], row[32..]);
    }
}
