//! An open engine: create, open, lock, commit, close; the only room that owns threads.
//!
//! ```text
//! Handle (closes on drop) ─ Arc ─► Engine ◄─ Arc ─ flusher, log files, checkpointer
//!                                    │
//!                                    ├─ machine: the state machine, which knows what pages mean
//!                                    ├─ pages: where pages live, shared with the state machine
//!                                    └─ writer lock ─► pages' writer, log, what the machine stages
//! ```
//!
//! [`commit`] is the function to read first: it lists the protocol. Three threads run beside the callers: the flusher
//! syncs for commits that are polled or due by interval, and marks an idle log; another one prepares log files ahead
//! of the writer; the checkpointer takes checkpoints. None takes the writer lock for longer than a snapshot or a few
//! groups' install.

mod admission;
mod background;
mod checkpoint;
pub mod commit;
mod opening;
pub mod recover;
mod reserve;
mod stats;
mod superblocks;

pub use background::Work;
use commit::Room;
pub use recover::{Recovered, RecoveryReport};
pub use stats::{FileStats, Health};

use crate::id::Lsn;
use crate::log::{GroupCommit, Kind, Log, Seal};
use crate::machine::StateMachine;
use crate::options::{Durability, Options};
use crate::pages::superblock::{self, Found, Superblock};
use crate::pages::{self, PageStore, View, Writer as PageWriter};
use crate::planted::planted;
use crate::random::Random;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use admission::Shortage;
use background::Threads;
use opening::Opened;
use reserve::Reserve;
use stats::HealthState;
use std::cell::Cell as ThreadCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::{Poll, Waker};
use superblocks::Superblocks;
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Access, Disk, LOCK_NAME, Lock};

/// A close takes a last checkpoint when more row groups and buckets than this are dirty: each costs the
/// next opening up to eight images, and an opening reads at most 64.
const CLOSE_DIRTY_MAX: usize = 4;
/// … or when there is more log than this to replay.
const CLOSE_LOG_LEN: u64 = 1 << 20;

/// Keeps an engine open, and closes it when it is dropped.
#[derive(Debug)]
pub struct Handle<S: StateMachine> {
    engine: Arc<Engine<S>>,
    threads: Mutex<Threads>,
}

/// An open store of pages and log records, and the state machine that they are of.
pub struct Engine<S: StateMachine> {
    /// What the pages and records mean.
    pub machine: S,
    /// Where the pages live.
    pub pages: Arc<PageStore>,
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// Its settings.
    pub options: Options,
    /// Ids and salts, also for the state machine.
    pub random: Random,
    /// What opening found and did.
    pub report: RecoveryReport,
    /// `None` in a store that was opened for reading.
    writing: Option<Writing<S>>,
    closed: AtomicBool,
    /// Held by the thread that takes a checkpoint; lock order: before the writer.
    checkpointing: Mutex<()>,
    superblocks: Mutex<Superblocks>,
    /// Whether the superblock copies say that the store is closed.
    sealed: AtomicBool,
    health: Mutex<HealthState>,
    /// Wakes the checkpointer, and writers that wait for it.
    wake: Mutex<Wake>,
    woken: Condvar,
    /// The newest commit when the files were checked last.
    checked: AtomicU64,
    /// Without threads: the time of the newest commit then.
    checked_at: AtomicI64,
    /// Log bytes since the newest checkpoint's place.
    log_since: AtomicU64,
    /// Dirty bytes and log bytes at which disk space is looked at next.
    admitted_until: AtomicU64,
    reserve: Reserve,
    /// Deletes have used up half of what is left to them: writers wait for a checkpoint.
    short_of_space: AtomicBool,
    shortage: Shortage,
    /// Released at close, even while handles live on.
    lock: Mutex<Option<Box<dyn Lock>>>,
}

struct Writing<S: StateMachine> {
    writer: Mutex<WriterState<S>>,
    shared: Arc<GroupCommit>,
}

/// What the writer lock guards. Derefs to what the state machine keeps there.
#[derive(Debug)]
pub struct WriterState<S: StateMachine> {
    /// The right to change pages.
    pub pages: PageWriter,
    log: Log,
    machine: S::Writer,
    scratch: S::Scratch,
    /// Room for records that are encoded anew.
    space: Vec<u8>,
    /// A commit that found no room has lent the lock to a checkpoint: other writers wait until it has it back.
    lent: bool,
}

/// The writer lock, held.
pub type Held<'a, S> = MutexGuard<'a, WriterState<S>>;

impl<S: StateMachine> Deref for WriterState<S> {
    type Target = S::Writer;

    #[inline]
    fn deref(&self) -> &S::Writer {
        &self.machine
    }
}

impl<S: StateMachine> DerefMut for WriterState<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S::Writer {
        &mut self.machine
    }
}

/// What the checkpointer is woken for.
#[derive(Debug, Default)]
struct Wake {
    checkpoint: bool,
    stop: bool,
}

impl<S: StateMachine> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("disk", &self.disk.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The engine whose writer lock this thread holds in a transaction: a nested write is an error.
    static IN_TRANSACTION: ThreadCell<usize> = const { ThreadCell::new(0) };
}

/// See [`Engine::enter_transaction`].
#[derive(Debug)]
pub struct InTransaction(usize);

impl Drop for InTransaction {
    fn drop(&mut self) {
        IN_TRANSACTION.set(self.0);
    }
}

impl<S: StateMachine> Handle<S> {
    /// Creates a store whose first commit is this change, and opens it.
    ///
    /// Crash rule 11: a store exists when its superblock does, and that is created last. Files that a creation
    /// left which did not finish are recognised by being only that, and are finished over.
    ///
    /// # Errors
    /// `AlreadyExists` when the directory holds a store or anything else; `Locked`; what the disk reports.
    pub fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        first: impl FnOnce() -> Vec<u8>,
    ) -> Result<Handle<S>> {
        superblocks::reject_occupied(&*disk)?;
        disk.create_dir()?;
        let lock = opening::lock(&*disk, options.lock_wait)?;
        superblocks::reject_occupied(&*disk)?;
        superblock::begin_unfinished(&*disk)?;
        for name in disk.list()? {
            if name != LOCK_NAME && name != superblock::UNFINISHED_NAME {
                disk.remove(&name)?;
            }
        }
        let random = Random::new(options.seed);
        let store_id = random.draw_id();
        let mut log = Log::create(disk.clone(), store_id, random.draw() as u32, options.log_config())?;
        let start = log.resume_point();
        let record = first();
        log.reserve(record.len())?;
        log.append(Kind::Commit, Lsn(1), Lsn(0), &record)?;
        log.shared().sync_now()?;
        let seal = Some(log.resume_point().seal());
        drop(log);
        let first = Superblock { store_id, generation: 0, log: start, root: None, attested: Lsn(1), seal };
        superblock::create(&*disk, &first, start.first_file())?;
        drop(lock);
        Handle::open(disk, options)
    }

    /// Opens a store: takes the lock unless it is opened for reading, recovers, and starts the threads.
    ///
    /// # Errors
    /// `NotAStore`, `UnknownFormat`, `Locked`, `Corrupt`; what the disk reports.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Handle<S>> {
        let Opened { lock, found, recovered } = opening::open::<S>(&disk, &options)?;
        let Recovered { machine, pages, writer, scan, mut report } = recovered;
        let random = Random::new(options.seed);
        let mut writing = None;
        let Found { live, other, .. } = &found;
        let mut superblocks = Superblocks { file: None, live: live.clone(), other: other.clone() };
        if !options.read_only {
            superblocks.file = Some(disk.open(superblock::FILE_NAME, Access::Write)?);
            // Crash rule 11: the creation may have died before it synced the superblock's name, and nothing of
            // this session, not even that there is a store, may rest on a name that a power cut takes back.
            disk.sync_dir()?;
            if !scan.sealed && !planted("stale_superblock") {
                // Crash rule 4: the copies that were read may be in the page cache only, and the disk may
                // say that the store is closed where it was.
                superblocks.write_seal(None, found.known().floor)?;
            }
            let log = superblocks::open_log(&disk, &options, &random, live, &scan, &mut report)?;
            pages.table.lock().freed = superblocks::remove_leftovers(&*disk, &found, pages.cache())?;
            let shared = log.shared().clone();
            if let Some(file) = &superblocks.file {
                superblocks::keep_witness(&disk, &log, file, &found, scan.sealed, options.log_mapped)?;
            }
            let (machine, scratch) = (S::Writer::default(), S::Scratch::default());
            let state = WriterState { pages: writer, log, machine, scratch, space: Vec::new(), lent: false };
            writing = Some(Writing { writer: Mutex::new(state), shared });
        }
        let sealed = found.live.seal.is_some() && scan.sealed;
        let engine = Arc::new(Engine {
            machine,
            pages,
            disk,
            random,
            writing,
            closed: AtomicBool::new(false),
            checkpointing: Mutex::new(()),
            superblocks: Mutex::new(superblocks),
            sealed: AtomicBool::new(sealed),
            health: Mutex::new(HealthState::default()),
            wake: Mutex::new(Wake::default()),
            woken: Condvar::new(),
            checked: AtomicU64::new(0),
            checked_at: AtomicI64::new(i64::MIN),
            log_since: AtomicU64::new(report.replayed_len),
            admitted_until: AtomicU64::new(0),
            reserve: Reserve::new(&options),
            short_of_space: AtomicBool::new(false),
            shortage: Shortage::default(),
            report,
            options,
            lock: Mutex::new(lock),
        });
        let threads = Mutex::new(Threads::start(&engine)?);
        if !engine.options.read_only {
            if !engine.machine.is_empty() {
                engine.reserve.want();
            }
            engine.keep_reserves();
            if engine.report.replayed_len > engine.options.checkpoint_log_len {
                engine.ask_for_checkpoint();
            }
        }
        Ok(Handle { engine, threads })
    }

    /// The engine. It works while the handle lives; a clone of this `Arc` does not keep it open.
    #[must_use]
    #[inline]
    pub fn engine(&self) -> &Arc<Engine<S>> {
        &self.engine
    }

    /// Closes the engine: a final checkpoint if there is more than 1 MiB of log, a sync, and the seal that lets the
    /// next opening distinguish damage from a crash (crash rule 6). A second call does nothing.
    ///
    /// # Errors
    /// What the disk reports; nothing is lost by that, the next opening recovers.
    pub fn close(&self) -> Result<()> {
        let mut threads = self.threads.lock();
        if self.engine.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        threads.stop(&self.engine);
        let result = self.engine.seal();
        self.engine.closed.store(true, Ordering::Release);
        *self.engine.lock.lock() = None;
        result
    }
}

impl<S: StateMachine> Drop for Handle<S> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store failed; the next opening recovers");
        }
    }
}

impl<S: StateMachine> Engine<S> {
    /// The newest commit on stable storage.
    #[inline]
    pub fn durable(&self) -> Lsn {
        self.writing.as_ref().map_or(self.machine.applied(), |writing| writing.shared.durable())
    }

    /// The writer lock, for one commit: waits while more is dirty than the budget allows, and while a commit that
    /// found no room on the disk has lent the lock to a checkpoint.
    ///
    /// # Errors
    /// `ReadOnly`, `NestedWrite`, `Poisoned`, `Closed`; why checkpoints fail, where they do.
    #[inline]
    pub fn writer(&self) -> Result<Held<'_, S>> {
        self.wait_for_room()?;
        let mut held = self.lock_writer()?;
        if held.lent {
            self.wait_for_the_lender(&mut held)?;
        }
        Ok(held)
    }

    /// The writer lock at once, for work between commits.
    ///
    /// # Errors
    /// `ReadOnly`, `NestedWrite`, `Poisoned`, `Closed`.
    #[inline]
    pub fn lock_writer(&self) -> Result<Held<'_, S>> {
        let Some(writing) = &self.writing else {
            return Err(Error::new(ErrorKind::ReadOnly, "the store was opened for reading"));
        };
        if IN_TRANSACTION.get() == std::ptr::from_ref(self) as usize {
            return Err(Error::new(
                ErrorKind::NestedWrite,
                "a write through the store inside a transaction of the same thread; use the transaction's own methods",
            ));
        }
        let guard = writing.writer.lock();
        self.check_open()?;
        Ok(guard)
    }

    /// Crash rule 9: after a failed log write memory is ahead of the disk, so live reads fail too.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    #[inline]
    pub fn check_open(&self) -> Result<()> {
        if let Some(writing) = &self.writing
            && let Some(cause) = writing.shared.poisoned()
        {
            return Err(cause);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }

    /// Crash rule 6: before the first frame of a session, both copies say `open`, durably.
    #[inline]
    fn mark_open(&self) -> Result<()> {
        let closed = self.sealed.load(Ordering::Acquire) && !planted("no_open_mark");
        if closed { self.write_seal(None) } else { Ok(()) }
    }

    #[cold]
    fn write_seal(&self, seal: Option<Seal>) -> Result<()> {
        self.shared()?.check_files()?;
        let attested = self.durable();
        self.superblocks.lock().write_seal(seal, attested).inspect_err(|error| self.poison(error))?;
        self.sealed.store(seal.is_some(), Ordering::Release);
        Ok(())
    }

    pub(super) fn poison(&self, cause: &Error) {
        if let Some(writing) = &self.writing {
            writing.shared.poison(cause.clone());
        }
    }

    /// Crash rule 6: a clean close names the log's end in both copies.
    fn seal(&self) -> Result<()> {
        let Some(writing) = &self.writing else { return Ok(()) };
        if writing.shared.poisoned().is_some() || self.sealed.load(Ordering::Acquire) {
            return Ok(());
        }
        // A checkpoint that waits here, perhaps for a commit that makes room, finds the store closed: it must not
        // open it again after the seal.
        let _one_at_a_time = self.checkpointing.lock();
        let dirty_count = writing.writer.lock().pages.dirty.len();
        if dirty_count > CLOSE_DIRTY_MAX || self.log_since.load(Ordering::Relaxed) >= CLOSE_LOG_LEN {
            self.checkpoint_alone(pages::Compaction::Bounded, self.is_nearly_full())?;
        }
        let writer = writing.writer.lock();
        // Under the writer lock: a writer that waits for it must not append behind the seal.
        self.closed.store(true, Ordering::Release);
        writing.shared.sync_now()?;
        self.reserve.shrink(&*self.disk);
        // No seal vouches for a file without frames: nothing could show that it is missing or damaged.
        writing.shared.remove_next();
        // Nor may what was removed come back behind the seal.
        self.pages.remove_abandoned()?;
        self.disk.sync_dir()?;
        let end = writer.log.resume_point();
        self.write_seal(Some(end.seal()))?;
        writing.shared.remove_spare();
        Ok(())
    }

    fn superblocks(&self) -> MutexGuard<'_, Superblocks> {
        self.superblocks.lock()
    }

    /// Marks this thread as inside a transaction until the mark is dropped: taking the writer lock is an error then,
    /// and not a deadlock.
    #[must_use]
    pub fn enter_transaction(&self) -> InTransaction {
        InTransaction(IN_TRANSACTION.replace(std::ptr::from_ref(self) as usize))
    }

    /// Waits for a commit as `durability` says.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped: the commit may or may not be there after reopening.
    #[inline]
    pub fn wait(&self, lsn: Lsn, durability: Durability) -> Result<()> {
        match durability {
            Durability::Sync => self.wait_durable(lsn),
            Durability::Interval(_) | Durability::Buffered => Ok(()),
        }
    }

    /// Waits until a commit is on stable storage. One sync serves all waiters.
    ///
    /// # Errors
    /// As [`Engine::wait`].
    #[inline]
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        match &self.writing {
            Some(writing) => writing.shared.wait(lsn),
            None => Ok(()),
        }
    }

    /// Whether a commit is on stable storage; if not, a sync begins and the waker is called after it.
    ///
    /// # Errors
    /// As [`Engine::wait`].
    pub fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<Result<()>> {
        match &self.writing {
            Some(writing) => writing.shared.poll_durable(lsn, waker),
            None => Poll::Ready(Ok(())),
        }
    }

    /// A view of the pages as they are now, which later commits do not change; and what `also` reads of the state
    /// under the same lock. Costs the same whatever the number of pages.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    pub fn view<R>(&self, also: impl FnOnce(&S) -> R) -> Result<(View, R)> {
        self.check_open()?;
        if self.writing.is_none() {
            // There is no writer: the live state is as good as frozen.
            let read = also(&self.machine);
            return Ok((self.pages.read_view(), read));
        }
        let mut held = self.lock_writer()?;
        let read = also(&self.machine);
        Ok((self.pages.snapshot(&mut held.pages), read))
    }
}
