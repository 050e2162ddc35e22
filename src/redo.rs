//! # Frame body: the changes of one transaction
//!
//! Integers marked *v* are LEB128. A body is the head, then changes to its end.
//!
//! | part    | field       | size  | meaning                                                        |
//! |---------|-------------|-------|----------------------------------------------------------------|
//! | head    | commit_time | 8     | nanoseconds since 1970, never smaller than the frame's before  |
//! |         | flags       | 1     | bit 0: `actor` follows; others 0                               |
//! |         | actor       | 0, v  | number of the actor in the dictionary                          |
//! | change  | kind        | 1     | 1 create, 2 update, 3 delete, 4 schema, 5 restore; bit 7: `at` |
//! |         |             |       | follows, bit 6: `history` follows                              |
//! | 1, 2, 5 | at          | 0, 8  | the time that the record shows instead of commit_time          |
//! | 1, 2, 3 | object      | v     | object id                                                      |
//! | and 5   | row         | v     | row of the record                                              |
//! |         | id          | 16    | record id                                                      |
//! |         | version     | v     | version after the change (the last one for a delete)           |
//! | 1, 2, 5 | history     | 0, v  | the newest entry of the record's history, as its header has it |
//! | 5       | created_at  | 8     | time of the record's creation                                  |
//! |         | created_by  | v     | actor of its creation                                          |
//! |         | counter     | v     | its number within the object                                   |
//! | 1, 2, 5 | cell_count  | v     | cells that follow                                              |
//! | cell    | attribute   | v     | attribute id                                                   |
//! |         | len         | v     | 0: the attribute is cleared; n + 1: n bytes follow             |
//! |         | bytes       | n     | the value's cell form (see `value`)                            |
//! | 4       | len, schema | v, n  | the whole schema after the change, as `schema` encodes it      |
//!
//! A restore is a create of a record that was there before. The row is in the frame although a create could derive it: replay then checks it, and an update
//! needs no probe. Frames are read only after their checksum matched; whatever still does not parse
//! is `Corrupt`, never a panic.

use vellum_bytes::{Cursor, put_varint};
use vellum_engine::RowId;
use vellum_engine::{Error, Result};
use vellum_types::value::Timestamp;
use vellum_types::{AttributeId, ObjectId, RecordId};

const HAS_ACTOR: u8 = 1;
const HAS_AT: u8 = 0x80;
const HAS_HISTORY: u8 = 0x40;
const CREATE: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;
const SCHEMA: u8 = 4;
const RESTORE: u8 = 5;

/// What holds for all changes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// When the transaction was committed.
    pub commit_time: Timestamp,
    /// Who did it; 0 is nobody in particular.
    pub actor: u32,
}

/// One attribute of a change: its new bytes, or `None` for cleared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell<'a> {
    /// Which attribute.
    pub attribute: AttributeId,
    /// Its cell form.
    pub bytes: Option<&'a [u8]>,
}

/// Attributes folded to one bit each, by id modulo 64: no bit in common means no attribute in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttributeBits(u64);

impl AttributeBits {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, id: AttributeId) {
        self.0 |= 1 << (id.0 % 64);
    }

    /// Whether the two may have an attribute in common.
    #[inline]
    #[must_use]
    pub fn may_meet(self, other: AttributeBits) -> bool {
        self.0 & other.0 != 0
    }
}

/// The cells of one change, decoded as they are walked.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    cursor: Cursor<'a>,
    left: u64,
    attributes: AttributeBits,
}

impl<'a> Cells<'a> {
    /// The attributes that have a cell here.
    #[inline]
    #[must_use]
    pub fn attributes(&self) -> AttributeBits {
        self.attributes
    }

    /// The next cell.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no cell.
    #[inline]
    pub fn next_cell(&mut self) -> Result<Option<Cell<'a>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        read_cell(&mut self.cursor).map(Some)
    }
}

#[inline]
fn read_cell<'a>(cursor: &mut Cursor<'a>) -> Result<Cell<'a>> {
    // Most ids and lengths are one byte each.
    if let [attribute @ 0..0x80, len @ 1..0x80, bytes @ ..] = cursor.rest()
        && let Some(bytes) = bytes.get(..usize::from(*len) - 1)
    {
        let cell = Cell { attribute: AttributeId(u16::from(*attribute)), bytes: Some(bytes) };
        cursor.skip(1 + usize::from(*len));
        return Ok(cell);
    }
    read_long_cell(cursor)
}

fn read_long_cell<'a>(cursor: &mut Cursor<'a>) -> Result<Cell<'a>> {
    let attribute = AttributeId(narrow(cursor, "attribute id")?);
    let bytes = match cursor.varint()? {
        0 => None,
        n => Some(cursor.take(usize::try_from(n - 1).unwrap_or(usize::MAX))?),
    };
    Ok(Cell { attribute, bytes })
}

#[inline]
fn narrow(cursor: &mut Cursor<'_>, what: &str) -> Result<u16> {
    let value = cursor.varint()?;
    u16::try_from(value).map_err(|_| too_wide(cursor.offset(), what, value))
}

#[cold]
fn too_wide(offset: usize, what: &str, value: u64) -> Error {
    Error::corrupt("", offset as u64, format!("{what} {value} is over 65535"))
}

/// The record that a change is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its object.
    pub object: ObjectId,
    /// Its row.
    pub row: RowId,
    /// Its id.
    pub id: RecordId,
    /// Its version after the change; the last one for a delete.
    pub version: u64,
    /// Newest entry of its history from now on, as its header has it; 0: as it was, none for a create.
    pub history: u64,
}

/// What a restored record keeps of its first creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: u32,
    /// Its number within the object.
    pub counter: u64,
}

/// One change of a frame.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// A record comes to be.
    Create { target: Target, at: Option<Timestamp>, cells: Cells<'a> },
    /// A record comes to be again.
    Restore { target: Target, at: Option<Timestamp>, origin: Origin, cells: Cells<'a> },
    /// Some of a record's attributes change.
    Update { target: Target, at: Option<Timestamp>, cells: Cells<'a> },
    /// A record goes.
    Delete { target: Target },
    /// The schema is replaced.
    Schema { bytes: &'a [u8] },
}

/// The changes of one transaction, as a log record has them. They are parsed as they are applied.
#[derive(Clone, Copy, Debug)]
pub struct Redo<'a> {
    /// The record.
    pub bytes: &'a [u8],
}

/// Splits a frame body into its head and its changes.
///
/// # Errors
/// `Corrupt` when the head does not parse; the iterator yields `Corrupt` for a change that does not.
#[inline]
pub fn parse(body: &[u8]) -> Result<(FrameHead, Changes<'_>)> {
    let mut cursor = Cursor::new(body);
    let commit_time = Timestamp(cursor.read()?);
    let flags = cursor.read::<u8>()?;
    if flags & !HAS_ACTOR != 0 {
        return Err(Error::corrupt("", 8, format!("unknown frame flags {flags:#04x}")));
    }
    let actor = if flags & HAS_ACTOR != 0 { cursor.varint()? } else { 0 };
    let actor = u32::try_from(actor).map_err(|_| Error::corrupt("", 9, "actor number is over 32 bits"))?;
    Ok((FrameHead { commit_time, actor }, Changes { cursor }))
}

/// The changes of a frame, in order.
#[derive(Clone, Debug)]
pub struct Changes<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Changes<'a> {
    /// The next change.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no change.
    #[inline]
    pub fn next_change(&mut self) -> Result<Option<Change<'a>>> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        let kind = self.cursor.read::<u8>()?;
        if kind == SCHEMA {
            let len = usize::try_from(self.cursor.varint()?).unwrap_or(usize::MAX);
            return Ok(Some(Change::Schema { bytes: self.cursor.take(len)? }));
        }
        let at = if kind & HAS_AT != 0 { Some(Timestamp(self.cursor.read()?)) } else { None };
        let mut target = Target {
            object: ObjectId(narrow(&mut self.cursor, "object id")?),
            row: RowId(self.cursor.varint()?),
            id: RecordId::from_bytes(self.cursor.read()?),
            version: self.cursor.varint()?,
            history: 0,
        };
        if kind & HAS_HISTORY != 0 {
            target.history = self.cursor.varint()?;
        }
        let change = match kind & !(HAS_AT | HAS_HISTORY) {
            CREATE => Change::Create { target, at, cells: self.cells()? },
            RESTORE => Change::Restore { target, at, origin: self.origin()?, cells: self.cells()? },
            UPDATE => Change::Update { target, at, cells: self.cells()? },
            DELETE => Change::Delete { target },
            other => {
                return Err(Error::corrupt(
                    "",
                    self.cursor.offset() as u64,
                    format!("unknown change kind {other}"),
                ));
            }
        };
        Ok(Some(change))
    }

    fn origin(&mut self) -> Result<Origin> {
        let created_at = Timestamp(self.cursor.read()?);
        let created_by = self.cursor.varint()?;
        let created_by = u32::try_from(created_by)
            .map_err(|_| Error::corrupt("", self.cursor.offset() as u64, "actor number is over 32 bits"))?;
        Ok(Origin { created_at, created_by, counter: self.cursor.varint()? })
    }

    #[inline]
    fn cells(&mut self) -> Result<Cells<'a>> {
        let left = self.cursor.varint()?;
        let (cursor, mut attributes) = (self.cursor.clone(), AttributeBits::default());
        for _ in 0..left {
            attributes.add(read_cell(&mut self.cursor)?.attribute);
        }
        Ok(Cells { cursor, left, attributes })
    }
}

/// Builds a frame body in a buffer that is used again and again.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
}

impl FrameBuilder {
    /// Starts a new body.
    #[inline]
    pub fn start(&mut self, head: &FrameHead) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&head.commit_time.0.to_le_bytes());
        self.bytes.push(if head.actor != 0 { HAS_ACTOR } else { 0 });
        if head.actor != 0 {
            put_varint(&mut self.bytes, u64::from(head.actor));
        }
    }

    #[inline]
    fn record(&mut self, kind: u8, target: &Target, at: Option<Timestamp>) {
        let kind = if target.history == 0 { kind } else { kind | HAS_HISTORY };
        match at {
            None => self.bytes.push(kind),
            Some(at) => {
                self.bytes.push(kind | HAS_AT);
                self.bytes.extend_from_slice(&at.0.to_le_bytes());
            }
        }
        put_varint(&mut self.bytes, u64::from(target.object.0));
        put_varint(&mut self.bytes, target.row.0);
        self.bytes.extend_from_slice(&target.id.bytes());
        put_varint(&mut self.bytes, target.version);
        if target.history != 0 {
            put_varint(&mut self.bytes, target.history);
        }
    }

    /// Appends a create; `cell_count` calls of [`FrameBuilder::cell`] follow.
    #[inline]
    pub fn create(&mut self, target: &Target, at: Option<Timestamp>, cell_count: usize) {
        self.record(CREATE, target, at);
        put_varint(&mut self.bytes, cell_count as u64);
    }

    /// Appends a restore; `cell_count` calls of [`FrameBuilder::cell`] follow.
    pub fn restore(&mut self, target: &Target, at: Option<Timestamp>, origin: &Origin, cell_count: usize) {
        self.record(RESTORE, target, at);
        self.bytes.extend_from_slice(&origin.created_at.0.to_le_bytes());
        put_varint(&mut self.bytes, u64::from(origin.created_by));
        put_varint(&mut self.bytes, origin.counter);
        put_varint(&mut self.bytes, cell_count as u64);
    }

    /// Appends an update; `cell_count` calls of [`FrameBuilder::cell`] follow.
    #[inline]
    pub fn update(&mut self, target: &Target, at: Option<Timestamp>, cell_count: usize) {
        self.record(UPDATE, target, at);
        put_varint(&mut self.bytes, cell_count as u64);
    }

    /// Appends a delete.
    pub fn delete(&mut self, target: &Target) {
        self.record(DELETE, &Target { history: 0, ..*target }, None);
    }

    /// Appends one cell of the create or update before it.
    #[inline]
    pub fn cell(&mut self, cell: Cell<'_>) {
        put_varint(&mut self.bytes, u64::from(cell.attribute.0));
        match cell.bytes {
            None => put_varint(&mut self.bytes, 0),
            Some(bytes) => {
                put_varint(&mut self.bytes, bytes.len() as u64 + 1);
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// Appends a new schema.
    pub fn schema(&mut self, schema: &[u8]) {
        self.bytes.push(SCHEMA);
        put_varint(&mut self.bytes, schema.len() as u64);
        self.bytes.extend_from_slice(schema);
    }

    /// The body so far.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes
    }

    /// The body so far, to be logged and applied.
    #[inline]
    #[must_use]
    pub fn redo(&self) -> Redo<'_> {
        Redo { bytes: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(object: u16, row: u64, version: u64) -> Target {
        Target {
            object: ObjectId(object),
            row: RowId(row),
            id: RecordId::from_bytes([9; 16]),
            version,
            history: 0,
        }
    }

    const ORIGIN: Origin = Origin { created_at: Timestamp(-9), created_by: 70_000, counter: 300 };

    fn sample() -> FrameBuilder {
        let mut builder = FrameBuilder::default();
        builder.start(&FrameHead { commit_time: Timestamp(7), actor: 300 });
        builder.create(&target(1, 70_000, 1), Some(Timestamp(-5)), 2);
        builder.cell(Cell { attribute: AttributeId(3), bytes: Some(b"abc") });
        builder.cell(Cell { attribute: AttributeId(4), bytes: None });
        builder.delete(&target(2, 1, 4));
        builder.schema(b"schema");
        builder.restore(&Target { history: 400, ..target(3, 9, 8) }, Some(Timestamp(6)), &ORIGIN, 1);
        builder.cell(Cell { attribute: AttributeId(0), bytes: Some(b"x") });
        builder.update(&Target { history: 1, ..target(3, 9, 9) }, None, 0);
        builder
    }

    #[test]
    fn a_body_reads_back_as_it_was_built() {
        let builder = sample();
        let (head, mut changes) = parse(builder.body()).unwrap();
        assert_eq!(head, FrameHead { commit_time: Timestamp(7), actor: 300 });
        let Some(Change::Create { target: found, at, mut cells }) = changes.next_change().unwrap() else {
            panic!("a create comes first");
        };
        assert_eq!((found, at), (target(1, 70_000, 1), Some(Timestamp(-5))));
        assert_eq!(cells.next_cell().unwrap().unwrap().bytes, Some(&b"abc"[..]));
        assert_eq!(cells.next_cell().unwrap().unwrap().bytes, None);
        assert!(cells.next_cell().unwrap().is_none());
        assert!(
            matches!(changes.next_change().unwrap(), Some(Change::Delete { target: t }) if t == target(2, 1, 4))
        );
        assert!(matches!(changes.next_change().unwrap(), Some(Change::Schema { bytes: b"schema" })));
        let Some(Change::Restore { target: found, at, origin, mut cells }) = changes.next_change().unwrap()
        else {
            panic!("a restore comes behind the schema");
        };
        assert_eq!(found, Target { history: 400, ..target(3, 9, 8) });
        assert_eq!((at, origin), (Some(Timestamp(6)), ORIGIN));
        assert_eq!(cells.next_cell().unwrap().unwrap().bytes, Some(&b"x"[..]));
        let Some(Change::Update { target: found, .. }) = changes.next_change().unwrap() else {
            panic!("an update comes last");
        };
        assert_eq!(found.history, 1);
        assert!(changes.next_change().unwrap().is_none());
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error_or_another_body_and_never_a_panic() {
        let builder = sample();
        let walk = |body: &[u8]| -> Result<()> {
            let (_, mut changes) = parse(body)?;
            while let Some(change) = changes.next_change()? {
                if let Change::Create { mut cells, .. } | Change::Update { mut cells, .. } = change {
                    while cells.next_cell()?.is_some() {}
                }
            }
            Ok(())
        };
        for cut in 0..builder.body().len() {
            let _ = walk(&builder.body()[..cut]);
            for flip in 0..=255 {
                let mut body = builder.body().to_vec();
                body[cut] ^= flip;
                let _ = walk(&body);
            }
        }
        assert!(walk(&builder.body()[..20]).is_err());
    }

    #[test]
    fn two_fixed_attributes_fit_the_promised_frame() {
        let mut builder = FrameBuilder::default();
        builder.start(&FrameHead { commit_time: Timestamp(i64::MAX), actor: 0 });
        builder.update(&target(5, 10_000_000, 70_000), None, 2);
        builder.cell(Cell { attribute: AttributeId(3), bytes: Some(&[0; 8]) });
        builder.cell(Cell { attribute: AttributeId(4), bytes: Some(&[0; 8]) });
        assert!(40 + builder.body().len().next_multiple_of(8) <= 112);
    }
}
