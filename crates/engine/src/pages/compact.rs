//! Compaction: which segments to empty, and what of them is live. The images themselves move with the
//! checkpoint that empties them ([`super::checkpoint`]). A segment with a damaged image that is still
//! named is not emptied: the checkpoint takes place all the same, and the damage stays to be seen.

use super::checkpoint::Run;
use super::node::{ImageRef, SegmentEntry};
use super::segment::HEADER_LEN;
use super::{CHUNK_LEVEL, GROUP_LEVEL};
use crate::id::{Address, SegmentId, TreeId};
use crate::page::Columns;
use crate::page::image::{self, ImageHead, Kind};
use std::collections::{BTreeMap, BTreeSet};
use vellum_bytes::{Error, ErrorKind, Result};

/// Dead bytes may be this part of the live ones before a checkpoint compacts; with what waits to be
/// unlinked, space stays under twice the live data.
const DEAD_PART: f64 = 0.4;
/// Dead bytes below this are not worth a copy.
const DEAD_LEN_MIN: u64 = 4 << 20;
/// As many segments of one size class (factors of eight) are merged into one.
const CLASS_COUNT_MAX: usize = 8;

/// How hard to compact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compaction {
    /// Not at all: the disk is full.
    Nothing,
    /// As much as keeps the space bound.
    Bounded,
    /// Every segment that has anything dead.
    Full,
}

/// What a checkpoint has to write again, level by level.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) groups: BTreeSet<(TreeId, u64)>,
    pub(super) chunks: BTreeSet<(TreeId, usize)>,
    pub(super) trees: BTreeSet<TreeId>,
}

impl Run<'_> {
    /// A reference out of a victim's way. A damaged image stays where it is.
    pub(super) fn moved(&mut self, image: ImageRef) -> Result<ImageRef> {
        if !self.victims.contains(&image.segment) {
            return Ok(image);
        }
        let new = match self.store.resolve(image).and_then(|stored| self.writer.copy(&stored)) {
            Ok(new) => new,
            Err(error) => return stays(&error).map_or(Err(error), |()| Ok(image)),
        };
        self.loses(Some(image));
        self.gains(new);
        Ok(new)
    }

    /// Walks the images of a victim and notes what of it the page table still names. What lies behind a
    /// damaged head is not found, and stays.
    pub(super) fn find_live(&mut self, victim: SegmentId, touched: &mut Touched) -> Result<()> {
        let Some(segment) = self.store.segments.load().get(&victim).cloned() else { return Ok(()) };
        let mut offset = HEADER_LEN;
        while offset < segment.len() {
            let end = (offset + image::HEAD_LEN).min(segment.len());
            let parsed = segment.fetch(offset..end).and_then(|bytes| {
                image::parse_head(&bytes).map_err(|error| segment.placed(offset as u64, &error))
            });
            let (head, len) = match parsed {
                Ok(found) => found,
                Err(error) => return stays(&error).ok_or(error),
            };
            if let Err(error) = self.note_if_live(victim, offset as u64, &head, touched) {
                stays(&error).ok_or(error)?;
            }
            offset += len;
        }
        Ok(())
    }

    /// What is noted can be read: it is written again from memory.
    fn note_if_live(
        &self,
        victim: SegmentId,
        offset: u64,
        head: &ImageHead,
        touched: &mut Touched,
    ) -> Result<()> {
        let here =
            |image: Option<ImageRef>| image.is_some_and(|i| i.segment == victim && i.offset() == offset);
        let Address { tree, number, column } = head.address;
        match (head.kind, column) {
            (Kind::Page | Kind::Delta, _) => {
                if let Some(group) = self.store.group(self.root, tree, number)?
                    && let Some(page) = group.state.read().page(column)
                    && (here(page.stored().base) || here(page.stored().delta))
                {
                    touched.groups.insert((tree, number));
                }
            }
            (Kind::Node, GROUP_LEVEL) => {
                if here(self.group_node(tree, number)?)
                    && self.store.group(self.root, tree, number)?.is_some()
                {
                    touched.groups.insert((tree, number));
                }
            }
            (Kind::Node, CHUNK_LEVEL) => {
                if here(self.chunk_node(tree, number as usize)?)
                    && let Some(node) = self.root.tree(tree)
                    && self.chunk_of(node, number as usize)?.is_some()
                {
                    touched.chunks.insert((tree, number as usize));
                }
            }
            (Kind::Node, _) => {
                if let Some(node) = self.root.tree(tree)
                    && here(node.node.lock().as_ref().map(|stored| stored.image))
                {
                    self.store.chunks(node)?;
                    touched.trees.insert(tree);
                }
            }
            (Kind::Root, _) => {}
        }
        Ok(())
    }
}

/// Damage is no reason for a checkpoint to fail: what it keeps from moving stays, and keeps its segment.
/// `None` for other errors.
fn stays(error: &Error) -> Option<()> {
    if error.kind() != ErrorKind::Corrupt {
        return None;
    }
    tracing::warn!(%error, "compaction leaves a damaged image where it is");
    Some(())
}

/// Segments to empty: the sparsest, until the dead part is under its bound; and small ones of one size
/// class, once there are many. Their live images take at most `room` bytes: on a disk that is nearly full
/// the sparsest go first, and the next checkpoint has the room that they gave. Segments are closed at `segment_len`.
pub(super) fn choose_victims(
    entries: &BTreeMap<SegmentId, SegmentEntry>,
    compaction: Compaction,
    room: u64,
    segment_len: u64,
) -> BTreeSet<SegmentId> {
    let mut room = if compaction == Compaction::Nothing { 0 } else { room };
    let mut victims = BTreeSet::new();
    let mut take = |entry: &SegmentEntry| {
        let fits = entry.live_len <= room;
        if fits && victims.insert(entry.id) {
            room -= entry.live_len;
        }
        fits
    };
    let mut sparsest: Vec<&SegmentEntry> = entries.values().collect();
    sparsest.sort_by_key(|entry| (entry.live_len.saturating_mul(1 << 16) / entry.len.max(1), entry.id));
    if compaction == Compaction::Full {
        for entry in sparsest.iter().filter(|e| e.live_len + (HEADER_LEN as u64) < e.len) {
            take(entry);
        }
        return victims;
    }
    let live: u64 = entries.values().map(|entry| entry.live_len).sum();
    let mut dead: u64 = entries.values().map(|entry| entry.len - entry.live_len.min(entry.len)).sum();
    for entry in sparsest {
        if dead < DEAD_LEN_MIN || (dead as f64) < live as f64 * DEAD_PART {
            break;
        }
        if take(entry) {
            dead -= entry.len - entry.live_len.min(entry.len);
        }
    }
    let mut classes: BTreeMap<u32, Vec<&SegmentEntry>> = BTreeMap::new();
    // Those that have reached their size are not merged.
    for entry in entries.values().filter(|entry| entry.len < segment_len / 2) {
        classes.entry(entry.len.max(1).ilog2() / 3).or_default().push(entry);
    }
    for members in classes.into_values() {
        if members.len() > CLASS_COUNT_MAX {
            members.into_iter().for_each(|entry| {
                take(entry);
            });
        }
    }
    victims
}
