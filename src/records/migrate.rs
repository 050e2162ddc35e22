//! What a change of the schema does to pages: an index that is new is built from the records, and the values of
//! an attribute that became wider move to its new column. Both follow from the pages alone, so recovery makes
//! the same of them. Whether it may be done was asked before the frame was logged.

use super::catalog::{AttributeLayout, Catalog, IndexLayout, ObjectLayout};
use super::keys::{KeyBuffers, for_each_key_in};
use super::read::{read_cell, read_header};
use super::{ROWS, Records};
use vellum_engine::Result;
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::{Columns, slots, varlen};
use vellum_engine::pages::Writer;
use vellum_engine::{GROUP_ROWS, RowId};
use vellum_types::schema::AttributeSchema;

impl Records {
    /// Brings the pages of objects that are there from one schema to the next.
    ///
    /// # Errors
    /// `Corrupt` when a value that is to move cannot be read: without it there is no next state.
    pub(super) fn convert(&self, writer: &mut Writer, before: &Catalog, after: &Catalog) -> Result<()> {
        for (object, schema) in after.objects().iter().zip(after.schema.objects()) {
            let Some(old) = before.objects().get(usize::from(object.id.0)) else { continue };
            for (layout, attribute) in object.attributes.iter().zip(schema.attributes()) {
                if let Some(moved) = old.attribute(layout.id).filter(|old| old.column != layout.column) {
                    self.move_column(writer, object, moved, layout, attribute)?;
                }
            }
            for index in &object.indexes {
                if old.indexes.iter().all(|known| known.tree != index.tree) {
                    self.build_index(writer, object, index)?;
                }
            }
        }
        Ok(())
    }

    fn groups_of(&self, object: &ObjectLayout) -> u64 {
        let rows = self.pages.live().tree(object.tree).map_or(0, |tree| tree.meta(ROWS));
        rows.div_ceil(u64::from(GROUP_ROWS))
    }

    fn move_column(
        &self,
        writer: &mut Writer,
        object: &ObjectLayout,
        from: &AttributeLayout,
        to: &AttributeLayout,
        attribute: &AttributeSchema,
    ) -> Result<()> {
        let mut cell = Vec::new();
        for number in 0..self.groups_of(object) {
            let live = self.pages.live().clone();
            if self.pages.group(&live, object.tree, number)?.is_none() {
                continue;
            }
            drop(live);
            let group = self.pages.group_mut(writer, object.tree, number)?;
            let mut state = group.state.write();
            for slot in 0..GROUP_ROWS {
                if state.page(from.column).is_none() || !read_cell(&state, from, slot, &mut cell)? {
                    continue;
                }
                let wide = attribute
                    .present_cell(from.value_type as u32, &cell)
                    .map_err(vellum_types::Error::into_storage)?;
                match to.width {
                    None => varlen::set(&mut *state, to.column, slot, &wide),
                    Some(width) => slots::set_fixed(state.page_mut(to.column), width, slot, &wide),
                }
                if let Some(width) = from.width {
                    slots::clear(state.page_mut(from.column), width, slot);
                }
            }
        }
        Ok(())
    }

    /// A record whose key cannot be read is noted as missing, as when a log is replayed.
    fn build_index(&self, writer: &mut Writer, object: &ObjectLayout, index: &IndexLayout) -> Result<()> {
        let mut buffers = KeyBuffers::default();
        let mut found: Vec<(u64, RowId)> = Vec::new();
        for number in 0..self.groups_of(object) {
            let live = self.pages.live().clone();
            let Some(group) = self.pages.group(&live, object.tree, number)? else { continue };
            let state = group.state.read();
            let mut lost = 0;
            for slot in 0..GROUP_ROWS {
                let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
                let start = found.len();
                let read = match read_header(&state, slot) {
                    Ok(None) => continue,
                    Ok(Some(_)) => for_each_key_in(&state, object, index, slot, &mut buffers, |key| {
                        let entry = (key_hash(self.hash_seed, key), row);
                        // Two values of one record may have the same hash, and its entry stands once.
                        if !found[start..].contains(&entry) {
                            found.push(entry);
                        }
                        Ok(())
                    }),
                    Err(error) => Err(error),
                };
                if let Err(error) = read {
                    tracing::error!(%error, "a key of a damaged page is left out of a new index");
                    found.truncate(start);
                    lost += 1;
                }
            }
            drop(state);
            drop(group);
            drop(live);
            for _ in 0..lost {
                index::note_missing(&self.pages, writer, index.tree)?;
            }
            for (hash, row) in found.drain(..) {
                index::insert(&self.pages, writer, index.tree, hash, row.0)?;
            }
        }
        Ok(())
    }
}
