//! Conditions on the values of a record: a tree of comparisons.

use crate::value::{Name, Value};

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Comparison {
    /// The same value; null: no value.
    Equal,
    /// Another value, or none; null: any value.
    NotEqual,
    /// Smaller.
    Less,
    /// Smaller or the same.
    AtMost,
    /// Larger.
    Greater,
    /// Larger or the same.
    AtLeast,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// A list that has this value, or text that has this text in it, whatever the case.
    Contains,
    /// Text that starts with this text.
    StartsWith,
    /// Text that ends with this text.
    EndsWith,
    /// True: there is no value; false: there is one.
    Empty,
}

impl Comparison {
    /// Every comparison with its word in a filter as JSON.
    pub const ALL: [(&'static str, Comparison); 12] = [
        ("$eq", Comparison::Equal),
        ("$ne", Comparison::NotEqual),
        ("$lt", Comparison::Less),
        ("$lte", Comparison::AtMost),
        ("$gt", Comparison::Greater),
        ("$gte", Comparison::AtLeast),
        ("$in", Comparison::In),
        ("$nin", Comparison::NotIn),
        ("$contains", Comparison::Contains),
        ("$starts_with", Comparison::StartsWith),
        ("$ends_with", Comparison::EndsWith),
        ("$empty", Comparison::Empty),
    ];

    /// Its word in a filter as JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        Comparison::ALL.into_iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// A condition on a record's values. An attribute without a value meets no comparison but those that
/// say so.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Filter {
    /// Every one holds; also when there is none.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// One attribute compared with a value.
    Is(Name, Comparison, Value),
}

impl Filter {
    /// One attribute compared with a value.
    pub fn is(name: impl Into<Name>, comparison: Comparison, value: impl Into<Value>) -> Filter {
        Filter::Is(name.into(), comparison, value.into())
    }

    /// The attribute has this value.
    pub fn eq(name: impl Into<Name>, value: impl Into<Value>) -> Filter {
        Filter::is(name, Comparison::Equal, value)
    }
}
