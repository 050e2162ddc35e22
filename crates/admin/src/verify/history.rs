//! The links of histories: from a record to its newest entry, and from each entry to the one before it.
//!
//! Entries stand in the order of the commits and are never taken out, so a link always leads to a row in front of its
//! own, and one pass over the entries in the order of their rows judges them all. Nothing is looked up: who is
//! expected in a row is noted when the link is met, as 4 bytes of a hash of the record's id, and compared at the end
//! with who is there. So a wrong link is missed once in four billion, and a right one is never called wrong. 32 bytes
//! of memory for each entry, whatever rows damaged links name.

use std::collections::BTreeMap;
use vellum::records::Entry;
use vellum_engine::RowId;
use vellum_engine::index::key_hash;
use vellum_types::{ObjectId, RecordId};

/// The histories of a store, by the object that keeps them.
#[derive(Default)]
pub(super) struct Past(BTreeMap<ObjectId, Links>);

#[derive(Default)]
struct Links {
    /// Row that a link leads to, and whose link it is.
    expected: Vec<(u64, u32)>,
    /// Row of each entry met, ascending, and whose it is.
    owners: Vec<(u64, u32)>,
}

impl Past {
    /// A record says that its newest entry is behind `link`, which is a row + 1.
    pub(super) fn record(&mut self, history: ObjectId, link: u64, id: RecordId) {
        if let Some(row) = link.checked_sub(1) {
            self.0.entry(history).or_default().expected.push((row, who(id)));
        }
    }

    /// The next entry, in the order of the rows.
    pub(super) fn entry(&mut self, history: ObjectId, entry: &Entry) -> Result<(), String> {
        let links = self.0.entry(history).or_default();
        let (row, id) = (entry.row.0, entry.record);
        let before = entry.previous.checked_sub(1);
        let owner = before.and_then(|before| links.owner(before));
        links.owners.push((row, who(id)));
        let Some(before) = before else { return Ok(()) };
        if owner != Some(who(id)) {
            return Err(format!(
                "the history of record {id} leads from row {row} to row {before}, which is no entry of it"
            ));
        }
        links.expected.push((before, who(id)));
        Ok(())
    }

    /// After the last entry: rows that a link leads to, and that hold no entry or one of another record, or are led
    /// to twice; with what is wrong.
    pub(super) fn wrong(&mut self, history: ObjectId) -> Vec<(RowId, &'static str)> {
        let Some(mut links) = self.0.remove(&history) else { return Vec::new() };
        links.expected.sort_unstable();
        let twice = links.expected.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let twice = twice.map(|pair| (RowId(pair[0].0), "two links lead to the entry"));
        let elsewhere = links.expected.iter().filter_map(|(row, who)| match links.owner(*row) {
            None => Some((RowId(*row), "a record's history leads here, where no entry is")),
            Some(owner) => {
                (owner != *who).then_some((RowId(*row), "another record's history leads to the entry"))
            }
        });
        twice.chain(elsewhere).collect()
    }
}

impl Links {
    fn owner(&self, row: u64) -> Option<u32> {
        let place = self.owners.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some(self.owners[place].1)
    }
}

fn who(id: RecordId) -> u32 {
    key_hash(0, &id.bytes()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum::records::EntryKind;
    use vellum_engine::Lsn;
    use vellum_types::AttributeId;
    use vellum_types::value::Timestamp;

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
        records.iter().for_each(|(n, link)| past.record(HISTORY, *link, id(*n)));
        let mut wrong = Vec::new();
        for (row, (record, previous)) in (0..).zip(entries) {
            wrong.extend(past.entry(HISTORY, &entry(row, *record, *previous)).err());
        }
        let at_the_end = past.wrong(HISTORY).into_iter();
        wrong.extend(at_the_end.map(|(row, reason)| format!("row {row}: {reason}")));
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
        told(&[(1, 1 << 60)], &entries, "where no entry is");
        told(&[(3, 4)], &entries, "row 3: another record's history leads to the entry");
        told(&[(1, 3), (1, 1)], &entries, "row 0: two links lead to the entry");
        told(&[(1, 3)], &[(1, 0), (2, 0), (1, 1), (2, 1)], "from row 3 to row 0");
        told(&[], &[(1, 0), (2, 3)], "from row 1 to row 2");
        told(&[(1, 4)], &[(1, 0), (2, 0), (1, 1)], "row 3: a record's history leads here");
    }
}
