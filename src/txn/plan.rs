//! A mutation with everything that it may have: parts chosen by what is there, ops, conditions, links, all
//! refusals told at once. What is here may be slow; a plain patch of a record that refers to nothing goes
//! another way (`resolve`), and comes here to have everything told that is wrong with it.
//!
//! ```text
//! find the record          by key and refiners
//! judge the condition      version, filter
//! choose values and ops    parts by precedence; links are found, or made by mutations of their own
//! stage them               on the newest state: a nested mutation may have changed the record
//! check the end state      required attributes, size
//! carry relations on       the other sides, what a delete does to those that refer
//! ```
//!
//! Several records are staged on the way. When the mutation is refused, all of them go back to what they
//! were ([`Stage::rollback`](super::stage::Stage::rollback)).

use super::find::Located;
use super::key::{ObjectRef, not_found};
use super::outcome::{AttributeSet, Other, Outcome};
use super::references::Scope;
use super::resolve::{Staging, is_cleared_by_replacing, missing_required};
use super::stage::{Fate, Mark};
use crate::records::AttributeLayout;
use vellum_types::mutation::evaluate::{self, When};
use vellum_types::schema::{AttributeSchema, ObjectSchema};
use vellum_types::value::{Name, Value};
use vellum_types::{Action, Key, Mode, Mutation, Patch, Validation};
use vellum_types::{AttributeId, RecordId};
use vellum_types::{Conflict, Error, ErrorKind, Result};

/// Deepest nesting of mutations in links.
pub(super) const DEPTH_MAX: usize = 8;

/// The cells of one record, in the order of its object's attributes.
type Cells = Vec<Option<Vec<u8>>>;

/// What is wrong with a mutation so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    ignore: bool,
    /// Where in the mutation the value or op stands that is at hand.
    pub(super) place: usize,
    errors: Vec<(usize, Error)>,
    dropped: Vec<Error>,
}

impl Problems {
    fn new(patch: &Patch) -> Problems {
        let validation = patch.terms.as_ref().map(|terms| terms.validation);
        Problems { ignore: validation == Some(Validation::IgnoreInvalid), ..Problems::default() }
    }

    /// Takes a refusal down: as an error, or as something that is left out.
    ///
    /// # Errors
    /// What speaks of the store and not of the mutation.
    pub(super) fn note(&mut self, error: Error, required: bool) -> Result<()> {
        if !error.kind().is_refusal() {
            return Err(error);
        }
        match self.ignore && !required {
            true => self.dropped.extend(each(error)),
            false => {
                let place = self.place;
                self.errors.extend(each(error).into_iter().map(|error| (place, error)));
            }
        }
        Ok(())
    }

    /// A refusal that no policy leaves out.
    fn refuse(&mut self, error: Error) {
        self.errors.push((usize::MAX, error));
    }

    fn finish(&mut self) -> Result<()> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => {
                // Names were judged before values; told are they in the order in which they stand.
                self.errors.sort_by_key(|(place, _)| *place);
                let errors = std::mem::take(&mut self.errors);
                Err(Error::several(errors.into_iter().map(|(_, error)| error).collect()))
            }
        }
    }
}

fn each(error: Error) -> Vec<Error> {
    match error.all() {
        [_] => vec![error],
        several => several.to_vec(),
    }
}

impl<'a> Staging<'a> {
    /// Stages a mutation whatever it has.
    ///
    /// # Errors
    /// Every refusal; what was staged before stays as it was.
    pub(super) fn mutate_whole(
        &mut self,
        object: ObjectRef<'a>,
        mutation: &Mutation,
        depth: usize,
    ) -> Result<Outcome> {
        if depth > DEPTH_MAX {
            let message = format!("mutations are nested deeper than {DEPTH_MAX}");
            return Err(
                Error::new(ErrorKind::LimitExceeded, message).with_limit(DEPTH_MAX as u64, depth as u64)
            );
        }
        // What this mutation stages is looked up by it again.
        let single = std::mem::replace(&mut self.single, false);
        let mark = self.state.stage.mark();
        let result = self.whole(object, mutation, depth, mark);
        let result = result.and_then(|outcome| self.check_emptied(mark).map(|()| outcome));
        self.single = single;
        if result.is_err() {
            self.state.stage.rollback(mark);
        }
        result
    }

    fn whole(
        &mut self,
        object: ObjectRef<'a>,
        mutation: &Mutation,
        depth: usize,
        mark: Mark,
    ) -> Result<Outcome> {
        let patch = &mutation.patch;
        let condition = patch.terms.as_ref().and_then(|terms| terms.condition.as_ref());
        condition.map_or(Ok(()), |filter| evaluate::check(object.schema, filter))?;
        let mut problems = Problems::new(patch);
        let mut outcome = match (mutation.action, &mutation.key) {
            (Action::Create, None) => self.make(object, None, &[], patch, depth, &mut problems),
            (Action::Create, Some(Key::Id(id))) => {
                self.make(object, Some(*id), &[], patch, depth, &mut problems)
            }
            (Action::Create, Some(Key::Named(_))) => Err(Error::new(
                ErrorKind::MissingKey,
                "a create makes a record; it cannot be one that has a name",
            )),
            (_, None) => {
                Err(Error::new(ErrorKind::MissingKey, "the mutation names no record; give an id or a key"))
            }
            (action, Some(key)) => self.choose(object, action, key, patch, depth, &mut problems),
        }?;
        if let Some(name) = patch.terms.as_ref().and_then(|terms| terms.name.clone()) {
            self.state.stage.names.push((name, outcome.id));
        }
        let others = self.others_since(mark, outcome.id);
        if !(others.is_empty() && problems.dropped.is_empty()) {
            let more = outcome.more_mut();
            more.others = others;
            more.dropped = problems.dropped.into();
        }
        Ok(outcome)
    }

    fn choose(
        &mut self,
        object: ObjectRef<'a>,
        action: Action,
        key: &Key,
        patch: &Patch,
        depth: usize,
        problems: &mut Problems,
    ) -> Result<Outcome> {
        let located = self.locate(object, key)?;
        if let Some(located) = &located
            && action != Action::Create
        {
            self.check_condition(object, located, patch)?;
        }
        match (action, located) {
            (Action::Create, Some(located)) => Err(self.is_there(object, key, &located)),
            (Action::Update | Action::Upsert, Some(located)) => {
                self.change_whole(object, located, key, patch, depth, problems)
            }
            (Action::Delete, Some(located)) => self.delete_whole(object, located, patch),
            (Action::Create | Action::Upsert, None) => match key {
                Key::Id(id) => self.make(object, Some(*id), &[], patch, depth, problems),
                Key::Attributes(parts) => self.make(object, None, parts, patch, depth, problems),
                Key::Named(_) => Err(not_found(object.schema, key)),
            },
            (Action::Update | Action::Delete, None) => Err(not_found(object.schema, key)),
        }
    }

    /// The refusal of a create that looked for its record and found one.
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

    fn check_condition(&mut self, object: ObjectRef<'_>, located: &Located, patch: &Patch) -> Result<()> {
        let (id, version) = self.identity(located);
        if let Some(expected) = patch.if_version
            && expected != version
        {
            return Err(Error::version(id, expected, version));
        }
        let Some(filter) = patch.terms.as_ref().and_then(|terms| terms.condition.as_ref()) else {
            return Ok(());
        };
        let mut read = |id: AttributeId, cell: &mut Vec<u8>| {
            let layout = object.layout.attribute(id).expect("a layout for each attribute of the schema");
            self.located_cell(located, layout, cell)
        };
        match evaluate::holds(object.schema, filter, &mut read)? {
            true => Ok(()),
            false => Err(Error::condition(object.schema.key(), id, version)),
        }
    }

    fn make(
        &mut self,
        object: ObjectRef<'a>,
        id: Option<RecordId>,
        parts: &[(Name, Value)],
        patch: &Patch,
        depth: usize,
        problems: &mut Problems,
    ) -> Result<Outcome> {
        if let Some(expected) = patch.if_version {
            let message = format!("no record yet, so it cannot be at version {expected}");
            return Err(Error::new(ErrorKind::PreconditionFailed, message));
        }
        let given_id = id;
        let (id, version) = match given_id {
            None => (self.context.source.new_id(self.context.source.now()), 1),
            Some(id) => (id, self.version_for_given_id(object, id)?),
        };
        let given = evaluate::given(patch, parts, When::Create);
        let mut scope = Scope::new(patch, depth, (object.layout.id, id));
        let choice = self.chosen(object, &given, None, &mut scope, problems)?;
        if let Some(id) = given_id {
            // A nested mutation may have made it.
            self.version_for_given_id(object, id)?;
        }
        let staged = self.push_new(object, id, version);
        let mut changed = AttributeSet::default();
        self.put_chosen(object, staged, &choice, &mut changed, problems)?;
        self.leave_empty(object, staged, parts);
        self.complete_new(object, staged, &choice.unknown(), patch)?;
        let mut changed = self.finish_create(staged, patch);
        for attribute in self.missing(object, staged) {
            if !problems.errors.iter().any(|(_, error)| is_about(error, object, attribute)) {
                problems.refuse(missing_required(object, attribute));
            }
        }
        problems.finish()?;
        self.check_record_len(object, staged)?;
        self.claim_keys(object.layout, staged)?;
        self.relate(object, staged, &[])?;
        // A relation to itself may have given it another side.
        let values = self.state.stage.record(staged).cells.iter().filter(|cell| cell.bytes.is_some());
        values.for_each(|cell| changed.insert(cell.attribute));
        self.outcome(object, staged, changed, true, patch.returning)
    }

    /// What a match asks to have no value gets no default: else the record would not be what was looked for.
    fn leave_empty(&mut self, object: ObjectRef<'_>, staged: usize, parts: &[(Name, Value)]) {
        for (name, _) in parts.iter().filter(|(_, value)| value.is_null()) {
            let Some(attribute) = object.schema.find_attribute(name) else { continue };
            let record = self.state.stage.record_mut(staged);
            if record.cell(attribute.id()).is_none() {
                record.put(attribute.id(), None);
            }
        }
    }

    fn change_whole(
        &mut self,
        object: ObjectRef<'a>,
        located: Located,
        key: &Key,
        patch: &Patch,
        depth: usize,
        problems: &mut Problems,
    ) -> Result<Outcome> {
        let (id, _) = self.identity(&located);
        let given = evaluate::given(patch, &[], When::Update);
        let mut scope = Scope::new(patch, depth, (object.layout.id, id));
        let wants_before = patch.terms.as_ref().is_some_and(|terms| terms.before);
        let before = match wants_before || may_change_itself(object, patch) {
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
        let (staged, pushed) = self.open(object, located);
        let mut changed = AttributeSet::default();
        self.put_chosen(object, staged, &choice, &mut changed, problems)?;
        self.stage_unknown(object, staged, &choice.unknown(), patch.mode, &mut changed)?;
        if patch.mode == Mode::Replace {
            self.clear_rest(object, staged, key, patch, &mut changed)?;
        }
        for attribute in changed.iter() {
            let required = object.layout.attribute(attribute).is_some_and(|attribute| attribute.required);
            let cell = self.state.stage.record(staged).cell(attribute);
            if required && cell.is_some_and(|cell| cell.bytes.is_none()) {
                problems.refuse(missing_required(object, attribute));
            }
        }
        problems.finish()?;
        let is_changed = !changed.is_empty();
        if is_changed {
            self.check_record_len(object, staged)?;
            self.opened_is_changed(object, staged, pushed, patch)?;
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
    pub(super) fn open(&mut self, object: ObjectRef<'_>, located: Located) -> (usize, bool) {
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

    /// Takes back that a record was opened, where nothing came of it.
    pub(super) fn discard_if_unchanged(&mut self, pushed: bool) {
        match pushed {
            true => self.state.stage.pop(None),
            false => self.state.stage.drop_undo(),
        }
    }

    /// Notes that a record that was opened has changed: its version, its time, its keys.
    pub(super) fn opened_is_changed(
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

    /// Clears what neither the parts, the ops nor the key name.
    fn clear_rest(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: &Key,
        patch: &Patch,
        changed: &mut AttributeSet,
    ) -> Result<()> {
        let given = evaluate::given(patch, &[], When::Update);
        let ops = patch.terms.as_ref().map_or(&[][..], |terms| &terms.ops);
        let parts = if let Key::Attributes(parts) = key { parts.as_slice() } else { &[] };
        for (schema, layout) in object.schema.attributes().iter().zip(&object.layout.attributes) {
            let named = given.iter().any(|given| given.name == schema.key())
                || ops.iter().any(|(name, _)| name == schema.key())
                || parts.iter().any(|(name, _)| name == schema.key());
            if !named && is_cleared_by_replacing(schema) && !schema.is_hidden() {
                self.stage_cell(staged, layout, None, changed)?;
            }
        }
        Ok(())
    }

    /// Required attributes that a record lacks.
    fn missing(&self, object: ObjectRef<'_>, staged: usize) -> Vec<AttributeId> {
        let record = self.state.stage.record(staged);
        let lacks = |attribute: &&AttributeLayout| attribute.required && record.cell(attribute.id).is_none();
        object.layout.attributes.iter().filter(lacks).map(|attribute| attribute.id).collect()
    }

    /// The cells of a record that was found, one for each attribute, none where it has no value.
    fn all_cells(&self, object: ObjectRef<'_>, located: &Located) -> Result<Cells> {
        let mut cell = Vec::new();
        let cell_of = |layout: &AttributeLayout| {
            // What is left of an attribute that was deleted is nobody's value.
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

    /// What a mutation staged beside its own record.
    pub(super) fn others_since(&self, mark: Mark, own: RecordId) -> Vec<Other> {
        let stage = &self.state.stage;
        let other = |staged: usize| {
            let record = stage.record(staged);
            let object = self.catalog.schema.object_by_id(record.object)?;
            let is_made_here = staged >= mark.count();
            // What came and went in one mutation was never there.
            let shown = record.id != own
                && !record.object.is_system()
                && (record.is_live() || record.fate == Fate::Delete || !is_made_here);
            shown.then(|| Other {
                object: object.name().into(),
                id: record.id,
                version: record.version,
                created: record.fate == Fate::Create && is_made_here,
                deleted: !record.is_live(),
            })
        };
        stage.since(mark).into_iter().filter_map(other).collect()
    }
}

/// Whether a refusal is about this attribute, so that it need not be called missing too.
fn is_about(error: &Error, object: ObjectRef<'_>, attribute: AttributeId) -> bool {
    let name = object.schema.attribute_by_id(attribute).map(AttributeSchema::key);
    error.attribute_path().is_some_and(|(of, path)| of == object.schema.key() && Some(path) == name)
}

/// Whether what a mutation does to other records can come back to its own: by a link, or by a relation of an
/// object to itself.
fn may_change_itself(object: ObjectRef<'_>, patch: &Patch) -> bool {
    let own = object.layout.id;
    let is_to_itself =
        |attribute: &AttributeSchema| attribute.inverse().is_some_and(|inverse| inverse.object == own);
    patch.terms.as_ref().is_some_and(|terms| !terms.links.is_empty())
        || object.schema.attributes().iter().any(is_to_itself)
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
