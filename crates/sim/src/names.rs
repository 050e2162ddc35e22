//! The directory: names as they are, as they are on the platter, and what was done in between.

use super::crash::Kept;
use crate::rng::Rng;
use std::collections::BTreeMap;

/// Names and the number of the file behind each.
pub(super) type Map = BTreeMap<String, usize>;

#[derive(Clone, Default)]
pub(super) struct Names {
    now: Map,
    durable: Map,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    /// The file systems meant here rename as a whole or not at all.
    Rename(String, String, usize),
}

impl Names {
    pub(super) fn now(&self) -> &Map {
        &self.now
    }

    /// Every file that has a name, or had one on the platter.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> {
        self.now.values().chain(self.durable.values()).copied()
    }

    pub(super) fn link(&mut self, name: &str, node: usize) {
        self.change(Change::Link(name.to_string(), node));
    }

    pub(super) fn unlink(&mut self, name: &str) {
        self.change(Change::Unlink(name.to_string()));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Option<usize> {
        let node = *self.now.get(from)?;
        self.change(Change::Rename(from.to_string(), to.to_string(), node));
        Some(node)
    }

    /// Links or unlinks at once on the platter too.
    pub(super) fn edit(&mut self, name: &str, node: Option<usize>) {
        for map in [&mut self.now, &mut self.durable] {
            match node {
                Some(node) => map.insert(name.to_string(), node),
                None => map.remove(name),
            };
        }
        self.pending.retain(|change| !change.is_about(name));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync failed: a part of the changes is on the platter. The others stay: where the device fails
    /// under a directory, file systems stop as a whole, so nothing is clean and lost.
    pub(super) fn sync_fails(&mut self, kept: Kept, rng: &mut Rng) {
        for change in self.pending.iter().take_while(|_| kept.roll(rng)) {
            change.apply(&mut self.durable);
        }
    }

    /// The names behind a power cut.
    pub(super) fn after_power_cut(&self, kept: Kept, reordered: bool, rng: &mut Rng) -> Map {
        let mut map = self.durable.clone();
        for change in &self.pending {
            match kept.roll(rng) {
                true => change.apply(&mut map),
                false if reordered => {}
                false => break,
            }
        }
        map
    }

    /// The same names over other files.
    pub(super) fn renumbered(&self, numbers: &BTreeMap<usize, usize>) -> Names {
        let map = |map: &Map| map.iter().map(|(name, node)| (name.clone(), numbers[node])).collect();
        let pending = self.pending.iter().filter_map(|change| change.renumbered(numbers)).collect();
        Names { now: map(&self.now), durable: map(&self.durable), pending }
    }

    /// Names that are all on the platter.
    pub(super) fn settled(map: Map) -> Names {
        Names { now: map.clone(), durable: map, pending: Vec::new() }
    }
}

impl Change {
    fn apply(&self, map: &mut Map) {
        match self {
            Change::Link(name, node) => {
                map.insert(name.clone(), *node);
            }
            Change::Unlink(name) => {
                map.remove(name);
            }
            Change::Rename(from, to, node) => {
                if map.get(from) == Some(node) {
                    map.remove(from);
                }
                map.insert(to.clone(), *node);
            }
        }
    }

    fn is_about(&self, wanted: &str) -> bool {
        match self {
            Change::Link(name, _) | Change::Unlink(name) => name == wanted,
            Change::Rename(from, to, _) => from == wanted || to == wanted,
        }
    }

    /// `None` for a file that neither map names any more: it came and went between two syncs.
    fn renumbered(&self, numbers: &BTreeMap<usize, usize>) -> Option<Change> {
        Some(match self {
            Change::Link(name, node) => Change::Link(name.clone(), *numbers.get(node)?),
            Change::Unlink(name) => Change::Unlink(name.clone()),
            Change::Rename(from, to, node) => Change::Rename(from.clone(), to.clone(), *numbers.get(node)?),
        })
    }
}
