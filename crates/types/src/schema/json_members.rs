//! The members of the neutral JSON form, taken one by one, with the path of each for messages.

use crate::error::{Error, ErrorKind, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

pub(super) fn parse(text: &str) -> Result<&RawValue> {
    serde_json::from_str(text).map_err(|error| invalid("", &format!("not JSON: {error}")))
}

#[cold]
pub(super) fn invalid(path: &str, reason: &str) -> Error {
    let text = if path.is_empty() { reason.to_string() } else { format!("{path}: {reason}") };
    Error::new(ErrorKind::InvalidSchema, text)
}

pub(super) fn items<'a>(path: &str, json: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>> {
    let items: Vec<&RawValue> =
        serde_json::from_str(json.get()).map_err(|_| invalid(path, "expected an array"))?;
    Ok(items.into_iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect())
}

/// The members of one JSON object, taken one by one; what is left at the end is not known.
pub(super) struct Members<'a> {
    path: String,
    entries: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    pub(super) fn read(path: &str, json: &'a RawValue) -> Result<Members<'a>> {
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

    /// Where the object is.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        let name = super::names::shortened(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn invalid(&self, name: &str, reason: &str) -> Error {
        invalid(&self.path_of(name), reason)
    }

    /// The member, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.entries.swap_remove(at);
        (raw.get() != "null").then_some(raw)
    }

    pub(super) fn get<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>> {
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

    pub(super) fn require<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| self.invalid(name, "is missing"))
    }

    /// Whether the member is there, were it null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key == name)
    }

    /// The member as it is.
    pub(super) fn require_raw(&mut self, name: &str) -> Result<&'a RawValue> {
        self.take(name).ok_or_else(|| self.invalid(name, "is missing"))
    }

    /// The only member, with its name.
    pub(super) fn take_only(&mut self) -> Result<(String, &'a RawValue)> {
        match self.entries.len() {
            1 => Ok(self.entries.remove(0)),
            count => Err(invalid(&self.path, &format!("expected one member, found {count}"))),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<()> {
        match self.entries.first() {
            Some((name, _)) => Err(self.invalid(name, "there is no such member")),
            None => Ok(()),
        }
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
