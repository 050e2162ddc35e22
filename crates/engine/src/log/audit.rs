//! Every byte of every log file, for those who check a store without opening it: also frames in front of
//! a checkpoint, which a recovery does not read, and the zeros where nothing was written yet.
//!
//! What is damage and what a torn tail, [`super::scan`] decides; here every byte that is neither a frame
//! in its place nor zero is a fault, except behind the place where a later generation says that its file's
//! generation ended (crash rule 3). Those bytes are compared with the copy that was kept aside.

use super::Position;
use super::file::{self, FRAMES_AT, FileHeader};
use super::frame::{self, ALIGN, HEADER_LEN, Header};
use super::reader::{first_nonzero, used_len};
use crate::id::Lsn;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk};

/// What the log files hold.
#[derive(Debug, Default)]
pub struct LogAudit {
    /// Log files read.
    pub file_count: u64,
    /// Bytes of valid frames.
    pub byte_count: u64,
    /// Valid frames.
    pub frame_count: u64,
    /// Damage, and torn tails that no later generation has cut yet.
    pub faults: Vec<Error>,
    /// Bytes that were cut by an earlier recovery: file, offset, length.
    pub cut: Vec<(String, u64, u64)>,
}

/// A place that something outside the log names, and must be one between two frames.
#[derive(Clone, Debug)]
pub struct Landmark {
    /// Where it is.
    pub position: Position,
    /// Its lsn.
    pub lsn: Lsn,
    /// Header CRC of the frame before.
    pub prev_crc: u32,
    /// Who names it.
    pub named_by: &'static str,
}

/// Checks all log files of a store. `end`: where a clean close ended the log; behind it is nothing.
///
/// # Errors
/// What the disk says about listing the directory.
pub fn audit(
    disk: &dyn Disk,
    store_id: [u8; 16],
    landmarks: &[Landmark],
    end: Option<Position>,
) -> Result<LogAudit> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| file::log_number(name)).collect();
    numbers.sort_unstable();
    let needed_from = landmarks.iter().map(|landmark| landmark.position.file).min().unwrap_or(0);
    let mut walk = AuditWalk { landmarks: landmarks.to_vec(), needed_from, end, ..AuditWalk::default() };
    let mut listed = Vec::with_capacity(numbers.len());
    for number in numbers {
        walk.found.file_count += 1;
        let read = disk
            .open(&file::log_name(number), Access::Read)
            .and_then(|file| FileHeader::read(&*file, store_id, number));
        match read {
            Ok(header) => listed.push(Ok(header)),
            Err(error) => {
                walk.found.faults.push(error);
                listed.push(Err(number));
            }
        }
    }
    for (index, entry) in listed.iter().enumerate() {
        match entry {
            Ok((header, crc)) => {
                let later = listed[index + 1..].iter().find_map(|later| later.as_ref().ok()?.0.before);
                // A file on its way out may have lost the one that says where its generation ended.
                let next = listed.get(index + 1).and_then(|next| next.as_ref().ok());
                walk.end_is_lost = header.number < walk.needed_from
                    && next.is_none_or(|(next, _)| next.number != header.number + 1);
                walk.file(disk, header, *crc, later.map(|before| before.position));
            }
            Err(_) => walk.last = None,
        }
    }
    walk.check_landmarks_left();
    Ok(walk.found)
}

/// What the next frame must follow.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) lsn: Lsn,
    pub(super) prev_crc: u32,
}

#[derive(Default)]
struct AuditWalk {
    found: LogAudit,
    /// Header of the file before, and what its last frame was; unknown behind damage.
    last: Option<(FileHeader, Option<Chain>)>,
    /// Those that were not come by yet.
    landmarks: Vec<Landmark>,
    /// Files before this one are on their way out, in any order.
    needed_from: u64,
    /// Where this file's generation ended is not known any more.
    end_is_lost: bool,
    end: Option<Position>,
}

impl AuditWalk {
    /// `cut_at`: where a later generation says that this file's generation ended.
    fn file(&mut self, disk: &dyn Disk, header: &FileHeader, crc: u32, cut_at: Option<Position>) {
        let name = file::log_name(header.number);
        let read = usize::try_from(header.file_len)
            .map_err(|_| Error::corrupt(name.clone(), 0, "longer than this machine can address"))
            .and_then(|len| {
                let mut bytes = vec![0; len];
                disk.open(&name, Access::Read)?.read_at(0, &mut bytes).map(|()| bytes)
            });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.found.faults.push(error);
                self.last = Some((*header, None));
                return;
            }
        };
        self.found.byte_count += header.file_len;
        let chain = self.chain_at_start(header, crc);
        let (end, chain) = self.frames(&name, header, &bytes, chain, cut_at);
        self.last = Some((*header, chain));
        // Bytes are left there only where a later generation says that this one ended.
        if first_nonzero(&bytes, end).is_some() {
            let used = used_len(&bytes);
            self.compare_with_kept(disk, &name, cut_at, &bytes[end..used], end as u64);
            self.found.cut.push((name, end as u64, (used - end) as u64));
        }
    }

    fn chain_at_start(&mut self, header: &FileHeader, crc: u32) -> Option<Chain> {
        if header.first_file == header.number {
            let lsn = header.before.map_or(Lsn(0), |before| before.lsn);
            if let Some((last, _)) = &self.last
                && !header.follows(last)
            {
                self.does_not_follow(header, last.number);
            }
            return Some(Chain { lsn, prev_crc: crc });
        }
        match &self.last {
            Some((last, chain)) if header.follows(last) => *chain,
            Some((last, _)) => {
                self.does_not_follow(header, last.number);
                None
            }
            None => None,
        }
    }

    fn does_not_follow(&mut self, header: &FileHeader, last: u64) {
        if last < self.needed_from {
            return;
        }
        let reason = format!("the file does not follow {}", file::log_name(last));
        self.found.faults.push(Error::corrupt(file::log_name(header.number), 0, reason));
    }

    /// Walks the frames of one file; returns where they end, and what the last one was.
    fn frames(
        &mut self,
        name: &str,
        header: &FileHeader,
        bytes: &[u8],
        mut chain: Option<Chain>,
        cut_at: Option<Position>,
    ) -> (usize, Option<Chain>) {
        let mut offset = FRAMES_AT as usize;
        loop {
            let here = Position { file: header.number, offset: offset as u64 };
            self.pass(here, chain);
            if cut_at.is_some_and(|cut| here >= cut) {
                return (offset, chain);
            }
            let before = chain.or_else(|| taken_on_trust(&bytes[offset..], header.salt));
            let decoded = match before {
                _ if self.end.is_some_and(|end| here >= end) => {
                    Err("the log was closed in front of this".into())
                }
                Some(before) => frame::decode(&bytes[offset..], header.salt, before.lsn, before.prev_crc),
                None => Err("no frame starts here".to_string()),
            };
            let reason = match decoded {
                Ok((frame, _, crc)) => {
                    self.found.frame_count += 1;
                    chain = Some(Chain { lsn: frame.lsn, prev_crc: crc });
                    offset += frame::frame_len(frame.body_len);
                    continue;
                }
                Err(reason) => reason,
            };
            let Some(stray) = first_nonzero(bytes, offset) else { return (offset, chain) };
            if self.end_is_lost && chain.is_some() {
                return (offset, chain);
            }
            let (place, reason) = match stray - offset {
                0..HEADER_LEN => (offset, reason),
                _ => (stray, format!("zeros are expected behind the last frame at byte {offset}")),
            };
            self.found.faults.push(Error::corrupt(name, place as u64, reason));
            match next_frame(bytes, offset, header.salt) {
                Some(next) => (chain, offset) = (None, next),
                None => return (bytes.len(), None),
            }
        }
    }

    /// Notes that a place between two frames was come by.
    fn pass(&mut self, here: Position, chain: Option<Chain>) {
        let faults = &mut self.found.faults;
        self.landmarks.retain(|landmark| {
            if landmark.position != here {
                return true;
            }
            let expected = (landmark.lsn, landmark.prev_crc);
            if chain.is_some_and(|chain| (chain.lsn, chain.prev_crc) != expected) {
                let reason =
                    format!("{} names this place behind another frame than is found", landmark.named_by);
                faults.push(Error::corrupt(file::log_name(here.file), here.offset, reason));
            }
            false
        });
    }

    fn check_landmarks_left(&mut self) {
        for Landmark { position, named_by, .. } in std::mem::take(&mut self.landmarks) {
            let reason = format!("{named_by} names this place, and no frame ends here");
            self.found.faults.push(Error::corrupt(file::log_name(position.file), position.offset, reason));
        }
    }

    /// Cut bytes were kept aside as they were; where both copies exist they must be alike.
    fn compare_with_kept(
        &mut self,
        disk: &dyn Disk,
        name: &str,
        cut_at: Option<Position>,
        cut: &[u8],
        offset: u64,
    ) {
        if cut_at.is_none_or(|at| file::log_name(at.file) != name || at.offset != offset) {
            return;
        }
        let kept_name = super::reader::torn_name(name, offset);
        let Ok(file) = disk.open(&kept_name, Access::Read) else { return };
        let mut kept = vec![0; cut.len()];
        // What later files held follows in the copy.
        let enough = file.len().is_ok_and(|len| len >= cut.len() as u64);
        if !enough || file.read_at(0, &mut kept).is_err() || kept != cut {
            let reason = format!("these bytes were cut, and are not what was kept of them in {kept_name}");
            self.found.faults.push(Error::corrupt(name, offset, reason));
        }
    }
}

/// What a frame says came before it, where that is not known.
pub(super) fn taken_on_trust(bytes: &[u8], salt: u32) -> Option<Chain> {
    let (header, _) = Header::decode(bytes, salt).ok()?;
    let lsn = match header.kind.lsn_after(Lsn(0)) {
        Lsn(0) => header.lsn,
        _ => Lsn(header.lsn.0.checked_sub(1)?),
    };
    Some(Chain { lsn, prev_crc: header.prev_crc })
}

/// The next whole frame behind a damaged one.
pub(super) fn next_frame(bytes: &[u8], from: usize, salt: u32) -> Option<usize> {
    let mut offset = from;
    if let Ok((header, _)) = Header::decode(&bytes[from..], salt) {
        // Its header is sound: the next frame is where it says.
        let next = from.checked_add(frame::frame_len(header.body_len)).filter(|next| *next < bytes.len());
        if let Some(next) = next
            && is_frame(&bytes[next..], salt)
        {
            return Some(next);
        }
    }
    let end = used_len(bytes);
    while offset + ALIGN < end {
        offset += ALIGN;
        if frame::testimony(&bytes[offset..], salt).is_some() && is_frame(&bytes[offset..], salt) {
            return Some(offset);
        }
    }
    None
}

fn is_frame(bytes: &[u8], salt: u32) -> bool {
    taken_on_trust(bytes, salt)
        .is_some_and(|chain| frame::decode(bytes, salt, chain.lsn, chain.prev_crc).is_ok())
}
