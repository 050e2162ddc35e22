//! Reading records: find a row by id or key, confirm it against its own slots, read cells.

use super::keys::has_key;
use super::layout::{AttributeLayout, Catalog, IndexLayout, ObjectLayout};
use super::{ID_TREE, RECORDS, ROWS, Records};
use crate::error::{Error, Result};
use crate::id::{GROUP_ROWS, ObjectId, RecordId, RowId};
use crate::index;
use crate::page::header::{Header, SLOT_LEN};
use crate::page::slots::Width;
use crate::page::{Columns, slots, text};
use crate::pagestore::{Group, GroupGuard, GroupState, Root};
use crate::value::{Record, Timestamp, append_key_bytes, key_hash};

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) object: ObjectId,
    pub(crate) row: RowId,
}

/// A key to look for: canonical bytes and their hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexKey<'a> {
    pub(crate) index: &'a IndexLayout,
    pub(crate) bytes: &'a [u8],
    pub(crate) hash: u64,
}

/// The value of the id index for a row.
pub(crate) fn id_value(object: ObjectId, row: RowId) -> u64 {
    u64::from(object.0) << 48 | row.0
}

/// The row behind a value of the id index.
pub(crate) fn split_id_value(value: u64) -> Found {
    Found { object: ObjectId((value >> 48) as u16), row: RowId(value & ((1 << 48) - 1)) }
}

/// The header of a slot.
#[inline]
pub(crate) fn read_header(state: &GroupState, slot: u32) -> Result<Option<Header>> {
    let Some(page) = state.page(0) else { return Ok(None) };
    let header = Header::read(page, slot)?;
    Ok((!header.is_free()).then_some(header))
}

/// Attributes that are asked for at once; there are not many more lines on their way at a time.
const ATTRIBUTES_MAX: usize = 8;

/// Asks for the cache lines of a row's header and of some of its attributes, all at once: one after the
/// other, each would be awaited. What leads to a line is asked for a step before it.
#[inline]
pub(crate) fn prefetch<'a>(
    state: &GroupState,
    slot: u32,
    attributes: impl Iterator<Item = &'a AttributeLayout>,
) {
    let mut places = [(0, 0); ATTRIBUTES_MAX];
    let mut count = 0;
    for (attribute, place) in attributes.zip(&mut places) {
        state.ask_page(attribute.column);
        *place = (attribute.column, slots::slot_offset(attribute.width.unwrap_or(Width::Sixteen), slot));
        count += 1;
    }
    let header = state.page(0);
    if let Some(page) = header {
        page.ask(slot as usize * SLOT_LEN);
    }
    let mut layered = 0u32;
    for (number, (column, offset)) in places[..count].iter().enumerate() {
        let Some(page) = state.page(*column) else { continue };
        page.ask(slot as usize / 8);
        page.ask(*offset);
        layered |= u32::from(page.is_layered()) << number;
    }
    if let Some(page) = header {
        page.ask_deltas(slot as usize * SLOT_LEN);
    }
    while layered != 0 {
        let (column, offset) = places[layered.trailing_zeros() as usize];
        if let Some(page) = state.page(column) {
            page.ask_deltas(slot as usize / 8);
            page.ask_deltas(offset);
        }
        layered &= layered - 1;
    }
}

/// [`prefetch`] of a whole record, texts with the values that their views show.
fn prefetch_record(
    state: &GroupState,
    slot: u32,
    attributes: &[AttributeLayout],
    wanted: &dyn Fn(&AttributeLayout) -> bool,
) {
    for round in attributes.chunks(ATTRIBUTES_MAX) {
        prefetch(state, slot, round.iter().filter(|attribute| wanted(attribute)));
    }
    if attributes.iter().any(|attribute| attribute.width.is_none()) {
        prefetch_texts(state, slot, attributes.iter().filter(|attribute| wanted(attribute)));
    }
}

fn prefetch_texts<'a>(state: &GroupState, slot: u32, attributes: impl Iterator<Item = &'a AttributeLayout>) {
    const TEXTS_MAX: usize = 16;
    let mut places: [_; TEXTS_MAX] = Default::default();
    let mut count = 0;
    let texts = attributes.filter(|attribute| attribute.width.is_none());
    let found = texts.filter_map(|attribute| text::place(state, attribute.column, slot));
    for (found, place) in found.zip(&mut places) {
        state.ask_buffer(found.0);
        *place = found;
        count += 1;
    }
    for (column, value) in &places[..count] {
        let Some(page) = state.page(*column) else { continue };
        page.ask(0);
        page.ask(value.start);
        page.ask(value.end.saturating_sub(1));
    }
}

/// A look-up that reads nothing but the header.
pub(crate) fn header_alone(_: &ObjectLayout, _: &GroupState, _: u32) {}

/// Puts an attribute's cell into `out` (emptied first); false where there is no value.
#[inline]
pub(crate) fn read_cell(
    state: &GroupState,
    attribute: &AttributeLayout,
    slot: u32,
    out: &mut Vec<u8>,
) -> Result<bool> {
    out.clear();
    let Some(width) = attribute.width else {
        return text::read(state, attribute.column, slot, out);
    };
    let Some(page) = state.page(attribute.column) else { return Ok(false) };
    let mut cell = [0; 16];
    match slots::read_fixed(page, width, slot, &mut cell)? {
        Some(len) => {
            out.extend_from_slice(&cell[..len]);
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Runs `take` on an attribute's cell, which is copied only where it lies in several runs.
#[inline]
fn with_cell<R>(
    state: &GroupState,
    attribute: &AttributeLayout,
    slot: u32,
    take: impl FnOnce(&[u8]) -> Result<R>,
) -> Result<Option<R>> {
    let Some(width) = attribute.width else { return text::with(state, attribute.column, slot, take) };
    let Some(page) = state.page(attribute.column) else { return Ok(None) };
    let mut cell = [0; 16];
    slots::read_fixed(page, width, slot, &mut cell)?.map(|len| take(&cell[..len])).transpose()
}

/// Appends a record's canonical key to `out`; false where a component has no value (such a record is
/// in no index). For an index whose attribute has one value; see `keys` for the others.
pub(crate) fn read_key(
    state: &GroupState,
    object: &ObjectLayout,
    index: &IndexLayout,
    slot: u32,
    out: &mut Vec<u8>,
    cell: &mut Vec<u8>,
) -> Result<bool> {
    for id in &index.attributes {
        let Some(attribute) = object.attribute(*id) else { return Ok(false) };
        if !read_cell(state, attribute, slot, cell)? {
            return Ok(false);
        }
        append_key_bytes(out, attribute.value_type, cell);
    }
    Ok(true)
}

/// Runs `read` on a row of a group under its latch.
#[inline]
pub(crate) fn in_group<R>(
    group: &Group,
    row: RowId,
    read: impl FnOnce(&GroupState, u32) -> Result<R>,
) -> Result<R> {
    let state = group.state.read();
    read(&state, row.slot()).map_err(|error| crate::pagestore::about_row(group.tree, row, &error))
}

impl Records {
    /// Hash of a record id.
    #[inline]
    pub(crate) fn id_hash(&self, id: RecordId) -> u64 {
        key_hash(self.hash_seed, &id.bytes())
    }

    /// Runs `read` on a row under its group's latch.
    #[inline]
    pub(crate) fn with_row<R>(
        &self,
        root: &Root,
        object: &ObjectLayout,
        row: RowId,
        read: impl FnOnce(&GroupState, u32) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some(group) = self.pages.group(root, object.tree, row.group())? else { return Ok(None) };
        in_group(&group, row, read).map(Some)
    }

    /// Finds a record by id and reads it under the same latch.
    #[inline]
    pub(crate) fn find_id<R>(
        &self,
        root: &Root,
        catalog: &Catalog,
        id: RecordId,
        ahead: impl Fn(&ObjectLayout, &GroupState, u32),
        mut read: impl FnMut(Found, &Header, &GroupState) -> Result<R>,
    ) -> Result<Option<(R, GroupGuard)>> {
        for value in index::find(&self.pages, root, ID_TREE, self.id_hash(id))?.iter() {
            let found = split_id_value(value);
            let Some(object) = catalog.object(found.object) else { continue };
            let Some(group) = self.pages.group(root, object.tree, found.row.group())? else { continue };
            let hit = in_group(&group, found.row, |state, slot| {
                ahead(object, state, slot);
                match read_header(state, slot)? {
                    Some(header) if header.id == id => read(found, &header, state).map(Some),
                    _ => Ok(None),
                }
            })?;
            if let Some(hit) = hit {
                return Ok(Some((hit, group)));
            }
        }
        Ok(None)
    }

    /// Finds a record by key and reads it under the same latch.
    #[inline]
    pub(crate) fn find_key<R>(
        &self,
        root: &Root,
        object: &ObjectLayout,
        key: &IndexKey<'_>,
        ahead: impl Fn(&ObjectLayout, &GroupState, u32),
        mut read: impl FnMut(Found, &Header, &GroupState) -> Result<R>,
    ) -> Result<Option<(R, GroupGuard)>> {
        for value in index::find(&self.pages, root, key.index.tree, key.hash)?.iter() {
            let found = Found { object: object.id, row: RowId(value) };
            let Some(group) = self.pages.group(root, object.tree, found.row.group())? else { continue };
            let hit = in_group(&group, found.row, |state, slot| {
                ahead(object, state, slot);
                match read_header(state, slot)? {
                    Some(header) if has_key(state, object, key, slot)? => {
                        read(found, &header, state).map(Some)
                    }
                    _ => Ok(None),
                }
            })?;
            if let Some(hit) = hit {
                return Ok(Some((hit, group)));
            }
        }
        index::check_complete(root, key.index.tree)?;
        Ok(None)
    }

    /// Records of an object.
    pub(crate) fn count(&self, root: &Root, object: &ObjectLayout) -> u64 {
        root.tree(object.tree).map_or(0, |tree| tree.meta(RECORDS))
    }

    /// Row groups of an object that may hold records.
    pub(crate) fn group_count(&self, root: &Root, object: &ObjectLayout) -> u64 {
        let rows = root.tree(object.tree).map_or(0, |tree| tree.meta(ROWS));
        rows.div_ceil(u64::from(GROUP_ROWS)).min(self.pages.group_count_max(root, object.tree))
    }
}

/// The whole record in a slot, or only the attributes that `wanted` accepts.
///
/// # Errors
/// `Corrupt` when a page or a cell of it is damaged.
pub(crate) fn read_record(
    catalog: &Catalog,
    object: &ObjectLayout,
    header: &Header,
    state: &GroupState,
    slot: u32,
    wanted: &dyn Fn(&AttributeLayout) -> bool,
) -> Result<Record> {
    let schema = catalog.schema.object_by_id(object.id).ok_or_else(|| missing_object(object.id))?;
    prefetch_record(state, slot, &object.attributes, wanted);
    let mut values = Vec::with_capacity(object.attributes.len());
    for (layout, attribute) in object.attributes.iter().zip(schema.attributes()) {
        if !layout.deleted
            && wanted(layout)
            && !attribute.is_hidden()
            && let Some(value) = with_cell(state, layout, slot, |cell| attribute.decode(cell))?
        {
            values.push((attribute.name().clone(), value));
        }
    }
    // What an open object does not know comes last.
    if let Some((hidden, layout)) = schema
        .open_attribute()
        .and_then(|hidden| object.attribute(hidden.id()).map(|layout| (hidden, layout)))
        && wanted(layout)
        && let Some(members) = with_cell(state, layout, slot, |cell| hidden.decode(cell))?
    {
        values.extend(schema.unknown_members(&members));
    }
    Ok(Record::new(
        header.id,
        header.version,
        header.counter,
        Timestamp(header.created_at),
        Timestamp(header.updated_at),
        values,
    )
    .by(header.created_by, header.updated_by))
}

#[cold]
pub(crate) fn missing_object(id: ObjectId) -> Error {
    Error::corrupt("", 0, format!("object {id} is not in the schema"))
}
