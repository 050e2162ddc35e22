//! From what lies on disk to a state in memory: superblock, root, then the log through the same
//! [`StateMachine::apply`] that commits use.
//!
//! The log is read from the checkpoint's place. Frames that nothing calls durable are valid all the
//! same: they are replayed, and for a store that is opened for writing they are written again and
//! synced before anything is acknowledged (crash rule 4). Damage to a page met on the way sets that
//! page aside; damage to the log that was durable fails the opening (crash rule 5).

use super::commit::replay;
use crate::log::{self, CheckpointMark, Kind, Scan};
use crate::machine::{StateAt, StateMachine};
use crate::options::Progress;
use crate::pages::superblock::Found;
use crate::pages::{Keeping, PageStore, Writer};
use std::sync::Arc;
use vellum_bytes::{Error, Result};
use vellum_disk::Disk;

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the store had been closed.
    pub clean: bool,
    /// Commits replayed from the log.
    pub replayed: u64,
    /// Log bytes of those commits.
    pub replayed_len: u64,
    /// A tail that was cut because nothing had promised it, and where it is kept.
    pub torn: Option<String>,
    /// Damage that was worked around: a superblock copy that could not be used.
    pub damage: Option<String>,
}

/// A recovered state.
#[derive(Debug)]
pub struct Recovered<S> {
    /// The state.
    pub machine: S,
    /// Its pages.
    pub pages: Arc<PageStore>,
    /// The right to change them.
    pub writer: Writer,
    /// What reading the log found.
    pub scan: Scan,
    /// For people.
    pub report: RecoveryReport,
}

/// Reads the state that `found` names and replays the log after it.
///
/// # Errors
/// `Corrupt` where what was durable is missing or wrong; what the disk reports.
pub fn recover<S: StateMachine>(
    disk: &Arc<dyn Disk>,
    found: &Found,
    keeping: Keeping,
    progress: Option<&dyn Fn(Progress)>,
) -> Result<Recovered<S>> {
    let live = &found.live;
    let (machine, pages, mut writer) = open_checkpoint::<S>(disk, found, keeping)?;
    let mut report = RecoveryReport {
        clean: live.seal.is_some(),
        damage: found.damage.as_ref().map(ToString::to_string),
        ..RecoveryReport::default()
    };
    let total_len = log_len(&**disk)?;
    let mut scratch = S::Scratch::default();
    let mut newest_mark = live.generation;
    let mut reported = 0;
    pages.memory.set_patient(true);
    let scan = log::scan(&**disk, live.store_id, &live.log, &found.known(), &mut |frame| {
        match frame.kind {
            Kind::Commit => {
                // What a frame has read does not become unreadable halfway through it.
                let _hold = pages.hold();
                let applied = replay(&machine, &mut writer, &mut scratch, frame.lsn, frame.body);
                applied.map_err(|error| in_frame(&frame, &error))?;
                report.replayed += 1;
                report.replayed_len += log::frame_len(frame.body.len()) as u64;
            }
            Kind::CheckpointMark => {
                newest_mark =
                    newest_mark.max(CheckpointMark::decode(frame.body).map_or(0, |mark| mark.superblock));
            }
            Kind::NextFile => {}
        }
        if let Some(progress) = progress
            && report.replayed_len >= reported + (1 << 20)
        {
            reported = report.replayed_len;
            progress(Progress { done_len: reported, total_len });
        }
        Ok(())
    })?;
    pages.memory.set_patient(false);
    if newest_mark > live.generation {
        // Crash rule 2: the log knows of a newer checkpoint than the copy that could be read.
        let note = format!(
            "the superblock of checkpoint {newest_mark} cannot be used; opened from checkpoint {} and a longer log",
            live.generation
        );
        report.damage = Some(report.damage.take().map_or(note.clone(), |damage| format!("{damage}; {note}")));
    }
    report.torn = scan
        .torn
        .as_ref()
        .map(|torn| format!("{} at byte {}: {} bytes cut", torn.file, torn.offset, torn.len));
    Ok(Recovered { machine, pages, writer, scan, report })
}

fn open_checkpoint<S: StateMachine>(
    disk: &Arc<dyn Disk>,
    found: &Found,
    keeping: Keeping,
) -> Result<(S, Arc<PageStore>, Writer)> {
    let live = &found.live;
    let mut at = StateAt { store_id: live.store_id, lsn: live.log.lsn, time: i64::MIN, is_new: true };
    let (pages, writer) = match live.root {
        None => PageStore::create(disk.clone(), live.store_id, keeping),
        Some(root) => {
            let (pages, writer, node) = PageStore::open(disk.clone(), live.store_id, keeping, root)?;
            at = StateAt { time: node.commit_time, is_new: false, ..at };
            (pages, writer)
        }
    };
    let pages = Arc::new(pages);
    Ok((S::open(pages.clone(), &at)?, pages, writer))
}

/// Bytes of all log files, an upper bound for progress.
fn log_len(disk: &dyn Disk) -> Result<u64> {
    let mut len = 0;
    for name in disk.list()?.iter().filter(|name| name.starts_with("log-")) {
        len += disk.open(name, vellum_disk::Access::Read)?.len()?;
    }
    Ok(len)
}

#[cold]
fn in_frame(frame: &log::FrameRef<'_>, error: &Error) -> Error {
    let reason = match error.place() {
        Some(place) if place.file.is_empty() => format!("commit {}: {}", frame.lsn, place.reason),
        Some(_) => return error.clone(),
        None => format!("commit {}: {error}", frame.lsn),
    };
    Error::corrupt(log::log_name(frame.position.file), frame.position.offset, reason)
}
