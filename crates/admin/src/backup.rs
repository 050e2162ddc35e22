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
//! leaves no copy, or a whole one. The pages of a snapshot do not change, so writers go on without a wait.

use crate::import::{self, Identity, StoreBuilder};
use crate::verify::{VerifyReport, verify_on};
use std::path::Path;
use std::sync::Arc;
use vellum::internal::Random;
use vellum::{Config, Store};
use vellum_disk::{Disk, OsDisk};
use vellum_engine::Lsn;
use vellum_types::{Error, ErrorKind, Result};

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

/// Copies the store as it is now into a new directory, while others read and write it. The copy is
/// a store: closed, with the same records, versions and times. It is verified before this returns.
///
/// ```no_run
/// let store = vellum::Store::open("crm.vellum")?;
/// let backup = vellum_admin::backup(&store, "crm-backup.vellum")?;
/// println!("everything up to commit {}", backup.lsn);
/// # Ok::<(), vellum::Error>(())
/// ```
///
/// # Errors
/// `AlreadyExists` when there is anything in the directory; `Corrupt` when a page of this store is
/// damaged (`vellum repair` then saves the rest); what the disks say. There is no copy then.
pub fn backup(store: &Store, to: impl AsRef<Path>) -> Result<BackupReport> {
    backup_with(store, to, &|_| {})
}

/// [`backup`], calling `progress` now and then.
///
/// # Errors
/// As [`backup`].
pub fn backup_with(
    store: &Store,
    to: impl AsRef<Path>,
    progress: &dyn Fn(BackupProgress),
) -> Result<BackupReport> {
    backup_on(store, Arc::new(OsDisk::new(to.as_ref())), progress)
}

/// [`backup_with`] to another disk.
///
/// # Errors
/// As [`backup`].
#[doc(hidden)]
pub fn backup_on(
    store: &Store,
    to: Arc<dyn Disk>,
    progress: &dyn Fn(BackupProgress),
) -> Result<BackupReport> {
    let snapshot = store.snapshot()?;
    let (view, lsn) = (snapshot.view(), snapshot.lsn());
    let records = snapshot.records();
    // A commit time that is ahead of the snapshot's harms nothing: times go on behind it.
    let commit_time = snapshot.commit_time().0;
    let identity = Identity { store_id: records.pages.store_id, lsn, commit_time };
    let mut build = StoreBuilder::begin(to.clone(), &identity, None)?;
    let pages = &records.pages;
    let ends = view.root.trees.iter().map(|(id, _)| pages.number_end(&view.root, *id));
    let copied = ends.sum::<vellum_engine::Result<u64>>().map_err(Error::from).and_then(|total_count| {
        build.copy(pages, view, &mut |done_count| progress(BackupProgress { done_count, total_count }))
    });
    drop(snapshot);
    if let Err(error) = copied {
        build.abandon();
        return Err(error);
    }
    let salt = Random::new(None).draw() as u32;
    build.finish(salt).inspect_err(|_| import::clear(&*to))?;
    let verified = check(&to, lsn).inspect_err(|_| import::clear(&*to))?;
    import::settle(&*to);
    Ok(BackupReport { lsn, verified })
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
