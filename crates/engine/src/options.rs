//! Settings of an engine.

use crate::log::LogConfig;
use crate::pages::{Cache, Keeping};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// Called now and then while a recovery reads the log.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Settings of an engine. `vellum::Config` documents each for callers.
#[derive(Clone)]
pub struct Options {
    /// What commits wait for unless they say otherwise.
    pub durability: Durability,
    /// Whether the store is opened for reading.
    pub read_only: bool,
    /// How long an opening for writing waits for another writer to close the store.
    pub lock_wait: Duration,
    /// Bytes that may be written ahead of a checkpoint before writers wait.
    pub dirty_budget: u64,
    /// Bytes of log after which a checkpoint starts.
    pub checkpoint_log_len: u64,
    /// Whether the log is written through a mapping.
    pub log_mapped: bool,
    /// Whether segments are read through a mapping.
    pub segments_mapped: bool,
    /// Bytes of pages that may be in memory where segments are not mapped.
    pub segment_cache_len: u64,
    /// Whether checkpoints start by themselves.
    pub background: bool,
    /// Whether the engine has threads.
    pub threads: bool,
    /// Length of the first log file, and that at which files stop doubling; for tests.
    pub log_file_len: Option<(u64, u64)>,
    /// Called now and then while a recovery reads the log.
    pub on_progress: Option<OnProgress>,
    /// Makes ids and salts follow from this number, for tests that repeat.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
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
            seed: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
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

impl Options {
    /// What of pages may stay in memory.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        let cache = (!self.segments_mapped).then(|| Cache::new(self.segment_cache_len));
        Keeping { keep_len: self.dirty_budget, cache }
    }

    pub(crate) fn log_config(&self) -> LogConfig {
        let lengths = LogConfig { mapped: self.log_mapped, ..LogConfig::default() };
        match self.log_file_len {
            Some((file_len_min, file_len_max)) => {
                LogConfig { file_len_first: file_len_min, file_len_min, file_len_max, ..lengths }
            }
            None => lengths,
        }
    }
}
