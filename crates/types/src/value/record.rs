//! A record as a caller reads it: its head and the values that are present.

use crate::error::{Error, ErrorKind, Result};
use crate::id::RecordId;
use crate::value::{Actor, Timestamp, Value, Values, de};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A typed record.
///
/// ```text
/// let flight = store.get("flight", id)?;
/// println!("{} is {}", flight.id, flight.get("status").unwrap_or(&Value::Null));
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Its identity.
    pub id: RecordId,
    /// How often it was changed, counted from 1 for its creation.
    pub version: u64,
    /// Its number in the order of creation within the object.
    pub counter: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    values: Vec<(Arc<str>, Value)>,
    /// Numbers of those who created it and changed it last.
    pub actor_numbers: [u32; 2],
    /// The same by name; looked up once the record was read.
    pub actors: [Option<Arc<Actor>>; 2],
}

impl Record {
    /// A record of these parts; `values` holds the attributes that have one, in schema order.
    #[must_use]
    pub fn new(
        id: RecordId,
        version: u64,
        counter: u64,
        created_at: Timestamp,
        updated_at: Timestamp,
        values: Vec<(Arc<str>, Value)>,
    ) -> Record {
        let (actor_numbers, actors) = ([0; 2], [None, None]);
        Record { id, version, counter, created_at, updated_at, values, actor_numbers, actors }
    }

    /// The record with the numbers of its actors.
    pub fn by(mut self, created_by: u32, updated_by: u32) -> Record {
        self.actor_numbers = [created_by, updated_by];
        self
    }

    /// Whether there are actors to be named.
    #[inline]
    pub fn has_actors(&self) -> bool {
        self.actor_numbers != [0; 2]
    }

    /// Who created it, where that was said.
    #[must_use]
    pub fn created_by(&self) -> Option<&Actor> {
        self.actors[0].as_deref()
    }

    /// Who changed it last, where that was said.
    #[must_use]
    pub fn updated_by(&self) -> Option<&Actor> {
        self.actors[1].as_deref()
    }

    /// The value of an attribute; `None` where it has none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// Names and values of the attributes that have one, in schema order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// The values as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect()
    }

    /// The values as a type of the caller's. An attribute without a value is missing: an `Option`
    /// becomes `None`. Decimals, dates, timestamps and UUIDs come as strings, or as numbers where
    /// the type asks for one.
    ///
    /// # Errors
    /// `InvalidValue` when the values do not make a `T`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        de::from_values(&self.values)
            .map_err(|reason| Error::new(ErrorKind::InvalidValue, format!("record {}: {reason}", self.id)))
    }
}

/// The fields of a struct, or the entries of a map, as names with values; `None` becomes null.
///
/// # Errors
/// `InvalidValue` when `value` does not serialize to an object.
pub fn values_from<T: Serialize>(value: &T) -> Result<Values> {
    let refuse = |reason: String| Error::new(ErrorKind::InvalidValue, reason);
    let tree = serde_json::to_value(value)
        .map_err(|error| refuse(format!("a record cannot be made of this value: {error}")))?;
    let serde_json::Value::Object(members) = tree else {
        return Err(refuse("a record is made of a struct or a map with text keys".to_string()));
    };
    Ok(members.into_iter().map(|(name, member)| (name.into(), Value::from_json(member))).collect())
}
