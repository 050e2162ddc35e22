//! Compaction as policy: which segments a checkpoint empties. [`super::evacuate`] finds what of them is live.

use super::node::SegmentEntry;
use super::segment::HEADER_LEN;
use crate::id::{SegmentId, TreeId};
use std::collections::{BTreeMap, BTreeSet};

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
