//! Checkpoint and compaction: changed pages become images, then table nodes, then a root.
//!
//! ```text
//! freeze      under the writer lock: clone the root, take the dirty list         O(1)
//! write       no lock: images of dirty pages and of live pages in victim segments,
//!             their group nodes, chunk nodes, tree nodes, the root; all synced
//! (the store makes the log durable up to the frozen lsn and flips the superblock)
//! install     under the writer lock, a few groups at a time: pages learn where they lie
//! ```
//!
//! An image is byte for byte the page at the frozen state: imaging moves nothing inside a page
//! (crash rule 7). Compaction is part of a checkpoint: live images of victims are written as if they
//! were dirty, and one flip serves both.

use super::compact::{Compaction, Touched, choose_victims};
use super::node::{self, CHUNK_GROUPS, ImageRef, RootNode, RootTree, SegmentEntry, Stored};
use super::page::Imaging;
use super::segment::{self, Segment, SegmentWriter, file_name};
use super::tree::{Chunk, Group, Root, Tree};
use super::{
    CHUNK_LEVEL, GROUP_LEVEL, PageStore, ROOT_LEVEL, TREE_LEVEL, View, Writer, place, table_address,
};
use crate::id::{Address, GROUP_ROWS, Lsn, SegmentId, TreeId};
use crate::page::Columns;
use crate::page::image::{self, ImageHead, Kind};
use crate::planted::planted;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vellum_bytes::{Error, Result};
use vellum_memory::Shared;

/// Room for table nodes, checksums and the root of a checkpoint, beside a quarter of what is dirty.
const MARGIN_LEN: u64 = 512 << 10;

/// A frozen state and what is dirty in it.
#[derive(Debug)]
pub struct Frozen {
    pub view: View,
    dirty: Vec<(TreeId, u64)>,
}

/// What one checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Newest commit in it.
    pub lsn: Lsn,
    /// Row groups and buckets that it wrote.
    pub group_count: u64,
    /// Bytes that it wrote to segments.
    pub written_len: u64,
    /// Segments that it emptied.
    pub freed_segment_count: u64,
}

/// A checkpoint whose images are durable and which no superblock names yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// The new root.
    pub root: ImageRef,
    /// What was written and freed.
    pub report: CheckpointReport,
    entries: BTreeMap<SegmentId, SegmentEntry>,
    next_segment: u32,
    freed: Vec<SegmentEntry>,
    groups: Vec<GroupDone>,
    /// Frozen groups whose live ones know their places: freeing them takes longer than installing them.
    spent: Vec<Shared<Group>>,
    chunks: Vec<(TreeId, usize, ImageRef)>,
    trees: Vec<(TreeId, ImageRef)>,
}

impl Checkpoint {
    /// Frees what [`PageStore::install`] is done with; nobody should wait for this.
    pub fn drop_spent(&mut self) {
        self.spent.clear();
    }
}

#[derive(Debug)]
struct GroupDone {
    group: Shared<Group>,
    pages: Vec<(u32, Stored)>,
    node: Option<ImageRef>,
}

impl PageStore {
    /// Freezes the live state for a checkpoint.
    pub fn freeze(&self, writer: &mut Writer) -> Frozen {
        writer.round += 1;
        self.memory.start_checkpoint();
        Frozen { dirty: std::mem::take(&mut writer.dirty), view: self.snapshot(writer) }
    }

    /// Gives back what a failed checkpoint had taken.
    pub fn thaw(&self, writer: &mut Writer, frozen: Frozen) {
        writer.dirty.extend(frozen.dirty);
        self.memory.end_checkpoint(false);
    }

    /// Writes and syncs all images of the frozen state that are not on disk yet.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `Corrupt`: the new files are removed, the store is as it was.
    pub fn write_checkpoint(
        &self,
        frozen: &Frozen,
        lsn: Lsn,
        commit_time: i64,
        compaction: Compaction,
    ) -> Result<Checkpoint> {
        // A disk that does not say how much is free says so when it is written to.
        let segment_len = segment::len_max(self.disk.free_len().unwrap_or(u64::MAX));
        let (next_segment, victims) = {
            let table = self.table.lock();
            let room = self.room_for_victims();
            (table.next_segment, choose_victims(&table.entries, compaction, room, segment_len))
        };
        let writer = SegmentWriter::new(self.disk.clone(), self.store_id, next_segment, segment_len);
        let mut run = Run::new(self, &frozen.view.root, lsn, writer, &victims);
        let root = run.write_all(&frozen.dirty, commit_time);
        match root.and_then(|root| run.writer.finish().map(|()| root)) {
            Ok(root) => Ok(run.finish(root)),
            Err(error) => {
                run.writer.abandon();
                Err(error)
            }
        }
    }

    /// Bytes that compaction may write: what the disk has beyond the images of all that is dirty. A disk
    /// that does not say is taken at its word when it is written to.
    fn room_for_victims(&self) -> u64 {
        let dirty = self.memory.images_len_max();
        self.disk.free_len().map_or(u64::MAX, |free| free.saturating_sub(dirty + dirty / 4 + MARGIN_LEN))
    }

    /// Bytes of segments that nothing names any more.
    pub fn dead_len(&self) -> u64 {
        let table = self.table.lock();
        table.entries.values().map(|entry| entry.len.saturating_sub(entry.live_len)).sum()
    }

    /// Maps the new segments; before any superblock names them, so that a failure leaves no trace.
    ///
    /// # Errors
    /// `Io`, `Corrupt`: the new files are removed.
    pub fn map_new(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut segments = BTreeMap::clone(&self.segments.load());
        for entry in checkpoint.entries.values() {
            if let std::collections::btree_map::Entry::Vacant(vacant) = segments.entry(entry.id) {
                let opened = Segment::open(&*self.disk, entry, self.store_id, self.cache());
                vacant.insert(opened.inspect_err(|_| self.discard(checkpoint))?);
            }
        }
        self.segments.store(Arc::new(segments));
        Ok(())
    }

    /// Removes the segments of a checkpoint that no superblock names.
    pub fn discard(&self, checkpoint: &Checkpoint) {
        let known = self.table.lock().entries.clone();
        for entry in checkpoint.entries.values().filter(|entry| !known.contains_key(&entry.id)) {
            if let Err(error) = self.disk.remove(&file_name(entry.id)) {
                tracing::warn!(%error, "a segment of a failed checkpoint stays behind");
            }
        }
    }

    /// Removes what a failed checkpoint could not remove: numbers that no root has used yet. A store that
    /// says it is closed has no such file.
    ///
    /// # Errors
    /// What the disk said.
    pub fn remove_abandoned(&self) -> Result<()> {
        let next = self.table.lock().next_segment;
        for name in self.disk.list()? {
            if segment::id_of(&name).is_some_and(|id| id.0 >= next) {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The superblock names the checkpoint: its table is the newest. Unlinks what only the checkpoint
    /// before the last one named (crash rule 2); what cannot be unlinked goes with the next open.
    pub fn adopt(&self, checkpoint: &Checkpoint) {
        let unlink = {
            let mut table = self.table.lock();
            table.entries = checkpoint.entries.clone();
            table.next_segment = checkpoint.next_segment;
            table.root = Some(checkpoint.root);
            let last = std::mem::replace(&mut table.freed, checkpoint.freed.clone());
            if planted("early_unlink") { checkpoint.freed.clone() } else { last }
        };
        let epoch = self.live().epoch;
        self.retired.lock().extend(unlink.iter().map(|entry| (epoch, entry.id)));
        for entry in &unlink {
            if let Err(error) = self.disk.remove(&file_name(entry.id)) {
                tracing::warn!(%error, "an empty segment stays behind");
            }
        }
    }

    /// Tells the live pages where they lie now, `batch` groups at a time; true when all know. The
    /// caller holds the writer lock, so that no group is copied meanwhile.
    pub fn install(&self, writer: &mut Writer, checkpoint: &mut Checkpoint, batch: usize) -> Result<bool> {
        writer.clear_hint();
        let live = self.live();
        let rest = checkpoint.groups.len().saturating_sub(batch);
        for done in checkpoint.groups.drain(rest..) {
            checkpoint.spent.push(done.group.clone());
            self.install_group(&live, done)?;
        }
        if !checkpoint.groups.is_empty() {
            return Ok(false);
        }
        for (tree, index, image) in checkpoint.chunks.drain(..) {
            if let Some(tree) = live.tree(tree)
                && let Some(slot) = self.chunks(tree)?.get(index)
            {
                slot.set_stored(Some(self.resolve(image)?));
            }
        }
        for (tree, image) in checkpoint.trees.drain(..) {
            if let Some(tree) = live.tree(tree) {
                *tree.node.lock() = Some(self.resolve(image)?);
            }
        }
        self.memory.end_checkpoint(true);
        Ok(true)
    }

    fn install_group(&self, live: &Root, done: GroupDone) -> Result<()> {
        let (chunk_index, index) = place(done.group.number);
        let Some(tree) = live.tree(done.group.tree) else { return Ok(()) };
        let chunks = self.chunks(tree)?;
        let Some(chunk) = chunks.get(chunk_index).and_then(|slot| slot.loaded().clone()) else {
            return Ok(());
        };
        let slot = chunk.slot(index);
        slot.set_stored(done.node.map(|image| self.resolve(image)).transpose()?);
        let Some(group) = slot.loaded().clone() else { return Ok(()) };
        let keep = self.memory.held() <= self.keep_len + self.memory.dirtied_since_checkpoint();
        let same = Shared::is(&group, &done.group);
        let segments = self.segments.load();
        let find = |image: &ImageRef| segments.get(&image.segment).cloned();
        let frozen = if same { None } else { Some(done.group.state.read()) };
        let mut state = group.state.write();
        let mut dropped = Vec::new();
        for (column, stored) in done.pages {
            let address = state.address(column);
            if state.page(column).is_none() {
                dropped.push((column, stored));
                continue;
            }
            let frozen = frozen.as_ref().and_then(|frozen| frozen.page(column));
            state.page_mut(column).install(stored, &find, address, frozen, keep);
        }
        state.dropped = dropped;
        let evict = !keep && !state.is_dirty() && done.node.is_some();
        drop(state);
        if evict {
            slot.set_loaded(None);
        }
        Ok(())
    }
}

/// One checkpoint being written.
pub(super) struct Run<'a> {
    pub(super) store: &'a PageStore,
    pub(super) root: &'a Root,
    lsn: Lsn,
    pub(super) writer: SegmentWriter,
    pub(super) victims: &'a BTreeSet<SegmentId>,
    store_tag: u32,
    groups: Vec<GroupDone>,
    chunks: Vec<(TreeId, usize, ImageRef)>,
    trees: Vec<(TreeId, ImageRef)>,
    /// Change of live bytes, by segment.
    live: BTreeMap<SegmentId, i64>,
    final_entries: BTreeMap<SegmentId, SegmentEntry>,
}

impl<'a> Run<'a> {
    fn new(
        store: &'a PageStore,
        root: &'a Root,
        lsn: Lsn,
        writer: SegmentWriter,
        victims: &'a BTreeSet<SegmentId>,
    ) -> Run<'a> {
        Run {
            store,
            root,
            lsn,
            writer,
            victims,
            store_tag: store_tag(&store.store_id),
            groups: Vec::new(),
            chunks: Vec::new(),
            trees: Vec::new(),
            live: BTreeMap::new(),
            final_entries: BTreeMap::new(),
        }
    }

    fn write_all(&mut self, dirty: &[(TreeId, u64)], commit_time: i64) -> Result<ImageRef> {
        let mut touched = Touched { groups: dirty.iter().copied().collect(), ..Touched::default() };
        for victim in self.victims {
            self.find_live(*victim, &mut touched)?;
        }
        for (tree, number) in &touched.groups {
            touched.chunks.insert((*tree, place(*number).0));
            self.write_group(*tree, *number)?;
        }
        let mut nodes: BTreeMap<(TreeId, usize), ImageRef> = BTreeMap::new();
        for (tree, index) in &touched.chunks {
            touched.trees.insert(*tree);
            if let Some(image) = self.write_chunk(*tree, *index)? {
                nodes.insert((*tree, *index), image);
            }
        }
        for tree in &touched.trees {
            self.write_tree(*tree, &nodes)?;
        }
        self.chunks = nodes.into_iter().map(|((tree, index), image)| (tree, index, image)).collect();
        self.write_root(commit_time)
    }

    fn put_node(&mut self, kind: Kind, address: Address, payload: &[u8]) -> Result<ImageRef> {
        self.writer.settle()?;
        Ok(self.put(kind, address, payload))
    }

    fn put(&mut self, kind: Kind, address: Address, payload: &[u8]) -> ImageRef {
        let head = ImageHead {
            kind,
            address,
            lsn: self.lsn,
            rows: GROUP_ROWS,
            payload_len: payload.len() as u32,
            store_tag: self.store_tag,
        };
        let image = self.writer.put(&head, payload);
        self.gains(image);
        image
    }

    pub(super) fn gains(&mut self, image: ImageRef) {
        *self.live.entry(image.segment).or_default() += image.image_len() as i64;
    }

    pub(super) fn loses(&mut self, image: Option<ImageRef>) {
        if let Some(image) = image {
            *self.live.entry(image.segment).or_default() -= image.image_len() as i64;
        }
    }

    pub(super) fn chunk_of(&self, tree: &Tree, index: usize) -> Result<Option<Shared<Chunk>>> {
        let chunks = self.store.chunks(tree)?;
        let Some(slot) = chunks.get(index) else { return Ok(None) };
        match slot.loaded().clone() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.store.load_chunk(tree, &slot, index),
        }
    }

    pub(super) fn group_node(&self, tree: TreeId, number: u64) -> Result<Option<ImageRef>> {
        let Some(tree) = self.root.tree(tree) else { return Ok(None) };
        let (chunk_index, index) = place(number);
        let chunk = self.chunk_of(tree, chunk_index)?;
        Ok(chunk.and_then(|chunk| chunk.slot(index).stored()).map(|stored| stored.image))
    }

    pub(super) fn chunk_node(&self, tree: TreeId, index: usize) -> Result<Option<ImageRef>> {
        let Some(tree) = self.root.tree(tree) else { return Ok(None) };
        let chunks = self.store.chunks(tree)?;
        Ok(chunks.get(index).and_then(|slot| slot.stored()).map(|stored| stored.image))
    }

    fn write_group(&mut self, tree: TreeId, number: u64) -> Result<()> {
        let Some(group) = self.store.group(self.root, tree, number)? else { return Ok(()) };
        let mut pages = Vec::new();
        self.writer.settle()?;
        {
            // No call of the disk under the latch: a writer that copies the group waits for it.
            let state = group.state.read();
            let mut by_column: Vec<_> = state.iter().collect();
            by_column.sort_unstable_by_key(|(column, _)| *column);
            for (column, page) in by_column {
                let address = state.address(column);
                let mut stored = *page.stored();
                if page.is_dirty() && !page.is_lost() {
                    stored = self.write_page(address, page.imaging(&address)?, stored);
                }
                pages.push((column, stored));
            }
            for (_, dropped) in &state.dropped {
                self.loses(dropped.base);
                self.loses(dropped.delta);
            }
        }
        for (_, stored) in &mut pages {
            stored.base = stored.base.map(|image| self.moved(image)).transpose()?;
            stored.delta = stored.delta.map(|image| self.moved(image)).transpose()?;
        }
        let old = self.group_node(tree, number)?;
        self.loses(old);
        let node = match pages.is_empty() {
            true => None,
            false => Some(self.put_node(
                Kind::Node,
                table_address(tree, number, GROUP_LEVEL),
                &node::encode_group(&pages),
            )?),
        };
        self.groups.push(GroupDone { group: group.to_arc(), pages, node });
        Ok(())
    }

    fn write_page(&mut self, address: Address, imaging: Imaging, old: Stored) -> Stored {
        match imaging {
            Imaging::Nothing => old,
            Imaging::Full(bytes) => {
                let base = self.put(Kind::Page, address, &bytes);
                self.loses(old.base);
                self.loses(old.delta);
                Stored { base: Some(base), delta: None, delta_written: 0 }
            }
            Imaging::Delta(delta) => {
                let image = self.put(Kind::Delta, address, &delta);
                self.loses(old.delta);
                let delta_written = old.delta_written + image.image_len();
                Stored { base: old.base, delta: Some(image), delta_written }
            }
        }
    }

    fn write_chunk(&mut self, tree: TreeId, index: usize) -> Result<Option<ImageRef>> {
        let Some(node) = self.root.tree(tree) else { return Ok(None) };
        let Some(chunk) = self.chunk_of(node, index)? else { return Ok(None) };
        let mut refs: Vec<Option<ImageRef>> =
            chunk.groups.iter().map(|slot| slot.stored().map(|stored| stored.image)).collect();
        let start = (tree, (index * CHUNK_GROUPS) as u64);
        let first = self.groups.partition_point(|done| (done.group.tree, done.group.number) < start);
        for done in &self.groups[first..] {
            let (chunk_index, place) = place(done.group.number);
            if (done.group.tree, chunk_index) != (tree, index) {
                break;
            }
            refs[place] = done.node;
        }
        let used = refs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        refs.truncate(used);
        let old = self.chunk_node(tree, index)?;
        self.loses(old);
        self.put_node(Kind::Node, table_address(tree, index as u64, CHUNK_LEVEL), &node::encode_refs(&refs))
            .map(Some)
    }

    fn write_tree(&mut self, id: TreeId, nodes: &BTreeMap<(TreeId, usize), ImageRef>) -> Result<()> {
        let Some(tree) = self.root.tree(id) else { return Ok(()) };
        let chunks = self.store.chunks(tree)?;
        let refs: Vec<Option<ImageRef>> = chunks
            .iter()
            .enumerate()
            .map(|(index, slot)| nodes.get(&(id, index)).copied().or_else(|| slot.stored().map(|s| s.image)))
            .collect();
        let old = tree.node.lock().as_ref().map(|stored| stored.image);
        self.loses(old);
        let image = self.put_node(Kind::Node, table_address(id, 0, TREE_LEVEL), &node::encode_refs(&refs))?;
        self.trees.push((id, image));
        Ok(())
    }

    /// The root lists the segment that it lies in, with the length that the file has behind it.
    fn write_root(&mut self, commit_time: i64) -> Result<ImageRef> {
        let written: BTreeMap<TreeId, ImageRef> = self.trees.iter().copied().collect();
        let trees = self.root.trees.iter().map(|(id, tree)| RootTree {
            id: *id,
            node: written.get(id).copied().or_else(|| tree.node.lock().as_ref().map(|stored| stored.image)),
            meta: tree.metas(),
        });
        let (mut entries, old_root) = {
            let table = self.store.table.lock();
            (table.entries.clone(), table.root)
        };
        self.loses(old_root);
        let mut root =
            RootNode { commit_time, trees: trees.collect(), segments: Vec::new(), next_segment: 0 };
        self.writer.settle()?;
        let (segment, offset) = self.writer.next_place();
        for entry in self.writer.entries() {
            entries.insert(entry.id, entry);
        }
        for (id, change) in &self.live {
            let entry = entries.entry(*id).or_insert(SegmentEntry { id: *id, len: 0, live_len: 0 });
            entry.live_len = entry.live_len.saturating_add_signed(*change);
        }
        entries.retain(|id, entry| *id == segment || entry.live_len > 0);
        root.next_segment = self.writer.next_id();
        root.segments = entries.values().copied().collect();
        let image_len = image::image_len(node::encode_root(&root).len()) as u64;
        let own = entries.get_mut(&segment).expect("the writer listed its open segment above");
        own.len = offset + image_len;
        own.live_len += image_len;
        root.segments = entries.values().copied().collect();
        self.final_entries = entries;
        let image = self.put(Kind::Root, table_address(TreeId(0), 0, ROOT_LEVEL), &node::encode_root(&root));
        if image.segment != segment || image.offset() != offset {
            return Err(Error::corrupt(file_name(segment), offset, "the root went elsewhere than planned"));
        }
        Ok(image)
    }

    fn finish(self, root: ImageRef) -> Checkpoint {
        let written_len = self.writer.written_len();
        let before = self.store.table.lock().entries.clone();
        let next_segment = self.writer.next_id();
        let entries = self.final_entries;
        let freed: Vec<SegmentEntry> =
            before.values().filter(|entry| !entries.contains_key(&entry.id)).copied().collect();
        let report = CheckpointReport {
            lsn: self.lsn,
            group_count: self.groups.len() as u64,
            written_len,
            freed_segment_count: freed.len() as u64,
        };
        Checkpoint {
            root,
            report,
            entries,
            next_segment,
            freed,
            groups: self.groups,
            spent: Vec::new(),
            chunks: self.chunks,
            trees: self.trees,
        }
    }
}

/// The tag that tells this store's images from another's.
pub fn store_tag(store_id: &[u8; 16]) -> u32 {
    vellum_bytes::crc32(store_id)
}
