//! What there is to start from: superblock copies, root images, segments as far as they can be read.

use super::report::Losses;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum_disk::{Access, Disk};
use vellum_engine::log::{self, CheckpointMark, Kind, Position, Resume, Salvaged};
use vellum_engine::pages::superblock::{self, Superblock};
use vellum_engine::pages::{
    Cache, FoundImages, ImageRef, Reference, Segments, open_all, open_table, scan_segment_with, segment,
};
use vellum_engine::{Lsn, SegmentId};
use vellum_types::{Error, ErrorKind, Result};

/// Bytes of pages of segments that are not mapped.
const CACHE_LEN: u64 = 64 << 20;

/// All that could be read without looking into pages.
pub(super) struct Sources {
    pub(super) store_id: [u8; 16],
    pub(super) images: FoundImages,
    pub(super) segments: Segments,
    /// What segments are read into where the disk does not read all of one: then none is mapped.
    pub(super) cache: Option<Arc<Cache>>,
    /// Checkpoints to start from, the best first; one without a root begins with the first commit.
    pub(super) starts: Vec<Superblock>,
    /// Where the log goes on behind pages that a scan finds, and as of which commit they are taken.
    pub(super) scan_from: (Superblock, Lsn),
}

/// What the log says of places in it.
#[derive(Default)]
struct Places {
    first: Option<Resume>,
    /// The place behind each commit.
    behind: BTreeMap<Lsn, Resume>,
    /// The newest checkpoint that was published.
    checkpoint: Option<Lsn>,
}

impl Sources {
    /// Reads the superblock, and scans all segments.
    pub(super) fn read(disk: &Arc<dyn Disk>, losses: &mut Losses) -> Result<Sources> {
        let starts = superblocks(&**disk, losses)?;
        let store_id = match starts.first() {
            Some(copy) => copy.store_id,
            None => identify(&**disk)?,
        };
        let nowhere = Position { file: 0, offset: 0 };
        let nothing = Resume { position: nowhere, lsn: Lsn(0), prev_crc: 0, generation: 1 };
        let (images, segments) = (FoundImages::default(), Segments::new());
        let scan_from = (start(store_id, nothing, None), Lsn(u64::MAX));
        let mut sources = Sources { store_id, images, segments, cache: None, starts, scan_from };
        sources.scan(&**disk, losses)?;
        let places = places_in_log(&**disk, store_id)?;
        if sources.starts.is_empty() {
            sources.starts = sources.roots_with_logs(&places);
            let newest = sources.starts.first().map_or(Lsn(0), |start| start.log.lsn);
            losses.note(format!(
                "no superblock copy can be used; the newest checkpoint that was found by scanning is at lsn {newest}"
            ));
        }
        match (sources.starts.first(), places.checkpoint.and_then(|lsn| places.behind.get(&lsn))) {
            (Some(start), _) => sources.scan_from = (start.clone(), start.log.lsn),
            (None, Some(log)) => sources.scan_from = (start(store_id, *log, None), log.lsn),
            (None, None) => sources.scan_from.0 = start(store_id, places.first.unwrap_or(nothing), None),
        }
        // A log that was never recycled has everything.
        let from_begin = places.first.filter(|log| log.lsn == Lsn(0));
        let is_known = sources.starts.iter().any(|start| start.root.is_none());
        sources.starts.extend(from_begin.filter(|_| !is_known).map(|log| start(store_id, log, None)));
        Ok(sources)
    }

    fn scan(&mut self, disk: &dyn Disk, losses: &mut Losses) -> Result<()> {
        let ids: Vec<SegmentId> = disk.list()?.iter().filter_map(|name| segment::id_of(name)).collect();
        let mut unreadable = false;
        let mut faults = Vec::new();
        for id in ids {
            let images = &mut self.images;
            let scanned = scan_segment_with(disk, id, self.store_id, &mut |image, head, is_whole| {
                images.note(image, head, is_whole);
            });
            match scanned {
                Ok(scan) => {
                    unreadable |= scan.unreadable;
                    faults.extend(scan.faults.into_iter().map(|fault| (id, fault)));
                }
                Err(error) => {
                    losses.note(format!("{} cannot be read: {error}", segment::file_name(id)));
                    self.images.unknown.push((id, 0));
                }
            }
        }
        self.images.roots.sort_by_key(|(lsn, image)| (*lsn, image.segment, image.place));
        self.cache = unreadable.then(|| Cache::new(CACHE_LEN));
        self.segments = open_all(disk, self.cache.as_ref())?;
        let named = self.named(disk);
        for (id, fault) in faults {
            losses.note(format!("damage that was met: {}", fault.error));
            let is_header = fault.image_offset < segment::HEADER_LEN as u64;
            if fault.head.is_some() || is_header {
                continue;
            }
            match named.get(&(id, fault.image_offset)) {
                Some((reference, lsn)) => self.images.note_lost(reference, *lsn),
                None => self.images.unknown.push((id, fault.image_offset)),
            }
        }
        Ok(())
    }

    /// Images that a page table names, by place, and as of which commit: damage there hides no other image.
    /// A segment that one names and that is gone may have held anything.
    fn named(&mut self, disk: &dyn Disk) -> BTreeMap<(SegmentId, u64), (Reference, Lsn)> {
        let mut named = BTreeMap::new();
        for copy in &self.starts {
            let Some(root) = copy.root else { continue };
            let Ok(table) = open_table(disk, copy.store_id, root, self.cache.as_ref(), &mut |_, _| {}) else {
                let lost = Reference::to_root(root);
                named.entry((root.segment, root.offset())).or_insert((lost, copy.log.lsn));
                continue;
            };
            for entry in &table.root.segments {
                let len = self.segments.get(&entry.id).map(|segment| segment.len() as u64);
                if len.is_none_or(|len| len < entry.len) {
                    self.images.unknown.push((entry.id, len.unwrap_or(0)));
                }
            }
            table.walk(root, &mut |reference, _| {
                named
                    .entry((reference.image.segment, reference.image.offset()))
                    .or_insert((*reference, copy.log.lsn));
            });
        }
        named
    }

    /// Checkpoints of which only the root image is left: the log must know the place behind their commit.
    fn roots_with_logs(&self, places: &Places) -> Vec<Superblock> {
        let mut starts: Vec<Superblock> = Vec::new();
        for (lsn, root) in self.images.roots.iter().rev() {
            if let Some(log) = places.behind.get(lsn)
                && starts.iter().all(|start| start.log.lsn != *lsn)
            {
                starts.push(start(self.store_id, *log, Some(*root)));
            }
        }
        starts
    }
}

fn start(store_id: [u8; 16], log: Resume, root: Option<ImageRef>) -> Superblock {
    Superblock { store_id, generation: 0, log, root, attested: Lsn(0), seal: None }
}

fn places_in_log(disk: &dyn Disk, store_id: [u8; 16]) -> Result<Places> {
    let mut places = Places::default();
    log::salvage(disk, store_id, &mut |found| -> Result<()> {
        match found {
            Salvaged::Start(at) => {
                places.behind.entry(at.lsn).or_insert(at);
                places.first.get_or_insert(at);
            }
            Salvaged::Frame(frame, behind) if frame.kind == Kind::Commit => {
                let lsn = Lsn(frame.lsn.0.saturating_sub(1));
                places.first.get_or_insert(Resume { position: frame.position, lsn, ..behind });
                places.behind.entry(frame.lsn).or_insert(behind);
            }
            Salvaged::Frame(frame, _) if frame.kind == Kind::CheckpointMark => {
                places.checkpoint =
                    CheckpointMark::decode(frame.body).map(|mark| mark.lsn).or(places.checkpoint);
            }
            Salvaged::Frame(..) | Salvaged::Damage => {}
        }
        Ok(())
    })?;
    Ok(places)
}

/// The copies that can be used, the newer first.
fn superblocks(disk: &dyn Disk, losses: &mut Losses) -> Result<Vec<Superblock>> {
    let parts = match superblock::read_parts(disk) {
        Ok(parts) => parts,
        Err(error)
            if [ErrorKind::Corrupt, ErrorKind::NotAStore, ErrorKind::Io].contains(&error.kind().into()) =>
        {
            losses.note(format!("the superblock: {error}"));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    let sound = parts.copies.iter().flatten().next();
    let record = sound.and_then(|copy| parts.attestation(&copy.store_id).0);
    for copy in parts.copies {
        match copy {
            Ok(copy) => {
                let attested = record.map_or(copy.attested, |record| record.lsn.max(copy.attested));
                found.push(Superblock { attested, ..copy });
            }
            Err(error) if error.kind() == vellum_engine::ErrorKind::UnknownFormat => return Err(error.into()),
            Err(error) => losses.note(format!("a superblock copy cannot be used: {error}")),
        }
    }
    found.sort_by_key(|copy| std::cmp::Reverse(copy.generation));
    if found.len() == 2 && found[0].store_id != found[1].store_id {
        losses.note("the superblock copies are of two stores; neither is used");
        found.clear();
    }
    Ok(found)
}

/// Whose files these are, where no superblock says so.
fn identify(disk: &dyn Disk) -> Result<[u8; 16]> {
    if let Some(id) = log::store_id_of_logs(disk) {
        return Ok(id);
    }
    for name in disk.list()? {
        let Some(id) = segment::id_of(&name) else { continue };
        let mut bytes = [0; segment::HEADER_LEN];
        let read = disk.open(&name, Access::Read).and_then(|file| file.read_at(0, &mut bytes));
        if let (Ok(()), Some(store_id)) = (read, segment::store_id_of(&bytes, id)) {
            return Ok(store_id);
        }
    }
    let message =
        format!("{} has no superblock, log file or segment of a store that can be read", disk.place());
    Err(Error::new(ErrorKind::NotAStore, message))
}
