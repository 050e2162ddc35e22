//! A sealed image under a page, and what of it was checked: each 4 KiB block at its first touch.

use super::segment::{Segment, StoredImage};
use crate::cpu;
use crate::error::{Error, Result};
use crate::id::Address;
use crate::page::image::{BLOCK_LEN, Kind};
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, OnceLock};

/// A mapped image. What a read needs lies here; the rest is behind one pointer.
#[derive(Debug)]
pub(super) struct Mapped {
    segment: Arc<Segment>,
    /// Length of the payload; pages are far below 4 GiB.
    len: u32,
    /// Offset of the payload in the segment once the header was checked; 0 before.
    start: AtomicU32,
    /// One bit a block that was found sound: the first 64 here, the others behind.
    checked: AtomicU64,
    rest: Arc<Rest>,
}

#[derive(Debug)]
struct Rest {
    stored: StoredImage,
    address: Address,
    checked_more: OnceLock<Box<[AtomicU64]>>,
}

impl Clone for Mapped {
    fn clone(&self) -> Mapped {
        let checked = self.checked.load(Acquire);
        Mapped {
            segment: self.segment.clone(),
            len: self.len,
            start: AtomicU32::new(self.start.load(Relaxed)),
            checked: AtomicU64::new(checked),
            rest: self.rest.clone(),
        }
    }
}

impl Mapped {
    pub(super) fn new(stored: StoredImage, address: Address) -> Mapped {
        Mapped {
            segment: stored.segment.clone(),
            len: stored.image.payload_len,
            start: AtomicU32::new(0),
            checked: AtomicU64::new(0),
            rest: Arc::new(Rest { stored, address, checked_more: OnceLock::new() }),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The part of `[offset, offset + len)` that the image has, its blocks checked.
    ///
    /// # Errors
    /// `Corrupt` when the header or a block under the range is not what was written.
    #[inline]
    pub(super) fn bytes(&self, offset: usize, len: usize) -> Result<&[u8]> {
        let end = self.len().min(offset.saturating_add(len));
        if offset >= end {
            return self.check_head().map(|_| &[][..]);
        }
        let (first, last) = (offset / BLOCK_LEN, (end - 1) / BLOCK_LEN);
        if !(first == last && self.block_is_checked(first)) {
            self.check_blocks(first, last)?;
        }
        // A block is checked behind the header, so the start is known here.
        let start = self.start.load(Relaxed) as usize;
        Ok(&self.segment.bytes()[start + offset..start + end])
    }

    /// Asks for the line at `offset`.
    #[inline]
    pub(super) fn ask(&self, offset: usize) {
        match self.start.load(Relaxed) {
            0 => {}
            start => cpu::prefetch_at(self.segment.bytes(), start as usize + offset),
        }
    }

    /// Whether most blocks were touched: the others then came with them, so that reading them waits for
    /// no disk.
    pub(super) fn is_warm(&self) -> bool {
        let blocks = self.len().div_ceil(BLOCK_LEN);
        let checked = (0..blocks).filter(|block| self.block_is_checked(*block)).count();
        checked * 4 >= blocks * 3
    }

    fn check_head(&self) -> Result<()> {
        if self.start.load(Relaxed) != 0 {
            return Ok(());
        }
        let Rest { stored, address, checked_more } = &*self.rest;
        let (view, start) = stored.segment.image(&stored.image)?;
        stored.expect(&view, start, Kind::Page, address)?;
        let blocks = view.block_count();
        if blocks > 64 {
            checked_more.get_or_init(|| (0..(blocks - 1) / 64).map(|_| AtomicU64::new(0)).collect());
        }
        let payload = start + view.payload_range().start;
        let payload = u32::try_from(payload).map_err(|_| {
            stored.segment.placed(start as u64, &Error::corrupt("", 0, "a segment of more than 4 GiB"))
        })?;
        self.start.store(payload, Relaxed);
        Ok(())
    }

    #[inline]
    fn word(&self, block: usize) -> Option<&AtomicU64> {
        match block / 64 {
            0 => Some(&self.checked),
            n => self.rest.checked_more.get().and_then(|more| more.get(n - 1)),
        }
    }

    #[inline]
    fn block_is_checked(&self, block: usize) -> bool {
        self.word(block).is_some_and(|word| word.load(Acquire) >> (block % 64) & 1 == 1)
    }

    #[cold]
    fn check_blocks(&self, first: usize, last: usize) -> Result<()> {
        self.check_head()?;
        for block in first..=last {
            if !self.block_is_checked(block) {
                self.check_block(block)?;
            }
        }
        Ok(())
    }

    fn check_block(&self, block: usize) -> Result<()> {
        let stored = &self.rest.stored;
        let (view, start) = stored.segment.image(&stored.image)?;
        view.check_block(block).map_err(|error| stored.segment.placed(start as u64, &error))?;
        if let Some(word) = self.word(block) {
            word.fetch_or(1 << (block % 64), Release);
        }
        Ok(())
    }
}
