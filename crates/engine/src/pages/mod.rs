//! Where pages live: row groups and buckets as bases and deltas, segments, the page table, the
//! superblock, snapshots, checkpoints and compaction. Knows bytes and addresses, not what a page
//! means.
//!
//! # In memory
//!
//! `tree` holds the live page table; `page` one page. The writer is the thread that holds the [`Writer`]
//! (the store keeps it under the writer lock). Readers go through [`PageStore::live`] or a
//! [`View`] and take a group's latch to read its pages.
//!
//! # On disk
//!
//! `superblock` names a root image, the root names all else ([`node`]); images lie in segments
//! ([`segment`]). What a segment holds is never overwritten: a checkpoint appends and switches the
//! root, so a torn page cannot exist.
//!
//! # Promises
//!
//! A writer changes pages only through [`PageStore::group_mut`] and [`PageStore::tree_mut`], which
//! keep snapshots as they were. Reading what a root names answers its bytes or `Corrupt`, never
//! others: each reference holds the image's checksum, each image its own address.
//!
//! # Lock order
//!
//! writer → chunks of a tree → group latches ascending → slots. Background work takes the writer lock
//! before any latch, never after.

mod accounting;
mod audit;
mod cache;
mod checkpoint;
mod compact;
mod evacuate;
mod mapped;
pub mod node;
mod page;
mod salvage;
pub mod segment;
mod space_usage;
pub mod superblock;
#[cfg(test)]
mod tests;
mod tree;
mod unmapped;

use accounting::Memory;
pub use audit::{Fault, Reference, SegmentScan, open_table, scan_segment, scan_segment_with};
pub use cache::{Cache, Hold};
pub use checkpoint::Checkpoint;
pub use checkpoint::CheckpointReport;
pub use compact::Compaction;
pub use node::{ImageRef, RootNode, SegmentEntry};
pub use page::{Page, about};
pub use salvage::{FoundImages, Segments, open_all, read_root_as_is};
use segment::Segment;
#[cfg(vellum_shuttle)]
pub use tree::Slots;
pub use tree::{Group, GroupGuard, GroupState, Root, Tree};

use crate::id::{Address, SegmentId, TreeId};
use crate::page::image::Kind;
use crate::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed};
use crate::sync::{ArcSwap, Guard, Mutex, RwLock};
use node::CHUNK_GROUPS;
use segment::StoredImage;
use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(not(vellum_shuttle))]
use tree::Slots;
use tree::{Chunk, Slot};
use vellum_bytes::{Error, Result};
use vellum_disk::Disk;
use vellum_memory::Shared;

/// All pages of an open store.
#[derive(Debug)]
pub struct PageStore {
    /// The directory that holds the segments.
    pub disk: Arc<dyn Disk>,
    /// Identity of the store, which every segment repeats.
    pub store_id: [u8; 16],
    live: ArcSwap<Root>,
    /// Mapped segments: those of the newest root, and those that a view may still need.
    segments: ArcSwap<BTreeMap<SegmentId, Arc<Segment>>>,
    /// Segments that no root names any more, and the epoch in which that came to be.
    retired: Mutex<Vec<(u64, SegmentId)>>,
    /// How often segments were forgotten.
    releases: AtomicU64,
    pins: Pins,
    /// What the newest root says of segments.
    pub table: Mutex<SegmentTable>,
    /// Account of the memory that pages take.
    pub memory: Arc<Memory>,
    /// Bytes of clean owned copies and deltas that may stay in memory: less than the budget, since tables
    /// and latches of what is in memory come on top.
    keep_len: u64,
    /// What pages are read into where segments are not mapped.
    cache: Option<Arc<Cache>>,
    /// Table nodes read since opening, for tests that count.
    nodes_read: AtomicU64,
}

/// The segments of the newest root, and those that only the root before still names.
#[derive(Debug, Default)]
pub struct SegmentTable {
    /// Segments that the live root names.
    pub entries: BTreeMap<SegmentId, SegmentEntry>,
    /// Number of the next segment.
    pub next_segment: u32,
    /// Freed by the newest checkpoint; unlinked after the next one (crash rule 2).
    pub freed: Vec<SegmentEntry>,
    /// Where the newest root lies.
    pub root: Option<ImageRef>,
}

/// The right to change pages; there is one per store, under the writer lock.
#[derive(Debug)]
pub struct Writer {
    epoch: u64,
    /// Raised by each checkpoint's snapshot; tells whether a group is on the list below.
    round: u64,
    /// Row groups that changed since the last checkpoint.
    pub dirty: Vec<(TreeId, u64)>,
    /// A live group of this epoch that is about to be changed.
    expected: Option<GroupGuard>,
}

impl Writer {
    /// Says that this live group will be changed next, so that it is not looked up again.
    #[inline]
    pub fn hint_group(&mut self, group: Option<GroupGuard>) {
        self.expected = group;
    }

    /// Takes back what [`Writer::hint_group`] said.
    #[inline]
    pub fn clear_hint(&mut self) {
        self.expected = None;
    }
}

/// A state that stays as it is: a root, and with it all that it names. While a view lives, no segment
/// that its unread nodes may name is forgotten.
#[derive(Clone, Debug)]
pub struct View {
    /// The root, which no later change moves.
    pub root: Arc<Root>,
    _pin: Arc<Pin>,
}

/// Epochs of the views that live, each with their number.
type Pins = Arc<Mutex<BTreeMap<u64, usize>>>;

/// Keeps one epoch on the list.
#[derive(Debug)]
struct Pin {
    epoch: u64,
    pins: Pins,
}

impl Pin {
    fn new(epoch: u64, pins: &Pins) -> Pin {
        *pins.lock().entry(epoch).or_default() += 1;
        Pin { epoch, pins: pins.clone() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.epoch);
            }
        }
    }
}

/// What of pages may stay in memory.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Twice the bytes of clean owned copies and deltas.
    pub keep_len: u64,
    /// Where pages are read into; `None` where segments are mapped.
    pub cache: Option<Arc<Cache>>,
}

impl From<u64> for Keeping {
    fn from(keep_len: u64) -> Keeping {
        Keeping { keep_len, cache: None }
    }
}

impl PageStore {
    /// The pages of a store without a checkpoint.
    pub fn create(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        keep_len: impl Into<Keeping>,
    ) -> (PageStore, Writer) {
        let root = Root { epoch: 1, trees: Vec::new() };
        let table = SegmentTable { next_segment: 1, ..SegmentTable::default() };
        PageStore::with(disk, store_id, keep_len.into(), root, BTreeMap::new(), table)
    }

    fn with(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        Keeping { keep_len: budget, cache }: Keeping,
        root: Root,
        segments: BTreeMap<SegmentId, Arc<Segment>>,
        table: SegmentTable,
    ) -> (PageStore, Writer) {
        let store = PageStore {
            disk,
            store_id,
            live: ArcSwap::from_pointee(root),
            segments: ArcSwap::from_pointee(segments),
            retired: Mutex::new(Vec::new()),
            releases: AtomicU64::new(0),
            pins: Pins::default(),
            table: Mutex::new(table),
            memory: Arc::new(Memory::new(budget / 2)),
            keep_len: budget / 2,
            cache,
            nodes_read: AtomicU64::new(0),
        };
        store.note_root();
        (store, Writer { epoch: 1, round: 1, dirty: Vec::new(), expected: None })
    }

    /// The pages that `root` names. Reads the root image and maps the segments; nothing else is read,
    /// so that opening costs the same at any size.
    pub fn open(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        keeping: Keeping,
        root_image: ImageRef,
    ) -> Result<(PageStore, Writer, RootNode)> {
        let (node, segments) = read_root(&*disk, store_id, root_image, keeping.cache.as_ref())?;
        let mut trees = Vec::with_capacity(node.trees.len());
        for tree in &node.trees {
            let stored = tree.node.map(|image| resolve(&segments, image)).transpose()?;
            trees.push((tree.id, Arc::new(Tree::new(tree.id, 1, stored, tree.meta))));
        }
        let entries = node.segments.iter().map(|entry| (entry.id, *entry)).collect();
        let table = SegmentTable {
            entries,
            next_segment: next_free_segment(&*disk, node.next_segment)?,
            freed: Vec::new(),
            root: Some(root_image),
        };
        let (store, writer) =
            PageStore::with(disk, store_id, keeping, Root { epoch: 1, trees }, segments, table);
        Ok((store, writer, node))
    }

    /// The cache goes through the groups of roots that are alive.
    fn note_root(&self) {
        if let Some(cache) = &self.cache {
            cache.add_root(&self.live.load_full());
        }
    }

    /// Keeps in memory what the writer reads, until it has been applied (crash rule 8). Where segments are
    /// mapped there is nothing to keep.
    #[inline]
    pub fn hold(&self) -> Option<Hold> {
        self.cache.as_ref().map(Cache::hold)
    }

    /// Bytes in the cache, and the most that were in it; none where segments are mapped.
    pub fn cache_len(&self) -> (u64, u64) {
        self.cache.as_ref().map_or((0, 0), |cache| cache.loaded())
    }

    /// The live state, for one read.
    #[inline]
    pub fn live(&self) -> Guard<Arc<Root>> {
        self.live.load()
    }

    /// Freezes the live state. Costs the same whatever the number of records: later writes copy the
    /// nodes that they change.
    pub fn snapshot(&self, writer: &mut Writer) -> View {
        let view = View { root: self.live.load_full(), _pin: Arc::new(Pin::new(writer.epoch, &self.pins)) };
        writer.epoch += 1;
        view
    }

    /// The live state of a store that nobody writes: as good as frozen.
    pub fn read_view(&self) -> View {
        let root = self.live.load_full();
        View { _pin: Arc::new(Pin::new(root.epoch, &self.pins)), root }
    }

    /// Forgets retired segments that no view can name: unmapping them gives their space back.
    pub fn release_retired(&self) {
        let oldest = self.pins.lock().keys().next().copied().unwrap_or(u64::MAX);
        let mut retired = self.retired.lock();
        if !retired.iter().any(|(epoch, _)| *epoch < oldest) {
            return;
        }
        let mut segments = BTreeMap::clone(&self.segments.load());
        retired.retain(|(epoch, id)| {
            let needed = *epoch >= oldest;
            if !needed {
                segments.remove(id);
            }
            needed
        });
        // Before they go: who misses one sees that the count moved.
        self.releases.fetch_add(1, Ordering::AcqRel);
        self.segments.store(Arc::new(segments));
    }

    /// How often segments were forgotten. A reader without a pin who fails, and finds that this moved since
    /// he took his root, may have met a place that the newest root no longer names.
    pub fn releases(&self) -> u64 {
        self.releases.load(Ordering::Acquire)
    }

    /// Table nodes and images read since opening.
    pub fn images_read(&self) -> u64 {
        let segments = self.segments.load();
        self.nodes_read.load(Relaxed) + segments.values().map(|segment| segment.images_read()).sum::<u64>()
    }

    /// Where pages are read into, unless segments are mapped.
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    fn resolve(&self, image: ImageRef) -> Result<StoredImage> {
        resolve(&self.segments.load(), image)
    }

    /// The group `number` of `tree` at the state of `root`; `None` where there is none.
    #[inline]
    pub fn group(&self, root: &Root, tree: TreeId, number: u64) -> Result<Option<GroupGuard>> {
        let Some(tree) = root.tree(tree) else { return Ok(None) };
        let chunks = self.chunks(tree)?;
        let (chunk_index, index) = place(number);
        let Some(slot) = chunks.get(chunk_index) else { return Ok(None) };
        let guard = slot.loaded();
        if let Some(chunk) = guard.as_ref() {
            return self.group_in(tree, chunk, number, index);
        }
        match self.load_chunk(tree, &slot, chunk_index)? {
            Some(chunk) => self.group_in(tree, &chunk, number, index),
            None => Ok(None),
        }
    }

    #[inline]
    fn group_in(&self, tree: &Tree, chunk: &Chunk, number: u64, index: usize) -> Result<Option<GroupGuard>> {
        let slot = chunk.slot(index);
        match GroupGuard::new(slot.loaded()) {
            Some(group) => Ok(Some(group)),
            None => Ok(self.load_group(tree, &slot, number)?.map(GroupGuard::from)),
        }
    }

    /// Groups that a tree may have at most, by the length of its node; one where that cannot be read, which
    /// then says why.
    pub fn group_count_max(&self, root: &Root, tree: TreeId) -> u64 {
        let Some(tree) = root.tree(tree) else { return 0 };
        self.chunks(tree).map_or(1, |chunks| (chunks.len() * CHUNK_GROUPS) as u64)
    }

    /// The chunks of a tree, read from its node at first use.
    #[inline]
    fn chunks<'t>(&self, tree: &'t Tree) -> Result<&'t Slots<Chunk>> {
        match tree.chunks.get() {
            Some(chunks) => Ok(chunks),
            None => self.load_chunks(tree),
        }
    }

    #[cold]
    fn load_chunks<'t>(&self, tree: &'t Tree) -> Result<&'t Slots<Chunk>> {
        let node = tree.node.lock().clone();
        let refs = match &node {
            None => Vec::new(),
            Some(stored) => {
                let payload = stored.payload(Kind::Node, &table_address(tree.id, 0, TREE_LEVEL))?;
                node::decode_refs(&payload, usize::MAX)
                    .map_err(|e| stored.segment.placed(stored.image.offset(), &e))?
            }
        };
        let stored = self.resolve_all(refs)?;
        Ok(tree.chunks.get_or_init(|| Slots::new(stored.into_iter())))
    }

    fn resolve_all(&self, refs: Vec<Option<ImageRef>>) -> Result<Vec<Option<StoredImage>>> {
        refs.into_iter().map(|image| image.map(|image| self.resolve(image)).transpose()).collect()
    }

    #[cold]
    fn load_chunk(
        &self,
        tree: &Tree,
        slot: &Slot<'_, Chunk>,
        chunk_index: usize,
    ) -> Result<Option<Shared<Chunk>>> {
        slot.load_with(|stored| self.read_chunk(tree.id, chunk_index, stored).map(Shared::new))
    }

    fn read_chunk(&self, tree: TreeId, chunk_index: usize, stored: &StoredImage) -> Result<Chunk> {
        self.nodes_read.fetch_add(1, Relaxed);
        let payload = stored.payload(Kind::Node, &table_address(tree, chunk_index as u64, CHUNK_LEVEL))?;
        let refs = node::decode_refs(&payload, CHUNK_GROUPS)
            .map_err(|error| stored.segment.placed(stored.image.offset(), &error))?;
        Ok(Chunk::of(0, self.resolve_all(refs)?))
    }

    #[cold]
    fn load_group(&self, tree: &Tree, slot: &Slot<'_, Group>, number: u64) -> Result<Option<Shared<Group>>> {
        slot.load_with(|stored| {
            let state = self.read_group(tree.id, number, stored)?;
            // Epoch 0 is below every writer's: the first change copies the group and lists it as dirty.
            Ok(Shared::new(Group { tree: tree.id, number, epoch: 0, state: RwLock::new(state) }))
        })
    }

    fn read_group(&self, tree: TreeId, number: u64, stored: &StoredImage) -> Result<GroupState> {
        let payload = stored.payload(Kind::Node, &table_address(tree, number, GROUP_LEVEL))?;
        let pages =
            node::decode_group(&payload).map_err(|e| stored.segment.placed(stored.image.offset(), &e))?;
        let segments = self.segments.load();
        let mut resolved = Vec::with_capacity(pages.len());
        for (column, page) in pages {
            let find = |image: Option<ImageRef>| -> Result<Option<Arc<Segment>>> {
                image.map(|image| resolve(&segments, image).map(|stored| stored.segment)).transpose()
            };
            resolved.push((column, page, [find(page.base)?, find(page.delta)?]));
        }
        Ok(GroupState::load(tree, number, resolved, &self.memory))
    }

    /// The tree `id`, ready to be changed; made if there is none.
    pub fn tree_mut(&self, writer: &Writer, id: TreeId) -> Result<Arc<Tree>> {
        let root = self.live.load();
        if let Some(tree) = root.tree(id)
            && tree.epoch == writer.epoch
        {
            return Ok(tree.clone());
        }
        let tree = match root.tree(id) {
            Some(tree) => Arc::new(tree.copy(writer.epoch, self.chunks(tree)?.clone())),
            None => Arc::new(Tree::new(id, writer.epoch, None, [0; 4])),
        };
        self.put_tree(writer, &tree);
        Ok(tree)
    }

    /// Makes `tree` the live one of its id.
    fn put_tree(&self, writer: &Writer, tree: &Arc<Tree>) {
        let mut trees = self.live.load().trees.clone();
        match trees.binary_search_by_key(&tree.id, |(id, _)| *id) {
            Ok(index) => trees[index].1 = tree.clone(),
            Err(index) => trees.insert(index, (tree.id, tree.clone())),
        }
        self.live.store(Arc::new(Root { epoch: writer.epoch, trees }));
        self.note_root();
    }

    /// The group `number` of `tree`, ready to be changed and on the dirty list; made if there is none.
    ///
    /// # Errors
    /// `Corrupt` when the page table on the way to it is damaged. After [`PageStore::group`] found it,
    /// or found none, under the same writer lock, this does not fail.
    #[inline]
    pub fn group_mut(&self, writer: &mut Writer, tree: TreeId, number: u64) -> Result<GroupGuard> {
        if let Some(group) = writer.expected.take()
            && (group.tree, group.number, group.epoch) == (tree, number, writer.epoch)
        {
            return Ok(group);
        }
        let (chunk_index, index) = place(number);
        let root = self.live.load();
        if let Some(tree) = root.tree(tree)
            && tree.epoch == writer.epoch
            && let Some(chunks) = tree.chunks.get()
            && let Some(slot) = chunks.get(chunk_index)
            && let Some(chunk) = slot.loaded().as_ref()
            && chunk.epoch == writer.epoch
            && let Some(group) = GroupGuard::new(chunk.slot(index).loaded())
            && group.epoch == writer.epoch
        {
            return Ok(group);
        }
        drop(root);
        self.group_mut_cold(writer, tree, number)
    }

    #[cold]
    fn group_mut_cold(&self, writer: &mut Writer, id: TreeId, number: u64) -> Result<GroupGuard> {
        let (chunk_index, index) = place(number);
        let mut tree = self.tree_mut(writer, id)?;
        let chunks = self.chunks(&tree)?;
        if chunk_index > chunks.len() {
            // Groups and buckets come one behind the other; a checksum does not make any other number right.
            return Err(Error::corrupt("", 0, format!("tree {id} has no groups as far as number {number}")));
        }
        if chunk_index == chunks.len() {
            tree = Arc::new(tree.grown(chunks.grown(chunk_index + 1)));
            self.put_tree(writer, &tree);
        }
        let slot = self.chunks(&tree)?.get(chunk_index).expect("grown on the lines above");
        let loaded = slot.loaded().clone();
        let chunk = match loaded {
            Some(chunk) => Some(chunk),
            None => self.load_chunk(&tree, &slot, chunk_index)?,
        };
        let chunk = match chunk {
            Some(chunk) if chunk.epoch == writer.epoch => chunk,
            Some(chunk) => {
                let copy = Shared::new(Chunk { epoch: writer.epoch, groups: chunk.groups.clone() });
                slot.set_loaded(Some(copy.clone()));
                copy
            }
            None => {
                let made = Shared::new(Chunk::empty(writer.epoch));
                slot.set_loaded(Some(made.clone()));
                made
            }
        };
        let state = match self.group_in(&tree, &chunk, number, index)? {
            Some(group) if group.epoch == writer.epoch => {
                self.list(writer, &group);
                return Ok(group);
            }
            Some(group) => {
                let mut state = group.state.write().share();
                // A snapshot counts nothing twice: what is dirty for the next checkpoint is so already.
                if state.listed != writer.round {
                    state.restart_count();
                }
                state
            }
            None => GroupState::empty(id, number, &self.memory),
        };
        let group = Shared::new(Group { tree: id, number, epoch: writer.epoch, state: RwLock::new(state) });
        chunk.slot(index).set_loaded(Some(group.clone()));
        self.list(writer, &group);
        Ok(GroupGuard::from(group))
    }

    /// Puts a group on the list of what the next checkpoint looks at. A group of the current epoch is
    /// on it already: an epoch begins with every checkpoint.
    fn list(&self, writer: &mut Writer, group: &Group) {
        let mut state = group.state.write();
        if state.listed != writer.round {
            state.listed = writer.round;
            writer.dirty.push((group.tree, group.number));
        }
    }
}

/// Chunk and place in it.
#[inline]
fn place(number: u64) -> (usize, usize) {
    ((number / CHUNK_GROUPS as u64) as usize, (number % CHUNK_GROUPS as u64) as usize)
}

/// Levels of the page table, as the column of a node's image says them.
const GROUP_LEVEL: u32 = 0;
const CHUNK_LEVEL: u32 = 1;
const TREE_LEVEL: u32 = 2;
const ROOT_LEVEL: u32 = 3;

/// The address that a table node's image carries: its tree, its number on its level, its level.
fn table_address(tree: TreeId, number: u64, level: u32) -> Address {
    Address { tree, number, column: level }
}

fn resolve(segments: &BTreeMap<SegmentId, Arc<Segment>>, image: ImageRef) -> Result<StoredImage> {
    match segments.get(&image.segment) {
        Some(segment) => Ok(StoredImage { image, segment: segment.clone() }),
        None => Err(Error::corrupt(
            segment::file_name(image.segment),
            image.offset(),
            "the page table names a segment that the root does not list",
        )),
    }
}

/// Reads a root image and maps every segment that it lists.
fn read_root(
    disk: &dyn Disk,
    store_id: [u8; 16],
    root_image: ImageRef,
    cache: Option<&Arc<Cache>>,
) -> Result<(RootNode, BTreeMap<SegmentId, Arc<Segment>>)> {
    let node = read_root_node(disk, store_id, root_image, cache)?;
    let mut segments = BTreeMap::new();
    for entry in &node.segments {
        segments.insert(entry.id, Segment::open(disk, entry, store_id, cache)?);
    }
    Ok((node, segments))
}

/// Reads a root image alone.
fn read_root_node(
    disk: &dyn Disk,
    store_id: [u8; 16],
    root_image: ImageRef,
    cache: Option<&Arc<Cache>>,
) -> Result<RootNode> {
    // The root's own segment is listed only inside it, so its length is taken from the file here and
    // compared with the list by those who open what it lists.
    let file_len = disk.open(&segment::file_name(root_image.segment), vellum_disk::Access::Read)?.len()?;
    let entry = SegmentEntry { id: root_image.segment, len: file_len, live_len: 0 };
    let stored = StoredImage { image: root_image, segment: Segment::open(disk, &entry, store_id, cache)? };
    let payload = stored.payload(Kind::Root, &table_address(TreeId(0), 0, ROOT_LEVEL))?;
    let node = node::decode_root(&payload).map_err(|e| stored.segment.placed(root_image.offset(), &e))?;
    if !node.segments.iter().any(|entry| entry.id == root_image.segment) {
        let reason = "the root does not list the segment that it lies in";
        return Err(Error::corrupt(stored.segment.name.clone(), root_image.offset(), reason));
    }
    Ok(node)
}

/// Segments that a root names, without opening anything but its own; for deciding what may go.
pub fn segments_of(
    disk: &dyn Disk,
    store_id: [u8; 16],
    root: Option<ImageRef>,
    cache: Option<&Arc<Cache>>,
) -> Result<Vec<SegmentEntry>> {
    let Some(root) = root else { return Ok(Vec::new()) };
    Ok(read_root_node(disk, store_id, root, cache)?.segments)
}

/// An id behind everything that lies in the directory, so that no file of a failed checkpoint is met.
fn next_free_segment(disk: &dyn Disk, named: u32) -> Result<u32> {
    let highest = disk.list()?.iter().filter_map(|name| segment::id_of(name)).map(|id| id.0).max();
    Ok(named.max(highest.map_or(1, |id| id.saturating_add(1))))
}

/// Removes segment files that neither superblock copy names (crash rules 2 and 7 of a dead checkpoint).
pub fn remove_unnamed(disk: &dyn Disk, newer: &[SegmentEntry], older: &[SegmentEntry]) -> Result<()> {
    let is_named = |id| newer.iter().chain(older).any(|entry| entry.id == id);
    for name in disk.list()? {
        if segment::id_of(&name).is_some_and(|id| !is_named(id)) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// An error met while reading a row, saying which.
#[cold]
pub fn about_row(tree: TreeId, row: crate::id::RowId, error: &Error) -> Error {
    about(&Address { tree, number: row.group(), column: 0 }, error)
}
