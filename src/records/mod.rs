//! The state at an LSN: row groups, indexes, the schema. [`apply`](vellum_engine::StateMachine::apply) is the only mutator: the
//! live path, recovery and replication call it with the same frame.
//!
//! # Trees
//!
//! | tree        | pages                                                                         |
//! |-------------|-------------------------------------------------------------------------------|
//! | 0 (catalog) | number 0, column 0: the schema as `schema` encodes it                          |
//! | 1 (ids)     | index of record ids; a value is object << 48 + row                             |
//! | an object's | number = row group; see `page` for columns                                     |
//! | an index's  | buckets; a value is a row of the object                                        |
//!
//! Meta words of an object's tree: rows ever used (0), first free row + 1 (1), records (2), newest
//! record counter (3). Free rows are linked through their header slots, so that no structure of the
//! size of the records is read at open.
//!
//! # Reading beside a writer
//!
//! One record is read under its group's latch, so it is never half of a patch. A look-up passes
//! through several latches; `apply` raises the apply sequence to an odd number before it starts and to
//! an even one when it is done. A hit is confirmed against the record's own slots under its latch; a
//! miss counts only if the sequence was even and did not move. Otherwise the look-up is made again,
//! and after three tries under the writer lock ([`Records::read_live`]).

mod actors;
mod apply;
mod catalog;
mod history;
pub mod intervals;
mod keys;
mod machine;
mod migrate;
mod read;
pub mod row_header;

pub use apply::ApplyScratch;
pub use catalog::{AttributeLayout, Catalog, IndexLayout, ObjectLayout};
pub use history::{Entry, EntryKind, read_entry};
pub use keys::{KeyBuffers, for_each_key, for_each_key_in, has_key};
pub use machine::{hash_seed, read_schema};
pub use read::{
    AboutRow, Found, IndexKey, id_value, in_group, no_prefetch, prefetch, read_cell, read_header, read_key,
    read_record, split_id_value,
};

use std::sync::Arc;
use vellum_engine::pages::{PageStore, Root};
use vellum_engine::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use vellum_engine::sync::{ArcSwap, Guard};
use vellum_engine::{Lsn, TreeId};
use vellum_types::Result;
use vellum_types::schema::{self, Schema};

/// Tree of the schema.
pub const CATALOG_TREE: TreeId = TreeId(schema::CATALOG_TREE);
/// Tree of the index of record ids.
pub const ID_TREE: TreeId = TreeId(schema::RECORD_ID_TREE);

/// Meta word of an object's tree: rows ever used.
pub const ROWS: usize = 0;
/// Meta word of an object's tree: first free row + 1, or 0.
pub const FREE_HEAD: usize = 1;
/// Meta word of an object's tree: records.
pub const RECORDS: usize = 2;
/// Meta word of an object's tree: the newest record's counter.
pub const COUNTER: usize = 3;

/// The records of an open store.
#[derive(Debug)]
pub struct Records {
    pub pages: Arc<PageStore>,
    pub hash_seed: u64,
    catalog: ArcSwap<Catalog>,
    /// Odd while a frame is applied.
    sequence: AtomicU64,
    applied: AtomicU64,
    commit_time: AtomicI64,
    actors: actors::KnownActors,
}

impl Records {
    /// The records in `pages`, as of `lsn`.
    pub fn new(pages: Arc<PageStore>, hash_seed: u64, schema: Schema, lsn: Lsn, commit_time: i64) -> Records {
        Records {
            pages,
            hash_seed,
            catalog: ArcSwap::from_pointee(Catalog::new(schema)),
            sequence: AtomicU64::new(0),
            applied: AtomicU64::new(lsn.0),
            commit_time: AtomicI64::new(commit_time),
            actors: actors::KnownActors::default(),
        }
    }

    /// The schema and what is derived from it.
    #[inline]
    pub fn catalog(&self) -> Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// Takes a schema on trust, for a salvage that lost the page of it.
    pub fn assume(&self, schema: Schema) {
        self.catalog.store(Arc::new(Catalog::new(schema)));
    }

    /// Newest commit in memory.
    #[inline]
    pub fn applied(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    /// Time of the newest commit, in nanoseconds.
    #[inline]
    pub fn commit_time(&self) -> i64 {
        self.commit_time.load(Ordering::Acquire)
    }

    /// Looks something up in the live state, atomically against transactions. `last` runs the final
    /// attempt under the writer lock.
    #[inline]
    pub fn read_live<R>(
        &self,
        mut attempt: impl FnMut(&Root) -> Result<Option<R>>,
        last: impl FnOnce(&mut dyn FnMut(&Root) -> Result<Option<R>>) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        for _ in 0..3 {
            let before = self.sequence.load(Ordering::Acquire);
            let releases = self.pages.releases();
            let found = match attempt(&self.pages.live()) {
                Ok(found) => found,
                // Two checkpoints passed meanwhile and unlinked what this root names: it says nothing.
                Err(_) if self.pages.releases() != releases => continue,
                Err(error) => return Err(error),
            };
            let still = self.sequence.load(Ordering::Acquire) == before && before.is_multiple_of(2);
            if found.is_some() || still {
                return Ok(found);
            }
        }
        last(&mut attempt)
    }
}
