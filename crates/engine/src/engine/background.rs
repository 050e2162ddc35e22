//! The threads of an engine, and how writers wait for them.

use super::Engine;
use crate::log::{FlusherWork, GroupCommit};
use crate::machine::StateMachine;
use crate::options::Durability;
use crate::sync::atomic::Ordering;
use crate::sync::mpsc::{self, Receiver, SyncSender};
use crate::sync::thread::{self, JoinHandle};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vellum_bytes::{Error, ErrorKind, Result};

/// The files are checked this often while commits come, and the record of what was reported durable is synced this
/// long after the last one at most.
pub(super) const IDLE: Duration = Duration::from_millis(200);
/// A checkpoint that failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// The running threads.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start<S: StateMachine>(engine: &Arc<Engine<S>>) -> Result<Threads> {
        let mut threads = Threads::default();
        if let Err(error) = threads.start_all(engine) {
            // Those that run hold the store, and with it the lock.
            threads.stop(engine);
            return Err(error);
        }
        Ok(threads)
    }

    fn start_all<S: StateMachine>(&mut self, engine: &Arc<Engine<S>>) -> Result<()> {
        let Some(writing) = &engine.writing else { return Ok(()) };
        if !engine.options.threads {
            // Commits that are polled wait for themselves.
            writing.shared.stop();
            return Ok(());
        }
        let (shared, owner) = (writing.shared.clone(), engine.clone());
        // Making a log file takes a tenth of a second; commits that are polled must not wait behind it.
        let (prepare, wanted) = mpsc::sync_channel(1);
        self.spawn("vellum-flusher", move || flush(&owner, &shared, &prepare))?;
        let owner = engine.clone();
        self.spawn("vellum-log-files", move || prepare_files(&owner, &wanted))?;
        if engine.options.background {
            let owner = engine.clone();
            self.spawn("vellum-checkpoint", move || run_checkpoints(&owner))?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name.to_string()).spawn(body);
        self.running.push(thread.map_err(|error| Error::io("starting a thread for", name, error))?);
        Ok(())
    }

    pub(super) fn stop<S: StateMachine>(&mut self, engine: &Engine<S>) {
        if let Some(writing) = &engine.writing {
            writing.shared.stop();
        }
        engine.wake.lock().stop = true;
        engine.woken.notify_all();
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

impl<S: StateMachine> Engine<S> {
    /// Does what a thread would do now, if the engine has none; an error is kept for [`Engine::health`].
    pub fn work(&self, work: Work) {
        let Some(writing) = &self.writing else { return };
        if self.options.threads || writing.shared.poisoned().is_some() {
            return;
        }
        match work {
            Work::LogFile => self.prepare_log_file(&writing.shared),
            Work::Idle => {
                let synced = self.sync_interval(&writing.shared);
                self.note_log_work(synced.and_then(|()| self.look(&writing.shared)));
            }
        }
    }
}

fn flush<S: StateMachine>(engine: &Engine<S>, shared: &GroupCommit, prepare: &SyncSender<()>) {
    let interval = match engine.options.durability {
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
                    result = engine.sync_interval(shared);
                }
                if looked.elapsed() >= IDLE {
                    looked = Instant::now();
                    result = result.and(engine.look(shared));
                }
                result
            }
        };
        engine.note_log_work(result);
    }
}

/// Ends when the flusher does, which holds the other end.
fn prepare_files<S: StateMachine>(engine: &Engine<S>, wanted: &Receiver<()>) {
    let Some(writing) = &engine.writing else { return };
    while wanted.recv().is_ok() {
        engine.prepare_log_file(&writing.shared);
    }
}

fn run_checkpoints<S: StateMachine>(engine: &Engine<S>) {
    loop {
        {
            let mut wake = engine.wake.lock();
            while !wake.checkpoint && !wake.stop {
                engine.woken.wait(&mut wake);
            }
            if wake.stop {
                return;
            }
        }
        if let Err(error) = engine.checkpoint_asked_for() {
            if error.kind() == ErrorKind::Poisoned || error.kind() == ErrorKind::Closed {
                engine.woken.notify_all();
                return;
            }
            tracing::error!(%error, "a checkpoint failed; it is tried again");
            let mut wake = engine.wake.lock();
            wake.checkpoint = true;
            if !wake.stop {
                engine.woken.wait_for(&mut wake, RETRY);
            }
        }
    }
}

impl<S: StateMachine> Engine<S> {
    fn prepare_log_file(&self, shared: &GroupCommit) {
        // Not fatal: the writer makes the file itself when it needs it.
        self.note_log_work(shared.prepare_next());
    }

    pub(super) fn note_log_work(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::error!(%error, "the log's background work failed");
            self.health.lock().log = Some(error);
        }
    }

    /// Syncs what an interval owes.
    fn sync_interval(&self, shared: &GroupCommit) -> Result<()> {
        let owes = matches!(self.options.durability, Durability::Interval(_))
            && shared.appended() > shared.durable();
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
        if !self.options.background {
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
        if (self.is_over_budget() || self.short_of_space.load(Ordering::Relaxed)) && self.options.background {
            return self.wait_for_checkpoint();
        }
        Ok(())
    }

    /// The reserves of a store that was opened for writing. A disk without room for them has none, and takes
    /// no commits but deletes; nor has a store before its first commit.
    pub(crate) fn keep_reserves(&self) {
        self.reserve.take_back();
        let Some(writing) = &self.writing else { return };
        writing.shared.set_reserve_only(false);
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
    #[inline]
    fn is_over_budget(&self) -> bool {
        let (memory, budget) = (&self.pages.memory, self.options.dirty_budget);
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
}
