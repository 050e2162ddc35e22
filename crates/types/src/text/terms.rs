//! What a line has beyond a plain patch: parts, ops, conditions, and references that are found or made on
//! the way. Such members are kept as text until the object is known.
//!
//! A reference may be an id, `"@name"`, or an object: which record, by `id` or `match`; and what to make of
//! it, by the members that a line has. The object becomes a link, and the value the name of that.

use super::filter::read_filter;
use super::mutation::{Member, name_of, parse_nested, refuse, unreadable};
use super::ops::read_ops;
use super::values::ValuesSeed;
use crate::error::Result;
use crate::mutation::{Absent, Key, Link, Op, Terms, Validation};
use crate::schema::{AttributeSchema, ObjectSchema, Schema};
use crate::value::{Json, Name, Value, ValueType, Values, excerpt};
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

/// The members as they stood.
#[derive(Default)]
pub(super) struct TermsText<'a>(Vec<(Member, &'a RawValue)>);

impl<'a> TermsText<'a> {
    pub(super) fn has(&self, member: Member) -> bool {
        self.0.iter().any(|(known, _)| *known == member)
    }

    pub(super) fn keep(&mut self, member: Member, raw: &'a RawValue) {
        self.0.push((member, raw));
    }

    /// The terms; `None` where there are none. References among the values to set are part of them.
    pub(super) fn read(
        self,
        schema: &Schema,
        object: Option<&ObjectSchema>,
        set: &mut Values,
    ) -> Result<Option<Box<Terms>>> {
        let mut terms = Terms::default();
        for (member, raw) in &self.0 {
            read_member(object, *member, raw, &mut terms)?;
        }
        let mut links = Vec::new();
        if let Some(object) = object {
            let parts = [
                &mut terms.create,
                &mut terms.update,
                &mut terms.update_if_empty,
                &mut terms.create_or_update_if_empty,
            ];
            for (name, value) in parts.into_iter().chain([set]).flatten() {
                take_links(schema, object, name, value, &mut links)?;
            }
            for (name, op) in &mut terms.ops {
                take_op_links(schema, object, name, op, &mut links)?;
            }
        }
        terms.links = links;
        Ok((!self.0.is_empty() || !terms.links.is_empty()).then(|| Box::new(terms)))
    }
}

fn read_member(
    object: Option<&ObjectSchema>,
    member: Member,
    raw: &RawValue,
    terms: &mut Terms,
) -> Result<()> {
    let values = || {
        let mut source = serde_json::Deserializer::from_str(raw.get());
        ValuesSeed(object).deserialize(&mut source).map_err(|error| unreadable(&error))
    };
    let text = || {
        let text: serde_json::Result<String> = serde_json::from_str(raw.get());
        text.map_err(|_| refuse(&format!("{} takes a string", member.name())))
    };
    match member {
        Member::Create => terms.create = values()?,
        Member::Update => terms.update = values()?,
        Member::UpdateIfEmpty => terms.update_if_empty = values()?,
        Member::CreateOrUpdateIfEmpty => terms.create_or_update_if_empty = values()?,
        Member::Ops => terms.ops = read_ops(object, raw)?,
        Member::If => terms.condition = Some(read_filter(object, raw)?),
        Member::Validation => terms.validation = validation(&text()?)?,
        Member::Before => {
            terms.before =
                serde_json::from_str(raw.get()).map_err(|_| refuse("before takes true or false"))?;
        }
        Member::As => terms.name = Some(name_of(&text()?).into()),
        other => return Err(refuse(&format!("{} is misplaced", other.name()))),
    }
    Ok(())
}

fn validation(name: &str) -> Result<Validation> {
    match name {
        "strict" => Ok(Validation::Strict),
        "ignore_invalid" => Ok(Validation::IgnoreInvalid),
        _ => Err(refuse(&format!("validation: {} is neither strict nor ignore_invalid", excerpt(name)))),
    }
}

type Links = Vec<(Name, Link)>;

fn take_op_links(
    schema: &Schema,
    object: &ObjectSchema,
    name: &Name,
    op: &mut Op,
    links: &mut Links,
) -> Result<()> {
    match op {
        Op::Set(value) | Op::SetIfEmpty(value) => take_links(schema, object, name, value, links),
        Op::Replace(values)
        | Op::Prepend(values)
        | Op::Append(values)
        | Op::Add(values)
        | Op::Remove(values) => {
            values.iter_mut().try_for_each(|value| take_links(schema, object, name, value, links))
        }
        _ => Ok(()),
    }
}

/// Puts names in place of the objects among an attribute's references.
fn take_links(
    schema: &Schema,
    object: &ObjectSchema,
    name: &str,
    value: &mut Value,
    links: &mut Links,
) -> Result<()> {
    let Some(attribute) = object.find_attribute(name).filter(|a| a.value_type() == ValueType::Reference)
    else {
        return Ok(());
    };
    match value {
        Value::Json(json) if json.as_str().starts_with('{') => {
            let json = json.clone();
            *value = take_link(schema, attribute, &json, links)?;
            Ok(())
        }
        Value::List(values) => {
            for value in values.iter_mut() {
                if let Value::Json(json) = value {
                    let json = json.clone();
                    *value = take_link(schema, attribute, &json, links)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn take_link(schema: &Schema, attribute: &AttributeSchema, json: &Json, links: &mut Links) -> Result<Value> {
    let only = match attribute.refers_to() {
        [object] => schema.object_by_id(*object).map(|object| Name::from(object.name())),
        _ => None,
    };
    let (mutation, nested) = parse_nested(schema, json.as_str(), only)?;
    let link = match (mutation.key.clone(), nested.only_match) {
        (Some(Key::Id(id)), true) => return Ok(Value::Reference(id)),
        (Some(Key::Named(name)), true) => return Ok(Value::Text(format!("@{name}"))),
        (Some(Key::Attributes(values)), true) => {
            let absent = nested.absent.unwrap_or_default();
            Link::Match { object: mutation.object, values, absent }
        }
        _ if nested.absent == Some(Absent::Null) => {
            return Err(refuse("absent means nothing to a reference that makes its record"));
        }
        _ => Link::Mutate(Box::new(mutation)),
    };
    // No name that a caller writes has this form: names of links are never looked for among records.
    let name = format!("#{}", links.len());
    links.push((Name::from(&*name), link));
    Ok(Value::Text(format!("@{name}")))
}
