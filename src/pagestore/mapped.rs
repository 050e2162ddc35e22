//! A sealed image under a page, and what of it was checked: each 4 KiB block at its first touch, when it is
//! fetched from the disk.

use super::segment::{Segment, StoredImage};
use crate::cpu;
use crate::error::{Error, Result};
use crate::id::Address;
use crate::page::image::{self, BLOCK_LEN, Kind};
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
    blocks: OnceLock<Blocks>,
}

/// What the head says of the blocks, kept from when it was checked: a later block must not need the head's
/// sector again. Four bytes for 4 KiB.
#[derive(Debug)]
struct Blocks {
    crcs: Box<[u32]>,
    checked_more: Box<[AtomicU64]>,
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
    /// A reference that leads out of its segment does not say how long the page is: a reader who makes room
    /// for it would take gigabytes for a file of kilobytes. What it reads is `Corrupt` in any case.
    pub(super) fn new(stored: StoredImage, address: Address) -> Mapped {
        let held = u32::try_from(stored.segment.len()).unwrap_or(u32::MAX);
        Mapped {
            segment: stored.segment.clone(),
            len: stored.image.payload_len.min(held),
            start: AtomicU32::new(0),
            checked: AtomicU64::new(0),
            rest: Arc::new(Rest { stored, address, blocks: OnceLock::new() }),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// All of it, once every block was found sound; `None` before, and of an image of more than 64 blocks.
    #[inline]
    pub(super) fn whole(&self) -> Option<&[u8]> {
        let len = self.len();
        let all = u64::MAX.checked_shr(64_u32.checked_sub(len.div_ceil(BLOCK_LEN) as u32)?)?;
        if self.checked.load(Acquire) & all != all {
            return None;
        }
        let start = self.start.load(Relaxed) as usize;
        self.segment.bytes().get(start..start + len)
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

    fn check_head(&self) -> Result<&Blocks> {
        let Rest { stored, address, blocks } = &*self.rest;
        if let Some(blocks) = blocks.get()
            && self.start.load(Relaxed) != 0
        {
            return Ok(blocks);
        }
        let (view, start) = stored.segment.image(&stored.image)?;
        stored.expect(view.head(), Kind::Page, address)?;
        let blocks = blocks.get_or_init(|| Blocks {
            crcs: view.block_crcs(),
            checked_more: (0..view.block_count().saturating_sub(1) / 64).map(|_| AtomicU64::new(0)).collect(),
        });
        let payload = start + view.payload_range().start;
        let payload = u32::try_from(payload).map_err(|_| {
            stored.segment.placed(start as u64, &Error::corrupt("", 0, "a segment of more than 4 GiB"))
        })?;
        self.start.store(payload, Relaxed);
        Ok(blocks)
    }

    #[inline]
    fn word(&self, block: usize) -> Option<&AtomicU64> {
        match block / 64 {
            0 => Some(&self.checked),
            n => self.rest.blocks.get().and_then(|blocks| blocks.checked_more.get(n - 1)),
        }
    }

    #[inline]
    fn block_is_checked(&self, block: usize) -> bool {
        self.word(block).is_some_and(|word| word.load(Acquire) >> (block % 64) & 1 == 1)
    }

    #[cold]
    fn check_blocks(&self, first: usize, last: usize) -> Result<()> {
        let crcs = &self.check_head()?.crcs;
        // One call for all of them; where it fails, each answers for itself.
        let fetched = first < last && self.fetch(first, last).is_ok();
        for block in first..=last {
            if !self.block_is_checked(block) {
                if !fetched {
                    self.fetch(block, block)?;
                }
                self.check_block(block, crcs)?;
            }
        }
        Ok(())
    }

    /// Has the disk give these blocks, so that they may be touched.
    fn fetch(&self, first: usize, last: usize) -> Result<()> {
        let StoredImage { image, segment } = &self.rest.stored;
        let (start, len) = (image.offset() as usize, image.payload_len as usize);
        let range =
            |block| image::block_range(len, block).map_err(|error| segment.placed(start as u64, &error));
        segment.fetch(start + range(first)?.start..start + range(last)?.end).map(drop)
    }

    /// Checks a block that was fetched.
    fn check_block(&self, block: usize, crcs: &[u32]) -> Result<()> {
        let StoredImage { image, segment } = &self.rest.stored;
        let (start, len) = (image.offset() as usize, image.payload_len as usize);
        let bytes = &segment.bytes()[start..];
        let kept = crcs.get(block).copied().unwrap_or_default();
        image::check_block_against(bytes, len, block, kept)
            .map_err(|error| segment.placed(start as u64, &error))?;
        segment.note_read();
        if let Some(word) = self.word(block) {
            word.fetch_or(1 << (block % 64), Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Region;
    use crate::error::ErrorKind;
    use crate::id::{SegmentId, TreeId};
    use crate::pagestore::ImageRef;

    #[test]
    fn a_page_is_never_longer_than_its_segment_whatever_its_reference_says() {
        // Found by `open_damaged`: a reference under a checksum made to fit named 757,950,001 bytes, and `verify`
        // made room for them before it read.
        let segment = Arc::new(Segment::as_is("seg-00000001".to_string(), Region::heap(vec![0; 4096])));
        let address = Address { tree: TreeId(1), number: 0, column: 0 };
        for (place, payload_len) in [(1, 757_950_001), (1, u32::MAX), (u32::MAX, 1), (1, 4096)] {
            let image = ImageRef { segment: SegmentId(1), place, payload_len, crc: 0 };
            let page = Mapped::new(StoredImage { image, segment: segment.clone() }, address);
            assert!(page.len() <= 4096, "{payload_len} bytes make a page of {}", page.len());
            for (offset, len) in [(0, 16), (0, page.len()), (4000, 1 << 20)] {
                let error = page.bytes(offset, len).expect_err("the reference leads out of the segment");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            }
        }
    }
}
