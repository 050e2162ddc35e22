//! The storage engine: a write-ahead log, columnar pages, hash indexes, checkpoints and recovery.

#![forbid(unsafe_code)]

pub mod id;
pub mod index;
pub mod page;
pub mod pagestore;
#[doc(hidden)]
pub mod planted;
#[doc(hidden)]
pub mod sync;
pub mod wal;

pub use id::{Address, GROUP_ROWS, Lsn, NUMBER_MAX, RowId, SegmentId, TreeId};
pub use vellum_bytes::{Error, ErrorKind, Place, Result};
