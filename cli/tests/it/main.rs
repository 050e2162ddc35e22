//! The tool as its users run it: the built binary, in directories of its own.

#![allow(clippy::disallowed_methods, reason = "tests prepare and read files as a user would")]

mod apply;
mod commands;
mod environment;
mod import;
mod input;
mod kill;
mod past;
mod plans;
mod saving;
mod support;
mod surroundings;
