//! Mapped bytes: [`Region`] for reading sealed files, and the log's tail for writing.
//!
//! Unsafe, as the heap is and the prefetches are (ARCHITECTURE.md lists all places). It promises that a length is
//! checked before it is mapped, and leaves to its callers that mapped files are not cut: segments and logs are unlinked whole.

#![expect(unsafe_code, reason = "mapping a file is unsafe: nobody but us may cut or change it meanwhile")]

use super::LogTail;
use memmap2::{Mmap, MmapMut, MmapOptions};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Immutable bytes of a file: mapped, or a copy on the heap where a disk has no mappings.
pub struct Region(Bytes);

enum Bytes {
    Mapped(Mmap),
    Heap(Vec<u8>),
    Probed(Vec<u8>, Probe),
}

/// Says whether a disk can read a range of a file.
pub type Probe = Arc<dyn Fn(Range<usize>) -> io::Result<()> + Send + Sync>;

impl Region {
    /// A region over a copy.
    #[must_use]
    pub fn heap(bytes: Vec<u8>) -> Region {
        Region(Bytes::Heap(bytes))
    }

    /// A region over a copy, on a disk that fails as a device does: `probe` answers for
    /// [`Region::populate`].
    #[must_use]
    pub fn probed(bytes: Vec<u8>, probe: Probe) -> Region {
        Region(Bytes::Probed(bytes, probe))
    }

    /// Maps the first `len` bytes of a file that is at least that long (checked by the caller,
    /// and once more here).
    pub(super) fn map(file: &File, len: usize) -> io::Result<Region> {
        if len == 0 {
            return Ok(Region::heap(Vec::new()));
        }
        assert!(file.metadata()?.len() >= len as u64, "a mapping may not run past its file");
        // SAFETY:
        // 1. `len` is at most the file's length, read from the open file above.
        // 2. What is mapped is published and immutable: files keep their length and their bytes until
        //    they are unlinked, and an unlinked file lives on under its mappings.
        // 3. The store's lock keeps other handles of this engine out. A foreign process that cuts or
        //    changes the file is outside the promise (docs/durability.md).
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Region(Bytes::Mapped(map)))
    }

    /// Brings the pages of a range into memory, so that touching them cannot meet a sector that the disk does
    /// not read: that would end the process with SIGBUS. What was brought in may be evicted later and is then
    /// read again, without this protection.
    ///
    /// Kernels before Linux 5.14, and other systems, have no such call; there this promises nothing and
    /// answers `Ok`. A region on the heap is in memory already.
    ///
    /// # Errors
    /// EIO where the disk does not read a page of the range; others where the kernel lacks the memory.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let range = range.start.min(self.len())..range.end.min(self.len());
        match &self.0 {
            Bytes::Mapped(map) if !range.is_empty() => populate(map, range),
            Bytes::Probed(_, probe) => probe(range),
            Bytes::Mapped(_) | Bytes::Heap(_) => Ok(()),
        }
    }

    /// Tells the kernel that reads will jump about, so that it reads no more than was asked. A hint.
    pub fn advise_random(&self) {
        self.advise(Hint::Random);
    }

    /// Tells the kernel that reads run from front to back. A hint.
    pub fn advise_sequential(&self) {
        self.advise(Hint::Sequential);
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "no advice elsewhere"))]
    fn advise(&self, hint: Hint) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.0 {
            let advice = match hint {
                Hint::Random => memmap2::Advice::Random,
                Hint::Sequential => memmap2::Advice::Sequential,
            };
            // A hint that is refused changes nothing.
            let _ = map.advise(advice);
        }
    }
}

#[cfg(target_os = "linux")]
fn populate(map: &Mmap, range: Range<usize>) -> io::Result<()> {
    use rustix::io::Errno;
    loop {
        let Err(error) = map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()) else {
            return Ok(());
        };
        match Errno::from_io_error(&error) {
            // The call is not known to this kernel.
            Some(Errno::INVAL) => return Ok(()),
            Some(Errno::INTR) => {}
            // EFAULT is how the kernel reports that reading a page would raise SIGBUS.
            Some(Errno::FAULT) => return Err(Errno::IO.into()),
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn populate(_map: &Mmap, _range: Range<usize>) -> io::Result<()> {
    Ok(())
}

#[derive(Clone, Copy)]
enum Hint {
    Random,
    Sequential,
}

impl Deref for Region {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Heap(bytes) | Bytes::Probed(bytes, _) => bytes,
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Bytes::Mapped(_) => "mapped",
            Bytes::Heap(_) | Bytes::Probed(..) => "heap",
        };
        write!(f, "Region({kind}, {} bytes)", self.len())
    }
}

/// The mapped tail of the log.
pub(super) struct MappedTail {
    map: MmapMut,
    /// Before here the file is written, and its pages are not in the mapping any more.
    let_go: usize,
}

/// Written pages leave the mapping in steps of this length. At least as much stays behind the writer, who stores
/// the header of a frame behind its body: so no store meets a page that left.
const LET_GO_LEN: usize = 128 << 10;

impl MappedTail {
    /// Maps the first `len` bytes of a log file for writing; the file is at least that long.
    pub(super) fn map(file: &File, len: usize) -> io::Result<MappedTail> {
        assert!(file.metadata()?.len() >= len as u64, "a mapping may not run past its file");
        // SAFETY:
        // 1. `len` is at most the file's length, read from the open file above; log files are allocated
        //    in full and keep their length until they are unlinked, so no page under the mapping vanishes.
        // 2. Every block was written with real zeros first, so a store never needs a block that a full
        //    disk could refuse (`OsDisk` maps tails on file systems that write in place only).
        // 3. No Rust reference to these bytes exists elsewhere: the log is read back by `read_at`, which
        //    copies in the kernel. The store's lock keeps other writers out.
        let map = unsafe { MmapOptions::new().len(len).map_mut(file)? };
        // A page that was evicted comes back alone: with readahead it would come back in a large folio, and
        // each later sync would write the whole folio.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(MappedTail { map, let_go: 0 })
    }

    /// A sync takes the right to write away from each page that is mapped, and interrupts every processor
    /// that this process runs on for each of them; pages that left the mapping before, all at once, it only
    /// writes. What is dirty stays so in the page cache.
    #[cold]
    fn let_go_until(&mut self, offset: usize) {
        let end = (offset - LET_GO_LEN) / LET_GO_LEN * LET_GO_LEN;
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the mapping is shared and of a file, so nothing is lost: the next access finds the page in
            // the cache as it was. A hint; where it is refused, syncs are slower.
            let advice = memmap2::UncheckedAdvice::DontNeed;
            let _ = unsafe { self.map.unchecked_advise_range(advice, self.let_go, end - self.let_go) };
        }
        self.let_go = end;
    }
}

impl LogTail for MappedTail {
    #[inline]
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.map[offset..offset + bytes.len()].copy_from_slice(bytes);
        if offset >= self.let_go + 2 * LET_GO_LEN {
            self.let_go_until(offset);
        }
    }

    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "no such advice elsewhere"))]
    fn prefault(&self, offset: usize, len: usize) {
        #[cfg(target_os = "linux")]
        {
            let start = offset.min(self.map.len());
            let len = len.min(self.map.len() - start);
            // A hint: an older kernel refuses it, and pages are then faulted in by the first store.
            let _ = self.map.advise_range(memmap2::Advice::PopulateWrite, start, len);
        }
    }
}

impl fmt::Debug for MappedTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedTail({} bytes)", self.map.len())
    }
}
