//! References as the model knows them: what an attribute may name, which attributes name each other, and
//! what a value that a caller gives comes to. Written from docs/mutations.md (References) and docs/types.md.

use crate::model::Model;
use crate::plan::{self, Choice};
use crate::schema::{AttributeDef, ObjectDef, Type};
use std::collections::VecDeque;
use vellum::{Absent, Action, ErrorKind, Key, Link, Mutation, Name, Op, Patch, RecordId, Value};
use vellum_sim::Rng;

/// What happens to a reference when the record goes that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDelete {
    /// The reference is taken away.
    #[default]
    Clear,
    /// The record cannot go while it is named.
    Restrict,
    /// The record with the reference goes too.
    Cascade,
}

/// What a reference may name.
#[derive(Clone, Debug, Default)]
pub struct Refers {
    /// Positions of the objects; none says any.
    pub allowed: Vec<usize>,
    /// The other side of a relation: its object, and the attribute's position there.
    pub inverse: Option<(usize, usize)>,
    /// What happens when the record goes that is named.
    pub on_delete: OnDelete,
    /// The members of the neutral form that say so, with the names that objects had when it was made.
    pub json: String,
}

impl Refers {
    fn new(objects: &[ObjectDef], allowed: Vec<usize>, on_delete: OnDelete) -> Refers {
        let names: Vec<String> = allowed.iter().map(|at| format!("{:?}", objects[*at].name)).collect();
        let mut json = match names.is_empty() {
            true => String::new(),
            false => format!(r#","refers_to":[{}]"#, names.join(",")),
        };
        match on_delete {
            OnDelete::Clear => {}
            OnDelete::Restrict => json += r#","on_delete":"restrict""#,
            OnDelete::Cascade => json += r#","on_delete":"cascade""#,
        }
        Refers { allowed, inverse: None, on_delete, json }
    }

    fn with_inverse(mut self, objects: &[ObjectDef], (object, at): (usize, usize), name: &str) -> Refers {
        let target = &objects[object].name;
        self.json += &format!(r#","inverse":{{"object":"{target}","attribute":"{name}"}}"#);
        self.inverse = Some((object, at));
        self
    }

    /// Whether a record of this object may be named.
    #[must_use]
    pub fn allows(&self, object: usize) -> bool {
        self.allowed.is_empty() || self.allowed.contains(&object)
    }
}

/// What a transaction knows of references, and what a mutation that is refused leaves as it was.
#[derive(Clone, Debug, Default)]
pub struct Linked {
    /// Deletes that were carried out although a reference forbids them.
    pub(crate) restricted: Vec<Restricted>,
    /// Required references that lost their last value on the way.
    pub(crate) emptied: Vec<(RecordId, usize)>,
    /// Records that mutations of the transaction named.
    pub(crate) names: Vec<(Name, RecordId)>,
    /// Ids for records that nested mutations make, in the order in which they are made.
    pub ids: VecDeque<RecordId>,
    /// Whether a record was looked for by a key that two had at that moment.
    pub(crate) was_ambiguous: bool,
    pub(crate) made: u64,
}

/// A reference that forbids that the record goes which it names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restricted {
    pub(crate) gone: RecordId,
    pub(crate) referrer: RecordId,
    pub(crate) at: usize,
}

/// What the references of one mutation know.
pub(crate) struct Scope<'p> {
    pub(crate) patch: &'p Patch,
    /// How deep the mutation is nested.
    pub(crate) depth: usize,
    /// Its own record: it may name itself, also while it is made.
    pub(crate) own: (usize, RecordId),
    known: Vec<(Name, Option<RecordId>)>,
}

/// Mutations nest at most so deep.
pub const DEPTH_MAX: usize = 8;
/// What the generator gives where a reference belongs, until it is known which records there are.
pub(crate) const ANY: &str = "@?";

impl Model {
    /// An id for a record that a nested mutation makes.
    pub(crate) fn nested_id(&mut self) -> RecordId {
        self.linked.ids.pop_front().unwrap_or_else(|| {
            self.linked.made += 1;
            let mut bytes = [0xed; 16];
            bytes[..8].copy_from_slice(&self.linked.made.to_be_bytes());
            RecordId::from_bytes(bytes)
        })
    }

    /// What a patch says of its record, with references found or made. `before` is the record as it was found.
    pub(crate) fn choices(
        &mut self,
        patch: &Patch,
        key: &[(Name, Value)],
        own: (usize, RecordId),
        is_new: bool,
        depth: usize,
    ) -> Vec<Choice> {
        let objects = self.objects.clone();
        let def = &objects[own.0];
        let before = if is_new { None } else { self.records.get(&own.1).cloned() };
        let mut scope = Scope { patch, depth, own, known: Vec::new() };
        plan::choices(
            def,
            patch,
            key,
            before.as_ref().map(|record| &record.values),
            &mut |at, value, must| self.linked_value(&mut scope, &def.attributes[at], value, must),
        )
    }

    fn linked_value(
        &mut self,
        scope: &mut Scope<'_>,
        attribute: &AttributeDef,
        value: &Value,
        must_exist: bool,
    ) -> Result<Value, ErrorKind> {
        match value {
            Value::Null => Ok(Value::Null),
            Value::List(values) => {
                let mut found = Vec::new();
                for value in values {
                    let id = self.linked_record(scope, attribute, value, must_exist)?;
                    found.extend(id.map(Value::Reference));
                }
                Ok(Value::List(found))
            }
            value => {
                let id = self.linked_record(scope, attribute, value, must_exist)?;
                Ok(id.map_or(Value::Null, Value::Reference))
            }
        }
    }

    fn linked_record(
        &mut self,
        scope: &mut Scope<'_>,
        attribute: &AttributeDef,
        value: &Value,
        must_exist: bool,
    ) -> Result<Option<RecordId>, ErrorKind> {
        let id = match value {
            Value::Reference(id) => *id,
            Value::Uuid(uuid) => RecordId(*uuid),
            Value::Text(text) => match text.strip_prefix('@') {
                Some(name) => match self.named(scope, attribute, name)? {
                    Some(id) => id,
                    None => return Ok(None),
                },
                None => text.parse().map_err(|_| ErrorKind::InvalidValue)?,
            },
            _ => return Err(ErrorKind::InvalidValue),
        };
        if must_exist {
            let object = match scope.own {
                (object, own) if own == id => Some(object),
                _ => self.records.get(&id).map(|record| record.object),
            };
            match object {
                None => return Err(ErrorKind::ReferenceNotFound),
                Some(object) if !attribute.refers.allows(object) => {
                    return Err(ErrorKind::ReferenceNotAllowed);
                }
                Some(_) => {}
            }
        }
        Ok(Some(id))
    }

    /// The record of a name: a link of the mutation, once, or one that an earlier mutation named.
    fn named(
        &mut self,
        scope: &mut Scope<'_>,
        attribute: &AttributeDef,
        name: &str,
    ) -> Result<Option<RecordId>, ErrorKind> {
        if let Some((_, id)) = scope.known.iter().find(|(known, _)| known == name) {
            return Ok(*id);
        }
        let links = scope.patch.terms.as_ref().map_or(&[][..], |terms| &terms.links);
        let Some((known, link)) = links.iter().find(|(known, _)| known == name) else {
            return self.record_named(name).map(Some).ok_or(ErrorKind::ReferenceNotFound);
        };
        let id = self.follow(attribute, link, scope.depth)?;
        scope.known.push((known.clone(), id));
        Ok(id)
    }

    /// The record that an earlier mutation of the transaction gave this name; the newest one.
    pub(crate) fn record_named(&self, name: &str) -> Option<RecordId> {
        self.linked.names.iter().rev().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    fn follow(
        &mut self,
        attribute: &AttributeDef,
        link: &Link,
        depth: usize,
    ) -> Result<Option<RecordId>, ErrorKind> {
        let name = match link {
            Link::Match { object, .. } => object,
            Link::Mutate(mutation) => &mutation.object,
        };
        let object = self.object(name).ok_or(ErrorKind::ObjectNotFound)?;
        if !attribute.refers.allows(object) {
            return Err(ErrorKind::ReferenceNotAllowed);
        }
        match link {
            Link::Match { values, absent, .. } => {
                match (self.locate(object, &Key::Attributes(values.clone()))?, absent) {
                    (Some(id), _) => Ok(Some(id)),
                    (None, Absent::Null) => Ok(None),
                    (None, Absent::Error) => Err(ErrorKind::ReferenceNotFound),
                }
            }
            Link::Mutate(mutation) if mutation.action == Action::Delete => Err(ErrorKind::InvalidValue),
            Link::Mutate(_) if depth == DEPTH_MAX => Err(ErrorKind::LimitExceeded),
            Link::Mutate(mutation) => {
                self.mutate_at(mutation, None, depth + 1).map(|expected| Some(expected.id))
            }
        }
    }
}

/// Gives objects from `first` on references of every kind, and relations between each other and to themselves.
pub fn add(rng: &mut Rng, objects: &mut [ObjectDef], first: usize) {
    for at in first..objects.len() {
        for number in 0..*rng.pick(&[0, 1, 1, 2]) {
            let attribute = generate(rng, objects, at, format!("ref{number}"));
            objects[at].attributes.push(attribute);
        }
    }
    for number in 0..*rng.pick(&[0, 1, 1, 2]) {
        add_relation(rng, objects, first, number);
    }
}

/// A reference with one side, of a record of the object `own`.
pub fn generate(rng: &mut Rng, objects: &[ObjectDef], own: usize, name: String) -> AttributeDef {
    let allowed = match rng.below(4) {
        0 => Vec::new(),
        1 => vec![own],
        2 => vec![rng.below(objects.len())],
        _ => {
            let mut several = vec![own, rng.below(objects.len())];
            several.dedup();
            several
        }
    };
    let on_delete = on_delete(rng);
    side(rng, name, Refers::new(objects, allowed, on_delete))
}

fn on_delete(rng: &mut Rng) -> OnDelete {
    *rng.pick(&[OnDelete::Clear, OnDelete::Clear, OnDelete::Restrict, OnDelete::Cascade])
}

fn side(rng: &mut Rng, name: String, refers: Refers) -> AttributeDef {
    let of = *rng.pick(&[Type::Reference, Type::References]);
    AttributeDef {
        required: rng.one_in(12),
        unique: rng.one_in(8),
        max_values: (of == Type::References && rng.one_in(3)).then_some(2),
        refers,
        ..AttributeDef::new(name, of)
    }
}

/// A relation, which may be of an object with itself, and there be its own other side.
fn add_relation(rng: &mut Rng, objects: &mut [ObjectDef], first: usize, number: usize) {
    let (a, b) = (first + rng.below(objects.len() - first), first + rng.below(objects.len() - first));
    let (one, other) = (format!("one{number}"), format!("other{number}"));
    let at = objects[a].attributes.len();
    let on_delete_here = on_delete(rng);
    if a == b && rng.one_in(2) {
        let refers = Refers::new(objects, vec![a], on_delete_here).with_inverse(objects, (a, at), &one);
        let attribute = side(rng, one, refers);
        objects[a].attributes.push(attribute);
        return;
    }
    let back = objects[b].attributes.len() + usize::from(a == b);
    let refers = Refers::new(objects, vec![b], on_delete_here).with_inverse(objects, (b, back), &other);
    let attribute = side(rng, one.clone(), refers);
    objects[a].attributes.push(attribute);
    let on_delete_there = on_delete(rng);
    let refers = Refers::new(objects, vec![a], on_delete_there).with_inverse(objects, (a, at), &one);
    let attribute = side(rng, other, refers);
    objects[b].attributes.push(attribute);
}

/// Puts records where a mutation has the placeholder.
pub fn fill(rng: &mut Rng, model: &Model, graveyard: &[RecordId], mutation: &mut Mutation) {
    let Some(object) = model.object(&mutation.object) else { return };
    let def = &model.objects[object];
    let own = match mutation.key {
        Some(Key::Id(id)) => Some(id),
        _ => None,
    };
    let mut fill_value = |name: &Name, value: &mut Value| {
        let Some(at) = def.find(name).filter(|at| def.attributes[*at].of.is_reference()) else { return };
        let mut one = |value: &mut Value| {
            if value.as_text() == Some(ANY) {
                *value = some_target(rng, model, graveyard, own, &def.attributes[at]);
            }
        };
        match value {
            Value::List(values) => {
                values.iter_mut().for_each(&mut one);
                values.retain(|value| !value.is_null());
            }
            value => one(value),
        }
    };
    let Mutation { key, patch, .. } = mutation;
    if let Some(Key::Attributes(parts)) = key {
        for (name, value) in parts {
            fill_value(name, value);
            if value.as_list().is_some_and(<[Value]>::is_empty) {
                *value = Value::Null;
            }
        }
    }
    patch.set.iter_mut().for_each(|(name, value)| fill_value(name, value));
    let Some(terms) = &mut patch.terms else { return };
    let parts = [
        &mut terms.create,
        &mut terms.update,
        &mut terms.update_if_empty,
        &mut terms.create_or_update_if_empty,
    ];
    parts.into_iter().flatten().for_each(|(name, value)| fill_value(name, value));
    for (name, op) in &mut terms.ops {
        match op {
            Op::Set(value) | Op::SetIfEmpty(value) | Op::Min(value) | Op::Max(value) => {
                fill_value(name, value);
            }
            Op::Replace(values)
            | Op::Prepend(values)
            | Op::Append(values)
            | Op::Add(values)
            | Op::Remove(values) => {
                let mut list = Value::List(std::mem::take(values));
                fill_value(name, &mut list);
                if let Value::List(list) = list {
                    *values = list;
                }
            }
            _ => {}
        }
    }
}

/// A record that a reference may name, for the most part, in one of the forms that mean one.
fn some_target(
    rng: &mut Rng,
    model: &Model,
    graveyard: &[RecordId],
    own: Option<RecordId>,
    attribute: &AttributeDef,
) -> Value {
    let any = rng.one_in(40);
    let fits = |object: usize| any || attribute.refers.allows(object);
    let live: Vec<RecordId> =
        model.records.iter().filter(|(_, record)| fits(record.object)).map(|(id, _)| *id).collect();
    let id = match rng.below(60) {
        0 if !graveyard.is_empty() => *rng.pick(graveyard),
        1 => RecordId::from_bytes([rng.below(12) as u8; 16]),
        2..5 if own.is_some() => own.expect("asked above"),
        _ if live.is_empty() => return Value::Null,
        // Few records that many name, so that partners move.
        5..30 => live[rng.below(live.len().min(3))],
        _ => *rng.pick(&live),
    };
    match rng.below(8) {
        0 => Value::Text(id.to_string()),
        1 => Value::Uuid(id.0),
        _ => Value::Reference(id),
    }
}
