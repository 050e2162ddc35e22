//! # Delta: the byte ranges of a page that changed since its base
//!
//! In memory: entries sorted by offset that do not overlap, over one arena of bytes; 12 bytes and
//! the data a range. Writing a range again overwrites it where it lies; a range that continues the
//! last one written grows it; anything else that overlaps is merged.
//!
//! As bytes, one after the other to the end (*v* is LEB128):
//!
//! | part  | field | size | meaning                                                                |
//! |-------|-------|------|------------------------------------------------------------------------|
//! | range | gap   | v    | bytes between the end of the range before (0 at first) and this one    |
//! |       | len   | v    | bytes of this range, at least 1                                        |
//! |       | bytes | len  | what the page has there                                                |
//!
//! Valid when: no range is empty, none ends behind [`PAGE_LEN_MAX`]; order and disjointness follow
//! from the form. Ranges may touch. [`Delta::decode`] takes hostile bytes: it allocates no more than
//! a small multiple of what it was given.

use crate::bytes::{Cursor, put_varint};
use crate::error::{Error, Result};
use crate::page::image::PAGE_LEN_MAX;

/// Unchanged bytes that [`Delta::diff`] takes along rather than start another range: as many as an
/// entry in memory takes, and not so many that the encoded form (2 to 5 bytes a range) suffers.
const JOIN_GAP: usize = 8;

/// Equal stretches are skipped in steps of this many bytes, one memcmp of a cache line each.
const STRIDE: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u32,
    len: u32,
    /// Where its bytes start in the arena.
    start: u32,
}

impl Entry {
    #[inline]
    fn end(self) -> usize {
        self.offset as usize + self.len as usize
    }
}

/// What an overlay has of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cover<'a> {
    /// Nothing: the base's bytes hold.
    None,
    /// All of it, in one run.
    Whole(&'a [u8]),
    /// Some of it, or all in pieces.
    Part,
}

/// A small ordered overlay of byte ranges over a page's base.
#[derive(Clone, Default, Debug)]
pub struct Delta {
    entries: Vec<Entry>,
    arena: Vec<u8>,
    /// Bytes of the arena that no entry uses any more.
    garbage: usize,
}

impl Delta {
    /// Takes `bytes` as what the page has at `offset`.
    ///
    /// # Panics
    /// When the range ends behind [`PAGE_LEN_MAX`]: no page is that long.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        assert!(end <= PAGE_LEN_MAX, "a write up to byte {end} of a page");
        let first = self.first_ending_after(offset);
        let Some(entry) = self.entries.get(first).copied().filter(|entry| (entry.offset as usize) < end)
        else {
            return self.insert(first, offset, bytes);
        };
        if entry.offset as usize <= offset && end <= entry.end() {
            let start = entry.start as usize + (offset - entry.offset as usize);
            self.arena[start..start + bytes.len()].copy_from_slice(bytes);
        } else {
            self.merge(first, offset, bytes);
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Offset behind the last byte covered; 0 when there is none.
    #[inline]
    #[must_use]
    pub fn end(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.end())
    }

    /// Ranges.
    #[must_use]
    #[cfg(test)]
    pub fn range_count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory that this holds, itself aside.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.arena.capacity()
    }

    /// Bytes that [`Delta::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut before = 0;
        let mut len = 0;
        for entry in &self.entries {
            len += varint_len(entry.offset as usize - before) + varint_len(entry.len as usize);
            len += entry.len as usize;
            before = entry.end();
        }
        len
    }

    /// Copies what is covered of the range at `offset` into `into`, which holds the base's bytes.
    #[inline]
    pub fn overlay(&self, offset: usize, into: &mut [u8]) {
        let end = offset.saturating_add(into.len());
        for entry in &self.entries[self.first_ending_after(offset)..] {
            let start = entry.offset as usize;
            if start >= end {
                break;
            }
            let (from, to) = (start.max(offset), entry.end().min(end));
            into[from - offset..to - offset].copy_from_slice(&self.bytes_of(entry)[from - start..to - start]);
        }
    }

    /// Whether any byte of the range changed.
    #[inline]
    #[must_use]
    #[cfg(test)]
    pub fn touches(&self, offset: usize, len: usize) -> bool {
        let entry = self.entries.get(self.first_ending_after(offset));
        len > 0 && entry.is_some_and(|entry| (entry.offset as usize) < offset.saturating_add(len))
    }

    /// The range's bytes, where one entry covers it whole.
    #[inline]
    #[must_use]
    #[cfg(test)]
    pub fn covering(&self, offset: usize, len: usize) -> Option<&[u8]> {
        match self.cover(offset, len) {
            Cover::Whole(bytes) => Some(bytes),
            Cover::None | Cover::Part => None,
        }
    }

    /// What the overlay has of a range, with one search.
    #[inline]
    #[must_use]
    pub fn cover(&self, offset: usize, len: usize) -> Cover<'_> {
        let end = offset.saturating_add(len);
        // Most reads are of presence bits, in front of all that changed.
        if self.entries.first().is_none_or(|first| first.offset as usize >= end) {
            return Cover::None;
        }
        match self.entries.get(self.first_ending_after(offset)) {
            Some(entry) if (entry.offset as usize) < end => {
                let from = offset.checked_sub(entry.offset as usize);
                let whole = from.and_then(|from| self.bytes_of(entry).get(from..from.checked_add(len)?));
                whole.map_or(Cover::Part, Cover::Whole)
            }
            _ => Cover::None,
        }
    }

    /// The ranges in order: offset and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.entries.iter().map(|entry| (entry.offset as usize, self.bytes_of(entry)))
    }

    /// Appends the encoded form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut before = 0;
        for (offset, bytes) in self.iter() {
            put_varint(out, (offset - before) as u64);
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
            before = offset + bytes.len();
        }
    }

    /// Reads the encoded form; `bytes` is all of it.
    ///
    /// # Errors
    /// `Corrupt` when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Delta> {
        let mut delta = Delta::default();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let place = cursor.offset() as u64;
            let (gap, len) = (cursor.varint()?, cursor.varint()?);
            let offset = (delta.end() as u64).saturating_add(gap);
            if len == 0 || offset.saturating_add(len) > PAGE_LEN_MAX as u64 {
                return Err(Error::corrupt(
                    "",
                    place,
                    format!("a delta range of {len} bytes at byte {offset}"),
                ));
            }
            let range = cursor.take(len as usize)?;
            delta.push(offset as usize, range);
        }
        Ok(delta)
    }

    /// Writes the ranges into `base`, which grows if need be.
    pub fn apply_to(&self, base: &mut Vec<u8>) {
        if base.len() < self.end() {
            base.resize(self.end(), 0);
        }
        for (offset, bytes) in self.iter() {
            base[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// What turns `base` into `now`. Both are zero-extended: a shorter `now` has zeros where `base`
    /// goes on. A longer one gets its length too, for the last byte is then covered.
    #[must_use]
    pub fn diff(base: &[u8], now: &[u8]) -> Delta {
        let mut builder = DiffBuilder { delta: Delta::default(), now, open: None };
        let both = base.len().min(now.len());
        builder.scan(0, &base[..both], &now[..both]);
        if now.len() > both {
            builder.scan_against_zeros(both, &now[both..]);
            builder.changed(now.len() - 1, now.len());
        }
        builder.close();
        let mut delta = builder.delta;
        if base.len() > both {
            let mut tail = DiffBuilder { delta: Delta::default(), now: base, open: None };
            tail.scan_against_zeros(both, &base[both..]);
            tail.close();
            for (offset, bytes) in tail.delta.iter() {
                delta.push(offset, &vec![0; bytes.len()]);
            }
        }
        delta
    }

    /// Drops the ranges that say what `base` says. One that goes on behind the base stays: it makes
    /// the page longer.
    pub fn prune_equal(&mut self, base: &[u8]) {
        let mut kept = Delta::default();
        for (offset, bytes) in self.iter() {
            if base.get(offset..offset + bytes.len()) != Some(bytes) {
                kept.push(offset, bytes);
            }
        }
        if kept.entries.len() < self.entries.len() {
            *self = kept;
        }
    }

    #[inline]
    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.start as usize..][..entry.len as usize]
    }

    /// Position of the first entry that ends behind `offset`.
    #[inline]
    fn first_ending_after(&self, offset: usize) -> usize {
        self.entries.partition_point(|entry| entry.end() <= offset)
    }

    /// Appends a range behind all others.
    fn push(&mut self, offset: usize, bytes: &[u8]) {
        self.insert(self.entries.len(), offset, bytes);
    }

    /// Inserts a range that overlaps none at position `at`.
    fn insert(&mut self, at: usize, offset: usize, bytes: &[u8]) {
        debug_assert!(at == 0 || self.entries[at - 1].end() <= offset);
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.entries[before])
            && before.end() == offset
            && (before.start + before.len) as usize == self.arena.len()
        {
            before.len += bytes.len() as u32;
        } else {
            let start = self.arena.len() as u32;
            self.entries.insert(at, Entry { offset: offset as u32, len: bytes.len() as u32, start });
        }
        self.arena.extend_from_slice(bytes);
    }

    /// Replaces the entries that overlap the range, from `first` on, by one that covers them all.
    fn merge(&mut self, first: usize, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let last = first + self.entries[first..].partition_point(|entry| (entry.offset as usize) < end);
        let whole_start = offset.min(self.entries[first].offset as usize);
        let whole_end = end.max(self.entries[last - 1].end());
        let mut whole = vec![0; whole_end - whole_start];
        for entry in self.entries.drain(first..last) {
            let arena = &self.arena[entry.start as usize..][..entry.len as usize];
            whole[entry.offset as usize - whole_start..][..entry.len as usize].copy_from_slice(arena);
            self.garbage += entry.len as usize;
        }
        whole[offset - whole_start..][..bytes.len()].copy_from_slice(bytes);
        self.insert(first, whole_start, &whole);
        self.sweep();
    }

    /// Packs the arena once more than half of it is garbage.
    fn sweep(&mut self) {
        if self.garbage * 2 <= self.arena.len() {
            return;
        }
        let mut packed = Vec::with_capacity(self.arena.len() - self.garbage);
        for entry in &mut self.entries {
            let start = packed.len() as u32;
            packed.extend_from_slice(&self.arena[entry.start as usize..][..entry.len as usize]);
            entry.start = start;
        }
        self.arena = packed;
        self.garbage = 0;
    }
}

/// Collects changed byte ranges from left to right and joins near ones.
struct DiffBuilder<'a> {
    delta: Delta,
    now: &'a [u8],
    open: Option<(usize, usize)>,
}

impl DiffBuilder<'_> {
    /// Compares two runs of one length that start at byte `at` of the page.
    fn scan(&mut self, at: usize, base: &[u8], now: &[u8]) {
        for (index, (base, now)) in base.chunks(STRIDE).zip(now.chunks(STRIDE)).enumerate() {
            if base != now {
                self.scan_words(at + index * STRIDE, base, now);
            }
        }
    }

    fn scan_against_zeros(&mut self, at: usize, now: &[u8]) {
        for (index, now) in now.chunks(STRIDE).enumerate() {
            self.scan(at + index * STRIDE, &[0; STRIDE][..now.len()], now);
        }
    }

    fn scan_words(&mut self, at: usize, base: &[u8], now: &[u8]) {
        for (index, (base, now)) in base.chunks(8).zip(now.chunks(8)).enumerate() {
            let differs = word(base) ^ word(now);
            if differs != 0 {
                let start = at + index * 8;
                let first = differs.trailing_zeros() as usize / 8;
                let last = 7 - differs.leading_zeros() as usize / 8;
                self.changed(start + first, start + last + 1);
            }
        }
    }

    /// Takes a changed range; none ends before the one taken last.
    fn changed(&mut self, start: usize, end: usize) {
        match &mut self.open {
            Some((_, open_end)) if start <= *open_end + JOIN_GAP => *open_end = end,
            _ => {
                self.close();
                self.open = Some((start, end));
            }
        }
    }

    fn close(&mut self) {
        if let Some((start, end)) = self.open.take() {
            self.delta.push(start, &self.now[start..end]);
        }
    }
}

/// Up to eight bytes as an integer, zero-extended.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}
