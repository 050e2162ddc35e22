//! # Superblock: the two copies that name the live state
//!
//! The file `superblock` holds two copies, at byte 0 and at byte 4096, and at byte 8192 the record of what was
//! reported durable ([`log::Attestation`]). Checkpoint generation g is written to copy g mod 2, so that the other
//! copy keeps naming the checkpoint before it.
//!
//! | offset | size | field         | meaning                                                        |
//! |-------:|-----:|---------------|----------------------------------------------------------------|
//! |      0 |    8 | magic         | "VELLUM\r\n"                                                   |
//! |      8 |    2 | version       | format version, 3                                              |
//! |     10 |    2 | state         | 1 = open, 2 = closed                                           |
//! |     12 |    4 | key_hash      | algorithm of key hashes: 1 = XXH3-64, seeded with that of store_id |
//! |     16 |   16 | store_id      | random, of this store                                          |
//! |     32 |    8 | generation    | of the checkpoint; the copy with the higher one is live        |
//! |     40 |    8 | lsn           | newest commit in the checkpoint                                |
//! |     48 |    8 | log_file      | replay starts in this log file …                               |
//! |     56 |    8 | log_offset    | … at this byte                                                 |
//! |     64 |    4 | log_prev_crc  | header CRC of the frame before that place                      |
//! |     68 |    4 | log_generation| log generation of that place                                   |
//! |     72 |   16 | root          | reference to the root image; zero before the first checkpoint  |
//! |     88 |    8 | seal_file     | closed: where the log ends; else 0                             |
//! |     96 |    8 | seal_offset   | closed: byte behind the last frame; else 0                     |
//! |    104 |    4 | seal_crc      | closed: header CRC of the last frame; else 0                   |
//! |    108 |    4 | group_rows    | rows of a row group                                            |
//! |    112 |    8 | attested      | newest lsn that was reported durable; closed: of the last commit |
//! |    120 |    4 | crc           | CRC-32 of bytes 0..120                                         |
//!
//! The rest of each 4096 bytes is zero, and checked. Magic and version are judged before the
//! checksum, so that a store of a newer format is told from a damaged one.
//!
//! Valid when: magic, version, CRC and the zeros hold, no number is over 2^60 (`NUMBER_MAX`), and both copies have the
//! same store id.
//! A writer writes one copy, syncs, and touches the other copy only after that. A reader takes the
//! valid copy with the higher generation; the other one may be damaged, which is reported.

use super::node::ImageRef;
use crate::id::{GROUP_ROWS, Lsn, NUMBER_MAX};
use crate::index::KEY_HASH_ALGORITHM;
use crate::log::{self, Attestation, Block, Constant, Known, NewestFile, Position, Resume, Seal};
use crate::planted::planted;
use std::sync::Arc;
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_bytes::{Field, crc32};
use vellum_disk::{Access, Disk, File};

/// The file's name.
pub const FILE_NAME: &str = "superblock";
/// Name under which a superblock file is written before it is renamed.
pub const TEMPORARY_NAME: &str = "superblock.new";
/// Bytes of one copy.
pub const COPY_LEN: usize = 4096;
/// Bytes of the file.
pub const FILE_LEN: usize = ATTESTATION_OFFSET + log::BLOCK_LEN;
/// Where the record of what was reported durable is.
pub const ATTESTATION_OFFSET: usize = 2 * COPY_LEN;
/// Format version that this build reads and writes.
pub const FORMAT_VERSION: u16 = 3;
const MAGIC_BYTES: [u8; 8] = *b"VELLUM\r\n";
const STATE_OPEN: u16 = 1;
const STATE_CLOSED: u16 = 2;

const MAGIC: Field<[u8; 8]> = Field::at(0);
const VERSION: Field<u16> = Field::after(MAGIC);
const STATE: Field<u16> = Field::after(VERSION);
const KEY_HASH: Field<u32> = Field::after(STATE);
const STORE_ID: Field<[u8; 16]> = Field::after(KEY_HASH);
const GENERATION: Field<u64> = Field::after(STORE_ID);
const LSN: Field<u64> = Field::after(GENERATION);
const LOG_FILE: Field<u64> = Field::after(LSN);
const LOG_OFFSET: Field<u64> = Field::after(LOG_FILE);
const LOG_PREV_CRC: Field<u32> = Field::after(LOG_OFFSET);
const LOG_GENERATION: Field<u32> = Field::after(LOG_PREV_CRC);
const ROOT: Field<[u8; 16]> = Field::after(LOG_GENERATION);
const SEAL_FILE: Field<u64> = Field::after(ROOT);
const SEAL_OFFSET: Field<u64> = Field::after(SEAL_FILE);
const SEAL_CRC: Field<u32> = Field::after(SEAL_OFFSET);
const ROWS: Field<u32> = Field::after(SEAL_CRC);
const ATTESTED: Field<u64> = Field::after(ROWS);
const CRC: Field<u32> = Field::after(ATTESTED);

/// One copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Identity of the store.
    pub store_id: [u8; 16],
    /// Number of this copy; each flip takes the next one.
    pub generation: u64,
    /// Where replay starts; its lsn is the checkpoint's.
    pub log: Resume,
    /// Root of the newest checkpoint; `None` before the first one.
    pub root: Option<ImageRef>,
    /// The newest lsn that was reported durable when this copy was written (crash rule 5).
    pub attested: Lsn,
    /// Where the log ends after a clean close (crash rule 6); its last commit is `attested` then.
    pub seal: Option<Seal>,
}

impl Superblock {
    /// The bytes of one copy.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; COPY_LEN];
        MAGIC.put(&mut bytes, MAGIC_BYTES);
        VERSION.put(&mut bytes, FORMAT_VERSION);
        STATE.put(&mut bytes, if self.seal.is_some() { STATE_CLOSED } else { STATE_OPEN });
        KEY_HASH.put(&mut bytes, KEY_HASH_ALGORITHM);
        STORE_ID.put(&mut bytes, self.store_id);
        GENERATION.put(&mut bytes, self.generation);
        LSN.put(&mut bytes, self.log.lsn.0);
        LOG_FILE.put(&mut bytes, self.log.position.file);
        LOG_OFFSET.put(&mut bytes, self.log.position.offset);
        LOG_PREV_CRC.put(&mut bytes, self.log.prev_crc);
        LOG_GENERATION.put(&mut bytes, self.log.generation);
        if let Some(root) = self.root {
            root.put(&mut bytes[ROOT.offset()..ROOT.end()]);
        }
        if let Some(seal) = self.seal {
            SEAL_FILE.put(&mut bytes, seal.position.file);
            SEAL_OFFSET.put(&mut bytes, seal.position.offset);
            SEAL_CRC.put(&mut bytes, seal.crc);
        }
        ATTESTED.put(&mut bytes, self.attested.0);
        ROWS.put(&mut bytes, GROUP_ROWS);
        let crc = crc32(&bytes[..CRC.offset()]);
        CRC.put(&mut bytes, crc);
        bytes
    }

    fn decode(bytes: &[u8], copy: u64) -> Result<Superblock> {
        let corrupt = |field: usize, reason: &str| {
            Error::corrupt(FILE_NAME, copy * COPY_LEN as u64 + field as u64, reason)
        };
        if MAGIC.get(bytes) != MAGIC_BYTES {
            return Err(corrupt(0, "this is not the start of a vellum superblock"));
        }
        let version = VERSION.get(bytes);
        let crc = crc32(&bytes[..CRC.offset()]);
        // A flipped bit in the version must not look like another format: only a sound copy may say so.
        if version != FORMAT_VERSION && CRC.get(bytes) == crc {
            let other = if version > FORMAT_VERSION { "a newer" } else { "the older" };
            return Err(Error::new(
                ErrorKind::UnknownFormat,
                format!(
                    "this store has format {version} and this build reads format {FORMAT_VERSION}; open it with \
                     {other} vellum, and load a dump of it here"
                ),
            ));
        }
        if CRC.get(bytes) != crc {
            return Err(corrupt(CRC.offset(), "the superblock's checksum does not match"));
        }
        let state = STATE.get(bytes);
        if !(STATE_OPEN..=STATE_CLOSED).contains(&state) {
            return Err(corrupt(STATE.offset(), "the superblock's state is unknown"));
        }
        if KEY_HASH.get(bytes) != KEY_HASH_ALGORITHM {
            return Err(corrupt(KEY_HASH.offset(), "an unknown algorithm of key hashes"));
        }
        if ROWS.get(bytes) != GROUP_ROWS {
            return Err(corrupt(ROWS.offset(), "row groups of another size"));
        }
        let position = Position { file: LOG_FILE.get(bytes), offset: LOG_OFFSET.get(bytes) };
        let seal_position = Position { file: SEAL_FILE.get(bytes), offset: SEAL_OFFSET.get(bytes) };
        let superblock = Superblock {
            store_id: STORE_ID.get(bytes),
            generation: GENERATION.get(bytes),
            log: Resume {
                position,
                lsn: Lsn(LSN.get(bytes)),
                prev_crc: LOG_PREV_CRC.get(bytes),
                generation: LOG_GENERATION.get(bytes),
            },
            root: ImageRef::get(&ROOT.get(bytes)),
            attested: Lsn(ATTESTED.get(bytes)),
            seal: (state == STATE_CLOSED).then(|| Seal { position: seal_position, crc: SEAL_CRC.get(bytes) }),
        };
        if superblock.generation % 2 != copy {
            return Err(corrupt(GENERATION.offset(), "this copy belongs in the place of the other one"));
        }
        for field in [GENERATION, LSN, LOG_FILE, LOG_OFFSET, SEAL_FILE, SEAL_OFFSET, ATTESTED] {
            if field.get(bytes) > NUMBER_MAX {
                return Err(corrupt(field.offset(), "a number that no store reaches"));
            }
        }
        // Reserved bytes are zero, and so are fields that mean nothing in this state: no byte of a valid copy
        // goes unread.
        if superblock.encode() != bytes {
            return Err(corrupt(ROOT.offset(), "reserved or unused bytes of the superblock are not zero"));
        }
        Ok(superblock)
    }
}

/// Both copies as they were found.
#[derive(Debug)]
pub struct Found {
    /// The copy to open.
    pub live: Superblock,
    /// The checkpoint before, where its copy is valid.
    pub other: Option<Superblock>,
    /// The record of what was reported durable, where it can be read.
    pub attestation: Option<Attestation>,
    /// Whether the record's block is as a store writes it.
    pub block_is_sound: bool,
    /// Why a copy, or the record, could not be used.
    pub damage: Option<Error>,
}

impl Found {
    /// What is known of the log before it is read. What was reported durable once stays a floor, whichever copy or
    /// record says so (crash rule 5).
    pub fn known(&self) -> Known {
        let copies = std::iter::once(&self.live).chain(&self.other);
        let said = copies.flat_map(|copy| [copy.attested, copy.log.lsn]);
        let floor = said.chain(self.attestation.map(|record| record.lsn)).max().unwrap_or_default();
        let newest = self.attestation.map(|record| record.newest);
        Known { floor, newest, closed: self.live.seal }
    }
}

/// What the file holds, each part for itself.
#[derive(Debug)]
pub struct Parts {
    /// Bytes of the file.
    pub len: u64,
    /// Both copies, or why one is invalid.
    pub copies: [Result<Superblock>; 2],
    /// The block of the record, as it is.
    pub block: Vec<u8>,
}

impl Parts {
    /// The record, and what is wrong with its block.
    pub fn attestation(&self, store_id: &[u8; 16]) -> (Option<Attestation>, Vec<RecordFault>) {
        let Block { attestation, faults } = Attestation::read(&self.block, store_id);
        let place = |at: usize| (ATTESTATION_OFFSET + at) as u64;
        let faults = faults.into_iter().map(|fault| RecordFault {
            error: Error::corrupt(FILE_NAME, place(fault.at), fault.reason),
            may_be_torn: fault.may_be_torn,
        });
        (attestation, faults.collect())
    }
}

/// What is wrong with the record's block.
#[derive(Debug)]
pub struct RecordFault {
    /// Why the copy is invalid.
    pub error: Error,
    /// A power cut while the record was written may have left this.
    pub may_be_torn: bool,
}

/// Reads both copies and picks the live one.
///
/// # Errors
/// `NotAStore` without the file, `UnknownFormat` for a newer one, `Corrupt` when neither copy is valid.
pub fn read(disk: &dyn Disk) -> Result<Found> {
    let parts = read_parts(disk)?;
    if parts.len != FILE_LEN as u64 {
        return Err(wrong_len(parts.len));
    }
    choose(parts)
}

/// Both copies and the record, each for itself.
///
/// # Errors
/// `NotAStore` without the file, `Corrupt` when it is too short for two copies.
pub fn read_parts(disk: &dyn Disk) -> Result<Parts> {
    if !disk.list()?.iter().any(|name| name == FILE_NAME) {
        return Err(missing(disk)?);
    }
    let file = disk.open(FILE_NAME, Access::Read)?;
    let len = file.len()?;
    if len < 2 * COPY_LEN as u64 {
        return Err(wrong_len(len));
    }
    let mut block = vec![0; log::BLOCK_LEN];
    let copies = [read_copy(&*file, 0)?, read_copy(&*file, 1)?];
    if len >= FILE_LEN as u64 {
        file.read_at(ATTESTATION_OFFSET as u64, &mut block)?;
    }
    Ok(Parts { len, copies, block })
}

/// What of the file no session changes, for the check that it is still this store's.
pub fn constants(store_id: [u8; 16]) -> [Constant; 2] {
    let mut magic = [0; 16];
    magic[..MAGIC_BYTES.len()].copy_from_slice(&MAGIC_BYTES);
    [
        Constant { offset: MAGIC.offset(), bytes: magic, len: MAGIC_BYTES.len() },
        Constant { offset: STORE_ID.offset(), bytes: store_id, len: store_id.len() },
    ]
}

/// Name of a file that says that a new store is being created or filled. It is durable before anything else is
/// there, and removed once the store has a superblock.
pub const UNFINISHED_NAME: &str = "unfinished";

/// Says durably that a store is being created or filled, before any other file of it is there: so what a crash leaves
/// is distinguished from a store that lost its superblock.
///
/// # Errors
/// What the disk says.
pub fn begin_unfinished(disk: &dyn Disk) -> Result<()> {
    if disk.identity(UNFINISHED_NAME)?.is_none() {
        disk.create(UNFINISHED_NAME)?;
    }
    disk.sync_dir()
}

/// What a directory without a superblock is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remains {
    /// Nothing of a store, or what a creation left that died before any commit was accepted.
    Nothing,
    /// What a restore, load or repair left that did not come to its end.
    Unfinished,
    /// A store that lost its superblock.
    Damaged,
}

/// Tells what a directory without a superblock is.
///
/// # Errors
/// What the disk says.
pub fn remains(disk: &dyn Disk) -> Result<Remains> {
    let names = disk.list()?;
    let has = |is_one: &dyn Fn(&str) -> bool| names.iter().any(|name| is_one(name));
    let has_segment = has(&|name| super::segment::id_of(name).is_some());
    let has_log = has(&|name| log::log_number(name).is_some());
    Ok(match has(&|name| name == UNFINISHED_NAME) {
        true if has_segment => Remains::Unfinished,
        false if has_segment || has_log => Remains::Damaged,
        _ => Remains::Nothing,
    })
}

/// Why there is no store without the file.
fn missing(disk: &dyn Disk) -> Result<Error> {
    let place = disk.place();
    Ok(match remains(disk)? {
        Remains::Nothing => {
            Error::new(ErrorKind::NotAStore, format!("{place} holds no vellum store; create one first"))
        }
        Remains::Unfinished => unfinished(&place),
        Remains::Damaged => Error::corrupt(FILE_NAME, 0, damaged(&place)),
    })
}

/// A store that lost its superblock.
pub fn damaged(place: &str) -> String {
    format!("{place} is a store whose superblock is missing; `vellum repair {place} --into NEW` recovers it")
}

/// A directory that a restore, load or repair did not finish.
pub fn unfinished(place: &str) -> Error {
    let message = format!(
        "{place} holds what a restore, load or repair left that was interrupted; remove the directory and run it again"
    );
    Error::new(ErrorKind::NotAStore, message)
}

/// The file has another length than two copies and the record take.
pub fn wrong_len(len: u64) -> Error {
    let reason = format!("the superblock has {len} bytes instead of {FILE_LEN}");
    Error::corrupt(FILE_NAME, len.min(FILE_LEN as u64), reason)
}

fn read_copy(file: &dyn File, copy: u64) -> Result<Result<Superblock>> {
    let mut bytes = vec![0; COPY_LEN];
    file.read_at(copy * COPY_LEN as u64, &mut bytes)?;
    Ok(Superblock::decode(&bytes, copy))
}

/// Picks the live copy; see [`read`].
pub fn choose(mut parts: Parts) -> Result<Found> {
    let unread = || Err(Error::corrupt(FILE_NAME, 0, "taken above"));
    let copies = std::mem::replace(&mut parts.copies, [unread(), unread()]);
    let mut found = match copies {
        [Err(error), _] | [_, Err(error)] if error.kind() == ErrorKind::UnknownFormat => return Err(error),
        [Ok(a), Ok(b)] => {
            if a.store_id != b.store_id || a.generation % 2 != 0 || b.generation % 2 != 1 {
                return Err(Error::corrupt(
                    FILE_NAME,
                    0,
                    "the two copies are not of one store, or changed places",
                ));
            }
            let (live, other) = if a.generation > b.generation { (a, b) } else { (b, a) };
            Found { live, other: Some(other), attestation: None, block_is_sound: true, damage: None }
        }
        [Ok(live), Err(error)] | [Err(error), Ok(live)] => {
            Found { live, other: None, attestation: None, block_is_sound: true, damage: Some(error) }
        }
        [Err(error), Err(_)] => return Err(error),
    };
    let (attestation, mut faults) = parts.attestation(&found.live.store_id);
    found.attestation = attestation;
    found.block_is_sound = faults.is_empty();
    let may_be_torn = attestation.is_some() && found.live.seal.is_none();
    faults.retain(|fault| !(may_be_torn && fault.may_be_torn));
    if found.damage.is_none() {
        found.damage = faults.pop().map(|fault| fault.error);
    }
    Ok(found)
}

/// Creates the file with both copies, last of all files of a new store (crash rule 11): under another
/// name first, synced, then renamed, then the name is synced.
///
/// The log has one file yet, in which the superblock's own place is the first.
pub fn create(disk: &dyn Disk, first: &Superblock, newest: NewestFile) -> Result<()> {
    if disk.list()?.iter().any(|name| name == TEMPORARY_NAME) {
        disk.remove(TEMPORARY_NAME)?;
    }
    let file = disk.create(TEMPORARY_NAME)?;
    file.write_at(0, &first.encode())?;
    let second = Superblock { generation: first.generation + 1, ..first.clone() };
    file.write_at(COPY_LEN as u64, &second.encode())?;
    let record = Attestation::new(first.attested, newest).first_block(&first.store_id);
    file.write_at(ATTESTATION_OFFSET as u64, &record)?;
    file.sync()?;
    disk.rename(TEMPORARY_NAME, FILE_NAME)?;
    disk.sync_dir()
}

/// Writes one copy and syncs it.
pub fn write(file: &Arc<dyn File>, superblock: &Superblock) -> Result<()> {
    file.write_at((superblock.generation % 2) * COPY_LEN as u64, &superblock.encode())?;
    if planted("no_superblock_sync") { Ok(()) } else { file.sync() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(generation: u64) -> Superblock {
        Superblock {
            store_id: [7; 16],
            generation,
            log: Resume {
                position: Position { file: 3, offset: 64 },
                lsn: Lsn(9),
                prev_crc: 5,
                generation: 2,
            },
            root: Some(ImageRef { segment: crate::id::SegmentId(1), place: 2, payload_len: 3, crc: 4 }),
            attested: Lsn(11),
            seal: Some(Seal { position: Position { file: 3, offset: 128 }, crc: 6 }),
        }
    }

    fn parts(copies: [Result<Superblock>; 2]) -> Parts {
        let newest = NewestFile { number: 3, crc: 1 };
        let block = Attestation::new(Lsn(20), newest).first_block(&[7; 16]);
        Parts { len: FILE_LEN as u64, copies, block }
    }

    #[test]
    fn what_any_part_calls_durable_is_the_floor() {
        let open = |generation, attested| {
            Ok(Superblock { attested: Lsn(attested), seal: None, ..sample(generation) })
        };
        let floor = |copies| choose(parts(copies)).unwrap().known().floor;
        assert_eq!(floor([open(4, 30), open(5, 25)]), Lsn(30));
        assert_eq!(floor([open(4, 10), open(5, 40)]), Lsn(40));
        assert_eq!(floor([open(4, 10), open(5, 11)]), Lsn(20), "the record's");
        let mut damaged = parts([open(4, 10), open(5, 11)]);
        damaged.block.fill(0);
        let found = choose(damaged).unwrap();
        assert_eq!((found.known().floor, found.damage.is_some()), (Lsn(11), true));
    }

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [
            MAGIC.row("magic"),
            VERSION.row("version"),
            STATE.row("state"),
            KEY_HASH.row("key_hash"),
            STORE_ID.row("store_id"),
            GENERATION.row("generation"),
            LSN.row("lsn"),
            LOG_FILE.row("log_file"),
            LOG_OFFSET.row("log_offset"),
            LOG_PREV_CRC.row("log_prev_crc"),
            LOG_GENERATION.row("log_generation"),
            ROOT.row("root"),
            SEAL_FILE.row("seal_file"),
            SEAL_OFFSET.row("seal_offset"),
            SEAL_CRC.row("seal_crc"),
            ROWS.row("group_rows"),
            ATTESTED.row("attested"),
            CRC.row("crc"),
        ];
        vellum_bytes::assert_offset_table(include_str!("superblock.rs"), CRC.end(), &fields);
    }

    #[test]
    fn every_flipped_bit_of_a_copy_is_noticed_and_the_other_copy_opens() {
        let (old, new) = (sample(4), sample(5));
        let bytes = new.encode();
        assert_eq!(Superblock::decode(&bytes, 1).unwrap(), new);
        assert_eq!(Superblock::decode(&bytes, 0).unwrap_err().kind(), ErrorKind::Corrupt);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let copy = Superblock::decode(&bad, 1);
            assert!(copy.is_err(), "bit {bit}");
            let found = choose(parts([Ok(old.clone()), copy])).unwrap();
            assert_eq!(found.live, old);
            assert!(found.damage.is_some());
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = sample(4).encode();
        VERSION.put(&mut bytes, FORMAT_VERSION + 1);
        assert_eq!(Superblock::decode(&bytes, 0).unwrap_err().kind(), ErrorKind::Corrupt);
        let crc = crc32(&bytes[..CRC.offset()]);
        CRC.put(&mut bytes, crc);
        assert_eq!(Superblock::decode(&bytes, 0).unwrap_err().kind(), ErrorKind::UnknownFormat);
    }

    #[test]
    fn a_root_or_a_seal_that_is_none_is_zero() {
        let none = Superblock { root: None, seal: None, ..sample(4) };
        let bytes = none.encode();
        assert_eq!(Superblock::decode(&bytes, 0).unwrap(), none);
        for at in (ROOT.offset() + 4..ROOT.end()).chain(SEAL_FILE.offset()..SEAL_CRC.end()) {
            let mut bad = bytes.clone();
            bad[at] = 1;
            let crc = crc32(&bad[..CRC.offset()]);
            CRC.put(&mut bad, crc);
            assert_eq!(Superblock::decode(&bad, 0).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        }
    }

    #[test]
    fn requirement_40_numbers_that_no_store_reaches_are_corrupt() {
        for field in [GENERATION, LSN, LOG_FILE, LOG_OFFSET, SEAL_FILE, SEAL_OFFSET, ATTESTED] {
            for (number, is_sound) in [(NUMBER_MAX, true), (NUMBER_MAX + 2, false), (u64::MAX - 1, false)] {
                let mut bytes = sample(4).encode();
                field.put(&mut bytes, number);
                let crc = crc32(&bytes[..CRC.offset()]);
                CRC.put(&mut bytes, crc);
                let found = Superblock::decode(&bytes, 0);
                assert_eq!(found.is_ok(), is_sound, "{number} at {}: {found:?}", field.offset());
            }
        }
    }

    #[test]
    fn copies_that_changed_places_are_refused() {
        assert!(choose(parts([Ok(sample(5)), Ok(sample(4))])).is_err());
    }
}
