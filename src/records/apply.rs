//! `apply`: what a frame does to the pages. Deterministic: rows, versions and times are in the frame,
//! and all else (free rows, counters, bucket splits, heap rewrites) follows from the pages and the
//! frames alone.
//!
//! The live path calls it after everything that can fail was done and the frame is in the log, so an
//! error here is damage that appeared in between: the store is poisoned. Recovery calls it with
//! frames whose checksum matched; a damaged page it meets is set aside (crash rule 8).

use super::catalog::{Catalog, IndexLayout, ObjectLayout};
use super::keys::{KeyBuffers, changed_cell, for_each_key_in, for_each_key_of};
use super::read::{id_value, missing_object};
use super::{CATALOG_TREE, COUNTER, FREE_HEAD, ID_TREE, RECORDS, ROWS, Records};
use crate::records::row_header::{self, Header};
use crate::redo::{Cell, Cells, Change, FrameHead, Origin, Redo, Target, parse};
use std::sync::Arc;
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::{Columns, PageWrite, slots, varlen};
use vellum_engine::pages::{GroupState, Writer};
use vellum_engine::planted::planted;
use vellum_engine::sync::atomic::Ordering;
use vellum_engine::{Error, Result};
use vellum_engine::{Lsn, RowId};
use vellum_types::schema::Schema;
use vellum_types::value::Timestamp;

/// Buffers that are used from frame to frame, so that applying allocates nothing.
#[derive(Debug, Default)]
pub struct ApplyScratch {
    buffers: KeyBuffers,
    /// Index number and hash of each key that a change takes out, and puts in.
    old_keys: Vec<(usize, u64)>,
    new_keys: Vec<(usize, u64)>,
    /// The catalog of the newest record, once one was applied.
    catalog: Option<Arc<Catalog>>,
    /// Hashes of the keys that a create has in one index.
    hashes: Vec<u64>,
    /// Numbers of indexes whose key cannot be read before a change, or after it.
    old_lost: Vec<usize>,
    new_lost: Vec<usize>,
}

impl Records {
    /// Applies one redo record. The only place where records change.
    ///
    /// # Errors
    /// `Corrupt`: the record does not parse, or the table on the way to a page is damaged.
    #[inline]
    pub(super) fn apply_redo(
        &self,
        writer: &mut Writer,
        scratch: &mut ApplyScratch,
        lsn: Lsn,
        redo: Redo<'_>,
    ) -> Result<()> {
        assert!(lsn == self.applied().next(), "apply out of order: {lsn} after {}", self.applied());
        self.sequence.fetch_add(1, Ordering::AcqRel);
        // Only this function replaces the catalog, so that the one in the buffers is the current one.
        let catalog = scratch.catalog.take().unwrap_or_else(|| self.catalog().clone());
        let result = self.apply_changes(writer, scratch, &catalog, redo.bytes);
        if result.is_ok() {
            scratch.catalog.get_or_insert(catalog);
        }
        self.applied.store(lsn.0, Ordering::Release);
        self.sequence.fetch_add(1, Ordering::AcqRel);
        result
    }

    fn apply_changes(
        &self,
        writer: &mut Writer,
        scratch: &mut ApplyScratch,
        catalog: &Catalog,
        body: &[u8],
    ) -> Result<()> {
        let (head, mut changes) = parse(body)?;
        self.commit_time.store(head.commit_time.0, Ordering::Release);
        // The catalog of this frame, once it has one of its own.
        let mut replaced = None;
        while let Some(change) = changes.next_change()? {
            let catalog = replaced.as_deref().unwrap_or(catalog);
            let object =
                |target: &Target| catalog.object(target.object).ok_or_else(|| missing_object(target.object));
            match change {
                Change::Update { target, at, cells } => {
                    self.update(writer, scratch, &head, object(&target)?, &target, at, cells)?
                }
                Change::Create { target, at, cells } => {
                    self.create(writer, scratch, &head, object(&target)?, &target, at, None, cells)?
                }
                Change::Restore { target, at, origin, cells } => {
                    self.create(writer, scratch, &head, object(&target)?, &target, at, Some(origin), cells)?
                }
                Change::Delete { target } => self.delete(writer, scratch, object(&target)?, &target)?,
                Change::Schema { bytes } => replaced = Some(self.replace_schema(writer, bytes)?),
            }
        }
        scratch.catalog = replaced;
        Ok(())
    }

    fn replace_schema(&self, writer: &mut Writer, bytes: &[u8]) -> Result<Arc<Catalog>> {
        let catalog =
            Arc::new(Catalog::new(Schema::decode(bytes).map_err(vellum_types::Error::into_storage)?));
        self.convert(writer, &self.catalog().clone(), &catalog)?;
        let group = self.pages.group_mut(writer, CATALOG_TREE, 0)?;
        group.state.write().page_mut(0).replace(bytes.to_vec());
        self.catalog.store(Arc::clone(&catalog));
        Ok(catalog)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one change, and what applying needs")]
    fn create(
        &self,
        writer: &mut Writer,
        scratch: &mut ApplyScratch,
        head: &FrameHead,
        object: &ObjectLayout,
        target: &Target,
        at: Option<Timestamp>,
        origin: Option<Origin>,
        cells: Cells<'_>,
    ) -> Result<()> {
        let shown = at.unwrap_or(head.commit_time).0;
        let tree = self.pages.tree_mut(writer, object.tree)?;
        let group = self.pages.group_mut(writer, object.tree, target.row.group())?;
        let slot = target.row.slot();
        {
            let mut state = group.state.write();
            if tree.meta(FREE_HEAD) == target.row.0 + 1 {
                // A link that cannot be read ends the list: the rows behind it stay unused.
                let next =
                    state.page(0).and_then(|page| row_header::read_next_free(page, slot).unwrap_or(None));
                tree.set_meta(FREE_HEAD, next.map_or(0, |row| row.0 + 1));
            }
            tree.set_meta(ROWS, tree.meta(ROWS).max(target.row.0 + 1));
            tree.set_meta(RECORDS, tree.meta(RECORDS) + 1);
            let origin = origin.unwrap_or(Origin {
                created_at: Timestamp(shown),
                created_by: head.actor,
                counter: tree.meta(COUNTER) + 1,
            });
            tree.set_meta(COUNTER, tree.meta(COUNTER).max(origin.counter));
            let new = Header {
                version: target.version,
                updated_at: shown,
                updated_by: head.actor,
                history: target.history,
                id: target.id,
                created_at: origin.created_at.0,
                counter: origin.counter,
                created_by: origin.created_by,
            };
            row_header::write_new(state.page_mut(0), slot, &new);
            write_cells(&mut state, object, slot, cells.clone())?;
        }
        if !object.id.is_system() {
            let (hash, value) = (self.id_hash(target.id), id_value(object.id, target.row));
            index::insert(&self.pages, writer, ID_TREE, hash, value)?;
        }
        for index in &object.indexes {
            self.insert_keys_of(writer, object, index, scratch, target.row, &cells)?;
        }
        Ok(())
    }

    /// Enters the keys that a frame holds whole into an index, unless they are there.
    fn insert_keys_of(
        &self,
        writer: &mut Writer,
        object: &ObjectLayout,
        index: &IndexLayout,
        scratch: &mut ApplyScratch,
        row: RowId,
        cells: &Cells<'_>,
    ) -> Result<()> {
        let ApplyScratch { buffers, hashes, .. } = scratch;
        hashes.clear();
        for_each_key_of(object, index, cells, buffers, |key| {
            let hash = key_hash(self.hash_seed, key);
            // Two values of one record may have the same hash, and its entry stands once.
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
            Ok(())
        })?;
        for hash in hashes {
            index::insert(&self.pages, writer, index.tree, *hash, row.0)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one change, and what applying needs")]
    fn update(
        &self,
        writer: &mut Writer,
        scratch: &mut ApplyScratch,
        head: &FrameHead,
        object: &ObjectLayout,
        target: &Target,
        at: Option<Timestamp>,
        cells: Cells<'_>,
    ) -> Result<()> {
        let moves_keys = touches_keys(object, cells.clone())?;
        let group = self.pages.group_mut(writer, object.tree, target.row.group())?;
        let slot = target.row.slot();
        {
            let mut state = group.state.write();
            if moves_keys {
                self.keys(&state, object, slot, scratch, false);
            }
            let shown = at.unwrap_or(head.commit_time).0;
            row_header::touch(state.page_mut(0), slot, target.version, shown, head.actor);
            if target.history != 0 {
                row_header::set_history(state.page_mut(0), slot, target.history);
            }
            write_cells(&mut state, object, slot, cells.clone())?;
            if moves_keys {
                self.keys(&state, object, slot, scratch, true);
            }
        }
        if moves_keys {
            self.move_keys(writer, object, scratch, target.row)?;
        }
        if moves_keys && !(scratch.old_lost.is_empty() && scratch.new_lost.is_empty()) {
            self.keep_damaged_keys(writer, object, scratch, target.row, &cells)?;
        }
        Ok(())
    }

    fn delete(
        &self,
        writer: &mut Writer,
        scratch: &mut ApplyScratch,
        object: &ObjectLayout,
        target: &Target,
    ) -> Result<()> {
        let tree = self.pages.tree_mut(writer, object.tree)?;
        let group = self.pages.group_mut(writer, object.tree, target.row.group())?;
        let slot = target.row.slot();
        {
            let mut state = group.state.write();
            self.keys(&state, object, slot, scratch, false);
            scratch.new_keys.clear();
            for attribute in &object.attributes {
                clear_cell(&mut state, attribute, slot);
            }
            let next = tree.meta(FREE_HEAD).checked_sub(1).map(RowId);
            row_header::free(state.page_mut(0), slot, next);
            tree.set_meta(FREE_HEAD, target.row.0 + 1);
            tree.set_meta(RECORDS, tree.meta(RECORDS).saturating_sub(1));
        }
        if !object.id.is_system() {
            let (hash, value) = (self.id_hash(target.id), id_value(object.id, target.row));
            index::remove(&self.pages, writer, ID_TREE, hash, value)?;
        }
        self.move_keys(writer, object, scratch, target.row)
    }

    /// Notes the hash of each key that the record has now. A key that cannot be read (damage met in
    /// recovery) leaves its entry behind: look-ups confirm hits, so it is never a wrong answer.
    fn keys(
        &self,
        state: &GroupState,
        object: &ObjectLayout,
        slot: u32,
        scratch: &mut ApplyScratch,
        new: bool,
    ) {
        let ApplyScratch { buffers, old_keys, new_keys, old_lost, new_lost, .. } = scratch;
        let (keys, lost) = if new { (new_keys, new_lost) } else { (old_keys, old_lost) };
        keys.clear();
        lost.clear();
        for (number, index) in object.indexes.iter().enumerate() {
            let read: Result<()> = for_each_key_in(state, object, index, slot, buffers, |key| {
                let entry = (number, key_hash(self.hash_seed, key));
                if !keys.contains(&entry) {
                    keys.push(entry);
                }
                Ok(())
            });
            if let Err(error) = read {
                tracing::error!(%error, "a key of a damaged page is set aside");
                keys.retain(|(of, _)| *of != number);
                lost.push(number);
            }
        }
    }

    /// A look-up of a key that lies on a damaged page must meet the damage, and not miss the record: the
    /// index gets an entry where the frame holds the whole key, and else notes that it lacks one.
    #[cold]
    fn keep_damaged_keys(
        &self,
        writer: &mut Writer,
        object: &ObjectLayout,
        scratch: &mut ApplyScratch,
        row: RowId,
        cells: &Cells<'_>,
    ) -> Result<()> {
        for number in &scratch.new_lost {
            let index = &object.indexes[*number];
            let changed = |id| changed_cell(cells, id);
            if !index
                .attributes
                .iter()
                .map(|id| changed(*id))
                .any(|cell| cell.is_ok_and(|cell| cell.is_some()))
            {
                // The key is as it was, and so is its entry.
                continue;
            }
            scratch.hashes.clear();
            let hashes = &mut scratch.hashes;
            for_each_key_of(object, index, cells, &mut scratch.buffers, |key| {
                hashes.push(key_hash(self.hash_seed, key));
                Ok(())
            })?;
            if !hashes.is_empty() {
                for hash in hashes {
                    let found = index::find(&self.pages, &self.pages.live(), index.tree, *hash);
                    if !found.is_ok_and(|found| found.iter().any(|value| value == row.0)) {
                        index::insert(&self.pages, writer, index.tree, *hash, row.0)?;
                    }
                }
                continue;
            }
            let mut cleared = false;
            for id in &index.attributes {
                cleared |= matches!(changed_cell(cells, *id)?, Some(None));
            }
            if !cleared {
                index::note_missing(&self.pages, writer, index.tree)?;
            }
        }
        Ok(())
    }

    fn move_keys(
        &self,
        writer: &mut Writer,
        object: &ObjectLayout,
        scratch: &ApplyScratch,
        row: RowId,
    ) -> Result<()> {
        for old in &scratch.old_keys {
            if !scratch.new_keys.contains(old) {
                index::remove(&self.pages, writer, object.indexes[old.0].tree, old.1, row.0)?;
            }
        }
        for new in &scratch.new_keys {
            if !scratch.old_keys.contains(new) && !planted("index_not_applied") {
                index::insert(&self.pages, writer, object.indexes[new.0].tree, new.1, row.0)?;
            }
        }
        Ok(())
    }
}

/// Whether a change may alter a key.
fn touches_keys(object: &ObjectLayout, mut cells: Cells<'_>) -> Result<bool> {
    if !cells.attributes().may_meet(object.indexed) {
        return Ok(false);
    }
    while let Some(cell) = cells.next_cell()? {
        if object.attribute(cell.attribute).is_some_and(|attribute| attribute.indexed) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_cells(state: &mut GroupState, object: &ObjectLayout, slot: u32, mut cells: Cells<'_>) -> Result<()> {
    while let Some(Cell { attribute, bytes }) = cells.next_cell()? {
        let Some(attribute) = object.attribute(attribute) else {
            return Err(Error::corrupt("", 0, format!("attribute {attribute} is not in the schema")));
        };
        match (bytes, attribute.width) {
            (None, _) => clear_cell(state, attribute, slot),
            (Some(bytes), None) => varlen::set(state, attribute.column, slot, bytes),
            (Some(bytes), Some(width)) if bytes.len() == width.cell_len() => {
                slots::set_fixed(state.page_mut(attribute.column), width, slot, bytes);
            }
            (Some(bytes), Some(width)) => {
                let reason = format!("a cell of {} bytes where {} belong", bytes.len(), width.cell_len());
                return Err(Error::corrupt("", 0, reason));
            }
        }
    }
    Ok(())
}

/// Clears a cell; a column that nobody wrote stays without pages.
fn clear_cell(state: &mut GroupState, attribute: &super::AttributeLayout, slot: u32) {
    let present =
        state.page(attribute.column).is_some_and(|page| slots::is_present(page, slot).unwrap_or(true));
    match attribute.width {
        _ if !present => {}
        None => varlen::clear(state, attribute.column, slot),
        Some(width) => slots::clear(state.page_mut(attribute.column), width, slot),
    }
}
