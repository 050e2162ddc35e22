//! # Attribute page: one fixed slot a row
//!
//! | offset | size | field    | meaning                                                       |
//! |-------:|-----:|----------|---------------------------------------------------------------|
//! |      0 |  128 | presence | bit `slot % 8` of byte `slot / 8` is 1 where there is a value |
//!
//! From byte 128 on: GROUP_ROWS slots of one bit (in the order of the bitmap), or of 4, 8 or 16
//! bytes. Both parts are Arrow's validity bitmap and values buffer as they stand. A slot without a
//! value is zero, and a page ends behind its highest used slot.
//!
//! Writes cannot fail: where the base is damaged, a byte that holds several rows' bits is taken as
//! zero. A page answers `Corrupt` for a range over a damaged block even where a delta covers it, so
//! no other row reads a wrong value.

use crate::id::GROUP_ROWS;
use crate::page::{PageRead, PageWrite, get};
use vellum_bytes::Field;
use vellum_bytes::Result;

const PRESENCE: Field<[u8; GROUP_ROWS as usize / 8]> = Field::at(0);

/// Where slots start.
pub const SLOTS_START: usize = PRESENCE.end();

/// What one slot takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// One bit; its cell is one byte, 0 or 1.
    Bit,
    /// Four bytes.
    Four,
    /// Eight bytes.
    Eight,
    /// Sixteen bytes.
    Sixteen,
}

impl Width {
    /// Bytes of a value in cell form.
    #[inline]
    #[must_use]
    pub fn cell_len(self) -> usize {
        match self {
            Width::Bit => 1,
            Width::Four => 4,
            Width::Eight => 8,
            Width::Sixteen => 16,
        }
    }

    /// Offset of the slot's first byte.
    #[inline]
    fn offset(self, slot: u32) -> usize {
        match self {
            Width::Bit => SLOTS_START + slot as usize / 8,
            _ => SLOTS_START + slot as usize * self.cell_len(),
        }
    }
}

/// Offset of a slot's first byte.
#[must_use]
#[inline]
pub fn slot_offset(width: Width, slot: u32) -> usize {
    width.offset(slot)
}

/// Bytes of a page whose highest used row is the last of `rows`.
#[must_use]
pub fn page_len(width: Width, rows: u32) -> usize {
    match (rows, width) {
        (0, _) => 0,
        (_, Width::Bit) => SLOTS_START + rows.div_ceil(8) as usize,
        _ => width.offset(rows),
    }
}

/// Whether the slot has a value.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
pub fn is_present(page: &impl PageRead, slot: u32) -> Result<bool> {
    debug_assert!(slot < GROUP_ROWS, "slot {slot}");
    read_bit(page, PRESENCE.offset(), slot)
}

/// Copies the slot's value to the front of `into` and says how long it is; `None` where there is none.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
pub fn read_fixed(
    page: &impl PageRead,
    width: Width,
    slot: u32,
    into: &mut [u8; 16],
) -> Result<Option<usize>> {
    if let Some(bytes) = page.plain() {
        return Ok(copy_of(bytes, width, slot, into));
    }
    if !is_present(page, slot)? {
        return Ok(None);
    }
    let len = width.cell_len();
    if width == Width::Bit {
        into[0] = u8::from(read_bit(page, SLOTS_START, slot)?);
    } else if let Some(run) = page.run(width.offset(slot), len)? {
        into[..len].copy_from_slice(run);
    } else {
        page.read(width.offset(slot), &mut into[..len])?;
    }
    Ok(Some(len))
}

/// [`read_fixed`] of a page in one piece.
#[inline]
fn copy_of(bytes: &[u8], width: Width, slot: u32, into: &mut [u8; 16]) -> Option<usize> {
    if bytes.get(slot as usize / 8)? >> (slot % 8) & 1 == 0 {
        return None;
    }
    let (at, len) = (width.offset(slot), width.cell_len());
    let behind = bytes.get(at..).unwrap_or_default();
    match (width, behind) {
        (Width::Bit, _) => into[0] = behind.first().map_or(0, |byte| byte >> (slot % 8) & 1),
        // Copies of a length that the compiler knows are loads and stores.
        (Width::Four, [..]) if behind.len() >= 4 => into[..4].copy_from_slice(&behind[..4]),
        (Width::Eight, [..]) if behind.len() >= 8 => into[..8].copy_from_slice(&behind[..8]),
        (Width::Sixteen, [..]) if behind.len() >= 16 => into.copy_from_slice(&behind[..16]),
        _ => {
            into[..len].fill(0);
            into[..behind.len()].copy_from_slice(behind);
        }
    }
    Some(len)
}

/// Gives the slot a value.
///
/// # Panics
/// When the cell is not as long as the width.
#[inline]
pub fn set_fixed(page: &mut impl PageWrite, width: Width, slot: u32, cell: &[u8]) {
    assert_eq!(cell.len(), width.cell_len(), "a cell of another width");
    if width == Width::Bit {
        write_bit(page, SLOTS_START, slot, cell[0] != 0);
    } else {
        page.write(width.offset(slot), cell);
    }
    write_bit(page, PRESENCE.offset(), slot, true);
}

/// Takes the slot's value away.
#[inline]
pub fn clear(page: &mut impl PageWrite, width: Width, slot: u32) {
    if let Ok(false) = is_present(page, slot) {
        return;
    }
    write_bit(page, PRESENCE.offset(), slot, false);
    if width == Width::Bit {
        write_bit(page, SLOTS_START, slot, false);
    } else {
        page.write(width.offset(slot), &[0; 16][..width.cell_len()]);
    }
}

#[inline]
fn read_bit(page: &impl PageRead, start: usize, slot: u32) -> Result<bool> {
    let byte: u8 = get(page, start + slot as usize / 8)?;
    Ok(byte >> (slot % 8) & 1 == 1)
}

/// Writes one bit, and nothing where it is as wanted already: a delta then stays small.
#[inline]
fn write_bit(page: &mut impl PageWrite, start: usize, slot: u32, bit: bool) {
    let offset = start + slot as usize / 8;
    let before = get::<u8>(page, offset);
    let kept = before.as_ref().map_or(0, |byte| byte & !(1 << (slot % 8)));
    let after = kept | u8::from(bit) << (slot % 8);
    if before.ok() != Some(after) {
        page.write(offset, &[after]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_is_the_layout() {
        vellum_bytes::assert_offset_table(include_str!("slots.rs"), SLOTS_START, &[PRESENCE.row("presence")]);
        assert_eq!(SLOTS_START % 64, 0, "slots of 8 and 16 bytes never straddle a cache line");
    }
}
