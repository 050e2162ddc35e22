//! What a repair kept and what it could not.

use std::collections::HashMap;
use std::fmt;
use vellum_types::RecordId;
use vellum_types::{Error, Place};

/// Ids that a sentence names; the list has them all.
const IDS_SHOWN: usize = 10;

/// Something of the old store that the new one does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Name of the object; `None` where nobody knows whose it was.
    pub object: Option<String>,
    /// The records, where their ids are known.
    pub records: Vec<RecordId>,
    /// First and last row, where no id is known: some of these rows may have held a record.
    pub rows: Option<(u64, u64)>,
    /// Names of the attributes that are missing from the records; empty for whole records.
    pub attributes: Vec<String>,
    /// Where the damage is.
    pub place: Option<Place>,
    /// What is lost, and why.
    pub reason: String,
}

/// What [`Repair`](super::Repair) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Records in the new store.
    pub record_count: u64,
    /// What is lost. Empty: the new store has everything.
    pub losses: Vec<Loss>,
    /// What was damaged and cost nothing, and how the state was found.
    pub notes: Vec<String>,
}

impl RepairReport {
    /// Whether the new store has everything that the old one had.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.losses.is_empty()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{} at byte {}: ", place.file, place.offset)?;
        }
        f.write_str(&self.reason)?;
        if let Some(object) = &self.object {
            write!(f, "; {object}")?;
            if !self.attributes.is_empty() {
                write!(f, ".{}", self.attributes.join(", "))?;
            }
        }
        if let Some((first, last)) = self.rows {
            write!(f, ", rows {first} to {last}")?;
        }
        if !self.records.is_empty() {
            let shown: Vec<String> = self.records.iter().take(IDS_SHOWN).map(ToString::to_string).collect();
            let noun = if self.records.len() == 1 { "record" } else { "records" };
            write!(f, ", {} {noun}: {}", self.records.len(), shown.join(", "))?;
            if self.records.len() > IDS_SHOWN {
                f.write_str(", …")?;
            }
        }
        Ok(())
    }
}

/// Which losses are told as one: of one object, in one sort, from one place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    object: Option<String>,
    attributes: Vec<String>,
    place: Option<(String, u64)>,
    reason: String,
}

/// Losses in the making.
#[derive(Default)]
pub(super) struct Losses {
    list: Vec<Loss>,
    by_kind: HashMap<Kind, usize>,
    notes: Vec<String>,
}

impl Losses {
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn find(&mut self, object: Option<&str>, attributes: &[&str], error: &Error, said: &str) -> &mut Loss {
        let place = error.place().filter(|place| !place.file.is_empty()).cloned();
        let why = error.place().map_or_else(|| error.to_string(), |place| place.reason.clone());
        let reason = if said.is_empty() { why } else { format!("{said}: {why}") };
        let kind = Kind {
            object: object.map(str::to_string),
            attributes: attributes.iter().map(ToString::to_string).collect(),
            place: place.as_ref().map(|place| (place.file.clone(), place.offset)),
            reason: if place.is_some() { String::new() } else { reason.clone() },
        };
        let index = *self.by_kind.entry(kind.clone()).or_insert_with(|| {
            let Kind { object, attributes, .. } = kind;
            self.list.push(Loss { object, records: Vec::new(), rows: None, attributes, place, reason });
            self.list.len() - 1
        });
        &mut self.list[index]
    }

    /// Something that belongs to no object.
    pub(super) fn other(&mut self, error: &Error, said: &str) {
        self.find(None, &[], error, said);
    }

    /// A record, or attributes of it.
    pub(super) fn record(&mut self, object: &str, id: RecordId, attributes: &[&str], error: &Error) {
        let loss = self.find(Some(object), attributes, error, "");
        if !loss.records.contains(&id) {
            loss.records.push(id);
        }
    }

    /// A row of which nothing is known.
    pub(super) fn row(&mut self, object: &str, row: u64, error: &Error) {
        let loss = self.find(Some(object), &[], error, "");
        let (first, last) = loss.rows.unwrap_or((row, row));
        loss.rows = Some((first.min(row), last.max(row)));
    }

    pub(super) fn into_report(self, record_count: u64) -> RepairReport {
        RepairReport { record_count, losses: self.list, notes: self.notes }
    }
}
