//! The engines, a file each, every one as its own documentation advises.

mod canopy;
mod fjall;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;
mod sqlite;
mod vellum;

use crate::engine::Family;

/// All families; vellum first.
#[must_use]
pub fn all() -> Vec<&'static Family> {
    vec![
        &vellum::FAMILY,
        &sqlite::FAMILY,
        &lmdb::FAMILY,
        &redb::FAMILY,
        &fjall::FAMILY,
        &canopy::FAMILY,
        #[cfg(feature = "rocksdb")]
        &rocks::FAMILY,
    ]
}
