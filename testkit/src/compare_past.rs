//! Whether a store knows the past as the model does: values with their intervals, and records as of moments.

use crate::compare::{Difference, ensure, same_values};
use crate::history::{Histories, History, shown};
use crate::model::{Model, ModelRecord, Records, Values};
use crate::schema::ObjectDef;
use std::collections::BTreeSet;
use std::sync::Arc;
use vellum::{Actor, Error, ErrorKind, PastValue, Record, RecordId, Snapshot, Store, Timestamp, Value};

/// Most records of a comparison whose past is read, and most moments of one: they are many times the records.
const RECORDS_MAX: usize = 24;
const MOMENTS_MAX: usize = 12;

/// A value with its interval, as both sides tell it: attribute, begin, end, value, actors, commit.
type Told = (String, i64, Option<i64>, String, Option<Actor>, Option<Actor>, Option<u64>);

/// Reads a record as of a moment.
type AsOf<'r> = &'r dyn Fn(&str, RecordId, Timestamp) -> Result<Option<Record>, Error>;

/// Holds the past that a store knows against the model's.
///
/// # Errors
/// The first difference.
pub fn compare_past(store: &Store, model: &Model) -> Result<(), Difference> {
    for (object, id) in chosen(&model.objects, &model.records, &model.histories) {
        let def = &model.objects[object];
        let known = Known::of(def, (object, id), &model.records, &model.histories);
        let fail = |why: String| format!("{} {id}: {why}", def.name);
        let read = store.object(&def.name).map_err(|error| error.to_string())?;
        let found = read.full_history(id).map_err(|error| fail(error.to_string()))?;
        let wanted = known.values(None);
        ensure!(
            sorted(&found) == wanted,
            "{}: {wanted:#?} expected, {found:#?} found",
            fail("history".into())
        );
        for (place, attribute) in def.attributes.iter().enumerate().filter(|(_, a)| a.is_shown()) {
            match (read.history(id, &attribute.name), def.keeps(place)) {
                (Err(error), false) if error.kind() == ErrorKind::NotHistoric => {}
                (Ok(found), true) => {
                    let wanted = known.values(Some(place));
                    let name = &attribute.name;
                    ensure!(sorted(&found) == wanted, "{id}, {name}: {wanted:#?} expected, {found:#?} found");
                    let begins: Vec<Timestamp> = found.iter().map(|value| value.active_from).collect();
                    ensure!(begins.is_sorted(), "{id}, {name}: not the oldest first: {found:#?}");
                }
                (found, keeps) => return Err(fail(format!("{}: kept: {keeps}, {found:?}", attribute.name))),
            }
        }
        known.compare_moments(&|name, id, at| store.object(name)?.get_as_of(id, at)).map_err(fail)?;
    }
    Ok(())
}

/// The same for a snapshot, which reads records as of moments.
///
/// # Errors
/// The first difference.
pub fn compare_past_of_snapshot(
    snapshot: &Snapshot,
    objects: &[ObjectDef],
    records: &Records,
    histories: &Histories,
) -> Result<(), Difference> {
    for (object, id) in chosen(objects, records, histories) {
        let def = &objects[object];
        let known = Known::of(def, (object, id), records, histories);
        let fail = |why: String| format!("{} {id}: {why}", def.name);
        known.compare_moments(&|name, id, at| snapshot.get_as_of(name, id, at)).map_err(fail)?;
    }
    Ok(())
}

/// Some of the records that have a past.
fn chosen(objects: &[ObjectDef], records: &Records, histories: &Histories) -> Vec<(usize, RecordId)> {
    let there = records.iter().map(|(id, record)| (record.object, *id));
    let all: BTreeSet<(usize, RecordId)> = there.chain(histories.keys().copied()).collect();
    let all: Vec<_> = all
        .into_iter()
        .filter(|(object, id)| objects[*object].keeps_history() && !crate::sim::is_placeholder(id))
        .collect();
    let step = all.len().div_ceil(RECORDS_MAX).max(1);
    all.into_iter().step_by(step).collect()
}

/// What the model knows of one record.
struct Known<'m> {
    def: &'m ObjectDef,
    id: RecordId,
    record: Option<&'m ModelRecord>,
    history: Arc<History>,
}

impl<'m> Known<'m> {
    fn of(
        def: &'m ObjectDef,
        (object, id): (usize, RecordId),
        records: &'m Records,
        histories: &'m Histories,
    ) -> Known<'m> {
        let record = records.get(&id).map(Arc::as_ref).filter(|record| record.object == object);
        let history = histories.get(&(object, id)).cloned();
        let history = history.or_else(|| record.map(|record| Arc::new(History::of(record))));
        Known { def, id, record, history: history.unwrap_or_default() }
    }

    /// All values and their intervals, or those of one attribute.
    fn values(&self, only: Option<usize>) -> Vec<Told> {
        let is_meant =
            |place: usize| self.def.attributes[place].is_shown() && only.is_none_or(|only| only == place);
        let name = |place: usize| self.def.attributes[place].name.to_string();
        let mut told: Vec<Told> = Vec::new();
        for past in self.history.past.iter().filter(|past| is_meant(past.place)) {
            let value = text(&shown(&self.def.attributes[past.place], &past.value));
            let by = (past.set_by.clone(), past.ended_by.clone());
            told.push((name(past.place), past.from, Some(past.until), value, by.0, by.1, Some(past.lsn)));
        }
        for (place, value) in self.present().into_iter().filter(|(place, _)| is_meant(*place)) {
            let (from, by) = self.history.since(place);
            told.push((name(place), from, None, text(&value), by, None, None));
        }
        told.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
        told
    }

    /// Present values whose past is kept.
    fn present(&self) -> Values {
        let values = self.record.iter().flat_map(|record| &record.values);
        let is_kept = |at: usize| self.def.keeps(at) && self.def.attributes[at].is_shown();
        values.filter(|(at, _)| is_kept(**at)).map(|(at, value)| (*at, value.clone())).collect()
    }

    fn compare_moments(&self, as_of: AsOf<'_>) -> Result<(), Difference> {
        let past = self.history.past.iter().flat_map(|past| [past.from, past.until]);
        let lives = self.history.lives.iter().flat_map(|life| [Some(life.from), life.until]).flatten();
        let did = self.history.did.iter().map(|did| did.at);
        let edges: BTreeSet<i64> = past.chain(lives).chain(did).collect();
        let moments = edges.into_iter().flat_map(|at| [at.saturating_sub(1), at, at.saturating_add(1)]);
        let moments: Vec<i64> = moments.collect::<BTreeSet<i64>>().into_iter().collect();
        let step = moments.len().div_ceil(MOMENTS_MAX).max(1);
        for at in moments.into_iter().rev().step_by(step) {
            let found = as_of(&self.def.name, self.id, Timestamp(at)).map_err(|error| error.to_string())?;
            self.compare_moment(at, found.as_ref()).map_err(|why| format!("as of {at}: {why}"))?;
        }
        Ok(())
    }

    fn values_at(&self, at: i64) -> Values {
        let mut values = Values::new();
        for past in self.history.past.iter().filter(|past| past.from <= at && at < past.until) {
            let attribute = &self.def.attributes[past.place];
            if attribute.is_shown() {
                values.insert(past.place, shown(attribute, &past.value));
            }
        }
        for (place, value) in self.present() {
            if self.history.since(place).0 <= at {
                values.insert(place, value);
            }
        }
        values
    }

    fn compare_moment(&self, at: i64, found: Option<&Record>) -> Result<(), Difference> {
        let (values, life) = (self.values_at(at), self.history.life_at(at));
        let Some(found) = found else {
            ensure!(life.is_none() && values.is_empty(), "{life:?} with {values:?} expected, nothing found");
            return Ok(());
        };
        ensure!(life.is_some() || !values.is_empty(), "nothing expected, {found:?} found");
        same_values(self.def, &values, found)?;
        let Some(life) = life else { return Ok(()) };
        let head = (self.id, life.counter, life.created_at, life.created_by.as_ref());
        let got = (found.id, found.counter, found.created_at.0, found.created_by());
        ensure!(head == got, "id, counter and creation {head:?} expected, {got:?} found");
        if let (false, Some((version, at, by))) = (self.history.vague, self.history.state_at(at)) {
            let head = (version, at, by.as_ref());
            let got = (found.version, found.updated_at.0, found.updated_by());
            ensure!(head == got, "version and last change {head:?} expected, {got:?} found");
        }
        Ok(())
    }
}

/// Bit for bit: a double of either sign of zero is another value.
fn text(value: &Value) -> String {
    format!("{value:?}")
}

fn sorted(found: &[PastValue]) -> Vec<Told> {
    let told = |value: &PastValue| {
        let (set_by, ended_by) = (value.set_by.as_deref().cloned(), value.ended_by.as_deref().cloned());
        let until = value.active_until.map(|until| until.0);
        let lsn = value.ended_lsn.map(|lsn| lsn.0);
        (value.attribute.to_string(), value.active_from.0, until, text(&value.value), set_by, ended_by, lsn)
    };
    let mut told: Vec<Told> = found.iter().map(told).collect();
    told.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    told
}
