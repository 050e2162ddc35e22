//! What a mutation may have beyond values to set: parts that depend on whether the record is there, ops,
//! conditions, references that are found or made on the way. Most mutations have none of it, and carry
//! one empty pointer.

use super::{Filter, Mutation, Op};
use crate::value::{Name, Values};

/// What happens to attributes that do not exist and values that do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Validation {
    /// The mutation is refused, with everything that is wrong.
    #[default]
    Strict,
    /// They are left out, and the outcome lists them; a required attribute's value is refused all the same.
    IgnoreInvalid,
}

/// What becomes of a reference to a record that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Absent {
    /// The mutation is refused.
    #[default]
    Error,
    /// The reference has no value.
    Null,
}

/// The record that a reference is to point at, found or made when the mutation is carried out. A value
/// of `@name` in a reference stands for the link of that name, or for the record that an earlier
/// mutation of the transaction made under it.
#[derive(Clone, PartialEq, Debug)]
pub enum Link {
    /// The record with these values, of which at least one is unique.
    Match {
        /// Its object.
        object: Name,
        /// Its values.
        values: Values,
        /// What if there is none.
        absent: Absent,
    },
    /// The record of a mutation that is carried out in the same commit.
    Mutate(Box<Mutation>),
}

/// What a mutation has beyond a plain patch. For one attribute the first part that names it counts: with
/// a record that is made `create`, the patch's own values, `create_or_update_if_empty`; with one that is
/// changed `update`, the patch's own values, then `update_if_empty` and `create_or_update_if_empty`,
/// both only where there is no value yet.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Terms {
    /// Values for a record that is made.
    pub create: Values,
    /// Values for a record that is changed.
    pub update: Values,
    /// Values for a record that is changed and has none yet.
    pub update_if_empty: Values,
    /// Values for a record that is made, and for one that is changed and has none yet.
    pub create_or_update_if_empty: Values,
    /// Changes that look at the value that is there.
    pub ops: Vec<(Name, Op)>,
    /// What the record's values must be before the change; a record that is made has none to judge.
    pub condition: Option<Filter>,
    /// What happens to what does not fit.
    pub validation: Validation,
    /// References that are found or made on the way, by the name that values call them.
    pub links: Vec<(Name, Link)>,
    /// Name under which later mutations of the transaction know this one's record.
    pub name: Option<Name>,
    /// Whether the outcome brings the values that were there before.
    pub before: bool,
}
