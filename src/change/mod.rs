//! The currency of the engine: what a caller asks for ([`Mutation`]) and what it resolves to, as
//! bytes for slots ([`Change`]). Made by `txn`, kept by `wal`, applied by `records`.

mod filter;
mod frame;
mod mutation;
mod op;
mod terms;

pub use filter::{Comparison, Filter};
pub use frame::{AttributeBits, Cell, Cells, Change, FrameBuilder, FrameHead, Origin, Target, parse};
pub use mutation::{Action, Key, Mode, Mutation, Patch};
pub use op::{Bounds, Op};
pub use terms::{Absent, Link, Terms, Validation};
