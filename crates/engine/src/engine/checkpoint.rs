//! Checkpoints: what memory is ahead of disk becomes images, and the superblock names them.
//!
//! ```text
//! freeze    under the writer lock: the pages of one commit, and its place in the log
//! write     images of what changed, and compaction's copies; synced
//! sync      the log up to that place (crash rule 1)
//! flip      the older superblock copy names the new root: one write, one sync
//! install   live pages learn where they lie, a few groups in each hold of the writer lock
//! mark      the log names the superblock (crash rule 2), and older log files are given back
//! ```

use super::Engine;
use super::admission::InCheckpoint;
use crate::log::{CheckpointMark, GroupCommit, Kind};
use crate::machine::StateMachine;
use crate::pages::superblock::Superblock;
use crate::pages::{CheckpointReport, Compaction};
use crate::sync::atomic::Ordering;
use std::sync::Arc;
use vellum_bytes::{Error, ErrorKind, Result};

/// Groups that learn their new places in one hold of the writer lock: some hundred microseconds. Fewer would
/// mean more changes of hands, which cost a waiting writer a wake-up each.
const INSTALL_BATCH: usize = 48;
/// Checkpoints one after the other on a disk that is nearly full: each compacts in the room that the one before
/// made, which grows several times over.
const ROUNDS_MAX: usize = 8;
/// On a disk that is nearly full everything is compacted once more than this part of what is free is dead.
const DEAD_PART_OF_FREE: u64 = 4;
/// Dead bytes that are worth another one of these.
const DEAD_LEN_WORTH: u64 = 64 << 10;

impl<S: StateMachine> Engine<S> {
    /// Takes a checkpoint. A failure leaves the store as it was, and is kept for [`Engine::health`].
    ///
    /// # Errors
    /// `Io`, `DiskFull`: nothing is lost, the log still has it. `Poisoned`, `Closed`.
    pub fn checkpoint(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let _one_at_a_time = self.checkpointing.lock();
        self.checkpoint_alone(compaction, self.is_nearly_full())
    }

    /// Takes checkpoints one after the other as on a disk that is nearly full: they give back the log, what is
    /// empty, and what compaction empties. The caller does not hold the writer lock.
    pub(super) fn checkpoint_to_free(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let _one_at_a_time = self.checkpointing.lock();
        self.checkpoint_alone(compaction, true)
    }

    /// Takes the checkpoint that a writer asked for, unless one that began since is complete: another checkpoint would
    /// release the reserve again for nothing, and a commit that then takes its room would starve it.
    pub(super) fn checkpoint_asked_for(&self) -> Result<()> {
        let _one_at_a_time = self.checkpointing.lock();
        let is_asked_for = self.wake.lock().checkpoint;
        if !is_asked_for {
            return Ok(());
        }
        self.checkpoint_alone(Compaction::Bounded, self.is_nearly_full()).map(drop)
    }

    /// [`Engine::checkpoint`] for a caller that holds `checkpointing`.
    pub(super) fn checkpoint_alone(
        &self,
        compaction: Compaction,
        nearly_full: bool,
    ) -> Result<CheckpointReport> {
        if self.closed.load(Ordering::Acquire) {
            self.check_open()?;
        }
        let _inside = InCheckpoint::enter(self);
        let was_asked_for = std::mem::take(&mut self.wake.lock().checkpoint);
        if nearly_full {
            // Crash rule 12: what was reserved is for this checkpoint, and for what compaction moves.
            self.release_reserves();
        }
        // Emptying segments takes room itself, so it begins while there is some left.
        let hard = nearly_full && compaction == Compaction::Bounded && self.is_much_dead();
        let compaction = if hard { Compaction::Full } else { compaction };
        let mut result = self.checkpoint_now(compaction);
        let is_full = |result: &Result<CheckpointReport>| {
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::DiskFull)
        };
        // What is dirty needs less room than what compaction moves, and gives the log's room back.
        if is_full(&result) {
            self.release_reserves();
            result = self.checkpoint_now(Compaction::Nothing);
        }
        if is_full(&result)
            && let Some(writing) = &self.writing
        {
            writing.shared.give_up_reserve();
            result = self.checkpoint_now(Compaction::Nothing);
        }
        if nearly_full && result.is_ok() {
            result = result.and_then(|first| self.reclaim_emptied_segments(first, compaction));
        }
        self.keep_reserves();
        self.short_of_space.store(false, Ordering::Relaxed);
        let mut health = self.health.lock();
        match &result {
            Ok(report) => {
                health.checkpoint = None;
                health.checkpoint_count += 1;
                health.written_len += report.written_len;
            }
            Err(error) => health.checkpoint = Some(error.clone()),
        }
        drop(health);
        // The writer that asked for a checkpoint still needs one.
        self.wake.lock().checkpoint |= was_asked_for && result.is_err();
        self.woken.notify_all();
        result
    }

    /// What a checkpoint empties is unlinked by the next one (crash rule 2); on a disk that is nearly full that
    /// is the room in which compaction goes on, and of which the reserve is made again.
    fn reclaim_emptied_segments(
        &self,
        first: CheckpointReport,
        compaction: Compaction,
    ) -> Result<CheckpointReport> {
        let pages = &self.pages;
        let (mut total, mut dead) = (first, u64::MAX);
        for _ in 0..ROUNDS_MAX {
            // Each checkpoint leaves the root of the one before dead, which is worth no other one.
            let still_dead = pages.dead_len();
            let gains = still_dead < dead && still_dead > DEAD_LEN_WORTH;
            dead = still_dead;
            let compaction = if gains { compaction } else { Compaction::Nothing };
            let round = match self.checkpoint_now(compaction) {
                Ok(round) => round,
                Err(error) if error.kind() == ErrorKind::DiskFull => break,
                Err(error) => return Err(error),
            };
            total.written_len += round.written_len;
            total.freed_segment_count += round.freed_segment_count;
            if round.group_count == 0 && round.freed_segment_count == 0 {
                break;
            }
        }
        Ok(total)
    }

    /// Whether what is dead would add noticeably to what is free.
    fn is_much_dead(&self) -> bool {
        let dead = self.pages.dead_len();
        self.disk.free_len().is_ok_and(|free| dead > free / DEAD_PART_OF_FREE)
    }

    /// Whether the disk has no more free than a checkpoint may write and the reserve holds.
    pub(super) fn is_nearly_full(&self) -> bool {
        let images_len = self.pages.memory.images_len_max();
        let wanted = images_len + images_len / 4 + self.reserve.base.max(self.reserve.held());
        self.disk.free_len().is_ok_and(|free| free < wanted)
    }

    /// Releases what is reserved, and the log file that was prepared ahead. Writers wait until there is a reserve again:
    /// they would take the room of this checkpoint.
    fn release_reserves(&self) {
        // No commit is being admitted under the lock; a poisoned engine admits none.
        let writer = self.lock_writer();
        self.short_of_space.store(true, Ordering::Relaxed);
        self.admitted_until.store(0, Ordering::Relaxed);
        self.reserve.give_up(&*self.disk);
        if let Some(writing) = &self.writing {
            // Waits for a file that is being prepared, so that it is removed too.
            writing.shared.set_reserve_only(true);
            if writer.is_ok() {
                // Under the lock: the writer may be about to go on in that file.
                writing.shared.remove_next();
            }
        }
    }

    fn checkpoint_now(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let pages = &self.pages;
        self.shared()?.check_files()?;
        // Crash rule 6: a store that says it is closed has no half-written segment.
        self.mark_open()?;
        let (frozen, start, commit_time, log_since) = {
            let mut writer = self.lock_writer()?;
            let start = writer.log.resume_point();
            let since = self.log_since.swap(0, Ordering::Relaxed);
            (pages.freeze(&mut writer.pages), start, self.machine.time(), since)
        };
        let undo = |frozen| -> Result<()> {
            self.log_since.fetch_add(log_since, Ordering::Relaxed);
            pages.thaw(&mut self.lock_writer()?.pages, frozen);
            Ok(())
        };
        let mut written = match pages.write_checkpoint(&frozen, start.lsn, commit_time, compaction) {
            Ok(written) => written,
            Err(error) => {
                undo(frozen)?;
                return Err(error);
            }
        };
        // Crash rule 1: the log is durable up to the checkpoint's place before a superblock names it.
        // The place, not the lsn: marks lie in between, and the older copy's replay reads them.
        let ready = self.shared()?.sync_now().and_then(|_| pages.map_new(&written));
        if let Err(error) = ready {
            pages.discard(&written);
            undo(frozen)?;
            return Err(error);
        }
        let generation = self.flip(start, &written)?;
        pages.adopt(&written);
        install_all(self, &mut written)?;
        drop(frozen);
        pages.release_retired();
        let marked = self.mark_checkpoint(generation, start.lsn);
        let oldest = self.superblocks().oldest_log();
        // What could not be given back now goes with the next checkpoint.
        self.note_log_work(self.shared()?.recycle(oldest).map(|_| ()));
        if let Err(error) = marked {
            // A mark that needed a log file may find room for it now.
            let retry = error.kind() == ErrorKind::DiskFull;
            if retry { self.mark_checkpoint(generation, start.lsn)? } else { return Err(error) }
        }
        Ok(written.report)
    }

    pub(super) fn shared(&self) -> Result<&Arc<GroupCommit>> {
        let read_only = || Error::new(ErrorKind::ReadOnly, "the store was opened for reading");
        self.writing.as_ref().map(|writing| &writing.shared).ok_or_else(read_only)
    }

    /// Switches the superblock. When that fails, either checkpoint may be on disk: the store
    /// stops, and reopening finds out.
    fn flip(&self, start: crate::log::Resume, written: &crate::pages::Checkpoint) -> Result<u64> {
        let mut superblocks = self.superblocks();
        let generation = superblocks.live.generation + 1;
        let next = Superblock {
            generation,
            log: start,
            root: Some(written.root),
            attested: self.durable(),
            seal: None,
            ..superblocks.live.clone()
        };
        superblocks.flip(next).inspect_err(|error| self.poison(error))?;
        Ok(generation)
    }

    /// Crash rule 2: the log says which superblock there should be.
    fn mark_checkpoint(&self, generation: u64, lsn: crate::Lsn) -> Result<()> {
        let mut writer = self.lock_writer()?;
        let mark = CheckpointMark { superblock: generation, lsn }.encode();
        writer.log.reserve(mark.len())?;
        let (last, durable) = (self.machine.applied(), self.shared()?.durable());
        writer.log.append(Kind::CheckpointMark, last, durable, &mark)?;
        Ok(())
    }
}

/// Lets the live pages know where they lie, a few groups in each hold of the writer lock.
fn install_all<S: StateMachine>(engine: &Engine<S>, written: &mut crate::pages::Checkpoint) -> Result<()> {
    loop {
        let all = {
            let mut writer = engine.lock_writer()?;
            engine.pages.install(&mut writer.pages, written, INSTALL_BATCH)?
        };
        written.drop_spent();
        if all {
            return Ok(());
        }
    }
}

#[cfg(all(test, not(vellum_shuttle)))]
mod tests {
    use super::*;
    use crate::key_value::{KeyValue, put};
    use crate::{Handle, Options};
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::sync_channel;
    use std::time::{Duration, Instant};
    use vellum_disk::Disk;
    use vellum_sim::{MemDisk, Op};

    /// The hook holds the preparing thread while it creates the next log file, until the checkpoint has begun to
    /// release the reserves. The file must not stay: its room is the checkpoint's.
    #[test]
    fn log_file_that_is_being_prepared_is_released_with_the_reserves() {
        let disk = MemDisk::new();
        let first = || KeyValue::encode(&(b"key", b"value"), &mut Vec::new()).to_vec();
        let lengths = Some((32 << 10, 32 << 10));
        let options = Options { background: false, log_file_len: lengths, ..Options::default() };
        let store = Handle::<KeyValue>::create(Arc::new(disk.clone()), options, first).unwrap();
        let engine = store.engine().clone();
        let (preparing, is_preparing) = sync_channel(16);
        let may_go_on = Arc::new(AtomicBool::new(false));
        let hook_may_go_on = may_go_on.clone();
        disk.on_call(move |event| {
            let thread = std::thread::current();
            if event.op == Op::Create && thread.name() == Some("vellum-log-files") {
                preparing.try_send(()).ok();
                let started = Instant::now();
                while !hook_may_go_on.load(Ordering::Acquire) && started.elapsed() < Duration::from_secs(60) {
                    std::thread::yield_now();
                }
            }
        });
        for number in 0..20_u32 {
            put(&engine, &number.to_le_bytes(), &[7; 1000]).unwrap();
        }
        is_preparing.recv().unwrap();
        let releasing = std::thread::spawn({
            let engine = engine.clone();
            move || engine.release_reserves()
        });
        while !engine.short_of_space.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        may_go_on.store(true, Ordering::Release);
        releasing.join().unwrap();
        disk.no_hook();
        let names = disk.list().unwrap();
        let newest = names.iter().filter_map(|name| crate::log::log_number(name)).max();
        let current = engine.lock_writer().unwrap().log.resume_point().position.file;
        assert_eq!(newest, Some(current), "{names:?}");
    }
}
