//! Each record, from the first state that has it.

use super::report::Losses;
use super::state::{State, States};
use crate::import::{NewRecord, Refused, StoreBuilder};
use vellum::records::row_header::Header;
use vellum::records::{AttributeLayout, COUNTER, Catalog, ObjectLayout, ROWS, read_cell, read_header};
use vellum_engine::page::Columns;
use vellum_engine::pages::{Group, GroupState};
use vellum_engine::{GROUP_ROWS, RowId};
use vellum_memory::Shared;
use vellum_types::schema::{ACTORS, AttributeSchema, ObjectSchema, history};
use vellum_types::{Error, Result};

/// Puts every record that can be read into the new store.
///
/// # Errors
/// When the new store cannot be written.
pub(super) fn salvage(states: &States<'_>, build: &mut StoreBuilder, losses: &mut Losses) -> Result<()> {
    let catalog = states.catalog();
    // Objects of the engine's own first: the others name their records.
    let (system, callers): (Vec<_>, Vec<_>) =
        catalog.all_objects().partition(|(object, _)| object.id.is_system());
    for (object, schema) in system.into_iter().chain(callers) {
        let mut salvager = Salvager { states, catalog: &catalog, object, schema, build, losses };
        salvager.object()?;
    }
    Ok(())
}

struct Salvager<'a> {
    states: &'a States<'a>,
    catalog: &'a Catalog,
    object: &'a ObjectLayout,
    schema: &'a ObjectSchema,
    build: &'a mut StoreBuilder,
    losses: &'a mut Losses,
}

/// A group as one state has it.
struct GroupIn<'a> {
    state: &'a State,
    group: Result<Option<Shared<Group>>>,
}

impl Salvager<'_> {
    fn object(&mut self) -> Result<()> {
        let trees =
            || self.states.list.iter().filter_map(|state| Some((state, state.root.tree(self.object.tree)?)));
        let counter = trees().map(|(_, tree)| tree.meta(COUNTER)).max().unwrap_or(0);
        // What a scan says of rows is an upper bound; a checkpoint knows.
        let known = trees().find(|(state, _)| !state.is_scanned).map(|(_, tree)| tree.meta(ROWS));
        let rows = match (known, self.states.list.iter().any(|state| !state.is_scanned)) {
            (Some(rows), _) => rows,
            (None, true) => 0,
            (None, false) => trees().map(|(_, tree)| tree.meta(ROWS)).max().unwrap_or(0),
        };
        // No page table has groups behind its chunks, whatever damaged numbers say.
        let ends = self
            .states
            .list
            .iter()
            .map(|state| state.records.pages.number_end(&state.root, self.object.tree).unwrap_or(0));
        let groups = rows.div_ceil(u64::from(GROUP_ROWS)).min(ends.max().unwrap_or(0));
        for number in 0..groups {
            let first = number * u64::from(GROUP_ROWS);
            self.group(number, rows.saturating_sub(first).min(u64::from(GROUP_ROWS)) as u32)?;
        }
        if groups * u64::from(GROUP_ROWS) < rows {
            let reason =
                format!("{} counts {rows} rows, and pages for {groups} groups are left", self.schema.key());
            self.losses.row(
                self.schema.key(),
                groups * u64::from(GROUP_ROWS),
                &Error::corrupt("", 0, reason),
            );
        }
        self.build.raise_counter(self.object.id, counter)
    }

    fn group(&mut self, number: u64, rows: u32) -> Result<()> {
        let tree = self.object.tree;
        let groups: Vec<GroupIn<'_>> = self
            .states
            .list
            .iter()
            .map(|state| {
                let group = state.records.pages.group(&state.root, tree, number);
                GroupIn {
                    state,
                    group: group.map(|group| group.map(|group| group.to_arc())).map_err(Error::from),
                }
            })
            .collect();
        for slot in 0..rows {
            let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
            match self.header(&groups, number, slot) {
                Ok(None) => {}
                Ok(Some(header)) => self.record(&groups, number, slot, header)?,
                Err(error) => self.losses.row(self.schema.key(), row.0, &error),
            }
        }
        drop(groups);
        for state in &self.states.list {
            state.records.pages.forget(&state.root, tree, number);
        }
        Ok(())
    }

    /// What the first state says that can say anything; else the first error.
    fn first<T>(
        &self,
        groups: &[GroupIn<'_>],
        number: u64,
        layout: Option<&AttributeLayout>,
        read: impl Fn(&GroupState) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let column = layout.map_or(0, |layout| layout.column);
        let mut error = None;
        for GroupIn { state, group } in groups {
            let answer = match group {
                Err(error) => Err(error.clone()),
                Ok(group) if state.is_scanned => {
                    let last = if layout.is_some_and(|layout| layout.width.is_none()) {
                        column | 0xffff
                    } else {
                        column
                    };
                    match group.as_ref().map(|group| group.state.read()) {
                        Some(group) if group.page(column).is_some() => {
                            match self.states.is_doubtful(self.object.tree, number, column..=last) {
                                false => read(&group),
                                true => Err(doubtful()),
                            }
                        }
                        // Without damage that could hide it, a page that is not found was never there.
                        _ if !self.states.may_hide() => Ok(None),
                        _ => Err(doubtful()),
                    }
                }
                Ok(None) => Ok(None),
                Ok(Some(group)) => read(&group.state.read()),
            };
            match answer {
                Ok(found) => return Ok(found),
                Err(why) => drop(error.get_or_insert(why)),
            }
        }
        Err(error.unwrap_or_else(doubtful))
    }

    fn header(&self, groups: &[GroupIn<'_>], number: u64, slot: u32) -> Result<Option<Header>> {
        self.first(groups, number, None, |state| Ok(read_header(state, slot)?))
    }

    /// Who is lost is nobody from now on.
    fn with_known_actors(&mut self, mut header: Header) -> Header {
        for number in [&mut header.created_by, &mut header.updated_by] {
            // An actor makes itself known.
            if self.object.id != ACTORS && !self.build.knows_actor(*number) {
                let error =
                    Error::corrupt("", 0, format!("actor {number} is lost: the record names nobody instead"));
                self.losses.record(self.schema.key(), header.id, &[], &error);
                *number = 0;
            }
        }
        header
    }

    /// A link of a history that leads to an entry which is lost is cut: what is older is in nobody's history then.
    fn with_known_past(&mut self, record: &mut NewRecord) -> Result<()> {
        let id = record.header.id;
        let previous = record.cells.iter().position(|(attribute, _)| *attribute == history::PREVIOUS);
        let (kept_in, link) = match self.object.history {
            Some(kept_in) => (kept_in, record.header.history),
            // An entry that leads to an older one.
            None if self.object.id.is_history() => {
                let cell = previous.map_or(&[][..], |at| &record.cells[at].1);
                (self.object.id, cell.try_into().map_or(0, u64::from_le_bytes))
            }
            None => return Ok(()),
        };
        let Some(row) = link.checked_sub(1) else { return Ok(()) };
        if self.build.is_entry(kept_in, RowId(row), id)? {
            return Ok(());
        }
        let error =
            Error::corrupt("", 0, format!("older values of it are lost: its history leads to row {row}"));
        self.losses.record(self.schema.key(), id, &[], &error);
        record.header.history = 0;
        if self.object.history.is_none() {
            record.cells.retain(|(attribute, _)| *attribute != history::PREVIOUS);
        }
        Ok(())
    }

    fn record(&mut self, groups: &[GroupIn<'_>], number: u64, slot: u32, header: Header) -> Result<()> {
        let row =
            self.object.id.keeps_rows().then_some(RowId(number * u64::from(GROUP_ROWS) + u64::from(slot)));
        let header = self.with_known_actors(header);
        let mut record = NewRecord { object: self.object.id, header, row, cells: Vec::new() };
        let mut is_whole = true;
        for (layout, attribute) in self.object.attributes.iter().zip(self.schema.attributes()) {
            let cell =
                self.first(groups, number, Some(layout), |state| cell_of(state, layout, attribute, slot));
            match cell {
                Ok(None) => {}
                Ok(Some(cell)) => record.cells.push((layout.id, cell)),
                Err(error) => {
                    self.losses.record(self.schema.key(), header.id, &[attribute.key()], &error);
                    is_whole = false;
                }
            }
        }
        // Half an entry of a history says something wrong: that another value was there, or that none was.
        if !is_whole && self.object.id.is_history() {
            return Ok(());
        }
        self.with_known_past(&mut record)?;
        add(self.build, self.catalog, record, self.losses)
    }
}

fn cell_of(
    state: &GroupState,
    layout: &AttributeLayout,
    attribute: &AttributeSchema,
    slot: u32,
) -> Result<Option<Vec<u8>>> {
    let mut cell = Vec::new();
    if !read_cell(state, layout, slot, &mut cell)? {
        return Ok(None);
    }
    attribute.decode(&cell)?;
    Ok(Some(cell))
}

/// Adds a record; one whose key another has is kept without that key.
pub(super) fn add(
    build: &mut StoreBuilder,
    catalog: &Catalog,
    mut record: NewRecord,
    losses: &mut Losses,
) -> Result<()> {
    let schema = catalog.schema.object_by_id(record.object).expect("records are of objects of the schema");
    loop {
        match build.add(&record) {
            Ok(()) => return Ok(()),
            Err(Refused::Failed(error) | Refused::Behind(error)) => return Err(error),
            Err(Refused::Id) => {
                let error = Error::invalid_input("a record with this id was met before");
                losses.record(schema.key(), record.header.id, &[], &error);
                return Ok(());
            }
            Err(Refused::Key(attributes, error)) => {
                let names: Vec<&str> =
                    attributes.iter().filter_map(|id| schema.attribute_by_id(*id)).map(|a| a.key()).collect();
                losses.record(schema.key(), record.header.id, &names, &error);
                record.cells.retain(|(id, _)| !attributes.contains(id));
            }
        }
    }
}

fn doubtful() -> Error {
    Error::corrupt(
        "",
        0,
        "the page table is gone, and damage may hide a newer image of the page than those found",
    )
}
