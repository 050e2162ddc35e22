//! The files of a store, byte by byte: which there are, what is in them, and whether what one says of
//! another holds.

use super::{Report, name_of_page};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vellum::records::Catalog;
use vellum_disk::{Access, Disk, LOCK_NAME, LOG_RESERVE_NAME, RESERVE_NAME};
use vellum_engine::SegmentId;
use vellum_engine::log::{self, Landmark, LogAudit, Scan};
use vellum_engine::page::image::Kind;
use vellum_engine::pages::segment::{self, HEADER_LEN};
use vellum_engine::pages::superblock::{self, Found};
use vellum_engine::pages::{Cache, Fault, ImageRef, Reference, SegmentScan, open_table, scan_segment};
use vellum_engine::{Error, ErrorKind, Result};

/// Bytes of pages of segments that are not mapped.
const CACHE_LEN: u64 = 64 << 20;
/// Bytes of the reserve read at a time.
const RESERVE_STEP: usize = 1 << 16;

/// What the files hold, before it is told to anybody: who is affected is known only once the schema is.
pub(super) struct Files {
    /// The copies that can be used; none when the superblock is lost.
    pub(super) found: Option<Found>,
    /// Whether a segment could not be opened.
    pub(super) unreadable: bool,
    /// What segments are read into where the disk does not read all of one: then none is mapped.
    pub(super) cache: Option<Arc<Cache>>,
    segments: BTreeMap<SegmentId, SegmentScan>,
    /// Segments that neither page table names, where both are known.
    unnamed: BTreeSet<SegmentId>,
    /// Damaged images that a page table names, by segment and offset.
    lost: BTreeMap<(SegmentId, u64), Reference>,
    log: LogAudit,
}

/// Reads all files. What is wrong with names, the superblock and page tables is reported at once.
///
/// # Errors
/// `NotAStore`, `UnknownFormat`, and what the disk says about the directory.
pub(super) fn read(disk: &dyn Disk, report: &mut Report) -> Result<Files> {
    let found = read_superblock(disk, report)?;
    let mut files = Files {
        found,
        unreadable: false,
        cache: None,
        segments: BTreeMap::new(),
        unnamed: BTreeSet::new(),
        lost: BTreeMap::new(),
        log: LogAudit::default(),
    };
    files.read_directory(disk, report)?;
    let Some(found) = files.found.take() else {
        report.add(None, "nothing else was checked: neither copy of the superblock can be used");
        return Ok(files);
    };
    files.check_tables(disk, &found, report);
    let end = found.live.seal.map(|seal| seal.position);
    files.log = log::audit(disk, found.live.store_id, &landmarks(&found), end)?;
    report.report.file_count += files.log.file_count;
    report.report.byte_count += files.log.byte_count;
    report.report.frame_count = files.log.frame_count;
    files.found = Some(found);
    Ok(files)
}

fn read_superblock(disk: &dyn Disk, report: &mut Report) -> Result<Option<Found>> {
    let parts = match superblock::read_parts(disk) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report.error(&error);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    report.report.file_count += 1;
    report.report.byte_count += parts.len;
    if parts.len != superblock::FILE_LEN as u64 {
        report.error(&superblock::wrong_len(parts.len));
    }
    if let [Err(_), Err(second)] = &parts.copies {
        report.error(second);
    }
    let sound = parts.copies.iter().flatten().next();
    let (attestation, faults) = sound.map(|copy| parts.attestation(&copy.store_id)).unwrap_or_default();
    let is_closed = parts.copies.iter().flatten().any(|copy| copy.seal.is_some());
    for fault in faults {
        if is_closed || attestation.is_none() || !fault.may_be_torn {
            report.error(&fault.error);
        } else if let Some(place) = fault.error.place() {
            report.note(&place.file, place.offset, &place.reason);
        }
    }
    match superblock::choose(parts) {
        Ok(found) => {
            if let Some(damage) = &found.damage {
                report.error(damage);
            }
            Ok(Some(found))
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report.error(&error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A reserve is nothing but zeros. One that is changed harms nobody, and is a sign of a bad disk.
fn read_reserve(disk: &dyn Disk, name: &str, report: &mut Report) {
    let mut check = || -> Result<()> {
        let file = disk.open(name, Access::Read)?;
        let len = file.len()?;
        report.report.file_count += 1;
        report.report.byte_count += len;
        let (mut buffer, zeros) = (vec![0; RESERVE_STEP], vec![0; RESERVE_STEP]);
        for offset in (0..len).step_by(RESERVE_STEP) {
            let bytes = &mut buffer[..(len - offset).min(RESERVE_STEP as u64) as usize];
            file.read_at(offset, bytes)?;
            if *bytes == zeros[..bytes.len()] {
                continue;
            }
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                return Err(Error::corrupt(name, offset + at as u64, "this file holds nothing but zeros"));
            }
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.error(&error);
    }
}

/// Places in the log that the superblock names.
fn landmarks(found: &Found) -> Vec<Landmark> {
    let mut landmarks = Vec::new();
    for copy in std::iter::once(&found.live).chain(&found.other) {
        let (position, lsn, prev_crc) = (copy.log.position, copy.log.lsn, copy.log.prev_crc);
        landmarks.push(Landmark { position, lsn, prev_crc, named_by: "a checkpoint" });
    }
    if let Some(seal) = found.live.seal {
        let (position, lsn, prev_crc) = (seal.position, found.live.attested, seal.crc);
        landmarks.push(Landmark { position, lsn, prev_crc, named_by: "the close" });
    }
    landmarks
}

impl Files {
    fn read_directory(&mut self, disk: &dyn Disk, report: &mut Report) -> Result<()> {
        for name in disk.list()? {
            let is_leftover = name == superblock::TEMPORARY_NAME || name == superblock::UNFINISHED_NAME;
            if let Some(id) = segment::id_of(&name).filter(|id| segment::file_name(*id) == name) {
                self.read_segment(disk, id, report);
            } else if log::is_leftover(&name) || is_leftover {
                report.note(&name, 0, "left over; the next opening for writing removes it");
            } else if log::is_torn_name(&name) {
                report.note(
                    &name,
                    0,
                    "a torn tail that a recovery cut and kept aside; remove it when it is not needed",
                );
            } else if name == RESERVE_NAME || name == LOG_RESERVE_NAME {
                read_reserve(disk, &name, report);
            } else if name != LOCK_NAME && name != superblock::FILE_NAME && log::log_number(&name).is_none() {
                report.note(&name, 0, "a foreign file, which no store writes; it was not read");
            }
        }
        Ok(())
    }

    fn read_segment(&mut self, disk: &dyn Disk, id: SegmentId, report: &mut Report) {
        let Some(found) = &self.found else { return };
        report.report.file_count += 1;
        match scan_segment(disk, id, found.live.store_id) {
            Ok(scan) => {
                report.report.byte_count += scan.len;
                report.report.image_count += scan.image_count;
                if scan.unreadable && self.cache.is_none() {
                    self.cache = Some(Cache::new(CACHE_LEN));
                }
                self.segments.insert(id, scan);
            }
            Err(error) => {
                self.unreadable = true;
                report.error(&error);
            }
        }
    }

    /// Walks the page tables of both copies, and says which segments neither names.
    fn check_tables(&mut self, disk: &dyn Disk, found: &Found, report: &mut Report) {
        if self.unreadable {
            let message = "page tables and records were not checked: a segment cannot be read";
            return report.add(None, message);
        }
        let mut named = BTreeSet::new();
        let mut complete = found.other.is_some();
        for copy in std::iter::once(&found.live).chain(&found.other) {
            let Some(root) = copy.root else { continue };
            complete &= self.check_table(disk, copy.store_id, root, &mut named, report);
        }
        for (id, scan) in self.segments.iter().filter(|(id, _)| complete && !named.contains(*id)) {
            report.note(
                &scan.name,
                0,
                "no checkpoint names this segment; the next opening for writing removes it",
            );
            self.unnamed.insert(*id);
        }
    }

    /// Checks one page table; says whether all of its segments are known.
    fn check_table(
        &mut self,
        disk: &dyn Disk,
        store_id: [u8; 16],
        root: ImageRef,
        named: &mut BTreeSet<SegmentId>,
        report: &mut Report,
    ) -> bool {
        let opened =
            open_table(disk, store_id, root, self.cache.as_ref(), &mut |_, error| report.error(&error));
        let table = match opened {
            Ok(table) => table,
            Err(error) => {
                report.error(&error);
                return false;
            }
        };
        named.extend(table.root.segments.iter().map(|entry| entry.id));
        let mut live_len: BTreeMap<SegmentId, u64> = BTreeMap::new();
        let mut all_nodes = true;
        table.walk(root, &mut |reference, result| {
            all_nodes &= reference.kind != Kind::Node || result.is_ok();
            let image = &reference.image;
            *live_len.entry(image.segment).or_default() += image.image_len();
            let (known, offset) = (self.segments.get(&image.segment), image.offset());
            if known.is_some_and(|scan| scan.is_damaged_at(offset)) {
                // Told with the segment.
                self.lost.insert((image.segment, offset), *reference);
                return;
            }
            match result {
                Err(error) => report.error(&error),
                Ok(()) if known.is_some_and(|scan| !scan.starts_at(offset)) => {
                    let reason = "a reference points into the middle of an image";
                    report.error(&Error::corrupt(segment::file_name(image.segment), offset, reason));
                }
                Ok(()) => {}
            }
        });
        // Below a node that cannot be read nothing was counted.
        for entry in table.root.segments.iter().filter(|_| all_nodes) {
            let counted = live_len.remove(&entry.id).unwrap_or(0);
            if counted != entry.live_len {
                let reason =
                    format!("the root counts {} live bytes, its page table names {counted}", entry.live_len);
                report.error(&Error::corrupt(segment::file_name(entry.id), 0, reason));
            }
        }
        true
    }

    /// Reports the damage in segments and in the log, with whom it affects. `scan` is what a recovery said
    /// of the log's end.
    pub(super) fn tell(&mut self, catalog: Option<&Catalog>, scan: Option<&Scan>, report: &mut Report) {
        // A checkpoint that a crash ended leaves any part of a segment; after a close there is none.
        let closed = self.found.as_ref().is_some_and(|found| found.live.seal.is_some());
        for (id, segment) in &mut self.segments {
            for Fault { image_offset, error, head } in segment.faults.drain(..) {
                if self.unnamed.contains(id) && !closed {
                    continue;
                }
                report.error(&error);
                let named = self.lost.get(&(*id, image_offset));
                let whose = match (named, &head) {
                    (Some(reference), _) => name_of_page(catalog, reference.kind, &reference.address),
                    (None, _) if image_offset < HEADER_LEN as u64 => "the segment's header".to_string(),
                    (None, Some(head)) => {
                        format!(
                            "{}, which nothing names any more",
                            name_of_page(catalog, head.kind, &head.address)
                        )
                    }
                    (None, None) => "nothing that a page table names".to_string(),
                };
                report.affects(&error, &whose);
            }
        }
        let torn = scan.and_then(|scan| scan.torn.as_ref());
        for error in self.log.faults.drain(..) {
            // Behind the end that the recovery found, these are the bytes of a torn tail.
            let is_torn = error.place().zip(torn).is_some_and(|(place, torn)| {
                let number = log::log_number(&place.file).zip(log::log_number(&torn.file));
                number.is_some_and(|(here, end)| here > end || (here == end && place.offset >= torn.offset))
            });
            if !is_torn {
                report.error(&error);
            }
        }
        if let Some(torn) = torn {
            let more = torn.later.iter().map(|(_, _, len)| len).sum::<u64>();
            let len = torn.len + more;
            let message =
                format!("a torn tail of {len} bytes, never acknowledged as durable: {}", torn.reason);
            report.note(&torn.file, torn.offset, &message);
        }
        for (file, offset, len) in self.log.cut.drain(..) {
            report.note(&file, offset, &format!("{len} bytes that an earlier recovery cut"));
        }
    }
}
