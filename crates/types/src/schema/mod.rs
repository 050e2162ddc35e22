//! Objects, attributes, select options, uniqueness, and the legal changes to them. Pure, with its
//! own persisted form (`encoding`) and the neutral JSON form (`json`).
//!
//! # What holds for every `Schema`
//!
//! Whether it came from JSON, from bytes or from a change, `check` has seen it:
//!
//! * ids of objects and attributes are their positions; names are unique among siblings;
//! * trees are numbered from 16, no two alike, all below `next_tree` (0 is the catalog, 1 the
//!   store's index of record ids);
//! * an object's indexes name attributes that exist and whose type may be a key; the primary key is
//!   the first; each unique attribute has one, unless it alone is the primary key;
//! * attributes of a primary key are required and have one value;
//! * a select has options, and only a select; limits and defaults are cells of the attribute's type;
//! * references name objects that exist, and the two sides of a relation name each other.
//!
//! Names are found through a small table of hashes that is built when a schema is made or read and is not
//! part of the persisted form; neither are compiled patterns and the way of each attribute's cells
//! (`coding`).

mod attribute;
mod change;
mod check;
mod check_rules;
mod coding;
mod encoding;
mod encoding_v1;
mod json;
mod json_members;
mod json_out;
mod json_rules;
mod kinds;
mod list;
mod names;
mod open;
mod parts;
mod rules;
mod scalar;
mod several;
mod system;
mod widen;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_kinds;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{AttributeId, ObjectId};
use crate::value::ValueType;
pub use change::{Asked, Constraint};
use coding::{Codec, Pattern};
use names::Names;
pub use open::is_no_member;
use rules::Rules;
pub use rules::{DefaultValue, Inverse, OnDelete, Sequence, Status};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
pub use system::{ACTOR, ACTORS, REQUESTS, history};

/// Tree of the schema and the dictionaries.
pub const CATALOG_TREE: u32 = 0;
/// Tree of the store's index from record id to object and row.
pub const RECORD_ID_TREE: u32 = 1;
/// First tree of an object; those below are the store's own.
pub const FIRST_TREE: u32 = 16;

/// Most objects of a store: an object id has 16 bits, and the upper half is for system objects, of which each
/// object may have one.
pub const OBJECTS_MAX: usize = 32_766;
/// Most attributes of an object; a record's cells are then found in one frame.
pub const ATTRIBUTES_MAX: usize = 10_000;
/// Most options of a select.
pub const OPTIONS_MAX: usize = 65_535;
/// Most bytes of a name.
pub const NAME_LEN_MAX: usize = 128;
/// Digits behind the point of a decimal that does not say how many.
pub const DECIMALS_DEFAULT: u8 = 9;

/// All objects of a store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Schema {
    /// In the order of their ids.
    pub objects: Vec<ObjectSchema>,
    /// Tree number that the next object or index gets.
    pub next_tree: u32,
    #[serde(skip)]
    names: Names,
}

/// One kind of record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ObjectSchema {
    /// Number, never reused.
    pub id: ObjectId,
    /// Name in paths and mutations.
    pub key: String,
    /// Name for people.
    pub title: Option<String>,
    /// Tree of its records' pages.
    pub tree: u32,
    /// In the order of their ids, which are their positions.
    pub attributes: Vec<AttributeSchema>,
    /// The primary key first, if there is one, then unique attributes.
    pub indexes: Vec<IndexSchema>,
    /// Most bytes that the cells of one record may have together.
    pub max_record_len: Option<u32>,
    /// An identity that the maker of the schema gave it.
    pub given_id: Option<String>,
    /// The attribute that keeps members which the object does not know; such an object is open.
    pub open: Option<AttributeId>,
    /// Whether superseded values of all attributes are kept.
    pub history: bool,
    /// Whether it is in use.
    pub standing: Status,
    /// Trees of the object that keeps its superseded values, and of that one's index, where some are kept.
    pub history_trees: Option<[u32; 2]>,
    /// That object.
    #[serde(skip)]
    history_object: Option<Box<ObjectSchema>>,
    /// `key`, to be shared with mutations.
    #[serde(skip)]
    name: Arc<str>,
    #[serde(skip)]
    names: Names,
}

/// One unique key of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IndexSchema {
    /// Tree of its buckets.
    pub tree: u32,
    /// The attributes, in key order.
    pub attributes: Vec<AttributeId>,
    /// Whether this is the primary key.
    pub primary: bool,
}

/// One typed field of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttributeSchema {
    /// Number within the object; also its position.
    pub id: AttributeId,
    /// Column of its pages, at least 1; apart from `id` so that attributes can share or change columns later.
    pub column: u16,
    /// Name in values.
    pub key: String,
    /// Name for people.
    pub title: Option<String>,
    /// What it holds.
    pub value_type: ValueType,
    /// Whether each record must have a value.
    pub required: bool,
    /// Whether no two records may have the same value.
    pub unique: bool,
    /// Whether callers may not write it.
    pub read_only: bool,
    /// Scale of a decimal.
    pub decimals: u8,
    /// Timestamps are stored in microseconds instead of nanoseconds.
    pub microseconds: bool,
    /// Smallest value allowed, as a cell.
    pub min: Option<Vec<u8>>,
    /// Largest value allowed, as a cell.
    pub max: Option<Vec<u8>>,
    /// Options of a select; the number is the position.
    pub options: Vec<SelectOption>,
    /// What it says beyond its type.
    pub rules: Rules,
    /// `key`, to be shared with the records that are read.
    #[serde(skip)]
    name: Arc<str>,
    #[serde(skip)]
    option_names: Names,
    #[serde(skip)]
    coding: Codec,
    #[serde(skip)]
    has_archived_options: bool,
    /// Whether `min` or `max` is asked of each cell.
    #[serde(skip)]
    limited: bool,
    #[serde(skip)]
    pattern: Pattern,
}

/// One allowed value of a select.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SelectOption {
    /// Name in values.
    pub key: String,
    /// Name for people.
    pub title: Option<String>,
    /// An identity that the maker of the schema gave it.
    pub given_id: Option<String>,
    /// Whether it is in use.
    pub standing: Status,
}

impl Default for Schema {
    fn default() -> Schema {
        Schema { objects: Vec::new(), next_tree: FIRST_TREE, names: Names::default() }
    }
}

impl Schema {
    /// All objects, in the order of their ids.
    #[must_use]
    pub fn objects(&self) -> &[ObjectSchema] {
        &self.objects
    }

    /// The object of this name.
    ///
    /// # Errors
    /// `ObjectNotFound`, with a name that is close, if there is one.
    #[inline]
    pub fn object(&self, name: &str) -> Result<&ObjectSchema> {
        self.find_object(name).ok_or_else(|| self.no_object(name))
    }

    /// The object of this name, if there is one.
    #[must_use]
    #[inline]
    pub fn find_object(&self, name: &str) -> Option<&ObjectSchema> {
        self.names.find(name, |at| &self.objects[at].key).map(|at| &self.objects[at])
    }

    /// The object with this id, if there is one.
    #[must_use]
    #[inline]
    pub fn object_by_id(&self, id: ObjectId) -> Option<&ObjectSchema> {
        match self.objects.get(usize::from(id.0)) {
            Some(object) => Some(object),
            None => self.system_object(id),
        }
    }

    /// The system object with this id.
    #[cold]
    fn system_object(&self, id: ObjectId) -> Option<&ObjectSchema> {
        self.system_objects().find(|object| object.id == id)
    }

    /// The objects that the engine keeps for itself.
    pub fn system_objects(&self) -> impl Iterator<Item = &ObjectSchema> {
        system::always()
            .iter()
            .chain(self.objects.iter().filter_map(|object| object.history_object.as_deref()))
    }

    #[cold]
    fn no_object(&self, name: &str) -> Error {
        let hint = names::hint(name, self.objects.iter().map(|object| object.key.as_str()));
        Error::new(
            ErrorKind::ObjectNotFound,
            format!("there is no object {}{hint}", crate::value::excerpt(name)),
        )
    }

    /// Builds what is not persisted; every way to a schema ends here.
    fn index_names(&mut self) {
        // What was deleted keeps its number and gives up its name.
        self.names = Names::of(self.objects.iter().map(|object| object.standing.name_or_none(&object.key)));
        for object in &mut self.objects {
            object.index_names();
        }
    }
}

impl ObjectSchema {
    /// Number of the object.
    #[must_use]
    #[inline]
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its name in paths and mutations.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name, to be shared without a copy.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its name for people, where it has one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Tree of its records' pages.
    #[must_use]
    #[inline]
    pub fn tree(&self) -> u32 {
        self.tree
    }

    /// Its attributes, in the order of their ids.
    #[must_use]
    #[inline]
    pub fn attributes(&self) -> &[AttributeSchema] {
        &self.attributes
    }

    /// Its unique keys: the primary key first, if there is one.
    #[must_use]
    #[inline]
    pub fn indexes(&self) -> &[IndexSchema] {
        &self.indexes
    }

    /// Most bytes that the cells of one record may have together, where there is a limit.
    #[must_use]
    pub fn max_record_len(&self) -> Option<u32> {
        self.max_record_len
    }

    /// The primary key, if there is one.
    #[must_use]
    pub fn primary_key(&self) -> Option<&IndexSchema> {
        self.indexes.first().filter(|index| index.primary)
    }

    /// The attribute of this name.
    ///
    /// # Errors
    /// `UnknownAttribute`, with a name that is close, if there is one.
    #[inline]
    pub fn attribute(&self, name: &str) -> Result<&AttributeSchema> {
        self.find_attribute(name).ok_or_else(|| self.no_attribute(name))
    }

    /// The attribute of this name, if there is one.
    #[must_use]
    #[inline]
    pub fn find_attribute(&self, name: &str) -> Option<&AttributeSchema> {
        self.names.find(name, |at| &self.attributes[at].key).map(|at| &self.attributes[at])
    }

    /// [`ObjectSchema::attribute`], looked for first at the place where it is when values come in the schema's order.
    ///
    /// # Errors
    /// `UnknownAttribute`.
    #[inline]
    pub fn attribute_near(&self, place: usize, name: &str) -> Result<&AttributeSchema> {
        match self.attributes.get(place) {
            Some(attribute) if attribute.key == name && attribute.name_or_none() == name => Ok(attribute),
            _ => self.attribute(name),
        }
    }

    /// The attribute with this id, if there is one.
    #[must_use]
    #[inline]
    pub fn attribute_by_id(&self, id: AttributeId) -> Option<&AttributeSchema> {
        self.attributes.get(usize::from(id.0))
    }

    #[cold]
    fn no_attribute(&self, name: &str) -> Error {
        let hint = names::hint(name, self.attributes.iter().map(|attribute| attribute.key.as_str()));
        let reason = format!("the object has no such attribute{hint}");
        Error::attribute(ErrorKind::UnknownAttribute, &self.key, names::shortened(name), reason)
    }

    fn index_names(&mut self) {
        let history = self.history_trees.map(|trees| Box::new(system::history_of(self.id, trees)));
        self.history_object = history;
        self.name = Arc::from(self.key.as_str());
        // The hidden attribute is nobody's to name.
        let names = self.attributes.iter().map(AttributeSchema::name_or_none);
        self.names = Names::of(names);
        self.attributes.iter_mut().for_each(AttributeSchema::prepare);
    }

    /// The identity that the maker of the schema gave it.
    #[must_use]
    pub fn given_id(&self) -> Option<&str> {
        self.given_id.as_deref()
    }

    /// Whether members that it does not know are kept.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The hidden attribute of an open object, which keeps unknown members as one JSON object.
    #[must_use]
    pub fn open_attribute(&self) -> Option<&AttributeSchema> {
        self.open.and_then(|id| self.attribute_by_id(id))
    }

    /// Whether superseded values of all attributes are kept.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.history
    }

    /// Whether it is in use.
    #[must_use]
    pub fn standing(&self) -> Status {
        self.standing
    }
}

impl IndexSchema {
    /// Tree of its buckets.
    #[must_use]
    #[inline]
    pub fn tree(&self) -> u32 {
        self.tree
    }

    /// Its attributes, in key order.
    #[must_use]
    #[inline]
    pub fn attributes(&self) -> &[AttributeId] {
        &self.attributes
    }

    /// Whether this is the primary key.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.primary
    }
}
