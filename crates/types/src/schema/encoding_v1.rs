//! The persisted form of schemas in stores of format 1, read only.
//!
//! In field order as the structs below, in bincode 1.3: what [`super::encoding`] says of the present form
//! holds for it, too. Whatever a schema may say since then is as if it had been left out.

use super::{
    AttributeSchema, Codec, IndexSchema, Names, ObjectSchema, Pattern, Rules, Schema, SelectOption, Status,
};
use crate::id::{AttributeId, ObjectId};
use crate::value::ValueType;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct SchemaV1 {
    objects: Vec<ObjectV1>,
    next_tree: u32,
}

#[derive(Deserialize)]
struct ObjectV1 {
    id: ObjectId,
    key: String,
    title: Option<String>,
    tree: u32,
    attributes: Vec<AttributeV1>,
    indexes: Vec<IndexSchema>,
    max_record_len: Option<u32>,
}

#[derive(Deserialize)]
struct AttributeV1 {
    id: AttributeId,
    column: u16,
    key: String,
    title: Option<String>,
    value_type: ValueType,
    required: bool,
    unique: bool,
    read_only: bool,
    decimals: u8,
    microseconds: bool,
    min: Option<Vec<u8>>,
    max: Option<Vec<u8>>,
    options: Vec<OptionV1>,
}

#[derive(Deserialize)]
struct OptionV1 {
    key: String,
    title: Option<String>,
}

impl From<SchemaV1> for Schema {
    fn from(old: SchemaV1) -> Schema {
        Schema {
            objects: old.objects.into_iter().map(ObjectSchema::from).collect(),
            next_tree: old.next_tree,
            names: Names::default(),
        }
    }
}

impl From<ObjectV1> for ObjectSchema {
    fn from(old: ObjectV1) -> ObjectSchema {
        ObjectSchema {
            id: old.id,
            key: old.key,
            title: old.title,
            tree: old.tree,
            attributes: old.attributes.into_iter().map(AttributeSchema::from).collect(),
            indexes: old.indexes,
            max_record_len: old.max_record_len,
            given_id: None,
            open: None,
            history: false,
            standing: Status::Active,
            history_trees: None,
            history_object: None,
            name: Arc::from(""),
            names: Names::default(),
        }
    }
}

impl From<AttributeV1> for AttributeSchema {
    fn from(old: AttributeV1) -> AttributeSchema {
        let options = old.options.into_iter().map(|option| SelectOption {
            key: option.key,
            title: option.title,
            given_id: None,
            standing: Status::Active,
        });
        AttributeSchema {
            id: old.id,
            column: old.column,
            key: old.key,
            title: old.title,
            value_type: old.value_type,
            required: old.required,
            unique: old.unique,
            read_only: old.read_only,
            decimals: old.decimals,
            microseconds: old.microseconds,
            min: old.min,
            max: old.max,
            options: options.collect(),
            rules: Rules::default(),
            name: Arc::from(""),
            option_names: Names::default(),
            coding: Codec::default(),
            has_archived_options: false,
            limited: false,
            pattern: Pattern::default(),
        }
    }
}
