//! Staging: one mutation against the store and what the transaction staged before it.

use super::outcome::{AttributeSet, Outcome};
use super::stage::{Fate, Stage};
use super::{Context, WriterState};
use crate::change::{Action, Key, Mode, Mutation, Patch};
use crate::error::{Conflict, Error, ErrorKind, Result};
use crate::id::{AttributeId, RecordId, RowId};
use crate::page::{Columns, slots, text};
use crate::pagestore::GroupState;
use crate::records::{
    AttributeLayout, Catalog, IndexKey, IndexLayout, ObjectLayout, in_group, read_cell, read_header, read_record,
};
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::{Record, Value, append_key_bytes, key_hash};
use std::sync::Arc;

/// A record that a mutation is about, as the transaction sees it.
#[derive(Clone, Copy, Debug)]
enum Located {
    /// Staged before in this transaction.
    Staged(usize),
    /// In the store, untouched so far.
    Stored { id: RecordId, row: RowId, version: u64 },
}

/// The staging half of a transaction.
#[derive(Debug)]
pub(crate) struct Staging<'a> {
    pub(crate) state: &'a mut WriterState,
    pub(crate) context: &'a Context<'a>,
    pub(crate) catalog: Arc<Catalog>,
    /// Whether this mutation is the whole transaction: nobody looks staged keys up then.
    pub(crate) single: bool,
}

/// Schema and layout of the object that a mutation is about.
#[derive(Clone, Copy)]
struct ObjectRef<'c> {
    schema: &'c ObjectSchema,
    layout: &'c ObjectLayout,
}

impl Staging<'_> {
    /// Stages one mutation and answers what it will have done; the LSN is filled in at commit.
    ///
    /// # Errors
    /// Every refusal; what was staged before stays as it was.
    pub(crate) fn mutate(&mut self, mutation: &Mutation) -> Result<Outcome> {
        let catalog = self.catalog.clone();
        let object = object_ref(&catalog, &mutation.object)?;
        let arena_len = self.state.stage.arena.len();
        let result = match (mutation.action, &mutation.key) {
            (Action::Create, None) => self.create(object, None, None, &mutation.patch),
            (Action::Create, Some(Key::Id(id))) => self.create(object, Some(*id), None, &mutation.patch),
            (Action::Create, Some(Key::Attributes(_))) => {
                Err(Error::invalid_input("a create takes its key from its values; give an id, or nothing"))
            }
            (_, None) => Err(Error::invalid_input("the mutation names no record; give an id or a key")),
            (action, Some(key)) => self.change(object, action, key, &mutation.patch),
        };
        if result.is_err() {
            self.state.stage.arena.truncate(arena_len);
        }
        result
    }

    fn change(&mut self, object: ObjectRef<'_>, action: Action, key: &Key, patch: &Patch) -> Result<Outcome> {
        let located = self.locate(object, key)?;
        match (action, located) {
            (Action::Update | Action::Upsert, Some(located)) => self.update(object, located, patch),
            (Action::Delete, Some(located)) => self.delete(object, located, patch),
            (Action::Upsert, None) => match key {
                Key::Id(id) => self.create(object, Some(*id), None, patch),
                Key::Attributes(key) => self.create(object, None, Some(key), patch),
            },
            _ => Err(not_found(object.schema, key)),
        }
    }

    /// The record with this key, as the transaction sees it.
    fn locate(&mut self, object: ObjectRef<'_>, key: &Key) -> Result<Option<Located>> {
        match key {
            Key::Id(id) => self.locate_id(object, *id),
            Key::Attributes(parts) => {
                let index = choose_index(object, parts)?;
                let mut bytes = std::mem::take(&mut self.state.stage.key);
                bytes.clear();
                let result = encode_key(object, index, parts, &mut bytes)
                    .and_then(|complete| if complete { self.locate_key(object, index, &bytes) } else { Ok(None) });
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
        let hit = records.find_id(&records.pages.live(), &self.catalog, id, |found, _, header, _| {
            Ok((found, header.version))
        })?;
        let hit = hit.filter(|(found, _)| found.object == object.layout.id);
        Ok(hit.map(|(found, version)| Located::Stored { id, row: found.row, version }))
    }

    fn locate_key(&self, object: ObjectRef<'_>, index: &IndexLayout, bytes: &[u8]) -> Result<Option<Located>> {
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
        let hit = records.find_key(&records.pages.live(), object.layout, &key, |found, header, _| {
            Ok((header.id, found.row, header.version))
        })?;
        let Some((id, row, version)) = hit else { return Ok(None) };
        match self.state.stage.find(id) {
            None => Ok(Some(Located::Stored { id, row, version })),
            Some(staged) if !self.state.stage.record(staged).is_live() => Ok(None),
            Some(staged) if self.staged_has_key(object.layout, index, staged, bytes)? => {
                Ok(Some(Located::Staged(staged)))
            }
            Some(_) => Ok(None),
        }
    }

    fn staged_has_key(&self, object: &ObjectLayout, index: &IndexLayout, staged: usize, key: &[u8]) -> Result<bool> {
        let mut found = Vec::with_capacity(key.len());
        let mut cell = Vec::new();
        Ok(self.staged_key(object, index, staged, &mut found, &mut cell)? && found == key)
    }

    /// Appends the key that a staged record has now; false where a component has no value.
    pub(super) fn staged_key(
        &self,
        object: &ObjectLayout,
        index: &IndexLayout,
        staged: usize,
        out: &mut Vec<u8>,
        cell: &mut Vec<u8>,
    ) -> Result<bool> {
        for id in &index.attributes {
            let Some(attribute) = object.attribute(*id) else { return Ok(false) };
            if !self.staged_cell(staged, attribute, cell)? {
                return Ok(false);
            }
            append_key_bytes(out, attribute.value_type, cell);
        }
        Ok(true)
    }

    /// An attribute's value as the transaction sees it.
    fn staged_cell(&self, staged: usize, attribute: &AttributeLayout, out: &mut Vec<u8>) -> Result<bool> {
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

    fn create(
        &mut self,
        object: ObjectRef<'_>,
        id: Option<RecordId>,
        key: Option<&Vec<(String, Value)>>,
        patch: &Patch,
    ) -> Result<Outcome> {
        if let Some(expected) = patch.if_version {
            let message = format!("no record yet, so it cannot be at version {expected}");
            return Err(Error::new(ErrorKind::PreconditionFailed, message));
        }
        let (id, version) = match id {
            None => (self.context.source.new_id(self.context.source.now()), 1),
            Some(id) => (id, self.version_for_given_id(object, id)?),
        };
        let before = self.state.stage.find(id);
        let staged = self.state.stage.push(object.layout.id, id, RowId(0), Fate::Create, version);
        let result = self.fill_create(object, staged, key, patch);
        match result {
            Ok(changed) => {
                self.claim_keys(object.layout, staged)?;
                self.outcome(object, staged, changed, true, patch.returning)
            }
            Err(error) => {
                self.state.stage.pop(before);
                Err(error)
            }
        }
    }

    /// A version never restarts for the same id. An id that the caller gives may have lived before, with
    /// versions no higher than the number of commits then; so its version starts at this commit's.
    fn version_for_given_id(&self, object: ObjectRef<'_>, id: RecordId) -> Result<u64> {
        let next = self.context.records.applied().next().0;
        if let Some(index) = self.state.stage.find(id) {
            let staged = self.state.stage.record(index);
            if staged.is_live() {
                return Err(id_conflict(object.schema, id, staged.version));
            }
            return Ok(next.max(staged.version + 1));
        }
        let records = self.context.records;
        let held = records.find_id(&records.pages.live(), &self.catalog, id, |_, _, header, _| Ok(header.version))?;
        match held {
            Some(version) => Err(id_conflict(object.schema, id, version)),
            None => Ok(next),
        }
    }

    fn fill_create(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: Option<&Vec<(String, Value)>>,
        patch: &Patch,
    ) -> Result<AttributeSet> {
        let mut changed = AttributeSet::default();
        let parts = key.map_or(&[][..], Vec::as_slice);
        for (name, value) in parts.iter().chain(&patch.set) {
            let (schema, layout) = attribute_ref(object, name)?;
            let span = self.encode(object.schema, schema, value)?;
            if span.is_some() {
                changed.insert(layout.id);
            }
            self.state.stage.record_mut(staged).put(layout.id, span);
        }
        for name in &patch.clear {
            let (_, layout) = attribute_ref(object, name)?;
            self.state.stage.record_mut(staged).put(layout.id, None);
        }
        let record = self.state.stage.record_mut(staged);
        record.cells.retain(|cell| cell.bytes.is_some());
        record.cells.sort_unstable_by_key(|cell| cell.attribute);
        record.moves_keys = true;
        record.at = patch.at;
        self.check_required(object, staged)?;
        self.check_record_len(object, staged)?;
        Ok(changed)
    }

    /// Appends a value's cell to the arena; `None` for null.
    fn encode(&mut self, object: &ObjectSchema, attribute: &AttributeSchema, value: &Value) -> Result<Option<std::ops::Range<usize>>> {
        if attribute.is_read_only() {
            let reason = "the attribute is read-only";
            return Err(Error::attribute(ErrorKind::NotWritable, object.key(), attribute.key(), reason));
        }
        if value.is_null() {
            return Ok(None);
        }
        let arena = &mut self.state.stage.arena;
        let start = arena.len();
        attribute.encode(object, value, arena)?;
        Ok(Some(start..arena.len()))
    }

    fn update(&mut self, object: ObjectRef<'_>, located: Located, patch: &Patch) -> Result<Outcome> {
        let (id, version) = self.identity(located);
        if let Some(expected) = patch.if_version
            && expected != version
        {
            return Err(Error::version(id, expected, version));
        }
        let (staged, backup) = match located {
            Located::Staged(staged) => (staged, Some(self.state.stage.record(staged).clone())),
            Located::Stored { id, row, version } => (self.push(object, id, row, Fate::Update, version)?, None),
        };
        match self.fill_update(object, staged, patch) {
            Ok(changed) if changed.is_empty() && backup.is_none() => {
                let outcome = self.outcome(object, staged, changed, false, patch.returning);
                self.state.stage.pop(None);
                outcome
            }
            Ok(changed) => {
                let record = self.state.stage.record_mut(staged);
                if backup.is_none() {
                    record.version += 1;
                }
                if !changed.is_empty() {
                    record.at = patch.at.or(record.at);
                }
                if record.moves_keys {
                    self.claim_keys(object.layout, staged)?;
                }
                self.outcome(object, staged, changed, false, patch.returning)
            }
            Err(error) => {
                match backup {
                    Some(backup) => *self.state.stage.record_mut(staged) = backup,
                    None => self.state.stage.pop(None),
                }
                Err(error)
            }
        }
    }

    /// Stages a record that the store has.
    fn push(&mut self, object: ObjectRef<'_>, id: RecordId, row: RowId, fate: Fate, version: u64) -> Result<usize> {
        let records = self.context.records;
        let group = records.group_of(&records.pages.live(), object.layout, row)?;
        let staged = self.state.stage.push(object.layout.id, id, row, fate, version);
        self.state.stage.record_mut(staged).group = group;
        Ok(staged)
    }

    fn identity(&self, located: Located) -> (RecordId, u64) {
        match located {
            Located::Stored { id, version, .. } => (id, version),
            Located::Staged(staged) => {
                let staged = self.state.stage.record(staged);
                (staged.id, staged.version)
            }
        }
    }

    fn fill_update(&mut self, object: ObjectRef<'_>, staged: usize, patch: &Patch) -> Result<AttributeSet> {
        let mut changed = AttributeSet::default();
        for (name, value) in &patch.set {
            let (schema, layout) = attribute_ref(object, name)?;
            let span = self.encode(object.schema, schema, value)?;
            self.stage_cell(staged, layout, span, &mut changed)?;
        }
        for name in &patch.clear {
            let (schema, layout) = attribute_ref(object, name)?;
            let cleared = self.encode(object.schema, schema, &Value::Null)?;
            self.stage_cell(staged, layout, cleared, &mut changed)?;
        }
        if patch.mode == Mode::Replace {
            self.clear_unnamed(object, staged, patch, &mut changed)?;
        }
        if object.layout.attributes.iter().any(|attribute| attribute.required) {
            self.check_required_of(object, staged, &changed)?;
        }
        if !changed.is_empty() {
            self.check_record_len(object, staged)?;
        }
        Ok(changed)
    }

    fn clear_unnamed(&mut self, object: ObjectRef<'_>, staged: usize, patch: &Patch, changed: &mut AttributeSet) -> Result<()> {
        for (schema, layout) in object.schema.attributes().iter().zip(&object.layout.attributes) {
            let named = patch.set.iter().any(|(name, _)| name == schema.key());
            if !named && !schema.is_read_only() {
                self.stage_cell(staged, layout, None, changed)?;
            }
        }
        Ok(())
    }

    /// Stages one attribute's new value, unless it is the one that the transaction sees already.
    fn stage_cell(
        &mut self,
        staged: usize,
        layout: &AttributeLayout,
        span: Option<std::ops::Range<usize>>,
        changed: &mut AttributeSet,
    ) -> Result<()> {
        if self.is_same(staged, layout, span.as_ref())? {
            if let Some(span) = span {
                self.state.stage.arena.truncate(span.start);
            }
            return Ok(());
        }
        changed.insert(layout.id);
        let record = self.state.stage.record_mut(staged);
        record.put(layout.id, span);
        record.moves_keys |= layout.indexed;
        Ok(())
    }

    fn is_same(
        &self,
        staged: usize,
        layout: &AttributeLayout,
        span: Option<&std::ops::Range<usize>>,
    ) -> Result<bool> {
        let stage = &self.state.stage;
        let record = stage.record(staged);
        let new = span.map(|span| &stage.arena[span.clone()]);
        if let Some(cell) = record.cell(layout.id) {
            return Ok(cell.bytes.as_ref().map(|span| &stage.arena[span.clone()]) == new);
        }
        if record.fate == Fate::Create {
            return Ok(new.is_none());
        }
        let Some(group) = &record.group else { return Ok(false) };
        in_group(group, record.row, |state, slot| {
            let same = cell_equals(state, layout, slot, new)?;
            if !same {
                // Crash rule 8: what apply will read of an update's cells is read here.
                touch_cell(state, layout, slot)?;
            }
            Ok(same)
        })
    }

    fn delete(&mut self, object: ObjectRef<'_>, located: Located, patch: &Patch) -> Result<Outcome> {
        let (id, version) = self.identity(located);
        if let Some(expected) = patch.if_version
            && expected != version
        {
            return Err(Error::version(id, expected, version));
        }
        let mut changed = AttributeSet::default();
        let staged = match located {
            Located::Stored { id, row, version } => self.push(object, id, row, Fate::Delete, version)?,
            Located::Staged(staged) => staged,
        };
        let before = match patch.returning {
            true => self.read_staged_as(object, staged, Fate::Update)?,
            false => None,
        };
        let record = self.state.stage.record_mut(staged);
        record.fate = if record.fate == Fate::Create { Fate::Gone } else { Fate::Delete };
        record.cells.clear();
        record.moves_keys = false;
        for layout in &object.layout.attributes {
            changed.insert(layout.id);
        }
        let (object, catalog) = (object.layout.id, self.catalog.clone());
        let lsn = self.context.records.applied();
        Ok(Outcome { id, version, lsn, created: false, record: before, object, changed, catalog })
    }

    fn check_required(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let record = self.state.stage.record(staged);
        let missing = object.layout.attributes.iter().find(|a| a.required && record.cell(a.id).is_none());
        missing.map_or(Ok(()), |attribute| Err(missing_required(object, attribute.id)))
    }

    /// Whether a required attribute was cleared by this mutation.
    fn check_required_of(&self, object: ObjectRef<'_>, staged: usize, changed: &AttributeSet) -> Result<()> {
        let record = self.state.stage.record(staged);
        for id in changed.iter() {
            let required = object.layout.attribute(id).is_some_and(|attribute| attribute.required);
            if required && record.cell(id).is_some_and(|cell| cell.bytes.is_none()) {
                return Err(missing_required(object, id));
            }
        }
        Ok(())
    }

    fn check_record_len(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let Some(max) = object.schema.max_record_len() else { return Ok(()) };
        let (mut len, mut cell) = (0, Vec::new());
        for attribute in &object.layout.attributes {
            if self.staged_cell(staged, attribute, &mut cell)? {
                len += cell.len();
            }
        }
        if len as u64 <= u64::from(max) {
            return Ok(());
        }
        let message = format!("{}: the record would have {len} bytes, at most {max} are allowed", object.schema.key());
        Err(Error::new(ErrorKind::LimitExceeded, message))
    }

    /// Notes the keys that a staged record has now, so that later mutations of the transaction find it.
    fn claim_keys(&mut self, object: &ObjectLayout, staged: usize) -> Result<()> {
        if self.single {
            return Ok(());
        }
        let (mut key, mut cell) = (Vec::new(), std::mem::take(&mut self.state.stage.cell));
        for index in &object.indexes {
            key.clear();
            if self.staged_key(object, index, staged, &mut key, &mut cell)? {
                let hash = key_hash(self.context.records.hash_seed, &key);
                self.state.stage.claim(index.tree, hash, staged);
            }
        }
        self.state.stage.cell = cell;
        Ok(())
    }

    fn outcome(&mut self, object: ObjectRef<'_>, staged: usize, changed: AttributeSet, created: bool, returning: bool) -> Result<Outcome> {
        let record = match returning {
            true => self.read_staged_as(object, staged, self.state.stage.record(staged).fate)?,
            false => None,
        };
        let lsn = self.context.records.applied();
        let staged = self.state.stage.record(staged);
        let (object, catalog) = (object.layout.id, self.catalog.clone());
        Ok(Outcome { id: staged.id, version: staged.version, lsn, created, record, object, changed, catalog })
    }

    /// The whole record as the transaction sees it. Times of what is staged are those of now.
    fn read_staged_as(&self, object: ObjectRef<'_>, staged: usize, fate: Fate) -> Result<Option<Record>> {
        let records = self.context.records;
        let stage: &Stage = &self.state.stage;
        let record = stage.record(staged);
        let now = record.at.unwrap_or_else(|| self.context.source.now());
        let mut read = match fate {
            Fate::Update => {
                let all = |_: &AttributeLayout| true;
                let Some(group) = &record.group else { return Ok(None) };
                let stored = in_group(group, record.row, |state, slot| {
                    let Some(header) = read_header(state, slot)? else { return Ok(None) };
                    read_record(&self.catalog, object.layout, &header, state, slot, &all).map(Some)
                })?;
                let Some(stored) = stored else { return Ok(None) };
                stored
            }
            _ => {
                let tree = records.pages.live().tree(object.layout.tree).cloned();
                let counter = tree.map_or(0, |tree| tree.meta(crate::records::COUNTER));
                let made = stage.records()[..=staged]
                    .iter()
                    .filter(|other| other.fate == Fate::Create && other.object == record.object)
                    .count();
                Record::new(record.id, record.version, counter + made as u64, now, now, Vec::new())
            }
        };
        if record.cells.is_empty() {
            return Ok(Some(read));
        }
        let mut values = Vec::with_capacity(object.layout.attributes.len());
        for attribute in object.schema.attributes() {
            let value = match record.cell(attribute.id()) {
                Some(cell) => cell.bytes.as_ref().map(|span| attribute.decode(&stage.arena[span.clone()])).transpose()?,
                None => read.get(attribute.key()).cloned(),
            };
            values.extend(value.map(|value| (attribute.name().clone(), value)));
        }
        read = Record::new(read.id, record.version, read.counter, read.created_at, now, values);
        Ok(Some(read))
    }

    /// The record with this key, whole, as the transaction sees it.
    pub(crate) fn get(&mut self, object: &str, key: &Key) -> Result<Option<Record>> {
        let catalog = self.catalog.clone();
        let object = object_ref(&catalog, object)?;
        match self.locate(object, key)? {
            None => Ok(None),
            Some(Located::Staged(staged)) => self.read_staged_as(object, staged, self.state.stage.record(staged).fate),
            Some(Located::Stored { row, .. }) => {
                let records = self.context.records;
                let all = |_: &AttributeLayout| true;
                let read = records.with_row(&records.pages.live(), object.layout, row, |state, slot| {
                    let Some(header) = read_header(state, slot)? else { return Ok(None) };
                    read_record(&catalog, object.layout, &header, state, slot, &all).map(Some)
                })?;
                Ok(read.flatten())
            }
        }
    }
}

/// Whether a slot holds exactly this value.
fn cell_equals(state: &GroupState, layout: &AttributeLayout, slot: u32, new: Option<&[u8]>) -> Result<bool> {
    let Some(page) = state.page(layout.column) else { return Ok(new.is_none()) };
    let Some(width) = layout.width else {
        return match new {
            None => slots::is_present(page, slot).map(|present| !present),
            Some(new) => text::equals(state, layout.column, slot, new),
        };
    };
    let mut cell = [0; 16];
    let len = slots::read_fixed(page, width, slot, &mut cell)?;
    Ok(len.map(|len| &cell[..len]) == new)
}

fn object_ref<'c>(catalog: &'c Catalog, name: &str) -> Result<ObjectRef<'c>> {
    let schema = catalog.schema.object(name)?;
    let layout = catalog.object(schema.id()).expect("a layout for each object of the schema");
    Ok(ObjectRef { schema, layout })
}

fn attribute_ref<'c>(object: ObjectRef<'c>, name: &str) -> Result<(&'c AttributeSchema, &'c AttributeLayout)> {
    let schema = object.schema.attribute(name)?;
    let layout = object.layout.attribute(schema.id()).expect("a layout for each attribute of the schema");
    Ok((schema, layout))
}

/// The index that is made of exactly these attributes.
pub(crate) fn index_for<'c>(object: &'c ObjectSchema, layout: &'c ObjectLayout, parts: &[(String, Value)]) -> Result<&'c IndexLayout> {
    choose_index(ObjectRef { schema: object, layout }, parts)
}

fn choose_index<'c>(object: ObjectRef<'c>, parts: &[(String, Value)]) -> Result<&'c IndexLayout> {
    let is_exact = |index: &&IndexLayout| {
        index.attributes.len() == parts.len()
            && index.attributes.iter().all(|id| parts.iter().any(|(name, _)| name_is(object.schema, *id, name)))
    };
    if let Some(index) = object.layout.indexes.iter().find(is_exact) {
        return Ok(index);
    }
    for (name, _) in parts {
        object.schema.attribute(name)?;
    }
    let given: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    let keys: Vec<String> = object.layout.indexes.iter().map(|index| key_names(object.schema, index).join("+")).collect();
    let message = match keys.is_empty() {
        true => format!("{} has no primary key and no unique attribute; name the record by its id", object.schema.key()),
        false => format!(
            "{}: ({}) is no key; a record is found by its id or by {}",
            object.schema.key(),
            given.join(", "),
            keys.join(" or by ")
        ),
    };
    Err(Error::new(ErrorKind::MatchNotUnique, message))
}

fn name_is(object: &ObjectSchema, id: AttributeId, name: &str) -> bool {
    object.attribute_by_id(id).is_some_and(|attribute| attribute.key() == name)
}

/// Names of an index's attributes, in key order.
pub(crate) fn key_names(object: &ObjectSchema, index: &IndexLayout) -> Vec<String> {
    let names = index.attributes.iter().filter_map(|id| object.attribute_by_id(*id));
    names.map(|attribute| attribute.key().to_string()).collect()
}

/// Appends the canonical key; false where a component is null (no record is found by that).
pub(crate) fn encode_key_parts(object: &ObjectSchema, layout: &ObjectLayout, index: &IndexLayout, parts: &[(String, Value)], out: &mut Vec<u8>) -> Result<bool> {
    encode_key(ObjectRef { schema: object, layout }, index, parts, out)
}

fn encode_key(object: ObjectRef<'_>, index: &IndexLayout, parts: &[(String, Value)], out: &mut Vec<u8>) -> Result<bool> {
    for id in &index.attributes {
        let attribute = object.schema.attribute_by_id(*id).expect("indexes name attributes of their object");
        let Some((_, value)) = parts.iter().find(|(name, _)| name == attribute.key()) else { return Ok(false) };
        if value.is_null() {
            return Ok(false);
        }
        // The component is encoded in place: four bytes of length, then the cell.
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        attribute.encode(object.schema, value, out)?;
        if attribute.value_type() == crate::value::ValueType::Number && out[start + 4..] == (-0.0f64).to_le_bytes() {
            out[start + 4..].fill(0);
        }
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }
    Ok(true)
}

#[cold]
pub(crate) fn not_found(object: &ObjectSchema, key: &Key) -> Error {
    let what = match key {
        Key::Id(id) => format!("id {id}"),
        Key::Attributes(parts) => {
            let parts: Vec<String> = parts.iter().map(|(name, value)| format!("{name} = {}", value.to_json())).collect();
            parts.join(", ")
        }
    };
    Error::new(ErrorKind::RecordNotFound, format!("{}: no record with {what}", object.key()))
}

#[cold]
fn id_conflict(object: &ObjectSchema, id: RecordId, version: u64) -> Error {
    Error::unique(Conflict {
        object: object.key().to_string(),
        attributes: vec!["id".to_string()],
        key: vec![id.to_string()],
        record: id,
        version,
    })
}

#[cold]
fn missing_required(object: ObjectRef<'_>, id: AttributeId) -> Error {
    let name = object.schema.attribute_by_id(id).map_or("", |attribute| attribute.key());
    Error::attribute(ErrorKind::MissingRequired, object.schema.key(), name, "a value is required")
}

/// Reads what changing a cell will read. The presence byte was read before.
pub(super) fn touch_cell(state: &GroupState, layout: &AttributeLayout, slot: u32) -> Result<()> {
    let Some(page) = state.page(layout.column) else { return Ok(()) };
    match layout.width {
        None => text::touch(state, layout.column, slot),
        Some(_) if page.is_resident() => Ok(()),
        Some(width) => page.touch(slots::slot_offset(width, slot), width.cell_len()),
    }
}
