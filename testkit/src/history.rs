//! What a store should know of the past, as docs/history.md says it: the intervals of each value, the lives of a
//! record, who did what, and what each commit did, so that it can be taken back. Written from that text: values
//! and their intervals are kept as such, and nothing is derived from entries that lie one behind another.

use crate::model::{ModelRecord, Values};
use crate::relations;
use crate::schema::AttributeDef;
use crate::values::same;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{Actor, RecordId, Value};

/// Histories by object and record.
pub type Histories = BTreeMap<(usize, RecordId), Arc<History>>;

/// Whoever did something, where that was said.
pub type By = Option<Actor>;

/// A value that ended.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "as in `vellum::PastValue`")]
pub struct Past {
    pub place: usize,
    pub value: Value,
    pub from: i64,
    pub until: i64,
    pub set_by: By,
    pub ended_by: By,
    pub lsn: u64,
}

/// A time in which the record was there.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `vellum::Record`")]
pub struct Life {
    pub from: i64,
    pub until: Option<i64>,
    /// Who brought it about: of a restored record not the one who created it.
    pub by: By,
    pub created_at: i64,
    pub created_by: By,
    pub counter: u64,
}

/// What one commit did to the record.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Did {
    pub lsn: u64,
    pub at: i64,
    pub by: By,
    /// The version that it made; of a death the last one.
    pub version: u64,
    pub born: bool,
    pub died: bool,
    pub inserted: bool,
    /// What attributes were before.
    pub changed: BTreeMap<usize, Option<Value>>,
}

/// A record that is gone, as history has it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `vellum::Record`")]
pub struct Death {
    pub version: u64,
    pub counter: u64,
    pub created_at: i64,
    pub created_by: By,
    pub values: Values,
}

/// The past of one record.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The oldest first.
    pub lives: Vec<Life>,
    /// Values that ended, or were put into the past.
    pub past: Vec<Past>,
    /// What commits did, the oldest first.
    pub did: Vec<Did>,
    /// The last death, while nobody has the id again.
    pub death: Option<Death>,
    /// The last death of one whose id somebody has again.
    pub former: Option<Death>,
    /// A commit changed the record in a way of which nothing is kept, or for a time that lies before another
    /// change: then version and last change as of a moment are no more than a guess.
    pub vague: bool,
    /// Since when attributes are as they are, and by whom, where that is not since the birth.
    since: BTreeMap<usize, (i64, By)>,
}

impl History {
    /// Of a record that is there and of which nothing is known yet.
    #[must_use]
    pub fn of(record: &ModelRecord) -> History {
        History { lives: vec![Life::of(record)], vague: true, ..History::default() }
    }

    /// Since when an attribute is as it is, and by whom.
    #[must_use]
    pub fn since(&self, place: usize) -> (i64, By) {
        let birth = || self.lives.last().map_or((0, None), |life| (life.from, life.by.clone()));
        self.since.get(&place).cloned().unwrap_or_else(birth)
    }

    /// All intervals of an attribute that is `present` now or not: begin and end.
    #[must_use]
    pub fn intervals(&self, place: usize, present: bool) -> Vec<(i64, Option<i64>)> {
        let ended = self.past.iter().filter(|past| past.place == place);
        let open = present.then(|| (self.since(place).0, None));
        ended.map(|past| (past.from, Some(past.until))).chain(open).collect()
    }

    /// Whether an interval shares a moment with a known one. The end of one that has none is the present.
    #[must_use]
    pub fn overlaps(&self, place: usize, present: bool, from: i64, until: i64) -> bool {
        self.intervals(place, present)
            .into_iter()
            .any(|(begin, end)| from < end.unwrap_or(i64::MAX) && begin < until)
    }

    /// Whether a value may begin now, `at` being shown: the present one begins no later, all others ended.
    #[must_use]
    pub fn may_begin(&self, place: usize, present: bool, at: i64) -> bool {
        self.intervals(place, present).into_iter().all(|(begin, end)| end.unwrap_or(begin) <= at)
    }

    /// A record comes to be, or lives again.
    pub fn born(&mut self, record: &ModelRecord, (at, by): (i64, By), lsn: u64) {
        self.since.clear();
        self.former = self.death.take();
        self.lives.push(Life { from: at, by: by.clone(), ..Life::of(record) });
        self.note(lsn, at, by, record.version).born = true;
    }

    /// Values change. `old` has what each was before.
    pub fn changed(
        &mut self,
        old: BTreeMap<usize, Option<Value>>,
        version: u64,
        (at, by): (i64, By),
        lsn: u64,
    ) {
        for (place, old) in &old {
            self.end(*place, old.clone(), (at, by.clone()), lsn);
        }
        self.note(lsn, at, by, version).changed = old;
    }

    /// The record goes; `values` are those of which history is kept.
    pub fn died(&mut self, record: &ModelRecord, values: Values, (at, by): (i64, By), lsn: u64) {
        for (place, value) in &values {
            self.end(*place, Some(value.clone()), (at, by.clone()), lsn);
        }
        if let Some(life) = self.lives.last_mut() {
            life.until = Some(at);
        }
        let ModelRecord { version, counter, created_at, .. } = *record;
        let created_by = record.created_by.clone();
        self.death = Some(Death { version, counter, created_at, created_by, values });
        self.since.clear();
        self.note(lsn, at, by, version).died = true;
    }

    fn end(&mut self, place: usize, old: Option<Value>, (at, by): (i64, By), lsn: u64) {
        let (from, set_by) = self.since(place);
        // Before history was kept, a caller may have shown a time that lies ahead.
        let from = from.min(at);
        if let Some(value) = old {
            self.past.push(Past { place, value, from, until: at, set_by, ended_by: by.clone(), lsn });
        }
        self.since.insert(place, (at, by));
    }

    /// What this commit did, to be added to: a record may die and live again in one.
    pub fn note(&mut self, lsn: u64, at: i64, by: By, version: u64) -> &mut Did {
        if self.did.last().is_none_or(|last| last.lsn != lsn) {
            let changed = BTreeMap::new();
            let (born, died, inserted) = (false, false, false);
            self.did.push(Did { lsn, at, by, version, born, died, inserted, changed });
        }
        let last = self.did.last_mut().expect("one was put there");
        last.version = version;
        last
    }

    /// Whether it was there at a moment.
    #[must_use]
    pub fn life_at(&self, at: i64) -> Option<&Life> {
        self.lives.iter().find(|life| life.from <= at && life.until.is_none_or(|until| at < until))
    }

    /// The version at a moment, when it was made and by whom.
    #[must_use]
    pub fn state_at(&self, at: i64) -> Option<(u64, i64, By)> {
        let last = self.did.iter().rfind(|did| did.at <= at)?;
        Some((last.version, last.at, last.by.clone()))
    }
}

impl Life {
    fn of(record: &ModelRecord) -> Life {
        let (created_at, counter) = (record.created_at, record.counter);
        let (by, created_by) = (record.created_by.clone(), record.created_by.clone());
        Life { from: created_at, until: None, by, created_at, created_by, counter }
    }
}

/// Values that differ between two states of a record, with what they were.
#[must_use]
pub fn differences(
    before: &Values,
    after: &Values,
    is_kept: impl Fn(usize) -> bool,
) -> BTreeMap<usize, Option<Value>> {
    let places = before.keys().chain(after.keys()).copied();
    let changed = places.filter(|at| is_kept(*at) && !same(before.get(at), after.get(at)));
    changed.map(|at| (at, before.get(&at).cloned())).collect()
}

/// Every value of an attribute that the past knows becomes another one.
pub fn each_value(histories: &mut Histories, object: usize, place: usize, become_: impl Fn(&Value) -> Value) {
    for (_, history) in histories.iter_mut().filter(|((of, _), _)| *of == object) {
        let history = Arc::make_mut(history);
        for past in history.past.iter_mut().filter(|past| past.place == place) {
            past.value = become_(&past.value);
        }
        let deaths = history.death.iter_mut().chain(&mut history.former);
        let death = deaths.filter_map(|death| death.values.get_mut(&place));
        let did = history.did.iter_mut().filter_map(|did| did.changed.get_mut(&place)?.as_mut());
        death.chain(did).for_each(|value| *value = become_(value));
    }
}

/// Gives a record another id in all values of the past that refer to it.
pub fn rename(histories: &mut Histories, from: RecordId, to: RecordId) {
    for history in histories.values_mut().map(Arc::make_mut) {
        let deaths = history.death.iter_mut().chain(&mut history.former);
        let of_deaths = deaths.flat_map(|death| death.values.values_mut());
        let of_did = history.did.iter_mut().flat_map(|did| did.changed.values_mut().flatten());
        let past = history.past.iter_mut().map(|past| &mut past.value);
        for value in of_deaths.chain(of_did).chain(past) {
            relations::rename(value, from, to);
        }
    }
}

/// The name that the past has for an option that was deleted, so that nobody takes it for another one.
#[must_use]
pub fn gone(key: &str, number: usize) -> String {
    format!("{key}\0{number}")
}

/// A value of the past as it is shown: options that were deleted by the name that they had.
#[must_use]
pub fn shown(attribute: &AttributeDef, value: &Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.iter().map(|value| shown(attribute, value)).collect()),
        Value::Text(text) if attribute.of.has_options() => {
            Value::from(text.split('\0').next().unwrap_or_default())
        }
        value => value.clone(),
    }
}
