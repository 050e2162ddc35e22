//! The page table in memory: the shape of the one on disk, loaded as it is needed.
//!
//! ```text
//! Root (epoch) ─► Tree (epoch, meta) ─► Chunk of 256 groups (epoch) ─► Group (epoch, latch, pages)
//! ```
//!
//! A snapshot clones the root's `Arc` and raises the store's epoch. A node whose epoch is below the
//! store's is frozen: the writer copies it, and the path above it, before the first change. What a
//! reader loads lazily, or a checkpoint moves on disk, changes no content and may happen in a frozen
//! node too. Readers of the live tree take no lock above the group's latch.

use super::accounting::Memory;
use super::node::{CHUNK_GROUPS, Meta, Stored};
use super::page::Page;
use super::segment::{Segment, StoredImage};
use crate::id::{Address, TreeId};
use crate::page::Columns;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Guard, Mutex, RwLock, SharedSwap};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use vellum_bytes::Result;
use vellum_memory as cpu;
use vellum_memory::{Array, Shared};

/// The places of a node: what is on disk, and what of it is in memory. The two lie apart, so that a
/// look-up passes over eight bytes a place.
#[derive(Debug)]
pub struct Slots<T> {
    loaded: Array<SharedSwap<T>>,
    stored: Box<[Mutex<Option<Arc<StoredImage>>>]>,
}

impl<T> Slots<T> {
    /// Places whose content is on disk, where there is any.
    #[inline]
    pub fn new(stored: impl Iterator<Item = Option<StoredImage>>) -> Slots<T> {
        let stored: Box<[_]> = stored.map(|stored| Mutex::new(stored.map(Arc::new))).collect();
        Slots { loaded: stored.iter().map(|_| SharedSwap::new(None)).collect(), stored }
    }

    /// The same places, and empty ones behind them.
    pub fn grown(&self, len: usize) -> Slots<T> {
        let loaded = self.loaded.iter().map(|loaded| SharedSwap::new(loaded.load_full()));
        let stored = self.stored.iter().map(|stored| Mutex::new(stored.lock().clone()));
        let more = self.len()..len;
        Slots {
            loaded: loaded.chain(more.clone().map(|_| SharedSwap::new(None))).collect(),
            stored: stored.chain(more.map(|_| Mutex::new(None))).collect(),
        }
    }

    /// Places.
    #[inline]
    pub fn len(&self) -> usize {
        self.loaded.len()
    }

    /// One place.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Slot<'_, T>> {
        Some(Slot { loaded: self.loaded.get(index)?, stored: self.stored.get(index)? })
    }

    /// All places.
    pub fn iter(&self) -> impl Iterator<Item = Slot<'_, T>> {
        self.loaded.iter().zip(&self.stored).map(|(loaded, stored)| Slot { loaded, stored })
    }
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Slots<T> {
        self.grown(0)
    }
}

/// One place of a node.
#[derive(Debug)]
pub struct Slot<'s, T> {
    loaded: &'s SharedSwap<T>,
    stored: &'s Mutex<Option<Arc<StoredImage>>>,
}

impl<T> Slot<'_, T> {
    #[inline]
    pub fn loaded(&self) -> Guard<Option<Shared<T>>> {
        self.loaded.load()
    }

    pub fn stored(&self) -> Option<Arc<StoredImage>> {
        self.stored.lock().clone()
    }

    pub fn set_stored(&self, stored: Option<StoredImage>) {
        *self.stored.lock() = stored.map(Arc::new);
    }

    pub fn set_loaded(&self, loaded: Option<Shared<T>>) {
        self.loaded.store(loaded);
    }

    /// What is in memory, read with `read` if need be; `None` where nothing is stored either.
    ///
    /// A checkpoint may give the place another image, and forget what was in memory, while this reads:
    /// what was read from the old image then must not come to stand behind the new one, and an error
    /// that the old one gave says nothing. Both are told by the image and tried again.
    pub fn load_with(&self, read: impl Fn(&StoredImage) -> Result<Shared<T>>) -> Result<Option<Shared<T>>> {
        loop {
            if let Some(loaded) = self.loaded.load_full() {
                return Ok(Some(loaded));
            }
            let Some(stored) = self.stored() else { return Ok(self.loaded.load_full()) };
            let made = read(&stored);
            let now = self.stored.lock();
            if now.as_ref().map(|now| now.image) != Some(stored.image) {
                continue;
            }
            let made = made?;
            let before = self.loaded.compare_and_swap(&None::<Shared<T>>, Some(made.clone()));
            return Ok(Some(before.as_ref().map_or(made, Shared::clone)));
        }
    }
}

/// All trees at one state.
#[derive(Debug)]
pub struct Root {
    /// The epoch that this root belongs to.
    pub epoch: u64,
    /// Sorted by id; a tree stands here from its first use on.
    pub trees: Vec<(TreeId, Arc<Tree>)>,
}

impl Root {
    /// The tree with this id.
    #[inline]
    pub fn tree(&self, id: TreeId) -> Option<&Arc<Tree>> {
        // Tree ids are few and dense, so the place is near the id.
        let index = self.trees.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.trees[index].1)
    }
}

/// One tree.
#[derive(Debug)]
pub struct Tree {
    /// Its id.
    pub id: TreeId,
    /// The epoch in which it was last copied.
    pub epoch: u64,
    /// The tree node on disk; its chunk references are read at first use.
    pub node: Mutex<Option<StoredImage>>,
    /// Chunks; set once the node was read. A tree that gets more is made anew.
    pub chunks: OnceLock<Slots<Chunk>>,
    /// Shared with the tree that this one was made anew from in the same epoch.
    meta: Arc<[AtomicU64; 4]>,
}

impl Tree {
    /// A tree whose topmost node is `node`.
    #[inline]
    pub fn new(id: TreeId, epoch: u64, node: Option<StoredImage>, meta: Meta) -> Tree {
        Tree {
            id,
            epoch,
            node: Mutex::new(node),
            chunks: OnceLock::new(),
            meta: Arc::new(meta.map(AtomicU64::new)),
        }
    }

    /// Reads the four numbers. A writer changes them one by one: readers that need several at one
    /// state compare the apply sequence around their reads.
    #[inline]
    pub fn meta(&self, index: usize) -> u64 {
        self.meta[index].load(Relaxed)
    }

    /// Sets one meta word.
    #[inline]
    pub fn set_meta(&self, index: usize, value: u64) {
        self.meta[index].store(value, Relaxed);
    }

    /// All meta words.
    pub fn metas(&self) -> Meta {
        [self.meta(0), self.meta(1), self.meta(2), self.meta(3)]
    }

    /// The same tree for a new epoch: its numbers change apart from this one's.
    pub fn copy(&self, epoch: u64, chunks: Slots<Chunk>) -> Tree {
        let meta = Arc::new(self.metas().map(AtomicU64::new));
        Tree {
            id: self.id,
            epoch,
            node: Mutex::new(self.node.lock().clone()),
            chunks: OnceLock::from(chunks),
            meta,
        }
    }

    /// The same tree in the same epoch, with more chunks.
    pub fn grown(&self, chunks: Slots<Chunk>) -> Tree {
        Tree { meta: self.meta.clone(), ..self.copy(self.epoch, chunks) }
    }
}

/// A page as a group node names it: column, images, and the segments of base and delta.
pub type ResolvedPage = (u32, Stored, [Option<Arc<Segment>>; 2]);

/// 256 groups.
#[derive(Debug)]
pub struct Chunk {
    pub epoch: u64,
    pub groups: Slots<Group>,
}

impl Chunk {
    /// A chunk whose first groups are on disk.
    pub fn of(epoch: u64, mut stored: Vec<Option<StoredImage>>) -> Chunk {
        stored.resize(CHUNK_GROUPS, None);
        Chunk { epoch, groups: Slots::new(stored.into_iter()) }
    }

    /// The place of a group by its number within the chunk.
    #[inline]
    pub fn slot(&self, index: usize) -> Slot<'_, Group> {
        self.groups.get(index).expect("a place within a chunk")
    }

    pub fn empty(epoch: u64) -> Chunk {
        Chunk::of(epoch, Vec::new())
    }
}

/// A row group or a bucket: its pages behind one latch. In this order, one cache line has all that reading
/// its first page needs: header pages and buckets are met cold by nearly every look-up.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Group {
    /// The epoch in which it was last copied.
    pub epoch: u64,
    /// Its pages, under the latch.
    pub state: RwLock<GroupState>,
    /// Its tree.
    pub tree: TreeId,
    /// Its number in the tree.
    pub number: u64,
}

#[cfg(not(vellum_shuttle))]
const _: () = assert!(size_of::<u64>() + size_of::<RwLock<()>>() + super::page::READ_LEN <= 64);

/// A page that starts a cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Lined(Page);

/// A group that was found, borrowed: no reference count is touched.
#[derive(Debug)]
pub struct GroupGuard(Guard<Option<Shared<Group>>>);

impl GroupGuard {
    /// The group behind a slot, where there is one.
    #[inline]
    pub fn new(found: Guard<Option<Shared<Group>>>) -> Option<GroupGuard> {
        found.is_some().then(|| GroupGuard(found))
    }

    /// The same, for longer than a look: a thread can borrow eight at a time, and every one beyond costs several
    /// times as much as a count.
    #[inline]
    pub fn kept(self) -> GroupGuard {
        GroupGuard(Guard::from_inner(Guard::into_inner(self.0)))
    }

    /// A group to keep.
    #[inline]
    pub fn to_arc(&self) -> Shared<Group> {
        Shared::clone(self.get())
    }

    #[inline]
    fn get(&self) -> &Shared<Group> {
        self.0.as_ref().expect("a guard is made of a group that is there")
    }
}

impl Clone for GroupGuard {
    fn clone(&self) -> GroupGuard {
        GroupGuard::from(self.to_arc())
    }
}

impl From<Shared<Group>> for GroupGuard {
    fn from(group: Shared<Group>) -> GroupGuard {
        GroupGuard(Guard::from_inner(Some(group)))
    }
}

impl Deref for GroupGuard {
    type Target = Group;

    #[inline]
    fn deref(&self) -> &Group {
        self.get()
    }
}

/// The pages of a group, by column. Slot pages come before heap buffers, so that the page of attribute
/// column c is nearly always the c-th.
#[derive(Debug)]
#[repr(C)]
pub struct GroupState {
    /// Column 0: the header page, or a bucket.
    first: Option<Page>,
    /// Attribute columns, in the order of [`rank`].
    pages: Array<Lined>,
    /// The column of each of them: a search passes over four bytes a page, and not over a line of each.
    columns: Array<u32>,
    tree: TreeId,
    number: u64,
    /// Pages on disk that the group had at the last checkpoint and has no more.
    pub dropped: Vec<(u32, Stored)>,
    /// Checkpoint round in which the group was put on the dirty list.
    pub listed: u64,
    memory: Arc<Memory>,
}

/// What pages are ordered by.
#[inline]
fn rank(column: u32) -> (bool, u32) {
    (column & 0xffff != 0, column)
}

impl GroupState {
    /// A group without pages.
    pub fn empty(tree: TreeId, number: u64, memory: &Arc<Memory>) -> GroupState {
        GroupState {
            first: None,
            pages: Array::default(),
            columns: Array::default(),
            tree,
            number,
            dropped: Vec::new(),
            listed: 0,
            memory: memory.clone(),
        }
    }

    /// A group as its node names it.
    pub fn load(
        tree: TreeId,
        number: u64,
        mut stored: Vec<ResolvedPage>,
        memory: &Arc<Memory>,
    ) -> GroupState {
        let mut state = GroupState::empty(tree, number, memory);
        stored.sort_unstable_by_key(|(column, ..)| rank(*column));
        state.pages.reserve_exact(stored.len());
        state.columns.reserve_exact(stored.len());
        for (column, stored, [base, delta]) in stored {
            let address = Address { tree, number, column };
            let mut page = Page::stored_at(stored, base, delta, address, memory);
            match column {
                0 => {
                    page.take_delta();
                    state.first = Some(page);
                }
                _ => {
                    state.pages.push(Lined(page));
                    state.columns.push(column);
                }
            }
        }
        state
    }

    /// The same group for a frozen state and for a live one that goes on: this one is written no more.
    pub fn share(&mut self) -> GroupState {
        GroupState {
            first: self.first.as_mut().map(Page::share),
            pages: self.pages.iter_mut().map(|page| Lined(page.0.share())).collect(),
            columns: self.columns.clone(),
            dropped: self.dropped.clone(),
            memory: self.memory.clone(),
            ..*self
        }
    }

    /// Lets go of buffers that were not used of late, nor by the transaction `held`.
    pub fn evict(&mut self, held: u64) {
        self.first.iter_mut().for_each(|page| page.evict(held));
        self.pages.iter_mut().for_each(|page| page.0.evict(held));
    }

    /// Begins to count what is written to its pages anew, for the next checkpoint.
    pub fn restart_count(&mut self) {
        self.first.iter_mut().for_each(Page::restart_count);
        self.pages.iter_mut().for_each(|page| page.0.restart_count());
    }

    #[inline]
    fn index(&self, column: u32) -> std::result::Result<usize, usize> {
        let guess = (column >> 16).wrapping_sub(1) as usize;
        if self.columns.get(guess) == Some(&column) {
            return Ok(guess);
        }
        self.columns.binary_search_by_key(&rank(column), |column| rank(*column))
    }

    /// Asks for the lines of the own fields of an attribute's first page, without reading any.
    #[inline]
    pub fn ask_page(&self, column: u32) {
        if let Some(page) = self.pages.get((column >> 16).wrapping_sub(1) as usize) {
            cpu::prefetch_all(page);
        }
    }

    /// Asks for what a read of an attribute's first page needs of its own fields.
    #[inline]
    pub fn ask_front(&self, column: u32) {
        cpu::prefetch_at(&self.pages, (column >> 16).wrapping_sub(1) as usize);
    }

    /// Address of the page of a column.
    pub fn address(&self, column: u32) -> Address {
        Address { tree: self.tree, number: self.number, column }
    }

    /// The pages, slot pages first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Page)> {
        let attributes = self.pages.iter().map(|page| &page.0);
        self.first.iter().chain(attributes).map(|page| (page.column(), page))
    }

    /// Whether all of it is in memory: then nothing that reads or changes it can fail.
    #[inline]
    pub fn is_resident(&self) -> bool {
        self.iter().all(|(_, page)| page.is_resident())
    }

    /// Whether a page changed since the last checkpoint.
    pub fn is_dirty(&self) -> bool {
        !self.dropped.is_empty() || self.iter().any(|(_, page)| page.is_dirty())
    }
}

impl Columns for GroupState {
    type Page = Page;

    #[inline]
    fn page(&self, column: u32) -> Option<&Page> {
        match column {
            0 => self.first.as_ref(),
            _ => self.index(column).ok().and_then(|index| self.pages.get(index)).map(|page| &page.0),
        }
    }

    #[inline]
    fn page_mut(&mut self, column: u32) -> &mut Page {
        if column == 0 {
            return self.first.get_or_insert_with(|| Page::empty(0, &self.memory));
        }
        let index = match self.index(column) {
            Ok(index) => index,
            Err(index) => {
                self.pages.insert(index, Lined(Page::empty(column, &self.memory)));
                self.columns.insert(index, column);
                index
            }
        };
        &mut self.pages[index].0
    }

    fn remove(&mut self, column: u32) {
        let page = match (column, self.index(column)) {
            (0, _) => self.first.take(),
            (_, found) => found.ok().map(|index| {
                self.columns.remove(index);
                self.pages.remove(index).0
            }),
        };
        self.dropped.extend(page.map(|page| (column, *page.stored())));
    }

    fn last_in(&self, first: u32, last: u32) -> Option<u32> {
        let end = self.columns.partition_point(|column| rank(*column) <= rank(last));
        let highest = end.checked_sub(1).map(|index| self.columns[index]);
        highest.filter(|column| (first..=last).contains(column))
    }
}
