//! A mutation, and what is known of it before its record is found.

use super::key::ObjectRef;
use vellum_types::mutation::evaluate;
use vellum_types::value::{Name, Value, ValueType};
use vellum_types::{Action, Error, ErrorKind, Filter, Key, Mode, Mutation, Patch, RecordId, Result, Terms};

/// Deepest nesting of mutations in links.
pub(super) const DEPTH_MAX: usize = 8;

/// One mutation on its way through the steps.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a, 'p> {
    pub(super) object: ObjectRef<'a>,
    pub(super) action: Action,
    pub(super) key: Option<&'p Key>,
    pub(super) patch: &'p Patch,
    /// How deep it is nested in links.
    pub(super) depth: usize,
    /// Whether it sets and clears values of its own record and can do nothing else: no terms, and no reference
    /// that another record would have to follow. Its values then need no choice, and other records no look.
    pub(super) is_simple: bool,
}

impl<'a, 'p> Plan<'a, 'p> {
    /// # Errors
    /// `LimitExceeded` where it is nested too deep; what its condition says of attributes that do not exist.
    #[inline]
    pub(super) fn new(object: ObjectRef<'a>, mutation: &'p Mutation, depth: usize) -> Result<Plan<'a, 'p>> {
        if depth > DEPTH_MAX {
            let message = format!("mutations are nested deeper than {DEPTH_MAX}");
            return Err(
                Error::new(ErrorKind::LimitExceeded, message).with_limit(DEPTH_MAX as u64, depth as u64)
            );
        }
        let (action, key, patch) = (mutation.action, mutation.key.as_ref(), &mutation.patch);
        let is_simple = patch.terms.is_none()
            && (!object.layout.linked || (action == Action::Update && names_no_reference(object, patch)));
        let plan = Plan { object, action, key, patch, depth, is_simple };
        plan.condition().map_or(Ok(()), |filter| evaluate::check(object.schema, filter))?;
        Ok(plan)
    }

    #[inline]
    pub(super) fn terms(&self) -> Option<&'p Terms> {
        self.patch.terms.as_deref()
    }

    pub(super) fn condition(&self) -> Option<&'p Filter> {
        self.terms().and_then(|terms| terms.condition.as_ref())
    }

    /// The id that the caller gives a record that is created.
    pub(super) fn given_id(&self) -> Option<RecordId> {
        match self.key {
            Some(Key::Id(id)) => Some(*id),
            _ => None,
        }
    }

    /// The values that the record is found by, which a new one gets.
    #[inline]
    pub(super) fn key_parts(&self) -> &'p [(Name, Value)] {
        match self.key {
            Some(Key::Attributes(parts)) => parts,
            _ => &[],
        }
    }

    /// Whether the patch, its ops or the key name an attribute.
    pub(super) fn names(&self, name: &str) -> bool {
        let is_it = |(named, _): &&(Name, Value)| named == name;
        let Patch { set, clear, .. } = self.patch;
        set.iter().chain(self.key_parts()).any(|pair| is_it(&pair))
            || clear.iter().any(|named| named == name)
            || self.terms().is_some_and(|terms| {
                let values = [&terms.update, &terms.update_if_empty, &terms.create_or_update_if_empty];
                values.into_iter().flatten().any(|pair| is_it(&pair))
                    || terms.ops.iter().any(|(named, _)| named == name)
            })
    }

    /// Whether what it does to other records can come back to its own: by a link, or by a relation of an object to
    /// itself.
    pub(super) fn may_change_itself(&self) -> bool {
        let own = self.object.layout.id;
        self.terms().is_some_and(|terms| !terms.links.is_empty())
            || self
                .object
                .schema
                .attributes()
                .iter()
                .any(|attribute| attribute.inverse().is_some_and(|inverse| inverse.object == own))
    }
}

fn names_no_reference(object: ObjectRef<'_>, patch: &Patch) -> bool {
    let is_reference = |name: &Name| {
        object.schema.find_attribute(name).is_some_and(|a| a.value_type() == ValueType::Reference)
    };
    patch.mode == Mode::Merge && !patch.set.iter().map(|(name, _)| name).chain(&patch.clear).any(is_reference)
}
