//! What a change of one record does to others, in the model: the other side of a relation follows, and what
//! refers to a record that goes is cleared, forbids it, or goes too. Written from docs/mutations.md.

use crate::links::{OnDelete, Restricted};
use crate::model::{Model, ModelRecord, Values};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vellum::{ErrorKind, RecordId, Value};

/// Another record that a mutation made, changed or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in `vellum::Other`")]
pub struct Other {
    pub object: usize,
    /// None for one that was removed: how often it was changed on its way is nobody's matter.
    pub version: Option<u64>,
    pub created: bool,
}

/// The records that a value names, in its order.
#[must_use]
pub fn named_by(value: Option<&Value>) -> Vec<RecordId> {
    match value {
        Some(Value::List(values)) => values.iter().filter_map(Value::as_reference).collect(),
        Some(value) => value.as_reference().into_iter().collect(),
        None => Vec::new(),
    }
}

fn value_of(ids: &[RecordId], is_multi: bool) -> Option<Value> {
    let (first, values) = (ids.first()?, ids.iter().map(|id| Value::Reference(*id)));
    Some(if is_multi { Value::List(values.collect()) } else { Value::Reference(*first) })
}

/// Gives a record another id in a value that refers to it; how often it does.
pub(crate) fn rename(value: &mut Value, from: RecordId, to: RecordId) -> usize {
    match value {
        Value::List(values) => values.iter_mut().map(|value| rename(value, from, to)).sum(),
        value if *value == Value::Reference(from) => {
            *value = Value::Reference(to);
            1
        }
        _ => 0,
    }
}

impl Model {
    fn names(&self, id: RecordId, at: usize) -> Vec<RecordId> {
        named_by(self.records.get(&id).and_then(|record| record.values.get(&at)))
    }

    /// Sets what a record's attribute names, without regard to the other side.
    fn put_names(&mut self, id: RecordId, at: usize, ids: &[RecordId]) -> Result<(), ErrorKind> {
        let mut record = ModelRecord::clone(&self.records[&id]);
        let objects = self.objects.clone();
        let attribute = &objects[record.object].attributes[at];
        let before = record.values.remove(&at);
        if ids.len() > attribute.max_values.unwrap_or(usize::MAX) {
            return Err(ErrorKind::TooManyValues);
        }
        record.values.extend(value_of(ids, attribute.of.is_multi()).map(|value| (at, value)));
        if ids.is_empty() && objects[record.object].is_required(at) {
            self.linked.emptied.push((id, at));
        }
        if before.as_ref() != record.values.get(&at) {
            objects[record.object].check_size(&record.values)?;
            self.change_record(id, record, None);
        }
        Ok(())
    }

    fn take_out(&mut self, id: RecordId, at: usize, gone: RecordId) -> Result<(), ErrorKind> {
        let mut ids = self.names(id, at);
        if !ids.contains(&gone) {
            return Ok(());
        }
        ids.retain(|known| *known != gone);
        self.put_names(id, at, &ids)
    }

    /// Carries the other sides of a record's relations on; `before` is what it had.
    ///
    /// # Errors
    /// `TooManyValues` where the other side has no room.
    pub(crate) fn relate(&mut self, id: RecordId, before: &Values) -> Result<(), ErrorKind> {
        let objects = self.objects.clone();
        let object = self.records[&id].object;
        for (at, attribute) in objects[object].attributes.iter().enumerate() {
            let Some((other, back)) = attribute.refers.inverse else { continue };
            let (old, new) = (named_by(before.get(&at)), self.names(id, at));
            for gone in old.iter().filter(|partner| !new.contains(partner)) {
                self.take_out(*gone, back, id)?;
            }
            for partner in new.iter().filter(|partner| !old.contains(partner)) {
                let mut ids = self.names(*partner, back);
                if !objects[other].attributes[back].of.is_multi() {
                    // There is room for one: the old one loses it.
                    for holder in ids.drain(..).filter(|holder| *holder != id).collect::<Vec<_>>() {
                        self.take_out(holder, at, *partner)?;
                    }
                }
                ids.retain(|known| *known != id);
                ids.push(id);
                if !self.names(*partner, back).contains(&id) {
                    self.put_names(*partner, back, &ids)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a record as of a moment, and does to those that refer to it what their attributes say.
    ///
    /// # Errors
    /// None of its own.
    pub(crate) fn remove(&mut self, id: RecordId, at: Option<i64>) -> Result<(), ErrorKind> {
        let mut going = vec![(id, at)];
        while let Some((id, at)) = going.pop() {
            let Some(record) = self.records.get(&id).cloned() else { continue };
            self.remove_alone(id, at);
            for (referrer, at, on_delete) in self.referrers(record.object, id) {
                match on_delete {
                    OnDelete::Clear => self.take_out(referrer, at, id)?,
                    OnDelete::Cascade => going.push((referrer, None)),
                    OnDelete::Restrict => {
                        self.linked.restricted.push(Restricted { gone: id, referrer, at });
                    }
                }
            }
        }
        Ok(())
    }

    /// Who refers to a record, by which attribute.
    fn referrers(&self, object: usize, id: RecordId) -> Vec<(RecordId, usize, OnDelete)> {
        let mut found = Vec::new();
        for (referrer, record) in &self.records {
            for (at, attribute) in self.objects[record.object].attributes.iter().enumerate() {
                let may = attribute.of.is_reference() && attribute.refers.allows(object);
                if may && named_by(record.values.get(&at)).contains(&id) {
                    found.push((*referrer, at, attribute.refers.on_delete));
                }
            }
        }
        found
    }

    /// Whether a required reference that lost its last value since `mark` still lacks one.
    pub(crate) fn is_emptied(&mut self, mark: usize) -> bool {
        let emptied = self.linked.emptied.split_off(mark);
        let lacks = |(id, at): &(RecordId, usize)| {
            self.records.get(id).is_some_and(|record| !record.values.contains_key(at))
        };
        emptied.iter().any(lacks)
    }

    /// Whether a record is gone that is still named by a reference which forbids that.
    pub(crate) fn is_restricted(&self) -> bool {
        let forbids = |restricted: &Restricted| {
            let named = self.names(restricted.referrer, restricted.at).contains(&restricted.gone);
            named && !self.may_name(restricted.referrer, restricted.at, restricted.gone)
        };
        self.linked.restricted.iter().any(forbids)
    }

    /// Whether a reference is to a record that is there, may be named, and names it back if it should.
    fn may_name(&self, id: RecordId, at: usize, target: RecordId) -> bool {
        let refers = &self.objects[self.records[&id].object].attributes[at].refers;
        let Some(record) = self.records.get(&target) else { return false };
        let back = refers.inverse.is_none_or(|(_, back)| self.names(target, back).contains(&id));
        refers.allows(record.object) && back
    }

    /// What does not hold of the references of a committed state: each names a record that is there and may be
    /// named, and a relation has two sides.
    #[must_use]
    pub fn broken_reference(&self) -> Option<String> {
        for (id, record) in &self.records {
            for (at, attribute) in self.objects[record.object].attributes.iter().enumerate() {
                if !attribute.of.is_reference() {
                    continue;
                }
                let broken = |target: &RecordId| !self.may_name(*id, at, *target);
                if let Some(target) = self.names(*id, at).into_iter().find(broken) {
                    return Some(format!("{} of {id} names {target}", attribute.name));
                }
            }
        }
        None
    }

    /// The records other than `own` that were made, changed or removed.
    pub(crate) fn others_since(&self, undo_len: usize, own: RecordId) -> BTreeMap<RecordId, Other> {
        let mut seen = BTreeSet::from([own]);
        let mut others = BTreeMap::new();
        for (id, before) in self.changed_since(undo_len) {
            if !seen.insert(*id) {
                continue;
            }
            let other = match (before, self.records.get(id)) {
                // Also one that was changed and changed back.
                (before, Some(now)) if before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, now)) => {
                    Other { object: now.object, version: Some(now.version), created: before.is_none() }
                }
                (Some(before), None) => Other { object: before.object, version: None, created: false },
                _ => continue,
            };
            others.insert(*id, other);
        }
        others
    }
}
