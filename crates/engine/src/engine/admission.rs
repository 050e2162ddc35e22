//! Admission: whether a commit has its room on the disk, and what is freed for one that has not (crash rule 12).
//!
//! ```text
//! admit ─┬─ room ─► frame
//!        └─ none ─► lend the writer lock ─► checkpoint, compact, give log files back ─► admit again
//!                                                   └─ still none: DiskFull, with nothing written
//! ```
//!
//! Staging stays as it is while the lock is lent, because other commits wait until it is back: so nothing is staged
//! twice, and a transaction's closure runs once. What was freed in vain is remembered as the room that there was then:
//! the next commit that finds none is rejected at once, until there is noticeably more to gain.

use super::background::IDLE;
use super::{Engine, Held, Room, WriterState};
use crate::machine::StateMachine;
use crate::pages::Compaction;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, MutexGuard};
use std::cell::Cell as ThreadCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use vellum_bytes::{Error, ErrorKind, Result};

/// Disk space is looked at again after an eighth more is dirty or logged, or after this many bytes.
const ADMISSION_STEP_MAX: u64 = 4 << 20;
/// A frame this long has it looked at in any case.
const LONG_FRAME_LEN: u64 = 64 << 10;
/// So often a commit waits for a checkpoint of another thread before it takes one itself.
const WAITS_MAX: usize = 2;
/// What [`Shortage::exhausted`] has while nothing was freed in vain.
const NOT_EXHAUSTED: u64 = u64::MAX;

thread_local! {
    /// The store of which this thread takes a checkpoint: a commit from inside one, as a hook of the disk may
    /// make, cannot wait for it.
    static IN_CHECKPOINT: ThreadCell<usize> = const { ThreadCell::new(0) };
}

/// What was done already to make room for one commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    /// Waits for checkpoints of other threads.
    waits: usize,
    checkpointed: bool,
    compacted: bool,
}

/// What commits know of a full disk.
#[derive(Debug)]
pub(super) struct Shortage {
    /// What there was to gain when everything had been freed and a commit was rejected all the same.
    exhausted: AtomicU64,
    /// The lender has the writer lock back.
    returned: Condvar,
}

impl Default for Shortage {
    fn default() -> Shortage {
        Shortage { exhausted: AtomicU64::new(NOT_EXHAUSTED), returned: Condvar::new() }
    }
}

/// Marks the thread as inside a checkpoint of the store.
pub(super) struct InCheckpoint(usize);

impl InCheckpoint {
    pub(super) fn enter<S: StateMachine>(engine: &Engine<S>) -> InCheckpoint {
        InCheckpoint(IN_CHECKPOINT.replace(std::ptr::from_ref(engine) as usize))
    }

    fn is_in<S: StateMachine>(engine: &Engine<S>) -> bool {
        IN_CHECKPOINT.get() == std::ptr::from_ref(engine) as usize
    }
}

impl Drop for InCheckpoint {
    fn drop(&mut self) {
        IN_CHECKPOINT.set(self.0);
    }
}

/// What a commit needs room for.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// The frame in the log.
    frame: u64,
    /// Images of everything that is dirty, with heads, checksums and table nodes.
    images: u64,
    /// What stays reserved on top: for what becomes dirty until the next look, and for deletes.
    reserve: u64,
    /// A log file, where the current one is nearly full.
    log_file: u64,
}

impl Need {
    /// What the reserve holds for it.
    fn reserved(&self) -> u64 {
        self.images + self.frame + self.reserve
    }
}

impl<S: StateMachine> Engine<S> {
    /// Crash rule 12: a commit is accepted only if the log and the images of all that is dirty have room
    /// on the disk. Deletes go on in what is left to them: they make room.
    #[inline]
    pub(super) fn admit(&self, state: &mut WriterState<S>, room: &Room) -> Result<()> {
        if !self.options.threads {
            self.check_files_now_and_then()?;
        }
        self.mark_open()?;
        let frame_len = room.record_len as u64;
        let images_len = self.pages.memory.images_len_max();
        let now = images_len + self.log_since.load(Ordering::Relaxed) + frame_len + room.images_len;
        if now < self.admitted_until.load(Ordering::Relaxed) && frame_len < LONG_FRAME_LEN {
            return state.log.reserve(room.record_len);
        }
        self.admit_by_space(state, now, room)
    }

    /// What a thread does otherwise: checks the files once 200 ms lie between commits.
    fn check_files_now_and_then(&self) -> Result<()> {
        let (now, checked) = (self.machine.time(), self.checked_at.load(Ordering::Relaxed));
        if now.saturating_sub(checked) < IDLE.as_nanos() as i64 {
            return Ok(());
        }
        self.checked_at.store(now, Ordering::Relaxed);
        self.shared()?.check_files()
    }

    #[cold]
    fn admit_by_space(&self, state: &mut WriterState<S>, now: u64, room: &Room) -> Result<()> {
        let need = self.need(state, now, room);
        let only_deletes = room.only_frees;
        let disk = &*self.disk;
        let is_free = !self.reserve.is_given_up();
        if is_free && self.keep_log_reserve()? && self.reserve.cover(disk, need.reserved(), need.log_file)? {
            state.log.reserve(room.record_len).map_err(|error| self.with_need(error, &need))?;
            self.admitted_until.store(now + self.step(now), Ordering::Relaxed);
            if !self.reserve.is_wanted() {
                self.reserve.want();
                self.reserve.keep(disk, self.reserve.base);
            }
            self.note_gain(only_deletes);
            return Ok(());
        }
        let held = self.reserve.held();
        let dirty = need.images + need.frame;
        // Where nothing is dirty one delete goes on in any case: it takes little more than it gives.
        let is_clean = self.pages.memory.images_len_max() == 0;
        if is_free && only_deletes && (is_clean || dirty + self.reserve.base / 4 <= held) {
            state.log.reserve(room.record_len).map_err(|error| self.with_need(error, &need))?;
            if dirty > held / 2 {
                self.short_of_space.store(true, Ordering::Relaxed);
                self.ask_for_checkpoint();
            }
            self.note_gain(only_deletes);
            return Ok(());
        }
        Err(self.no_room(&need))
    }

    fn step(&self, now: u64) -> u64 {
        (now / 8).clamp(self.reserve.base / 8, ADMISSION_STEP_MAX)
    }

    fn need(&self, state: &WriterState<S>, now: u64, room: &Room) -> Need {
        let images_len = self.pages.memory.images_len_max() + room.images_len;
        let step = self.step(now);
        let frame = room.record_len;
        Need {
            frame: frame as u64,
            images: images_len + images_len / 4,
            reserve: step + self.reserve.base,
            log_file: state.log.file_len_needed(frame + step as usize),
        }
    }

    /// Whether the log has its reserve, which is made if need be.
    fn keep_log_reserve(&self) -> Result<bool> {
        let Some(writing) = &self.writing else { return Ok(false) };
        match writing.shared.keep_reserve() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::DiskFull => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A log file that found no room says what the commit needed.
    fn with_need(&self, error: Error, need: &Need) -> Error {
        if error.kind() == ErrorKind::DiskFull { self.no_room(need) } else { error }
    }

    #[cold]
    fn no_room(&self, need: &Need) -> Error {
        let (free, held) = (self.disk.free_len().unwrap_or(0), self.reserve.held());
        let needed = need.reserved() + need.log_file;
        let missing = needed.saturating_sub(free + held).max(1);
        let log = match need.log_file {
            0 => String::new(),
            len => format!(", {len} for the next log file"),
        };
        Error::new(
            ErrorKind::DiskFull,
            format!(
                "the disk is full: this commit needs {needed} bytes, and {free} are free, next to {held} that \
                 the store keeps in reserve. Of these it needs {} for its log frame, \
                 {} for images of changed pages{log}, and {} that stay in reserve for a checkpoint and \
                 for deletes. Free at least {missing} bytes on this file system, or delete records and run `vellum \
                 compact`. Nothing was written",
                need.frame, need.images, need.reserve
            ),
        )
    }
}

/// Freeing.
impl<S: StateMachine> Engine<S> {
    /// Waits until the commit that lent the writer lock has it back.
    #[cold]
    pub(super) fn wait_for_the_lender(&self, state: &mut Held<'_, S>) -> Result<()> {
        while state.lent {
            self.shortage.returned.wait(state);
        }
        self.check_open()
    }

    /// Frees what can be freed for a commit that found no room, harder each time that it asks, and answers whether
    /// it should ask for admission again. Checkpoints have the writer lock meanwhile.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    #[cold]
    pub(super) fn make_room(&self, state: &mut Held<'_, S>, tries: &mut Tries) -> Result<bool> {
        if InCheckpoint::is_in(self) || self.shared()?.is_led_here() {
            return Ok(false);
        }
        if self.reserve.is_given_up() && tries.waits < WAITS_MAX {
            tries.waits += 1;
            self.lend(state, || drop(self.checkpointing.lock()))?;
            return Ok(true);
        }
        if tries.compacted {
            self.shortage.exhausted.store(self.to_gain(), Ordering::Relaxed);
            return Ok(false);
        }
        let exhausted = self.shortage.exhausted.load(Ordering::Relaxed);
        let gains = exhausted == NOT_EXHAUSTED || self.to_gain() >= exhausted + self.noticeable();
        if !gains && !tries.checkpointed {
            return Ok(false);
        }
        tries.compacted = tries.checkpointed;
        tries.checkpointed = true;
        let compaction = if tries.compacted { Compaction::Full } else { Compaction::Bounded };
        // What fails is kept for `Store::health`; the commit says what it needs.
        self.lend(state, || drop(self.checkpoint_to_free(compaction)))?;
        Ok(true)
    }

    /// Gives the writer lock away while `free` runs. Other commits wait until this one has it back.
    fn lend(&self, state: &mut Held<'_, S>, free: impl FnOnce()) -> Result<()> {
        state.pages.clear_hint();
        state.lent = true;
        // A panic must not leave the others waiting for a lender that ended.
        let freed = catch_unwind(AssertUnwindSafe(|| MutexGuard::unlocked(state, free)));
        state.lent = false;
        self.shortage.returned.notify_all();
        freed.unwrap_or_else(|panic| resume_unwind(panic));
        self.check_open()
    }

    /// A commit was admitted: what there is to gain from here on is gained anew. A delete leaves something to free.
    fn note_gain(&self, only_deletes: bool) {
        let exhausted = &self.shortage.exhausted;
        if only_deletes {
            exhausted.store(NOT_EXHAUSTED, Ordering::Relaxed);
        } else if exhausted.load(Ordering::Relaxed) != NOT_EXHAUSTED {
            exhausted.fetch_min(self.to_gain(), Ordering::Relaxed);
        }
    }

    /// Less than this is not worth a checkpoint.
    fn noticeable(&self) -> u64 {
        self.reserve.base / 8
    }

    /// What is free, and what a checkpoint can make so.
    fn to_gain(&self) -> u64 {
        let free = self.disk.free_len().unwrap_or(0);
        let images = self.pages.memory.images_len_max();
        free + self.reserve.held() + images + self.log_since.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(vellum_shuttle)))]
mod tests {
    use super::*;
    use crate::key_value::{KeyValue, put};
    use crate::{Handle, Options};
    use std::sync::Arc;
    use vellum_sim::MemDisk;

    /// The writer lock is back after a checkpoint that panicked: the next commit does not wait for the lender.
    #[test]
    fn a_panic_while_the_writer_lock_is_lent_leaves_no_commit_waiting() {
        let first = || KeyValue::encode(&(b"key", b"value"), &mut Vec::new()).to_vec();
        let options = Options { threads: false, background: false, ..Options::default() };
        let store = Handle::<KeyValue>::create(Arc::new(MemDisk::new()), options, first).unwrap();
        let engine = store.engine();
        let lent = catch_unwind(AssertUnwindSafe(|| {
            let mut held = engine.lock_writer().unwrap();
            engine.lend(&mut held, || panic!("a checkpoint that panics"))
        }));
        assert!(lent.is_err(), "the panic is passed on");
        assert!(!engine.lock_writer().unwrap().lent, "the next commit would wait without end");
        put(engine, b"key", b"after the panic").unwrap();
        store.close().unwrap();
    }
}
