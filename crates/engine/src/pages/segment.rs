//! # Segment: an append-only file of images
//!
//! A segment is written by one checkpoint, synced, and from then on only read, through a mapping or by
//! calls; it is never written again and never cut, only unlinked. Its name is `seg-` and its id in eight digits.
//!
//! | offset | size | field    | meaning                                                    |
//! |-------:|-----:|----------|------------------------------------------------------------|
//! |      0 |    8 | magic    | "VELLSEG\n"                                                |
//! |      8 |    2 | version  | format version, 1                                          |
//! |     10 |    2 | zero     | reserved: written 0, checked on read                       |
//! |     12 |    4 | id       | segment id, as in the file's name                          |
//! |     16 |   16 | store_id | of the store                                               |
//! |     32 |   24 | unused   | reserved: written 0, checked on read                       |
//! |     56 |    4 | pad      | reserved: written 0, checked on read                       |
//! |     60 |    4 | crc      | CRC-32 of bytes 0..60                                      |
//!
//! Images follow, packed at 64 bytes, to the end of the file.
//!
//! Valid when: the header holds, and the file is exactly as long as the root's segment table says.
//! A writer syncs the file and its name before a root names it. A reader checks the length before it
//! maps (a short file is an error at open, not a SIGBUS later), each image's header against the
//! reference in its parent, and each 4 KiB block at its first touch. Before bytes are touched the first
//! time they are fetched ([`Segment::fetch`]), so that a sector that the disk does not read is an error
//! too, and no signal.

use super::cache::Cache;
use super::node::{ImageRef, SegmentEntry};
use crate::id::SegmentId;
use crate::page::image::{self, ImageHead, ImageView};
use crate::planted::planted;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_bytes::{Field, crc32};
use vellum_disk::{Access, Disk, File, Region};

const MAGIC_BYTES: [u8; 8] = *b"VELLSEG\n";
const VERSION_NUMBER: u16 = 1;
const MAGIC: Field<[u8; 8]> = Field::at(0);
const VERSION: Field<u16> = Field::after(MAGIC);
const ZERO: Field<u16> = Field::after(VERSION);
const ID: Field<u32> = Field::after(ZERO);
const STORE_ID: Field<[u8; 16]> = Field::after(ID);
const UNUSED: Field<[u8; 24]> = Field::after(STORE_ID);
const PAD: Field<u32> = Field::after(UNUSED);
const CRC: Field<u32> = Field::after(PAD);
/// Bytes of a segment's header.
pub const HEADER_LEN: usize = CRC.end();

/// A segment is closed and another begun at this length: large enough that 10^10 records need few
/// hundred mappings, small enough that compaction moves one in a fraction of a second.
pub(super) const SEGMENT_LEN_MAX: u64 = 256 << 20;
/// … or, on a small disk, at this part of what is free: what is live in a segment has to fit there once more for the
/// segment to be emptied.
const FREE_PART: u64 = 64;
/// … but not at less than half of what the store keeps in reserve.
const SEGMENT_LEN_LEAST: u64 = 1 << 20;

/// Length at which a checkpoint closes a segment on a disk with so much free.
pub(super) fn len_max(free_len: u64) -> u64 {
    (free_len / FREE_PART).clamp(SEGMENT_LEN_LEAST, SEGMENT_LEN_MAX)
}
/// What the disk reads whole or not at all, as far as a mapping can tell: a page of the operating system.
pub(super) const SECTOR_LEN: usize = 4096;
/// Written in pieces of this length, each handed to the disk at once, so that the final sync is short. A
/// piece of a huge page's length, and aligned to it, stays in the page cache as one huge page where the file
/// system can do that, and is mapped as one: a cold read then misses the cache and not the TLB as well.
const PIECE_LEN: usize = 2 << 20;

/// File name of a segment.
pub fn file_name(id: SegmentId) -> String {
    format!("seg-{:08}", id.0)
}

/// The id in a segment file's name.
pub fn id_of(name: &str) -> Option<SegmentId> {
    let id = SegmentId(name.strip_prefix("seg-")?.parse().ok()?);
    (file_name(id) == name).then_some(id)
}

fn encode_header(id: SegmentId, store_id: [u8; 16]) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    MAGIC.put(&mut bytes, MAGIC_BYTES);
    VERSION.put(&mut bytes, VERSION_NUMBER);
    ID.put(&mut bytes, id.0);
    STORE_ID.put(&mut bytes, store_id);
    let crc = crc32(&bytes[..CRC.offset()]);
    CRC.put(&mut bytes, crc);
    bytes
}

/// One sealed segment, mapped or read by calls.
#[derive(Debug)]
pub struct Segment {
    /// File name.
    pub name: String,
    /// Empty where there is a file.
    region: Region,
    unmapped: Option<Unmapped>,
    /// Images read from it since it was opened, for tests that count.
    images_read: AtomicU64,
}

/// A segment that is not mapped.
#[derive(Debug)]
struct Unmapped {
    file: Arc<dyn File>,
    len: usize,
    cache: Arc<Cache>,
}

impl Segment {
    /// Opens and checks a segment that the root names, and maps it unless there is a cache to read into.
    pub fn open(
        disk: &dyn Disk,
        entry: &SegmentEntry,
        store_id: [u8; 16],
        cache: Option<&Arc<Cache>>,
    ) -> Result<Arc<Segment>> {
        let name = file_name(entry.id);
        let file = disk.open(&name, Access::Read)?;
        let len = file.len()?;
        if len != entry.len || len < HEADER_LEN as u64 {
            let reason = format!("the file has {len} bytes, the root expects {}", entry.len);
            return Err(Error::corrupt(name, len.min(entry.len), reason));
        }
        let segment = Segment::of_file(name, file, len, cache)?;
        let header = segment.fetch(0..HEADER_LEN)?;
        check_header(&header, entry.id, store_id)
            .map_err(|reason| Error::corrupt(segment.name.clone(), 0, reason))?;
        Ok(Arc::new(segment))
    }

    /// A segment of these bytes, unchecked: each image answers for itself.
    pub(super) fn as_is(name: String, region: Region) -> Segment {
        Segment { name, region, unmapped: None, images_read: AtomicU64::new(0) }
    }

    /// The first `len` bytes of a file, unchecked; mapped unless there is a cache to read into.
    pub(super) fn of_file(
        name: String,
        file: Arc<dyn File>,
        len: u64,
        cache: Option<&Arc<Cache>>,
    ) -> Result<Segment> {
        let Some(cache) = cache.cloned() else { return Ok(Segment::as_is(name, file.map(len)?)) };
        let len = usize::try_from(len).map_err(|_| Error::corrupt(&name, 0, "too long for this machine"))?;
        let mut segment = Segment::as_is(name, Region::heap(Vec::new()));
        segment.unmapped = Some(Unmapped { file, len, cache });
        Ok(segment)
    }

    /// The cache that its pages are read into; `None` of a mapped one.
    pub(super) fn cache(&self) -> Option<&Arc<Cache>> {
        self.unmapped.as_ref().map(|unmapped| &unmapped.cache)
    }

    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "every segment has a header")]
    pub fn len(&self) -> usize {
        self.unmapped.as_ref().map_or(self.region.len(), |unmapped| unmapped.len)
    }

    /// The bytes of a range, once the disk has given them: from here on they may be touched. Every
    /// first touch of a segment's bytes goes through here.
    ///
    /// # Errors
    /// `Corrupt` for a sector that the disk cannot read, as for other damage: in recovery the page is set
    /// aside (crash rule 8), and what else there is goes on. `Io` when memory is lacking.
    pub fn fetch(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        if let Some(Unmapped { file, len, .. }) = &self.unmapped {
            if range.start > range.end || range.end > *len {
                return Err(self.past_the_end(range.start as u64));
            }
            let mut bytes = vec![0; range.len()];
            return match file.read_at(range.start as u64, &mut bytes) {
                Ok(()) => Ok(Cow::Owned(bytes)),
                Err(error) => Err(self.not_fetched(range, error)),
            };
        }
        let Some(bytes) = self.region.get(range.clone()) else {
            return Err(self.past_the_end(range.start as u64));
        };
        match self.region.populate(range.clone()) {
            Ok(()) => Ok(Cow::Borrowed(bytes)),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                Err(Error::io("reading", self.name.clone(), error))
            }
            Err(error) => Err(self.not_fetched(range, error)),
        }
    }

    /// Which sector it is that the disk cannot read.
    #[cold]
    fn not_fetched(&self, range: Range<usize>, error: impl std::fmt::Display) -> Error {
        let is_bad = |sector: &usize| {
            let end = (*sector + SECTOR_LEN).min(range.end);
            match &self.unmapped {
                Some(Unmapped { file, .. }) => {
                    file.read_at(*sector as u64, &mut [0; SECTOR_LEN][..end - *sector]).is_err()
                }
                None => self.region.populate(*sector..end).is_err(),
            }
        };
        let first = range.start - range.start % SECTOR_LEN;
        let sector = (first..range.end).step_by(SECTOR_LEN).find(is_bad).unwrap_or(first);
        unreadable(&self.name, sector as u64, &error)
    }

    #[cold]
    fn past_the_end(&self, start: u64) -> Error {
        Error::corrupt(self.name.clone(), start, "a reference points past the segment's end")
    }

    /// The image that `image` names in a mapped segment, its head and CRC array fetched and checked against
    /// the reference; and where it starts.
    pub fn image(&self, image: &ImageRef) -> Result<(ImageView<'_>, usize)> {
        let start = image.offset();
        self.fetch(span(start, image::payload_start(image.payload_len as usize) as u64))?;
        self.fetched_image(image)
    }

    /// The same once its head and CRC array were fetched.
    pub(super) fn fetched_image(&self, image: &ImageRef) -> Result<(ImageView<'_>, usize)> {
        let start = image.offset();
        let bytes =
            self.region.get(span(start, image.image_len())).ok_or_else(|| self.past_the_end(start))?;
        Ok((self.checked(image, bytes)?, start as usize))
    }

    /// All bytes of the image that `image` names, each of them checked; and what it says of itself.
    pub fn whole_image(&self, image: &ImageRef) -> Result<(Cow<'_, [u8]>, ImageHead)> {
        let bytes = self.fetch(span(image.offset(), image.image_len()))?;
        let view = self.checked(image, &bytes)?;
        view.verify_whole().map_err(|error| self.placed(image.offset(), &error))?;
        let head = *view.head();
        Ok((bytes, head))
    }

    /// The head of an image, checked against the reference.
    pub fn head(&self, image: &ImageRef) -> Result<ImageHead> {
        match &self.unmapped {
            Some(_) => self.whole_image(image).map(|(_, head)| head),
            None => self.image(image).map(|(view, _)| *view.head()),
        }
    }

    fn checked<'b>(&self, image: &ImageRef, bytes: &'b [u8]) -> Result<ImageView<'b>> {
        self.images_read.fetch_add(1, Relaxed);
        let start = image.offset();
        let view = ImageView::parse(bytes).map_err(|error| self.placed(start, &error))?;
        if view.crc() != image.crc || view.head().payload_len != image.payload_len {
            let reason = format!(
                "another image than its parent names: crc {:08x}, expected {:08x}",
                view.crc(),
                image.crc
            );
            return Err(Error::corrupt(self.name.clone(), start, reason));
        }
        Ok(view)
    }

    /// All bytes of a mapped segment, of which a caller touches what it fetched; empty without a mapping.
    pub fn bytes(&self) -> &[u8] {
        &self.region
    }

    /// Counts a read for [`Segment::images_read`].
    pub(super) fn note_read(&self) {
        self.images_read.fetch_add(1, Relaxed);
    }

    /// Images read since the store was opened.
    pub fn images_read(&self) -> u64 {
        self.images_read.load(Relaxed)
    }

    /// An error inside an image, at its place in this file.
    #[cold]
    pub fn placed(&self, image_offset: u64, error: &Error) -> Error {
        let (offset, reason) = error.place().map_or((0, String::new()), |p| (p.offset, p.reason.clone()));
        Error::corrupt(self.name.clone(), image_offset + offset, reason)
    }
}

/// So many bytes from an offset on; a place that this machine cannot address is past every end.
fn span(start: u64, len: u64) -> Range<usize> {
    let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    at(start)..at(start.saturating_add(len))
}

/// The disk does not read a sector, and the way out.
#[cold]
pub(super) fn unreadable(name: &str, sector: u64, error: &dyn std::fmt::Display) -> Error {
    let reason = format!(
        "the disk cannot read the sector at this byte ({error}); `vellum verify` lists the records concerned, `vellum repair` saves the rest"
    );
    Error::corrupt(name, sector, reason)
}

pub(super) fn check_header(
    bytes: &[u8],
    id: SegmentId,
    store_id: [u8; 16],
) -> std::result::Result<(), String> {
    if MAGIC.get(bytes) != MAGIC_BYTES {
        return Err("this is no segment".into());
    }
    let crc = crc32(&bytes[..CRC.offset()]);
    if CRC.get(bytes) != crc {
        return Err(format!("the header's checksum is {:08x}, computed {crc:08x}", CRC.get(bytes)));
    }
    if VERSION.get(bytes) != VERSION_NUMBER
        || ZERO.get(bytes) != 0
        || UNUSED.get(bytes) != [0; 24]
        || PAD.get(bytes) != 0
    {
        return Err("unknown version, or reserved bytes that are not zero".into());
    }
    if ID.get(bytes) != id.0 || STORE_ID.get(bytes) != store_id {
        return Err("this segment has another id, or belongs to another store".into());
    }
    Ok(())
}

/// The store that a segment's header names, if the header holds.
pub fn store_id_of(bytes: &[u8; HEADER_LEN], id: SegmentId) -> Option<[u8; 16]> {
    let store_id = STORE_ID.get(bytes);
    check_header(bytes, id, store_id).is_ok().then_some(store_id)
}

/// An image and where it is in its parent's terms.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Where the image lies.
    pub image: ImageRef,
    /// The segment that holds it.
    pub segment: Arc<Segment>,
}

impl StoredImage {
    /// The whole payload, every block checked.
    pub fn payload(&self, kind: image::Kind, address: &crate::id::Address) -> Result<Cow<'_, [u8]>> {
        let (bytes, head) = self.segment.whole_image(&self.image)?;
        self.expect(&head, kind, address)?;
        let start = image::payload_start(head.payload_len as usize);
        let range = start..start + head.payload_len as usize;
        Ok(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(range.end);
                bytes.drain(..range.start);
                Cow::Owned(bytes)
            }
        })
    }

    /// An image says whose it is; one that lies where another should is damage.
    pub fn expect(&self, head: &ImageHead, kind: image::Kind, address: &crate::id::Address) -> Result<()> {
        if head.kind == kind && head.address == *address {
            return Ok(());
        }
        let reason = format!("a {:?} of {} where a {kind:?} of {address} should be", head.kind, head.address);
        Err(Error::corrupt(self.segment.name.clone(), self.image.offset(), reason))
    }
}

/// Writes the images of one checkpoint into new segments.
#[derive(Debug)]
pub struct SegmentWriter {
    disk: Arc<dyn Disk>,
    store_id: [u8; 16],
    len_max: u64,
    first_id: u32,
    next_id: u32,
    current: Option<Growing>,
    sealed: Vec<SegmentEntry>,
    buffer: Vec<u8>,
    /// Bytes handed to the disk.
    written: u64,
}

#[derive(Debug)]
struct Growing {
    id: SegmentId,
    file: Arc<dyn File>,
    /// Bytes of the file that are written; the buffer's bytes follow.
    flushed: u64,
}

impl SegmentWriter {
    /// Segments are closed at `len_max`.
    pub fn new(disk: Arc<dyn Disk>, store_id: [u8; 16], next_id: u32, len_max: u64) -> SegmentWriter {
        let buffer = Vec::with_capacity(PIECE_LEN + PIECE_LEN / 4);
        let (first_id, current, sealed) = (next_id, None, Vec::new());
        SegmentWriter { disk, store_id, len_max, first_id, next_id, current, sealed, buffer, written: 0 }
    }

    /// Appends an image made of a head and a payload: to the buffer alone, so that it may be called under
    /// a latch. [`SegmentWriter::settle`] has been called before.
    pub fn put(&mut self, head: &ImageHead, payload: &[u8]) -> ImageRef {
        let (segment, offset) = self.next_place();
        let start = self.buffer.len();
        image::encode(head, payload, &mut self.buffer);
        let crc =
            ImageView::parse(&self.buffer[start..]).expect("the image was encoded on the line above").crc();
        ImageRef { segment, place: (offset / 64) as u32, payload_len: payload.len() as u32, crc }
    }

    /// Appends an image as it lies in another segment; its bytes are checked on the way.
    pub fn copy(&mut self, from: &StoredImage) -> Result<ImageRef> {
        let (bytes, _) = from.segment.whole_image(&from.image)?;
        self.settle()?;
        let (segment, offset) = self.next_place();
        self.buffer.extend_from_slice(&bytes);
        Ok(ImageRef { segment, place: (offset / 64) as u32, ..from.image })
    }

    /// All that touches the disk: hands over what has gathered, and goes on in another segment when this
    /// one has its length. What is put until the next call may make it longer.
    pub fn settle(&mut self) -> Result<()> {
        if self.buffer.len() >= PIECE_LEN {
            self.flush_pieces()?;
        }
        if let Some(growing) = &self.current
            && growing.flushed + self.buffer.len() as u64 > self.len_max
        {
            self.seal_current()?;
        }
        if self.current.is_none() { self.begin() } else { Ok(()) }
    }

    /// Where the next image goes.
    pub fn next_place(&self) -> (SegmentId, u64) {
        let growing = self.current.as_ref().expect("settle begins a segment");
        (growing.id, growing.flushed + self.buffer.len() as u64)
    }

    /// The segments so far, as long as they are now.
    pub fn entries(&self) -> Vec<SegmentEntry> {
        let growing = self.current.iter().map(|growing| SegmentEntry {
            id: growing.id,
            len: growing.flushed + self.buffer.len() as u64,
            live_len: 0,
        });
        self.sealed.iter().copied().chain(growing).collect()
    }

    /// Number of the segment that would come next.
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Bytes written, those in the buffer included.
    pub fn written_len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn begin(&mut self) -> Result<()> {
        let id = SegmentId(self.next_id);
        let next_id = self.next_id.checked_add(1).ok_or_else(|| {
            let message = "all numbers of segments are used; dump the store and load it into a new one";
            Error::new(ErrorKind::LimitExceeded, message)
        })?;
        let name = file_name(id);
        if self.disk.list()?.contains(&name) {
            // A checkpoint that failed could not remove it; no root names a segment of this number yet.
            self.disk.remove(&name)?;
        }
        let file = self.disk.create(&name)?;
        self.next_id = next_id;
        self.buffer.extend_from_slice(&encode_header(id, self.store_id));
        self.current = Some(Growing { id, file, flushed: 0 });
        Ok(())
    }

    /// Hands over the whole pieces that the buffer has.
    fn flush_pieces(&mut self) -> Result<()> {
        let len = self.buffer.len() - self.buffer.len() % PIECE_LEN;
        self.flush(len)
    }

    fn flush(&mut self, len: usize) -> Result<()> {
        let Some(growing) = &mut self.current else { return Ok(()) };
        growing.file.write_at(growing.flushed, &self.buffer[..len])?;
        growing.file.start_writeback(growing.flushed, len as u64);
        growing.flushed += len as u64;
        self.written += len as u64;
        self.buffer.drain(..len);
        Ok(())
    }

    fn seal_current(&mut self) -> Result<()> {
        self.flush(self.buffer.len())?;
        if let Some(growing) = self.current.take() {
            if !planted("no_image_sync") {
                growing.file.sync()?;
            }
            self.sealed.push(SegmentEntry { id: growing.id, len: growing.flushed, live_len: 0 });
        }
        Ok(())
    }

    /// Crash rule 1, first half: every image and every name is synced.
    pub fn finish(&mut self) -> Result<()> {
        self.seal_current()?;
        if !self.sealed.is_empty() {
            self.disk.sync_dir()?;
        }
        Ok(())
    }

    /// Removes what a failed checkpoint left; what cannot be removed is removed at the next open.
    pub fn abandon(mut self) {
        self.current = None;
        let first_id = self.first_id - u32::from(planted("removes_too_much"));
        for id in first_id..self.next_id {
            if let Err(error) = self.disk.remove(&file_name(SegmentId(id))) {
                tracing::warn!(%error, "a segment of a failed checkpoint stays behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [
            MAGIC.row("magic"),
            VERSION.row("version"),
            ZERO.row("zero"),
            ID.row("id"),
            STORE_ID.row("store_id"),
            UNUSED.row("unused"),
            PAD.row("pad"),
            CRC.row("crc"),
        ];
        vellum_bytes::assert_offset_table(include_str!("segment.rs"), HEADER_LEN, &fields);
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        let good = encode_header(SegmentId(3), [9; 16]);
        assert!(check_header(&good, SegmentId(3), [9; 16]).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(&bad, SegmentId(3), [9; 16]).is_err(), "bit {bit}");
        }
        assert!(check_header(&good, SegmentId(4), [9; 16]).is_err());
        assert!(check_header(&good, SegmentId(3), [8; 16]).is_err());
    }

    #[test]
    fn names_and_ids_belong_together() {
        assert_eq!(id_of(&file_name(SegmentId(12))), Some(SegmentId(12)));
        assert_eq!(id_of(&file_name(SegmentId(u32::MAX))), Some(SegmentId(u32::MAX)));
        for foreign in ["seg-12", "seg-+0000012", "seg-4294967296", "seg-000000012", "log-00000001"] {
            assert_eq!(id_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn requirement_40_the_last_number_of_a_segment_is_not_used() {
        let path = std::env::temp_dir().join(format!("vellum-segment-{}", std::process::id()));
        let disk: Arc<dyn Disk> = Arc::new(vellum_disk::OsDisk::new(&path));
        disk.create_dir().unwrap();
        let mut writer = SegmentWriter::new(disk.clone(), [9; 16], u32::MAX - 1, SEGMENT_LEN_MAX);
        writer.settle().unwrap();
        writer.seal_current().unwrap();
        let error = writer.settle().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        writer.abandon();
        // Removes the directory only if it is empty.
        std::fs::remove_dir(path).unwrap();
    }
}
