//! Integration tests of the engine, one binary.
#![allow(clippy::disallowed_methods, reason = "tests look at the files themselves")]

mod api;
mod backup;
mod bad_input;
mod commits;
mod common;
mod crash_rules;
mod crm;
mod damage;
mod dump;
mod end_state;
mod environment;
mod faults;
mod flights_linked;
mod full_disk;
mod golden;
mod history;
mod key_lessons;
mod log_damage;
mod nth_call;
mod open_cost;
mod plans;
mod refusals;
mod relations;
mod repair;
mod trace;
mod types;
