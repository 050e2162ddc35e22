//! The files of a store, byte by byte.

use super::VerifyReport;
use crate::disk::Disk;
use crate::error::Result;
use crate::pagestore::superblock;
use crate::recover;
use std::sync::Arc;

/// Bytes of clean pages that may stay in memory while the log is replayed.
const KEEP_LEN: u64 = 64 << 20;

pub(super) fn check(disk: &Arc<dyn Disk>, report: &mut VerifyReport) -> Result<()> {
    let found = superblock::read(&**disk)?;
    if let Some(damage) = &found.damage {
        report.error(damage);
    }
    match recover::recover(disk, &found, KEEP_LEN, None) {
        Ok(recovered) => report.frame_count = recovered.scan.frame_count,
        Err(error) => report.error(&error),
    }
    Ok(())
}
