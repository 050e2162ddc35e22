//! The recovered records: every reference between structures.
//!
//! One pass over the row groups of each object, forgetting each group behind it, checks headers, cells
//! and keys, and looks each key up; one over the buckets of each index checks that there is nothing else
//! in them. So an index is right when each key of a record is found once and the counts agree, and no
//! map of all keys is needed. What grows with the store: loaded buckets, 16 bytes for each free row, and 32 for each
//! entry of a history ([`super::past`]).

use super::history::Past;
use super::{Affected, Report, name_of_index, name_of_tree};
use vellum::records::row_header::{self, Header};
use vellum::records::{
    AttributeLayout, CATALOG_TREE, COUNTER, Catalog, FREE_HEAD, ID_TREE, IndexKey, KeyBuffers, ObjectLayout,
    RECORDS, ROWS, Records, for_each_key_in, has_key, id_value, read_cell, read_entry, read_header,
    split_id_value,
};
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::slots::{self, SLOTS_START, Width};
use vellum_engine::page::{Columns, PageRead, varlen};
use vellum_engine::pages::{Group, GroupState, Root};
use vellum_engine::{Error, Result};
use vellum_engine::{GROUP_ROWS, RowId, TreeId};
use vellum_types::RecordId;
use vellum_types::schema::{AttributeSchema, ObjectSchema};

/// A bit for each row of a group.
type Rows = [u8; GROUP_ROWS as usize / 8];

/// Wrong entries that are named for one index; their number says more.
pub(super) const NAMED_MAX: u32 = 20;

pub(super) fn check(records: &Records, report: &mut Report) {
    let catalog = records.catalog().clone();
    let root = records.pages.live().clone();
    let past = Past::default();
    let mut check = Check { records, root: &root, catalog: &catalog, report, id_count: Some(0), past };
    check.trees();
    check.schema_pages();
    // Histories behind the objects whose records lead to them.
    for (object, schema) in catalog.all_objects() {
        check.object(object, schema);
    }
    let expected = check.id_count;
    check.index(ID_TREE, "the index of record ids", expected, &|hash, value| {
        let found = split_id_value(value);
        let Some(object) = catalog.object(found.object) else { return Ok(false) };
        let id = records.with_row(&root, object, found.row, read_header)?.flatten();
        Ok(id.is_some_and(|header| records.id_hash(header.id) == hash))
    });
}

pub(super) struct Check<'a> {
    pub(super) records: &'a Records,
    pub(super) root: &'a Root,
    catalog: &'a Catalog,
    pub(super) report: &'a mut Report,
    /// Records met so far; unknown once some could not be read.
    id_count: Option<u64>,
    past: Past,
}

/// What the pass over an object's groups gathers.
struct Tally {
    rows: u64,
    records: u64,
    counter_max: u64,
    /// Records with a key, by index.
    keys: Vec<u64>,
    /// Free rows below `rows`, ascending, with their links as stored.
    free: Vec<(u64, u64)>,
    /// Whether headers, and keys of each index, could all be read.
    headers_known: bool,
    keys_known: Vec<bool>,
}

/// One finding for all that is wrong with a page in one way.
#[derive(Default)]
struct Trouble {
    first: Option<Error>,
    count: u32,
    rows: Option<(u32, u32)>,
    records: Vec<RecordId>,
}

impl Trouble {
    /// The same for a row whose record may be known.
    fn note_in(&mut self, state: &GroupState, slot: u32, error: Error) {
        if let Ok(Some(header)) = read_header(state, slot) {
            self.records.push(header.id);
        }
        self.note(slot, error);
    }

    fn note(&mut self, slot: u32, error: Error) {
        let (first, _) = *self.rows.get_or_insert((slot, slot));
        self.rows = Some((first, slot));
        self.count += 1;
        self.first.get_or_insert(error);
    }

    /// Reports, saying whom: `what` in rows of the group `number`.
    fn tell(self, report: &mut Report, what: &str, number: u64) -> bool {
        let Some((error, (first, last))) = self.first.zip(self.rows) else { return false };
        let row = |slot: u32| number * u64::from(GROUP_ROWS) + u64::from(slot);
        let records = if self.count == 1 { "1 record" } else { &format!("{} records", self.count) };
        let whom = format!("{what} of {records} (rows {} to {})", row(first), row(last));
        match error.place() {
            Some(place) if !place.file.is_empty() => report.affects(&error, &whom),
            Some(place) => report.add(None, format!("{whom}: {}", place.reason)),
            None => report.add(None, format!("{whom}: {error}")),
        }
        let affected =
            Affected { what: what.to_string(), records: self.records, rows: (row(first), row(last)) };
        report.names(&error, affected);
        true
    }
}

impl Check<'_> {
    fn trees(&mut self) {
        let known = |id: TreeId| {
            let is_objects =
                |o: &ObjectLayout| o.tree == id || o.indexes.iter().any(|index| index.tree == id);
            id == CATALOG_TREE || id == ID_TREE || self.catalog.all_objects().any(|(o, _)| is_objects(o))
        };
        for (id, _) in self.root.trees.iter().filter(|(id, _)| !known(*id)) {
            self.report.add(None, format!("the page table has tree {id}, which the schema does not name"));
        }
    }

    fn schema_pages(&mut self) {
        self.groups(CATALOG_TREE, &mut |check, group| {
            let state = group.state.read();
            if group.number != 0 || state.iter().any(|(column, _)| column != 0) {
                check.report.add(
                    None,
                    format!("the schema has pages at number {} that it does not use", group.number),
                );
            }
        });
    }

    /// Visits every group of a tree and forgets it; one that cannot be loaded is reported. Says whether
    /// all could be.
    pub(super) fn groups(&mut self, tree: TreeId, each: &mut dyn FnMut(&mut Self, &Group)) -> bool {
        let pages = &self.records.pages;
        let end = match pages.number_end(self.root, tree) {
            Ok(end) => end,
            Err(error) => {
                let whom = format!("all of {}", name_of_tree(Some(self.catalog), tree));
                self.report.affects(&error, &whom);
                return false;
            }
        };
        let mut last_place = None;
        let mut all = true;
        for number in 0..end {
            match pages.group(self.root, tree, number) {
                Ok(None) => {}
                Ok(Some(group)) => {
                    each(self, &group);
                    drop(group);
                    pages.forget(self.root, tree, number);
                }
                Err(error) => {
                    // A node of many groups is told once.
                    if error.place().cloned() != last_place {
                        let whom =
                            format!("{}, from page {number} on", name_of_tree(Some(self.catalog), tree));
                        self.report.affects(&error, &whom);
                        last_place = error.place().cloned();
                    }
                    all = false;
                }
            }
        }
        all
    }

    fn object(&mut self, object: &ObjectLayout, schema: &ObjectSchema) {
        let meta = self.root.tree(object.tree).map_or([0; 4], |tree| tree.metas());
        let mut tally = Tally {
            rows: meta[ROWS],
            records: 0,
            counter_max: 0,
            keys: vec![0; object.indexes.len()],
            free: Vec::new(),
            headers_known: true,
            keys_known: vec![true; object.indexes.len()],
        };
        let mut groups_end = 0;
        let mut next_group = 0;
        let all = self.groups(object.tree, &mut |check, group| {
            // A group without pages has only rows that were never used.
            for number in next_group..group.number {
                check.unused_rows(&mut tally, number);
            }
            next_group = group.number + 1;
            groups_end = group.number + 1;
            check.group(object, schema, group, &mut tally);
        });
        tally.headers_known &= all;
        if !all {
            tally.keys_known.fill(false);
        }
        if meta[ROWS] > groups_end.saturating_mul(u64::from(GROUP_ROWS)) {
            let name = schema.key();
            self.report.add(
                None,
                format!("{name} counts {} rows and has pages for {groups_end} groups", meta[ROWS]),
            );
            tally.headers_known = false;
        }
        self.counts(schema, &meta, &tally);
        let wrong = self.past.wrong(object.id);
        for (row, reason) in wrong.into_iter().take(NAMED_MAX as usize).filter(|_| tally.headers_known) {
            let header = self.records.with_row(self.root, object, row, read_header).ok().flatten().flatten();
            let of = header.map_or_else(String::new, |header| format!(", of record {}", header.id));
            self.report.add(None, format!("{}, row {row}{of}: {reason}", schema.key()));
        }
        for (number, index) in object.indexes.iter().enumerate() {
            let expected = tally.keys_known[number].then_some(tally.keys[number]);
            self.key_index(object, schema, index, expected);
        }
        if !object.id.is_system() {
            self.id_count = self.id_count.filter(|_| tally.headers_known).map(|count| count + tally.records);
            self.report.report.record_count += tally.records;
        }
    }

    fn unused_rows(&mut self, tally: &mut Tally, number: u64) {
        let first = number * u64::from(GROUP_ROWS);
        let end = (first + u64::from(GROUP_ROWS)).min(tally.rows);
        tally.free.extend((first..end).map(|row| (row, 0)));
    }

    fn counts(&mut self, schema: &ObjectSchema, meta: &[u64; 4], tally: &Tally) {
        let name = schema.key();
        if !tally.headers_known {
            return;
        }
        if meta[RECORDS] != tally.records {
            self.report
                .add(None, format!("{name} counts {} records and has {}", meta[RECORDS], tally.records));
        }
        if meta[COUNTER] < tally.counter_max {
            let newest = tally.counter_max;
            self.report.add(None, format!("{name}'s counter is at {}, a record has {newest}", meta[COUNTER]));
        }
        if let Err(reason) = check_free_list(meta[FREE_HEAD], &tally.free) {
            self.report.add(None, format!("{name}'s list of free rows: {reason}"));
        }
    }

    fn group(&mut self, object: &ObjectLayout, schema: &ObjectSchema, group: &Group, tally: &mut Tally) {
        let state = group.state.read();
        let number = group.number;
        self.columns(object, schema, &state, number);
        let Some(live) = self.headers(object, schema, &state, number, tally) else {
            tally.headers_known = false;
            tally.keys_known.fill(false);
            return;
        };
        for (layout, attribute) in object.attributes.iter().zip(schema.attributes()) {
            let name = format!("{}.{}", schema.key(), attribute.key());
            self.stray_cells(&state, layout, &live, &name, number);
            let sound = self.cells(&state, layout, attribute, &live, &name, number);
            if sound
                && layout.width.is_none()
                && let Err(error) = varlen::verify(&*state, layout.column, GROUP_ROWS)
            {
                let mut trouble = Trouble::default();
                trouble.note(0, error);
                trouble.tell(self.report, &format!("views or buffers of {name}"), number);
            }
        }
        self.keys(object, schema, &state, number, &live, tally);
        if object.id.is_history() {
            self.entries(object, schema, &state, number, &live);
        }
    }

    /// Each entry of a history is where a link leads to, and leads to one of its own record.
    fn entries(
        &mut self,
        history: &ObjectLayout,
        schema: &ObjectSchema,
        state: &GroupState,
        number: u64,
        live: &Rows,
    ) {
        let mut wrong = Trouble::default();
        for slot in rows_of(live) {
            let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
            // What cannot be read was told with the cells.
            let Ok(Some(header)) = read_header(state, slot) else { continue };
            if let Ok(Some(entry)) = read_entry(history, &header, state, slot, row)
                && let Err(reason) = self.past.entry(history.id, &entry)
            {
                wrong.note_in(state, slot, Error::corrupt("", 0, reason));
            }
        }
        wrong.tell(self.report, &format!("links of {}", schema.key()), number);
    }

    /// Every page of a group belongs to something.
    fn columns(&mut self, object: &ObjectLayout, schema: &ObjectSchema, state: &GroupState, number: u64) {
        for (column, page) in state.iter() {
            let (high, low) = (column & !0xffff, column & 0xffff);
            let attribute = object.attributes.iter().find(|attribute| attribute.column == high && high != 0);
            let known =
                column == 0 || attribute.is_some_and(|attribute| low == 0 || attribute.width.is_none());
            // The column that an attribute left when it became wider holds nothing any more.
            let newest = object.attributes.iter().map(|attribute| attribute.column).max().unwrap_or(0);
            let was_left = low == 0 && high < newest && high != 0 && attribute.is_none();
            let known =
                known || was_left && page.to_vec().is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0));
            if !known {
                let name = schema.key();
                self.report.add(
                    None,
                    format!(
                        "{name} has a page in column {column:#x} of group {number}, which no attribute uses"
                    ),
                );
            }
        }
    }

    /// Checks header slots; which rows hold records. `None`: some could not be read.
    fn headers(
        &mut self,
        object: &ObjectLayout,
        schema: &ObjectSchema,
        state: &GroupState,
        number: u64,
        tally: &mut Tally,
    ) -> Option<Rows> {
        let mut live: Rows = [0; GROUP_ROWS as usize / 8];
        let (mut unreadable, mut wrong, mut lost_ids) =
            (Trouble::default(), Trouble::default(), Trouble::default());
        let first = number * u64::from(GROUP_ROWS);
        for slot in 0..GROUP_ROWS {
            let row = RowId(first + u64::from(slot));
            let read = state.page(0).map_or(Ok(None), |page| Header::read(page, slot).map(Some));
            match read {
                Err(error) => unreadable.note(slot, error),
                Ok(Some(header)) if !header.is_free() => {
                    live[slot as usize / 8] |= 1 << (slot % 8);
                    tally.records += 1;
                    tally.counter_max = tally.counter_max.max(header.counter);
                    if header.counter == 0 || row.0 >= tally.rows {
                        let reason = format!(
                            "record {} has counter {} in row {row} of {}",
                            header.id, header.counter, tally.rows
                        );
                        wrong.note(slot, Error::corrupt("", 0, reason));
                    }
                    if let Some(history) = object.history {
                        self.past.record(history, header.history, header.id);
                    }
                    if !object.id.is_system()
                        && let Err(error) = self.look_up_id(object, header.id, row)
                    {
                        lost_ids.note_in(state, slot, error);
                    }
                }
                Ok(found) => {
                    let link = found.map_or(0, |header| header.counter);
                    if row.0 < tally.rows {
                        tally.free.push((row.0, link));
                    }
                    let unused = row.0 >= tally.rows && link != 0;
                    if unused || found.is_some_and(|header| header != free_header(link)) {
                        wrong.note(slot, Error::corrupt("", 0, "the slot of a free row is not zero"));
                    }
                }
            }
        }
        if state.page(0).is_some_and(|page| page.len() > row_header::page_len(GROUP_ROWS)) {
            wrong.note(0, Error::corrupt("", 0, "the page is longer than its rows"));
        }
        let name = schema.key();
        wrong.tell(self.report, &format!("headers of {name}"), number);
        lost_ids.tell(self.report, &format!("ids of {name}"), number);
        match unreadable.tell(self.report, &format!("all values of {name}"), number) {
            true => None,
            false => Some(live),
        }
    }

    /// A record's id leads to its row, once, and to no other record.
    fn look_up_id(&self, object: &ObjectLayout, id: RecordId, row: RowId) -> Result<()> {
        let value = id_value(object.id, row);
        let found = match index::find(&self.records.pages, self.root, ID_TREE, self.records.id_hash(id)) {
            Ok(found) => found,
            // Told with the bucket.
            Err(_) => return Ok(()),
        };
        let mut count = 0;
        for hit in found.iter() {
            if hit == value {
                count += 1;
                continue;
            }
            let other = split_id_value(hit);
            let Some(layout) = self.catalog.object(other.object) else { continue };
            let header = self.records.with_row(self.root, layout, other.row, read_header);
            if header.ok().flatten().flatten().is_some_and(|header| header.id == id) {
                return Err(Error::corrupt(
                    "",
                    0,
                    format!("record {id} is in row {row} and in row {}", other.row),
                ));
            }
        }
        expect_once(count, || format!("record {id}"))
    }

    /// Cells where there is no record, and bytes where there is no cell.
    fn stray_cells(
        &mut self,
        state: &GroupState,
        layout: &AttributeLayout,
        live: &Rows,
        name: &str,
        number: u64,
    ) {
        // A page that cannot be read is told with its cells.
        let Some(Ok(bytes)) = state.page(layout.column).map(|page| page.to_vec()) else { return };
        let mut present: Rows = [0; GROUP_ROWS as usize / 8];
        let have = bytes.as_slice().len().min(present.len());
        present[..have].copy_from_slice(&bytes[..have]);
        let width = layout.width.unwrap_or(Width::Sixteen);
        let mut trouble = Trouble::default();
        for slot in 0..GROUP_ROWS {
            let (at, bit) = (slot as usize / 8, 1 << (slot % 8));
            if present[at] & bit != 0 && live[at] & bit == 0 {
                trouble.note(slot, Error::corrupt("", 0, "a free row has a value"));
            }
            if present[at] & bit == 0 && !is_zero(&bytes, width, slot) {
                trouble.note(slot, Error::corrupt("", 0, "a slot without a value is not zero"));
            }
        }
        if bytes.as_slice().len() > slots::page_len(width, GROUP_ROWS) {
            trouble.note(0, Error::corrupt("", 0, "the page is longer than its rows"));
        }
        trouble.tell(self.report, name, number);
    }

    /// Every cell of a record decodes.
    fn cells(
        &mut self,
        state: &GroupState,
        layout: &AttributeLayout,
        attribute: &AttributeSchema,
        live: &Rows,
        name: &str,
        number: u64,
    ) -> bool {
        if state.page(layout.column).is_none() {
            return true;
        }
        let (mut unreadable, mut wrong) = (Trouble::default(), Trouble::default());
        let mut cell = Vec::new();
        for slot in rows_of(live) {
            match read_cell(state, layout, slot, &mut cell) {
                Err(error) => unreadable.note_in(state, slot, error),
                Ok(false) => {}
                Ok(true) => {
                    if let Err(error) = attribute.decode(&cell) {
                        wrong.note_in(state, slot, error.into_storage());
                    }
                }
            }
        }
        wrong.tell(self.report, name, number);
        !unreadable.tell(self.report, name, number)
    }

    /// Every key of a record is in its index, once, and no other record has it.
    fn keys(
        &mut self,
        object: &ObjectLayout,
        schema: &ObjectSchema,
        state: &GroupState,
        number: u64,
        live: &Rows,
        tally: &mut Tally,
    ) {
        let (mut buffers, mut keys) = (KeyBuffers::default(), Vec::new());
        for (place, index) in object.indexes.iter().enumerate() {
            let mut lost = Trouble::default();
            for slot in rows_of(live) {
                keys.clear();
                let read: Result<()> = for_each_key_in(state, object, index, slot, &mut buffers, |key| {
                    let hash = key_hash(self.records.hash_seed, key);
                    // Values of one record with the same hash have one entry.
                    if !keys.iter().any(|(_, other)| *other == hash) {
                        keys.push((key.to_vec(), hash));
                    }
                    Ok(())
                });
                if read.is_err() {
                    // Told with the cells.
                    tally.keys_known[place] = false;
                    continue;
                }
                tally.keys[place] += keys.len() as u64;
                let row = RowId(number * u64::from(GROUP_ROWS) + u64::from(slot));
                for (bytes, hash) in &keys {
                    let key = IndexKey { index, bytes, hash: *hash };
                    if let Err(error) = self.look_up_key(object, &key, row) {
                        lost.note_in(state, slot, error);
                    }
                }
            }
            let ids: Vec<_> = index.attributes.clone();
            lost.tell(self.report, &format!("keys in {}", name_of_index(schema, &ids)), number);
        }
    }

    fn look_up_key(&self, object: &ObjectLayout, key: &IndexKey<'_>, row: RowId) -> Result<()> {
        let found = match index::find(&self.records.pages, self.root, key.index.tree, key.hash) {
            Ok(found) => found,
            // Told with the bucket.
            Err(_) => return Ok(()),
        };
        let mut count = 0;
        for hit in found.iter() {
            if hit == row.0 {
                count += 1;
                continue;
            }
            let same = self.records.with_row(self.root, object, RowId(hit), |state, slot| -> Result<_> {
                Ok(read_header(state, slot)?.is_some() && has_key(state, object, key, slot)?)
            });
            if same.ok().flatten().unwrap_or(false) {
                return Err(Error::corrupt("", 0, format!("rows {row} and {hit} have the same key")));
            }
        }
        expect_once(count, || format!("the key of row {row}"))
    }
}

fn expect_once(count: u32, what: impl Fn() -> String) -> Result<()> {
    match count {
        1 => Ok(()),
        0 => Err(Error::corrupt("", 0, format!("{} is not in the index", what()))),
        count => Err(Error::corrupt("", 0, format!("{} is in the index {count} times", what()))),
    }
}

/// The list must pass each free row once. `free` is sorted by row; links and head are row + 1, or 0.
fn check_free_list(head: u64, free: &[(u64, u64)]) -> Result<(), String> {
    let mut seen = vec![false; free.len()];
    let (mut link, mut passed) = (head, 0);
    while let Some(row) = link.checked_sub(1) {
        let place = free.binary_search_by_key(&row, |(row, _)| *row);
        let place = place.map_err(|_| format!("row {row} is in it and is not free"))?;
        if std::mem::replace(&mut seen[place], true) {
            return Err(format!("row {row} is in it twice"));
        }
        passed += 1;
        link = free[place].1;
    }
    if passed < free.len() {
        let row = seen.iter().position(|seen| !seen).map_or(0, |place| free[place].0);
        return Err(format!(
            "{} of {} free rows are not in it, row {row} for one",
            free.len() - passed,
            free.len()
        ));
    }
    Ok(())
}

fn free_header(link: u64) -> Header {
    Header {
        version: 0,
        updated_at: 0,
        updated_by: 0,
        history: 0,
        id: RecordId::from_bytes([0; 16]),
        created_at: 0,
        counter: link,
        created_by: 0,
    }
}

fn rows_of(rows: &Rows) -> impl Iterator<Item = u32> + '_ {
    (0..GROUP_ROWS).filter(|slot| rows[*slot as usize / 8] >> (slot % 8) & 1 == 1)
}

fn is_zero(page: &[u8], width: Width, slot: u32) -> bool {
    if width == Width::Bit {
        return page.get(SLOTS_START + slot as usize / 8).is_none_or(|byte| byte >> (slot % 8) & 1 == 0);
    }
    let start = slots::slot_offset(width, slot).min(page.len());
    let end = (start + width.cell_len()).min(page.len());
    page[start..end].iter().all(|byte| *byte == 0)
}
