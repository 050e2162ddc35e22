//! The page table's images: group nodes, chunk nodes, tree nodes and the root.
//!
//! ```text
//! superblock ─► root ─► tree node ─► chunk node ─► group node ─► base and delta of each page
//!                │        1 a tree     256 groups    1 a row group or bucket
//!                └─ segment table, tree metas
//! ```
//!
//! All of them are payloads of images (`page::image`), checked as a whole when they are read. A
//! reference to an image is 16 bytes:
//!
//! | offset | size | field       | meaning                                       |
//! |-------:|-----:|-------------|-----------------------------------------------|
//! |      0 |    4 | segment     | segment id; 0 means "no image"                |
//! |      4 |    4 | place       | byte offset in the segment, divided by 64     |
//! |      8 |    4 | payload_len | bytes of the image's payload                  |
//! |     12 |    4 | crc         | the image's header CRC                        |
//!
//! The other payloads (*v* is LEB128):
//!
//! - group node: count *v*, then for each page its column *v*, flags u8 (bit 0: a base, bit 1: a
//!   delta, bit 2: delta bytes written), then base reference, delta reference and the number of delta
//!   bytes written since the base *v*, as flagged;
//! - chunk node: count *v*, then that many references to group nodes (absent ones are zero);
//! - tree node: count *v*, then that many references to chunk nodes;
//! - root: commit time i64, tree count *v*, for each tree: id *v*, reference of the tree node, four meta
//!   words u64; then segment count *v*, for each segment: id u32, length u64, live bytes u64; then the
//!   next segment id u32.

use crate::id::{SegmentId, TreeId};
use vellum_bytes::{Cursor, Field, put_varint};
use vellum_bytes::{Error, Result};

/// Groups of a chunk node: 4 KiB of references, one block to check and to rewrite.
pub const CHUNK_GROUPS: usize = 256;

/// Where an image lies, and what proves that it is the right one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ImageRef {
    /// Segment that holds it.
    pub segment: SegmentId,
    /// Byte offset divided by 64.
    pub place: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// CRC-32 of the image's head.
    pub crc: u32,
}

const SEGMENT: Field<u32> = Field::at(0);
const PLACE: Field<u32> = Field::after(SEGMENT);
const PAYLOAD_LEN: Field<u32> = Field::after(PLACE);
const CRC: Field<u32> = Field::after(PAYLOAD_LEN);
/// Bytes of a reference.
pub const REF_LEN: usize = CRC.end();

impl ImageRef {
    /// Byte offset in the segment.
    pub fn offset(&self) -> u64 {
        u64::from(self.place) * 64
    }

    /// Bytes of the whole image.
    pub fn image_len(&self) -> u64 {
        crate::page::image::image_len(self.payload_len as usize) as u64
    }

    /// Writes it into [`REF_LEN`] bytes.
    pub fn put(self, bytes: &mut [u8]) {
        SEGMENT.put(bytes, self.segment.0);
        PLACE.put(bytes, self.place);
        PAYLOAD_LEN.put(bytes, self.payload_len);
        CRC.put(bytes, self.crc);
    }

    /// Reads it; `None` for zeros, which name no image.
    pub fn get(bytes: &[u8]) -> Option<ImageRef> {
        let segment = SegmentId(SEGMENT.get(bytes));
        (segment.0 != 0).then(|| ImageRef {
            segment,
            place: PLACE.get(bytes),
            payload_len: PAYLOAD_LEN.get(bytes),
            crc: CRC.get(bytes),
        })
    }
}

fn push_ref(out: &mut Vec<u8>, image: Option<ImageRef>) {
    let start = out.len();
    out.resize(start + REF_LEN, 0);
    if let Some(image) = image {
        image.put(&mut out[start..]);
    }
}

fn read_ref(cursor: &mut Cursor<'_>) -> Result<Option<ImageRef>> {
    cursor.take(REF_LEN).map(ImageRef::get)
}

/// A count that cannot ask for more than the bytes behind it could hold.
fn read_count(cursor: &mut Cursor<'_>, total_len: usize, item_len_min: usize) -> Result<usize> {
    let count = cursor.varint()?;
    let room = (total_len - cursor.offset()) / item_len_min;
    if count > room as u64 {
        let reason = format!("a count of {count} where {room} fit");
        return Err(Error::corrupt("", cursor.offset() as u64, reason));
    }
    Ok(count as usize)
}

fn finished(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt("", cursor.offset() as u64, "bytes behind the end of a page-table node"))
}

/// What lies on disk of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// The page's whole image.
    pub base: Option<ImageRef>,
    /// Image of what changed since.
    pub delta: Option<ImageRef>,
    /// Bytes of delta images written since the base was: what "rent or buy" weighs.
    pub delta_written: u64,
}

/// Encodes the pages of one group.
pub fn encode_group(pages: &[(u32, Stored)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + pages.len() * (REF_LEN + 8));
    put_varint(&mut out, pages.len() as u64);
    for (column, stored) in pages {
        put_varint(&mut out, u64::from(*column));
        let flags = u8::from(stored.base.is_some())
            | u8::from(stored.delta.is_some()) << 1
            | u8::from(stored.delta_written > 0) << 2;
        out.push(flags);
        for image in [stored.base, stored.delta].into_iter().flatten() {
            push_ref(&mut out, Some(image));
        }
        if stored.delta_written > 0 {
            put_varint(&mut out, stored.delta_written);
        }
    }
    out
}

/// Decodes the pages of one group.
///
/// # Errors
/// `Corrupt`.
pub fn decode_group(payload: &[u8]) -> Result<Vec<(u32, Stored)>> {
    let mut cursor = Cursor::new(payload);
    let count = read_count(&mut cursor, payload.len(), 2)?;
    let mut pages: Vec<(u32, Stored)> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.offset() as u64;
        let column =
            u32::try_from(cursor.varint()?).map_err(|_| Error::corrupt("", at, "column over 32 bits"))?;
        let flags = cursor.read::<u8>()?;
        if flags > 7 || pages.last().is_some_and(|(before, _)| *before >= column) {
            return Err(Error::corrupt(
                "",
                at,
                "columns of a group node are out of order or have unknown flags",
            ));
        }
        let base = if flags & 1 != 0 { read_ref(&mut cursor)? } else { None };
        let delta = if flags & 2 != 0 { read_ref(&mut cursor)? } else { None };
        let delta_written = if flags & 4 != 0 { cursor.varint()? } else { 0 };
        pages.push((column, Stored { base, delta, delta_written }));
    }
    finished(&cursor)?;
    Ok(pages)
}

/// Chunk and tree nodes: a list of references.
pub fn encode_refs(refs: &[Option<ImageRef>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + refs.len() * REF_LEN);
    put_varint(&mut out, refs.len() as u64);
    for image in refs {
        push_ref(&mut out, *image);
    }
    out
}

/// Decodes a node of at most `count_max` references.
///
/// # Errors
/// `Corrupt`.
pub fn decode_refs(payload: &[u8], count_max: usize) -> Result<Vec<Option<ImageRef>>> {
    let mut cursor = Cursor::new(payload);
    let count = read_count(&mut cursor, payload.len(), REF_LEN)?;
    if count > count_max {
        return Err(Error::corrupt("", 0, format!("{count} references where at most {count_max} may be")));
    }
    let refs = (0..count).map(|_| read_ref(&mut cursor)).collect::<Result<_>>()?;
    finished(&cursor)?;
    Ok(refs)
}

/// Four numbers that a tree's owner keeps with it; see `records` and `index`.
pub type Meta = [u64; 4];

/// One tree as the root names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootTree {
    /// The tree.
    pub id: TreeId,
    /// Its topmost node; `None` for a tree without pages.
    pub node: Option<ImageRef>,
    /// Its meta words.
    pub meta: Meta,
}

/// One segment as the root names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentEntry {
    /// The segment.
    pub id: SegmentId,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes of images that the root still names.
    pub live_len: u64,
}

/// The state that a superblock names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RootNode {
    /// Commit time of the newest commit in the checkpoint, in nanoseconds.
    pub commit_time: i64,
    /// Trees, by ascending id.
    pub trees: Vec<RootTree>,
    /// Segments, by ascending id.
    pub segments: Vec<SegmentEntry>,
    /// Number of the next segment.
    pub next_segment: u32,
}

/// Encodes a root.
pub fn encode_root(root: &RootNode) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&root.commit_time.to_le_bytes());
    put_varint(&mut out, root.trees.len() as u64);
    for tree in &root.trees {
        put_varint(&mut out, u64::from(tree.id.0));
        push_ref(&mut out, tree.node);
        for word in tree.meta {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    put_varint(&mut out, root.segments.len() as u64);
    for segment in &root.segments {
        out.extend_from_slice(&segment.id.0.to_le_bytes());
        out.extend_from_slice(&segment.len.to_le_bytes());
        out.extend_from_slice(&segment.live_len.to_le_bytes());
    }
    out.extend_from_slice(&root.next_segment.to_le_bytes());
    out
}

/// Decodes a root.
///
/// # Errors
/// `Corrupt`.
pub fn decode_root(payload: &[u8]) -> Result<RootNode> {
    let mut cursor = Cursor::new(payload);
    let commit_time = cursor.read()?;
    let tree_count = read_count(&mut cursor, payload.len(), 1 + REF_LEN + 32)?;
    let mut trees: Vec<RootTree> = Vec::with_capacity(tree_count);
    for _ in 0..tree_count {
        let at = cursor.offset() as u64;
        let id =
            u32::try_from(cursor.varint()?).map_err(|_| Error::corrupt("", at, "tree id over 32 bits"))?;
        if trees.last().is_some_and(|before| before.id.0 >= id) {
            return Err(Error::corrupt("", at, "trees of a root are out of order"));
        }
        let node = read_ref(&mut cursor)?;
        let meta = [cursor.read()?, cursor.read()?, cursor.read()?, cursor.read()?];
        trees.push(RootTree { id: TreeId(id), node, meta });
    }
    let segment_count = read_count(&mut cursor, payload.len(), 20)?;
    let mut segments = Vec::with_capacity(segment_count);
    for _ in 0..segment_count {
        let id = SegmentId(cursor.read()?);
        segments.push(SegmentEntry { id, len: cursor.read()?, live_len: cursor.read()? });
    }
    let next_segment = cursor.read()?;
    finished(&cursor)?;
    Ok(RootNode { commit_time, trees, segments, next_segment })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(n: u32) -> ImageRef {
        ImageRef { segment: SegmentId(n), place: n * 3, payload_len: n * 5, crc: n * 7 }
    }

    #[test]
    fn the_table_above_is_the_layout_of_a_reference() {
        let fields =
            [SEGMENT.row("segment"), PLACE.row("place"), PAYLOAD_LEN.row("payload_len"), CRC.row("crc")];
        vellum_bytes::assert_offset_table(include_str!("node.rs"), REF_LEN, &fields);
    }

    #[test]
    fn nodes_read_back_and_hostile_ones_are_refused() {
        let pages = vec![
            (0, Stored { base: Some(image(1)), delta: None, delta_written: 0 }),
            (65536, Stored { base: Some(image(2)), delta: Some(image(3)), delta_written: 77 }),
            (65537, Stored { base: None, delta: Some(image(4)), delta_written: 1 }),
        ];
        assert_eq!(decode_group(&encode_group(&pages)).unwrap(), pages);
        let refs = vec![Some(image(1)), None, Some(image(9))];
        assert_eq!(decode_refs(&encode_refs(&refs), 3).unwrap(), refs);
        assert!(decode_refs(&encode_refs(&refs), 2).is_err());
        let root = RootNode {
            commit_time: -3,
            trees: vec![RootTree { id: TreeId(4), node: Some(image(1)), meta: [1, 2, 3, 4] }],
            segments: vec![SegmentEntry { id: SegmentId(2), len: 10, live_len: 5 }],
            next_segment: 3,
        };
        let bytes = encode_root(&root);
        assert_eq!(decode_root(&bytes).unwrap(), root);
        for cut in 0..bytes.len() {
            assert!(decode_root(&bytes[..cut]).is_err());
        }
        assert!(decode_group(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
