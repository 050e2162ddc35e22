//! Which values and ops of a mutation count for its record, and what they make of it together.
//!
//! What counts is settled on the record as it was found, in front of the links: a link of a value that does not
//! count is not followed, and one that changes this very record changes nothing of the choice.

use super::check::reject_archived;
use super::defaults::Unknown;
use super::find::Located;
use super::key::{ObjectRef, attribute_ref};
use super::outcome::AttributeSet;
use super::problems::Problems;
use super::references::Scope;
use super::stage::Fate;
use super::transaction::Transaction;
use crate::records::AttributeLayout;
use std::borrow::Cow;
use vellum_types::Op;
use vellum_types::mutation::evaluate::{self, Place};
use vellum_types::schema::{AttributeSchema, is_no_member};
use vellum_types::value::{Name, Value, ValueType};
use vellum_types::{Error, ErrorKind, Result};

/// A value or an op that counts: its place in the mutation, its attribute, and what it says.
type Chosen<'c, 'p, T> = (usize, &'c AttributeSchema, &'c AttributeLayout, Cow<'p, T>);

/// What a mutation chose for its record.
pub(super) struct Choice<'c, 'p> {
    values: Vec<Chosen<'c, 'p, Value>>,
    ops: Vec<Chosen<'c, 'p, Op>>,
    /// What it says of members that an open object does not know; no value where it does not count.
    unknown: Vec<(&'p Name, Option<Cow<'p, Value>>)>,
}

impl Choice<'_, '_> {
    pub(super) fn unknown(&self) -> Vec<Unknown<'_>> {
        self.unknown.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }
}

impl<'p> Choice<'_, 'p> {
    fn put_unknown(
        &mut self,
        object: ObjectRef<'_>,
        name: &'p Name,
        value: Option<Cow<'p, Value>>,
        problems: &mut Problems,
    ) -> Result<()> {
        let checked = value.as_ref().map_or(Ok(()), |value| object.schema.check_unknown(name, value));
        match checked {
            Ok(()) => self.unknown.push((name, value)),
            Err(error) => self.refuse_unknown(name, error, problems)?,
        }
        Ok(())
    }

    /// What is left out is named all the same: a replacement keeps what the record has of it.
    fn refuse_unknown(&mut self, name: &'p Name, error: Error, problems: &mut Problems) -> Result<()> {
        self.unknown.push((name, None));
        problems.note(error, false)
    }

    /// `there`: the names of those that the record has.
    fn put_unknown_op(
        &mut self,
        object: ObjectRef<'_>,
        (name, op): (&'p Name, &'p Op),
        there: &[Name],
        problems: &mut Problems,
    ) -> Result<()> {
        let value = match op {
            Op::Set(value) => Some(Cow::Borrowed(value)),
            Op::Clear => Some(Cow::Owned(Value::Null)),
            Op::SetIfEmpty(value) => {
                let said = self.unknown.iter().rev().find(|(known, value)| *known == name && value.is_some());
                let has_value = match said {
                    Some((_, value)) => value.as_ref().is_some_and(|value| !is_no_member(value)),
                    None => there.contains(name),
                };
                (!has_value).then_some(Cow::Borrowed(value))
            }
            op => {
                let reason = format!(
                    "the object does not know the member, so {} has no type to go by; {UNKNOWN_OPS} need none",
                    op.name()
                );
                let kind = ErrorKind::UnknownAttribute;
                let error = Error::attribute(kind, object.schema.key(), name.as_str(), reason);
                return self.refuse_unknown(name, error, problems);
            }
        };
        self.put_unknown(object, name, value, problems)
    }
}

/// Ops on a member that the object does not know, and so has no type for.
const UNKNOWN_OPS: &str = "set, clear and set_if_empty";

impl<'a> Transaction<'a> {
    /// Values and ops that count, with their links resolved.
    pub(super) fn chosen<'p>(
        &mut self,
        object: ObjectRef<'a>,
        given: &[evaluate::Given<'p>],
        located: Option<&Located>,
        scope: &mut Scope<'p>,
        problems: &mut Problems,
    ) -> Result<Choice<'a, 'p>> {
        let mut choice =
            Choice { values: Vec::with_capacity(given.len()), ops: Vec::new(), unknown: Vec::new() };
        let there = self.unknown_there(object, located)?;
        let mut counting = Vec::with_capacity(given.len());
        let mut cell = Vec::new();
        // Which values count is settled before a link may change this very record.
        for (place, given) in given.iter().enumerate() {
            problems.place = place;
            if object.schema.takes_unknown(given.name) {
                let has_value = given.if_empty && there.contains(given.name);
                let value = (!has_value).then_some(Cow::Borrowed(given.value));
                choice.put_unknown(object, given.name, value, problems)?;
                continue;
            }
            let Some((schema, layout)) = self.writable(object, given.name, problems)? else { continue };
            let has_value = match located.filter(|_| given.if_empty) {
                Some(located) => self.located_cell(located, layout, &mut cell)?,
                None => false,
            };
            if !has_value {
                counting.push((place, schema, layout, given.value));
            }
        }
        for (place, schema, layout, value) in counting {
            problems.place = place;
            match self.resolve_value(object, schema, value, scope) {
                Ok(value) => choice.values.push((place, schema, layout, value)),
                Err(error) => problems.note(error, schema.is_required())?,
            }
        }
        let ops = scope.terms.map_or(&[][..], |terms| &terms.ops);
        for (place, (name, op)) in evaluate::ordered(ops).enumerate() {
            let place = given.len() + place;
            problems.place = place;
            if object.schema.takes_unknown(name) {
                choice.put_unknown_op(object, (name, op), &there, problems)?;
                continue;
            }
            let Some((schema, layout)) = self.writable(object, name, problems)? else { continue };
            if matches!(op, Op::SetIfEmpty(_))
                && schema.value_type() == ValueType::Reference
                && self.will_have_value(object, (schema, layout), located, &choice)?
            {
                continue;
            }
            match self.resolve_op(object, schema, op, scope) {
                Ok(op) => choice.ops.push((place, schema, layout, op)),
                Err(error) => problems.note(error, schema.is_required())?,
            }
        }
        Ok(choice)
    }

    /// Names of the members which the object does not know and the record has.
    fn unknown_there(&self, object: ObjectRef<'_>, located: Option<&Located>) -> Result<Vec<Name>> {
        let (Some(hidden), Some(located)) = (object.schema.open_attribute(), located) else {
            return Ok(Vec::new());
        };
        let layout = object.layout.attribute(hidden.id()).expect("a layout for each attribute of the schema");
        let mut cell = Vec::new();
        match self.located_cell(located, layout, &mut cell)? {
            true => {
                let members = object.schema.unknown_members(&hidden.decode(&cell)?);
                Ok(members.into_iter().map(|(name, _)| name.into()).collect())
            }
            false => Ok(Vec::new()),
        }
    }

    /// Whether the attribute has a value once all that was chosen so far is carried out.
    fn will_have_value(
        &self,
        object: ObjectRef<'_>,
        (schema, layout): (&AttributeSchema, &AttributeLayout),
        located: Option<&Located>,
        choice: &Choice<'_, '_>,
    ) -> Result<bool> {
        let at = Place { object: object.schema, attribute: schema, now: self.context.source.now() };
        let (mut cell, mut made) = (Vec::new(), Vec::new());
        let mut present = match located {
            Some(located) => self.located_cell(located, layout, &mut cell)?,
            None => false,
        };
        let values = choice.values.iter().filter(|(_, _, of, _)| of.id == layout.id);
        let values = values.map(|(.., value)| Cow::Owned(Op::Set(value.as_ref().clone())));
        let ops = choice.ops.iter().filter(|(_, _, of, _)| of.id == layout.id);
        for op in values.chain(ops.map(|(.., op)| Cow::Borrowed(op.as_ref()))) {
            made.clear();
            // What is refused is told when its turn comes, and leaves the value as it was.
            if let Ok(has_value) = evaluate::apply(at, present.then_some(&cell), &op, &mut made) {
                present = has_value;
                std::mem::swap(&mut cell, &mut made);
            }
        }
        Ok(present)
    }

    /// The attribute of this name, if it exists and callers may write it.
    fn writable(
        &self,
        object: ObjectRef<'a>,
        name: &str,
        problems: &mut Problems,
    ) -> Result<Option<(&'a AttributeSchema, &'a AttributeLayout)>> {
        match attribute_ref(object, name) {
            Ok((schema, layout)) if !schema.is_read_only() => Ok(Some((schema, layout))),
            Ok((schema, _)) => {
                let reason = "the attribute is read-only";
                let kind = ErrorKind::NotWritable;
                let error = Error::attribute(kind, object.schema.key(), schema.key(), reason);
                problems.note(error, false).map(|()| None)
            }
            Err(error) => problems.note(error, false).map(|()| None),
        }
    }

    /// Stages what was chosen on a record that is staged: for each attribute what its value and its ops
    /// make of it together, so that one that ends as it began is no change.
    pub(super) fn put_chosen(
        &mut self,
        object: ObjectRef<'a>,
        staged: usize,
        choice: &Choice<'_, '_>,
        changed: &mut AttributeSet,
        problems: &mut Problems,
    ) -> Result<()> {
        let mut ends: Vec<(&AttributeLayout, Option<std::ops::Range<usize>>)> =
            Vec::with_capacity(choice.values.len() + choice.ops.len());
        for (place, schema, layout, value) in &choice.values {
            problems.place = *place;
            match self.encode(object.schema, schema, value) {
                Ok(span) => ends.push((layout, span)),
                Err(error) => problems.note(error, schema.is_required())?,
            }
        }
        let mut cell = Vec::new();
        let now = self.context.source.now();
        for (place, schema, layout, op) in &choice.ops {
            problems.place = *place;
            let before = ends.iter().position(|(known, _)| known.id == layout.id);
            let present = match before.map(|at| &ends[at].1) {
                None => self.staged_cell(staged, layout, &mut cell)?,
                Some(span) => {
                    cell.clear();
                    cell.extend_from_slice(
                        span.as_ref().map_or(&[], |span| &self.state.stage.arena[span.clone()]),
                    );
                    span.is_some()
                }
            };
            let arena = &mut self.state.stage.arena;
            let start = arena.len();
            let at = Place { object: object.schema, attribute: schema, now };
            let writable = reject_archived(object.schema, schema, evaluate::written(op, present));
            match writable.and_then(|()| evaluate::apply(at, present.then_some(&cell), op, arena)) {
                Ok(made) => {
                    let span = made.then_some(start..arena.len());
                    match before {
                        Some(at) => ends[at].1 = span,
                        None => ends.push((layout, span)),
                    }
                }
                Err(error) => problems.note(error, schema.is_required())?,
            }
        }
        let is_new = self.state.stage.record(staged).fate == Fate::Create;
        for (layout, span) in ends {
            if !self.is_same(staged, layout, span.as_ref())? {
                self.put_cell(staged, layout, span, changed);
            } else if is_new && span.is_none() {
                // Null was said: no default stands in for it.
                self.state.stage.record_mut(staged).put(layout.id, None);
            }
        }
        Ok(())
    }
}
