//! A page in memory: a base, and what changed since (DESIGN: decision 2).
//!
//! ```text
//! base    Empty      nothing; the first write makes an owned one
//!         Owned      bytes of this page alone, patched in place          ◄── the hot path
//!         Shared     bytes that a frozen state holds too; not written
//!         Mapped     the sealed image; each 4 KiB block is checked at its first touch. Of a segment that is
//!                    not mapped, the whole image is read then, and again once it was let go
//! under   a delta over the base that a frozen state holds too, or that is on disk until somebody looks
//! delta   what this page alone changed since; read first
//! ```
//!
//! Freezing ([`Page::share`]) costs no copy: what is owned becomes shared, the delta becomes the one
//! under it, and writes start a new delta. Once the other holder is gone, the first write puts the parts
//! together again.
//!
//! Promises: reading answers what was written or `Corrupt`; writing cannot fail. Writes to a page whose
//! image is damaged collect in a delta (crash rule 8), and reads of the damaged part go on failing.

use super::accounting::{Account, Counted, Memory};
use super::mapped::Mapped;
use super::node::{ImageRef, Stored};
use super::segment::{Segment, StoredImage};
use crate::id::Address;
use crate::page::delta::{Cover, Delta, UNIT_LEN};
use crate::page::image::{self, Kind};
use crate::page::{PageRead, PageWrite};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_memory as cpu;
use vellum_memory::{Array, Shared};

/// A mapped page becomes an owned copy when its delta takes more than this part of it, as long as memory
/// allows: from then on a patch is a store in place.
const FOLD_PART: usize = 16;
/// Behind this part a copy takes hardly more memory than the delta does, so it is made in any case.
const FOLD_ALWAYS_PART: usize = 2;
/// What the first write to a page counts as dirty; from there on what is counted doubles.
const DIRTY_LEN_MIN: u32 = 128;

#[derive(Debug)]
enum Base {
    Empty,
    Owned(Array<u8>),
    Shared(Shared<Counted<Array<u8>>>),
    Mapped(Mapped),
}

impl Base {
    /// The part of the range that the base has.
    #[inline]
    fn bytes(&self, offset: usize, len: usize) -> Result<&[u8]> {
        let owned = match self {
            Base::Empty => return Ok(&[]),
            Base::Owned(owned) => owned,
            Base::Shared(shared) => shared.get(),
            Base::Mapped(mapped) => return mapped.bytes(offset, len),
        };
        let end = owned.as_slice().len().min(offset.saturating_add(len));
        Ok(owned.get(offset..end).unwrap_or(&[]))
    }
}

/// What a unit has without the page's own delta; false where that is damaged.
fn read_below(base: &Base, under: &Under, is_lost: bool, offset: usize, into: &mut [u8; UNIT_LEN]) -> bool {
    let Ok(base) = base.bytes(offset, UNIT_LEN) else { return false };
    into[..base.len()].copy_from_slice(base);
    if let Under::Memory(under) = under {
        under.get().overlay(offset, into);
    }
    !is_lost
}

/// Overwrites a range of an owned copy, which grows if need be.
fn write_owned(owned: &mut Array<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if end > owned.as_slice().len() {
        owned.resize(end, 0);
    }
    owned[offset..end].copy_from_slice(bytes);
}

/// The older of a page's two deltas.
#[derive(Clone, Debug)]
enum Under {
    None,
    Memory(Shared<Counted<Delta>>),
    /// On disk; read at the first touch.
    Disk(Arc<DiskDelta>),
}

#[derive(Debug)]
struct DiskDelta {
    stored: StoredImage,
    address: Address,
    loaded: OnceLock<Shared<Counted<Delta>>>,
}

impl DiskDelta {
    fn load(&self, memory: &Arc<Memory>) -> Result<&Shared<Counted<Delta>>> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let delta = self.read()?;
        Ok(self.loaded.get_or_init(|| Shared::new(Counted::new(delta, memory))))
    }

    fn read(&self) -> Result<Delta> {
        Delta::decode(&self.stored.payload(Kind::Delta, &self.address)?)
            .map_err(|error| self.stored.segment.placed(self.stored.image.offset(), &error))
    }
}

/// What of a page no patch needs.
#[derive(Clone, Debug, Default)]
struct OnDisk {
    stored: Stored,
    /// The segments of `stored`, so that they stay mapped and a diff can read the base.
    base_segment: Option<Arc<Segment>>,
    delta_segment: Option<Arc<Segment>>,
    /// The delta on disk was found damaged while writing, and why: it may have covered any part of the
    /// page, so reads fail and nothing replaces the image.
    lost: Option<Arc<Error>>,
}

/// One page. In this order, what a read needs comes first (`READ_LEN`), then what a write in place does.
#[derive(Debug)]
#[repr(C)]
pub struct Page {
    base: Base,
    /// Whether there are deltas.
    layered: bool,
    is_lost: bool,
    /// Whether memory is ahead of disk.
    dirty: bool,
    column: u32,
    /// Bytes that may still be written before more is counted as dirty.
    credit: u32,
    /// Rises with each write.
    change: u32,
    delta: Delta,
    under: Under,
    account: Account,
    /// Shared with the frozen page that this one was copied from, until either is told of another place.
    on_disk: Arc<OnDisk>,
    /// What no other page has, but copies of this one made to freeze it.
    lineage: u64,
    /// What is counted as dirty.
    counted: u32,
}

/// Bytes at the front of a page in memory that a read of one without deltas touches.
#[cfg_attr(vellum_shuttle, expect(dead_code, reason = "a scheduler's latch has another length"))]
pub(super) const READ_LEN: usize = std::mem::offset_of!(Page, credit);

impl Page {
    /// A page without bytes.
    pub fn empty(column: u32, memory: &Arc<Memory>) -> Page {
        Page {
            base: Base::Empty,
            layered: false,
            is_lost: false,
            dirty: false,
            column,
            credit: 0,
            change: 0,
            delta: Delta::default(),
            under: Under::None,
            account: Account::new(memory),
            on_disk: Arc::default(),
            lineage: memory.next_page(),
            counted: 0,
        }
    }

    /// A page as its group node names it; nothing of it is read yet.
    pub fn stored_at(
        stored: Stored,
        base_segment: Option<Arc<Segment>>,
        delta_segment: Option<Arc<Segment>>,
        address: Address,
        memory: &Arc<Memory>,
    ) -> Page {
        let mut page = Page::empty(address.column, memory);
        page.on_disk = Arc::new(OnDisk { stored, base_segment, delta_segment, lost: None });
        page.unload(address);
        page
    }

    /// The column that it is the page of.
    #[inline]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// What lies on disk.
    pub fn stored(&self) -> &Stored {
        &self.on_disk.stored
    }

    /// Whether memory is ahead of disk.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// At most what the next image of this page takes when `len` bytes of it change, places included; 0 where it is
    /// dirty, and counted, already.
    pub fn image_len_max(&self, len: u64) -> u64 {
        if self.dirty {
            return 0;
        }
        let Stored { base, delta, delta_written } = *self.stored();
        let delta_len = delta.map_or(0, |delta| u64::from(delta.payload_len)) + len;
        let delta_len = image::image_len(delta_len as usize) as u64;
        match base {
            // As `imaging` decides.
            Some(base) if delta_written + delta_len < base.image_len() => delta_len,
            _ => image::image_len(self.len()) as u64 + len,
        }
    }

    /// Whether a damaged delta keeps what is on disk from being replaced.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Forgets what memory holds and reads from the images again. Only for a page that is not dirty.
    fn unload(&mut self, address: Address) {
        debug_assert!(!self.dirty);
        let OnDisk { stored, base_segment, delta_segment, .. } = &*self.on_disk;
        self.base = match (stored.base, base_segment) {
            (Some(image), Some(segment)) => {
                Base::Mapped(Mapped::new(StoredImage { image, segment: segment.clone() }, address))
            }
            _ => Base::Empty,
        };
        self.under = match (stored.delta, delta_segment) {
            (Some(image), Some(segment)) => {
                let stored = StoredImage { image, segment: segment.clone() };
                Under::Disk(Arc::new(DiskDelta { stored, address, loaded: OnceLock::new() }))
            }
            _ => Under::None,
        };
        self.delta = Delta::default();
        self.recount();
    }

    /// Notes what changed about the parts, and counts the memory of this page alone. What is shared
    /// counts itself.
    fn recount(&mut self) {
        self.layered = !(matches!(self.under, Under::None) && self.delta.is_empty());
        let base = if let Base::Owned(owned) = &self.base { owned.capacity() } else { 0 };
        self.account.set((base + self.delta.memory_len()) as u64);
    }

    /// The delta under this page's own.
    #[inline]
    fn under(&self) -> Result<Option<&Delta>> {
        match &self.under {
            Under::None => Ok(None),
            Under::Memory(delta) => Ok(Some(delta.get())),
            Under::Disk(disk) => disk.load(self.account.memory()).map(|delta| Some(delta.get())),
        }
    }

    #[cold]
    fn lost(&self) -> Result<()> {
        self.on_disk.lost.as_ref().map_or(Ok(()), |error| Err(Error::clone(error)))
    }

    /// Whether all of it is in memory: then nothing that reads or changes it can fail.
    #[inline]
    pub fn is_resident(&self) -> bool {
        !matches!(self.base, Base::Mapped(_)) && !matches!(self.under, Under::Disk(_)) && !self.is_lost
    }

    #[inline]
    fn base_len(&self) -> usize {
        match &self.base {
            Base::Empty => 0,
            Base::Owned(owned) => owned.as_slice().len(),
            Base::Shared(shared) => shared.get().as_slice().len(),
            Base::Mapped(mapped) => mapped.len(),
        }
    }

    /// The part of the range that the base has.
    #[inline]
    fn base_bytes(&self, offset: usize, len: usize) -> Result<&[u8]> {
        self.base.bytes(offset, len)
    }

    #[inline]
    fn base_run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        self.base_bytes(offset, len).map(|bytes| (bytes.len() == len).then_some(bytes))
    }

    /// The whole page as one run of bytes.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Checks the blocks under a range and loads the delta, so that a later read or write of it
    /// cannot fail (crash rule 8).
    #[inline]
    pub fn touch(&self, offset: usize, len: usize) -> Result<()> {
        if self.is_lost {
            self.lost()?;
        }
        self.under()?;
        if let Base::Mapped(mapped) = &self.base {
            mapped.bytes(offset, len)?;
        }
        Ok(())
    }

    /// Asks for the line that a read at `offset` will read of the base, and for what leads to the deltas'.
    #[inline]
    pub fn ask(&self, offset: usize) {
        match &self.base {
            Base::Empty => {}
            Base::Owned(owned) => cpu::prefetch_at(owned, offset),
            Base::Shared(shared) => cpu::prefetch_at(shared.get(), offset),
            Base::Mapped(mapped) => mapped.ask(offset),
        }
        if self.layered {
            self.delta.ask_place(offset);
            if let Under::Memory(under) = &self.under {
                cpu::prefetch_all(under.get());
            }
        }
    }

    /// Lets go of what was read of the base, if it was not used of late nor by the transaction `held`.
    pub(super) fn evict(&mut self, held: u64) {
        if let Base::Mapped(mapped) = &mut self.base {
            mapped.evict(held);
        }
    }

    /// Whether deltas lie over the base.
    #[inline]
    pub fn is_layered(&self) -> bool {
        self.layered
    }

    /// Asks for the changed bytes at `offset`, a while after [`Page::ask`].
    #[inline]
    pub fn ask_deltas(&self, offset: usize) {
        if self.layered {
            self.delta.ask_unit(offset);
            if let Under::Memory(under) = &self.under {
                under.get().ask_place(offset);
            }
        }
    }

    /// The same page for a frozen state and for a live one that goes on: this one is written no more.
    pub fn share(&mut self) -> Page {
        self.merge_delta();
        if let Base::Owned(owned) = &mut self.base {
            let owned = std::mem::take(owned);
            let shared = Counted::new(owned, self.account.memory());
            self.base = Base::Shared(Shared::new(shared));
        }
        self.recount();
        let base = match &self.base {
            Base::Empty | Base::Owned(_) => Base::Empty,
            Base::Shared(shared) => Base::Shared(shared.clone()),
            Base::Mapped(mapped) => Base::Mapped(mapped.clone()),
        };
        Page {
            base,
            layered: self.layered,
            is_lost: self.is_lost,
            dirty: self.dirty,
            column: self.column,
            credit: self.credit,
            change: self.change,
            delta: Delta::default(),
            under: self.under.clone(),
            account: Account::new(self.account.memory()),
            on_disk: self.on_disk.clone(),
            lineage: self.lineage,
            counted: self.counted,
        }
    }

    /// Begins to count what is written anew: what was counted is a running checkpoint's.
    pub fn restart_count(&mut self) {
        (self.credit, self.counted) = (0, 0);
    }

    /// Puts the page's own delta under it, together with what is there.
    fn merge_delta(&mut self) {
        if self.delta.is_empty() {
            return;
        }
        self.load_under();
        let newer = std::mem::take(&mut self.delta);
        let whole = match std::mem::replace(&mut self.under, Under::None) {
            Under::Memory(mut older) => {
                Shared::make_mut(&mut older).change(|older| older.merge(newer));
                older
            }
            _ => Shared::new(Counted::new(newer, self.account.memory())),
        };
        self.under = Under::Memory(whole);
    }

    /// Takes the delta on disk for this page's own, where it can be read: what is met by nearly every
    /// look-up is then a step nearer. Damage is left for those who read the page.
    pub fn take_delta(&mut self) {
        if let Under::Disk(disk) = &self.under
            && let Ok(delta) = disk.read()
        {
            self.delta = delta;
            self.under = Under::None;
            self.recount();
        }
    }

    /// Brings the delta on disk into memory. One that is damaged is lost.
    fn load_under(&mut self) {
        let Under::Disk(disk) = &self.under else { return };
        self.under = match disk.load(self.account.memory()) {
            Ok(delta) => Under::Memory(delta.clone()),
            Err(error) => {
                Arc::make_mut(&mut self.on_disk).lost = Some(Arc::new(error));
                self.is_lost = true;
                Under::None
            }
        };
    }

    /// Takes back what nobody else holds any more, so that writes cost one step again.
    fn reclaim(&mut self) {
        self.load_under();
        if let Under::Memory(older) = &mut self.under
            && let Some(alone) = Shared::get_mut(older)
        {
            let mut older = alone.take();
            older.merge(std::mem::take(&mut self.delta));
            self.delta = older;
            self.under = Under::None;
        }
        if let Base::Shared(shared) = &mut self.base
            && let Some(alone) = Shared::get_mut(shared)
        {
            self.base = Base::Owned(alone.take());
        }
        if let Base::Owned(owned) = &mut self.base
            && matches!(self.under, Under::None)
        {
            std::mem::take(&mut self.delta).apply_to(owned);
        }
    }

    /// The general case of a write: over something that is not this page's alone.
    fn write_over(&mut self, offset: usize, bytes: &[u8]) {
        self.reclaim();
        self.recount();
        let gap = offset.saturating_sub(self.len());
        if matches!((&self.base, &self.under), (Base::Empty, Under::None)) && self.delta.is_empty() {
            self.base = Base::Owned(Array::default());
        }
        match &mut self.base {
            Base::Owned(owned) if matches!(self.under, Under::None) => write_owned(owned, offset, bytes),
            _ => {
                let Page { base, under, delta, is_lost, .. } = self;
                delta.write(offset, bytes, |at, below| read_below(base, under, *is_lost, at, below));
                // A few bytes take a unit of memory.
                self.mark_dirty(UNIT_LEN);
                self.layered = true;
                self.maybe_materialize();
            }
        }
        self.zero_fill(gap);
        self.recount();
    }

    /// Zeros between the end of a page and a write behind it: its image has them too.
    fn zero_fill(&mut self, gap: usize) {
        if gap > 0 {
            self.mark_dirty(gap);
        }
    }

    /// Turns a mapped page with a large delta into an owned copy, if that needs no disk.
    fn maybe_materialize(&mut self) {
        let Base::Mapped(mapped) = &self.base else { return };
        let memory = self.account.memory();
        let delta_len = self.delta.memory_len();
        let pays = delta_len * FOLD_PART > mapped.len();
        let costs_nothing = delta_len * FOLD_ALWAYS_PART > mapped.len();
        if !pays || self.is_lost || !(costs_nothing || memory.may_own()) {
            return;
        }
        if !mapped.is_warm() && !memory.is_patient() {
            return;
        }
        let mut owned = Array::zeroed(self.len());
        if self.read(0, &mut owned).is_ok() {
            memory.add_dirty_copy(owned.capacity() as u64);
            self.base = Base::Owned(owned);
            self.under = Under::None;
            self.delta = Delta::default();
        }
    }

    /// Notes a write. It counts as dirty in steps that double, so that the shared counter is seldom
    /// touched.
    #[inline]
    fn mark_dirty(&mut self, len: usize) {
        self.change = self.change.wrapping_add(1);
        match self.credit.checked_sub(len as u32) {
            Some(credit) => self.credit = credit,
            None => self.count_dirty(len as u32),
        }
        if self.change == 0 {
            self.lineage = self.account.memory().next_page();
        }
    }

    #[cold]
    fn count_dirty(&mut self, len: u32) {
        let more = self.counted.max(len).max(DIRTY_LEN_MIN);
        if self.counted == 0 {
            self.account.memory().add_dirty_page(self.len() as u64);
            if let Base::Owned(owned) = &self.base {
                self.account.memory().add_dirty_copy(owned.capacity() as u64);
            }
        }
        self.account.memory().add_dirty(u64::from(more));
        self.counted = self.counted.saturating_add(more);
        self.credit = self.credit.saturating_add(more - len);
        self.dirty = true;
    }
}

impl PageRead for Page {
    #[inline]
    fn len(&self) -> usize {
        if !self.layered {
            return self.base_len();
        }
        let under_end = self.under().map_or(0, |under| under.map_or(0, Delta::end));
        self.base_len().max(self.delta.end()).max(under_end)
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        if self.is_lost {
            self.lost()?;
        }
        let under = self.under()?;
        let have = self.base_bytes(offset, into.len())?;
        into[..have.len()].copy_from_slice(have);
        into[have.len()..].fill(0);
        if let Some(under) = under {
            under.overlay(offset, into);
        }
        self.delta.overlay(offset, into);
        Ok(())
    }

    #[inline]
    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        match self.plain() {
            Some(bytes) => Ok(offset.checked_add(len).and_then(|end| bytes.get(offset..end))),
            None => self.run_over(offset, len),
        }
    }

    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        if self.layered || self.is_lost {
            return None;
        }
        match &self.base {
            Base::Empty => Some(&[]),
            Base::Owned(owned) => Some(owned),
            Base::Shared(shared) => Some(shared.get()),
            Base::Mapped(mapped) => mapped.whole(),
        }
    }
}

impl Page {
    /// The general case of a run.
    fn run_over(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        if !self.layered && !self.is_lost {
            return self.base_run(offset, len);
        }
        if self.is_lost {
            self.lost()?;
        }
        let under = self.under()?;
        let mut cover = self.delta.cover(offset, len);
        if cover == Cover::None
            && let Some(under) = under
        {
            cover = under.cover(offset, len);
        }
        match cover {
            Cover::None => self.base_run(offset, len),
            Cover::Part => Ok(None),
            // A damaged block must answer `Corrupt` even where a delta has the range.
            Cover::Whole(bytes) => self.base_bytes(offset, len).map(|_| Some(bytes)),
        }
    }
}

impl PageWrite for Page {
    #[inline]
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.mark_dirty(bytes.len());
        match &mut self.base {
            Base::Owned(owned) if !self.layered => {
                if let Some(place) = owned.get_mut(offset..offset + bytes.len()) {
                    place.copy_from_slice(bytes);
                    return;
                }
                let (before, gap) = (owned.capacity(), offset.saturating_sub(owned.as_slice().len()));
                write_owned(owned, offset, bytes);
                if owned.capacity() != before {
                    self.recount();
                }
                self.zero_fill(gap);
            }
            _ => self.write_over(offset, bytes),
        }
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        self.mark_dirty(bytes.len().max(1));
        self.base = Base::Owned(Array::from(&*bytes));
        self.under = Under::None;
        self.delta = Delta::default();
        if self.is_lost {
            Arc::make_mut(&mut self.on_disk).lost = None;
            self.is_lost = false;
        }
        self.recount();
    }
}

/// What a checkpoint decided for one page.
#[derive(Debug)]
pub enum Imaging {
    /// A new base image of these bytes.
    Full(Vec<u8>),
    /// A delta image over the base that is on disk: the encoded delta.
    Delta(Vec<u8>),
    /// The page is as it is on disk.
    Nothing,
}

impl Page {
    /// Decides between a delta image and a full image: delta images are rented while all that were
    /// written since the base, this one included, cost less than buying a new base.
    ///
    /// # Errors
    /// `Corrupt` when the page cannot be read whole; the caller keeps what is on disk.
    pub fn imaging(&self, address: &Address) -> Result<Imaging> {
        let OnDisk { stored, base_segment, .. } = &*self.on_disk;
        let Some((image, segment)) = stored.base.zip(base_segment.clone()) else {
            return Ok(Imaging::Full(self.to_vec()?));
        };
        let is_mapped = matches!(self.base, Base::Mapped(_));
        let delta = if is_mapped {
            self.changes()?
        } else {
            let base = Mapped::new(StoredImage { image, segment }, *address);
            match base.bytes(0, base.len()) {
                Ok(base) => match self.run(0, self.len())? {
                    Some(bytes) => Cow::Owned(Delta::diff(base, bytes)),
                    None => Cow::Owned(Delta::diff(base, &self.to_vec()?)),
                },
                // The old image is damaged and the whole page is in memory: buying heals it.
                Err(_) => return Ok(Imaging::Full(self.to_vec()?)),
            }
        };
        // A delta cannot say that a page became shorter.
        let shrunk = !is_mapped && self.len() < image.payload_len as usize;
        if delta.is_empty() && stored.delta.is_none() && !shrunk {
            return Ok(Imaging::Nothing);
        }
        let mut encoded = Vec::new();
        delta.encode(&mut encoded);
        let rent = stored.delta_written + image::image_len(encoded.len()) as u64;
        if rent < image.image_len() && !shrunk {
            return Ok(Imaging::Delta(encoded));
        }
        match self.to_vec() {
            Ok(bytes) => Ok(Imaging::Full(bytes)),
            // A damaged block under a mapped base: the delta is all that can be kept.
            Err(error) if is_mapped => {
                tracing::warn!(%error, "a damaged page is kept with its changes beside it");
                Ok(Imaging::Delta(encoded))
            }
            Err(error) => Err(error),
        }
    }

    /// What changed since the base: a frozen page has it in one piece, under it.
    fn changes(&self) -> Result<Cow<'_, Delta>> {
        Ok(match self.under()? {
            None => Cow::Borrowed(&self.delta),
            Some(under) if self.delta.is_empty() => Cow::Borrowed(under),
            Some(under) => {
                let mut both = under.clone();
                both.merge(self.delta.clone());
                Cow::Owned(both)
            }
        })
    }

    /// Takes over what a checkpoint wrote of this page, which is still as `frozen` says, or of `frozen`
    /// itself (`None`).
    pub fn install(
        &mut self,
        stored: Stored,
        segments: &dyn Fn(&ImageRef) -> Option<Arc<Segment>>,
        address: Address,
        frozen: Option<&Page>,
        keep: bool,
    ) {
        let base_moved = stored.base != self.on_disk.stored.base;
        if self.on_disk.stored != stored {
            let lost = self.on_disk.lost.clone();
            let (base_segment, delta_segment) =
                (stored.base.as_ref().and_then(segments), stored.delta.as_ref().and_then(segments));
            self.on_disk = Arc::new(OnDisk { stored, base_segment, delta_segment, lost });
        }
        let remapped = base_moved && matches!(self.base, Base::Mapped(_));
        let is_same = |frozen: &Page| (frozen.lineage, frozen.change) == (self.lineage, self.change);
        if frozen.is_none_or(is_same) {
            (self.dirty, self.credit, self.counted) = (false, 0, 0);
            // What memory holds of a lost page cannot be read, and the images say that by themselves.
            let lost = std::mem::replace(&mut self.is_lost, false);
            if lost {
                Arc::make_mut(&mut self.on_disk).lost = None;
            }
            if lost || !keep || remapped {
                self.unload(address);
            }
            return;
        }
        if remapped && let Some((image, segment)) = stored.base.zip(self.on_disk.base_segment.clone()) {
            // A new base without a delta has all that was frozen; one that was only moved has not.
            if stored.delta.is_none()
                && let (Under::Memory(live), Some(Under::Memory(frozen))) =
                    (&self.under, frozen.map(|page| &page.under))
                && Shared::is(live, frozen)
            {
                self.under = Under::None;
            }
            self.base = Base::Mapped(Mapped::new(StoredImage { image, segment }, address));
            self.recount();
        }
    }
}

/// An error that says which page it is about. What memory holds of a page has no place in a file.
#[cold]
pub fn about(address: &Address, error: &Error) -> Error {
    match error.place() {
        Some(place) if place.file.is_empty() => {
            Error::new(ErrorKind::Corrupt, format!("{address}, byte {}: {}", place.offset, place.reason))
        }
        Some(place) => {
            Error::corrupt(place.file.clone(), place.offset, format!("{} ({address})", place.reason))
        }
        None => error.clone(),
    }
}
