//! What a caller asks for, as data: a [`Mutation`] names a record and carries a [`Patch`] of [`Op`]s.

pub mod evaluate;
mod filter;
#[expect(clippy::module_inception, reason = "the module is named after its main type")]
mod mutation;
mod op;
mod terms;

pub use filter::{Comparison, Filter};
pub use mutation::{Action, Key, Mode, Mutation, Patch};
pub use op::{Bounds, Op};
pub use terms::{Absent, Link, Terms, Validation};
