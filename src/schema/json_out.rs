//! A schema as neutral JSON text, members in the order in which people read them.

use super::{AttributeSchema, ObjectSchema, Schema};
use crate::value::ValueType;
use serde::Serialize;

pub(super) fn pretty(schema: &Schema) -> String {
    let objects = schema.objects.iter().map(ObjectOut::of).collect();
    serde_json::to_string_pretty(&SchemaOut { objects }).expect("text and numbers always serialize")
}

#[derive(Serialize)]
struct SchemaOut<'a> {
    objects: Vec<ObjectOut<'a>>,
}

#[derive(Serialize)]
struct ObjectOut<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_key: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_record_bytes: Option<u32>,
    attributes: Vec<AttributeOut<'a>>,
}

#[derive(Serialize)]
struct AttributeOut<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(rename = "type")]
    value_type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unique: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<OptionOut<'a>>,
}

#[derive(Serialize)]
struct OptionOut<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

impl<'a> ObjectOut<'a> {
    fn of(object: &'a ObjectSchema) -> ObjectOut<'a> {
        let names = |ids: &[crate::id::AttributeId]| {
            ids.iter()
                .filter_map(|id| object.attribute_by_id(*id))
                .map(|attribute| attribute.key.as_str())
                .collect()
        };
        ObjectOut {
            key: &object.key,
            title: object.title.as_deref(),
            primary_key: object.primary_key().map(|index| names(&index.attributes)),
            max_record_bytes: object.max_record_len,
            attributes: object.attributes.iter().map(AttributeOut::of).collect(),
        }
    }
}

impl<'a> AttributeOut<'a> {
    fn of(attribute: &'a AttributeSchema) -> AttributeOut<'a> {
        let limit = |cell: &Option<Vec<u8>>| {
            let cell = cell.as_ref()?;
            Some(attribute.decode(cell).expect("limits were decoded when the schema was checked").to_json())
        };
        AttributeOut {
            key: &attribute.key,
            title: attribute.title.as_deref(),
            value_type: attribute.value_type.name(),
            required: attribute.required,
            unique: attribute.unique,
            read_only: attribute.read_only,
            decimals: (attribute.value_type == ValueType::Decimal).then_some(attribute.decimals),
            unit: attribute.microseconds.then_some("us"),
            min: limit(&attribute.min),
            max: limit(&attribute.max),
            options: attribute
                .options
                .iter()
                .map(|option| OptionOut { key: &option.key, title: option.title.as_deref() })
                .collect(),
        }
    }
}
