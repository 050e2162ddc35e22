//! The history of a record: entries in a system object, linked from the newest to the oldest.
//!
//! ```text
//! header.history ─► value (status was "open" until 10:05) ─► value (…) ─► born
//! died (found by the record's id) ─► value (…) ─► … ─► born         of a record that was deleted
//! ```
//!
//! An entry's own header says most of it: its id is the record's, its version the one that the change ended
//! (for a birth the first one), its creation the moment and the actor of the change. A link is a row + 1.
//! Entries are never taken out, so a row stays what it is, and commits lie in the order of the rows.

use super::catalog::{AttributeLayout, Catalog, ObjectLayout};
use super::read::{IndexKey, read_cell, read_header};
use super::{ROWS, Records};
use crate::records::row_header::Header;
use vellum_engine::index::key_hash;
use vellum_engine::pages::{GroupGuard, GroupState, Root};
use vellum_engine::{Lsn, RowId};
use vellum_types::schema::history as h;
use vellum_types::value::{Timestamp, ValueType, append_key_bytes};
use vellum_types::{AttributeId, RecordId};
use vellum_types::{Error, Result};

/// What an entry tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// An attribute had this value, or none, until then.
    Value,
    /// The record came to be.
    Born,
    /// The record was deleted.
    Died,
    /// An attribute had this value in an interval that a caller named.
    Inserted,
}

impl EntryKind {
    pub const ALL: [EntryKind; 4] = [EntryKind::Value, EntryKind::Born, EntryKind::Died, EntryKind::Inserted];

    /// The number in the entry; 0 is no kind.
    pub fn number(self) -> i64 {
        EntryKind::ALL.iter().position(|kind| *kind == self).map_or(0, |at| at as i64 + 1)
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    pub row: RowId,
    pub kind: EntryKind,
    pub record: RecordId,
    /// The version that the change ended; of a birth the first one.
    pub version: u64,
    /// When, and who did it.
    pub at: Timestamp,
    pub by: u32,
    pub lsn: Lsn,
    /// The attribute, for a value.
    pub attribute: AttributeId,
    /// The type that the attribute had, by its place in the persisted form.
    pub value_type: u32,
    pub cell: Option<Vec<u8>>,
    /// The interval of an inserted value.
    pub interval: Option<(Timestamp, Timestamp)>,
    /// Creation and counter of a record that died.
    pub origin: Option<crate::redo::Origin>,
    /// The entry before it, as a link.
    pub previous: u64,
}

impl Records {
    /// The entries behind a link, the newest first.
    ///
    /// # Errors
    /// `Corrupt` when an entry cannot be read, or is of another record.
    pub fn entries(
        &self,
        root: &Root,
        history: &ObjectLayout,
        record: RecordId,
        head: u64,
    ) -> Result<Vec<Entry>> {
        let rows = root.tree(history.tree).map_or(0, |tree| tree.meta(ROWS));
        let (mut entries, mut link) = (Vec::new(), head);
        while let Some(row) = link.checked_sub(1) {
            let entry = self.entry(root, history, RowId(row))?.filter(|entry| entry.record == record);
            let Some(entry) = entry.filter(|_| (entries.len() as u64) < rows) else {
                let reason =
                    format!("the history of record {record} leads to row {row}, which is no entry of it");
                return Err(Error::corrupt("", 0, reason));
            };
            link = entry.previous;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The entry in a row; `None` for a row without one.
    pub fn entry(&self, root: &Root, history: &ObjectLayout, row: RowId) -> Result<Option<Entry>> {
        let read = self.with_row(root, history, row, |state, slot| -> Result<_> {
            let Some(header) = read_header(state, slot)? else { return Ok(None) };
            read_entry(history, &header, state, slot, row)
        })?;
        Ok(read.flatten())
    }

    /// The entry that says that a record was deleted, and its group.
    pub fn died(
        &self,
        root: &Root,
        history: &ObjectLayout,
        record: RecordId,
    ) -> Result<Option<(Entry, GroupGuard)>> {
        let mut key = Vec::new();
        append_key_bytes(&mut key, ValueType::Uuid, &record.bytes());
        let hash = key_hash(self.hash_seed, &key);
        let key = IndexKey { index: &history.indexes[0], bytes: &key, hash };
        let found = self.find_key(root, history, &key, super::no_prefetch, |found, header, state| {
            read_entry(history, header, state, found.row.slot(), found.row)
        })?;
        Ok(found.and_then(|(entry, group)| Some((entry?, group))))
    }

    /// The entries that a commit made, in their order.
    pub fn entries_of(&self, root: &Root, history: &ObjectLayout, lsn: Lsn) -> Result<Vec<Entry>> {
        let rows = root.tree(history.tree).map_or(0, |tree| tree.meta(ROWS));
        // Rows in front of `low` are of earlier commits, those from `high` on of later ones, or of this one.
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = low + (high - low) / 2;
            // A row that lost its entry says nothing: the next one that has one does.
            let mut known = middle;
            let found = loop {
                if known >= high {
                    break None;
                }
                if let Some(entry) = self.entry(root, history, RowId(known))? {
                    break Some(entry.lsn);
                }
                known += 1;
            };
            match found {
                Some(found) if found < lsn => low = known + 1,
                _ => high = middle,
            }
        }
        let mut entries = Vec::new();
        for row in (low..rows).map(RowId) {
            match self.entry(root, history, row)? {
                None => {}
                Some(entry) if entry.lsn == lsn => entries.push(entry),
                Some(_) => break,
            }
        }
        Ok(entries)
    }
}

/// Reads an entry; `None` where the row holds a place and no entry.
pub fn read_entry(
    history: &ObjectLayout,
    header: &Header,
    state: &GroupState,
    slot: u32,
    row: RowId,
) -> Result<Option<Entry>> {
    let mut buffer = Vec::new();
    let mut number = |id: AttributeId| -> Result<Option<i64>> {
        let Some(layout) = history.attribute(id) else { return Ok(None) };
        let there = read_cell(state, layout, slot, &mut buffer)?;
        Ok(there.then(|| buffer.as_slice().try_into().map_or(0, i64::from_le_bytes)))
    };
    let kind = number(h::KIND)?.unwrap_or(0);
    let Some(kind) = EntryKind::ALL.into_iter().find(|known| known.number() == kind) else { return Ok(None) };
    let attribute = number(h::ATTRIBUTE)?.unwrap_or(0);
    let interval = match (number(h::FROM)?, number(h::UNTIL)?) {
        (Some(from), Some(until)) => Some((Timestamp(from), Timestamp(until))),
        _ => None,
    };
    let origin = match (number(h::CREATED_AT)?, number(h::CREATED_BY)?, number(h::COUNTER)?) {
        (Some(created_at), created_by, Some(counter)) => Some(crate::redo::Origin {
            created_at: Timestamp(created_at),
            created_by: created_by.unwrap_or(0) as u32,
            counter: counter as u64,
        }),
        _ => None,
    };
    let value_type = number(h::VALUE_TYPE)?.unwrap_or(0) as u32;
    let (lsn, previous) = (number(h::LSN)?.unwrap_or(0), number(h::PREVIOUS)?.unwrap_or(0));
    let mut cell = Vec::new();
    let layout: Option<&AttributeLayout> = history.attribute(h::CELL);
    let has_cell = match layout {
        Some(layout) => read_cell(state, layout, slot, &mut cell)?,
        None => false,
    };
    Ok(Some(Entry {
        row,
        kind,
        record: header.id,
        version: header.version,
        at: Timestamp(header.created_at),
        by: header.created_by,
        lsn: Lsn(lsn as u64),
        attribute: AttributeId(attribute as u16),
        value_type,
        cell: has_cell.then_some(cell),
        interval,
        origin,
        previous: previous as u64,
    }))
}

impl Catalog {
    /// The object that keeps an object's history, where there is one.
    pub fn history_of(&self, object: &ObjectLayout) -> Option<&ObjectLayout> {
        object.history.and_then(|id| self.object(id))
    }
}
