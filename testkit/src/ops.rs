//! Values and mutations by seed: mostly sound ones that meet each other (few keys, used again), with
//! the edges of every type, and some that must be refused.

use crate::links;
use crate::matching;
use crate::model::{Model, Values};
use crate::nested;
use crate::open;
use crate::samples;
use crate::schema::{AttributeDef, ObjectDef, OptionDef, Status, Type};
use crate::terms;
use vellum::{
    Action, Actor, ActorKind, Date, Decimal, Json, Key, Mode, Mutation, Name, Patch, RecordId, Timestamp,
    Value,
};
use vellum_sim::Rng;

/// An attribute of an object: one in use, but for now and then.
pub fn attribute<'d>(rng: &mut Rng, def: &'d ObjectDef) -> &'d AttributeDef {
    let present = def.present();
    match present.is_empty() || rng.one_in(60) {
        true => loop {
            let attribute = rng.pick(&def.attributes);
            if attribute.of != Type::Open {
                break attribute;
            }
        },
        false => {
            let active = |attribute: &&&AttributeDef| attribute.standing == Status::Active;
            let active: Vec<&AttributeDef> = present.iter().filter(active).copied().collect();
            let among: Vec<&AttributeDef> =
                if active.is_empty() || rng.one_in(20) { present } else { active };
            among[rng.below(among.len())]
        }
    }
}

/// A value that fits an attribute. Keys come from a small pool, so that they collide.
pub fn value(rng: &mut Rng, attribute: &AttributeDef, is_key: bool) -> Value {
    let small = rng.below(24);
    match attribute.of {
        Type::Text if is_key => Value::Text(key_text(rng)),
        Type::Text | Type::LongText => Value::Text(text(rng)),
        Type::Integer => match rng.below(8) {
            0 => Value::Integer(*rng.pick(&[i64::MIN, i64::MAX, 0, -1])),
            1 => Value::Number(small as f64),
            _ => Value::Integer(small as i64),
        },
        Type::Number => match rng.below(8) {
            0 => Value::Number(*rng.pick(&[-0.0, 0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324])),
            1 => Value::Integer(small as i64),
            _ => Value::Number(small as f64 / 4.0),
        },
        Type::Decimal => decimal(rng, attribute.decimals),
        Type::Boolean => Value::Boolean(rng.one_in(2)),
        Type::Date => match rng.below(8) {
            0 => Value::Date(*rng.pick(&[Date::MIN, Date::MAX])),
            1 => Value::from(format!("2024-02-{:02}", 1 + small)),
            _ => Value::Date(Date(small as i32 - 4)),
        },
        Type::Timestamp => {
            let unit = if attribute.micros { 1000 } else { 1 };
            match rng.below(8) {
                0 => {
                    Value::Timestamp(Timestamp(*rng.pick(&[i64::MIN / unit * unit, i64::MAX / unit * unit])))
                }
                1 => Value::from(format!("2013-01-01T05:15:{:02}Z", small)),
                _ => Value::Timestamp(Timestamp(small as i64 * 1_000_000)),
            }
        }
        Type::Uuid => {
            let id = RecordId::from_bytes([small as u8 * 10; 16]);
            if rng.one_in(4) { Value::from(id.to_string()) } else { Value::Uuid(id.0) }
        }
        Type::Select => Value::from(option(rng, attribute, usize::MAX)),
        Type::Json => json(rng),
        Type::Rating => Value::Integer(small as i64 % 6),
        Type::Email => {
            Value::from(*rng.pick(&["k@example.com", "K@Example.com", "other@example.com", "a.b@c.example"]))
        }
        Type::Phone => {
            Value::from(*rng.pick(&["+4915123456701", "+49 151 234567-01", "+12025550143", "+442079460018"]))
        }
        Type::Country => Value::from(*rng.pick(&["DE", "FR", "US"])),
        Type::Options | Type::OptionList => list(rng, |rng| Value::from(option(rng, attribute, 6))),
        Type::Texts => list(rng, |rng| Value::Text(key_text(rng))),
        Type::Emails => list(rng, |rng| value(rng, &AttributeDef::new("one", Type::Email), true)),
        Type::Reference => Value::from(links::ANY),
        Type::References => list(rng, |_| Value::from(links::ANY)),
        Type::Autonumber => Value::Integer(small as i64),
        of => samples::draw(rng, of),
    }
}

/// The key of an option: one of the first `among` that may be written; now and then any.
fn option(rng: &mut Rng, attribute: &AttributeDef, among: usize) -> String {
    let active = attribute.active_options();
    if active.is_empty() || rng.one_in(40) {
        let shown = |option: &&OptionDef| option.standing != Status::Active;
        let closed: Vec<&OptionDef> = attribute.options.iter().filter(shown).collect();
        let any = closed.is_empty() || rng.one_in(4);
        return if any { rng.pick(&attribute.options).key.clone() } else { rng.pick(&closed).key.clone() };
    }
    active[rng.below(active.len().min(among))].to_string()
}

/// Whoever acts, or nobody who is named.
pub fn actor(rng: &mut Rng) -> Option<Actor> {
    match rng.below(5) {
        0 => None,
        1 => Some(Actor::new(ActorKind::App, "importer")),
        number => Some(Actor::new(ActorKind::User, format!("user {number}"))),
    }
}

/// Up to four values, some of them twice.
fn list(rng: &mut Rng, mut one: impl FnMut(&mut Rng) -> Value) -> Value {
    let len = *rng.pick(&[0, 1, 1, 2, 2, 3, 4]);
    Value::List((0..len).map(|_| one(rng)).collect())
}

fn key_text(rng: &mut Rng) -> String {
    const STEMS: [&str; 7] = [
        "",
        "k",
        "twelve byte",
        "twelve bytes",
        "a\0b",
        "schlüssel-ключ-鍵",
        "a key that is longer than inline ",
    ];
    let stem = rng.pick(&STEMS);
    if rng.one_in(3) { (*stem).to_string() } else { format!("{stem}{}", rng.below(12)) }
}

fn text(rng: &mut Rng) -> String {
    let letter = rng.below(26);
    let letter = &"abcdefghijklmnopqrstuvwxyz"[letter..=letter];
    let len = match rng.below(60) {
        0..9 => 0,
        9..18 => 12,
        18..27 => 13,
        27..55 => rng.below(200),
        55..59 => 16 << 10,
        _ => 200 << 10,
    };
    match rng.below(12) {
        0 => format!("{letter}\0\u{1f600}é\u{301}\u{10ffff}"),
        _ => letter.repeat(len),
    }
}

fn decimal(rng: &mut Rng, scale: u8) -> Value {
    let small = rng.below(24) as i128;
    let edge = *rng.pick(&[i128::MIN, i128::MAX, 0, -1]);
    match rng.below(8) {
        0 => Value::Decimal(Decimal::new(edge, scale).expect("the attribute's own scale")),
        1 => Value::from(format!("{small}.0")),
        2 if scale < 38 => Value::Integer(small as i64),
        _ => Value::Decimal(Decimal::new(small, scale.min(1)).expect("a small scale")),
    }
}

fn json(rng: &mut Rng) -> Value {
    let parse = |text: &str| Value::Json(Json::parse(text).expect("valid JSON"));
    match rng.below(8) {
        0 => parse("null"),
        1 => parse(r#" { "a" : [1, 2.50, "\u00e9"], "a": {} } "#),
        2 => parse(&format!("[{}{}]", "[".repeat(100), "]".repeat(100))),
        3 => Value::from("plain text"),
        4 => Value::Boolean(true),
        5 => parse(&format!("\"{}\"", "j".repeat(rng.below(400)))),
        _ => parse(&format!("{{\"n\":{}}}", rng.below(1000))),
    }
}

/// A value that the attribute must refuse.
fn bad_value(rng: &mut Rng, attribute: &AttributeDef) -> Value {
    match attribute.of {
        Type::Text | Type::LongText => Value::Integer(1),
        Type::Integer => Value::Number(*rng.pick(&[0.5, 1e300, f64::NAN])),
        Type::Number => Value::Number(*rng.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY])),
        Type::Decimal => {
            Value::from(*rng.pick(&["1e40", "0.123456789012345678901234567890123456789", "one"]))
        }
        Type::Boolean => Value::Integer(1),
        Type::Date => Value::from(*rng.pick(&["2013-02-29", "2013-13-01", "20130101", ""])),
        Type::Timestamp => Value::from(*rng.pick(&["2013-01-01", "1500-01-01T00:00:00Z", "now"])),
        Type::Uuid => Value::from("no uuid"),
        Type::Select => Value::from("no such option"),
        Type::Json => Value::Number(f64::NAN),
        Type::Rating => Value::Integer(*rng.pick(&[6, -1])),
        Type::Email | Type::Emails => Value::from(*rng.pick(&["", "no address", "two@at@signs"])),
        Type::Phone => Value::from(*rng.pick(&["", "0151 2345", "+1"])),
        Type::Country => Value::from(*rng.pick(&["", "XX", "Germany"])),
        Type::Options | Type::OptionList => Value::List(vec![Value::from("no such option")]),
        Type::Texts => Value::List(vec![Value::Integer(1)]),
        Type::Reference => Value::from(*rng.pick(&["", "no id"])),
        Type::References => Value::List(vec![Value::Integer(1)]),
        Type::Autonumber => Value::Integer(1),
        of => samples::draw_refused(rng, of),
    }
}

/// Names and values for a record or a patch. `fill` says how likely an optional attribute gets one.
fn values(rng: &mut Rng, model: &Model, object: usize, fill: usize, is_create: bool) -> Vec<(Name, Value)> {
    let def = &model.objects[object];
    let mut set = Vec::new();
    for (at, attribute) in def.attributes.iter().enumerate() {
        let in_key = def.primary_key.contains(&at);
        if attribute.of == Type::Open {
            let members = if rng.one_in(2) { rng.below(4) } else { 0 };
            set.extend((0..members).map(|_| open::draw(rng)));
            continue;
        }
        if attribute.standing != Status::Active && !rng.one_in(40) {
            continue;
        }
        let wanted = match is_create && (attribute.required || in_key) {
            true => !rng.one_in(60),
            false => rng.below(8) < if in_key || attribute.unique { fill.div_ceil(2) } else { fill },
        };
        // Nobody writes a number that the engine gives; some try.
        if !wanted || (attribute.of == Type::Autonumber && !rng.one_in(40)) {
            continue;
        }
        let value = match rng.below(150) {
            0 => bad_value(rng, attribute),
            1..6 if !attribute.required => Value::Null,
            _ => value(rng, attribute, in_key || attribute.unique),
        };
        set.push((attribute.name.clone(), value));
    }
    if rng.one_in(150) {
        set.push(("no_such_attribute".into(), Value::Integer(1)));
    }
    set
}

fn some_record(rng: &mut Rng, model: &Model, object: usize) -> Option<RecordId> {
    let len = model.records.len();
    if len == 0 {
        return None;
    }
    let ids: Vec<RecordId> =
        model.records.iter().filter(|(_, r)| r.object == object).map(|(id, _)| *id).collect();
    (!ids.is_empty()).then(|| *rng.pick(&ids))
}

/// A key of an existing record, or of none.
pub(crate) fn key(rng: &mut Rng, model: &Model, object: usize, graveyard: &[RecordId]) -> Key {
    let def = &model.objects[object];
    let keys = def.keys();
    if rng.one_in(30) && !graveyard.is_empty() {
        return Key::Id(*rng.pick(graveyard));
    }
    if rng.one_in(40) {
        return Key::Id(RecordId::from_bytes([rng.below(4) as u8; 16]));
    }
    if rng.one_in(60) {
        let name = if rng.one_in(2) { "no_such_attribute" } else { rng.pick(&def.attributes).name.as_str() };
        return Key::Attributes(vec![(name.into(), Value::Integer(1))]);
    }
    let existing = if rng.one_in(8) { None } else { some_record(rng, model, object) };
    if keys.is_empty() || (existing.is_some() && rng.one_in(2)) {
        return Key::Id(existing.unwrap_or(RecordId::from_bytes([rng.draw() as u8; 16])));
    }
    let key = rng.pick(&keys).clone();
    let mut parts = Vec::new();
    for at in key {
        let held = existing.and_then(|id| model.records[&id].values.get(&at).cloned());
        let value = held.unwrap_or_else(|| value(rng, &def.attributes[at], true));
        // Which record is meant by several values at once is for tests of its own.
        let value = match value {
            Value::List(values) if values.is_empty() => Value::from("k"),
            Value::List(values) if rng.one_in(2) => Value::List(vec![rng.pick(&values).clone()]),
            Value::List(values) => rng.pick(&values).clone(),
            value => value,
        };
        parts.push((def.attributes[at].name.clone(), value));
    }
    if rng.one_in(4) {
        refine(rng, def, existing.map(|id| &model.records[&id].values), &mut parts);
    }
    if rng.one_in(2) {
        parts.reverse();
    }
    Key::Attributes(parts)
}

/// Names values that the record must have beside those of its key: for the most part those that it has.
fn refine(rng: &mut Rng, def: &ObjectDef, held: Option<&Values>, parts: &mut Vec<(Name, Value)>) {
    for _ in 0..1 + rng.below(2) {
        let attribute = attribute(rng, def);
        let Some(at) = def.find(&attribute.name) else { continue };
        if parts.iter().any(|(name, _)| *name == attribute.name) || !matching::may_refine(attribute) {
            continue;
        }
        let held = held.and_then(|values| values.get(&at)).cloned();
        let value = match rng.below(4) {
            0 => value(rng, attribute, attribute.unique),
            _ => held.unwrap_or(Value::Null),
        };
        let is_long = value.as_text().is_some_and(|text| text.len() > 1000);
        if !is_long {
            parts.push((attribute.name.clone(), value));
        }
    }
}

/// An id that no record has and no key names: what the model gives a record that will not come to be.
#[must_use]
pub fn dummy_id(number: usize) -> RecordId {
    let mut bytes = [0xee; 16];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    RecordId::from_bytes(bytes)
}

/// A mutation of any kind, sound or not.
pub fn mutation(rng: &mut Rng, model: &Model, graveyard: &[RecordId]) -> Mutation {
    let object = rng.below(model.objects.len());
    let mut mutation = mutation_of(rng, model, graveyard, object);
    if rng.one_in(6) {
        nested::add(rng, model, graveyard, &mut mutation);
    }
    mutation
}

/// A mutation of an object, without links.
pub(crate) fn mutation_of(rng: &mut Rng, model: &Model, graveyard: &[RecordId], object: usize) -> Mutation {
    let name = match rng.one_in(300) {
        true => "no_such_object".into(),
        false => model.objects[object].name.clone(),
    };
    let action = match rng.below(20) {
        0..7 => Action::Create,
        7..14 => Action::Update,
        14..17 => Action::Upsert,
        _ => Action::Delete,
    };
    let mut patch = Patch::new();
    let mut target = None;
    match action {
        Action::Create => {
            patch.set = values(rng, model, object, 5, true);
            if rng.one_in(8) {
                target = Some(Key::Id(match graveyard.is_empty() || rng.one_in(2) {
                    true => RecordId::from_bytes([rng.below(12) as u8; 16]),
                    false => *rng.pick(graveyard),
                }));
            }
        }
        Action::Update => {
            target = Some(key(rng, model, object, graveyard));
            let fill = *rng.pick(&[0, 1, 2, 2, 3, 8]);
            patch.set = values(rng, model, object, fill, false);
            if rng.one_in(3) {
                let attribute = attribute(rng, &model.objects[object]);
                let named = patch.set.iter().any(|(name, _)| *name == attribute.name);
                if !named {
                    patch.clear.push(attribute.name.clone());
                }
                if model.objects[object].open().is_some() && rng.one_in(2) {
                    patch.clear.push(open::draw(rng).0);
                }
            }
            if rng.one_in(8) {
                patch.mode = Mode::Replace;
                patch.set = values(rng, model, object, 3, true);
                patch.clear.clear();
            }
        }
        Action::Upsert => {
            let key = key(rng, model, object, graveyard);
            patch.set = values(rng, model, object, 4, true);
            if let Key::Attributes(parts) = &key
                && !rng.one_in(8)
            {
                patch.set.retain(|(name, _)| !parts.iter().any(|(part, _)| part == name));
            }
            target = Some(key);
        }
        Action::Delete => target = Some(key(rng, model, object, graveyard)),
    }
    if rng.one_in(12) {
        patch.if_version = Some(1 + rng.below(3) as u64);
    }
    if rng.one_in(10) {
        patch.at = Some(Timestamp(*rng.pick(&[0, i64::MIN, i64::MAX, 1_357_000_000_000_000_000])));
    }
    patch.returning = rng.one_in(4);
    let mut mutation = Mutation { object: name, action, key: target, patch };
    if rng.one_in(3) {
        terms::add(rng, model, &mut mutation);
    }
    links::fill(rng, model, graveyard, &mut mutation);
    mutation
}

/// Mutations that swap a key between two records of an object, if there are two with values for it.
pub fn swap(rng: &mut Rng, model: &Model) -> Option<Vec<Mutation>> {
    let object = rng.below(model.objects.len());
    let def = &model.objects[object];
    let keys = def.keys();
    if keys.is_empty() {
        return None;
    }
    let key = rng.pick(&keys).clone();
    let (a, b) = (some_record(rng, model, object)?, some_record(rng, model, object)?);
    let take = |from: RecordId| -> Option<Vec<(Name, Value)>> {
        let value = |at: &usize| {
            model.records[&from].values.get(at).map(|v| (def.attributes[*at].name.clone(), v.clone()))
        };
        key.iter().map(value).collect()
    };
    let update = |id, set| Mutation {
        object: def.name.clone(),
        action: Action::Update,
        key: Some(Key::Id(id)),
        patch: Patch { set, ..Patch::default() },
    };
    Some(vec![update(a, take(b)?), update(b, take(a)?)])
}

/// Mutations that delete a record and make one with the same values, perhaps under the same id.
pub fn renew(rng: &mut Rng, model: &Model) -> Option<Vec<Mutation>> {
    let object = rng.below(model.objects.len());
    let id = some_record(rng, model, object)?;
    let def = &model.objects[object];
    let record = &model.records[&id];
    let is_given = |at: usize| matches!(def.attributes[at].of, Type::Autonumber | Type::Open);
    let given = record.values.iter().filter(|(at, _)| !is_given(**at));
    let mut set: Vec<(Name, Value)> =
        given.map(|(at, value)| (def.attributes[*at].name.clone(), value.clone())).collect();
    let members = open::shown(def, def.open().and_then(|at| record.values.get(&at)));
    set.extend(members.into_iter().map(|(name, value)| (name.into(), value)));
    let key = rng.one_in(2).then_some(Key::Id(id));
    let object = def.name.clone();
    Some(vec![
        Mutation {
            object: object.clone(),
            action: Action::Delete,
            key: Some(Key::Id(id)),
            patch: Patch::default(),
        },
        Mutation { object, action: Action::Create, key, patch: Patch { set, ..Patch::default() } },
    ])
}
