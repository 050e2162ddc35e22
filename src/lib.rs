//! An embedded storage engine for record servers: programs that keep typed, user-defined records and
//! whose dominant request is "change these two attributes of that record, leave everything else".
//!
//! A store is a directory. It is made from a [`Schema`], opened as a [`Store`], and read and changed
//! through an [`Object`] (one kind of record), a [`Txn`] (several records at once) or a [`Mutation`]
//! (the same as data, as the tool and servers pass it).
//!
//! ```
//! use vellum::{Schema, Store, Value, patch, record};
//!
//! # let dir = std::env::temp_dir().join(format!("vellum-doc-{}", std::process::id()));
//! # let _ = std::fs::remove_dir_all(&dir);
//! let schema = Schema::from_json(
//!     r#"{"objects":[{"key":"company","primary_key":["domain"],"attributes":[
//!         {"key":"domain","type":"text"}, {"key":"seats","type":"integer"}]}]}"#,
//! )?;
//! let store = Store::create(&dir, &schema)?;
//! let companies = store.object("company")?;
//! companies.create(record! { "domain" => "acme.example", "seats" => 5 })?;
//! let outcome = companies.update(("domain", "acme.example"), patch! { "seats" => 6 })?;
//! assert_eq!(outcome.version, 2);
//! let acme = companies.get(outcome.id)?.expect("it was just made");
//! assert_eq!(acme.get("seats"), Some(&Value::Integer(6)));
//! # drop((companies, store));
//! # std::fs::remove_dir_all(&dir).ok();
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! # What is promised
//!
//! - A commit that was waited for at [`Durability::Sync`] survives a power cut, at
//!   [`Durability::Buffered`] the death of the process. A transaction is there whole or not at all.
//! - A refused mutation leaves no trace. A [`Conflict`] names attribute, key and the record that has it.
//! - Bytes read from disk are checked at their first touch: the answer is right or
//!   [`ErrorKind::Corrupt`].
//! - Cost per patch does not depend on the number of records, cache misses aside; neither does opening.
//!
//! # How to read the code
//!
//! From the floor up: `change` (what flows), `log` (where it is kept), `page` and `pages` (where
//! it goes), `records::apply` (how it gets there), `txn` (what is checked before), `recover` (the same
//! after a crash), `store` (who calls whom). ARCHITECTURE.md has the map.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod records;
#[doc(hidden)]
pub mod redo;
#[cfg(all(test, vellum_shuttle))]
mod schedules;
mod store;
mod txn;

/// What `vellum-admin` takes of a store's inside, with the hidden rooms above: no promise to other callers.
#[doc(hidden)]
pub mod internal {
    pub use vellum_engine::Random;
}

pub use store::{Commit, Config, IndexStats, Object, ObjectStats, PastValue, Snapshot, Stats, Store, Txn};
pub use txn::{Once, Other, Outcome};
#[doc(hidden)]
pub use vellum_disk as disk;
#[doc(hidden)]
pub use vellum_engine::Work;
pub use vellum_engine::pages::CheckpointReport;
pub use vellum_engine::{Durability, Health, Lsn, Progress, RecoveryReport};
pub use vellum_types::text;
pub use vellum_types::{
    Absent, Action, Actor, ActorKind, Bounds, Comparison, Conflict, CurrencyCode, Date, Decimal, Error,
    ErrorKind, Filter, Json, Key, Link, Mode, Mutation, Name, Op, Patch, Place, Record, RecordId, Result,
    Schema, Terms, Timestamp, Validation, Value, patch, record,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
