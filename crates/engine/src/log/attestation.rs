//! # Attestation: the newest lsn that was reported durable, kept apart from the log
//!
//! Damage to the log's last page must not pass for a torn tail, and it may take every frame with it that could
//! contradict. So the superblock's file says, in a block of its own, which lsn was reported durable last, and which
//! log file is the newest. The block has two slots, each in a sector of its own, written in turn:
//!
//! | offset | size | field       | meaning                                                          |
//! |-------:|-----:|-------------|------------------------------------------------------------------|
//! |      0 |    4 | crc         | CRC-32 of the store's id and of bytes 4..40                      |
//! |      4 |    4 | zero        | reserved: written 0, checked on read                             |
//! |      8 |    8 | round       | rises by one with each record; an even one is in the first slot  |
//! |     16 |    8 | attested    | the newest lsn that was reported durable                         |
//! |     24 |    8 | newest_file | number of the newest log file that may hold frames               |
//! |     32 |    4 | newest_crc  | header CRC of that file                                          |
//! |     36 |    4 | zero2       | reserved: written 0, checked on read                             |
//!
//! Slots lie at bytes 0 and 512 of the block; the rest of it is zero. The valid slot with the higher round counts.
//!
//! A writer guarantees: a sync covered every frame up to `attested` before the record says so, and the record says so
//! before any caller learns that the frame is durable. The name of `newest_file` is durable before the record has
//! it, and the record has it before the file takes a frame. The record itself is written and not synced: it survives
//! the death of the process at once, and a power cut once the store was idle, took a checkpoint or was closed.
//!
//! A reader assumes that both numbers are at most what was true: an older record that a power cut left says less
//! and nothing wrong. A slot that does not check was being written, or is damaged; the other one stands in.

use super::file::{self, HEADER_LEN};
use crate::id::{Lsn, NUMBER_MAX};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_bytes::{Field, crc32};
use vellum_disk::{Disk, File, FileId, LogTail};

const CRC: Field<u32> = Field::at(0);
const ZERO: Field<u32> = Field::after(CRC);
const ROUND: Field<u64> = Field::after(ZERO);
const ATTESTED: Field<u64> = Field::after(ROUND);
const NEWEST_FILE: Field<u64> = Field::after(ATTESTED);
const NEWEST_CRC: Field<u32> = Field::after(NEWEST_FILE);
const ZERO2: Field<u32> = Field::after(NEWEST_CRC);

const RECORD_LEN: usize = 40;
const _: () = assert!(ZERO2.end() == RECORD_LEN);
/// A device writes a sector whole or not at all.
const SLOT_LEN: usize = 512;
/// Bytes of the block.
pub const BLOCK_LEN: usize = 4096;

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attestation {
    round: u64,
    /// The newest lsn that was reported durable.
    pub lsn: Lsn,
    /// The newest log file.
    pub newest: NewestFile,
}

/// A log file as a record, or a mark in the file before, names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewestFile {
    /// Its number.
    pub number: u64,
    /// CRC of its header.
    pub crc: u32,
}

/// What a block holds.
#[derive(Debug)]
pub struct Block {
    /// The record that counts, if a slot is valid.
    pub attestation: Option<Attestation>,
    /// Where in the block something is wrong.
    pub faults: Vec<Fault>,
}

/// Something that is wrong with a block.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Where in the block.
    pub at: usize,
    pub reason: &'static str,
    /// A power cut while the slot was written may have left this: old and new bytes of a record.
    pub may_be_torn: bool,
}

const TORN: &str = "the record of what was reported durable does not match its checksum";

impl Attestation {
    /// An attestation of a commit and of the newest file.
    pub fn new(lsn: Lsn, newest: NewestFile) -> Attestation {
        Attestation { round: 0, lsn, newest }
    }

    /// The block of a new store: the same record in both slots.
    pub fn first_block(&self, store_id: &[u8; 16]) -> Vec<u8> {
        let mut block = vec![0; BLOCK_LEN];
        for round in 0..2 {
            let record = Attestation { round, ..*self };
            block[record.slot_offset()..][..RECORD_LEN].copy_from_slice(&record.encode(store_id));
        }
        block
    }

    fn slot_offset(&self) -> usize {
        (self.round % 2) as usize * SLOT_LEN
    }

    fn encode(&self, store_id: &[u8; 16]) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        ROUND.put(&mut bytes, self.round);
        ATTESTED.put(&mut bytes, self.lsn.0);
        NEWEST_FILE.put(&mut bytes, self.newest.number);
        NEWEST_CRC.put(&mut bytes, self.newest.crc);
        let crc = checksum(store_id, &bytes);
        CRC.put(&mut bytes, crc);
        bytes
    }

    fn decode(bytes: &[u8], slot: u64, store_id: &[u8; 16]) -> Result<Attestation, &'static str> {
        if CRC.get(bytes) != checksum(store_id, &bytes[..RECORD_LEN]) {
            return Err(TORN);
        }
        let record = Attestation {
            round: ROUND.get(bytes),
            lsn: Lsn(ATTESTED.get(bytes)),
            newest: NewestFile { number: NEWEST_FILE.get(bytes), crc: NEWEST_CRC.get(bytes) },
        };
        let is_possible = [ROUND, ATTESTED, NEWEST_FILE].iter().all(|field| field.get(bytes) <= NUMBER_MAX);
        let is_reserved = ZERO.get(bytes) != 0 || ZERO2.get(bytes) != 0;
        if !is_possible || is_reserved || record.round % 2 != slot {
            return Err("the record of what was reported durable has numbers that no store reaches");
        }
        Ok(record)
    }

    /// Reads a block.
    pub fn read(block: &[u8], store_id: &[u8; 16]) -> Block {
        let (mut attestation, mut faults) = (None::<Attestation>, Vec::new());
        for slot in 0..2 {
            let at = slot * SLOT_LEN;
            match Attestation::decode(&block[at..at + SLOT_LEN], slot as u64, store_id) {
                Ok(found) if attestation.is_none_or(|other| other.round < found.round) => {
                    attestation = Some(found)
                }
                Ok(_) => {}
                Err(reason) => {
                    // Slots are never zero: a new store has a record in both.
                    let is_zero = block[at..at + RECORD_LEN].iter().all(|byte| *byte == 0);
                    faults.push(Fault { at, reason, may_be_torn: reason == TORN && !is_zero });
                }
            }
            let rest = at + RECORD_LEN..if slot == 1 { BLOCK_LEN } else { SLOT_LEN };
            if let Some(stray) = block[rest.clone()].iter().position(|byte| *byte != 0) {
                let reason = "zeros are expected after the record of what was reported durable";
                faults.push(Fault { at: rest.start + stray, reason, may_be_torn: false });
            }
        }
        Block { attestation, faults }
    }
}

fn checksum(store_id: &[u8; 16], record: &[u8]) -> u32 {
    let mut bytes = [0; 16 + RECORD_LEN];
    bytes[..16].copy_from_slice(store_id);
    bytes[16..].copy_from_slice(record);
    bytes[16..16 + CRC.end()].fill(0);
    crc32(&bytes)
}

/// Keeps the record of an open store, and sees to it that the store's files are still the ones that it opened.
#[derive(Debug)]
pub struct Witness {
    disk: Arc<dyn Disk>,
    store_id: [u8; 16],
    superblock: Arc<dyn File>,
    superblock_id: FileId,
    /// First bytes of the superblock's file that no session changes: magic, and the store's id.
    constant: [Constant; 2],
    /// Where the block is.
    block_offset: u64,
    record: Mutex<Kept>,
    /// The record was written since the last sync of it.
    is_unsynced: AtomicBool,
}

/// The newest record, and the block as it is mapped for writing, where the log is mapped too: a write by a call gives
/// the superblock's file a new time with each sync.
#[derive(Debug)]
struct Kept {
    record: Attestation,
    block: Option<Box<dyn LogTail>>,
}

/// Bytes of the superblock's file that stay as they are: where, and what.
#[derive(Debug)]
pub struct Constant {
    /// Offset in the file.
    pub offset: usize,
    /// The bytes; `len` of them count.
    pub bytes: [u8; 16],
    /// How many bytes count.
    pub len: usize,
}

/// The log file that takes frames.
#[derive(Clone, Debug)]
pub(super) struct CurrentFile {
    /// Its name now; it was opened under another one.
    pub(super) name: String,
    pub(super) file: Arc<dyn File>,
    pub(super) id: FileId,
    /// Its header.
    pub(super) header: [u8; HEADER_LEN],
}

impl Witness {
    /// # Errors
    /// What the disk says.
    pub fn new(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        superblock: Arc<dyn File>,
        constant: [Constant; 2],
        block_offset: u64,
        record: Attestation,
        is_mapped: bool,
    ) -> Result<Witness> {
        let end = block_offset + BLOCK_LEN as u64;
        let block = if is_mapped { superblock.map_tail(end)? } else { None };
        Ok(Witness {
            superblock_id: superblock.identity()?,
            disk,
            store_id,
            superblock,
            constant,
            block_offset,
            record: Mutex::new(Kept { record, block }),
            is_unsynced: AtomicBool::new(false),
        })
    }

    /// Writes the whole block, in place of one that was damaged, durably.
    pub fn renew(&self) -> Result<()> {
        let mut kept = self.record.lock();
        self.superblock.write_at(self.block_offset, &kept.record.first_block(&self.store_id))?;
        kept.record.round = 1;
        self.superblock.sync()
    }

    /// Records where a session begins.
    pub fn begin(&self, lsn: Lsn, newest: NewestFile) -> Result<()> {
        self.write(&mut self.record.lock(), lsn, newest)
    }

    /// Records that everything up to `lsn` is being reported durable.
    pub(super) fn attest(&self, lsn: Lsn) -> Result<()> {
        let mut kept = self.record.lock();
        if lsn <= kept.record.lsn {
            return Ok(());
        }
        let newest = kept.record.newest;
        self.write(&mut kept, lsn, newest)
    }

    /// Records that a log file is about to take its first frame.
    pub(super) fn begin_file(&self, newest: NewestFile) -> Result<()> {
        let mut kept = self.record.lock();
        let lsn = kept.record.lsn;
        if kept.record.newest == newest { Ok(()) } else { self.write(&mut kept, lsn, newest) }
    }

    fn write(&self, kept: &mut Kept, lsn: Lsn, newest: NewestFile) -> Result<()> {
        let next = Attestation { round: kept.record.round + 1, lsn, newest };
        let (offset, bytes) = (self.block_offset + next.slot_offset() as u64, next.encode(&self.store_id));
        match &mut kept.block {
            Some(block) => block.write(offset as usize, &bytes),
            None => self.superblock.write_at(offset, &bytes)?,
        }
        self.is_unsynced.store(true, Ordering::Release);
        kept.record = next;
        Ok(())
    }

    /// Makes the record durable, if it is not.
    ///
    /// # Errors
    /// What the disk says; the store must stop then, as after any sync that failed.
    pub fn sync(&self) -> Result<()> {
        if self.is_unsynced.swap(false, Ordering::AcqRel) { self.superblock.sync() } else { Ok(()) }
    }

    /// Checks that the names of superblock and log still lead to the files that this store opened, and that these
    /// are still this store's: another program may have deleted or replaced them, or the directory. What is written
    /// then is in no store.
    ///
    /// # Errors
    /// `NotAStore`, saying what happened; what the disk says.
    pub(super) fn check(&self, log: &CurrentFile) -> Result<()> {
        self.check_name(self.superblock.name(), self.superblock_id)?;
        self.check_name(&log.name, log.id)?;
        let mut front = [0; HEADER_LEN];
        self.superblock
            .read_at(0, &mut front)
            .map_err(|error| self.changed(self.superblock.name(), &error))?;
        let is_ours = |part: &Constant| front[part.offset..][..part.len] == part.bytes[..part.len];
        if !self.constant.iter().all(is_ours) {
            return Err(self.is_not_ours(self.superblock.name(), "holds another store now"));
        }
        log.file.read_at(0, &mut front).map_err(|error| self.changed(&log.name, &error))?;
        if front != log.header {
            return Err(self.is_not_ours(&log.name, "holds another log file now"));
        }
        Ok(())
    }

    fn check_name(&self, name: &str, id: FileId) -> Result<()> {
        match self.disk.identity(name)? {
            Some(found) if found == id => Ok(()),
            Some(_) => Err(self.is_not_ours(name, "was replaced")),
            None => Err(self.is_not_ours(name, "was deleted, perhaps with the directory")),
        }
    }

    #[cold]
    fn is_not_ours(&self, name: &str, what: &str) -> Error {
        let place = self.disk.place();
        let message = format!(
            "the file {name} of the open store {place} {what}: another program did that, and commits after the newest \
             durable one are in no store; put the files back, or open the store that is there now"
        );
        Error::new(ErrorKind::NotAStore, message)
    }

    /// A file that became too short to read is not the one that was opened.
    #[cold]
    fn changed(&self, name: &str, error: &Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt => self.is_not_ours(name, "was cut short"),
            _ => error.clone(),
        }
    }
}

impl NewestFile {
    pub(super) fn name(&self) -> String {
        file::log_name(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: [u8; 16] = [7; 16];

    fn record(round: u64) -> Attestation {
        Attestation { round, lsn: Lsn(9 + round), newest: NewestFile { number: 3, crc: 5 } }
    }

    #[test]
    fn the_table_above_is_the_layout() {
        vellum_bytes::assert_offset_table(
            include_str!("attestation.rs"),
            RECORD_LEN,
            &[
                CRC.row("crc"),
                ZERO.row("zero"),
                ROUND.row("round"),
                ATTESTED.row("attested"),
                NEWEST_FILE.row("newest_file"),
                NEWEST_CRC.row("newest_crc"),
                ZERO2.row("zero2"),
            ],
        );
    }

    #[test]
    fn the_newer_slot_counts_and_a_damaged_one_leaves_the_other() {
        let mut block = record(0).first_block(&STORE);
        let newer = record(6);
        block[..RECORD_LEN].copy_from_slice(&newer.encode(&STORE));
        let read = Attestation::read(&block, &STORE);
        assert_eq!((read.attestation, read.faults.len()), (Some(newer), 0));
        for bit in 0..BLOCK_LEN * 8 {
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Attestation::read(&damaged, &STORE);
            assert_eq!(read.faults.len(), 1, "bit {bit}");
            let expected = if bit / 8 < RECORD_LEN { Attestation { round: 1, ..record(0) } } else { newer };
            assert_eq!(read.attestation, Some(expected), "bit {bit}");
        }
        assert_eq!(Attestation::read(&block, &[8; 16]).attestation, None, "of another store");
        assert_eq!(Attestation::read(&[0; BLOCK_LEN], &STORE).attestation, None);
    }

    #[test]
    fn numbers_that_no_store_reaches_are_rejected_under_any_checksum() {
        for wrong in [
            Attestation { lsn: Lsn(u64::MAX), ..record(0) },
            Attestation { newest: NewestFile { number: u64::MAX, crc: 0 }, ..record(0) },
            Attestation { round: u64::MAX - 1, ..record(0) },
        ] {
            assert!(Attestation::decode(&wrong.encode(&STORE), 0, &STORE).is_err(), "{wrong:?}");
        }
        assert!(Attestation::decode(&record(1).encode(&STORE), 0, &STORE).is_err(), "in the wrong slot");
    }
}
