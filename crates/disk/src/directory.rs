//! A directory by its handle: whatever becomes of its name, these calls reach this directory and no other.

use super::{Access, FileId, LOCK_NAME, Lock, lock};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use vellum_bytes::{Error, ErrorKind, Result};

/// As the standard library creates them; the process's mask takes rights away.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

#[cfg(target_os = "linux")]
const NO_ACCESS_TIME: OFlags = OFlags::NOATIME;
#[cfg(not(target_os = "linux"))]
const NO_ACCESS_TIME: OFlags = OFlags::empty();

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    handle: fs::File,
    /// Its path as it was opened, for messages.
    place: PathBuf,
}

impl Directory {
    /// The directory at `path`; `None` when there is nothing.
    ///
    /// # Errors
    /// `NotAStore` when there is something else; what the system said.
    pub(super) fn open(path: &Path) -> Result<Option<Directory>> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match open_directory(CWD, path) {
            Ok(handle) => Ok(Some(Directory { handle: handle.into(), place: path.to_path_buf() })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => {
                let message =
                    format!("{} is a file or leads through one; a store is a directory", path.display());
                Err(Error::new(ErrorKind::NotAStore, message))
            }
            Err(e) => Err(Error::io("opening directory", path.display().to_string(), e.into())),
        }
    }

    /// Creates the directory and those above it that are missing, each through the handle of the one above.
    /// Crash rule 11: each new name is synced in the directory that holds it.
    pub(super) fn create(path: &Path) -> Result<Directory> {
        let mut above = path;
        let mut missing = Vec::new();
        let mut directory = loop {
            if let Some(found) = Directory::open(above)? {
                break found;
            }
            missing.push(above);
            above = above.parent().unwrap_or(Path::new("."));
        };
        for path in missing.into_iter().rev() {
            // `a/..` names what exists once `a` does.
            let name = match path.components().next_back() {
                Some(Component::Normal(name)) => Path::new(name),
                _ => path,
            };
            directory = directory.create_below(name, path)?;
        }
        Ok(directory)
    }

    fn create_below(&self, name: &Path, path: &Path) -> Result<Directory> {
        let fail = |e: Errno| Error::io("creating directory", path.display().to_string(), e.into());
        match rustix::fs::mkdirat(&self.handle, name, DIRECTORY_MODE) {
            Ok(()) => self.sync()?,
            // Another process was faster.
            Err(Errno::EXIST) => {}
            Err(e) => return Err(fail(e)),
        }
        let handle = open_directory(&self.handle, name).map_err(fail)?;
        Ok(Directory { handle: handle.into(), place: path.to_path_buf() })
    }

    /// The path of one of its files, or its own, for messages.
    fn place_of(&self, name: &str) -> String {
        if name.is_empty() {
            self.place.display()
        } else {
            return self.place.join(name).display().to_string();
        }
        .to_string()
    }

    fn fail(&self, doing: &str, name: &str, e: impl Into<io::Error>) -> Error {
        Error::io(doing, self.place_of(name), e.into())
    }

    /// Names of the files in it, sorted; directories are left out.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        let fail = |e: Errno| self.fail("listing", "", e);
        let mut names = Vec::new();
        for entry in retry_on_intr(|| Dir::read_from(&self.handle)).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            // Names that are not UTF-8 are not the engine's.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." && !self.is_directory(name, entry.file_type())? {
                names.push(name.to_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn is_directory(&self, name: &str, kind: FileType) -> Result<bool> {
        if kind != FileType::Unknown {
            return Ok(kind == FileType::Directory);
        }
        // Some file systems do not say it in the listing.
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(Errno::NOENT) => Ok(true),
            Err(e) => Err(self.fail("looking at", name, e)),
        }
    }

    fn open_with(&self, name: &str, flags: OFlags) -> std::result::Result<fs::File, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(&self.handle, name, flags, FILE_MODE)).map(fs::File::from)
    }

    pub(super) fn open_file(&self, name: &str, access: Access) -> Result<fs::File> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        // A read that gives the file a new time of access makes the next sync of it longer.
        let opened = match self.open_with(name, flags | NO_ACCESS_TIME) {
            // Only its owner may read a file so.
            Err(Errno::PERM) => self.open_with(name, flags),
            opened => opened,
        };
        opened.map_err(|e| self.fail("opening", name, e))
    }

    pub(super) fn create_file(&self, name: &str) -> Result<fs::File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open_with(name, flags).map_err(|e| self.fail("creating", name, e))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .map_err(|e| self.fail(&format!("renaming {from} to"), to, e))
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()).map_err(|e| self.fail("removing", name, e))
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.handle.sync_all().map_err(|e| self.fail("syncing directory", "", e))
    }

    pub(super) fn identity(&self, name: &str) -> Result<Option<FileId>> {
        match file_id(&self.handle, name, AtFlags::empty()) {
            Ok(id) => Ok(Some(id)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.fail("looking at", name, e)),
        }
    }

    pub(super) fn free_len(&self) -> Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.handle)
            .map_err(|e| self.fail("asking for the free space of", "", e))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The lock is on the directory itself: what a store cannot lose without ceasing to be this store. So files in
    /// it may be deleted or replaced, and no second writer comes in. The kernel drops the lock with its holder.
    pub(super) fn lock(&self) -> Result<Box<dyn Lock>> {
        let held = self.try_lock(fs::File::try_lock)?;
        lock::write_words(self.open_with(LOCK_NAME, OFlags::RDWR | OFlags::CREATE));
        Ok(Box::new(held))
    }

    pub(super) fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        Ok(Box::new(self.try_lock(fs::File::try_lock_shared)?))
    }

    fn try_lock(&self, take: fn(&fs::File) -> std::result::Result<(), fs::TryLockError>) -> Result<OsLock> {
        // A handle of its own: two locks of one process exclude each other too.
        let own = open_directory(&self.handle, Path::new(".")).map_err(|e| self.fail("locking", "", e))?;
        let own = fs::File::from(own);
        let taken = match take(&own) {
            // Some network file systems lock files only.
            Err(fs::TryLockError::Error(e)) if lock::is_unsupported(&e) => {
                let flags = OFlags::RDWR | OFlags::CREATE;
                let file =
                    self.open_with(LOCK_NAME, flags).map_err(|e| self.fail("opening", LOCK_NAME, e))?;
                take(&file).map(|()| file)
            }
            taken => taken.map(|()| own),
        };
        match taken {
            Ok(held) => Ok(OsLock { _held: held }),
            Err(fs::TryLockError::WouldBlock) => Err(self.locked()),
            Err(fs::TryLockError::Error(e)) => Err(self.fail("locking", "", e)),
        }
    }

    fn locked(&self) -> Error {
        let words = self.open_with(LOCK_NAME, OFlags::RDONLY).ok();
        let holder = lock::describe_holder(&self.handle, words);
        let message = format!(
            "{} is open for writing or being repaired by {holder}; wait for it (`Config::lock_wait`, `--wait SECONDS`), \
             close it there, or open the store read-only",
            self.place.display()
        );
        Error::new(ErrorKind::Locked, message)
    }
}

fn open_directory(at: impl AsFd, path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(at.as_fd(), path, flags, Mode::empty()))
}

/// Device and number of a file, and nothing else of it: a caller that learns a file's times makes Linux give it a
/// new time with the next write (since 6.13), which costs each sync of a log half as much again.
#[cfg(target_os = "linux")]
pub(super) fn file_id(at: impl AsFd, name: &str, flags: AtFlags) -> std::result::Result<FileId, Errno> {
    use rustix::fs::{StatxFlags, makedev, statx};
    match statx(at.as_fd(), name, flags, StatxFlags::INO) {
        Ok(found) => {
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok(FileId { device, inode: found.stx_ino })
        }
        Err(Errno::NOSYS) => file_id_by_stat(at, name, flags),
        Err(e) => Err(e),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use file_id_by_stat as file_id;

#[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "the widths differ between systems")]
pub(super) fn file_id_by_stat(
    at: impl AsFd,
    name: &str,
    flags: AtFlags,
) -> std::result::Result<FileId, Errno> {
    let stat = match name {
        "" => rustix::fs::fstat(at)?,
        name => rustix::fs::statat(at, name, flags)?,
    };
    Ok(FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
}

#[derive(Debug)]
struct OsLock {
    _held: fs::File,
}

impl Lock for OsLock {}
