//! SQLite through rusqlite: WAL, prepared statements, one connection that nobody else shares.
//!
//! An ordinary table with a rowid and two unique indexes: rows of 330 bytes are too long for WITHOUT ROWID
//! by SQLite's own advice. `locking_mode=EXCLUSIVE` keeps the WAL's index in memory.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives, cache_len};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::sync::Mutex;
use vellum::RecordId;
use vellum_bench::wide::{Change, TEXTS};

pub static FAMILY: Family = Family {
    name: "sqlite",
    settings: "journal_mode=WAL, locking_mode=EXCLUSIVE, cache for all pages, mmap_size 8 GiB, wal_autocheckpoint=4000, prepared statements",
    modes: &[
        Mode { name: "SQLite, synchronous=OFF", survives: Survives::Kill },
        Mode { name: "SQLite, synchronous=NORMAL", survives: Survives::Kill },
        Mode { name: "SQLite, synchronous=FULL", survives: Survives::PowerCut },
    ],
    open: |path, records| {
        std::fs::create_dir_all(path)?;
        let connection = Connection::open(path.join("db"))?;
        let cache_kib = cache_len(records) >> 10;
        connection.execute_batch(&format!(
            "PRAGMA page_size=4096; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;
             PRAGMA cache_size=-{cache_kib}; PRAGMA mmap_size=8589934592; PRAGMA wal_autocheckpoint=4000;
             PRAGMA temp_store=MEMORY;
             CREATE TABLE IF NOT EXISTS account (id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,
                updated_at INTEGER NOT NULL, a INTEGER, d REAL, b INTEGER, c INTEGER, e REAL, f REAL, g INTEGER,
                owner BLOB, amount INTEGER, active INTEGER, key TEXT NOT NULL UNIQUE, name TEXT, city TEXT,
                street TEXT, note TEXT, contact TEXT);
             CREATE TABLE IF NOT EXISTS other (key BLOB PRIMARY KEY, value BLOB);"
        ))?;
        connection.set_prepared_statement_cache_capacity(16);
        Ok(Box::new(Sqlite(Mutex::new(connection))))
    },
};

struct Sqlite(Mutex<Connection>);

impl Sqlite {
    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.0.lock().expect("no thread panics with it")
    }
}

const INSERT: &str = "INSERT INTO account VALUES (?,1,0,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
const PATCH: &str = "UPDATE account SET a=?, d=?, updated_at=?, version=version+1 WHERE id=?";

impl Engine for Sqlite {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        let name = ["OFF", "NORMAL", "FULL"][mode];
        Ok(self.lock().execute_batch(&format!("PRAGMA synchronous={name}"))?)
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (id, _, row) in records.iter() {
                let word = |at: usize| i64::from_le_bytes(row[at..][..8].try_into().expect("eight bytes"));
                let real = |at: usize| f64::from_bits(word(at) as u64);
                let mut at = 120;
                let texts = TEXTS.map(|(_, len)| {
                    at += len;
                    std::str::from_utf8(&row[at - len..at]).expect("letters")
                });
                let inserted = insert.execute(params![
                    id,
                    word(16),
                    real(24),
                    word(32),
                    word(40),
                    real(48),
                    real(56),
                    word(64),
                    &row[80..96],
                    word(96),
                    row[112] != 0,
                    texts[0],
                    texts[1],
                    texts[2],
                    texts[3],
                    texts[4],
                    texts[5],
                ]);
                match inserted {
                    Ok(_) => {}
                    Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                        return Ok(false);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        transaction.commit()?;
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        let mut connection = self.lock();
        if let [change] = changes {
            return patch(&connection, change);
        }
        let transaction = connection.transaction()?;
        changes.iter().try_for_each(|change| patch(&transaction, change))?;
        Ok(transaction.commit()?)
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let connection = self.lock();
        let mut select = connection.prepare_cached("SELECT a FROM account WHERE id=?")?;
        Ok(select.query_row([id.bytes()], |row| row.get(0))?)
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        let connection = self.lock();
        let mut select = connection.prepare_cached("SELECT * FROM account WHERE id=?")?;
        let columns = select.column_count();
        Ok(select.query_row([id.bytes()], |row| {
            (0..columns)
                .try_fold(0, |count, index| row.get::<_, rusqlite::types::Value>(index).map(|_| count + 1))
        })?)
    }

    fn edit(&self, key: &[u8], make: MakeValue<'_>) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut select = transaction.prepare_cached("SELECT value FROM other WHERE key=?")?;
            let old: Option<Vec<u8>> = select.query_row([key], |row| row.get(0)).optional()?;
            let mut replace = transaction.prepare_cached("INSERT OR REPLACE INTO other VALUES (?,?)")?;
            replace.execute(params![key, make(old.as_deref())?])?;
        }
        Ok(transaction.commit()?)
    }

    fn with_snapshot(&self, _: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        // An exclusive connection has no readers beside it.
        Ok(None)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}

fn patch(connection: &Connection, change: &Change) -> Result<()> {
    let mut update = connection.prepare_cached(PATCH)?;
    match update.execute(params![change.a, change.d, change.at, change.id.bytes()])? {
        1 => Ok(()),
        count => Err(format!("{count} records were patched").into()),
    }
}
