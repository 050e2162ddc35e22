//! A copy of the store while writers run.
//!
//! ```text
//! snapshot   O(1), under the writer lock: the state of one commit
//! copy       every page of it, read through its checksums, as an image into the new directory
//! publish    a log file that starts behind that commit, then the superblock (build)
//! check      the copy is verified as `verify` does, and opened; else it is removed
//! ```
//!
//! Nothing of a copy is a store before its superblock is there, and that comes last: a crash at any point
//! leaves no copy, or a whole one. Pages of a snapshot stay as they are while writers go on; nobody waits.

use super::{Config, ConfigSource, Store};
use crate::build::{self, Build, Identity};
use crate::disk::{Disk, OsDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::verify::{VerifyReport, verify_on};
use std::path::Path;
use std::sync::Arc;

/// How far a backup has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Row groups and index buckets copied.
    pub done_count: u64,
    /// Row groups and index buckets of the store, at most.
    pub total_count: u64,
}

/// A backup that is there, and was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The newest commit in it.
    pub lsn: Lsn,
    /// What verifying it read.
    pub verified: VerifyReport,
}

impl Store {
    /// Copies the store as it is now into a new directory, while others read and write it. The copy is
    /// a store: closed, with the same records, versions and times. It is verified before this returns.
    ///
    /// ```no_run
    /// let store = vellum::Store::open("crm.vellum")?;
    /// let backup = store.backup("crm-backup.vellum")?;
    /// println!("everything up to commit {}", backup.lsn);
    /// # Ok::<(), vellum::Error>(())
    /// ```
    ///
    /// # Errors
    /// `AlreadyExists` when there is anything in the directory; `Corrupt` when a page of this store is
    /// damaged (`vellum repair` then saves the rest); what the disks say. There is no copy then.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(to, &|_| {})
    }

    /// [`Store::backup`], calling `progress` now and then.
    ///
    /// # Errors
    /// As [`Store::backup`].
    pub fn backup_with(
        &self,
        to: impl AsRef<Path>,
        progress: &dyn Fn(BackupProgress),
    ) -> Result<BackupReport> {
        self.backup_on(Arc::new(OsDisk::new(to.as_ref())), progress)
    }

    /// [`Store::backup_with`] to another disk.
    ///
    /// # Errors
    /// As [`Store::backup`].
    #[doc(hidden)]
    pub fn backup_on(&self, to: Arc<dyn Disk>, progress: &dyn Fn(BackupProgress)) -> Result<BackupReport> {
        let inner = self.inner();
        let (view, lsn, _) = inner.freeze()?;
        // A commit time that is ahead of the snapshot's harms nothing: times go on behind it.
        let commit_time = inner.records.commit_time();
        let identity = Identity { store_id: inner.records.pages.store_id, lsn, commit_time };
        let mut build = Build::begin(to.clone(), &identity, None)?;
        let pages = &inner.records.pages;
        let ends = view.root.trees.iter().map(|(id, _)| pages.number_end(&view.root, *id));
        let copied = ends.sum::<Result<u64>>().and_then(|total_count| {
            build.copy(pages, &view, &mut |done_count| progress(BackupProgress { done_count, total_count }))
        });
        drop(view);
        if let Err(error) = copied {
            build.abandon();
            return Err(error);
        }
        let salt = ConfigSource::new(&Config::new()).random() as u32;
        build.finish(salt).inspect_err(|_| build::clear(&*to))?;
        let verified = check(&to, lsn).inspect_err(|_| build::clear(&*to))?;
        build::settle(&*to);
        Ok(BackupReport { lsn, verified })
    }
}

/// The copy verifies, opens, and is at the commit that it should be at.
fn check(copy: &Arc<dyn Disk>, lsn: Lsn) -> Result<VerifyReport> {
    let verified = verify_on(copy.clone())?;
    if let Some(finding) = verified.findings.first() {
        let message = format!("the copy does not verify, and was removed: {finding}");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let opened = Config::new().read_only(true).open_on(copy.clone())?;
    if opened.applied_lsn() != lsn {
        let message =
            format!("the copy opens at lsn {} instead of {lsn}, and was removed", opened.applied_lsn());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(verified)
}
