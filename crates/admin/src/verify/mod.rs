//! Checks a store, also one that a process writes: every byte of every file, then every reference between
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
mod history;
mod indexes;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use vellum::records::Records;
use vellum::records::{CATALOG_TREE, Catalog, ID_TREE};
use vellum_disk::{Access, Disk, OsDisk};
use vellum_engine::engine::recover::{self, Recovered};
use vellum_engine::page::image::Kind;
use vellum_engine::pages::{Keeping, superblock};
use vellum_engine::{Address, GROUP_ROWS, TreeId};
use vellum_engine::{Error, ErrorKind, Place, Result};
use vellum_types::schema::ObjectSchema;
use vellum_types::{AttributeId, RecordId};

/// Findings listed; one damaged disk must not fill the memory.
const FINDINGS_MAX: usize = 10_000;
/// Looks at a store that is being written before `verify` gives up.
const TRIES: u32 = 20;
/// A message that is as long takes no more of those whom its finding affects.
const MESSAGE_LEN_MAX: usize = 2000;
/// Bytes of clean pages that may stay in memory while the log is replayed.
const KEEP_LEN: u64 = 64 << 20;

/// Records that a finding touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Object, or object and attribute: `company` or `company.name`.
    pub what: String,
    /// Their ids, where those can be read.
    pub records: Vec<RecordId>,
    /// First and last of their rows.
    pub rows: (u64, u64),
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// File and byte, where the finding has one.
    pub place: Option<Place>,
    /// What is wrong, and whom it affects where that is known.
    pub message: String,
    /// Whose values cannot be read, or are not as they should be.
    pub affected: Vec<Affected>,
}

/// What [`verify`] read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
}

impl VerifyReport {
    /// Whether no damage was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Finding {
    fn at(file: &str, offset: u64, message: String) -> Finding {
        let place = Place { file: file.to_string(), offset, reason: message.clone() };
        Finding { place: Some(place), message, affected: Vec::new() }
    }
}

/// A report in the making.
#[derive(Debug, Default)]
struct Report {
    report: VerifyReport,
    /// Where in the list the finding about a place stands, so that one damage is told once.
    known: HashMap<(String, u64), usize>,
    unlisted_count: u64,
}

impl Report {
    fn add(&mut self, place: Option<Place>, message: impl Into<String>) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { place, message: message.into(), affected: Vec::new() });
        } else {
            self.unlisted_count += 1;
        }
    }

    /// Adds what an error says, unless its place was told before.
    fn error(&mut self, error: &Error) {
        let Some(place) = error.place() else { return self.add(None, error.to_string()) };
        if let Entry::Vacant(vacant) = self.known.entry((place.file.clone(), place.offset)) {
            vacant.insert(self.report.findings.len());
            self.add(Some(place.clone()), place.reason.clone());
        }
    }

    /// Adds what an error says, and whom it affects.
    fn affects(&mut self, error: &Error, whom: &str) {
        self.error(error);
        let told = error.place().and_then(|place| self.known.get(&(place.file.clone(), place.offset)));
        let finding = match told {
            Some(index) => self.report.findings.get_mut(*index),
            None => self.report.findings.last_mut(),
        };
        if let Some(finding) = finding
            && finding.message.len() < MESSAGE_LEN_MAX
        {
            finding.message.push_str("; affects ");
            finding.message.push_str(whom);
        }
    }

    /// Names records that the finding about `error`, or else the last one, touches.
    fn names(&mut self, error: &Error, affected: Affected) {
        let place = error.place().filter(|place| !place.file.is_empty());
        let told = place.and_then(|place| self.known.get(&(place.file.clone(), place.offset)));
        let finding = match told {
            Some(index) => self.report.findings.get_mut(*index),
            None => self.report.findings.last_mut(),
        };
        if let Some(finding) = finding {
            finding.affected.push(affected);
        }
    }

    fn note(&mut self, file: &str, offset: u64, message: &str) {
        if self.report.notes.len() < FINDINGS_MAX {
            self.report.notes.push(Finding::at(file, offset, message.to_string()));
        }
    }

    fn finish(mut self) -> VerifyReport {
        if self.unlisted_count > 0 {
            self.report.findings.push(Finding {
                place: None,
                message: format!("{} more findings are not listed", self.unlisted_count),
                affected: Vec::new(),
            });
        }
        self.report
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

/// Checks a store; see [`VerifyReport`]. Nothing is changed. A process that has the store open for writing may
/// go on: what it changes meanwhile is looked at again, and damage is what two looks find alike.
///
/// ```no_run
/// let report = vellum_admin::verify("crm.vellum")?;
/// for finding in &report.findings {
///     eprintln!("{finding}");
/// }
/// assert!(report.is_clean());
/// # Ok::<(), vellum::Error>(())
/// ```
///
/// # Errors
/// `NotAStore`, `UnknownFormat`, `Io`: nothing was checked then; `Locked` when a writer was faster each time.
/// Damage is no error; it is in the report.
pub fn verify(path: impl AsRef<Path>) -> vellum::Result<VerifyReport> {
    verify_on(Arc::new(OsDisk::new(path.as_ref())))
}

/// [`verify`] on another disk.
///
/// # Errors
/// As [`verify`].
#[doc(hidden)]
pub fn verify_on(disk: Arc<dyn Disk>) -> vellum::Result<VerifyReport> {
    Ok(verify_without_lock(&disk)?)
}

fn verify_without_lock(disk: &Arc<dyn Disk>) -> Result<VerifyReport> {
    // No lock: a writer may open the store meanwhile. What looks like damage then is looked at again.
    let mut before: Option<VerifyReport> = None;
    for _ in 0..TRIES {
        let state = state_of(&**disk)?;
        let report = look(disk);
        if !may_be_a_writers_doing(&report) {
            return report;
        }
        if let Ok(_lock) = disk.lock_shared() {
            // There is no writer now. Where one changed something meanwhile, a second look is exact.
            return if state_of(&**disk)? == state { report } else { look(disk) };
        }
        if let Ok(mut report) = report {
            let all = report.findings.clone();
            report
                .findings
                .retain(|finding| before.as_ref().is_some_and(|before| before.findings.contains(finding)));
            if !report.is_clean() {
                return Ok(report);
            }
            before = Some(VerifyReport { findings: all, ..report });
        }
    }
    Err(Error::new(
        ErrorKind::Locked,
        format!("{} changed faster than it could be checked; try again, or check a backup", disk.place()),
    ))
}

/// What every session that changes anything changes: the files' names and the superblock.
fn state_of(disk: &dyn Disk) -> Result<(Vec<String>, Vec<u8>)> {
    let names = disk.list()?;
    if !names.iter().any(|name| name == superblock::FILE_NAME) {
        return Ok((names, Vec::new()));
    }
    let file = disk.open(superblock::FILE_NAME, Access::Read)?;
    let mut bytes = vec![0; file.len()?.min(superblock::FILE_LEN as u64) as usize];
    file.read_at(0, &mut bytes)?;
    Ok((names, bytes))
}

/// Segments and log files go while they are looked at, and the log's last frame is half there; so what one
/// look finds may be the writer's doing. Damage stays where it is.
fn may_be_a_writers_doing(report: &Result<VerifyReport>) -> bool {
    match report {
        Ok(report) => !report.is_clean(),
        // A file that went between the listing and its opening.
        Err(error) => error.is_missing_file(),
    }
}

fn look(disk: &Arc<dyn Disk>) -> Result<VerifyReport> {
    let mut report = Report::default();
    let mut files = files::read(&**disk, &mut report)?;
    let recovered = recover_state(disk, &files, &mut report);
    let catalog = recovered.as_ref().map(|recovered| recovered.machine.catalog().clone());
    files.tell(catalog.as_deref(), recovered.as_ref().map(|recovered| &recovered.scan), &mut report);
    if let Some(recovered) = &recovered {
        state::check(&recovered.machine, &mut report);
    }
    Ok(report.finish())
}

/// The state that an opening for reading would have.
fn recover_state(
    disk: &Arc<dyn Disk>,
    files: &files::Files,
    report: &mut Report,
) -> Option<Recovered<Records>> {
    let found = files.found.as_ref().filter(|_| !files.unreadable)?;
    let keeping = Keeping { keep_len: KEEP_LEN, cache: files.cache.clone() };
    match recover::recover(disk, found, keeping, None) {
        Ok(recovered) => {
            // The log knows of a newer checkpoint than the superblock does.
            if let (None, Some(damage)) = (&found.damage, &recovered.report.damage) {
                report.error(&Error::corrupt(superblock::FILE_NAME, 0, damage.clone()));
            }
            Some(recovered)
        }
        Err(error) => {
            report.error(&error);
            report.affects(&error, "all records: the store does not open, so they were not checked");
            None
        }
    }
}

/// What a page is for, in the words of the schema.
fn name_of_page(catalog: Option<&Catalog>, kind: Kind, address: &Address) -> String {
    let Address { tree, number, column } = *address;
    if kind == Kind::Node || kind == Kind::Root {
        return format!(
            "the page table of {}, number {number} of level {column}",
            name_of_tree(catalog, tree)
        );
    }
    let object = catalog
        .and_then(|catalog| catalog.all_objects().map(|(_, schema)| schema).find(|o| o.tree() == tree.0));
    let Some(object) = object else {
        return format!("{}, page {number}", name_of_tree(catalog, tree));
    };
    let first = number.saturating_mul(u64::from(GROUP_ROWS));
    let rows = format!("rows {first} to {}", first.saturating_add(u64::from(GROUP_ROWS) - 1));
    let attribute = object.attributes().iter().find(|a| u32::from(a.column()) == column >> 16);
    match attribute {
        None if column == 0 => format!("all of {} in {rows}", object.key()),
        None => format!("column {column:#x} of {} in {rows}", object.key()),
        Some(attribute) => format!("{}.{} in {rows}", object.key(), attribute.key()),
    }
}

fn name_of_tree(catalog: Option<&Catalog>, tree: TreeId) -> String {
    match tree {
        CATALOG_TREE => return "the schema".to_string(),
        ID_TREE => return "the index of record ids".to_string(),
        _ => {}
    }
    for object in catalog.into_iter().flat_map(|catalog| catalog.all_objects().map(|(_, schema)| schema)) {
        if object.tree() == tree.0 {
            return object.key().to_string();
        }
        if let Some(index) = object.indexes().iter().find(|index| index.tree() == tree.0) {
            return name_of_index(object, index.attributes());
        }
    }
    format!("tree {tree}")
}

fn name_of_index(object: &ObjectSchema, attributes: &[AttributeId]) -> String {
    let keys = attributes.iter().filter_map(|id| object.attributes().get(usize::from(id.0))).map(|a| a.key());
    format!("the index of {}({})", object.key(), keys.collect::<Vec<_>>().join(", "))
}
