//! RocksDB: rows by id, ids by natural key, in two column families, set up as its tuning guide begins.
//!
//! Two ways to patch: read, overwrite, put; or a merge operator, which writes the 32 bytes that change and
//! never looks: it cannot tell that an id is unknown, and leaves the work to reads and compactions.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives, cache_len};
use crate::stripes::Stripes;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode,
    IteratorMode, MergeOperands, MultiThreaded, Options, WriteBatch, WriteOptions,
};
use std::sync::Arc;
use vellum::RecordId;
use vellum_bench::wide::{A_AT, Change};

pub static FAMILY: Family = Family {
    name: "rocksdb",
    settings: "LZ4, blocks of 16 KiB, cache for all blocks, bloom filters of 10 bits, dynamic level bytes, memtables of 64 MiB, 2 background jobs; rows by id, ids by natural key",
    modes: &[
        Mode { name: "RocksDB", survives: Survives::Kill },
        Mode { name: "RocksDB, merge operator (blind)", survives: Survives::Kill },
        Mode { name: "RocksDB, sync", survives: Survives::PowerCut },
        Mode { name: "RocksDB, merge operator (blind), sync", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        options.set_bytes_per_sync(1 << 20);
        let cache = Cache::new_lru_cache(usize::try_from(cache_len(records))?);
        let families =
            ["rows", "keys", "other"].map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = Db::open_cf_descriptors(&options, path, families)?;
        Ok(Box::new(Rocks { db, merge: false, sync: false, stripes: Stripes::default() }))
    },
};

type Db = DBWithThreadMode<MultiThreaded>;

/// Bytes of a row that a patch changes; an operand has the same form, with an increment for the version.
const OPERAND_LEN: usize = 32;

struct Rocks {
    db: Db,
    merge: bool,
    sync: bool,
    stripes: Stripes,
}

fn family_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_merge_operator_associative("patch", merge);
    options
}

/// Puts operands over a row, or over each other.
fn merge(_: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut merged = existing.map(<[u8]>::to_vec);
    for operand in operands {
        match &mut merged {
            None => merged = Some(operand.to_vec()),
            Some(merged) => {
                let version = u64::from_le_bytes(merged.get(..8)?.try_into().ok()?);
                let more = u64::from_le_bytes(operand.get(..8)?.try_into().ok()?);
                merged[..OPERAND_LEN].copy_from_slice(operand);
                merged[..8].copy_from_slice(&(version + more).to_le_bytes());
            }
        }
    }
    merged
}

impl Rocks {
    fn family(&self, name: &str) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(name).expect("opened with it")
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        Ok(self.db.write_opt(batch, &options)?)
    }
}

impl Engine for Rocks {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        (self.merge, self.sync) = (mode % 2 == 1, mode >= 2);
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        // Nobody patches a record that is not there yet: creations exclude each other alone.
        let _creating = self.stripes.lock_first();
        let (rows, keys) = (self.family("rows"), self.family("keys"));
        let mut batch = WriteBatch::default();
        for (id, key, row) in records.iter() {
            if self.db.get_pinned_cf(&rows, id)?.is_some() || self.db.get_pinned_cf(&keys, key)?.is_some() {
                return Ok(false);
            }
            batch.put_cf(&rows, id, *row);
            batch.put_cf(&keys, key, id);
        }
        self.write(batch)?;
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let rows = self.family("rows");
        let mut batch = WriteBatch::default();
        if self.merge {
            for change in changes {
                let mut operand = [0; OPERAND_LEN];
                change.write_over(&mut operand);
                batch.merge_cf(&rows, change.id.bytes(), operand);
            }
            return self.write(batch);
        }
        let _locks = self.stripes.lock(changes);
        for change in changes {
            let id = change.id.bytes();
            let mut row = self.db.get_cf(&rows, id)?.ok_or("no such record")?;
            change.write_over(&mut row);
            batch.put_cf(&rows, id, row);
        }
        self.write(batch)
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let row = self.db.get_pinned_cf(&self.family("rows"), id.bytes())?.ok_or("no such record")?;
        Ok(i64::from_le_bytes(row[A_AT..][..8].try_into()?))
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let row = self.db.get_cf(&self.family("rows"), id.bytes())?.ok_or("no such record")?;
        Ok(std::hint::black_box(row).len())
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let _editing = self.stripes.lock_first();
        let other = self.family("other");
        let value = make(self.db.get_pinned_cf(&other, key)?.as_deref())?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&other, key, value);
        self.write(batch)
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let snapshot = self.db.snapshot();
        let rows = self.family("rows");
        work(&mut |go_on| {
            let mut count = 0;
            for item in snapshot.iterator_cf(&rows, IteratorMode::Start) {
                std::hint::black_box(item?.1);
                count += 1;
                if !go_on() {
                    break;
                }
            }
            Ok(count)
        })?;
        Ok(Some(()))
    }

    fn settle(&self) -> Result<()> {
        for name in ["rows", "keys"] {
            self.db.flush_cf(&self.family(name))?;
        }
        // Releases before 8.6 have no call that waits: it is over when nothing was pending or running for a while.
        let busy = |name: &str| -> Result<bool> { Ok(self.db.property_int_value(name)?.unwrap_or(0) > 0) };
        let mut quiet = 0;
        while quiet < 5 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let working = busy("rocksdb.num-running-compactions")? || busy("rocksdb.num-running-flushes")?;
            let waiting = busy("rocksdb.compaction-pending")? || busy("rocksdb.mem-table-flush-pending")?;
            quiet = if working || waiting { 0 } else { quiet + 1 };
        }
        Ok(())
    }
}
