//! Hash indexes: linear hashing over bucket pages. Finds rows, or nothing; knows hashes and values,
//! not what they stand for.
//!
//! A tree of buckets numbered from 0; bucket b is the page at number b, column 0. The tree's meta
//! words are the entry count (0), the bucket count (1; 0 is read as 1) and the number of entries that
//! the index lacks because their key could not be read when the log was replayed (2). The bucket of a hash is its
//! low bits: with n buckets and 2^k ≤ n < 2^(k+1), the low k + 1 bits if that bucket exists, else the
//! low k. Whenever an insert makes more than [`TARGET`] entries a bucket on average, bucket n − 2^k is
//! split by bit k into itself and bucket n (Litwin, "Linear hashing", VLDB 1980). So the shape follows
//! from the sequence of inserts alone, and replay makes the same one.
//!
//! A look-up beside a writer may see half of a move or split: it can miss an entry, never invent one.
//! Callers confirm hits, and count a miss only if nothing was applied meanwhile (`records`).
//!
//! Damage: a bucket that cannot be read while the log is replayed is marked incomplete, and so are
//! buckets split from it; they answer `Corrupt`, since they cannot say that a key is absent. The
//! records are untouched by that, and an index can be built again from them. An index that lacks an
//! entry answers `Corrupt` instead of a miss ([`check_complete`]).

mod hash;

pub use hash::{KEY_HASH_ALGORITHM, key_hash};

use crate::id::{Address, TreeId};
use crate::page::{Columns, PageRead, PageWrite, bucket};
use crate::pages::{Group, GroupGuard, PageStore, Root, Tree, Writer, about};
use vellum_bytes::{Error, ErrorKind, Result};

/// Entries a bucket on average: 8 to 16 KiB a bucket, so that what leads to a bucket (table entry, latch,
/// page) is a hundredth of it, and nearer to the processor than it; a cold probe reads one block.
pub const TARGET: u64 = 512;

/// Meta words of an index tree.
pub const ENTRY_COUNT: usize = 0;
/// Meta word of an index tree: buckets that exist.
pub const BUCKET_COUNT: usize = 1;
/// Meta word of an index tree: keys that lay on pages which a repair could not read.
pub const MISSING_COUNT: usize = 2;

/// Values found for one hash: nearly always at most one, without an allocation.
#[derive(Debug, Default)]
pub struct Hits {
    first: [u64; 2],
    count: usize,
    more: Vec<u64>,
}

impl Hits {
    #[inline]
    fn push(&mut self, value: u64) {
        match self.first.get_mut(self.count) {
            Some(place) => *place = value,
            None => self.more.push(value),
        }
        self.count += 1;
    }

    /// The rows found, in the order of their entries.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.first[..self.count.min(2)].iter().chain(&self.more).copied()
    }
}

/// The bucket of `hash` among `bucket_count`.
#[inline]
pub fn bucket_of(hash: u64, bucket_count: u64) -> u64 {
    let level = bucket_count.max(1).ilog2();
    let wide = hash & ((2 << level) - 1);
    if wide < bucket_count.max(1) { wide } else { hash & ((1 << level) - 1) }
}

#[cold]
fn in_bucket(group: &Group, error: &Error) -> Error {
    about(&Address { tree: group.tree, number: group.number, column: 0 }, error)
}

#[inline]
fn bucket_group(store: &PageStore, root: &Root, tree: TreeId, hash: u64) -> Result<Option<GroupGuard>> {
    let Some(index) = root.tree(tree) else { return Ok(None) };
    store.group(root, tree, bucket_of(hash, index.meta(BUCKET_COUNT)))
}

/// All values under `hash`.
///
/// # Errors
/// `Corrupt` when the bucket, or the table on the way to it, is damaged.
#[inline]
pub fn find(store: &PageStore, root: &Root, tree: TreeId, hash: u64) -> Result<Hits> {
    let mut hits = Hits::default();
    if let Some(group) = bucket_group(store, root, tree, hash)?
        && let Some(page) = group.state.read().page(0)
    {
        let found = bucket::find(page, hash, &mut |value| {
            hits.push(value);
            Ok(false)
        });
        found.map_err(|error| in_bucket(&group, &error))?;
    }
    Ok(hits)
}

/// Whether a miss says that there is no such key.
///
/// # Errors
/// `Corrupt` when the index lacks entries.
#[inline]
pub fn check_complete(root: &Root, tree: TreeId) -> Result<()> {
    match root.tree(tree).map_or(0, |index| index.meta(MISSING_COUNT)) {
        0 => Ok(()),
        missing => Err(incomplete(tree, missing)),
    }
}

#[cold]
fn incomplete(tree: TreeId, missing: u64) -> Error {
    let reason = "on damaged pages; whether this key exists is not known: the index must be built anew";
    Error::new(ErrorKind::Corrupt, format!("the index in tree {tree} lacks {missing} keys that lie {reason}"))
}

/// Notes that an entry could not be added because its key cannot be read. Only `apply` calls this.
///
/// # Errors
/// `Corrupt` when the page table is damaged.
pub fn note_missing(store: &PageStore, writer: &Writer, tree: TreeId) -> Result<()> {
    let index = store.tree_mut(writer, tree)?;
    index.set_meta(MISSING_COUNT, index.meta(MISSING_COUNT) + 1);
    Ok(())
}

/// An entry that a transaction will put into an index, or take out of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moved {
    /// The index's tree.
    pub tree: TreeId,
    /// The key's hash.
    pub hash: u64,
    /// Whether the entry is inserted, or removed.
    pub is_insert: bool,
}

/// What a delta has at most of one entry that comes or goes: the entry, its slot and the counts, with their places.
const CHANGED_LEN: u64 = 96;

/// Reads all that these changes of indexes will read, so that they cannot fail after the frame was logged. Each
/// bucket is looked up once, and read whole only where its own changes may make it grow or shrink. Answers what the
/// images of buckets take that become dirty.
///
/// # Errors
/// As [`find`].
pub fn touch(store: &PageStore, root: &Root, moved: &mut [Moved]) -> Result<u64> {
    let mut images_len = 0;
    moved.sort_unstable_by_key(|moved| moved.tree);
    for of_tree in moved.chunk_by_mut(|a, b| a.tree == b.tree) {
        let Some(index) = root.tree(of_tree[0].tree) else { continue };
        let buckets = index.meta(BUCKET_COUNT);
        let number = |moved: &Moved| bucket_of(moved.hash, buckets);
        of_tree.sort_unstable_by_key(number);
        for of_bucket in of_tree.chunk_by(|a, b| number(a) == number(b)) {
            images_len += touch_bucket(store, root, number(&of_bucket[0]), of_bucket)?;
        }
        let inserts = of_tree.iter().filter(|moved| moved.is_insert).count() as u64;
        images_len += touch_splits(store, root, index, inserts)?;
    }
    Ok(images_len)
}

fn touch_bucket(store: &PageStore, root: &Root, number: u64, moved: &[Moved]) -> Result<u64> {
    let changed_len = CHANGED_LEN * moved.len() as u64;
    let Some(group) = store.group(root, moved[0].tree, number)? else { return Ok(changed_len) };
    let state = group.state.read();
    let Some(page) = state.page(0) else { return Ok(changed_len) };
    if !page.is_resident() {
        for Moved { hash, .. } in moved {
            let touched = bucket::touch(page, *hash, moved.len() as u32);
            touched.map_err(|error| in_bucket(&group, &error))?;
        }
    }
    Ok(page.image_len_max(changed_len))
}

/// Reads the buckets that so many inserts may split.
fn touch_splits(store: &PageStore, root: &Root, index: &Tree, insert_count: u64) -> Result<u64> {
    let mut images_len = 0;
    let entries = index.meta(ENTRY_COUNT) + insert_count;
    let mut buckets = index.meta(BUCKET_COUNT).max(1);
    while entries > buckets * TARGET {
        if let Some(group) = store.group(root, index.id, split_source(buckets))?
            && let Some(page) = group.state.read().page(0)
        {
            bucket::entries(page, &mut |_, _| Ok(())).map_err(|error| in_bucket(&group, &error))?;
            images_len += 2 * page.len() as u64;
        }
        store.group(root, index.id, buckets)?;
        buckets += 1;
    }
    Ok(images_len)
}

fn split_source(bucket_count: u64) -> u64 {
    bucket_count - (1 << bucket_count.ilog2())
}

/// Adds an entry. Only `apply` calls this.
///
/// # Errors
/// `Corrupt` when the page table is damaged; a damaged bucket is marked and passed over.
pub fn insert(store: &PageStore, writer: &mut Writer, tree: TreeId, hash: u64, value: u64) -> Result<()> {
    let index = store.tree_mut(writer, tree)?;
    let buckets = index.meta(BUCKET_COUNT).max(1);
    let group = store.group_mut(writer, tree, bucket_of(hash, buckets))?;
    let result = bucket::insert(group.state.write().page_mut(0), hash, value);
    note_damage(&group, result)?;
    let entries = index.meta(ENTRY_COUNT) + 1;
    index.set_meta(ENTRY_COUNT, entries);
    if entries > buckets * TARGET {
        split(store, writer, tree, buckets)?;
        store.tree_mut(writer, tree)?.set_meta(BUCKET_COUNT, buckets + 1);
    }
    Ok(())
}

/// Takes an entry out. Only `apply` calls this.
///
/// # Errors
/// As [`insert`].
pub fn remove(store: &PageStore, writer: &mut Writer, tree: TreeId, hash: u64, value: u64) -> Result<()> {
    let index = store.tree_mut(writer, tree)?;
    let group = store.group_mut(writer, tree, bucket_of(hash, index.meta(BUCKET_COUNT)))?;
    let result = bucket::remove(group.state.write().page_mut(0), hash, value).map(|_| ());
    note_damage(&group, result)?;
    index.set_meta(ENTRY_COUNT, index.meta(ENTRY_COUNT).saturating_sub(1));
    Ok(())
}

fn split(store: &PageStore, writer: &mut Writer, tree: TreeId, buckets: u64) -> Result<()> {
    let source = store.group_mut(writer, tree, split_source(buckets))?;
    let target = store.group_mut(writer, tree, buckets)?;
    let mut moved = Vec::new();
    let result = bucket::split(source.state.write().page_mut(0), buckets.ilog2(), &mut moved);
    if result.is_err() {
        bucket::mark_incomplete(target.state.write().page_mut(0));
        return note_damage(&source, result);
    }
    target.state.write().page_mut(0).replace(moved);
    Ok(())
}

/// Crash rule 8: what cannot be read is set aside, the rest goes on. Outside recovery this is not
/// reached, since the bucket was touched before the frame was logged.
fn note_damage(group: &Group, result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::error!(tree = group.tree.0, bucket = group.number, %error, "an index bucket is set aside");
            bucket::mark_incomplete(group.state.write().page_mut(0));
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_one_bucket_and_a_split_moves_it_there_or_leaves_it() {
        for buckets in 1..200u64 {
            for seed in 0..500u64 {
                let hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let before = bucket_of(hash, buckets);
                let after = bucket_of(hash, buckets + 1);
                assert!(before < buckets && after < buckets + 1);
                if before != after {
                    assert_eq!((before, after), (split_source(buckets), buckets));
                    assert_eq!(hash >> buckets.ilog2() & 1, 1);
                }
            }
        }
    }
}
