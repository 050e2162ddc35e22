//! A sealed image under a page whose segment is not mapped: read and checked whole at its first touch.

use super::cache::Buffer;
use super::segment::StoredImage;
use crate::id::Address;
use crate::page::image::Kind;
use std::sync::{Arc, OnceLock};
use vellum_bytes::Result;

/// An image in a file. Its buffer may go and come back.
#[derive(Clone, Debug)]
pub(super) struct Unmapped {
    stored: StoredImage,
    address: Address,
    len: usize,
    buffer: OnceLock<Arc<Buffer>>,
}

impl Unmapped {
    /// As [`super::mapped::Mapped::new`]: a page is never longer than its segment.
    pub(super) fn new(stored: StoredImage, address: Address) -> Unmapped {
        let len = (stored.image.payload_len as usize).min(stored.segment.len());
        Unmapped { stored, address, len, buffer: OnceLock::new() }
    }

    /// The part of `[offset, offset + len)` that the image has.
    ///
    /// # Errors
    /// `Corrupt` when the image cannot be read, or is not what was written.
    pub(super) fn bytes(&self, offset: usize, len: usize) -> Result<&[u8]> {
        let whole = match self.buffer.get() {
            Some(buffer) => buffer.bytes(),
            None => self.load()?,
        };
        let end = whole.len().min(offset.saturating_add(len));
        Ok(whole.get(offset..end).unwrap_or(&[]))
    }

    #[cold]
    fn load(&self) -> Result<&[u8]> {
        let Unmapped { stored, address, len, .. } = self;
        let read = || stored.payload(Kind::Page, address).map(|payload| payload.into_owned());
        let buffer = match stored.segment.cache() {
            Some(cache) => Buffer::load(cache, *len as u64, read)?,
            None => unreachable!("a page is unmapped because its segment is"),
        };
        Ok(self.buffer.get_or_init(|| buffer).bytes())
    }

    /// Whether reading it waits for no disk.
    pub(super) fn is_warm(&self) -> bool {
        self.buffer.get().is_some()
    }

    /// Lets go of the buffer, if it was not used of late nor by the transaction `held`.
    pub(super) fn evict(&mut self, held: u64) {
        if self.buffer.get().is_some_and(|buffer| buffer.may_go(held)) {
            self.buffer = OnceLock::new();
        }
    }
}
