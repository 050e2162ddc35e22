//! A store as text, and back: JSON Lines that any later version reads. docs/dump-format.md says it for
//! those who write such files themselves.
//!
//! ```text
//! {"vellum_dump":2,"lsn":17,"commit_time":"…","schema":{"objects":[…]}}
//! {"object":"company","id":"…","version":3,"counter":1,"created_at":"…","updated_at":"…","values":{…}}
//! …
//! {"end":{"lines":2,"counters":{"company":1},"crc32":"9a31b7d2"}}
//! ```
//!
//! | file    | does                                                      |
//! |---------|-----------------------------------------------------------|
//! | `write` | a snapshot as lines                                       |
//! | `read`  | one line as what it says                                  |
//! | `past`  | entries of the history, in front of the records            |
//! | `load`  | lines as a new store                                      |
//!
//! Promises: every value comes back exactly, with ids, versions, counters and times. A file that was cut,
//! or changed at any byte, is an error, for its last line has the number of lines and a checksum of all bytes
//! before it. A load makes a whole store or none: its superblock comes last.

mod history;
mod load;
mod read;
mod write;

pub use load::{LoadReport, load, load_on};
pub use write::dump;

/// Number of the format that is written. Format 1 has no history and no actors, and is read as well.
const FORMAT: u64 = 2;
const FIRST_FORMAT: u64 = 1;
