//! The model's part of docs/history.md: what a commit adds to histories, and the past put back. `history` has what
//! is kept of one record.

use crate::history::{By, Did, History, Past, differences};
use crate::model::{Entry, Fate, Model, ModelRecord, Values};
use crate::relations::named_by;
use crate::schema::{ObjectDef, Type};
use crate::values::canonical;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::{ErrorKind, Key, RecordId, Value};

/// Records before a transaction.
pub(crate) type Before = BTreeMap<RecordId, Option<Arc<ModelRecord>>>;

/// A record that was put back, and what it had before.
type PutBack = (RecordId, Values);

/// Id and version that an answer has.
pub type Answer = (RecordId, u64);

impl Model {
    /// What the records were before what is staged.
    pub(crate) fn before(&self) -> Before {
        let mut before = Before::new();
        for (id, record) in &self.undo {
            before.entry(*id).or_insert_with(|| record.clone());
        }
        before
    }

    /// Whether what is staged fits behind what is known of the past.
    pub(crate) fn judge_past(&self, time: i64) -> Result<(), ErrorKind> {
        let before = self.before();
        // Where a record dies and lives again in one transaction, its past ends with the death.
        let mut died: BTreeMap<RecordId, i64> = BTreeMap::new();
        for entry in self
            .entries
            .iter()
            .filter(|entry| !matches!(entry.fate, Fate::CreatedAndDeleted | Fate::ConsumedNumber))
        {
            let def = &self.objects[entry.object];
            if !def.keeps_history() {
                continue;
            }
            let at = entry.at.unwrap_or(time);
            let own = before.get(&entry.id).and_then(Option::as_ref).filter(|r| r.object == entry.object);
            let (none, known) = (History::default(), self.histories.get(&(entry.object, entry.id)));
            let of = own.map(|record| History::of(record));
            let history = known.map_or(of.as_ref().unwrap_or(&none), Arc::as_ref);
            let fits = match entry.fate {
                Fate::Create => {
                    let last = history.lives.last().and_then(|life| life.until);
                    let end = died.get(&entry.id).copied().or(last);
                    let values = &self.records[&entry.id].values;
                    let mut kept = values.keys().filter(|at| def.keeps(**at));
                    let ended = died.contains_key(&entry.id) || entry.at.is_none();
                    end.is_none_or(|end| end <= at)
                        && (ended || kept.all(|place| history.may_begin(*place, false, at)))
                }
                // Without a time of its own a change comes behind all others.
                _ if entry.at.is_none() => true,
                Fate::Update => {
                    let own = own.expect("a record that is changed was there");
                    let after = &self.records[&entry.id].values;
                    differences(&own.values, after, |at| def.keeps(at))
                        .keys()
                        .all(|place| history.may_begin(*place, own.values.contains_key(place), at))
                }
                _ => {
                    let own = own.expect("a record that dies was there");
                    let born = history.lives.last().map_or(own.created_at, |life| life.from);
                    let mut kept = own.values.keys().filter(|at| def.keeps(**at));
                    born <= at && kept.all(|place| history.may_begin(*place, true, at))
                }
            };
            if at > time || !fits {
                return Err(ErrorKind::HistoryOverlap);
            }
            if entry.fate == Fate::Delete {
                died.insert(entry.id, at);
            }
        }
        Ok(())
    }

    /// Adds to histories what a commit did.
    pub(crate) fn keep_past(&mut self, entries: &[Entry], before: &Before, time: i64) {
        let objects = self.objects.clone();
        let (lsn, actor) = (self.lsn, self.actor.clone());
        for entry in entries
            .iter()
            .filter(|entry| !matches!(entry.fate, Fate::CreatedAndDeleted | Fate::ConsumedNumber))
        {
            let def = &objects[entry.object];
            if !def.keeps_history() {
                continue;
            }
            let did: (i64, By) = (entry.at.unwrap_or(time), actor.clone());
            let own = before.get(&entry.id).cloned().flatten().filter(|r| r.object == entry.object);
            let key = (entry.object, entry.id);
            let history = self.histories.entry(key).or_insert_with(|| {
                Arc::new(own.as_ref().map_or_else(History::default, |record| History::of(record)))
            });
            let history = Arc::make_mut(history);
            let after = self.records.get(&entry.id).filter(|record| record.object == entry.object);
            match (entry.fate, own, after) {
                (Fate::Create, _, Some(after)) => history.born(after, did, lsn),
                (Fate::Delete, Some(own), _) => {
                    history.vague |= entry.at.is_some();
                    history.died(&own, kept(def, &own.values), did, lsn);
                }
                (_, Some(own), Some(after)) => {
                    let all = differences(&own.values, &after.values, |_| true);
                    let changed = differences(&own.values, &after.values, |at| def.keeps(at));
                    let is_kept = entry.inserted.is_some() || !changed.is_empty();
                    history.vague |= entry.at.is_some() || changed.len() < all.len() || !is_kept;
                    if !changed.is_empty() {
                        history.changed(changed, after.version, did.clone(), lsn);
                    }
                    if let Some(past) = &entry.inserted {
                        history.past.push(Past { lsn, ..past.clone() });
                        history.note(lsn, did.0, did.1, after.version).inserted = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// Stages a record that was deleted, as history has it.
    ///
    /// # Errors
    /// What the store may say: one of these.
    pub fn restore_record(&mut self, object: usize, id: RecordId) -> Result<Answer, Vec<ErrorKind>> {
        let (mark, mut back) = (self.linked.emptied.len(), Vec::new());
        let answer = self.restore_alone(object, id, &mut back).map_err(|kind| vec![kind])?;
        self.link_again(&back)?;
        self.judge_emptied(mark)?;
        Ok(answer)
    }

    fn restore_alone(
        &mut self,
        object: usize,
        id: RecordId,
        back: &mut Vec<PutBack>,
    ) -> Result<Answer, ErrorKind> {
        let objects = self.objects.clone();
        let def = &objects[object];
        if !def.keeps_history() {
            return Err(ErrorKind::NotHistoric);
        }
        let history = self.histories.get(&(object, id)).cloned();
        let death = history.and_then(|history| history.death.clone()).ok_or(ErrorKind::RecordNotFound)?;
        if self.records.contains_key(&id) {
            return Err(ErrorKind::UniqueConflict);
        }
        let mut values = Values::new();
        for (place, value) in death.values.iter().filter(|(at, _)| !def.attributes[**at].is_deleted()) {
            // Attributes and options that are archived since are no obstacle.
            canonical(&def.attributes[*place], value)?;
            values.insert(*place, value.clone());
        }
        if (0..def.attributes.len()).any(|at| def.is_required(at) && !values.contains_key(&at)) {
            return Err(ErrorKind::MissingRequired);
        }
        def.check_size(&values)?;
        let version = death.version + 1;
        self.set(id, Some(Arc::new(ModelRecord::new(object, version, values))));
        let entry = Entry::new(id, object, Fate::Create, None, version);
        self.entries.push(Entry { origin: Some(death), ..entry });
        back.push((id, Values::new()));
        Ok((id, version))
    }

    /// What is put back may refer to what is there and allowed, and the other sides of its relations follow.
    fn link_again(&mut self, back: &[PutBack]) -> Result<(), Vec<ErrorKind>> {
        let objects = self.objects.clone();
        let mut refused = Vec::new();
        for record in back.iter().filter_map(|(id, _)| self.records.get(id)) {
            for (at, attribute) in objects[record.object].attributes.iter().enumerate() {
                for target in named_by(record.values.get(&at)).iter().filter(|_| attribute.of.is_reference())
                {
                    match self.records.get(target) {
                        None => refused.push(ErrorKind::ReferenceNotFound),
                        Some(found) if !attribute.refers.allows(found.object) => {
                            refused.push(ErrorKind::ReferenceNotAllowed);
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        for (id, before) in back {
            self.relate(*id, before).map_err(|kind| vec![kind])?;
        }
        Ok(())
    }

    fn judge_emptied(&mut self, mark: usize) -> Result<(), Vec<ErrorKind>> {
        match self.is_emptied(mark) {
            true => Err(vec![ErrorKind::MissingRequired]),
            false => Ok(()),
        }
    }

    /// Stages the reverse of what a commit did to records of objects with history: what it removed is back first,
    /// and what it made goes last.
    ///
    /// # Errors
    /// What the store may say: one of these.
    pub fn revert(&mut self, lsn: u64) -> Result<Vec<Answer>, Vec<ErrorKind>> {
        let is_it = |did: &&Did| did.lsn == lsn;
        let mut touched: Vec<_> = self
            .histories
            .iter()
            .filter(|((object, _), _)| self.objects[*object].keeps_history())
            .filter_map(|(key, history)| {
                let did = history.did.iter().find(is_it)?;
                // Restored, replaced, put back, removed.
                let step = match (did.died, did.born) {
                    (true, false) => 0,
                    (true, true) => 1,
                    (false, false) => 2,
                    (false, true) => 3,
                };
                Some((step, *key, history.clone()))
            })
            .collect();
        if touched.is_empty() {
            return Err(vec![ErrorKind::NotHistoric]);
        }
        touched.sort_by_key(|(step, ..)| *step);
        let (mark, mut back) = (self.linked.emptied.len(), Vec::new());
        let (mut answers, mut refused) = (Vec::new(), Vec::new());
        let first_made = touched.partition_point(|(step, ..)| *step < 3);
        for (at, (_, (object, id), history)) in touched.into_iter().enumerate() {
            if at == first_made && refused.is_empty() {
                self.link_again(&std::mem::take(&mut back))?;
            }
            match self.revert_record(object, id, &history, lsn, &mut back) {
                Ok(answer) => answers.push(answer),
                Err(kinds) => refused.extend(kinds),
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        self.link_again(&back)?;
        self.judge_emptied(mark)?;
        Ok(answers)
    }

    fn revert_record(
        &mut self,
        object: usize,
        id: RecordId,
        history: &History,
        lsn: u64,
        back: &mut Vec<PutBack>,
    ) -> Result<Answer, Vec<ErrorKind>> {
        let changed_since = Err(vec![ErrorKind::PreconditionFailed]);
        let at = history.did.iter().position(|did| did.lsn == lsn).expect("the commit touched the record");
        let (did, later) = (&history.did[at], &history.did[at + 1..]);
        let record = self.records.get(&id).filter(|record| record.object == object).cloned();
        if did.died && !did.born {
            return match later.is_empty() {
                true => self.restore_alone(object, id, back).map_err(|kind| vec![kind]),
                false => changed_since,
            };
        }
        let Some(record) = record else {
            // Another one that the commit made may have taken it along.
            let goes = |entry: &Entry| entry.id == id && entry.fate == Fate::Delete;
            let is_gone = did.born && !did.died && later.is_empty() && self.entries.iter().any(goes);
            return if is_gone { Ok((id, 0)) } else { changed_since };
        };
        if did.born {
            if !later.is_empty() {
                return changed_since;
            }
            if did.died {
                // One that was there before under this id comes back; its version goes on.
                return self.put_back_former(object, id, history, &record, back).map_err(|kind| vec![kind]);
            }
            self.remove(id, None).map_err(|kind| vec![kind])?;
            return Ok((id, record.version));
        }
        if did.changed.is_empty() || later.iter().any(|later| later.died) {
            return changed_since;
        }
        self.put_back(object, id, did, later, back)
    }

    /// Stages the record that had the id before the one which a commit put in its place. Who names the id goes on
    /// to name it.
    fn put_back_former(
        &mut self,
        object: usize,
        id: RecordId,
        history: &History,
        record: &ModelRecord,
        back: &mut Vec<PutBack>,
    ) -> Result<Answer, ErrorKind> {
        self.remove_alone(id, None);
        let mut former = history.clone();
        former.death = history.former.clone();
        if let Some(death) = &mut former.death {
            death.version = death.version.max(record.version);
        }
        self.histories.insert((object, id), Arc::new(former));
        let answer = self.restore_alone(object, id, back)?;
        back.last_mut().expect("it was put back").1 = record.values.clone();
        Ok(answer)
    }

    fn put_back(
        &mut self,
        object: usize,
        id: RecordId,
        did: &Did,
        later: &[Did],
        back: &mut Vec<PutBack>,
    ) -> Result<Answer, Vec<ErrorKind>> {
        let objects = self.objects.clone();
        let def = &objects[object];
        let mut record = ModelRecord::clone(&self.records[&id]);
        let before = record.values.clone();
        let mut refused = Vec::new();
        for (place, old) in &did.changed {
            let attribute = &def.attributes[*place];
            if attribute.is_deleted() || later.iter().any(|later| later.changed.contains_key(place)) {
                refused.push(ErrorKind::PreconditionFailed);
                continue;
            }
            match old {
                None if def.is_required(*place) => refused.push(ErrorKind::MissingRequired),
                None => drop(record.values.remove(place)),
                Some(old) => {
                    refused.extend(canonical(attribute, old).err());
                    record.values.insert(*place, old.clone());
                }
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        def.check_size(&record.values).map_err(|kind| vec![kind])?;
        if !differences(&before, &record.values, |_| true).is_empty() {
            self.change_record(id, record, None);
            back.push((id, before));
        }
        Ok((id, self.records[&id].version))
    }

    /// Stages a value in an interval of the past.
    ///
    /// # Errors
    /// What the store should say.
    pub fn insert_past(
        &mut self,
        object: usize,
        key: &Key,
        (name, value): (&str, &Value),
        (from, until): (i64, i64),
        now: i64,
    ) -> Result<Answer, ErrorKind> {
        let objects = self.objects.clone();
        let def = &objects[object];
        let place = def.find(name).ok_or(ErrorKind::UnknownAttribute)?;
        if !def.keeps(place) {
            return Err(ErrorKind::NotHistoric);
        }
        let attribute = &def.attributes[place];
        if attribute.of == Type::Autonumber {
            return Err(ErrorKind::NotWritable);
        }
        crate::plan::writable(attribute, [value])?;
        let value = canonical(attribute, value)?.ok_or(ErrorKind::InvalidValue)?;
        let id = self.locate(object, key)?.ok_or(ErrorKind::RecordNotFound)?;
        let mut record = ModelRecord::clone(&self.records[&id]);
        let of = History::of(&record);
        let history = self.histories.get(&(object, id)).map_or(&of, Arc::as_ref);
        let time = (self.commit_time + 1).max(now);
        let present = record.values.contains_key(&place);
        if from >= until || until > time || history.overlaps(place, present, from, until) {
            return Err(ErrorKind::HistoryOverlap);
        }
        record.version += 1;
        let version = record.version;
        let (set_by, ended_by, lsn) = (self.actor.clone(), self.actor.clone(), 0);
        self.set(id, Some(Arc::new(record)));
        let inserted = Some(Past { place, value, from, until, set_by, ended_by, lsn });
        self.entries.push(Entry { inserted, ..Entry::new(id, object, Fate::Update, None, version) });
        Ok((id, version))
    }
}

/// Values of attributes whose history is kept.
fn kept(def: &ObjectDef, values: &Values) -> Values {
    values.iter().filter(|(at, _)| def.keeps(**at)).map(|(at, value)| (*at, value.clone())).collect()
}
