//! Integration tests of the engine, one binary.
#![allow(clippy::disallowed_methods, reason = "tests look at the files themselves")]

mod actors;
mod api;
mod backup;
mod bad_input;
mod beside;
mod commits;
mod common;
mod conformance;
mod crash_rules;
mod crm;
mod damage;
mod dump;
mod end_state;
mod environment;
mod every_bit;
mod faults;
mod flights_linked;
mod full_disk;
mod golden;
mod history;
mod key_lessons;
mod limits;
mod log_damage;
mod nth_call;
mod once;
mod open_cost;
mod past;
mod plans;
mod refusals;
mod relations;
mod repair;
mod schema_changes;
mod torn;
mod trace;
mod types;
