//! Checks a store that nobody has open: every byte of every file, then every reference between
//! structures. Changes nothing.
//!
//! | file    | checks                                                                              |
//! |---------|-------------------------------------------------------------------------------------|
//! | `files` | the directory, both superblock copies, segments and their images, both page tables, |
//! |         | the log                                                                             |
//! | `state` | the recovered records against their indexes, their schema and their free rows       |
//!
//! Collects what it finds instead of stopping at the first. What a crash leaves (a torn tail, files of
//! a checkpoint that did not come to its end) is no damage; it is noted.

mod files;

use crate::disk::{Disk, OsDisk};
use crate::error::{Error, Place, Result};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Findings listed; one damaged disk must not fill the memory.
const FINDINGS_MAX: usize = 10_000;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File and byte, where the finding has one.
    pub place: Option<Place>,
    /// What is wrong, and whom it affects where that is known.
    pub message: String,
}

/// What [`verify`] read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Damage. At most 10,000 are listed; a last one then says how many are not.
    pub findings: Vec<Finding>,
    /// What is worth knowing and is no damage: a torn tail, files that nothing names.
    pub notes: Vec<Finding>,
    /// Files looked at.
    pub file_count: u64,
    /// Bytes read from them.
    pub byte_count: u64,
    /// Images in segments, those that nothing names any more among them.
    pub image_count: u64,
    /// Frames in the log.
    pub frame_count: u64,
    /// Records whose cells and index entries were checked.
    pub record_count: u64,
    /// Findings that are not listed.
    unlisted_count: u64,
}

impl VerifyReport {
    /// Whether no damage was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.unlisted_count += 1;
        }
    }

    fn error(&mut self, error: &Error) {
        self.add(Finding::of(error));
    }

    fn note(&mut self, file: &str, offset: u64, message: impl Into<String>) {
        let message = message.into();
        let place = Place { file: file.to_string(), offset, reason: message.clone() };
        self.notes.push(Finding { place: Some(place), message });
    }

    fn finish(mut self) -> VerifyReport {
        if self.unlisted_count > 0 {
            let message = format!("{} more findings are not listed", self.unlisted_count);
            self.findings.push(Finding { place: None, message });
        }
        self
    }
}

impl Finding {
    fn of(error: &Error) -> Finding {
        match error.place() {
            Some(place) => Finding { message: place.reason.clone(), place: Some(place.clone()) },
            None => Finding { place: None, message: error.to_string() },
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} at byte {}: {}", place.file, place.offset, self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Checks a store that nobody has open; see [`VerifyReport`].
///
/// ```no_run
/// let report = vellum::verify("crm.vellum")?;
/// for finding in &report.findings {
///     eprintln!("{finding}");
/// }
/// assert!(report.is_clean());
/// # Ok::<(), vellum::Error>(())
/// ```
///
/// # Errors
/// `NotAStore`, `UnknownFormat`, `Locked`, `Io`: nothing was checked then. Damage is no error; it is in
/// the report.
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
    verify_on(&(Arc::new(OsDisk::new(path.as_ref())) as Arc<dyn Disk>))
}

/// [`verify`] on another disk.
///
/// # Errors
/// As [`verify`].
#[doc(hidden)]
pub fn verify_on(disk: &Arc<dyn Disk>) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    files::check(disk, &mut report)?;
    Ok(report.finish())
}
