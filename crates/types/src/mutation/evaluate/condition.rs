//! Whether a record's values meet a filter. Names and values are judged first and all of them, so that a
//! filter is refused for what it says and not for the record it happens to meet.

use crate::error::{Error, ErrorKind, Result};
use crate::id::AttributeId;
use crate::mutation::{Comparison, Filter};
use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::Value;
use std::cmp::Ordering;

/// Deepest nesting of a filter.
const DEPTH_MAX: usize = 32;

/// Reads an attribute's cell into the buffer; false where there is no value.
pub type ReadCell<'r> = &'r mut dyn FnMut(AttributeId, &mut Vec<u8>) -> Result<bool>;

/// Whether every name exists and every value can be compared with its attribute's.
///
/// # Errors
/// `BadFilter`, with the attribute.
pub fn check(object: &ObjectSchema, filter: &Filter) -> Result<()> {
    check_at(object, filter, 0)
}

fn check_at(object: &ObjectSchema, filter: &Filter, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::new(
            ErrorKind::BadFilter,
            format!("the filter is nested deeper than {DEPTH_MAX}"),
        ));
    }
    match filter {
        Filter::All(filters) | Filter::Any(filters) => {
            filters.iter().try_for_each(|filter| check_at(object, filter, depth + 1))
        }
        Filter::Not(filter) => check_at(object, filter, depth + 1),
        Filter::Is(name, comparison, value) => {
            let attribute = object.attribute(name).map_err(|error| bad(object, name, &error.reason()))?;
            Test::new(object, attribute, *comparison, value).map(drop)
        }
    }
}

/// Whether the values that `read` brings meet a filter that [`check`] has seen.
///
/// # Errors
/// What `read` says; `Corrupt` for a cell.
pub fn holds(object: &ObjectSchema, filter: &Filter, read: ReadCell<'_>) -> Result<bool> {
    match filter {
        Filter::All(filters) => {
            for filter in filters {
                if !holds(object, filter, read)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Any(filters) => {
            for filter in filters {
                if holds(object, filter, read)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Filter::Not(filter) => holds(object, filter, read).map(|met| !met),
        Filter::Is(name, comparison, value) => {
            let attribute = object.attribute(name)?;
            let mut cell = Vec::new();
            let present = read(attribute.id(), &mut cell)?;
            Test::new(object, attribute, *comparison, value)?.is_met(present.then_some(&cell))
        }
    }
}

/// One comparison, with its value in the attribute's form.
struct Test<'f> {
    attribute: &'f AttributeSchema,
    comparison: Comparison,
    against: Against,
}

enum Against {
    /// No value, or its absence.
    Nothing,
    Cell(Vec<u8>),
    Cells(Vec<Option<Vec<u8>>>),
    /// One value of several.
    Value(Value),
    Text(String),
    Flag(bool),
}

impl<'f> Test<'f> {
    fn new(
        object: &ObjectSchema,
        attribute: &'f AttributeSchema,
        comparison: Comparison,
        value: &Value,
    ) -> Result<Test<'f>> {
        use Comparison as C;
        let refuse = |reason: &str| bad(object, attribute.key(), &format!("{} {reason}", comparison.name()));
        let cell = |value: &Value| {
            let mut cell = Vec::new();
            match attribute.encode_unlimited(object, value, &mut cell) {
                Ok(true) => Ok(Some(cell)),
                Ok(false) => Ok(None),
                Err(error) => Err(bad(object, attribute.key(), &error.reason())),
            }
        };
        let against = match (comparison, value) {
            (C::Empty, Value::Boolean(flag)) => Against::Flag(*flag),
            (C::Empty, _) => return Err(refuse("takes true or false")),
            (C::Equal | C::NotEqual, Value::Null) => Against::Nothing,
            (C::Equal | C::NotEqual, value) => cell(value)?.map_or(Against::Nothing, Against::Cell),
            (C::In | C::NotIn, Value::List(values)) => {
                let cells = values.iter().map(|value| if value.is_null() { Ok(None) } else { cell(value) });
                Against::Cells(cells.collect::<Result<_>>()?)
            }
            (C::In | C::NotIn, _) => return Err(refuse("takes a list")),
            (C::Less | C::AtMost | C::Greater | C::AtLeast, _) if attribute.is_multi() => {
                return Err(refuse("compares one value, and the attribute has several"));
            }
            (C::Less | C::AtMost | C::Greater | C::AtLeast, value) => match cell(value)? {
                Some(cell) if !value.is_null() => Against::Cell(cell),
                _ => return Err(refuse("takes a value")),
            },
            (C::Contains, value) if attribute.is_multi() => {
                match super::list::canonical_one(object, attribute, value) {
                    Ok(value) => Against::Value(value),
                    Err(error) => return Err(bad(object, attribute.key(), &error.reason())),
                }
            }
            (C::Contains, Value::Text(text)) => Against::Text(text.to_lowercase()),
            (C::StartsWith | C::EndsWith, Value::Text(text)) => Against::Text(text.clone()),
            _ => return Err(refuse("takes text")),
        };
        Ok(Test { attribute, comparison, against })
    }

    fn is_met(&self, cell: Option<&Vec<u8>>) -> Result<bool> {
        use Comparison as C;
        let order = |against: &[u8]| cell.map(|cell| self.attribute.compare(cell, against));
        let equal = |against: Option<&Vec<u8>>| match (cell, against) {
            (Some(cell), Some(against)) => self.attribute.compare(cell, against) == Ordering::Equal,
            (cell, against) => cell.is_none() && against.is_none(),
        };
        Ok(match (self.comparison, &self.against) {
            (C::Empty, Against::Flag(flag)) => cell.is_none() == *flag,
            (C::Equal, Against::Nothing) => cell.is_none(),
            (C::NotEqual, Against::Nothing) => cell.is_some(),
            (C::Equal, Against::Cell(against)) => equal(Some(against)),
            (C::NotEqual, Against::Cell(against)) => !equal(Some(against)),
            (C::In, Against::Cells(cells)) => cells.iter().any(|against| equal(against.as_ref())),
            (C::NotIn, Against::Cells(cells)) => !cells.iter().any(|against| equal(against.as_ref())),
            (C::Less, Against::Cell(against)) => order(against) == Some(Ordering::Less),
            (C::AtMost, Against::Cell(against)) => order(against).is_some_and(Ordering::is_le),
            (C::Greater, Against::Cell(against)) => order(against) == Some(Ordering::Greater),
            (C::AtLeast, Against::Cell(against)) => order(against).is_some_and(Ordering::is_ge),
            (C::Contains, Against::Value(value)) => match cell {
                None => false,
                Some(cell) => self.attribute.decode(cell)?.as_list().is_some_and(|list| list.contains(value)),
            },
            (comparison, Against::Text(text)) => match cell {
                None => false,
                Some(cell) => text_meets(&self.attribute.decode(cell)?.to_string(), comparison, text),
            },
            _ => false,
        })
    }
}

fn text_meets(value: &str, comparison: Comparison, text: &str) -> bool {
    match comparison {
        Comparison::Contains => value.to_lowercase().contains(text),
        Comparison::StartsWith => value.starts_with(text),
        Comparison::EndsWith => value.ends_with(text),
        _ => false,
    }
}

#[cold]
fn bad(object: &ObjectSchema, name: &str, reason: &str) -> Error {
    Error::attribute(ErrorKind::BadFilter, object.key(), name, reason)
}
