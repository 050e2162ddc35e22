//! Invariants of what attributes say beyond their type, and of relations between objects.

use super::check::{Check, at_most, distinct, name};
use super::list::BITS_MAX;
use super::rules::{PADDING_MAX, PREFIX_LEN_MAX};
use super::{AttributeSchema, DefaultValue, Inverse, NAME_LEN_MAX, Pattern, Schema, Status};
use crate::value::ValueType;

/// Most labels of a text list.
const LABELS_MAX: usize = 1_000;
/// Most bytes of a pattern.
const PATTERN_LEN_MAX: usize = 1_000;

pub(super) fn attribute(attribute: &AttributeSchema) -> Check {
    several(attribute)?;
    texts(attribute)?;
    numbers(attribute)?;
    if let Some(id) = &attribute.rules.given_id {
        given_id(id)?;
    }
    for option in &attribute.options {
        option.given_id.as_deref().map_or(Ok(()), given_id)?;
    }
    let value_type = attribute.value_type;
    let is_reference = value_type == ValueType::Reference;
    let rules = &attribute.rules;
    if !is_reference && (!rules.refers_to.is_empty() || rules.inverse.is_some()) {
        return Err(format!("refers_to or inverse on {value_type}; only references have them"));
    }
    if !is_reference && rules.on_delete != super::OnDelete::Clear {
        return Err(format!("on_delete on {value_type}; only references have it"));
    }
    default(attribute)?;
    let given = rules.default.is_some() || rules.sequence.is_some();
    if attribute.required && attribute.read_only && !given {
        return Err("read_only: nobody could write the value that is required".to_string());
    }
    Ok(())
}

fn several(attribute: &AttributeSchema) -> Check {
    let rules = &attribute.rules;
    if rules.multi && attribute.value_type == ValueType::Autonumber {
        return Err("an autonumber has one value".to_string());
    }
    if rules.max_values.is_some() && !rules.multi {
        return Err("max_values without multi".to_string());
    }
    if rules.max_values == Some(0) {
        return Err("max_values 0 would allow no value".to_string());
    }
    let options = rules.multi && attribute.is_choice();
    if rules.unordered && !options {
        return Err("ordered false is for several options".to_string());
    }
    if rules.bit_set && !(options && rules.unordered && attribute.options.len() <= BITS_MAX) {
        return Err(format!("a bit set is for at most {BITS_MAX} options without an order"));
    }
    Ok(())
}

fn texts(attribute: &AttributeSchema) -> Check {
    use ValueType as T;
    let (rules, value_type) = (&attribute.rules, attribute.value_type);
    if let Some(pattern) = &rules.pattern {
        let is_text = matches!(
            value_type,
            T::Text | T::LongText | T::RegexpText | T::Email | T::Url | T::Domain | T::Phone
        );
        if !is_text {
            return Err(format!("pattern on {value_type}; texts have one"));
        }
        at_most(pattern.len(), PATTERN_LEN_MAX, "bytes of a pattern")?;
        Pattern::compile(pattern)?;
    } else if value_type == T::RegexpText {
        return Err("a regexp_text needs a pattern".to_string());
    }
    if rules.custom_values && value_type != T::Radio {
        return Err(format!("custom_values on {value_type}; a radio may have them"));
    }
    match (value_type == T::TextList, rules.labels.is_empty()) {
        (true, true) => return Err("a text_list needs labels".to_string()),
        (false, false) => return Err(format!("labels on {value_type}; only a text_list has them")),
        _ => {}
    }
    at_most(rules.labels.len(), LABELS_MAX, "labels")?;
    rules.labels.iter().try_for_each(|label| name(label))?;
    distinct("label", rules.labels.iter().map(String::as_str))
}

fn numbers(attribute: &AttributeSchema) -> Check {
    let (rules, value_type) = (&attribute.rules, attribute.value_type);
    if rules.currency.is_some_and(|code| !code.is_sound()) {
        return Err("the code of a currency is no three letters".to_string());
    }
    if rules.currency.is_some() && value_type != ValueType::Currency {
        return Err(format!("currency on {value_type}; only amounts of money have one"));
    }
    let Some(sequence) = &rules.sequence else {
        return match value_type {
            ValueType::Autonumber => Err("an autonumber needs its sequence".to_string()),
            _ => Ok(()),
        };
    };
    if value_type != ValueType::Autonumber || !attribute.read_only {
        return Err("a sequence is for an autonumber, which no caller writes".to_string());
    }
    at_most(sequence.prefix.len(), PREFIX_LEN_MAX, "bytes of a prefix")?;
    if sequence.prefix.chars().any(char::is_control) {
        return Err("the prefix has a control character".to_string());
    }
    match sequence.padding <= PADDING_MAX {
        true => Ok(()),
        false => Err(format!("padding {} is over {PADDING_MAX}", sequence.padding)),
    }
}

fn default(attribute: &AttributeSchema) -> Check {
    use ValueType as T;
    match (&attribute.rules.default, attribute.value_type) {
        (None, _) | (Some(DefaultValue::Now), T::Date | T::Timestamp) => Ok(()),
        (Some(DefaultValue::Actor), T::Actor) => Ok(()),
        (Some(DefaultValue::Cell(_)), T::Autonumber) => Err("an autonumber has no default".to_string()),
        (Some(DefaultValue::Cell(cell)), _) => {
            attribute.decode(cell).map(drop).map_err(|error| format!("default: {error}"))
        }
        (Some(_), value_type) => Err(format!("the default does not fit {value_type}")),
    }
}

/// References name objects that are there, and the sides of a relation each other.
pub(super) fn relations(schema: &Schema) -> Check {
    for object in &schema.objects {
        for attribute in &object.attributes {
            let place = |reason: String| format!("{}.{}: {reason}", object.key, attribute.key);
            for id in &attribute.rules.refers_to {
                let target = schema.objects.get(usize::from(id.0));
                target.ok_or_else(|| place(format!("it refers to object {id}, which is not there")))?;
            }
            let Some(inverse) = attribute.rules.inverse else { continue };
            let back = Inverse { object: object.id, attribute: attribute.id };
            let other = schema
                .object_by_id(inverse.object)
                .and_then(|target| target.attribute_by_id(inverse.attribute))
                .filter(|other| other.rules.standing != Status::Deleted)
                .ok_or_else(|| place("the other side of the relation is not there".to_string()))?;
            if other.value_type != ValueType::Reference || other.rules.inverse != Some(back) {
                return Err(place(format!("{} does not name it as its other side", other.key)));
            }
            let refers = |attribute: &AttributeSchema, id| attribute.rules.refers_to == [id];
            if !refers(attribute, inverse.object) || !refers(other, object.id) {
                return Err(place("each side of a relation refers to the object of the other".to_string()));
            }
        }
    }
    Ok(())
}

pub(super) fn given_id(id: &str) -> Check {
    if id.is_empty() || id.len() > NAME_LEN_MAX {
        return Err(format!("an id has 1 to {NAME_LEN_MAX} bytes, this one {}", id.len()));
    }
    Ok(())
}
