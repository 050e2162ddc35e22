//! Tools for whole stores: what an administrator runs, and what no request of a record server needs.
//!
//! | function   | what it does                                                                                  |
//! |------------|-----------------------------------------------------------------------------------------------|
//! | [`verify`] | walks the files of a store, and checks every checksum and every reference between structures    |
//! | [`repair`] | puts what can be proven right of a damaged store into a new one, and lists what was lost        |
//! | [`backup`] | copies an open store while others write to it; the copy is verified before the call returns     |
//! | [`dump`]   | writes a snapshot as JSON Lines, with history and system values                                 |
//! | [`load`]   | creates a store from such lines, the same to the last version and time                          |
//!
//! ```
//! use vellum::{Schema, Store, record};
//!
//! # let dir = std::env::temp_dir().join(format!("vellum-doc-admin-{}", std::process::id()));
//! # let _ = std::fs::remove_dir_all(&dir);
//! let schema = r#"{"objects":[{"key":"note","attributes":[{"key":"text","type":"text"}]}]}"#;
//! let store = Store::create(dir.join("notes"), &Schema::from_json(schema)?)?;
//! store.object("note")?.create(record! { "text" => "hello" })?;
//!
//! let backup = vellum_admin::backup(&store, dir.join("copy"))?;
//! assert_eq!(backup.lsn, store.applied_lsn());
//! assert!(vellum_admin::verify(dir.join("copy"))?.is_clean());
//! # drop(store);
//! # std::fs::remove_dir_all(&dir).ok();
//! # Ok::<(), vellum::Error>(())
//! ```

#![forbid(unsafe_code)]

mod backup;
mod dump;
mod import;
mod repair;
mod verify;

pub use backup::{BackupProgress, BackupReport, backup, backup_on, backup_with};
#[doc(hidden)]
pub use dump::load_on;
pub use dump::{LoadReport, dump, load};
pub use repair::{Loss, Repair, RepairReport, repair};
#[doc(hidden)]
pub use verify::verify_on;
pub use verify::{Affected, Finding, VerifyReport, verify};
