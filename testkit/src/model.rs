//! What a store should answer: records in a map, with the documented meaning of each mutation.
//!
//! Written for being right at a glance, not for speed, and without a line of the engine's: a mutation
//! changes the map in place and notes how to undo it; a transaction that is refused is undone.

use crate::defaults::Moment;
use crate::history::{self, By, Death, Histories, Past};
use crate::links::Linked;
use crate::nested;
use crate::plan::{self, End};
use crate::relations::{self, Other};
use crate::schema::{ObjectDef, Type};
use crate::values::{key_part, same};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vellum::{Action, ErrorKind, Key, Mutation, Name, Outcome, Patch, RecordId, Value};

/// A record.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "as in `vellum::Record`")]
pub struct ModelRecord {
    pub object: usize,
    pub version: u64,
    pub counter: u64,
    pub created_at: i64,
    pub updated_at: i64,
    pub created_by: By,
    pub updated_by: By,
    /// By position of the attribute.
    pub values: BTreeMap<usize, Value>,
}

/// Values by position of the attribute.
pub type Values = BTreeMap<usize, Value>;
/// Records by id, as a snapshot keeps them.
pub type Records = BTreeMap<RecordId, Arc<ModelRecord>>;
/// Object, number of the key, its parts.
type KeyOf = (usize, usize, Vec<String>);

/// What a mutation should answer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `vellum::Outcome`")]
pub struct Expected {
    pub id: RecordId,
    pub version: u64,
    pub created: bool,
    /// Positions of the attributes.
    pub changed: BTreeSet<usize>,
    /// Values after the mutation; before it, for a delete.
    pub values: Values,
    /// Values before it, of a record that was changed.
    pub before: Values,
    /// How much was left out.
    pub dropped: usize,
    /// How many defaults it got.
    pub defaulted: usize,
    /// Other records that were made, changed or removed.
    pub others: BTreeMap<RecordId, Other>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Create,
    Update,
    Delete,
    CreatedAndDeleted,
    /// Made and removed in the same transaction, with a number that is used up.
    ConsumedNumber,
}

/// What a transaction did to one record, in the order in which they were touched.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: RecordId,
    pub(crate) object: usize,
    pub(crate) fate: Fate,
    pub(crate) at: Option<i64>,
    pub(crate) version: u64,
    /// What a record was that lives again.
    pub(crate) origin: Option<Death>,
    /// A value that is put into the past.
    pub(crate) inserted: Option<Past>,
}

impl Entry {
    pub(crate) fn new(id: RecordId, object: usize, fate: Fate, at: Option<i64>, version: u64) -> Entry {
        Entry { id, object, fate, at, version, origin: None, inserted: None }
    }
}

/// A request that took effect under an idempotency key.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What was asked for.
    pub mutations: Vec<Mutation>,
    /// Until then the key stands for it.
    pub expires_at: i64,
    /// Id, version and whether it was made, of each record.
    pub outcomes: Vec<(RecordId, u64, bool)>,
    /// Its commit.
    pub lsn: u64,
}

/// A committed state, to go back to.
#[derive(Clone, Debug)]
pub struct Saved {
    objects: Arc<Vec<ObjectDef>>,
    records: Records,
    lsn: u64,
    commit_time: i64,
    counters: Vec<u64>,
    requests: BTreeMap<String, Asked>,
    histories: Histories,
}

/// The store's state, and the transaction that is open on it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The schema.
    pub objects: Arc<Vec<ObjectDef>>,
    /// Committed and staged records.
    pub records: Records,
    /// Newest commit.
    pub lsn: u64,
    /// Time of the newest commit.
    pub commit_time: i64,
    /// Requests by their idempotency key.
    pub requests: BTreeMap<String, Asked>,
    /// The past of records whose object keeps history.
    pub histories: Histories,
    /// Who commits.
    pub actor: By,
    /// What the clock says.
    pub now: i64,
    /// One that is staged.
    request: Option<(String, Asked)>,
    counters: Vec<u64>,
    holders: BTreeMap<KeyOf, BTreeSet<RecordId>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) undo: Vec<(RecordId, Option<Arc<ModelRecord>>)>,
    /// What it knows of references.
    pub linked: Linked,
}

impl Model {
    /// A store that was just created: its schema is commit 1.
    #[must_use]
    pub fn new(objects: Vec<ObjectDef>, created: i64) -> Model {
        Model {
            counters: vec![0; objects.len()],
            objects: Arc::new(objects),
            records: Records::new(),
            lsn: 1,
            commit_time: created,
            requests: BTreeMap::new(),
            histories: Histories::new(),
            actor: None,
            now: created,
            request: None,
            holders: BTreeMap::new(),
            entries: Vec::new(),
            undo: Vec::new(),
            linked: Linked::default(),
        }
    }

    /// Takes over what a change of the schema made of everything.
    pub(crate) fn adopt(&mut self, objects: Vec<ObjectDef>, records: Records, histories: Histories) {
        self.counters.resize(objects.len(), 0);
        (self.objects, self.histories) = (Arc::new(objects), histories);
        self.records.clear();
        self.holders.clear();
        for (id, record) in records {
            self.set(id, Some(record));
        }
        self.undo.clear();
    }

    /// The state as it is now.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            objects: self.objects.clone(),
            records: self.records.clone(),
            lsn: self.lsn,
            commit_time: self.commit_time,
            counters: self.counters.clone(),
            requests: self.requests.clone(),
            histories: self.histories.clone(),
        }
    }

    /// Goes back to a state.
    #[must_use]
    pub fn restore(saved: &Saved) -> Model {
        let mut model = Model::new(Vec::new(), saved.commit_time);
        (model.objects, model.lsn) = (saved.objects.clone(), saved.lsn);
        model.counters.clone_from(&saved.counters);
        model.requests.clone_from(&saved.requests);
        model.histories.clone_from(&saved.histories);
        for (id, record) in &saved.records {
            model.set(*id, Some(record.clone()));
        }
        model.undo.clear();
        model
    }

    /// The position of an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<usize> {
        self.objects.iter().position(|object| object.name == name)
    }

    /// The records that have this key now; several only in the middle of a transaction.
    #[must_use]
    pub fn holders(&self, object: usize, key: usize, parts: &[String]) -> Vec<RecordId> {
        self.holders
            .get(&(object, key, parts.to_vec()))
            .map_or(Vec::new(), |ids| ids.iter().copied().collect())
    }

    /// How many entries each key of an object has.
    #[must_use]
    pub fn key_count(&self, object: usize, key: usize) -> usize {
        self.holders
            .range((object, key, Vec::new())..(object, key + 1, Vec::new()))
            .map(|(_, ids)| ids.len())
            .sum()
    }

    /// Whether the mutation names a key that two records have at this point of the transaction.
    #[must_use]
    pub fn is_ambiguous(&self, mutation: &Mutation) -> bool {
        let Some(object) = self.object(&mutation.object) else { return false };
        if nested::is_linked(mutation) {
            let mut trial = self.clone();
            let _ = trial.mutate(mutation, RecordId::from_bytes([0xec; 16]));
            return trial.linked.was_ambiguous;
        }
        let Some(Key::Attributes(parts)) = &mutation.key else { return false };
        let Ok(matched) = self.matched(object, parts) else { return false };
        matched.parts.iter().any(|parts| self.holders(object, matched.key, parts).len() > 1)
    }

    pub(crate) fn set(&mut self, id: RecordId, record: Option<Arc<ModelRecord>>) {
        let before = match &record {
            Some(record) => self.records.insert(id, record.clone()),
            None => self.records.remove(&id),
        };
        if let Some(before) = &before {
            for key in self.keys_of(before) {
                let holders = self.holders.get_mut(&key).expect("a key that a record has is held");
                holders.remove(&id);
                if holders.is_empty() {
                    self.holders.remove(&key);
                }
            }
        }
        for key in record.iter().flat_map(|record| self.keys_of(record)).collect::<Vec<_>>() {
            self.holders.entry(key).or_default().insert(id);
        }
        self.undo.push((id, before));
    }

    /// Gives a record another id; nothing is staged.
    pub fn rename(&mut self, from: RecordId, to: RecordId) {
        let record = self.records.get(&from).cloned();
        self.set(from, None);
        self.set(to, record);
        for (id, record) in self.records.clone() {
            let mut record = ModelRecord::clone(&record);
            let renamed: usize =
                record.values.values_mut().map(|value| relations::rename(value, from, to)).sum();
            if renamed > 0 {
                self.set(id, Some(Arc::new(record)));
            }
        }
        self.undo.clear();
        let past: Vec<_> = self.histories.keys().filter(|(_, id)| *id == from).map(|key| key.0).collect();
        for object in past {
            let history = self.histories.remove(&(object, from)).expect("found above");
            self.histories.insert((object, to), history);
        }
        history::rename(&mut self.histories, from, to);
        let outcomes = self.requests.values_mut().flat_map(|asked| &mut asked.outcomes);
        outcomes.filter(|(id, ..)| *id == from).for_each(|(id, ..)| *id = to);
    }

    fn undo_to(&mut self, len: usize) {
        while self.undo.len() > len {
            let (id, before) = self.undo.pop().expect("longer than len");
            self.set(id, before);
            self.undo.pop();
        }
    }

    /// The complete keys of a record.
    #[must_use]
    pub fn keys_of(&self, record: &ModelRecord) -> Vec<KeyOf> {
        let def = &self.objects[record.object];
        let mut found = Vec::new();
        for (number, key) in def.keys().iter().enumerate() {
            // Each of several values is a key.
            if let [at] = key.as_slice()
                && let Some(Value::List(values)) = record.values.get(at)
            {
                let part = |value: &Value| key_part(def.attributes[*at].of, value);
                found.extend(values.iter().map(|value| (record.object, number, vec![part(value)])));
                continue;
            }
            let part =
                |at: &usize| record.values.get(at).map(|value| key_part(def.attributes[*at].of, value));
            let parts: Option<Vec<String>> = key.iter().map(part).collect();
            found.extend(parts.map(|parts| (record.object, number, parts)));
        }
        found
    }

    /// The records that were set since the undo log was so long, with what they were before.
    pub(crate) fn changed_since(
        &self,
        undo_len: usize,
    ) -> impl Iterator<Item = (&RecordId, &Option<Arc<ModelRecord>>)> {
        self.undo[undo_len..].iter().map(|(id, before)| (id, before))
    }

    /// The counter that the next record of an object gets.
    pub(crate) fn next_counter(&self, object: usize) -> u64 {
        let is_made = |entry: &&Entry| {
            entry.object == object && matches!(entry.fate, Fate::Create | Fate::ConsumedNumber)
        };
        self.counters[object] + self.entries.iter().filter(is_made).count() as u64 + 1
    }

    /// Stages one mutation. `new_id` is what a create without an id gets.
    ///
    /// # Errors
    /// What the store should refuse it with; the transaction is as before.
    pub fn mutate(&mut self, mutation: &Mutation, new_id: RecordId) -> Result<Expected, ErrorKind> {
        self.mutate_at(mutation, Some(new_id), 0)
    }

    /// [`Model::mutate`] for one that a store carried out: records that nested mutations make get the ids that it
    /// gave them.
    ///
    /// # Errors
    /// As [`Model::mutate`].
    pub fn mutate_as(
        &mut self,
        mutation: &Mutation,
        outcome: Option<&Outcome>,
        dummy: RecordId,
    ) -> Result<Expected, ErrorKind> {
        let others = outcome.map_or(&[][..], Outcome::others);
        self.linked.ids = others.iter().filter(|other| other.created).map(|other| other.id).collect();
        self.mutate(mutation, outcome.map_or(dummy, |outcome| outcome.id))
    }

    /// [`Model::mutate`] for a mutation that is nested so deep in others.
    pub(crate) fn mutate_at(
        &mut self,
        mutation: &Mutation,
        new_id: Option<RecordId>,
        depth: usize,
    ) -> Result<Expected, ErrorKind> {
        let (undo_len, entries, linked) = (self.undo.len(), self.entries.clone(), self.linked.clone());
        let mut result = self.try_mutate(mutation, new_id, depth);
        if self.is_emptied(linked.emptied.len()) && result.is_ok() {
            result = Err(ErrorKind::MissingRequired);
        }
        match &mut result {
            Err(_) => {
                self.undo_to(undo_len);
                self.entries = entries;
                let was_ambiguous = self.linked.was_ambiguous;
                self.linked = Linked { was_ambiguous, ..linked };
            }
            Ok(expected) => {
                let name = mutation.patch.terms.as_ref().and_then(|terms| terms.name.clone());
                self.linked.names.extend(name.map(|name| (name, expected.id)));
                expected.others = self.others_since(undo_len, expected.id);
            }
        }
        result
    }

    fn try_mutate(
        &mut self,
        mutation: &Mutation,
        new_id: Option<RecordId>,
        depth: usize,
    ) -> Result<Expected, ErrorKind> {
        let object = self.object(&mutation.object).ok_or(ErrorKind::ObjectNotFound)?;
        let patch = &mutation.patch;
        match (mutation.action, &mutation.key) {
            (Action::Create, None) => self.create(object, new_id, 1, &[], patch, depth),
            (Action::Create, Some(Key::Id(id))) => self.create_given(object, *id, patch, depth),
            (Action::Create, Some(key @ Key::Attributes(parts))) => match self.locate(object, key)? {
                Some(_) => Err(ErrorKind::UniqueConflict),
                None => self.create(object, new_id, 1, parts, patch, depth),
            },
            (Action::Create, Some(_)) | (_, None) => Err(ErrorKind::MissingKey),
            (action, Some(key)) => match (action, self.locate(object, key)?, key) {
                (Action::Delete, Some(id), _) => self.delete(id, patch),
                (_, Some(id), _) => self.update(id, key, patch, depth),
                (Action::Upsert, None, Key::Id(id)) => self.create_given(object, *id, patch, depth),
                (Action::Upsert, None, Key::Attributes(parts)) => {
                    self.create(object, new_id, 1, parts, patch, depth)
                }
                _ => Err(ErrorKind::RecordNotFound),
            },
        }
    }

    /// A version never restarts for the same id: it starts at this commit's number.
    fn create_given(
        &mut self,
        object: usize,
        id: RecordId,
        patch: &Patch,
        depth: usize,
    ) -> Result<Expected, ErrorKind> {
        if patch.if_version.is_some() {
            return Err(ErrorKind::PreconditionFailed);
        }
        if self.records.contains_key(&id) {
            return Err(ErrorKind::UniqueConflict);
        }
        self.linked.ids.retain(|known| *known != id);
        let last = self.entries.iter().rfind(|entry| entry.id == id).map_or(0, |entry| entry.version + 1);
        self.create(object, Some(id), last.max(self.lsn + 1), &[], patch, depth)
    }

    fn create(
        &mut self,
        object: usize,
        id: Option<RecordId>,
        version: u64,
        key: &[(Name, Value)],
        patch: &Patch,
        depth: usize,
    ) -> Result<Expected, ErrorKind> {
        if patch.if_version.is_some() {
            return Err(ErrorKind::PreconditionFailed);
        }
        let objects = self.objects.clone();
        // Nobody can name a record whose id is still to be given.
        let own = (object, id.unwrap_or(RecordId::from_bytes([0xef; 16])));
        let chosen = self.choices(patch, key, own, true, depth);
        let id = id.unwrap_or_else(|| self.nested_id());
        // A nested mutation may have made it.
        if self.records.contains_key(&id) {
            return Err(ErrorKind::UniqueConflict);
        }
        let mut numbers = Values::new();
        self.give_numbers(object, &mut numbers)?;
        let moment = self.moment();
        let End { mut values, dropped, defaulted } =
            plan::end(&objects[object], patch, key, None, chosen, &moment)?;
        values.extend(numbers);
        objects[object].check_size(&values)?;
        let at = patch.at.map(|at| at.0);
        self.set(id, Some(Arc::new(ModelRecord::new(object, version, values))));
        self.entries.push(Entry::new(id, object, Fate::Create, at, version));
        self.relate(id, &Values::new())?;
        // A relation to itself may have given it another side.
        let values = self.records[&id].values.clone();
        let changed = values.keys().copied().collect();
        let (before, others) = (Values::new(), BTreeMap::new());
        Ok(Expected { id, version, created: true, changed, values, before, dropped, defaulted, others })
    }

    fn update(
        &mut self,
        id: RecordId,
        key: &Key,
        patch: &Patch,
        depth: usize,
    ) -> Result<Expected, ErrorKind> {
        let found = self.records[&id].clone();
        let objects = self.objects.clone();
        let def = &objects[found.object];
        if patch.if_version.is_some_and(|expected| expected != found.version) {
            return Err(ErrorKind::PreconditionFailed);
        }
        self.judge(def, patch, &found.values)?;
        let key = if let Key::Attributes(parts) = key { parts.as_slice() } else { &[] };
        let chosen = self.choices(patch, key, (found.object, id), false, depth);
        // As a nested mutation may have left it.
        let mut record = ModelRecord::clone(&self.records[&id]);
        let moment = self.moment();
        let End { values, dropped, defaulted } =
            plan::end(def, patch, key, Some(&record.values), chosen, &moment)?;
        let partners = std::mem::replace(&mut record.values, values);
        let changes = |before: &Values, after: &Values| -> BTreeSet<usize> {
            (0..def.attributes.len()).filter(|at| !same(before.get(at), after.get(at))).collect()
        };
        if !changes(&partners, &record.values).is_empty() {
            def.check_size(&record.values)?;
            self.change_record(id, record, patch.at.map(|at| at.0));
            self.relate(id, &partners)?;
        }
        // What nested mutations and relations of the record to itself changed of it counts too.
        let (record, before) = (&self.records[&id], found.values.clone());
        let changed = changes(&before, &record.values);
        let (version, values, others) = (record.version, record.values.clone(), BTreeMap::new());
        Ok(Expected { id, version, created: false, changed, values, before, dropped, defaulted, others })
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, actor: self.actor.clone() }
    }

    /// Stages what a record has become: its version rises by one in a transaction, however often it changes.
    pub(crate) fn change_record(&mut self, id: RecordId, mut record: ModelRecord, at: Option<i64>) {
        match self.entries.iter_mut().rfind(|entry| entry.id == id) {
            Some(entry) => entry.at = at.or(entry.at),
            None => {
                record.version += 1;
                let (object, version) = (record.object, record.version);
                self.entries.push(Entry::new(id, object, Fate::Update, at, version));
            }
        }
        self.set(id, Some(Arc::new(record)));
    }

    fn delete(&mut self, id: RecordId, patch: &Patch) -> Result<Expected, ErrorKind> {
        let record = self.records[&id].clone();
        if patch.if_version.is_some_and(|expected| expected != record.version) {
            return Err(ErrorKind::PreconditionFailed);
        }
        self.judge(&self.objects[record.object], patch, &record.values)?;
        self.remove(id, patch.at.map(|at| at.0))?;
        let attributes = &self.objects[record.object].attributes;
        let changed = (0..attributes.len()).filter(|at| !attributes[*at].is_deleted()).collect();
        let (version, values) = (record.version, record.values.clone());
        let (before, others) = (Values::new(), BTreeMap::new());
        Ok(Expected {
            id,
            version,
            created: false,
            changed,
            values,
            before,
            dropped: 0,
            defaulted: 0,
            others,
        })
    }

    /// Removes a record, whoever refers to it.
    pub(crate) fn remove_alone(&mut self, id: RecordId, at: Option<i64>) {
        let record = self.records[&id].clone();
        let spent = self.has_numbers(record.object);
        match self.entries.iter_mut().rfind(|entry| entry.id == id) {
            Some(entry) if entry.fate == Fate::Create && spent => entry.fate = Fate::ConsumedNumber,
            Some(entry) if entry.fate == Fate::Create => entry.fate = Fate::CreatedAndDeleted,
            Some(entry) => (entry.fate, entry.at) = (Fate::Delete, at.or(entry.at)),
            None => {
                self.entries.push(Entry::new(id, record.object, Fate::Delete, at, record.version));
            }
        }
        self.set(id, None);
    }

    fn judge(&self, def: &ObjectDef, patch: &Patch, values: &Values) -> Result<(), ErrorKind> {
        let condition = patch.terms.as_ref().and_then(|terms| terms.condition.as_ref());
        match condition.is_none_or(|filter| plan::holds(def, filter, values)) {
            true => Ok(()),
            false => Err(ErrorKind::PreconditionFailed),
        }
    }

    /// Whether some attribute refers to records, or is a number that the engine gives.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        let mut attributes = self.objects.iter().flat_map(|object| &object.attributes);
        attributes.any(|attribute| attribute.of.is_reference() || attribute.of == Type::Autonumber)
    }

    /// What this key stands for now.
    #[must_use]
    pub fn asked(&self, key: &str, now: i64) -> Option<&Asked> {
        self.requests.get(key).filter(|asked| asked.expires_at > now)
    }

    /// What is staged was asked for under a key: the key is part of its commit.
    pub fn ask(&mut self, key: String, mutations: &[Mutation], expected: &[Expected], expires_at: i64) {
        let outcomes = expected.iter().map(|wanted| (wanted.id, wanted.version, wanted.created)).collect();
        let asked = Asked { mutations: mutations.to_vec(), expires_at, outcomes, lsn: self.lsn + 1 };
        self.request = Some((key, asked));
    }

    /// Commits what is staged; returns the LSN that the answer carries.
    ///
    /// # Errors
    /// `UniqueConflict`, `ReferenceRestricted`, `HistoryOverlap`: nothing of the transaction is there.
    pub fn commit(&mut self, now: i64) -> Result<u64, ErrorKind> {
        if self.is_restricted() {
            self.abort();
            return Err(ErrorKind::ReferenceRestricted);
        }
        let time = (self.commit_time + 1).max(now);
        if let Err(kind) = self.judge_past(time) {
            self.abort();
            return Err(kind);
        }
        let touched: BTreeSet<RecordId> = self.entries.iter().map(|entry| entry.id).collect();
        let taken = touched.iter().filter_map(|id| self.records.get(id)).any(|record| {
            self.keys_of(record).iter().any(|key| self.holders.get(key).is_some_and(|ids| ids.len() > 1))
        });
        if taken {
            self.abort();
            return Err(ErrorKind::UniqueConflict);
        }
        let entries = std::mem::take(&mut self.entries);
        self.linked = Linked::default();
        let request = self.request.take();
        if entries.iter().all(|entry| entry.fate == Fate::CreatedAndDeleted) && request.is_none() {
            self.undo.clear();
            return Ok(self.lsn);
        }
        self.lsn += 1;
        self.commit_time = time;
        self.requests.extend(request);
        let before = self.before();
        for entry in &entries {
            if entry.fate == Fate::ConsumedNumber {
                self.counters[entry.object] += 1;
            }
            if !matches!(entry.fate, Fate::Create | Fate::Update) {
                continue;
            }
            let mut record = ModelRecord::clone(&self.records[&entry.id]);
            (record.updated_at, record.updated_by) = (entry.at.unwrap_or(time), self.actor.clone());
            match &entry.origin {
                Some(origin) => {
                    (record.counter, record.created_at) = (origin.counter, origin.created_at);
                    record.created_by.clone_from(&origin.created_by);
                }
                None if entry.fate == Fate::Create => {
                    self.counters[record.object] += 1;
                    record.counter = self.counters[record.object];
                    record.created_at = record.updated_at;
                    record.created_by.clone_from(&self.actor);
                }
                None => {}
            }
            self.set(entry.id, Some(Arc::new(record)));
        }
        self.keep_past(&entries, &before, time);
        self.undo.clear();
        Ok(self.lsn)
    }

    /// Drops what is staged.
    pub fn abort(&mut self) {
        self.undo_to(0);
        self.entries.clear();
        self.linked = Linked::default();
        self.request = None;
    }
}

impl ModelRecord {
    /// A record in the making: a commit gives it the rest.
    pub(crate) fn new(object: usize, version: u64, values: Values) -> ModelRecord {
        let (counter, created_at, updated_at) = (0, 0, 0);
        ModelRecord {
            object,
            version,
            counter,
            created_at,
            updated_at,
            created_by: None,
            updated_by: None,
            values,
        }
    }
}
