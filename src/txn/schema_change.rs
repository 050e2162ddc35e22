//! What a change of the schema demands of the records that are there: one walk over each object, under the
//! writer lock, so that nothing comes in between. It reads all that the change itself will read (crash rule 8).

use super::transaction::Transaction;
use crate::records::{Catalog, KeyBuffers, ObjectLayout, for_each_key_in, read_cell, read_header};
use std::collections::BTreeSet;
use std::sync::Arc;
use vellum_engine::index::key_hash;
use vellum_engine::pages::GroupState;
use vellum_engine::{GROUP_ROWS, RowId};
use vellum_types::schema::{Asked, AttributeSchema, Constraint, ObjectSchema, Status};
use vellum_types::value::Value;
use vellum_types::{AttributeId, RecordId};
use vellum_types::{Error, ErrorKind, Result};

/// Most records that an error names; their number says more.
const NAMED_MAX: usize = 20;

/// One record as a walk meets it.
struct Met<'s> {
    state: &'s GroupState,
    slot: u32,
    id: RecordId,
    row: RowId,
}

/// Records in the way of a change.
#[derive(Default)]
struct InTheWay {
    count: u64,
    named: Vec<RecordId>,
    /// All of them, where a walk may meet one twice.
    seen: BTreeSet<RecordId>,
    first_reason: Option<String>,
}

impl InTheWay {
    fn note(&mut self, id: RecordId, reason: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(id);
        }
        self.first_reason.get_or_insert_with(reason);
    }

    /// [`InTheWay::note`] for a record that may have been noted before.
    fn note_once(&mut self, id: RecordId, reason: impl FnOnce() -> String) {
        if self.seen.insert(id) {
            self.note(id, reason);
        }
    }

    fn refuse(self, kind: ErrorKind, what: &str) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let records =
            if self.count == 1 { "1 record".to_string() } else { format!("{} records", self.count) };
        let example = self.first_reason.map_or_else(String::new, |reason| format!(", for one: {reason}"));
        let message = format!("{what}: {records} in the way{example}; change those first");
        Err(Error::in_the_way(kind, message, self.named))
    }
}

fn is_deleted(object: &ObjectSchema, id: AttributeId) -> bool {
    object.attribute_by_id(id).is_none_or(|attribute| attribute.standing() == Status::Deleted)
}

impl Transaction<'_> {
    /// Whether the records are as a change of the schema wants them.
    ///
    /// # Errors
    /// `MissingRequired`, `UniqueConflict`, `InvalidValue`, `LimitExceeded`, each with the records in the way.
    pub(crate) fn check_demands(&self, after: &Catalog, demands: &[Constraint]) -> Result<()> {
        for demand in demands {
            let (Some(layout), Some(schema)) =
                (after.object(demand.object), after.schema.object_by_id(demand.object))
            else {
                continue;
            };
            // An object that the same change makes has no records.
            let Some(before) = self.catalog.object(demand.object) else { continue };
            let old = self.catalog.schema.object_by_id(demand.object).expect("a layout has a schema");
            match demand.what {
                Asked::Value(id) => self.demand_value(before, schema, id)?,
                Asked::Unique(id) => self.demand_unique((before, layout), schema, id)?,
                Asked::NotOption(id, number) => self.demand_no_option(before, old, id, number)?,
                // A limit of an attribute that the same change deletes is nobody's.
                Asked::Fits(id) if is_deleted(schema, id) => {}
                Asked::Fits(id) => self.demand_fit(before, (old, schema), id)?,
                Asked::RecordLen => self.demand_len(before, schema)?,
            }
        }
        Ok(())
    }

    fn each(&self, object: &ObjectLayout, mut met: impl FnMut(&Met<'_>) -> Result<()>) -> Result<()> {
        let records = self.context.records;
        for number in 0..records.group_count(self.root, object) {
            let Some(group) = records.pages.group(self.root, object.tree, number)? else { continue };
            let state = group.state.read();
            for slot in 0..GROUP_ROWS {
                if let Some(header) = read_header(&state, slot)? {
                    let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
                    met(&Met { state: &state, slot, id: header.id, row })?;
                }
            }
        }
        Ok(())
    }

    fn demand_value(&self, object: &ObjectLayout, schema: &ObjectSchema, id: AttributeId) -> Result<()> {
        let mut in_the_way = InTheWay::default();
        let mut cell = Vec::new();
        // An attribute that the change adds has no value anywhere.
        let layout = object.attribute(id);
        self.each(object, |met| {
            let has = match layout {
                Some(layout) => read_cell(met.state, layout, met.slot, &mut cell)?,
                None => false,
            };
            if !has {
                in_the_way.note(met.id, || format!("record {} has no value", met.id));
            }
            Ok(())
        })?;
        in_the_way.refuse(ErrorKind::MissingRequired, &format!("{} becomes required", path(schema, id)))
    }

    fn demand_unique(
        &self,
        (before, after): (&ObjectLayout, &ObjectLayout),
        schema: &ObjectSchema,
        id: AttributeId,
    ) -> Result<()> {
        let Some(index) = after.indexes.iter().find(|index| index.attributes == [id]) else { return Ok(()) };
        if before.attribute(id).is_none() {
            return Ok(());
        }
        let seed = self.context.records.hash_seed;
        let (mut buffers, mut hashes) = (KeyBuffers::default(), Vec::new());
        self.each(before, |met| {
            for_each_key_in(met.state, before, index, met.slot, &mut buffers, |key| {
                hashes.push((key_hash(seed, key), met.row));
                Ok(())
            })
        })?;
        hashes.sort_unstable();
        hashes.dedup();
        let mut in_the_way = InTheWay::default();
        for same in hashes.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            self.compare_keys(before, index, schema, same, &mut in_the_way)?;
        }
        in_the_way.refuse(ErrorKind::UniqueConflict, &format!("{} becomes unique", path(schema, id)))
    }

    /// Rows whose keys have the same hash, compared by the keys themselves.
    fn compare_keys(
        &self,
        object: &ObjectLayout,
        index: &crate::records::IndexLayout,
        schema: &ObjectSchema,
        rows: &[(u64, RowId)],
        in_the_way: &mut InTheWay,
    ) -> Result<()> {
        let records = self.context.records;
        let mut keys: Vec<(Vec<u8>, RecordId)> = Vec::new();
        let mut buffers = KeyBuffers::default();
        for (hash, row) in rows {
            records.with_row(self.root, object, *row, |state, slot| -> Result<()> {
                let Some(header) = read_header(state, slot)? else { return Ok(()) };
                for_each_key_in(state, object, index, slot, &mut buffers, |key| {
                    if key_hash(records.hash_seed, key) == *hash {
                        keys.push((key.to_vec(), header.id));
                    }
                    Ok(())
                })
            })?;
        }
        keys.sort_unstable();
        keys.dedup();
        for same in keys.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            let attribute = index.attributes.first().and_then(|id| schema.attribute_by_id(*id));
            let text = attribute.map_or_else(String::new, |attribute| {
                attribute.key_text(same[0].0.get(4..).unwrap_or_default())
            });
            for (_, id) in same {
                in_the_way.note_once(*id, || format!("records {} and {} have {text}", same[0].1, same[1].1));
            }
        }
        Ok(())
    }

    fn demand_no_option(
        &self,
        object: &ObjectLayout,
        schema: &ObjectSchema,
        id: AttributeId,
        number: u32,
    ) -> Result<()> {
        let (Some(layout), Some(attribute)) = (object.attribute(id), schema.attribute_by_id(id)) else {
            return Ok(());
        };
        let Some(option) = attribute.options().get(number as usize) else { return Ok(()) };
        let is_option = |value: &Value| value.as_text() == Some(option.key());
        let (mut in_the_way, mut cell) = (InTheWay::default(), Vec::new());
        self.each(object, |met| {
            if read_cell(met.state, layout, met.slot, &mut cell)? {
                let value = attribute.decode(&cell)?;
                let has = match &value {
                    Value::List(values) => values.iter().any(is_option),
                    value => is_option(value),
                };
                if has {
                    in_the_way.note(met.id, || format!("record {} has it", met.id));
                }
            }
            Ok(())
        })?;
        let what = format!("option {} of {} is deleted", option.key(), path(schema, id));
        in_the_way.refuse(ErrorKind::InvalidValue, &what)
    }

    fn demand_fit(
        &self,
        object: &ObjectLayout,
        (old, new): (&ObjectSchema, &ObjectSchema),
        id: AttributeId,
    ) -> Result<()> {
        let (Some(layout), Some(before), Some(after)) =
            (object.attribute(id), old.attribute_by_id(id), new.attribute_by_id(id))
        else {
            return Ok(());
        };
        let (mut in_the_way, mut cell) = (InTheWay::default(), Vec::new());
        self.each(object, |met| {
            if read_cell(met.state, layout, met.slot, &mut cell)?
                && let Err(error) = fits(new, before, after, &cell)
            {
                in_the_way.note(met.id, || format!("record {}: {error}", met.id));
            }
            Ok(())
        })?;
        in_the_way.refuse(ErrorKind::InvalidValue, &format!("{} changes", path(new, id)))
    }

    fn demand_len(&self, object: &ObjectLayout, schema: &ObjectSchema) -> Result<()> {
        let Some(max) = schema.max_record_len() else { return Ok(()) };
        let (mut in_the_way, mut cell) = (InTheWay::default(), Vec::new());
        self.each(object, |met| {
            let mut len = 0;
            for layout in object.attributes.iter().filter(|layout| !layout.deleted) {
                if read_cell(met.state, layout, met.slot, &mut cell)? {
                    len += cell.len() as u64;
                }
            }
            if len > u64::from(max) {
                in_the_way.note(met.id, || format!("record {} has {len} bytes", met.id));
            }
            Ok(())
        })?;
        in_the_way
            .refuse(ErrorKind::LimitExceeded, &format!("{} has at most {max} bytes a record", schema.key()))
    }

    /// Stages changes of the schema in JSON; see `schema::change`.
    pub(crate) fn stage_changes(&mut self, json: &str) -> Result<()> {
        let counter = |id| {
            let tree = self.catalog.object(id).and_then(|object| self.root.tree(object.tree));
            tree.map_or(0, |tree| tree.meta(crate::records::COUNTER))
        };
        let (schema, demands) = self.catalog.schema.changed(json, &counter)?;
        let after = Arc::new(Catalog::new(schema));
        self.check_demands(&after, &demands)?;
        self.state.stage.schema = Some(after.schema.clone());
        Ok(())
    }
}

/// Whether a cell is a value that the attribute, as it will be, takes.
fn fits(object: &ObjectSchema, before: &AttributeSchema, after: &AttributeSchema, cell: &[u8]) -> Result<()> {
    let value = match before.value_type() == after.value_type() {
        true => before.decode(cell)?,
        false => after.decode(&after.present_cell(before.value_type() as u32, cell)?)?,
    };
    after.encode(object, &value, &mut Vec::new()).map(drop)
}

fn path(object: &ObjectSchema, id: AttributeId) -> String {
    let name = object.attribute_by_id(id).map_or("", |attribute| attribute.key());
    format!("{}.{name}", object.key())
}
