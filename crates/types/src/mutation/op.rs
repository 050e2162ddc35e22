//! What a caller may ask of one attribute beyond setting it: changes that look at the value that is
//! there, made by the engine so that nobody reads first and writes afterwards.

use crate::value::{Json, Value};

/// How far a number may go; a result beyond is refused and nothing changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bounds {
    /// The smallest result.
    pub min: Option<Value>,
    /// The largest result.
    pub max: Option<Value>,
}

/// A change of one attribute. An attribute may have several; those that take away go first, the others
/// follow in the order given, after the values of the patch.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Op {
    /// This value.
    Set(Value),
    /// No value.
    Clear,
    /// This value, if there is none.
    SetIfEmpty(Value),
    /// A list of these values.
    Replace(Vec<Value>),
    /// These values first, in this order; one that is there already moves.
    Prepend(Vec<Value>),
    /// These values last, in this order; one that is there already moves.
    Append(Vec<Value>),
    /// Those of these values that are missing, last; one that is there already stays where it is.
    Add(Vec<Value>),
    /// Without these values; one that is not there is no error.
    Remove(Vec<Value>),
    /// This text under this label of a labelled list, or this member of a JSON object.
    SetEntry(String, Value),
    /// Nothing under this label.
    ClearEntry(String),
    /// Plus this number; no value counts as 0.
    Increment(Value, Bounds),
    /// Times this number; no value counts as 0.
    Multiply(Value, Bounds),
    /// The smaller one of this value and the one that is there.
    Min(Value),
    /// The larger one of this value and the one that is there.
    Max(Value),
    /// The time of the transaction; its day for a date.
    Now,
    /// A JSON object with these members instead of those of the same name; null takes a member away.
    Merge(Json),
}

impl Op {
    /// The word for it in a mutation line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Op::Set(_) => "set",
            Op::Clear => "clear",
            Op::SetIfEmpty(_) => "set_if_empty",
            Op::Replace(_) => "replace",
            Op::Prepend(_) => "prepend",
            Op::Append(_) => "append",
            Op::Add(_) => "add",
            Op::Remove(_) => "remove",
            Op::SetEntry(..) => "set_entry",
            Op::ClearEntry(_) => "clear_entry",
            Op::Increment(..) => "increment",
            Op::Multiply(..) => "multiply",
            Op::Min(_) => "min",
            Op::Max(_) => "max",
            Op::Now => "now",
            Op::Merge(_) => "merge",
        }
    }

    /// Whether it goes before the others of its attribute: a swap at the limit must fit.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        matches!(self, Op::Remove(_) | Op::ClearEntry(_) | Op::Clear)
    }
}
