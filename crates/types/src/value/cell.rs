//! Cells as keys and in order: canonical key bytes, comparison.
//!
//! # Key bytes
//!
//! A key is the concatenation of its components, so that no two different keys have the same bytes:
//!
//! | part      | size | meaning                                                       |
//! |-----------|-----:|---------------------------------------------------------------|
//! | len       |    4 | bytes of the cell, u32                                        |
//! | cell      |  len | the cell form; for a number -0.0 is written as 0.0; e-mail    |
//! |           |      | addresses, domains and phone numbers in their normal form     |
//!
//! An attribute with several values has a key for each of them.

use crate::value::{ValueType, normalize};
use std::cmp::Ordering;

/// Appends the key bytes of one component.
#[inline]
pub fn append_key_bytes(out: &mut Vec<u8>, value_type: ValueType, cell: &[u8]) {
    if value_type.has_normal_form() {
        return append_normal_form(out, value_type, cell);
    }
    // A cell is at most 16 MiB, which the schema enforces before a value becomes a cell.
    out.extend_from_slice(&(cell.len() as u32).to_le_bytes());
    if value_type == ValueType::Number && is_negative_zero(cell) {
        out.extend_from_slice(&0.0f64.to_le_bytes());
    } else {
        out.extend_from_slice(cell);
    }
}

#[cold]
fn append_normal_form(out: &mut Vec<u8>, value_type: ValueType, cell: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    normalize::append(out, value_type, cell);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

#[inline]
fn is_negative_zero(cell: &[u8]) -> bool {
    cell == (-0.0f64).to_le_bytes()
}

/// The order of two cells of one type: numbers by value, text and UUIDs byte by byte, selects by
/// option number, false before true. Total for any bytes: a cell of a wrong length, which only a
/// damaged file can bring, is compared by its bytes.
#[must_use]
#[inline]
pub fn compare_cells(value_type: ValueType, a: &[u8], b: &[u8]) -> Ordering {
    use ValueType as T;
    let by_value = match value_type {
        T::Integer | T::Timestamp | T::Rating | T::Autonumber => {
            pair(a, b, i64::from_le_bytes, |a, b| a.cmp(&b))
        }
        T::Number => pair(a, b, f64::from_le_bytes, compare_numbers),
        T::Date => pair(a, b, i32::from_le_bytes, |a, b| a.cmp(&b)),
        T::Select | T::Status => pair(a, b, u32::from_le_bytes, |a, b| a.cmp(&b)),
        // With a code of its own, an amount of money is of another length.
        T::Decimal => pair(a, b, i128::from_le_bytes, |a, b| a.cmp(&b)),
        _ => None,
    };
    by_value.unwrap_or_else(|| a.cmp(b))
}

#[inline]
fn pair<const N: usize, T>(
    a: &[u8],
    b: &[u8],
    read: fn([u8; N]) -> T,
    compare: fn(T, T) -> Ordering,
) -> Option<Ordering> {
    Some(compare(read(a.try_into().ok()?), read(b.try_into().ok()?)))
}

fn compare_numbers(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}
