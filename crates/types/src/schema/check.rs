//! The invariants of a schema, asked of every one that is made or read. A reason names the place.

use super::{
    ATTRIBUTES_MAX, AttributeSchema, FIRST_TREE, IndexSchema, NAME_LEN_MAX, OBJECTS_MAX, OPTIONS_MAX,
    ObjectSchema, Schema, Status, check_rules,
};
use crate::id::AttributeId;
use crate::value::{SCALE_MAX, ValueType};
use std::cmp::Ordering;
use std::collections::BTreeSet;

pub(super) type Check = Result<(), String>;

pub(super) fn schema(schema: &Schema) -> Check {
    at_most(schema.objects.len(), OBJECTS_MAX, "objects")?;
    let present = schema.objects.iter().filter(|object| object.standing != Status::Deleted);
    distinct("object", present.map(|object| object.key.as_str()))?;
    let mut trees = BTreeSet::new();
    for (position, candidate) in schema.objects.iter().enumerate() {
        object(candidate, position).map_err(|reason| format!("{}: {reason}", candidate.key))?;
        for tree in candidate.trees() {
            if tree < FIRST_TREE || tree >= schema.next_tree || !trees.insert(tree) {
                return Err(format!("{}: tree {tree} is taken or out of range", candidate.key));
            }
        }
    }
    check_rules::relations(schema)?;
    if schema.next_tree < FIRST_TREE {
        return Err(format!("next tree {} is below {FIRST_TREE}", schema.next_tree));
    }
    Ok(())
}

impl ObjectSchema {
    fn trees(&self) -> impl Iterator<Item = u32> {
        let own = std::iter::once(self.tree).chain(self.indexes.iter().map(|index| index.tree));
        own.chain(self.history_trees.into_iter().flatten())
    }
}

fn object(object: &ObjectSchema, position: usize) -> Check {
    name(&object.key)?;
    if usize::from(object.id.0) != position {
        return Err(format!("object id {} at position {position}", object.id));
    }
    at_most(object.attributes.len(), ATTRIBUTES_MAX, "attributes")?;
    let present = object.attributes.iter().filter(|attribute| attribute.rules.standing != Status::Deleted);
    distinct("attribute", present.map(|attribute| attribute.key.as_str()))?;
    let mut columns = BTreeSet::new();
    for (position, candidate) in object.attributes.iter().enumerate() {
        if usize::from(candidate.id.0) != position {
            return Err(format!("attribute id {} at position {position}", candidate.id));
        }
        if candidate.column == 0 || !columns.insert(candidate.column) {
            return Err(format!("{}: column {} is taken or 0", candidate.key, candidate.column));
        }
        attribute(candidate).map_err(|reason| format!("{}: {reason}", candidate.key))?;
    }
    let hidden: Vec<AttributeId> =
        object.attributes.iter().filter(|attribute| attribute.rules.hidden).map(|a| a.id).collect();
    if hidden != object.open.into_iter().collect::<Vec<_>>() {
        return Err("the attribute that keeps unknown members is not the hidden one".to_string());
    }
    if object.keeps_history() && object.history_trees.is_none() {
        return Err("history is to be kept and has no trees".to_string());
    }
    indexes(object)
}

fn indexes(object: &ObjectSchema) -> Check {
    for (position, index) in object.indexes.iter().enumerate() {
        if index.primary && position > 0 {
            return Err("a primary key is not the first index".to_string());
        }
        key(object, index)?;
    }
    let mut alone: Vec<AttributeId> = object.indexes.iter().filter_map(sole_attribute).collect();
    let count = alone.len();
    alone.sort_unstable();
    alone.dedup();
    if alone.len() < count {
        return Err("an attribute has two indexes of its own".to_string());
    }
    match object.attributes.iter().find(|a| a.unique && alone.binary_search(&a.id).is_err()) {
        Some(attribute) => Err(format!("{} is unique without an index", attribute.key)),
        None => Ok(()),
    }
}

fn sole_attribute(index: &IndexSchema) -> Option<AttributeId> {
    match index.attributes[..] {
        [id] => Some(id),
        _ => None,
    }
}

fn key(object: &ObjectSchema, index: &IndexSchema) -> Check {
    if index.attributes.is_empty() {
        return Err("a key has no attributes".to_string());
    }
    let mut seen = BTreeSet::new();
    for id in &index.attributes {
        let attribute = object.attribute_by_id(*id).ok_or_else(|| format!("a key names attribute {id}"))?;
        if !seen.insert(id) {
            return Err(format!("a key names {} twice", attribute.key));
        }
        keyable(attribute)?;
        if attribute.rules.multi && (index.primary || index.attributes.len() > 1) {
            return Err(format!("{} has several values and cannot be in a primary key", attribute.key));
        }
        if index.primary && !attribute.required {
            return Err(format!("{} is in the primary key and not required", attribute.key));
        }
        let is_own = attribute.unique && index.attributes.len() == 1;
        if !index.primary && !is_own {
            return Err(format!("{} is indexed and not unique", attribute.key));
        }
    }
    Ok(())
}

/// Whether an attribute may be part of a key.
fn keyable(attribute: &AttributeSchema) -> Check {
    if attribute.rules.multi && attribute.value_type.has_options() {
        return Err(format!("{} has several options and cannot be unique", attribute.key));
    }
    if attribute.value_type.is_keyable() {
        return Ok(());
    }
    Err(format!("{} is {} and cannot be part of a unique key", attribute.key, attribute.value_type))
}

pub(super) fn attribute(attribute: &AttributeSchema) -> Check {
    let shown = if attribute.rules.hidden { attribute.key.trim_start_matches('$') } else { &attribute.key };
    name(shown)?;
    let AttributeSchema { value_type, .. } = *attribute;
    if attribute.unique && value_type == ValueType::Boolean {
        return Err("a unique boolean would allow two records; use a select or drop unique".to_string());
    }
    if attribute.unique {
        keyable(attribute)?;
    }
    let has_decimals = matches!(value_type, ValueType::Decimal | ValueType::Currency);
    if attribute.decimals > SCALE_MAX || (attribute.decimals > 0 && !has_decimals) {
        return Err(format!(
            "decimals {} on {value_type}; a decimal has 0 to {SCALE_MAX}",
            attribute.decimals
        ));
    }
    if attribute.microseconds && value_type != ValueType::Timestamp {
        return Err(format!("unit on {value_type}; only timestamps have one"));
    }
    options(attribute)?;
    check_rules::attribute(attribute)?;
    limits(attribute)
}

fn options(attribute: &AttributeSchema) -> Check {
    let is_select = attribute.value_type.has_options();
    match (is_select, attribute.options.is_empty()) {
        (true, true) if !attribute.rules.custom_values => {
            return Err(format!("a {} needs options", attribute.value_type));
        }
        (false, false) => return Err(format!("options on {}; only selects have them", attribute.value_type)),
        _ => {}
    }
    at_most(attribute.options.len(), OPTIONS_MAX, "options")?;
    attribute.options.iter().try_for_each(|option| name(&option.key))?;
    let present = attribute.options.iter().filter(|option| option.standing != Status::Deleted);
    distinct("option", present.map(|option| option.key.as_str()))
}

fn limits(attribute: &AttributeSchema) -> Check {
    for limit in [&attribute.min, &attribute.max].into_iter().flatten() {
        if !has_limits(attribute) {
            return Err(format!(
                "min or max on {}; numbers, dates and timestamps have them",
                attribute.value_type
            ));
        }
        attribute.one_of(limit).map_err(|reason| format!("min or max: {reason}"))?;
    }
    match (&attribute.min, &attribute.max) {
        (Some(min), Some(max)) if attribute.compare(min, max) == Ordering::Greater => {
            Err("min is above max".to_string())
        }
        _ => Ok(()),
    }
}

/// Whether attributes like this one may have `min` and `max`.
pub(super) fn has_limits(attribute: &AttributeSchema) -> bool {
    use ValueType as T;
    match attribute.value_type {
        T::Integer | T::Number | T::Decimal | T::Date | T::Timestamp | T::Rating => true,
        T::Currency => attribute.rules.currency.is_some(),
        _ => false,
    }
}

/// Names appear in paths, messages and JSON; `$` is kept for what is no attribute.
pub(super) fn name(name: &str) -> Check {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return Err(format!("a name has 1 to {NAME_LEN_MAX} bytes, this one {}", name.len()));
    }
    if name.starts_with('$') || name.chars().any(char::is_control) {
        return Err(format!("the name {name:?} starts with $ or has a control character"));
    }
    Ok(())
}

pub(super) fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Check {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("two have the {what} key {:?}", super::names::shortened(name)));
        }
    }
    Ok(())
}

pub(super) fn at_most(count: usize, limit: usize, what: &str) -> Check {
    if count <= limit { Ok(()) } else { Err(format!("{count} {what} are over the limit of {limit}")) }
}
