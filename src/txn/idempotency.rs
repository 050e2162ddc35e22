//! Requests that take effect once, however often they come: an idempotency key is stored in the same commit as
//! what it stands for, with a hash of the request, the outcomes and a time until which it is kept.
//!
//! The hash is of the mutations as they print themselves, which covers every member that a mutation has or will
//! have. Requests that are kept no longer go as new ones come: a few rows are looked at with each, in turn.

use super::outcome::{AttributeSet, Outcome, Stamp};
use super::stage::Fate;
use super::transaction::Transaction;
use crate::records::row_header::Header;
use crate::records::{Catalog, IndexKey, ObjectLayout, ROWS, in_group, read_cell, read_header};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use vellum_engine::index::key_hash;
use vellum_engine::pages::GroupGuard;
use vellum_engine::{Lsn, RowId};
use vellum_types::Mutation;
use vellum_types::schema::REQUESTS;
use vellum_types::text::{format_record, read_values};
use vellum_types::value::{Actor, Record, Timestamp, ValueType, append_key_bytes};
use vellum_types::{AttributeId, ObjectId, RecordId};
use vellum_types::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::Xxh3;

/// Attributes of a stored request; see `schema::system`.
const KEY: AttributeId = AttributeId(0);
const BODY_HASH: AttributeId = AttributeId(1);
const EXPIRES_AT: AttributeId = AttributeId(2);
const OUTCOME: AttributeId = AttributeId(3);

/// Most bytes of a key.
const KEY_LEN_MAX: usize = 255;
/// Rows that each request looks at for some that are kept no longer: more than it adds, so they do not pile up.
const SWEPT_ROWS: u64 = 4;

/// An idempotency key, and how long it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Once {
    key: String,
    keep: Duration,
}

impl Once {
    /// A key that is kept for a day.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Once {
        Once { key: key.into(), keep: Duration::from_secs(24 * 60 * 60) }
    }

    /// Keeps it for this long.
    #[must_use]
    pub fn keep_for(mut self, keep: Duration) -> Once {
        self.keep = keep;
        self
    }
}

/// What is stored of the outcomes.
#[derive(Serialize, Deserialize)]
struct StoredOutcomes {
    lsn: u64,
    outcomes: Vec<StoredOutcome>,
}

#[derive(Serialize, Deserialize)]
struct StoredOutcome {
    id: String,
    version: u64,
    created: bool,
    object: u16,
    changed: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<StoredRecord>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    version: u64,
    counter: u64,
    created_at: i64,
    updated_at: i64,
    created_by: Option<Actor>,
    updated_by: Option<Actor>,
    values: Box<serde_json::value::RawValue>,
}

/// A request that was met.
struct Met {
    row: RowId,
    header: Header,
    group: GroupGuard,
    body_hash: Vec<u8>,
    expires_at: Timestamp,
    outcome: Vec<u8>,
}

/// What a request under a key answers: what it does, or what it did the first time.
pub(crate) struct Answer {
    pub(crate) outcomes: Vec<Outcome>,
    is_new: bool,
}

impl Stamp for Answer {
    fn stamp(&mut self, lsn: Lsn) {
        // The outcomes of a request that was met again have the LSN of its first commit.
        if self.is_new {
            self.outcomes.stamp(lsn);
        }
    }
}

impl Transaction<'_> {
    /// Stages mutations under a key, or answers what they did the first time. An LSN of 0 in an outcome stands
    /// for the commit to be made.
    pub(crate) fn once(&mut self, once: &Once, mutations: &[Mutation]) -> Result<Answer> {
        if once.key.is_empty() || once.key.len() > KEY_LEN_MAX {
            let message =
                format!("an idempotency key has 1 to {KEY_LEN_MAX} bytes, this one {}", once.key.len());
            return Err(Error::invalid_input(message));
        }
        let now = self.context.source.now();
        let body_hash = hash_of(mutations);
        if let Some(met) = self.find_request(&once.key)? {
            if met.expires_at > now {
                return match met.body_hash == body_hash {
                    true => Ok(Answer { outcomes: self.outcomes_of(&met.outcome)?, is_new: false }),
                    false => Err(Error::new(
                        ErrorKind::RequestConflict,
                        format!("the idempotency key {:?} was used for another request", once.key),
                    )),
                };
            }
            self.remove_request(met.row, &met.header, met.group);
        }
        let mut outcomes = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            outcomes.push(self.execute(mutation)?);
        }
        // The request itself is a change, so there is a commit, and its number is known.
        let lsn = self.context.records.applied().next();
        let stored = serde_json::to_string(&stored(&outcomes, lsn)).expect("text keys and plain values");
        let keep = i64::try_from(once.keep.as_nanos()).unwrap_or(i64::MAX);
        let expires_at = now.0.saturating_add(keep);
        self.stage_request(
            now,
            &[
                (KEY, once.key.as_bytes()),
                (BODY_HASH, &body_hash),
                (EXPIRES_AT, &expires_at.to_le_bytes()),
                (OUTCOME, stored.as_bytes()),
            ],
        );
        self.sweep(now)?;
        Ok(Answer { outcomes, is_new: true })
    }

    fn find_request(&self, key: &str) -> Result<Option<Met>> {
        let records = self.context.records;
        let object = self.catalog.object(REQUESTS).expect("every store has requests");
        let mut bytes = Vec::new();
        append_key_bytes(&mut bytes, ValueType::Text, key.as_bytes());
        let hash = key_hash(records.hash_seed, &bytes);
        let key = IndexKey { index: &object.indexes[0], bytes: &bytes, hash };
        let found =
            records.find_key(self.root, object, &key, crate::records::no_prefetch, |found, _, _| {
                Ok(found.row)
            })?;
        let Some((row, group)) = found else { return Ok(None) };
        self.read_request(object, row, group)
    }

    fn read_request(&self, object: &ObjectLayout, row: RowId, group: GroupGuard) -> Result<Option<Met>> {
        let read = in_group(&group, row, |state, slot| -> Result<_> {
            let Some(header) = read_header(state, slot)? else { return Ok(None) };
            let mut cells: [Vec<u8>; 3] = Default::default();
            for (cell, id) in cells.iter_mut().zip([BODY_HASH, EXPIRES_AT, OUTCOME]) {
                if let Some(layout) = object.attribute(id) {
                    read_cell(state, layout, slot, cell)?;
                }
            }
            Ok(Some((header, cells)))
        })?;
        Ok(read.map(|(header, [body_hash, expires_at, outcome])| {
            let expires_at = expires_at.as_slice().try_into().map_or(i64::MIN, i64::from_le_bytes);
            Met { row, header, group, body_hash, expires_at: Timestamp(expires_at), outcome }
        }))
    }

    fn stage_request(&mut self, now: Timestamp, cells: &[(AttributeId, &[u8])]) {
        let id = self.context.source.new_id(now);
        let stage = &mut self.state.stage;
        let staged = stage.push(REQUESTS, id, RowId(0), Fate::Create, 1);
        for (attribute, bytes) in cells {
            let start = stage.arena.len();
            stage.arena.extend_from_slice(bytes);
            let span = start..stage.arena.len();
            stage.record_mut(staged).put(*attribute, Some(span));
        }
        stage.record_mut(staged).moves_keys = true;
    }

    fn remove_request(&mut self, row: RowId, header: &Header, group: GroupGuard) {
        let stage = &mut self.state.stage;
        let staged = stage.push(REQUESTS, header.id, row, Fate::Delete, header.version);
        stage.record_mut(staged).group = Some(group);
    }

    /// Removes requests that are kept no longer among the next few rows.
    fn sweep(&mut self, now: Timestamp) -> Result<()> {
        let records = self.context.records;
        let catalog = self.catalog;
        let object = catalog.object(REQUESTS).expect("every store has requests");
        let rows = self.root.tree(object.tree).map_or(0, |tree| tree.meta(ROWS));
        for _ in 0..SWEPT_ROWS.min(rows) {
            let row = RowId(self.state.next_swept % rows);
            self.state.next_swept = row.0 + 1;
            let is_staged = self
                .state
                .stage
                .records()
                .iter()
                .any(|s| s.object == REQUESTS && s.row == row && s.fate == Fate::Delete);
            let Some(group) = records.pages.group(self.root, object.tree, row.group())? else { continue };
            if is_staged {
                continue;
            }
            if let Some(met) = self.read_request(object, row, group)?
                && met.expires_at <= now
            {
                self.remove_request(met.row, &met.header, met.group);
            }
        }
        Ok(())
    }

    fn outcomes_of(&self, json: &[u8]) -> Result<Vec<Outcome>> {
        let stored: StoredOutcomes = serde_json::from_slice(json)
            .map_err(|error| Error::corrupt("", 0, format!("the outcome of a request: {error}")))?;
        let lsn = Lsn(stored.lsn);
        stored.outcomes.into_iter().map(|outcome| outcome.read(self.catalog, lsn)).collect()
    }
}

/// The hash of a request.
fn hash_of(mutations: &[Mutation]) -> Vec<u8> {
    struct Hashed(Xxh3);
    impl Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(Xxh3::new());
    write!(hashed, "{mutations:?}").expect("hashing cannot fail");
    hashed.0.digest128().to_le_bytes().to_vec()
}

fn stored(outcomes: &[Outcome], lsn: Lsn) -> StoredOutcomes {
    let outcomes = outcomes.iter().map(|outcome| StoredOutcome {
        id: outcome.id.to_string(),
        version: outcome.version,
        created: outcome.created,
        object: outcome.object.0,
        changed: outcome.changed.iter().map(|id| id.0).collect(),
        record: outcome.record.as_ref().map(StoredRecord::of),
    });
    StoredOutcomes { lsn: lsn.0, outcomes: outcomes.collect() }
}

impl StoredOutcome {
    fn read(self, catalog: &Arc<Catalog>, lsn: Lsn) -> Result<Outcome> {
        let id: RecordId = self.id.parse()?;
        let object = ObjectId(self.object);
        let mut changed = AttributeSet::default();
        self.changed.iter().for_each(|id| changed.insert(AttributeId(*id)));
        let record = self.record.map(|record| record.read(catalog, object, id)).transpose()?;
        let (version, created, catalog) = (self.version, self.created, Arc::clone(catalog));
        Ok(Outcome { id, version, lsn, created, record, object, changed, catalog, more: None })
    }
}

impl StoredRecord {
    fn of(record: &Record) -> StoredRecord {
        #[derive(Deserialize)]
        struct Line {
            values: Box<serde_json::value::RawValue>,
        }
        let line: Line = serde_json::from_str(&format_record(record)).expect("a record's line is JSON");
        StoredRecord {
            version: record.version,
            counter: record.counter,
            created_at: record.created_at.0,
            updated_at: record.updated_at.0,
            created_by: record.created_by().cloned(),
            updated_by: record.updated_by().cloned(),
            values: line.values,
        }
    }

    fn read(self, catalog: &Catalog, object: ObjectId, id: RecordId) -> Result<Record> {
        let schema = catalog.schema.object_by_id(object);
        let schema = schema.ok_or_else(|| Error::corrupt("", 0, "the object of a request is gone"))?;
        let values = read_values(schema, self.values.get())?;
        let values = values.into_iter().map(|(name, value)| (Arc::from(name.as_str()), value)).collect();
        let (created_at, updated_at) = (Timestamp(self.created_at), Timestamp(self.updated_at));
        let mut record = Record::new(id, self.version, self.counter, created_at, updated_at, values);
        record.actors = [self.created_by.map(Arc::new), self.updated_by.map(Arc::new)];
        Ok(record)
    }
}
