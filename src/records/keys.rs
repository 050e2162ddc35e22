//! The keys that a record has in an index: one, or one for each of its values where the attribute has
//! several; none where a component has no value.

use super::catalog::{AttributeLayout, IndexLayout, ObjectLayout};
use super::read::{IndexKey, read_cell};
use crate::redo::Cells;
use vellum_engine::page::{Columns, slots, varlen};
use vellum_engine::pages::GroupState;
use vellum_engine::{Error, Result};
use vellum_types::AttributeId;
use vellum_types::value::{ValueType, append_key_bytes};

/// Buffers for keys.
#[derive(Debug, Default)]
pub struct KeyBuffers {
    key: Vec<u8>,
    cell: Vec<u8>,
}

/// Runs `each` on every key of an index; `read` puts an attribute's cell into the buffer, or says false.
///
/// # Errors
/// What `read` and `each` say; `Corrupt` for a list that is none.
pub fn for_each_key<E: From<Error>>(
    object: &ObjectLayout,
    index: &IndexLayout,
    buffers: &mut KeyBuffers,
    mut read: impl FnMut(&AttributeLayout, &mut Vec<u8>) -> Result<bool, E>,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let KeyBuffers { key, cell } = buffers;
    key.clear();
    for id in &index.attributes {
        let Some(attribute) = object.attribute(*id) else { return Ok(()) };
        if !read(attribute, cell)? {
            return Ok(());
        }
        match attribute.elements {
            None => append_key_bytes(key, attribute.value_type, cell),
            // A key of several values has no other component.
            Some(elements) => {
                return elements
                    .try_for_each(cell, |element| {
                        key.clear();
                        append_key_bytes(key, attribute.value_type, element);
                        each(key).map_err(ListError::Other)
                    })
                    .map_err(ListError::into_error);
            }
        }
    }
    each(key)
}

/// Why a walk over a list ended.
enum ListError<E> {
    NoList(String),
    Other(E),
}

impl<E> From<String> for ListError<E> {
    fn from(reason: String) -> ListError<E> {
        ListError::NoList(reason)
    }
}

impl<E: From<Error>> ListError<E> {
    fn into_error(self) -> E {
        match self {
            ListError::NoList(reason) => Error::corrupt("", 0, reason).into(),
            ListError::Other(error) => error,
        }
    }
}

/// [`for_each_key`] of the record in a slot.
pub fn for_each_key_in<E: From<Error>>(
    state: &GroupState,
    object: &ObjectLayout,
    index: &IndexLayout,
    slot: u32,
    buffers: &mut KeyBuffers,
    each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let read = |attribute: &AttributeLayout, cell: &mut Vec<u8>| Ok(read_cell(state, attribute, slot, cell)?);
    for_each_key(object, index, buffers, read, each)
}

/// [`for_each_key`] of the record that a create's cells make.
pub(super) fn for_each_key_of(
    object: &ObjectLayout,
    index: &IndexLayout,
    cells: &Cells<'_>,
    buffers: &mut KeyBuffers,
    each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let read = |attribute: &AttributeLayout, out: &mut Vec<u8>| {
        let found = changed_cell(cells, attribute.id)?.flatten();
        out.clear();
        out.extend_from_slice(found.unwrap_or_default());
        Ok(found.is_some())
    };
    for_each_key(object, index, buffers, read, each)
}

/// What a frame makes of an attribute: nothing, no value, or a cell.
pub(super) fn changed_cell<'a>(cells: &Cells<'a>, id: AttributeId) -> Result<Option<Option<&'a [u8]>>> {
    let mut cells = cells.clone();
    while let Some(cell) = cells.next_cell()? {
        if cell.attribute == id {
            return Ok(Some(cell.bytes));
        }
    }
    Ok(None)
}

/// Whether the record in `slot` has exactly this key. No allocation for plain types: components are
/// compared one by one.
pub fn has_key(state: &GroupState, object: &ObjectLayout, key: &IndexKey<'_>, slot: u32) -> Result<bool> {
    if !key.index.plain {
        return has_key_in_other_form(state, object, key, slot);
    }
    let mut rest = key.bytes;
    for id in &key.index.attributes {
        let Some(attribute) = object.attribute(*id) else { return Ok(false) };
        let Some((len, tail)) = rest.split_first_chunk::<4>() else { return Ok(false) };
        let len = u32::from_le_bytes(*len) as usize;
        let Some((component, tail)) = tail.split_at_checked(len) else { return Ok(false) };
        rest = tail;
        let equal = match attribute.width {
            None => varlen::equals(state, attribute.column, slot, component)?,
            Some(width) => {
                let mut cell = [0; 16];
                let Some(page) = state.page(attribute.column) else { return Ok(false) };
                match slots::read_fixed(page, width, slot, &mut cell)? {
                    None => false,
                    // Zero has two forms as a number, and a key has the positive one.
                    Some(8) if attribute.value_type == ValueType::Number => {
                        cell[..8] == *component
                            || (cell[..8] == (-0.0f64).to_le_bytes() && component == 0.0f64.to_le_bytes())
                    }
                    Some(len) => cell[..len] == *component,
                }
            }
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(rest.is_empty())
}

/// [`has_key`] where cells are not what keys are made of.
#[cold]
fn has_key_in_other_form(
    state: &GroupState,
    object: &ObjectLayout,
    key: &IndexKey<'_>,
    slot: u32,
) -> Result<bool> {
    let mut found = false;
    for_each_key_in(state, object, key.index, slot, &mut KeyBuffers::default(), |has| {
        found |= has == key.bytes;
        Ok(())
    })?;
    Ok(found)
}
