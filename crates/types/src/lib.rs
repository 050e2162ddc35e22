//! Values, schemas and mutations of vellum, as data and as JSON. Pure: nothing here reads a disk, a clock or a random
//! number, so that all of it is tested exhaustively, and a client can use it without an engine.
//!
//! | module       | holds                                                                                     |
//! |--------------|-------------------------------------------------------------------------------------------|
//! | [`value`]    | [`Value`] and [`Record`], one type a kind of value; cells, the form that pages hold         |
//! | [`schema`]   | [`Schema`]: objects, attributes, options, limits, and the changes that a schema may take    |
//! | [`mutation`] | [`Mutation`]: what a caller asks for, as data                                               |
//! | [`mutation::evaluate`] | what a mutation does to one record's values: ops, conditions, precedence          |
//! | [`text`]     | mutations, values and records as lines of JSON, streaming                                  |
//! | [`id`]       | ids of records, objects and attributes                                                     |
//!
//! ```
//! use vellum_types::{Action, Schema, text};
//!
//! let schema = Schema::from_json(
//!     r#"{"objects":[{"key":"company","primary_key":["domain"],"attributes":[
//!         {"key":"domain","type":"text"}, {"key":"seats","type":"integer"}]}]}"#,
//! )?;
//! let line = br#"{"op":"update","object":"company","key":{"domain":"acme.example"},"set":{"seats":6}}"#;
//! let mutation = text::parse_mutation(&schema, line)?;
//! assert_eq!((mutation.action, mutation.patch.set.len()), (Action::Update, 1));
//! # Ok::<(), vellum_types::Error>(())
//! ```

#![forbid(unsafe_code)]

mod error;
pub mod id;
pub mod mutation;
pub mod schema;
pub mod text;
pub mod value;

pub use error::{Conflict, Error, ErrorKind, Result};
pub use id::{AttributeId, ObjectId, RecordId};
pub use mutation::{
    Absent, Action, Bounds, Comparison, Filter, Key, Link, Mode, Mutation, Op, Patch, Terms, Validation,
};
pub use schema::Schema;
pub use value::{Actor, ActorKind, CurrencyCode, Date, Decimal, Json, Name, Record, Timestamp, Value};
pub use vellum_bytes::Place;
