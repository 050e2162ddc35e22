//! vellum: an embedded storage engine for record servers.

mod bytes;
mod change;
#[doc(hidden)]
pub mod disk;
mod error;
mod id;
mod page;
mod schema;
mod text;
mod value;
mod wal;

pub use error::{Conflict, Error, ErrorKind, Place, Result};
pub use change::Patch;
pub use value::Value;
