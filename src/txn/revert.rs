//! The past put back: restore of a deleted record, values inserted into the past, revert of a commit.
//!
//! What is put back is judged as what callers write: the records that it refers to must be there, and the other
//! sides of relations follow. Both wait until all records of a commit are back, which may refer to each other;
//! records that it made go after that, as any record goes.

use super::PastValue;
use super::find::Located;
use super::key::{ObjectRef, not_found, object_ref};
use super::outcome::{AttributeSet, Outcome};
use super::problems::Problems;
use super::relations::Partners;
use super::stage::Fate;
use super::transaction::Transaction;
use crate::records::row_header::Header;
use crate::records::{Entry, EntryKind, ObjectLayout, in_group, read_header};
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum_engine::{Lsn, RowId};
use vellum_types::schema::{AttributeSchema, Status};
use vellum_types::value::{Timestamp, Value};
use vellum_types::{Error, ErrorKind, Result};
use vellum_types::{Key, Patch};
use vellum_types::{ObjectId, RecordId};

/// A record that was put back, and what its relations named before.
type PutBack = (ObjectId, usize, Partners);

/// What takes back what a commit did to one record, in the order in which it is done: records that it removed are
/// back before others name them again, and what it made goes when nobody names it any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// It was removed.
    Restore,
    /// Another one was made in its place.
    PutFormer,
    /// It was changed.
    PutBack,
    /// It was made.
    Remove,
}

impl Step {
    fn back_from(entries: &[Entry]) -> Step {
        let has = |kind: EntryKind| entries.iter().any(|entry| entry.kind == kind);
        match (has(EntryKind::Died), has(EntryKind::Born)) {
            (true, false) => Step::Restore,
            (true, true) => Step::PutFormer,
            (false, false) => Step::PutBack,
            (false, true) => Step::Remove,
        }
    }
}

impl Transaction<'_> {
    /// Stages a record that was deleted, as history has it.
    pub(crate) fn restore(&mut self, name: &str, id: RecordId) -> Result<Outcome> {
        let (mark, mut back) = (self.state.stage.mark(), Vec::new());
        let result = self.restore_alone(name, id, &mut back).and_then(|mut outcome| {
            self.link_again(&back)?;
            self.check_emptied(mark)?;
            let others = self.others_since(mark, id);
            if !others.is_empty() {
                outcome.more_mut().others = others;
            }
            Ok(outcome)
        });
        if result.is_err() {
            self.state.stage.rollback(mark);
        }
        result
    }

    /// Judges the references of records that were put back, and writes the other sides of their relations.
    fn link_again(&mut self, back: &[PutBack]) -> Result<()> {
        for (object, staged, _) in back {
            self.check_references(self.object_of(*object), *staged)?;
        }
        for (object, staged, before) in back {
            self.relate(self.object_of(*object), *staged, before)?;
        }
        Ok(())
    }

    fn restore_alone(&mut self, name: &str, id: RecordId, back: &mut Vec<PutBack>) -> Result<Outcome> {
        let catalog = self.catalog;
        let object = object_ref(catalog, name)?;
        let history = catalog.history_of(object.layout).ok_or_else(|| not_historic(object))?;
        let records = self.context.records;
        let Some((died, _)) = records.died(self.root, history, id)? else {
            return Err(not_found(object.schema, &Key::Id(id)));
        };
        self.restore_as(object, history, &died, back)
    }

    /// Stages a record as it was when it died. A version goes on, whoever has had the id since.
    fn restore_as(
        &mut self,
        object: ObjectRef<'_>,
        history: &ObjectLayout,
        died: &Entry,
        back: &mut Vec<PutBack>,
    ) -> Result<Outcome> {
        let id = died.record;
        // An id is one record's in the whole store, and another object may have taken it.
        self.version_for_given_id(object, id)?;
        let entries = self.context.records.entries(self.root, history, id, died.row.0 + 1)?;
        let last = entries.iter().skip(1).take_while(|e| e.kind == EntryKind::Value && e.lsn == died.lsn);
        let before = self.state.stage.find(id);
        let since = before.map_or(0, |before| self.state.stage.record(before).version);
        let version = died.version.max(since) + 1;
        let staged = self.state.stage.push(object.layout.id, id, RowId(0), Fate::Create, version);
        self.state.stage.keeps_history = true;
        let result = self.fill_restored(object, staged, last, died);
        match result {
            Ok(changed) => {
                self.claim_keys(object.layout, staged)?;
                back.push((object.layout.id, staged, Partners::new()));
                self.outcome(object, staged, changed, true, true)
            }
            Err(error) => {
                self.state.stage.pop(before);
                Err(error)
            }
        }
    }

    fn fill_restored<'e>(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        entries: impl Iterator<Item = &'e Entry>,
        died: &Entry,
    ) -> Result<AttributeSet> {
        let mut changed = AttributeSet::default();
        for entry in entries {
            let Some(attribute) = present(object, entry) else { continue };
            let Some(cell) = &entry.cell else { continue };
            let cell = fitting_cell(object, attribute, entry.value_type, cell)?;
            let span = self.append(&cell);
            self.state.stage.record_mut(staged).put(attribute.id(), Some(span));
            changed.insert(attribute.id());
        }
        let record = self.state.stage.record_mut(staged);
        record.cells.sort_unstable_by_key(|cell| cell.attribute);
        record.origin = died.origin;
        record.moves_keys = true;
        let mut problems = Problems::default();
        self.check_required(object, staged, &mut problems);
        problems.finish()?;
        self.check_record_len(object, staged)?;
        Ok(changed)
    }

    fn append(&mut self, cell: &[u8]) -> std::ops::Range<usize> {
        let arena = &mut self.state.stage.arena;
        let start = arena.len();
        arena.extend_from_slice(cell);
        start..arena.len()
    }

    /// Stages a value in an interval of the past.
    pub(crate) fn insert_past(
        &mut self,
        name: &str,
        key: &Key,
        attribute: &str,
        value: &Value,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Outcome> {
        let catalog = self.catalog;
        let object = object_ref(catalog, name)?;
        let schema = object.schema.attribute(attribute)?;
        let layout = object.layout.attribute(schema.id()).filter(|layout| layout.history);
        if layout.is_none() {
            let reason = "the attribute keeps no history; give it, or its object, \"history\": true";
            return Err(Error::attribute(ErrorKind::NotHistoric, name, attribute, reason));
        }
        let Some(span) = self.encode(object.schema, schema, value)? else {
            let reason = "the past has gaps of its own; give a value";
            return Err(Error::attribute(ErrorKind::InvalidValue, name, attribute, reason));
        };
        let staged = match self.locate(object, key)? {
            None => return Err(not_found(object.schema, key)),
            Some(Located::Staged(staged)) if self.state.stage.record(staged).fate == Fate::Update => staged,
            Some(Located::Staged(_)) => {
                let reason = "a record that the transaction makes has no past yet";
                return Err(Error::attribute(ErrorKind::HistoryOverlap, name, attribute, reason));
            }
            Some(Located::Stored { id, row, version, group }) => {
                let staged = self.push(object, (id, row, version), Fate::Update, group);
                self.state.stage.record_mut(staged).version += 1;
                staged
            }
        };
        let (owner, attribute) = (staged, schema.id());
        self.state.stage.past.push(PastValue { owner, attribute, cell: span, from, until });
        self.outcome(object, staged, AttributeSet::default(), false, false)
    }

    /// Stages the reverse of what a commit did.
    pub(crate) fn revert(&mut self, lsn: Lsn) -> Result<Vec<Outcome>> {
        let catalog = self.catalog;
        let (mark, mut back) = (self.state.stage.mark(), Vec::new());
        let mut steps: Vec<(Step, ObjectRef<'_>, &ObjectLayout, Vec<Entry>)> = Vec::new();
        let mut known = false;
        for (layout, schema) in catalog.objects().iter().zip(catalog.schema.objects()) {
            let Some(history) = catalog.history_of(layout) else { continue };
            let entries = self.context.records.entries_of(self.root, history, lsn)?;
            known |= !entries.is_empty();
            let object = ObjectRef { schema, layout };
            // By id: the other sides of relations get their values in the same order each time.
            let mut of_record: BTreeMap<RecordId, Vec<Entry>> = BTreeMap::new();
            for entry in entries {
                of_record.entry(entry.record).or_default().push(entry);
            }
            let of_record = of_record.into_values();
            steps.extend(of_record.map(|entries| (Step::back_from(&entries), object, history, entries)));
        }
        steps.sort_by_key(|(step, ..)| *step);
        let mut outcomes = Vec::with_capacity(steps.len());
        let first_made = steps.partition_point(|(step, ..)| *step < Step::Remove);
        for (at, (step, object, history, entries)) in steps.iter().enumerate() {
            if at == first_made {
                self.link_again(&std::mem::take(&mut back))?;
            }
            outcomes.extend(self.revert_record(*object, history, (*step, entries), &mut back)?);
        }
        if !known {
            let message = format!("history has nothing of commit {lsn}: it changed no object that keeps one");
            return Err(Error::new(ErrorKind::NotHistoric, message));
        }
        self.link_again(&back)?;
        self.check_emptied(mark)?;
        Ok(outcomes)
    }

    /// Takes back what a commit did to one record; its entries come in the order in which they were made.
    fn revert_record(
        &mut self,
        object: ObjectRef<'_>,
        history: &ObjectLayout,
        (step, entries): (Step, &[Entry]),
        back: &mut Vec<PutBack>,
    ) -> Result<Option<Outcome>> {
        let Some(last) = entries.last() else { return Ok(None) };
        let id = last.record;
        let current = self.locate(object, &Key::Id(id))?;
        if step == Step::Restore {
            let died = self.context.records.died(self.root, history, id)?;
            return match (current, died) {
                (None, Some((died, _))) if died.lsn == last.lsn => {
                    self.restore_alone(object.schema.key(), id, back).map(Some)
                }
                _ => Err(changed_since(object, id, "it lives again")),
            };
        }
        let Some(header) = self.header_before(object, id, current.as_ref(), step)? else { return Ok(None) };
        let newer = self.context.records.entries(self.root, history, id, header.history)?;
        let newer: Vec<&Entry> = newer.iter().take_while(|entry| entry.row > last.row).collect();
        if newer.iter().any(|entry| entry.kind == EntryKind::Died) {
            return Err(changed_since(object, id, "it was deleted, and another one has its id"));
        }
        if step != Step::PutBack && !newer.is_empty() {
            return Err(changed_since(object, id, "it was changed"));
        }
        let Some(current) = current else { return Ok(Some(self.outcome_of_gone(object, id))) };
        match step {
            Step::Remove => self.remove_made(object, current).map(Some),
            Step::PutFormer => self.put_former(object, history, current, entries, back).map(Some),
            Step::Restore | Step::PutBack => {
                self.put_values_back(object, current, (entries, &newer), back).map(Some)
            }
        }
    }

    /// The header that a record has in front of the transaction.
    fn header_before(
        &self,
        object: ObjectRef<'_>,
        id: RecordId,
        current: Option<&Located>,
        step: Step,
    ) -> Result<Option<Header>> {
        let stage = &self.state.stage;
        let is_gone = |staged: &usize| {
            let staged = stage.record(*staged);
            staged.object == object.layout.id && staged.fate == Fate::Delete
        };
        let staged = match current {
            Some(Located::Stored { row, group, .. }) => {
                return in_group(group, *row, |state, slot| Ok(read_header(state, slot)?));
            }
            Some(Located::Staged(staged)) => Some(*staged),
            // One that the commit made may be gone along with another one that it made.
            None if step == Step::Remove => stage.find(id).filter(is_gone),
            None => None,
        };
        let staged = staged.ok_or_else(|| changed_since(object, id, "it was deleted"))?;
        let staged = stage.record(staged);
        staged.group.as_ref().map_or(Ok(None), |group| {
            in_group(group, staged.row, |state, slot| Ok(read_header(state, slot)?))
        })
    }

    /// Removes a record that the commit made. Those whose required references this empties may be about to go too.
    fn remove_made(&mut self, object: ObjectRef<'_>, current: Located) -> Result<Outcome> {
        let (id, _) = self.identity(&current);
        let mark = self.state.stage.mark();
        let mut outcome = self.delete_whole(self.object_of(object.layout.id), current, &Patch::default())?;
        let others = self.others_since(mark, id);
        if !others.is_empty() {
            outcome.more_mut().others = others;
        }
        Ok(outcome)
    }

    /// The outcome for a record that went along with another one.
    fn outcome_of_gone(&self, object: ObjectRef<'_>, id: RecordId) -> Outcome {
        let stage = &self.state.stage;
        let version = stage.find(id).map_or(0, |staged| stage.record(staged).version);
        let mut changed = AttributeSet::default();
        object.layout.attributes.iter().for_each(|attribute| changed.insert(attribute.id));
        let (object, catalog) = (object.layout.id, Arc::clone(self.catalog));
        let lsn = self.context.records.applied();
        Outcome { id, version, lsn, created: false, record: None, object, changed, catalog, more: None }
    }

    fn put_values_back(
        &mut self,
        object: ObjectRef<'_>,
        current: Located,
        (entries, newer): (&[Entry], &[&Entry]),
        back: &mut Vec<PutBack>,
    ) -> Result<Outcome> {
        let values: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == EntryKind::Value).collect();
        if values.is_empty() {
            let (id, _) = self.identity(&current);
            return Err(changed_since(object, id, "it put a value into the past, which stays"));
        }
        let partners = self.partners(object, &current)?;
        let (staged, pushed) = self.edit(object, current);
        let changed = self.put_back(object, staged, &values, newer)?;
        if changed.is_empty() {
            let outcome = self.outcome(object, staged, changed, false, false);
            self.discard_if_unchanged(pushed);
            return outcome;
        }
        self.edited_is_changed(object, staged, pushed, &Patch::default())?;
        back.push((object.layout.id, staged, partners));
        self.outcome(object, staged, changed, false, true)
    }

    /// Puts a record in the place of the one that has its id now. Who names the id goes on to name it.
    fn put_former(
        &mut self,
        object: ObjectRef<'_>,
        history: &ObjectLayout,
        current: Located,
        entries: &[Entry],
        back: &mut Vec<PutBack>,
    ) -> Result<Outcome> {
        let died = entries.iter().find(|entry| entry.kind == EntryKind::Died).expect("what the step says");
        let partners = self.partners(object, &current)?;
        if let Located::Staged(staged) = current {
            self.state.stage.keep(staged);
        }
        self.delete(object, current, &Patch::default())?;
        let outcome = self.restore_as(object, history, died, back)?;
        back.last_mut().expect("it was put back").2 = partners;
        Ok(outcome)
    }

    fn put_back(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        values: &[&Entry],
        newer: &[&Entry],
    ) -> Result<AttributeSet> {
        let id = self.state.stage.record(staged).id;
        let mut changed = AttributeSet::default();
        for entry in values {
            let again =
                |newer: &&&Entry| newer.kind == EntryKind::Value && newer.attribute == entry.attribute;
            let Some(attribute) = present(object, entry) else {
                return Err(changed_since(object, id, "an attribute of it was deleted"));
            };
            if newer.iter().any(|newer| again(&newer)) {
                return Err(changed_since(object, id, &format!("{} was changed", attribute.key())));
            }
            let layout = object.layout.attribute(entry.attribute).expect("a layout for each attribute");
            let span = match &entry.cell {
                None => None,
                Some(cell) => {
                    let cell = fitting_cell(object, attribute, entry.value_type, cell)?;
                    Some(self.append(&cell))
                }
            };
            self.stage_cell(staged, layout, span, &mut changed)?;
        }
        let mut problems = Problems::default();
        self.check_cleared(object, staged, &changed, &mut problems);
        problems.finish()?;
        self.check_record_len(object, staged)?;
        Ok(changed)
    }
}

/// The cell of a value of the past, for a record that is to have it again: what the schema has taken back since, an
/// option or a limit, no record may have.
fn fitting_cell(
    object: ObjectRef<'_>,
    attribute: &AttributeSchema,
    value_type: u32,
    cell: &[u8],
) -> Result<Vec<u8>> {
    let cell = attribute.present_cell(value_type, cell)?;
    let (value, mut again) = (attribute.decode(&cell)?, Vec::new());
    attribute.encode(object.schema, &value, &mut again)?;
    if again == cell {
        return Ok(cell);
    }
    // Another option has the name now.
    let reason = format!("{value} is an option that was deleted");
    Err(Error::attribute(ErrorKind::UnknownOption, object.schema.key(), attribute.key(), reason))
}

/// The attribute that an entry is about, if it is still there.
fn present<'c>(object: ObjectRef<'c>, entry: &Entry) -> Option<&'c AttributeSchema> {
    let attribute = object.schema.attribute_by_id(entry.attribute)?;
    (attribute.standing() != Status::Deleted).then_some(attribute)
}

#[cold]
fn changed_since(object: ObjectRef<'_>, id: RecordId, what: &str) -> Error {
    let name = object.schema.key();
    let message =
        format!("{name}: record {id} was not left as that commit made it: {what}; nothing was reverted");
    Error::new(ErrorKind::PreconditionFailed, message)
}

#[cold]
fn not_historic(object: ObjectRef<'_>) -> Error {
    let name = object.schema.key();
    let reason = format!("{name} keeps no history; give it, or an attribute, \"history\": true");
    Error::new(ErrorKind::NotHistoric, reason)
}
