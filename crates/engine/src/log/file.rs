//! # Log file header
//!
//! | offset | size | field         | meaning                                                          |
//! |-------:|-----:|---------------|------------------------------------------------------------------|
//! |      0 |    8 | magic         | `VELLOG`, 0, 0                                                   |
//! |      8 |    2 | version       | 1                                                                |
//! |     10 |    2 | zero          | reserved: written 0, checked on read                             |
//! |     12 |    4 | header_crc    | CRC-32 of bytes 16..96                                           |
//! |     16 |   16 | store_id      | of the store that wrote it                                       |
//! |     32 |    8 | number        | of this file, as in its name; rises by one                       |
//! |     40 |    8 | file_len      | bytes of this file, header included                              |
//! |     48 |    8 | first_file    | number of the first file of this log generation                  |
//! |     56 |    4 | generation    | the log between two unclean ends; from 1                         |
//! |     60 |    4 | salt          | of the generation; every frame repeats it                        |
//! |     64 |    8 | before_file   | where the generation before ended: file,                         |
//! |     72 |    8 | before_offset | offset behind its last frame,                                    |
//! |     80 |    8 | before_lsn    | lsn of that frame,                                               |
//! |     88 |    4 | before_crc    | and its header_crc; all four 0 except in a later generation's first file |
//! |     92 |    4 | zero2         | reserved: written 0, checked on read                             |
//!
//! Zeros follow to byte 4096, where frames start: the block of the header is never written again.
//!
//! ```text
//! log-00000007, generation 2             log-00000008, generation 2      log-00000009, generation 3
//! ┌────────┬───────┬───────┬──────────┐  ┌────────┬───────┬╌╌╌╌╌╌╌╌╌┐    ┌────────┬───────┬─────────┐
//! │ header │ frame │ frame │ 0 0 0 0  │  │ header │ frame │ torn    │    │ header │ frame │ 0 0 0 0 │
//! └────────┴───────┴───────┴──────────┘  └────────┴───────┴╌╌╌╌╌╌╌╌╌┘    └───┬────┴───────┴─────────┘
//!                                                         ▲    before        │
//!                                                         └──────────────────┘
//! ```
//!
//! A writer guarantees: a file gets its name `log-<number>` after its zeros and its header were synced,
//! and takes frames after its name was synced. So a header that does not check is damage, never a crash.
//! Numbers have no gaps, and none is over 2^60 (`NUMBER_MAX`). Files that are not ready yet, or no longer needed, have other names
//! (`log-….new`, `spare-…`); opening for writing removes them.
//!
//! A version says whether this build can read the file; the checksum does not cover it. A version that
//! is not this one, over a checksum that holds as this one computes it, is damage.
//! A reader assumes nothing of what comes after the header; a file without frames was prepared ahead.

use super::Position;
use crate::id::{Lsn, NUMBER_MAX};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_bytes::{Field, crc32};
use vellum_disk::File;

const MAGIC: Field<[u8; 8]> = Field::at(0);
const VERSION: Field<u16> = Field::after(MAGIC);
const ZERO: Field<u16> = Field::after(VERSION);
const HEADER_CRC: Field<u32> = Field::after(ZERO);
const STORE_ID: Field<[u8; 16]> = Field::after(HEADER_CRC);
const NUMBER: Field<u64> = Field::after(STORE_ID);
const FILE_LEN: Field<u64> = Field::after(NUMBER);
const FIRST_FILE: Field<u64> = Field::after(FILE_LEN);
const GENERATION: Field<u32> = Field::after(FIRST_FILE);
const SALT: Field<u32> = Field::after(GENERATION);
const BEFORE_FILE: Field<u64> = Field::after(SALT);
const BEFORE_OFFSET: Field<u64> = Field::after(BEFORE_FILE);
const BEFORE_LSN: Field<u64> = Field::after(BEFORE_OFFSET);
const BEFORE_CRC: Field<u32> = Field::after(BEFORE_LSN);
const ZERO2: Field<u32> = Field::after(BEFORE_CRC);

pub(super) const HEADER_LEN: usize = 96;
const _: () = assert!(ZERO2.end() == HEADER_LEN);

const FORMAT_MAGIC: [u8; 8] = *b"VELLOG\0\0";
const FORMAT_VERSION: u16 = 1;

/// Where frames start: behind the block that holds the header, so that a write of the first frame that
/// tears cannot take the header with it.
pub const FRAMES_AT: u64 = 4096;

/// What the header of a log file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// The store that the file belongs to.
    pub store_id: [u8; 16],
    /// Its number, as in its name.
    pub number: u64,
    /// Its length in bytes, from creation on.
    pub file_len: u64,
    /// Number of the generation's first file.
    pub first_file: u64,
    /// Number of the generation.
    pub generation: u32,
    /// Salt of the generation, which every frame repeats.
    pub salt: u32,
    /// In the first file of every generation but the first.
    pub before: Option<Before>,
}

/// Where the generation before ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Before {
    /// Where it ended.
    pub position: Position,
    /// Its newest commit.
    pub lsn: Lsn,
    /// Header CRC of its last frame.
    pub crc: u32,
}

impl FileHeader {
    /// The first [`FRAMES_AT`] bytes of the file, and the header's CRC.
    pub fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = vec![0; FRAMES_AT as usize];
        MAGIC.put(&mut bytes, FORMAT_MAGIC);
        VERSION.put(&mut bytes, FORMAT_VERSION);
        STORE_ID.put(&mut bytes, self.store_id);
        NUMBER.put(&mut bytes, self.number);
        FILE_LEN.put(&mut bytes, self.file_len);
        FIRST_FILE.put(&mut bytes, self.first_file);
        GENERATION.put(&mut bytes, self.generation);
        SALT.put(&mut bytes, self.salt);
        if let Some(before) = self.before {
            BEFORE_FILE.put(&mut bytes, before.position.file);
            BEFORE_OFFSET.put(&mut bytes, before.position.offset);
            BEFORE_LSN.put(&mut bytes, before.lsn.0);
            BEFORE_CRC.put(&mut bytes, before.crc);
        }
        let crc = crc32(&bytes[STORE_ID.offset()..HEADER_LEN]);
        HEADER_CRC.put(&mut bytes, crc);
        (bytes, crc)
    }

    /// Reads and checks the header of the log file `number` of this store; also its CRC.
    ///
    /// # Errors
    /// `UnknownFormat` for another version; `Corrupt`, naming the file, for everything else.
    pub fn read(file: &dyn File, store_id: [u8; 16], number: u64) -> Result<(FileHeader, u32)> {
        let name = file.name();
        let len = file.len()?;
        if len < FRAMES_AT {
            return Err(Error::corrupt(
                name,
                0,
                format!("the file has {len} bytes, its header alone has {FRAMES_AT}"),
            ));
        }
        let mut bytes = vec![0; FRAMES_AT as usize];
        file.read_at(0, &mut bytes)?;
        let (header, crc) = FileHeader::decode(name, &bytes)?;
        let wrong = |offset: usize, reason: String| Err(Error::corrupt(name, offset as u64, reason));
        if header.store_id != store_id {
            let (ours, theirs) = (uuid::Uuid::from_bytes(store_id), uuid::Uuid::from_bytes(header.store_id));
            return wrong(
                STORE_ID.offset(),
                format!("the file belongs to store {theirs}, this is store {ours}"),
            );
        }
        if header.number != number {
            return wrong(NUMBER.offset(), format!("file number {number} expected, {} found", header.number));
        }
        if header.file_len != len {
            return wrong(
                FILE_LEN.offset(),
                format!("the file has {len} bytes, {} are expected", header.file_len),
            );
        }
        Ok((header, crc))
    }

    /// The header in the first [`FRAMES_AT`] bytes of a file, whosever it is.
    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<(FileHeader, u32)> {
        let wrong = |offset: usize, reason: String| Err(Error::corrupt(name, offset as u64, reason));
        if MAGIC.get(bytes) != FORMAT_MAGIC {
            return wrong(0, "this is no log file: its magic number is missing".to_string());
        }
        let version = VERSION.get(bytes);
        let (found, computed) = (HEADER_CRC.get(bytes), crc32(&bytes[STORE_ID.offset()..HEADER_LEN]));
        // A flipped bit in the version must not look like a newer format: whose checksum holds as this
        // format computes it has this format.
        if version != FORMAT_VERSION && found == computed {
            return wrong(
                VERSION.offset(),
                format!("format {version} in a header of format {FORMAT_VERSION}"),
            );
        }
        if version != FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::UnknownFormat,
                format!(
                    "{name} has log format {version} and this build reads {FORMAT_VERSION}; open it with a later vellum"
                ),
            ));
        }
        if found != computed {
            return wrong(HEADER_CRC.offset(), format!("header crc is {found:08x}, computed {computed:08x}"));
        }
        if ZERO.get(bytes) != 0 || ZERO2.get(bytes) != 0 || bytes[HEADER_LEN..].iter().any(|&byte| byte != 0)
        {
            return wrong(HEADER_LEN, "reserved bytes of the header are not zero".to_string());
        }
        let (number, first_file) = (NUMBER.get(bytes), FIRST_FILE.get(bytes));
        let generation = GENERATION.get(bytes);
        let before = Before {
            position: Position { file: BEFORE_FILE.get(bytes), offset: BEFORE_OFFSET.get(bytes) },
            lsn: Lsn(BEFORE_LSN.get(bytes)),
            crc: BEFORE_CRC.get(bytes),
        };
        let none = Before { position: Position { file: 0, offset: 0 }, lsn: Lsn(0), crc: 0 };
        let before = (before != none).then_some(before);
        for field in [NUMBER, FILE_LEN, BEFORE_FILE, BEFORE_OFFSET, BEFORE_LSN] {
            if field.get(bytes) > NUMBER_MAX {
                return wrong(field.offset(), "a number that no store reaches".to_string());
            }
        }
        let starts_later_generation = number == first_file && generation > 1;
        if first_file > number || generation == 0 || before.is_some() != starts_later_generation {
            return wrong(
                FIRST_FILE.offset(),
                format!(
                    "file {number} of generation {generation}, which starts in file {first_file}, is not possible"
                ),
            );
        }
        let header = FileHeader {
            store_id: STORE_ID.get(bytes),
            number,
            file_len: FILE_LEN.get(bytes),
            first_file,
            generation,
            salt: SALT.get(bytes),
            before,
        };
        Ok((header, found))
    }

    /// Whether this file can come behind `earlier` in a log.
    pub fn follows(&self, earlier: &FileHeader) -> bool {
        let same = self.generation == earlier.generation
            && self.first_file == earlier.first_file
            && self.salt == earlier.salt;
        let next = self.generation == earlier.generation.wrapping_add(1) && self.first_file == self.number;
        self.number == earlier.number + 1 && (same || next)
    }
}

/// Name of the log file with this number.
pub fn log_name(number: u64) -> String {
    format!("log-{number:08}")
}

/// The number in a log file's name.
pub fn log_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-")?.parse().ok()?;
    (number <= NUMBER_MAX && log_name(number) == name).then_some(number)
}

/// Name of a file on its way to become the log file `number`.
pub fn new_name(number: u64, attempt: u64) -> String {
    format!("{}.{attempt}.new", log_name(number))
}

/// Name of a log file that is no longer needed and waits to be used again.
pub fn spare_name(number: u64) -> String {
    format!("spare-{number:08}")
}

/// Whether a name is one of `new_name` or `spare_name`: left over, and free to remove.
pub fn is_leftover(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = name.strip_prefix("spare-") {
        return digits(number);
    }
    let Some(rest) = name.strip_prefix("log-").and_then(|rest| rest.strip_suffix(".new")) else {
        return false;
    };
    rest.split_once('.').is_some_and(|(number, attempt)| digits(number) && digits(attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileHeader {
        FileHeader {
            store_id: [7; 16],
            number: 9,
            file_len: 1 << 20,
            first_file: 9,
            generation: 3,
            salt: 77,
            before: Some(Before { position: Position { file: 8, offset: 5000 }, lsn: Lsn(12), crc: 5 }),
        }
    }

    #[test]
    fn the_table_above_is_the_layout() {
        vellum_bytes::assert_offset_table(
            include_str!("file.rs"),
            HEADER_LEN,
            &[
                MAGIC.row("magic"),
                VERSION.row("version"),
                ZERO.row("zero"),
                HEADER_CRC.row("header_crc"),
                STORE_ID.row("store_id"),
                NUMBER.row("number"),
                FILE_LEN.row("file_len"),
                FIRST_FILE.row("first_file"),
                GENERATION.row("generation"),
                SALT.row("salt"),
                BEFORE_FILE.row("before_file"),
                BEFORE_OFFSET.row("before_offset"),
                BEFORE_LSN.row("before_lsn"),
                BEFORE_CRC.row("before_crc"),
                ZERO2.row("zero2"),
            ],
        );
    }

    #[test]
    fn a_header_comes_back_as_it_was_and_any_other_bit_is_noticed() {
        let header = sample();
        let (bytes, crc) = header.encode();
        assert_eq!(FileHeader::decode("log", &bytes).unwrap(), (header, crc));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = FileHeader::decode("log", &damaged).expect_err("a flipped bit");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        }
    }

    #[test]
    fn requirement_40_numbers_that_no_store_reaches_are_corrupt() {
        for field in [NUMBER, FILE_LEN, BEFORE_FILE, BEFORE_OFFSET, BEFORE_LSN] {
            let (mut bytes, _) = sample().encode();
            field.put(&mut bytes, u64::MAX);
            let crc = crc32(&bytes[STORE_ID.offset()..HEADER_LEN]);
            HEADER_CRC.put(&mut bytes, crc);
            let error = FileHeader::decode("log", &bytes).unwrap_err();
            assert_eq!(error.place().map(|place| place.offset), Some(field.offset() as u64), "{error}");
        }
        // A foreign file of such a name is none of ours: no number comes behind it.
        assert_eq!(log_number(&log_name(u64::MAX)), None);
    }

    #[test]
    fn names_are_told_apart() {
        assert_eq!(log_number("log-00000012"), Some(12));
        assert_eq!(log_number("log-123456789"), Some(123_456_789));
        for foreign in
            ["log-12", "log-000000012", "log-00000012.1.new", "log-+0000012", "log-", "spare-00000012"]
        {
            assert_eq!(log_number(foreign), None, "{foreign}");
        }
        assert!(is_leftover(&new_name(3, 4)) && is_leftover(&spare_name(3)));
        for foreign in
            ["log-00000012", "log-00000012.new", "log-a.1.new", "spare-", "spare-x", "torn-log-00000001-4096"]
        {
            assert!(!is_leftover(foreign), "{foreign}");
        }
    }
}
