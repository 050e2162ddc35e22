//! The reserve: room on the disk that is given up only to a checkpoint (crash rule 12).
//!
//! A checkpoint frees log files and, by compaction, segments; so a disk that is full to the last byte
//! gets room again if the checkpoint can be written. The file `reserve` holds zeros and is removed
//! when a checkpoint finds the disk full; it is made again when one has succeeded.

pub(crate) use crate::disk::RESERVE_NAME as FILE_NAME;

use crate::disk::Disk;
use crate::error::Result;

/// Enough for the table nodes and the root of a large store, and for the pages of a small one.
const LEN: u64 = 1 << 20;

/// Makes sure that there is a reserve. A disk without room for it has none; that is no error.
pub(crate) fn keep(disk: &dyn Disk) {
    if let Err(error) = make(disk) {
        tracing::debug!(%error, "no room for the reserve");
        let _ = disk.remove(FILE_NAME);
    }
}

fn make(disk: &dyn Disk) -> Result<()> {
    if disk.list()?.iter().any(|name| name == FILE_NAME) {
        return Ok(());
    }
    disk.create(FILE_NAME)?.allocate_zeroed(LEN)
}

/// Gives the reserve up; true if there was one.
pub(crate) fn give_up(disk: &dyn Disk) -> bool {
    disk.remove(FILE_NAME).is_ok()
}
