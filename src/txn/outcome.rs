//! The answer of a mutation.

use super::stage::{Fate, Mark};
use super::transaction::Transaction;
use crate::records::Catalog;
use std::sync::Arc;
use vellum_engine::Lsn;
use vellum_types::Error;
use vellum_types::value::{Name, Record, Value};
use vellum_types::{AttributeId, ObjectId, RecordId};

/// A set of attributes; no allocation for the first 128 of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AttributeSet {
    first: [u64; 2],
    more: Vec<u16>,
}

impl AttributeSet {
    pub(crate) fn insert(&mut self, id: AttributeId) {
        match self.first.get_mut(usize::from(id.0) / 64) {
            Some(word) => *word |= 1 << (id.0 % 64),
            None if self.more.contains(&id.0) => {}
            None => self.more.push(id.0),
        }
    }

    pub(crate) fn contains(&self, id: AttributeId) -> bool {
        match self.first.get(usize::from(id.0) / 64) {
            Some(word) => word & (1 << (id.0 % 64)) != 0,
            None => self.more.contains(&id.0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == [0, 0] && self.more.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = AttributeId> + '_ {
        let bits = |word: usize| {
            // Each step takes the lowest bit away: as many steps as there are attributes.
            std::iter::successors(Some(self.first[word]), |bits| Some(bits & (bits.wrapping_sub(1))))
                .take_while(|bits| *bits != 0)
                .map(move |bits| word as u16 * 64 + bits.trailing_zeros() as u16)
        };
        bits(0).chain(bits(1)).chain(self.more.iter().copied()).map(AttributeId)
    }
}

/// Another record that a mutation made, changed or removed: by a link, the other side of a relation, or
/// what an attribute says of deletes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Other {
    /// Its object.
    pub object: Name,
    /// Its id.
    pub id: RecordId,
    /// Its version now; the last one, where it was removed.
    pub version: u64,
    /// Whether it was made.
    pub created: bool,
    /// Whether it was removed.
    pub deleted: bool,
}

/// What few outcomes have.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    pub(crate) before: Vec<(Name, Value)>,
    pub(crate) dropped: Arc<[Error]>,
    pub(crate) others: Vec<Other>,
}

/// What a mutation did: id, version, LSN, what changed; the whole record if it was asked for.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record.
    pub id: RecordId,
    /// Its version now; the last one it had, for a delete.
    pub version: u64,
    /// The commit. A mutation that changes nothing makes none: this is then the newest one before.
    pub lsn: Lsn,
    /// Whether the record was made by this mutation.
    pub created: bool,
    /// The record after the mutation, where [`Patch::returning`](crate::Patch::returning) asked for it.
    pub record: Option<Record>,
    pub(crate) object: ObjectId,
    pub(crate) changed: AttributeSet,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) more: Option<Box<More>>,
}

/// What a transaction returns and learns its commit's LSN from: in one place, once the commit is made.
pub(crate) trait Stamp {
    /// Sets the LSN of each outcome in it.
    fn stamp(&mut self, lsn: Lsn);
}

impl Stamp for () {
    fn stamp(&mut self, _: Lsn) {}
}

impl Stamp for Outcome {
    #[inline]
    fn stamp(&mut self, lsn: Lsn) {
        self.lsn = lsn;
    }
}

impl Stamp for Vec<Outcome> {
    fn stamp(&mut self, lsn: Lsn) {
        self.iter_mut().for_each(|outcome| outcome.stamp(lsn));
    }
}

impl<T: Stamp, U> Stamp for (T, U) {
    fn stamp(&mut self, lsn: Lsn) {
        self.0.stamp(lsn);
    }
}

impl Outcome {
    pub(crate) fn more_mut(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The values before the change of the attributes that changed, null where there was none; where
    /// [`Patch::before`](crate::Patch::before) asked for them.
    #[must_use]
    pub fn before(&self) -> &[(Name, Value)] {
        self.more.as_ref().map_or(&[], |more| &more.before)
    }

    /// What was left out because it does not exist or does not fit (see
    /// [`Validation::IgnoreInvalid`](crate::Validation::IgnoreInvalid)).
    #[must_use]
    pub fn dropped(&self) -> &[Error] {
        self.more.as_ref().map_or(&[], |more| &more.dropped)
    }

    /// Other records that were made, changed or removed along with this one.
    #[must_use]
    pub fn others(&self) -> &[Other] {
        self.more.as_ref().map_or(&[], |more| &more.others)
    }

    /// Ids of all records that were made.
    pub fn created_ids(&self) -> impl Iterator<Item = RecordId> + '_ {
        let own = self.created.then_some(self.id);
        own.into_iter().chain(self.others().iter().filter(|other| other.created).map(|other| other.id))
    }

    /// Names of the attributes whose values changed, in the schema's order.
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        let object = self.catalog.schema.object_by_id(self.object);
        let attributes = object.map_or(&[][..], |object| object.attributes());
        self.changed
            .iter()
            .filter_map(|id| attributes.get(usize::from(id.0)))
            .filter(|attribute| {
                !attribute.is_hidden() && attribute.standing() != vellum_types::schema::Status::Deleted
            })
            .map(|attribute| attribute.key())
    }

    /// Whether the mutation changed nothing: no value, no version, no `updated_at`.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        !self.created && self.changed.is_empty() && self.others().is_empty()
    }
}

impl Transaction<'_> {
    /// Adds what a mutation staged beside its own record.
    pub(super) fn add_others(&self, outcome: &mut Outcome, mark: Mark) {
        let others = self.others_since(mark, outcome.id);
        if !others.is_empty() {
            outcome.more_mut().others = others;
        }
    }

    /// What a mutation staged beside its own record.
    pub(super) fn others_since(&self, mark: Mark, own: RecordId) -> Vec<Other> {
        let stage = &self.state.stage;
        let other = |staged: usize| {
            let record = stage.record(staged);
            let object = self.catalog.schema.object_by_id(record.object)?;
            let is_made_here = staged >= mark.count();
            // A record that one mutation creates and deletes was never there.
            let shown = record.id != own
                && !record.object.is_system()
                && (record.is_live() || record.fate == Fate::Delete || !is_made_here);
            shown.then(|| Other {
                object: object.name().into(),
                id: record.id,
                version: record.version,
                created: record.fate == Fate::Create && is_made_here,
                deleted: !record.is_live(),
            })
        };
        stage.since(mark).into_iter().filter_map(other).collect()
    }
}
