//! What a transaction sees: finding a record by id or key among what is staged and what is stored,
//! and reading it with the staged cells over the stored ones.

use super::key::{ObjectRef, attribute_ref, choose_index, encode_key, meets, object_ref, refiners};
use super::outcome::{AttributeSet, Outcome};
use super::stage::{Fate, Stage, StagedCell};
use super::transaction::Transaction;
use crate::records::{
    AttributeLayout, IndexKey, IndexLayout, KeyBuffers, ObjectLayout, for_each_key, in_group, no_prefetch,
    prefetch, read_cell, read_header, read_record,
};
use std::sync::Arc;
use vellum_engine::RowId;
use vellum_engine::index::key_hash;
use vellum_engine::pages::{GroupGuard, GroupState};
use vellum_types::Key;
use vellum_types::value::{Name, Record, Value};
use vellum_types::{Error, ErrorKind, Result};
use vellum_types::{ObjectId, RecordId};

/// A record that a mutation is about, as the transaction sees it.
#[derive(Clone, Debug)]
pub(super) enum Located {
    /// Staged before in this transaction.
    Staged(usize),
    /// In the store, untouched so far.
    Stored { id: RecordId, row: RowId, version: u64, group: GroupGuard },
}

/// The values of the key's one attribute, where a list of several is looked for.
fn several_values<'p>(
    object: ObjectRef<'_>,
    index: &IndexLayout,
    parts: &'p [(Name, Value)],
) -> Option<&'p [Value]> {
    let [id] = index.attributes.as_slice() else { return None };
    let attribute = object.schema.attribute_by_id(*id).filter(|attribute| attribute.is_multi())?;
    let (_, value) = parts.iter().find(|(name, _)| name == attribute.key())?;
    value.as_list().filter(|values| values.len() > 1)
}

impl Transaction<'_> {
    /// The record with this key, as the transaction sees it.
    pub(super) fn locate(&mut self, object: ObjectRef<'_>, key: &Key) -> Result<Option<Located>> {
        match key {
            Key::Id(id) => self.locate_id(object, *id),
            Key::Named(name) => {
                let id = self.state.stage.named_record(name);
                id.map_or(Ok(None), |id| self.locate_id(object, id))
            }
            Key::Attributes(parts) => {
                let index = choose_index(object, parts)?;
                if let Some(several) = several_values(object, index, parts) {
                    return self.locate_any(object, index, parts, several);
                }
                let mut bytes = std::mem::take(&mut self.state.stage.key);
                bytes.clear();
                let result = encode_key(object, index, parts, &mut bytes).and_then(|complete| {
                    if complete { self.locate_key(object, index, &bytes) } else { Ok(None) }
                });
                self.state.stage.key = bytes;
                let located = result?;
                match index.attributes.len() == parts.len() {
                    true => Ok(located),
                    false => self.refined(object, index, parts, located),
                }
            }
        }
    }

    /// The record that has any of several values of a unique attribute.
    ///
    /// # Errors
    /// `MultipleMatches` when they are held by several records.
    fn locate_any(
        &mut self,
        object: ObjectRef<'_>,
        index: &IndexLayout,
        parts: &[(Name, Value)],
        several: &[Value],
    ) -> Result<Option<Located>> {
        let attribute = object.schema.attribute_by_id(index.attributes[0]).expect("indexes name attributes");
        let mut found: Vec<(RecordId, Located)> = Vec::new();
        for value in several {
            let one = [(attribute.key().into(), value.clone())];
            let mut bytes = Vec::new();
            if !encode_key(object, index, &one, &mut bytes)? {
                continue;
            }
            if let Some(located) = self.locate_key(object, index, &bytes)? {
                let (id, _) = self.identity(&located);
                if !found.iter().any(|(known, _)| *known == id) {
                    found.push((id, located));
                }
            }
        }
        if found.len() > 1 {
            let ids: Vec<RecordId> = found.iter().map(|(id, _)| *id).collect();
            let reason = format!("the values are held by {} records", ids.len());
            let kind = ErrorKind::MultipleMatches;
            return Err(
                Error::attribute(kind, object.schema.key(), attribute.key(), reason).with_records(ids)
            );
        }
        self.refined(object, index, parts, found.pop().map(|(_, located)| located))
    }

    /// The record, if it has the other values too.
    fn refined(
        &mut self,
        object: ObjectRef<'_>,
        index: &IndexLayout,
        parts: &[(Name, Value)],
        located: Option<Located>,
    ) -> Result<Option<Located>> {
        let mut cell = Vec::new();
        for (name, value) in refiners(object, index, parts) {
            let (schema, layout) = attribute_ref(object, name)?;
            let present = match &located {
                None => false,
                Some(located) => self.located_cell(located, layout, &mut cell)?,
            };
            // Also without a record: a value that fits no attribute is an error either way.
            if !meets(object.schema, schema, present.then_some(&cell), value)? {
                return Ok(None);
            }
        }
        Ok(located)
    }

    /// An attribute's value of a record that was found; false where it has none.
    pub(super) fn located_cell(
        &self,
        located: &Located,
        layout: &AttributeLayout,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        match located {
            Located::Staged(staged) => self.staged_cell(*staged, layout, out),
            Located::Stored { row, group, .. } => {
                in_group(group, *row, |state, slot| Ok(read_cell(state, layout, slot, out)?))
            }
        }
    }

    /// Object and record of an id, whatever the object.
    pub(super) fn locate_anywhere(&self, id: RecordId) -> Result<Option<ObjectId>> {
        if let Some(index) = self.state.stage.find(id) {
            let staged = self.state.stage.record(index);
            return Ok(staged.is_live().then_some(staged.object));
        }
        let hit = self
            .context
            .records
            .find_id(self.root, self.catalog, id, no_prefetch, |found, _, _| Ok(found.object))?;
        Ok(hit.map(|(object, _)| object))
    }

    pub(super) fn locate_id(&self, object: ObjectRef<'_>, id: RecordId) -> Result<Option<Located>> {
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
            Some(group) => {
                in_group(group, record.row, |state, slot| Ok(read_cell(state, attribute, slot, out)?))
            }
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
        let (id, version) = (staged.id, staged.version);
        Ok(Outcome { id, version, lsn, created, record, object, changed, catalog, more: None })
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
                    let members = hidden.decode(&stage.arena[span.clone()])?;
                    values.extend(object.schema.unknown_members(&members));
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
