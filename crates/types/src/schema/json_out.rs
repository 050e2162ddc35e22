//! A schema as neutral JSON text, members in the order in which people read them.

use super::{AttributeSchema, DefaultValue, ObjectSchema, OnDelete, Schema, SelectOption, Sequence, Status};
use crate::value::{Value, ValueType};
use serde::Serialize;

pub(super) fn pretty(schema: &Schema) -> String {
    let shown = schema.objects.iter().filter(|object| object.is_shown());
    let objects = shown.map(|object| ObjectOut::of(schema, object)).collect();
    serde_json::to_string_pretty(&SchemaOut { objects }).expect("text and numbers always serialize")
}

impl ObjectSchema {
    fn is_shown(&self) -> bool {
        self.standing != Status::Deleted
    }
}

#[derive(Serialize)]
struct SchemaOut<'a> {
    objects: Vec<ObjectOut<'a>>,
}

macro_rules! out {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Serialize)]
        struct $name<'a> {
            $($(#[$attribute])* #[serde(skip_serializing_if = "is_off")] $field: $type,)*
        }
    };
}

/// Whether a member says no more than its absence.
fn is_off<T: Off>(member: &T) -> bool {
    member.is_off()
}

trait Off {
    fn is_off(&self) -> bool;
}

impl<T> Off for Option<T> {
    fn is_off(&self) -> bool {
        self.is_none()
    }
}

impl Off for bool {
    fn is_off(&self) -> bool {
        !self
    }
}

/// Members that are always there.
#[derive(Serialize)]
#[serde(transparent)]
struct Always<T>(T);

impl<T> Off for Always<T> {
    fn is_off(&self) -> bool {
        false
    }
}

out! {
    ObjectOut {
        key: Always<&'a str>,
        title: Option<&'a str>,
        id: Option<&'a str>,
        primary_key: Option<Vec<&'a str>>,
        max_record_bytes: Option<u32>,
        history: bool,
        archived: bool,
        open: bool,
        attributes: Always<Vec<AttributeOut<'a>>>,
    }
}

out! {
    AttributeOut {
        key: Always<&'a str>,
        title: Option<&'a str>,
        id: Option<&'a str>,
        #[serde(rename = "type")]
        value_type: Always<&'static str>,
        required: bool,
        unique: bool,
        read_only: bool,
        history: bool,
        archived: bool,
        multi: bool,
        max_values: Option<u32>,
        ordered: Option<bool>,
        default: Option<serde_json::Value>,
        decimals: Option<u8>,
        currency: Option<&'a str>,
        unit: Option<&'static str>,
        min: Option<serde_json::Value>,
        max: Option<serde_json::Value>,
        pattern: Option<&'a str>,
        custom_values: bool,
        options: Option<Vec<OptionOut<'a>>>,
        labels: Option<&'a [String]>,
        refers_to: Option<Vec<&'a str>>,
        inverse: Option<InverseOut<'a>>,
        on_delete: Option<&'static str>,
        prefix: Option<&'a str>,
        padding: Option<u8>,
        next: Option<i64>,
        offset: Option<i64>,
    }
}

out! {
    OptionOut {
        key: Always<&'a str>,
        title: Option<&'a str>,
        id: Option<&'a str>,
        archived: bool,
    }
}

#[derive(Serialize)]
struct InverseOut<'a> {
    object: &'a str,
    attribute: &'a str,
}

impl<'a> ObjectOut<'a> {
    fn of(schema: &'a Schema, object: &'a ObjectSchema) -> ObjectOut<'a> {
        let names = |ids: &[crate::id::AttributeId]| {
            ids.iter()
                .filter_map(|id| object.attribute_by_id(*id))
                .map(|attribute| attribute.key.as_str())
                .collect()
        };
        let shown = object
            .attributes
            .iter()
            .filter(|attribute| !attribute.rules.hidden && attribute.rules.standing != Status::Deleted);
        ObjectOut {
            key: Always(&object.key),
            title: object.title.as_deref(),
            id: object.given_id.as_deref(),
            primary_key: object.primary_key().map(|index| names(&index.attributes)),
            max_record_bytes: object.max_record_len,
            history: object.history,
            archived: object.standing == Status::Archived,
            open: object.open.is_some(),
            attributes: Always(shown.map(|attribute| AttributeOut::of(schema, attribute)).collect()),
        }
    }
}

impl<'a> AttributeOut<'a> {
    fn of(schema: &'a Schema, attribute: &'a AttributeSchema) -> AttributeOut<'a> {
        let rules = &attribute.rules;
        let sequence = rules.sequence.as_ref();
        let is_number = attribute.value_type == ValueType::Autonumber;
        let has_decimals = matches!(attribute.value_type, ValueType::Decimal | ValueType::Currency);
        AttributeOut {
            key: Always(&attribute.key),
            title: attribute.title.as_deref(),
            id: rules.given_id.as_deref(),
            value_type: Always(attribute.value_type.name()),
            required: attribute.required,
            unique: attribute.unique,
            read_only: attribute.read_only && !is_number,
            history: rules.history,
            archived: rules.standing == Status::Archived,
            multi: rules.multi,
            max_values: rules.max_values,
            ordered: rules.unordered.then_some(false),
            default: default_of(attribute),
            decimals: has_decimals.then_some(attribute.decimals),
            currency: rules.currency.as_ref().map(|code| code.as_str()),
            unit: attribute.microseconds.then_some("us"),
            min: limit_of(attribute, attribute.min.as_ref()),
            max: limit_of(attribute, attribute.max.as_ref()),
            pattern: rules.pattern.as_deref(),
            custom_values: rules.custom_values,
            options: some(attribute.options.iter().filter_map(OptionOut::of).collect()),
            labels: Some(rules.labels.as_slice()).filter(|labels| !labels.is_empty()),
            refers_to: some(names_of(schema, attribute)),
            inverse: inverse_of(schema, attribute),
            on_delete: Some(rules.on_delete.name()).filter(|_| rules.on_delete != OnDelete::Clear),
            prefix: sequence.map(|sequence| sequence.prefix.as_str()).filter(|prefix| !prefix.is_empty()),
            padding: sequence.map(|sequence| sequence.padding).filter(|padding| *padding > 0),
            next: sequence.and_then(first_number).filter(|next| *next != 1),
            offset: sequence.filter(|s| first_number(s).is_none()).map(|sequence| sequence.offset),
        }
    }
}

impl<'a> OptionOut<'a> {
    fn of(option: &'a SelectOption) -> Option<OptionOut<'a>> {
        (option.standing != Status::Deleted).then(|| OptionOut {
            key: Always(&option.key),
            title: option.title.as_deref(),
            id: option.given_id.as_deref(),
            archived: option.standing == Status::Archived,
        })
    }
}

/// The number of an object's first record. Where records were there before the attribute, it may be none.
fn first_number(sequence: &Sequence) -> Option<i64> {
    sequence.offset.checked_add(1).filter(|number| *number >= 0)
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

const PROOF: &str = "limits and defaults were decoded when the schema was checked";

fn limit_of(attribute: &AttributeSchema, cell: Option<&Vec<u8>>) -> Option<serde_json::Value> {
    let value = attribute.one_of(cell?).expect(PROOF);
    Some(match value {
        Value::Currency { amount, .. } => Value::Decimal(amount).to_json(),
        value => value.to_json(),
    })
}

fn default_of(attribute: &AttributeSchema) -> Option<serde_json::Value> {
    Some(match attribute.rules.default.as_ref()? {
        DefaultValue::Now => serde_json::json!({"$now": true}),
        DefaultValue::Actor => serde_json::json!({"$actor": true}),
        DefaultValue::Cell(cell) => attribute.decode(cell).expect(PROOF).to_json(),
    })
}

fn names_of<'a>(schema: &'a Schema, attribute: &AttributeSchema) -> Vec<&'a str> {
    let objects = attribute.rules.refers_to.iter().filter_map(|id| schema.object_by_id(*id));
    objects.filter(|object| object.is_shown()).map(|object| object.key.as_str()).collect()
}

fn inverse_of<'a>(schema: &'a Schema, attribute: &AttributeSchema) -> Option<InverseOut<'a>> {
    let inverse = attribute.rules.inverse?;
    let object = schema.object_by_id(inverse.object)?;
    let attribute = object.attribute_by_id(inverse.attribute)?;
    Some(InverseOut { object: &object.key, attribute: &attribute.key })
}
