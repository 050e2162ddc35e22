//! Identities: of a record, of an object, of an attribute. Plain data, touches std and `uuid` alone.

use crate::error::Error;
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Number of an object in the schema; never reused within a store.
    ObjectId(u16)
}
number! {
    /// Number of an attribute within its object; never reused within the object.
    AttributeId(u16)
}

/// Identity of a record: a UUID, unique in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordId(pub uuid::Uuid);

impl RecordId {
    /// The 16 bytes, in the order in which the UUID is printed.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The id with these 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> RecordId {
        RecordId(uuid::Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl From<uuid::Uuid> for RecordId {
    fn from(id: uuid::Uuid) -> RecordId {
        RecordId(id)
    }
}

impl From<&RecordId> for RecordId {
    fn from(id: &RecordId) -> RecordId {
        *id
    }
}

impl std::str::FromStr for RecordId {
    type Err = Error;

    fn from_str(text: &str) -> Result<RecordId, Error> {
        uuid::Uuid::try_parse(text).map(RecordId).map_err(|_| {
            Error::invalid_input(format!(
                "{text:?} is not a record id; write it as 8-4-4-4-12 hexadecimal digits"
            ))
        })
    }
}
