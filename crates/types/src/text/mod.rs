//! Text in, mutations out; records in, text out. Streaming: one line or one field at a time.
//!
//! # Mutation line
//!
//! One JSON object a line:
//!
//! ```json
//! {"op":"create","object":"flight","values":{"carrier":"UA","flight":1545},"id":"…","at":"…"}
//! {"op":"update","object":"flight","key":{"carrier":"UA","flight":1545},"set":{"dest":"IAH"},"clear":["tailnum"],"if_version":3,"mode":"merge","at":"…"}
//! {"op":"upsert","object":"plane","key":{"tailnum":"N14228"},"set":{"seats":149}}
//! {"op":"delete","object":"flight","id":"…","if_version":4}
//! ```
//!
//! Those are the members of a plain line; `docs/mutations.md` has all of them, and [`MUTATION_SCHEMA`] as a
//! JSON Schema: parts by what is there (`terms`), changes that look at the value (`ops`), conditions
//! (`filter`), references that are found or made on the way. Lines that were valid once stay valid.
//!
//! An update, upsert or delete has one of `id`, `key` (or `match`) and `named`. An unknown member, and a
//! member or attribute that stands twice, are errors; whether objects and attributes exist and values
//! fit is judged by the write, in one place. The order is free; `object` before values is fastest.

mod field;
mod filter;
mod mutation;
mod ops;
mod record;
mod terms;
mod values;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_kinds;

/// A JSON Schema of mutation lines.
pub const MUTATION_SCHEMA: &str = include_str!("mutation.schema.json");

pub use field::value_from_text;
pub use mutation::parse_mutation;
pub use record::format_record;
pub use values::read_values;
