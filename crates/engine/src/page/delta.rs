//! # Delta: the byte ranges of a page that changed since its base
//!
//! In memory: units of 32 bytes, found through a small hash table, so that reading or writing a range
//! costs two cache lines however much of the page changed, and memory follows what changed. What a patch
//! writes lies in one unit: the front of a header slot, a slot of 4 to 16 bytes.
//!
//! ```text
//! window (64 KiB of the page)
//!   table   u32 entries, 2^k of them: 0, or 1 + number of a unit << 16 | its place below
//!   units   32 bytes, a mask with a bit for each byte that changed, and whether the others are known
//! ```
//!
//! A number's home in the table is a mix of its bits, a collision goes to the next entry. At 2048 entries
//! each number has a home of its own, so a table never gets longer.
//!
//! A unit is *whole* when its unchanged bytes are those of what lies below; it is then read alone.
//!
//! As bytes: the changed ranges in order, one after the other to the end (*v* is LEB128):
//!
//! | part  | field | size | meaning                                                                |
//! |-------|-------|------|------------------------------------------------------------------------|
//! | range | gap   | v    | bytes between the end of the range before (0 at first) and this one    |
//! |       | len   | v    | bytes of this range, at least 1                                        |
//! |       | bytes | len  | what the page has there                                                |
//!
//! Valid when: no range is empty, none ends behind [`PAGE_LEN_MAX`]; order and disjointness follow
//! from the form. Ranges may touch. [`Delta::decode`] takes hostile bytes: it allocates no more than
//! 48 times what it was given, and a few small tables.

use crate::page::image::PAGE_LEN_MAX;
use vellum_bytes::{Cursor, put_varint};
use vellum_bytes::{Error, Result};
use vellum_memory as cpu;
use vellum_memory::Array;

/// Bytes of a unit: half a header slot, whose front half holds all that a patch writes there.
pub const UNIT_LEN: usize = 32;

/// Bytes of the page that one index covers: a header page, and every page of fixed slots.
pub(super) const WINDOW_LEN: usize = 64 << 10;
const WINDOW_UNITS: usize = WINDOW_LEN / UNIT_LEN;

/// Unchanged bytes that [`Delta::diff`] takes along rather than start another range, which costs two
/// to five.
const JOIN_GAP: usize = 8;

/// Equal stretches are skipped in steps of this many bytes, one memcmp of a cache line each.
const STRIDE: usize = 64;

/// What an overlay has of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cover<'a> {
    /// Nothing: what lies below holds.
    None,
    /// All of it, in one run.
    Whole(&'a [u8]),
    /// Some of it, or all in pieces.
    Part,
}

#[derive(Clone, Debug)]
struct Unit {
    bytes: [u8; UNIT_LEN],
    /// One bit a byte that changed.
    mask: u32,
    /// Whether the other bytes are what lies below.
    whole: bool,
}

impl Unit {
    /// Bits of the bytes `from..to`.
    #[inline]
    fn bits(from: usize, to: usize) -> u32 {
        ((1u64 << to) - (1u64 << from)) as u32
    }

    /// Takes `below` for the bytes that did not change.
    fn complete(&mut self, below: &[u8; UNIT_LEN]) {
        for (index, byte) in below.iter().enumerate() {
            if self.mask >> index & 1 == 0 {
                self.bytes[index] = *byte;
            }
        }
        self.whole = true;
    }

    /// Changed stretches as (from, to), in order.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut rest = u64::from(self.mask);
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let from = rest.trailing_zeros() as usize;
            let to = from + (rest >> from).trailing_ones() as usize;
            rest &= u64::MAX << to;
            Some((from, to))
        })
    }
}

/// Units of one window.
#[derive(Clone, Default, Debug)]
struct Window {
    table: Array<u32>,
    units: Array<Unit>,
}

/// Where a unit of this number is looked for first. One to one below [`WINDOW_UNITS`].
#[inline]
fn home(number: usize) -> usize {
    number ^ number >> 4 ^ number >> 8
}

/// A table's entry for a unit.
#[inline]
fn entry(number: usize, place: usize) -> u32 {
    (number as u32 + 1) << 16 | place as u32
}

impl Window {
    /// Where the unit lies, or else the table's entry that is to say so.
    #[inline]
    fn find(&self, number: usize) -> Result<usize, usize> {
        let mask = self.table.len().wrapping_sub(1);
        let mut at = home(number);
        loop {
            match self.table.get(at & mask) {
                Some(found) if (found >> 16) as usize == number + 1 => return Ok((found & 0xffff) as usize),
                Some(0) | None => return Err(at & mask),
                Some(_) => at += 1,
            }
        }
    }

    #[inline]
    fn unit(&self, number: usize) -> Option<&Unit> {
        self.find(number).ok().and_then(|place| self.units.get(place))
    }

    /// The unit, made if there is none.
    #[inline]
    fn unit_mut(&mut self, number: usize) -> &mut Unit {
        let place = match self.find(number) {
            Ok(place) => place,
            Err(at) => {
                let place = self.units.len();
                self.units.push(Unit { bytes: [0; UNIT_LEN], mask: 0, whole: false });
                match self.table.len() == WINDOW_UNITS || (place + 1) * 4 <= self.table.len() * 3 {
                    true => self.table[at] = entry(number, place),
                    false => self.grow(number, place),
                }
                place
            }
        };
        &mut self.units[place]
    }

    /// Makes the table longer and adds a unit to it.
    #[cold]
    fn grow(&mut self, number: usize, place: usize) {
        const LEN_MIN: usize = 8;
        let len = match self.table.len() {
            0 => LEN_MIN,
            len @ ..128 => len * 4,
            len => len * 2,
        };
        let mut table = Array::default();
        table.resize(len.min(WINDOW_UNITS), 0);
        let before = std::mem::replace(&mut self.table, table);
        for kept in before.iter().copied().filter(|kept| *kept != 0).chain([entry(number, place)]) {
            if let Err(at) = self.find((kept >> 16) as usize - 1) {
                self.table[at] = kept;
            }
        }
    }

    /// The units with their numbers, in no order.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Unit)> {
        let entries = self.table.iter().filter(|entry| **entry != 0);
        entries.map(|entry| ((entry >> 16) as usize - 1, &self.units[(entry & 0xffff) as usize]))
    }

    /// The units with their numbers, in the order of the page.
    fn sorted(&self) -> impl Iterator<Item = (usize, &Unit)> {
        let mut all: Vec<_> = self.numbered().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter()
    }

    /// Asks for the line of the table that says where a unit is.
    #[inline]
    fn ask(&self, number: usize) {
        cpu::prefetch_at(&self.table, home(number) & self.table.len().wrapping_sub(1));
    }

    fn memory_len(&self) -> usize {
        self.table.capacity() * size_of::<u32>() + self.units.capacity() * size_of::<Unit>()
    }
}

/// An overlay of byte ranges over what lies below: a page's base, or an older delta.
#[derive(Clone, Default, Debug)]
pub struct Delta {
    /// The first 64 KiB, which is all of most pages.
    first: Window,
    /// Windows 1 and up, sorted by number.
    more: Vec<(usize, Window)>,
    /// Offset behind the last byte that changed.
    end: usize,
}

impl Delta {
    /// Takes `bytes` as what the page has at `offset`. `below` fills in what a unit had before, and says
    /// whether it could: it is asked for units that are not written whole.
    ///
    /// # Panics
    /// When the range ends behind [`PAGE_LEN_MAX`]: no page is that long.
    #[inline]
    pub fn write(
        &mut self,
        offset: usize,
        bytes: &[u8],
        mut below: impl FnMut(usize, &mut [u8; UNIT_LEN]) -> bool,
    ) {
        let end = offset + bytes.len();
        assert!(end <= PAGE_LEN_MAX, "a write up to byte {end} of a page");
        let mut at = offset;
        while at < end {
            let (number, from) = (at / UNIT_LEN, at % UNIT_LEN);
            let to = UNIT_LEN.min(from + end - at);
            let unit = self.window_mut(number / WINDOW_UNITS).unit_mut(number % WINDOW_UNITS);
            if !unit.whole {
                if to - from == UNIT_LEN {
                    unit.whole = true;
                } else {
                    let mut under = [0; UNIT_LEN];
                    if below(number * UNIT_LEN, &mut under) {
                        unit.complete(&under);
                    }
                }
            }
            unit.bytes[from..to].copy_from_slice(&bytes[at - offset..][..to - from]);
            unit.mask |= Unit::bits(from, to);
            at += to - from;
        }
        if !bytes.is_empty() {
            self.end = self.end.max(end);
        }
    }

    /// As [`Delta::write`], with nothing known of what lies below.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.write(offset, bytes, |_, _| false);
    }

    /// Whether nothing changed.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Offset behind the last byte covered; 0 when there is none.
    #[inline]
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// Bytes of memory that this holds, itself aside.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        let more = self.more.iter().map(|(_, window)| size_of::<(usize, Window)>() + window.memory_len());
        self.first.memory_len() + more.sum::<usize>()
    }

    /// Copies what is covered of the range at `offset` into `into`, which holds what lies below.
    pub fn overlay(&self, offset: usize, into: &mut [u8]) {
        let end = offset.saturating_add(into.len()).min(self.end);
        if offset == 0 && end == self.end && self.unit_count() * 2 < end / UNIT_LEN {
            return self.overlay_all(into);
        }
        let mut at = offset;
        while at < end {
            let (number, from) = (at / UNIT_LEN, at % UNIT_LEN);
            let to = UNIT_LEN.min(from + end - at);
            match self.unit(number) {
                None => {}
                Some(unit) if unit.whole => {
                    into[at - offset..][..to - from].copy_from_slice(&unit.bytes[from..to]);
                }
                Some(unit) => {
                    for (run_from, run_to) in unit.runs() {
                        let (run_from, run_to) = (run_from.max(from), run_to.min(to));
                        if run_from < run_to {
                            into[at + run_from - from - offset..][..run_to - run_from]
                                .copy_from_slice(&unit.bytes[run_from..run_to]);
                        }
                    }
                }
            }
            at += to - from;
        }
    }

    /// [`Delta::overlay`] of a whole page with few units: going from unit to unit, not looking each place up.
    fn overlay_all(&self, into: &mut [u8]) {
        let more = self.more.iter().map(|(number, window)| (*number, window));
        for (window_number, window) in std::iter::once((0, &self.first)).chain(more) {
            for (number, unit) in window.numbered() {
                let start = window_number * WINDOW_LEN + number * UNIT_LEN;
                for (from, to) in unit.runs() {
                    into[start + from..start + to].copy_from_slice(&unit.bytes[from..to]);
                }
            }
        }
    }

    fn unit_count(&self) -> usize {
        self.first.units.len() + self.more.iter().map(|(_, window)| window.units.len()).sum::<usize>()
    }

    /// What the overlay has of a range.
    #[inline]
    #[must_use]
    pub fn cover(&self, offset: usize, len: usize) -> Cover<'_> {
        if offset >= self.end || len == 0 {
            return Cover::None;
        }
        let (first, last) = (offset / UNIT_LEN, (offset.saturating_add(len) - 1) / UNIT_LEN);
        if first != last {
            let last = last.min(self.end / UNIT_LEN);
            let untouched = (first..=last).all(|number| self.unit(number).is_none());
            return if untouched { Cover::None } else { Cover::Part };
        }
        let Some(unit) = self.unit(first) else { return Cover::None };
        let (from, to) = (offset % UNIT_LEN, offset % UNIT_LEN + len);
        let wanted = Unit::bits(from, to);
        if unit.whole || unit.mask & wanted == wanted {
            Cover::Whole(&unit.bytes[from..to])
        } else if unit.mask & wanted == 0 {
            Cover::None
        } else {
            Cover::Part
        }
    }

    /// Asks for the line that says where the unit at `offset` is.
    #[inline]
    pub fn ask_place(&self, offset: usize) {
        self.first.ask(offset / UNIT_LEN);
    }

    /// Asks for the unit at `offset`; [`Delta::ask_place`] a while before spares the wait.
    #[inline]
    pub fn ask_unit(&self, offset: usize) {
        if let Some(unit) = self.first.unit(offset / UNIT_LEN) {
            cpu::prefetch(&unit.bytes[0]);
            cpu::prefetch(&unit.whole);
        }
    }

    /// The changed ranges in order, offset and bytes. Ranges that touch may come in pieces.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let more = self.more.iter().map(|(number, window)| (*number, window));
        std::iter::once((0, &self.first)).chain(more).flat_map(|(window_number, window)| {
            window.sorted().flat_map(move |(number, unit)| {
                let start = window_number * WINDOW_LEN + number * UNIT_LEN;
                unit.runs().map(move |(from, to)| (start + from, &unit.bytes[from..to]))
            })
        })
    }

    /// Appends the encoded form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (mut before, mut start, mut run) = (0, 0, Vec::new());
        for (offset, bytes) in self.iter().chain(std::iter::once((usize::MAX, &[][..]))) {
            if offset != start + run.len() {
                if !run.is_empty() {
                    put_varint(out, (start - before) as u64);
                    put_varint(out, run.len() as u64);
                    out.extend_from_slice(&run);
                    before = start + run.len();
                }
                start = offset;
                run.clear();
            }
            run.extend_from_slice(bytes);
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
            delta.put(offset as usize, range);
        }
        Ok(delta)
    }

    /// Writes the ranges into `base`, which grows if need be.
    pub fn apply_to<B: Extend<u8> + AsMut<[u8]>>(&self, base: &mut B) {
        let missing = self.end().saturating_sub(base.as_mut().len());
        base.extend(std::iter::repeat_n(0, missing));
        let base = base.as_mut();
        for (offset, bytes) in self.iter() {
            base[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Takes the changes of `newer`, which lies over this one, for its own.
    pub fn merge(&mut self, newer: Delta) {
        self.end = self.end.max(newer.end);
        let windows = std::iter::once((0, newer.first)).chain(newer.more);
        for (window_number, window) in windows {
            let target = self.window_mut(window_number);
            for (number, unit) in window.numbered() {
                let below = target.unit_mut(number);
                if unit.whole {
                    (below.bytes, below.whole) = (unit.bytes, true);
                } else {
                    for (from, to) in unit.runs() {
                        below.bytes[from..to].copy_from_slice(&unit.bytes[from..to]);
                    }
                }
                below.mask |= unit.mask;
            }
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
                delta.put(offset, &vec![0; bytes.len()]);
            }
        }
        delta
    }

    #[inline]
    fn unit(&self, number: usize) -> Option<&Unit> {
        match number / WINDOW_UNITS {
            0 => self.first.unit(number),
            window => self.window(window)?.unit(number % WINDOW_UNITS),
        }
    }

    fn window(&self, number: usize) -> Option<&Window> {
        let place = self.more.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.more[place].1)
    }

    #[inline]
    fn window_mut(&mut self, number: usize) -> &mut Window {
        if number == 0 {
            return &mut self.first;
        }
        let place = match self.more.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => place,
            Err(place) => {
                self.more.insert(place, (number, Window::default()));
                place
            }
        };
        &mut self.more[place].1
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
            self.delta.put(start, &self.now[start..end]);
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
