//! Commit: from a stage to a frame in the log and in the pages.

use super::WriterState;
use super::cells::touch_cell;
use super::key::{ObjectRef, key_names};
use super::stage::{Fate, NewKey, Stage, Staged};
use super::transaction::Transaction;
use crate::records::row_header::{self, SLOT_LEN};
use crate::records::{
    AttributeLayout, Catalog, FREE_HEAD, ID_TREE, IndexKey, IndexLayout, KeyBuffers, ObjectLayout, ROWS,
    Records, for_each_key_in, in_group, prefetch,
};
use crate::redo::{Cell, FrameHead, Target};
use vellum_engine::index::key_hash;
use vellum_engine::index::{self, Moved};
use vellum_engine::page::{Columns, slots};
use vellum_engine::pages::{GroupState, Root};
use vellum_engine::{self as engine, RowId};
use vellum_types::RecordId;
use vellum_types::value::Timestamp;
use vellum_types::{Conflict, Error, Result};

/// What a record adds to images beside its values: its header, slots of attributes without a value, a delta's places.
const ROW_IMAGES_LEN: u64 = 512;
/// Versions and rows are 48 bits in the id index; 2^48 rows are more than any disk holds.
const ROW_MAX: u64 = 1 << 48;

/// A change that is ready to be committed; its record lies in the writer's frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    /// Whether it is of deletes alone, which make room.
    pub(crate) only_frees: bool,
}

impl Transaction<'_> {
    /// Checks the end state of what is staged, and builds its redo record: the change that the engine commits.
    /// `None` when nothing changes: no record, no LSN.
    ///
    /// # Errors
    /// `UniqueConflict`, `ReferenceRestricted`, `HistoryOverlap`, `LimitExceeded`, `Corrupt`: no trace.
    pub(crate) fn prepare(&mut self) -> Result<Option<Prepared>> {
        if !self.has_changes()? {
            return Ok(None);
        }
        let time = self.commit_time();
        self.stage_actor()?;
        if self.state.stage.keeps_history {
            self.stage_history(time)?;
        }
        self.collect_keys()?;
        self.check_unique()?;
        self.give_rows()?;
        self.number_new_actor()?;
        if self.state.stage.keeps_history {
            self.link_entries();
        }
        build_frame(self.state, time);
        let only_frees = self.state.stage.records().iter().all(|staged| staged.fate == Fate::Delete);
        Ok(Some(Prepared { only_frees }))
    }

    /// Times rise from commit to commit, so that a moment tells one state from the next.
    fn commit_time(&self) -> Timestamp {
        let last = self.context.records.commit_time();
        Timestamp(self.context.source.now().0.max(last.saturating_add(1)))
    }

    /// Judges the end state of what is staged, as a commit would. False when there is nothing to log.
    ///
    /// # Errors
    /// `UniqueConflict`, `ReferenceRestricted`, `HistoryOverlap`, `LimitExceeded`, `Corrupt`.
    pub(crate) fn check_end(&mut self) -> Result<bool> {
        if !self.has_changes()? {
            return Ok(false);
        }
        if self.state.stage.keeps_history {
            self.stage_history(self.commit_time())?;
        }
        self.collect_keys()?;
        self.check_unique()?;
        Ok(true)
    }

    /// Whether there is anything to log; deletes that others forbid are refused.
    fn has_changes(&mut self) -> Result<bool> {
        if !self.state.stage.restricted.is_empty() {
            self.check_restricted()?;
        }
        let stage = &self.state.stage;
        Ok(stage.schema.is_some()
            || stage.records().iter().any(|staged| staged.fate != Fate::CreatedAndDeleted))
    }

    /// Every key that a staged record has at the end and did not have before, and every key it gives up.
    fn collect_keys(&mut self) -> Result<()> {
        if !self.state.stage.records().iter().any(|staged| staged.moves_keys) {
            return Ok(());
        }
        let mut buffers = std::mem::take(&mut self.state.stage.keys);
        let (mut found, seed) = (std::mem::take(&mut self.state.stage.key), self.context.records.hash_seed);
        let mut hashes: Vec<(u64, usize)> = Vec::new();
        for staged in 0..self.state.stage.records().len() {
            let record = self.state.stage.record(staged);
            if !record.moves_keys || !record.is_live() {
                continue;
            }
            let Some(object) = self.catalog.object(record.object) else { continue };
            for (number, index) in object.indexes.iter().enumerate() {
                let record = self.state.stage.record(staged);
                let touched = record.fate == Fate::Create
                    || index.attributes.iter().any(|id| record.cell(*id).is_some());
                if !touched {
                    continue;
                }
                found.clear();
                self.for_each_staged_key(object, index, staged, &mut buffers, |key| {
                    found.extend_from_slice(key);
                    hashes.push((key_hash(seed, key), key.len()));
                    Ok(())
                })?;
                let stage = &mut self.state.stage;
                let mut start = stage.arena.len();
                stage.arena.extend_from_slice(&found);
                for (hash, len) in hashes.drain(..) {
                    let bytes = start..start + len;
                    start += len;
                    stage.new_keys.push(NewKey { tree: index.tree, hash, bytes, staged, index: number });
                }
            }
        }
        self.state.stage.key = found;
        self.state.stage.keys = buffers;
        Ok(())
    }

    /// The end state has each key once.
    fn check_unique(&mut self) -> Result<()> {
        if self.state.stage.new_keys.is_empty() || self.state.stage.keys_are_free {
            return Ok(());
        }
        self.state.stage.new_keys.sort_unstable_by_key(|key| (key.tree, key.hash, key.staged));
        let stage = &self.state.stage;
        for pair in stage.new_keys.windows(2) {
            let same = (pair[0].tree, pair[0].hash) == (pair[1].tree, pair[1].hash)
                && stage.arena[pair[0].bytes.clone()] == stage.arena[pair[1].bytes.clone()];
            if same {
                let first = stage.record(pair[0].staged);
                return Err(self.conflict(&pair[1], first.id, first.version));
            }
        }
        for key in &self.state.stage.new_keys {
            if let Some((id, version)) = self.held_by_another(key)? {
                return Err(self.conflict(key, id, version));
            }
        }
        Ok(())
    }

    fn held_by_another(&self, new: &NewKey) -> Result<Option<(RecordId, u64)>> {
        let stage = &self.state.stage;
        let staged = stage.record(new.staged);
        let records = self.context.records;
        let object = self.catalog.object(staged.object).expect("staged records have an object");
        let index = &object.indexes[new.index];
        let key = IndexKey { index, bytes: &stage.arena[new.bytes.clone()], hash: new.hash };
        let ahead = |object: &ObjectLayout, state: &GroupState, slot| {
            prefetch(state, slot, index.attributes.iter().filter_map(|id| object.attribute(*id)));
        };
        let held = records.find_key(self.root, object, &key, ahead, |found, header, _| {
            Ok((header.id, header.version, found.row))
        })?;
        let Some(((id, version, row), _)) = held else { return Ok(None) };
        // A holder that this transaction deletes, or whose key it changes, gives the key up; what such
        // a record has at the end was compared above.
        let is_holder =
            |other: &Staged| other.object == object.id && other.row == row && other.fate != Fate::Create;
        let other = match object.id.is_system() {
            false => stage.find(id),
            true => stage.records().iter().position(is_holder),
        };
        let gives_up = other.is_some_and(|other| {
            let other = stage.record(other);
            !other.is_live()
                || other.fate == Fate::Create
                || index.attributes.iter().any(|id| other.cell(*id).is_some())
        });
        let itself = id == staged.id && staged.fate == Fate::Update;
        Ok((!gives_up && !itself).then_some((id, version)))
    }

    #[cold]
    fn conflict(&self, key: &NewKey, record: RecordId, version: u64) -> Error {
        let stage = &self.state.stage;
        let staged = stage.record(key.staged);
        let schema = self.catalog.schema.object_by_id(staged.object).expect("staged records have an object");
        let layout = self.catalog.object(staged.object).expect("a layout for each object");
        let (object, bytes) = (ObjectRef { schema, layout }, &stage.arena[key.bytes.clone()]);
        conflict(object, &layout.indexes[key.index], bytes, (record, version)).at_position(staged.position)
    }

    /// Gives creates their rows: free ones first, in the order in which `apply` will take them.
    fn give_rows(&mut self) -> Result<()> {
        let needs_row = |staged: &Staged| matches!(staged.fate, Fate::Create | Fate::ConsumedNumber);
        if !self.state.stage.records().iter().any(needs_row) {
            return Ok(());
        }
        let records = self.context.records;
        let live = self.root;
        let mut next = std::mem::take(&mut self.state.stage.next_rows);
        for staged in 0..self.state.stage.records().len() {
            let record = self.state.stage.record(staged);
            if !needs_row(record) {
                continue;
            }
            let object = self.catalog.object(record.object).expect("staged records have an object");
            let place = next.iter().position(|(id, _, _)| *id == object.id).unwrap_or_else(|| {
                let (free, rows) =
                    live.tree(object.tree).map_or((0, 0), |tree| (tree.meta(FREE_HEAD), tree.meta(ROWS)));
                next.push((object.id, free, rows));
                next.len() - 1
            });
            let (_, free, rows) = &mut next[place];
            let row = RowId(if *free != 0 { *free - 1 } else { *rows });
            if row.0 >= ROW_MAX {
                return Err(Error::new(crate::ErrorKind::LimitExceeded, "the object has 2^48 rows"));
            }
            match *free {
                0 => *rows += 1,
                _ => *free = next_free(records, live, object, row)?.map_or(0, |row| row.0 + 1),
            }
            self.state.stage.record_mut(staged).row = row;
        }
        self.state.stage.next_rows = next;
        Ok(())
    }
}

/// The refusal of a key, given as canonical bytes, that a record has.
#[cold]
pub(super) fn conflict(
    object: ObjectRef<'_>,
    index: &IndexLayout,
    key: &[u8],
    (record, version): (RecordId, u64),
) -> Error {
    let mut rest = key;
    let mut texts = Vec::with_capacity(index.attributes.len());
    for id in &index.attributes {
        let (len, tail) = rest.split_at(4);
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        let (cell, tail) = tail.split_at(len);
        rest = tail;
        texts.extend(object.schema.attribute_by_id(*id).map(|attribute| attribute.key_text(cell)));
    }
    Error::unique(Conflict {
        object: object.schema.key().to_string(),
        attributes: key_names(object.schema, index),
        key: texts,
        record,
        version,
    })
}

fn next_free(records: &Records, live: &Root, object: &ObjectLayout, row: RowId) -> Result<Option<RowId>> {
    let next = records.with_row(live, object, row, |state, slot| {
        state.page(0).map_or(Ok(None), |page| row_header::read_next_free(page, slot))
    })?;
    Ok(next.flatten())
}

/// Creates first, then updates, then deletes: rows that creates take are those that were free before.
fn build_frame(state: &mut WriterState, commit_time: Timestamp) {
    let WriterState { stage, frame, .. } = state;
    frame.start(&FrameHead { commit_time, actor: stage.actor });
    if let Some(schema) = &stage.schema {
        frame.schema(&schema.encode());
    }
    for fate in [Fate::Create, Fate::Update, Fate::Delete] {
        let is_here = |staged: &&Staged| {
            staged.fate == fate || staged.fate == Fate::ConsumedNumber && fate != Fate::Update
        };
        for staged in stage.records().iter().filter(is_here) {
            let target = Target {
                object: staged.object,
                row: staged.row,
                id: staged.id,
                version: staged.version,
                history: staged.history,
            };
            match (fate, &staged.origin) {
                (Fate::Create, None) => frame.create(&target, staged.at, staged.cells.len()),
                (Fate::Create, Some(origin)) => frame.restore(&target, staged.at, origin, staged.cells.len()),
                (Fate::Update, _) => frame.update(&target, staged.at, staged.cells.len()),
                _ => {
                    frame.delete(&target);
                    continue;
                }
            }
            for cell in &staged.cells {
                let bytes = cell.bytes.as_ref().map(|span| &stage.arena[span.clone()]);
                frame.cell(Cell { attribute: cell.attribute, bytes });
            }
        }
    }
}

/// Crash rule 8: everything that apply will read is read now, while a rejection leaves no trace. Returns the bytes that
/// images take of pages that become dirty, beside the frame's own, at most.
pub(crate) fn prefault(
    records: &Records,
    live: &Root,
    catalog: &Catalog,
    stage: &mut Stage,
) -> engine::Result<u64> {
    let mut moved = std::mem::take(&mut stage.moved);
    moved.clear();
    for staged in stage.records() {
        let Some(object) = catalog.object(staged.object) else { continue };
        if staged.fate == Fate::CreatedAndDeleted {
            continue;
        }
        match (&staged.group, staged.fate) {
            // The header was read when the record was found, the cells when they were staged.
            (Some(_), Fate::Update) => {}
            (Some(group), _) => {
                in_group(group, staged.row, |state, slot| touch_row(state, object, staged, slot))?
            }
            // A create, whose row's group is there already unless the row is the group's first; or any record after
            // a checkpoint made room.
            (None, _) => {
                records.with_row(live, object, staged.row, |state, slot| {
                    touch_row(state, object, staged, slot)
                })?;
            }
        }
        if staged.fate != Fate::Update && !staged.object.is_system() {
            let hash = records.id_hash(staged.id);
            if staged.fate != Fate::Delete {
                moved.push(Moved { tree: ID_TREE, hash, is_insert: true });
            }
            if staged.fate != Fate::Create {
                moved.push(Moved { tree: ID_TREE, hash, is_insert: false });
            }
        }
        if staged.fate != Fate::Create && (staged.moves_keys || staged.fate == Fate::Delete) {
            note_old_keys(records, live, object, staged.row, &mut moved)?;
        }
    }
    moved.extend(stage.new_keys.iter().map(|key| Moved { tree: key.tree, hash: key.hash, is_insert: true }));
    let buckets_len = index::touch(&records.pages, live, &mut moved)?;
    stage.moved = moved;
    Ok(buckets_len + ROW_IMAGES_LEN * stage.records().len() as u64)
}

fn note_old_keys(
    records: &Records,
    live: &Root,
    object: &ObjectLayout,
    row: RowId,
    moved: &mut Vec<Moved>,
) -> engine::Result<()> {
    let mut buffers = KeyBuffers::default();
    for index in &object.indexes {
        records.with_row(live, object, row, |state, slot| -> engine::Result<()> {
            for_each_key_in(state, object, index, slot, &mut buffers, |key| {
                let hash = key_hash(records.hash_seed, key);
                moved.push(Moved { tree: index.tree, hash, is_insert: false });
                Ok(())
            })
        })?;
    }
    Ok(())
}

fn touch_row(
    state: &GroupState,
    object: &ObjectLayout,
    staged: &super::stage::Staged,
    slot: u32,
) -> engine::Result<()> {
    if state.is_resident() {
        return Ok(());
    }
    if let Some(page) = state.page(0) {
        page.touch(slot as usize * SLOT_LEN, SLOT_LEN)?;
    }
    let touch = |attribute: &AttributeLayout| match state.page(attribute.column) {
        None => Ok(()),
        Some(page) if page.is_resident() && attribute.width.is_some() => Ok(()),
        Some(page) => slots::is_present(page, slot).and_then(|_| touch_cell(state, attribute, slot)),
    };
    match staged.fate {
        Fate::Delete => object.attributes.iter().try_for_each(touch),
        _ => staged.cells.iter().filter_map(|cell| object.attribute(cell.attribute)).try_for_each(touch),
    }
}
