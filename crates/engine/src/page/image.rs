//! # Image: one page as a segment stores it
//!
//! ```text
//! | head 64 | CRC array, padded to 64 (only with two or more blocks) | payload, padded to 64 |
//! ```
//!
//! | offset | size | field       | meaning                                                       |
//! |-------:|-----:|-------------|---------------------------------------------------------------|
//! |      0 |    4 | magic       | `vlPG`: what salvage scans for, at multiples of 64            |
//! |      4 |    1 | kind        | see [`Kind`]                                                  |
//! |      5 |    1 | codec       | 0 = plain; no other yet                                       |
//! |      6 |    2 | version     | of this format: 1                                             |
//! |      8 |    4 | store_tag   | low 32 bits of the hash of the store's id                     |
//! |     12 |    4 | tree        | address: the page tree                                        |
//! |     16 |    8 | number      | address: row group or bucket                                  |
//! |     24 |    4 | column      | address: column                                               |
//! |     28 |    4 | rows        | rows of the page; informational                               |
//! |     32 |    8 | lsn         | the page is as of this commit                                 |
//! |     40 |    4 | payload_len | bytes of the payload, at most PAGE_LEN_MAX                    |
//! |     44 |    4 | payload_crc | one block: its CRC-32; more: CRC-32 of the padded CRC array   |
//! |     48 |   12 | zero        | reserved (smallest and largest value): written 0, checked     |
//! |     60 |    4 | header_crc  | CRC-32 of bytes 0..60; the parent page-table entry repeats it |
//!
//! The CRC array has a CRC-32 for each block of [`BLOCK_LEN`] payload bytes; the last block may be
//! short. A single block needs no array, its CRC stands in the head: most delta images take 128 or
//! 192 bytes. The array stands in front, where a cold read of a large page finds it in the same
//! disk block as the head.
//!
//! Valid when: magic, kind, codec and version are known, `zero` is 0, the header CRC and the CRC of
//! the array match, the image is exactly as long as `payload_len` makes it. Then the head and the
//! array are as written, and each block answers for itself at its first use.
//! A writer starts images at multiples of 64, so that cells of 64 bytes in a page are cache lines.
//! A reader compares the header CRC with the parent's: it covers all other checksums, so an older,
//! swapped or misplaced image fails there. Padding is zero; only [`ImageView::verify_whole`] looks.
//! All errors are `Corrupt` with an empty file name and the offset in the image: the caller knows both.

use crate::id::{Address, Lsn, TreeId};
use std::ops::Range;
use vellum_bytes::{Error, Result};
use vellum_bytes::{Field, crc32};

/// Bytes under one CRC: one page of the operating system, so a cold read checks what it faulted in.
pub const BLOCK_LEN: usize = 4096;

/// Most bytes that a page has: the largest value is 16 MiB, the largest bucket as much again.
pub const PAGE_LEN_MAX: usize = 64 << 20;

/// Bytes of the head; images start at multiples of it and are padded to it.
pub const HEAD_LEN: usize = 64;

/// The format that this build writes.
pub const VERSION: u16 = 1;

const MAGIC_BYTES: [u8; 4] = *b"vlPG";
const CRC_LEN: usize = 4;
const PLAIN: u8 = 0;

const MAGIC: Field<[u8; 4]> = Field::at(0);
const KIND: Field<u8> = Field::after(MAGIC);
const CODEC: Field<u8> = Field::after(KIND);
const FORMAT: Field<u16> = Field::after(CODEC);
const STORE_TAG: Field<u32> = Field::after(FORMAT);
const TREE: Field<u32> = Field::after(STORE_TAG);
const NUMBER: Field<u64> = Field::after(TREE);
const COLUMN: Field<u32> = Field::after(NUMBER);
const ROWS: Field<u32> = Field::after(COLUMN);
const LSN: Field<u64> = Field::after(ROWS);
const PAYLOAD_LEN: Field<u32> = Field::after(LSN);
const PAYLOAD_CRC: Field<u32> = Field::after(PAYLOAD_LEN);
const ZERO: Field<[u8; 12]> = Field::after(PAYLOAD_CRC);
const HEADER_CRC: Field<u32> = Field::after(ZERO);
const _: () = assert!(HEADER_CRC.end() == HEAD_LEN);

/// What an image holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A whole page.
    Page = 1,
    /// The changes of a page since its base image, as [`super::delta`] encodes them.
    Delta = 2,
    /// A node of the page table.
    Node = 3,
    /// The root of the page table and what else a checkpoint names.
    Root = 4,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Kind> {
        [Kind::Page, Kind::Delta, Kind::Node, Kind::Root].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What an image says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageHead {
    /// What the payload is.
    pub kind: Kind,
    /// Where the page lives.
    pub address: Address,
    /// The commit as of which the page is imaged.
    pub lsn: Lsn,
    /// Rows of the page; nothing depends on it.
    pub rows: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// Tells pages of different stores apart.
    pub store_tag: u32,
}

/// Appends the image of `payload`, padded, to `out`.
///
/// # Panics
/// When `head.payload_len` is not the payload's length, or over [`PAGE_LEN_MAX`].
pub fn encode(head: &ImageHead, payload: &[u8], out: &mut Vec<u8>) {
    assert_eq!(head.payload_len as usize, payload.len(), "the head describes another payload");
    assert!(payload.len() <= PAGE_LEN_MAX, "a page of {} bytes", payload.len());
    let start = out.len();
    out.reserve(image_len(payload.len()));
    out.resize(start + HEAD_LEN, 0);
    let payload_crc = match block_count(payload.len()) {
        0 => 0,
        1 => crc32(payload),
        _ => {
            for block in payload.chunks(BLOCK_LEN) {
                out.extend_from_slice(&crc32(block).to_le_bytes());
            }
            out.resize(start + payload_start(payload.len()), 0);
            crc32(&out[start + HEAD_LEN..])
        }
    };
    out.extend_from_slice(payload);
    out.resize(start + image_len(payload.len()), 0);
    put_head(head, payload_crc, &mut out[start..start + HEAD_LEN]);
}

/// Bytes of the whole image of a payload of this length.
#[must_use]
pub fn image_len(payload_len: usize) -> usize {
    payload_start(payload_len) + payload_len.next_multiple_of(HEAD_LEN)
}

/// Checks one block of the payload of the image in `bytes`, whose head was parsed before.
///
/// # Errors
/// `Corrupt` when the block is not as written.
#[inline]
pub fn check_block_at(bytes: &[u8], payload_len: usize, block: usize) -> Result<()> {
    let range = block_range(payload_len, block)?;
    let kept_at = kept_at(payload_len, block);
    let Some(kept) = bytes.get(kept_at..kept_at + CRC_LEN) else {
        return Err(no_block(bytes, &range, block));
    };
    check_block_against(bytes, payload_len, block, u32::from_le_bytes(kept.try_into().expect("cut above")))
}

/// [`check_block_at`] with the CRC that the head keeps of the block, so that the head is not looked at.
///
/// # Errors
/// As [`check_block_at`].
pub fn check_block_against(bytes: &[u8], payload_len: usize, block: usize, kept: u32) -> Result<()> {
    let range = block_range(payload_len, block)?;
    let Some(covered) = bytes.get(range.clone()) else { return Err(no_block(bytes, &range, block)) };
    let found = crc32(covered);
    if kept == found { Ok(()) } else { Err(bad_block(range.start, block, kept, found)) }
}

/// Where a block of the payload lies in the image.
///
/// # Errors
/// `Corrupt` when a payload of this length has no such block.
#[inline]
pub fn block_range(payload_len: usize, block: usize) -> Result<Range<usize>> {
    if payload_len > PAGE_LEN_MAX || block >= block_count(payload_len) {
        return Err(corrupt(0, format!("there is no block {block} in a payload of {payload_len} bytes")));
    }
    let start = payload_start(payload_len);
    let first = start + block * BLOCK_LEN;
    Ok(first..(first + BLOCK_LEN).min(start + payload_len))
}

/// Offset of the CRC of a block.
#[inline]
fn kept_at(payload_len: usize, block: usize) -> usize {
    if payload_start(payload_len) == HEAD_LEN { PAYLOAD_CRC.offset() } else { HEAD_LEN + block * CRC_LEN }
}

/// Reads the head of the image that starts at `bytes`, and how long the image is: for a scan that
/// meets images without knowing their lengths.
///
/// # Errors
/// `Corrupt` when no image starts here.
pub fn parse_head(bytes: &[u8]) -> Result<(ImageHead, usize)> {
    let Some(bytes) = bytes.get(..HEAD_LEN) else {
        return Err(corrupt(0, format!("an image head takes {HEAD_LEN} bytes, {} are left", bytes.len())));
    };
    if MAGIC.get(bytes) != MAGIC_BYTES {
        return Err(corrupt(0, format!("no page starts here: magic {:02x?}", MAGIC.get(bytes))));
    }
    let (kept, found) = (HEADER_CRC.get(bytes), crc32(&bytes[..HEADER_CRC.offset()]));
    if kept != found {
        return Err(corrupt(HEADER_CRC.offset(), format!("header crc is {kept:08x}, computed {found:08x}")));
    }
    known_fields(bytes)?;
    let kind = Kind::from_u8(KIND.get(bytes))
        .ok_or_else(|| corrupt(KIND.offset(), format!("unknown image kind {}", KIND.get(bytes))))?;
    let address =
        Address { tree: TreeId(TREE.get(bytes)), number: NUMBER.get(bytes), column: COLUMN.get(bytes) };
    let (lsn, rows) = (Lsn(LSN.get(bytes)), ROWS.get(bytes));
    let (payload_len, store_tag) = (PAYLOAD_LEN.get(bytes), STORE_TAG.get(bytes));
    Ok((ImageHead { kind, address, lsn, rows, payload_len, store_tag }, image_len(payload_len as usize)))
}

/// The header CRC of an image whose head was parsed before: what a reference to it repeats.
#[must_use]
pub fn header_crc(bytes: &[u8]) -> u32 {
    HEADER_CRC.get(bytes)
}

/// An image whose head and CRC array are as they were written.
#[derive(Clone, Debug)]
pub struct ImageView<'a> {
    bytes: &'a [u8],
    head: ImageHead,
}

impl<'a> ImageView<'a> {
    /// Looks at the bytes of exactly one image. Reads its head and its CRC array, not its payload.
    ///
    /// # Errors
    /// `Corrupt` when they are not as written, or `bytes` has another length than the image.
    pub fn parse(bytes: &'a [u8]) -> Result<ImageView<'a>> {
        let (head, len) = parse_head(bytes)?;
        if bytes.len() != len {
            return Err(corrupt(
                PAYLOAD_LEN.offset(),
                format!(
                    "an image with a payload of {} takes {len} bytes, this has {}",
                    head.payload_len,
                    bytes.len()
                ),
            ));
        }
        let view = ImageView { bytes, head };
        if view.block_count() == 0 && PAYLOAD_CRC.get(bytes) != 0 {
            return Err(corrupt(PAYLOAD_CRC.offset(), "an empty payload has a crc"));
        }
        if view.block_count() > 1 {
            let (kept, found) = (PAYLOAD_CRC.get(bytes), crc32(&bytes[HEAD_LEN..view.payload_range().start]));
            if kept != found {
                return Err(corrupt(HEAD_LEN, format!("crc array has crc {kept:08x}, computed {found:08x}")));
            }
        }
        Ok(view)
    }

    /// What the image says about itself.
    #[must_use]
    pub fn head(&self) -> &ImageHead {
        &self.head
    }

    /// The header CRC, which the parent keeps: it covers all other checksums.
    #[must_use]
    pub fn crc(&self) -> u32 {
        HEADER_CRC.get(self.bytes)
    }

    /// Where the payload lies in the image.
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        let start = payload_start(self.head.payload_len as usize);
        start..start + self.head.payload_len as usize
    }

    /// The payload; its blocks are not checked by this.
    #[must_use]
    #[cfg(test)]
    pub fn payload_unchecked(&self) -> &'a [u8] {
        &self.bytes[self.payload_range()]
    }

    /// Blocks of the payload.
    #[must_use]
    pub fn block_count(&self) -> usize {
        block_count(self.head.payload_len as usize)
    }

    /// The CRC of each block, so that a caller can check blocks later without the head.
    #[must_use]
    pub fn block_crcs(&self) -> Box<[u32]> {
        let len = self.head.payload_len as usize;
        let kept = |block| {
            let at = kept_at(len, block);
            u32::from_le_bytes(self.bytes[at..at + CRC_LEN].try_into().expect("cut to CRC_LEN"))
        };
        (0..self.block_count()).map(kept).collect()
    }

    /// Checks one block.
    ///
    /// # Errors
    /// `Corrupt` when it is not as written.
    #[inline]
    pub fn check_block(&self, block: usize) -> Result<()> {
        check_block_at(self.bytes, self.head.payload_len as usize, block)
    }

    /// Checks every block and the padding.
    ///
    /// # Errors
    /// `Corrupt` for the first byte range that is not as written.
    pub fn verify_whole(&self) -> Result<()> {
        for block in 0..self.block_count() {
            self.check_block(block)?;
        }
        let padding_start = self.payload_range().end;
        match self.bytes[padding_start..].iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(corrupt(padding_start + at, "padding behind the payload is not zero")),
        }
    }
}

/// The checks of fields that have one legal value, or an upper bound.
fn known_fields(bytes: &[u8]) -> Result<()> {
    if FORMAT.get(bytes) != VERSION {
        return Err(corrupt(
            FORMAT.offset(),
            format!("image format {}, this build reads {VERSION}", FORMAT.get(bytes)),
        ));
    }
    if CODEC.get(bytes) != PLAIN {
        return Err(corrupt(CODEC.offset(), format!("unknown codec {}", CODEC.get(bytes))));
    }
    if ZERO.get(bytes) != [0; 12] {
        return Err(corrupt(ZERO.offset(), "reserved bytes are not zero"));
    }
    if PAYLOAD_LEN.get(bytes) as usize > PAGE_LEN_MAX {
        return Err(corrupt(PAYLOAD_LEN.offset(), format!("a payload of {} bytes", PAYLOAD_LEN.get(bytes))));
    }
    Ok(())
}

fn put_head(head: &ImageHead, payload_crc: u32, bytes: &mut [u8]) {
    MAGIC.put(bytes, MAGIC_BYTES);
    KIND.put(bytes, head.kind as u8);
    CODEC.put(bytes, PLAIN);
    FORMAT.put(bytes, VERSION);
    STORE_TAG.put(bytes, head.store_tag);
    TREE.put(bytes, head.address.tree.0);
    NUMBER.put(bytes, head.address.number);
    COLUMN.put(bytes, head.address.column);
    ROWS.put(bytes, head.rows);
    LSN.put(bytes, head.lsn.0);
    PAYLOAD_LEN.put(bytes, head.payload_len);
    PAYLOAD_CRC.put(bytes, payload_crc);
    let crc = crc32(&bytes[..HEADER_CRC.offset()]);
    HEADER_CRC.put(bytes, crc);
}

#[inline]
fn block_count(payload_len: usize) -> usize {
    payload_len.div_ceil(BLOCK_LEN)
}

/// Offset of the payload: behind the head, and behind the CRC array where there is one.
#[must_use]
#[inline]
pub fn payload_start(payload_len: usize) -> usize {
    match block_count(payload_len) {
        0 | 1 => HEAD_LEN,
        blocks => HEAD_LEN + (blocks * CRC_LEN).next_multiple_of(HEAD_LEN),
    }
}

#[cold]
fn corrupt(offset: usize, reason: impl Into<String>) -> Error {
    Error::corrupt("", offset as u64, reason)
}

#[cold]
fn no_block(bytes: &[u8], range: &Range<usize>, block: usize) -> Error {
    corrupt(range.start, format!("block {block} is not in this image of {} bytes", bytes.len()))
}

#[cold]
fn bad_block(first: usize, block: usize, kept: u32, found: u32) -> Error {
    corrupt(first, format!("crc of block {block} is {kept:08x}, computed {found:08x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [
            MAGIC.row("magic"),
            KIND.row("kind"),
            CODEC.row("codec"),
            FORMAT.row("version"),
            STORE_TAG.row("store_tag"),
            TREE.row("tree"),
            NUMBER.row("number"),
            COLUMN.row("column"),
            ROWS.row("rows"),
            LSN.row("lsn"),
            PAYLOAD_LEN.row("payload_len"),
            PAYLOAD_CRC.row("payload_crc"),
            ZERO.row("zero"),
            HEADER_CRC.row("header_crc"),
        ];
        vellum_bytes::assert_offset_table(include_str!("image.rs"), HEAD_LEN, &fields);
    }
}
