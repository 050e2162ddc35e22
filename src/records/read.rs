//! Reading records: find a row by id or key, confirm it against its own slots, read cells.

use super::catalog::{AttributeLayout, Catalog, IndexLayout, ObjectLayout};
use super::keys::has_key;
use super::{ID_TREE, RECORDS, ROWS, Records};
use crate::records::row_header::{Header, SLOT_LEN};
use std::sync::Arc;
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::slots::Width;
use vellum_engine::page::{Columns, slots, varlen};
use vellum_engine::pages::{Group, GroupGuard, GroupState, Page, Root, about_row};
use vellum_engine::{self as engine, Error};
use vellum_engine::{GROUP_ROWS, RowId, TreeId};
use vellum_types::Result;
use vellum_types::schema::AttributeSchema;
use vellum_types::value::{Record, Timestamp, Value, append_key_bytes};
use vellum_types::{ObjectId, RecordId};

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    pub object: ObjectId,
    pub row: RowId,
}

/// A key to look for: canonical bytes and their hash.
#[derive(Clone, Copy, Debug)]
pub struct IndexKey<'a> {
    pub index: &'a IndexLayout,
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// The value of the id index for a row.
pub fn id_value(object: ObjectId, row: RowId) -> u64 {
    u64::from(object.0) << 48 | row.0
}

/// The row behind a value of the id index.
pub fn split_id_value(value: u64) -> Found {
    Found { object: ObjectId((value >> 48) as u16), row: RowId(value & ((1 << 48) - 1)) }
}

/// The header of a slot.
#[inline]
pub fn read_header(state: &GroupState, slot: u32) -> engine::Result<Option<Header>> {
    let Some(page) = state.page(0) else { return Ok(None) };
    let header = Header::read(page, slot)?;
    Ok((!header.is_free()).then_some(header))
}

/// Attributes that are asked for at once; there are not many more lines on their way at a time.
const ATTRIBUTES_MAX: usize = 8;

/// Asks for the cache lines of a row's header and of some of its attributes, all at once: one after the
/// other, each would be awaited. What leads to a line is asked for a step before it.
#[inline]
pub fn prefetch<'a>(state: &GroupState, slot: u32, attributes: impl Iterator<Item = &'a AttributeLayout>) {
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

/// A look-up that reads nothing but the header.
pub fn no_prefetch(_: &ObjectLayout, _: &GroupState, _: u32) {}

/// Puts an attribute's cell into `out` (emptied first); false where there is no value.
#[inline]
pub fn read_cell(
    state: &GroupState,
    attribute: &AttributeLayout,
    slot: u32,
    out: &mut Vec<u8>,
) -> engine::Result<bool> {
    out.clear();
    let Some(width) = attribute.width else {
        return varlen::read(state, attribute.column, slot, out);
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

/// Appends a record's canonical key to `out`; false where a component has no value (such a record is
/// in no index). For an index whose attribute has one value; see `keys` for the others.
pub fn read_key(
    state: &GroupState,
    object: &ObjectLayout,
    index: &IndexLayout,
    slot: u32,
    out: &mut Vec<u8>,
    cell: &mut Vec<u8>,
) -> engine::Result<bool> {
    for id in &index.attributes {
        let Some(attribute) = object.attribute(*id) else { return Ok(false) };
        if !read_cell(state, attribute, slot, cell)? {
            return Ok(false);
        }
        append_key_bytes(out, attribute.value_type, cell);
    }
    Ok(true)
}

/// An error that can name the row whose bytes are damaged.
pub trait AboutRow: From<Error> {
    /// The same error, about this row.
    #[must_use]
    fn about_row(self, tree: TreeId, row: RowId) -> Self;
}

impl AboutRow for Error {
    fn about_row(self, tree: TreeId, row: RowId) -> Error {
        about_row(tree, row, &self)
    }
}

impl AboutRow for vellum_types::Error {
    fn about_row(self, tree: TreeId, row: RowId) -> vellum_types::Error {
        self.map_storage(|error| error.about_row(tree, row))
    }
}

/// Runs `read` on a row of a group under its latch.
#[inline]
pub fn in_group<R, E: AboutRow>(
    group: &Group,
    row: RowId,
    read: impl FnOnce(&GroupState, u32) -> Result<R, E>,
) -> Result<R, E> {
    let state = group.state.read();
    read(&state, row.slot()).map_err(|error| error.about_row(group.tree, row))
}

impl Records {
    /// Hash of a record id.
    #[inline]
    pub fn id_hash(&self, id: RecordId) -> u64 {
        key_hash(self.hash_seed, &id.bytes())
    }

    /// Runs `read` on a row under its group's latch.
    #[inline]
    pub fn with_row<R, E: AboutRow>(
        &self,
        root: &Root,
        object: &ObjectLayout,
        row: RowId,
        read: impl FnOnce(&GroupState, u32) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let Some(group) = self.pages.group(root, object.tree, row.group())? else { return Ok(None) };
        in_group(&group, row, read).map(Some)
    }

    /// Finds a record by id and reads it under the same latch.
    #[inline]
    pub fn find_id<R>(
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
    pub fn find_key<R>(
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
    pub fn count(&self, root: &Root, object: &ObjectLayout) -> u64 {
        root.tree(object.tree).map_or(0, |tree| tree.meta(RECORDS))
    }

    /// Whether any object has a record.
    pub fn has_records(&self) -> bool {
        let root = self.pages.live();
        self.catalog().objects().iter().any(|object| self.count(&root, object) > 0)
    }

    /// Row groups of an object that may hold records.
    pub fn group_count(&self, root: &Root, object: &ObjectLayout) -> u64 {
        let rows = root.tree(object.tree).map_or(0, |tree| tree.meta(ROWS));
        rows.div_ceil(u64::from(GROUP_ROWS)).min(self.pages.group_count_max(root, object.tree))
    }
}

/// The whole record in a slot, or only the attributes that `wanted` accepts.
///
/// # Errors
/// `Corrupt` when a page or a cell of it is damaged.
pub fn read_record(
    catalog: &Catalog,
    object: &ObjectLayout,
    header: &Header,
    state: &GroupState,
    slot: u32,
    wanted: &dyn Fn(&AttributeLayout) -> bool,
) -> Result<Record> {
    let schema = catalog.schema.object_by_id(object.id).ok_or_else(|| missing_object(object.id))?;
    let mut values = Vec::new();
    let mut all = object
        .attributes
        .iter()
        .zip(schema.attributes())
        .filter(|(layout, attribute)| !layout.deleted && wanted(layout) && !attribute.is_hidden());
    loop {
        let mut round = Round { state, slot, cells: [const { None }; ROUND_LEN], count: 0 };
        round.cells.iter_mut().zip(&mut all).for_each(|(place, (layout, attribute))| {
            *place = Some(Ahead { layout, attribute, page: None, view: None, buffer: None });
            round.count += 1;
        });
        round.ask();
        values.reserve(round.count);
        round.read(&mut values)?;
        if round.count < ROUND_LEN {
            break;
        }
    }
    // What an open object does not know comes last.
    if let Some(hidden) = schema.open_attribute()
        && let Some(layout) = object.attribute(hidden.id()).filter(|layout| wanted(layout))
    {
        let mut cell = Vec::new();
        if read_cell(state, layout, slot, &mut cell)? {
            values.extend(schema.unknown_members(&hidden.decode(&cell)?));
        }
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

/// Attributes that are read in one round. Most records have no more, and there are not many more lines on their
/// way at a time.
const ROUND_LEN: usize = 16;

/// An attribute of a row that is being read, and what leads to its value as far as that was come to.
struct Ahead<'r> {
    layout: &'r AttributeLayout,
    attribute: &'r AttributeSchema,
    page: Option<&'r Page>,
    view: Option<[u8; varlen::VIEW_LEN]>,
    buffer: Option<&'r Page>,
}

/// Some attributes of one row. Each step asks for the lines of the next one, of all attributes at once, so that
/// the misses of a record overlap; and nothing is looked for twice.
struct Round<'r> {
    state: &'r GroupState,
    slot: u32,
    cells: [Option<Ahead<'r>>; ROUND_LEN],
    count: usize,
}

impl<'r> Round<'r> {
    /// From the group to the slots. Texts go on to their values, meanwhile those of fixed length arrive.
    #[inline]
    fn ask(&mut self) {
        let (state, slot) = (self.state, self.slot);
        let cells = &mut self.cells[..self.count];
        cells.iter().flatten().for_each(|cell| state.ask_front(cell.layout.column));
        let mut is_layered = false;
        for cell in cells.iter_mut().flatten() {
            let Some(page) = state.page(cell.layout.column) else { continue };
            page.ask(slot as usize / 8);
            page.ask(cell.offset(slot));
            is_layered |= page.is_layered();
            cell.page = Some(page);
        }
        if is_layered {
            for cell in cells.iter().flatten() {
                let Some(page) = cell.page else { continue };
                page.ask_deltas(slot as usize / 8);
                page.ask_deltas(cell.offset(slot));
            }
        }
    }

    /// Reads the views of texts, and asks for what they show.
    #[inline]
    fn ask_texts(&mut self) -> engine::Result<()> {
        let (state, slot) = (self.state, self.slot);
        let mut values = [const { None }; ROUND_LEN];
        let texts = self.cells[..self.count].iter_mut().flatten().filter(|cell| cell.layout.width.is_none());
        for (cell, place) in texts.zip(&mut values) {
            let Some(page) = cell.page else { continue };
            cell.view = varlen::read_view_in(page, slot)?;
            if let Some((column, value)) =
                cell.view.as_ref().and_then(|view| varlen::place(cell.layout.column, slot, view))
                && let Some(buffer) = state.page(column)
            {
                vellum_memory::prefetch(buffer);
                cell.buffer = Some(buffer);
                *place = Some((buffer, value));
            }
        }
        for (buffer, value) in values.iter().flatten() {
            buffer.ask(0);
            buffer.ask(value.start);
            buffer.ask(value.end.saturating_sub(1));
        }
        Ok(())
    }

    /// Appends the values that are there, in the order of the attributes.
    #[inline]
    fn read(&mut self, values: &mut Vec<(Arc<str>, Value)>) -> Result<()> {
        self.ask_texts()?;
        for Ahead { layout, attribute, page, view, buffer } in self.cells[..self.count].iter().flatten() {
            let value = match (layout.width, page, view) {
                (None, _, Some(view)) => {
                    varlen::with_view(|_| *buffer, self.slot, view, |cell| attribute.decode(cell))?
                }
                (Some(width), Some(page), _) => {
                    let mut cell = [0; 16];
                    match slots::read_fixed(*page, width, self.slot, &mut cell)? {
                        Some(len) => attribute.decode(&cell[..len])?,
                        None => continue,
                    }
                }
                _ => continue,
            };
            values.push((attribute.name().clone(), value));
        }
        Ok(())
    }
}

impl Ahead<'_> {
    /// Where the cell is in its page.
    #[inline]
    fn offset(&self, slot: u32) -> usize {
        slots::slot_offset(self.layout.width.unwrap_or(Width::Sixteen), slot)
    }
}

#[cold]
pub fn missing_object(id: ObjectId) -> Error {
    Error::corrupt("", 0, format!("object {id} is not in the schema"))
}
