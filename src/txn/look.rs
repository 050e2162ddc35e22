//! What a transaction sees: finding a record by id or key among what is staged and what is stored,
//! and reading it with the staged cells over the stored ones.

use super::key::{ObjectRef, choose_index, encode_key, object_ref};
use super::outcome::{AttributeSet, Outcome};
use super::resolve::Staging;
use super::stage::{Fate, Stage, StagedCell};
use crate::change::Key;
use crate::error::Result;
use crate::id::{RecordId, RowId};
use crate::pagestore::{GroupGuard, GroupState};
use crate::records::{
    AttributeLayout, IndexKey, IndexLayout, KeyBuffers, ObjectLayout, for_each_key, in_group, prefetch,
    read_cell, read_header, read_record,
};
use crate::schema::unknown_members;
use crate::value::{Record, key_hash};
use std::sync::Arc;

/// A record that a mutation is about, as the transaction sees it.
#[derive(Clone, Debug)]
pub(super) enum Located {
    /// Staged before in this transaction.
    Staged(usize),
    /// In the store, untouched so far.
    Stored { id: RecordId, row: RowId, version: u64, group: GroupGuard },
}

impl Staging<'_> {
    /// The record with this key, as the transaction sees it.
    pub(super) fn locate(&mut self, object: ObjectRef<'_>, key: &Key) -> Result<Option<Located>> {
        match key {
            Key::Id(id) => self.locate_id(object, *id),
            Key::Attributes(parts) => {
                let index = choose_index(object, parts)?;
                let mut bytes = std::mem::take(&mut self.state.stage.key);
                bytes.clear();
                let result = encode_key(object, index, parts, &mut bytes).and_then(|complete| {
                    if complete { self.locate_key(object, index, &bytes) } else { Ok(None) }
                });
                self.state.stage.key = bytes;
                result
            }
        }
    }

    fn locate_id(&self, object: ObjectRef<'_>, id: RecordId) -> Result<Option<Located>> {
        if let Some(index) = self.state.stage.find(id) {
            let staged = self.state.stage.record(index);
            let here = staged.is_live() && staged.object == object.layout.id;
            return Ok(here.then_some(Located::Staged(index)));
        }
        let records = self.context.records;
        let ahead = |object: &ObjectLayout, state: &GroupState, slot| self.prefetch(object, state, slot);
        let hit = records
            .find_id(self.root, self.catalog, id, ahead, |found, header, _| Ok((found, header.version)))?;
        let hit = hit.filter(|((found, _), _)| found.object == object.layout.id);
        Ok(hit.map(|((found, version), group)| Located::Stored { id, row: found.row, version, group }))
    }

    fn locate_key(
        &self,
        object: ObjectRef<'_>,
        index: &IndexLayout,
        bytes: &[u8],
    ) -> Result<Option<Located>> {
        let records = self.context.records;
        let hash = key_hash(records.hash_seed, bytes);
        if let Some(claimed) = self.state.stage.claimed(index.tree, hash) {
            // The last one that took the key; where that one gave it up again, any other that took it.
            let others = (0..self.state.stage.records().len()).rev();
            for staged in std::iter::once(claimed).chain(others) {
                let record = self.state.stage.record(staged);
                if record.is_live()
                    && record.object == object.layout.id
                    && self.staged_has_key(object.layout, index, staged, bytes)?
                {
                    return Ok(Some(Located::Staged(staged)));
                }
            }
        }
        let key = IndexKey { index, bytes, hash };
        let ahead = |object: &ObjectLayout, state: &GroupState, slot| {
            let key = index.attributes.iter().filter_map(|id| object.attribute(*id));
            prefetch(state, slot, key.chain(self.named_layouts(object)));
        };
        let hit = records.find_key(self.root, object.layout, &key, ahead, |found, header, _| {
            Ok((header.id, found.row, header.version))
        })?;
        let Some(((id, row, version), group)) = hit else { return Ok(None) };
        match self.state.stage.find(id) {
            None => Ok(Some(Located::Stored { id, row, version, group })),
            Some(staged) if !self.state.stage.record(staged).is_live() => Ok(None),
            Some(staged) if self.staged_has_key(object.layout, index, staged, bytes)? => {
                Ok(Some(Located::Staged(staged)))
            }
            Some(_) => Ok(None),
        }
    }

    /// The attributes that the mutation at hand names.
    fn named_layouts<'o>(&self, object: &'o ObjectLayout) -> impl Iterator<Item = &'o AttributeLayout> {
        self.state.stage.named.iter().flatten().filter_map(|id| object.attribute(*id))
    }

    fn prefetch(&self, object: &ObjectLayout, state: &GroupState, slot: u32) {
        prefetch(state, slot, self.named_layouts(object));
    }

    fn staged_has_key(
        &self,
        object: &ObjectLayout,
        index: &IndexLayout,
        staged: usize,
        key: &[u8],
    ) -> Result<bool> {
        let mut found = false;
        self.for_each_staged_key(object, index, staged, &mut KeyBuffers::default(), |has| {
            found |= has == key;
            Ok(())
        })?;
        Ok(found)
    }

    /// Runs `each` on the keys that a staged record has now.
    pub(super) fn for_each_staged_key(
        &self,
        object: &ObjectLayout,
        index: &IndexLayout,
        staged: usize,
        buffers: &mut KeyBuffers,
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let read =
            |attribute: &AttributeLayout, cell: &mut Vec<u8>| self.staged_cell(staged, attribute, cell);
        for_each_key(object, index, buffers, read, each)
    }

    /// An attribute's value as the transaction sees it.
    pub(super) fn staged_cell(
        &self,
        staged: usize,
        attribute: &AttributeLayout,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let stage = &self.state.stage;
        let record = stage.record(staged);
        if let Some(cell) = record.cell(attribute.id) {
            out.clear();
            if let Some(span) = &cell.bytes {
                out.extend_from_slice(&stage.arena[span.clone()]);
            }
            return Ok(cell.bytes.is_some());
        }
        if record.fate != Fate::Update {
            return Ok(false);
        }
        match &record.group {
            Some(group) => in_group(group, record.row, |state, slot| read_cell(state, attribute, slot, out)),
            None => Ok(false),
        }
    }

    /// Notes the keys that a staged record has now, so that later mutations of the transaction find it.
    pub(super) fn claim_keys(&mut self, object: &ObjectLayout, staged: usize) -> Result<()> {
        if self.single {
            return Ok(());
        }
        let mut buffers = std::mem::take(&mut self.state.stage.keys);
        let mut hashes = Vec::new();
        for index in &object.indexes {
            let noted = self.for_each_staged_key(object, index, staged, &mut buffers, |key| {
                hashes.push(key_hash(self.context.records.hash_seed, key));
                Ok(())
            });
            hashes.drain(..).for_each(|hash| self.state.stage.claim(index.tree, hash, staged));
            noted?;
        }
        self.state.stage.keys = buffers;
        Ok(())
    }

    pub(super) fn outcome(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        changed: AttributeSet,
        created: bool,
        returning: bool,
    ) -> Result<Outcome> {
        let record = match returning {
            true => self.read_staged_as(object, staged, self.state.stage.record(staged).fate)?,
            false => None,
        };
        let lsn = self.context.records.applied();
        let staged = self.state.stage.record(staged);
        let (object, catalog) = (object.layout.id, Arc::clone(self.catalog));
        Ok(Outcome { id: staged.id, version: staged.version, lsn, created, record, object, changed, catalog })
    }

    /// The whole record as the transaction sees it. Times of what is staged are those of now.
    pub(super) fn read_staged_as(
        &self,
        object: ObjectRef<'_>,
        staged: usize,
        fate: Fate,
    ) -> Result<Option<Record>> {
        let stage: &Stage = &self.state.stage;
        let record = stage.record(staged);
        let now = record.at.unwrap_or_else(|| self.context.source.now());
        let mut read = match fate {
            Fate::Update => {
                let all = |_: &AttributeLayout| true;
                let Some(group) = &record.group else { return Ok(None) };
                let stored = in_group(group, record.row, |state, slot| {
                    let Some(header) = read_header(state, slot)? else { return Ok(None) };
                    read_record(self.catalog, object.layout, &header, state, slot, &all).map(Some)
                })?;
                let Some(stored) = stored else { return Ok(None) };
                stored
            }
            _ => {
                let tree = self.root.tree(object.layout.tree).cloned();
                let counter = tree.map_or(0, |tree| tree.meta(crate::records::COUNTER));
                let made = stage.records()[..=staged]
                    .iter()
                    .filter(|other| other.fate == Fate::Create && other.object == record.object)
                    .filter(|other| other.origin.is_none())
                    .count();
                match &record.origin {
                    None => {
                        let next = counter + made as u64;
                        let counter = if record.counter == 0 { next } else { record.counter };
                        Record::new(record.id, record.version, counter, now, now, Vec::new())
                    }
                    Some(origin) => Record::new(
                        record.id,
                        record.version,
                        origin.counter,
                        origin.created_at,
                        now,
                        Vec::new(),
                    )
                    .by(origin.created_by, 0),
                }
            }
        };
        self.context.records.name_actors(self.root, &mut read)?;
        let actor = self.context.actor.map(|actor| Arc::new(actor.clone()));
        if fate == Fate::Create && record.origin.is_none() {
            read.actors = [actor.clone(), actor.clone()];
        }
        if record.cells.is_empty() {
            return Ok(Some(read));
        }
        let mut values = Vec::with_capacity(object.layout.attributes.len());
        for (layout, attribute) in object.layout.attributes.iter().zip(object.schema.attributes()) {
            if layout.deleted || attribute.is_hidden() {
                continue;
            }
            let value = match record.cell(attribute.id()) {
                Some(cell) => cell
                    .bytes
                    .as_ref()
                    .map(|span| attribute.decode(&stage.arena[span.clone()]))
                    .transpose()?,
                None => read.get(attribute.key()).cloned(),
            };
            values.extend(value.map(|value| (attribute.name().clone(), value)));
        }
        if let Some(hidden) = object.schema.open_attribute() {
            match record.cell(hidden.id()) {
                Some(StagedCell { bytes: Some(span), .. }) => {
                    values.extend(unknown_members(&hidden.decode(&stage.arena[span.clone()])?));
                }
                Some(_) => {}
                None => {
                    let unknown = read.iter().filter(|(name, _)| object.schema.takes_unknown(name));
                    values.extend(unknown.map(|(name, value)| (Arc::from(name), value.clone())));
                }
            }
        }
        let created_by = read.actors[0].take();
        read = Record::new(read.id, record.version, read.counter, read.created_at, now, values);
        read.actors = [created_by, actor];
        Ok(Some(read))
    }

    /// The record with this key, whole, as the transaction sees it.
    pub(crate) fn get(&mut self, object: &str, key: &Key) -> Result<Option<Record>> {
        let catalog = self.catalog;
        let object = object_ref(catalog, object)?;
        match self.locate(object, key)? {
            None => Ok(None),
            Some(Located::Staged(staged)) => {
                self.read_staged_as(object, staged, self.state.stage.record(staged).fate)
            }
            Some(Located::Stored { row, group, .. }) => {
                let all = |_: &AttributeLayout| true;
                let mut read = in_group(&group, row, |state, slot| {
                    let Some(header) = read_header(state, slot)? else { return Ok(None) };
                    read_record(catalog, object.layout, &header, state, slot, &all).map(Some)
                })?;
                if let Some(record) = &mut read {
                    self.context.records.name_actors(self.root, record)?;
                }
                Ok(read)
            }
        }
    }
}
