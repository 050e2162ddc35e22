//! # Text: views in a slots page, bytes in heap buffers
//!
//! A text column has Arrow's view layout. Its slots page (column `c << 16`) holds views of 16 bytes:
//!
//! ```text
//!  offset  size
//!       0     4  len     i32: bytes of the value
//!       4    12  inline  the value and zeros, where len <= 12; else:
//!       4     4  prefix  its first four bytes
//!       8     4  index   i32: number of the buffer, from 0 (page column (c << 16) + index + 1)
//!      12     4  offset  i32: where the value starts in that buffer's data
//! ```
//!
//! A heap buffer is a page: a head, then data from byte 8, which is an Arrow data buffer as it stands.
//!
//! | offset | size | field | meaning                                                            |
//! |-------:|-----:|-------|--------------------------------------------------------------------|
//! |      0 |    4 | used  | bytes of data                                                      |
//! |      4 |    4 | dead  | bytes of them that no view shows; OWN: one large value, all live   |
//!
//! A value of more than [`OWN_LEN_MIN`] bytes has a buffer of its own, which is replaced or removed
//! with it. All others share buffers of at most [`BUFFER_LEN_MAX`]:
//!
//! - A value that fits the space of the one before is written over it; what it leaves is dead.
//! - Else it is appended: to the last buffer; if that has no room, to the lowest-numbered of the
//!   first [`WALK_MAX`] that has; if none has, to a new one (the lowest unused number among those,
//!   or else the one behind the last).
//! - A buffer more than a third dead, and by more than [`DEAD_LEN_FREE`], is rewritten: live values
//!   in row order. One without live bytes is removed.
//!
//! All of this follows from the pages' content and the call alone, for replay must do the same.
//! Reads take nothing on trust and answer `Corrupt`. [`set`] and [`clear`] cannot fail: [`touch`]
//! read what they read; over damage, a view or head that makes no sense is taken as no space at all.

use crate::id::GROUP_ROWS;
use crate::page::slots::{self, SLOTS_START, Width};
use crate::page::{Columns, PageRead, PageWrite, get, put};
use vellum_bytes::Field;
use vellum_bytes::{Error, Result};

/// Longest value.
pub const VALUE_LEN_MAX: usize = 16 << 20;

/// Most data of a shared buffer: what one rewrite copies inside apply: some 5 microseconds.
pub const BUFFER_LEN_MAX: usize = 64 << 10;

/// Longest value that shares a buffer. A quarter of a buffer: so a buffer is at least three quarters
/// full before another is begun, and a rewrite never copies a large value for its neighbours' sake.
pub const OWN_LEN_MIN: usize = 16 << 10;

/// Dead bytes that never cause a rewrite: one block, less than the views and values that a rewrite
/// would make the next checkpoint write again.
pub const DEAD_LEN_FREE: usize = 4 << 10;

/// Buffers looked at for room, from the first: bounds what a patch of a cold group reads.
pub const WALK_MAX: u32 = 64;

const USED: Field<u32> = Field::at(0);
const DEAD: Field<u32> = Field::after(USED);
/// Where a buffer's data starts.
pub const DATA_START: usize = DEAD.end();
/// `dead` of a buffer that holds one large value.
const OWN: u32 = u32::MAX;

const INLINE_MAX: usize = 12;
/// Bytes of a view.
pub const VIEW_LEN: usize = 16;
/// Bytes of a value in several runs that are put together without memory of their own.
const PIECE_LEN: usize = 512;
const NUMBER_MAX: u32 = 0xffff;

const VIEW_VALUE_LEN: Field<i32> = Field::at(0);
const VIEW_PREFIX: Field<[u8; 4]> = Field::after(VIEW_VALUE_LEN);
const VIEW_INDEX: Field<i32> = Field::after(VIEW_PREFIX);
const VIEW_OFFSET: Field<i32> = Field::after(VIEW_INDEX);
const _: () = assert!(VIEW_OFFSET.end() == VIEW_LEN);

/// Gives the slot a value. `column` is the slots page's.
///
/// # Panics
/// When the value is longer than [`VALUE_LEN_MAX`], which is checked before a change is logged.
pub fn set(cols: &mut impl Columns, column: u32, slot: u32, bytes: &[u8]) {
    assert!(bytes.len() <= VALUE_LEN_MAX, "a value of {} bytes", bytes.len());
    let old = heap_span(cols, column, slot);
    if bytes.len() <= INLINE_MAX {
        write_view(cols, column, slot, &inline_view(bytes));
    } else if bytes.len() > OWN_LEN_MIN {
        let number = match old {
            Some(old) if old.own => old.number,
            _ => unused_number(cols, column),
        };
        cols.page_mut(column + number).replace(own_buffer(bytes));
        write_view(cols, column, slot, &heap_view(bytes, number, 0));
        if old.is_some_and(|old| old.number == number) {
            return;
        }
    } else if let Some(old) = old.filter(|old| !old.own && bytes.len() <= old.len) {
        cols.page_mut(column + old.number).write(DATA_START + old.offset, bytes);
        write_view(cols, column, slot, &heap_view(bytes, old.number, old.offset));
        return add_dead(cols, column, old.number, old.len - bytes.len());
    } else {
        let (number, offset) = append(cols, column, bytes);
        write_view(cols, column, slot, &heap_view(bytes, number, offset));
    }
    if let Some(old) = old {
        release(cols, column, old);
    }
}

/// Takes the slot's value away.
pub fn clear(cols: &mut impl Columns, column: u32, slot: u32) {
    let old = heap_span(cols, column, slot);
    if cols.page(column).is_none() {
        return;
    }
    slots::clear(cols.page_mut(column), Width::Sixteen, slot);
    if let Some(old) = old {
        release(cols, column, old);
    }
}

/// Appends the slot's value to `out`; says whether there is one.
///
/// # Errors
/// As [`with`].
pub fn read(cols: &impl Columns, column: u32, slot: u32, out: &mut Vec<u8>) -> Result<bool> {
    let copy = |value: &[u8]| {
        out.extend_from_slice(value);
        Ok(())
    };
    with(cols, column, slot, copy).map(|found| found.is_some())
}

/// Runs `take` on the slot's value, where it lies if that is one run; `None` where there is no value.
///
/// # Errors
/// As [`PageRead::read`]; `Corrupt` when view and buffer do not fit each other; what `take` says.
#[inline]
pub fn with<R>(
    cols: &impl Columns,
    column: u32,
    slot: u32,
    take: impl FnOnce(&[u8]) -> Result<R>,
) -> Result<Option<R>> {
    match read_view(cols, column, slot)? {
        Some(view) => with_view(|number| cols.page(column + number), slot, &view, take).map(Some),
        None => Ok(None),
    }
}

/// Runs `take` on the value that a slot's view shows; `buffer` gives the heap buffer of a number.
///
/// # Errors
/// As [`with`].
#[inline]
pub fn with_view<'p, P: PageRead + 'p, R, E: From<Error>>(
    buffer: impl FnOnce(u32) -> Option<&'p P>,
    slot: u32,
    view: &[u8; VIEW_LEN],
    take: impl FnOnce(&[u8]) -> Result<R, E>,
) -> Result<R, E> {
    let span = match parse_view(view, slot)? {
        View::Inline(len) => return take(&view[4..4 + len]),
        View::Heap(span) => span,
    };
    let (buffer, start) = (holding(buffer(span.number), slot, span)?, DATA_START + span.offset);
    match buffer.run(start, span.len)? {
        Some(run) => take(prefixed(run, view, slot)?),
        None => with_copy(buffer, (start, span.len), |copy| take(prefixed(copy, view, slot)?)),
    }
}

#[inline]
fn prefixed<'v>(value: &'v [u8], view: &[u8; VIEW_LEN], slot: u32) -> Result<&'v [u8]> {
    match value[..4] == VIEW_PREFIX.get(view) {
        true => Ok(value),
        false => Err(bad_view(slot, "its prefix is not how the value starts")),
    }
}

/// A value in several runs, put together.
#[inline(never)]
fn with_copy<R, E: From<Error>>(
    buffer: &impl PageRead,
    (start, len): (usize, usize),
    take: impl FnOnce(&[u8]) -> Result<R, E>,
) -> Result<R, E> {
    let (mut piece, mut long) = ([0; PIECE_LEN], Vec::new());
    let copy = match piece.get_mut(..len) {
        Some(piece) => piece,
        None => {
            long.resize(len, 0);
            &mut long
        }
    };
    buffer.read(start, copy)?;
    take(copy)
}

/// The buffer that a view's value lies in, as a column, and the range of the value in its page; for those who
/// ask for its lines ahead. Nothing is checked.
#[inline]
pub fn place(column: u32, slot: u32, view: &[u8; VIEW_LEN]) -> Option<(u32, std::ops::Range<usize>)> {
    let View::Heap(span) = parse_view(view, slot).ok()? else { return None };
    let start = DATA_START + span.offset;
    Some((column + span.number, start..start + span.len))
}

/// Whether the slot has exactly this value.
///
/// # Errors
/// As [`read`].
pub fn equals(cols: &impl Columns, column: u32, slot: u32, bytes: &[u8]) -> Result<bool> {
    let Some(view) = read_view(cols, column, slot)? else { return Ok(false) };
    let span = match parse_view(&view, slot)? {
        View::Inline(len) => return Ok(&view[4..4 + len] == bytes),
        View::Heap(span) => span,
    };
    if span.len != bytes.len() || VIEW_PREFIX.get(&view) != bytes[..4] {
        return Ok(false);
    }
    let buffer = buffer_of(cols, column, slot, span)?;
    if let Some(run) = buffer.run(DATA_START + span.offset, span.len)? {
        return Ok(run == bytes);
    }
    let mut piece = [0; PIECE_LEN];
    for (index, expected) in bytes.chunks(PIECE_LEN).enumerate() {
        let found = &mut piece[..expected.len()];
        buffer.read(DATA_START + span.offset + index * PIECE_LEN, found)?;
        if found != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads everything that [`set`] and [`clear`] on this slot may read, whatever the new value is.
/// Where other slots of the group change in the same transaction, their dead bytes may bring a
/// rewrite forward; it then reads what was not touched, and is left out if that cannot be read.
///
/// # Errors
/// As [`read`].
pub fn touch(cols: &impl Columns, column: u32, slot: u32) -> Result<()> {
    if let Some(view) = read_view(cols, column, slot)?
        && let View::Heap(span) = parse_view(&view, slot)?
    {
        let buffer = buffer_of(cols, column, slot, span)?;
        let head = Head::read(buffer)?;
        if head.dead != OWN && is_past_a_third(head.used as usize, head.dead as usize + span.len) {
            read_all(buffer)?;
            cols.page(column).map_or(Ok(()), read_all)?;
        }
    }
    let Some(last) = last_number(cols, column) else { return Ok(()) };
    for number in std::iter::once(last).chain(1..=last.min(WALK_MAX)) {
        let Some(buffer) = cols.page(column + number) else { continue };
        if Head::read(buffer)?.has_room(OWN_LEN_MIN) {
            break;
        }
    }
    Ok(())
}

/// Checks every view of the column and what its buffers count; `rows` is how many slots are in use.
///
/// # Errors
/// `Corrupt` for the first thing that does not fit.
pub fn verify(cols: &impl Columns, column: u32, rows: u32) -> Result<()> {
    let mut live = std::collections::BTreeMap::<u32, (usize, usize)>::new();
    let mut value = Vec::new();
    for slot in 0..rows.min(GROUP_ROWS) {
        value.clear();
        let Some(view) = read_view(cols, column, slot)? else { continue };
        read(cols, column, slot, &mut value)?;
        if let View::Heap(span) = parse_view(&view, slot)? {
            let (len, count) = live.entry(span.number).or_default();
            (*len, *count) = (*len + span.len, *count + 1);
        } else if view[4 + value.len()..].iter().any(|byte| *byte != 0) {
            return Err(bad_view(slot, "bytes behind its inline value are not zero"));
        }
    }
    let mut above = last_number(cols, column);
    while let Some(number) = above {
        let (live_len, count) = live.remove(&number).unwrap_or_default();
        let buffer =
            cols.page(column + number).ok_or_else(|| corrupt(0, "a buffer is listed and missing"))?;
        let head = Head::read(buffer)?;
        let counted = if head.dead == OWN { head.used } else { head.used.saturating_sub(head.dead) };
        if counted as usize != live_len || count == 0 || (head.dead == OWN && count != 1) {
            let reason =
                format!("buffer {number} counts {counted} live bytes, {count} views show {live_len}");
            return Err(corrupt(USED.offset(), reason));
        }
        above = if number > 1 { last_in(cols, column, number - 1) } else { None };
    }
    Ok(())
}

/// Where a value lies in a heap buffer.
#[derive(Clone, Copy)]
struct Span {
    /// Number of the buffer's page, from 1.
    number: u32,
    offset: usize,
    len: usize,
    own: bool,
}

enum View {
    Inline(usize),
    Heap(Span),
}

#[derive(Clone, Copy)]
struct Head {
    used: u32,
    dead: u32,
}

impl Head {
    #[inline]
    fn read(page: &impl PageRead) -> Result<Head> {
        let both: u64 = get(page, USED.offset())?;
        Ok(Head { used: both as u32, dead: (both >> 32) as u32 })
    }

    fn has_room(self, len: usize) -> bool {
        self.dead != OWN && self.used as usize + len <= BUFFER_LEN_MAX
    }

    /// Whether the span is of this buffer's sort and lies in its data.
    fn fits(self, span: Span) -> bool {
        let max = if span.own { VALUE_LEN_MAX } else { BUFFER_LEN_MAX };
        let (used, end) = (self.used as usize, span.offset + span.len);
        span.own == (self.dead == OWN) && end <= used && used <= max
    }
}

#[inline]
fn read_view(cols: &impl Columns, column: u32, slot: u32) -> Result<Option<[u8; VIEW_LEN]>> {
    cols.page(column).map_or(Ok(None), |page| read_view_in(page, slot))
}

/// The view in a slot of a column's first page.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
pub fn read_view_in(page: &impl PageRead, slot: u32) -> Result<Option<[u8; VIEW_LEN]>> {
    let mut view = [0; VIEW_LEN];
    Ok(slots::read_fixed(page, Width::Sixteen, slot, &mut view)?.map(|_| view))
}

#[inline]
fn parse_view(view: &[u8; VIEW_LEN], slot: u32) -> Result<View> {
    let len = VIEW_VALUE_LEN.get(view) as u32 as usize;
    if len <= INLINE_MAX {
        return Ok(View::Inline(len));
    }
    let (index, offset) = (VIEW_INDEX.get(view) as u32, VIEW_OFFSET.get(view) as u32 as usize);
    if len > VALUE_LEN_MAX || index >= NUMBER_MAX || offset > BUFFER_LEN_MAX {
        return Err(bad_view(slot, format!("{len} bytes at {offset} of buffer index {index}")));
    }
    Ok(View::Heap(Span { number: index + 1, offset, len, own: len > OWN_LEN_MIN }))
}

/// The buffer of a span, found to hold it.
#[inline]
fn buffer_of<C: Columns>(cols: &C, column: u32, slot: u32, span: Span) -> Result<&C::Page> {
    holding(cols.page(column + span.number), slot, span)
}

#[inline]
fn holding<P: PageRead>(buffer: Option<&P>, slot: u32, span: Span) -> Result<&P> {
    let Some(buffer) = buffer else { return Err(no_buffer(slot, span.number)) };
    let head = Head::read(buffer)?;
    if head.fits(span) { Ok(buffer) } else { Err(unfit(slot, span, head)) }
}

#[cold]
fn no_buffer(slot: u32, number: u32) -> Error {
    bad_view(slot, format!("there is no buffer {number}"))
}

#[cold]
fn unfit(slot: u32, span: Span, head: Head) -> Error {
    let (number, used) = (span.number, head.used);
    bad_view(slot, format!("{} bytes at {} of buffer {number} of {used}", span.len, span.offset))
}

/// The heap space of the slot's value; `None` also over damage, where nothing is known about it.
fn heap_span(cols: &impl Columns, column: u32, slot: u32) -> Option<Span> {
    let view = read_view(cols, column, slot).ok()??;
    let View::Heap(span) = parse_view(&view, slot).ok()? else { return None };
    buffer_of(cols, column, slot, span).ok().map(|_| span)
}

fn inline_view(bytes: &[u8]) -> [u8; VIEW_LEN] {
    let mut view = [0; VIEW_LEN];
    VIEW_VALUE_LEN.put(&mut view, bytes.len() as i32);
    view[4..4 + bytes.len()].copy_from_slice(bytes);
    view
}

fn heap_view(bytes: &[u8], number: u32, offset: usize) -> [u8; VIEW_LEN] {
    let mut view = [0; VIEW_LEN];
    VIEW_VALUE_LEN.put(&mut view, bytes.len() as i32);
    view[4..8].copy_from_slice(&bytes[..4]);
    VIEW_INDEX.put(&mut view, number as i32 - 1);
    VIEW_OFFSET.put(&mut view, offset as i32);
    view
}

#[inline]
fn write_view(cols: &mut impl Columns, column: u32, slot: u32, view: &[u8; VIEW_LEN]) {
    slots::set_fixed(cols.page_mut(column), Width::Sixteen, slot, view);
}

fn last_number(cols: &impl Columns, column: u32) -> Option<u32> {
    last_in(cols, column, NUMBER_MAX)
}

fn last_in(cols: &impl Columns, column: u32, last: u32) -> Option<u32> {
    cols.last_in(column + 1, column + last).map(|found| found - column)
}

/// Appends a value to a shared buffer; says to which and where.
fn append(cols: &mut impl Columns, column: u32, bytes: &[u8]) -> (u32, usize) {
    let number = number_with_room(cols, column, bytes.len());
    let page = cols.page_mut(column + number);
    let used = get::<u32>(page, USED.offset()).unwrap_or(0) as usize;
    page.write(DATA_START + used, bytes);
    put(page, USED.offset(), (used + bytes.len()) as u32);
    (number, used)
}

fn number_with_room(cols: &impl Columns, column: u32, len: usize) -> u32 {
    let has_room = |number: u32| {
        let head = cols.page(column + number).and_then(|page| Head::read(page).ok());
        head.is_some_and(|head| head.has_room(len))
    };
    let Some(last) = last_number(cols, column) else { return 1 };
    std::iter::once(last)
        .chain(1..=last.min(WALK_MAX))
        .find(|number| has_room(*number))
        .unwrap_or_else(|| unused_number(cols, column))
}

/// Low numbers are used again first, so that Arrow's list of buffers stays short; a column that runs
/// out of numbers (gigabytes appended while one buffer lives on) fills its gaps.
fn unused_number(cols: &impl Columns, column: u32) -> u32 {
    let Some(last) = last_number(cols, column) else { return 1 };
    let is_unused = |number: &u32| cols.page(column + number).is_none();
    let walked = (1..=last.min(WALK_MAX)).find(is_unused);
    let behind = (last < NUMBER_MAX).then_some(last + 1);
    walked.or(behind).or_else(|| (1..last).find(is_unused)).unwrap_or(NUMBER_MAX)
}

fn own_buffer(bytes: &[u8]) -> Vec<u8> {
    let mut page = Vec::with_capacity(DATA_START + bytes.len());
    page.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    page.extend_from_slice(&OWN.to_le_bytes());
    page.extend_from_slice(bytes);
    page
}

/// Gives up a value's space, after its slot has got another view.
fn release(cols: &mut impl Columns, column: u32, old: Span) {
    if old.own {
        cols.remove(column + old.number);
    } else {
        add_dead(cols, column, old.number, old.len);
    }
}

fn add_dead(cols: &mut impl Columns, column: u32, number: u32, len: usize) {
    let Some(head) = cols.page(column + number).and_then(|page| Head::read(page).ok()) else { return };
    let (used, dead) = (head.used as usize, (head.dead as usize).saturating_add(len));
    if len == 0 {
        return;
    }
    if dead >= used {
        cols.remove(column + number);
        return;
    }
    if is_past_a_third(used, dead)
        && let Ok((page, views)) = rewritten(cols, column, number)
    {
        cols.page_mut(column + number).replace(page);
        let slots = cols.page_mut(column);
        for (slot, view) in views {
            slots.write(SLOTS_START + slot as usize * VIEW_LEN, &view);
        }
        return;
    }
    put(cols.page_mut(column + number), DEAD.offset(), dead as u32);
}

fn is_past_a_third(used: usize, dead: usize) -> bool {
    dead > DEAD_LEN_FREE && dead * 3 > used
}

type Views = Vec<(u32, [u8; VIEW_LEN])>;

/// A buffer without its dead bytes, and the views that show it, in row order.
fn rewritten(cols: &impl Columns, column: u32, number: u32) -> Result<(Vec<u8>, Views)> {
    let (Some(slots), Some(buffer)) = (cols.page(column), cols.page(column + number)) else {
        return Err(corrupt(0, "a page of the column is missing"));
    };
    let head = Head::read(buffer)?;
    let mut page = Vec::with_capacity(DATA_START + (head.used as usize).min(BUFFER_LEN_MAX));
    page.resize(DATA_START, 0);
    let mut views = Views::new();
    let slot_count = slots.len().saturating_sub(SLOTS_START).div_ceil(VIEW_LEN);
    let mut view = [0; VIEW_LEN];
    for slot in 0..GROUP_ROWS.min(slot_count as u32) {
        if slots::read_fixed(slots, Width::Sixteen, slot, &mut view)?.is_none() {
            continue;
        }
        let View::Heap(span) = parse_view(&view, slot)? else { continue };
        if span.number != number {
            continue;
        }
        let start = page.len();
        if !head.fits(span) || start - DATA_START + span.len > BUFFER_LEN_MAX {
            return Err(bad_view(slot, "views show more of a buffer than it holds"));
        }
        if let Some(run) = buffer.run(DATA_START + span.offset, span.len)? {
            page.extend_from_slice(run);
        } else {
            page.resize(start + span.len, 0);
            buffer.read(DATA_START + span.offset, &mut page[start..])?;
        }
        views.push((slot, heap_view(&page[start..], number, start - DATA_START)));
    }
    let used = (page.len() - DATA_START) as u32;
    USED.put(&mut page, used);
    Ok((page, views))
}

/// Reads a page through; where it lies in one piece, that costs no more than the checks.
fn read_all(page: &impl PageRead) -> Result<()> {
    if page.run(0, page.len())?.is_some() {
        return Ok(());
    }
    let mut block = [0; 4096];
    for offset in (0..page.len()).step_by(block.len()) {
        page.read(offset, &mut block)?;
    }
    Ok(())
}

#[cold]
fn corrupt(offset: usize, reason: impl Into<String>) -> Error {
    Error::corrupt("", offset as u64, reason)
}

#[cold]
fn bad_view(slot: u32, reason: impl AsRef<str>) -> Error {
    let offset = SLOTS_START + slot as usize * VIEW_LEN;
    corrupt(offset, format!("view of slot {slot}: {}", reason.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [USED.row("used"), DEAD.row("dead")];
        vellum_bytes::assert_offset_table(include_str!("varlen.rs"), DATA_START, &fields);
    }
}
