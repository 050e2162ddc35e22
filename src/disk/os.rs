//! The real disk: a directory of the operating system.
//!
//! Interrupted calls and short reads or writes are finished here; callers see a whole result or an
//! error that names the file. System calls go through libc, so that tools which record or fail them
//! see every one.

#![expect(clippy::disallowed_methods, reason = "this is the room that the seam leads to")]

use super::map::MappedTail;
use super::{Access, Disk, File, Lock, LogTail, Region};
use crate::error::{Error, ErrorKind, Result};
use rustix::fs::FallocateFlags;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One page of the page cache. Zeros are written in pieces of this size: a larger write gives the
/// file large folios, and each later commit then writes a whole folio back.
const PIECE: usize = 4096;

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDisk {
    path: PathBuf,
}

impl OsDisk {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> OsDisk {
        OsDisk { path: path.into() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn wrap(&self, name: &str, file: fs::File) -> Arc<dyn File> {
        Arc::new(OsFile { name: name.to_string(), file })
    }
}

impl Disk for OsDisk {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn exists(&self) -> Result<bool> {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_dir() => Ok(true),
            Ok(_) => Err(self.no_directory()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("looking at", self.place(), e)),
        }
    }

    fn create_dir(&self) -> Result<()> {
        // Crash rule 11: each new name, ancestors too, is synced in the directory that holds it.
        let mut missing = Vec::new();
        let mut path = self.path.as_path();
        while !path.as_os_str().is_empty() && !path.is_dir() {
            missing.push(path);
            let Some(parent) = path.parent() else { break };
            path = parent;
        }
        for path in missing.into_iter().rev() {
            match fs::create_dir(path) {
                Err(e) if !path.is_dir() => {
                    return Err(Error::io("creating directory", path.display().to_string(), e));
                }
                _ => sync_directory(parent_of(path))?,
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        let doing = "listing";
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(self.no_directory()),
            Err(e) => return Err(Error::io(doing, self.place(), e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(doing, self.place(), e))?;
            let kind = entry.file_type().map_err(|e| Error::io(doing, self.place(), e))?;
            // Names that are no UTF-8 are none of ours.
            if let (false, Ok(name)) = (kind.is_dir(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(self.at(name))
            .map_err(|e| Error::io("opening", name, e))?;
        Ok(self.wrap(name, file))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.at(name))
            .map_err(|e| Error::io("creating", name, e))?;
        Ok(self.wrap(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.at(from), self.at(to)).map_err(|e| Error::io(format!("renaming {from} to"), to, e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.at(name)).map_err(|e| Error::io("removing", name, e))
    }

    fn sync_dir(&self) -> Result<()> {
        sync_directory(&self.path)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Lock>> {
        // Crash rule 11: the lock is a file of its own, never unlinked, with the process id inside.
        // The kernel drops it with its holder; two handles of one process exclude each other too.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.at(name))
            .map_err(|e| Error::io("opening", name, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.locked(&mut file)),
            Err(TryLockError::Error(e)) => return Err(Error::io("locking", name, e)),
        }
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|e| Error::io("writing", name, e))?;
        Ok(Box::new(OsLock { _file: file }))
    }

    fn lock_unwritten(&self, name: &str) -> Result<Option<Box<dyn Lock>>> {
        self.lock_with(name, fs::File::try_lock)
    }

    fn lock_shared(&self, name: &str) -> Result<Option<Box<dyn Lock>>> {
        self.lock_with(name, fs::File::try_lock_shared)
    }

    fn free_len(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|e| Error::io("asking for the free space of", self.place(), e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl OsDisk {
    fn lock_with(
        &self,
        name: &str,
        take: fn(&fs::File) -> std::result::Result<(), TryLockError>,
    ) -> Result<Option<Box<dyn Lock>>> {
        // Opened for reading, which is enough for the lock and works where nothing can be written.
        let mut file = match fs::File::open(self.at(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("opening", name, e)),
        };
        match take(&file) {
            Ok(()) => Ok(Some(Box::new(OsLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Err(self.locked(&mut file)),
            Err(TryLockError::Error(e)) => Err(Error::io("locking", name, e)),
        }
    }

    fn no_directory(&self) -> Error {
        Error::new(ErrorKind::NotAStore, format!("{} is no directory", self.place()))
    }

    fn locked(&self, file: &mut fs::File) -> Error {
        // The holder may just be writing its id: what cannot be read is left out.
        let mut bytes = [0; 16];
        let len = file.read(&mut bytes).unwrap_or(0);
        let pid = std::str::from_utf8(&bytes[..len]).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let holder = match pid {
            Some(pid) if pid == std::process::id() => "by another handle in this process".to_string(),
            Some(pid) => format!("in process {pid}"),
            None => "in another process".to_string(),
        };
        let place = self.place();
        Error::new(
            ErrorKind::Locked,
            format!(
                "{place} is open {holder}, or is being read or verified; close it there, or open it read-only"
            ),
        )
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    let directory =
        fs::File::open(path).map_err(|e| Error::io("opening directory", path.display().to_string(), e))?;
    directory.sync_all().map_err(|e| Error::io("syncing directory", path.display().to_string(), e))
}

#[derive(Debug)]
struct OsLock {
    _file: fs::File,
}

impl Lock for OsLock {}

#[derive(Debug)]
struct OsFile {
    name: String,
    file: fs::File,
}

impl OsFile {
    fn fail(&self, doing: &str, e: io::Error) -> Error {
        Error::io(doing, self.name.clone(), e)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes when the test ends.
    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Directory {
            let name = format!("vellum-disk-{test}-{}", std::process::id());
            Directory(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_directory_is_made_with_its_ancestors_and_lists_files_only() {
        let directory = Directory::new("create");
        let disk = OsDisk::new(directory.0.join("a/b"));
        assert!(!disk.exists().unwrap());
        assert!(disk.list().unwrap().is_empty());
        disk.create_dir().unwrap();
        disk.create_dir().unwrap();
        assert!(disk.exists().unwrap());
        for name in ["two", "one"] {
            disk.create(name).unwrap();
        }
        fs::create_dir(directory.0.join("a/b/deeper")).unwrap();
        assert_eq!(disk.list().unwrap(), ["one", "two"]);
        disk.rename("one", "two").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["two"]);
        disk.remove("two").unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert!(disk.free_len().unwrap() > 0);
        fs::write(directory.0.join("a/file"), "").unwrap();
        assert_eq!(
            OsDisk::new(directory.0.join("a/file")).exists().unwrap_err().kind(),
            ErrorKind::NotAStore
        );
        assert!(OsDisk::new(directory.0.join("a/file/below")).create_dir().is_err());
    }

    #[test]
    fn a_file_reads_what_was_written_and_a_short_one_says_so() {
        let directory = Directory::new("file");
        let disk = OsDisk::new(&directory.0);
        disk.create_dir().unwrap();
        let file = disk.create("bytes").unwrap();
        assert_eq!(disk.create("bytes").unwrap_err().kind(), ErrorKind::Io);
        file.write_at(3, b"abc").unwrap();
        file.start_writeback(0, 6);
        file.sync().unwrap();
        file.drop_cache(0, 6);
        assert_eq!(file.len().unwrap(), 6);
        let mut bytes = [9; 6];
        disk.open("bytes", Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0\0abc");
        assert_eq!(&*file.map(6).unwrap(), b"\0\0\0abc");
        assert!(file.map(0).unwrap().is_empty());
        for error in [file.read_at(4, &mut bytes).unwrap_err(), file.map(7).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains("ends at byte 6"), "{error}");
        }
        assert_eq!(disk.open("absent", Access::Read).unwrap_err().kind(), ErrorKind::Io);
        assert!(disk.open("bytes", Access::Read).unwrap().write_at(0, b"x").is_err());
    }

    #[test]
    fn a_mapped_tail_and_the_file_are_the_same_bytes() {
        let directory = Directory::new("tail");
        let disk = OsDisk::new(&directory.0);
        disk.create_dir().unwrap();
        let file = disk.create("log").unwrap();
        file.write_at(0, &[7; 10_000]).unwrap();
        file.allocate_zeroed(20_000).unwrap();
        assert_eq!(file.len().unwrap(), 20_000);
        let Some(mut tail) = file.map_tail(20_000).unwrap() else { return };
        tail.prefault(0, 100_000);
        tail.write(19_990, b"0123456789");
        tail.write(4090, b"over a page's edge");
        let mut bytes = vec![1; 20_000];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes[19_990..], b"0123456789");
        assert_eq!(&bytes[4090..4108], b"over a page's edge");
        assert!(bytes[..4090].iter().chain(&bytes[4108..19_990]).all(|&byte| byte == 0));
        assert_eq!(file.map_tail(20_001).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_tail_is_whole_though_written_pages_leave_its_mapping() {
        const LEN: usize = 1 << 20;
        let directory = Directory::new("let-go");
        let disk = OsDisk::new(&directory.0);
        disk.create_dir().unwrap();
        let file = disk.create("log").unwrap();
        file.allocate_zeroed(LEN as u64).unwrap();
        let Some(mut tail) = file.map_tail(LEN as u64).unwrap() else { return };
        let mut expected: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
        for start in (0..LEN).step_by(1000) {
            let end = (start + 1000).min(LEN);
            tail.write(start, &expected[start..end]);
            if start % 64_000 == 0 {
                file.sync().unwrap();
            }
        }
        // A page that left comes back for whoever stores into it.
        tail.write(10, b"once more");
        expected[10..19].copy_from_slice(b"once more");
        drop(tail);
        let mut bytes = vec![0; LEN];
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes == expected);
    }

    #[test]
    fn a_second_handle_is_told_who_has_the_lock() {
        let directory = Directory::new("lock");
        let disk = OsDisk::new(&directory.0);
        disk.create_dir().unwrap();
        let held = disk.lock("lock").unwrap();
        assert_eq!(fs::read_to_string(directory.0.join("lock")).unwrap(), std::process::id().to_string());
        let error = disk.lock("lock").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("is open by another handle in this process"), "{error}");
        drop(held);
        // A file left by a process that died locks nothing, and a longer id leaves no digits behind.
        fs::write(directory.0.join("lock"), "99999999999").unwrap();
        let _held = disk.lock("lock").unwrap();
        assert_eq!(fs::read_to_string(directory.0.join("lock")).unwrap(), std::process::id().to_string());
    }
}
