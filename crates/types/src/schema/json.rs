//! The neutral JSON form of a schema, read and written, and the changes that callers send in it.
//!
//! ```json
//! {"objects": [{"key": "plane", "title": "Plane", "primary_key": ["tailnum"], "max_record_bytes": 32768,
//!   "attributes": [
//!     {"key": "tailnum", "type": "text", "required": true},
//!     {"key": "price", "type": "decimal", "decimals": 2, "min": 0},
//!     {"key": "state", "type": "select", "options": [{"key": "active", "title": "Active"}]},
//!     {"key": "owner", "type": "reference", "refers_to": ["airline"], "on_delete": "restrict"},
//!     {"key": "seen", "type": "timestamp", "unit": "us"}]}]}
//! ```
//!
//! Members of attributes: see `json_rules`. Members of an object besides those above become attributes:
//!
//! | member                               | attribute                                                        |
//! |--------------------------------------|------------------------------------------------------------------|
//! | `name: {unique, autonumber}`         | `name`, text and required, or an autonumber                      |
//! | `external_id: true`                  | `external_id`, a unique text                                     |
//! | `owners: {max}`, `followers: {max}`  | `owners`, `followers`: several actors                            |
//! | `metadata: true`                     | `metadata`, JSON                                                 |
//! | `open: true`                         | a hidden one that keeps members which the object does not know   |
//!
//! `id` is an identity of the caller's own, `history` asks for superseded values of every attribute. An
//! unknown member is refused by name. A primary key makes its attributes required, whether they say so or
//! not. References may name objects that come later: they are resolved at the end.

use super::json_members::{Members, invalid, items, parse};
use super::json_rules::{Draft, read_attribute, special};
use super::{IndexSchema, Inverse, Names, ObjectSchema, Schema, Status, check};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AttributeId, ObjectId};
use crate::value::{ValueType, excerpt};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Name of the hidden attribute of an open object.
pub(super) const OPEN_KEY: &str = "$open";

impl Schema {
    /// Reads the neutral JSON form: `{"objects": […]}`, or the array alone.
    ///
    /// # Errors
    /// `InvalidSchema`, naming the place and what is wrong there.
    pub fn from_json(text: &str) -> Result<Schema> {
        let mut schema = Schema::default();
        let mut relations = Vec::new();
        for (path, object) in items("objects", objects_of(parse(text)?)?)? {
            read_object(&mut schema, &mut relations, &path, object)?;
        }
        schema.relate(relations)?;
        schema.finish()
    }

    /// The neutral JSON form; [`Schema::from_json`] makes the same schema of it.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::json_out::pretty(self)
    }

    /// Adds an object in the neutral JSON form. On an error the schema is as before.
    ///
    /// # Errors
    /// `InvalidSchema`.
    pub fn add_object(&mut self, json: &str) -> Result<()> {
        let mut changed = self.clone();
        let mut relations = Vec::new();
        read_object(&mut changed, &mut relations, "object", parse(json)?)?;
        changed.relate(relations)?;
        *self = changed.finish()?;
        Ok(())
    }

    /// Adds an attribute in the neutral JSON form; records that exist have no value for it. Costs
    /// nothing per record. On an error the schema is as before.
    ///
    /// # Errors
    /// `ObjectNotFound`; `InvalidSchema`, also for an attribute that is required or unique.
    pub fn add_attribute(&mut self, object: &str, json: &str) -> Result<()> {
        let at = usize::from(self.object(object)?.id.0);
        let mut changed = self.clone();
        let count = changed.objects[at].attributes.len();
        let Draft { mut attribute, relation } = read_attribute("attribute", parse(json)?, count)?;
        attribute.column = changed.objects[at].next_column();
        if attribute.required {
            return Err(invalid(
                "attribute.required",
                "records that exist have no value for a new attribute; add it as optional",
            ));
        }
        if attribute.unique {
            return Err(invalid(
                "attribute.unique",
                "this version builds an index only with its object; add the attribute without unique",
            ));
        }
        let id = (changed.objects[at].id, attribute.id);
        changed.objects[at].attributes.push(attribute);
        changed.keep_history(at)?;
        changed.relate(relation.map(|relation| (id, relation)).into_iter().collect())?;
        *self = changed.finish()?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Schema> {
        self.index_names();
        check::schema(&self).map_err(|reason| Error::new(ErrorKind::InvalidSchema, reason))?;
        if !self.fits_encoding() {
            return Err(invalid("", "the schema is over 64 MiB"));
        }
        Ok(self)
    }

    /// Resolves the names in references, now that all objects are there.
    pub(super) fn relate(&mut self, relations: Vec<((ObjectId, AttributeId), Relation)>) -> Result<()> {
        let object_id = |schema: &Schema, path: &str, name: &str| {
            let found = schema.objects.iter().find(|object| object.key == name);
            found
                .map(|object| object.id)
                .ok_or_else(|| invalid(path, &format!("there is no object {}", excerpt(name))))
        };
        for ((object, attribute), relation) in relations {
            let Relation { path, refers_to, inverse } = relation;
            let ids: Result<Vec<ObjectId>> =
                refers_to.iter().map(|name| object_id(self, &format!("{path}.refers_to"), name)).collect();
            let inverse = inverse
                .map(|inverse| {
                    let path = format!("{path}.inverse");
                    let target = object_id(self, &path, &inverse.object)?;
                    let candidates = &self.objects[usize::from(target.0)].attributes;
                    let found = candidates.iter().find(|attribute| attribute.key == inverse.attribute);
                    let attribute = found.map(|attribute| attribute.id).ok_or_else(|| {
                        let (object, name) = (excerpt(&inverse.object), excerpt(&inverse.attribute));
                        invalid(&path, &format!("{object} has no attribute {name}"))
                    })?;
                    Ok::<_, Error>(Inverse { object: target, attribute })
                })
                .transpose()?;
            let rules = &mut self.objects[usize::from(object.0)].attributes[usize::from(attribute.0)].rules;
            rules.refers_to = ids?;
            rules.inverse = inverse;
        }
        Ok(())
    }

    /// Gives an object that is to keep history the trees for it.
    pub(super) fn keep_history(&mut self, at: usize) -> Result<()> {
        if self.objects[at].keeps_history() && self.objects[at].history_trees.is_none() {
            self.objects[at].history_trees = Some([self.take_tree()?, self.take_tree()?]);
        }
        Ok(())
    }

    pub(super) fn take_tree(&mut self) -> Result<u32> {
        let tree = self.next_tree;
        let next = tree.checked_add(1).ok_or_else(|| invalid("", "all tree numbers are used"))?;
        self.next_tree = next;
        Ok(tree)
    }
}

/// The array of objects: a member, or the whole text.
fn objects_of(json: &RawValue) -> Result<&RawValue> {
    if json.get().starts_with('[') {
        return Ok(json);
    }
    let mut members = Members::read("", json)?;
    let objects = members.take("objects").ok_or_else(|| invalid("", "objects are missing"))?;
    members.finish()?;
    Ok(objects)
}

/// What a reference says in names.
pub(super) struct Relation {
    pub(super) path: String,
    pub(super) refers_to: Vec<String>,
    pub(super) inverse: Option<InverseNames>,
}

/// The other side of a relation, in names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InverseNames {
    object: String,
    attribute: String,
}

type Relations = Vec<((ObjectId, AttributeId), Relation)>;

fn read_object(schema: &mut Schema, relations: &mut Relations, path: &str, json: &RawValue) -> Result<()> {
    let mut members = Members::read(path, json)?;
    let id = u16::try_from(schema.objects.len()).map_err(|_| invalid(path, "there are 65535 objects"))?;
    let mut object = ObjectSchema {
        id: ObjectId(id),
        key: members.require("key")?,
        title: members.get("title")?,
        tree: schema.take_tree()?,
        attributes: Vec::new(),
        indexes: Vec::new(),
        max_record_len: members.get("max_record_bytes")?,
        given_id: members.get("id")?,
        open: None,
        history: members.get("history")?.unwrap_or(false),
        standing: standing(&mut members)?,
        history_trees: None,
        history_object: None,
        name: Arc::from(""),
        names: Names::default(),
    };
    if object.max_record_len == Some(0) {
        return Err(members.invalid("max_record_bytes", "a record needs at least one byte"));
    }
    read_attributes(&mut object, relations, &mut members)?;
    if let Some(key) = members.get::<Vec<String>>("primary_key")? {
        let index = primary_key(&mut object, &key, schema)
            .map_err(|reason| members.invalid("primary_key", &reason))?;
        object.indexes.push(index);
    }
    for attribute in object.attributes.iter().filter(|attribute| attribute.unique) {
        let indexed = object.indexes.first().is_some_and(|primary| primary.attributes == [attribute.id]);
        if !indexed {
            let index =
                IndexSchema { tree: schema.take_tree()?, attributes: vec![attribute.id], primary: false };
            object.indexes.push(index);
        }
    }
    members.finish()?;
    if object.keeps_history() {
        object.history_trees = Some([schema.take_tree()?, schema.take_tree()?]);
    }
    schema.objects.push(object);
    Ok(())
}

/// The attributes that special members stand for, around those that are listed.
fn read_attributes(
    object: &mut ObjectSchema,
    relations: &mut Relations,
    members: &mut Members<'_>,
) -> Result<()> {
    for draft in special::in_front(members)? {
        object.attributes.push(draft(object.attributes.len())?);
    }
    if let Some(attributes) = members.take("attributes") {
        for (path, attribute) in items(&members.path_of("attributes"), attributes)? {
            let Draft { attribute, relation } = read_attribute(&path, attribute, object.attributes.len())?;
            relations.extend(relation.map(|relation| ((object.id, attribute.id), relation)));
            object.attributes.push(attribute);
        }
    }
    if members.get("metadata")?.unwrap_or(false) {
        object.attributes.push(special::plain("metadata", ValueType::Json, object.attributes.len())?);
    }
    if members.get("open")?.unwrap_or(false) {
        let mut attribute = special::plain(OPEN_KEY, ValueType::Json, object.attributes.len())?;
        attribute.rules.hidden = true;
        object.open = Some(attribute.id);
        object.attributes.push(attribute);
    }
    Ok(())
}

impl ObjectSchema {
    /// Whether some attribute's superseded values are to be kept.
    pub(super) fn keeps_history(&self) -> bool {
        self.history || self.attributes.iter().any(|attribute| attribute.rules.history)
    }
}

/// Whether `archived` is set.
pub(super) fn standing(members: &mut Members<'_>) -> Result<Status> {
    let archived = members.get("archived")?.unwrap_or(false);
    Ok(if archived { Status::Archived } else { Status::Active })
}

fn primary_key(
    object: &mut ObjectSchema,
    key: &[String],
    schema: &mut Schema,
) -> Result<IndexSchema, String> {
    let mut attributes = Vec::with_capacity(key.len());
    for name in key {
        let attribute = object.attributes.iter_mut().find(|attribute| attribute.key == *name);
        let attribute = attribute.ok_or_else(|| format!("there is no attribute {}", excerpt(name)))?;
        if attribute.read_only && attribute.rules.sequence.is_none() {
            return Err(format!("{name} is read_only, and nobody could write the key"));
        }
        attribute.required = true;
        attributes.push(attribute.id);
    }
    let tree = schema.take_tree().map_err(|error| error.to_string())?;
    Ok(IndexSchema { tree, attributes, primary: true })
}
