//! Deterministic simulation: one seed decides schema, settings, file system, mutations, who commits while
//! whose sync or checkpoint is under way, faults, and when the process or the machine dies, recovery
//! included; then the same again on what is left.
//!
//! | file      | holds                                                                               |
//! |-----------|-------------------------------------------------------------------------------------|
//! | `oracle`  | what a store may hold after a crash: a state between two bounds                     |
//! | `clients` | those who change records, one call at a time, also in the middle of another's call  |
//! | `faults`  | which calls fail                                                                    |
//! | `life`    | sessions of one store: work, death, recovery, check                                 |
//! | `surroundings` | what other programs do to the directory of an open store, and to its path      |
//!
//! The store has no threads of its own here ([`Config::threads`](vellum::Config)); what they would do is
//! done when the seed says so. So a seed gives the same run each time, call by call.
//!
//! What must hold, whatever happens: recovery shows exactly the state after some prefix of the commits, at
//! least those that were acknowledged as durable and at most those that were attempted; indexes and
//! counters agree with it; `verify` finds nothing; a refusal leaves no trace; no call panics.

mod clients;
mod faults;
mod life;
mod oracle;
mod surroundings;

pub use life::run;
pub use oracle::{Oracle, is_placeholder};

/// Everything that a campaign must have seen.
pub const MUST_HAPPEN: &[&str] = &[
    "acknowledged",
    "checkpoint",
    "checkpoint that failed",
    "clean close",
    "commit while a checkpoint is written",
    "commit while a sync is under way",
    "commit whose fate was open",
    "compaction",
    "create refused, made again",
    "death in a session",
    "death while recovering",
    "delete restricted",
    "directory deleted",
    "directory renamed",
    "fault while recovering",
    "kill",
    "lock file deleted",
    "log file deleted",
    "log file replaced",
    "log file made ahead",
    "other records changed along",
    "nested create",
    "power cut",
    "reopened in process",
    "refused for a fault",
    "schema changed",
    "snapshot compared",
    "stopped by a fault",
    "superblock deleted",
    "superblock overwritten",
    "superblock replaced",
    "torn tail cut",
    "unacknowledged commits lost",
    "request",
    "restore",
    "revert",
    "value put into the past",
    "verified",
];
