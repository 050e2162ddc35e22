//! A page in memory: a base and an optional delta (DESIGN: decision 2).
//!
//! ```text
//! Empty      no base; the first write makes an owned one
//! Owned      a copy in memory; patched in place while nobody else holds it   ◄── the hot path
//! Mapped     the sealed image; each 4 KiB block is checked at its first touch
//!    + delta the ranges changed since, in memory, or on disk until somebody looks
//! ```
//!
//! A snapshot or a checkpoint shares base and delta by reference count. An owned base that is shared
//! is not copied: its changes go to a delta, which is folded in once the sharer is gone.
//!
//! Promises: reading answers what was written or `Corrupt`; writing cannot fail. Writes to a page whose
//! image is damaged collect in a delta (crash rule 8), and reads of the damaged part go on failing.

use super::memory::{Counted, Memory};
use super::node::{ImageRef, Stored};
use super::segment::{Segment, StoredImage};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Address;
use crate::page::delta::{Cover, Delta};
use crate::page::image::{self, BLOCK_LEN, Kind};
use crate::page::{PageRead, PageWrite};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A mapped page becomes an owned copy when its delta takes more than this part of it, as long as memory
/// allows: from then on a patch is a store in place instead of a search and an insertion.
const FOLD_PART: usize = 16;

/// A mapped image and what of it was checked.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) stored: StoredImage,
    address: Address,
    /// Offset of the payload in the segment, once the header was checked.
    payload: OnceLock<usize>,
    /// One bit a block that was found sound: the first 64 here, the others behind.
    checked: AtomicU64,
    checked_more: OnceLock<Box<[AtomicU64]>>,
}

impl Mapped {
    pub(crate) fn new(stored: StoredImage, address: Address) -> Mapped {
        Mapped {
            stored,
            address,
            payload: OnceLock::new(),
            checked: AtomicU64::new(0),
            checked_more: OnceLock::new(),
        }
    }

    fn len(&self) -> usize {
        self.stored.image.payload_len as usize
    }

    #[inline]
    fn payload_start(&self) -> Result<usize> {
        match self.payload.get() {
            Some(start) => Ok(*start),
            None => self.check_head(),
        }
    }

    #[cold]
    fn check_head(&self) -> Result<usize> {
        let (view, start) = self.stored.segment.image(&self.stored.image)?;
        self.stored.expect(&view, start, Kind::Page, &self.address)?;
        let blocks = view.block_count();
        if blocks > 64 {
            self.checked_more.get_or_init(|| (0..(blocks - 1) / 64).map(|_| AtomicU64::new(0)).collect());
        }
        Ok(*self.payload.get_or_init(|| start + view.payload_range().start))
    }

    #[inline]
    fn word(&self, block: usize) -> Option<&AtomicU64> {
        match block / 64 {
            0 => Some(&self.checked),
            n => self.checked_more.get().and_then(|more| more.get(n - 1)),
        }
    }

    #[inline]
    fn block_is_checked(&self, block: usize) -> bool {
        self.word(block).is_some_and(|word| word.load(Relaxed) >> (block % 64) & 1 == 1)
    }

    /// Whether most blocks were touched: the others then came with them, so that reading them waits for
    /// no disk.
    fn is_warm(&self) -> bool {
        let blocks = self.len().div_ceil(BLOCK_LEN);
        let checked = (0..blocks).filter(|block| self.block_is_checked(*block)).count();
        self.payload.get().is_some() && checked * 4 >= blocks * 3
    }

    /// The part of `[offset, offset + len)` that the image has, its blocks checked.
    #[inline]
    fn bytes(&self, offset: usize, len: usize) -> Result<&[u8]> {
        let start = self.payload_start()?;
        let end = self.len().min(offset.saturating_add(len));
        if offset >= end {
            return Ok(&[]);
        }
        for block in offset / BLOCK_LEN..=(end - 1) / BLOCK_LEN {
            if !self.block_is_checked(block) {
                self.check_block(block)?;
            }
        }
        Ok(&self.stored.segment.bytes()[start + offset..start + end])
    }

    #[cold]
    fn check_block(&self, block: usize) -> Result<()> {
        let (view, start) = self.stored.segment.image(&self.stored.image)?;
        view.check_block(block).map_err(|error| self.stored.segment.placed(start as u64, &error))?;
        if let Some(word) = self.word(block) {
            word.fetch_or(1 << (block % 64), Relaxed);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Base {
    Empty,
    Owned(Arc<Counted<Vec<u8>>>),
    Mapped(Arc<Mapped>),
}

/// Where the newest delta is.
#[derive(Clone, Debug)]
pub(crate) enum Overlay {
    None,
    Memory(Arc<Counted<Delta>>),
    /// On disk; read at the first touch.
    Disk(Arc<DiskDelta>),
}

#[derive(Debug)]
pub(crate) struct DiskDelta {
    stored: StoredImage,
    address: Address,
    loaded: OnceLock<Counted<Delta>>,
}

impl DiskDelta {
    fn load(&self, memory: &Arc<Memory>) -> Result<&Delta> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded.get());
        }
        let delta = Delta::decode(self.stored.payload(Kind::Delta, &self.address)?)
            .map_err(|error| self.stored.segment.placed(self.stored.image.offset(), &error))?;
        Ok(self.loaded.get_or_init(|| Counted::new(delta, memory)).get())
    }
}

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) base: Base,
    pub(crate) overlay: Overlay,
    /// What lies on disk.
    pub(crate) stored: Stored,
    /// The segments of `stored`, so that they stay mapped and a diff can read the base.
    pub(crate) base_segment: Option<Arc<Segment>>,
    pub(crate) delta_segment: Option<Arc<Segment>>,
    /// Whether memory is ahead of disk.
    pub(crate) dirty: bool,
    /// The delta on disk was found damaged while writing, and why: it may have covered any part of the
    /// page, so reads fail and nothing replaces the image.
    lost: Option<Arc<Error>>,
    memory: Arc<Memory>,
}

impl Page {
    pub(crate) fn empty(memory: &Arc<Memory>) -> Page {
        Page {
            base: Base::Empty,
            overlay: Overlay::None,
            stored: Stored::default(),
            base_segment: None,
            delta_segment: None,
            dirty: false,
            lost: None,
            memory: memory.clone(),
        }
    }

    /// A page as its group node names it; nothing of it is read yet.
    pub(crate) fn stored(
        stored: Stored,
        base_segment: Option<Arc<Segment>>,
        delta_segment: Option<Arc<Segment>>,
        address: Address,
        memory: &Arc<Memory>,
    ) -> Page {
        let mut page = Page { stored, base_segment, delta_segment, ..Page::empty(memory) };
        page.unload(address);
        page
    }

    /// Forgets what memory holds and reads from the images again. Only for a page that is not dirty.
    pub(crate) fn unload(&mut self, address: Address) {
        debug_assert!(!self.dirty);
        self.base = match (self.stored.base, &self.base_segment) {
            (Some(image), Some(segment)) => {
                Base::Mapped(Arc::new(Mapped::new(StoredImage { image, segment: segment.clone() }, address)))
            }
            _ => Base::Empty,
        };
        self.overlay = match (self.stored.delta, &self.delta_segment) {
            (Some(image), Some(segment)) => {
                let stored = StoredImage { image, segment: segment.clone() };
                Overlay::Disk(Arc::new(DiskDelta { stored, address, loaded: OnceLock::new() }))
            }
            _ => Overlay::None,
        };
    }

    /// Bytes of anonymous memory that this page holds (shared or not).
    pub(crate) fn held_len(&self) -> u64 {
        let base = match &self.base {
            Base::Owned(owned) => owned.get().capacity() as u64,
            _ => 0,
        };
        let overlay = match &self.overlay {
            Overlay::Memory(delta) => delta.get().memory_len() as u64,
            Overlay::Disk(disk) => disk.loaded.get().map_or(0, |delta| delta.get().memory_len() as u64),
            Overlay::None => 0,
        };
        base + overlay
    }

    /// Whether a damaged delta keeps what is on disk from being replaced.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    #[inline]
    fn delta(&self) -> Result<Option<&Delta>> {
        if let Some(error) = &self.lost {
            return Err(error.again());
        }
        match &self.overlay {
            Overlay::None => Ok(None),
            Overlay::Memory(delta) => Ok(Some(delta.get())),
            Overlay::Disk(disk) => disk.load(&self.memory).map(Some),
        }
    }

    /// The delta in memory, without loading one.
    pub(crate) fn delta_in_memory(&self) -> Option<&Delta> {
        match &self.overlay {
            Overlay::Memory(delta) => Some(delta.get()),
            Overlay::Disk(disk) => disk.loaded.get().map(Counted::get),
            Overlay::None => None,
        }
    }

    /// Whether all of it is in memory: then nothing that reads or changes it can fail.
    #[inline]
    pub(crate) fn is_resident(&self) -> bool {
        !matches!(self.base, Base::Mapped(_)) && !matches!(self.overlay, Overlay::Disk(_)) && !self.is_lost()
    }

    fn base_len(&self) -> usize {
        match &self.base {
            Base::Empty => 0,
            Base::Owned(owned) => owned.get().len(),
            Base::Mapped(mapped) => mapped.len(),
        }
    }

    #[inline]
    fn base_run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        match &self.base {
            Base::Empty => Ok(None),
            Base::Owned(owned) => owned.get().run(offset, len),
            Base::Mapped(mapped) => {
                mapped.bytes(offset, len).map(|bytes| (bytes.len() == len).then_some(bytes))
            }
        }
    }

    /// The whole page as one run of bytes.
    pub(crate) fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Checks the blocks under a range and loads the delta, so that a later read or write of it
    /// cannot fail (crash rule 8).
    #[inline]
    pub(crate) fn touch(&self, offset: usize, len: usize) -> Result<()> {
        self.delta()?;
        if let Base::Mapped(mapped) = &self.base {
            mapped.bytes(offset, len)?;
        }
        Ok(())
    }

    /// The delta for writing, made or unshared if need be. `None`: the image is damaged.
    fn delta_mut(&mut self) -> &mut Counted<Delta> {
        match &self.overlay {
            Overlay::Memory(_) => {}
            Overlay::None => {
                self.overlay = Overlay::Memory(Arc::new(Counted::new(Delta::default(), &self.memory)))
            }
            Overlay::Disk(disk) => {
                let delta = disk.load(&self.memory).cloned().unwrap_or_else(|error| {
                    self.lost = Some(Arc::new(error));
                    Delta::default()
                });
                self.overlay = Overlay::Memory(Arc::new(Counted::new(delta, &self.memory)));
            }
        }
        match &mut self.overlay {
            Overlay::Memory(delta) => Arc::make_mut(delta),
            _ => unreachable!("made on the lines above"),
        }
    }

    /// Folds the delta into an owned base that nobody else holds, so that writes go in place again.
    #[inline]
    fn fold(&mut self) {
        if let (Base::Owned(owned), Overlay::Memory(delta)) = (&mut self.base, &self.overlay)
            && let Some(owned) = Arc::get_mut(owned)
        {
            owned.change(|bytes| delta.get().apply_to(bytes));
            self.overlay = Overlay::None;
        }
    }

    /// Turns a mapped page with a large delta into an owned copy, if that needs no disk.
    fn own_if_it_pays(&mut self) {
        let Base::Mapped(mapped) = &self.base else { return };
        let Some(delta) = self.delta_in_memory() else { return };
        let pays = delta.memory_len() * FOLD_PART > mapped.len();
        if !pays || self.is_lost() || !self.memory.may_own() {
            return;
        }
        if !mapped.is_warm() && !self.memory.is_patient() {
            return;
        }
        if let Ok(bytes) = self.to_vec() {
            let grown = bytes.len() as u64;
            self.base = Base::Owned(Arc::new(Counted::new(bytes, &self.memory)));
            self.overlay = Overlay::None;
            self.memory.add_dirty(grown);
        }
    }

    /// Marks the page dirty; the first time, what it holds already counts as dirty.
    #[inline]
    fn soil(&mut self) {
        if !self.dirty {
            self.dirty = true;
            self.memory.add_dirty(self.held_len());
        }
    }
}

impl PageRead for Page {
    fn len(&self) -> usize {
        let delta_end = self.delta_in_memory().map_or(0, Delta::end);
        let disk_end = match &self.overlay {
            Overlay::Disk(disk) if disk.loaded.get().is_none() => {
                disk.load(&self.memory).map_or(0, Delta::end)
            }
            _ => 0,
        };
        self.base_len().max(delta_end).max(disk_end)
    }

    #[inline]
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let delta = self.delta()?;
        match &self.base {
            Base::Empty => into.fill(0),
            Base::Owned(owned) => owned.get().read(offset, into)?,
            Base::Mapped(mapped) => {
                let have = mapped.bytes(offset, into.len())?;
                into[..have.len()].copy_from_slice(have);
                into[have.len()..].fill(0);
            }
        }
        if let Some(delta) = delta {
            delta.overlay(offset, into);
        }
        Ok(())
    }

    #[inline]
    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        let Some(delta) = self.delta()? else {
            return self.base_run(offset, len);
        };
        match delta.cover(offset, len) {
            Cover::None => self.base_run(offset, len),
            Cover::Part => Ok(None),
            // A damaged block must answer `Corrupt` even where the overlay has the range.
            Cover::Whole(bytes) => self.touch(offset, len).map(|()| Some(bytes)),
        }
    }
}

impl PageWrite for Page {
    #[inline]
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.soil();
        if matches!(self.base, Base::Empty) && matches!(self.overlay, Overlay::None) {
            self.base = Base::Owned(Arc::new(Counted::new(Vec::new(), &self.memory)));
        }
        self.fold();
        let in_place = match (&mut self.base, &self.overlay) {
            (Base::Owned(owned), Overlay::None) => Arc::get_mut(owned),
            _ => None,
        };
        let grown = match in_place {
            Some(owned) => owned.change(|page| page.write(offset, bytes)),
            None => {
                let grown = self.delta_mut().change(|delta| delta.write(offset, bytes));
                self.own_if_it_pays();
                grown
            }
        };
        if grown > 0 {
            self.memory.add_dirty(grown);
        }
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        self.soil();
        self.memory.add_dirty(bytes.len() as u64);
        self.base = Base::Owned(Arc::new(Counted::new(bytes, &self.memory)));
        self.overlay = Overlay::None;
        self.lost = None;
    }
}

/// What a checkpoint decided for one page.
#[derive(Debug)]
pub(crate) enum Imaging {
    /// A new base image of these bytes.
    Full(Vec<u8>),
    /// A delta image over the base that is on disk.
    Delta(Delta),
    /// The page is as it is on disk.
    Nothing,
}

impl Page {
    /// Decides between a delta image and a full image: delta images are rented while all that were
    /// written since the base, this one included, cost less than buying a new base.
    ///
    /// # Errors
    /// `Corrupt` when the page cannot be read whole; the caller keeps what is on disk.
    pub(crate) fn imaging(&self, address: &Address) -> Result<Imaging> {
        let Some((image, segment)) = self.stored.base.zip(self.base_segment.clone()) else {
            return Ok(Imaging::Full(self.to_vec()?));
        };
        let delta = match &self.base {
            Base::Mapped(_) => self.delta()?.cloned().unwrap_or_default(),
            _ => {
                let base = Mapped::new(StoredImage { image, segment }, *address);
                match base.bytes(0, base.len()) {
                    Ok(base) => Delta::diff(base, &self.to_vec()?),
                    // The old image is damaged and the whole page is in memory: buying heals it.
                    Err(_) => return Ok(Imaging::Full(self.to_vec()?)),
                }
            }
        };
        // A delta cannot say that a page became shorter.
        let shrunk = !matches!(self.base, Base::Mapped(_)) && self.len() < image.payload_len as usize;
        if delta.is_empty() && self.stored.delta.is_none() && !shrunk {
            return Ok(Imaging::Nothing);
        }
        let rent = self.stored.delta_written + image::image_len(delta.encoded_len()) as u64;
        if rent < image.image_len() && !shrunk {
            return Ok(Imaging::Delta(delta));
        }
        match self.to_vec() {
            Ok(bytes) => Ok(Imaging::Full(bytes)),
            // A damaged block under a mapped base: the delta is all that can be kept.
            Err(error) if matches!(self.base, Base::Mapped(_)) => {
                tracing::warn!(%error, "a damaged page is kept with its changes beside it");
                Ok(Imaging::Delta(delta))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether this page, as it is live, is still what `snapshot` held.
    pub(crate) fn is_unchanged_since(&self, snapshot: &Page) -> bool {
        let base = match (&self.base, &snapshot.base) {
            (Base::Empty, Base::Empty) => true,
            (Base::Owned(a), Base::Owned(b)) => Arc::ptr_eq(a, b),
            (Base::Mapped(a), Base::Mapped(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        base && match (&self.overlay, &snapshot.overlay) {
            (Overlay::None, Overlay::None) => true,
            (Overlay::Memory(a), Overlay::Memory(b)) => Arc::ptr_eq(a, b),
            (Overlay::Disk(a), Overlay::Disk(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Takes over what a checkpoint wrote. `unchanged`: nothing was written to the page since.
    pub(crate) fn install(
        &mut self,
        stored: Stored,
        segments: &dyn Fn(&ImageRef) -> Option<Arc<Segment>>,
        address: Address,
        unchanged: bool,
        keep: bool,
    ) {
        let base_moved = stored.base != self.stored.base;
        self.stored = stored;
        self.base_segment = stored.base.as_ref().and_then(segments);
        self.delta_segment = stored.delta.as_ref().and_then(segments);
        if unchanged {
            self.dirty = false;
            // What memory holds of a lost page cannot be read, and the images say that by themselves.
            let lost = self.lost.take().is_some();
            if lost || !keep || (base_moved && matches!(self.base, Base::Mapped(_))) {
                self.unload(address);
            }
            return;
        }
        // The live delta covers all that changed since the old base, so it is right over the new one
        // too; what the new base has already is dropped from it.
        if base_moved
            && let (Base::Mapped(_), Some((image, segment))) =
                (&self.base, stored.base.zip(self.base_segment.clone()))
        {
            let mapped = Mapped::new(StoredImage { image, segment }, address);
            self.delta_mut().change(|delta| {
                if let Ok(base) = mapped.bytes(0, mapped.len()) {
                    delta.prune_equal(base);
                }
            });
            self.base = Base::Mapped(Arc::new(mapped));
        }
    }
}

/// An error that says which page it is about. What memory holds of a page has no place in a file.
#[cold]
pub(crate) fn about(address: &Address, error: &Error) -> Error {
    match error.place() {
        Some(place) if place.file.is_empty() => {
            Error::new(ErrorKind::Corrupt, format!("{address}, byte {}: {}", place.offset, place.reason))
        }
        Some(place) => {
            Error::corrupt(place.file.clone(), place.offset, format!("{} ({address})", place.reason))
        }
        None => error.again(),
    }
}
