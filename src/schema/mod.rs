//! Objects, attributes, select options, uniqueness, and the legal changes to them. Pure, with its
//! own persisted form (`encoding`) and the neutral JSON form (`json`).

use crate::id::{AttributeId, ObjectId, TreeId};
use crate::value::ValueType;
use serde::{Deserialize, Serialize};

/// All objects of a store.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Schema {
    /// In the order of their ids.
    pub(crate) objects: Vec<ObjectSchema>,
    /// Tree number that the next object or index gets.
    pub(crate) next_tree: TreeId,
}

/// One kind of record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ObjectSchema {
    /// Number, never reused.
    pub(crate) id: ObjectId,
    /// Name in paths and mutations.
    pub(crate) key: String,
    /// Name for people.
    pub(crate) title: Option<String>,
    /// Tree of its records' pages.
    pub(crate) tree: TreeId,
    /// In the order of their ids, which are their positions.
    pub(crate) attributes: Vec<AttributeSchema>,
    /// The primary key first, if there is one, then unique attributes.
    pub(crate) indexes: Vec<IndexSchema>,
    /// Most bytes that the cells of one record may have together.
    pub(crate) max_record_len: Option<u32>,
}

/// One unique key of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IndexSchema {
    /// Tree of its buckets.
    pub(crate) tree: TreeId,
    /// The attributes, in key order.
    pub(crate) attributes: Vec<AttributeId>,
    /// Whether this is the primary key.
    pub(crate) primary: bool,
}

/// One typed field of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttributeSchema {
    /// Number within the object; also its position.
    pub(crate) id: AttributeId,
    /// Column of its pages, at least 1; apart from `id` so that attributes can share or change columns later.
    pub(crate) column: u16,
    /// Name in values.
    pub(crate) key: String,
    /// Name for people.
    pub(crate) title: Option<String>,
    /// What it holds.
    pub(crate) value_type: ValueType,
    /// Whether each record must have a value.
    pub(crate) required: bool,
    /// Whether no two records may have the same value.
    pub(crate) unique: bool,
    /// Whether callers may not write it.
    pub(crate) read_only: bool,
    /// Scale of a decimal.
    pub(crate) decimals: u8,
    /// Timestamps are stored in microseconds instead of nanoseconds.
    pub(crate) microseconds: bool,
    /// Smallest value allowed, as a cell.
    pub(crate) min: Option<Vec<u8>>,
    /// Largest value allowed, as a cell.
    pub(crate) max: Option<Vec<u8>>,
    /// Options of a select; the number is the position.
    pub(crate) options: Vec<SelectOption>,
}

/// One allowed value of a select.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SelectOption {
    /// Name in values.
    pub(crate) key: String,
    /// Name for people.
    pub(crate) title: Option<String>,
}
