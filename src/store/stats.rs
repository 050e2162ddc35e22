//! What a store says of itself: sizes, counters, health.

use super::Store;
use crate::records::{CATALOG_TREE, Catalog, ID_TREE};
use vellum_engine::Lsn;
use vellum_engine::TreeId;
use vellum_engine::index::{BUCKET_COUNT, ENTRY_COUNT};
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

impl Store {
    /// Sizes and counters. Walks the page table for the bytes by kind, not the pages.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn stats(&self) -> Result<Stats> {
        let (engine, records) = (self.engine(), self.records());
        let images_read = engine.pages.images_read();
        let (view, _, catalog) = self.freeze()?;
        let live = &view.root;
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
        let files = engine.file_stats()?;
        let name = |tree, column| page_name(&catalog, tree, column);
        Ok(Stats {
            objects,
            indexes,
            segment_count: files.segment_count,
            segment_len: files.segment_len,
            live_len: files.live_len,
            dead_len: files.segment_len.saturating_sub(files.live_len),
            bytes_by_kind: records.pages.bytes_by_kind(live, &name)?,
            log_file_count: files.log_file_count,
            log_len: files.log_len,
            log_since_checkpoint: files.log_since_checkpoint,
            applied_lsn: records.applied(),
            durable_lsn: engine.durable(),
            checkpoint_lsn: files.checkpoint_lsn,
            checkpoint_generation: files.checkpoint_generation,
            dirty_len: files.dirty_len,
            memory_len: files.memory_len,
            segment_cache_len: files.segment_cache_len,
            segment_cache_peak_len: files.segment_cache_peak_len,
            checkpoint_written_len: files.checkpoint_written_len,
            images_read,
        })
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
