//! LMDB through heed: rows by id, ids by natural key.

#![expect(
    unsafe_code,
    reason = "an environment is mapped: opening it twice in a process is forbidden, and is not done here"
)]

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, WithoutTls};
use std::path::PathBuf;
use vellum::RecordId;
use vellum_bench::wide::{A_AT, Change};

pub static FAMILY: Family = Family {
    name: "lmdb",
    settings: "NORDAHEAD; map large enough for all; rows by id, ids by natural key",
    modes: &[
        Mode { name: "LMDB, nosync", survives: Survives::Kill },
        Mode { name: "LMDB, nosync + writemap", survives: Survives::Kill },
        Mode { name: "LMDB", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        std::fs::create_dir_all(path)?;
        let map_len = (records as usize * 2048).max(4 << 30).next_multiple_of(1 << 20);
        let mut engine = Lmdb { path: path.to_path_buf(), map_len, open: None };
        engine.set_mode(0)?;
        Ok(Box::new(engine))
    },
};

struct Lmdb {
    path: PathBuf,
    map_len: usize,
    open: Option<Open>,
}

#[derive(Clone)]
struct Open {
    env: Env<WithoutTls>,
    rows: Database<Bytes, Bytes>,
    keys: Database<Bytes, Bytes>,
}

impl Lmdb {
    fn open(&self) -> &Open {
        self.open.as_ref().expect("set_mode opened it")
    }
}

impl Engine for Lmdb {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        if let Some(open) = self.open.take() {
            open.env.prepare_for_closing().wait();
        }
        let flags = [EnvFlags::NO_SYNC, EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP, EnvFlags::empty()][mode];
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(self.map_len).max_dbs(2).max_readers(128);
        // SAFETY:
        // 1. The environment that this process had open was closed above.
        // 2. The directory is this run's own: no other process writes it.
        // 3. NO_SYNC and WRITE_MAP give up durability and protection against stray writes, not soundness.
        let env = unsafe { options.flags(flags | EnvFlags::NO_READ_AHEAD).open(&self.path)? };
        let mut txn = env.write_txn()?;
        let rows = env.create_database(&mut txn, Some("rows"))?;
        let keys = env.create_database(&mut txn, Some("keys"))?;
        txn.commit()?;
        self.open = Some(Open { env, rows, keys });
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        let Open { env, rows, keys } = self.open();
        let mut txn = env.write_txn()?;
        for (id, key, row) in records.iter() {
            // `get_or_put` finds what is there in the same descent; keys first, so that a refusal writes nothing.
            let none = PutFlags::empty();
            let taken = keys.get_or_put_with_flags(&mut txn, none, key, &id)?.is_some()
                || rows.get_or_put_with_flags(&mut txn, none, &id, row)?.is_some();
            if taken {
                return Ok(false);
            }
        }
        txn.commit()?;
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let Open { env, rows, .. } = self.open();
        let mut txn = env.write_txn()?;
        for change in changes {
            let id = change.id.bytes();
            let mut row = rows.get(&txn, &id)?.ok_or("no such record")?.to_vec();
            change.write_over(&mut row);
            rows.put(&mut txn, &id, &row)?;
        }
        Ok(txn.commit()?)
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let Open { env, rows, .. } = self.open();
        let txn = env.read_txn()?;
        let row = rows.get(&txn, &id.bytes())?.ok_or("no such record")?;
        Ok(i64::from_le_bytes(row[A_AT..][..8].try_into()?))
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let Open { env, rows, .. } = self.open();
        let txn = env.read_txn()?;
        let row = rows.get(&txn, &id.bytes())?.ok_or("no such record")?.to_vec();
        Ok(std::hint::black_box(row).len())
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let Open { env, keys, .. } = self.open();
        let mut txn = env.write_txn()?;
        let value = make(keys.get(&txn, key)?)?;
        keys.put(&mut txn, key, &value)?;
        Ok(txn.commit()?)
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let Open { env, rows, .. } = self.open();
        let txn = env.read_txn()?;
        work(&mut |go_on| {
            let mut count = 0;
            for item in rows.iter(&txn)? {
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
        Ok(self.open().env.force_sync()?)
    }
}
