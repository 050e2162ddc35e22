//! An open store: create, open, lock, close; the only room that owns threads.
//!
//! ```text
//! Store ─ Arc ─► Handle (closes on drop) ─ Arc ─► Inner ◄─ Arc ─ flusher, checkpointer
//! ```
//!
//! Two threads run beside the callers: the flusher syncs for commits that are polled or due by
//! interval, prepares log files ahead of the writer and marks an idle log; the checkpointer takes
//! checkpoints. Neither takes the writer lock for longer than a snapshot or a few groups' install.

mod admission;
mod background;
mod commit;
mod config;
mod history;
mod object;
mod opening;
mod reserve;
mod snapshot;
mod stats;
mod write;

#[doc(hidden)]
pub use background::Work;
pub use commit::Commit;
pub use config::{Config, Durability, Progress};
pub use history::PastValue;
pub use object::Object;
pub use snapshot::Snapshot;
pub use stats::{Health, IndexStats, ObjectStats, Stats};
pub use write::Txn;

use crate::records::{ApplyScratch, Records};
use crate::recover::RecoveryReport;
use crate::redo::{FrameBuilder, FrameHead};
use crate::txn::{Source, Stage, WriterState};
use admission::Shortage;
use background::Threads;
pub use config::ConfigSource;
use opening::Opened;
use reserve::Reserve;
use stats::HealthState;
use std::cell::Cell as ThreadCell;
use std::path::Path;
use std::sync::Arc;
use vellum_disk::{Access, Disk, File, LOCK_NAME, Lock};
use vellum_engine::pagestore::superblock::{self, Found, Remains, Superblock};
use vellum_engine::pagestore::{self, CheckpointReport, SegmentEntry};
use vellum_engine::planted::planted;
use vellum_engine::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use vellum_engine::sync::{Condvar, Mutex, MutexGuard};
use vellum_engine::wal::{
    self, Attestation, GroupCommit, Kind, Log, LogConfig, Position, Resume, Seal, Witness,
};
use vellum_engine::{self as engine, Lsn};
use vellum_types::Result;
use vellum_types::schema::Schema;
use vellum_types::value::Actor;

/// A close takes a last checkpoint when more row groups and buckets than this are dirty: each costs the
/// next opening up to eight images, and an opening reads at most 64.
const CLOSE_DIRTY_MAX: usize = 4;
/// … or when there is more log than this to replay.
const CLOSE_LOG_LEN: u64 = 1 << 20;

/// An open store. Cheap to clone; the last clone closes it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) handle: Arc<Handle>,
    /// Who commits through this handle.
    actor: Option<Arc<Actor>>,
}

/// Closes the store when it goes.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
    threads: Mutex<Threads>,
}

/// What callers and background threads share.
pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: Config,
    pub(crate) source: ConfigSource,
    pub(crate) records: Records,
    /// `None` in a store that was opened for reading.
    writing: Option<Writing>,
    pub(crate) report: RecoveryReport,
    closed: AtomicBool,
    /// Taken by whoever takes a checkpoint; lock order: before the writer.
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
    /// Given back at close, even while handles live on.
    lock: Mutex<Option<Box<dyn Lock>>>,
}

struct Writing {
    writer: Mutex<WriterState>,
    shared: Arc<GroupCommit>,
}

/// What the checkpointer is woken for.
#[derive(Debug, Default)]
struct Wake {
    checkpoint: bool,
    stop: bool,
}

/// The two copies as they are on disk.
#[derive(Debug)]
pub(crate) struct Superblocks {
    file: Option<Arc<dyn File>>,
    pub(crate) live: Superblock,
    pub(crate) other: Option<Superblock>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("disk", &self.disk.place())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The store whose writer lock this thread holds in a transaction: a nested write is an error.
    static IN_TRANSACTION: ThreadCell<usize> = const { ThreadCell::new(0) };
}

impl Store {
    /// Creates a store with the default settings.
    ///
    /// # Errors
    /// As [`Config::create`].
    pub fn create(path: impl AsRef<Path>, schema: &Schema) -> Result<Store> {
        Config::new().create(path, schema)
    }

    /// Opens a store with the default settings.
    ///
    /// # Errors
    /// As [`Config::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Config::new().open(path)
    }

    /// Crash rule 11: a store exists when its superblock does, and that is created last. What a dead
    /// creation left is recognised by being only that, and is finished over.
    pub(crate) fn create_with(disk: Arc<dyn Disk>, config: Config, schema: &Schema) -> Result<Store> {
        reject_occupied(&*disk)?;
        disk.create_dir()?;
        let lock = opening::lock(&*disk, config.lock_wait)?;
        reject_occupied(&*disk)?;
        superblock::begin_unfinished(&*disk)?;
        for name in disk.list()? {
            if name != LOCK_NAME && name != superblock::UNFINISHED_NAME {
                disk.remove(&name)?;
            }
        }
        let source = ConfigSource::new(&config);
        let store_id = source.random_id();
        let mut log = Log::create(disk.clone(), store_id, source.random() as u32, log_config(&config))?;
        let start = log.resume_point();
        let mut frame = FrameBuilder::default();
        frame.start(&FrameHead { commit_time: source.now(), actor: 0 });
        frame.schema(&schema.encode());
        log.reserve(frame.body().len())?;
        log.append(Kind::Commit, Lsn(1), Lsn(0), frame.body())?;
        log.shared().sync_now()?;
        let seal = Some(log.resume_point().seal());
        drop(log);
        let first = Superblock { store_id, generation: 0, log: start, root: None, attested: Lsn(1), seal };
        superblock::create(&*disk, &first, start.first_file())?;
        drop(lock);
        Store::open_with(disk, config)
    }

    pub(crate) fn open_with(disk: Arc<dyn Disk>, config: Config) -> Result<Store> {
        let Opened { lock, found, recovered } = opening::open(&disk, &config)?;
        let source = ConfigSource::new(&config);
        let mut report = recovered.report;
        let mut writing = None;
        let Found { live, other, .. } = &found;
        let mut superblocks = Superblocks { file: None, live: live.clone(), other: other.clone() };
        if !config.read_only {
            superblocks.file = Some(disk.open(superblock::FILE_NAME, Access::Write)?);
            // Crash rule 11: the creation may have died before it synced the superblock's name, and nothing of
            // this session, not even that there is a store, may rest on a name that a power cut takes back.
            disk.sync_dir()?;
            if !recovered.scan.sealed && !planted("stale_superblock") {
                // Crash rule 4: the copies that were read may be in the page cache only, and the disk may
                // say that the store is closed where it was.
                superblocks.write_seal(None, found.known().floor)?;
            }
            let log = open_log(&disk, &config, &source, live, &recovered.scan, &mut report)?;
            recovered.records.pages.table.lock().freed =
                remove_leftovers(&*disk, &found, recovered.records.pages.cache())?;
            let shared = log.shared().clone();
            if let Some(file) = &superblocks.file {
                keep_witness(&disk, &log, file, &found, recovered.scan.sealed, config.log_mapped)?;
            }
            let (stage, frame, scratch) =
                (Stage::default(), FrameBuilder::default(), ApplyScratch::default());
            let (pages, last_actor, next_swept) = (recovered.writer, None, 0);
            let writer = Mutex::new(WriterState {
                pages,
                log,
                stage,
                frame,
                scratch,
                last_actor,
                next_swept,
                lent: false,
            });
            writing = Some(Writing { writer, shared });
        }
        let sealed = found.live.seal.is_some() && recovered.scan.sealed;
        let inner = Arc::new(Inner {
            disk,
            source,
            records: recovered.records,
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
            reserve: Reserve::new(&config),
            short_of_space: AtomicBool::new(false),
            shortage: Shortage::default(),
            report,
            config,
            lock: Mutex::new(lock),
        });
        let threads = Mutex::new(Threads::start(&inner)?);
        if !inner.config.read_only {
            // A store without a record has nothing to delete.
            if inner.records.applied() > Lsn(1) || inner.records.has_records() {
                inner.reserve.want();
            }
            inner.keep_reserves();
            if inner.report.replayed_len > inner.config.checkpoint_log_len {
                inner.ask_for_checkpoint();
            }
        }
        Ok(Store { handle: Arc::new(Handle { inner, threads }), actor: None })
    }

    /// A handle on the same store whose commits are the actor's: records show it as
    /// [`Record::created_by`](crate::Record::created_by) and
    /// [`Record::updated_by`](crate::Record::updated_by), and history keeps it.
    ///
    /// ```
    /// # use vellum::{Actor, ActorKind, Schema, Store, record};
    /// # let dir = std::env::temp_dir().join(format!("vellum-doc-actor-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&dir);
    /// # let schema = r#"{"objects":[{"key":"note","attributes":[{"key":"text","type":"text"}]}]}"#;
    /// # let store = Store::create(&dir, &Schema::from_json(schema)?)?;
    /// let alice = store.acting_as(Actor::new(ActorKind::User, "alice"));
    /// let notes = alice.object("note")?;
    /// let id = notes.create(record! { "text" => "hello" })?.id;
    /// assert_eq!(notes.get(id)?.unwrap().created_by().unwrap().id, "alice");
    /// # drop((notes, alice, store));
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), vellum::Error>(())
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Store {
        Store { handle: self.handle.clone(), actor: Some(Arc::new(actor)) }
    }

    /// A handle for one object's records.
    ///
    /// # Errors
    /// `ObjectNotFound`.
    pub fn object(&self, name: &str) -> Result<Object> {
        Object::new(self, name)
    }

    /// A copy of the schema.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.inner().records.catalog().schema.clone()
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner().report
    }

    /// Newest commit in memory: what reads show.
    #[must_use]
    pub fn applied_lsn(&self) -> Lsn {
        self.inner().records.applied()
    }

    /// Newest commit on stable storage.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.inner().durable()
    }

    /// Waits until a commit is on stable storage. With the LSN of what was read, this makes a read
    /// durable.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        match &self.inner().writing {
            Some(writing) => Ok(writing.shared.wait(lsn)?),
            None => Ok(()),
        }
    }

    /// A view of the store as it is now, that stays so. Costs the same whatever the number of records.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(self)
    }

    /// Writes what memory is ahead of disk, so that a later opening has less to replay.
    ///
    /// # Errors
    /// `Io`, `DiskFull`: nothing is lost, the log still has it. `Poisoned`.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        Ok(self.inner().checkpoint(pagestore::Compaction::Bounded)?)
    }

    /// A checkpoint that leaves no segment with anything dead in it, and frees the space.
    ///
    /// # Errors
    /// As [`Store::checkpoint`].
    pub fn compact(&self) -> Result<CheckpointReport> {
        let report = self.inner().checkpoint(pagestore::Compaction::Full)?;
        // What a checkpoint empties is unlinked by the next one (crash rule 2).
        let last = self.inner().checkpoint(pagestore::Compaction::Bounded)?;
        Ok(CheckpointReport { written_len: report.written_len + last.written_len, ..report })
    }

    /// Drops what is in memory and opens the store again from what is durable, after
    /// [`ErrorKind::Poisoned`]. Other clones of this store stay as they are and must be dropped first.
    ///
    /// # Errors
    /// As [`Config::open`]; `Locked` while another clone or a snapshot lives.
    pub fn reopen(self) -> Result<Store> {
        let (disk, mut config) = (self.inner().disk.clone(), self.inner().config.clone());
        // A seed that is given says how ids follow, and must not give the same ones again.
        config.seed = config.seed.map(|_| self.inner().source.random());
        drop(self);
        Store::open_with(disk, config)
    }

    /// Closes the store: a final checkpoint if there is more than 1 MiB of log, a sync, and the seal
    /// that lets the next opening tell damage from a crash (crash rule 6). Dropping the last clone does
    /// the same, but cannot report an error. Other clones answer `Closed` from here on.
    ///
    /// # Errors
    /// What the disk said; nothing is lost by that, the next opening recovers.
    pub fn close(self) -> Result<()> {
        Ok(self.handle.close()?)
    }

    /// The records, for tools that read pages.
    #[doc(hidden)]
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.inner().records
    }

    /// Changes pages under the writer lock without a frame, for tests of tools that find damage.
    ///
    /// # Errors
    /// As [`Store::apply`].
    #[doc(hidden)]
    pub fn with_pages<R>(&self, change: impl FnOnce(&Records, &mut pagestore::Writer) -> R) -> Result<R> {
        Ok(change(self.records(), &mut self.inner().lock_writer()?.pages))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store failed; the next opening recovers");
        }
    }
}

impl Handle {
    fn close(&self) -> engine::Result<()> {
        let mut threads = self.threads.lock();
        if self.inner.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        threads.stop(&self.inner);
        let result = self.inner.seal();
        self.inner.closed.store(true, Ordering::Release);
        *self.inner.lock.lock() = None;
        result
    }
}

impl Inner {
    pub(crate) fn durable(&self) -> Lsn {
        self.writing.as_ref().map_or(self.records.applied(), |writing| writing.shared.durable())
    }

    /// The writer lock.
    pub(crate) fn lock_writer(&self) -> engine::Result<MutexGuard<'_, WriterState>> {
        let Some(writing) = &self.writing else {
            return Err(engine::Error::new(engine::ErrorKind::ReadOnly, "the store was opened for reading"));
        };
        if IN_TRANSACTION.get() == std::ptr::from_ref(self) as usize {
            return Err(engine::Error::new(
                engine::ErrorKind::NestedWrite,
                "a write through the store inside a transaction of the same thread; use the transaction's own methods",
            ));
        }
        let guard = writing.writer.lock();
        self.check_open()?;
        Ok(guard)
    }

    /// Crash rule 9: after a failed log write memory is ahead of the disk, so live reads fail too.
    #[inline]
    pub(crate) fn check_open(&self) -> engine::Result<()> {
        if let Some(writing) = &self.writing
            && let Some(cause) = writing.shared.poisoned()
        {
            return Err(cause);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(engine::Error::new(engine::ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }

    /// Crash rule 6: before the first frame of a session, both copies say `open`, durably.
    #[inline]
    pub(crate) fn mark_open(&self) -> engine::Result<()> {
        let closed = self.sealed.load(Ordering::Acquire) && !planted("no_open_mark");
        if closed { self.write_seal(None) } else { Ok(()) }
    }

    #[cold]
    fn write_seal(&self, seal: Option<Seal>) -> engine::Result<()> {
        self.shared()?.check_files()?;
        let attested = self.durable();
        self.superblocks.lock().write_seal(seal, attested).inspect_err(|error| self.poison(error))?;
        self.sealed.store(seal.is_some(), Ordering::Release);
        Ok(())
    }

    pub(super) fn poison(&self, cause: &engine::Error) {
        if let Some(writing) = &self.writing {
            writing.shared.poison(cause.clone());
        }
    }

    /// Crash rule 6: a clean close names the log's end in both copies.
    fn seal(&self) -> engine::Result<()> {
        let Some(writing) = &self.writing else { return Ok(()) };
        if writing.shared.poisoned().is_some() || self.sealed.load(Ordering::Acquire) {
            return Ok(());
        }
        // A checkpoint that waits here, perhaps for a commit that makes room, finds the store closed: it must not
        // open it again after the seal.
        let _one_at_a_time = self.checkpointing.lock();
        let dirty_count = writing.writer.lock().pages.dirty.len();
        if dirty_count > CLOSE_DIRTY_MAX || self.log_since.load(Ordering::Relaxed) >= CLOSE_LOG_LEN {
            self.checkpoint_alone(pagestore::Compaction::Bounded, self.is_nearly_full())?;
        }
        let writer = writing.writer.lock();
        // Under the writer lock: a writer that waits for it must not append behind the seal.
        self.closed.store(true, Ordering::Release);
        writing.shared.sync_now()?;
        self.reserve.shrink(&*self.disk);
        // No seal vouches for a file without frames: nothing could show that it is missing or damaged.
        writing.shared.remove_next();
        // Nor may what was removed come back behind the seal.
        self.records.pages.remove_abandoned()?;
        self.disk.sync_dir()?;
        let end = writer.log.resume_point();
        self.write_seal(Some(end.seal()))?;
        writing.shared.remove_spare();
        Ok(())
    }

    pub(crate) fn superblocks(&self) -> MutexGuard<'_, Superblocks> {
        self.superblocks.lock()
    }
}

impl Superblocks {
    /// Writes both copies with this seal, the older one first, so that one of them is whole always.
    fn write_seal(&mut self, seal: Option<Seal>, attested: Lsn) -> engine::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.other.is_none() {
            // A copy that could not be read is made anew from the live one, under the generation before; a new
            // store's second copy under the one behind, as there is none before.
            let generation = self.live.generation.checked_sub(1).unwrap_or(1);
            let anew = Superblock { generation, ..self.live.clone() };
            superblock::write(file, &anew)?;
            self.other = Some(anew);
        }
        let other = self.other.as_mut().expect("made above");
        if other.generation > self.live.generation {
            std::mem::swap(other, &mut self.live);
        }
        (other.seal, other.attested) = (seal, attested);
        superblock::write(file, other)?;
        (self.live.seal, self.live.attested) = (seal, attested);
        superblock::write(file, &self.live)
    }

    /// Switches to a new checkpoint: one write, one sync, to the copy that is not live.
    fn flip(&mut self, next: Superblock) -> engine::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        superblock::write(file, &next)?;
        self.other = Some(std::mem::replace(&mut self.live, next));
        Ok(())
    }

    /// The oldest place in the log that a copy names (crash rule 2).
    fn oldest_log(&self) -> Position {
        let other = self.other.as_ref().map_or(self.live.log.position, |other| other.log.position);
        other.min(self.live.log.position)
    }
}

fn log_config(config: &Config) -> LogConfig {
    let lengths = LogConfig { mapped: config.log_mapped, ..LogConfig::default() };
    match config.log_file_len {
        Some((file_len_min, file_len_max)) => {
            LogConfig { file_len_first: file_len_min, file_len_min, file_len_max, ..lengths }
        }
        None => lengths,
    }
}

fn reject_occupied(disk: &dyn Disk) -> engine::Result<()> {
    let names = if disk.exists()? { disk.list()? } else { Vec::new() };
    let taken = |message| Err(engine::Error::new(engine::ErrorKind::AlreadyExists, message));
    if names.iter().any(|name| name == superblock::FILE_NAME) {
        return taken(format!(
            "{} holds a store already; open it, or choose another directory",
            disk.place()
        ));
    }
    match superblock::remains(disk)? {
        Remains::Unfinished => return taken(superblock::unfinished(&disk.place()).to_string()),
        Remains::Damaged => return taken(superblock::damaged(&disk.place())),
        Remains::Nothing => {}
    }
    match names.iter().find(|name| !is_of_a_creation(name)) {
        None => Ok(()),
        Some(name) => {
            taken(format!("{} is not empty (it holds {name}); choose an empty directory", disk.place()))
        }
    }
}

/// What a creation that died leaves.
fn is_of_a_creation(name: &str) -> bool {
    [LOCK_NAME, superblock::TEMPORARY_NAME, superblock::UNFINISHED_NAME].contains(&name)
        || wal::log_number(name).is_some()
        || wal::is_leftover(name)
}

/// Opens the log for writing. After a clean close it goes on where it ended; after an unclean end what
/// was replayed is made durable first (crash rule 4), then a new generation begins (crash rule 3).
fn open_log(
    disk: &Arc<dyn Disk>,
    config: &Config,
    source: &ConfigSource,
    live: &Superblock,
    scan: &wal::Scan,
    report: &mut RecoveryReport,
) -> engine::Result<Log> {
    let end: &Resume = &scan.end;
    if scan.sealed {
        return Log::resume(disk.clone(), live.store_id, end, log_config(config));
    }
    if let Some(torn) = &scan.torn {
        let kept = wal::keep_torn_tail(&**disk, torn)?;
        report.torn =
            Some(format!("{} at byte {}: {} bytes cut, kept in {kept}", torn.file, torn.offset, torn.len));
    }
    if !planted("no_rewrite") {
        wal::make_durable(&**disk, scan.durable_until, end.position)?;
    }
    Log::start_generation(disk.clone(), live.store_id, source.random() as u32, end, log_config(config))
}

/// The log's witness. After an unclean end, what recovery found is reported durable from here on, and the log goes
/// on in another file: both are on record before anything rests on them.
fn keep_witness(
    disk: &Arc<dyn Disk>,
    log: &Log,
    superblock: &Arc<dyn File>,
    found: &Found,
    is_sealed: bool,
    is_mapped: bool,
) -> engine::Result<()> {
    let (end, newest) = (log.resume_point(), log.newest_file());
    let record = found.attestation.unwrap_or(Attestation::new(end.lsn, newest));
    let store_id = found.live.store_id;
    let constants = superblock::constants(store_id);
    let offset = superblock::ATTESTATION_OFFSET as u64;
    let witness =
        Witness::new(disk.clone(), store_id, superblock.clone(), constants, offset, record, is_mapped)?;
    if !found.block_is_sound {
        witness.renew()?;
    }
    if !is_sealed {
        witness.begin(end.lsn, newest)?;
        witness.sync()?;
    }
    log.shared().set_witness(witness);
    Ok(())
}

/// Removes segments that no superblock copy names: what a checkpoint left that did not come to its end.
/// Returns those that only the older copy names: the next checkpoint takes its place, and frees them.
fn remove_leftovers(
    disk: &dyn Disk,
    found: &superblock::Found,
    cache: Option<&Arc<pagestore::Cache>>,
) -> engine::Result<Vec<SegmentEntry>> {
    for name in [superblock::TEMPORARY_NAME, superblock::UNFINISHED_NAME] {
        if disk.identity(name)?.is_some() {
            disk.remove(name)?;
        }
    }
    let Some(other) = &found.other else { return Ok(Vec::new()) };
    let live = &found.live;
    let newer = pagestore::segments_of(disk, live.store_id, live.root, cache)?;
    let mut older = match pagestore::segments_of(disk, live.store_id, other.root, cache) {
        Ok(older) => older,
        Err(error) if error.kind() == engine::ErrorKind::Corrupt => {
            tracing::warn!(%error, "the older checkpoint cannot be read; nothing is removed");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    pagestore::remove_unnamed(disk, &newer, &older)?;
    older.retain(|entry| !newer.iter().any(|kept| kept.id == entry.id));
    Ok(older)
}
