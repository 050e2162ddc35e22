//! The links of histories: from a record to its newest entry, and from each entry to the one before it.
//!
//! Entries stand in the order of the commits and are never taken out, so a link always leads to a row in front of its
//! own, and one pass over the entries in the order of their rows judges them all. Nothing is looked up: who is
//! expected in a row is noted when the link is met, as 4 bytes of a hash of the record's id. So a wrong link is missed
//! once in four billion, and a right one is never called wrong. 8 bytes of memory for each entry.

use crate::id::{ObjectId, RecordId, RowId};
use crate::records::Entry;
use crate::value::key_hash;
use std::collections::BTreeMap;

/// Nobody: no link was met, or no entry.
const NOBODY: u32 = 0;

/// The histories of a store, by the object that keeps them.
#[derive(Default)]
pub(super) struct Past(BTreeMap<ObjectId, Links>);

#[derive(Default)]
struct Links {
    /// By row: whose newest entry a record calls this one, and later whose entry leads here.
    expected: Vec<u32>,
    /// By row: whose entry is there.
    owners: Vec<u32>,
}

impl Past {
    /// A record says that its newest entry is behind `link`, in a history of `rows` rows.
    pub(super) fn record(
        &mut self,
        history: ObjectId,
        rows: u64,
        link: u64,
        id: RecordId,
    ) -> Result<(), String> {
        let links = self.0.entry(history).or_default();
        let row = link.checked_sub(1).filter(|row| *row < rows);
        let Some(row) = row else {
            return Err(format!("the history of record {id} leads to row {link} - 1 of {rows}"));
        };
        links.expect(row as usize, id)
    }

    /// The next entry, in the order of the rows.
    pub(super) fn entry(&mut self, history: ObjectId, entry: &Entry) -> Result<(), String> {
        let links = self.0.entry(history).or_default();
        let (row, id) = (entry.row.0, entry.record);
        *at(&mut links.owners, row as usize) = who(id);
        if let Some(expected) = links.expected.get(row as usize)
            && *expected != NOBODY
            && *expected != who(id)
        {
            return Err(format!(
                "the entry in row {row} is of record {id}, and another record's history has it"
            ));
        }
        let Some(before) = entry.previous.checked_sub(1) else { return Ok(()) };
        if before >= row || links.owners.get(before as usize) != Some(&who(id)) {
            return Err(format!(
                "the history of record {id} leads from row {row} to row {before}, which is no entry of it"
            ));
        }
        links.expect(before as usize, id)
    }

    /// After the last entry: a record whose newest entry is in a row that has none.
    pub(super) fn missing(&self, history: ObjectId) -> Option<RowId> {
        let links = self.0.get(&history)?;
        let is_there = |row: usize| links.owners.get(row).is_some_and(|owner| *owner != NOBODY);
        let row = (0..links.expected.len()).find(|row| links.expected[*row] != NOBODY && !is_there(*row))?;
        Some(RowId(row as u64))
    }
}

impl Links {
    fn expect(&mut self, row: usize, id: RecordId) -> Result<(), String> {
        let place = at(&mut self.expected, row);
        if *place != NOBODY {
            return Err(format!("two links lead to the entry in row {row}, one of them of record {id}"));
        }
        *place = who(id);
        Ok(())
    }
}

fn at(rows: &mut Vec<u32>, row: usize) -> &mut u32 {
    if rows.len() <= row {
        rows.resize(row + 1, NOBODY);
    }
    &mut rows[row]
}

fn who(id: RecordId) -> u32 {
    (key_hash(0, &id.bytes()) as u32).max(NOBODY + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AttributeId, Lsn};
    use crate::records::EntryKind;
    use crate::value::Timestamp;

    const HISTORY: ObjectId = ObjectId(9);

    fn id(n: u8) -> RecordId {
        RecordId::from_bytes([n; 16])
    }

    fn entry(row: u64, record: u8, previous: u64) -> Entry {
        Entry {
            row: RowId(row),
            kind: EntryKind::Value,
            record: id(record),
            version: 1,
            at: Timestamp(0),
            by: 0,
            lsn: Lsn(1),
            attribute: AttributeId(0),
            value_type: 0,
            cell: None,
            interval: None,
            origin: None,
            previous,
        }
    }

    /// What is wrong with records (number, link) and then entries (number, link to the one before), row by row.
    fn wrong(records: &[(u8, u64)], entries: &[(u8, u64)]) -> Vec<String> {
        let mut past = Past::default();
        let heads = records.iter().map(|(n, link)| past.record(HISTORY, 4, *link, id(*n)));
        let mut wrong: Vec<String> = heads.filter_map(Result::err).collect();
        for (row, (record, previous)) in (0..).zip(entries) {
            wrong.extend(past.entry(HISTORY, &entry(row, *record, *previous)).err());
        }
        wrong.extend(past.missing(HISTORY).map(|row| format!("nothing in row {row}")));
        wrong
    }

    #[test]
    fn links_that_lead_elsewhere_are_told() {
        // Rows 0 and 2 are of record 1, rows 1 and 3 of record 2, which was deleted: nobody leads to its newest.
        let entries = [(1, 0), (2, 0), (1, 1), (2, 2)];
        assert!(wrong(&[(1, 3)], &entries).is_empty());
        let told = |records: &[(u8, u64)], entries: &[(u8, u64)], reason: &str| {
            let wrong = wrong(records, entries);
            assert!(wrong.len() == 1 && wrong[0].contains(reason), "{reason}: {wrong:?}");
        };
        told(&[(1, 5)], &entries, "leads to row 5 - 1 of 4");
        told(&[(3, 4)], &entries, "another record's history has it");
        told(&[(1, 3), (1, 1)], &entries, "two links lead to the entry in row 0");
        told(&[(1, 3)], &[(1, 0), (2, 0), (1, 1), (2, 1)], "from row 3 to row 0");
        told(&[], &[(1, 0), (2, 3)], "from row 1 to row 2");
        told(&[(1, 4)], &[(1, 0), (2, 0), (1, 1)], "nothing in row 3");
    }
}
