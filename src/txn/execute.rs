//! Executing one mutation: its steps, one after the other.
//!
//! ```text
//! plan     names in the mutation exist, how deep it is nested
//! find     the record, by id, key or name                     `find`
//! expect   its version, the condition                         `check`
//! choose   values and ops that count, links followed          `precedence`, `references`
//! stage    what differs from the record, in the order of cells `cells`, `defaults`
//! check    required values, the record's length               `check`
//! relate   the other sides of relations, deletes              `relations`
//! answer   what changed, in this record and in others         `outcome`
//! ```
//!
//! There is one way: a mutation that [sets values and nothing else](Plan::is_simple) takes a short branch inside the
//! steps that choose and relate. All errors are collected on it, so that none is looked for a second time. Where a
//! mutation is rejected, everything goes back to where it was ([`Stage::rollback`](super::stage::Stage::rollback)).

use super::cells::is_cleared_by_replacing;
use super::defaults::Unknown;
use super::find::Located;
use super::key::{ObjectRef, attribute_ref, not_found, object_ref};
use super::outcome::{AttributeSet, Outcome};
use super::plan::Plan;
use super::problems::Problems;
use super::references::Scope;
use super::stage::{Fate, Mark};
use super::transaction::Transaction;
use crate::records::AttributeLayout;
use std::sync::Arc;
use vellum_engine::RowId;
use vellum_engine::pages::GroupGuard;
use vellum_types::mutation::evaluate::{self, When};
use vellum_types::schema::{AttributeSchema, ObjectSchema};
use vellum_types::value::{Name, Value};
use vellum_types::{Action, Conflict, Error, ErrorKind, Key, Mode, Mutation, Patch, RecordId, Result};

/// The cells of one record, in the order of its object's attributes.
type Cells = Vec<Option<Vec<u8>>>;

static NULL: Value = Value::Null;

impl<'a> Transaction<'a> {
    /// Executes one mutation and returns what it will have done; the commit sets the LSN.
    ///
    /// # Errors
    /// Every rejection; what was staged before stays as it was.
    pub(crate) fn execute(&mut self, mutation: &Mutation) -> Result<Outcome> {
        let object = object_ref(self.catalog, &mutation.object)?;
        // A mutation that failed halfway leaves what it kept for rolling back; nothing rolls back past here.
        self.state.stage.clear_undo();
        self.execute_nested(object, mutation, 0)
    }

    /// [`Transaction::execute`] at a depth: links execute mutations of their own.
    #[inline]
    pub(super) fn execute_nested(
        &mut self,
        object: ObjectRef<'a>,
        mutation: &Mutation,
        depth: usize,
    ) -> Result<Outcome> {
        let plan = Plan::new(object, mutation, depth)?;
        // Other mutations look up what a mutation with links or relations stages.
        self.single &= plan.is_simple;
        let mark = self.state.stage.mark();
        let outcome = self.run(&plan, mark);
        if outcome.is_err() {
            self.state.stage.rollback(mark);
        }
        outcome
    }

    #[inline]
    fn run(&mut self, plan: &Plan<'a, '_>, mark: Mark) -> Result<Outcome> {
        let found = self.find(plan)?;
        self.check_expected(plan, found.as_ref())?;
        let mut problems = Problems::new(plan.patch);
        let executed = match found {
            None => self.create(plan, &mut problems),
            Some(located) if plan.action == Action::Delete => {
                self.delete_whole(plan.object, located, plan.patch)
            }
            Some(located) => self.update(plan, located, &mut problems),
        };
        if plan.is_simple {
            return executed;
        }
        let mut outcome = executed?;
        self.check_emptied(mark)?;
        if let Some(name) = plan.terms().and_then(|terms| terms.name.clone()) {
            self.state.stage.names.push((name, outcome.id));
        }
        self.add_others(&mut outcome, mark);
        let dropped = problems.into_dropped();
        if !dropped.is_empty() {
            outcome.more_mut().dropped = dropped.into();
        }
        Ok(outcome)
    }

    /// The record that the mutation is about; `None` where it is to be created.
    #[inline]
    fn find(&mut self, plan: &Plan<'a, '_>) -> Result<Option<Located>> {
        let object = plan.object;
        let key = match (plan.action, plan.key) {
            (Action::Create, None | Some(Key::Id(_))) => return Ok(None),
            (Action::Create, Some(Key::Named(_))) => {
                let message = "a create makes a record; it cannot be one that has a name";
                return Err(Error::new(ErrorKind::MissingKey, message));
            }
            (_, None) => {
                let message = "the mutation names no record; give an id or a key";
                return Err(Error::new(ErrorKind::MissingKey, message));
            }
            (_, Some(key)) => key,
        };
        if plan.is_simple {
            self.resolve_names(object, plan.patch);
        }
        let located = self.locate(object, key)?;
        match (plan.action, &located) {
            (Action::Create, Some(located)) => Err(self.is_there(object, key, located)),
            (Action::Update | Action::Delete, None) => Err(not_found(object.schema, key)),
            (Action::Upsert, None) if matches!(key, Key::Named(_)) => Err(not_found(object.schema, key)),
            _ => Ok(located),
        }
    }

    /// The error of a create that looked for its record and found one.
    #[cold]
    fn is_there(&self, object: ObjectRef<'_>, key: &Key, located: &Located) -> Error {
        let (record, version) = self.identity(located);
        let (attributes, key) = match key {
            Key::Attributes(parts) => {
                parts.iter().map(|(name, value)| (name.to_string(), value.to_string())).unzip()
            }
            _ => (vec!["id".to_string()], vec![record.to_string()]),
        };
        Error::unique(Conflict { object: object.schema.key().to_string(), attributes, key, record, version })
    }

    fn create(&mut self, plan: &Plan<'a, '_>, problems: &mut Problems) -> Result<Outcome> {
        let Plan { object, patch, .. } = *plan;
        let (given_id, parts) = (plan.given_id(), plan.key_parts());
        let (id, version) = match given_id {
            None => (self.context.source.new_id(self.context.source.now()), 1),
            Some(id) => (id, self.version_for_given_id(object, id)?),
        };
        let staged = if plan.is_simple {
            if parts.is_empty() {
                self.reject_duplicate(object, patch)?;
            }
            let staged = self.push_new(object, id, version);
            let unknown = self.stage_create(plan, staged, problems)?;
            self.complete_new(object, staged, &unknown, patch)?;
            staged
        } else {
            let given = evaluate::given(patch, parts, When::Create);
            let mut scope = Scope::new(patch, plan.depth, (object.layout.id, id));
            let choice = self.chosen(object, &given, None, &mut scope, problems)?;
            if let Some(id) = given_id {
                // A nested mutation may have created it.
                self.version_for_given_id(object, id)?;
            }
            let staged = self.push_new(object, id, version);
            self.put_chosen(object, staged, &choice, &mut AttributeSet::default(), problems)?;
            self.leave_empty(object, staged, parts);
            self.complete_new(object, staged, &choice.unknown(), patch)?;
            staged
        };
        let mut changed = self.finish_create(staged, patch);
        self.check_required(object, staged, problems);
        problems.finish()?;
        self.check_record_len(object, staged)?;
        self.claim_keys(object.layout, staged)?;
        if !plan.is_simple {
            self.relate(object, staged, &[])?;
            // A relation to itself may have given it another side.
            let values = self.state.stage.record(staged).cells.iter().filter(|cell| cell.bytes.is_some());
            values.for_each(|cell| changed.insert(cell.attribute));
        }
        self.outcome(object, staged, changed, true, patch.returning)
    }

    fn update(&mut self, plan: &Plan<'a, '_>, located: Located, problems: &mut Problems) -> Result<Outcome> {
        if !plan.is_simple {
            return self.update_linked(plan, located, problems);
        }
        let Plan { object, patch, .. } = *plan;
        let (staged, pushed) = self.edit(object, located);
        let mut changed = AttributeSet::default();
        let unknown = self.stage_update(plan, staged, &mut changed, problems)?;
        self.finish_update(plan, staged, &unknown, &mut changed, problems)?;
        if changed.is_empty() {
            let outcome = self.outcome(object, staged, changed, false, patch.returning);
            self.discard_if_unchanged(pushed);
            return outcome;
        }
        self.check_record_len(object, staged)?;
        self.edited_is_changed(object, staged, pushed, patch)?;
        self.outcome(object, staged, changed, false, patch.returning)
    }

    /// An update that may follow links, and change records that the record refers to.
    fn update_linked(
        &mut self,
        plan: &Plan<'a, '_>,
        located: Located,
        problems: &mut Problems,
    ) -> Result<Outcome> {
        let Plan { object, patch, .. } = *plan;
        let (id, _) = self.identity(&located);
        let given = evaluate::given(patch, &[], When::Update);
        let mut scope = Scope::new(patch, plan.depth, (object.layout.id, id));
        let wants_before = plan.terms().is_some_and(|terms| terms.before);
        let before = match wants_before || plan.may_change_itself() {
            true => Some(self.all_cells(object, &located)?),
            false => None,
        };
        let mark = self.state.stage.mark();
        let choice = self.chosen(object, &given, Some(&located), &mut scope, problems)?;
        // A nested mutation may have changed this very record.
        let located = match self.state.stage.mark() == mark {
            true => located,
            false => self.locate_id(object, id)?.ok_or_else(|| not_found(object.schema, &Key::Id(id)))?,
        };
        let partners = self.partners(object, &located)?;
        let (staged, pushed) = self.edit(object, located);
        let mut changed = AttributeSet::default();
        self.put_chosen(object, staged, &choice, &mut changed, problems)?;
        self.finish_update(plan, staged, &choice.unknown(), &mut changed, problems)?;
        let is_changed = !changed.is_empty();
        if is_changed {
            self.check_record_len(object, staged)?;
            self.edited_is_changed(object, staged, pushed, patch)?;
            self.relate(object, staged, &partners)?;
        }
        let mut values_before = Vec::new();
        if let Some(before) = before {
            (changed, values_before) = self.differing(object, staged, &before)?;
        }
        let mut outcome = self.outcome(object, staged, changed, false, patch.returning)?;
        if wants_before && !values_before.is_empty() {
            outcome.more_mut().before = values_before;
        }
        if !is_changed {
            self.discard_if_unchanged(pushed);
        }
        Ok(outcome)
    }

    /// What an update stages after its values: members that an open object does not know, and what a replacement
    /// clears. Reports all that is wrong so far.
    #[inline]
    fn finish_update(
        &mut self,
        plan: &Plan<'a, '_>,
        staged: usize,
        unknown: &[Unknown<'_>],
        changed: &mut AttributeSet,
        problems: &mut Problems,
    ) -> Result<()> {
        let Plan { object, patch, .. } = *plan;
        if object.schema.is_open() {
            self.stage_unknown(object, staged, unknown, patch.mode, changed)?;
        }
        if patch.mode == Mode::Replace {
            self.clear_rest(plan, staged, changed)?;
        }
        self.check_cleared(object, staged, changed, problems);
        problems.finish()
    }

    /// Stages the values of a simple update. Of a name that stands twice the last value counts, and clearing counts
    /// more than setting. Returns the members that the object does not know.
    #[inline]
    fn stage_update<'p>(
        &mut self,
        plan: &Plan<'a, 'p>,
        staged: usize,
        changed: &mut AttributeSet,
        problems: &mut Problems,
    ) -> Result<Vec<Unknown<'p>>> {
        let Patch { set, clear, .. } = plan.patch;
        let mut unknown = Vec::new();
        for (place, (name, value)) in set.iter().enumerate() {
            self.stage_changed(
                plan,
                staged,
                Given { place, name, value },
                changed,
                (problems, &mut unknown),
            )?;
        }
        for (place, name) in clear.iter().enumerate() {
            let given = Given { place: set.len() + place, name, value: &NULL };
            self.stage_changed(plan, staged, given, changed, (problems, &mut unknown))?;
        }
        Ok(unknown)
    }

    #[inline]
    fn stage_changed<'p>(
        &mut self,
        plan: &Plan<'a, 'p>,
        staged: usize,
        given: Given<'p>,
        changed: &mut AttributeSet,
        (problems, unknown): (&mut Problems, &mut Vec<Unknown<'p>>),
    ) -> Result<()> {
        let object = plan.object;
        if object.schema.takes_unknown(given.name) {
            return add_unknown(plan, &given, problems, unknown);
        }
        let encoded = match self.named(object, given.place, given.name) {
            Ok(_) if self.is_named_again(given.place) => return Ok(()),
            Ok((schema, layout)) => match self.encode(object.schema, schema, given.value) {
                Ok(span) => return self.stage_cell(staged, layout, span, changed),
                Err(error) => (error, Some(schema)),
            },
            Err(error) => (error, None),
        };
        note_given(plan, &given, encoded, problems)
    }

    /// Stages the values of a simple create, in the order of the attributes; as [`Transaction::stage_update`].
    fn stage_create<'p>(
        &mut self,
        plan: &Plan<'a, 'p>,
        staged: usize,
        problems: &mut Problems,
    ) -> Result<Vec<Unknown<'p>>> {
        let (object, parts, Patch { set, clear, .. }) = (plan.object, plan.key_parts(), plan.patch);
        let (mut unknown, mut near) = (Vec::new(), 0);
        let pairs = parts.iter().chain(set).map(|(name, value)| (name, value));
        let given = pairs.chain(clear.iter().map(|name| (name, &NULL)));
        for (place, (name, value)) in given.enumerate() {
            let given = Given { place, name, value };
            // A part of the key that asks for no value gets no default, and is no value that is written.
            let is_absent = place < parts.len() && value.is_null();
            if object.schema.takes_unknown(name) {
                if !is_absent {
                    add_unknown(plan, &given, problems, &mut unknown)?;
                }
                continue;
            }
            let rejected = match object.schema.attribute_near(near, name) {
                Ok(schema) => {
                    near = usize::from(schema.id().0) + 1;
                    let encoded = match is_absent {
                        true => Ok(None),
                        false => self.encode(object.schema, schema, value),
                    };
                    match encoded {
                        Ok(span) => {
                            self.state.stage.record_mut(staged).put_in_order(schema.id(), span);
                            continue;
                        }
                        Err(error) => (error, Some(schema)),
                    }
                }
                Err(_) if is_absent => continue,
                Err(error) => (error, None),
            };
            note_given(plan, &given, rejected, problems)?;
        }
        Ok(unknown)
    }

    /// A part of the key that asks for no value gets no default: else the record would not be what was looked for.
    fn leave_empty(&mut self, object: ObjectRef<'_>, staged: usize, parts: &[(Name, Value)]) {
        for (name, _) in parts.iter().filter(|(_, value)| value.is_null()) {
            if let Some(attribute) = object.schema.find_attribute(name) {
                let record = self.state.stage.record_mut(staged);
                if record.cell(attribute.id()).is_none() {
                    record.put(attribute.id(), None);
                }
            }
        }
    }

    /// Puts a new record's cells into the order in which frames have them.
    fn finish_create(&mut self, staged: usize, patch: &Patch) -> AttributeSet {
        let mut changed = AttributeSet::default();
        let record = self.state.stage.record_mut(staged);
        record.cells.retain(|cell| cell.bytes.is_some());
        record.cells.sort_unstable_by_key(|cell| cell.attribute);
        record.cells.iter().for_each(|cell| changed.insert(cell.attribute));
        record.moves_keys = true;
        record.at = patch.at;
        changed
    }

    /// Looks the patch's names up before the record is found, so that its attributes can be asked for
    /// along with its header.
    fn resolve_names(&mut self, object: ObjectRef<'_>, patch: &Patch) {
        let names = patch.set.iter().map(|(name, _)| name).chain(&patch.clear);
        let named = &mut self.state.stage.named;
        named.clear();
        named.extend(names.map(|name| object.schema.find_attribute(name).map(AttributeSchema::id)));
    }

    /// The attribute of a name that [`Transaction::resolve_names`] found at this place of the patch.
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

    /// Whether a later place of the patch names the same attribute.
    #[inline]
    fn is_named_again(&self, place: usize) -> bool {
        match self.state.stage.named.get(place..) {
            Some([Some(id), later @ ..]) => later.contains(&Some(*id)),
            _ => false,
        }
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

    /// The attributes whose values differ from those that a record had, and these.
    fn differing(
        &self,
        object: ObjectRef<'_>,
        staged: usize,
        before: &Cells,
    ) -> Result<(AttributeSet, Vec<(Name, Value)>)> {
        let mut changed = AttributeSet::default();
        let mut values = Vec::new();
        let now = self.all_cells(object, &Located::Staged(staged))?;
        for ((schema, before), now) in object.schema.attributes().iter().zip(before).zip(&now) {
            if before == now {
                continue;
            }
            changed.insert(schema.id());
            let value = decoded(schema, before.as_deref())?;
            match schema.is_hidden() {
                true => {
                    let now = decoded(schema, now.as_deref())?;
                    values.extend(unknown_before(object.schema, &value, &now));
                }
                false => values.push((schema.name().into(), value)),
            }
        }
        Ok((changed, values))
    }

    /// Stages a record that was found, with what it is like now kept; true where it was not staged before.
    pub(super) fn edit(&mut self, object: ObjectRef<'_>, located: Located) -> (usize, bool) {
        match located {
            Located::Staged(staged) => {
                self.state.stage.keep(staged);
                (staged, false)
            }
            Located::Stored { id, row, version, group } => {
                (self.push(object, (id, row, version), Fate::Update, group), true)
            }
        }
    }

    /// Takes back that a record is edited, where nothing came of it.
    pub(super) fn discard_if_unchanged(&mut self, pushed: bool) {
        match pushed {
            true => self.state.stage.pop(None),
            false => self.state.stage.drop_undo(),
        }
    }

    /// Notes that a record that is edited has changed: its version, its time, its keys.
    pub(super) fn edited_is_changed(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        pushed: bool,
        patch: &Patch,
    ) -> Result<()> {
        let position = self.state.stage.position;
        let record = self.state.stage.record_mut(staged);
        record.version += u64::from(pushed);
        record.at = patch.at.or(record.at);
        record.position = position;
        match record.moves_keys {
            true => self.claim_keys(object.layout, staged),
            false => Ok(()),
        }
    }

    /// Clears what neither the values, the ops nor the key name: finding a record by its key keeps the key.
    fn clear_rest(&mut self, plan: &Plan<'a, '_>, staged: usize, changed: &mut AttributeSet) -> Result<()> {
        let object = plan.object;
        for (schema, layout) in object.schema.attributes().iter().zip(&object.layout.attributes) {
            if !plan.names(schema.key()) && is_cleared_by_replacing(schema) && !schema.is_hidden() {
                self.stage_cell(staged, layout, None, changed)?;
            }
        }
        Ok(())
    }

    /// The cells of a record that was found, one for each attribute, none where it has no value.
    fn all_cells(&self, object: ObjectRef<'_>, located: &Located) -> Result<Cells> {
        let mut cell = Vec::new();
        let cell_of = |layout: &AttributeLayout| {
            // Skips deleted attributes.
            let present = !layout.deleted && self.located_cell(located, layout, &mut cell)?;
            Ok(present.then(|| cell.clone()))
        };
        object.layout.attributes.iter().map(cell_of).collect()
    }

    /// The values that a record which was found has.
    pub(super) fn all_values(&self, object: ObjectRef<'_>, located: &Located) -> Result<Vec<(Name, Value)>> {
        let cells = self.all_cells(object, located)?;
        let mut values = Vec::new();
        for (schema, cell) in object.schema.attributes().iter().zip(&cells) {
            let value = decoded(schema, cell.as_deref())?;
            match schema.is_hidden() {
                true => values.extend(unknown_before(object.schema, &value, &Value::Null)),
                false if value.is_null() => {}
                false => values.push((schema.name().into(), value)),
            }
        }
        Ok(values)
    }

    pub(super) fn delete(
        &mut self,
        object: ObjectRef<'_>,
        located: Located,
        patch: &Patch,
    ) -> Result<Outcome> {
        let (id, version) = self.identity(&located);
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
}

/// A value of a simple mutation, and its place in the request.
struct Given<'p> {
    place: usize,
    name: &'p Name,
    value: &'p Value,
}

/// Adds a member that the object does not know.
#[cold]
fn add_unknown<'p>(
    plan: &Plan<'_, 'p>,
    given: &Given<'p>,
    problems: &mut Problems,
    unknown: &mut Vec<Unknown<'p>>,
) -> Result<()> {
    if is_given_again(plan, given) {
        return Ok(());
    }
    let checked = plan.object.schema.check_unknown(given.name, given.value);
    unknown.push((given.name.as_str(), checked.is_ok().then_some(given.value)));
    problems.place = given.place;
    checked.or_else(|error| problems.note(error, false))
}

/// Notes why a value was rejected, unless it does not count. A read-only attribute is reported as such first.
#[cold]
fn note_given(
    plan: &Plan<'_, '_>,
    given: &Given<'_>,
    (error, schema): (Error, Option<&AttributeSchema>),
    problems: &mut Problems,
) -> Result<()> {
    if is_given_again(plan, given) {
        return Ok(());
    }
    problems.place = given.place;
    match schema {
        Some(schema) if schema.is_read_only() => {
            let reason = "the attribute is read-only";
            let kind = ErrorKind::NotWritable;
            problems.note(Error::attribute(kind, plan.object.schema.key(), schema.key(), reason), false)
        }
        _ => problems.note(error, schema.is_some_and(AttributeSchema::is_required)),
    }
}

/// Whether a later place gives the same name another value. The parts of a key count for a create alone.
fn is_given_again(plan: &Plan<'_, '_>, given: &Given<'_>) -> bool {
    let Patch { set, clear, .. } = plan.patch;
    let parts = plan.key_parts();
    let names = set.iter().map(|(name, _)| name).chain(clear);
    let is_of_key = |place: usize| parts.get(place).is_some_and(|(name, _)| std::ptr::eq(name, given.name));
    match is_of_key(given.place) {
        true => names.chain(parts[given.place + 1..].iter().map(|(name, _)| name)).any(|n| n == given.name),
        false => names.skip_while(|name| !std::ptr::eq(*name, given.name)).skip(1).any(|n| n == given.name),
    }
}

fn decoded(schema: &AttributeSchema, cell: Option<&[u8]>) -> Result<Value> {
    cell.map_or(Ok(Value::Null), |cell| schema.decode(cell))
}

/// The members that an open object does not know and that differ, as they were.
fn unknown_before(object: &ObjectSchema, before: &Value, now: &Value) -> Vec<(Name, Value)> {
    let (before, now) = (object.unknown_members(before), object.unknown_members(now));
    let new = now.iter().filter(|(name, _)| !before.iter().any(|(known, _)| known == name));
    let new = new.map(|(name, _)| (Name::from(name.clone()), Value::Null));
    let old = before.iter().filter(|member| !now.contains(member));
    old.map(|(name, value)| (Name::from(name.clone()), value.clone())).chain(new).collect()
}
