//! canopydb: rows by id, ids by natural key, in two trees; its log syncs when a commit asks for it.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives, cache_len};
use canopydb::{Database, DbOptions, EnvOptions};
use vellum::RecordId;
use vellum_bench::wide::{A_AT, Change};

pub static FAMILY: Family = Family {
    name: "canopydb",
    settings: "write-ahead log, cache for all pages; rows by id, ids by natural key",
    modes: &[
        Mode { name: "canopydb", survives: Survives::Kill },
        Mode { name: "canopydb, sync", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        std::fs::create_dir_all(path)?;
        let mut options = EnvOptions::new(path);
        options.page_cache_size = usize::try_from(cache_len(records))?;
        let database = Database::with_options(options, DbOptions::default())?;
        let txn = database.begin_write()?;
        txn.get_or_create_tree(ROWS)?;
        txn.get_or_create_tree(KEYS)?;
        txn.commit()?;
        Ok(Box::new(Canopy { database, sync: false }))
    },
};

const ROWS: &[u8] = b"rows";
const KEYS: &[u8] = b"keys";

struct Canopy {
    database: Database,
    sync: bool,
}

impl Engine for Canopy {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        self.sync = mode == 1;
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        let txn = self.database.begin_write()?;
        {
            let (mut rows, mut keys) = (txn.get_or_create_tree(ROWS)?, txn.get_or_create_tree(KEYS)?);
            for (id, key, row) in records.iter() {
                if rows.get(&id)?.is_some() || keys.get(key)?.is_some() {
                    return Ok(false);
                }
                rows.insert(&id, row)?;
                keys.insert(key, &id)?;
            }
        }
        txn.commit_with(self.sync)?;
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let txn = self.database.begin_write()?;
        {
            let mut rows = txn.get_or_create_tree(ROWS)?;
            for change in changes {
                let id = change.id.bytes();
                let mut row = rows.get(&id)?.ok_or("no such record")?.to_vec();
                change.write_over(&mut row);
                rows.insert(&id, &row)?;
            }
        }
        txn.commit_with(self.sync)?;
        Ok(())
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let txn = self.database.begin_read()?;
        let rows = txn.get_tree(ROWS)?.ok_or("no such tree")?;
        let row = rows.get(&id.bytes())?.ok_or("no such record")?;
        Ok(i64::from_le_bytes(row[A_AT..][..8].try_into()?))
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let txn = self.database.begin_read()?;
        let rows = txn.get_tree(ROWS)?.ok_or("no such tree")?;
        let row = rows.get(&id.bytes())?.ok_or("no such record")?.to_vec();
        Ok(std::hint::black_box(row).len())
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let txn = self.database.begin_write()?;
        {
            let mut keys = txn.get_or_create_tree(KEYS)?;
            let value = make(keys.get(key)?.as_deref())?;
            keys.insert(key, &value)?;
        }
        txn.commit_with(self.sync)?;
        Ok(())
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let txn = self.database.begin_read()?;
        let rows = txn.get_tree(ROWS)?.ok_or("no such tree")?;
        work(&mut |go_on| {
            let mut count = 0;
            for item in rows.iter()? {
                std::hint::black_box(item?.1.to_vec());
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
        self.database.checkpoint()?;
        Ok(self.database.sync()?)
    }
}
