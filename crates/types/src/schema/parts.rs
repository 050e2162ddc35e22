//! Values of several parts: addresses, places, names, labelled texts, files. A cell is a JSON object with
//! its members in a fixed order and none of them null, so that equal values have equal cells.
//!
//! | type        | members                                                                            |
//! |-------------|------------------------------------------------------------------------------------|
//! | address     | line_1 to line_4, street, city, region, state, postal_code, country, country_code  |
//! | location    | line_1 to line_4, locality, region, postcode, country_code, latitude, longitude    |
//! | person_name | first, last, full                                                                  |
//! | text_list   | the attribute's labels, in its order                                               |
//! | file        | url, name, type                                                                    |
//!
//! All are texts; latitude and longitude are decimals as text, or numbers. A name may also come as
//! `Last, First`; a full name that is not given is made of the two. A file may come as its address alone.

use super::attribute::Refusal;
use super::scalar::{too_long, wrong_kind};
use super::{AttributeSchema, names};
use crate::value::{Decimal, TEXT_LEN_MAX, Value, ValueType, excerpt, validate};
use serde_json::{Map, Value as Tree};

const ADDRESS: [&str; 11] = [
    "line_1",
    "line_2",
    "line_3",
    "line_4",
    "street",
    "city",
    "region",
    "state",
    "postal_code",
    "country",
    "country_code",
];
const LOCATION: [&str; 10] = [
    "line_1",
    "line_2",
    "line_3",
    "line_4",
    "locality",
    "region",
    "postcode",
    "country_code",
    "latitude",
    "longitude",
];
const PERSON_NAME: [&str; 3] = ["first", "last", "full"];
const FILE: [&str; 3] = ["url", "name", "type"];

/// Appends the cell; nothing when no member has a value.
pub(super) fn append(attribute: &AttributeSchema, value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut members = members(attribute, value)?;
    members.retain(|_, member| !member.is_null());
    let labels: Vec<&str> = attribute.rules.labels.iter().map(String::as_str).collect();
    let known: &[&str] = match attribute.value_type {
        ValueType::Address => &ADDRESS,
        ValueType::Location => &LOCATION,
        ValueType::PersonName => &PERSON_NAME,
        ValueType::File => &FILE,
        _ => &labels,
    };
    for (name, member) in &mut members {
        if !known.contains(&name.as_str()) {
            let hint = names::hint(name, known.iter().copied());
            return Err(format!("there is no part {}{hint}", excerpt(name)).into());
        }
        check_part(attribute.value_type, name, member)?;
    }
    complete(attribute.value_type, &mut members)?;
    if members.is_empty() {
        return Ok(());
    }
    let start = out.len();
    for name in known {
        if let Some(member) = members.get(*name) {
            out.push(if out.len() == start { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, name).expect("writing to a Vec<u8> cannot fail");
            out.push(b':');
            serde_json::to_writer(&mut *out, member).expect("writing to a Vec<u8> cannot fail");
        }
    }
    out.push(b'}');
    if out.len() - start > TEXT_LEN_MAX { Err(too_long(out.len() - start)) } else { Ok(()) }
}

fn members(attribute: &AttributeSchema, value: &Value) -> Result<Map<String, Tree>, String> {
    let text = |name: &str, text: &str| (name.to_string(), Tree::from(text.trim()));
    match (attribute.value_type, value) {
        (ValueType::File, Value::Text(url)) => Ok([text("url", url)].into_iter().collect()),
        (ValueType::PersonName, Value::Text(name)) => match name.split_once(',') {
            Some((last, first)) => Ok([text("first", first), text("last", last)].into_iter().collect()),
            None => Err(format!("{} is no name; write Last, First or the parts", excerpt(name))),
        },
        (value_type, Value::Json(json)) => match json.to_value() {
            Tree::Object(members) => Ok(members),
            _ => Err(wrong_kind(&format!("an object with the parts of {value_type}"), value)),
        },
        (value_type, other) => Err(wrong_kind(&format!("an object with the parts of {value_type}"), other)),
    }
}

fn check_part(value_type: ValueType, name: &str, member: &mut Tree) -> Result<(), String> {
    let limit = match (value_type, name) {
        (ValueType::Location, "latitude") => Some(90),
        (ValueType::Location, "longitude") => Some(180),
        _ => None,
    };
    if let (Some(_), Tree::Number(number)) = (limit, &*member) {
        *member = Tree::from(number.to_string());
    }
    let Tree::String(text) = member else {
        return Err(format!("{name} is a text, found {}", excerpt(&member.to_string())));
    };
    if let Some(limit) = limit {
        let degrees = Decimal::read(text).map_err(|reason| format!("{name}: {reason}"))?;
        if degrees > Decimal::from(limit) || degrees < Decimal::from(-limit) {
            return Err(format!("{name} {degrees} is not between -{limit} and {limit}"));
        }
    }
    match (value_type, name) {
        (ValueType::File, "url") => validate::url(text),
        (_, "country_code") => {
            *text = validate::country(text)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What follows from the other members, and what may not be missing.
fn complete(value_type: ValueType, members: &mut Map<String, Tree>) -> Result<(), String> {
    match value_type {
        ValueType::File if !members.is_empty() && !members.contains_key("url") => {
            Err("a file needs its url".to_string())
        }
        ValueType::PersonName if !members.is_empty() && !members.contains_key("full") => {
            let part = |name: &str| members.get(name).and_then(Tree::as_str).unwrap_or_default();
            let full = format!("{} {}", part("first"), part("last"));
            members.insert("full".to_string(), Tree::from(full.trim()));
            Ok(())
        }
        _ => Ok(()),
    }
}
