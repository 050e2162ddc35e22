//! What is inside one page, a file a layout. Pages are decoded from bytes with little-endian reads;
//! nothing here knows where a page lives.
//!
//! A page is logically zero-extended: bytes behind its end read as zero, and a write behind its end
//! makes it longer. So an image ends at the highest used row, and small objects stay small.
//!
//! A page's bytes may be one run (an owned copy, a mapped image) or a base with an overlay; layouts
//! are therefore written against [`PageRead`] and [`PageWrite`], which are monomorphised.
//!
//! # Columns of an object's row group
//!
//! | column            | page                                                              |
//! |-------------------|-------------------------------------------------------------------|
//! | 0                 | rows as the state machine heads them: one 64-byte slot a row in vellum |
//! | c << 16           | slots of the attribute whose schema column is c ≥ 1 ([`slots`])    |
//! | c << 16 + b, b≥1  | heap buffer b of a text column ([`varlen`])                          |
//!
//! An index bucket and the catalog use column 0 of their own trees.

pub mod bucket;
pub mod delta;
pub mod image;
pub mod slots;
pub mod varlen;

#[cfg(test)]
mod tests;

use vellum_bytes::Result;

/// Bytes of a page, for reading.
#[expect(clippy::len_without_is_empty, reason = "a page reads as zeros past its end, so that none is empty")]
pub trait PageRead {
    /// Bytes that the page has; reads behind them give zeros.
    fn len(&self) -> usize;

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// `Corrupt` when a block under the range fails its checksum.
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()>;

    /// The range as one borrowed run where it lies in one piece, else `None` (use [`PageRead::read`]).
    ///
    /// # Errors
    /// As [`PageRead::read`].
    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>>;

    /// The whole page where it lies in one piece of which all was checked before: nothing that reads it can
    /// fail. What is asked for most often costs a few instructions so.
    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        None
    }
}

/// Bytes of a page under the writer's hand. Writes cannot fail: what they touch was checked before.
pub trait PageWrite: PageRead {
    /// Overwrites the range, making the page longer if need be.
    fn write(&mut self, offset: usize, bytes: &[u8]);
    /// Replaces the whole content.
    fn replace(&mut self, bytes: Vec<u8>);
}

/// The pages of one group, by column: what a layout that spans pages (text) works on.
pub trait Columns {
    /// One page.
    type Page: PageWrite;
    /// The page of `column`, where there is one.
    fn page(&self, column: u32) -> Option<&Self::Page>;
    /// The page of `column`, made empty if there is none.
    fn page_mut(&mut self, column: u32) -> &mut Self::Page;
    /// Forgets the page of `column`.
    fn remove(&mut self, column: u32);
    /// The highest column in the inclusive range that has a page.
    fn last_in(&self, first: u32, last: u32) -> Option<u32>;
}

/// Reads a little-endian integer.
///
/// # Errors
/// As [`PageRead::read`].
#[inline]
pub fn get<T: vellum_bytes::Fixed>(page: &impl PageRead, offset: usize) -> Result<T> {
    if let Some(run) = page.run(offset, T::SIZE)? {
        return Ok(T::get(run));
    }
    let mut bytes = [0u8; 16];
    page.read(offset, &mut bytes[..T::SIZE])?;
    Ok(T::get(&bytes[..T::SIZE]))
}

/// Writes a little-endian integer.
#[inline]
pub fn put<T: vellum_bytes::Fixed>(page: &mut impl PageWrite, offset: usize, value: T) {
    let mut bytes = [0u8; 16];
    value.put(&mut bytes[..T::SIZE]);
    page.write(offset, &bytes[..T::SIZE]);
}

impl PageRead for Vec<u8> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    #[inline]
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let have = self.as_slice().len().saturating_sub(offset).min(into.len());
        into[..have].copy_from_slice(&self[offset.min(self.as_slice().len())..][..have]);
        into[have..].fill(0);
        Ok(())
    }

    #[inline]
    fn run(&self, offset: usize, len: usize) -> Result<Option<&[u8]>> {
        Ok(offset.checked_add(len).and_then(|end| self.get(offset..end)))
    }

    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl PageWrite for Vec<u8> {
    #[inline]
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.as_slice().len() {
            self.resize(end, 0);
        }
        self[offset..end].copy_from_slice(bytes);
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        *self = bytes;
    }
}
