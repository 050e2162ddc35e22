//! The storage engine: a write-ahead log, columnar pages, hash indexes, checkpoints and recovery. It knows bytes,
//! addresses and log records; what they mean is a [`StateMachine`]'s: no schema, value or mutation is in here.
//!
//! | module        | holds                                                                                     |
//! |---------------|-------------------------------------------------------------------------------------------|
//! | [`engine`]    | an open engine; [`engine::commit`] is the function to read first, it lists the protocol     |
//! | [`machine`]   | the seam: what the engine asks of the state that it keeps                                  |
//! | [`log`]       | log files, frames, group commit, reading back, what was reported durable                   |
//! | [`page`]      | what is inside one page, a file a layout: images, slots, texts, buckets, deltas            |
//! | [`pages`] | where pages live: row groups as bases and deltas, segments, page table, superblock         |
//! | [`index`]     | linear hashing over bucket pages                                                          |
//! | [`id`]        | numbers of records in the log, trees, rows and segments                                   |
//!
//! # What it promises
//!
//! - A commit that was waited for at [`Durability::Sync`] survives a power cut, at [`Durability::Buffered`] the death of
//!   the process. It is there whole or not at all.
//! - Bytes read from disk are checked at their first touch: the answer is right or [`ErrorKind::Corrupt`].
//! - Commits, loads and recovery go through one [`StateMachine::apply`], so that a state after a crash is the state
//!   before it.
//! - The cost of a commit, and of opening, does not depend on how much is stored, cache misses aside.
//!
//! # A key-value store on it
//!
#![doc = concat!("```\n", include_str!("../examples/key_value.rs"), "```")]
#![forbid(unsafe_code)]

pub mod engine;
pub mod id;
pub mod index;
pub mod log;
pub mod machine;
mod options;
pub mod page;
pub mod pages;
#[doc(hidden)]
pub mod planted;
mod random;
#[doc(hidden)]
pub mod sync;

/// The example is the state machine of unit tests too.
#[cfg(test)]
extern crate self as vellum_engine;
#[cfg(test)]
#[expect(dead_code, reason = "its main function is for the example")]
#[path = "../examples/key_value.rs"]
mod key_value;

pub use engine::{Engine, Handle, Health, Held, RecoveryReport, Work};
pub use id::{Address, GROUP_ROWS, Lsn, NUMBER_MAX, RowId, SegmentId, TreeId};
pub use machine::{StateAt, StateMachine};
pub use options::{Durability, OnProgress, Options, Progress};
pub use random::Random;
pub use vellum_bytes::{Error, ErrorKind, Place, Result};
