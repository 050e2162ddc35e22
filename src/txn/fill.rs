//! What a record gets beyond the attributes that a mutation names: defaults when it is made, and in an
//! open object the members that the schema does not know.

use super::key::ObjectRef;
use super::outcome::AttributeSet;
use super::resolve::Staging;
use crate::change::{Mode, Patch};
use crate::error::Result;
use crate::value::{Name, Value};

impl Staging<'_> {
    /// Gives a record in the making what no mutation needs to say: defaults, numbers, unknown members.
    pub(super) fn complete_new(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: &[(Name, Value)],
        patch: &Patch,
    ) -> Result<()> {
        self.fill_defaults(object, staged, patch)?;
        self.stage_unknown(object, staged, key, patch, &mut AttributeSet::default())?;
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

    /// Stages the members that an open object does not know. A patch that replaces drops the others.
    pub(super) fn stage_unknown(
        &mut self,
        object: ObjectRef<'_>,
        staged: usize,
        key: &[(Name, Value)],
        patch: &Patch,
        changed: &mut AttributeSet,
    ) -> Result<()> {
        let Some(hidden) = object.schema.open_attribute() else { return Ok(()) };
        let layout = object.layout.attribute(hidden.id()).expect("a layout for each attribute of the schema");
        let set = key.iter().chain(&patch.set).map(|(name, value)| (name.as_str(), value));
        let clear = patch.clear.iter().map(|name| (name.as_str(), &Value::Null));
        let mut members = set.chain(clear).filter(|(name, _)| object.schema.takes_unknown(name)).peekable();
        if members.peek().is_none() && patch.mode == Mode::Merge {
            return Ok(());
        }
        let mut current = Vec::new();
        let has = patch.mode == Mode::Merge && self.staged_cell(staged, layout, &mut current)?;
        let mut cell = Vec::new();
        let span = match object.schema.merge_unknown(has.then_some(&current), members, &mut cell)? {
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
