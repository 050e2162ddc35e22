//! The reserve: room on the disk that is given up only to checkpoint and compaction (crash rule 12).
//!
//! A commit is admitted only when the images of everything dirty have their room, and the file `reserve` is
//! that room: it is allocated, so that nothing else can take it. The first commit makes it. It grows with what
//! is dirty, ahead of it by a step, and is given up when a checkpoint finds the disk full; a checkpoint frees log
//! files and, by compaction, segments, so it can be made again afterwards. On a disk with plenty of room it covers
//! [`AMPLE_LEN_MAX`] and not more; what the disk has free stands in for the rest.
//!
//! | part       | for                                                                          |
//! |------------|------------------------------------------------------------------------------|
//! | images     | what is dirty, and a quarter more: heads, checksums, table nodes              |
//! | step       | what may become dirty until the disk is looked at again                       |
//! | base       | the root, nodes of a small store; and deletes, which go on where others stop |
//!
//! The log has a reserve of its own, one file of the least length (`GroupCommit::keep_reserve`). A checkpoint that
//! finds no room in this one is given that one too: it gives the log's files back.
//!
//! While the reserve is given up the store itself takes none of that room: writers wait, and a log file is made of
//! the log's reserve alone.

pub(crate) use vellum_disk::RESERVE_NAME as FILE_NAME;

use crate::options::Options;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use vellum_bytes::{ErrorKind, Result};
use vellum_disk::{Access, Disk, File};

/// There always once a commit was made: as long as two log files of the least length.
const BASE_LEN: u64 = 2 << 20;
/// A disk with this much room beyond what is needed is not nearly full.
const AMPLE_FREE_LEN: u64 = 1 << 30;
/// As much is reserved on a disk with plenty of room.
const AMPLE_LEN_MAX: u64 = 64 << 20;

/// What is less than the least length comes in steps of this one.
const STEP_LEN: u64 = 16 << 10;

/// The reserve of a store that is open for writing.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// Bytes that the file has at least.
    pub(crate) base: u64,
    /// Bytes that the file holds.
    held: AtomicU64,
    /// Whether there is to be a file: there is none before the first commit.
    is_wanted: AtomicBool,
    /// A checkpoint runs in the room that the file had.
    given_up: AtomicBool,
    /// One at a time makes it longer, or gives it up. Kept open, so that growing allocates nothing.
    file: Mutex<Option<Arc<dyn File>>>,
}

impl Reserve {
    pub(crate) fn new(options: &Options) -> Reserve {
        let base = options.log_file_len.map_or(BASE_LEN, |(len_min, _)| BASE_LEN.min(2 * len_min));
        Reserve {
            base,
            held: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            file: Mutex::new(None),
        }
    }

    /// From here on there is a reserve: the store has something to keep recoverable.
    pub(crate) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether [`Reserve::want`] was called.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Bytes that nobody else can take.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Whether a checkpoint runs in the room that was reserved, so that nobody else may take of it.
    #[inline]
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Whether `len` bytes have their room, which is made if need be; `apart` bytes stay free beside it.
    ///
    /// # Errors
    /// What the disk said; a disk that is full is no error.
    pub(crate) fn cover(&self, disk: &dyn Disk, len: u64, apart: u64) -> Result<bool> {
        let free = disk.free_len()?;
        let more = len.saturating_sub(self.held());
        if free < more.saturating_add(apart) {
            return Ok(false);
        }
        let ample = free > len.saturating_mul(2).saturating_add(AMPLE_FREE_LEN);
        let wanted = if ample { len.min(AMPLE_LEN_MAX) } else { len };
        if wanted <= self.held() {
            return Ok(true);
        }
        match self.grow(disk, wanted) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::DiskFull => Ok(false),
            Err(error) if ample => {
                tracing::debug!(%error, "the reserve could not be made longer; the disk has room");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// The checkpoint that the reserve was given up to is over.
    pub(crate) fn take_back(&self) {
        self.given_up.store(false, Ordering::Release);
    }

    /// There is a reserve of this length, or as much of it as the disk has room for; less is no error, and goes a
    /// long way with deletes.
    pub(crate) fn keep(&self, disk: &dyn Disk, len: u64) {
        let more = len.saturating_sub(self.held());
        if more == 0 {
            return;
        }
        let kept = disk.free_len().and_then(|free| {
            let fitting = if free < more { free / STEP_LEN * STEP_LEN } else { more };
            self.grow(disk, self.held() + fitting)
        });
        if let Err(error) = kept {
            tracing::debug!(%error, "no room for the reserve");
        }
    }

    fn grow(&self, disk: &dyn Disk, len: u64) -> Result<()> {
        let mut kept = self.file.lock();
        if len <= self.held() {
            return Ok(());
        }
        let file = match &mut *kept {
            Some(file) => file,
            none => none.insert(match disk.list()?.iter().any(|name| name == FILE_NAME) {
                true => disk.open(FILE_NAME, Access::Write)?,
                false => disk.create(FILE_NAME)?,
            }),
        };
        let found = file.len()?;
        if found < len {
            // A disk that is full, or fails, may leave any part of it: a later attempt takes it further.
            file.allocate(len)?;
        }
        self.held.store(found.max(len), Ordering::Release);
        Ok(())
    }

    /// Gives all of it up until [`Reserve::take_back`]; true if there was a file.
    pub(crate) fn give_up(&self, disk: &dyn Disk) -> bool {
        let mut kept = self.file.lock();
        self.given_up.store(true, Ordering::Release);
        *kept = None;
        self.held.store(0, Ordering::Release);
        disk.remove(FILE_NAME).is_ok()
    }

    /// Back to the least length, for a store that nobody writes for a while.
    pub(crate) fn shrink(&self, disk: &dyn Disk) {
        if self.held() > self.base {
            self.give_up(disk);
            self.take_back();
            self.keep(disk, self.base);
        }
    }
}
