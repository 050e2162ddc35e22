//! Settings, and where time and randomness come from.

use super::Store;
use crate::txn::Source;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use vellum_disk::{Disk, OsDisk};
use vellum_engine::pagestore::{Cache, Keeping};
use vellum_types::RecordId;
use vellum_types::Result;
use vellum_types::schema::Schema;
use vellum_types::value::Timestamp;

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Stable storage: the commit survives a power cut.
    #[default]
    Sync,
    /// Nothing; stable storage follows within this many milliseconds.
    Interval(u64),
    /// The operating system: the commit survives the death of the process, not a power cut.
    Buffered,
}

/// How far a recovery has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Log bytes read.
    pub done_len: u64,
    /// Log bytes to read at most.
    pub total_len: u64,
}

type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings of an open store.
///
/// ```no_run
/// use vellum::{Config, Durability};
/// let store = Config::new().durability(Durability::Buffered).open("crm.vellum")?;
/// # Ok::<(), vellum::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) durability: Durability,
    pub(crate) read_only: bool,
    pub(crate) lock_wait: Duration,
    pub(crate) dirty_budget: u64,
    pub(crate) checkpoint_log_len: u64,
    pub(crate) log_mapped: bool,
    pub(crate) segments_mapped: bool,
    pub(crate) segment_cache_len: u64,
    pub(crate) background: bool,
    pub(crate) threads: bool,
    pub(crate) log_file_len: Option<(u64, u64)>,
    pub(crate) on_progress: Option<OnProgress>,
    pub(crate) clock: Option<Clock>,
    pub(crate) seed: Option<u64>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            durability: Durability::Sync,
            read_only: false,
            lock_wait: Duration::ZERO,
            dirty_budget: 256 << 20,
            checkpoint_log_len: 64 << 20,
            log_mapped: true,
            segments_mapped: true,
            segment_cache_len: 64 << 20,
            background: true,
            threads: true,
            log_file_len: None,
            on_progress: None,
            clock: None,
            seed: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("durability", &self.durability)
            .field("read_only", &self.read_only)
            .field("lock_wait", &self.lock_wait)
            .field("dirty_budget", &self.dirty_budget)
            .field("checkpoint_log_len", &self.checkpoint_log_len)
            .field("log_mapped", &self.log_mapped)
            .field("segments_mapped", &self.segments_mapped)
            .field("background", &self.background)
            .finish_non_exhaustive()
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
        self.durability = durability;
        self
    }

    /// Whether the store is opened for reading: nothing is written, and writes are refused.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Config {
        self.read_only = read_only;
        self
    }

    /// How long an opening for writing, or a creation, waits for another writer to close the store; not at all by
    /// default. Readers neither wait nor make a writer wait.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Config {
        self.lock_wait = wait;
        self
    }

    /// Bytes that may be written ahead of a checkpoint before writers wait; at half of it a checkpoint
    /// starts. Pages that hold such bytes start one when they take as much memory as this, and make writers
    /// wait at twice as much. Three quarters as many bytes of clean pages may stay in memory.
    #[must_use]
    pub fn dirty_budget(mut self, bytes: u64) -> Config {
        self.dirty_budget = bytes.max(1 << 20);
        self
    }

    /// Bytes of log after which a checkpoint starts: what a recovery has to read.
    #[must_use]
    pub fn checkpoint_log_len(mut self, bytes: u64) -> Config {
        self.checkpoint_log_len = bytes;
        self
    }

    /// Whether the log is written through a mapping (the default), or with one system call a commit:
    /// for file systems without shared mappings.
    #[must_use]
    pub fn log_mapped(mut self, mapped: bool) -> Config {
        self.log_mapped = mapped;
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
        self.segments_mapped = mapped;
        self
    }

    /// Bytes of pages that may be in memory with [`Config::segments_mapped`]`(false)`: 64 MiB by default. What one
    /// transaction reads stays until it was applied, and may be more.
    #[must_use]
    pub fn segment_cache_len(mut self, bytes: u64) -> Config {
        self.segment_cache_len = bytes;
        self
    }

    /// What of pages may stay in memory.
    pub(crate) fn keeping(&self) -> Keeping {
        let cache = (!self.segments_mapped).then(|| Cache::new(self.segment_cache_len));
        Keeping { keep_len: self.dirty_budget, cache }
    }

    /// Whether checkpoints start by themselves. Without, the caller takes them, and memory grows until then; only
    /// a commit that finds no room on the disk takes them itself.
    #[must_use]
    pub fn background(mut self, background: bool) -> Config {
        self.background = background && self.threads;
        self
    }

    /// Whether the store has threads. Without, nothing happens beside the callers, who do its work with
    /// [`Store::work`] when they like: for tests that repeat.
    #[doc(hidden)]
    #[must_use]
    pub fn threads(mut self, threads: bool) -> Config {
        self.threads = threads;
        self.background &= threads;
        self
    }

    /// Length of the first log file and that at which files stop doubling, in whole blocks of 4 KiB: small
    /// ones for tests in which files come and go.
    #[doc(hidden)]
    #[must_use]
    pub fn log_file_len(mut self, min: u64, max: u64) -> Config {
        self.log_file_len = Some((min, max));
        self
    }

    /// Called now and then while a recovery reads the log.
    #[must_use]
    pub fn on_progress(mut self, on_progress: Arc<dyn Fn(Progress) + Send + Sync>) -> Config {
        self.on_progress = Some(on_progress);
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
        self.seed = Some(seed);
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

/// Clock and randomness of one store.
pub struct ConfigSource {
    clock: Option<Clock>,
    seed: u64,
    drawn: AtomicU64,
}

impl ConfigSource {
    /// Those that the settings name, or the system's.
    #[must_use]
    pub fn new(config: &Config) -> ConfigSource {
        let seed = config.seed.unwrap_or_else(system_random);
        ConfigSource { clock: config.clock.clone(), seed, drawn: AtomicU64::new(0) }
    }

    /// 64 bits that nobody drew before: a counter through XXH3 under a random seed.
    #[must_use]
    pub fn random(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Relaxed);
        vellum_engine::index::key_hash(self.seed, &drawn.to_le_bytes())
    }

    /// 128 such bits.
    #[must_use]
    pub fn random_id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random().to_le_bytes());
        bytes[8..].copy_from_slice(&self.random().to_le_bytes());
        bytes
    }
}

/// The standard library seeds its hash maps from the operating system; that is the one source of
/// randomness that needs no further crate.
fn system_random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let time = system_now().0 as u64;
    RandomState::new().hash_one(time) ^ RandomState::new().hash_one(std::process::id()).rotate_left(32)
}

#[expect(clippy::disallowed_methods, reason = "this is where the system's clock comes in")]
fn system_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

impl Source for ConfigSource {
    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(system_now, |clock| clock())
    }

    /// UUID version 7: milliseconds, then random bits, so that inserts stay near each other.
    fn new_id(&self, now: Timestamp) -> RecordId {
        let millis = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        let mut random = [0; 10];
        random.copy_from_slice(&self.random_id()[..10]);
        RecordId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
