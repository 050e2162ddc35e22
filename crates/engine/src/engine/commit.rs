//! The commit: how a change gets into the log and into the pages.
//!
//! ```text
//! change (staged) ─► prefault ─► admit, reserve ─► append ─► apply ─► count ─► Lsn
//!                        ▲            │ no room        │
//!                        └─ make room ┘                └─ from here on nothing may fail
//! ```
//!
//! Until the record is appended a failure leaves no trace. Afterwards memory and disk must agree, so a failure stops
//! the store (crash rule 9). A replay has the record already, and begins at `apply`.

use super::admission::Tries;
use super::{Engine, Held, WriterState};
use crate::id::Lsn;
use crate::log::{self, GroupCommit, Kind};
use crate::machine::StateMachine;
use crate::pages::Writer as PageWriter;
use crate::sync::atomic::Ordering;
use vellum_bytes::{Error, ErrorKind, Result};

/// The room that a commit needs on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes of its log record.
    pub(super) record_len: usize,
    /// Bytes that it adds to the images of the next checkpoint, at most.
    pub(super) images_len: u64,
    /// Whether it only frees: such a commit goes on in what is left to it when others are rejected.
    pub(super) only_frees: bool,
}

impl<S: StateMachine> Engine<S> {
    /// Commits the change that the writer has staged, and returns its LSN. It is applied then, and durable once
    /// [`Engine::wait`] returns.
    ///
    /// `prefault` reads all that `apply` will read (crash rule 8), so that damage is met while nothing is written, and
    /// returns how many bytes the change adds to the images of the next checkpoint, at most. It runs again after a
    /// checkpoint made room, which may have taken pages out of memory. A change that `only_frees` goes on in what is
    /// left to it on a full disk.
    ///
    /// # Errors
    /// Before the record is appended: what `prefault` returns; `DiskFull`. Nothing changed then. After: `Poisoned`.
    #[inline]
    pub fn commit(
        &self,
        held: &mut Held<'_, S>,
        only_frees: bool,
        mut prefault: impl FnMut(&mut S::Writer) -> Result<u64>,
    ) -> Result<Lsn> {
        let record_len = S::encoded_len(&S::staged(&held.machine));
        let mut tries = Tries::default();
        loop {
            let images_len = prefault(&mut held.machine)?;
            let room = Room { record_len, images_len, only_frees };
            let Err(error) = self.admit(held, &room) else { break };
            if error.kind() != ErrorKind::DiskFull || !self.make_room(held, &mut tries)? {
                return Err(error);
            }
        }
        let WriterState { pages, log, machine, scratch, space, .. } = &mut **held;
        pages.hint_group(S::first_group(machine));
        let change = S::staged(machine);
        let lsn = self.machine.applied().next();
        log.append(Kind::Commit, lsn, log.shared().durable(), S::encode(&change, space))?;
        // A panic between the record and the end of apply must stop the store too (crash rule 8).
        let guard = PoisonOnUnwind(log.shared());
        let applied = self.machine.apply(pages, scratch, lsn, change);
        std::mem::forget(guard);
        if let Err(error) = applied {
            log.shared().poison(error.clone());
            return Err(log::stopped(&error, log.shared().durable()));
        }
        self.count(record_len);
        Ok(lsn)
    }

    /// Counts what was logged, and wakes the checkpointer when it is time. Under the writer lock still: a checkpoint
    /// counts from its place in the log.
    #[inline]
    fn count(&self, record_len: usize) {
        let frame_len = log::frame_len(record_len) as u64;
        let log_since = self.log_since.fetch_add(frame_len, Ordering::Relaxed) + frame_len;
        let dirty = self.pages.memory.dirtied_since_checkpoint();
        let log_len_max = self.options.checkpoint_log_len.max(dirty / 8);
        let pinned = self.pages.memory.pinned_since_checkpoint();
        let budget = self.options.dirty_budget;
        if log_since >= log_len_max || dirty >= budget / 2 || pinned >= budget {
            self.ask_for_checkpoint();
        }
    }
}

/// Applies a record that is in the log already, or needs none: for recovery, and for whole stores that are built.
///
/// # Errors
/// `Corrupt`.
#[inline]
pub fn replay<S: StateMachine>(
    machine: &S,
    pages: &mut PageWriter,
    scratch: &mut S::Scratch,
    lsn: Lsn,
    record: &[u8],
) -> Result<()> {
    machine.apply(pages, scratch, lsn, S::decode(record)?)
}

struct PoisonOnUnwind<'a>(&'a GroupCommit);

impl Drop for PoisonOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.poison(Error::new(ErrorKind::Poisoned, "a panic while a commit was applied"));
    }
}
