//! vellum: two mutable attributes and the header are written in place; uniqueness by id and primary key.

use crate::Result;
use crate::engine::{Batch, Engine, Family, MakeValue, Mode, ReadAll, Survives};
use std::cell::RefCell;
use vellum::{Config, Durability, ErrorKind, Mutation, Object, RecordId, Store};
use vellum_bench::wide::{self, Change};

pub static FAMILY: Family = Family {
    name: "vellum",
    settings: "default configuration; checkpoints run",
    modes: &[
        Mode { name: "vellum", survives: Survives::Kill },
        Mode { name: "vellum, sync", survives: Survives::PowerCut },
    ],
    open: |path, _| {
        let config = Config::new().durability(Durability::Buffered);
        let store = match path.join("superblock").exists() {
            true => config.open(path)?,
            false => wide::create(&config, path)?,
        };
        let object = store.object(wide::OBJECT)?;
        Ok(Box::new(Vellum { store, object, durability: Durability::Buffered }))
    },
};

struct Vellum {
    store: Store,
    object: Object,
    durability: Durability,
}

thread_local! {
    /// Filled again and again, as a server that decodes requests into one buffer does.
    static MUTATIONS: RefCell<Vec<Mutation>> = const { RefCell::new(Vec::new()) };
}

impl Engine for Vellum {
    fn set_mode(&mut self, mode: usize) -> Result<()> {
        self.durability = [Durability::Buffered, Durability::Sync][mode];
        Ok(())
    }

    fn create(&self, records: &Batch) -> Result<bool> {
        let created = match &records.mutations[..] {
            [one] => self.store.submit(one).map(|(_, commit)| commit),
            many => self.store.submit_batch(many).map(|(_, commit)| commit),
        };
        match created {
            Ok(commit) => commit.wait_for(self.durability)?,
            Err(error) if error.kind() == ErrorKind::UniqueConflict => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn patch(&self, changes: &[Change]) -> Result<()> {
        MUTATIONS.with_borrow_mut(|mutations| {
            if mutations.len() != changes.len() {
                mutations.resize_with(changes.len(), wide::blank_patch);
            }
            for (change, mutation) in changes.iter().zip(&mut *mutations) {
                change.write_into(mutation);
            }
            let commit = match &mutations[..] {
                [one] => self.store.submit(one)?.1,
                many => self.store.submit_batch(many)?.1,
            };
            Ok(commit.wait_for(self.durability)?)
        })
    }

    fn get_attribute(&self, id: RecordId) -> Result<i64> {
        let record = self.object.get_attributes(id, &["a"])?.ok_or("no such record")?;
        match record.get("a") {
            Some(vellum::Value::Integer(a)) => Ok(*a),
            other => Err(format!("a is {other:?}").into()),
        }
    }

    fn get(&self, id: RecordId) -> Result<usize> {
        Ok(self.object.get(id)?.ok_or("no such record")?.iter().len())
    }

    fn edit(&self, _: &[u8], _: MakeValue<'_>) -> Result<()> {
        Err("vellum keeps records, no values under keys".into())
    }

    fn with_snapshot(&self, work: &mut dyn FnMut(ReadAll<'_>) -> Result<()>) -> Result<Option<()>> {
        let snapshot = self.store.snapshot()?;
        work(&mut |go_on| {
            let mut count = 0;
            for record in snapshot.iter(wide::OBJECT)? {
                record?;
                count += 1;
                if !go_on() {
                    break;
                }
            }
            Ok(count)
        })?;
        Ok(Some(()))
    }

    fn settle(&self) -> Result<()> {
        self.store.checkpoint()?;
        // What a checkpoint frees is unlinked by the next one, since two are kept.
        self.store.checkpoint()?;
        Ok(())
    }

    fn written_len(&self) -> Option<u64> {
        // Checkpoints by its count; frames of two fixed attributes are 112 bytes at most.
        self.store.stats().ok().map(|stats| stats.checkpoint_written_len)
    }
}
