//! Settings, and where time and randomness come from.

use super::Store;
use crate::records::Records;
use crate::txn::Source;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vellum_disk::{Disk, OsDisk};
use vellum_engine::{Durability, Engine, Options, Progress};
use vellum_types::RecordId;
use vellum_types::Result;
use vellum_types::schema::Schema;
use vellum_types::value::Timestamp;

pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings of an open store.
///
/// ```no_run
/// use vellum::{Config, Durability};
/// let store = Config::new().durability(Durability::Buffered).open("crm.vellum")?;
/// # Ok::<(), vellum::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Config {
    pub(crate) engine: Options,
    pub(crate) clock: Option<Clock>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Config {
    /// The defaults: `Sync`, 256 MiB of dirty memory, a checkpoint each 64 MiB of log.
    #[must_use]
    pub fn new() -> Config {
        Config::default()
    }

    /// What commits wait for unless they say otherwise.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Config {
        self.engine.durability = durability;
        self
    }

    /// Whether the store is opened for reading: nothing is written, and writes are refused.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Config {
        self.engine.read_only = read_only;
        self
    }

    /// How long an opening for writing, or a creation, waits for another writer to close the store; not at all by
    /// default. Readers neither wait nor make a writer wait.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Config {
        self.engine.lock_wait = wait;
        self
    }

    /// Bytes that may be written ahead of a checkpoint before writers wait; at half of it a checkpoint
    /// starts. Pages that hold such bytes start one when they take as much memory as this, and make writers
    /// wait at twice as much. Three quarters as many bytes of clean pages may stay in memory.
    #[must_use]
    pub fn dirty_budget(mut self, bytes: u64) -> Config {
        self.engine.dirty_budget = bytes.max(1 << 20);
        self
    }

    /// Bytes of log after which a checkpoint starts: what a recovery has to read.
    #[must_use]
    pub fn checkpoint_log_len(mut self, bytes: u64) -> Config {
        self.engine.checkpoint_log_len = bytes;
        self
    }

    /// Whether the log is written through a mapping (the default), or with one system call a commit:
    /// for file systems without shared mappings.
    #[must_use]
    pub fn log_mapped(mut self, mapped: bool) -> Config {
        self.engine.log_mapped = mapped;
        self
    }

    /// Whether records on disk are read through a mapping (the default), or with system calls into a cache of
    /// [`Config::segment_cache_len`].
    ///
    /// Through a mapping the operating system's page cache is the store's, and a warm read makes no call. A
    /// sector that the disk cannot read is an error when it is touched the first time after the opening; but
    /// where the page cache drops a page, and its sector breaks before the page is read again, the process is
    /// ended by a signal (SIGBUS). The same goes for kernels before Linux 5.14, and for other systems, at the
    /// first touch too.
    ///
    /// Without a mapping every unreadable sector is an error, at any time. A page is read and checked whole at
    /// its first touch, and again after the cache let it go; one file descriptor a segment stays open.
    #[must_use]
    pub fn segments_mapped(mut self, mapped: bool) -> Config {
        self.engine.segments_mapped = mapped;
        self
    }

    /// Bytes of pages that may be in memory with [`Config::segments_mapped`]`(false)`: 64 MiB by default. What one
    /// transaction reads stays until it was applied, and may be more.
    #[must_use]
    pub fn segment_cache_len(mut self, bytes: u64) -> Config {
        self.engine.segment_cache_len = bytes;
        self
    }

    /// Whether checkpoints start by themselves. Without, the caller takes them, and memory grows until then; only
    /// a commit that finds no room on the disk takes them itself.
    #[must_use]
    pub fn background(mut self, background: bool) -> Config {
        self.engine.background = background && self.engine.threads;
        self
    }

    /// Whether the store has threads. Without, nothing happens beside the callers, who do its work with
    /// [`Store::work`] when they like: for tests that repeat.
    #[doc(hidden)]
    #[must_use]
    pub fn threads(mut self, threads: bool) -> Config {
        self.engine.threads = threads;
        self.engine.background &= threads;
        self
    }

    /// Length of the first log file and that at which files stop doubling, in whole blocks of 4 KiB: small
    /// ones for tests in which files come and go.
    #[doc(hidden)]
    #[must_use]
    pub fn log_file_len(mut self, min: u64, max: u64) -> Config {
        self.engine.log_file_len = Some((min, max));
        self
    }

    /// Called now and then while a recovery reads the log.
    #[must_use]
    pub fn on_progress(mut self, on_progress: Arc<dyn Fn(Progress) + Send + Sync>) -> Config {
        self.engine.on_progress = Some(on_progress);
        self
    }

    /// The clock that commits read; the system's by default. It may jump: commit times never run
    /// backwards.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Config {
        self.clock = Some(clock);
        self
    }

    /// Makes ids and salts follow from this number, for tests that repeat. The same draws come again at
    /// each opening: with a clock that stands still, so do the ids.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Config {
        self.engine.seed = Some(seed);
        self
    }

    /// Creates a store in a directory that does not exist or is empty.
    ///
    /// # Errors
    /// `AlreadyExists` when the directory holds a store or anything else.
    pub fn create(&self, path: impl AsRef<Path>, schema: &Schema) -> Result<Store> {
        self.create_on(Arc::new(OsDisk::new(path.as_ref())), schema)
    }

    /// Opens a store.
    ///
    /// # Errors
    /// `NotAStore`, `UnknownFormat`, `Locked`, `Corrupt`: see [`ErrorKind`](crate::ErrorKind).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_on(Arc::new(OsDisk::new(path.as_ref())))
    }

    /// [`Config::create`] on another disk.
    #[doc(hidden)]
    pub fn create_on(&self, disk: Arc<dyn Disk>, schema: &Schema) -> Result<Store> {
        Store::create_with(disk, self.clone(), schema)
    }

    /// [`Config::open`] on another disk.
    #[doc(hidden)]
    pub fn open_on(&self, disk: Arc<dyn Disk>) -> Result<Store> {
        Store::open_with(disk, self.clone())
    }
}

/// Where a store's time and ids come from.
pub(crate) struct StoreSource {
    clock: Option<Clock>,
    engine: Arc<Engine<Records>>,
}

impl StoreSource {
    pub(crate) fn new(clock: Option<Clock>, engine: Arc<Engine<Records>>) -> StoreSource {
        StoreSource { clock, engine }
    }
}

impl fmt::Debug for StoreSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSource").finish_non_exhaustive()
    }
}

pub(super) fn now(clock: Option<&Clock>) -> Timestamp {
    clock.map_or_else(system_now, |clock| clock())
}

#[expect(clippy::disallowed_methods, reason = "this is where the system's clock comes in")]
fn system_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

impl Source for StoreSource {
    fn now(&self) -> Timestamp {
        now(self.clock.as_ref())
    }

    /// UUID version 7: milliseconds, then random bits, so that inserts stay near each other.
    fn new_id(&self, now: Timestamp) -> RecordId {
        let millis = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        let mut random = [0; 10];
        random.copy_from_slice(&self.engine.random.draw_id()[..10]);
        RecordId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
