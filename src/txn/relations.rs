//! What a change of one record does to others: the other side of a relation follows in the same commit,
//! and a record that goes takes references to it along, or is kept by them.
//!
//! # Two sides
//!
//! Attribute A of one object and B of another name each other in the schema: B of y has x exactly if A of
//! x has y. So where x newly has y, B of y gets x; where B has room for one, its old one loses y from A
//! first: it is moved, not refused. Where x no longer has y, B of y loses x.
//!
//! # Deletes
//!
//! Who refers to a record is known from its own side of a relation. A reference with one side is looked for
//! in all records of its object, column by column: a delete of a record that may be referred to so costs as
//! much as a scan of that column. What happens is the referring attribute's choice (`on_delete`); that a
//! record may not go while it is named is judged at the end of the transaction.

use super::check::missing_required;
use super::find::Located;
use super::key::ObjectRef;
use super::outcome::Outcome;
use super::stage::{Emptied, Mark, Restricted};
use super::transaction::Transaction;
use crate::records::{AttributeLayout, ObjectLayout, read_cell, read_header};
use vellum_engine::page::Columns;
use vellum_engine::{GROUP_ROWS, RowId};
use vellum_types::Patch;
use vellum_types::schema::{AttributeSchema, Inverse, OnDelete};
use vellum_types::value::{Value, ValueType};
use vellum_types::{AttributeId, ObjectId, RecordId};
use vellum_types::{Error, ErrorKind, Result};

/// The records that an attribute names.
pub(super) type Partners = Vec<(AttributeId, Vec<RecordId>)>;

/// Records that a cascade is to remove.
type Going = Vec<(ObjectId, RecordId)>;

/// One reference to take out of a record's attribute, and one to put in.
#[derive(Clone, Copy, Debug)]
struct Turn {
    out: Option<RecordId>,
    into: Option<RecordId>,
}

impl<'a> Transaction<'a> {
    pub(super) fn object_of(&self, id: ObjectId) -> ObjectRef<'a> {
        let schema = self.catalog.schema.object_by_id(id).expect("objects that attributes name exist");
        ObjectRef { schema, layout: self.catalog.object(id).expect("a layout for each object") }
    }

    /// What the two-sided attributes of a record name before it is changed.
    pub(super) fn partners(&self, object: ObjectRef<'_>, located: &Located) -> Result<Partners> {
        let mut partners = Partners::new();
        let mut cell = Vec::new();
        for (schema, layout) in two_sided(object) {
            let present = self.located_cell(located, layout, &mut cell)?;
            partners.push((layout.id, if present { references(schema, &cell)? } else { Vec::new() }));
        }
        Ok(partners)
    }

    /// Carries the other sides on: `before` is what the record named, what it names now is staged.
    pub(super) fn relate(
        &mut self,
        object: ObjectRef<'a>,
        staged: usize,
        before: &[(AttributeId, Vec<RecordId>)],
    ) -> Result<()> {
        let id = self.state.stage.record(staged).id;
        let mut cell = Vec::new();
        for (schema, layout) in two_sided(object) {
            let Some(inverse) = schema.inverse() else { continue };
            let present = self.staged_cell(staged, layout, &mut cell)?;
            let now = if present { references(schema, &cell)? } else { Vec::new() };
            let old = before.iter().find(|(known, _)| *known == layout.id).map_or(&[][..], |(_, old)| old);
            for gone in old.iter().filter(|target| !now.contains(target)) {
                self.turn(inverse.object, *gone, inverse.attribute, Turn { out: Some(id), into: None })?;
            }
            for new in now.iter().filter(|target| !old.contains(target)) {
                self.give(object, layout.id, inverse, *new, id)?;
            }
        }
        Ok(())
    }

    /// Puts `id` into the other side, and takes that side's old one off, where it has room for one.
    fn give(
        &mut self,
        object: ObjectRef<'a>,
        attribute: AttributeId,
        inverse: Inverse,
        target: RecordId,
        id: RecordId,
    ) -> Result<()> {
        let other = self.object_of(inverse.object);
        let schema = other.schema.attribute_by_id(inverse.attribute).expect("inverses exist");
        if !schema.is_multi() {
            let Some(located) = self.locate_id(other, target)? else { return Ok(()) };
            let holder = self.names_of(other, &located, inverse.attribute)?.first().copied();
            if let Some(holder) = holder.filter(|holder| *holder != id) {
                self.turn(object.layout.id, holder, attribute, Turn { out: Some(target), into: None })?;
            }
        }
        self.turn(inverse.object, target, inverse.attribute, Turn { out: None, into: Some(id) })
    }

    /// Changes one reference of a record that the transaction may or may not have staged; one that is
    /// gone is left alone.
    fn turn(&mut self, object: ObjectId, id: RecordId, attribute: AttributeId, turn: Turn) -> Result<()> {
        let object = self.object_of(object);
        let Some(located) = self.locate_id(object, id)? else { return Ok(()) };
        let schema = object.schema.attribute_by_id(attribute).expect("inverses exist");
        let layout = object.layout.attribute(attribute).expect("a layout for each attribute");
        let mut ids = self.names_of(object, &located, attribute)?;
        ids.retain(|known| Some(*known) != turn.out);
        if let Some(into) = turn.into
            && !ids.contains(&into)
        {
            if !schema.is_multi() {
                ids.clear();
            }
            ids.push(into);
        }
        let value = match (schema.is_multi(), ids.first()) {
            (_, None) => Value::Null,
            (false, Some(id)) => Value::Reference(*id),
            (true, _) => Value::List(ids.into_iter().map(Value::Reference).collect()),
        };
        if value.is_null() && schema.is_required() {
            let object = object.layout.id;
            self.state.stage.emptied.push(Emptied { object, attribute, record: id });
        }
        let (staged, pushed) = self.edit(object, located);
        let span = self.encode_any(object.schema, schema, &value)?;
        let mut changed = super::outcome::AttributeSet::default();
        self.stage_cell(staged, layout, span, &mut changed)?;
        if !changed.is_empty() {
            self.check_record_len(object, staged)?;
            return self.edited_is_changed(object, staged, pushed, &Patch::default());
        }
        self.discard_if_unchanged(pushed);
        Ok(())
    }

    /// Removes a record, and does to those that refer to it what their attributes say.
    pub(super) fn delete_whole(
        &mut self,
        object: ObjectRef<'a>,
        located: Located,
        patch: &Patch,
    ) -> Result<Outcome> {
        let before = match patch.terms.as_ref().is_some_and(|terms| terms.before) {
            true => self.all_values(object, &located)?,
            false => Vec::new(),
        };
        // A chain of cascades may be longer than a stack is deep.
        let mut going = Vec::new();
        let mut outcome = self.delete_one(object, located, patch, &mut going)?;
        while let Some((object, id)) = going.pop() {
            let object = self.object_of(object);
            // Gone already: the records refer to each other.
            let Some(located) = self.locate_id(object, id)? else { continue };
            self.delete_one(object, located, &Patch::default(), &mut going)?;
        }
        if !before.is_empty() {
            outcome.more_mut().before = before;
        }
        Ok(outcome)
    }

    /// Removes a record alone. Those that go along with it are noted in `going`.
    fn delete_one(
        &mut self,
        object: ObjectRef<'a>,
        located: Located,
        patch: &Patch,
        going: &mut Going,
    ) -> Result<Outcome> {
        let (id, _) = self.identity(&located);
        let mut partners = self.partners(object, &located)?;
        if let Located::Staged(staged) = located {
            self.state.stage.keep(staged);
        }
        let outcome = self.delete(object, located, patch)?;
        self.forget_references(object, id, &mut partners, going)?;
        for (attribute, targets) in &partners {
            let schema = object.schema.attribute_by_id(*attribute).expect("partners are of attributes");
            let Some(inverse) = schema.inverse() else { continue };
            for target in targets {
                self.turn(inverse.object, *target, inverse.attribute, Turn { out: Some(id), into: None })?;
            }
        }
        Ok(outcome)
    }

    /// Carries out `on_delete` for everyone who refers to a record that goes. `partners` is what the
    /// record's own sides name; those that are dealt with here are taken out.
    fn forget_references(
        &mut self,
        object: ObjectRef<'a>,
        gone: RecordId,
        partners: &mut Partners,
        going: &mut Going,
    ) -> Result<()> {
        for (referring, attribute) in object.layout.referrers.clone() {
            let other = self.object_of(referring);
            let schema = other.schema.attribute_by_id(attribute).expect("referrers exist");
            let layout = other.layout.attribute(attribute).expect("a layout for each attribute");
            let referrers = match schema.inverse() {
                Some(inverse) if inverse.object == object.layout.id => {
                    let own = partners.iter_mut().find(|(known, _)| *known == inverse.attribute);
                    let targets = own.map(|(_, targets)| std::mem::take(targets)).unwrap_or_default();
                    self.naming(other, attribute, targets, gone)?
                }
                _ => self.referrers(other.layout, layout, gone)?,
            };
            for referrer in referrers {
                self.forget(other, schema, referrer, gone, going)?;
            }
        }
        Ok(())
    }

    /// Those of the records whose attribute names `target`. In the middle of a transaction a side may name one that
    /// was removed and made again, and that names nobody.
    fn naming(
        &self,
        object: ObjectRef<'a>,
        attribute: AttributeId,
        records: Vec<RecordId>,
        target: RecordId,
    ) -> Result<Vec<RecordId>> {
        let mut naming = Vec::new();
        for id in records {
            if let Some(located) = self.locate_id(object, id)?
                && self.names_of(object, &located, attribute)?.contains(&target)
            {
                naming.push(id);
            }
        }
        Ok(naming)
    }

    fn forget(
        &mut self,
        object: ObjectRef<'a>,
        schema: &AttributeSchema,
        referrer: RecordId,
        gone: RecordId,
        going: &mut Going,
    ) -> Result<()> {
        match schema.on_delete() {
            OnDelete::Clear => {
                self.turn(object.layout.id, referrer, schema.id(), Turn { out: Some(gone), into: None })
            }
            OnDelete::Restrict => {
                let position = self.state.stage.position;
                let (object, attribute) = (object.layout.id, schema.id());
                self.state.stage.restricted.push(Restricted { gone, object, attribute, referrer, position });
                Ok(())
            }
            OnDelete::Cascade => {
                going.push((object.layout.id, referrer));
                Ok(())
            }
        }
    }

    /// Every record whose attribute names `target`, as the transaction sees it.
    fn referrers(
        &self,
        object: &ObjectLayout,
        attribute: &AttributeLayout,
        target: RecordId,
    ) -> Result<Vec<RecordId>> {
        let records = self.context.records;
        let (mut found, mut cell) = (Vec::new(), Vec::new());
        for number in 0..records.group_count(self.root, object) {
            let Some(group) = records.pages.group(self.root, object.tree, number)? else { continue };
            let state = group.state.read();
            if state.page(attribute.column).is_none() {
                continue;
            }
            for slot in 0..GROUP_ROWS {
                let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
                let about =
                    |error: vellum_engine::Error| vellum_engine::pages::about_row(group.tree, row, &error);
                if read_cell(&state, attribute, slot, &mut cell).map_err(about)?
                    && names(&cell, target)
                    && let Some(header) = read_header(&state, slot).map_err(about)?
                {
                    found.push(header.id);
                }
            }
        }
        let stage = &self.state.stage;
        found.retain(|id| stage.find(*id).is_none());
        for (staged, record) in stage.records().iter().enumerate() {
            if record.object == object.id
                && record.is_live()
                && stage.find(record.id) == Some(staged)
                && self.staged_cell(staged, attribute, &mut cell)?
                && names(&cell, target)
            {
                found.push(record.id);
            }
        }
        Ok(found)
    }

    /// Whether every required reference that the mutation took a partner from has another one, or is gone with
    /// its record.
    pub(super) fn check_emptied(&mut self, mark: Mark) -> Result<()> {
        while let Some(emptied) = self.state.stage.next_emptied(mark) {
            let object = self.object_of(emptied.object);
            if let Some(located) = self.locate_id(object, emptied.record)?
                && self.names_of(object, &located, emptied.attribute)?.is_empty()
            {
                let error = missing_required(object, emptied.attribute);
                return Err(error.with_records(vec![emptied.record]));
            }
        }
        Ok(())
    }

    /// The records that an attribute names, as the transaction sees it.
    fn names_of(
        &self,
        object: ObjectRef<'_>,
        located: &Located,
        attribute: AttributeId,
    ) -> Result<Vec<RecordId>> {
        let schema = object.schema.attribute_by_id(attribute).expect("an attribute of the object");
        let layout = object.layout.attribute(attribute).expect("a layout for each attribute");
        let mut cell = Vec::new();
        match self.located_cell(located, layout, &mut cell)? {
            true => references(schema, &cell),
            false => Ok(Vec::new()),
        }
    }

    /// Whether every record that may not go while it is named is named by nobody at the end, or there again.
    pub(super) fn check_restricted(&mut self) -> Result<()> {
        for place in 0..self.state.stage.restricted.len() {
            let restricted = self.state.stage.restricted[place];
            let object = self.object_of(restricted.object);
            let Some(located) = self.locate_id(object, restricted.referrer)? else { continue };
            if self.names_of(object, &located, restricted.attribute)?.contains(&restricted.gone)
                && !self.is_there_again(object, &restricted)?
            {
                return Err(self.is_restricted(object, &restricted));
            }
        }
        Ok(())
    }

    /// Whether the transaction made another record under the id of one that went, which the reference may
    /// name, and which names it back where the relation has two sides.
    fn is_there_again(&self, object: ObjectRef<'_>, restricted: &Restricted) -> Result<bool> {
        let Some(made) = self.locate_anywhere(restricted.gone)? else { return Ok(false) };
        let schema = object.schema.attribute_by_id(restricted.attribute).expect("referrers exist");
        if !schema.refers_to().is_empty() && !schema.refers_to().contains(&made) {
            return Ok(false);
        }
        let Some(inverse) = schema.inverse() else { return Ok(true) };
        let other = self.object_of(made);
        let Some(located) = self.locate_id(other, restricted.gone)? else { return Ok(false) };
        Ok(self.names_of(other, &located, inverse.attribute)?.contains(&restricted.referrer))
    }

    #[cold]
    fn is_restricted(&self, object: ObjectRef<'_>, restricted: &Restricted) -> Error {
        let name = object.schema.attribute_by_id(restricted.attribute).map_or("", AttributeSchema::key);
        let reason = format!(
            "record {} names record {}, which cannot go before",
            restricted.referrer, restricted.gone
        );
        Error::attribute(ErrorKind::ReferenceRestricted, object.schema.key(), name, reason)
            .with_target(restricted.gone.to_string())
            .with_records(vec![restricted.referrer])
            .at_position(restricted.position)
    }
}

fn two_sided<'c>(object: ObjectRef<'c>) -> impl Iterator<Item = (&'c AttributeSchema, &'c AttributeLayout)> {
    let pairs = object.schema.attributes().iter().zip(&object.layout.attributes);
    pairs.filter(|(schema, _)| schema.value_type() == ValueType::Reference && schema.inverse().is_some())
}

/// The records that a cell of references names.
pub(super) fn references(schema: &AttributeSchema, cell: &[u8]) -> Result<Vec<RecordId>> {
    Ok(match schema.decode(cell)? {
        Value::Reference(id) => vec![id],
        Value::List(values) => values.iter().filter_map(Value::as_reference).collect(),
        _ => Vec::new(),
    })
}

/// Whether a cell of references names this record: one id after the other, 16 bytes each.
fn names(cell: &[u8], target: RecordId) -> bool {
    cell.chunks_exact(16).any(|id| id == target.bytes())
}
