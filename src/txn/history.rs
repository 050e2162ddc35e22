//! What a commit puts into the histories: an entry for each value that it supersedes, each record that comes
//! to be and each that goes; see `records::history` for what an entry is.
//!
//! Entries are staged when all else is, as creates in the same frame, and linked when rows are known. A record
//! that is made under the id of one that was deleted goes on with that one's history.

use super::stage::{Before, Fate, PastValue, StagedEntry};
use super::transaction::Transaction;
use crate::records::row_header::Header;
use crate::records::{Entry, EntryKind, ObjectLayout, in_group, intervals, read_cell, read_header};
use vellum_engine::pages::GroupGuard;
use vellum_engine::{Lsn, RowId};
use vellum_types::schema::history as h;
use vellum_types::value::Timestamp;
use vellum_types::{AttributeId, ObjectId, RecordId};
use vellum_types::{Error, ErrorKind, Result};

/// A record whose history a commit adds to.
struct Owner<'c> {
    staged: usize,
    history: &'c ObjectLayout,
    object: &'c ObjectLayout,
    /// The version that the change ends.
    version: u64,
    at: Timestamp,
    before: Before,
}

impl Transaction<'_> {
    /// Stages the entries of all records that keep history.
    ///
    /// # Errors
    /// `HistoryOverlap` for a time that a caller gave and that lies in front of what is known.
    pub(super) fn stage_history(&mut self, commit_time: Timestamp) -> Result<()> {
        let catalog = self.catalog;
        for staged in 0..self.state.stage.records().len() {
            let record = self.state.stage.record(staged);
            let Some(object) = catalog.object(record.object) else { continue };
            let Some(history) = catalog.history_of(object) else { continue };
            let at = record.at.unwrap_or(commit_time);
            // Of a record that came and went nothing is told, and so no time of it either.
            if at > commit_time && !matches!(record.fate, Fate::CreatedAndDeleted | Fate::ConsumedNumber) {
                let reason = format!("{at} is in the future, and history ends with the present");
                return Err(Error::attribute(ErrorKind::HistoryOverlap, self.name_of(object), "", reason));
            }
            let (fate, version) = (record.fate, record.version);
            let before = Before::Stored(0);
            let mut owner = Owner { staged, history, object, version, at, before };
            match fate {
                Fate::Create => self.note_birth(&mut owner)?,
                Fate::Update => self.note_changes(&mut owner, commit_time)?,
                Fate::Delete => self.note_death(&mut owner)?,
                Fate::CreatedAndDeleted | Fate::ConsumedNumber => {}
            }
        }
        Ok(())
    }

    fn name_of(&self, object: &ObjectLayout) -> String {
        self.catalog
            .schema
            .object_by_id(object.id)
            .map_or_else(String::new, |object| object.key().to_string())
    }

    fn note_birth(&mut self, owner: &mut Owner<'_>) -> Result<()> {
        let id = self.state.stage.record(owner.staged).id;
        // Only an id that a caller gave can have lived before, and its version tells.
        if owner.version > 1 {
            owner.before = self.life_before(owner, id)?;
            if self.state.stage.record(owner.staged).at.is_some() {
                self.refuse_birth_before_death(owner, id)?;
            }
        }
        let entry = self.push_entry(owner, EntryKind::Born);
        self.finish_entry(entry);
        Ok(())
    }

    /// The end of the history that a record's id has, whose key is given back.
    fn life_before(&mut self, owner: &Owner<'_>, id: RecordId) -> Result<Before> {
        let stage = &mut self.state.stage;
        // An id that was one object's may be another's now, whose history is one of its own.
        let same = |entry: &&StagedEntry| {
            stage.record(entry.owner).id == id && stage.record(entry.staged).object == owner.history.id
        };
        if let Some(entry) = stage.entries.iter().rev().find(same) {
            let staged = entry.staged;
            // It dies and lives again in this transaction, so nobody will look for it among the dead.
            stage.record_mut(staged).cells.retain(|cell| cell.attribute != h::DELETED);
            return Ok(Before::Staged(staged));
        }
        let Some((died, group)) = self.context.records.died(self.root, owner.history, id)? else {
            return Ok(Before::Stored(0));
        };
        let link = died.row.0 + 1;
        self.take_from_the_dead(owner.history.id, &died, group);
        Ok(Before::Stored(link))
    }

    /// A life of which a caller says when it began comes behind the one before it.
    fn refuse_birth_before_death(&self, owner: &Owner<'_>, id: RecordId) -> Result<()> {
        let (died, entries) = match owner.before {
            Before::Staged(entry) => (self.state.stage.record(entry).at, Vec::new()),
            Before::Stored(link) => {
                let entries = self.context.records.entries(self.root, owner.history, id, link)?;
                (entries.first().map(|entry| entry.at), entries)
            }
        };
        if let Some(died) = died.filter(|died| *died > owner.at) {
            let reason =
                format!("{} is in front of the record's end at {died}; choose a time behind it", owner.at);
            return Err(Error::attribute(ErrorKind::HistoryOverlap, self.name_of(owner.object), "", reason));
        }
        let times = intervals::known_of_dead(&entries);
        for cell in &self.state.stage.record(owner.staged).cells {
            self.refuse_overlap(owner, cell.attribute, &times, (owner.at, None))?;
        }
        Ok(())
    }

    fn take_from_the_dead(&mut self, history: ObjectId, died: &Entry, group: GroupGuard) {
        let stage = &mut self.state.stage;
        let staged = stage.push(history, died.record, died.row, Fate::Update, died.version);
        let record = stage.record_mut(staged);
        record.group = Some(group);
        record.put(h::DELETED, None);
        record.moves_keys = true;
    }

    fn note_changes(&mut self, owner: &mut Owner<'_>, commit_time: Timestamp) -> Result<()> {
        let record = self.state.stage.record(owner.staged);
        let (cells, given) = (record.cells.clone(), record.at.is_some());
        // The record's version is the one after the change.
        owner.version = record.version.saturating_sub(1).max(1);
        let Some(header) = self.stored_header(owner.staged)? else { return Ok(()) };
        owner.before = Before::Stored(header.history);
        let times = match given {
            true => Some(self.times_of(owner, &header)?),
            false => None,
        };
        let mut old = Vec::new();
        for cell in &cells {
            let Some(layout) = owner.object.attribute(cell.attribute).filter(|layout| layout.history) else {
                continue;
            };
            let had = self.stored_cell(owner.staged, layout, &mut old)?;
            let new = cell.bytes.as_ref().map(|span| &self.state.stage.arena[span.clone()]);
            if new == had.then_some(old.as_slice()) {
                continue;
            }
            if let Some(times) = &times {
                self.refuse_overlap(owner, cell.attribute, times, (owner.at, None))?;
            }
            let entry = self.push_value(owner, cell.attribute, layout.value_type as u32, had.then_some(&old));
            self.finish_entry(entry);
        }
        self.note_past(owner, &header, commit_time)
    }

    /// Values that callers insert into the past.
    fn note_past(&mut self, owner: &mut Owner<'_>, header: &Header, commit_time: Timestamp) -> Result<()> {
        let of_owner = |past: &PastValue| past.owner == owner.staged;
        if !self.state.stage.past.iter().any(of_owner) {
            return Ok(());
        }
        let (mine, others) = std::mem::take(&mut self.state.stage.past).into_iter().partition(of_owner);
        self.state.stage.past = others;
        let mine: Vec<PastValue> = mine;
        let mut times = self.times_of(owner, header)?;
        for past in &mine {
            let interval = (past.from, Some(past.until));
            if past.from >= past.until || past.until > commit_time {
                let reason = format!(
                    "{} to {} is no interval of the past: it ends behind its begin, and not in the future",
                    past.from, past.until
                );
                return Err(self.overlap(owner, past.attribute, reason));
            }
            self.refuse_overlap(owner, past.attribute, &times, interval)?;
            times.push(intervals::Known {
                attribute: past.attribute,
                from: past.from,
                until: Some(past.until),
            });
            let Some(layout) = owner.object.attribute(past.attribute) else { continue };
            let cell = self.state.stage.arena[past.cell.clone()].to_vec();
            let entry = self.push_entry(owner, EntryKind::Inserted);
            self.describe_value(entry, past.attribute, layout.value_type as u32, Some(&cell));
            self.put_number(entry, h::FROM, past.from.0);
            self.put_number(entry, h::UNTIL, past.until.0);
            self.finish_entry(entry);
        }
        Ok(())
    }

    fn note_death(&mut self, owner: &mut Owner<'_>) -> Result<()> {
        let Some(header) = self.stored_header(owner.staged)? else { return Ok(()) };
        owner.before = Before::Stored(header.history);
        owner.version = header.version;
        if self.state.stage.record(owner.staged).at.is_some() {
            self.refuse_early_death(owner, &header)?;
        }
        let mut old = Vec::new();
        for layout in owner.object.attributes.iter().filter(|layout| layout.history) {
            if self.stored_cell(owner.staged, layout, &mut old)? {
                let entry = self.push_value(owner, layout.id, layout.value_type as u32, Some(&old));
                self.finish_entry(entry);
            }
        }
        let entry = self.push_entry(owner, EntryKind::Died);
        self.put_bytes(entry, h::DELETED, &header.id.bytes());
        self.put_number(entry, h::CREATED_AT, header.created_at);
        self.put_number(entry, h::CREATED_BY, i64::from(header.created_by));
        self.put_number(entry, h::COUNTER, header.counter as i64);
        self.state.stage.record_mut(entry).moves_keys = true;
        self.finish_entry(entry);
        Ok(())
    }

    /// A death of which a caller says when it was ends the life and all its values, so it comes behind their begin.
    fn refuse_early_death(&self, owner: &Owner<'_>, header: &Header) -> Result<()> {
        let entries = self.context.records.entries(self.root, owner.history, header.id, header.history)?;
        let born =
            intervals::lives(&entries, Timestamp(header.created_at), true).last().map(|life| life.from);
        if let Some(born) = born.filter(|born| *born > owner.at) {
            let reason = format!("{} is in front of the record's begin at {born}", owner.at);
            return Err(Error::attribute(ErrorKind::HistoryOverlap, self.name_of(owner.object), "", reason));
        }
        let times = self.times_of(owner, header)?;
        for open in times.iter().filter(|known| known.until.is_none()) {
            self.refuse_overlap(owner, open.attribute, &times, (owner.at, None))?;
        }
        Ok(())
    }

    fn stored_header(&self, staged: usize) -> Result<Option<Header>> {
        let record = self.state.stage.record(staged);
        let Some(group) = &record.group else { return Ok(None) };
        in_group(group, record.row, |state, slot| Ok(read_header(state, slot)?))
    }

    fn stored_cell(
        &self,
        staged: usize,
        layout: &crate::records::AttributeLayout,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let record = self.state.stage.record(staged);
        let Some(group) = &record.group else { return Ok(false) };
        in_group(group, record.row, |state, slot| Ok(read_cell(state, layout, slot, out)?))
    }

    /// The intervals in which attributes of the record had values.
    fn times_of(&self, owner: &Owner<'_>, header: &Header) -> Result<Vec<intervals::Known>> {
        let records = self.context.records;
        let entries = records.entries(self.root, owner.history, header.id, header.history)?;
        let record = self.state.stage.record(owner.staged);
        let Some(group) = &record.group else { return Ok(Vec::new()) };
        let present = in_group(group, record.row, |state, slot| -> Result<_> {
            let mut cell = Vec::new();
            let mut present = Vec::new();
            for layout in owner.object.attributes.iter().filter(|layout| layout.history) {
                if read_cell(state, layout, slot, &mut cell)? {
                    present.push(layout.id);
                }
            }
            Ok(present)
        })?;
        Ok(intervals::known(&entries, header, &present))
    }

    /// Refuses an interval in which the attribute has a value already. One without an end closes the
    /// interval of the present value, and so must begin behind that.
    fn refuse_overlap(
        &self,
        owner: &Owner<'_>,
        attribute: AttributeId,
        times: &[intervals::Known],
        (from, until): (Timestamp, Option<Timestamp>),
    ) -> Result<()> {
        for known in times.iter().filter(|known| known.attribute == attribute) {
            let is_apart = match (known.until, until) {
                (None, None) => known.from <= from,
                (Some(end), None) => end <= from,
                (None, Some(until)) => until <= known.from,
                (Some(end), Some(until)) => end <= from || until <= known.from,
            };
            if !is_apart {
                let end = until.map_or("now".to_string(), |until| until.to_string());
                let known_end = known.until.map_or("now".to_string(), |until| until.to_string());
                let reason = format!(
                    "{from} to {end} overlaps the value from {} to {known_end}; close that one first, or choose a time behind it",
                    known.from
                );
                return Err(self.overlap(owner, attribute, reason));
            }
        }
        Ok(())
    }

    #[cold]
    fn overlap(&self, owner: &Owner<'_>, attribute: AttributeId, reason: String) -> Error {
        let object = self.catalog.schema.object_by_id(owner.object.id);
        let name = object.and_then(|object| object.attribute_by_id(attribute)).map_or("", |a| a.key());
        Error::attribute(ErrorKind::HistoryOverlap, self.name_of(owner.object), name, reason)
    }

    fn push_value(
        &mut self,
        owner: &mut Owner<'_>,
        attribute: AttributeId,
        value_type: u32,
        cell: Option<&Vec<u8>>,
    ) -> usize {
        let entry = self.push_entry(owner, EntryKind::Value);
        self.describe_value(entry, attribute, value_type, cell.map(Vec::as_slice));
        entry
    }

    fn describe_value(&mut self, entry: usize, attribute: AttributeId, value_type: u32, cell: Option<&[u8]>) {
        self.put_number(entry, h::ATTRIBUTE, i64::from(attribute.0));
        self.put_number(entry, h::VALUE_TYPE, i64::from(value_type));
        if let Some(cell) = cell {
            self.put_bytes(entry, h::CELL, cell);
        }
    }

    /// Stages an entry behind the owner's newest.
    fn push_entry(&mut self, owner: &mut Owner<'_>, kind: EntryKind) -> usize {
        let stage = &mut self.state.stage;
        let id = stage.record(owner.staged).id;
        let staged = stage.push(owner.history.id, id, RowId(0), Fate::Create, owner.version);
        stage.record_mut(staged).at = Some(owner.at);
        let entry = StagedEntry { staged, owner: owner.staged, before: owner.before };
        stage.entries.push(entry);
        owner.before = Before::Staged(staged);
        self.put_number(staged, h::KIND, kind.number());
        staged
    }

    fn finish_entry(&mut self, entry: usize) {
        let lsn: Lsn = self.context.records.applied().next();
        self.put_number(entry, h::LSN, lsn.0 as i64);
    }

    fn put_number(&mut self, entry: usize, attribute: AttributeId, number: i64) {
        self.put_bytes(entry, attribute, &number.to_le_bytes());
    }

    fn put_bytes(&mut self, entry: usize, attribute: AttributeId, bytes: &[u8]) {
        let stage = &mut self.state.stage;
        let start = stage.arena.len();
        stage.arena.extend_from_slice(bytes);
        let span = start..stage.arena.len();
        stage.record_mut(entry).put(attribute, Some(span));
    }

    /// Links the entries and their records, whose rows are known now.
    pub(super) fn link_entries(&mut self) {
        for at in 0..self.state.stage.entries.len() {
            let StagedEntry { staged, owner, before } = self.state.stage.entries[at];
            let link_to = |row: RowId| row.0 + 1;
            let previous = match before {
                Before::Stored(link) => link,
                Before::Staged(before) => link_to(self.state.stage.record(before).row),
            };
            if previous != 0 {
                self.put_number(staged, h::PREVIOUS, previous as i64);
            }
            let newest = link_to(self.state.stage.record(staged).row);
            self.state.stage.record_mut(owner).history = newest;
        }
    }
}
