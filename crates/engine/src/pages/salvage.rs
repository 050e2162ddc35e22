//! Pages of a damaged store, as far as they can be read: segments are opened as they are, and where the
//! page table is gone, one is made of the images found by scanning.
//!
//! What is read through such a store is checked as ever: an image answers for itself by its checksums and
//! address, a page by its blocks. What a scan cannot know is whether a newer image of a page was there and
//! is gone; [`FoundImages::is_newest`] tells where that can be ruled out.

use super::cache::Cache;
use super::node::{ImageRef, Meta, RootNode, Stored};
use super::segment::{self, Segment};
use super::tree::{GroupState, Root, Tree};
use super::{Keeping, PageStore, ROOT_LEVEL, Reference, SegmentTable, Writer, node, resolve, table_address};
use crate::id::{Address, GROUP_ROWS, Lsn, SegmentId, TreeId};
use crate::page::image::{ImageHead, Kind};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk};

/// More groups than this no store has: 10^13 rows.
const GROUP_NUMBER_MAX: u64 = 1 << 34;

/// The images of all segments, newest of each page first to be asked for.
#[derive(Debug, Default)]
pub struct FoundImages {
    /// Base and delta images of each page.
    pages: BTreeMap<Address, Vec<FoundImage>>,
    /// Whole root images, in the order of their lsn.
    pub roots: Vec<(Lsn, ImageRef)>,
    /// Damage of which nobody knows what it was.
    pub unknown: Vec<(SegmentId, u64)>,
}

/// An image of a page.
#[derive(Clone, Copy, Debug)]
struct FoundImage {
    lsn: Lsn,
    kind: Kind,
    image: ImageRef,
    /// Whether all of it is as written.
    is_whole: bool,
}

impl FoundImages {
    /// Takes an image that was found; `is_whole` says whether its payload matched its checksum.
    pub fn note(&mut self, image: ImageRef, head: &ImageHead, is_whole: bool) {
        match head.kind {
            Kind::Page | Kind::Delta => {
                let found = FoundImage { lsn: head.lsn, kind: head.kind, image, is_whole };
                self.pages.entry(head.address).or_default().push(found);
            }
            Kind::Root if is_whole => self.roots.push((head.lsn, image)),
            Kind::Root | Kind::Node => {}
        }
    }

    /// An image that a page table as of `lsn` names and that cannot be known again: it is the newest one of
    /// its page all the same, so that no older one is taken for it.
    pub fn note_lost(&mut self, reference: &Reference, lsn: Lsn) {
        if matches!(reference.kind, Kind::Page | Kind::Delta) {
            let Reference { kind, image, .. } = *reference;
            let found = FoundImage { lsn, kind, image, is_whole: false };
            self.pages.entry(reference.address).or_default().push(found);
        }
    }

    /// The newest base of a page as of `lsn`, and the delta over it.
    fn newest(&self, address: &Address, lsn: Lsn) -> Stored {
        let images = self.pages.get(address).map_or(&[][..], Vec::as_slice);
        let newest = |kind: Kind| {
            let of_kind = images.iter().filter(|found| found.kind == kind && found.lsn <= lsn);
            let newest = of_kind.max_by_key(|found| (found.lsn, found.image.segment, found.image.place))?;
            // A compaction moves an image as it is: one with the same checksums is the same.
            let is_same = |found: &&FoundImage| (found.kind, found.image.crc) == (kind, newest.image.crc);
            let whole = images.iter().filter(is_same).find(|found| found.is_whole);
            Some((newest.lsn, whole.unwrap_or(newest).image))
        };
        let (base, delta) = (newest(Kind::Page), newest(Kind::Delta));
        let delta = delta.filter(|(at, _)| base.is_none_or(|(base, _)| *at > base)).map(|(_, image)| image);
        // A delta is nothing without its base: the page is then unreadable, which a delta in the base's
        // place says whenever it is read.
        Stored { base: base.map(|(_, image)| image).or(delta), delta, delta_written: 0 }
    }

    /// Whether no damage can hide a newer image of any of these pages than the one that is read.
    pub fn are_newest(&self, tree: TreeId, number: u64, columns: RangeInclusive<u32>, lsn: Lsn) -> bool {
        let Some(last) = self.unknown.iter().max() else { return true };
        let at = |column| Address { tree, number, column };
        // A page without any image that is found may have had one.
        let mut any = false;
        let all = self.pages.range(at(*columns.start())..=at(*columns.end())).all(|(address, _)| {
            any = true;
            // A base behind the damage is the newest, and so is the delta over it.
            let base = self.newest(address, lsn).base;
            base.is_some_and(|image| (image.segment, image.offset()) > *last)
        });
        any && all
    }
}

/// A segment with the bytes that it has, whatever its header and the page table say of it.
fn open_as_is(disk: &dyn Disk, id: SegmentId, cache: Option<&Arc<Cache>>) -> Result<Arc<Segment>> {
    let name = segment::file_name(id);
    let file = disk.open(&name, Access::Read)?;
    let len = file.len()?;
    Ok(Arc::new(Segment::of_file(name, file, len, cache)?))
}

/// All segments that can be opened.
pub type Segments = BTreeMap<SegmentId, Arc<Segment>>;

/// Opens every segment file in the directory as it is, into a cache if there is one.
///
/// # Errors
/// What the disk says about listing the directory.
pub fn open_all(disk: &dyn Disk, cache: Option<&Arc<Cache>>) -> Result<Segments> {
    let ids = disk.list()?.iter().filter_map(|name| segment::id_of(name)).collect::<Vec<_>>();
    Ok(ids.into_iter().filter_map(|id| open_as_is(disk, id, cache).ok().map(|s| (id, s))).collect())
}

/// A root image, as far as segments have it.
///
/// # Errors
/// `Corrupt`.
pub fn read_root_as_is(segments: &Segments, root_image: ImageRef) -> Result<RootNode> {
    let stored = resolve(segments, root_image)?;
    let payload = stored.payload(Kind::Root, &table_address(TreeId(0), 0, ROOT_LEVEL))?;
    node::decode_root(&payload).map_err(|e| stored.segment.placed(root_image.offset(), &e))
}

impl PageStore {
    /// The pages that a root names, as far as segments have them.
    ///
    /// # Errors
    /// When the root itself cannot be read.
    pub fn open_as_is(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        keeping: Keeping,
        segments: &Segments,
        root_image: ImageRef,
    ) -> Result<(PageStore, Writer, RootNode)> {
        let node = read_root_as_is(segments, root_image)?;
        let mut trees = Vec::with_capacity(node.trees.len());
        for tree in &node.trees {
            let Ok(stored) = tree.node.map(|image| resolve(segments, image)).transpose() else {
                return Err(Error::corrupt("", 0, format!("the segment of tree {} is gone", tree.id)));
            };
            trees.push((tree.id, Arc::new(Tree::new(tree.id, 1, stored, tree.meta))));
        }
        let root = Root { epoch: 1, trees };
        let table = SegmentTable { next_segment: node.next_segment, ..SegmentTable::default() };
        let (store, writer) = PageStore::with(disk, store_id, keeping, root, segments.clone(), table);
        Ok((store, writer, node))
    }

    /// Pages as of `lsn` of which the page table is gone: what was found of them, each in its place. The
    /// meta words of a tree come from `metas`, or say that every row of its groups was used.
    ///
    /// # Errors
    /// None that pages in memory can give.
    pub fn of_found(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        keeping: Keeping,
        segments: &Segments,
        found: &FoundImages,
        lsn: Lsn,
        metas: &BTreeMap<TreeId, Meta>,
    ) -> Result<(PageStore, Writer)> {
        let root = Root { epoch: 1, trees: Vec::new() };
        let table = SegmentTable { next_segment: 1, ..SegmentTable::default() };
        let (store, mut writer) = PageStore::with(disk, store_id, keeping, root, segments.clone(), table);
        let mut groups: BTreeMap<(TreeId, u64), Vec<(u32, Stored)>> = BTreeMap::new();
        for address in found.pages.keys() {
            let stored = found.newest(address, lsn);
            if stored.base.is_some() || stored.delta.is_some() {
                groups.entry((address.tree, address.number)).or_default().push((address.column, stored));
            }
        }
        for ((tree, number), pages) in groups {
            // Numbers come from images whose checksums hold; a tree as sparse as this is none of ours.
            if number > GROUP_NUMBER_MAX {
                continue;
            }
            let segment =
                |image: Option<ImageRef>| image.and_then(|image| segments.get(&image.segment).cloned());
            let resolved = pages
                .into_iter()
                .map(|(column, page)| (column, page, [segment(page.base), segment(page.delta)]));
            let state = GroupState::load(tree, number, resolved.collect(), &store.memory);
            *store.group_mut(&mut writer, tree, number)?.state.write() = state;
            let rows = (number + 1) * u64::from(GROUP_ROWS);
            let metas = metas.get(&tree).copied().unwrap_or([rows, 0, 0, 0]);
            let tree = store.tree_mut(&writer, tree)?;
            metas.into_iter().enumerate().for_each(|(word, value)| tree.set_meta(word, value));
        }
        Ok((store, writer))
    }
}
