//! What every engine must do: keep records that are unique by id and by a natural key, patch them, and
//! give them back.

use crate::Result;
use std::path::Path;
use vellum::{Mutation, RecordId};
use vellum_bench::narrow;
use vellum_bench::wide::{self, Change, ROW_LEN};

/// What an acknowledged transaction outlives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survives {
    /// Nothing: the death of the process may take it.
    Nothing,
    /// kill -9 of the process.
    Kill,
    /// A power cut.
    PowerCut,
}

impl Survives {
    /// For the tables.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Survives::Nothing => "nothing",
            Survives::Kill => "kill -9",
            Survives::PowerCut => "power cut",
        }
    }
}

/// One way to run an engine.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Name for the tables.
    pub name: &'static str,
    /// What an acknowledged transaction outlives.
    pub survives: Survives,
}

/// Records to be made, in the forms that engines take, so that none of them pays for the making.
#[derive(Debug, Default)]
pub struct Batch {
    /// Ids.
    pub ids: Vec<[u8; 16]>,
    /// Natural keys.
    pub keys: Vec<String>,
    /// Whole records as rows.
    pub rows: Vec<[u8; ROW_LEN]>,
    /// Whole records as mutations.
    pub mutations: Vec<Mutation>,
}

impl Batch {
    /// The records that these numbers stand for, under ids of their own.
    #[must_use]
    pub fn of(numbers: std::ops::Range<u64>) -> Batch {
        numbers.fold(Batch::default(), |batch, n| batch.with(narrow::id(n), n))
    }

    /// A record with the contents of `n`, its natural key included, under another id.
    #[must_use]
    pub fn duplicate(n: u64) -> Batch {
        Batch::default().with(narrow::id(!n), n)
    }

    fn with(mut self, id: RecordId, n: u64) -> Batch {
        self.ids.push(id.bytes());
        self.keys.push(wide::key(n));
        self.rows.push(wide::row(n));
        self.mutations.push(wide::creation_as(id, n));
        self
    }

    /// Id, key and row of each.
    pub fn iter(&self) -> impl Iterator<Item = ([u8; 16], &[u8], &[u8; ROW_LEN])> {
        self.ids.iter().zip(&self.keys).zip(&self.rows).map(|((id, key), row)| (*id, key.as_bytes(), row))
    }
}

/// Work while a snapshot lives: a function that reads every record of it, as long as its argument says so.
pub type ReadAll<'a> = &'a mut dyn FnMut(&mut dyn FnMut() -> bool) -> Result<u64>;

/// Makes a new value of the old one.
pub type MakeValue<'a> = &'a mut dyn FnMut(Option<&[u8]>) -> Result<Vec<u8>>;

/// One engine with an open store. Methods may be called from several threads.
pub trait Engine: Send + Sync {
    /// Chooses one of the family's modes.
    ///
    /// # Errors
    /// What the engine says.
    fn set_mode(&mut self, mode: usize) -> Result<()>;

    /// Makes records in one transaction. `false`: an id or a key is taken, and nothing was changed.
    ///
    /// # Errors
    /// What the engine says.
    fn create(&self, batch: &Batch) -> Result<bool>;

    /// Patches records in one transaction. All exist.
    ///
    /// # Errors
    /// What the engine says.
    fn patch(&self, changes: &[Change]) -> Result<()>;

    /// Attribute `a` of a record.
    ///
    /// # Errors
    /// What the engine says; a missing record.
    fn get_attribute(&self, id: RecordId) -> Result<i64>;

    /// The whole record, owned by the caller; the number of bytes or values that came.
    ///
    /// # Errors
    /// What the engine says; a missing record.
    fn get(&self, id: RecordId) -> Result<usize>;

    /// Puts what `make` makes of the value under a key, in a transaction of its own: a table for things of
    /// other shapes than the records.
    ///
    /// # Errors
    /// What the engine or `make` says.
    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()>;

    /// Holds a snapshot while `work` runs. `None`: this way to run the engine has none beside a writer.
    ///
    /// # Errors
    /// What the engine or `work` says.
    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>>;

    /// Brings everything to where it comes to rest: checkpoints, memory tables, compactions.
    ///
    /// # Errors
    /// What the engine says.
    fn settle(&self) -> Result<()>;

    /// Bytes written so far by the engine's own count, where it counts.
    fn written_len(&self) -> Option<u64> {
        None
    }
}

/// A kind of engine, with one directory for all of its modes.
pub struct Family {
    /// Name of its directory.
    pub name: &'static str,
    /// How it is set up, in a sentence.
    pub settings: &'static str,
    /// Ways to run it.
    pub modes: &'static [Mode],
    /// Opens its store in a directory, or makes one. The number is of records to come, for cache sizes.
    pub open: fn(&Path, u64) -> Result<Box<dyn Engine>>,
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Bytes of cache for engines that have one of their own: all records with their keys, and half again.
#[must_use]
pub fn cache_len(records: u64) -> u64 {
    (records * 600).clamp(256 << 20, 4 << 30)
}
