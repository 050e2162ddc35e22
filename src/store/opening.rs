//! Lock and recover: for a writer, for readers among themselves, and for a reader beside a writer.
//!
//! A reader takes the lock that readers share; it excludes writers. Where a writer has the store open, a
//! reader goes without a lock and looks at the files as a crash of the writer at this moment would leave
//! them: the state that it recovers, in its own memory, is the one of some commit between the start and the
//! end of the opening, and stays so. What it needs cannot change under it: segments are never written
//! again, and are mapped before anybody may unlink them; log files are given back for other use only when
//! the superblock has moved on twice (crash rule 2), which is looked at afterwards. A file that is gone or a
//! frame that is half there means that the writer was faster, and the opening is tried again.

use super::Config;
use crate::disk::{Disk, LOCK_NAME, Lock};
use crate::error::{Error, ErrorKind, Result};
use crate::pagestore::superblock::{self, Found};
use crate::recover::{self, Recovered};
use std::sync::Arc;

/// Openings beside a writer before a reader gives up: each fails only if two checkpoints, or a roll-over
/// of the log, fall into it.
const BESIDE_TRIES: u32 = 20;

/// A store that is locked, where it must be, and recovered.
pub(super) struct Opened {
    pub(super) lock: Option<Box<dyn Lock>>,
    pub(super) found: Found,
    pub(super) recovered: Recovered,
}

pub(super) fn open(disk: &Arc<dyn Disk>, config: &Config) -> Result<Opened> {
    superblock::read(&**disk)?;
    let lock = match config.read_only {
        false => disk.lock(LOCK_NAME).map(Some),
        true => disk.lock_shared(LOCK_NAME),
    };
    match lock {
        Ok(lock) => recover(disk, config, lock),
        // A directory that cannot be written has no writer either.
        Err(error) if config.read_only && error.kind() == ErrorKind::ReadOnly => recover(disk, config, None),
        Err(error) if config.read_only && error.kind() == ErrorKind::Locked => beside(disk, config, &error),
        Err(error) => Err(error),
    }
}

fn recover(disk: &Arc<dyn Disk>, config: &Config, lock: Option<Box<dyn Lock>>) -> Result<Opened> {
    let found = superblock::read(&**disk)?;
    let progress = config.on_progress.as_deref();
    let recovered = recover::recover(disk, &found, config.dirty_budget, progress.map(|p| p as _))?;
    Ok(Opened { lock, found, recovered })
}

fn beside(disk: &Arc<dyn Disk>, config: &Config, locked: &Error) -> Result<Opened> {
    let mut last = locked.again();
    for _ in 0..BESIDE_TRIES {
        match recover(disk, config, None) {
            Ok(opened) => {
                let now = superblock::read(&**disk)?.live.generation;
                if now <= opened.found.live.generation + 1 {
                    return Ok(opened);
                }
            }
            Err(error) => last = error,
        }
        // The writer may have closed meanwhile: then what was found is what there is.
        if let Ok(lock) = disk.lock_shared(LOCK_NAME) {
            return recover(disk, config, lock);
        }
    }
    Err(last)
}
