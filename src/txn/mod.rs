//! Transactions: stage mutations, check their end state, log one frame, apply it.
//!
//! ```text
//! stage    names → ids, values → cells, find the record, refuse or note the change   no trace yet
//! commit   unique keys on the end state, rows for creates, the frame's body
//!          admission: room for images and frame; what it lacks is freed, and it is asked again
//!          touch every page and bucket that apply will change
//!          append the frame  ◄── from here on nothing can fail
//!          records.apply(frame)
//! ```
//!
//! All of it happens under the writer lock, on buffers that are used again, so that a patch of
//! fixed-width attributes allocates nothing. A transaction that is refused, or whose closure fails or
//! panics, leaves no trace: staging touches nothing but its own buffers, and row numbers, counters and
//! versions are given at commit.
//!
//! A plain patch (`resolve`) is one record's values set or cleared. All else a mutation may have (`plan`)
//! goes another way, which may stage several records: links (`references`), other sides of relations and what a
//! delete does (`relations`).
//!
//! Checks look at the end state: delete-then-create of a key, writing a key's own value, and swapping
//! two keys all work in one transaction.

mod actor;
mod cells;
mod check;
mod commit;
mod defaults;
mod duplicate;
mod execute;
mod find;
mod hashing;
mod history;
mod idempotency;
pub(crate) mod key;
mod outcome;
mod plan;
mod precedence;
mod problems;
mod references;
mod relations;
mod revert;
mod schema_change;
mod sequence;
mod stage;
#[cfg(all(test, not(vellum_shuttle)))]
mod tests;
pub(crate) mod transaction;

pub(crate) use commit::prefault;
pub use idempotency::Once;
pub(crate) use outcome::Stamp;
pub use outcome::{Other, Outcome};
pub(crate) use stage::{PastValue, Stage};

use crate::records::Records;
use crate::redo::FrameBuilder;
use vellum_types::RecordId;
use vellum_types::value::{Actor, Timestamp};

/// What transactions keep under the writer lock, between commits too.
#[derive(Debug, Default)]
pub struct WriterState {
    pub(crate) stage: Stage,
    pub(crate) frame: FrameBuilder,
    /// The actor of the newest commit, and that actor's number.
    pub(crate) last_actor: Option<(Actor, u32)>,
    /// The row of stored requests that is checked next for one that has expired.
    pub(crate) next_swept: u64,
}

/// Where time and randomness come from; `Config` provides them.
pub(crate) trait Source: Send + Sync {
    /// Nanoseconds since 1970.
    fn now(&self) -> Timestamp;
    /// A new record id.
    fn new_id(&self, now: Timestamp) -> RecordId;
}

/// What a commit needs beside the writer's state.
pub(crate) struct Context<'a> {
    pub(crate) records: &'a Records,
    pub(crate) source: &'a dyn Source,
    /// Who commits.
    pub(crate) actor: Option<&'a Actor>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("records", &self.records).finish_non_exhaustive()
    }
}
