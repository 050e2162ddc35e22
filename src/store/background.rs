//! The two threads of a store, and the checkpoint that one of them takes.

use super::admission::InCheckpoint;
use super::{Durability, Inner, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vellum_engine::pagestore::superblock::Superblock;
use vellum_engine::pagestore::{CheckpointReport, Compaction};
use vellum_engine::sync::atomic::Ordering;
use vellum_engine::sync::mpsc::{self, Receiver, SyncSender};
use vellum_engine::sync::thread::{self, JoinHandle};
use vellum_engine::wal::{CheckpointMark, FlusherWork, GroupCommit, Kind};
use vellum_engine::{Error, ErrorKind, Result};

/// The files are checked this often while commits come, and the record of what was reported durable is synced this
/// long after the last one at most.
pub(super) const IDLE: Duration = Duration::from_millis(200);
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
/// A checkpoint that failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// The running threads.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<Threads> {
        let mut threads = Threads::default();
        if let Err(error) = threads.start_all(inner) {
            // Those that run hold the store, and with it the lock.
            threads.stop(inner);
            return Err(error);
        }
        Ok(threads)
    }

    fn start_all(&mut self, inner: &Arc<Inner>) -> Result<()> {
        let Some(writing) = &inner.writing else { return Ok(()) };
        if !inner.config.threads {
            // Commits that are polled wait for themselves.
            writing.shared.stop();
            return Ok(());
        }
        let (shared, owner) = (writing.shared.clone(), inner.clone());
        // Making a log file takes a tenth of a second; commits that are polled must not wait behind it.
        let (prepare, wanted) = mpsc::sync_channel(1);
        self.spawn("vellum-flusher", move || flush(&owner, &shared, &prepare))?;
        let owner = inner.clone();
        self.spawn("vellum-log-files", move || prepare_files(&owner, &wanted))?;
        if inner.config.background {
            let owner = inner.clone();
            self.spawn("vellum-checkpoint", move || run_checkpoints(&owner))?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name.to_string()).spawn(body);
        self.running.push(thread.map_err(|error| Error::io("starting a thread for", name, error))?);
        Ok(())
    }

    pub(crate) fn stop(&mut self, inner: &Inner) {
        if let Some(writing) = &inner.writing {
            writing.shared.stop();
        }
        inner.wake.lock().stop = true;
        inner.woken.notify_all();
        for thread in self.running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store panicked");
            }
        }
    }
}

/// What the threads do, for a store without threads.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Make the next log file, if one is wanted.
    LogFile,
    /// Sync what an interval owes, and mark an idle log.
    Idle,
}

impl Store {
    /// Does what a thread would do now, if the store has none; an error is kept for [`Store::health`].
    #[doc(hidden)]
    pub fn work(&self, work: Work) {
        let inner = self.inner();
        let Some(writing) = &inner.writing else { return };
        if inner.config.threads || writing.shared.poisoned().is_some() {
            return;
        }
        match work {
            Work::LogFile => inner.prepare_log_file(&writing.shared),
            Work::Idle => {
                let synced = inner.sync_interval(&writing.shared);
                inner.note_log_work(synced.and_then(|()| inner.look(&writing.shared)));
            }
        }
    }
}

fn flush(inner: &Inner, shared: &GroupCommit, prepare: &SyncSender<()>) {
    let interval = match inner.config.durability {
        Durability::Interval(ms) => Duration::from_millis(ms.max(1)),
        _ => IDLE,
    };
    let (mut synced, mut looked) = (Instant::now(), Instant::now());
    loop {
        let due = interval.saturating_sub(synced.elapsed()).min(IDLE.saturating_sub(looked.elapsed()));
        let result = match shared.flusher_wait(Some(due.max(Duration::from_millis(1)))) {
            FlusherWork::Sync(lsn) => shared.wait(lsn),
            FlusherWork::Prepare => {
                // A full channel has the request already.
                let _ = prepare.try_send(());
                Ok(())
            }
            FlusherWork::Stop => return,
            FlusherWork::Timeout if shared.poisoned().is_some() => Ok(()),
            FlusherWork::Timeout => {
                let mut result = Ok(());
                if synced.elapsed() >= interval {
                    synced = Instant::now();
                    result = inner.sync_interval(shared);
                }
                if looked.elapsed() >= IDLE {
                    looked = Instant::now();
                    result = result.and(inner.look(shared));
                }
                result
            }
        };
        inner.note_log_work(result);
    }
}

/// Ends when the flusher does, which holds the other end.
fn prepare_files(inner: &Inner, wanted: &Receiver<()>) {
    let Some(writing) = &inner.writing else { return };
    while wanted.recv().is_ok() {
        inner.prepare_log_file(&writing.shared);
    }
}

fn run_checkpoints(inner: &Inner) {
    loop {
        {
            let mut wake = inner.wake.lock();
            while !wake.checkpoint && !wake.stop {
                inner.woken.wait(&mut wake);
            }
            if wake.stop {
                return;
            }
        }
        if let Err(error) = inner.checkpoint_asked_for() {
            if error.kind() == ErrorKind::Poisoned || error.kind() == ErrorKind::Closed {
                inner.woken.notify_all();
                return;
            }
            tracing::error!(%error, "a checkpoint failed; it is tried again");
            let mut wake = inner.wake.lock();
            wake.checkpoint = true;
            if !wake.stop {
                inner.woken.wait_for(&mut wake, RETRY);
            }
        }
    }
}

impl Inner {
    fn prepare_log_file(&self, shared: &GroupCommit) {
        // Not fatal: the writer makes the file itself when it needs it.
        self.note_log_work(shared.prepare_next());
    }

    fn note_log_work(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::error!(%error, "the log's background work failed");
            self.health.lock().log = Some(error);
        }
    }

    /// Syncs what an interval owes.
    fn sync_interval(&self, shared: &GroupCommit) -> Result<()> {
        let owes =
            matches!(self.config.durability, Durability::Interval(_)) && shared.appended() > shared.durable();
        if owes { shared.sync_now().map(drop) } else { Ok(()) }
    }

    /// Checks that the files are still the store's, if commits came since the last look; and makes the record of what
    /// was reported durable outlive a power cut, if none came (crash rule 5).
    fn look(&self, shared: &GroupCommit) -> Result<()> {
        let appended = shared.appended();
        if self.checked.swap(appended.0, Ordering::Relaxed) != appended.0 {
            return shared.check_files();
        }
        if appended > shared.durable() {
            return Ok(());
        }
        let Some(witness) = shared.witness() else { return Ok(()) };
        // The superblock's file is synced under its lock, and not after a sync of it failed.
        let _superblocks = self.superblocks();
        if shared.poisoned().is_some() {
            return Ok(());
        }
        witness.sync().inspect_err(|error| self.poison(error))
    }

    pub(crate) fn ask_for_checkpoint(&self) {
        if !self.config.background {
            return;
        }
        let mut wake = self.wake.lock();
        if !wake.checkpoint {
            wake.checkpoint = true;
            self.woken.notify_all();
        }
    }

    /// Back-pressure: a writer waits here while more is dirty than the budget allows.
    #[inline]
    pub(crate) fn wait_for_room(&self) -> Result<()> {
        if (self.is_over_budget() || self.short_of_space.load(Ordering::Relaxed)) && self.config.background {
            return self.wait_for_checkpoint();
        }
        Ok(())
    }

    /// The reserves of a store that was opened for writing. A disk without room for them has none, and takes
    /// no commits but deletes; nor has a store before its first commit.
    pub(crate) fn keep_reserves(&self) {
        self.reserve.take_back();
        let Some(writing) = &self.writing else { return };
        writing.shared.be_frugal(false);
        if !self.reserve.is_wanted() {
            return;
        }
        // Where there is room for less than all, deletes need some of each.
        self.reserve.keep(&*self.disk, self.reserve.base / 2);
        if let Err(error) = writing.shared.keep_reserve() {
            tracing::debug!(%error, "no room for the log's reserve");
        }
        self.reserve.keep(&*self.disk, self.reserve.base);
    }

    /// A running checkpoint may pin as much as what is written beside it.
    fn is_over_budget(&self) -> bool {
        let (memory, budget) = (&self.records.pages.memory, self.config.dirty_budget);
        memory.dirty() > budget || memory.pinned() > budget * 2
    }

    #[cold]
    fn wait_for_checkpoint(&self) -> Result<()> {
        self.ask_for_checkpoint();
        while self.is_over_budget() || self.short_of_space.load(Ordering::Relaxed) {
            self.check_open()?;
            // A disk that takes no checkpoint must not make writers wait for ever. One that is full is for
            // admission to report, which knows what there is to free.
            if let Some(error) = &self.health.lock().checkpoint {
                let is_admissions = error.kind() == ErrorKind::DiskFull && !self.is_over_budget();
                return if is_admissions { Ok(()) } else { Err(error.clone()) };
            }
            let mut wake = self.wake.lock();
            self.woken.wait_for(&mut wake, Duration::from_millis(20));
        }
        Ok(())
    }

    /// Takes a checkpoint. A failure leaves the store as it was, and is kept for [`Store::health`].
    ///
    /// [`Store::health`]: crate::Store::health
    pub(crate) fn checkpoint(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let _one_at_a_time = self.checkpointing.lock();
        self.checkpoint_alone(compaction, self.is_nearly_full())
    }

    /// Takes checkpoints one after the other as on a disk that is nearly full: they give back the log, what is
    /// empty, and what compaction empties. The caller does not hold the writer lock.
    pub(super) fn checkpoint_to_free(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let _one_at_a_time = self.checkpointing.lock();
        self.checkpoint_alone(compaction, true)
    }

    /// Takes the checkpoint that somebody asked for, unless one that began since was taken already: another one
    /// would give up the reserve again for nothing, and who then takes its room starves it.
    fn checkpoint_asked_for(&self) -> Result<()> {
        let _one_at_a_time = self.checkpointing.lock();
        let is_asked_for = self.wake.lock().checkpoint;
        if !is_asked_for {
            return Ok(());
        }
        self.checkpoint_alone(Compaction::Bounded, self.is_nearly_full()).map(drop)
    }

    /// [`Inner::checkpoint`] for a caller that holds `checkpointing`.
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
            self.make_way();
        }
        // Emptying segments takes room itself, so it does not wait until there is none.
        let hard = nearly_full && compaction == Compaction::Bounded && self.is_much_dead();
        let compaction = if hard { Compaction::Full } else { compaction };
        let mut result = self.checkpoint_now(compaction);
        let is_full = |result: &Result<CheckpointReport>| {
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::DiskFull)
        };
        // What is dirty needs less room than what compaction moves, and gives the log's room back.
        if is_full(&result) {
            self.make_way();
            result = self.checkpoint_now(Compaction::Nothing);
        }
        if is_full(&result)
            && let Some(writing) = &self.writing
        {
            writing.shared.give_up_reserve();
            result = self.checkpoint_now(Compaction::Nothing);
        }
        if nearly_full && result.is_ok() {
            result = result.and_then(|first| self.free_what_it_emptied(first, compaction));
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
        // Whoever asked has none yet.
        self.wake.lock().checkpoint |= was_asked_for && result.is_err();
        self.woken.notify_all();
        result
    }

    /// What a checkpoint empties is unlinked by the next one (crash rule 2); on a disk that is nearly full that
    /// is the room in which compaction goes on, and of which the reserve is made again.
    fn free_what_it_emptied(
        &self,
        first: CheckpointReport,
        compaction: Compaction,
    ) -> Result<CheckpointReport> {
        let pages = &self.records.pages;
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
        let dead = self.records.pages.dead_len();
        self.disk.free_len().is_ok_and(|free| dead > free / DEAD_PART_OF_FREE)
    }

    /// Whether the disk has no more free than a checkpoint may write and the reserve holds.
    pub(super) fn is_nearly_full(&self) -> bool {
        let images_len = self.records.pages.memory.images_len_max();
        let wanted = images_len + images_len / 4 + self.reserve.base.max(self.reserve.held());
        self.disk.free_len().is_ok_and(|free| free < wanted)
    }

    /// Gives up what is reserved, and log files that wait to be used. Writers wait until it is reserved again: what
    /// they took would be this checkpoint's.
    fn make_way(&self) {
        // Nobody is being admitted; a store that stopped admits nobody.
        let writer = self.lock_writer();
        self.short_of_space.store(true, Ordering::Relaxed);
        self.admitted_until.store(0, Ordering::Relaxed);
        self.reserve.give_up(&*self.disk);
        if let (Ok(_), Some(writing)) = (&writer, &self.writing) {
            // Under the lock: the writer may be about to go on in that file.
            writing.shared.remove_next();
        }
        drop(writer);
        if let Some(writing) = &self.writing {
            writing.shared.be_frugal(true);
        }
    }

    fn checkpoint_now(&self, compaction: Compaction) -> Result<CheckpointReport> {
        let pages = &self.records.pages;
        self.shared()?.check_files()?;
        // Crash rule 6: a store that says it is closed has no half-written segment.
        self.mark_open()?;
        let (frozen, start, commit_time, log_since) = {
            let mut writer = self.lock_writer()?;
            let start = writer.log.resume_point();
            let since = self.log_since.swap(0, Ordering::Relaxed);
            (pages.freeze(&mut writer.pages), start, self.records.commit_time(), since)
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

    /// Switches the superblock. When that fails, nobody knows which checkpoint is on disk: the store
    /// stops, and reopening finds out.
    fn flip(
        &self,
        start: vellum_engine::wal::Resume,
        written: &vellum_engine::pagestore::Checkpoint,
    ) -> Result<u64> {
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
        let (last, durable) = (self.records.applied(), self.shared()?.durable());
        writer.log.append(Kind::CheckpointMark, last, durable, &mark)?;
        Ok(())
    }
}

/// Lets the live pages know where they lie, a few groups in each hold of the writer lock.
fn install_all(inner: &Inner, written: &mut vellum_engine::pagestore::Checkpoint) -> Result<()> {
    loop {
        let all = {
            let mut writer = inner.lock_writer()?;
            inner.records.pages.install(&mut writer.pages, written, INSTALL_BATCH)?
        };
        written.drop_spent();
        if all {
            return Ok(());
        }
    }
}
