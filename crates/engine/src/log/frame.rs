//! # Frame: one commit, or one mark, in the log
//!
//! | offset | size | field      | meaning                                                       |
//! |-------:|-----:|------------|---------------------------------------------------------------|
//! |      0 |    4 | header_crc | CRC-32 of bytes 4..40                                         |
//! |      4 |    4 | body_len   | bytes after the header, at most BODY_LEN_MAX                  |
//! |      8 |    8 | lsn        | sequence number; a mark carries that of the commit before it  |
//! |     16 |    8 | attested   | newest lsn that was reported durable when this was built      |
//! |     24 |    4 | prev_crc   | header_crc of the frame before; the first one: of the file    |
//! |     28 |    4 | salt       | of the log generation, as in the file's header                |
//! |     32 |    4 | body_crc   | CRC-32 of the body                                            |
//! |     36 |    2 | kind       | 1 = commit, 2 = checkpoint mark, 3 = next file                |
//! |     38 |    2 | zero       | reserved: written 0, checked on read                          |
//!
//! The body follows, then zeros to a multiple of 8. A frame never spans files.
//!
//! Valid when: both CRCs match, salt is the generation's, prev_crc is the frame's before, a commit's lsn
//! is the previous one + 1 (a mark's is the same), attested is at most the previous lsn, body_len is at
//! most BODY_LEN_MAX and inside the file, kind is known, reserved and padding bytes are 0.
//!
//! Where nothing was written there are zeros: files are zeroed before they take frames, and a header of
//! zeros has no valid CRC. A valid header with a torn body still testifies to `attested`.
//!
//! A checkpoint mark's body is the superblock's generation (8 bytes) and the checkpoint's lsn (8 bytes). A file's
//! last frame says that the log goes on in the next one: its body is that file's number (8 bytes) and its header's
//! CRC (4 bytes), then 4 bytes of zeros. It is written after the next file's name is durable and before that file
//! takes a frame, so that a next file that is missing is damage.

use super::attestation::NewestFile;
use crate::id::Lsn;
use crate::planted::planted;
use vellum_bytes::{Field, crc32};

const HEADER_CRC: Field<u32> = Field::at(0);
const BODY_LEN: Field<u32> = Field::after(HEADER_CRC);
const LSN: Field<u64> = Field::after(BODY_LEN);
const ATTESTED: Field<u64> = Field::after(LSN);
const PREV_CRC: Field<u32> = Field::after(ATTESTED);
const SALT: Field<u32> = Field::after(PREV_CRC);
const BODY_CRC: Field<u32> = Field::after(SALT);
const KIND: Field<u16> = Field::after(BODY_CRC);
const ZERO: Field<u16> = Field::after(KIND);

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 40;
const _: () = assert!(ZERO.end() == HEADER_LEN);

/// The longest frame, header included: a bound for what a reader allocates and maps.
pub const FRAME_LEN_MAX: usize = 1 << 30;
/// The longest body.
pub const BODY_LEN_MAX: usize = FRAME_LEN_MAX - HEADER_LEN;
/// Frames start at multiples of this, so that a reader that lost its place can find the next one.
pub const ALIGN: usize = 8;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The changes of one transaction; takes the next lsn.
    Commit,
    /// A checkpoint was published; the body is a [`CheckpointMark`].
    CheckpointMark,
    /// The log goes on in another file; the body is a [`NewestFile`].
    NextFile,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::Commit => 1,
            Kind::CheckpointMark => 2,
            Kind::NextFile => 3,
        }
    }

    fn from_number(number: u16) -> Option<Kind> {
        match number {
            1 => Some(Kind::Commit),
            2 => Some(Kind::CheckpointMark),
            3 => Some(Kind::NextFile),
            _ => None,
        }
    }

    /// The lsn of a frame of this kind behind a commit `last`.
    pub fn lsn_after(self, last: Lsn) -> Lsn {
        match self {
            Kind::Commit => last.next(),
            Kind::CheckpointMark | Kind::NextFile => last,
        }
    }
}

/// A frame's header, decoded; its CRC matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub body_len: usize,
    pub lsn: Lsn,
    pub attested: Lsn,
    pub prev_crc: u32,
    pub salt: u32,
    pub body_crc: u32,
    pub kind: Kind,
}

/// Bytes that a frame with a body of `body_len` takes in a file, padding included.
#[inline]
pub fn frame_len(body_len: usize) -> usize {
    (HEADER_LEN + body_len).next_multiple_of(ALIGN)
}

impl Header {
    /// The 40 bytes and their CRC, which the next frame repeats.
    #[inline]
    pub fn encode(&self) -> ([u8; HEADER_LEN], u32) {
        let mut bytes = [0; HEADER_LEN];
        BODY_LEN.put(&mut bytes, self.body_len as u32);
        LSN.put(&mut bytes, self.lsn.0);
        ATTESTED.put(&mut bytes, self.attested.0);
        PREV_CRC.put(&mut bytes, self.prev_crc);
        SALT.put(&mut bytes, self.salt);
        BODY_CRC.put(&mut bytes, self.body_crc);
        KIND.put(&mut bytes, self.kind.number());
        let crc = crc32(&bytes[BODY_LEN.offset()..]);
        HEADER_CRC.put(&mut bytes, crc);
        (bytes, crc)
    }

    /// The salt that the header at the start of `bytes` would have.
    pub(super) fn salt_of(bytes: &[u8]) -> Option<u32> {
        bytes.get(..HEADER_LEN).map(|bytes| SALT.get(bytes))
    }

    /// The header at the start of `bytes`, if it is one of this generation, and its CRC. Says nothing
    /// about the body or about what came before.
    pub fn decode(bytes: &[u8], salt: u32) -> Result<(Header, u32), String> {
        let Some(bytes) = bytes.get(..HEADER_LEN) else {
            return Err(format!("{} bytes are left, a frame's header has {HEADER_LEN}", bytes.len()));
        };
        if SALT.get(bytes) != salt {
            return Err(format!("salt {salt:08x} expected, {:08x} found", SALT.get(bytes)));
        }
        let (found, computed) = (HEADER_CRC.get(bytes), crc32(&bytes[BODY_LEN.offset()..]));
        if found != computed {
            return Err(format!("header crc is {found:08x}, computed {computed:08x}"));
        }
        let body_len = BODY_LEN.get(bytes) as usize;
        if body_len > BODY_LEN_MAX {
            return Err(format!("a body of {body_len} bytes, at most {BODY_LEN_MAX} are allowed"));
        }
        let kind = Kind::from_number(KIND.get(bytes))
            .ok_or_else(|| format!("kind {} is unknown", KIND.get(bytes)))?;
        if ZERO.get(bytes) != 0 {
            return Err("reserved bytes are not zero".to_string());
        }
        let header = Header {
            body_len,
            lsn: Lsn(LSN.get(bytes)),
            attested: Lsn(ATTESTED.get(bytes)),
            prev_crc: PREV_CRC.get(bytes),
            salt,
            body_crc: BODY_CRC.get(bytes),
            kind,
        };
        Ok((header, found))
    }
}

/// A valid header at the start of `bytes`, whatever its body is. Looking ahead asks this at every 8 bytes
/// of a file, so the cheapest no comes first.
#[inline]
pub fn testimony(bytes: &[u8], salt: u32) -> Option<Header> {
    if bytes.len() < HEADER_LEN || SALT.get(bytes) != salt {
        return None;
    }
    Header::decode(bytes, salt).ok().map(|(header, _)| header)
}

/// The frame at the start of `bytes` (which run to the end of its file), behind a frame with `last` and
/// `prev_crc`: header, body and header CRC; or why it is none.
pub fn decode(bytes: &[u8], salt: u32, last: Lsn, prev_crc: u32) -> Result<(Header, &[u8], u32), String> {
    let (header, crc) = Header::decode(bytes, salt)?;
    if header.prev_crc != prev_crc {
        return Err(format!(
            "follows a frame with crc {:08x}, the one before has {prev_crc:08x}",
            header.prev_crc
        ));
    }
    let expected = header.kind.lsn_after(last);
    if header.lsn != expected {
        return Err(format!("lsn {expected} expected, {} found", header.lsn));
    }
    if header.attested > last {
        return Err(format!("calls lsn {} durable, after a frame of lsn {last}", header.attested));
    }
    let (body_end, end) = (HEADER_LEN + header.body_len, frame_len(header.body_len));
    if end > bytes.len() {
        return Err(format!("a frame of {end} bytes, {} are left in the file", bytes.len()));
    }
    let body = &bytes[HEADER_LEN..body_end];
    let computed = crc32(body);
    if computed != header.body_crc && !planted("no_frame_crc") {
        return Err(format!("body crc is {:08x}, computed {computed:08x}", header.body_crc));
    }
    if bytes[body_end..end].iter().any(|&byte| byte != 0) {
        return Err("padding is not zero".to_string());
    }
    Ok((header, body, crc))
}

const MARK_GENERATION: Field<u64> = Field::at(0);
const MARK_LSN: Field<u64> = Field::after(MARK_GENERATION);

/// Body of a checkpoint mark. Crash rule 2: it names the superblock that the checkpoint wrote, so that
/// a damaged newer superblock copy is noticed when the older one opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointMark {
    /// Generation of the superblock.
    pub superblock: u64,
    /// The checkpoint's lsn.
    pub lsn: Lsn,
}

impl CheckpointMark {
    /// Bytes of the body.
    pub const LEN: usize = MARK_LSN.end();

    /// The body.
    pub fn encode(self) -> [u8; CheckpointMark::LEN] {
        let mut bytes = [0; CheckpointMark::LEN];
        MARK_GENERATION.put(&mut bytes, self.superblock);
        MARK_LSN.put(&mut bytes, self.lsn.0);
        bytes
    }

    /// The mark in a body; `None` where the body is of another length.
    pub fn decode(body: &[u8]) -> Option<CheckpointMark> {
        (body.len() == CheckpointMark::LEN)
            .then(|| CheckpointMark { superblock: MARK_GENERATION.get(body), lsn: Lsn(MARK_LSN.get(body)) })
    }
}

const NEXT_NUMBER: Field<u64> = Field::at(0);
const NEXT_CRC: Field<u32> = Field::after(NEXT_NUMBER);
const NEXT_ZERO: Field<u32> = Field::after(NEXT_CRC);

/// Bytes of the frame that ends a file.
pub(super) const NEXT_FILE_LEN: usize = (HEADER_LEN + NewestFile::LEN).next_multiple_of(ALIGN);

impl NewestFile {
    /// Bytes of a body that names it.
    const LEN: usize = NEXT_ZERO.end();

    /// The body of the frame that ends the file before.
    pub(super) fn encode_next(self) -> [u8; NewestFile::LEN] {
        let mut bytes = [0; NewestFile::LEN];
        NEXT_NUMBER.put(&mut bytes, self.number);
        NEXT_CRC.put(&mut bytes, self.crc);
        bytes
    }

    /// The file that such a body names; `None` where it is not one.
    pub(super) fn decode_next(body: &[u8]) -> Option<NewestFile> {
        let named = (body.len() == NewestFile::LEN)
            .then(|| NewestFile { number: NEXT_NUMBER.get(body), crc: NEXT_CRC.get(body) });
        named.filter(|_| NEXT_ZERO.get(body) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        vellum_bytes::assert_offset_table(
            include_str!("frame.rs"),
            HEADER_LEN,
            &[
                HEADER_CRC.row("header_crc"),
                BODY_LEN.row("body_len"),
                LSN.row("lsn"),
                ATTESTED.row("attested"),
                PREV_CRC.row("prev_crc"),
                SALT.row("salt"),
                BODY_CRC.row("body_crc"),
                KIND.row("kind"),
                ZERO.row("zero"),
            ],
        );
    }

    #[test]
    fn a_header_comes_back_as_it_was_and_any_other_bit_is_noticed() {
        let header = Header {
            body_len: 56,
            lsn: Lsn(7),
            attested: Lsn(5),
            prev_crc: 0x1234_5678,
            salt: 0x9abc_def0,
            body_crc: 99,
            kind: Kind::CheckpointMark,
        };
        let (bytes, crc) = header.encode();
        assert_eq!(Header::decode(&bytes, header.salt), Ok((header, crc)));
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged, header.salt).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&[0; HEADER_LEN], 0).is_err(), "zeros are no frame even under salt 0");
    }

    #[test]
    fn marks_come_back_as_they_were() {
        let mark = CheckpointMark { superblock: 3, lsn: Lsn(9) };
        assert_eq!(CheckpointMark::decode(&mark.encode()), Some(mark));
        assert_eq!(CheckpointMark::decode(&[0; 15]), None);
        let next = NewestFile { number: 12, crc: 0xabcd_ef01 };
        assert_eq!(NewestFile::decode_next(&next.encode_next()), Some(next));
        assert_eq!(NewestFile::decode_next(&[0; 15]), None);
        assert_eq!(NewestFile::decode_next(&[1; 16]), None);
    }
}
