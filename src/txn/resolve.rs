//! Staging: one mutation against the store and what the transaction staged before it.

use super::defaults::plain_unknown;
use super::find::Located;
use super::key::{ObjectRef, attribute_ref, not_found, object_ref};
use super::outcome::{AttributeSet, Outcome};
use super::stage::Fate;
use super::{Context, Held};
use crate::records::{AttributeLayout, Catalog, in_group, no_prefetch};
use std::sync::Arc;
use vellum_engine::RowId;
use vellum_engine::page::{Columns, slots, varlen};
use vellum_engine::pages::{GroupGuard, GroupState, Root};
use vellum_types::schema::{AttributeSchema, ObjectSchema, Status};
use vellum_types::value::{Name, Value, ValueType};
use vellum_types::{Action, Key, Mode, Mutation, Patch};
use vellum_types::{AttributeId, RecordId};
use vellum_types::{Conflict, Error, ErrorKind, Result};

/// The staging half of a transaction.
pub(crate) struct Staging<'a> {
    pub(crate) state: Held<'a>,
    pub(crate) context: &'a Context<'a>,
    pub(crate) catalog: &'a Arc<Catalog>,
    /// The live state; under the writer lock it stays what it is until the commit is applied.
    pub(crate) root: &'a Root,
    /// Whether this mutation is the whole transaction: nobody looks staged keys up then.
    pub(crate) single: bool,
}

impl std::fmt::Debug for Staging<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Drop for Staging<'_> {
    /// The next transaction finds the buffers empty, and no page is kept for it.
    fn drop(&mut self) {
        self.state.stage.clear();
        self.state.pages.clear_hint();
    }
}

impl<'a> Staging<'a> {
    /// Stages one mutation and answers what it will have done; the LSN is filled in at commit.
    ///
    /// # Errors
    /// Every refusal; what was staged before stays as it was.
    pub(crate) fn mutate(&mut self, mutation: &Mutation) -> Result<Outcome> {
        let object = object_ref(self.catalog, &mutation.object)?;
        if is_plain(object, mutation) {
            match self.mutate_plain(object, mutation) {
                // There it stops at the first refusal; all that is wrong with a mutation is told.
                Err(error) if error.attribute_path().is_some() => {}
                result => return result,
            }
        }
        self.state.stage.keys_are_free = false;
        let outcome = self.mutate_whole(object, mutation, 0);
        self.state.stage.clear_undo();
        outcome
    }

    /// A mutation of one record that has nothing but a patch.
    fn mutate_plain(&mut self, object: ObjectRef<'_>, mutation: &Mutation) -> Result<Outcome> {
        let arena_len = self.state.stage.arena.len();
        let result = match (mutation.action, &mutation.key) {
            (Action::Create, None) => self.create(object, None, None, &mutation.patch),
            (Action::Create, Some(Key::Id(id))) => self.create(object, Some(*id), None, &mutation.patch),
            (Action::Create, Some(_)) => unreachable!("a create with a match is not plain"),
            (_, None) => {
                Err(Error::new(ErrorKind::MissingKey, "the mutation names no record; give an id or a key"))
            }
            (action, Some(key)) => self.change(object, action, key, &mutation.patch),
        };
        if result.is_err() {
            self.state.stage.arena.truncate(arena_len);
        }
        result
    }

    fn change(&mut self, object: ObjectRef<'_>, action: Action, key: &Key, patch: &Patch) -> Result<Outcome> {
        self.resolve_names(object, patch);
        let located = self.locate(object, key)?;
        match (action, located) {
            (Action::Update | Action::Upsert, Some(located)) => self.update(object, located, key, patch),
            (Action::Delete, Some(located)) => self.delete(object, located, patch),
            (Action::Upsert, None) => match key {
                Key::Id(id) => self.create(object, Some(*id), None, patch),
                Key::Attributes(key) => self.create(object, None, Some(key), patch),
                Key::Named(_) => Err(not_found(object.schema, key)),
            },
            _ => Err(not_found(object.schema, key)),
        }
    }

    fn create(
        &mut self,
        object: ObjectRef<'_>,
        id: Option<RecordId>,
        key: Option<&Vec<(Name, Value)>>,
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
        if key.is_none() {
            self.reject_duplicate(object, patch)?;
        }
        let before = self.state.stage.find(id);
        let staged = self.push_new(object, id, version);
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
    pub(super) fn version_for_given_id(&self, object: ObjectRef<'_>, id: RecordId) -> Result<u64> {
        let next = self.context.records.applied().next().0;
        if let Some(index) = self.state.stage.find(id) {
            let staged = self.state.stage.record(index);
            if staged.is_live() {
                return Err(id_conflict(object.schema, id, staged.version));
            }
            return Ok(next.max(staged.version + 1));
        }
        let records = self.context.records;
        let held =
            records.find_id(self.root, self.catalog, id, no_prefetch, |_, header, _| Ok(header.version))?;
        match held {
            Some((version, _)) => Err(id_conflict(object.schema, id, version)),
            None => Ok(next),
        }
    }

    fn fill_create(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: Option<&Vec<(Name, Value)>>,
        patch: &Patch,
    ) -> Result<AttributeSet> {
        let parts = key.map_or(&[][..], Vec::as_slice);
        let mut near = 0;
        for (name, value) in parts.iter().chain(&patch.set) {
            if object.schema.takes_unknown(name) {
                continue;
            }
            let schema = object.schema.attribute_near(near, name)?;
            near = usize::from(schema.id().0) + 1;
            let span = self.encode(object.schema, schema, value)?;
            self.state.stage.record_mut(staged).put_in_order(schema.id(), span);
        }
        for name in patch.clear.iter().filter(|name| !object.schema.takes_unknown(name)) {
            let attribute = object.schema.attribute(name)?.id();
            self.state.stage.record_mut(staged).put_in_order(attribute, None);
        }
        self.complete_new(object, staged, &plain_unknown(object, parts, patch), patch)?;
        let changed = self.finish_create(staged, patch);
        self.check_required(object, staged)?;
        self.check_record_len(object, staged)?;
        Ok(changed)
    }

    /// Puts a new record's cells into the order in which frames have them.
    pub(super) fn finish_create(&mut self, staged: usize, patch: &Patch) -> AttributeSet {
        let mut changed = AttributeSet::default();
        let record = self.state.stage.record_mut(staged);
        record.cells.retain(|cell| cell.bytes.is_some());
        record.cells.sort_unstable_by_key(|cell| cell.attribute);
        record.cells.iter().for_each(|cell| changed.insert(cell.attribute));
        record.moves_keys = true;
        record.at = patch.at;
        changed
    }

    /// Appends a value's cell to the arena; `None` for null.
    pub(super) fn encode(
        &mut self,
        object: &ObjectSchema,
        attribute: &AttributeSchema,
        value: &Value,
    ) -> Result<Option<std::ops::Range<usize>>> {
        refuse_archived(object, attribute, std::slice::from_ref(value))?;
        if attribute.is_read_only() {
            let reason = "the attribute is read-only";
            return Err(Error::attribute(ErrorKind::NotWritable, object.key(), attribute.key(), reason));
        }
        self.encode_any(object, attribute, value)
    }

    /// [`Staging::encode`] for the engine itself, which writes what callers may not.
    #[inline]
    pub(super) fn encode_any(
        &mut self,
        object: &ObjectSchema,
        attribute: &AttributeSchema,
        value: &Value,
    ) -> Result<Option<std::ops::Range<usize>>> {
        if value.is_null() {
            return Ok(None);
        }
        let arena = &mut self.state.stage.arena;
        let start = arena.len();
        let has_value = attribute.encode(object, value, arena)?;
        Ok(has_value.then_some(start..arena.len()))
    }

    fn update(
        &mut self,
        object: ObjectRef<'_>,
        located: Located,
        key: &Key,
        patch: &Patch,
    ) -> Result<Outcome> {
        let (id, version) = self.identity(&located);
        if let Some(expected) = patch.if_version
            && expected != version
        {
            return Err(Error::version(id, expected, version));
        }
        let (staged, backup) = match located {
            Located::Staged(staged) => (staged, Some(self.state.stage.record(staged).clone())),
            Located::Stored { id, row, version, group } => {
                (self.push(object, (id, row, version), Fate::Update, group), None)
            }
        };
        match self.fill_update(object, staged, key, patch) {
            Ok(changed) if changed.is_empty() && backup.is_none() => {
                let outcome = self.outcome(object, staged, changed, false, patch.returning);
                self.state.stage.pop(None);
                outcome
            }
            Ok(changed) => {
                let position = self.state.stage.position;
                let record = self.state.stage.record_mut(staged);
                record.position = position;
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

    /// Looks the patch's names up before the record is found, so that its attributes can be asked for
    /// along with its header.
    fn resolve_names(&mut self, object: ObjectRef<'_>, patch: &Patch) {
        let names = patch.set.iter().map(|(name, _)| name).chain(&patch.clear);
        let named = &mut self.state.stage.named;
        named.clear();
        named.extend(names.map(|name| object.schema.find_attribute(name).map(AttributeSchema::id)));
    }

    /// The attribute of a name that [`Staging::resolve_names`] found at this place of the patch.
    fn named<'c>(
        &self,
        object: ObjectRef<'c>,
        place: usize,
        name: &str,
    ) -> Result<(&'c AttributeSchema, &'c AttributeLayout)> {
        let id = self.state.stage.named.get(place).copied().flatten();
        let found = id.and_then(|id| object.schema.attribute_by_id(id).zip(object.layout.attribute(id)));
        found.map_or_else(|| attribute_ref(object, name), Ok)
    }

    /// Stages a record in the making.
    pub(super) fn push_new(&mut self, object: ObjectRef<'_>, id: RecordId, version: u64) -> usize {
        self.state.stage.keeps_history |= object.layout.history.is_some();
        self.state.stage.push(object.layout.id, id, RowId(0), Fate::Create, version)
    }

    /// Stages a record that the store has.
    pub(super) fn push(
        &mut self,
        object: ObjectRef<'_>,
        (id, row, version): (RecordId, RowId, u64),
        fate: Fate,
        group: GroupGuard,
    ) -> usize {
        let staged = self.state.stage.push(object.layout.id, id, row, fate, version);
        self.state.stage.keeps_history |= object.layout.history.is_some();
        let group = if self.single { group } else { group.kept() };
        self.state.stage.record_mut(staged).group = Some(group);
        staged
    }

    pub(super) fn identity(&self, located: &Located) -> (RecordId, u64) {
        match located {
            Located::Stored { id, version, .. } => (*id, *version),
            Located::Staged(staged) => {
                let staged = self.state.stage.record(*staged);
                (staged.id, staged.version)
            }
        }
    }

    fn fill_update(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: &Key,
        patch: &Patch,
    ) -> Result<AttributeSet> {
        let mut changed = AttributeSet::default();
        for (place, (name, value)) in patch.set.iter().enumerate() {
            if object.schema.takes_unknown(name) {
                continue;
            }
            let (schema, layout) = self.named(object, place, name)?;
            let span = self.encode(object.schema, schema, value)?;
            self.stage_cell(staged, layout, span, &mut changed)?;
        }
        for (place, name) in patch.clear.iter().enumerate() {
            if object.schema.takes_unknown(name) {
                continue;
            }
            let (schema, layout) = self.named(object, patch.set.len() + place, name)?;
            let cleared = self.encode(object.schema, schema, &Value::Null)?;
            self.stage_cell(staged, layout, cleared, &mut changed)?;
        }
        if patch.mode == Mode::Replace {
            self.clear_unnamed(object, staged, key, patch, &mut changed)?;
        }
        if object.schema.is_open() {
            let unknown = plain_unknown(object, &[], patch);
            self.stage_unknown(object, staged, &unknown, patch.mode, &mut changed)?;
        }
        self.check_required_of(object, staged, &changed)?;
        if !changed.is_empty() {
            self.check_record_len(object, staged)?;
        }
        Ok(changed)
    }

    /// Clears what neither the patch nor the key names: naming a record by its key keeps the key.
    fn clear_unnamed(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: &Key,
        patch: &Patch,
        changed: &mut AttributeSet,
    ) -> Result<()> {
        for (schema, layout) in object.schema.attributes().iter().zip(&object.layout.attributes) {
            let key_parts = if let Key::Attributes(parts) = key { parts.as_slice() } else { &[] };
            let named = patch.set.iter().chain(key_parts).any(|(name, _)| name == schema.key());
            if !named && is_cleared_by_replacing(schema) && !schema.is_hidden() {
                self.stage_cell(staged, layout, None, changed)?;
            }
        }
        Ok(())
    }

    /// Stages one attribute's new value, unless it is the one that the transaction sees already.
    pub(super) fn stage_cell(
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
        self.put_cell(staged, layout, span, changed);
        Ok(())
    }

    /// Stages a value that is not the one that is there.
    #[inline]
    pub(super) fn put_cell(
        &mut self,
        staged: usize,
        layout: &AttributeLayout,
        span: Option<std::ops::Range<usize>>,
        changed: &mut AttributeSet,
    ) {
        changed.insert(layout.id);
        let record = self.state.stage.record_mut(staged);
        record.put(layout.id, span);
        record.moves_keys |= layout.indexed;
    }

    pub(super) fn is_same(
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

    pub(super) fn delete(
        &mut self,
        object: ObjectRef<'_>,
        located: Located,
        patch: &Patch,
    ) -> Result<Outcome> {
        let (id, version) = self.identity(&located);
        if let Some(expected) = patch.if_version
            && expected != version
        {
            return Err(Error::version(id, expected, version));
        }
        let mut changed = AttributeSet::default();
        let staged = match located {
            Located::Stored { id, row, version, group } => {
                self.push(object, (id, row, version), Fate::Delete, group)
            }
            Located::Staged(staged) => staged,
        };
        // A record that this transaction made is read from the stage alone.
        let read_as = match self.state.stage.record(staged).fate {
            Fate::Create => Fate::Create,
            _ => Fate::Update,
        };
        let before = match patch.returning {
            true => self.read_staged_as(object, staged, read_as)?,
            false => None,
        };
        let record = self.state.stage.record_mut(staged);
        record.fate = match record.fate {
            Fate::Create if record.counter != 0 => Fate::ConsumedNumber,
            Fate::Create => Fate::CreatedAndDeleted,
            _ => Fate::Delete,
        };
        record.cells.clear();
        record.at = patch.at.or(record.at);
        record.moves_keys = false;
        for layout in &object.layout.attributes {
            changed.insert(layout.id);
        }
        let (object, catalog) = (object.layout.id, Arc::clone(self.catalog));
        let lsn = self.context.records.applied();
        Ok(Outcome { id, version, lsn, created: false, record: before, object, changed, catalog, more: None })
    }

    pub(super) fn check_required(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let record = self.state.stage.record(staged);
        let missing = object.layout.attributes.iter().find(|a| a.required && record.cell(a.id).is_none());
        missing.map_or(Ok(()), |attribute| Err(missing_required(object, attribute.id)))
    }

    /// Whether a required attribute was cleared by this mutation.
    pub(super) fn check_required_of(
        &self,
        object: ObjectRef<'_>,
        staged: usize,
        changed: &AttributeSet,
    ) -> Result<()> {
        let record = self.state.stage.record(staged);
        for cell in record.cells.iter().filter(|cell| cell.bytes.is_none()) {
            let required =
                object.layout.attribute(cell.attribute).is_some_and(|attribute| attribute.required);
            if required && changed.contains(cell.attribute) {
                return Err(missing_required(object, cell.attribute));
            }
        }
        Ok(())
    }

    pub(super) fn check_record_len(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let Some(max) = object.schema.max_record_len() else { return Ok(()) };
        let (mut len, mut cell) = (0, Vec::new());
        // What is left of an attribute that was deleted is nobody's to take away.
        for attribute in object.layout.attributes.iter().filter(|attribute| !attribute.deleted) {
            if self.staged_cell(staged, attribute, &mut cell)? {
                len += cell.len();
            }
        }
        if len as u64 <= u64::from(max) {
            return Ok(());
        }
        let message =
            format!("{}: the record would have {len} bytes, at most {max} are allowed", object.schema.key());
        Err(Error::new(ErrorKind::LimitExceeded, message).with_limit(max.into(), len as u64))
    }
}

/// Whether a replacement that does not name the attribute clears it: not what no caller may write.
pub(super) fn is_cleared_by_replacing(attribute: &AttributeSchema) -> bool {
    !attribute.is_read_only() && attribute.standing() == Status::Active
}

/// What is archived is shown and not written, whether a value or an op would.
#[inline]
pub(super) fn refuse_archived(
    object: &ObjectSchema,
    attribute: &AttributeSchema,
    values: &[Value],
) -> Result<()> {
    if attribute.standing() == Status::Archived {
        let reason = "the attribute is archived";
        return Err(Error::attribute(ErrorKind::NotWritable, object.key(), attribute.key(), reason));
    }
    match values.iter().find_map(|value| attribute.archived_option(value)) {
        None => Ok(()),
        Some(option) => {
            let reason = format!("the option {option:?} is archived");
            Err(Error::attribute(ErrorKind::UnknownOption, object.key(), attribute.key(), reason))
        }
    }
}

/// Whether a mutation is a patch of one record and nothing else: no terms, and nothing that could change
/// another record.
#[inline]
fn is_plain(object: ObjectRef<'_>, mutation: &Mutation) -> bool {
    let patch = &mutation.patch;
    if patch.terms.is_some() {
        return false;
    }
    if mutation.action == Action::Create && !matches!(mutation.key, None | Some(Key::Id(_))) {
        return false;
    }
    !object.layout.linked || (mutation.action == Action::Update && names_no_reference(object, patch))
}

fn names_no_reference(object: ObjectRef<'_>, patch: &Patch) -> bool {
    let is_reference = |name: &Name| {
        object.schema.find_attribute(name).is_some_and(|a| a.value_type() == ValueType::Reference)
    };
    patch.mode == Mode::Merge && !patch.set.iter().map(|(name, _)| name).chain(&patch.clear).any(is_reference)
}

/// Whether a slot holds exactly this value.
fn cell_equals(
    state: &GroupState,
    layout: &AttributeLayout,
    slot: u32,
    new: Option<&[u8]>,
) -> vellum_engine::Result<bool> {
    let Some(page) = state.page(layout.column) else { return Ok(new.is_none()) };
    let Some(width) = layout.width else {
        return match new {
            None => slots::is_present(page, slot).map(|present| !present),
            Some(new) => varlen::equals(state, layout.column, slot, new),
        };
    };
    let mut cell = [0; 16];
    let len = slots::read_fixed(page, width, slot, &mut cell)?;
    Ok(len.map(|len| &cell[..len]) == new)
}

#[cold]
pub(super) fn id_conflict(object: &ObjectSchema, id: RecordId, version: u64) -> Error {
    Error::unique(Conflict {
        object: object.key().to_string(),
        attributes: vec!["id".to_string()],
        key: vec![id.to_string()],
        record: id,
        version,
    })
}

#[cold]
pub(super) fn missing_required(object: ObjectRef<'_>, id: AttributeId) -> Error {
    let name = object.schema.attribute_by_id(id).map_or("", |attribute| attribute.key());
    Error::attribute(ErrorKind::MissingRequired, object.schema.key(), name, "a value is required")
}

/// Reads what changing a cell will read. The presence byte was read before.
pub(super) fn touch_cell(
    state: &GroupState,
    layout: &AttributeLayout,
    slot: u32,
) -> vellum_engine::Result<()> {
    let Some(page) = state.page(layout.column) else { return Ok(()) };
    match layout.width {
        None => varlen::touch(state, layout.column, slot),
        Some(_) if page.is_resident() => Ok(()),
        Some(width) => page.touch(slots::slot_offset(width, slot), width.cell_len()),
    }
}
