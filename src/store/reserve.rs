//! The reserve: room on the disk that is given up only to checkpoint and compaction (crash rule 12).
//!
//! A commit is admitted only when the images of everything dirty have their room, and the file `reserve` is
//! that room: it is allocated, so that nobody else can take it. It grows with what is dirty, ahead of it by a
//! step. On a disk with plenty of room it covers [`AMPLE_LEN_MAX`] and not more; what the disk has free stands
//! in for the rest.
//!
//! A checkpoint that finds the disk full is lent the file itself: were it removed, others would take its
//! room before the first image is written. It gets the name of the checkpoint's first segment, holds the
//! images, and is cut behind them; what that gives back is reserved again at once. A checkpoint that fails
//! returns the file, zeros again under its old name. While it is lent nothing is admitted but a few deletes,
//! whose images have their room in what the checkpoint leaves; other writers wait for it.
//!
//! | part       | for                                                                          |
//! |------------|------------------------------------------------------------------------------|
//! | images     | what is dirty, and a quarter more: heads, checksums, table nodes              |
//! | step       | what may become dirty until the disk is looked at again                       |
//! | base       | the root, nodes of a small store; and deletes, which go on where others stop |
//!
//! The log has a reserve of its own, one file of the least length (`GroupCommit::keep_reserve`).

pub(crate) use crate::disk::RESERVE_NAME as FILE_NAME;

use super::Config;
use crate::disk::{Access, Disk, File};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// There always, also in a store without a commit: as long as two log files of the least length.
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
    /// Bytes that the file holds, or held when it was lent.
    held: AtomicU64,
    /// Whether a checkpoint has it.
    is_lent: AtomicBool,
    /// One at a time makes it longer, lends it, or gives it up.
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// Kept open, so that growing allocates nothing.
    kept: Option<Arc<dyn File>>,
    /// In a checkpoint's hands, under a segment's name. Beside it, `kept` is what was made of what it left.
    lent: Option<Arc<dyn File>>,
}

impl Reserve {
    pub(crate) fn new(config: &Config) -> Reserve {
        let base = config.log_file_len.map_or(BASE_LEN, |(len_min, _)| BASE_LEN.min(2 * len_min));
        Reserve { base, held: AtomicU64::new(0), is_lent: AtomicBool::new(false), files: Mutex::default() }
    }

    /// Bytes that nobody else can take.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Whether a checkpoint has it, and may leave little of it.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::Acquire)
    }

    /// Whether `len` bytes have their room, which is made if need be; `apart` bytes stay free beside it.
    ///
    /// # Errors
    /// What the disk said; a disk that is full is no error.
    pub(crate) fn cover(&self, disk: &dyn Disk, len: u64, apart: u64) -> Result<bool> {
        if self.is_lent() {
            return Ok(false);
        }
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

    /// There is a reserve of the least length, or as much of it as the disk has room for; less is no error,
    /// and goes a long way with deletes.
    pub(crate) fn keep(&self, disk: &dyn Disk) {
        self.keep_len(disk, self.base);
    }

    fn keep_len(&self, disk: &dyn Disk, len: u64) {
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
        let mut files = self.files.lock();
        if len <= self.held() {
            return Ok(());
        }
        if files.lent.is_some() {
            // What is free now may be what the checkpoint goes on in.
            return Err(Error::new(ErrorKind::DiskFull, "the reserve is a checkpoint's, until it has ended"));
        }
        let held = files.grow(disk, len)?;
        self.held.store(held, Ordering::Release);
        Ok(())
    }

    /// Hands the file to a checkpoint, as the segment `name`; `None` where there is none. It ends with
    /// [`Reserve::spent`] or [`Reserve::take_back`].
    ///
    /// # Errors
    /// What the disk said; the reserve is as it was, or gone if the disk refuses that too.
    pub(crate) fn lend(&self, disk: &dyn Disk, name: &str) -> Result<Option<Arc<dyn File>>> {
        let mut files = self.files.lock();
        if files.lent.is_some() || self.held() == 0 {
            return Ok(None);
        }
        disk.rename(FILE_NAME, name)?;
        files.kept = None;
        // Behind a power cut nothing but zeros has the reserve's name.
        let renamed = disk.sync_dir().and_then(|()| disk.open(name, Access::Write));
        let file = renamed.inspect_err(|_| {
            if disk.rename(name, FILE_NAME).is_err() {
                self.held.store(0, Ordering::Release);
            }
        })?;
        files.lent = Some(file.clone());
        self.is_lent.store(true, Ordering::Release);
        Ok(Some(file))
    }

    /// The images are written and the lent file is cut: reserves what that gave back, or as much of it as
    /// the disk has.
    pub(crate) fn keep_rest(&self, disk: &dyn Disk) {
        let mut files = self.files.lock();
        let Some(lent) = &files.lent else { return };
        let rest = lent.len().and_then(|used| {
            let rest = self.held().saturating_sub(used);
            Ok(rest.min(disk.free_len()? / STEP_LEN * STEP_LEN))
        });
        let kept = rest.and_then(|rest| if rest > 0 { files.grow(disk, rest) } else { Ok(0) });
        if let Err(error) = kept {
            tracing::debug!(%error, "no room for the rest of the reserve");
        }
    }

    /// The checkpoint is in force: the lent file is a segment now. The reserve is what was left, made as
    /// long as `len` and the least length together, as far as the disk has room.
    pub(crate) fn spent(&self, disk: &dyn Disk, len: u64) {
        let mut files = self.files.lock();
        if files.lent.take().is_none() {
            return;
        }
        let held = files.kept.as_ref().map_or(0, |file| file.len().unwrap_or(0));
        self.held.store(held, Ordering::Release);
        self.is_lent.store(false, Ordering::Release);
        drop(files);
        self.keep_len(disk, self.base + len);
    }

    /// The checkpoint failed, and left the file as the segment `name`.
    pub(crate) fn take_back(&self, disk: &dyn Disk, name: &str) {
        let mut files = self.files.lock();
        let Some(lent) = files.lent.take() else { return };
        let rest = files.kept.as_ref().map_or(0, |file| file.len().unwrap_or(0));
        // Zeros before the name, also behind a power cut.
        let back = |file: &dyn File| -> Result<u64> {
            let len = file.len()?;
            file.allocate_zeroed(len)?;
            file.sync()?;
            disk.rename(name, FILE_NAME)?;
            Ok(len)
        };
        let held = match back(&*lent) {
            // It takes the place of what was made of its rest.
            Ok(len) => {
                files.kept = None;
                let whole = len + rest;
                if rest > 0 { files.grow(disk, whole).unwrap_or(len) } else { len }
            }
            Err(error) => {
                tracing::warn!(%error, "a failed checkpoint's reserve is lost");
                // What cannot be removed goes with the next opening.
                let _ = disk.remove(name);
                rest
            }
        };
        self.held.store(held, Ordering::Release);
        self.is_lent.store(false, Ordering::Release);
    }

    /// Gives all of it up.
    fn give_up(&self, disk: &dyn Disk) {
        let mut files = self.files.lock();
        files.kept = None;
        self.held.store(0, Ordering::Release);
        // The next session takes what is left.
        let _ = disk.remove(FILE_NAME);
    }

    /// Back to the least length, for a store that nobody writes for a while.
    pub(crate) fn shrink(&self, disk: &dyn Disk) {
        if self.held() > self.base {
            self.give_up(disk);
            self.keep(disk);
        }
    }
}

impl Files {
    /// The file has at least `len` bytes; how many.
    fn grow(&mut self, disk: &dyn Disk, len: u64) -> Result<u64> {
        let file = match &mut self.kept {
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
        Ok(found.max(len))
    }
}
