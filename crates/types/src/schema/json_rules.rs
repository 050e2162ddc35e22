//! Attributes in the neutral JSON form.
//!
//! | member                          | with                      | meaning                                         |
//! |---------------------------------|---------------------------|-------------------------------------------------|
//! | `key`, `type`                   | all                       | name and type                                   |
//! | `title`, `id`, `archived`       | all                       | for people; the caller's identity; out of use   |
//! | `required`, `unique`            | all; keys                 | a value in every record; in no two records      |
//! | `read_only`, `history`          | all                       | no caller writes it; superseded values are kept |
//! | `multi`, `max_values`           | all; several values       | several values, and how many at most            |
//! | `ordered`                       | several options           | false: their order is of no account             |
//! | `default`                       | all                       | a value, `{"$now": true}`, `{"$actor": true}`   |
//! | `options`                       | select, status, radio     | `key`, `title`, `id`, `archived` of each        |
//! | `custom_values`                 | radio                     | other texts than the options are taken          |
//! | `labels`                        | text_list                 | the names of its texts                          |
//! | `refers_to`                     | reference                 | objects that it may name; none says any         |
//! | `inverse`                       | reference                 | `object`, `attribute`: the other side           |
//! | `on_delete`                     | reference                 | `clear` (default), `restrict`, `cascade`        |
//! | `currency`                      | currency                  | the code of all amounts                         |
//! | `decimals`                      | decimal, currency         | digits behind the point: 9, and 4 for currency  |
//! | `min`, `max`                    | numbers, days, moments    | limits; a rating has 0 and 5 unless it says     |
//! | `pattern`                       | texts                     | a regular expression that each text matches     |
//! | `unit`                          | timestamp                 | `ns` (default) or `us`                          |
//! | `prefix`, `padding`, `next`     | autonumber                | before the digits; how many; the first number   |
//! | `offset`                        | autonumber                | instead of `next`: number less record counter   |

use super::json::{Relation, standing};
use super::json_members::{Members, invalid, items};
use super::list::BITS_MAX;
use super::{
    AttributeSchema, Codec, DECIMALS_DEFAULT, DefaultValue, Names, OnDelete, Pattern, Rules, SelectOption,
    Sequence, check,
};
use crate::error::Result;
use crate::id::AttributeId;
use crate::value::{CurrencyCode, Date, Decimal, Json, Timestamp, Value, ValueType, excerpt};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Digits behind the point of an amount of money that does not say how many.
const MONEY_DECIMALS_DEFAULT: u8 = 4;
const RATING_MAX_DEFAULT: i64 = 5;

/// An attribute whose references are still names.
pub(super) struct Draft {
    pub(super) attribute: AttributeSchema,
    pub(super) relation: Option<Relation>,
}

pub(super) fn read_attribute(path: &str, json: &RawValue, position: usize) -> Result<Draft> {
    let mut members = Members::read(path, json)?;
    let key: String = members.require("key")?;
    let type_name: String = members.require("type")?;
    let value_type = value_type(&members, &type_name, &key)?;
    let mut attribute = special::plain(&key, value_type, position)?;
    attribute.title = members.get("title")?;
    attribute.required = members.get("required")?.unwrap_or(false);
    attribute.unique = members.get("unique")?.unwrap_or(false);
    attribute.read_only |= members.get("read_only")?.unwrap_or(false);
    attribute.decimals = members.get("decimals")?.unwrap_or(attribute.decimals);
    attribute.microseconds = microseconds(&mut members)?;
    attribute.options = read_options(&mut members)?;
    let relation = read_rules(&mut members, &mut attribute)?;
    // Limits and the default are cells, which these rules have a say in.
    attribute.prepare();
    let (min, max) = (limit(&mut members, "min", &attribute)?, limit(&mut members, "max", &attribute)?);
    attribute.min = min.or(attribute.min);
    attribute.max = max.or(attribute.max);
    attribute.prepare();
    attribute.rules.default = default(&mut members, &attribute)?;
    members.finish()?;
    check::attribute(&attribute).map_err(|reason| invalid(path, &reason))?;
    Ok(Draft { attribute, relation })
}

fn read_rules(members: &mut Members<'_>, attribute: &mut AttributeSchema) -> Result<Option<Relation>> {
    let rules = &mut attribute.rules;
    rules.given_id = members.get("id")?;
    rules.history = members.get("history")?.unwrap_or(false);
    rules.standing = standing(members)?;
    rules.multi = members.get("multi")?.unwrap_or(false);
    rules.max_values = members.get("max_values")?;
    rules.unordered = !members.get("ordered")?.unwrap_or(true);
    rules.labels = members.get("labels")?.unwrap_or_default();
    rules.pattern = members.get("pattern")?;
    rules.custom_values = members.get("custom_values")?.unwrap_or(false);
    if let Some(code) = members.get::<String>("currency")? {
        let code = CurrencyCode::read(&code).map_err(|reason| members.invalid("currency", &reason))?;
        rules.currency = Some(code);
    }
    if let Some(name) = members.get::<String>("on_delete")? {
        let known = OnDelete::ALL.into_iter().find(|choice| choice.name() == name);
        let reason = format!("{} is none of clear, restrict, cascade", excerpt(&name));
        rules.on_delete = known.ok_or_else(|| members.invalid("on_delete", &reason))?;
    }
    let refers_to = members.get("refers_to")?;
    let inverse = members.get("inverse")?;
    let relation = (refers_to.is_some() || inverse.is_some()).then(|| Relation {
        path: members.path().to_string(),
        refers_to: refers_to.unwrap_or_default(),
        inverse,
    });
    if relation.is_some() && attribute.value_type != ValueType::Reference {
        let reason = format!("refers_to and inverse on {}; only references have them", attribute.value_type);
        return Err(invalid(members.path(), &reason));
    }
    read_sequence(members, attribute)?;
    let rules = &attribute.rules;
    let bit_set =
        rules.multi && rules.unordered && attribute.is_choice() && attribute.options.len() <= BITS_MAX;
    attribute.rules.bit_set = bit_set;
    Ok(relation)
}

fn read_sequence(members: &mut Members<'_>, attribute: &mut AttributeSchema) -> Result<()> {
    let prefix: Option<String> = members.get("prefix")?;
    let padding: Option<u8> = members.get("padding")?;
    let next: Option<i64> = members.get("next")?;
    let given_offset: Option<i64> = members.get("offset")?;
    if attribute.value_type != ValueType::Autonumber {
        if prefix.is_some() || padding.is_some() || next.is_some() || given_offset.is_some() {
            let reason = format!(
                "prefix, padding, next or offset on {}; only autonumbers have them",
                attribute.value_type
            );
            return Err(invalid(members.path(), &reason));
        }
        return Ok(());
    }
    if next.is_some() && given_offset.is_some() {
        return Err(members.invalid("offset", "next says where the sequence begins"));
    }
    if next.is_some_and(|next| next < 0) {
        return Err(members.invalid("next", "a sequence does not begin below 0"));
    }
    // The first record's counter is 1.
    let offset = given_offset.unwrap_or_else(|| next.unwrap_or(1) - 1);
    attribute.rules.sequence =
        Some(Sequence { prefix: prefix.unwrap_or_default(), padding: padding.unwrap_or(0), offset });
    Ok(())
}

fn value_type(members: &Members<'_>, name: &str, key: &str) -> Result<ValueType> {
    ValueType::from_name(name).ok_or_else(|| {
        let supported = ValueType::ALL.map(ValueType::name).join(", ");
        let name = excerpt(name);
        let reason = format!(
            "type {name} of {} is not supported by this version; supported are {supported}",
            excerpt(key)
        );
        members.invalid("type", &reason)
    })
}

fn microseconds(members: &mut Members<'_>) -> Result<bool> {
    match members.get::<String>("unit")?.as_deref() {
        None | Some("ns") => Ok(false),
        Some("us") => Ok(true),
        Some(other) => {
            Err(members.invalid("unit", &format!("{} is neither \"us\" nor \"ns\"", excerpt(other))))
        }
    }
}

fn read_options(members: &mut Members<'_>) -> Result<Vec<SelectOption>> {
    let Some(options) = members.take("options") else {
        return Ok(Vec::new());
    };
    let mut read = Vec::new();
    for (path, option) in items(&members.path_of("options"), options)? {
        let mut members = Members::read(&path, option)?;
        read.push(SelectOption {
            key: members.require("key")?,
            title: members.get("title")?,
            given_id: members.get("id")?,
            standing: standing(&mut members)?,
        });
        members.finish()?;
    }
    Ok(read)
}

/// `min` or `max` as a cell. Numbers are taken digit by digit, so that a decimal's limit is exact.
pub(super) fn limit(
    members: &mut Members<'_>,
    name: &str,
    attribute: &AttributeSchema,
) -> Result<Option<Vec<u8>>> {
    let Some(raw) = members.take(name) else {
        return Ok(None);
    };
    let value_type = attribute.value_type;
    if !check::has_limits(attribute) {
        let reason =
            format!("attributes of type {value_type} have no limits; numbers, dates and timestamps have");
        return Err(members.invalid(name, &reason));
    }
    let unlimited = AttributeSchema { min: None, max: None, ..attribute.clone() };
    limit_value(value_type, raw)
        .and_then(|value| unlimited.encode_one(&value))
        .map(Some)
        .map_err(|reason| members.invalid(name, &reason))
}

fn limit_value(value_type: ValueType, raw: &RawValue) -> Result<Value, String> {
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let text = text.as_deref().unwrap_or(raw.get());
    match value_type {
        ValueType::Date => Date::read(text).map(Value::Date),
        ValueType::Timestamp => Timestamp::read(text).map(Value::Timestamp),
        ValueType::Number => {
            text.parse().map(Value::Number).map_err(|_| format!("{} is not a number", excerpt(text)))
        }
        _ => Decimal::read(text).map(Value::Decimal),
    }
}

fn default(members: &mut Members<'_>, attribute: &AttributeSchema) -> Result<Option<DefaultValue>> {
    let Some(raw) = members.take("default") else {
        return Ok(None);
    };
    let refuse = |reason: &str| Err(members.invalid("default", reason));
    let compact: String = raw.get().split_ascii_whitespace().collect();
    match (compact.as_str(), attribute.value_type) {
        (r#"{"$now":true}"#, ValueType::Date | ValueType::Timestamp) => Ok(Some(DefaultValue::Now)),
        (r#"{"$now":true}"#, _) => refuse("$now is for dates and timestamps"),
        (r#"{"$actor":true}"#, ValueType::Actor) => Ok(Some(DefaultValue::Actor)),
        (r#"{"$actor":true}"#, _) => refuse("$actor is for actors"),
        _ => match default_value(attribute, raw).and_then(|value| attribute.encode_cell(&value)) {
            Ok(cell) => Ok(Some(DefaultValue::Cell(cell))),
            Err(reason) => refuse(&reason),
        },
    }
}

fn default_value(attribute: &AttributeSchema, raw: &RawValue) -> Result<Value, String> {
    let text = raw.get();
    if text.starts_with(['[', '{']) || attribute.value_type == ValueType::Json {
        return Json::parse(text).map(Value::Json).map_err(|error| error.to_string());
    }
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match attribute.value_type {
        ValueType::Decimal | ValueType::Currency if is_number => Decimal::read(text).map(Value::Decimal),
        _ => serde_json::from_str(text).map(Value::from_json).map_err(|error| error.to_string()),
    }
}

/// Attributes that an object's own members stand for.
pub(super) mod special {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NameMember {
        #[serde(default)]
        unique: bool,
        autonumber: Option<AutonumberMember>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct AutonumberMember {
        prefix: String,
        padding: u8,
        next: i64,
    }

    impl Default for AutonumberMember {
        fn default() -> AutonumberMember {
            AutonumberMember { prefix: String::new(), padding: 0, next: 1 }
        }
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PeopleMember {
        max: Option<u32>,
    }

    type Make = Box<dyn FnOnce(usize) -> Result<AttributeSchema>>;

    /// An attribute of this type without rules.
    pub(in super::super) fn plain(
        key: &str,
        value_type: ValueType,
        position: usize,
    ) -> Result<AttributeSchema> {
        let id = u16::try_from(position)
            .ok()
            .filter(|id| *id < u16::MAX)
            .ok_or_else(|| invalid("", "an object has at most 10000 attributes"))?;
        let decimals = match value_type {
            ValueType::Decimal => DECIMALS_DEFAULT,
            ValueType::Currency => MONEY_DECIMALS_DEFAULT,
            _ => 0,
        };
        let is_rating = value_type == ValueType::Rating;
        let rating = |limit: i64| is_rating.then(|| limit.to_le_bytes().to_vec());
        Ok(AttributeSchema {
            id: AttributeId(id),
            column: id + 1,
            key: key.to_string(),
            title: None,
            value_type,
            required: false,
            unique: false,
            read_only: value_type == ValueType::Autonumber,
            decimals,
            microseconds: false,
            min: rating(0),
            max: rating(RATING_MAX_DEFAULT),
            options: Vec::new(),
            rules: Rules::default(),
            name: Arc::from(key),
            option_names: Names::default(),
            coding: Codec::default(),
            has_archived_options: false,
            limited: false,
            pattern: Pattern::default(),
        })
    }

    /// What stands in front of the attributes that are listed.
    pub(in super::super) fn in_front(members: &mut Members<'_>) -> Result<Vec<Make>> {
        let mut out: Vec<Make> = Vec::new();
        if let Some(name) = members.get::<NameMember>("name")? {
            if name.unique && name.autonumber.is_some() {
                return Err(members.invalid("name", "unique and autonumber exclude each other"));
            }
            if name.autonumber.as_ref().is_some_and(|autonumber| autonumber.next < 0) {
                return Err(members.invalid("name", "a sequence does not begin below 0"));
            }
            out.push(Box::new(move |position| name_attribute(name, position)));
        }
        if members.get("external_id")?.unwrap_or(false) {
            out.push(Box::new(|position| {
                let mut attribute = plain("external_id", ValueType::Text, position)?;
                attribute.unique = true;
                Ok(attribute)
            }));
        }
        for key in ["owners", "followers"] {
            if let Some(people) = members.get::<PeopleMember>(key)? {
                out.push(Box::new(move |position| {
                    let mut attribute = plain(key, ValueType::Actor, position)?;
                    attribute.rules.multi = true;
                    attribute.rules.max_values = people.max;
                    Ok(attribute)
                }));
            }
        }
        Ok(out)
    }

    fn name_attribute(member: NameMember, position: usize) -> Result<AttributeSchema> {
        let Some(AutonumberMember { prefix, padding, next }) = member.autonumber else {
            let mut attribute = plain("name", ValueType::Text, position)?;
            (attribute.required, attribute.unique) = (true, member.unique);
            return Ok(attribute);
        };
        let mut attribute = plain("name", ValueType::Autonumber, position)?;
        attribute.rules.sequence = Some(Sequence { prefix, padding, offset: next - 1 });
        Ok(attribute)
    }
}
