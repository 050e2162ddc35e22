//! vellum: an embedded storage engine for record servers.

mod bytes;
mod change;
#[doc(hidden)]
pub mod disk;
mod error;
mod id;
mod index;
mod page;
mod pagestore;
mod records;
mod recover;
mod schema;
mod store;
pub mod text;
mod txn;
mod value;
mod verify;
mod wal;

pub use change::{Action, Key, Mode, Mutation, Patch};
pub use error::{Conflict, Error, ErrorKind, Place, Result};
pub use id::{Lsn, RecordId};
pub use pagestore::CheckpointReport;
pub use recover::RecoveryReport;
pub use schema::Schema;
pub use store::{
    Commit, Config, Durability, Health, IndexStats, Object, ObjectStats, Progress, Snapshot, Stats, Store, Txn,
};
pub use txn::Outcome;
pub use verify::{Finding, VerifyReport, verify};
#[doc(hidden)]
pub use verify::verify_on;
pub use value::{Date, Decimal, Json, Record, Timestamp, Value};
