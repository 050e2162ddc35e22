//! The pool: pieces divided into granules of 512 bytes, and 64 of those into blocks where blocks are small.
//!
//! ```text
//! piece   2 MiB    [ header | granule 8 | granule 9 | … | granule 4095 ]     one bit each: nobody has it
//! run     granules in a row, for what is longer than 4 KiB
//! span    32 KiB   the 64 granules of one word of those bits, as blocks of one class
//! class            16 of 64 to 1024 bytes in steps of 64, then sixteen a doubling up to 4 KiB
//! ```
//!
//! Small blocks cost a few steps each: a class has a list of its spans that have free blocks, a span a list of
//! those blocks, and a block's address says where its span is noted. A span whose blocks are all free becomes
//! granules again, and granules that lie side by side are one run, whoever had them: so what a store needed for
//! buckets while it was loaded can become deltas. A piece of which nobody has anything goes back to the system,
//! but for some spare ones: mapping a piece, and filling it with zeros, costs some 100 µs.
//!
//! Blocks are aligned to a cache line. Spans are the slabs of Bonwick (USENIX 1994).

#![expect(unsafe_code, reason = "blocks are raw memory")]

use super::pieces::{self, PIECE_LEN};
use std::ptr::{NonNull, null_mut};

/// Alignment of all that is handed out.
pub(super) const ALIGN: usize = 64;
/// Longer things are not taken from the pool: they would waste much of a piece.
pub(super) const LEN_MAX: usize = 1 << 20;

const GRANULE: usize = 512;
const WORDS: usize = PIECE_LEN / GRANULE / 64;
const SPAN_LEN: usize = 64 * GRANULE;
/// Longer things are runs of granules.
const BLOCK_LEN_MAX: usize = 4096;
/// Granules of the header.
const HEADER: usize = 8;
/// Pieces that are kept for the next need: as many as are in use, within these bounds. Each checkpoint gives
/// back the deltas of all that it wrote, and patches take as many again.
const SPARE_MIN: usize = 4;
const SPARE_MAX: usize = 64;

const LINEAR_LEN: usize = 1024;
const LINEAR_CLASSES: usize = LINEAR_LEN / ALIGN;
const STEPS: usize = 16;
const CLASS_COUNT: usize = LINEAR_CLASSES + STEPS * (BLOCK_LEN_MAX / LINEAR_LEN).ilog2() as usize;

/// The class of blocks of `len` bytes, which is at most [`BLOCK_LEN_MAX`] and not 0.
#[inline]
fn class_of(len: usize) -> usize {
    if len <= LINEAR_LEN {
        return (len - 1) / ALIGN;
    }
    let doubling = (len - 1).ilog2();
    let step = ((len - 1) >> (doubling - STEPS.ilog2())) - STEPS;
    LINEAR_CLASSES + STEPS * (doubling - LINEAR_LEN.ilog2()) as usize + step
}

/// Bytes of a class's blocks.
#[inline]
fn class_len(class: usize) -> usize {
    match class.checked_sub(LINEAR_CLASSES) {
        None => (class + 1) * ALIGN,
        Some(above) => ((STEPS + above % STEPS + 1) * (LINEAR_LEN / STEPS)) << (above / STEPS),
    }
}

/// What is noted of a span.
struct Span {
    /// Blocks that were given back, each with the address of the next; null at the end.
    free: *mut u8,
    /// Neighbours in the list of the class's spans with free blocks.
    next: *mut Span,
    before: *mut Span,
    /// Blocks from here on were never handed out.
    fresh: u32,
    /// Blocks that are in use.
    used: u32,
}

/// Which granules nobody has.
type Free = [u64; WORDS];

/// The header of a piece.
struct Piece {
    /// By the word whose granules it is made of.
    spans: [Span; WORDS],
    free: Free,
    /// Place in the list of pieces.
    listed: usize,
}

const _: () = assert!(size_of::<Piece>() <= HEADER * GRANULE);

/// Nobody has any but the header's.
const ALL_FREE: Free = {
    let mut free = [!0; WORDS];
    free[0] = !0 << HEADER;
    free
};

/// A piece, and what is known of it without a look at its header, so that full ones are passed over.
struct Listed {
    at: NonNull<Piece>,
    /// No run in it is longer than so many granules.
    longest: usize,
    /// Whether it may have a word of granules that nobody has.
    has_word: bool,
}

impl Listed {
    /// A piece of which nothing is known.
    fn new(at: NonNull<Piece>) -> Listed {
        Listed { at, longest: PIECE_LEN / GRANULE, has_word: true }
    }
}

/// What is looked for in a piece.
#[derive(Clone, Copy)]
enum Want {
    /// So many granules in a row.
    Run(usize),
    /// The granules of a word, for a span.
    Word,
}

impl Want {
    fn count(self) -> usize {
        match self {
            Want::Run(count) => count,
            Want::Word => 64,
        }
    }

    fn find(self, free: &Free) -> Option<usize> {
        match self {
            Want::Run(count) => run_of(free, count),
            Want::Word => free.iter().position(|word| *word == !0).map(|word| word * 64),
        }
    }
}

/// All pieces.
pub(super) struct Pool {
    /// By class, the first of its spans that have free blocks.
    spans: [*mut Span; CLASS_COUNT],
    pieces: Vec<Listed>,
    spare: Vec<NonNull<u8>>,
}

// SAFETY: what it points to is its own, and is reached through it alone.
unsafe impl Send for Pool {}

/// The piece that an address lies in.
fn piece_of(at: NonNull<u8>) -> *mut Piece {
    at.as_ptr().map_addr(|address| address & !(PIECE_LEN - 1)).cast()
}

/// The granule that an address lies in.
fn granule_of(at: NonNull<u8>) -> usize {
    at.as_ptr().addr() % PIECE_LEN / GRANULE
}

impl Pool {
    pub(super) const fn new() -> Pool {
        Pool { spans: [null_mut(); CLASS_COUNT], pieces: Vec::new(), spare: Vec::new() }
    }

    /// Memory of `len` bytes, which is not 0 and at most [`LEN_MAX`]; `None` when there is none.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<NonNull<u8>> {
        if len > BLOCK_LEN_MAX {
            return self.take_run(Want::Run(len.div_ceil(GRANULE)));
        }
        let class = class_of(len);
        let mut span = self.spans[class];
        if span.is_null() {
            span = self.begin_span(class)?;
        }
        // SAFETY: spans of the list are noted in the headers of mapped pieces, and have a free block.
        unsafe { self.take_block(class, span) }
    }

    /// Gives back what [`Pool::take`] gave for this length.
    ///
    /// # Safety
    /// So it is, and nobody uses it.
    #[inline]
    pub(super) unsafe fn give_back(&mut self, at: NonNull<u8>, len: usize) {
        // SAFETY: it lies in a piece, and spans and blocks are as `take` left them.
        unsafe {
            let piece = piece_of(at);
            let granule = granule_of(at);
            if len > BLOCK_LEN_MAX {
                return self.free_run(piece, granule, len.div_ceil(GRANULE));
            }
            let class = class_of(len);
            let index = granule / 64;
            let span = &raw mut (*piece).spans[index];
            let was_full = (*span).free.is_null() && !has_fresh(&*span, class);
            at.cast::<*mut u8>().write((*span).free);
            (*span).free = at.as_ptr();
            (*span).used -= 1;
            if was_full {
                self.link(class, span);
            }
            // The last span of a class stays, lest it come and go with each block.
            if (*span).used == 0 && !((*span).next.is_null() && (*span).before.is_null()) {
                self.unlink(class, span);
                self.free_run(piece, index * 64, 64);
            }
        }
    }

    /// # Safety
    /// The span is the first of its class's list.
    #[inline]
    unsafe fn take_block(&mut self, class: usize, span: *mut Span) -> Option<NonNull<u8>> {
        // SAFETY: as promised by the caller; a block that is free has the address of the next one in it.
        unsafe {
            let at = match NonNull::new((*span).free) {
                Some(at) => {
                    (*span).free = at.cast::<*mut u8>().read();
                    at
                }
                None => {
                    let piece = piece_of(NonNull::new(span)?.cast());
                    let index = span.offset_from((&raw mut (*piece).spans).cast::<Span>()) as usize;
                    let at = piece.cast::<u8>().add(index * SPAN_LEN + (*span).fresh as usize);
                    (*span).fresh += class_len(class) as u32;
                    NonNull::new(at)?
                }
            };
            (*span).used += 1;
            if (*span).free.is_null() && !has_fresh(&*span, class) {
                self.unlink(class, span);
            }
            Some(at)
        }
    }

    /// A span for a class that has none with a free block.
    #[cold]
    fn begin_span(&mut self, class: usize) -> Option<*mut Span> {
        let at = self.take_run(Want::Word)?;
        // SAFETY: it lies in a piece, whose header notes this span.
        unsafe {
            let span = &raw mut (*piece_of(at)).spans[granule_of(at) / 64];
            span.write(Span { free: null_mut(), next: null_mut(), before: null_mut(), fresh: 0, used: 0 });
            self.link(class, span);
            Some(span)
        }
    }

    /// Granules in a row, of the first piece in the list that has them, so that those behind it become empty.
    fn take_run(&mut self, want: Want) -> Option<NonNull<u8>> {
        let found = self.pieces.iter_mut().find_map(|listed| {
            if listed.longest < want.count() || matches!(want, Want::Word) && !listed.has_word {
                return None;
            }
            // SAFETY: listed pieces are mapped, and their headers are whole.
            let found = unsafe { want.find(&(*listed.at.as_ptr()).free) };
            match (found, want) {
                (Some(_), _) => {}
                (None, Want::Run(count)) => listed.longest = count - 1,
                (None, Want::Word) => listed.has_word = false,
            }
            found.map(|first| (listed.at, first))
        });
        let (piece, first) = match found {
            Some(found) => found,
            None => (self.begin_piece()?, want.find(&ALL_FREE)?),
        };
        // SAFETY: as above.
        unsafe {
            let header = piece.as_ptr();
            for_each_word(first, want.count(), |word, bits| (*header).free[word] &= !bits);
            NonNull::new(header.cast::<u8>().add(first * GRANULE))
        }
    }

    /// # Safety
    /// The granules are those of this piece, and nobody uses them.
    unsafe fn free_run(&mut self, piece: *mut Piece, first: usize, count: usize) {
        // SAFETY: as promised by the caller; the list has all pieces.
        unsafe {
            for_each_word(first, count, |word, bits| (*piece).free[word] |= bits);
            let place = (*piece).listed;
            self.pieces[place] = Listed::new(self.pieces[place].at);
            if (&raw const (*piece).free).read() != ALL_FREE {
                return;
            }
            self.pieces.swap_remove(place);
            if let Some(moved) = self.pieces.get(place) {
                (*moved.at.as_ptr()).listed = place;
            }
            if let Some(at) = NonNull::new(piece.cast::<u8>()) {
                match self.spare.len() < self.pieces.len().clamp(SPARE_MIN, SPARE_MAX) {
                    true => self.spare.push(at),
                    false => pieces::unmap(at),
                }
            }
        }
    }

    fn begin_piece(&mut self) -> Option<NonNull<Piece>> {
        let at: NonNull<Piece> = self.spare.pop().or_else(pieces::map)?.cast();
        // SAFETY: a piece that nobody else has is long enough for its header; spans are noted as they begin.
        unsafe {
            (&raw mut (*at.as_ptr()).free).write(ALL_FREE);
            (&raw mut (*at.as_ptr()).listed).write(self.pieces.len());
        }
        self.pieces.push(Listed::new(at));
        Some(at)
    }

    /// # Safety
    /// The span is in no list.
    unsafe fn link(&mut self, class: usize, span: *mut Span) {
        // SAFETY: as promised by the caller; spans of a list are noted in mapped pieces.
        unsafe {
            let first = self.spans[class];
            ((*span).before, (*span).next) = (null_mut(), first);
            if let Some(first) = first.as_mut() {
                first.before = span;
            }
            self.spans[class] = span;
        }
    }

    /// # Safety
    /// The span is in the list of this class.
    unsafe fn unlink(&mut self, class: usize, span: *mut Span) {
        // SAFETY: as promised by the caller; spans of a list are noted in mapped pieces.
        unsafe {
            let (before, next) = ((*span).before, (*span).next);
            match before.as_mut() {
                Some(before) => before.next = next,
                None => self.spans[class] = next,
            }
            if let Some(next) = next.as_mut() {
                next.before = before;
            }
            ((*span).before, (*span).next) = (null_mut(), null_mut());
        }
    }
}

/// Whether the span has blocks that were never handed out.
#[inline]
fn has_fresh(span: &Span, class: usize) -> bool {
    span.fresh as usize + class_len(class) <= SPAN_LEN
}

/// The words that a run lies in, each with the bits of its granules.
fn for_each_word(first: usize, count: usize, mut each: impl FnMut(usize, u64)) {
    let (mut at, end) = (first, first + count);
    while at < end {
        let (bit, len) = (at % 64, (64 - at % 64).min(end - at));
        each(at / 64, (!0 >> (64 - len)) << bit);
        at += len;
    }
}

/// The first of `count` free granules in a row.
fn run_of(free: &Free, count: usize) -> Option<usize> {
    let (mut start, mut len) = (0, 0);
    for (index, word) in free.iter().enumerate() {
        let (mut rest, mut bit) = (*word, 0);
        while bit < 64 {
            let taken = (rest.trailing_zeros() as usize).min(64 - bit);
            if taken > 0 {
                (len, bit, rest) = (0, bit + taken, rest.checked_shr(taken as u32).unwrap_or(0));
                continue;
            }
            if len == 0 {
                start = index * 64 + bit;
            }
            let more = rest.trailing_ones() as usize;
            len += more;
            if len >= count {
                return Some(start);
            }
            (bit, rest) = (bit + more, rest.checked_shr(more as u32).unwrap_or(0));
        }
    }
    None
}

impl Drop for Pool {
    /// The process's pool lives as long as the process; one of a test gives back all pieces, used or not.
    fn drop(&mut self) {
        for piece in self.pieces.drain(..).map(|piece| piece.at.cast()).chain(self.spare.drain(..)) {
            // SAFETY: whoever had memory of it was promised it for as long as the pool lives.
            unsafe { pieces::unmap(piece) };
        }
    }
}

/// Takes and gives back as the steps say, from a pool of its own, and checks that what was taken stays as it was.
///
/// # Panics
/// When memory is not aligned, or was handed out twice.
#[cfg(any(test, fuzzing))]
pub fn exercise(steps: impl Iterator<Item = u16>) {
    const HELD_MAX: usize = 60;
    let mut pool = Pool::new();
    let mut held: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
    for (number, step) in steps.enumerate() {
        let (what, size) = (step & 3, usize::from(step >> 2));
        if (what == 0 || held.len() == HELD_MAX) && !held.is_empty() {
            let (at, len, mark) = held.swap_remove(size % held.len());
            // SAFETY: taken below, filled with its mark, and given back here alone.
            unsafe {
                assert!(
                    std::slice::from_raw_parts(at.as_ptr(), len).iter().all(|byte| *byte == mark),
                    "{len}"
                );
                pool.give_back(at, len);
            }
            continue;
        }
        let len = if what == 3 { 1 + size * 13 } else { 1 + size % 9000 };
        let at = pool.take(len).expect("memory");
        assert_eq!(at.as_ptr().addr() % ALIGN, 0, "{len}");
        // SAFETY: just taken, of this length.
        unsafe { at.write_bytes(number as u8, len) };
        held.push((at, len, number as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_stays_as_it_was_whatever_else_is_taken() {
        let mut seed = 3_u64;
        let steps = if cfg!(miri) { 300 } else { 40_000 };
        exercise((0..steps).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as u16
        }));
    }

    #[test]
    fn every_length_has_the_smallest_class_that_holds_it() {
        for len in 1..=BLOCK_LEN_MAX {
            let class = class_of(len);
            assert!(class_len(class) >= len, "{len}");
            assert!(class == 0 || class_len(class - 1) < len, "{len}");
            assert_eq!(class_len(class) % ALIGN, 0);
        }
        assert_eq!(class_of(BLOCK_LEN_MAX), CLASS_COUNT - 1);
        assert_eq!(class_len(CLASS_COUNT - 1), BLOCK_LEN_MAX);
    }

    #[test]
    fn runs_are_found_where_a_look_at_each_granule_finds_them() {
        let mut seed = 7_u64;
        for round in 0..500 {
            let mut free = ALL_FREE;
            for _ in 0..round % 60 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (first, count) = ((seed >> 33) as usize % 4096, 1 + (seed >> 50) as usize % 130);
                for_each_word(first, count.min(4096 - first), |word, bits| free[word] &= !bits);
            }
            let is_free = |granule: usize| free[granule / 64] >> (granule % 64) & 1 == 1;
            for count in [1, 2, 9, 17, 63, 64, 65, 128, 500, 2048] {
                let slow = (0..=4096 - count).find(|first| (*first..first + count).all(is_free));
                assert_eq!(run_of(&free, count), slow, "{count} in round {round}");
            }
        }
    }

    #[test]
    fn memory_moves_from_small_blocks_to_long_runs_and_pieces_come_back() {
        let mut pool = Pool::new();
        for len in [4096, 5000, LEN_MAX] {
            let count = 3 * PIECE_LEN / 2 / len;
            let mut taken: Vec<_> = (0..count).map(|_| pool.take(len)).collect();
            assert_eq!(pool.pieces.len(), if len == LEN_MAX { 3 } else { 2 }, "{len}");
            for at in taken.drain(..).flatten() {
                // SAFETY: taken above.
                unsafe { pool.give_back(at, len) };
            }
            // One span stays with its class.
            assert_eq!(pool.pieces.len(), 1, "{len}");
        }
        assert_eq!(pool.spare.len(), 2);
    }
}
