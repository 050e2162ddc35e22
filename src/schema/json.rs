//! The neutral JSON form of a schema, read and written, and the changes that callers send in it.
//!
//! ```json
//! {"objects": [{"key": "plane", "title": "Plane", "primary_key": ["tailnum"], "max_record_bytes": 32768,
//!   "attributes": [
//!     {"key": "tailnum", "type": "text", "required": true},
//!     {"key": "price", "type": "decimal", "decimals": 2, "min": 0},
//!     {"key": "state", "type": "select", "options": [{"key": "active", "title": "Active"}]},
//!     {"key": "seen", "type": "timestamp", "unit": "us"}]}]}
//! ```
//!
//! Also on attributes: `unique`, `read_only`, `max`, `title`. Members of the neutral form that this
//! version does not support are refused by name unless they are null or false; others are unknown.
//! A primary key makes its attributes required, whether they say so or not.

use super::{
    AttributeSchema, DECIMALS_DEFAULT, IndexSchema, Names, ObjectSchema, Schema, SelectOption, check,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AttributeId, ObjectId, TreeId};
use crate::value::{Date, Decimal, Timestamp, Value, ValueType, excerpt};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

const OBJECT_LATER: &[&str] = &["id", "name", "external_id", "owners", "followers", "open", "history"];
const ATTRIBUTE_LATER: &[&str] = &[
    "id",
    "multi",
    "history",
    "max_values",
    "default",
    "labels",
    "refers_to",
    "inverse",
    "currency",
    "pattern",
    "custom_values",
    "prefix",
    "padding",
    "next",
    "ordered",
    "on_delete",
    "archived",
];
const OPTION_LATER: &[&str] = &["id", "archived"];

impl Schema {
    /// Reads the neutral JSON form: `{"objects": […]}`, or the array alone.
    ///
    /// # Errors
    /// `InvalidSchema`, naming the place and what is wrong there.
    pub fn from_json(text: &str) -> Result<Schema> {
        let mut schema = Schema::default();
        for (path, object) in items("objects", objects_of(parse(text)?)?)? {
            read_object(&mut schema, &path, object)?;
        }
        schema.finish()
    }

    /// The neutral JSON form; [`Schema::from_json`] makes the same schema of it.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::json_out::pretty(self)
    }

    /// Adds an object in the neutral JSON form. On an error the schema is as before.
    ///
    /// # Errors
    /// `InvalidSchema`.
    pub fn add_object(&mut self, json: &str) -> Result<()> {
        let mut changed = self.clone();
        read_object(&mut changed, "object", parse(json)?)?;
        *self = changed.finish()?;
        Ok(())
    }

    /// Adds an attribute in the neutral JSON form; records that exist have no value for it. Costs
    /// nothing per record. On an error the schema is as before.
    ///
    /// # Errors
    /// `ObjectNotFound`; `InvalidSchema`, also for an attribute that is required or unique.
    pub fn add_attribute(&mut self, object: &str, json: &str) -> Result<()> {
        let at = usize::from(self.object(object)?.id.0);
        let mut changed = self.clone();
        let count = changed.objects[at].attributes.len();
        let attribute = read_attribute("attribute", parse(json)?, count)?;
        if attribute.required {
            return Err(invalid(
                "attribute.required",
                "records that exist have no value for a new attribute; add it as optional",
            ));
        }
        if attribute.unique {
            return Err(invalid(
                "attribute.unique",
                "this version builds an index only with its object; add the attribute without unique",
            ));
        }
        changed.objects[at].attributes.push(attribute);
        *self = changed.finish()?;
        Ok(())
    }

    fn finish(mut self) -> Result<Schema> {
        check::schema(&self).map_err(|reason| Error::new(ErrorKind::InvalidSchema, reason))?;
        if !self.fits_encoding() {
            return Err(invalid("", "the schema is over 64 MiB"));
        }
        self.index_names();
        Ok(self)
    }

    fn take_tree(&mut self) -> Result<TreeId> {
        let tree = self.next_tree;
        let next = tree.0.checked_add(1).ok_or_else(|| invalid("", "all tree numbers are used"))?;
        self.next_tree = TreeId(next);
        Ok(tree)
    }
}

/// The array of objects: a member, or the whole text.
fn objects_of(json: &RawValue) -> Result<&RawValue> {
    if json.get().starts_with('[') {
        return Ok(json);
    }
    let mut members = Members::read("", json)?;
    let objects = members.take("objects").ok_or_else(|| invalid("", "objects are missing"))?;
    members.finish(&[])?;
    Ok(objects)
}

fn read_object(schema: &mut Schema, path: &str, json: &RawValue) -> Result<()> {
    let mut members = Members::read(path, json)?;
    let id = u16::try_from(schema.objects.len()).map_err(|_| invalid(path, "there are 65535 objects"))?;
    let mut object = ObjectSchema {
        id: ObjectId(id),
        key: members.require("key")?,
        title: members.get("title")?,
        tree: schema.take_tree()?,
        attributes: Vec::new(),
        indexes: Vec::new(),
        max_record_len: members.get("max_record_bytes")?,
        name: Arc::from(""),
        names: Names::default(),
    };
    if object.max_record_len == Some(0) {
        return Err(members.invalid("max_record_bytes", "a record needs at least one byte"));
    }
    if let Some(attributes) = members.take("attributes") {
        for (path, attribute) in items(&members.path_of("attributes"), attributes)? {
            object.attributes.push(read_attribute(&path, attribute, object.attributes.len())?);
        }
    }
    if let Some(key) = members.get::<Vec<String>>("primary_key")? {
        let index = primary_key(&mut object, &key, schema)
            .map_err(|reason| members.invalid("primary_key", &reason))?;
        object.indexes.push(index);
    }
    for attribute in object.attributes.iter().filter(|attribute| attribute.unique) {
        let indexed = object.indexes.first().is_some_and(|primary| primary.attributes == [attribute.id]);
        if !indexed {
            let index =
                IndexSchema { tree: schema.take_tree()?, attributes: vec![attribute.id], primary: false };
            object.indexes.push(index);
        }
    }
    members.finish(OBJECT_LATER)?;
    schema.objects.push(object);
    Ok(())
}

fn primary_key(
    object: &mut ObjectSchema,
    key: &[String],
    schema: &mut Schema,
) -> Result<IndexSchema, String> {
    let mut attributes = Vec::with_capacity(key.len());
    for name in key {
        let attribute = object.attributes.iter_mut().find(|attribute| attribute.key == *name);
        let attribute = attribute.ok_or_else(|| format!("there is no attribute {}", excerpt(name)))?;
        if attribute.read_only {
            return Err(format!("{name} is read_only, and nobody could write the key"));
        }
        attribute.required = true;
        attributes.push(attribute.id);
    }
    let tree = schema.take_tree().map_err(|error| error.to_string())?;
    Ok(IndexSchema { tree, attributes, primary: true })
}

fn read_attribute(path: &str, json: &RawValue, position: usize) -> Result<AttributeSchema> {
    let mut members = Members::read(path, json)?;
    let id = u16::try_from(position)
        .ok()
        .filter(|id| *id < u16::MAX)
        .ok_or_else(|| invalid(path, "an object has at most 10000 attributes"))?;
    let key: String = members.require("key")?;
    let type_name: String = members.require("type")?;
    let value_type = value_type(&members, &type_name, &key)?;
    let decimals = if value_type == ValueType::Decimal { DECIMALS_DEFAULT } else { 0 };
    let mut attribute = AttributeSchema {
        id: AttributeId(id),
        column: id + 1,
        title: members.get("title")?,
        value_type,
        required: members.get("required")?.unwrap_or(false),
        unique: members.get("unique")?.unwrap_or(false),
        read_only: members.get("read_only")?.unwrap_or(false),
        decimals: members.get("decimals")?.unwrap_or(decimals),
        microseconds: microseconds(&mut members)?,
        min: None,
        max: None,
        options: read_options(&mut members)?,
        name: Arc::from(key.as_str()),
        option_names: Names::default(),
        key,
    };
    if attribute.required && attribute.read_only {
        return Err(members.invalid("read_only", "nobody could write the value that is required"));
    }
    let limits = (limit(&mut members, "min", &attribute)?, limit(&mut members, "max", &attribute)?);
    (attribute.min, attribute.max) = limits;
    members.finish(ATTRIBUTE_LATER)?;
    check::attribute(&attribute).map_err(|reason| invalid(path, &reason))?;
    Ok(attribute)
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
        read.push(SelectOption { key: members.require("key")?, title: members.get("title")? });
        members.finish(OPTION_LATER)?;
    }
    Ok(read)
}

/// `min` or `max` as a cell. Numbers are taken digit by digit, so that a decimal's limit is exact.
fn limit(members: &mut Members<'_>, name: &str, attribute: &AttributeSchema) -> Result<Option<Vec<u8>>> {
    let Some(raw) = members.take(name) else {
        return Ok(None);
    };
    let value_type = attribute.value_type;
    if !check::has_limits(value_type) {
        let reason =
            format!("attributes of type {value_type} have no limits; numbers, dates and timestamps have");
        return Err(members.invalid(name, &reason));
    }
    limit_value(value_type, raw)
        .and_then(|value| attribute.encode_cell(&value))
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

fn parse(text: &str) -> Result<&RawValue> {
    serde_json::from_str(text).map_err(|error| invalid("", &format!("not JSON: {error}")))
}

#[cold]
fn invalid(path: &str, reason: &str) -> Error {
    let text = if path.is_empty() { reason.to_string() } else { format!("{path}: {reason}") };
    Error::new(ErrorKind::InvalidSchema, text)
}

fn items<'a>(path: &str, json: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>> {
    let items: Vec<&RawValue> =
        serde_json::from_str(json.get()).map_err(|_| invalid(path, "expected an array"))?;
    Ok(items.into_iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect())
}

/// The members of one JSON object, taken one by one; what is left at the end is not known.
struct Members<'a> {
    path: String,
    entries: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    fn read(path: &str, json: &'a RawValue) -> Result<Members<'a>> {
        let Entries(entries) = serde_json::from_str(json.get())
            .map_err(|error| invalid(path, &format!("expected an object: {error}")))?;
        let members = Members { path: path.to_string(), entries };
        let mut names: Vec<&str> = members.entries.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(members.invalid(pair[0], "stands twice")),
            None => Ok(members),
        }
    }

    fn path_of(&self, name: &str) -> String {
        let name = super::names::shortened(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    fn invalid(&self, name: &str, reason: &str) -> Error {
        invalid(&self.path_of(name), reason)
    }

    /// The member, unless it is absent or null.
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.entries.swap_remove(at);
        (raw.get() != "null").then_some(raw)
    }

    fn get<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        let read = serde_json::from_str(raw.get());
        read.map(Some).map_err(|error| {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            self.invalid(name, reason)
        })
    }

    fn require<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| self.invalid(name, "is missing"))
    }

    /// Refuses what nobody took: members of a later version unless they are off, and unknown ones.
    fn finish(self, later: &[&str]) -> Result<()> {
        for (name, raw) in &self.entries {
            let is_later = later.contains(&name.as_str());
            if is_later && !matches!(raw.get(), "null" | "false") {
                let reason = format!("{name} is not supported by this version; leave it out");
                return Err(self.invalid(name, &reason));
            }
            if !is_later {
                return Err(self.invalid(name, "there is no such member"));
            }
        }
        Ok(())
    }
}

/// A JSON object as its entries, in order, duplicates kept.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<'a>, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
