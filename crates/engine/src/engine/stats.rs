//! Numbers about files and memory, and whether the background work goes well.

use super::Engine;
use crate::id::Lsn;
use crate::machine::StateMachine;
use crate::sync::atomic::Ordering;
use vellum_bytes::{Error, Result};
use vellum_disk::Access;

/// Whether the background work of a store goes well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the store stopped, if it did.
    pub poisoned: Option<String>,
    /// Why the newest checkpoint failed, if it did; it is tried again.
    pub checkpoint: Option<String>,
    /// Why the log's background work failed last, if it did.
    pub log: Option<String>,
    /// Checkpoints since opening.
    pub checkpoint_count: u64,
}

#[derive(Debug, Default)]
pub(super) struct HealthState {
    pub(super) checkpoint: Option<Error>,
    pub(super) log: Option<Error>,
    pub(super) checkpoint_count: u64,
    pub(super) written_len: u64,
}

/// Sizes of files and memory at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileStats {
    /// Segment files.
    pub segment_count: u64,
    /// Bytes of all segments.
    pub segment_len: u64,
    /// Bytes of the images in them that the newest checkpoint names.
    pub live_len: u64,
    /// Log files.
    pub log_file_count: u64,
    /// Bytes of all log files, room not used yet included.
    pub log_len: u64,
    /// Bytes that a recovery would replay, roughly.
    pub log_since_checkpoint: u64,
    /// Newest commit in the newest checkpoint.
    pub checkpoint_lsn: Lsn,
    /// Number of the newest checkpoint.
    pub checkpoint_generation: u64,
    /// Bytes of memory that are ahead of disk.
    pub dirty_len: u64,
    /// Bytes of owned pages and deltas in memory.
    pub memory_len: u64,
    /// Bytes of pages in the cache, where segments are not mapped.
    pub segment_cache_len: u64,
    /// The most that were in it since opening.
    pub segment_cache_peak_len: u64,
    /// Bytes that checkpoints wrote since opening.
    pub checkpoint_written_len: u64,
    /// Images and table nodes read since opening.
    pub images_read: u64,
}

impl<S: StateMachine> Engine<S> {
    /// Whether background work goes well. Errors there are kept here until they are overcome.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.health.lock();
        Health {
            poisoned: self.writing.as_ref().and_then(|w| w.shared.poisoned()).map(|error| error.to_string()),
            checkpoint: state.checkpoint.as_ref().map(ToString::to_string),
            log: state.log.as_ref().map(ToString::to_string),
            checkpoint_count: state.checkpoint_count,
        }
    }

    /// Sizes of files and memory.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn file_stats(&self) -> Result<FileStats> {
        let mut stats = FileStats { images_read: self.pages.images_read(), ..FileStats::default() };
        {
            let table = self.pages.table.lock();
            stats.segment_count = table.entries.len() as u64;
            stats.segment_len = table.entries.values().map(|entry| entry.len).sum();
            stats.live_len = table.entries.values().map(|entry| entry.live_len).sum();
        }
        for name in
            self.disk.list()?.iter().filter(|name| name.starts_with("log-") || name.starts_with("spare-"))
        {
            stats.log_file_count += 1;
            // A file that is given back or renamed meanwhile counts for nothing.
            let file = self.disk.open(name, Access::Read);
            stats.log_len += file.and_then(|file| file.len()).unwrap_or(0);
        }
        let superblocks = self.superblocks();
        stats.checkpoint_lsn = superblocks.live.log.lsn;
        stats.checkpoint_generation = superblocks.live.generation;
        stats.log_since_checkpoint = self.log_since.load(Ordering::Relaxed);
        stats.dirty_len = self.pages.memory.dirty();
        stats.memory_len = self.pages.memory.held();
        (stats.segment_cache_len, stats.segment_cache_peak_len) = self.pages.cache_len();
        stats.checkpoint_written_len = self.health.lock().written_len;
        Ok(stats)
    }
}
