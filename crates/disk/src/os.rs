//! The real disk: a directory of the operating system.
//!
//! The path is resolved once, when the directory is met the first time; every later call goes through its handle
//! (`openat` and its family). So a store whose directory is renamed, or whose path leads elsewhere now, goes on in
//! the directory that it locked.
//!
//! Interrupted calls and short reads or writes are finished here; callers see a whole result or an
//! error that names the file. System calls go through libc, so that tools which record or fail them
//! see every one.

use super::directory::{Directory, file_id};
use super::map::MappedTail;
use super::{Access, Disk, File, FileId, Lock, LogTail, Region};
use rustix::fs::{AtFlags, FallocateFlags};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use vellum_bytes::{Error, ErrorKind, Result};

/// One page of the page cache. Zeros are written in pieces of this size: a larger write gives the
/// file large folios, and each later commit then writes a whole folio back.
const PIECE: usize = 4096;

/// A directory of the operating system. Clones share its handle.
#[derive(Clone, Debug)]
pub struct OsDisk {
    path: PathBuf,
    /// Set once the directory was met.
    directory: Arc<OnceLock<Directory>>,
}

impl OsDisk {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> OsDisk {
        OsDisk { path: path.into(), directory: Arc::default() }
    }

    /// The directory, resolved at the first call that finds it.
    fn find(&self) -> Result<Option<&Directory>> {
        if let Some(directory) = self.directory.get() {
            return Ok(Some(directory));
        }
        let found = Directory::open(&self.path)?;
        Ok(found.map(|found| self.directory.get_or_init(|| found)))
    }

    fn directory(&self, doing: &str, name: &str) -> Result<&Directory> {
        let missing = || {
            let place = self.path.join(name).display().to_string();
            Error::io(doing, place, io::ErrorKind::NotFound.into())
        };
        self.find()?.ok_or_else(missing)
    }

    fn wrap(&self, name: &str, file: fs::File) -> Arc<dyn File> {
        let place = self.path.join(name).display().to_string();
        Arc::new(OsFile { name: name.to_string(), place, file })
    }
}

impl Disk for OsDisk {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn exists(&self) -> Result<bool> {
        Ok(self.find()?.is_some())
    }

    fn create_dir(&self) -> Result<()> {
        if self.find()?.is_none() {
            let created = Directory::create(&self.path)?;
            self.directory.get_or_init(|| created);
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        self.find()?.map_or(Ok(Vec::new()), Directory::list)
    }

    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>> {
        self.directory("opening", name)?.open_file(name, access).map(|file| self.wrap(name, file))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.directory("creating", name)?.create_file(name).map(|file| self.wrap(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory("renaming", from)?.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory("removing", name)?.remove(name)
    }

    fn sync_dir(&self) -> Result<()> {
        self.directory("syncing directory", "")?.sync()
    }

    fn identity(&self, name: &str) -> Result<Option<FileId>> {
        self.find()?.map_or(Ok(None), |directory| directory.identity(name))
    }

    fn lock(&self) -> Result<Box<dyn Lock>> {
        self.directory("locking", "")?.lock()
    }

    fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        self.directory("locking", "")?.lock_shared()
    }

    fn free_len(&self) -> Result<u64> {
        self.directory("asking for the free space of", "")?.free_len()
    }
}

#[derive(Debug)]
struct OsFile {
    name: String,
    /// Its path as it was opened, for messages.
    place: String,
    file: fs::File,
}

impl OsFile {
    fn fail(&self, doing: &str, e: io::Error) -> Error {
        Error::io(doing, self.place.clone(), e)
    }

    /// Room for `len` bytes now; false where the file system cannot say so.
    fn reserve_blocks(&self, len: u64) -> Result<bool> {
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len))
        {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(self.fail("allocating", e.into())),
        }
    }

    fn write_zeros(&self, from: u64, len: u64) -> Result<()> {
        let zeros = [0u8; PIECE];
        let mut offset = from;
        while offset < len {
            let piece = (len - offset).min(PIECE as u64);
            self.write_at(offset, &zeros[..piece as usize])?;
            offset += piece;
        }
        Ok(())
    }
}

impl File for OsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Result<FileId> {
        file_id(&self.file, "", AtFlags::EMPTY_PATH).map_err(|e| self.fail("looking at", e.into()))
    }

    fn len(&self) -> Result<u64> {
        self.file.metadata().map(|meta| meta.len()).map_err(|e| self.fail("looking at", e))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(into, offset).map_err(|e| {
            if e.kind() == io::ErrorKind::UnexpectedEof {
                short(
                    &self.name,
                    self.file.metadata().map_or(0, |meta| meta.len()),
                    offset,
                    into.len() as u64,
                )
            } else {
                self.fail("reading", e)
            }
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.fail("writing", e))
    }

    fn allocate_zeroed(&self, len: u64) -> Result<()> {
        // So that a full disk is met here and not halfway through the zeros. Where that cannot be asked for,
        // the zeros allocate, and a full disk is found later, no worse.
        self.reserve_blocks(len)?;
        self.write_zeros(0, len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let found = self.len()?;
        if self.reserve_blocks(len)? { Ok(()) } else { self.write_zeros(found, len) }
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.fail("syncing", e))
    }

    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "no such advice elsewhere"))]
    fn start_writeback(&self, offset: u64, len: u64) {
        // "Not needed" makes Linux start to write what is dirty in the range, and drop what is clean; what
        // it has just started to write it keeps. So this is meant for bytes that were written a moment ago.
        #[cfg(target_os = "linux")]
        if let Some(len) = std::num::NonZeroU64::new(len) {
            // A hint that is refused changes nothing.
            let _ = rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    fn drop_cache(&self, offset: u64, len: u64) {
        // The kernel drops folios that lie in the range as a whole; they have up to 2 MiB and are aligned.
        const FOLIO_LEN_MAX: u64 = 2 << 20;
        let start = offset - offset % FOLIO_LEN_MAX;
        let end = offset.saturating_add(len).next_multiple_of(FOLIO_LEN_MAX);
        // A hint that is refused changes nothing.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(
            &self.file,
            start,
            std::num::NonZeroU64::new(end - start),
            rustix::fs::Advice::DontNeed,
        );
    }

    fn map(&self, len: u64) -> Result<Region> {
        let found = self.len()?;
        if found < len {
            return Err(short(&self.name, found, 0, len));
        }
        Region::map(&self.file, to_usize(&self.name, len)?).map_err(|e| self.fail("mapping", e))
    }

    fn map_tail(&self, len: u64) -> Result<Option<Box<dyn LogTail>>> {
        if !writes_in_place(&self.file) {
            return Ok(None);
        }
        let found = self.len()?;
        if found < len {
            return Err(short(&self.name, found, 0, len));
        }
        let tail =
            MappedTail::map(&self.file, to_usize(&self.name, len)?).map_err(|e| self.fail("mapping", e))?;
        Ok(Some(Box::new(tail)))
    }
}

/// Whether a store through a shared mapping of zeroed blocks can never need a new block. On a file
/// system that copies on write, a full disk would answer such a store with SIGBUS.
#[cfg(target_os = "linux")]
fn writes_in_place(file: &fs::File) -> bool {
    use rustix::fs::FsWord;
    const EXT: FsWord = 0xef53;
    const XFS: FsWord = 0x5846_5342;
    const TMPFS: FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|stat| [EXT, XFS, TMPFS].contains(&stat.f_type))
}

#[cfg(not(target_os = "linux"))]
fn writes_in_place(_file: &fs::File) -> bool {
    false
}

fn to_usize(name: &str, len: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| {
        Error::new(
            ErrorKind::LimitExceeded,
            format!("{name}: {len} bytes are more than this machine can map"),
        )
    })
}

fn short(name: &str, found: u64, offset: u64, len: u64) -> Error {
    Error::corrupt(
        name,
        offset,
        format!(
            "the file ends at byte {found}, and bytes {offset}..{} are expected",
            offset.saturating_add(len)
        ),
    )
}
