//! Checksums made to fit again after damage, so that parsers meet hostile bytes behind them.
//!
//! Written from the offset tables of the format (`docs/format.md` lists them), not with the engine's code: a
//! mistake there is not repeated here.

use std::collections::BTreeMap;

/// Bytes of one superblock copy.
pub const SUPERBLOCK_COPY_LEN: usize = 4096;
/// Where its checksum lies, of all that stands before it.
pub const SUPERBLOCK_CRC_AT: usize = 120;
/// Where frames start in a log file.
pub const FRAMES_AT: usize = 4096;

const FRAME_HEADER_LEN: usize = 40;
const SEGMENT_HEADER_LEN: usize = 64;
const IMAGE_HEAD_LEN: usize = 64;
const BLOCK_LEN: usize = 4096;
/// Page table: root, tree, chunk, group, page. One round seals one level.
const LEVELS: usize = 6;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Seals one copy of a superblock.
pub fn seal_superblock(copy: &mut [u8]) {
    let crc = crc32fast::hash(&copy[..SUPERBLOCK_CRC_AT]);
    put(copy, SUPERBLOCK_CRC_AT, crc);
}

/// Bytes of a superblock's file: two copies, and the record of what was reported durable.
pub const SUPERBLOCK_FILE_LEN: usize = 3 * SUPERBLOCK_COPY_LEN;
/// Bytes from one slot of the record to the other.
pub const RECORD_SLOT_LEN: usize = 512;
const RECORD_LEN: usize = 40;

/// Seals one slot of the record, of this store.
pub fn seal_record(slot: &mut [u8], store_id: &[u8]) {
    let mut bytes = store_id.to_vec();
    bytes.extend([0; 4]);
    bytes.extend(&slot[4..RECORD_LEN]);
    put(slot, 0, crc32fast::hash(&bytes));
}

/// Bytes that a frame with this body takes.
#[must_use]
pub fn frame_len(body_len: usize) -> usize {
    (FRAME_HEADER_LEN + body_len).next_multiple_of(8)
}

/// Seals a log file: its header, and the frames as their lengths lead from one to the next.
pub fn seal_log(bytes: &mut Vec<u8>) {
    seal_log_noting(bytes, &mut BTreeMap::new());
}

/// Notes old and new header checksums, which superblocks repeat.
fn seal_log_noting(bytes: &mut [u8], renamed: &mut BTreeMap<u32, u32>) {
    if bytes.len() < FRAMES_AT {
        return;
    }
    let mut prev = crc32fast::hash(&bytes[16..96]);
    renamed.insert(word(bytes, 12), prev);
    put(bytes, 12, prev);
    let mut at = FRAMES_AT;
    while at + FRAME_HEADER_LEN <= bytes.len() {
        let body_len = word(bytes, at + 4) as usize;
        let end = at.saturating_add(frame_len(body_len.min(bytes.len())));
        let is_empty = bytes[at..at + FRAME_HEADER_LEN].iter().all(|byte| *byte == 0);
        if is_empty || end > bytes.len() {
            break;
        }
        // The frame that ends a file repeats the header checksum of the next one.
        if bytes[at + 36] == 3
            && body_len == 16
            && let Some(new) = renamed.get(&word(bytes, at + FRAME_HEADER_LEN + 8))
        {
            put(bytes, at + FRAME_HEADER_LEN + 8, *new);
        }
        let body_crc = crc32fast::hash(&bytes[at + FRAME_HEADER_LEN..at + FRAME_HEADER_LEN + body_len]);
        put(bytes, at + 24, prev);
        put(bytes, at + 32, body_crc);
        let old = word(bytes, at);
        prev = crc32fast::hash(&bytes[at + 4..at + FRAME_HEADER_LEN]);
        put(bytes, at, prev);
        renamed.insert(old, prev);
        at = end;
    }
}

/// Where the payload of an image starts, and the image's length, by the payload's length.
fn image_shape(payload_len: usize) -> (usize, usize) {
    let blocks = payload_len.div_ceil(BLOCK_LEN);
    let array = if blocks > 1 { (blocks * 4).next_multiple_of(64) } else { 0 };
    let start = IMAGE_HEAD_LEN + array;
    (start, start + payload_len.next_multiple_of(64))
}

/// Seals one image; the old and the new checksum of its head where that changed.
fn seal_image(bytes: &mut [u8]) -> Option<(u32, u32)> {
    let payload_len = word(bytes, 40) as usize;
    let (start, len) = image_shape(payload_len);
    if len > bytes.len() {
        return None;
    }
    let payload = bytes[start..start + payload_len].to_vec();
    let payload_crc = match payload_len.div_ceil(BLOCK_LEN) {
        0 => 0,
        1 => crc32fast::hash(&payload),
        _ => {
            for (number, block) in payload.chunks(BLOCK_LEN).enumerate() {
                put(bytes, IMAGE_HEAD_LEN + number * 4, crc32fast::hash(block));
            }
            crc32fast::hash(&bytes[IMAGE_HEAD_LEN..start])
        }
    };
    put(bytes, 44, payload_crc);
    let (old, new) = (word(bytes, 60), crc32fast::hash(&bytes[..60]));
    put(bytes, 60, new);
    (old != new).then_some((old, new))
}

/// Seals a segment's header and images; notes what parents call them.
fn seal_segment(bytes: &mut [u8], renamed: &mut Vec<([u8; 12], u32, u32)>) {
    if bytes.len() < SEGMENT_HEADER_LEN {
        return;
    }
    let crc = crc32fast::hash(&bytes[..60]);
    put(bytes, 60, crc);
    let segment = word(bytes, 12);
    for at in (SEGMENT_HEADER_LEN..bytes.len().saturating_sub(IMAGE_HEAD_LEN - 1)).step_by(64) {
        if &bytes[at..at + 4] == b"vlPG"
            && let Some((old, new)) = seal_image(&mut bytes[at..])
        {
            let mut reference = [0; 12];
            put(&mut reference, 0, segment);
            put(&mut reference, 4, (at / 64) as u32);
            put(&mut reference, 8, word(bytes, at + 40));
            renamed.push((reference, old, new));
        }
    }
}

/// Gives references to images their new checksums, wherever they stand.
fn rename(bytes: &mut [u8], renamed: &[([u8; 12], u32, u32)]) {
    for (reference, old, new) in renamed {
        for at in 0..bytes.len().saturating_sub(15) {
            if bytes[at..at + 12] == *reference && word(bytes, at + 12) == *old {
                put(bytes, at + 12, *new);
            }
        }
    }
}

/// Seals all files of a store, from the leaves up.
pub fn seal_store(files: &mut BTreeMap<String, Vec<u8>>) {
    for _ in 0..LEVELS {
        let mut renamed = Vec::new();
        for (_, bytes) in files.iter_mut().filter(|(name, _)| name.starts_with("seg-")) {
            seal_segment(bytes, &mut renamed);
        }
        if renamed.is_empty() {
            break;
        }
        for (_, bytes) in files.iter_mut().filter(|(name, _)| is_parent(name)) {
            rename(bytes, &renamed);
        }
    }
    let mut crcs = BTreeMap::new();
    for (_, bytes) in
        files.iter().filter(|(name, bytes)| name.starts_with("log-") && bytes.len() >= FRAMES_AT)
    {
        crcs.insert(word(bytes, 12), crc32fast::hash(&bytes[16..96]));
    }
    for (_, bytes) in files.iter_mut().filter(|(name, _)| name.starts_with("log-")) {
        seal_log_noting(bytes, &mut crcs);
    }
    if let Some(bytes) = files.get_mut("superblock") {
        let store_id = bytes.get(16..32).unwrap_or_default().to_vec();
        for slot in [0, 1].map(|slot| 2 * SUPERBLOCK_COPY_LEN + slot * RECORD_SLOT_LEN) {
            if let Some(slot) = bytes.get_mut(slot..slot + RECORD_LEN) {
                if let Some(new) = crcs.get(&word(slot, 32)) {
                    put(slot, 32, *new);
                }
                seal_record(slot, &store_id);
            }
        }
        for copy in bytes.chunks_exact_mut(SUPERBLOCK_COPY_LEN).take(2) {
            for at in [64, 104] {
                if let Some(new) = crcs.get(&word(copy, at)) {
                    put(copy, at, *new);
                }
            }
            seal_superblock(copy);
        }
    }
}

fn is_parent(name: &str) -> bool {
    name.starts_with("seg-") || name == "superblock"
}
