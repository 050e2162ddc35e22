//! What a store may hold after a crash: the state after some prefix of its commits, between a floor (what
//! was acknowledged) and a ceiling (what was attempted).

use crate::compare::{Difference, compare, ensure};
use crate::model::{Model, Saved};
use std::collections::BTreeMap;
use vellum::{RecordId, Store};

/// The states that were, and which of them may be found.
#[derive(Debug)]
pub struct Oracle {
    /// The state after everything attempted.
    pub model: Model,
    /// States by lsn, from the floor up.
    states: BTreeMap<u64, Saved>,
    /// Newest commit that was acknowledged as durable.
    durable: u64,
    /// Newest commit that is with the operating system.
    written: u64,
    placeholders: u64,
}

/// First bytes of an id that stands for one which the store gave and nobody was told.
const PLACEHOLDER: [u8; 8] = *b"\xddunknown";

impl Oracle {
    /// Of a store in this state, which is durable.
    #[must_use]
    pub fn new(model: Model) -> Oracle {
        let states = BTreeMap::from([(model.lsn, model.save())]);
        Oracle { states, durable: model.lsn, written: model.lsn, model, placeholders: 0 }
    }

    /// An id for a record whose real one is not known.
    pub fn placeholder(&mut self) -> RecordId {
        self.placeholders += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&PLACEHOLDER);
        bytes[8..].copy_from_slice(&self.placeholders.to_be_bytes());
        RecordId::from_bytes(bytes)
    }

    /// The model went on by a commit that the store returned.
    pub fn committed(&mut self) {
        self.written = self.model.lsn;
        self.note();
    }

    /// The model went on by a commit that may be there or not.
    pub fn attempted(&mut self) {
        self.note();
    }

    fn note(&mut self) {
        self.states.entry(self.model.lsn).or_insert_with(|| self.model.save());
    }

    /// The store said that this commit is durable.
    pub fn acknowledged(&mut self, lsn: u64) {
        self.durable = self.durable.max(lsn);
        self.states = self.states.split_off(&self.durable);
    }

    /// What is found at least: after a power cut what was acknowledged, after the death of the process
    /// alone also what was written.
    #[must_use]
    pub fn floor(&self, killed_only: bool) -> u64 {
        if killed_only { self.durable.max(self.written) } else { self.durable }
    }

    /// Holds a recovered store against the states that it may have; it is the only one from here on.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&mut self, store: &Store, killed_only: bool) -> Result<(), Difference> {
        let lsn = store.applied_lsn().0;
        let (floor, ceiling) = (self.floor(killed_only), self.model.lsn);
        ensure!((floor..=ceiling).contains(&lsn), "lsn {floor} to {ceiling} expected, {lsn} found");
        ensure!(
            store.durable_lsn().0 == lsn,
            "lsn {lsn} is shown, and durable is {} only",
            store.durable_lsn()
        );
        let saved = self.states.get(&lsn).ok_or_else(|| format!("no state of lsn {lsn} is known"))?;
        let mut model = Model::restore(saved);
        learn_ids(&mut model, store)?;
        compare(store, &model).map_err(|why| format!("at lsn {lsn}: {why}"))?;
        let placeholders = self.placeholders;
        *self = Oracle { placeholders, ..Oracle::new(model) };
        Ok(())
    }
}

/// Whether an id stands for one that nobody was told.
#[must_use]
pub fn is_placeholder(id: &RecordId) -> bool {
    id.0.as_bytes().starts_with(&PLACEHOLDER)
}

/// A commit whose answer was lost may have made records: they are known by their place in the order of
/// creation, and get the ids that the store gave them.
fn learn_ids(model: &mut Model, store: &Store) -> Result<(), Difference> {
    if !model.records.keys().any(is_placeholder) {
        return Ok(());
    }
    let snapshot = store.snapshot().map_err(|error| error.to_string())?;
    for (number, def) in model.objects.clone().iter().enumerate() {
        let mut wanted: Vec<(u64, RecordId)> = model
            .records
            .iter()
            .filter(|(id, record)| record.object == number && is_placeholder(id))
            .map(|(id, record)| (record.counter, *id))
            .collect();
        let mut found = Vec::new();
        for record in snapshot.iter(&def.name).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if !model.records.contains_key(&record.id) {
                found.push((record.counter, record.id));
            }
        }
        wanted.sort_unstable();
        found.sort_unstable();
        ensure!(
            wanted.len() == found.len(),
            "{}: {} records without a known id expected, {} found",
            def.name,
            wanted.len(),
            found.len()
        );
        for ((_, placeholder), (_, id)) in wanted.into_iter().zip(found) {
            model.rename(placeholder, id);
        }
    }
    Ok(())
}
