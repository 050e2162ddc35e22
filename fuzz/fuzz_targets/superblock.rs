//! Two copies of a superblock: fields by the input, with checksums that hold or do not.
//!
//! Promise: `Corrupt` or `UnknownFormat`, or the newer of the valid copies; and what is accepted is what
//! the engine itself would write for it, byte for byte, so that no byte goes unchecked.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use vellum::disk::Disk;
use vellum_fuzz::parsers::{is_damage, read_superblock};
use vellum_fuzz::reseal::{
    RECORD_SLOT_LEN, SUPERBLOCK_COPY_LEN, SUPERBLOCK_CRC_AT, SUPERBLOCK_FILE_LEN, seal_record,
    seal_superblock,
};
use vellum_testkit::MemDisk;

/// Where a copy says which format it is of.
const VERSION_AT: std::ops::Range<usize> = 8..10;

#[derive(Arbitrary, Debug)]
struct Copy {
    state: u8,
    generation: u8,
    fields: Vec<(u8, u64)>,
    stray: Option<u16>,
    flip: Option<u16>,
    seal: bool,
}

#[derive(Arbitrary, Debug)]
struct Input {
    copies: [Copy; 2],
    record: Record,
    cut: Option<u16>,
    version: Option<u16>,
}

/// The record of what was reported durable.
#[derive(Arbitrary, Debug)]
struct Record {
    rounds: [u64; 2],
    attested: [u64; 2],
    newest: u64,
    stray: Option<u16>,
    seal: bool,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; SUPERBLOCK_COPY_LEN];
        for slot in 0..2 {
            let record = &mut bytes[slot * RECORD_SLOT_LEN..][..RECORD_SLOT_LEN];
            for (at, value) in [(8, self.rounds[slot]), (16, self.attested[slot]), (24, self.newest)] {
                record[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            if self.seal {
                seal_record(record, b"a store's own id");
            }
        }
        if let Some(at) = self.stray {
            bytes[usize::from(at) % SUPERBLOCK_COPY_LEN] ^= 0x10;
        }
        bytes
    }
}

impl Copy {
    fn bytes(&self, number: usize, version: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0; SUPERBLOCK_COPY_LEN];
        bytes[..8].copy_from_slice(b"VELLUM\r\n");
        bytes[VERSION_AT].copy_from_slice(&version.unwrap_or(3).to_le_bytes());
        bytes[10] = self.state % 4;
        bytes[12] = 1;
        bytes[16..32].copy_from_slice(b"a store's own id");
        let generation = u64::from(self.generation) * 2 + number as u64;
        bytes[32..40].copy_from_slice(&generation.to_le_bytes());
        bytes[108..112].copy_from_slice(&1024u32.to_le_bytes());
        for (at, value) in &self.fields {
            let at = 16 + usize::from(*at) % 13 * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(at) = self.stray {
            bytes[usize::from(at) % SUPERBLOCK_COPY_LEN] ^= 0x10;
        }
        if self.seal {
            seal_superblock(&mut bytes);
        }
        if let Some(bit) = self.flip {
            let bit = usize::from(bit) % (SUPERBLOCK_COPY_LEN * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes
    }
}

fuzz_target!(|input: Input| {
    let mut file = input.copies[0].bytes(0, input.version);
    file.extend(input.copies[1].bytes(1, input.version));
    file.extend(input.record.bytes());
    if let Some(len) = input.cut {
        file.resize(usize::from(len) % (2 * SUPERBLOCK_FILE_LEN), 0);
    }
    let disk = MemDisk::new();
    disk.create_dir().expect("no fault was asked for");
    disk.edit("superblock", |bytes| bytes.clone_from(&file));
    match read_superblock(&disk) {
        Err(error) => assert!(is_damage(&error), "{error}"),
        Ok(copies) => {
            for (number, copy) in copies.into_iter().enumerate() {
                let Some(again) = copy else { continue };
                let found = file[number * SUPERBLOCK_COPY_LEN..][..SUPERBLOCK_COPY_LEN].to_vec();
                assert_eq!(again[..SUPERBLOCK_CRC_AT], found[..SUPERBLOCK_CRC_AT], "copy {number}");
                assert_eq!(again, found, "copy {number}");
            }
        }
    }
});
