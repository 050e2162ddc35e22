//! Bytes of a file, in pages that copies share until one of them is written. A page of zeros that nobody
//! wrote costs no memory, so that a preallocated log and a copy of a whole disk are cheap.

use std::sync::Arc;

/// What a device writes whole or not at all.
pub(super) const SECTOR: usize = 512;
pub(super) const PAGE: usize = 4096;
pub(super) const SECTORS: usize = PAGE / SECTOR;

pub(super) type Page = Option<Arc<[u8; PAGE]>>;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// Content of a file. Pages may reach behind the length: what lies there is not in the file.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    len: usize,
    pages: Vec<Page>,
}

impl Bytes {
    pub(super) fn from_slice(bytes: &[u8]) -> Bytes {
        let mut out = Bytes::default();
        out.write(0, bytes);
        out
    }

    pub(super) fn zeros(len: usize) -> Bytes {
        Bytes { len, pages: vec![None; len.div_ceil(PAGE)] }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn page(&self, index: usize) -> &Page {
        self.pages.get(index).unwrap_or(&None)
    }

    /// Bytes of a page; zeros where there is none.
    fn page_bytes(&self, index: usize) -> &[u8; PAGE] {
        self.page(index).as_deref().unwrap_or(&ZEROS)
    }

    pub(super) fn sector(&self, page: usize, sector: usize) -> &[u8] {
        &self.page_bytes(page)[sector * SECTOR..(sector + 1) * SECTOR]
    }

    /// Reads from a range that lies in the file.
    pub(super) fn read(&self, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let (page, at) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let len = (PAGE - at).min(into.len() - done);
            into[done..done + len].copy_from_slice(&self.page_bytes(page)[at..at + len]);
            done += len;
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.first(self.len)
    }

    pub(super) fn first(&self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        for (index, page) in self.pages.iter().enumerate().take(len.div_ceil(PAGE)) {
            if let Some(page) = page {
                let end = len.min((index + 1) * PAGE);
                out[index * PAGE..end].copy_from_slice(&page[..end - index * PAGE]);
            }
        }
        out
    }

    fn page_mut(&mut self, index: usize) -> &mut [u8; PAGE] {
        if index >= self.pages.len() {
            self.pages.resize(index + 1, None);
        }
        Arc::make_mut(self.pages[index].get_or_insert_with(|| Arc::new(ZEROS)))
    }

    /// Writes, and makes the file longer where it ends before.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let len = (PAGE - at).min(bytes.len() - done);
            self.page_mut(page)[at..at + len].copy_from_slice(&bytes[done..done + len]);
            done += len;
        }
        self.set_len(self.len.max(offset + bytes.len()));
    }

    pub(super) fn put_page(&mut self, index: usize, page: Page) {
        if index >= self.pages.len() {
            self.pages.resize(index + 1, None);
        }
        self.pages[index] = page;
    }

    /// Puts a sector of another content here; the length stays.
    pub(super) fn put_sector(&mut self, page: usize, sector: usize, from: &Page) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        let bytes = &from.as_deref().unwrap_or(&ZEROS)[range.clone()];
        if self.page_bytes(page)[range.clone()] != *bytes {
            self.page_mut(page)[range].copy_from_slice(bytes);
        }
    }

    /// Another length; pages behind it stay for a later longer one.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len;
        if self.pages.len() < len.div_ceil(PAGE) {
            self.pages.resize(len.div_ceil(PAGE), None);
        }
    }

    /// Cuts what lies behind the length.
    pub(super) fn cut(&mut self) {
        self.pages.truncate(self.len.div_ceil(PAGE));
        if !self.len.is_multiple_of(PAGE) && self.page(self.len / PAGE).is_some() {
            let at = self.len % PAGE;
            self.page_mut(self.len / PAGE)[at..].fill(0);
        }
    }
}
