//! The two superblock copies of an open store, and what opening does with the files around them.

use super::recover::RecoveryReport;
use crate::id::Lsn;
use crate::log::{self, Attestation, Log, Position, Resume, Seal, Witness};
use crate::options::Options;
use crate::pages::superblock::{self, Found, Remains, Superblock};
use crate::pages::{self, SegmentEntry};
use crate::planted::planted;
use crate::random::Random;
use std::sync::Arc;
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Disk, File, LOCK_NAME};

/// The two copies as they are on disk.
#[derive(Debug)]
pub(super) struct Superblocks {
    pub(super) file: Option<Arc<dyn File>>,
    pub(super) live: Superblock,
    pub(super) other: Option<Superblock>,
}

impl Superblocks {
    /// Writes both copies with this seal, the older one first, so that one of them is whole always.
    pub(super) fn write_seal(&mut self, seal: Option<Seal>, attested: Lsn) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.other.is_none() {
            // A copy that could not be read is written anew from the live one, with the previous generation. A new
            // store has no previous generation, so its second copy gets the next one.
            let generation = self.live.generation.checked_sub(1).unwrap_or(1);
            let anew = Superblock { generation, ..self.live.clone() };
            superblock::write(file, &anew)?;
            self.other = Some(anew);
        }
        let other = self.other.as_mut().expect("made above");
        if other.generation > self.live.generation {
            std::mem::swap(other, &mut self.live);
        }
        (other.seal, other.attested) = (seal, attested);
        superblock::write(file, other)?;
        (self.live.seal, self.live.attested) = (seal, attested);
        superblock::write(file, &self.live)
    }

    /// Switches to a new checkpoint: one write, one sync, to the copy that is not live.
    pub(super) fn flip(&mut self, next: Superblock) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        superblock::write(file, &next)?;
        self.other = Some(std::mem::replace(&mut self.live, next));
        Ok(())
    }

    /// The oldest place in the log that a copy names (crash rule 2).
    pub(super) fn oldest_log(&self) -> Position {
        let other = self.other.as_ref().map_or(self.live.log.position, |other| other.log.position);
        other.min(self.live.log.position)
    }
}

pub(super) fn reject_occupied(disk: &dyn Disk) -> Result<()> {
    let names = if disk.exists()? { disk.list()? } else { Vec::new() };
    let taken = |message| Err(Error::new(ErrorKind::AlreadyExists, message));
    if names.iter().any(|name| name == superblock::FILE_NAME) {
        return taken(format!(
            "{} holds a store already; open it, or choose another directory",
            disk.place()
        ));
    }
    match superblock::remains(disk)? {
        Remains::Unfinished => return taken(superblock::unfinished(&disk.place()).to_string()),
        Remains::Damaged => return taken(superblock::damaged(&disk.place())),
        Remains::Nothing => {}
    }
    match names.iter().find(|name| !is_of_a_creation(name)) {
        None => Ok(()),
        Some(name) => {
            taken(format!("{} is not empty (it holds {name}); choose an empty directory", disk.place()))
        }
    }
}

/// What a creation that died leaves.
fn is_of_a_creation(name: &str) -> bool {
    [LOCK_NAME, superblock::TEMPORARY_NAME, superblock::UNFINISHED_NAME].contains(&name)
        || log::log_number(name).is_some()
        || log::is_leftover(name)
}

/// Opens the log for writing. After a clean close it goes on where it ended; after an unclean end what
/// was replayed is made durable first (crash rule 4), then a new generation begins (crash rule 3).
pub(super) fn open_log(
    disk: &Arc<dyn Disk>,
    options: &Options,
    random: &Random,
    live: &Superblock,
    scan: &log::Scan,
    report: &mut RecoveryReport,
) -> Result<Log> {
    let end: &Resume = &scan.end;
    if scan.sealed {
        return Log::resume(disk.clone(), live.store_id, end, options.log_config());
    }
    if let Some(torn) = &scan.torn {
        let kept = log::keep_torn_tail(&**disk, torn)?;
        report.torn =
            Some(format!("{} at byte {}: {} bytes cut, kept in {kept}", torn.file, torn.offset, torn.len));
    }
    if !planted("no_rewrite") {
        log::make_durable(&**disk, scan.durable_until, end.position)?;
    }
    Log::start_generation(disk.clone(), live.store_id, random.draw() as u32, end, options.log_config())
}

/// The log's witness. After an unclean end, what recovery found is reported durable from here on, and the log goes
/// on in another file: both are on record before anything rests on them.
pub(super) fn keep_witness(
    disk: &Arc<dyn Disk>,
    log: &Log,
    superblock: &Arc<dyn File>,
    found: &Found,
    is_sealed: bool,
    is_mapped: bool,
) -> Result<()> {
    let (end, newest) = (log.resume_point(), log.newest_file());
    let record = found.attestation.unwrap_or(Attestation::new(end.lsn, newest));
    let store_id = found.live.store_id;
    let constants = superblock::constants(store_id);
    let offset = superblock::ATTESTATION_OFFSET as u64;
    let witness =
        Witness::new(disk.clone(), store_id, superblock.clone(), constants, offset, record, is_mapped)?;
    if !found.block_is_sound {
        witness.renew()?;
    }
    if !is_sealed {
        witness.begin(end.lsn, newest)?;
        witness.sync()?;
    }
    log.shared().set_witness(witness);
    Ok(())
}

/// Removes segments that no superblock copy names: what a checkpoint left that did not come to its end.
/// Returns those that only the older copy names: the next checkpoint takes its place, and frees them.
pub(super) fn remove_leftovers(
    disk: &dyn Disk,
    found: &superblock::Found,
    cache: Option<&Arc<pages::Cache>>,
) -> Result<Vec<SegmentEntry>> {
    for name in [superblock::TEMPORARY_NAME, superblock::UNFINISHED_NAME] {
        if disk.identity(name)?.is_some() {
            disk.remove(name)?;
        }
    }
    let Some(other) = &found.other else { return Ok(Vec::new()) };
    let live = &found.live;
    let newer = pages::segments_of(disk, live.store_id, live.root, cache)?;
    let mut older = match pages::segments_of(disk, live.store_id, other.root, cache) {
        Ok(older) => older,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "the older checkpoint cannot be read; nothing is removed");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    pages::remove_unnamed(disk, &newer, &older)?;
    older.retain(|entry| !newer.iter().any(|kept| kept.id == entry.id));
    Ok(older)
}
