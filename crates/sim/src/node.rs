//! One file: what readers see, what is on the platter, and which sectors of the one are not on the other.

use super::bytes::{Bytes, PAGE, Page, SECTOR, SECTORS};
use super::crash::{Crash, Kept};
use crate::rng::Rng;
use std::collections::BTreeSet;
use std::ops::Range;

/// A file, whatever its names.
#[derive(Clone, Default)]
pub(super) struct Node {
    data: Bytes,
    durable: Bytes,
    /// By page: a bit for each sector that no sync covered.
    dirty: Vec<u8>,
    /// Pages with such sectors.
    touched: Vec<usize>,
    /// A sync failed: clean sectors may differ from the platter's.
    lost: bool,
    /// Pages that the device does not read.
    broken: BTreeSet<usize>,
}

/// What a sync that has begun will make durable.
pub(super) struct Covered {
    len: usize,
    pages: Vec<(usize, u8, Page)>,
}

impl Node {
    pub(super) fn new(content: &[u8]) -> Node {
        let data = Bytes::from_slice(content);
        Node { durable: data.clone(), data, ..Node::default() }
    }

    pub(super) fn data(&self) -> &Bytes {
        &self.data
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Bytes of the device that the file takes.
    pub(super) fn used_len(&self) -> u64 {
        self.data.len().next_multiple_of(PAGE) as u64
    }

    /// Writes into the cache. Between two writes of one sector the kernel may write it back: with `rng`,
    /// the older bytes are on the platter now and then, as if it had.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8], rng: Option<&mut Rng>) {
        let end = offset + bytes.len();
        if let Some(rng) = rng {
            for (page, mask) in masks(offset, end) {
                let again = self.dirty.get(page).copied().unwrap_or(0) & mask;
                for sector in (0..SECTORS).filter(|sector| again >> sector & 1 == 1) {
                    if rng.one_in(4) {
                        self.durable.put_sector(page, sector, self.data.page(page));
                    }
                }
            }
        }
        self.data.write(offset, bytes);
        for (page, mask) in masks(offset, end) {
            self.touch(page, mask);
        }
    }

    fn touch(&mut self, page: usize, mask: u8) {
        if page >= self.dirty.len() {
            self.dirty.resize(page + 1, 0);
        }
        if self.dirty[page] == 0 && mask != 0 {
            self.touched.push(page);
        }
        self.dirty[page] |= mask;
    }

    /// Zeros over whatever there was, at least `len` of them.
    pub(super) fn fill_zeros(&mut self, len: usize) {
        let len = self.data.len().max(len);
        self.data = Bytes::zeros(len);
        self.dirty.clear();
        self.touched.clear();
        for (page, mask) in masks(0, len) {
            self.touch(page, mask);
        }
    }

    /// Zeros behind what there is, up to a length of `len`.
    pub(super) fn extend_zeros(&mut self, len: usize) {
        let start = self.data.len();
        if len > start {
            self.data.set_len(len);
            for (page, mask) in masks(start, len) {
                self.touch(page, mask);
            }
        }
    }

    /// A sync begins: it covers what was written before.
    pub(super) fn sync_starts(&mut self) -> Covered {
        let mut pages = Vec::with_capacity(self.touched.len());
        for page in std::mem::take(&mut self.touched) {
            let mask = std::mem::take(&mut self.dirty[page]);
            pages.push((page, mask, self.data.page(page).clone()));
        }
        Covered { len: self.data.len(), pages }
    }

    /// It ended well.
    pub(super) fn sync_ends(&mut self, covered: Covered) {
        self.durable.set_len(covered.len);
        for (index, mask, page) in covered.pages {
            // A page all of whose other sectors are on the platter is there as a whole.
            if !self.lost || mask == u8::MAX {
                self.durable.put_page(index, page);
            } else {
                sectors(mask).for_each(|sector| self.durable.put_sector(index, sector, &page));
            }
        }
    }

    /// It failed: what it covered is clean now, and on the platter or not. As on Linux, no later sync of
    /// the file writes it. With `reverts`, readers see the platter from here on.
    pub(super) fn sync_fails(&mut self, covered: Covered, rng: &mut Rng, kept: Kept, reverts: bool) {
        if kept.roll(rng) {
            self.durable.set_len(covered.len.max(self.durable.len()));
        }
        for (index, mask, page) in covered.pages {
            for sector in sectors(mask) {
                if kept.roll(rng) {
                    self.durable.put_sector(index, sector, &page);
                } else {
                    self.lost = true;
                    let dirty_again = self.dirty.get(index).copied().unwrap_or(0) >> sector & 1 == 1;
                    if reverts && !dirty_again {
                        self.data.put_sector(index, sector, self.durable.page(index));
                    }
                }
            }
        }
    }

    /// The file behind a power cut: the platter, and each sector of the cache by chance, and the length by
    /// chance; torn writes, holes and writes out of order come of themselves.
    pub(super) fn after_power_cut(&self, crash: &Crash, rng: &mut Rng) -> Node {
        let mut data = self.durable.clone();
        let (durable, now) = (self.durable.len(), self.data.len());
        if now != durable && crash.sizes.roll(rng) {
            // A file that grew may have any length that it had on the way.
            let between = now > durable && rng.one_in(4);
            data.set_len(if between { durable + rng.below(now - durable) } else { now });
        }
        for page in &self.touched {
            for sector in sectors(self.dirty[*page]) {
                if crash.sectors.roll(rng) {
                    data.put_sector(*page, sector, self.data.page(*page));
                }
            }
        }
        data.cut();
        Node { durable: data.clone(), data, broken: self.broken.clone(), ..Node::default() }
    }

    /// From now on the device does not read the pages of these sectors.
    pub(super) fn break_sectors(&mut self, sectors: Range<usize>) {
        self.broken.extend(sectors.start / SECTORS..sectors.end.div_ceil(SECTORS));
    }

    /// Whether the device reads these bytes: a page is read as a whole.
    pub(super) fn reads(&self, bytes: Range<usize>) -> bool {
        let pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
        pages.is_empty() || self.broken.range(pages).next().is_none()
    }

    /// The first `len` bytes, as those see them who look at a mapping without asking: what the device does not
    /// read is garbage.
    pub(super) fn mapped(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.data.first(len);
        for page in &self.broken {
            let start = (page * PAGE).min(len);
            bytes[start..(start + PAGE).min(len)].fill(0xa5);
        }
        bytes
    }

    /// Changes one sector behind everybody's back, in the cache and on the platter.
    pub(super) fn put_back(&mut self, sector: usize, page_before: &Page) {
        let (page, sector) = (sector / SECTORS, sector % SECTORS);
        self.data.put_sector(page, sector, page_before);
    }

    /// Number of the first sector that a write touches, and of the one behind the last.
    pub(super) fn sector_range(offset: usize, len: usize) -> std::ops::Range<usize> {
        offset / SECTOR..(offset + len).div_ceil(SECTOR)
    }
}

fn sectors(mask: u8) -> impl Iterator<Item = usize> {
    (0..SECTORS).filter(move |sector| mask >> sector & 1 == 1)
}

/// Pages of a range, each with the sectors that it touches.
fn masks(offset: usize, end: usize) -> impl Iterator<Item = (usize, u8)> {
    (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let from = offset.saturating_sub(page * PAGE) / SECTOR;
        let to = (end - page * PAGE).min(PAGE).div_ceil(SECTOR);
        (page, (u16::MAX << from) as u8 & (((1u16 << to) - 1) as u8))
    })
}
