//! The storage error: a kind for programs, a sentence for people, and the place in a file behind it.
//!
//! It says where, what was expected, what was found, and the way out when there is one. It is one pointer wide, so
//! that a `Result` on the hot path stays small. Rooms that know nothing of schemas and values use it; `vellum::Error`
//! wraps it.

use std::fmt;
use std::sync::Arc;

/// A result of storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with the disk, the store or the bytes on it, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A size or count is over its limit.
    LimitExceeded,
    /// Text that cannot be read: an id, a number, a name.
    InvalidInput,
    /// The directory is no store.
    NotAStore,
    /// `create` met a store.
    AlreadyExists,
    /// The store has a format that this build does not read.
    UnknownFormat,
    /// Another process, or another handle in this one, has the store open.
    Locked,
    /// The store was opened for reading, or its files cannot be written.
    ReadOnly,
    /// There is no room for the log or for what a checkpoint needs.
    DiskFull,
    /// A call to the operating system failed.
    Io,
    /// Bytes on disk are not what was written, or the disk cannot read them.
    Corrupt,
    /// A failed log write or sync stopped the store; reopen it.
    Poisoned,
    /// The store was closed.
    Closed,
    /// Something else is under way; try again.
    Busy,
    /// A write through the store inside a transaction of the same thread.
    NestedWrite,
}

/// A place in a file where bytes were wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File name relative to the store's directory.
    pub file: String,
    /// Byte offset in it.
    pub offset: u64,
    /// What was expected and what was found.
    pub reason: String,
}

#[derive(Clone, Debug)]
enum Detail {
    Text(String),
    Corrupt(Place),
    Io { doing: String, file: String, source: Arc<std::io::Error> },
}

/// What went wrong: [`Error::kind`] for programs, `Display` for people.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    detail: Detail,
}

impl Error {
    /// An error with this sentence.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, detail: Detail::Text(message.into()) }))
    }

    /// Text that cannot be read as what it should be.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, message)
    }

    /// Bytes in `file` at `offset` are not what was written.
    #[must_use]
    pub fn corrupt(file: impl Into<String>, offset: u64, reason: impl Into<String>) -> Error {
        let place = Place { file: file.into(), offset, reason: reason.into() };
        Error(Box::new(Inner { kind: ErrorKind::Corrupt, detail: Detail::Corrupt(place) }))
    }

    /// A call to the operating system failed; a full disk, a missing right and a lock that is held have their own
    /// kinds.
    #[must_use]
    pub fn io(doing: impl Into<String>, file: impl Into<String>, source: std::io::Error) -> Error {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                ErrorKind::ReadOnly
            }
            std::io::ErrorKind::WouldBlock => ErrorKind::Locked,
            _ => ErrorKind::Io,
        };
        let detail = Detail::Io { doing: doing.into(), file: file.into(), source: Arc::new(source) };
        Error(Box::new(Inner { kind, detail }))
    }

    /// What went wrong, for programs.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The place behind [`ErrorKind::Corrupt`].
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match &self.0.detail {
            Detail::Corrupt(place) => Some(place),
            _ => None,
        }
    }

    /// Whether a file was not there.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        matches!(&self.0.detail, Detail::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.detail {
            Detail::Text(text) => f.write_str(text),
            Detail::Corrupt(place) => {
                write!(f, "{} at byte {}: {}", place.file, place.offset, place.reason)?;
                write!(f, "; `vellum verify` lists the damage")
            }
            Detail::Io { doing, file, source } => {
                write!(f, "{doing} {file}: {source}")?;
                way_out(source).map_or(Ok(()), |way_out| write!(f, "; {way_out}"))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.detail {
            Detail::Io { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// What helps against an error of the system, where it is known.
fn way_out(source: &std::io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    Some(match Errno::from_io_error(source)? {
        Errno::NOSPC | Errno::DQUOT => {
            "free some space on this file system, or move the store to a larger one"
        }
        Errno::ROFS => {
            "the file system is mounted read-only: mount it for writing, or open the store read-only"
        }
        Errno::ACCESS | Errno::PERM => {
            "give this user the right to read and write the directory and its files"
        }
        Errno::MFILE => "raise the process's limit of open files (`ulimit -n`)",
        Errno::NFILE => "raise the system's limit of open files",
        Errno::NOMEM => "give the process more memory or address space (`ulimit -v`)",
        Errno::IO => "the device failed: see the system's log, take a backup, and check the disk",
        Errno::NOLCK => "mount the file system with locks, or move the store to a local one",
        Errno::NOENT => "check the path; a store's files must not be moved or deleted",
        Errno::STALE => "the network file system lost the file: mount it again and reopen the store",
        Errno::FBIG => {
            "raise the limit of file sizes (`ulimit -f`), or move the store to another file system"
        }
        _ => return None,
    })
}
