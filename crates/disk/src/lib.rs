//! The one seam between vellum and a disk: every byte that is stored or read back passes here.
//!
//! A [`Disk`] is one directory, a [`File`] one file in it, a [`Region`] sealed bytes mapped for
//! reading, a [`LogTail`] the log file that is being written. [`OsDisk`] is the real disk; `vellum-sim` has a simulated
//! one. No other crate knows which of the two it runs on, and no other calls the operating system for files.
//!
//! What an implementation promises: `write_at` then `sync` on the same file makes the bytes (and the
//! length that they need) durable; names created, renamed or removed are durable after `sync_dir`;
//! between two syncs nothing is ordered. What callers promise: published segments are never written
//! again and never cut; a region is mapped only over bytes that were synced.
//!
//! ```
//! use vellum_disk::{Access, Disk, OsDisk};
//!
//! let path = std::env::temp_dir().join(format!("vellum-doc-disk-{}", std::process::id()));
//! let disk = OsDisk::new(&path);
//! disk.create_dir()?;
//! let _lock = disk.lock()?; // one writer a directory; another one gets `Locked`
//! let file = disk.create("notes")?;
//! file.write_at(0, b"hello")?;
//! file.sync()?; // the bytes are durable,
//! disk.sync_dir()?; // and so is the name
//!
//! let mut bytes = [0; 5];
//! disk.open("notes", Access::Read)?.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # std::fs::remove_dir_all(&path).ok();
//! # Ok::<(), vellum_bytes::Error>(())
//! ```

mod directory;
mod lock;
mod map;
mod os;
#[cfg(test)]
mod tests;

pub use map::{Probe, Region};
pub use os::OsDisk;

use std::fmt::Debug;
use std::sync::Arc;
use vellum_bytes::Result;

/// Name of the file that says which process wrote a store last: words for a message, not the lock.
pub const LOCK_NAME: &str = "lock";
/// Name of the file of zeros that holds room for a checkpoint.
pub const RESERVE_NAME: &str = "reserve";
/// Name of the file of zeros that becomes a log file on a full disk.
pub const LOG_RESERVE_NAME: &str = "reserve-log";

/// A directory of flat file names, resolved once: a directory that is renamed afterwards stays this one.
pub trait Disk: Send + Sync + Debug {
    /// Where this is, for messages.
    fn place(&self) -> String;
    /// Whether the directory exists.
    fn exists(&self) -> Result<bool>;
    /// Creates the directory and missing ancestors; each new name is synced in its parent.
    fn create_dir(&self) -> Result<()>;
    /// Names of the files in the directory, sorted; empty when there is no directory.
    fn list(&self) -> Result<Vec<String>>;
    /// Opens an existing file, for reading alone or for writing too.
    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>>;
    /// Creates a file that must not exist, empty, open for reading and writing.
    fn create(&self, name: &str) -> Result<Arc<dyn File>>;
    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Unlinks a file; regions mapped from it stay valid.
    fn remove(&self, name: &str) -> Result<()>;
    /// Makes names durable.
    fn sync_dir(&self) -> Result<()>;
    /// Which file has this name now; `None` when no file has it, or the directory was deleted.
    fn identity(&self, name: &str) -> Result<Option<FileId>>;
    /// Takes the writer's lock on the directory, without waiting.
    ///
    /// # Errors
    /// `Locked`, naming the process that holds it.
    fn lock(&self) -> Result<Box<dyn Lock>>;
    /// Takes the lock that readers share, which excludes writers, without waiting and without writing anything.
    ///
    /// # Errors
    /// As [`Disk::lock`].
    fn lock_shared(&self) -> Result<Box<dyn Lock>>;
    /// Bytes that can still be allocated.
    fn free_len(&self) -> Result<u64>;
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// Distinguishes a file from every other one that exists at the same time, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// Number of the device.
    pub device: u64,
    /// Number of the file on it.
    pub inode: u64,
}

/// Held for as long as the store is open; dropping it releases the lock.
pub trait Lock: Send + Sync + Debug {}

/// One file. All offsets are absolute; the methods may be called from several threads.
#[expect(clippy::len_without_is_empty, reason = "a length may be unknown; nobody asks for empty files")]
pub trait File: Send + Sync + Debug {
    /// Name inside its directory.
    fn name(&self) -> &str;
    /// Which file this is.
    fn identity(&self) -> Result<FileId>;
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// Fills `into` from `offset` or fails; a file that ends before is `Corrupt`.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;
    /// Writes all of `bytes` at `offset` or fails.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Gives the file `len` bytes of real, allocated zeros, over whatever it held (written in 4 KiB
    /// pieces, so that the page cache holds 4 KiB pages and a later sync writes no more than what
    /// changed). After an error the file may hold any part of them; the caller removes it.
    fn allocate_zeroed(&self, len: u64) -> Result<()>;
    /// Gives the file `len` bytes of room on the disk that nobody else can take. What it held stays; what is
    /// new reads as zeros. After an error it may have any part of it.
    fn allocate(&self, len: u64) -> Result<()> {
        self.allocate_zeroed(len)
    }
    /// Makes contents and length durable (fdatasync).
    fn sync(&self) -> Result<()>;
    /// Starts writing back without waiting, so that a later sync finds little to do. A hint.
    fn start_writeback(&self, offset: u64, len: u64);
    /// Lets the page cache forget what it holds of the range and is clean. A hint: after a file was
    /// read in large pieces, writing to it through a mapping would write such pieces back.
    fn drop_cache(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
    /// Maps the first `len` bytes for reading; the length is checked against the file first. Nothing is read
    /// yet: before a byte is touched, [`Region::populate`] asks whether the disk can read it.
    fn map(&self, len: u64) -> Result<Region>;
    /// Maps the first `len` bytes for the log's writer. `None` where the disk has no such mapping;
    /// the log then uses `write_at`.
    fn map_tail(&self, len: u64) -> Result<Option<Box<dyn LogTail>>>;
}

/// A log file under the writer's hand: a store into it has reached the operating system when
/// `write` returns, and survives the death of the process.
pub trait LogTail: Send + Debug {
    /// Copies `bytes` to `offset`; the range lies inside the mapped length (asserted).
    fn write(&mut self, offset: usize, bytes: &[u8]);
    /// Faults the pages of a range in ahead of use, so that `write` never waits. A hint.
    fn prefault(&self, offset: usize, len: usize);
}
