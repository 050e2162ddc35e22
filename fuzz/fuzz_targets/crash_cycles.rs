//! Write, crash, recover, write, crash: power cuts that keep any part of what was not synced, also in the
//! middle of a recovery, of a checkpoint or of a close, by the input's bytes.
//!
//! Promise: after each crash the store is as it was after some commit, not older than the newest that was
//! acknowledged as durable, not newer than the last attempted; and `verify` finds nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{Durability, Schema, Store};
use vellum_fuzz::config;
use vellum_testkit::model::Saved;
use vellum_testkit::{MemDisk, Model, Rng, compare, ops, schema};

const STEPS_MAX: usize = 20;

struct Cycle {
    rng: Rng,
    disk: MemDisk,
    store: Option<Store>,
    model: Model,
    saved: BTreeMap<u64, Saved>,
    /// Newest commit that was acknowledged as durable.
    floor: u64,
    mapped: bool,
    seed: u64,
}

fuzz_target!(|input: &[u8]| {
    let mut rng = Rng::from_bytes(input);
    let objects = vec![schema::generate(&mut rng, 0)];
    let parsed = Schema::from_json(&schema::to_json(&objects)).expect("a valid schema");
    let model = Model::new(objects, 1_700_000_000_000_000_000);
    let disk = MemDisk::new();
    let mapped = !rng.one_in(3);
    let store =
        config(1).log_mapped(mapped).durability(Durability::Sync).create_on(Arc::new(disk.clone()), &parsed);
    let store = Some(store.expect("an empty disk"));
    let saved = BTreeMap::from([(model.lsn, model.save())]);
    let mut cycle = Cycle { rng, disk, store, floor: model.lsn, model, saved, mapped, seed: 1 };
    for _ in 0..STEPS_MAX {
        if cycle.rng.is_spent() {
            break;
        }
        cycle.step();
    }
    cycle.crash();
});

impl Cycle {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("a store is open between steps")
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..11 => self.write(),
            11 => drop(self.store().checkpoint().expect("a sound disk")),
            12 => drop(self.store().compact().expect("a sound disk")),
            13 => self.crash_within(),
            14 => self.crash(),
            _ => {
                self.store.take().expect("open").close().expect("a sound disk");
                self.open();
            }
        }
    }

    fn write(&mut self) {
        let mutation = ops::mutation(&mut self.rng, &self.model, &[]);
        let waits = !self.rng.one_in(3);
        let submitted = self.store().submit(&mutation);
        let Ok((outcome, commit)) = submitted else { return };
        self.model.mutate(&mutation, outcome.id).expect("the store carried it out");
        self.model.commit(0).expect("the store carried it out");
        self.saved.insert(self.model.lsn, self.model.save());
        if waits {
            commit.wait().expect("a sound disk");
            self.floor = outcome.lsn.0;
        }
    }

    /// The power goes between two operations.
    fn crash(&mut self) {
        let kept = self.rng.below(5);
        self.disk = self.disk.after_power_cut(&mut self.rng, kept);
        self.store = None;
        self.recover();
    }

    /// The disk stops answering in the middle of a checkpoint or a close, then the power goes.
    fn crash_within(&mut self) {
        self.fail_after_some();
        let store = self.store.take().expect("open");
        let _ = store.checkpoint();
        let _ = store.close();
        self.disk.heal();
        let kept = self.rng.below(5);
        self.disk = self.disk.after_power_cut(&mut self.rng, kept);
        self.recover();
    }

    fn fail_after_some(&mut self) {
        let mut left = self.rng.below(64);
        self.disk.fail(move |event| {
            left = left.saturating_sub(usize::from(event.op.changes()));
            (left == 0 && event.op.changes()).then_some(std::io::ErrorKind::Other)
        });
    }

    /// Opens what the crash left; now and then the recovery crashes too.
    fn recover(&mut self) {
        while self.rng.one_in(3) && !self.rng.is_spent() {
            self.fail_after_some();
            drop(self.config().open_on(Arc::new(self.disk.clone())));
            self.disk.heal();
            let kept = self.rng.below(5);
            self.disk = self.disk.after_power_cut(&mut self.rng, kept);
        }
        let report = vellum_admin::verify_on(Arc::new(self.disk.clone())).expect("a store");
        assert!(report.is_clean(), "{report:?}");
        self.open();
        let lsn = self.store().applied_lsn().0;
        assert!((self.floor..=self.model.lsn).contains(&lsn), "{}..={}, {lsn}", self.floor, self.model.lsn);
        self.model = Model::restore(&self.saved[&lsn]);
        self.saved.retain(|known, _| *known <= lsn);
        self.floor = lsn;
        compare(self.store(), &self.model).expect("the state of that commit");
    }

    fn config(&mut self) -> vellum::Config {
        // The same seed would draw the same ids and salts again.
        self.seed += 1;
        config(self.seed).log_mapped(self.mapped).durability(Durability::Sync)
    }

    fn open(&mut self) {
        let opened = self.config().open_on(Arc::new(self.disk.clone()));
        self.store = Some(opened.expect("what a crash left opens"));
    }
}
