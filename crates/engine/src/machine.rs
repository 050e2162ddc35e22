//! The seam: what the engine asks of the state that it keeps.
//!
//! ```text
//!            commit                                    replay
//! change in memory ─ encode ─► log record ─► ... ─► log record ─ decode ─► change in memory
//!        └──────────────────────── apply(pages, change) ────────────────────────┘
//! ```
//!
//! The engine knows bytes, pages and log records. A [`StateMachine`] knows what they mean: it turns a change into
//! a record and back, and does to the pages what a change says. There is one [`StateMachine::apply`]: commits, loads
//! and recovery call it with changes of one type, so that a state after a crash is the state before it.
//!
//! What a state machine promises:
//!
//! - `apply` is deterministic: what it does follows from the pages and the change alone. Times, ids and places were
//!   settled before.
//! - `apply` does not fail on a change that was prefaulted: all that it reads was read before the record was
//!   appended. An error from it stops the store (crash rule 9); in recovery a damaged page is set aside.
//! - `decode` and `apply` do not panic, whatever the bytes are: a checksum does not make a record right.
//!
//! What the engine promises: `apply` runs under the writer lock, once for each record, in the order of their
//! LSNs; nothing else changes pages.

use crate::id::Lsn;
use crate::pages::{GroupGuard, PageStore, Writer as PageWriter};
use std::fmt::Debug;
use std::sync::Arc;
use vellum_bytes::Result;

/// The state that pages hold, as of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateAt {
    /// Identity of the store.
    pub store_id: [u8; 16],
    /// The newest record whose effect the pages have.
    pub lsn: Lsn,
    /// [`StateMachine::time`] at the checkpoint.
    pub time: i64,
    /// Whether no checkpoint was taken yet, so that there are no pages.
    pub is_new: bool,
}

/// What an engine keeps: see the [module](self).
pub trait StateMachine: Debug + Send + Sync + Sized + 'static {
    /// What one log record does. A commit has it in memory and encodes it; replay decodes it. A batch is one change.
    type Change<'a>;
    /// What the writer keeps between commits: `&mut` for the holder of the writer lock. It holds the change that is
    /// about to be committed, and may hold whatever makes the next commit cheaper.
    type Writer: Debug + Default + Send + 'static;
    /// Buffers of [`StateMachine::apply`], kept between changes.
    type Scratch: Debug + Default + Send + 'static;

    /// The state in `pages`.
    ///
    /// # Errors
    /// `Corrupt` where the pages hold no state.
    fn open(pages: Arc<PageStore>, at: &StateAt) -> Result<Self>;

    /// The change that the writer has staged.
    fn staged(writer: &Self::Writer) -> Self::Change<'_>;

    /// The group that `apply` will change first, where the writer has found it already: spares a look-up.
    #[inline]
    fn first_group(_writer: &mut Self::Writer) -> Option<GroupGuard> {
        None
    }

    /// Bytes of the change's record.
    fn encoded_len(change: &Self::Change<'_>) -> usize;

    /// The record of a change: the bytes that it has already, or else those that this writes to `space`.
    fn encode<'a>(change: &'a Self::Change<'_>, space: &'a mut Vec<u8>) -> &'a [u8];

    /// The change in a record.
    ///
    /// # Errors
    /// `Corrupt` where the record holds no change.
    fn decode(record: &[u8]) -> Result<Self::Change<'_>>;

    /// Does to the pages what the change says. The only function that changes them.
    ///
    /// # Errors
    /// `Corrupt`: the change is invalid, or the table on the way to a page is damaged.
    fn apply(
        &self,
        pages: &mut PageWriter,
        scratch: &mut Self::Scratch,
        lsn: Lsn,
        change: Self::Change<'_>,
    ) -> Result<()>;

    /// The newest record that was applied.
    fn applied(&self) -> Lsn;

    /// A number that the checkpoint keeps for the state machine; it rises with the records. The time of the newest
    /// record, in nanoseconds, where the engine has no threads and decides by it when to check its files.
    fn time(&self) -> i64;

    /// Whether there is nothing yet that a delete could free.
    fn is_empty(&self) -> bool;
}
