//! What several fuzz targets share: a store that is kept, small stores to damage, checksums made anew.

pub mod damage;
pub mod kept;
pub mod parsers;
pub mod reseal;

use std::sync::Arc;
use vellum::{Config, Durability, Timestamp};

/// Settings under which an input gives the same run each time: the store has no threads of its own,
/// time stands still, ids follow from a number, and log files are as small as they can be, so that they roll
/// over and cost little.
pub fn config(seed: u64) -> Config {
    Config::new()
        .durability(Durability::Buffered)
        .threads(false)
        .seed(seed)
        .clock(Arc::new(|| Timestamp(1_700_000_000_000_000_000)))
        .log_file_len(32 << 10, 128 << 10)
}
