//! One request in the caller's words: names and values, no ids and no bytes yet.

use super::{Filter, Link, Op, Terms, Validation};
use crate::id::RecordId;
use crate::value::{Name, Timestamp, Value};

/// What to do with the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Make a record; its id and keys must be free.
    Create,
    /// Change a record that exists.
    Update,
    /// Change the record with this key, or make it.
    Upsert,
    /// Remove a record that exists.
    Delete,
}

/// What happens to attributes that a patch does not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// They stay.
    #[default]
    Merge,
    /// They are cleared.
    Replace,
}

/// Which record: by id, by values that include a key, or by the name that an earlier mutation gave it.
#[derive(Clone, PartialEq, Debug)]
pub enum Key {
    /// By record id.
    Id(RecordId),
    /// By values that include those of the primary key, in any order, or of a unique attribute. The
    /// record must have the others too; null means no value.
    Attributes(Vec<(Name, Value)>),
    /// The record that an earlier mutation of the same transaction named (see [`Terms::name`]).
    Named(Name),
}

impl From<RecordId> for Key {
    fn from(id: RecordId) -> Key {
        Key::Id(id)
    }
}

impl From<&RecordId> for Key {
    fn from(id: &RecordId) -> Key {
        Key::Id(*id)
    }
}

impl<V: Into<Value>> From<(&str, V)> for Key {
    fn from((name, value): (&str, V)) -> Key {
        Key::Attributes(vec![(name.into(), value.into())])
    }
}

impl From<Vec<(Name, Value)>> for Key {
    fn from(attributes: Vec<(Name, Value)>) -> Key {
        Key::Attributes(attributes)
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Key {
        key.clone()
    }
}

/// What to change in a record: values to set, attributes to clear, and the condition. A value of
/// [`Value::Null`] clears. Made by [`patch!`](crate::patch!) and [`record!`](crate::record!).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Patch {
    /// Attributes to set, in the order given; the last one wins where a name stands twice.
    pub set: Vec<(Name, Value)>,
    /// Attributes to clear, after `set`.
    pub clear: Vec<Name>,
    /// What happens to the attributes that are not named.
    pub mode: Mode,
    /// The version that the record must have.
    pub if_version: Option<u64>,
    /// The time that `updated_at` shows, instead of the time of the commit.
    pub at: Option<Timestamp>,
    /// Whether the outcome brings the whole record.
    pub returning: bool,
    /// What a plain patch has not: parts, ops, conditions, links.
    pub terms: Option<Box<Terms>>,
}

impl Patch {
    /// An empty patch.
    #[must_use]
    pub fn new() -> Patch {
        Patch::default()
    }

    /// Sets an attribute.
    #[must_use]
    pub fn set(mut self, name: impl Into<Name>, value: impl Into<Value>) -> Patch {
        self.set.push((name.into(), value.into()));
        self
    }

    /// Clears an attribute.
    #[must_use]
    pub fn clear(mut self, name: impl Into<Name>) -> Patch {
        self.clear.push(name.into());
        self
    }

    /// Clears what is not named.
    #[must_use]
    pub fn replace(mut self) -> Patch {
        self.mode = Mode::Replace;
        self
    }

    /// Refuses unless the record has this version.
    #[must_use]
    pub fn if_version(mut self, version: u64) -> Patch {
        self.if_version = Some(version);
        self
    }

    /// Shows `at` as the time of the change. Commit order does not follow it.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Patch {
        self.at = Some(at);
        self
    }

    /// Asks for the whole record in the outcome.
    #[must_use]
    pub fn returning(mut self) -> Patch {
        self.returning = true;
        self
    }

    /// The terms, made if there are none yet.
    pub fn terms_mut(&mut self) -> &mut Terms {
        self.terms.get_or_insert_default()
    }

    fn with(mut self, change: impl FnOnce(&mut Terms)) -> Patch {
        change(self.terms_mut());
        self
    }

    /// Asks for the values before the change in the outcome.
    #[must_use]
    pub fn before(self) -> Patch {
        self.with(|terms| terms.before = true)
    }

    /// Sets an attribute of a record that is made.
    #[must_use]
    pub fn on_create(self, name: impl Into<Name>, value: impl Into<Value>) -> Patch {
        self.with(|terms| terms.create.push((name.into(), value.into())))
    }

    /// Sets an attribute of a record that is changed.
    #[must_use]
    pub fn on_update(self, name: impl Into<Name>, value: impl Into<Value>) -> Patch {
        self.with(|terms| terms.update.push((name.into(), value.into())))
    }

    /// Sets an attribute of a record that is made, or that has no value yet.
    #[must_use]
    pub fn if_empty(self, name: impl Into<Name>, value: impl Into<Value>) -> Patch {
        self.with(|terms| terms.create_or_update_if_empty.push((name.into(), value.into())))
    }

    /// Sets an attribute of a record that is changed and has no value yet.
    #[must_use]
    pub fn on_update_if_empty(self, name: impl Into<Name>, value: impl Into<Value>) -> Patch {
        self.with(|terms| terms.update_if_empty.push((name.into(), value.into())))
    }

    /// Changes an attribute by what is there.
    #[must_use]
    pub fn op(self, name: impl Into<Name>, op: Op) -> Patch {
        self.with(|terms| terms.ops.push((name.into(), op)))
    }

    /// Refuses unless the record's values meet a condition.
    #[must_use]
    pub fn only_if(self, condition: Filter) -> Patch {
        self.with(|terms| terms.condition = Some(condition))
    }

    /// Leaves out what does not exist or does not fit, instead of refusing.
    #[must_use]
    pub fn ignore_invalid(self) -> Patch {
        self.with(|terms| terms.validation = Validation::IgnoreInvalid)
    }

    /// Names the record for later mutations of the transaction.
    #[must_use]
    pub fn named(self, name: impl Into<Name>) -> Patch {
        self.with(|terms| terms.name = Some(name.into()))
    }

    /// Adds a link, which values call `@name`.
    #[must_use]
    pub fn link(self, name: impl Into<Name>, link: Link) -> Patch {
        self.with(|terms| terms.links.push((name.into(), link)))
    }
}

/// One whole request: object, record, action, patch.
#[derive(Clone, PartialEq, Debug)]
pub struct Mutation {
    /// Name of the object.
    pub object: Name,
    /// What to do.
    pub action: Action,
    /// Which record; `None` only for a create. A create may fix the id with [`Key::Id`].
    pub key: Option<Key>,
    /// What to change; ignored by a delete, but for `if_version`.
    pub patch: Patch,
}
