//! Changes of a schema whose objects have records: what they make of it, and what of the records must hold first.
//!
//! ```json
//! {"changes": [
//!   {"add_attribute": {"object": "deal", "attribute": {"key": "owner", "type": "actor"}}},
//!   {"rename_attribute": {"object": "deal", "attribute": "owner", "to": "seller"}},
//!   {"add_option": {"object": "deal", "attribute": "stage", "option": {"key": "lost", "title": "Lost"}}},
//!   {"set_required": {"object": "deal", "attribute": "name", "required": true}},
//!   {"widen": {"object": "deal", "attribute": "amount", "type": "decimal", "decimals": 2}}]}
//! ```
//!
//! | change                                                     | refused, with the records in the way, where            |
//! |------------------------------------------------------------|--------------------------------------------------------|
//! | `add_object`, `add_attribute`, `add_option`                | an attribute is required and the object has records    |
//! | `rename_object`, `rename_attribute`, `rename_option`       |                                                        |
//! | `archive_attribute`, `archive_option` (`"archived"`: false takes it back) | the attribute is in the primary key     |
//! | `delete_attribute`                                         | it is in the primary key, or another names it          |
//! | `delete_option`                                            | a record has it                                        |
//! | `set_required`                                             | a record has no value; the attribute is archived       |
//! | `set_unique`                                               | two records have the same value; it is not taken back  |
//! | `widen`: an integer becomes a number, decimal or text      | a number is not exact as the new type                  |
//! | `set_limits`: `min`, `max`, `max_values`, `max_record_bytes` | a record is beyond them                              |
//! | `set_history`: of an attribute, or of the object           |                                                        |
//! | `set_next`: of an autonumber                               | it is not above the numbers that were given            |
//!
//! Numbers are never reused: what was deleted keeps its place, and gives up its name.

use super::json_members::{Members, invalid, items, parse};
use super::json_rules::{Draft, limit, read_attribute};
use super::{AttributeSchema, IndexSchema, ObjectSchema, Schema, SelectOption, Status, check, names};
use crate::error::Result;
use crate::id::{AttributeId, ObjectId};
use crate::value::{ValueType, excerpt};
use serde_json::value::RawValue;

/// What must hold of an object's records before a change is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Constraint {
    /// The object.
    pub object: ObjectId,
    /// What must hold of its records.
    pub what: Asked,
}

/// One such thing. Attributes are meant as the new schema has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Each record has a value.
    Value(AttributeId),
    /// No two records have the same value.
    Unique(AttributeId),
    /// No record has this option.
    NotOption(AttributeId, u32),
    /// Each value keeps to the rules, once it is widened.
    Fits(AttributeId),
    /// No record is longer than the limit.
    RecordLen,
}

/// A schema in the course of a change.
struct Changing<'n> {
    schema: Schema,
    demands: Vec<Constraint>,
    /// The newest counter of an object.
    counter: &'n dyn Fn(ObjectId) -> u64,
}

impl Schema {
    /// The schema after changes in JSON, and what they demand of the records. `counter` says the newest counter of
    /// an object that is there.
    ///
    /// # Errors
    /// `InvalidSchema`, naming the place; `ObjectNotFound`, `UnknownAttribute`, `UnknownOption`.
    pub fn changed(
        &self,
        json: &str,
        counter: &dyn Fn(ObjectId) -> u64,
    ) -> Result<(Schema, Vec<Constraint>)> {
        let mut changing = Changing { schema: self.clone(), demands: Vec::new(), counter };
        let parsed = parse(json)?;
        let list = match parsed.get().starts_with('[') {
            true => parsed,
            false => {
                let mut members = Members::read("", parsed)?;
                let list = members.take("changes").ok_or_else(|| invalid("", "changes are missing"))?;
                members.finish()?;
                list
            }
        };
        for (path, change) in items("changes", list)? {
            let mut members = Members::read(&path, change)?;
            let (name, body) = members.take_only()?;
            changing.make(&members.path_of(&name), &name, body)?;
            members.finish()?;
            // The next change finds names as this one left them.
            changing.schema.index_names();
        }
        let Changing { schema, demands, .. } = changing;
        Ok((schema.finish()?, demands))
    }
}

impl Changing<'_> {
    fn make(&mut self, path: &str, name: &str, body: &RawValue) -> Result<()> {
        if name == "add_object" {
            return self.schema.add_object(body.get());
        }
        let mut members = Members::read(path, body)?;
        let object: String = members.require("object")?;
        let at = usize::from(self.schema.object(&object)?.id.0);
        match name {
            "rename_object" => self.schema.objects[at].key = members.require("to")?,
            "add_attribute" => self.add_attribute(at, &mut members)?,
            "set_limits" if !members.has("attribute") => self.set_record_len(at, &mut members)?,
            "set_history" if !members.has("attribute") => {
                self.schema.objects[at].history = members.require("history")?;
                self.schema.keep_history(at)?;
            }
            _ => {
                let attribute: String = members.require("attribute")?;
                let place = usize::from(self.schema.objects[at].attribute(&attribute)?.id.0);
                self.change_attribute(path, name, (at, place), &mut members)?;
            }
        }
        members.finish()
    }

    fn change_attribute(
        &mut self,
        path: &str,
        name: &str,
        (at, place): (usize, usize),
        members: &mut Members<'_>,
    ) -> Result<()> {
        let id = AttributeId(place as u16);
        match name {
            "rename_attribute" => self.attribute(at, place).key = members.require("to")?,
            "archive_attribute" => {
                let archived = members.get("archived")?.unwrap_or(true);
                self.refuse_key(path, at, id)?;
                let attribute = self.attribute(at, place);
                attribute.rules.standing = standing(archived);
                // Nobody can write it any more, so nobody can be asked to.
                attribute.required &= !archived;
            }
            "delete_attribute" => self.delete_attribute(path, at, id)?,
            "add_option" => {
                let option = members.require_raw("option")?;
                self.add_option(&members.path_of("option"), (at, place), option)?;
            }
            "rename_option" | "archive_option" | "delete_option" => {
                self.change_option(path, name, (at, place), members)?
            }
            "set_required" => {
                let required = members.require("required")?;
                self.set_required(path, at, id, required)?;
            }
            "set_unique" => self.set_unique(members, at, id)?,
            "widen" => self.widen(members, at, id)?,
            "set_limits" => self.set_limits(members, at, id)?,
            "set_history" => {
                self.attribute(at, place).rules.history = members.require("history")?;
                self.schema.keep_history(at)?;
            }
            "set_next" => self.set_next(members, at, place)?,
            other => {
                return Err(invalid(path, &format!("{} is no change of a schema", excerpt(other))));
            }
        }
        Ok(())
    }

    fn attribute(&mut self, at: usize, place: usize) -> &mut AttributeSchema {
        &mut self.schema.objects[at].attributes[place]
    }

    fn demand(&mut self, at: usize, what: Asked) {
        let demand = Constraint { object: ObjectId(at as u16), what };
        if !self.demands.contains(&demand) {
            self.demands.push(demand);
        }
    }

    fn add_attribute(&mut self, at: usize, members: &mut Members<'_>) -> Result<()> {
        let raw = members.require_raw("attribute")?;
        let path = members.path_of("attribute");
        let object = &self.schema.objects[at];
        let Draft { mut attribute, relation } = read_attribute(&path, raw, object.attributes.len())?;
        attribute.column = object.next_column();
        let (id, object_id) = (attribute.id, object.id);
        if let Some(sequence) = &mut attribute.rules.sequence {
            // The first number is that of the next record.
            let counter = i64::try_from((self.counter)(object_id)).unwrap_or(i64::MAX);
            sequence.offset = sequence.offset.saturating_sub(counter);
        }
        let (required, unique) = (attribute.required, attribute.unique);
        self.schema.objects[at].attributes.push(attribute);
        if required {
            self.demand(at, Asked::Value(id));
        }
        if unique {
            self.add_index(at, id)?;
        }
        self.schema.keep_history(at)?;
        self.schema.relate(relation.map(|relation| ((object_id, id), relation)).into_iter().collect())
    }

    fn add_index(&mut self, at: usize, id: AttributeId) -> Result<()> {
        let tree = self.schema.take_tree()?;
        let index = IndexSchema { tree, attributes: vec![id], primary: false };
        self.schema.objects[at].indexes.push(index);
        Ok(())
    }

    fn refuse_key(&self, path: &str, at: usize, id: AttributeId) -> Result<()> {
        let object = &self.schema.objects[at];
        if object.primary_key().is_some_and(|index| index.attributes.contains(&id)) {
            return Err(invalid(path, "the attribute is part of the primary key"));
        }
        Ok(())
    }

    fn delete_attribute(&mut self, path: &str, at: usize, id: AttributeId) -> Result<()> {
        self.refuse_key(path, at, id)?;
        let object = ObjectId(at as u16);
        for other in &self.schema.objects {
            let names = |attribute: &&AttributeSchema| {
                attribute.rules.standing != Status::Deleted
                    && attribute.rules.inverse.is_some_and(|i| i.object == object && i.attribute == id)
            };
            if let Some(attribute) = other.attributes.iter().find(names) {
                let reason = format!(
                    "{}.{} is the other side of the relation; delete that first",
                    other.key, attribute.key
                );
                return Err(invalid(path, &reason));
            }
        }
        let attribute = self.attribute(at, usize::from(id.0));
        attribute.rules.standing = Status::Deleted;
        attribute.rules.inverse = None;
        attribute.rules.default = None;
        attribute.required = false;
        Ok(())
    }

    fn add_option(&mut self, path: &str, (at, place): (usize, usize), raw: &RawValue) -> Result<()> {
        let mut members = Members::read(path, raw)?;
        let option = SelectOption {
            key: members.require("key")?,
            title: members.get("title")?,
            given_id: members.get("id")?,
            standing: Status::Active,
        };
        members.finish()?;
        let attribute = self.attribute(at, place);
        attribute.options.push(option);
        if attribute.rules.bit_set && attribute.options.len() > super::list::BITS_MAX {
            let reason =
                "the options are a set of 64 bits since the attribute was declared, and all are used";
            return Err(invalid(path, reason));
        }
        Ok(())
    }

    fn change_option(
        &mut self,
        path: &str,
        name: &str,
        (at, place): (usize, usize),
        members: &mut Members<'_>,
    ) -> Result<()> {
        let option: String = members.require("option")?;
        let attribute = self.attribute(at, place);
        let known = |o: &SelectOption| o.standing != Status::Deleted && o.key == option;
        let Some(number) = attribute.options.iter().position(known) else {
            let hint = names::hint(&option, attribute.options.iter().map(|option| option.key.as_str()));
            let reason = format!("there is no option {}{hint}", excerpt(&option));
            return Err(invalid(path, &reason));
        };
        let option = &mut attribute.options[number];
        match name {
            "rename_option" => option.key = members.require("to")?,
            "archive_option" => option.standing = standing(members.get("archived")?.unwrap_or(true)),
            _ => {
                option.standing = Status::Deleted;
                self.demand(at, Asked::NotOption(AttributeId(place as u16), number as u32));
            }
        }
        Ok(())
    }

    fn set_required(&mut self, path: &str, at: usize, id: AttributeId, required: bool) -> Result<()> {
        if !required {
            self.refuse_key(path, at, id)?;
        }
        let attribute = self.attribute(at, usize::from(id.0));
        if required && attribute.read_only && attribute.rules.sequence.is_none() {
            return Err(invalid(path, "the attribute is read_only, and nobody could write the value"));
        }
        if required && attribute.rules.standing == Status::Archived {
            return Err(invalid(path, "the attribute is archived, and nobody could write the value"));
        }
        attribute.required = required;
        if required {
            self.demand(at, Asked::Value(id));
        }
        Ok(())
    }

    fn set_unique(&mut self, members: &mut Members<'_>, at: usize, id: AttributeId) -> Result<()> {
        if !members.get("unique")?.unwrap_or(true) {
            return Err(members.invalid("unique", "an attribute stays unique once it is"));
        }
        let attribute = self.attribute(at, usize::from(id.0));
        if attribute.unique {
            return Ok(());
        }
        attribute.unique = true;
        let object = &self.schema.objects[at];
        // A primary key of this attribute alone is its index already.
        if object.primary_key().is_none_or(|index| index.attributes != [id]) {
            self.add_index(at, id)?;
            self.demand(at, Asked::Unique(id));
        }
        Ok(())
    }

    fn widen(&mut self, members: &mut Members<'_>, at: usize, id: AttributeId) -> Result<()> {
        let name: String = members.require("type")?;
        let decimals: Option<u8> = members.get("decimals")?;
        let to = ValueType::from_name(&name);
        let column = self.schema.objects[at].next_column();
        let indexed = self.schema.objects[at].indexes.iter().any(|index| index.attributes.contains(&id));
        let attribute = self.attribute(at, usize::from(id.0));
        let from = attribute.value_type;
        let Some(to) = to.filter(|to| from.widens_to(*to) && !attribute.rules.multi) else {
            let reason = format!(
                "{from} does not widen to {}; an integer of one value becomes a number, a decimal or a text",
                excerpt(&name)
            );
            return Err(members.invalid("type", &reason));
        };
        if indexed {
            return Err(members.invalid("type", "the attribute is part of a key, whose entries would change"));
        }
        let old = attribute.clone();
        attribute.value_type = to;
        attribute.column = column;
        attribute.decimals = match to {
            ValueType::Decimal => decimals.unwrap_or(super::DECIMALS_DEFAULT),
            _ => 0,
        };
        (attribute.min, attribute.max) = (None, None);
        attribute.prepare();
        let path = members.path().to_string();
        let attribute = self.attribute(at, usize::from(id.0));
        attribute.widen_rules(&old).map_err(|reason| invalid(&path, &reason))?;
        self.demand(at, Asked::Fits(id));
        Ok(())
    }

    fn set_limits(&mut self, members: &mut Members<'_>, at: usize, id: AttributeId) -> Result<()> {
        let attribute = self.attribute(at, usize::from(id.0));
        for name in ["min", "max"] {
            if !members.has(name) {
                continue;
            }
            // Null takes a limit away.
            let cell = limit(members, name, attribute)?;
            match name {
                "min" => attribute.min = cell,
                _ => attribute.max = cell,
            }
        }
        if members.has("max_values") {
            attribute.rules.max_values = members.get("max_values")?;
        }
        check::attribute(attribute).map_err(|reason| invalid(members.path(), &reason))?;
        self.demand(at, Asked::Fits(id));
        Ok(())
    }

    fn set_record_len(&mut self, at: usize, members: &mut Members<'_>) -> Result<()> {
        let max: Option<u32> = members.get("max_record_bytes")?;
        if max == Some(0) {
            return Err(members.invalid("max_record_bytes", "a record needs at least one byte"));
        }
        self.schema.objects[at].max_record_len = max;
        self.demand(at, Asked::RecordLen);
        Ok(())
    }

    fn set_next(&mut self, members: &mut Members<'_>, at: usize, place: usize) -> Result<()> {
        let next: i64 = members.require("next")?;
        let counter = i64::try_from((self.counter)(ObjectId(at as u16))).unwrap_or(i64::MAX);
        let Some(sequence) = &mut self.schema.objects[at].attributes[place].rules.sequence else {
            return Err(invalid(members.path(), "only autonumbers have a next number"));
        };
        // The next record's counter is one more than the newest.
        let now = counter.saturating_add(1).saturating_add(sequence.offset);
        if next < now {
            let reason = format!("the next number is {now} already, and numbers are given once");
            return Err(members.invalid("next", &reason));
        }
        sequence.offset = next - 1 - counter;
        Ok(())
    }
}

impl ObjectSchema {
    /// A column behind all that are or were in use.
    pub(super) fn next_column(&self) -> u16 {
        self.attributes.iter().map(|attribute| attribute.column).max().unwrap_or(0) + 1
    }
}

impl AttributeSchema {
    /// Takes limits and default of the narrower type over.
    fn widen_rules(&mut self, old: &AttributeSchema) -> Result<(), String> {
        let widened = |cell: &Vec<u8>| {
            let number = cell.as_slice().try_into().map(i64::from_le_bytes);
            number
                .map_err(|_| "a limit is no whole number".to_string())
                .and_then(|number| self.widened(number))
        };
        let has_limits = check::has_limits(self);
        let limit = |cell: &Option<Vec<u8>>| cell.as_ref().filter(|_| has_limits).map(&widened).transpose();
        let (min, max) = (limit(&old.min)?, limit(&old.max)?);
        let default = match &old.rules.default {
            Some(super::DefaultValue::Cell(cell)) => Some(super::DefaultValue::Cell(widened(cell)?)),
            other => other.clone(),
        };
        (self.min, self.max, self.rules.default) = (min, max, default);
        self.prepare();
        Ok(())
    }
}

fn standing(archived: bool) -> Status {
    if archived { Status::Archived } else { Status::Active }
}
