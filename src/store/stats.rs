//! What a store says of itself: sizes, counters, health.

use super::Store;
use crate::records::{CATALOG_TREE, Catalog, ID_TREE};
use vellum_engine::Lsn;
use vellum_engine::TreeId;
use vellum_engine::index::{BUCKET_COUNT, ENTRY_COUNT};
use vellum_engine::sync::atomic::Ordering;
use vellum_types::Result;

/// Sizes and counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By object, in the schema's order.
    pub objects: Vec<ObjectStats>,
    /// By index; the one of record ids first.
    pub indexes: Vec<IndexStats>,
    /// Segment files.
    pub segment_count: u64,
    /// Bytes of all segments.
    pub segment_len: u64,
    /// Bytes of the images in them that the newest checkpoint names.
    pub live_len: u64,
    /// The others: what compaction can free.
    pub dead_len: u64,
    /// Bytes of live images by what they are.
    pub bytes_by_kind: Vec<(String, u64)>,
    /// Log files.
    pub log_file_count: u64,
    /// Bytes of all log files, room not used yet included.
    pub log_len: u64,
    /// Bytes that a recovery would replay, roughly.
    pub log_since_checkpoint: u64,
    /// Newest commit in memory.
    pub applied_lsn: Lsn,
    /// Newest commit on stable storage.
    pub durable_lsn: Lsn,
    /// Newest commit in the newest checkpoint.
    pub checkpoint_lsn: Lsn,
    /// Number of the newest checkpoint.
    pub checkpoint_generation: u64,
    /// Bytes of memory that are ahead of disk.
    pub dirty_len: u64,
    /// Bytes of owned pages and deltas in memory.
    pub memory_len: u64,
    /// Bytes of pages in the cache of [`Config::segments_mapped`](super::Config::segments_mapped)`(false)`.
    pub segment_cache_len: u64,
    /// The most that were in it since opening.
    pub segment_cache_peak_len: u64,
    /// Bytes that checkpoints wrote since opening.
    pub checkpoint_written_len: u64,
    /// Images and table nodes read since opening.
    pub images_read: u64,
}

/// One object's numbers.
#[derive(Clone, Debug)]
pub struct ObjectStats {
    /// Its name.
    pub name: String,
    /// Records.
    pub records: u64,
    /// Row groups.
    pub row_groups: u64,
}

/// One index's numbers.
#[derive(Clone, Debug)]
pub struct IndexStats {
    /// `(record ids)`, or object and attributes.
    pub name: String,
    /// Entries.
    pub entries: u64,
    /// Buckets.
    pub buckets: u64,
}

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
pub(crate) struct HealthState {
    pub(crate) checkpoint: Option<vellum_engine::Error>,
    pub(crate) log: Option<vellum_engine::Error>,
    pub(crate) checkpoint_count: u64,
    pub(crate) written_len: u64,
}

impl Store {
    /// Whether background work goes well. Errors there are kept here until they are overcome.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = self.inner();
        let state = inner.health.lock();
        Health {
            poisoned: inner.writing.as_ref().and_then(|w| w.shared.poisoned()).map(|error| error.to_string()),
            checkpoint: state.checkpoint.as_ref().map(ToString::to_string),
            log: state.log.as_ref().map(ToString::to_string),
            checkpoint_count: state.checkpoint_count,
        }
    }

    /// Sizes and counters. Walks the page table for the bytes by kind, not the pages.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn stats(&self) -> Result<Stats> {
        let inner = self.inner();
        let records = &inner.records;
        let (view, _, catalog) = inner.freeze()?;
        let live = &view.root;
        let images_read = records.pages.images_read();
        let index = |name: String, tree| {
            let meta = |word| live.tree(tree).map_or(0, |tree| tree.meta(word));
            IndexStats { name, entries: meta(ENTRY_COUNT), buckets: meta(BUCKET_COUNT).max(1) }
        };
        let mut indexes = vec![index("(record ids)".to_string(), ID_TREE)];
        let mut objects = Vec::new();
        for (schema, layout) in catalog.schema.objects().iter().zip(catalog.objects()) {
            let (name, count) = (schema.key().to_string(), records.count(live, layout));
            objects.push(ObjectStats { name, records: count, row_groups: records.group_count(live, layout) });
            for key in layout.indexes.iter().filter(|key| crate::txn::key::is_shown(schema, key)) {
                let names = crate::txn::key::key_names(schema, key).join("+");
                indexes.push(index(format!("{}.{names}", schema.key()), key.tree));
            }
        }
        let mut stats = Stats { objects, indexes, images_read, ..Stats::default() };
        self.add_files(&mut stats)?;
        stats.bytes_by_kind =
            records.pages.bytes_by_kind(live, &|tree, column| page_name(&catalog, tree, column))?;
        Ok(stats)
    }

    fn add_files(&self, stats: &mut Stats) -> Result<()> {
        let inner = self.inner();
        {
            let table = inner.records.pages.table.lock();
            stats.segment_count = table.entries.len() as u64;
            stats.segment_len = table.entries.values().map(|entry| entry.len).sum();
            stats.live_len = table.entries.values().map(|entry| entry.live_len).sum();
            stats.dead_len = stats.segment_len.saturating_sub(stats.live_len);
        }
        for name in
            inner.disk.list()?.iter().filter(|name| name.starts_with("log-") || name.starts_with("spare-"))
        {
            stats.log_file_count += 1;
            // A file that is given back or renamed meanwhile counts for nothing.
            let file = inner.disk.open(name, vellum_disk::Access::Read);
            stats.log_len += file.and_then(|file| file.len()).unwrap_or(0);
        }
        let superblocks = inner.superblocks();
        stats.checkpoint_lsn = superblocks.live.log.lsn;
        stats.checkpoint_generation = superblocks.live.generation;
        stats.log_since_checkpoint = inner.log_since.load(Ordering::Relaxed);
        stats.applied_lsn = inner.records.applied();
        stats.durable_lsn = inner.durable();
        stats.dirty_len = inner.records.pages.memory.dirty();
        stats.memory_len = inner.records.pages.memory.held();
        (stats.segment_cache_len, stats.segment_cache_peak_len) = inner.records.pages.cache_len();
        stats.checkpoint_written_len = inner.health.lock().written_len;
        Ok(())
    }
}

/// What a page is for, by its address.
fn page_name(catalog: &Catalog, tree: TreeId, column: u32) -> &'static str {
    let object = catalog.all_objects().map(|(object, _)| object).find(|object| object.tree == tree);
    match (object, column) {
        (None, _) if tree == CATALOG_TREE => "schema",
        (None, _) if tree == ID_TREE => "record id index",
        (None, _) => "key indexes",
        (Some(_), 0) => "headers",
        (Some(_), column) if column & 0xffff == 0 => "attribute slots",
        (Some(_), _) => "text heaps",
    }
}
