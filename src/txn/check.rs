//! The checks of a mutation: what the caller expects of the record, and what must hold of its end state. Those that
//! look at other records are in `relations` (references) and `commit` (unique keys).

use super::find::Located;
use super::key::ObjectRef;
use super::outcome::AttributeSet;
use super::plan::Plan;
use super::problems::Problems;
use super::transaction::Transaction;
use crate::records::{AttributeLayout, no_prefetch};
use vellum_types::mutation::evaluate;
use vellum_types::schema::{AttributeSchema, ObjectSchema, Status};
use vellum_types::value::Value;
use vellum_types::{AttributeId, Conflict, Error, ErrorKind, RecordId, Result};

/// Checks the version that the caller expects the record to have; `None` where there is no record yet.
#[inline]
pub(super) fn check_version(expected: Option<u64>, found: Option<(RecordId, u64)>) -> Result<()> {
    match (expected, found) {
        (None, _) => Ok(()),
        (Some(expected), Some((_, version))) if expected == version => Ok(()),
        (Some(expected), Some((id, version))) => Err(Error::version(id, expected, version)),
        (Some(expected), None) => {
            let message = format!("no record yet, so it cannot be at version {expected}");
            Err(Error::new(ErrorKind::PreconditionFailed, message))
        }
    }
}

impl Transaction<'_> {
    /// Checks what the caller expects of the record that was found: its version, and the condition.
    #[inline]
    pub(super) fn check_expected(&self, plan: &Plan<'_, '_>, found: Option<&Located>) -> Result<()> {
        if plan.patch.if_version.is_none() && plan.condition().is_none() {
            return Ok(());
        }
        let identity = found.map(|located| self.identity(located));
        check_version(plan.patch.if_version, identity)?;
        let (Some(filter), Some(located), Some((id, version))) = (plan.condition(), found, identity) else {
            return Ok(());
        };
        let mut read = |id: AttributeId, cell: &mut Vec<u8>| {
            let layout = plan.object.layout.attribute(id).expect("a layout for each attribute of the schema");
            self.located_cell(located, layout, cell)
        };
        match evaluate::holds(plan.object.schema, filter, &mut read)? {
            true => Ok(()),
            false => Err(Error::condition(plan.object.schema.key(), id, version)),
        }
    }

    /// Reports each required attribute that a new record lacks.
    pub(super) fn check_required(&self, object: ObjectRef<'_>, staged: usize, problems: &mut Problems) {
        let record = self.state.stage.record(staged);
        let lacks = |attribute: &&AttributeLayout| attribute.required && record.cell(attribute.id).is_none();
        for attribute in object.layout.attributes.iter().filter(lacks) {
            if !problems.has(object, attribute.id) {
                problems.reject(missing_required(object, attribute.id));
            }
        }
    }

    /// Reports each required attribute that an update cleared.
    #[inline]
    pub(super) fn check_cleared(
        &self,
        object: ObjectRef<'_>,
        staged: usize,
        changed: &AttributeSet,
        problems: &mut Problems,
    ) {
        let record = self.state.stage.record(staged);
        if record.cells.iter().all(|cell| cell.bytes.is_some()) {
            return;
        }
        for attribute in changed.iter().filter_map(|id| object.layout.attribute(id)) {
            let cell = record.cell(attribute.id);
            if attribute.required && cell.is_some_and(|cell| cell.bytes.is_none()) {
                problems.reject(missing_required(object, attribute.id));
            }
        }
    }

    /// A version never restarts for the same id. An id that the caller gives may have lived before, with
    /// versions no higher than the number of commits then; so its version starts at this commit's.
    pub(super) fn version_for_given_id(&self, object: ObjectRef<'_>, id: RecordId) -> Result<u64> {
        let next = self.context.records.applied().next().0;
        if let Some(index) = self.state.stage.find(id) {
            let staged = self.state.stage.record(index);
            if staged.is_live() {
                return Err(id_conflict(object.schema, id, staged.version));
            }
            return Ok(next.max(staged.version + 1));
        }
        let records = self.context.records;
        let held =
            records.find_id(self.root, self.catalog, id, no_prefetch, |_, header, _| Ok(header.version))?;
        match held {
            Some((version, _)) => Err(id_conflict(object.schema, id, version)),
            None => Ok(next),
        }
    }

    pub(super) fn check_record_len(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let Some(max) = object.schema.max_record_len() else { return Ok(()) };
        let (mut len, mut cell) = (0, Vec::new());
        // Deleted attributes do not count: their cells remain, but no caller can clear them.
        for attribute in object.layout.attributes.iter().filter(|attribute| !attribute.deleted) {
            if self.staged_cell(staged, attribute, &mut cell)? {
                len += cell.len();
            }
        }
        if len as u64 <= u64::from(max) {
            return Ok(());
        }
        let message =
            format!("{}: the record would have {len} bytes, at most {max} are allowed", object.schema.key());
        Err(Error::new(ErrorKind::LimitExceeded, message).with_limit(max.into(), len as u64))
    }
}

/// An archived attribute or option is shown and cannot be written, by a value or by an op.
#[inline]
pub(super) fn reject_archived(
    object: &ObjectSchema,
    attribute: &AttributeSchema,
    values: &[Value],
) -> Result<()> {
    if attribute.standing() == Status::Archived {
        let reason = "the attribute is archived";
        return Err(Error::attribute(ErrorKind::NotWritable, object.key(), attribute.key(), reason));
    }
    match values.iter().find_map(|value| attribute.archived_option(value)) {
        None => Ok(()),
        Some(option) => {
            let reason = format!("the option {option:?} is archived");
            Err(Error::attribute(ErrorKind::UnknownOption, object.key(), attribute.key(), reason))
        }
    }
}

#[cold]
pub(super) fn id_conflict(object: &ObjectSchema, id: RecordId, version: u64) -> Error {
    Error::unique(Conflict {
        object: object.key().to_string(),
        attributes: vec!["id".to_string()],
        key: vec![id.to_string()],
        record: id,
        version,
    })
}

#[cold]
pub(super) fn missing_required(object: ObjectRef<'_>, id: AttributeId) -> Error {
    let name = object.schema.attribute_by_id(id).map_or("", |attribute| attribute.key());
    Error::attribute(ErrorKind::MissingRequired, object.schema.key(), name, "a value is required")
}
