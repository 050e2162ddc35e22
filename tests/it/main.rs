//! Integration tests of the engine, one binary.
#![allow(clippy::disallowed_methods, reason = "tests look at the files themselves")]

mod actors;
mod api;
mod backup;
mod bad_input;
mod commits;
mod common;
mod crash_rules;
mod damage;
mod dump;
mod end_state;
mod environment;
mod faults;
mod full_disk;
mod golden;
mod history;
mod log_damage;
mod nth_call;
mod once;
mod open_cost;
mod past;
mod repair;
mod schema_changes;
mod trace;
mod types;
