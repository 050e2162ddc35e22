//! Lock and recover: for a writer, and for readers, who need no lock.
//!
//! A writer holds the lock from here on; while another one has it, it waits as long as [`Options::lock_wait`] says.
//!
//! A reader takes no lock. It looks at the files as a crash of the writer at this moment would leave
//! them: the state that it recovers, in its own memory, is the one of some commit between the start and the
//! end of the opening, and stays so. What it needs cannot change under it: segments are never written
//! again, and are open before they may be unlinked; log files are given back for other use only when
//! the superblock has moved on twice (crash rule 2), which is looked at afterwards. A file that is missing or a
//! frame that is half there may mean that a writer was faster, and the opening is tried again; where there is no
//! writer, and none comes in meanwhile (the lock that readers share is held for this one look), it is damage.

use super::recover::{self, Recovered};
use crate::machine::StateMachine;
use crate::options::Options;
use crate::pages::superblock::{self, Found};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Disk, Lock};

/// Openings during a writer's work before a reader gives up: each fails only if two checkpoints, or a roll-over
/// of the log, fall into it.
const TRIES: u32 = 100;
/// Between two looks at a lock that is held.
const LOCK_STEP: Duration = Duration::from_millis(5);
/// A writer waits so long at least while readers alone hold the lock: for the one look at a damaged store.
const READERS_WAIT: Duration = Duration::from_secs(2);

/// A store that is locked, where it must be, and recovered.
pub(super) struct Opened<S: StateMachine> {
    pub(super) lock: Option<Box<dyn Lock>>,
    pub(super) found: Found,
    pub(super) recovered: Recovered<S>,
}

pub(super) fn open<S: StateMachine>(disk: &Arc<dyn Disk>, options: &Options) -> Result<Opened<S>> {
    if options.read_only {
        return open_for_reading(disk, options);
    }
    // What is no store gets no lock, which would leave words in it.
    superblock::read(&**disk)?;
    let lock = lock(&**disk, options.lock_wait)?;
    recover(disk, options, Some(lock))
}

/// The writer's lock, as soon as it is free within `wait`.
pub(super) fn lock(disk: &dyn Disk, wait: Duration) -> Result<Box<dyn Lock>> {
    let started = Instant::now();
    loop {
        let error = match disk.lock() {
            Err(error) if error.kind() == ErrorKind::Locked => error,
            locked => return locked,
        };
        let waited = started.elapsed();
        let goes_on = waited < wait || waited < READERS_WAIT && disk.lock_shared().is_ok();
        if !goes_on {
            return Err(error);
        }
        std::thread::sleep(LOCK_STEP.min(wait.max(READERS_WAIT) - waited));
    }
}

fn recover<S: StateMachine>(
    disk: &Arc<dyn Disk>,
    options: &Options,
    lock: Option<Box<dyn Lock>>,
) -> Result<Opened<S>> {
    let found = superblock::read(&**disk)?;
    let progress = options.on_progress.as_deref();
    let recovered = recover::recover(disk, &found, options.keeping(), progress.map(|p| p as _))?;
    Ok(Opened { lock, found, recovered })
}

fn open_for_reading<S: StateMachine>(disk: &Arc<dyn Disk>, options: &Options) -> Result<Opened<S>> {
    let mut last = None;
    for _ in 0..TRIES {
        match recover(disk, options, None) {
            Ok(opened) => {
                let now = superblock::read(&**disk)?.live.generation;
                if now <= opened.found.live.generation + 1 {
                    return Ok(opened);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotAStore | ErrorKind::UnknownFormat) => {
                return Err(error);
            }
            Err(error) => last = Some(error),
        }
        match disk.lock_shared() {
            Ok(lock) => {
                let opened = recover(disk, options, None);
                drop(lock);
                return opened;
            }
            // A writer has it: what failed may be its work.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            // No lock can be taken, so nothing distinguishes damage from a writer's work: what is found counts.
            Err(_) => return recover(disk, options, None),
        }
    }
    Err(last.unwrap_or_else(|| changed_too_fast(&**disk)))
}

fn changed_too_fast(disk: &dyn Disk) -> Error {
    let message = format!("{} changed faster than it could be opened for reading; try again", disk.place());
    Error::new(ErrorKind::Busy, message)
}
