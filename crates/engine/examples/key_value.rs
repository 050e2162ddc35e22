//! A key-value store on the engine: all that a state machine is.

use std::sync::Arc;
use vellum_bytes::{Cursor, put_varint};
use vellum_disk::OsDisk;
use vellum_engine::index::{self, Moved, key_hash};
use vellum_engine::page::varlen;
use vellum_engine::pages::{GroupGuard, PageStore, Root, Writer};
use vellum_engine::sync::atomic::{AtomicU64, Ordering};
use vellum_engine::{Durability, Engine, Handle, Lsn, Options, Result, RowId, StateAt, StateMachine, TreeId};

/// Rows: one column of keys and one of values. Row numbers are given in order.
const ROWS: TreeId = TreeId(1);
const KEYS: u32 = 1 << 16;
const VALUES: u32 = 2 << 16;
/// An index from the hash of a key to its row.
const INDEX: TreeId = TreeId(2);

/// What one log record does: give a key a value.
#[derive(Clone, Debug, Default)]
pub struct Put {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// The state machine: a map in pages.
#[derive(Debug)]
pub struct KeyValue {
    pages: Arc<PageStore>,
    seed: u64,
    applied: AtomicU64,
}

impl KeyValue {
    /// The row of a key, confirmed against the row's own key: an index knows hashes alone.
    fn find(&self, root: &Root, key: &[u8]) -> Result<Option<(RowId, GroupGuard)>> {
        for row in index::find(&self.pages, root, INDEX, key_hash(self.seed, key))?.iter().map(RowId) {
            if let Some(group) = self.pages.group(root, ROWS, row.group())? {
                let is_it = varlen::equals(&*group.state.read(), KEYS, row.slot(), key)?;
                if is_it {
                    return Ok(Some((row, group)));
                }
            }
        }
        Ok(None)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((row, group)) = self.find(&self.pages.live(), key)? else { return Ok(None) };
        let mut value = Vec::new();
        varlen::read(&*group.state.read(), VALUES, row.slot(), &mut value)?;
        Ok(Some(value))
    }

    /// Crash rule 8: reads what `apply` will read, while a failure leaves no trace. Returns an upper bound of what the
    /// change adds to the images of a checkpoint.
    fn prefault(&self, put: &Put) -> Result<u64> {
        let root = self.pages.live();
        match self.find(&root, &put.key)? {
            Some((row, group)) => varlen::touch(&*group.state.read(), VALUES, row.slot())?,
            None => {
                let moved = Moved { tree: INDEX, hash: key_hash(self.seed, &put.key), is_insert: true };
                index::touch(&self.pages, &root, &mut [moved])?;
            }
        }
        Ok(16 * 1024 + 2 * (put.key.len() + put.value.len()) as u64)
    }
}

impl StateMachine for KeyValue {
    type Change<'a> = (&'a [u8], &'a [u8]);
    type Writer = Put;
    type Scratch = ();

    fn open(pages: Arc<PageStore>, at: &StateAt) -> Result<KeyValue> {
        let seed = key_hash(0, &at.store_id);
        Ok(KeyValue { pages, seed, applied: AtomicU64::new(at.lsn.0) })
    }

    fn staged(writer: &Put) -> (&[u8], &[u8]) {
        (&writer.key, &writer.value)
    }

    fn encoded_len((key, value): &(&[u8], &[u8])) -> usize {
        let mut len = Vec::new();
        put_varint(&mut len, key.len() as u64);
        len.len() + key.len() + value.len()
    }

    fn encode<'a>((key, value): &'a (&[u8], &[u8]), space: &'a mut Vec<u8>) -> &'a [u8] {
        space.clear();
        put_varint(space, key.len() as u64);
        space.extend([*key, *value].concat());
        space
    }

    fn decode(record: &[u8]) -> Result<(&[u8], &[u8])> {
        let mut cursor = Cursor::new(record);
        let len = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
        Ok((cursor.take(len)?, cursor.rest()))
    }

    fn apply(&self, pages: &mut Writer, (): &mut (), lsn: Lsn, (key, value): (&[u8], &[u8])) -> Result<()> {
        let row = match self.find(&self.pages.live(), key)? {
            Some((row, _)) => row,
            None => {
                let rows = self.pages.tree_mut(pages, ROWS)?;
                let row = RowId(rows.meta(0));
                rows.set_meta(0, row.0 + 1);
                index::insert(&self.pages, pages, INDEX, key_hash(self.seed, key), row.0)?;
                row
            }
        };
        let group = self.pages.group_mut(pages, ROWS, row.group())?;
        let mut state = group.state.write();
        varlen::set(&mut *state, KEYS, row.slot(), key);
        varlen::set(&mut *state, VALUES, row.slot(), value);
        self.applied.store(lsn.0, Ordering::Release);
        Ok(())
    }

    fn applied(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    fn time(&self) -> i64 {
        self.applied().0 as i64
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Gives a key a value, durably.
///
/// # Errors
/// `DiskFull`, `Poisoned`, `Corrupt`.
pub fn put(engine: &Engine<KeyValue>, key: &[u8], value: &[u8]) -> Result<Lsn> {
    let mut held = engine.writer()?;
    let put = Put { key: key.to_vec(), value: value.to_vec() };
    (held.key, held.value) = (put.key.clone(), put.value.clone());
    let lsn = engine.commit(&mut held, false, |_| engine.machine.prefault(&put))?;
    drop(held);
    engine.wait(lsn, Durability::Sync)?;
    Ok(lsn)
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("vellum-key-value-{}", std::process::id()));
    let first = || KeyValue::encode(&(b"color", b"blue"), &mut Vec::new()).to_vec();
    let store = Handle::<KeyValue>::create(Arc::new(OsDisk::new(&dir)), Options::default(), first)?;
    put(store.engine(), b"color", b"green")?;
    put(store.engine(), b"shape", b"round")?;
    store.engine().checkpoint(vellum_engine::pages::Compaction::Bounded)?;
    put(store.engine(), b"shape", b"square")?;
    store.close()?;

    let store = Handle::<KeyValue>::open(Arc::new(OsDisk::new(&dir)), Options::default())?;
    assert_eq!(store.engine().machine.get(b"color")?.as_deref(), Some(&b"green"[..]));
    assert_eq!(store.engine().machine.get(b"shape")?.as_deref(), Some(&b"square"[..]));
    assert_eq!(store.engine().machine.get(b"size")?, None);
    drop(store);
    std::fs::remove_dir_all(&dir).ok();
    Ok(())
}
