//! # Header page: who a record is and how old it is
//!
//! One slot of 64 bytes a row, one cache line.
//!
//! | offset | size | field      | meaning                                                            |
//! |-------:|-----:|------------|--------------------------------------------------------------------|
//! |      0 |    8 | version    | rises with each change of the record; 0: the slot is free          |
//! |      8 |    8 | updated_at | time of the last change, as the attribute's timestamp form         |
//! |     16 |    4 | updated_by | actor of the last change                                           |
//! |     20 |    8 | history    | newest superseded version, as history numbers it; 0: none          |
//! |     28 |   16 | id         | the record's id                                                    |
//! |     44 |    8 | created_at | time of the create                                                 |
//! |     52 |    8 | counter    | number within the object; in a free slot: next free row + 1, or 0  |
//! |     60 |    4 | created_by | actor of the create                                                |
//!
//! What a patch changes lies in one range at the front: version to updated_by are one write of 20
//! bytes, with the history head 28. A free slot is zero except for its link, so a row that was never
//! used is a free slot at the end of a list. A version over 2^60 (`NUMBER_MAX`) is damage. The caller keeps
//! slots below [`GROUP_ROWS`].

use vellum_bytes::Field;
use vellum_engine::page::{PageRead, PageWrite};
use vellum_engine::{Error, Result};
use vellum_engine::{GROUP_ROWS, NUMBER_MAX, RowId};
use vellum_types::RecordId;

/// Bytes of one row's slot.
pub const SLOT_LEN: usize = 64;

const VERSION: Field<u64> = Field::at(0);
const UPDATED_AT: Field<i64> = Field::after(VERSION);
const UPDATED_BY: Field<u32> = Field::after(UPDATED_AT);
const HISTORY: Field<u64> = Field::after(UPDATED_BY);
const ID: Field<[u8; 16]> = Field::after(HISTORY);
const CREATED_AT: Field<i64> = Field::after(ID);
const COUNTER: Field<u64> = Field::after(CREATED_AT);
const CREATED_BY: Field<u32> = Field::after(COUNTER);
const _: () = assert!(CREATED_BY.end() == SLOT_LEN);

/// Bytes that every update writes: version, updated_at, updated_by.
const TOUCH_LEN: usize = UPDATED_BY.end();

/// The slot of one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Rises with each change; 0 means that the slot is free and the rest says nothing.
    pub version: u64,
    /// Time of the last change.
    pub updated_at: i64,
    /// Actor of the last change.
    pub updated_by: u32,
    /// Newest superseded version, 0 for none.
    pub history: u64,
    /// The record.
    pub id: RecordId,
    /// Time of the create.
    pub created_at: i64,
    /// Number within the object.
    pub counter: u64,
    /// Actor of the create.
    pub created_by: u32,
}

impl Header {
    /// The header in `slot`; one that was never written reads as free.
    ///
    /// # Errors
    /// As [`PageRead::read`].
    #[inline]
    pub fn read(page: &impl PageRead, slot: u32) -> Result<Header> {
        let offset = slot_offset(slot);
        if let Some(run) = page.run(offset, SLOT_LEN)? {
            return Header::decode(run).checked(offset);
        }
        let mut bytes = [0; SLOT_LEN];
        page.read(offset, &mut bytes)?;
        Header::decode(&bytes).checked(offset)
    }

    #[inline]
    fn checked(self, offset: usize) -> Result<Header> {
        if self.version > NUMBER_MAX { Err(version_over(offset)) } else { Ok(self) }
    }

    /// Whether no record is here.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.version == 0
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Header {
        Header {
            version: VERSION.get(bytes),
            updated_at: UPDATED_AT.get(bytes),
            updated_by: UPDATED_BY.get(bytes),
            history: HISTORY.get(bytes),
            id: RecordId::from_bytes(ID.get(bytes)),
            created_at: CREATED_AT.get(bytes),
            counter: COUNTER.get(bytes),
            created_by: CREATED_BY.get(bytes),
        }
    }

    #[inline]
    fn encode(&self) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        VERSION.put(&mut bytes, self.version);
        UPDATED_AT.put(&mut bytes, self.updated_at);
        UPDATED_BY.put(&mut bytes, self.updated_by);
        HISTORY.put(&mut bytes, self.history);
        ID.put(&mut bytes, self.id.bytes());
        CREATED_AT.put(&mut bytes, self.created_at);
        COUNTER.put(&mut bytes, self.counter);
        CREATED_BY.put(&mut bytes, self.created_by);
        bytes
    }
}

/// Writes the header of a new record.
///
/// # Panics
/// When its version is 0, which would make it a free slot.
#[inline]
pub fn write_new(page: &mut impl PageWrite, slot: u32, header: &Header) {
    assert!(header.version != 0, "record {} has version 0", header.id);
    page.write(slot_offset(slot), &header.encode());
}

/// Notes a change of the record: one write of 20 bytes.
#[inline]
pub fn touch(page: &mut impl PageWrite, slot: u32, version: u64, updated_at: i64, updated_by: u32) {
    let mut bytes = [0; TOUCH_LEN];
    VERSION.put(&mut bytes, version);
    UPDATED_AT.put(&mut bytes, updated_at);
    UPDATED_BY.put(&mut bytes, updated_by);
    page.write(slot_offset(slot), &bytes);
}

/// Points the record at the newest entry of its history.
pub fn set_history(page: &mut impl PageWrite, slot: u32, history: u64) {
    vellum_engine::page::put(page, slot_offset(slot) + HISTORY.offset(), history);
}

/// Empties the slot and links it to the free row behind it in the object's list.
#[inline]
pub fn free(page: &mut impl PageWrite, slot: u32, next_free: Option<RowId>) {
    let mut bytes = [0; SLOT_LEN];
    COUNTER.put(&mut bytes, next_free.map_or(0, |row| row.0 + 1));
    page.write(slot_offset(slot), &bytes);
}

/// The free row behind this free one.
///
/// # Errors
/// As [`PageRead::read`]; `Corrupt` when the slot is not free.
pub fn read_next_free(page: &impl PageRead, slot: u32) -> Result<Option<RowId>> {
    let header = Header::read(page, slot)?;
    if !header.is_free() {
        let reason = format!("slot {slot} is in the list of free rows and holds record {}", header.id);
        return Err(Error::corrupt("", slot_offset(slot) as u64, reason));
    }
    Ok(header.counter.checked_sub(1).map(RowId))
}

#[cold]
fn version_over(offset: usize) -> Error {
    Error::corrupt("", offset as u64, "the version of a record is one that no store reaches")
}

/// The record's version; 0 in a free slot.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
#[cfg(test)]
pub fn version(page: &impl PageRead, slot: u32) -> Result<u64> {
    vellum_engine::page::get(page, slot_offset(slot) + VERSION.offset())
}

/// The record's id; zeros in a free slot.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
#[cfg(test)]
pub fn id(page: &impl PageRead, slot: u32) -> Result<RecordId> {
    vellum_engine::page::get(page, slot_offset(slot) + ID.offset()).map(RecordId::from_bytes)
}

/// Bytes of a header page with this many rows.
#[must_use]
pub fn page_len(rows: u32) -> usize {
    rows as usize * SLOT_LEN
}

#[inline]
fn slot_offset(slot: u32) -> usize {
    debug_assert!(slot < GROUP_ROWS, "slot {slot}");
    slot as usize * SLOT_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        let fields = [
            VERSION.row("version"),
            UPDATED_AT.row("updated_at"),
            UPDATED_BY.row("updated_by"),
            HISTORY.row("history"),
            ID.row("id"),
            CREATED_AT.row("created_at"),
            COUNTER.row("counter"),
            CREATED_BY.row("created_by"),
        ];
        vellum_bytes::assert_offset_table(include_str!("row_header.rs"), SLOT_LEN, &fields);
        assert_eq!(HISTORY.end(), 28);
    }

    #[test]
    fn requirement_40_a_version_that_cannot_rise_is_corrupt() {
        let mut page = vec![0; page_len(2)];
        for (version, is_sound) in [(1, true), (NUMBER_MAX, true), (NUMBER_MAX + 1, false), (u64::MAX, false)]
        {
            VERSION.put(&mut page[SLOT_LEN..], version);
            let found = Header::read(&page, 1);
            assert_eq!(found.is_ok(), is_sound, "{version}: {found:?}");
        }
    }
}
