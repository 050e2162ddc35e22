//! What the tests of all layouts share: seeded numbers, and pages that are more awkward than a `Vec`.

mod bucket;
mod delta;
mod image;
mod slots;
mod varlen;

use crate::page::delta::{Cover, Delta};
use crate::page::{Columns, PageRead, PageWrite};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use vellum_bytes::{Error, Result};

/// xorshift64*: small, seeded, good enough to find edges.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) % bound.max(1) as u64) as usize
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 40) as u8).collect()
    }
}

/// A base that stays as it is, and a delta over it: what a cold page under patches looks like.
#[derive(Clone, Default, Debug)]
pub(super) struct Layered {
    pub(super) base: Vec<u8>,
    pub(super) delta: Delta,
}

impl Layered {
    pub(super) fn over(base: Vec<u8>) -> Layered {
        Layered { base, delta: Delta::default() }
    }

    pub(super) fn whole(&self) -> Vec<u8> {
        let mut whole = self.base.clone();
        self.delta.apply_to(&mut whole);
        whole
    }
}

impl PageRead for Layered {
    fn len(&self) -> usize {
        self.base.len().max(self.delta.end())
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        self.base.read(offset, into)?;
        self.delta.overlay(offset, into);
        Ok(())
    }

    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        match self.delta.cover(offset, len) {
            Cover::None => self.base.run(offset, len),
            Cover::Part => Ok(None),
            Cover::Whole(bytes) => Ok(Some(bytes)),
        }
    }
}

impl PageWrite for Layered {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let base = &self.base;
        self.delta.write(offset, bytes, |at, below| base.read(at, below).is_ok());
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        *self = Layered::over(bytes);
    }
}

/// A page whose base cannot be read: writes collect in a delta, reads fail even where it covers them.
#[derive(Clone, Default, Debug)]
pub(super) struct Damaged {
    pub(super) base_len: usize,
    pub(super) delta: Delta,
    /// The content, once it was replaced as a whole.
    pub(super) replaced: Option<Vec<u8>>,
}

impl Damaged {
    pub(super) fn new(base_len: usize) -> Damaged {
        Damaged { base_len, ..Damaged::default() }
    }

    fn readable(&self, offset: usize) -> Result<&Vec<u8>> {
        self.replaced.as_ref().ok_or_else(|| Error::corrupt("", offset as u64, "damaged for the test"))
    }
}

impl PageRead for Damaged {
    fn len(&self) -> usize {
        self.replaced.as_ref().map_or(self.base_len.max(self.delta.end()), |bytes| bytes.as_slice().len())
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        self.readable(offset)?.read(offset, into)
    }

    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        self.readable(offset)?.run(offset, len)
    }
}

impl PageWrite for Damaged {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        match &mut self.replaced {
            Some(whole) => whole.write(offset, bytes),
            None => self.delta.write(offset, bytes, |_, _| false),
        }
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        self.replaced = Some(bytes);
    }
}

/// A page that notes which lines of 64 bytes were read, and once it is strict refuses to read others.
#[derive(Default, Debug)]
pub(super) struct Watched {
    pub(super) bytes: Vec<u8>,
    seen: RefCell<BTreeSet<usize>>,
    strict: Cell<bool>,
}

impl Watched {
    pub(super) fn over(bytes: Vec<u8>) -> Watched {
        Watched { bytes, ..Watched::default() }
    }

    /// From here on, only what was read before may be read; or everything again.
    pub(super) fn strict(&self, strict: bool) {
        self.strict.set(strict);
        if !strict {
            self.seen.borrow_mut().clear();
        }
    }

    fn see(&self, offset: usize, len: usize) {
        let end = (offset + len).min(self.bytes.as_slice().len());
        for line in offset / 64..end.div_ceil(64) {
            let new = self.seen.borrow_mut().insert(line);
            assert!(!new || !self.strict.get(), "line {line} was not touched before");
        }
    }
}

impl PageRead for Watched {
    fn len(&self) -> usize {
        self.bytes.as_slice().len()
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        self.see(offset, into.len());
        self.bytes.read(offset, into)
    }

    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        self.see(offset, len);
        self.bytes.run(offset, len)
    }
}

impl PageWrite for Watched {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes.write(offset, bytes);
        self.seen.borrow_mut().extend(offset / 64..(offset + bytes.len()).div_ceil(64));
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        self.seen.borrow_mut().extend(0..bytes.as_slice().len().div_ceil(64));
        self.bytes = bytes;
    }
}

/// The pages of one group in a map.
#[derive(Clone, Default, Debug)]
pub(super) struct Group<P> {
    pub(super) pages: BTreeMap<u32, P>,
}

impl<P: PageWrite + Default> Columns for Group<P> {
    type Page = P;

    fn page(&self, column: u32) -> Option<&P> {
        self.pages.get(&column)
    }

    fn page_mut(&mut self, column: u32) -> &mut P {
        self.pages.entry(column).or_default()
    }

    fn remove(&mut self, column: u32) {
        self.pages.remove(&column);
    }

    fn last_in(&self, first: u32, last: u32) -> Option<u32> {
        self.pages.range(first..=last).next_back().map(|(column, _)| *column)
    }
}
