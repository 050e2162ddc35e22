//! Every frame that can be read, also behind damage: for a repair, when [`super::scan`] says that bytes
//! are missing which were durable.
//!
//! Each frame answers for itself here: its checksums hold and it has its generation's salt. Whether
//! commits are missing in between, their numbers tell. Of a file whose header is damaged the salt is taken from its
//! first frame, whose checksum covers it. Frames behind the place where a later generation says that
//! theirs ended were cut, and are left out (crash rule 3).

use super::audit::{next_frame, taken_on_trust};
use super::file::{self, FRAMES_AT, FileHeader};
use super::frame::{self, Header};
use super::reader::first_nonzero;
use super::{FrameRef, Position, Resume};
use crate::id::Lsn;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk};

/// What a walk over the log comes by.
pub enum Salvaged<'a> {
    /// Where frames may start: the begin of a file. `lsn` and `prev_crc` are those of the frame before,
    /// where the header says so.
    Start(Resume),
    /// A frame, and the place behind it.
    Frame(FrameRef<'a>, Resume),
    /// Bytes that are no frame, or a file without a header.
    Damage,
}

/// The store that the log files belong to, as the first header that holds says.
pub fn store_id_of_logs(disk: &dyn Disk) -> Option<[u8; 16]> {
    let names = disk.list().ok()?;
    let ours = names.iter().filter(|name| file::log_number(name).is_some());
    ours.filter_map(|name| read_header(disk, name).ok()).map(|(header, _)| header.store_id).next()
}

fn read_header(disk: &dyn Disk, name: &str) -> Result<(FileHeader, u32)> {
    let mut bytes = vec![0; FRAMES_AT as usize];
    disk.open(name, Access::Read)?.read_at(0, &mut bytes)?;
    FileHeader::decode(name, &bytes)
}

/// Walks the log files of a store in the order of their numbers.
///
/// # Errors
/// What the disk says about listing the directory, and what `each` says.
pub fn salvage<E: From<Error>>(
    disk: &dyn Disk,
    store_id: [u8; 16],
    each: &mut dyn FnMut(Salvaged<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| file::log_number(name)).collect();
    numbers.sort_unstable();
    let headers: Vec<Option<(FileHeader, u32)>> = numbers
        .iter()
        .map(|number| read_header(disk, &file::log_name(*number)).ok())
        .map(|read| read.filter(|(header, _)| header.store_id == store_id))
        .collect();
    let mut last = None;
    for (index, number) in numbers.iter().enumerate() {
        let cut_at = headers[index + 1..].iter().flatten().find_map(|(later, _)| later.before);
        let walk = FileWalk { number: *number, header: headers[index], cut_at: cut_at.map(|at| at.position) };
        last = walk.run(disk, last, each)?;
    }
    Ok(())
}

struct FileWalk {
    number: u64,
    header: Option<(FileHeader, u32)>,
    cut_at: Option<Position>,
}

impl FileWalk {
    /// Walks one file behind a frame `last`; the place behind its own last frame.
    fn run<E: From<Error>>(
        &self,
        disk: &dyn Disk,
        last: Option<Resume>,
        each: &mut dyn FnMut(Salvaged<'_>) -> Result<(), E>,
    ) -> Result<Option<Resume>, E> {
        let name = file::log_name(self.number);
        let bytes = match read_all(disk, &name) {
            Ok(bytes) => bytes,
            Err(_) => {
                each(Salvaged::Damage)?;
                return Ok(None);
            }
        };
        if self.header.is_none() {
            each(Salvaged::Damage)?;
        }
        let Some((salt, generation)) = self.salt(&bytes, last) else { return Ok(None) };
        let mut at = self.start(last, generation);
        if let Some(at) = at {
            each(Salvaged::Start(at))?;
        }
        let mut offset = FRAMES_AT as usize;
        while offset < bytes.len() {
            let position = Position { file: self.number, offset: offset as u64 };
            if self.cut_at.is_some_and(|cut| position >= cut) {
                break;
            }
            if let Some((header, body, crc)) = decode(&bytes[offset..], salt, at) {
                offset += frame::frame_len(header.body_len);
                let end = Position { offset: offset as u64, ..position };
                let behind = Resume { position: end, lsn: header.lsn, prev_crc: crc, generation };
                let found = FrameRef { lsn: header.lsn, kind: header.kind, body, position };
                each(Salvaged::Frame(found, behind))?;
                at = Some(behind);
                continue;
            }
            if first_nonzero(&bytes, offset).is_none() {
                break;
            }
            each(Salvaged::Damage)?;
            at = None;
            match next_frame(&bytes, offset, salt) {
                Some(next) => offset = next,
                None => break,
            }
        }
        Ok(at)
    }

    fn salt(&self, bytes: &[u8], last: Option<Resume>) -> Option<(u32, u32)> {
        if let Some((header, _)) = &self.header {
            return Some((header.salt, header.generation));
        }
        let first = bytes.get(FRAMES_AT as usize..)?;
        let salt = Header::salt_of(first)?;
        frame::testimony(first, salt).map(|_| (salt, last.map_or(1, |last| last.generation)))
    }

    /// The place in front of the file's first frame.
    fn start(&self, last: Option<Resume>, generation: u32) -> Option<Resume> {
        let position = Position { file: self.number, offset: FRAMES_AT };
        match &self.header {
            Some((header, crc)) if header.first_file == header.number => {
                let lsn = header.before.map_or(Lsn(0), |before| before.lsn);
                Some(Resume { position, lsn, prev_crc: *crc, generation })
            }
            _ => last.map(|last| Resume { position, generation, ..last }),
        }
    }
}

/// Header, body, and the header's CRC.
type Decoded<'a> = (Header, &'a [u8], u32);

/// The frame at the start of `bytes`: behind `at`, or else for itself.
fn decode(bytes: &[u8], salt: u32, at: Option<Resume>) -> Option<Decoded<'_>> {
    let behind = at.and_then(|at| frame::decode(bytes, salt, at.lsn, at.prev_crc).ok());
    behind.or_else(|| {
        let before = taken_on_trust(bytes, salt)?;
        frame::decode(bytes, salt, before.lsn, before.prev_crc).ok()
    })
}

fn read_all(disk: &dyn Disk, name: &str) -> Result<Vec<u8>> {
    let file = disk.open(name, Access::Read)?;
    let len = file.len()?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Error::corrupt(name, 0, "too long to read"))?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
