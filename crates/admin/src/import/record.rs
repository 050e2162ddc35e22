//! Records of a store in the making: with ids, versions, counters and times as they were.
//!
//! Each goes through `Records::apply` as a frame that no log keeps: a restore, which has all that a header
//! has. Records of a system object that others name by their rows keep them ([`NewRecord::row`]); rows in
//! between are filled with records that say nothing, so that no later one is taken for one that is lost.

use super::StoreBuilder;
use vellum::records::row_header::Header;
use vellum::records::{
    AttributeLayout, CATALOG_TREE, COUNTER, Catalog, Found, IndexKey, KeyBuffers, ObjectLayout, ROWS,
    for_each_key, no_prefetch, read_cell, read_header,
};
use vellum::redo::{Cell, Cells, Change, FrameBuilder, FrameHead, Origin, Target};
use vellum_engine::RowId;
use vellum_engine::engine::commit::replay;
use vellum_engine::index::key_hash;
use vellum_types::schema::Schema;
use vellum_types::value::Timestamp;
use vellum_types::{AttributeId, ObjectId, RecordId};
use vellum_types::{Conflict, Error, Result};

/// One record to add.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) object: ObjectId,
    pub(crate) header: Header,
    /// The row that it had and must have; none for a record that nothing names by its row.
    pub(crate) row: Option<RowId>,
    /// Attributes that have a value, with their cells.
    pub(crate) cells: Vec<(AttributeId, Vec<u8>)>,
}

/// Why a record was not added, and what stands in its way.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another record has its id.
    Id,
    /// Another record has this key; attributes and holder are in the error.
    Key(Vec<AttributeId>, Error),
    /// It does not follow what the store has.
    Behind(Error),
    /// The store cannot be written.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Failed(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Id => Error::invalid_input("another record has this id"),
            Refused::Key(_, error) | Refused::Behind(error) | Refused::Failed(error) => error,
        }
    }
}

impl StoreBuilder {
    pub(super) fn put_schema(&mut self, schema: &Schema) -> Result<()> {
        self.start_frame(0);
        self.frame.schema(&schema.encode());
        self.apply()?;
        debug_assert!(self.records.pages.live().tree(CATALOG_TREE).is_some());
        Ok(())
    }

    fn start_frame(&mut self, actor: u32) {
        self.frame.start(&FrameHead { commit_time: Timestamp(self.commit_time), actor });
    }

    fn apply(&mut self) -> Result<()> {
        let lsn = self.records.applied().next();
        Ok(replay(&self.records, &mut self.writer, &mut self.scratch, lsn, self.frame.body())?)
    }

    /// Adds a record behind all others of its object.
    ///
    /// # Errors
    /// [`Refused`]: the store in the making is as it was, unless writing failed.
    pub(crate) fn add(&mut self, record: &NewRecord) -> Result<(), Refused> {
        let catalog = self.records.catalog().clone();
        let object = catalog
            .object(record.object)
            .ok_or_else(|| Error::corrupt("", 0, format!("object {} is not in the schema", record.object)))?;
        if !record.object.is_system() && self.find(&catalog, record.header.id)?.is_some() {
            return Err(Refused::Id);
        }
        self.check_keys(&catalog, object, record)?;
        let row = match record.row {
            None => RowId(self.row_count(object)),
            Some(row) => self.release_reserves(object, row)?,
        };
        let Header { created_at, created_by, updated_at, updated_by, .. } = record.header;
        let Header { version, id, counter, history, .. } = record.header;
        self.start_frame(updated_by);
        let target = Target { object: record.object, row, id, version, history };
        let origin = Origin { created_at: Timestamp(created_at), created_by, counter };
        self.frame.restore(&target, Some(Timestamp(updated_at)), &origin, record.cells.len());
        put_cells(&mut self.frame, &record.cells);
        self.apply()?;
        Ok(self.make_room()?)
    }

    /// Whether a row of a history holds an entry of this record.
    ///
    /// # Errors
    /// When what was built cannot be read.
    pub(crate) fn is_entry(&self, history: ObjectId, row: RowId, record: RecordId) -> Result<bool> {
        let catalog = self.records.catalog();
        let Some(history) = catalog.object(history) else { return Ok(false) };
        let entry = self.records.entry(&self.records.pages.live(), history, row)?;
        Ok(entry.is_some_and(|entry| entry.record == record))
    }

    fn row_count(&self, object: &ObjectLayout) -> u64 {
        self.records.pages.live().tree(object.tree).map_or(0, |tree| tree.meta(ROWS))
    }

    /// Makes a row free: fills those in front of it, or takes away what filled it.
    fn release_reserves(&mut self, object: &ObjectLayout, row: RowId) -> Result<RowId, Refused> {
        let rows = self.row_count(object);
        if row.0 < rows {
            let Some(place) = self.fillers.iter().position(|filler| *filler == (object.id, row)) else {
                let reason = format!("row {row} of object {} has a record", object.id);
                return Err(Refused::Behind(Error::corrupt("", 0, reason)));
            };
            self.fillers.swap_remove(place);
            self.start_frame(0);
            self.frame.delete(&filler(object.id, row));
            self.apply()?;
            return Ok(row);
        }
        for between in (rows..row.0).map(RowId) {
            self.start_frame(0);
            let origin = Origin { created_at: Timestamp(0), created_by: 0, counter: 1 };
            self.frame.restore(&filler(object.id, between), None, &origin, 0);
            self.apply()?;
            self.fillers.push((object.id, between));
        }
        Ok(row)
    }

    /// Whether an actor with this number is there.
    pub(crate) fn knows_actor(&self, number: u32) -> bool {
        let live = self.records.pages.live().clone();
        number == 0 || self.records.actor(&live, number).is_ok()
    }

    /// The object's next record gets a counter behind this one.
    ///
    /// # Errors
    /// `Corrupt` for an object that the schema does not have.
    pub(crate) fn raise_counter(&mut self, object: ObjectId, counter: u64) -> Result<()> {
        let catalog = self.records.catalog().clone();
        let Some(object) = catalog.object(object) else {
            return Err(Error::corrupt("", 0, format!("object {object} is not in the schema")));
        };
        let tree = self.records.pages.tree_mut(&self.writer, object.tree)?;
        tree.set_meta(COUNTER, tree.meta(COUNTER).max(counter));
        Ok(())
    }

    fn find(&self, catalog: &Catalog, id: RecordId) -> Result<Option<(Found, Header)>> {
        let root = self.records.pages.live().clone();
        let found =
            self.records.find_id(&root, catalog, id, no_prefetch, |found, header, _| Ok((found, *header)))?;
        Ok(found.map(|(found, _)| found))
    }

    /// Unique keys are free, or the record's own.
    fn check_keys(
        &self,
        catalog: &Catalog,
        object: &ObjectLayout,
        record: &NewRecord,
    ) -> Result<(), Refused> {
        let root = self.records.pages.live().clone();
        for index in &object.indexes {
            let mut keys = Vec::new();
            let read = |attribute: &AttributeLayout, out: &mut Vec<u8>| {
                let cell = record.cells.iter().find(|(id, _)| *id == attribute.id);
                out.clear();
                out.extend_from_slice(cell.map_or(&[], |(_, cell)| cell));
                Ok::<_, vellum_engine::Error>(cell.is_some())
            };
            for_each_key(object, index, &mut KeyBuffers::default(), read, |key| {
                keys.push(key.to_vec());
                Ok(())
            })
            .map_err(Error::from)?;
            for key in keys {
                let key = IndexKey { index, bytes: &key, hash: key_hash(self.records.hash_seed, &key) };
                let held = self
                    .records
                    .find_key(&root, object, &key, no_prefetch, |_, header, _| {
                        Ok((header.id, header.version))
                    })?
                    .map(|(held, _)| held);
                if let Some((holder, version)) = held.filter(|(holder, _)| *holder != record.header.id) {
                    let error = conflict(catalog, record, &index.attributes, holder, version);
                    return Err(Refused::Key(index.attributes.clone(), error));
                }
            }
        }
        Ok(())
    }
}

impl StoreBuilder {
    /// Makes a change that a log has, if the record's version proves that none before it is missing.
    ///
    /// # Errors
    /// [`Refused`]: the store in the making is as it was, unless writing failed.
    pub(crate) fn follow(&mut self, head: &FrameHead, change: &Change<'_>) -> Result<(), Refused> {
        let catalog = self.records.catalog().clone();
        match change {
            Change::Schema { bytes } => {
                let schema = Schema::decode(bytes).map_err(Refused::Behind)?;
                Ok(self.put_schema(&schema)?)
            }
            Change::Create { target, at, cells } => {
                let object = known_object(&catalog, target.object)?;
                let counter =
                    self.records.pages.live().tree(object.tree).map_or(0, |tree| tree.meta(COUNTER)) + 1;
                let cells = known_cells(&catalog, target.object, cells.clone())?;
                let header = new_header(head, target, *at, counter);
                let row = target.object.keeps_rows().then_some(target.row);
                self.add(&NewRecord { object: target.object, header, row, cells: present(cells) })
            }
            Change::Restore { target, at, origin, cells } => {
                known_object(&catalog, target.object)?;
                let cells = known_cells(&catalog, target.object, cells.clone())?;
                let header = Header {
                    created_at: origin.created_at.0,
                    created_by: origin.created_by,
                    ..new_header(head, target, *at, origin.counter)
                };
                let row = target.object.keeps_rows().then_some(target.row);
                self.add(&NewRecord { object: target.object, header, row, cells: present(cells) })
            }
            Change::Update { target, at, cells } => {
                self.follow_update(&catalog, head, target, *at, cells.clone())
            }
            Change::Delete { target } => {
                let Some((found, header)) = self.find_target(&catalog, target)? else { return Ok(()) };
                self.start_frame(head.actor);
                self.frame.delete(&Target { row: found.row, version: header.version, history: 0, ..*target });
                Ok(self.apply()?)
            }
        }
    }

    fn follow_update(
        &mut self,
        catalog: &Catalog,
        head: &FrameHead,
        target: &Target,
        at: Option<Timestamp>,
        cells: Cells<'_>,
    ) -> Result<(), Refused> {
        let behind = |reason: String| Refused::Behind(Error::corrupt("", 0, reason));
        let Some((found, header)) = self.find_target(catalog, target)? else {
            return Err(behind("the record that it changes is not known".to_string()));
        };
        if found.object != target.object || target.version != header.version + 1 {
            let (has, to) = (header.version, target.version);
            return Err(behind(format!(
                "the record is at version {has} here, and this change makes version {to}"
            )));
        }
        let object = known_object(catalog, target.object)?;
        let changed = known_cells(catalog, target.object, cells)?;
        let cells = self.cells_at(object, found)?;
        let mut record = NewRecord { object: found.object, header, row: None, cells };
        record.cells.retain(|(id, _)| changed.iter().all(|(other, _)| other != id));
        record.cells.extend(present(changed.clone()));
        self.check_keys(catalog, object, &record)?;
        self.start_frame(head.actor);
        let row = found.row;
        let target = Target { row, ..*target };
        self.frame.update(&target, Some(at.unwrap_or(head.commit_time)), changed.len());
        for (attribute, bytes) in &changed {
            self.frame.cell(Cell { attribute: *attribute, bytes: bytes.as_deref() });
        }
        self.apply()?;
        Ok(self.make_room()?)
    }

    /// The record that a change of the log is about. One of a system object has no id of its own: it is
    /// the one in the change's row, where rows are kept.
    fn find_target(&self, catalog: &Catalog, target: &Target) -> Result<Option<(Found, Header)>> {
        if !target.object.is_system() {
            return self.find(catalog, target.id);
        }
        let Some(object) = catalog.object(target.object).filter(|_| target.object.keeps_rows()) else {
            return Ok(None);
        };
        let root = self.records.pages.live().clone();
        let header = self.records.with_row(&root, object, target.row, read_header)?.flatten();
        let header = header.filter(|header| header.id == target.id);
        Ok(header.map(|header| (Found { object: target.object, row: target.row }, header)))
    }

    fn cells_at(&self, object: &ObjectLayout, found: Found) -> Result<Vec<(AttributeId, Vec<u8>)>> {
        let root = self.records.pages.live().clone();
        let cells = self.records.with_row(&root, object, found.row, |state, slot| -> Result<_> {
            let mut cells = Vec::new();
            for attribute in &object.attributes {
                let mut cell = Vec::new();
                if read_cell(state, attribute, slot, &mut cell)? {
                    cells.push((attribute.id, cell));
                }
            }
            Ok(cells)
        })?;
        Ok(cells.unwrap_or_default())
    }

    /// The schema of the store in the making.
    pub(crate) fn schema(&self) -> Schema {
        self.records.catalog().schema.clone()
    }

    /// Records of callers in it.
    pub(crate) fn record_count(&self) -> u64 {
        let live = self.records.pages.live();
        self.records.catalog().objects().iter().map(|object| self.records.count(&live, object)).sum()
    }
}

fn known_object(catalog: &Catalog, id: ObjectId) -> Result<&ObjectLayout, Refused> {
    let missing = || Refused::Behind(Error::corrupt("", 0, format!("object {id} is not in the schema")));
    catalog.object(id).ok_or_else(missing)
}

/// The cells of a change, each found to be one of its attribute.
fn known_cells(catalog: &Catalog, object: ObjectId, mut cells: Cells<'_>) -> Result<Vec<MaybeCell>, Refused> {
    let schema = catalog.schema.object_by_id(object);
    let mut known = Vec::new();
    while let Some(cell) = cells.next_cell().map_err(|error| Refused::Behind(error.into()))? {
        let Some(attribute) = schema.and_then(|object| object.attribute_by_id(cell.attribute)) else {
            let reason = format!("attribute {} is not in the schema", cell.attribute);
            return Err(Refused::Behind(Error::corrupt("", 0, reason)));
        };
        if let Some(bytes) = cell.bytes {
            attribute.decode(bytes).map_err(Refused::Behind)?;
        }
        known.push((cell.attribute, cell.bytes.map(<[u8]>::to_vec)));
    }
    Ok(known)
}

/// An attribute and its cell; none where it was cleared.
type MaybeCell = (AttributeId, Option<Vec<u8>>);

fn present(cells: Vec<MaybeCell>) -> Vec<(AttributeId, Vec<u8>)> {
    cells.into_iter().filter_map(|(id, bytes)| bytes.map(|bytes| (id, bytes))).collect()
}

fn new_header(head: &FrameHead, target: &Target, at: Option<Timestamp>, counter: u64) -> Header {
    let shown = at.unwrap_or(head.commit_time).0;
    Header {
        version: target.version,
        updated_at: shown,
        updated_by: head.actor,
        history: target.history,
        id: target.id,
        created_at: shown,
        counter,
        created_by: head.actor,
    }
}

fn filler(object: ObjectId, row: RowId) -> Target {
    Target { object, row, id: RecordId::from_bytes([0; 16]), version: 1, history: 0 }
}

fn put_cells(frame: &mut FrameBuilder, cells: &[(AttributeId, Vec<u8>)]) {
    for (attribute, bytes) in cells {
        frame.cell(Cell { attribute: *attribute, bytes: Some(bytes) });
    }
}

#[cold]
fn conflict(
    catalog: &Catalog,
    record: &NewRecord,
    attributes: &[AttributeId],
    holder: RecordId,
    version: u64,
) -> Error {
    let schema = catalog.schema.object_by_id(record.object);
    let known = |id: &AttributeId| schema.and_then(|object| object.attribute_by_id(*id));
    let text = |id: &AttributeId| {
        let cell = record.cells.iter().find(|(attribute, _)| attribute == id);
        known(id).zip(cell).map_or_else(String::new, |(attribute, (_, cell))| attribute.key_text(cell))
    };
    Error::unique(Conflict {
        object: schema.map_or_else(String::new, |object| object.key().to_string()),
        attributes: attributes
            .iter()
            .filter_map(known)
            .map(|attribute| attribute.key().to_string())
            .collect(),
        key: attributes.iter().map(text).collect(),
        record: holder,
        version,
    })
}
