//! Changes of a schema by seed: mostly legal ones, some that the records or the schema forbid; and how they are
//! written.

use crate::changes::{Change, Limits, What};
use crate::compare::{Difference, ensure};
use crate::model::Model;
use crate::ops::value;
use crate::schema::{self, AttributeDef, ObjectDef, Status, Type};
use std::collections::BTreeSet;
use vellum::{Error, Lsn, Name, RecordId, Value};
use vellum_sim::Rng;

/// Most objects of a run.
const OBJECTS_MAX: usize = 5;
/// Most records that a refusal names.
const NAMED_MAX: usize = 20;

/// One change, or a few that belong together.
pub fn draw(rng: &mut Rng, model: &Model) -> Vec<Change> {
    if rng.one_in(8)
        && let Some(changes) = renewal(rng, model)
    {
        return changes;
    }
    let count = if rng.one_in(4) { 2 + rng.below(2) } else { 1 };
    let mut objects = model.objects.to_vec();
    let mut changes: Vec<Change> = Vec::new();
    while changes.len() < count {
        let change = one(rng, &objects, count == 1);
        note(&mut objects, &change);
        changes.push(change);
    }
    changes
}

/// An attribute or an option goes, and another one gets its name.
fn renewal(rng: &mut Rng, model: &Model) -> Option<Vec<Change>> {
    let def = rng.pick(&model.objects);
    let present = def.present();
    if present.is_empty() {
        return None;
    }
    let attribute = (*rng.pick(&present)).clone();
    let change = |what| {
        let (object, attribute) = (def.name.clone(), attribute.name.clone());
        Change::Attribute { object, attribute, what }
    };
    let active = attribute.active_options();
    if active.is_empty() || rng.one_in(2) {
        let added = schema::plain(rng, attribute.name.clone());
        let added = Change::AddAttribute { object: def.name.clone(), attribute: added };
        return Some(vec![change(What::Delete), added]);
    }
    // The last ones are in few records.
    let key = (*active.last()?).to_string();
    let mut changes = vec![change(What::DeleteOption(key.clone())), change(What::AddOption(key.clone()))];
    if rng.one_in(2) {
        changes.push(change(What::ArchiveOption(key, true)));
    }
    Some(changes)
}

/// Later changes find names as earlier ones left them.
fn note(objects: &mut Vec<ObjectDef>, change: &Change) {
    let known = |objects: &[ObjectDef], name: &Name| objects.iter().position(|def| def.name == *name);
    match change {
        Change::AddObject(object) => objects.push(object.clone()),
        Change::RenameObject { object, to } => {
            if let Some(at) = known(objects, object) {
                objects[at].name = to.clone();
            }
        }
        Change::AddAttribute { object, attribute } => {
            if let Some(at) = known(objects, object) {
                objects[at].attributes.push(attribute.clone());
            }
        }
        Change::Attribute { object, attribute, what } => {
            let Some(at) = known(objects, object) else { return };
            let Some(place) = objects[at].find(attribute) else { return };
            match what {
                What::Rename(to) => objects[at].attributes[place].name = to.clone(),
                What::Delete => objects[at].attributes[place].standing = Status::Deleted,
                _ => {}
            }
        }
        Change::ObjectHistory { .. } | Change::RecordBytes { .. } => {}
    }
}

fn one(rng: &mut Rng, objects: &[ObjectDef], alone: bool) -> Change {
    let def = rng.pick(objects);
    let object = def.name.clone();
    match rng.below(16) {
        0 if objects.len() < OBJECTS_MAX => {
            let mut object = schema::generate(rng, objects.len());
            schema::complete(rng, &mut object);
            Change::AddObject(object)
        }
        1 => {
            // Among several changes a name is taken by one alone.
            let taken = alone && rng.one_in(6);
            let to = if taken { rng.pick(objects).name.clone() } else { fresh(rng, "object") };
            Change::RenameObject { object, to }
        }
        2..4 => Change::AddAttribute { object, attribute: added(rng, def) },
        4 => Change::ObjectHistory { object, history: !def.history || rng.one_in(3) },
        // Of several changes the records are judged as they were before all of them.
        5 if alone && rng.one_in(2) => {
            let max = (!rng.one_in(4)).then(|| *rng.pick(&[200, 1000, 5000, 300_000]));
            Change::RecordBytes { object, max }
        }
        _ => {
            let attribute = crate::ops::attribute(rng, def);
            let what = what(rng, def, attribute, alone);
            let known = !rng.one_in(60);
            let attribute = if known { attribute.name.clone() } else { "no_such_attribute".into() };
            Change::Attribute { object, attribute, what }
        }
    }
}

fn fresh(rng: &mut Rng, stem: &str) -> Name {
    format!("{stem} {:08x}", rng.draw() as u32).into()
}

/// A new attribute; now and then under a name that was given up.
fn added(rng: &mut Rng, def: &ObjectDef) -> AttributeDef {
    let given_up: Vec<&Name> = def
        .attributes
        .iter()
        .filter(|attribute| attribute.is_deleted() && def.find(&attribute.name).is_none())
        .map(|attribute| &attribute.name)
        .collect();
    let name = match given_up.is_empty() || rng.one_in(2) {
        true => fresh(rng, "added"),
        false => (*rng.pick(&given_up)).clone(),
    };
    let mut attribute = schema::plain(rng, name);
    attribute.required = rng.one_in(10);
    attribute.unique = attribute.of.may_be_unique() && rng.one_in(3);
    attribute.history = rng.one_in(4);
    attribute
}

fn what(rng: &mut Rng, def: &ObjectDef, attribute: &AttributeDef, alone: bool) -> What {
    let has_options = !attribute.options.is_empty();
    if has_options && rng.one_in(2) {
        return option(rng, attribute);
    }
    if attribute.of == Type::Integer && rng.one_in(4) {
        let to = *rng.pick(&[Type::Number, Type::Decimal, Type::Text, Type::LongText, Type::Date]);
        return What::Widen(to, *rng.pick(&[0, 2, 20, 38]));
    }
    if attribute.of.has_limits() && rng.one_in(4) {
        let side = |rng: &mut Rng| match rng.below(3) {
            0 => None,
            1 => Some(None),
            _ => Some(Some(limit(rng, attribute))),
        };
        return What::Limits(Limits { min: side(rng), max: side(rng), max_values: None });
    }
    if attribute.of.is_multi() && rng.one_in(4) {
        let max = (!rng.one_in(3)).then(|| 1 + rng.below(5));
        return What::Limits(Limits { max_values: Some(max), ..Limits::default() });
    }
    match rng.below(8) {
        0 => {
            let taken = alone && rng.one_in(6);
            let other = || def.attributes[0].name.clone();
            What::Rename(if taken { other() } else { fresh(rng, "renamed") })
        }
        1 => What::Archive(!rng.one_in(3)),
        2 => What::Delete,
        3 => What::Unique,
        4 => What::Required(false),
        5 => What::History(!attribute.history || rng.one_in(3)),
        _ => What::Required(true),
    }
}

/// Few of the limits are beyond all values that there are.
fn limit(rng: &mut Rng, attribute: &AttributeDef) -> Value {
    let bare = AttributeDef { min: None, max: None, ..attribute.clone() };
    match rng.below(3) {
        0 => Value::Integer(*rng.pick(&[-5, 0, 3])),
        1 => Value::Integer(*rng.pick(&[20, 30, 1 << 40])),
        _ => value(rng, &bare, false),
    }
}

fn option(rng: &mut Rng, attribute: &AttributeDef) -> What {
    // Those in use are the first ones, and those that were changed before.
    let changed = attribute.options.iter().filter(|option| option.standing != Status::Active);
    let changed: Vec<&str> = changed.map(|option| option.key.as_str()).collect();
    let few = attribute.options.len().min(8);
    let key = match changed.is_empty() || rng.one_in(2) {
        true => attribute.options[rng.below(few)].key.clone(),
        false => (*rng.pick(&changed)).to_string(),
    };
    match rng.below(6) {
        0 => What::AddOption(if rng.one_in(2) { key } else { fresh(rng, "option").to_string() }),
        1 | 2 => {
            let to = fresh(rng, "option").to_string();
            let known = rng.pick(&attribute.options).key.clone();
            What::RenameOption(key, if rng.one_in(4) { known } else { to })
        }
        3 => What::ArchiveOption(key, !rng.one_in(3)),
        _ => What::DeleteOption(key),
    }
}

/// As `Store::change_schema` takes them.
#[must_use]
pub fn to_json(changes: &[Change]) -> String {
    let changes: Vec<String> = changes.iter().map(change).collect();
    format!(r#"{{"changes":[{}]}}"#, changes.join(","))
}

fn change(change: &Change) -> String {
    match change {
        Change::AddObject(object) => format!(r#"{{"add_object":{}}}"#, object.to_json()),
        Change::RenameObject { object, to } => {
            format!(r#"{{"rename_object":{{"object":"{object}","to":"{to}"}}}}"#)
        }
        Change::AddAttribute { object, attribute } => {
            let attribute = attribute.to_json();
            format!(r#"{{"add_attribute":{{"object":"{object}","attribute":{attribute}}}}}"#)
        }
        Change::ObjectHistory { object, history } => {
            format!(r#"{{"set_history":{{"object":"{object}","history":{history}}}}}"#)
        }
        Change::RecordBytes { object, max } => {
            let max = max.map_or("null".to_string(), |max| max.to_string());
            format!(r#"{{"set_limits":{{"object":"{object}","max_record_bytes":{max}}}}}"#)
        }
        Change::Attribute { object, attribute, what } => {
            let (name, more) = members(what);
            format!(r#"{{"{name}":{{"object":"{object}","attribute":"{attribute}"{more}}}}}"#)
        }
    }
}

/// The change's name, and what stands in it beside object and attribute.
fn members(what: &What) -> (&'static str, String) {
    match what {
        What::Rename(to) => ("rename_attribute", format!(r#","to":"{to}""#)),
        What::Archive(archived) => ("archive_attribute", format!(r#","archived":{archived}"#)),
        What::Delete => ("delete_attribute", String::new()),
        What::AddOption(key) => ("add_option", format!(r#","option":{{"key":"{key}"}}"#)),
        What::RenameOption(key, to) => ("rename_option", format!(r#","option":"{key}","to":"{to}""#)),
        What::ArchiveOption(key, archived) => {
            ("archive_option", format!(r#","option":"{key}","archived":{archived}"#))
        }
        What::DeleteOption(key) => ("delete_option", format!(r#","option":"{key}""#)),
        What::Required(required) => ("set_required", format!(r#","required":{required}"#)),
        What::Unique => ("set_unique", String::new()),
        What::Widen(to, decimals) => {
            let decimals =
                if *to == Type::Decimal { format!(r#","decimals":{decimals}"#) } else { String::new() };
            ("widen", format!(r#","type":"{}"{decimals}"#, to.name()))
        }
        What::Limits(limits) => {
            let mut out = String::new();
            for (name, limit) in [("min", &limits.min), ("max", &limits.max)] {
                if let Some(limit) = limit {
                    let value = limit.as_ref().map_or("null".to_string(), |v| v.to_json().to_string());
                    out += &format!(r#","{name}":{value}"#);
                }
            }
            if let Some(max) = limits.max_values {
                out += &format!(r#","max_values":{}"#, max.map_or("null".to_string(), |m| m.to_string()));
            }
            ("set_limits", out)
        }
        What::History(history) => ("set_history", format!(r#","history":{history}"#)),
    }
}

/// The change's name in JSON.
#[must_use]
pub fn name(change: &Change) -> &'static str {
    match change {
        Change::AddObject(_) => "add_object",
        Change::RenameObject { .. } => "rename_object",
        Change::AddAttribute { .. } => "add_attribute",
        Change::ObjectHistory { history: false, .. } => "history switched off",
        Change::ObjectHistory { .. } => "set_history",
        Change::RecordBytes { .. } => "max_record_bytes set",
        Change::Attribute { what, .. } => members(what).0,
    }
}

/// Holds a store's answer to changes against the model's, which goes the same way. Whether they were made.
///
/// # Errors
/// The difference.
pub fn judge(
    model: &mut Model,
    changes: &[Change],
    now: i64,
    result: &Result<Lsn, Error>,
) -> Result<bool, Difference> {
    use vellum::ErrorKind as K;
    let json = to_json(changes);
    match (model.change(now, changes), result) {
        (Ok(()), Ok(lsn)) => {
            ensure!(lsn.0 == model.lsn, "{json}: lsn {} expected, {lsn} found", model.lsn);
            Ok(true)
        }
        (Err(refusal), Err(error)) => {
            let kinds = &refusal.kinds;
            let in_schema = |kind| matches!(kind, K::InvalidSchema | K::UnknownAttribute | K::ObjectNotFound);
            // Which of several is told is open, but for this: names and rules are judged before records.
            let several = changes.len() > 1 && in_schema(error.kind());
            let fits = kinds.contains(&error.kind()) || (several && kinds.iter().copied().all(in_schema));
            ensure!(fits, "{json}: {kinds:?} expected, {error} found");
            if changes.len() > 1 {
                return Ok(false);
            }
            let (named, in_the_way) = (error.records(), &refusal.records);
            let distinct: BTreeSet<RecordId> = named.iter().copied().collect();
            let count = in_the_way.len();
            ensure!(
                distinct.is_subset(in_the_way)
                    && distinct.len() == named.len()
                    && named.len() == count.min(NAMED_MAX),
                "{json}: {in_the_way:?} are in the way, {named:?} are named"
            );
            let plural = if count == 1 { "" } else { "s" };
            let told = count == 0 || error.to_string().contains(&format!(" {count} record{plural} "));
            ensure!(told, "{json}: {count} records are in the way, and it says {error}");
            Ok(false)
        }
        (wanted, result) => Err(format!("{json}\nexpected {wanted:?}\nfound {result:?}")),
    }
}
