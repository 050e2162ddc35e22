//! Test tools for vellum: a model of what a store should answer, a generator of operations, a disk in
//! memory that crashes and fails on demand, and the comparison of store and model.
//!
//! Nothing here shares code with the engine: a mistake there is not repeated here.

pub mod alter;
pub mod campaign;
pub mod changes;
pub mod compare;
pub mod compare_past;
pub mod defaults;
mod entries;
pub mod history;
pub mod links;
mod matching;
pub mod model;
pub mod nested;
pub mod numbers;
pub mod open;
pub mod ops;
pub mod past;
pub mod plan;
pub mod relations;
pub mod run;
mod samples;
pub mod schema;
pub mod sim;
mod size;
pub mod terms;
pub mod undo;
pub mod values;

pub use compare::{compare, replay_check};
pub use model::Model;
pub use vellum_sim::{Crash, Event, Fault, FileSystem, MemDisk, Op, Rng};
