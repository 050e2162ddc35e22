//! What a record gets beyond the attributes that a mutation names: defaults when it is made, and in an
//! open object the members that the schema does not know.

use super::key::ObjectRef;
use super::outcome::AttributeSet;
use super::transaction::Transaction;
use vellum_types::Result;
use vellum_types::value::Value;
use vellum_types::{Mode, Patch};

/// A member that the object does not know, and its value; `None` where it is named and its value does not count.
pub(super) type Unknown<'p> = (&'p str, Option<&'p Value>);

impl Transaction<'_> {
    /// Gives a record in the making what no mutation needs to say: defaults, numbers, unknown members.
    pub(super) fn complete_new(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        unknown: &[Unknown<'_>],
        patch: &Patch,
    ) -> Result<()> {
        self.fill_defaults(object, staged, patch)?;
        self.stage_unknown(object, staged, unknown, patch.mode, &mut AttributeSet::default())?;
        if object.layout.has_sequences {
            self.give_numbers(object, staged)?;
        }
        Ok(())
    }

    /// Gives a record in the making the defaults of attributes that nothing was said about. What was set
    /// to null stays without a value.
    fn fill_defaults(&mut self, object: ObjectRef<'_>, staged: usize, patch: &Patch) -> Result<()> {
        if !object.layout.has_defaults {
            return Ok(());
        }
        let now = patch.at.unwrap_or_else(|| self.context.source.now());
        let actor = self.context.actor;
        for attribute in object.schema.attributes() {
            if self.state.stage.record(staged).cell(attribute.id()).is_some() {
                continue;
            }
            let arena = &mut self.state.stage.arena;
            let start = arena.len();
            if attribute.append_default(now, actor, arena) {
                let span = start..arena.len();
                self.state.stage.record_mut(staged).put(attribute.id(), Some(span));
            }
        }
        Ok(())
    }

    /// Stages the members that an open object does not know. A patch that replaces drops those that it does not
    /// name.
    pub(super) fn stage_unknown(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        members: &[Unknown<'_>],
        mode: Mode,
        changed: &mut AttributeSet,
    ) -> Result<()> {
        let Some(hidden) = object.schema.open_attribute() else { return Ok(()) };
        if members.is_empty() && mode == Mode::Merge {
            return Ok(());
        }
        let layout = object.layout.attribute(hidden.id()).expect("a layout for each attribute of the schema");
        let mut current = Vec::new();
        let has = self.staged_cell(staged, layout, &mut current)?;
        let mut gone = match has && mode == Mode::Replace {
            true => object.schema.unknown_members(&hidden.decode(&current)?),
            false => Vec::new(),
        };
        gone.retain(|(name, _)| !members.iter().any(|(named, _)| *named == &**name));
        let gone = gone.iter().map(|(name, _)| (&**name, &Value::Null));
        let said = members.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
        let mut cell = Vec::new();
        let current = has.then_some(current.as_slice());
        let span = match object.schema.merge_unknown(current, gone.chain(said), &mut cell)? {
            false => None,
            true => {
                let arena = &mut self.state.stage.arena;
                let start = arena.len();
                arena.extend_from_slice(&cell);
                Some(start..arena.len())
            }
        };
        self.stage_cell(staged, layout, span, changed)
    }
}
