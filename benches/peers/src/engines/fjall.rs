//! fjall: rows by id, ids by natural key, in two keyspaces of one database.
//!
//! A plain database, not a transactional one: what reads before it writes holds one of 64 locks, by id,
//! which costs less than its optimistic transactions.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives, cache_len};
use crate::stripes::Stripes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use vellum::RecordId;
use vellum_bench::wide::{A_AT, Change};

pub static FAMILY: Family = Family {
    name: "fjall",
    settings: "cache for all blocks, memtables of 64 MiB, expect_point_read_hits; rows by id, ids by natural key",
    modes: &[
        Mode { name: "fjall", survives: Survives::Kill },
        Mode { name: "fjall, SyncData", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        let database = Database::builder(path).cache_size(cache_len(records)).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(64 << 20);
        let rows = database.keyspace("rows", || options().expect_point_read_hits(true))?;
        let keys = database.keyspace("keys", options)?;
        Ok(Box::new(Fjall {
            database,
            rows,
            keys,
            persist: PersistMode::Buffer,
            stripes: Stripes::default(),
        }))
    },
};

struct Fjall {
    database: Database,
    rows: Keyspace,
    keys: Keyspace,
    persist: PersistMode,
    stripes: Stripes,
}

impl Engine for Fjall {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        self.persist = [PersistMode::Buffer, PersistMode::SyncData][mode];
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        // Nobody patches a record that is not there yet: creations exclude each other alone.
        let _creating = self.stripes.lock_first();
        let mut batch = self.database.batch().durability(Some(self.persist));
        for (id, key, row) in records.iter() {
            if self.rows.contains_key(id)? || self.keys.contains_key(key)? {
                return Ok(false);
            }
            batch.insert(&self.rows, id, *row);
            batch.insert(&self.keys, key, id);
        }
        batch.commit()?;
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(self.persist));
        let _locks = self.stripes.lock(changes);
        let mut patched = Vec::with_capacity(changes.len());
        for change in changes {
            let id = change.id.bytes();
            let mut row = self.rows.get(id)?.ok_or("no such record")?.to_vec();
            change.write_over(&mut row);
            patched.push((id, row));
        }
        for (id, row) in patched {
            batch.insert(&self.rows, id, row);
        }
        Ok(batch.commit()?)
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let row = self.rows.get(id.bytes())?.ok_or("no such record")?;
        Ok(i64::from_le_bytes(row[A_AT..][..8].try_into()?))
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let row = self.rows.get(id.bytes())?.ok_or("no such record")?.to_vec();
        Ok(std::hint::black_box(row).len())
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let _editing = self.stripes.lock_first();
        let value = make(self.keys.get(key)?.as_deref())?;
        let mut batch = self.database.batch().durability(Some(self.persist));
        batch.insert(&self.keys, key, value);
        Ok(batch.commit()?)
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let snapshot = self.database.snapshot();
        work(&mut |go_on| {
            let mut count = 0;
            for item in snapshot.iter(&self.rows) {
                std::hint::black_box(item.value()?.to_vec());
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
        self.database.persist(PersistMode::SyncAll)?;
        for keyspace in [&self.rows, &self.keys] {
            keyspace.rotate_memtable_and_wait()?;
        }
        // Compactions that are due run in the background: they are over when none was running for a while.
        let mut quiet = 0;
        while quiet < 5 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let busy = self.database.active_compactions() > 0 || self.database.outstanding_flushes() > 0;
            quiet = if busy { 0 } else { quiet + 1 };
        }
        Ok(())
    }
}
