//! How a match finds its record, in the model: by a unique key, and by values that the record must have beside it.
//! Written from docs/mutations.md (Match).

use crate::model::Model;
use crate::schema::{AttributeDef, Type};
use crate::values::{canonical, key_part};
use vellum::{ErrorKind, Key, Mutation, Name, RecordId, Value};

/// A match, taken apart.
pub(crate) struct Matched<'p> {
    /// The number of the key that it names.
    pub(crate) key: usize,
    /// The key's parts, once for each of several values that it may have; none when one is null.
    pub(crate) parts: Vec<Vec<String>>,
    /// What stands beside the key.
    refiners: Vec<&'p (Name, Value)>,
}

impl Model {
    /// What a match means: the key that its names are, or else the first one that is among them.
    pub(crate) fn matched<'p>(
        &self,
        object: usize,
        parts: &'p [(Name, Value)],
    ) -> Result<Matched<'p>, ErrorKind> {
        let def = &self.objects[object];
        let keys = def.keys();
        let given = |at: &usize| parts.iter().find(|(name, _)| *name == def.attributes[*at].name);
        let is_exact =
            |key: &Vec<usize>| key.len() == parts.len() && key.iter().all(|at| given(at).is_some());
        let has_value = |at: &usize| given(at).is_some_and(|(_, value)| !value.is_null());
        let is_within = |key: &Vec<usize>| key.iter().all(has_value);
        let exact = keys.iter().position(is_exact);
        if exact.is_none() && !parts.iter().all(|(name, _)| def.find(name).is_some()) {
            return Err(ErrorKind::UnknownAttribute);
        }
        let key = exact.or_else(|| keys.iter().position(is_within)).ok_or(ErrorKind::MatchNotUnique)?;
        let is_refiner =
            |(name, _): &&(Name, Value)| !keys[key].iter().any(|at| def.attributes[*at].name == *name);
        let refiners = parts.iter().filter(is_refiner).collect();
        if let [at] = keys[key].as_slice()
            && let Some((_, Value::List(values))) = given(at)
            && values.len() > 1
        {
            let attribute = &def.attributes[*at];
            let mut parts = Vec::new();
            for value in values {
                let one = canonical(attribute, &Value::List(vec![value.clone()]))?;
                let one = one.as_ref().and_then(Value::as_list).and_then(<[Value]>::first);
                parts.extend(one.map(|value| vec![key_part(attribute.of, value)]));
            }
            return Ok(Matched { key, parts, refiners });
        }
        let mut out = Vec::new();
        for at in &keys[key] {
            let attribute = &def.attributes[*at];
            let (_, value) = given(at).expect("the key is among the names");
            match canonical(attribute, value)? {
                Some(Value::List(values)) => {
                    out.extend(values.first().map(|value| key_part(attribute.of, value)))
                }
                Some(value) => out.push(key_part(attribute.of, &value)),
                None => return Ok(Matched { key, parts: Vec::new(), refiners }),
            }
        }
        Ok(Matched { key, parts: vec![out], refiners })
    }

    pub(crate) fn locate(&mut self, object: usize, key: &Key) -> Result<Option<RecordId>, ErrorKind> {
        match key {
            Key::Id(id) => Ok(self.of_object(object, *id)),
            Key::Attributes(parts) => {
                let matched = self.matched(object, parts)?;
                let mut found = Vec::new();
                for parts in &matched.parts {
                    let holders = self.holders(object, matched.key, parts);
                    self.linked.was_ambiguous |= holders.len() > 1;
                    found.extend(holders.first().filter(|id| !found.contains(*id)).copied());
                }
                match found.len() {
                    0 | 1 => self.refined(object, found.first().copied(), &matched.refiners),
                    _ => Err(ErrorKind::MultipleMatches),
                }
            }
            Key::Named(name) => Ok(self.record_named(name).and_then(|id| self.of_object(object, id))),
        }
    }

    /// The record, if it has the other values too.
    fn refined(
        &self,
        object: usize,
        id: Option<RecordId>,
        refiners: &[&(Name, Value)],
    ) -> Result<Option<RecordId>, ErrorKind> {
        let def = &self.objects[object];
        for (name, value) in refiners {
            let at = def.find(name).ok_or(ErrorKind::UnknownAttribute)?;
            let wanted = canonical(&def.attributes[at], value)?;
            let has = id.and_then(|id| self.records[&id].values.get(&at));
            if !meets(def.attributes[at].of, has, wanted.as_ref()) {
                return Ok(None);
            }
        }
        Ok(id)
    }

    fn of_object(&self, object: usize, id: RecordId) -> Option<RecordId> {
        self.records.get(&id).filter(|record| record.object == object).map(|_| id)
    }

    /// Whether a mutation names more of its record than a key.
    #[must_use]
    pub fn is_refined(&self, mutation: &Mutation) -> bool {
        let Some(object) = self.object(&mutation.object) else { return false };
        let Some(Key::Attributes(parts)) = &mutation.key else { return false };
        self.matched(object, parts).is_ok_and(|matched| !matched.refiners.is_empty())
    }
}

/// Whether a value is the one that is asked for, as keys are the same, or has one of several that are; null asks for
/// none.
fn meets(of: Type, has: Option<&Value>, wanted: Option<&Value>) -> bool {
    let same = |a: &Value, b: &Value| key_part(of, a) == key_part(of, b);
    match (has, wanted) {
        (Some(Value::List(has)), Some(Value::List(wanted))) => {
            wanted.iter().any(|wanted| has.iter().any(|value| same(value, wanted)))
        }
        (Some(has), Some(wanted)) => same(has, wanted),
        (has, wanted) => has.is_none() && wanted.is_none(),
    }
}

/// Whether a match may name the attribute beside a key: none that names records or that the engine gives.
pub(crate) fn may_refine(attribute: &AttributeDef) -> bool {
    !attribute.of.is_reference() && attribute.of != Type::Autonumber
}
