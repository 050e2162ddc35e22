//! The writer's end of the log.

use super::attestation::NewestFile;
use super::file::{self, Before, FRAMES_AT, FileHeader};
use super::frame::{self, FRAME_LEN_MAX, HEADER_LEN, Header, Kind, NEXT_FILE_LEN};
use super::group_commit::{self, GroupCommit, LogFile};
use super::{LogConfig, Position, Resume};
use crate::id::Lsn;
use std::sync::Arc;
use vellum_bytes::crc32;
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Access, Disk, File, LogTail};

/// A file may be so many times as long as what is left of the one before. In the middle of a file that is twice its
/// length four times what is left; one more for the frame that steps over it.
const LEFT_TIMES: u64 = 5;

/// The writer's end; lives under the store's writer lock.
#[derive(Debug)]
pub struct Log {
    shared: Arc<GroupCommit>,
    config: LogConfig,
    header: FileHeader,
    file: Arc<dyn File>,
    tail: Option<Box<dyn LogTail>>,
    /// A frame on its way to `write_at`, where there is no mapping.
    scratch: Vec<u8>,
    at: Resume,
    /// Length of the next file under normal load.
    next_len: u64,
    /// Length of the next file as it was asked for, 0 before; so that it is the same whether it was ready or not.
    requested_len: u64,
    /// Where frames end in this file: its length less the frame that ends it, or less after a resume.
    capacity: u64,
    /// Offset up to which `reserve` has nothing to do: half the file until the next one was asked for,
    /// then all of it.
    unchecked_until: u64,
    /// Log bytes before the start of each file: (file, bytes), ascending.
    starts: Vec<(u64, u64)>,
}

impl Log {
    /// A new store's log: file 1, generation 1. Contents and names are durable when this returns.
    ///
    /// # Errors
    /// What the disk said.
    pub fn create(disk: Arc<dyn Disk>, store_id: [u8; 16], salt: u32, config: LogConfig) -> Result<Log> {
        let header = FileHeader {
            store_id,
            number: 1,
            file_len: config.file_len_first,
            first_file: 1,
            generation: 1,
            salt,
            before: None,
        };
        Log::start(disk, header, Lsn(0), config)
    }

    /// Goes on after an unclean end. Crash rule 3: a new generation in a new file, whose header names
    /// where the old one ended, so that a frame which was cut can never come back behind a new one.
    ///
    /// The caller has called [`super::make_durable`] up to `after`: what the header names must be there
    /// after the next crash.
    ///
    /// # Errors
    /// What the disk said.
    pub fn start_generation(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        salt: u32,
        after: &Resume,
        config: LogConfig,
    ) -> Result<Log> {
        let newest = sweep(&*disk)?.last().copied().unwrap_or(0).max(after.position.file);
        let generation = after.generation.checked_add(1).ok_or_else(|| {
            Error::new(
                ErrorKind::LimitExceeded,
                "log generations are used up; export the store into a new one",
            )
        })?;
        // A store whose schema is all that was ever logged is as good as new.
        let is_new = after.lsn <= Lsn(1);
        let header = FileHeader {
            store_id,
            number: newest + 1,
            file_len: if is_new { config.file_len_first } else { config.file_len_min },
            first_file: newest + 1,
            generation,
            salt,
            before: Some(Before { position: after.position, lsn: after.lsn, crc: after.prev_crc }),
        };
        Log::start(disk, header, after.lsn, config)
    }

    fn start(disk: Arc<dyn Disk>, header: FileHeader, lsn: Lsn, config: LogConfig) -> Result<Log> {
        check_config(&config);
        let file =
            group_commit::build(&*disk, &header, None, 0, config.mapped).map_err(|failure| failure.error)?;
        let at = Resume {
            position: Position { file: header.number, offset: FRAMES_AT },
            lsn,
            prev_crc: file.crc,
            generation: header.generation,
        };
        Log::on(disk, file, at, config)
    }

    /// Goes on after a clean close ([`super::Scan::sealed`]), in the same file at the same place. A file that
    /// the closed session prepared is made anew when it is needed.
    ///
    /// # Errors
    /// `Corrupt` when the file is not the one that was closed; what the disk said.
    pub fn resume(disk: Arc<dyn Disk>, store_id: [u8; 16], at: &Resume, config: LogConfig) -> Result<Log> {
        check_config(&config);
        sweep(&*disk)?;
        let file = disk.open(&file::log_name(at.position.file), Access::Write)?;
        let (header, crc) = FileHeader::read(&*file, store_id, at.position.file)?;
        if header.generation != at.generation || !(FRAMES_AT..=header.file_len).contains(&at.position.offset)
        {
            return Err(Error::corrupt(
                file.name(),
                0,
                format!(
                    "the log goes on in generation {} at byte {}, the file is of generation {} and has {} bytes",
                    at.generation, at.position.offset, header.generation, header.file_len
                ),
            ));
        }
        let tail = if config.mapped { file.map_tail(header.file_len)? } else { None };
        let capacity = match &tail {
            Some(_) => renew_window(&*file, at.position.offset, header.file_len)?,
            None => header.file_len,
        };
        let capacity = capacity.min(frames_end(header.file_len));
        let mut log = Log::on(disk, LogFile { header, crc, file, tail }, *at, config)?;
        log.capacity = capacity;
        log.unchecked_until = at.position.offset.midpoint(capacity);
        Ok(log)
    }

    fn on(disk: Arc<dyn Disk>, current: LogFile, at: Resume, config: LogConfig) -> Result<Log> {
        let starts = starts_of_files(&*disk, at.position.file)?;
        let shared = Arc::new(GroupCommit::new(disk, config, at.lsn, current.as_current()?));
        Ok(Log {
            shared,
            config,
            next_len: doubled(current.header.file_len, &config),
            requested_len: 0,
            capacity: frames_end(current.header.file_len),
            unchecked_until: current.header.file_len / 2,
            header: current.header,
            file: current.file,
            tail: current.tail,
            scratch: Vec::new(),
            at,
            starts,
        })
    }

    /// All of an append that can fail: makes sure that a frame with a body of this length has room, in
    /// this file or in the next. After `Ok`, appending it cannot fail in mapped mode. After an error the
    /// log is as it was.
    ///
    /// # Errors
    /// `LimitExceeded` for a frame over 1 GiB, `DiskFull`, `Poisoned`, or what the disk said.
    #[inline]
    pub fn reserve(&mut self, body_len: usize) -> Result<()> {
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        let len = frame::frame_len(body_len.min(FRAME_LEN_MAX)) as u64;
        let end = self.at.position.offset + len;
        if end <= self.unchecked_until {
            return Ok(());
        }
        self.make_room(body_len)
    }

    /// The slow part of [`Log::reserve`]: the file is half full, or the frame is long.
    #[cold]
    fn make_room(&mut self, body_len: usize) -> Result<()> {
        if body_len > frame::BODY_LEN_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "a transaction of {body_len} bytes is too large for the log, which takes {}; split it",
                    frame::BODY_LEN_MAX
                ),
            ));
        }
        let len = frame::frame_len(body_len) as u64;
        if self.at.position.offset + len > self.capacity {
            self.roll_over(len)?;
        } else {
            // The flusher makes the next file while this one takes its second half; so the writer does
            // not have to zero megabytes under its lock.
            self.unchecked_until = self.capacity;
            self.requested_len = self.len_in_time();
            self.shared.want_next(self.next_header(self.shared.fitting_len(self.requested_len)));
        }
        Ok(())
    }

    /// Making a file takes as long as it is: one that is asked for when little is left of this one is a half of what
    /// the load calls for, or a half of that, so that it is ready in time.
    fn len_in_time(&self) -> u64 {
        let in_time = LEFT_TIMES * (self.capacity - self.at.position.offset);
        let mut len = self.next_len;
        while len > in_time && len > self.config.file_len_min {
            len = (len / 2).next_multiple_of(FRAMES_AT).max(self.config.file_len_min);
        }
        len
    }

    /// Length of the file that a frame with a body of this length needs at least; 0 where it fits this one.
    pub fn file_len_needed(&self, body_len: usize) -> u64 {
        let len = frame::frame_len(body_len.min(FRAME_LEN_MAX)) as u64;
        if self.at.position.offset + len <= self.capacity {
            return 0;
        }
        (FRAMES_AT + len + NEXT_FILE_LEN as u64).next_multiple_of(FRAMES_AT).max(self.config.file_len_first)
    }

    /// A file of its own for what does not fit a normal one.
    fn roll_over(&mut self, len: u64) -> Result<()> {
        // What is made next goes into the directory: it must still be this store's.
        self.shared.check_files()?;
        let own_len = (FRAMES_AT + len + NEXT_FILE_LEN as u64).next_multiple_of(FRAMES_AT);
        let oversize = own_len > self.next_len;
        let requested_len = if self.requested_len == 0 { self.next_len } else { self.requested_len };
        let wanted = own_len.max(self.shared.fitting_len(requested_len));
        let least = own_len.max(self.config.file_len_min);
        let next = self.shared.take_next(self.next_header(wanted)).or_else(|error| {
            // A disk without room for the file that the load calls for may have it for a small one.
            let smaller = error.kind() == ErrorKind::DiskFull && least < wanted;
            if smaller { self.shared.take_next(self.next_header(least)) } else { Err(error) }
        });
        let next = next.or_else(|error| {
            // The last of it goes to a file as short as a new store's: a checkpoint's mark, and some commits.
            let last = own_len.max(self.config.file_len_first);
            let shorter = error.kind() == ErrorKind::DiskFull && last < least;
            if shorter { self.shared.take_next(self.next_header(last)) } else { Err(error) }
        });
        let next = next.or_else(|error| {
            // And a disk without room for that has the file that waits for this moment.
            if error.kind() != ErrorKind::DiskFull {
                return Err(error);
            }
            self.shared.take_reserve(self.next_header(least))?.ok_or(error)
        })?;
        assert_eq!(next.header.number, self.at.position.file + 1, "log files are numbered without gaps");
        let newest = NewestFile { number: next.header.number, crc: next.crc };
        let current = next.as_current()?;
        let attested = self.shared.durable();
        self.put(Kind::NextFile, self.at.lsn, attested, &newest.encode_next())?;
        let start = self.bytes_since(Position { file: 0, offset: 0 }) + self.header.file_len
            - self.at.position.offset;
        self.starts.push((next.header.number, start));
        self.at.position = Position { file: next.header.number, offset: FRAMES_AT };
        self.shared.roll_over(current, newest, self.tail.take())?;
        if !oversize {
            self.next_len = doubled(next.header.file_len, &self.config);
        }
        (self.header, self.file, self.tail) = (next.header, next.file, next.tail);
        self.capacity = frames_end(self.header.file_len);
        (self.unchecked_until, self.requested_len) = (self.capacity / 2, 0);
        Ok(())
    }

    fn next_header(&self, file_len: u64) -> FileHeader {
        FileHeader { number: self.header.number + 1, file_len, before: None, ..self.header }
    }

    /// Appends one frame and returns where it ends. `attested` is the newest lsn that was reported durable: crash
    /// rule 5 needs it in every frame, to distinguish a torn tail from damage. [`Log::reserve`] has been called for
    /// the same body.
    ///
    /// # Errors
    /// Without a mapping, what the disk said; the log is then poisoned.
    #[inline]
    pub fn append(&mut self, kind: Kind, lsn: Lsn, attested: Lsn, body: &[u8]) -> Result<Position> {
        let end = self.at.position.offset + frame::frame_len(body.len()) as u64;
        assert!(end <= self.capacity, "append without reserve: {} bytes at {}", body.len(), self.at.position);
        self.put(kind, lsn, attested, body)?;
        self.shared.publish(lsn);
        Ok(self.at.position)
    }

    /// Puts a frame where the last one ended.
    #[inline]
    fn put(&mut self, kind: Kind, lsn: Lsn, attested: Lsn, body: &[u8]) -> Result<()> {
        let last = self.at.lsn;
        assert!(lsn == kind.lsn_after(last), "append out of order: {kind:?} with lsn {lsn} after {last}");
        assert!(attested <= last, "lsn {attested} cannot be durable after a last one of {last}");
        let offset = self.at.position.offset;
        let end = offset + frame::frame_len(body.len()) as u64;
        let header = Header {
            body_len: body.len(),
            lsn,
            attested,
            prev_crc: self.at.prev_crc,
            salt: self.header.salt,
            body_crc: crc32(body),
            kind,
        };
        let (bytes, crc) = header.encode();
        // Padding is not written: the file was zeroed.
        match &mut self.tail {
            Some(tail) => {
                tail.write(offset as usize + HEADER_LEN, body);
                tail.write(offset as usize, &bytes);
            }
            None => self.write(offset, &bytes, body)?,
        }
        self.at.position.offset = end;
        self.at.lsn = lsn;
        self.at.prev_crc = crc;
        Ok(())
    }

    fn write(&mut self, offset: u64, header: &[u8], body: &[u8]) -> Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(header);
        self.scratch.extend_from_slice(body);
        self.file.write_at(offset, &self.scratch).inspect_err(|cause| self.shared.poison(cause.clone()))
    }

    /// Where the next frame goes.
    #[cfg(test)]
    pub fn position(&self) -> Position {
        self.at.position
    }

    /// What it takes to go on here, or to read from here.
    pub fn resume_point(&self) -> Resume {
        self.at
    }

    /// The file that takes frames.
    pub fn newest_file(&self) -> NewestFile {
        NewestFile { number: self.header.number, crc: self.header.encode().1 }
    }

    /// Log bytes behind `from`: what a recovery from there would read.
    pub fn bytes_since(&self, from: Position) -> u64 {
        let known = self.starts.partition_point(|(file, _)| *file <= from.file);
        let bytes_before = |start: u64, offset: u64| start + offset.saturating_sub(FRAMES_AT);
        let (_, start) = self.starts[self.starts.len() - 1];
        let here = bytes_before(start, self.at.position.offset);
        match known.checked_sub(1) {
            Some(index) if self.starts[index].0 == from.file => {
                here.saturating_sub(bytes_before(self.starts[index].1, from.offset))
            }
            Some(index) => here.saturating_sub(self.starts[index].1),
            None => here,
        }
    }

    /// The end that waiters and the flusher share.
    pub fn shared(&self) -> &Arc<GroupCommit> {
        &self.shared
    }
}

fn check_config(config: &LogConfig) {
    let LogConfig { file_len_first, file_len_min, file_len_max, .. } = *config;
    let lens = [file_len_first, file_len_min, file_len_max];
    assert!(
        file_len_first > FRAMES_AT && lens.is_sorted() && file_len_max <= FRAME_LEN_MAX as u64,
        "log files of {lens:?} bytes are not possible"
    );
    assert!(lens.iter().all(|len| len % FRAMES_AT == 0), "log files are whole blocks");
}

/// Where frames end in a file of this length, so that the one that ends it always has room.
fn frames_end(file_len: u64) -> u64 {
    file_len - NEXT_FILE_LEN as u64
}

fn doubled(len: u64, config: &LogConfig) -> u64 {
    len.saturating_mul(2).clamp(config.file_len_min, config.file_len_max)
}

/// Removes what preparations and recycling left over, and returns the numbers of the log files, ascending.
fn sweep(disk: &dyn Disk) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for name in disk.list()? {
        if file::is_leftover(&name) {
            disk.remove(&name)?;
        }
        numbers.extend(file::log_number(&name));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Bytes of a closed log's last file that a new session goes on in.
const WINDOW_LEN: u64 = 256 << 10;

/// Gives the next part of a file that was read, and is to be written through a mapping, small pages in the
/// page cache; returns where that part ends. Recovery reads in large pieces, which leaves large folios,
/// and each commit would then write a whole folio: 2 MiB instead of 4 KiB, as measured here. So the cache
/// is dropped and the part written again, as it is, in blocks. The rest of the file stays unused.
fn renew_window(file: &dyn File, offset: u64, file_len: u64) -> Result<u64> {
    let start = offset - offset % FRAMES_AT;
    let end = (start + WINDOW_LEN).min(file_len);
    let mut bytes = vec![0; (end - start) as usize];
    file.read_at(start, &mut bytes)?;
    if let Some(stray) = bytes[(offset - start) as usize..].iter().position(|&byte| byte != 0) {
        let stray = offset + stray as u64;
        return Err(Error::corrupt(
            file.name(),
            stray,
            format!("zeros are expected: the log was closed at byte {offset}"),
        ));
    }
    file.drop_cache(start, end - start);
    for (block, at) in bytes.chunks(FRAMES_AT as usize).zip((start..).step_by(FRAMES_AT as usize)) {
        file.write_at(at, block)?;
    }
    Ok(end)
}

/// The table for [`Log::bytes_since`]: files before this session count in full.
fn starts_of_files(disk: &dyn Disk, current: u64) -> Result<Vec<(u64, u64)>> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| file::log_number(name)).collect();
    numbers.sort_unstable();
    let mut starts = Vec::new();
    let mut start = 0;
    for number in numbers.into_iter().take_while(|number| *number <= current) {
        starts.push((number, start));
        if number < current {
            start += disk.open(&file::log_name(number), Access::Read)?.len()?.saturating_sub(FRAMES_AT);
        }
    }
    Ok(starts)
}
