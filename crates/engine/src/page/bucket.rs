//! # Bucket: one page of a hash index
//!
//! A head of 64 bytes, then 2^k cells of 256. A bucket grows by doubling its cells, so there are no
//! overflow pages. How many cells there are follows from the page's length, which the page store
//! knows without reading the page and keeps exactly, also when a page is replaced by a shorter one.
//! So a look-up reads no head and costs two cache misses: the control line of the cell and the line
//! of the entry.
//!
//! | offset | size | field      | meaning                                                      |
//! |-------:|-----:|------------|--------------------------------------------------------------|
//! |      0 |    4 | count      | entries in all cells                                         |
//! |      4 |    1 | cells_log2 | k; repeats what the length says                              |
//! |      5 |    1 | flags      | bit 0: incomplete, entries were lost to damage; others 0     |
//! |      6 |   58 | zero       | reserved: written 0                                          |
//!
//! A cell, all offsets within it:
//!
//! ```text
//!  offset  size
//!       0    15  tags      one an entry; 0 = no entry
//!      15     1  overflow  entries that passed this full cell and lie in a later one; 255: 255 or more
//!      16   240  entries   15 of hash u64, value u64; zero where the tag is 0
//! ```
//!
//! The low bits of a hash choose the bucket (linear hashing), bits 40..56 the home cell, bits 56..64
//! the tag (0 becomes 255). An entry lies in its home cell or, if that was full, in a following one
//! (the last wraps to the first); a look-up goes on only behind a cell whose overflow is not 0. An
//! overflow of 255 stays until the bucket is built anew.
//!
//! Valid when: the length is 0 (an empty bucket) or 64 + 256 * 2^k, count, tags, homes and overflows
//! agree ([`verify`]). An incomplete bucket has no cells at all, is 64 bytes long and answers
//! `Corrupt`, since it cannot say that a key is absent.

use crate::page::{PageRead, PageWrite, get, put};
use vellum_bytes::Field;
use vellum_bytes::{Error, Result};
use vellum_memory as cpu;

const COUNT: Field<u32> = Field::at(0);
const CELLS_LOG2: Field<u8> = Field::after(COUNT);
const FLAGS: Field<u8> = Field::after(CELLS_LOG2);
const ZERO: Field<[u8; 58]> = Field::after(FLAGS);
const HEAD_LEN: usize = ZERO.end();

const INCOMPLETE: u8 = 1;

/// Bytes of a cell: four cache lines, the first holds the tags and three entries.
const CELL_LEN: usize = 256;
const CELL_ENTRIES: usize = 15;
const OVERFLOW_AT: usize = 15;
const ENTRIES_AT: usize = 16;
const ENTRY_LEN: usize = 16;
const OVERFLOW_MAX: u8 = 255;

/// 65,536 cells hold 860,000 entries in 16 MiB, thousands of times what the index lets a bucket
/// have, and the 16 bits that choose a home cell are used up.
const CELLS_LOG2_MAX: u32 = 16;

type Cell = [u8; CELL_LEN];

/// Calls `each` with the value of every entry that has this hash, until it answers true.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged; what `each` returns.
#[inline]
pub fn find(page: &impl PageRead, hash: u64, each: &mut impl FnMut(u64) -> Result<bool>) -> Result<bool> {
    let Some(cells) = cells(page)? else { return Ok(false) };
    let mut buffer = [0; CELL_LEN];
    for step in 0..cells {
        let offset = cell_offset(home(hash, cells) + step, cells);
        let cell = cell_at(page, offset, &mut buffer)?;
        prefetch(cell);
        for index in matches(cell, tag(hash)) {
            let (found, value) = entry(cell, index);
            if found == hash && each(value)? {
                return Ok(true);
            }
        }
        if cell[OVERFLOW_AT] == 0 {
            break;
        }
    }
    Ok(false)
}

/// Adds an entry. Grows the bucket where it gets too full for short probes.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged; nothing was changed then.
pub fn insert(page: &mut impl PageWrite, hash: u64, value: u64) -> Result<()> {
    let cells = match cells(page)? {
        Some(cells) => cells,
        None => {
            page.replace(new_empty());
            1
        }
    };
    let before = count(page)?;
    if (before as usize) < entries_max(cells) {
        let at = free_place(page, hash, cells)?;
        fill(page, hash, value, cells, at)?;
        put(page, COUNT.offset(), before + 1);
        return Ok(());
    }
    let mut all = collect(page)?;
    all.push((hash, value));
    page.replace(build(&all)?);
    Ok(())
}

/// Removes one entry; says whether it was there. Halves a bucket that is nearly empty.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged; nothing was changed then.
pub fn remove(page: &mut impl PageWrite, hash: u64, value: u64) -> Result<bool> {
    let Some(cells) = cells(page)? else { return Ok(false) };
    let Some(at) = place_of(page, hash, value, cells)? else { return Ok(false) };
    let before = count(page)?;
    let after = before.checked_sub(1).ok_or_else(|| corrupt(0, "a bucket with entries counts none"))?;
    if cells > 1 && after as usize <= shrink_at(cells) {
        let mut all = collect(page)?;
        let index = all.iter().position(|entry| *entry == (hash, value));
        all.remove(index.ok_or_else(|| corrupt(0, "an entry was found and is not listed"))?);
        page.replace(build(&all)?);
        return Ok(true);
    }
    for step in 0..at.step {
        let offset = cell_offset(home(hash, cells) + step, cells) + OVERFLOW_AT;
        let overflow: u8 = get(page, offset)?;
        if overflow != OVERFLOW_MAX {
            put(page, offset, overflow.saturating_sub(1));
        }
    }
    let offset = cell_offset(home(hash, cells) + at.step, cells);
    put(page, offset + at.index, 0u8);
    page.write(offset + ENTRIES_AT + at.index * ENTRY_LEN, &[0; ENTRY_LEN]);
    put(page, COUNT.offset(), after);
    Ok(true)
}

/// Gives the entry another value; says whether it was there.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged.
#[cfg(test)]
pub fn replace_value(page: &mut impl PageWrite, hash: u64, old: u64, new: u64) -> Result<bool> {
    let Some(cells) = cells(page)? else { return Ok(false) };
    let Some(at) = place_of(page, hash, old, cells)? else { return Ok(false) };
    let offset = cell_offset(home(hash, cells) + at.step, cells) + ENTRIES_AT + at.index * ENTRY_LEN;
    put(page, offset + 8, new);
    Ok(true)
}

/// Moves the entries whose hash has `bit` set (bit 0 is the lowest) to a new bucket, whose page
/// becomes the content of `out`. Both are as small as their entries allow.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged; nothing was changed then.
pub fn split(page: &mut impl PageWrite, bit: u32, out: &mut Vec<u8>) -> Result<()> {
    let all = collect(page)?;
    let (moved, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|(hash, _)| hash >> bit & 1 == 1);
    let (moved, kept) = (build(&moved)?, build(&kept)?);
    *out = moved;
    page.replace(kept);
    Ok(())
}

/// Calls `each` with hash and value of every entry, in the order of the cells.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged; what `each` returns.
pub fn entries(page: &impl PageRead, each: &mut impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let cells = cells(page)?.unwrap_or(0);
    let mut buffer = [0; CELL_LEN];
    for number in 0..cells {
        let cell = cell_at(page, cell_offset(number, cells), &mut buffer)?;
        for index in 0..CELL_ENTRIES {
            if cell[index] != 0 {
                let (hash, value) = entry(cell, index);
                each(hash, value)?;
            }
        }
    }
    Ok(())
}

/// Entries that the bucket counts.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
pub fn count(page: &impl PageRead) -> Result<u32> {
    get(page, COUNT.offset())
}

/// Reads what `change_count` inserts and removals in this bucket may read, this one among them.
///
/// # Errors
/// `Corrupt` when the bucket is incomplete or damaged.
pub fn touch(page: &impl PageRead, hash: u64, change_count: u32) -> Result<()> {
    let Some(cells) = cells(page)? else { return Ok(()) };
    let count = count(page)?;
    let grows = count.saturating_add(change_count) as usize > entries_max(cells);
    let shrinks = cells > 1 && count.saturating_sub(change_count) as usize <= shrink_at(cells);
    if grows || shrinks {
        return entries(page, &mut |_, _| Ok(()));
    }
    let mut buffer = [0; CELL_LEN];
    for step in 0..cells {
        let cell = cell_at(page, cell_offset(home(hash, cells) + step, cells), &mut buffer)?;
        let full = cell[..CELL_ENTRIES].iter().all(|tag| *tag != 0);
        if !full && cell[OVERFLOW_AT] == 0 {
            break;
        }
    }
    Ok(())
}

/// Gives the entries up after damage: from here on the bucket answers `Corrupt`.
pub fn mark_incomplete(page: &mut impl PageWrite) {
    let mut head = vec![0; HEAD_LEN];
    FLAGS.put(&mut head, INCOMPLETE);
    page.replace(head);
}

/// Whether entries were lost to damage.
///
/// # Errors
/// As [`PageRead::read`].
pub fn is_incomplete(page: &impl PageRead) -> Result<bool> {
    Ok(page.len() == HEAD_LEN && get::<u8>(page, FLAGS.offset())? == INCOMPLETE)
}

/// The page of an empty bucket.
#[must_use]
pub fn new_empty() -> Vec<u8> {
    vec![0; HEAD_LEN + CELL_LEN]
}

/// Checks that head, tags, homes and overflows agree.
///
/// # Errors
/// `Corrupt` for the first thing that does not.
pub fn verify(page: &impl PageRead) -> Result<()> {
    let Some(cells) = cells(page)? else { return Ok(()) };
    verify_head(page, cells)?;
    let mut overflows = vec![0u32; cells];
    let (mut buffer, mut found) = ([0; CELL_LEN], 0u32);
    for number in 0..cells {
        let offset = cell_offset(number, cells);
        let cell = *cell_at(page, offset, &mut buffer)?;
        for index in 0..CELL_ENTRIES {
            let (hash, value) = entry(&cell, index);
            match cell[index] {
                0 if (hash, value) == (0, 0) => continue,
                0 => return Err(corrupt(offset, format!("entry {index} has no tag and is not zero"))),
                kept if kept != tag(hash) => {
                    return Err(corrupt(
                        offset,
                        format!("entry {index} has tag {kept}, its hash {hash:016x} says {}", tag(hash)),
                    ));
                }
                _ => found += 1,
            }
            for step in 0..(number + cells - home(hash, cells)) % cells {
                overflows[(home(hash, cells) + step) % cells] += 1;
            }
        }
    }
    if found != count(page)? {
        return Err(corrupt(COUNT.offset(), format!("count is {}, there are {found} entries", count(page)?)));
    }
    for (number, expected) in overflows.into_iter().enumerate() {
        let offset = cell_offset(number, cells) + OVERFLOW_AT;
        let kept: u8 = get(page, offset)?;
        if kept != OVERFLOW_MAX && u32::from(kept) != expected {
            return Err(corrupt(
                offset,
                format!("overflow of cell {number} is {kept}, {expected} entries passed it"),
            ));
        }
    }
    Ok(())
}

fn verify_head(page: &impl PageRead, cells: usize) -> Result<()> {
    let mut head = [0; HEAD_LEN];
    page.read(0, &mut head)?;
    if 1usize.checked_shl(u32::from(CELLS_LOG2.get(&head))) != Some(cells) {
        return Err(corrupt(
            CELLS_LOG2.offset(),
            format!("cells_log2 is {} in a page of {cells} cells", head[4]),
        ));
    }
    if FLAGS.get(&head) != 0 || ZERO.get(&head) != [0; 58] {
        return Err(corrupt(FLAGS.offset(), "flags or reserved bytes are not zero"));
    }
    Ok(())
}

/// Where an entry lies: cells behind its home, and which of the cell's entries.
#[derive(Clone, Copy)]
struct Place {
    step: usize,
    index: usize,
}

/// Cells of the page; `None` for the page of length 0.
#[inline]
fn cells(page: &impl PageRead) -> Result<Option<usize>> {
    let len = page.len();
    if len == 0 {
        return Ok(None);
    }
    let cells = len.saturating_sub(HEAD_LEN) / CELL_LEN;
    if !cells.is_power_of_two() || cells > 1 << CELLS_LOG2_MAX || len != HEAD_LEN + cells * CELL_LEN {
        return Err(no_cells(page));
    }
    Ok(Some(cells))
}

#[cold]
fn no_cells(page: &impl PageRead) -> Error {
    match is_incomplete(page) {
        Ok(true) => corrupt(
            FLAGS.offset(),
            "entries of this index bucket were lost to damage; the index must be built anew",
        ),
        Ok(false) => corrupt(0, format!("no bucket has {} bytes", page.len())),
        Err(error) => error,
    }
}

/// Most entries before the bucket grows: 7/8, where nearly every entry is in its home cell or the
/// next. In a single cell nothing can pass, so it is filled to the last.
#[inline]
fn entries_max(cells: usize) -> usize {
    if cells == 1 { CELL_ENTRIES } else { cells * CELL_ENTRIES * 7 / 8 }
}

/// Entries at which a removal shrinks the bucket: an eighth, far from where it would grow again.
#[inline]
fn shrink_at(cells: usize) -> usize {
    cells * CELL_ENTRIES / 8
}

#[inline]
fn home(hash: u64, cells: usize) -> usize {
    (hash >> 40) as usize & (cells - 1)
}

#[inline]
fn tag(hash: u64) -> u8 {
    match (hash >> 56) as u8 {
        0 => 255,
        tag => tag,
    }
}

#[inline]
fn cell_offset(number: usize, cells: usize) -> usize {
    HEAD_LEN + (number & (cells - 1)) * CELL_LEN
}

/// The cell at `offset`, borrowed where it lies in one piece, else copied to `buffer`.
#[inline]
fn cell_at<'a>(page: &'a impl PageRead, offset: usize, buffer: &'a mut Cell) -> Result<&'a Cell> {
    if let Some(run) = page.run(offset, CELL_LEN)? {
        return Ok(run.try_into().expect("a run is as long as was asked for"));
    }
    page.read(offset, buffer)?;
    Ok(buffer)
}

/// Asks for all lines of a cell at once, so that the one with the entry is on its way while the tags are
/// still awaited: two cache misses cost hardly more than one.
#[inline]
fn prefetch(cell: &Cell) {
    cpu::prefetch_all(cell);
}

#[inline]
fn entry(cell: &Cell, index: usize) -> (u64, u64) {
    let at = ENTRIES_AT + index * ENTRY_LEN;
    let half = |at: usize| u64::from_le_bytes(cell[at..at + 8].try_into().expect("cut to 8"));
    (half(at), half(at + 8))
}

/// Positions whose tag is `tag`, and rarely one more: the caller compares the hash.
#[inline]
fn matches(cell: &Cell, tag: u8) -> impl Iterator<Item = usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pattern = ONES * u64::from(tag);
    // The high bit of each byte that is zero; a borrow may mark a 0x01 above one.
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let half = |at: usize| u64::from_le_bytes(cell[at..at + 8].try_into().expect("cut to 8"));
    let low = zero_bytes(half(0) ^ pattern);
    let high = zero_bytes(half(8) ^ pattern) & (u64::MAX >> 8);
    let mut marks = u128::from(high) << 64 | u128::from(low);
    std::iter::from_fn(move || {
        let index = (marks != 0).then(|| marks.trailing_zeros() as usize / 8)?;
        marks &= marks - 1;
        Some(index)
    })
}

fn place_of(page: &impl PageRead, hash: u64, value: u64, cells: usize) -> Result<Option<Place>> {
    let mut buffer = [0; CELL_LEN];
    for step in 0..cells {
        let cell = cell_at(page, cell_offset(home(hash, cells) + step, cells), &mut buffer)?;
        if let Some(index) = matches(cell, tag(hash)).find(|index| entry(cell, *index) == (hash, value)) {
            return Ok(Some(Place { step, index }));
        }
        if cell[OVERFLOW_AT] == 0 {
            break;
        }
    }
    Ok(None)
}

fn free_place(page: &impl PageRead, hash: u64, cells: usize) -> Result<Place> {
    for step in 0..cells {
        let tags: [u8; 16] = get(page, cell_offset(home(hash, cells) + step, cells))?;
        if let Some(index) = tags[..CELL_ENTRIES].iter().position(|tag| *tag == 0) {
            return Ok(Place { step, index });
        }
    }
    Err(corrupt(COUNT.offset(), "every entry is taken in a bucket that counts fewer"))
}

/// Writes an entry to a free place and notes it in the cells it passed.
fn fill(page: &mut impl PageWrite, hash: u64, value: u64, cells: usize, at: Place) -> Result<()> {
    for step in 0..at.step {
        let offset = cell_offset(home(hash, cells) + step, cells) + OVERFLOW_AT;
        let overflow: u8 = get(page, offset)?;
        if overflow != OVERFLOW_MAX {
            put(page, offset, overflow + 1);
        }
    }
    let offset = cell_offset(home(hash, cells) + at.step, cells);
    let mut bytes = [0; ENTRY_LEN];
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    page.write(offset + ENTRIES_AT + at.index * ENTRY_LEN, &bytes);
    put(page, offset + at.index, tag(hash));
    Ok(())
}

/// All entries; as many as the head counts.
fn collect(page: &impl PageRead) -> Result<Vec<(u64, u64)>> {
    let mut all = Vec::new();
    entries(page, &mut |hash, value| {
        all.push((hash, value));
        Ok(())
    })?;
    if all.len() != count(page)? as usize {
        return Err(corrupt(
            COUNT.offset(),
            format!("count is {}, there are {} entries", count(page)?, all.len()),
        ));
    }
    Ok(all)
}

/// The smallest page that holds these entries with room to probe.
fn build(all: &[(u64, u64)]) -> Result<Vec<u8>> {
    let log2 = (0..=CELLS_LOG2_MAX).find(|log2| all.len() <= entries_max(1 << log2));
    let log2 = log2.ok_or_else(|| corrupt(COUNT.offset(), format!("{} entries in one bucket", all.len())))?;
    let cells = 1usize << log2;
    let mut page = vec![0; HEAD_LEN + cells * CELL_LEN];
    COUNT.put(&mut page, all.len() as u32);
    CELLS_LOG2.put(&mut page, log2 as u8);
    for (hash, value) in all {
        let at = free_place(&page, *hash, cells)?;
        fill(&mut page, *hash, *value, cells, at)?;
    }
    Ok(page)
}

#[cold]
fn corrupt(offset: usize, reason: impl Into<String>) -> Error {
    Error::corrupt("", offset as u64, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [COUNT.row("count"), CELLS_LOG2.row("cells_log2"), FLAGS.row("flags"), ZERO.row("zero")];
        vellum_bytes::assert_offset_table(include_str!("bucket.rs"), HEAD_LEN, &fields);
        assert_eq!(HEAD_LEN % 64, 0);
    }
}
