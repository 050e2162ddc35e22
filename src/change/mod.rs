//! The currency of the engine: what a caller asks for ([`Mutation`]) and what it resolves to, as
//! bytes for slots ([`Change`]). Made by `txn`, kept by `wal`, applied by `records`.

mod frame;
mod mutation;

pub use frame::{Cell, Cells, Change, FrameBuilder, FrameHead, Origin, Target, parse};
pub use mutation::{Action, Key, Mode, Mutation, Patch};
