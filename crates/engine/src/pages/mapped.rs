//! A sealed image under a page, and what of it was checked: each 4 KiB block at its first touch, when it is
//! fetched from the disk.

use super::segment::{Segment, StoredImage};
use super::unmapped::Unmapped;
use crate::id::Address;
use crate::page::image::{self, BLOCK_LEN, Kind};
use std::ops::Range;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, OnceLock};
use vellum_bytes::{Error, Result};
use vellum_memory as cpu;

/// The head and blocks are fetched together where they lie within this length: as much as the kernel maps around
/// a page that is touched.
const TOGETHER_LEN: usize = 64 << 10;

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
    /// Shared with copies of the page; but where the segment is not mapped, this page's alone.
    rest: Arc<Rest>,
}

#[derive(Debug)]
struct Rest {
    stored: StoredImage,
    address: Address,
    blocks: OnceLock<Blocks>,
    /// Where the segment is not mapped: then no block is ever found checked, and all reads come here.
    unmapped: Option<Box<Unmapped>>,
}

impl Rest {
    fn new(stored: StoredImage, address: Address, unmapped: Option<Box<Unmapped>>) -> Arc<Rest> {
        Arc::new(Rest { stored, address, blocks: OnceLock::new(), unmapped })
    }
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
        let rest = match &self.rest.unmapped {
            None => self.rest.clone(),
            Some(unmapped) => Rest::new(self.rest.stored.clone(), self.rest.address, Some(unmapped.clone())),
        };
        Mapped {
            segment: self.segment.clone(),
            len: self.len,
            start: AtomicU32::new(self.start.load(Relaxed)),
            checked: AtomicU64::new(checked),
            rest,
        }
    }
}

impl Mapped {
    /// A reference that leads out of its segment does not say how long the page is: a reader who makes room
    /// for it would take gigabytes for a file of kilobytes. What it reads is `Corrupt` in any case.
    pub(super) fn new(stored: StoredImage, address: Address) -> Mapped {
        let is_mapped = stored.segment.cache().is_none();
        let unmapped = (!is_mapped).then(|| Box::new(Unmapped::new(stored.clone(), address)));
        let held = u32::try_from(stored.segment.len()).unwrap_or(u32::MAX);
        Mapped {
            segment: stored.segment.clone(),
            len: stored.image.payload_len.min(held),
            start: AtomicU32::new(0),
            checked: AtomicU64::new(0),
            rest: Rest::new(stored, address, unmapped),
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
            return self.bytes_at_first(offset, offset);
        }
        let block = offset / BLOCK_LEN;
        if block != (end - 1) / BLOCK_LEN || !self.block_is_checked(block) {
            return self.bytes_at_first(offset, end);
        }
        // A block is checked behind the header, so the start is known here.
        let start = self.start.load(Relaxed) as usize;
        Ok(&self.segment.bytes()[start + offset..start + end])
    }

    /// The bytes of a range that was not checked, or runs over several blocks, or is empty.
    #[cold]
    fn bytes_at_first(&self, offset: usize, end: usize) -> Result<&[u8]> {
        if let Some(unmapped) = &self.rest.unmapped {
            return unmapped.bytes(offset, end - offset);
        }
        if offset == end {
            return self.check_head(false).map(|_| &[][..]);
        }
        self.check_blocks(offset / BLOCK_LEN, (end - 1) / BLOCK_LEN)?;
        let start = self.start.load(Relaxed) as usize;
        Ok(&self.segment.bytes()[start + offset..start + end])
    }

    /// Lets go of what was read of an image that is not mapped.
    pub(super) fn evict(&mut self, held: u64) {
        if let Some(unmapped) = Arc::get_mut(&mut self.rest).and_then(|rest| rest.unmapped.as_mut()) {
            unmapped.evict(held);
        }
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
        if let Some(unmapped) = &self.rest.unmapped {
            return unmapped.is_warm();
        }
        let blocks = self.len().div_ceil(BLOCK_LEN);
        let checked = (0..blocks).filter(|block| self.block_is_checked(*block)).count();
        checked * 4 >= blocks * 3
    }

    /// `fetched`: whether the disk gave the head already.
    fn check_head(&self, fetched: bool) -> Result<&Blocks> {
        let Rest { stored, address, blocks, .. } = &*self.rest;
        if let Some(blocks) = blocks.get()
            && self.start.load(Relaxed) != 0
        {
            return Ok(blocks);
        }
        let (view, start) = match fetched {
            true => stored.segment.fetched_image(&stored.image)?,
            false => stored.segment.image(&stored.image)?,
        };
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

    fn check_blocks(&self, first: usize, last: usize) -> Result<()> {
        if (first..=last).all(|block| self.block_is_checked(block)) {
            return Ok(());
        }
        // One call for the head and all blocks; where it fails, each answers for itself.
        let is_first_touch = self.start.load(Relaxed) == 0;
        let fetched = (is_first_touch || first < last) && self.fetch_together(is_first_touch, first, last);
        let crcs = &self.check_head(fetched)?.crcs;
        for block in first..=last {
            if !self.block_is_checked(block) {
                if !fetched {
                    self.fetch(self.range(block, block)?)?;
                }
                self.check_block(block, crcs)?;
            }
        }
        Ok(())
    }

    /// Whether the disk gave these blocks at once, and the head with them if it is to be checked: that lies so
    /// near the first blocks of a page that one call costs less than two.
    fn fetch_together(&self, with_head: bool, first: usize, last: usize) -> bool {
        let Ok(blocks) = self.range(first, last) else { return false };
        let start = self.rest.stored.image.offset() as usize;
        match with_head {
            true if blocks.end - start > TOGETHER_LEN => false,
            true => self.fetch(start..blocks.end).is_ok(),
            false => self.fetch(blocks).is_ok(),
        }
    }

    /// Where these blocks lie in the segment.
    fn range(&self, first: usize, last: usize) -> Result<Range<usize>> {
        let StoredImage { image, segment } = &self.rest.stored;
        let (start, len) = (image.offset() as usize, image.payload_len as usize);
        let range =
            |block| image::block_range(len, block).map_err(|error| segment.placed(start as u64, &error));
        let (first, last) = (range(first)?, range(last)?);
        Ok(start.saturating_add(first.start)..start.saturating_add(last.end))
    }

    /// Has the disk give a range, so that it may be touched.
    fn fetch(&self, range: Range<usize>) -> Result<()> {
        self.rest.stored.segment.fetch(range).map(drop)
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
    use crate::id::{SegmentId, TreeId};
    use crate::pages::ImageRef;
    use vellum_bytes::ErrorKind;
    use vellum_disk::Region;

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
