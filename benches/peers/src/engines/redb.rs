//! redb: rows by id, ids by natural key, in two tables.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives, cache_len};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use vellum::RecordId;
use vellum_bench::wide::{A_AT, Change};

pub static FAMILY: Family = Family {
    name: "redb",
    settings: "cache for all pages; rows by id, ids by natural key",
    modes: &[
        Mode { name: "redb, Durability::None", survives: Survives::Nothing },
        Mode { name: "redb", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        std::fs::create_dir_all(path)?;
        let mut builder = redb::Builder::new();
        builder.set_cache_size(usize::try_from(cache_len(records))?);
        let database = builder.create(path.join("db"))?;
        let txn = database.begin_write()?;
        txn.open_table(ROWS)?;
        txn.open_table(KEYS)?;
        txn.commit()?;
        Ok(Box::new(Redb { database, durability: Durability::None }))
    },
};

const ROWS: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("rows");
const KEYS: TableDefinition<'_, &[u8], [u8; 16]> = TableDefinition::new("keys");

const OTHER: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("other");

struct Redb {
    database: Database,
    durability: Durability,
}

impl Engine for Redb {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        self.durability = [Durability::None, Durability::Immediate][mode];
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        let mut taken = false;
        {
            let (mut rows, mut keys) = (txn.open_table(ROWS)?, txn.open_table(KEYS)?);
            for (id, key, row) in records.iter() {
                if rows.get(id)?.is_some() || keys.get(key)?.is_some() {
                    taken = true;
                    break;
                }
                rows.insert(id, &row[..])?;
                keys.insert(key, id)?;
            }
        }
        match taken {
            true => txn.abort()?,
            false => txn.commit()?,
        }
        Ok(!taken)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        {
            let mut rows = txn.open_table(ROWS)?;
            for change in changes {
                let id = change.id.bytes();
                let mut row = rows.get(id)?.ok_or("no such record")?.value().to_vec();
                change.write_over(&mut row);
                rows.insert(id, &row[..])?;
            }
        }
        Ok(txn.commit()?)
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let txn = self.database.begin_read()?;
        let row = txn.open_table(ROWS)?.get(id.bytes())?.ok_or("no such record")?;
        Ok(i64::from_le_bytes(row.value()[A_AT..][..8].try_into()?))
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let txn = self.database.begin_read()?;
        let row = txn.open_table(ROWS)?.get(id.bytes())?.ok_or("no such record")?.value().to_vec();
        Ok(std::hint::black_box(row).len())
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        {
            let mut other = txn.open_table(OTHER)?;
            let value = make(other.get(key)?.as_ref().map(|value| value.value()))?;
            other.insert(key, &value[..])?;
        }
        Ok(txn.commit()?)
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let txn = self.database.begin_read()?;
        work(&mut |go_on| {
            let mut count = 0;
            for item in txn.open_table(ROWS)?.iter()? {
                std::hint::black_box(item?.1.value().to_vec());
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
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        Ok(txn.commit()?)
    }
}
