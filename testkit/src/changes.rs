//! Changes of a schema whose objects have records, as docs/schema-changes.md says it: what each makes of schema
//! and records, and which records are in its way. Written from that text. `alter` draws them.

use crate::defaults::DefaultDef;
use crate::history;
use crate::model::{Model, ModelRecord, Records};
use crate::schema::{AttributeDef, ObjectDef, OptionDef, Status, Type};
use crate::values::{canonical, key_part};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vellum::{ErrorKind, Name, RecordId, Value};

/// One change.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in docs/schema-changes.md")]
pub enum Change {
    AddObject(ObjectDef),
    RenameObject { object: Name, to: Name },
    AddAttribute { object: Name, attribute: AttributeDef },
    ObjectHistory { object: Name, history: bool },
    RecordBytes { object: Name, max: Option<usize> },
    Attribute { object: Name, attribute: Name, what: What },
}

/// A change of an attribute that is there.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in docs/schema-changes.md")]
pub enum What {
    Rename(Name),
    Archive(bool),
    Delete,
    AddOption(String),
    RenameOption(String, String),
    ArchiveOption(String, bool),
    DeleteOption(String),
    Required(bool),
    Unique,
    Widen(Type, u8),
    Limits(Limits),
    History(bool),
}

/// Limits to set; an inner nothing takes one away.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in docs/schema-changes.md")]
pub struct Limits {
    pub min: Option<Option<Value>>,
    pub max: Option<Option<Value>>,
    pub max_values: Option<Option<usize>>,
}

/// Why changes are refused.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// What may be told: one of these.
    pub kinds: Vec<ErrorKind>,
    /// The records in the way, where one change alone is refused.
    pub records: BTreeSet<RecordId>,
    /// How many changes are refused for their records.
    pub count: usize,
}

/// Records that a change may not have as they are.
type InTheWay = Result<(), (ErrorKind, BTreeSet<RecordId>)>;

/// Objects and records in the course of a change.
struct Changing {
    objects: Vec<ObjectDef>,
    records: Records,
    histories: history::Histories,
    refusal: Refusal,
    /// Attributes whose limits changed: what several changes leave of them counts.
    limited: BTreeSet<(usize, usize)>,
}

impl Model {
    /// Makes changes in their order, all of them in one commit, or none.
    ///
    /// # Errors
    /// What the store should say.
    pub fn change(&mut self, now: i64, changes: &[Change]) -> Result<(), Refusal> {
        let objects = self.objects.to_vec();
        let (records, histories) = (self.records.clone(), self.histories.clone());
        let mut changing =
            Changing { objects, records, histories, refusal: Refusal::default(), limited: BTreeSet::new() };
        for change in changes {
            if let Err(kind) = changing.make(change) {
                return Err(Refusal { kinds: vec![kind], ..Refusal::default() });
            }
        }
        changing.demand_limits();
        if changing.refusal.count > 0 {
            return Err(changing.refusal);
        }
        let Changing { objects, records, histories, .. } = changing;
        self.adopt(objects, records, histories);
        self.lsn += 1;
        self.commit_time = (self.commit_time + 1).max(now);
        Ok(())
    }
}

impl Changing {
    fn make(&mut self, change: &Change) -> Result<(), ErrorKind> {
        let names: Vec<&Name> = self.objects.iter().map(|object| &object.name).collect();
        match change {
            Change::AddObject(object) => match names.contains(&&object.name) {
                true => Err(ErrorKind::InvalidSchema),
                false => {
                    self.objects.push(object.clone());
                    Ok(())
                }
            },
            Change::RenameObject { object, to } => {
                let at = self.object(object)?;
                if to != object && names.contains(&to) {
                    return Err(ErrorKind::InvalidSchema);
                }
                self.objects[at].name = to.clone();
                Ok(())
            }
            Change::AddAttribute { object, attribute } => {
                let at = self.object(object)?;
                self.add_attribute(at, attribute)
            }
            Change::ObjectHistory { object, history } => {
                let at = self.object(object)?;
                let object = &mut self.objects[at];
                object.had_history |= object.keeps_history();
                object.history = *history;
                Ok(())
            }
            Change::RecordBytes { object, max } => {
                let at = self.object(object)?;
                self.objects[at].max_record_bytes = *max;
                let def = &self.objects[at];
                let too_long = self.of(at).filter(|(_, record)| def.check_size(&record.values).is_err());
                let too_long = too_long.map(|(id, _)| *id).collect();
                self.demand(refuse(ErrorKind::LimitExceeded, too_long));
                Ok(())
            }
            Change::Attribute { object, attribute, what } => {
                let at = self.object(object)?;
                let place = self.objects[at].find(attribute).ok_or(ErrorKind::UnknownAttribute)?;
                self.change_attribute(at, place, what)
            }
        }
    }

    fn object(&self, name: &str) -> Result<usize, ErrorKind> {
        self.objects.iter().position(|object| object.name == name).ok_or(ErrorKind::ObjectNotFound)
    }

    fn of(&self, object: usize) -> impl Iterator<Item = (&RecordId, &Arc<ModelRecord>)> {
        self.records.iter().filter(move |(_, record)| record.object == object)
    }

    /// The records of an object with values in a place that are so.
    fn with(&self, object: usize, place: usize, is_so: impl Fn(&Value) -> bool) -> BTreeSet<RecordId> {
        let has = |record: &ModelRecord| record.values.get(&place).is_some_and(&is_so);
        self.of(object).filter(|(_, record)| has(record)).map(|(id, _)| *id).collect()
    }

    fn demand(&mut self, found: InTheWay) {
        if let Err((kind, records)) = found {
            self.refusal.kinds.push(kind);
            self.refusal.count += 1;
            self.refusal.records = records;
        }
    }

    fn add_attribute(&mut self, at: usize, attribute: &AttributeDef) -> Result<(), ErrorKind> {
        if self.objects[at].find(&attribute.name).is_some() {
            return Err(ErrorKind::InvalidSchema);
        }
        let there: BTreeSet<RecordId> = self.of(at).map(|(id, _)| *id).collect();
        if attribute.required {
            self.demand(refuse(ErrorKind::MissingRequired, there));
        }
        self.objects[at].attributes.push(attribute.clone());
        Ok(())
    }

    fn change_attribute(&mut self, at: usize, place: usize, what: &What) -> Result<(), ErrorKind> {
        let refused = Err(ErrorKind::InvalidSchema);
        let in_key = self.objects[at].primary_key.contains(&place);
        let taken = |to: &Name| self.objects[at].find(to).is_some_and(|other| other != place);
        match what {
            What::Rename(to) if taken(to) => return refused,
            What::Rename(to) => self.attribute(at, place).name = to.clone(),
            What::Archive(_) | What::Delete if in_key => return refused,
            What::Archive(archived) => {
                let attribute = self.attribute(at, place);
                attribute.standing = if *archived { Status::Archived } else { Status::Active };
                // Nobody can be asked for what nobody may write.
                attribute.required &= !archived;
            }
            What::Delete => {
                let attribute = self.attribute(at, place);
                attribute.standing = Status::Deleted;
                attribute.required = false;
                attribute.default = None;
                self.each_value(at, place, |_| None);
            }
            What::AddOption(_) | What::RenameOption(..) | What::ArchiveOption(..) | What::DeleteOption(_) => {
                return self.change_option(at, place, what);
            }
            What::Required(false) if in_key => return refused,
            // Nobody could write the value that is asked for.
            What::Required(true) if self.attribute(at, place).standing == Status::Archived => {
                return refused;
            }
            What::Required(required) => {
                self.attribute(at, place).required = *required;
                let lack = |(id, record): (&RecordId, &Arc<ModelRecord>)| {
                    (!record.values.contains_key(&place)).then_some(*id)
                };
                let lacking: BTreeSet<RecordId> = self.of(at).filter_map(lack).collect();
                if *required {
                    self.demand(refuse(ErrorKind::MissingRequired, lacking));
                }
            }
            What::Unique => return self.make_unique(at, place),
            What::Widen(to, decimals) => return self.widen(at, place, *to, *decimals),
            What::Limits(limits) => return self.set_limits(at, place, limits),
            What::History(history) => {
                self.objects[at].had_history |= self.objects[at].keeps_history();
                self.attribute(at, place).history = *history;
            }
        }
        Ok(())
    }

    fn attribute(&mut self, at: usize, place: usize) -> &mut AttributeDef {
        &mut self.objects[at].attributes[place]
    }

    /// Every present value of an attribute becomes another one, or is gone.
    fn each_value(&mut self, object: usize, place: usize, become_: impl Fn(&Value) -> Option<Value>) {
        let there: Vec<RecordId> = self.of(object).map(|(id, _)| *id).collect();
        for id in there {
            let record = self.records.get_mut(&id).expect("it is there");
            let Some(value) = record.values.get(&place) else { continue };
            let new = become_(value);
            let values = &mut Arc::make_mut(record).values;
            match new {
                Some(value) => values.insert(place, value),
                None => values.remove(&place),
            };
        }
    }

    fn change_option(&mut self, at: usize, place: usize, what: &What) -> Result<(), ErrorKind> {
        let (refused, attribute) =
            (Err(ErrorKind::InvalidSchema), self.objects[at].attributes[place].clone());
        if !attribute.of.has_options() {
            return refused;
        }
        let known = |key: &str| attribute.option(key).ok_or(ErrorKind::InvalidSchema);
        let renamed = |from: &str, to: &str| {
            let (from, to) = (from.to_string(), to.to_string());
            move |value: &Value| replace_text(value, &from, &to)
        };
        match what {
            What::AddOption(key) => {
                // A set of bits has room for 64, deleted ones too.
                let is_full = attribute.of == Type::Options && attribute.options.len() >= 64;
                if is_full || known(key).is_ok() {
                    return refused;
                }
                let option = OptionDef { key: key.clone(), standing: Status::Active };
                self.attribute(at, place).options.push(option);
            }
            What::RenameOption(key, to) => {
                let number = known(key)?;
                if attribute.option(to).is_some_and(|other| other != number) {
                    return refused;
                }
                self.attribute(at, place).options[number].key = to.clone();
                self.change_default(at, place, renamed(key, to));
                self.each_value(at, place, |value| Some(renamed(key, to)(value)));
                history::each_value(&mut self.histories, at, place, renamed(key, to));
            }
            What::ArchiveOption(key, archived) => {
                let standing = if *archived { Status::Archived } else { Status::Active };
                self.attribute(at, place).options[known(key)?].standing = standing;
            }
            What::DeleteOption(key) => {
                let number = known(key)?;
                let has = self.with(at, place, |value| has_text(value, key));
                self.demand(refuse(ErrorKind::InvalidValue, has));
                self.attribute(at, place).options[number].standing = Status::Deleted;
                // The past and a default know it still, whoever takes the name next.
                self.change_default(at, place, renamed(key, &history::gone(key, number)));
                history::each_value(
                    &mut self.histories,
                    at,
                    place,
                    renamed(key, &history::gone(key, number)),
                );
            }
            _ => return refused,
        }
        Ok(())
    }

    fn change_default(&mut self, at: usize, place: usize, become_: impl Fn(&Value) -> Value) {
        if let Some(DefaultDef::Value(value)) = &mut self.attribute(at, place).default {
            *value = become_(value);
        }
    }

    fn make_unique(&mut self, at: usize, place: usize) -> Result<(), ErrorKind> {
        let attribute = self.objects[at].attributes[place].clone();
        if attribute.unique {
            return Ok(());
        }
        if !attribute.of.may_be_unique() {
            return Err(ErrorKind::InvalidSchema);
        }
        let mut holders: BTreeMap<String, BTreeSet<RecordId>> = BTreeMap::new();
        for (id, record) in self.of(at) {
            let values = match record.values.get(&place) {
                None => &[][..],
                Some(Value::List(values)) => values,
                Some(value) => std::slice::from_ref(value),
            };
            for value in values {
                holders.entry(key_part(attribute.of, value)).or_default().insert(*id);
            }
        }
        let several = holders.into_values().filter(|ids| ids.len() > 1).flatten().collect();
        self.demand(refuse(ErrorKind::UniqueConflict, several));
        self.attribute(at, place).unique = true;
        Ok(())
    }

    fn widen(&mut self, at: usize, place: usize, to: Type, decimals: u8) -> Result<(), ErrorKind> {
        let old = self.objects[at].attributes[place].clone();
        let in_key = self.objects[at].keys().iter().any(|key| key.contains(&place));
        let wider = [Type::Number, Type::Decimal, Type::Text, Type::LongText].contains(&to);
        if old.of != Type::Integer || in_key || !wider {
            return Err(ErrorKind::InvalidSchema);
        }
        let decimals = if to == Type::Decimal { decimals } else { 0 };
        let bare = AttributeDef { of: to, decimals, min: None, max: None, ..old.clone() };
        let widened = |value: &Value| match to {
            Type::Text | Type::LongText => Ok(Some(Value::Text(value.to_string()))),
            _ => canonical(&bare, value),
        };
        // A text has no limits.
        let limit = |limit: &Option<Value>| match limit {
            Some(limit) if matches!(to, Type::Number | Type::Decimal) => {
                widened(limit).map_err(|_| ErrorKind::InvalidSchema)
            }
            _ => Ok(None),
        };
        let default = match &old.default {
            Some(DefaultDef::Value(value)) => {
                widened(value).map_err(|_| ErrorKind::InvalidSchema)?.map(DefaultDef::Value)
            }
            other => other.clone(),
        };
        let new = AttributeDef { min: limit(&old.min)?, max: limit(&old.max)?, default, ..bare.clone() };
        let unfit = self.with(at, place, |value| widened(value).is_err());
        *self.attribute(at, place) = new;
        self.demand(refuse(ErrorKind::InvalidValue, unfit));
        self.each_value(at, place, |value| widened(value).unwrap_or(None));
        // What was exact once stays what it was where the new type has no such number.
        let past = |value: &Value| widened(value).ok().flatten().unwrap_or_else(|| value.clone());
        history::each_value(&mut self.histories, at, place, past);
        Ok(())
    }

    fn set_limits(&mut self, at: usize, place: usize, limits: &Limits) -> Result<(), ErrorKind> {
        let mut new = self.objects[at].attributes[place].clone();
        let named = [&limits.min, &limits.max].into_iter().flatten().any(Option::is_some);
        if (named && !new.of.has_limits()) || (limits.max_values.flatten().is_some() && !new.of.is_multi()) {
            return Err(ErrorKind::InvalidSchema);
        }
        let bare = AttributeDef { min: None, max: None, ..new.clone() };
        let limit = |given: &Option<Option<Value>>, old: Option<Value>| match given {
            None => Ok(old),
            Some(None) => Ok(None),
            Some(Some(value)) => canonical(&bare, value).map_err(|_| ErrorKind::InvalidSchema),
        };
        new.min = limit(&limits.min, new.min.take())?;
        new.max = limit(&limits.max, new.max.take())?;
        new.max_values = limits.max_values.unwrap_or(new.max_values);
        if let (Some(min), Some(max)) = (&new.min, &new.max)
            && crate::plan::order(min, max).is_some_and(std::cmp::Ordering::is_gt)
        {
            return Err(ErrorKind::InvalidSchema);
        }
        *self.attribute(at, place) = new;
        self.limited.insert((at, place));
        Ok(())
    }

    fn demand_limits(&mut self) {
        for (at, place) in std::mem::take(&mut self.limited) {
            let attribute = self.attribute(at, place).clone();
            let beyond = self.with(at, place, |value| canonical(&attribute, value).is_err());
            self.demand(refuse(ErrorKind::InvalidValue, beyond));
        }
    }
}

fn refuse(kind: ErrorKind, records: BTreeSet<RecordId>) -> InTheWay {
    if records.is_empty() { Ok(()) } else { Err((kind, records)) }
}

fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| has_text(value, text)),
        value => value.as_text() == Some(text),
    }
}

fn replace_text(value: &Value, from: &str, to: &str) -> Value {
    match value {
        Value::List(values) => {
            Value::List(values.iter().map(|value| replace_text(value, from, to)).collect())
        }
        value if value.as_text() == Some(from) => Value::from(to),
        value => value.clone(),
    }
}
