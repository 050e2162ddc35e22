//! The store goes and comes back: closed, killed, without power; and what it did until then.

use super::{Checked, Run};
use crate::compare::{compare, compare_requests, ensure, replay_check};
use crate::model::Model;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::Durability;
use vellum::disk::Disk;
use vellum_sim::MemDisk;

impl Run<'_> {
    /// Takes note of what the open store did, before it goes.
    fn note(&mut self) -> Checked {
        let store = self.store();
        let stats = store.stats().map_err(|error| error.to_string())?;
        self.count("images read", stats.images_read);
        self.count("bucket splits", stats.indexes.iter().map(|index| index.buckets - 1).sum());
        let heaps = stats.bytes_by_kind.iter().filter(|(name, _)| name == "text heaps").map(|(_, len)| *len);
        self.count("text heaps", heaps.sum());
        if self.background {
            self.count("background checkpoints", store.health().checkpoint_count);
        }
        let health = store.health();
        ensure!(health.checkpoint.is_none() && health.log.is_none(), "{health:?}");
        for (name, bytes) in self.disk.files().iter().filter(|(name, _)| name.starts_with("seg-")) {
            ensure!(bytes.len() % 64 == 0, "{name} has {} bytes", bytes.len());
            let images = bytes.chunks(64).filter(|head| head.starts_with(b"vlPG"));
            let (full, delta) = images.fold((0, 0), |(full, delta), head| match head[4] {
                1 => (full + 1, delta),
                2 => (full, delta + 1),
                _ => (full, delta),
            });
            self.count("full images", full);
            self.count("delta images", delta);
        }
        Ok(())
    }

    fn open(&mut self, disk: MemDisk) -> Checked {
        self.disk = disk;
        // The same seed would draw the same ids and salts again.
        self.config = self.config.clone().seed(self.rng.draw());
        let opened = self.config.open_on(Arc::new(self.disk.clone()) as Arc<dyn Disk>);
        self.store = Some(opened.map_err(|error| format!("opening: {error}"))?);
        let replayed = self.store().recovery().replayed;
        self.count("replayed commits", replayed);
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Checked {
        self.note()?;
        self.check_snapshots()?;
        self.store.take().expect("open").close().map_err(|error| format!("closing: {error}"))?;
        let disk = self.disk.clone();
        self.open(disk)?;
        self.count("clean reopening", 1);
        ensure!(self.store().recovery().clean, "a clean close, and {:?}", self.store().recovery());
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    /// The process dies: what was written is there, nothing is closed.
    pub(super) fn kill(&mut self) -> Checked {
        self.note()?;
        self.check_snapshots()?;
        let copy = self.disk.after_kill();
        self.store = None;
        self.open(copy)?;
        self.count("killed", 1);
        let recovery = self.store().recovery().clone();
        ensure!(recovery.torn.as_deref().is_none_or(is_a_mark), "torn: {recovery:?}");
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    /// The power goes: what was durable is there, and of the rest anything, but in order.
    pub(super) fn cut_power(&mut self) -> Checked {
        if self.saved.is_none() {
            return Ok(());
        }
        self.note()?;
        self.check_snapshots()?;
        let floor = match self.durability {
            Durability::Sync => self.model.lsn,
            _ => self.store().durable_lsn().0,
        };
        let kept = *self.rng.pick(&[0, 1, 3, 4]);
        let copy = self.disk.after_power_cut(&mut self.rng, kept);
        self.store = None;
        self.open(copy)?;
        self.count("power cut", 1);
        let lsn = self.store().applied_lsn().0;
        ensure!(
            (floor..=self.model.lsn).contains(&lsn),
            "lsn {floor} to {} expected, {lsn} found",
            self.model.lsn
        );
        if lsn < self.model.lsn {
            let saved = self.saved.as_ref().and_then(|saved| saved.get(&lsn));
            let saved = saved.ok_or_else(|| format!("lsn {lsn} was durable when the store was opened"))?;
            self.model = Model::restore(saved);
        }
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    pub(super) fn finish(mut self) -> Checked {
        self.note()?;
        compare(&self.store(), &self.model).map_err(|why| format!("at the end: {why}"))?;
        self.check_snapshots()?;
        let killed = self.disk.after_kill();
        let replayed = replay_check(&killed, &self.model)?;
        self.count("replayed commits", replayed);
        self.store.take().expect("open").close().map_err(|error| format!("closing: {error}"))?;
        replay_check(&self.disk, &self.model).map_err(|why| format!("after the close: {why}"))?;
        Ok(())
    }
}

/// Whether what was cut is no longer than a mark, a frame without a commit: a thread of the store that wrote one may
/// have died in the middle of it.
fn is_a_mark(torn: &str) -> bool {
    const MARK_LEN: u64 = 64;
    let len =
        torn.split_once(" bytes cut").and_then(|(place, _)| place.rsplit_once(' ')?.1.parse::<u64>().ok());
    len.is_some_and(|len| len <= MARK_LEN)
}
