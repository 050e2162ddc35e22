//! References in a mutation: to a record by its id, to one that is found by its values, to one that a
//! nested mutation makes or changes, to one that an earlier mutation named. What comes out is an id of a
//! record that the transaction sees, of an object that the attribute allows.

use super::key::{ObjectRef, object_ref};
use super::relations::references;
use super::transaction::Transaction;
use std::borrow::Cow;
use vellum_types::schema::AttributeSchema;
use vellum_types::value::{Json, Name, Value, ValueType, excerpt};
use vellum_types::{Absent, Action, Key, Link, Op, Patch, Terms};
use vellum_types::{Error, ErrorKind, Result};
use vellum_types::{ObjectId, RecordId};

/// What stands before a name in the text of a reference.
const NAME_MARK: char = '@';

/// What the links of one mutation know: its terms, how deep it is nested, its own record, and which links
/// were resolved already.
pub(super) struct Scope<'p> {
    pub(super) terms: Option<&'p Terms>,
    depth: usize,
    own: (ObjectId, RecordId),
    resolved: Vec<(&'p Name, Option<RecordId>)>,
}

impl<'p> Scope<'p> {
    pub(super) fn new(patch: &'p Patch, depth: usize, own: (ObjectId, RecordId)) -> Scope<'p> {
        Scope { terms: patch.terms.as_deref(), depth, own, resolved: Vec::new() }
    }
}

/// A reference attribute and its object, for messages.
#[derive(Clone, Copy)]
struct At<'c> {
    object: ObjectRef<'c>,
    schema: &'c AttributeSchema,
}

impl At<'_> {
    fn error(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        Error::attribute(kind, self.object.schema.key(), self.schema.key(), reason)
    }
}

impl<'a> Transaction<'a> {
    /// The value with its links resolved: ids, or null where a link may find nothing.
    pub(super) fn resolve_value<'p>(
        &mut self,
        object: ObjectRef<'a>,
        schema: &'a AttributeSchema,
        value: &'p Value,
        scope: &mut Scope<'p>,
    ) -> Result<Cow<'p, Value>> {
        if schema.value_type() != ValueType::Reference || value.is_null() {
            return Ok(Cow::Borrowed(value));
        }
        let at = At { object, schema };
        match value {
            Value::List(values) => {
                self.resolve_values(at, values, true, scope).map(|values| Cow::Owned(Value::List(values)))
            }
            Value::Json(json) => {
                let values = strings(json).ok_or_else(|| not_a_reference(at, value))?;
                self.resolve_values(at, &values, true, scope).map(|values| Cow::Owned(Value::List(values)))
            }
            value => {
                let id = self.resolve_reference(at, value, true, scope)?;
                Ok(Cow::Owned(id.map_or(Value::Null, Value::Reference)))
            }
        }
    }

    /// The op with the links of its values resolved. What is taken away need not exist any more.
    pub(super) fn resolve_op<'p>(
        &mut self,
        object: ObjectRef<'a>,
        schema: &'a AttributeSchema,
        op: &'p Op,
        scope: &mut Scope<'p>,
    ) -> Result<Cow<'p, Op>> {
        if schema.value_type() != ValueType::Reference {
            return Ok(Cow::Borrowed(op));
        }
        let at = At { object, schema };
        let op = match op {
            Op::Set(value) => Op::Set(self.resolve_value(object, schema, value, scope)?.into_owned()),
            Op::SetIfEmpty(value) => {
                Op::SetIfEmpty(self.resolve_value(object, schema, value, scope)?.into_owned())
            }
            Op::Replace(values) => Op::Replace(self.resolve_values(at, values, true, scope)?),
            Op::Prepend(values) => Op::Prepend(self.resolve_values(at, values, true, scope)?),
            Op::Append(values) => Op::Append(self.resolve_values(at, values, true, scope)?),
            Op::Add(values) => Op::Add(self.resolve_values(at, values, true, scope)?),
            Op::Remove(values) => Op::Remove(self.resolve_values(at, values, false, scope)?),
            _ => return Ok(Cow::Borrowed(op)),
        };
        Ok(Cow::Owned(op))
    }

    fn resolve_values(
        &mut self,
        at: At<'a>,
        values: &[Value],
        must_exist: bool,
        scope: &mut Scope<'_>,
    ) -> Result<Vec<Value>> {
        let mut found = Vec::with_capacity(values.len());
        for value in values {
            found.extend(self.resolve_reference(at, value, must_exist, scope)?.map(Value::Reference));
        }
        Ok(found)
    }

    fn resolve_reference(
        &mut self,
        at: At<'a>,
        value: &Value,
        must_exist: bool,
        scope: &mut Scope<'_>,
    ) -> Result<Option<RecordId>> {
        let id = match value {
            Value::Reference(id) => *id,
            Value::Uuid(uuid) => RecordId(*uuid),
            Value::Text(text) => match text.strip_prefix(NAME_MARK) {
                Some(name) => match self.resolve_name(at, name, scope)? {
                    Some(id) => id,
                    None => return Ok(None),
                },
                None => text.parse().map_err(|_| not_a_reference(at, value))?,
            },
            other => return Err(not_a_reference(at, other)),
        };
        if must_exist {
            self.check_target(at, id, scope)?;
        }
        Ok(Some(id))
    }

    /// Every record that a staged one refers to must be there and allowed.
    pub(super) fn check_references(&self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let own = (object.layout.id, self.state.stage.record(staged).id);
        let scope = Scope { terms: None, depth: 0, own, resolved: Vec::new() };
        let mut cell = Vec::new();
        for (schema, layout) in object.schema.attributes().iter().zip(&object.layout.attributes) {
            if schema.value_type() == ValueType::Reference && self.staged_cell(staged, layout, &mut cell)? {
                for id in references(schema, &cell)? {
                    self.check_target(At { object, schema }, id, &scope)?;
                }
            }
        }
        Ok(())
    }

    /// The record must be one that the transaction sees, of an object that the attribute allows.
    fn check_target(&self, at: At<'_>, id: RecordId, scope: &Scope<'_>) -> Result<()> {
        let found = match scope.own {
            (object, own) if own == id => Some(object),
            _ => self.locate_anywhere(id)?,
        };
        let found = found.ok_or_else(|| {
            at.error(ErrorKind::ReferenceNotFound, format!("there is no record {id}"))
                .with_target(id.to_string())
        })?;
        self.check_allowed(at, found)
    }

    fn check_allowed(&self, at: At<'_>, target: ObjectId) -> Result<()> {
        let allowed = at.schema.refers_to();
        if allowed.is_empty() || allowed.contains(&target) {
            return Ok(());
        }
        let name = self.catalog.schema.object_by_id(target).map_or("", |object| object.key());
        let reason = format!("a record of {name} is not allowed here");
        Err(at.error(ErrorKind::ReferenceNotAllowed, reason).with_target(name))
    }

    /// The record of a name: a link of this mutation, once, or a record that an earlier one named.
    fn resolve_name(&mut self, at: At<'a>, name: &str, scope: &mut Scope<'_>) -> Result<Option<RecordId>> {
        if let Some((_, id)) = scope.resolved.iter().find(|(known, _)| *known == name) {
            return Ok(*id);
        }
        let links = scope.terms.map_or(&[][..], |terms| &terms.links);
        let Some((known, link)) = links.iter().find(|(known, _)| known == name) else {
            let id = self.state.stage.named_record(name);
            return id.map(Some).ok_or_else(|| {
                let reason = format!("no record is named {} in this transaction", excerpt(name));
                at.error(ErrorKind::ReferenceNotFound, reason).with_target(name)
            });
        };
        let id = self.resolve_link(at, link, scope.depth)?;
        scope.resolved.push((known, id));
        Ok(id)
    }

    fn resolve_link(&mut self, at: At<'a>, link: &Link, depth: usize) -> Result<Option<RecordId>> {
        let catalog = self.catalog;
        match link {
            Link::Match { object, values, absent } => {
                let target = object_ref(catalog, object)?;
                self.check_allowed(at, target.layout.id)?;
                let key = Key::Attributes(values.clone());
                let located = self.locate(target, &key).map_err(|error| error.within(at.schema.key()))?;
                match (located, absent) {
                    (Some(located), _) => Ok(Some(self.identity(&located).0)),
                    (None, Absent::Null) => Ok(None),
                    (None, Absent::Error) => {
                        let wanted = described(values);
                        let reason = format!("there is no record of {object} with {wanted}");
                        Err(at.error(ErrorKind::ReferenceNotFound, reason).with_target(wanted))
                    }
                }
            }
            Link::Mutate(mutation) => {
                let target = object_ref(catalog, &mutation.object)?;
                self.check_allowed(at, target.layout.id)?;
                if mutation.action == Action::Delete {
                    let reason = "a reference cannot be to a record that is removed on the way";
                    return Err(at.error(ErrorKind::InvalidValue, reason));
                }
                let outcome = self.execute_nested(target, mutation, depth + 1);
                outcome.map(|outcome| Some(outcome.id)).map_err(|error| error.within(at.schema.key()))
            }
        }
    }
}

fn described(values: &[(Name, Value)]) -> String {
    let parts: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} = {}", value.to_json())).collect();
    parts.join(", ")
}

/// The strings of a JSON array.
fn strings(json: &Json) -> Option<Vec<Value>> {
    let texts: Vec<String> = serde_json::from_str(json.as_str()).ok()?;
    Some(texts.into_iter().map(Value::Text).collect())
}

#[cold]
fn not_a_reference(at: At<'_>, value: &Value) -> Error {
    let reason = format!(
        "expected the id of a record, found the {} {}",
        value.kind_name(),
        excerpt(&value.to_string())
    );
    at.error(ErrorKind::InvalidValue, reason).with_type("reference")
}
