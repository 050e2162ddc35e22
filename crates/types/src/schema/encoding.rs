//! # Schema: its persisted form
//!
//! | part   | size | meaning                                                                   |
//! |--------|-----:|---------------------------------------------------------------------------|
//! | number |    2 | version of this encoding, u16: 2; 1 is read as well (`encoding_v1`)       |
//! | schema |    n | [`Schema`] in bincode 1.3: fixed-width little-endian integers, u64 counts |
//!
//! In field order: a `Vec` or `String` is its count and its items, an `Option` a byte 0 or 1 and
//! then the value, an enum its number as u32. A field added to a struct is a new encoding version.
//! Valid when nothing follows and the invariants of the room hold; a reader checks both, so that
//! what it hands out never leads anyone out of range.

use super::encoding_v1::SchemaV1;
use super::{Schema, check};
use crate::error::{Error, ErrorKind, Result};
use bincode::Options;
use vellum_bytes::Cursor;

const ENCODING_VERSION: u16 = 2;
const FIRST_VERSION: u16 = 1;

/// Bounds what a damaged length may make us allocate; 65,535 large objects stay below.
const SCHEMA_LEN_MAX: u64 = 64 << 20;

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit(SCHEMA_LEN_MAX)
        .reject_trailing_bytes()
}

impl Schema {
    /// The persisted form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = ENCODING_VERSION.to_le_bytes().to_vec();
        options().serialize_into(&mut bytes, self).expect("a checked schema stays below SCHEMA_LEN_MAX");
        bytes
    }

    /// Reads the persisted form.
    ///
    /// # Errors
    /// `UnknownFormat` for a later encoding, `Corrupt` for bytes that are no valid schema.
    pub fn decode(bytes: &[u8]) -> Result<Schema> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.read::<u16>()?;
        if !(FIRST_VERSION..=ENCODING_VERSION).contains(&version) {
            return Err(Error::new(
                ErrorKind::UnknownFormat,
                format!(
                    "the schema has encoding {version} and this build reads {FIRST_VERSION} to {ENCODING_VERSION}"
                ),
            ));
        }
        let corrupt =
            |reason: String| Error::corrupt("", cursor.offset() as u64, format!("schema: {reason}"));
        let body = &bytes[cursor.offset()..];
        let read = match version {
            FIRST_VERSION => options().deserialize::<SchemaV1>(body).map(Schema::from),
            _ => options().deserialize::<Schema>(body),
        };
        let mut schema = read.map_err(|error| corrupt(error.to_string()))?;
        // Limits and defaults are cells, which are checked by what is built here.
        schema.index_names();
        check::schema(&schema).map_err(corrupt)?;
        Ok(schema)
    }

    /// Whether the persisted form stays below its bound; asked by whoever made or changed a schema.
    pub(super) fn fits_encoding(&self) -> bool {
        options().serialized_size(self).is_ok()
    }
}
