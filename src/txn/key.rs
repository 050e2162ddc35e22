//! Names and keys of a mutation: which object, which attribute, which index, and the key's bytes.

use crate::records::{AttributeLayout, Catalog, IndexLayout, ObjectLayout};
use vellum_types::AttributeId;
use vellum_types::Key;
use vellum_types::schema::{AttributeSchema, ObjectSchema, Status};
use vellum_types::value::{Name, Value, append_key_bytes};
use vellum_types::{Error, ErrorKind, Result};

/// Schema and layout of the object that a mutation is about.
#[derive(Clone, Copy)]
pub(crate) struct ObjectRef<'c> {
    pub(crate) schema: &'c ObjectSchema,
    pub(crate) layout: &'c ObjectLayout,
}

/// The object of this name.
pub(crate) fn object_ref<'c>(catalog: &'c Catalog, name: &str) -> Result<ObjectRef<'c>> {
    let schema = catalog.schema.object(name)?;
    let layout = catalog.object(schema.id()).expect("a layout for each object of the schema");
    Ok(ObjectRef { schema, layout })
}

/// The attribute of this name.
pub(super) fn attribute_ref<'c>(
    object: ObjectRef<'c>,
    name: &str,
) -> Result<(&'c AttributeSchema, &'c AttributeLayout)> {
    let schema = object.schema.attribute(name)?;
    let layout = object.layout.attribute(schema.id()).expect("a layout for each attribute of the schema");
    Ok((schema, layout))
}

/// The index that is made of exactly these attributes; else one whose attributes are among them and have
/// values, the primary key first. The others are then refiners.
///
/// # Errors
/// `MatchNotUnique`, naming the keys that there are; `UnknownAttribute`.
pub(crate) fn choose_index<'c>(object: ObjectRef<'c>, parts: &[(Name, Value)]) -> Result<&'c IndexLayout> {
    let is_exact = |index: &&IndexLayout| {
        index.attributes.len() == parts.len()
            && index
                .attributes
                .iter()
                .all(|id| parts.iter().any(|(name, _)| name_is(object.schema, *id, name)))
    };
    if let Some(index) = object.layout.indexes.iter().find(is_exact) {
        return Ok(index);
    }
    for (name, _) in parts {
        object.schema.attribute(name)?;
    }
    let is_within = |index: &&IndexLayout| {
        let given = |id: &AttributeId| {
            parts.iter().any(|(name, value)| !value.is_null() && name_is(object.schema, *id, name))
        };
        index.attributes.iter().all(given)
    };
    if let Some(index) = object.layout.indexes.iter().find(is_within) {
        return Ok(index);
    }
    let given: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    let keys: Vec<String> = object
        .layout
        .indexes
        .iter()
        .filter(|index| is_shown(object.schema, index))
        .map(|index| key_names(object.schema, index).join("+"))
        .collect();
    let message = match keys.is_empty() {
        true => format!(
            "{} has no primary key and no unique attribute; name the record by its id",
            object.schema.key()
        ),
        false => format!(
            "{}: ({}) is no key; a record is found by its id or by {}",
            object.schema.key(),
            given.join(", "),
            keys.join(" or by ")
        ),
    };
    Err(Error::new(ErrorKind::MatchNotUnique, message))
}

/// Values that a record must have beside those of the key it is found by.
pub(crate) fn refiners<'p>(
    object: ObjectRef<'_>,
    index: &IndexLayout,
    parts: &'p [(Name, Value)],
) -> impl Iterator<Item = &'p (Name, Value)> {
    let ids = index.attributes.clone();
    let schema = object.schema;
    let exact = ids.len() == parts.len();
    let parts = if exact { &parts[..0] } else { parts };
    parts.iter().filter(move |(name, _)| !ids.iter().any(|id| name_is(schema, *id, name)))
}

/// Whether an attribute's cell is the one that a refiner asks for: the same value, as keys are the same, or among
/// several values one of those given.
///
/// # Errors
/// `UnknownAttribute`; what [`AttributeSchema::encode`] says of the value; `Corrupt` for the cell.
pub(crate) fn meets(
    object: &ObjectSchema,
    attribute: &AttributeSchema,
    cell: Option<&[u8]>,
    value: &Value,
) -> Result<bool> {
    let mut wanted = Vec::new();
    let any = !value.is_null() && attribute.encode(object, value, &mut wanted)?;
    let Some(cell) = cell else { return Ok(!any) };
    if !any || !attribute.is_multi() {
        return Ok(any && is_same(attribute, cell, &wanted));
    }
    let (has, wanted) = (attribute.decode(cell)?, attribute.decode(&wanted)?);
    let (has, wanted) = (has.as_list().unwrap_or_default(), wanted.as_list().unwrap_or_default());
    let same = |a: &Value, b: &Value| match (a, b) {
        (Value::Text(a), Value::Text(b)) if attribute.value_type().has_normal_form() => {
            is_same(attribute, a.as_bytes(), b.as_bytes())
        }
        (a, b) => a == b,
    };
    Ok(wanted.iter().any(|wanted| has.iter().any(|value| same(value, wanted))))
}

/// Whether two cells are one value: an e-mail address in capitals is the one in small letters.
fn is_same(attribute: &AttributeSchema, a: &[u8], b: &[u8]) -> bool {
    let value_type = attribute.value_type();
    if !value_type.has_normal_form() {
        return attribute.compare(a, b).is_eq();
    }
    let [mut a_key, mut b_key] = [Vec::new(), Vec::new()];
    append_key_bytes(&mut a_key, value_type, a);
    append_key_bytes(&mut b_key, value_type, b);
    a_key == b_key
}

/// Whether an attribute has this name; one that was deleted gave it up.
fn name_is(object: &ObjectSchema, id: AttributeId, name: &str) -> bool {
    let present = object.attribute_by_id(id).filter(|attribute| attribute.standing() != Status::Deleted);
    present.is_some_and(|attribute| attribute.key() == name)
}

/// Whether records are found by an index: not by one of an attribute that was deleted.
pub(crate) fn is_shown(object: &ObjectSchema, index: &IndexLayout) -> bool {
    let mut attributes = index.attributes.iter().filter_map(|id| object.attribute_by_id(*id));
    attributes.all(|attribute| attribute.standing() != Status::Deleted)
}

/// Names of an index's attributes, in key order.
pub(crate) fn key_names(object: &ObjectSchema, index: &IndexLayout) -> Vec<String> {
    let names = index.attributes.iter().filter_map(|id| object.attribute_by_id(*id));
    names.map(|attribute| attribute.key().to_string()).collect()
}

/// Appends the canonical key; false where a component is null (no record is found by that).
///
/// # Errors
/// What [`AttributeSchema::encode`] says of a value.
pub(crate) fn encode_key(
    object: ObjectRef<'_>,
    index: &IndexLayout,
    parts: &[(Name, Value)],
    out: &mut Vec<u8>,
) -> Result<bool> {
    for id in &index.attributes {
        let attribute = object.schema.attribute_by_id(*id).expect("indexes name attributes of their object");
        let Some((_, value)) = parts.iter().find(|(name, _)| name == attribute.key()) else {
            return Ok(false);
        };
        // An empty list is no value either.
        if value.is_null() || attribute.is_multi() && value.as_list().is_some_and(<[Value]>::is_empty) {
            return Ok(false);
        }
        attribute.append_key(object.schema, value, out)?;
    }
    Ok(true)
}

#[cold]
pub(crate) fn not_found(object: &ObjectSchema, key: &Key) -> Error {
    let what = match key {
        Key::Id(id) => format!("id {id}"),
        Key::Attributes(parts) => {
            let parts: Vec<String> =
                parts.iter().map(|(name, value)| format!("{name} = {}", value.to_json())).collect();
            parts.join(", ")
        }
        Key::Named(name) => format!("the name {name} in this transaction"),
    };
    Error::new(ErrorKind::RecordNotFound, format!("{}: no record with {what}", object.key()))
}
