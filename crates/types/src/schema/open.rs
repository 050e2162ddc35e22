//! Members that an open object does not know: one JSON object in a hidden attribute, its members in the
//! order of their names, none of them null.

use super::attribute::Refusal;
use super::scalar::{all_finite, too_long};
use super::{ObjectSchema, check};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Json, TEXT_LEN_MAX, Value, write_json};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

type Members = BTreeMap<String, Box<RawValue>>;

impl ObjectSchema {
    /// Whether this is a member that only an open object takes, and this one does.
    #[must_use]
    #[inline]
    pub fn takes_unknown(&self, name: &str) -> bool {
        self.open.is_some() && self.find_attribute(name).is_none()
    }

    /// Appends the cell of the hidden attribute: what `current` has, with these members set, or taken
    /// away where they are null. False when none is left; nothing is appended then.
    ///
    /// # Errors
    /// `UnknownAttribute` for a name that no member may have, `InvalidValue`, `LimitExceeded`;
    /// `Corrupt` when `current` is no such cell.
    pub fn merge_unknown<'v>(
        &self,
        current: Option<&[u8]>,
        members: impl Iterator<Item = (&'v str, &'v Value)>,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let mut merged: Members = match current {
            None => Members::new(),
            Some(cell) => serde_json::from_slice(cell)
                .map_err(|error| Error::corrupt("", 0, format!("unknown members of a record: {error}")))?,
        };
        for (name, value) in members {
            match self.unknown(name, value)? {
                None => drop(merged.remove(name)),
                Some(value) => drop(merged.insert(name.to_string(), value)),
            }
        }
        if merged.is_empty() {
            return Ok(false);
        }
        let start = out.len();
        serde_json::to_writer(&mut *out, &merged).expect("writing to a Vec<u8> cannot fail");
        let len = out.len() - start;
        if len > TEXT_LEN_MAX {
            out.truncate(start);
            let Refusal { kind, reason, .. } = too_long(len);
            let error = Error::attribute(kind, &self.key, "unknown members", reason);
            return Err(error.with_limit(TEXT_LEN_MAX as u64, len as u64));
        }
        Ok(true)
    }

    /// The members of a hidden attribute's value which the object does not know. An attribute that came later, or
    /// got another name, hides the member that has its name.
    pub fn unknown_members(&self, hidden: &Value) -> Vec<(Arc<str>, Value)> {
        let mut members = members(hidden);
        members.retain(|(name, _)| self.takes_unknown(name));
        members
    }

    /// Refuses a member that even an open object does not take.
    ///
    /// # Errors
    /// `UnknownAttribute` for a name that no member may have, `InvalidValue`.
    pub fn check_unknown(&self, name: &str, value: &Value) -> Result<()> {
        self.unknown(name, value).map(drop)
    }

    /// A member as it is kept; none for null.
    fn unknown(&self, name: &str, value: &Value) -> Result<Option<Box<RawValue>>> {
        check::name(name)
            .map_err(|reason| Error::attribute(ErrorKind::UnknownAttribute, &self.key, name, reason))?;
        if is_no_member(value) {
            return Ok(None);
        }
        let refused = |refusal: Refusal| Error::attribute(refusal.kind, &self.key, name, refusal.reason);
        raw(value).map(Some).map_err(refused)
    }
}

/// Whether a value takes a member away: null, also where it is written as JSON, since a member has no type that
/// could tell the two apart.
pub fn is_no_member(value: &Value) -> bool {
    match value {
        Value::Json(json) => json.as_str() == "null",
        value => value.is_null(),
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>, Refusal> {
    all_finite(value)?;
    let mut text = Vec::new();
    write_json(&mut text, value);
    let text = String::from_utf8(text).expect("JSON is written as UTF-8");
    // The object around it is one level more.
    Json::parse(&format!("[{text}]")).map_err(|error| error.to_string())?;
    RawValue::from_string(text).map_err(|error| error.to_string().into())
}

/// The members of a hidden attribute's value, as untyped JSON means them.
fn members(value: &Value) -> Vec<(Arc<str>, Value)> {
    let Value::Json(json) = value else { return Vec::new() };
    let members: Members = serde_json::from_str(json.as_str()).unwrap_or_default();
    let typed = |raw: &RawValue| match raw.get().starts_with(['[', '{']) {
        true => Json::parse(raw.get()).map(Value::Json).unwrap_or_default(),
        false => serde_json::from_str(raw.get()).map(Value::from_json).unwrap_or_default(),
    };
    members.into_iter().map(|(name, raw)| (Arc::from(name), typed(&raw))).collect()
}
