//! Staging one attribute's value: from a value to a cell in the arena, and from there to the staged record, unless the
//! record has that value already.

use super::check::reject_archived;
use super::outcome::AttributeSet;
use super::stage::Fate;
use super::transaction::Transaction;
use crate::records::{AttributeLayout, in_group};
use vellum_engine::page::{Columns, slots, varlen};
use vellum_engine::pages::GroupState;
use vellum_types::schema::{AttributeSchema, ObjectSchema, Status};
use vellum_types::value::Value;
use vellum_types::{Error, ErrorKind, Result};

impl Transaction<'_> {
    /// Appends a value's cell to the arena; `None` for null.
    #[inline]
    pub(super) fn encode(
        &mut self,
        object: &ObjectSchema,
        attribute: &AttributeSchema,
        value: &Value,
    ) -> Result<Option<std::ops::Range<usize>>> {
        reject_archived(object, attribute, std::slice::from_ref(value))?;
        if attribute.is_read_only() {
            let reason = "the attribute is read-only";
            return Err(Error::attribute(ErrorKind::NotWritable, object.key(), attribute.key(), reason));
        }
        self.encode_any(object, attribute, value)
    }

    /// [`Transaction::encode`] for the engine itself, which writes what callers may not.
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

    /// Stages one attribute's new value, unless it is the one that the transaction sees already.
    #[inline]
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

    #[inline]
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
}

/// Whether a replacement that does not name the attribute clears it: not what no caller may write.
pub(super) fn is_cleared_by_replacing(attribute: &AttributeSchema) -> bool {
    !attribute.is_read_only() && attribute.standing() == Status::Active
}

/// Whether a slot holds exactly this value.
#[inline]
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
