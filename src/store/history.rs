//! Reading the past, and putting it back: values with their intervals, a record as of a moment, restore of what
//! was deleted, revert of a commit.

use super::object::find_at;
use super::{Object, Snapshot, Store};
use crate::records::row_header::Header;
use crate::records::{Catalog, Entry, ObjectLayout, Records, intervals, read_cell, read_record};
use crate::txn::Outcome;
use crate::txn::key::{ObjectRef, object_ref};
use std::sync::Arc;
use vellum_engine::pages::Root;
use vellum_engine::{ErrorKind as EngineErrorKind, Lsn};
use vellum_types::Key;
use vellum_types::schema::{AttributeSchema, ObjectSchema, Status};
use vellum_types::value::{Actor, Record, Timestamp, Value};
use vellum_types::{AttributeId, RecordId};
use vellum_types::{Error, ErrorKind, Result};

/// A value that an attribute has or had, and when. An interval contains its begin and not its end.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct PastValue {
    /// The attribute.
    pub attribute: Arc<str>,
    /// What it was.
    pub value: Value,
    /// Since when.
    pub active_from: Timestamp,
    /// Until when; nothing for the present value.
    pub active_until: Option<Timestamp>,
    /// Who set it, where that was said.
    pub set_by: Option<Arc<Actor>>,
    /// Who ended it, where that was said.
    pub ended_by: Option<Arc<Actor>>,
    /// The commit that ended it, or that put it into the past.
    pub ended_lsn: Option<Lsn>,
}

/// Everything that is known of a record's past.
struct Past<'c> {
    object: ObjectRef<'c>,
    /// The record, where it is there.
    current: Option<(Header, Record)>,
    present: Vec<AttributeId>,
    /// The newest first.
    entries: Vec<Entry>,
}

impl Object {
    /// All values that an attribute of a record has had, the oldest first, the present one last. A record that
    /// was deleted is found by its id.
    ///
    /// ```
    /// # use vellum::{Schema, Store, Value, patch, record};
    /// # let dir = std::env::temp_dir().join(format!("vellum-doc-history-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&dir);
    /// let schema = Schema::from_json(
    ///     r#"{"objects":[{"key":"deal","history":true,"attributes":[{"key":"stage","type":"text"}]}]}"#,
    /// )?;
    /// let deals = Store::create(&dir, &schema)?.object("deal")?;
    /// let id = deals.create(record! { "stage" => "lead" })?.id;
    /// deals.update(id, patch! { "stage" => "won" })?;
    /// let stages = deals.history(id, "stage")?;
    /// assert_eq!(stages[0].value, Value::from("lead"));
    /// assert_eq!(stages[0].active_until, Some(stages[1].active_from));
    /// let then = deals.get_as_of(id, stages[0].active_from)?.expect("it was there");
    /// assert_eq!(then.get("stage"), Some(&Value::from("lead")));
    /// # drop(deals);
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), vellum::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotHistoric` when the attribute keeps no history; `RecordNotFound`, `UnknownAttribute`, and as
    /// [`Object::get`].
    pub fn history(&self, key: impl Into<Key>, attribute: &str) -> Result<Vec<PastValue>> {
        self.values(&key.into(), Some(attribute))
    }

    /// [`Object::history`] of all attributes that keep history, by the begin of their intervals.
    ///
    /// # Errors
    /// As [`Object::history`].
    pub fn full_history(&self, key: impl Into<Key>) -> Result<Vec<PastValue>> {
        self.values(&key.into(), None)
    }

    /// A record as it was at a moment: its version, its last change and the values that keep history.
    /// Nothing where it was not there then.
    ///
    /// # Errors
    /// `NotHistoric` when the object keeps no history, and as [`Object::get`].
    pub fn get_as_of(&self, key: impl Into<Key>, at: Timestamp) -> Result<Option<Record>> {
        let (engine, key) = (self.store().engine(), key.into());
        let catalog = engine.machine.catalog().clone();
        self.store().past(&catalog, self.name(), &key, |past, root| past.as_of(&engine.machine, root, at))
    }

    fn values(&self, key: &Key, attribute: Option<&str>) -> Result<Vec<PastValue>> {
        let engine = self.store().engine();
        let catalog = engine.machine.catalog().clone();
        let only = match attribute {
            None => None,
            Some(name) => Some(historic(catalog.schema.object(self.name())?, name)?),
        };
        let found = self.store().past(&catalog, self.name(), key, |past, root| {
            past.values(&engine.machine, root, only).map(Some)
        })?;
        let object = catalog.schema.object(self.name())?;
        found.ok_or_else(|| crate::txn::key::not_found(object, key))
    }

    /// Puts a record that was deleted back: its id, counter, creation and the values that history has of it.
    /// Its version goes on.
    ///
    /// # Errors
    /// `NotHistoric`; `RecordNotFound` when no record with this id was deleted; a conflict when its keys or its id
    /// were taken since; `MissingRequired` when history does not have a required value.
    pub fn restore(&self, id: RecordId) -> Result<Outcome> {
        self.store().outcomes(|txn| txn.restore(self.name(), id)).map(|(outcome, _)| outcome)
    }

    /// Says what an attribute was in an interval of the past. Gaps may stay; an interval in which there is a value
    /// already is refused. To set the present value as of an earlier moment, use [`Patch::at`](crate::Patch::at).
    ///
    /// # Errors
    /// `HistoryOverlap`, `NotHistoric`, `RecordNotFound`, and as [`Store::apply`].
    pub fn insert_past(
        &self,
        key: impl Into<Key>,
        attribute: &str,
        value: impl Into<Value>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Outcome> {
        let (key, value) = (key.into(), value.into());
        self.store()
            .outcomes(|txn| txn.insert_past(self.name(), &key, attribute, &value, (from, until)))
            .map(|(outcome, _)| outcome)
    }
}

impl Snapshot {
    /// [`Object::get_as_of`] in this state.
    ///
    /// # Errors
    /// As [`Object::get_as_of`].
    pub fn get_as_of(&self, object: &str, key: impl Into<Key>, at: Timestamp) -> Result<Option<Record>> {
        let records = self.records();
        let past = Past::read(records, self.catalog(), self.root(), object, &key.into())?;
        past.map_or(Ok(None), |past| past.as_of(records, self.root(), at))
    }
}

impl Store {
    /// Takes back what a commit did to objects that keep history: values that it changed are as before, records
    /// that it made are deleted, and those that it deleted are restored. All of it in one new commit, or nothing.
    ///
    /// # Errors
    /// `NotHistoric` when history has nothing of such a commit; `PreconditionFailed` when something of it was changed
    /// again since, naming the record; and as [`Store::apply`].
    pub fn revert(&self, lsn: Lsn) -> Result<Vec<Outcome>> {
        self.outcomes(|txn| txn.revert(lsn)).map(|(outcomes, _)| outcomes)
    }
}

/// The attribute of this name, if it keeps history.
pub(crate) fn historic(object: &ObjectSchema, name: &str) -> Result<AttributeId> {
    let attribute = object.attribute(name)?;
    if object.has_history() || attribute.has_history() {
        return Ok(attribute.id());
    }
    let reason = "the attribute keeps no history; give it, or its object, \"history\": true";
    Err(Error::attribute(ErrorKind::NotHistoric, object.key(), name, reason))
}

impl Store {
    fn past<R>(
        &self,
        catalog: &Catalog,
        object: &str,
        key: &Key,
        mut read: impl FnMut(Past<'_>, &Root) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let engine = self.engine();
        engine.check_open()?;
        let records = &engine.machine;
        let mut attempt = |root: &Root| match Past::read(records, catalog, root, object, key)? {
            Some(past) => read(past, root),
            None => Ok(None),
        };
        records.read_live(&mut attempt, |attempt| match engine.lock_writer() {
            Ok(_writer) => attempt(&records.pages.live()),
            // Nothing is applied in a store that is read, or inside a transaction of this thread.
            Err(error)
                if matches!(error.kind(), EngineErrorKind::NestedWrite | EngineErrorKind::ReadOnly) =>
            {
                attempt(&records.pages.live())
            }
            Err(error) => Err(error.into()),
        })
    }
}

impl<'c> Past<'c> {
    /// The record and its entries. A header is written after the entries that it leads to, so the two are of
    /// one state, whatever is committed meanwhile.
    fn read(
        records: &Records,
        catalog: &'c Catalog,
        root: &Root,
        name: &str,
        key: &Key,
    ) -> Result<Option<Past<'c>>> {
        let object = object_ref(catalog, name)?;
        let Some(history) = catalog.history_of(object.layout) else {
            let reason = format!("{name} keeps no history; give it, or an attribute, \"history\": true");
            return Err(Error::new(ErrorKind::NotHistoric, reason));
        };
        let found = find_at(records, catalog, root, name, key, &mut |layout, header, state, slot| {
            let record = read_record(catalog, layout, header, state, slot, &|_| true)?;
            Ok((*header, record, present_in(layout, state, slot)?))
        })?;
        if let Some((header, mut record, present)) = found {
            records.name_actors(root, &mut record)?;
            let entries = records.entries(root, history, header.id, header.history)?;
            return Ok(Some(Past { object, current: Some((header, record)), present, entries }));
        }
        let Key::Id(id) = key else { return Ok(None) };
        let Some((died, _)) = records.died(root, history, *id)? else { return Ok(None) };
        let entries = records.entries(root, history, *id, died.row.0 + 1)?;
        Ok(Some(Past { object, current: None, present: Vec::new(), entries }))
    }

    /// When the record that is there was created, and by whom.
    fn created(&self) -> Option<(Timestamp, u32)> {
        let (header, _) = self.current.as_ref()?;
        Some((Timestamp(header.created_at), header.created_by))
    }

    /// The same of its first life, where no entry says so.
    fn born(&self) -> (Timestamp, u32) {
        intervals::first_birth(&self.entries).or(self.created()).unwrap_or((Timestamp(0), 0))
    }

    fn intervals(&self) -> Vec<intervals::Interval<'_>> {
        intervals::of(&self.entries, self.born(), &self.present)
    }

    /// The value of an interval; `None` for an attribute that is no more.
    fn value_of(&self, interval: &intervals::Interval<'_>) -> Result<Option<(&'c AttributeSchema, Value)>> {
        let schema = self.object.schema;
        let attribute = schema.attribute_by_id(interval.attribute);
        let Some(attribute) = attribute.filter(|a| a.standing() != Status::Deleted && !a.is_hidden()) else {
            return Ok(None);
        };
        let value = match (interval.entry, &self.current) {
            (Some(entry), _) => match &entry.cell {
                Some(cell) => attribute.past_value(entry.value_type, cell)?,
                None => return Ok(None),
            },
            (None, Some((_, record))) => match record.get(attribute.key()) {
                Some(value) => value.clone(),
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        Ok(Some((attribute, value)))
    }

    fn values(&self, records: &Records, root: &Root, only: Option<AttributeId>) -> Result<Vec<PastValue>> {
        let mut values = Vec::new();
        for interval in self.intervals() {
            if only.is_some_and(|only| only != interval.attribute) {
                continue;
            }
            let Some((attribute, value)) = self.value_of(&interval)? else { continue };
            values.push(PastValue {
                attribute: attribute.name().clone(),
                value,
                active_from: interval.from,
                active_until: interval.until,
                set_by: records.actor(root, interval.set_by)?,
                ended_by: records.actor(root, interval.ended_by)?,
                ended_lsn: interval.entry.map(|entry| entry.lsn),
            });
        }
        // Stable: what begins at the same moment stays in the order of the commits.
        values.sort_by_key(|value| (value.active_from, value.active_until.unwrap_or(Timestamp(i64::MAX))));
        Ok(values)
    }

    fn as_of(&self, records: &Records, root: &Root, at: Timestamp) -> Result<Option<Record>> {
        let holds =
            |from: Timestamp, until: Option<Timestamp>| from <= at && until.is_none_or(|end| at < end);
        let born = self.born();
        let lives = intervals::lives(&self.entries, born.0, self.current.is_some());
        let life = lives.iter().find(|life| holds(life.from, life.until));
        let mut values: Vec<(AttributeId, Arc<str>, Value)> = Vec::new();
        for interval in self.intervals().iter().filter(|interval| holds(interval.from, interval.until)) {
            if let Some((attribute, value)) = self.value_of(interval)? {
                values.push((attribute.id(), attribute.name().clone(), value));
            }
        }
        // A value that a caller put before the record's birth makes it known then.
        if life.is_none() && values.is_empty() {
            return Ok(None);
        }
        values.sort_by_key(|(id, _, _)| *id);
        let values = values.into_iter().map(|(_, name, value)| (name, value)).collect();
        // The life at that moment ended with the first death behind it.
        let origin = self.entries.iter().rev().find_map(|entry| entry.origin.filter(|_| entry.at > at));
        let (id, counter, newest) = match &self.current {
            Some((header, _)) => (header.id, header.counter, header.version),
            None => {
                let entry = self.entries.first();
                (entry.map_or(RecordId::from_bytes([0; 16]), |entry| entry.record), 0, 0)
            }
        };
        let counter = origin.map_or(counter, |origin| origin.counter);
        let (created_at, created_by) = match origin {
            Some(origin) => (origin.created_at, origin.created_by),
            None => self.created().unwrap_or(born),
        };
        let (updated_at, updated_by) =
            intervals::last_change(&self.entries, at).unwrap_or((created_at, created_by));
        let version = intervals::version_at(&self.entries, at, newest);
        let mut record = Record::new(id, version, counter, created_at, updated_at.max(created_at), values)
            .by(created_by, updated_by);
        records.name_actors(root, &mut record)?;
        Ok(Some(record))
    }
}

/// Attributes with history that have a value.
fn present_in(
    object: &ObjectLayout,
    state: &vellum_engine::pages::GroupState,
    slot: u32,
) -> Result<Vec<AttributeId>> {
    let (mut present, mut cell) = (Vec::new(), Vec::new());
    for layout in object.attributes.iter().filter(|layout| layout.history) {
        if read_cell(state, layout, slot, &mut cell)? {
            present.push(layout.id);
        }
    }
    Ok(present)
}
