//! Reads the log back: after a clean close, after a crash, or to look at it.
//!
//! [`scan`] walks the frames behind a checkpoint in order, over file and generation boundaries. Where the
//! next frame is not valid it decides what that means (crash rule 5):
//!
//! - **The end**: nothing but zeros follows, and nothing calls a later commit durable.
//! - **A torn tail**: bytes that were never promised. It is reported, the caller keeps it aside
//!   ([`keep_torn_tail`]) and goes on in a new generation.
//! - **Damage**: the superblock, a seal, a later generation, or the header of any later frame says that the
//!   missing commit was durable. Reading fails and names both places.
//!
//! Files are read into memory with `read_at`, one at a time, not mapped: a medium error is an error here,
//! not a signal, and the writer may map them without an alias.

use super::attestation::NewestFile;
use super::file::{self, Before, FRAMES_AT, FileHeader};
use super::frame::{self, ALIGN, Kind};
use super::{Position, Resume};
use crate::id::Lsn;
use crate::planted::planted;
use std::collections::VecDeque;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk, File};

/// Places up to which frames may be durable are remembered this far apart; recovery rewrites at most
/// this much more than it must.
const MILESTONE_LEN: u64 = 64 << 10;

/// What a scan found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The place behind the last valid frame.
    pub end: Resume,
    /// What was cut behind it.
    pub torn: Option<Torn>,
    /// The newest commit that anything calls durable.
    pub newest_durable: Lsn,
    /// Everything up to here is durable; what lies between here and `end` may be in the page cache only
    /// (crash rule 4: [`make_durable`] before anything is acknowledged).
    pub durable_until: Position,
    /// Whether the log ends where a clean close sealed it; only then is [`super::Log::resume`] right.
    pub sealed: bool,
    /// Frames read, marks too.
    pub frame_count: u64,
}

/// A torn tail: bytes behind the end of the log that nothing calls durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// File in which the log ends.
    pub file: String,
    /// Where it ends.
    pub offset: u64,
    /// Bytes cut in this file, up to the last that is not zero.
    pub len: u64,
    /// Bytes cut in later files: name, offset, length.
    pub later: Vec<(String, u64, u64)>,
    /// Why the frame is not valid.
    pub reason: String,
}

/// Where a clean close ended the log (crash rule 6); the superblock keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The place behind the last frame.
    pub position: Position,
    /// `prev_crc` of the [`Resume`] there.
    pub crc: u32,
}

/// One frame, as it is read.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    /// Its lsn; a mark carries that of the commit before it.
    pub lsn: Lsn,
    /// What it is.
    pub kind: Kind,
    /// Its body; the CRC matched.
    pub body: &'a [u8],
    /// Where it starts.
    pub position: Position,
}

/// What is known of a log without reading it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Known {
    /// The newest lsn that was reported durable.
    pub floor: Lsn,
    /// A file that must be there.
    pub newest: Option<NewestFile>,
    /// Where a clean close ended the log.
    pub closed: Option<Seal>,
}

/// Walks the frames from `from` (a checkpoint's place in the log) and calls `each` for every one.
///
/// # Errors
/// `Corrupt` naming file and offset where bytes that were durable are missing or wrong; what `each` and
/// the disk said.
pub fn scan(
    disk: &dyn Disk,
    store_id: [u8; 16],
    from: &Resume,
    known: &Known,
    each: &mut dyn FnMut(FrameRef<'_>) -> Result<()>,
) -> Result<Scan> {
    let Known { floor, newest, closed } = *known;
    let files = open_files(disk, store_id, from)?;
    if let Some(newest) = newest.filter(|newest| newest.number >= from.position.file) {
        check_newest(&files, newest)?;
    }
    let mut walk = Walk {
        disk,
        files,
        index: 0,
        bytes: Vec::new(),
        later_generation: None,
        at: *from,
        closed,
        floor,
        newest_durable: floor.max(from.lsn),
        durable_until: from.position,
        milestones: VecDeque::new(),
        frame_count: 0,
    };
    walk.load()?;
    if from.position.offset < FRAMES_AT || from.position.offset as usize > walk.bytes.len() {
        let reason = format!(
            "the superblock says that the log goes on at byte {}, outside the file",
            from.position.offset
        );
        return Err(walk.corrupt(reason));
    }
    walk.run(each)
}

/// A log file at or behind the place where reading starts. It is opened again when its turn comes: a long
/// log has more files than a process may have descriptors.
struct Listed {
    header: FileHeader,
    crc: u32,
}

impl Listed {
    fn name(&self) -> String {
        file::log_name(self.header.number)
    }
}

/// Opens the files from `from` on and checks that they make one log.
fn open_files(disk: &dyn Disk, store_id: [u8; 16], from: &Resume) -> Result<Vec<Listed>> {
    let first = from.position.file;
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| file::log_number(name)).collect();
    numbers.sort_unstable();
    let mut files: Vec<Listed> = Vec::new();
    for number in numbers.into_iter().filter(|number| *number >= first) {
        let expected = first + files.len() as u64;
        if number != expected {
            return Err(missing(expected, &format!("{} exists", file::log_name(number))));
        }
        let file = disk.open(&file::log_name(number), Access::Read)?;
        let (header, crc) = FileHeader::read(&*file, store_id, number)?;
        if let Some(earlier) = files.last()
            && !header.follows(&earlier.header)
        {
            return Err(Error::corrupt(
                file.name(),
                0,
                format!(
                    "the file is of generation {} from file {}, which does not follow generation {} from file {}",
                    header.generation,
                    header.first_file,
                    earlier.header.generation,
                    earlier.header.first_file
                ),
            ));
        }
        files.push(Listed { header, crc });
    }
    let Some(earliest) = files.first() else {
        return Err(missing(first, "the superblock says that the log goes on in it"));
    };
    if earliest.header.generation != from.generation {
        return Err(Error::corrupt(
            file::log_name(first),
            0,
            format!("generation {} expected, {} found", from.generation, earliest.header.generation),
        ));
    }
    Ok(files)
}

/// The superblock's file says which file was the newest: its name was durable before.
fn check_newest(files: &[Listed], newest: NewestFile) -> Result<()> {
    let found = files.iter().find(|listed| listed.header.number == newest.number);
    match found {
        Some(found) if found.crc == newest.crc => Ok(()),
        Some(found) => {
            let reason = format!(
                "header crc is {:08x}; the superblock says that it was {:08x}",
                found.crc, newest.crc
            );
            Err(Error::corrupt(found.name(), 0, reason))
        }
        None => Err(missing(newest.number, "the superblock says that the log went on in it")),
    }
}

fn missing(number: u64, reason: &str) -> Error {
    Error::corrupt(file::log_name(number), 0, format!("the file is missing, and {reason}"))
}

struct Walk<'d> {
    disk: &'d dyn Disk,
    files: Vec<Listed>,
    /// The file that is being read, and its bytes.
    index: usize,
    bytes: Vec<u8>,
    /// The first file of the next generation, and where it says that this one ended.
    later_generation: Option<(usize, Before)>,
    at: Resume,
    closed: Option<Seal>,
    floor: Lsn,
    newest_durable: Lsn,
    durable_until: Position,
    /// Places behind frames that were not durable when they were last looked at.
    milestones: VecDeque<(Lsn, Position)>,
    frame_count: u64,
}

impl Walk<'_> {
    fn run(mut self, each: &mut dyn FnMut(FrameRef<'_>) -> Result<()>) -> Result<Scan> {
        loop {
            if self.cross_generation()? {
                continue;
            }
            if self.is_sealed_here()? {
                return Ok(self.finish(None, true));
            }
            let Err(reason) = self.step(each)? else { continue };
            let torn = self.judge(reason)?;
            return Ok(self.finish(torn, false));
        }
    }

    /// Reads one frame; the inner error says why there is none.
    fn step(&mut self, each: &mut dyn FnMut(FrameRef<'_>) -> Result<()>) -> Result<Result<(), String>> {
        let position = self.at.position;
        let rest = &self.bytes[position.offset as usize..];
        let salt = self.files[self.index].header.salt;
        let (header, body, crc) = match frame::decode(rest, salt, self.at.lsn, self.at.prev_crc) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        each(FrameRef { lsn: header.lsn, kind: header.kind, body, position })?;
        let next = (header.kind == Kind::NextFile).then(|| NewestFile::decode_next(body));
        self.at.position.offset += frame::frame_len(header.body_len) as u64;
        self.at.lsn = header.lsn;
        self.at.prev_crc = crc;
        self.frame_count += 1;
        let is_commit = header.kind == Kind::Commit;
        self.note_durable(header.attested);
        // A mark has the lsn of the commit before it: that this one is durable says nothing of the mark.
        if is_commit {
            self.note_milestone();
        }
        match next {
            Some(named) => self.next_file(named).map(Ok),
            None => Ok(Ok(())),
        }
    }

    fn note_milestone(&mut self) {
        let far = match self.milestones.back() {
            Some((_, last)) => {
                last.file != self.at.position.file || self.at.position.offset - last.offset >= MILESTONE_LEN
            }
            None => true,
        };
        if far {
            self.milestones.push_back((self.at.lsn, self.at.position));
        }
    }

    fn note_durable(&mut self, durable: Lsn) {
        self.newest_durable = self.newest_durable.max(durable);
        while let Some((lsn, position)) = self.milestones.front().copied()
            && lsn <= self.newest_durable
        {
            self.durable_until = position;
            self.milestones.pop_front();
        }
    }

    /// At the place where a later generation's header says that this one ended, goes on there. Frames
    /// behind that place were cut by an earlier recovery and are not looked at (crash rule 3).
    fn cross_generation(&mut self) -> Result<bool> {
        let Some((index, before)) = self.later_generation else { return Ok(false) };
        let here = self.at.position;
        if here < before.position {
            return Ok(false);
        }
        let header = &self.files[index];
        if here != before.position || self.at.lsn != before.lsn || self.at.prev_crc != before.crc {
            return Err(self.corrupt(format!(
                "generation {} ends here with lsn {} and crc {:08x}; {} says that it ended at {} with lsn {} and crc {:08x}",
                self.at.generation,
                self.at.lsn,
                self.at.prev_crc,
                header.name(),
                before.position,
                before.lsn,
                before.crc
            )));
        }
        self.at.position = Position { file: header.header.number, offset: FRAMES_AT };
        self.at.prev_crc = header.crc;
        self.at.generation = header.header.generation;
        self.index = index;
        self.load()?;
        // Crash rule 4: what a generation's header names was made durable before the header was.
        self.durable_until = self.at.position;
        self.milestones.clear();
        self.note_durable(before.lsn);
        Ok(true)
    }

    /// At the seal of a clean close, checks that the log ends here as it was left (crash rule 6). The room
    /// behind it is not looked at, what is there cannot be taken for frames; [`super::audit`] does.
    fn is_sealed_here(&mut self) -> Result<bool> {
        let Some(seal) = self.closed else { return Ok(false) };
        if seal.position != self.at.position {
            return Ok(false);
        }
        if seal.crc != self.at.prev_crc {
            return Err(self.corrupt(format!(
                "the log was closed here behind a frame with crc {:08x}, {:08x} is found",
                seal.crc, self.at.prev_crc
            )));
        }
        Ok(true)
    }

    /// The last frame of a file says that the log goes on in the next one: there it does, or that file is damaged.
    /// Its name was durable before this frame was written.
    fn next_file(&mut self, named: Option<NewestFile>) -> Result<()> {
        let Some(named) = named.filter(|named| named.number == self.at.position.file + 1) else {
            return Err(
                self.corrupt("the frame that ends this file names no file that can come next".to_string())
            );
        };
        if let Some(stray) = first_nonzero(&self.bytes, self.at.position.offset as usize) {
            return Err(
                self.corrupt(format!("the log goes on in {}, but byte {stray} is not zero", named.name()))
            );
        }
        match self.files.get(self.index + 1) {
            Some(next) if next.crc == named.crc => {}
            Some(next) => {
                let reason = format!(
                    "header crc is {:08x}; {} says that the log goes on in a file with {:08x}",
                    next.crc,
                    file::log_name(self.at.position.file),
                    named.crc
                );
                return Err(Error::corrupt(next.name(), 0, reason));
            }
            None => {
                let here = file::log_name(self.at.position.file);
                return Err(missing(named.number, &format!("{here} says that the log goes on in it")));
            }
        }
        self.at.position = Position { file: named.number, offset: FRAMES_AT };
        self.index += 1;
        self.load()
    }

    /// Crash rule 5: the frame here is not valid. Damage if anything calls its commit durable, else the end
    /// of the log, with or without a torn tail.
    fn judge(&mut self, reason: String) -> Result<Option<Torn>> {
        let missing = self.at.lsn.next();
        if let Some((index, before)) = self.later_generation {
            let name = self.files[index].name();
            return Err(self.corrupt(format!(
                "{reason}; {name} says that the generation before it ended at {} with lsn {}",
                before.position, before.lsn
            )));
        }
        if let Some(seal) = self.closed {
            return Err(self.corrupt(format!("{reason}; the log was closed at {}", seal.position)));
        }
        if self.floor >= missing {
            return Err(self.corrupt(format!("{reason}; the superblock calls lsn {} durable", self.floor)));
        }
        let end = self.at;
        let here = self.index;
        let offset = end.position.offset;
        let mut cut = Vec::new();
        loop {
            let start = if self.index == here { offset } else { FRAMES_AT };
            if let Some((place, durable)) = self.witness(start, missing)
                && !planted("torn_is_fine")
            {
                self.at = end;
                self.index = here;
                return Err(
                    self.corrupt(format!("{reason}; the frame at {place} calls lsn {durable} durable"))
                );
            }
            let listed = &self.files[self.index];
            let used = used_len(&self.bytes) as u64;
            if used > start {
                cut.push((listed.name(), start, used - start));
            }
            if self.index + 1 == self.files.len() {
                break;
            }
            self.index += 1;
            self.load()?;
        }
        self.at = end;
        self.index = here;
        if cut.is_empty() {
            return Ok(None);
        }
        let name = self.files[here].name();
        let in_this_file = cut[0].0 == name;
        let len = if in_this_file { cut.remove(0).2 } else { 0 };
        Ok(Some(Torn { file: name, offset, len, later: cut, reason }))
    }

    /// A frame header at or behind `start` in the loaded file that calls `missing` durable: where it is and
    /// what it says. A header testifies even where its body is torn.
    fn witness(&mut self, start: u64, missing: Lsn) -> Option<(Position, Lsn)> {
        let salt = self.files[self.index].header.salt;
        let number = self.files[self.index].header.number;
        for offset in (start as usize..self.bytes.len()).step_by(ALIGN) {
            let Some(header) = frame::testimony(&self.bytes[offset..], salt) else { continue };
            // A header that is older than the missing frame is a copy inside a body, or nonsense.
            if header.lsn < self.at.lsn || header.attested > header.lsn {
                continue;
            }
            if header.attested >= missing {
                return Some((Position { file: number, offset: offset as u64 }, header.attested));
            }
            self.newest_durable = self.newest_durable.max(header.attested);
        }
        None
    }

    fn finish(mut self, torn: Option<Torn>, sealed: bool) -> Scan {
        self.note_durable(self.newest_durable);
        if sealed {
            (self.newest_durable, self.durable_until) = (self.at.lsn, self.at.position);
        }
        Scan {
            end: self.at,
            torn,
            newest_durable: self.newest_durable,
            durable_until: self.durable_until,
            sealed,
            frame_count: self.frame_count,
        }
    }

    /// Reads the current file into memory. Its length was checked against its header.
    fn load(&mut self) -> Result<()> {
        let mut later = self.files.iter().enumerate().skip(self.index + 1);
        self.later_generation = later.find_map(|(index, listed)| Some((index, listed.header.before?)));
        let listed = &self.files[self.index];
        let len = usize::try_from(listed.header.file_len).map_err(|_| {
            Error::corrupt(listed.name(), 0, "the file is longer than this machine can address".to_string())
        })?;
        // Of a log that was closed only what was written since the checkpoint is looked at: opening must
        // not cost what a whole file does.
        let (start, end) = match self.closed {
            Some(seal) if seal.position.file == listed.header.number => {
                let start =
                    if self.at.position.file == listed.header.number { self.at.position.offset } else { 0 };
                (start.min(seal.position.offset) as usize, seal.position.offset.min(len as u64) as usize)
            }
            _ => (0, len),
        };
        self.bytes = vec![0; end];
        self.disk.open(&listed.name(), Access::Read)?.read_at(start as u64, &mut self.bytes[start..])
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::corrupt(file::log_name(self.at.position.file), self.at.position.offset, reason)
    }
}

pub(super) fn first_nonzero(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = &bytes[from.min(bytes.len())..];
    // Whole blocks first: a log file is mostly zeros or mostly full.
    let block = rest.chunks(ZEROS.len()).position(|block| !is_zero(block))?;
    let start = block * ZEROS.len();
    rest[start..].iter().position(|&byte| byte != 0).map(|index| from + start + index)
}

/// Length up to the last byte that is not zero.
pub(super) fn used_len(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while end > 0 {
        let start = (end - 1) / ZEROS.len() * ZEROS.len();
        if !is_zero(&bytes[start..end]) {
            return bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        }
        end = start;
    }
    0
}

static ZEROS: [u8; 4096] = [0; 4096];

/// Whether a block of at most 4096 bytes is zero: one memcmp, fast in a debug build too.
fn is_zero(block: &[u8]) -> bool {
    *block == ZEROS[..block.len()]
}

/// Bytes copied at a time.
const COPY_LEN: usize = 1 << 20;

/// Copies the cut bytes to a file `torn-<file>-<offset>`, which it makes durable, and returns its name. The
/// log itself is left as it is: the next generation's header keeps the cut bytes out (crash rule 3). They are
/// made durable there too, as the rest of the log is: they may be in the page cache alone, and `verify`
/// compares both.
///
/// # Errors
/// What the disk said.
pub fn keep_torn_tail(disk: &dyn Disk, torn: &Torn) -> Result<String> {
    let name = torn_name(&torn.file, torn.offset);
    if disk.list()?.contains(&name) {
        // From an earlier attempt, which may have ended halfway.
        disk.remove(&name)?;
    }
    let target = disk.create(&name)?;
    let mut written = 0;
    let first = (torn.file.clone(), torn.offset, torn.len);
    for (source, offset, len) in std::iter::once(&first).chain(&torn.later) {
        let source = disk.open(source, Access::Write)?;
        let range = *offset..*offset + *len;
        written = copy(&*source, range.clone(), &*target, written)?;
        copy(&*source, range, &*source, *offset)?;
        source.sync()?;
    }
    target.sync()?;
    disk.sync_dir()?;
    Ok(name)
}

/// Name under which a torn tail is kept.
pub(super) fn torn_name(file: &str, offset: u64) -> String {
    format!("torn-{file}-{offset}")
}

/// Whether a name is one that [`keep_torn_tail`] gives.
pub fn is_torn_name(name: &str) -> bool {
    let parts = name.strip_prefix("torn-").and_then(|rest| rest.rsplit_once('-'));
    parts.is_some_and(|(file, offset)| {
        file::log_number(file).is_some() && offset.parse().is_ok_and(|at| torn_name(file, at) == name)
    })
}

/// Crash rule 4: what was replayed may be in the page cache only (the process died, the machine did not, or
/// an earlier sync failed). Writes the log's bytes between two places again and syncs them, so that they
/// are durable before anything that rests on them is acknowledged.
///
/// # Errors
/// What the disk said; nothing may be acknowledged then.
pub fn make_durable(disk: &dyn Disk, from: Position, to: Position) -> Result<()> {
    if from >= to {
        return Ok(());
    }
    for number in from.file..=to.file {
        let file = disk.open(&file::log_name(number), Access::Write)?;
        let start = if number == from.file { from.offset } else { 0 };
        let end = if number == to.file { to.offset } else { file.len()? };
        copy(&*file, start..end, &*file, start)?;
        file.sync()?;
    }
    disk.sync_dir()
}

/// Copies a range in pieces; returns the offset behind the copy.
fn copy(source: &dyn File, range: std::ops::Range<u64>, target: &dyn File, at: u64) -> Result<u64> {
    let mut bytes = vec![0; (range.end.saturating_sub(range.start)).min(COPY_LEN as u64) as usize];
    let (mut offset, mut at) = (range.start, at);
    while offset < range.end {
        let len = (range.end - offset).min(COPY_LEN as u64) as usize;
        source.read_at(offset, &mut bytes[..len])?;
        target.write_at(at, &bytes[..len])?;
        offset += len as u64;
        at += len as u64;
    }
    Ok(at)
}
