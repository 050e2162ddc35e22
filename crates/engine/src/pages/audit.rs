//! Segments and page tables as they lie on disk, for those who check a store without opening it: every
//! image of a segment, named or not, and every reference of a page table.
//!
//! Segments are read with `read_at`; a sector that the disk does not read damages the images that lie on it,
//! and the scan goes on behind it. A page table is walked over segments as the engine reads them.

use super::cache::Cache;
use super::node::{self, CHUNK_GROUPS, ImageRef, RootNode};
use super::segment::{self, HEADER_LEN, SECTOR_LEN, Segment, StoredImage};
use super::tree::Root;
use super::{CHUNK_LEVEL, GROUP_LEVEL, PageStore, ROOT_LEVEL, TREE_LEVEL, place, table_address};
use crate::id::{Address, SegmentId, TreeId};
use crate::page::delta::Delta;
use crate::page::image::{self, ImageHead, ImageView, Kind};
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk, File};

/// Bytes read at a time.
const WINDOW_LEN: usize = 1 << 20;
/// Images start at multiples of this.
const STEP: usize = image::HEAD_LEN;

/// What lies in a segment file.
#[derive(Debug)]
pub struct SegmentScan {
    /// File name.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// Images in it.
    pub image_count: u64,
    /// A bit for each 64 bytes of the file: whether an image starts there.
    starts: Vec<u64>,
    /// What is damaged, in the order of the file: the header, images, bytes between them.
    pub faults: Vec<Fault>,
    /// The disk does not read some of it.
    pub unreadable: bool,
}

/// Damage in a segment.
#[derive(Debug)]
pub struct Fault {
    /// Where the damaged image starts.
    pub image_offset: u64,
    /// What is wrong, with its place.
    pub error: Error,
    /// What the image says it is, if its head can be read.
    pub head: Option<ImageHead>,
}

impl SegmentScan {
    /// Whether an image starts at this offset.
    pub fn starts_at(&self, offset: u64) -> bool {
        let step = offset / STEP as u64;
        offset.is_multiple_of(STEP as u64)
            && self.starts.get((step / 64) as usize).is_some_and(|word| word >> (step % 64) & 1 == 1)
    }

    /// Whether the image that starts at this offset is damaged.
    pub fn is_damaged_at(&self, offset: u64) -> bool {
        self.faults.binary_search_by_key(&offset, |fault| fault.image_offset).is_ok()
    }

    fn note_start(&mut self, offset: u64) {
        let step = offset / STEP as u64;
        if let Some(word) = self.starts.get_mut((step / 64) as usize) {
            *word |= 1 << (step % 64);
        }
    }

    fn fault(&mut self, image_offset: u64, head: Option<ImageHead>, error: Error) {
        self.faults.push(Fault { image_offset, error, head });
    }

    /// An error inside an image, at its place in this file.
    fn placed(&self, image_offset: u64, error: &Error) -> Error {
        let (at, reason) = error.place().map_or((0, error.to_string()), |p| (p.offset, p.reason.clone()));
        Error::corrupt(self.name.clone(), image_offset + at, reason)
    }
}

/// Checks every byte of a segment file.
///
/// # Errors
/// What the disk says about opening it.
pub fn scan_segment(disk: &dyn Disk, id: SegmentId, store_id: [u8; 16]) -> Result<SegmentScan> {
    scan_segment_with(disk, id, store_id, &mut |_, _, _| {})
}

/// [`scan_segment`], telling `each` image whose head holds: where it is, what it says it is, and whether all
/// of it is as written.
///
/// # Errors
/// As [`scan_segment`].
pub fn scan_segment_with(
    disk: &dyn Disk,
    id: SegmentId,
    store_id: [u8; 16],
    each: &mut dyn FnMut(ImageRef, &ImageHead, bool),
) -> Result<SegmentScan> {
    let name = segment::file_name(id);
    let file = disk.open(&name, Access::Read)?;
    let len = file.len()?;
    let mut scan = SegmentScan {
        name,
        len,
        image_count: 0,
        // The file's own length bounds this: a bit for 64 bytes.
        starts: vec![0; (len / STEP as u64 / 64 + 1) as usize],
        faults: Vec::new(),
        unreadable: false,
    };
    let mut window = Window { file: &*file, len, start: 0, bytes: Vec::new(), bad: BTreeMap::new() };
    scan_images(&mut scan, &mut window, id, store_id, each);
    scan.unreadable = !window.bad.is_empty();
    Ok(scan)
}

fn scan_images(
    scan: &mut SegmentScan,
    window: &mut Window<'_>,
    id: SegmentId,
    store_id: [u8; 16],
    each: &mut dyn FnMut(ImageRef, &ImageHead, bool),
) {
    match window.get(0, HEADER_LEN) {
        Ok(head) if head.len() < HEADER_LEN => {
            let reason =
                format!("the file has {} bytes, a segment's header alone has {HEADER_LEN}", head.len());
            scan.fault(0, None, Error::corrupt(scan.name.clone(), 0, reason));
            return;
        }
        Ok(head) => {
            if let Err(reason) = segment::check_header(head, id, store_id) {
                scan.fault(0, None, Error::corrupt(scan.name.clone(), 0, reason));
            }
        }
        Err(error) => scan.fault(0, None, error),
    }
    let store_tag = super::checkpoint::store_tag(&store_id);
    let mut offset = HEADER_LEN as u64;
    while offset < scan.len {
        let parsed = window.get(offset, image::HEAD_LEN).and_then(|bytes| {
            let found = image::parse_head(bytes).map_err(|error| scan.placed(offset, &error))?;
            Ok((found, image::header_crc(bytes)))
        });
        let ((head, len), crc) = match parsed {
            Ok(found) => found,
            Err(error) => {
                scan.fault(offset, None, error);
                offset = next_image(window, offset, store_tag);
                continue;
            }
        };
        scan.note_start(offset);
        scan.image_count += 1;
        let checked = window.get(offset, len).and_then(|bytes| {
            check_image(bytes, &head, store_tag).map_err(|error| scan.placed(offset, &error))
        });
        if head.store_tag == store_tag {
            let payload_len = head.payload_len;
            let found = ImageRef { segment: id, place: (offset / STEP as u64) as u32, payload_len, crc };
            each(found, &head, checked.is_ok());
        }
        if let Err(error) = checked {
            scan.fault(offset, Some(head), error);
        }
        offset += len as u64;
    }
}

fn check_image(bytes: &[u8], head: &ImageHead, store_tag: u32) -> Result<()> {
    ImageView::parse(bytes)?.verify_whole()?;
    if head.store_tag != store_tag {
        return Err(Error::corrupt("", 0, "this image belongs to another store"));
    }
    Ok(())
}

/// Where the next image of this store starts after a damaged one, or else the end of the file.
fn next_image(window: &mut Window<'_>, from: u64, store_tag: u32) -> u64 {
    let mut offset = from + STEP as u64;
    while offset < window.len {
        match window.get(offset, STEP).map(image::parse_head) {
            Ok(Ok((head, _))) if head.store_tag == store_tag => return offset,
            Ok(_) => offset += STEP as u64,
            Err(_) => offset = (offset + 1).next_multiple_of(SECTOR_LEN as u64),
        }
    }
    window.len
}

/// A part of a file in memory.
struct Window<'f> {
    file: &'f dyn File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Sectors that the disk does not read, and what it says of them.
    bad: BTreeMap<u64, Error>,
}

impl Window<'_> {
    /// The bytes from `offset` on: `len` of them, or as many as the file has.
    ///
    /// # Errors
    /// `Corrupt` when a sector under them cannot be read.
    fn get(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = self.len.saturating_sub(offset).min(len as u64) as usize;
        let inside = offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let more = (self.len.saturating_sub(offset)).min(WINDOW_LEN.max(len) as u64) as usize;
            self.fill(offset, more);
        }
        let first = offset - offset % SECTOR_LEN as u64;
        if let Some((sector, error)) = self.bad.range(first..offset + len as u64).next() {
            return Err(segment::unreadable(self.file.name(), *sector, error));
        }
        let start = (offset - self.start) as usize;
        Ok(&self.bytes[start..start + len])
    }

    /// Reads a part of the file; where that fails, sector by sector.
    fn fill(&mut self, start: u64, len: usize) {
        self.bytes.clear();
        self.bytes.resize(len, 0);
        self.start = start;
        let Err(error) = self.file.read_at(start, &mut self.bytes) else { return };
        let (mut at, known) = (0, self.bad.len());
        while at < len {
            let sector = (start + at as u64) / SECTOR_LEN as u64 * SECTOR_LEN as u64;
            let end = ((sector + SECTOR_LEN as u64 - start) as usize).min(len);
            if let Err(error) = self.file.read_at(start + at as u64, &mut self.bytes[at..end]) {
                self.bad.insert(sector, error);
            }
            at = end;
        }
        if self.bad.len() == known {
            // The disk reads it after all; that it did not at first is worth a finding.
            self.bad.insert(start - start % SECTOR_LEN as u64, error);
        }
    }
}

/// One reference of a page table.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// Where the image lies.
    pub image: ImageRef,
    /// What it holds.
    pub kind: Kind,
    /// The page that it is an image of.
    pub address: Address,
}

impl Reference {
    /// The superblock's reference to a root image.
    pub fn to_root(image: ImageRef) -> Reference {
        Reference { image, kind: Kind::Root, address: table_address(TreeId(0), 0, ROOT_LEVEL) }
    }
}

/// A root, and those of its segments that could be opened.
#[derive(Debug)]
pub struct Table {
    pub root: RootNode,
    segments: BTreeMap<SegmentId, Arc<Segment>>,
}

/// Reads the root image and opens the segments that it lists, into a cache if there is one; what is wrong with
/// one goes to `fault`.
///
/// # Errors
/// When the root itself cannot be read.
pub fn open_table(
    disk: &dyn Disk,
    store_id: [u8; 16],
    image: ImageRef,
    cache: Option<&Arc<Cache>>,
    fault: &mut dyn FnMut(SegmentId, Error),
) -> Result<Table> {
    let root = super::read_root_node(disk, store_id, image, cache)?;
    let mut segments = BTreeMap::new();
    for entry in &root.segments {
        match Segment::open(disk, entry, store_id, cache) {
            Ok(segment) => drop(segments.insert(entry.id, segment)),
            Err(error) => fault(entry.id, error),
        }
        if entry.id.0 >= root.next_segment {
            let reason = format!("the root lists it and calls segment {} the next one", root.next_segment);
            fault(entry.id, Error::corrupt(segment::file_name(entry.id), 0, reason));
        }
    }
    Ok(Table { root, segments })
}

impl Table {
    /// Calls `each` for every reference of the page table, the root's own image first, and says whether
    /// it resolves to the image that it should. Below a node that cannot be read nothing is visited.
    pub fn walk(&self, root_image: ImageRef, each: &mut dyn FnMut(&Reference, Result<()>)) {
        let address = table_address(TreeId(0), 0, ROOT_LEVEL);
        each(&Reference { image: root_image, kind: Kind::Root, address }, Ok(()));
        for tree in &self.root.trees {
            let Some(image) = tree.node else { continue };
            let address = table_address(tree.id, 0, TREE_LEVEL);
            let chunks = self.node(image, address, each, &|bytes| node::decode_refs(bytes, usize::MAX));
            for (index, image) in numbered(chunks) {
                self.walk_chunk(tree.id, index, image, each);
            }
        }
    }

    fn walk_chunk(
        &self,
        tree: TreeId,
        index: u64,
        image: ImageRef,
        each: &mut dyn FnMut(&Reference, Result<()>),
    ) {
        let address = table_address(tree, index, CHUNK_LEVEL);
        let groups = self.node(image, address, each, &|bytes| node::decode_refs(bytes, CHUNK_GROUPS));
        for (place, image) in numbered(groups) {
            let number = index * CHUNK_GROUPS as u64 + place;
            let address = table_address(tree, number, GROUP_LEVEL);
            let pages = self.node(image, address, each, &node::decode_group).unwrap_or_default();
            for (column, page) in pages {
                let address = Address { tree, number, column };
                for (image, kind) in [(page.base, Kind::Page), (page.delta, Kind::Delta)] {
                    let Some(image) = image else { continue };
                    each(&Reference { image, kind, address }, self.leaf(image, kind, &address));
                }
            }
        }
    }

    /// Reads a node and tells `each` about the reference to it.
    fn node<T>(
        &self,
        image: ImageRef,
        address: Address,
        each: &mut dyn FnMut(&Reference, Result<()>),
        decode: &dyn Fn(&[u8]) -> Result<T>,
    ) -> Option<T> {
        let read = || {
            let stored = super::resolve(&self.segments, image)?;
            decode(&stored.payload(Kind::Node, &address)?)
                .map_err(|e| stored.segment.placed(image.offset(), &e))
        };
        let (node, result) = match read() {
            Ok(node) => (Some(node), Ok(())),
            Err(error) => (None, Err(error)),
        };
        each(&Reference { image, kind: Kind::Node, address }, result);
        node
    }

    /// Checks the image of a page against its reference; its blocks were checked with its segment.
    fn leaf(&self, image: ImageRef, kind: Kind, address: &Address) -> Result<()> {
        let stored: StoredImage = super::resolve(&self.segments, image)?;
        if kind == Kind::Delta {
            let delta = Delta::decode(&stored.payload(kind, address)?);
            return delta.map(drop).map_err(|error| stored.segment.placed(image.offset(), &error));
        }
        stored.expect(&stored.segment.head(&image)?, kind, address)
    }
}

fn numbered(refs: Option<Vec<Option<ImageRef>>>) -> impl Iterator<Item = (u64, ImageRef)> {
    refs.into_iter().flatten().enumerate().filter_map(|(index, image)| Some((index as u64, image?)))
}

impl PageStore {
    /// Numbers below this may have a group in `tree`.
    ///
    /// # Errors
    /// `Corrupt` when the tree's node cannot be read.
    pub fn number_end(&self, root: &Root, tree: TreeId) -> Result<u64> {
        let Some(tree) = root.tree(tree) else { return Ok(0) };
        Ok((self.chunks(tree)?.len() * CHUNK_GROUPS) as u64)
    }

    /// Forgets what was loaded of a group, if memory is not ahead of disk: for one pass over all groups
    /// of a store that nobody else uses.
    pub fn forget(&self, root: &Root, tree: TreeId, number: u64) {
        let (chunk_index, index) = place(number);
        let Some(Ok(chunks)) = root.tree(tree).map(|tree| self.chunks(tree)) else { return };
        let Some(chunk) = chunks.get(chunk_index).and_then(|slot| slot.loaded().clone()) else { return };
        let slot = chunk.slot(index);
        let clean = slot.loaded().as_ref().is_some_and(|group| !group.state.read().is_dirty());
        if clean && slot.stored().is_some() {
            slot.set_loaded(None);
        }
    }
}
