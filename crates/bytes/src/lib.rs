//! What every format of vellum is made of: little-endian fields at offsets, bounded reads, LEB128 integers, CRC-32; and
//! the storage error, which says where bytes are wrong. Slices in, integers or [`Error`] out; touches nothing else.
//!
//! A layout is written once, as a chain of [`Field`]s, beside the table in its module's doc. [`assert_offset_table`]
//! holds both together in a test, so that a table cannot age away from its code.
//!
//! ```
//! use vellum_bytes::{Cursor, Field, put_varint};
//!
//! const MAGIC: Field<u32> = Field::at(0);
//! const LENGTH: Field<u64> = Field::after(MAGIC);
//!
//! let mut header = vec![0; LENGTH.end()];
//! MAGIC.put(&mut header, 0x5645_4c4c);
//! LENGTH.put(&mut header, 300);
//! assert_eq!(LENGTH.get(&header), 300);
//!
//! // Untrusted bytes are read through a cursor: a short read is an error with its offset, never a panic.
//! let mut body = Vec::new();
//! put_varint(&mut body, 300);
//! let mut cursor = Cursor::new(&body);
//! assert_eq!(cursor.varint()?, 300);
//! assert_eq!(cursor.read::<u16>().unwrap_err().place().unwrap().offset, 2);
//! # Ok::<(), vellum_bytes::Error>(())
//! ```

#![forbid(unsafe_code)]

mod error;

pub use error::{Error, ErrorKind, Place, Result};

use std::marker::PhantomData;
use std::sync::LazyLock;

/// An integer that has a fixed little-endian form.
pub trait Fixed: Copy {
    /// Bytes of the form.
    const SIZE: usize;
    /// Reads from exactly `SIZE` bytes.
    fn get(bytes: &[u8]) -> Self;
    /// Writes to exactly `SIZE` bytes.
    fn put(self, bytes: &mut [u8]);
}

macro_rules! fixed {
    ($($int:ty),*) => {$(
        impl Fixed for $int {
            const SIZE: usize = size_of::<$int>();
            #[inline]
            fn get(bytes: &[u8]) -> $int {
                <$int>::from_le_bytes(bytes.try_into().expect("the caller cut SIZE bytes"))
            }
            #[inline]
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
fixed!(u8, u16, u32, u64, i32, i64, i128, u128);

/// A plain run of bytes: a magic number, a UUID.
impl<const N: usize> Fixed for [u8; N] {
    const SIZE: usize = N;
    #[inline]
    fn get(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().expect("the caller cut SIZE bytes")
    }
    #[inline]
    fn put(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self);
    }
}

/// One field of a layout: a type at an offset.
#[derive(Clone, Copy, Debug)]
pub struct Field<T> {
    offset: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T: Fixed> Field<T> {
    /// The field at `offset`.
    pub const fn at(offset: usize) -> Field<T> {
        Field { offset, kind: PhantomData }
    }

    /// The field that starts where `before` ends.
    pub const fn after<U: Fixed>(before: Field<U>) -> Field<T> {
        Field::at(before.end())
    }

    /// Offset of the first byte.
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Offset behind the last byte.
    pub const fn end(self) -> usize {
        self.offset + T::SIZE
    }

    /// The value in `bytes`, which the caller has found long enough.
    #[inline]
    pub fn get(self, bytes: &[u8]) -> T {
        T::get(&bytes[self.offset..self.end()])
    }

    /// Writes the value into `bytes`, which is long enough.
    #[inline]
    pub fn put(self, bytes: &mut [u8], value: T) {
        value.put(&mut bytes[self.offset..self.end()]);
    }

    /// The field as a row of its module's table, for [`assert_offset_table`].
    #[must_use]
    pub fn row(self, name: &'static str) -> (usize, usize, &'static str) {
        (self.offset, T::SIZE, name)
    }
}

/// CRC-32 (IEEE, as in zlib) of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut hasher = EMPTY.clone();
    hasher.update(bytes);
    hasher.finalize()
}

/// A new hasher asks what the processor can do; this one has asked.
static EMPTY: LazyLock<crc32fast::Hasher> = LazyLock::new(crc32fast::Hasher::new);

/// The same of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Crc32(crc32fast::Hasher);

impl Default for Crc32 {
    fn default() -> Crc32 {
        Crc32::new()
    }
}

impl Crc32 {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Crc32 {
        Crc32(EMPTY.clone())
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum so far.
    #[must_use]
    pub fn sum(&self) -> u32 {
        self.0.clone().finalize()
    }
}

/// A reader over untrusted bytes: each read is bounded, a short one is an error with its offset.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, offset: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// All that was not read.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// Passes over bytes that [`Cursor::rest`] has shown to be there.
    #[inline]
    pub fn skip(&mut self, len: usize) {
        debug_assert!(len <= self.rest().len(), "{len} bytes skipped");
        self.offset += len;
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Corrupt` (with an empty file name, which the caller knows) when fewer are left.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.offset..];
        if len > rest.len() {
            return Err(short(self.offset, len, rest.len()));
        }
        self.offset += len;
        Ok(&rest[..len])
    }

    /// The next integer.
    ///
    /// # Errors
    /// As [`Cursor::take`].
    #[inline]
    pub fn read<T: Fixed>(&mut self) -> Result<T> {
        self.take(T::SIZE).map(T::get)
    }

    /// The next LEB128 integer of at most 64 bits.
    ///
    /// # Errors
    /// As [`Cursor::take`]; also when it runs past ten bytes or 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        // Most are one byte.
        if let Some(byte) = self.bytes.get(self.offset).filter(|byte| **byte < 0x80) {
            self.offset += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.read::<u8>()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                break;
            }
            value |= low << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("", self.offset as u64, "a variable-length integer runs past 64 bits"))
    }
}

#[cold]
fn short(offset: usize, wanted: usize, left: usize) -> Error {
    Error::corrupt("", offset as u64, format!("{wanted} bytes expected, {left} left"))
}

/// Appends a LEB128 integer.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Holds the offset table in a module's doc against the fields that its code uses.
///
/// Reads the rows `| offset | size | name | …` of the first table in `source`'s `//!` lines.
pub fn assert_offset_table(source: &str, len: usize, fields: &[(usize, usize, &str)]) {
    let rows: Vec<(usize, usize, String)> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let offset = cells.next()?.parse().ok()?;
            let size = cells.next()?.parse().ok()?;
            Some((offset, size, cells.next()?.to_string()))
        })
        .collect();
    let code: Vec<(usize, usize, String)> =
        fields.iter().map(|(o, s, n)| (*o, *s, (*n).to_string())).collect();
    assert_eq!(rows, code, "the table in the module doc and the fields in the code differ");
    let mut end = 0;
    for (offset, size, name) in &code {
        assert_eq!(*offset, end, "{name} does not start where the field before ends");
        end = offset + size;
    }
    assert_eq!(end, len, "the fields do not fill the layout");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_refuse_what_is_too_long() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut cursor = Cursor::new(&out);
            assert_eq!(cursor.varint().unwrap(), value);
            assert!(cursor.is_empty());
        }
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err());
        assert!(Cursor::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn a_short_read_says_where() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.read::<u16>().unwrap(), 0x0201);
        let error = cursor.read::<u32>().unwrap_err();
        assert_eq!(error.place().unwrap().offset, 2);
    }
}
