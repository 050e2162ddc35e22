//! What is asked of the disk, and how it may fail.

use super::crash::Kept;
use std::io;

/// What was asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Op {
    /// The directory was created.
    CreateDir,
    /// A file was created.
    Create,
    /// A file was opened.
    Open,
    /// A file was renamed; the event has the new name.
    Rename,
    /// A file was unlinked.
    Remove,
    /// Names were synced.
    SyncDir,
    /// Bytes were written by a call.
    Write,
    /// Bytes were stored through the log's mapping; cannot fail.
    TailWrite,
    /// A file was filled with zeros.
    Allocate,
    /// Contents were synced.
    Sync,
    /// A file was mapped.
    Map,
    /// Bytes were read.
    Read,
    /// A file's length was asked for.
    Len,
    /// Which file has a name was asked for.
    Identity,
    /// The directory's names were read.
    List,
    /// The lock was taken.
    Lock,
    /// The free space was asked for.
    FreeLen,
}

impl Op {
    /// All that can fail.
    pub const FALLIBLE: [Op; 16] = [
        Op::CreateDir,
        Op::Create,
        Op::Open,
        Op::Rename,
        Op::Remove,
        Op::SyncDir,
        Op::Write,
        Op::Allocate,
        Op::Sync,
        Op::Map,
        Op::Read,
        Op::Len,
        Op::Identity,
        Op::List,
        Op::Lock,
        Op::FreeLen,
    ];

    /// Whether it changes what is stored, or makes it durable.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Op::Open | Op::Map | Op::Read | Op::Len | Op::Identity | Op::List | Op::FreeLen | Op::Lock
        )
    }
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub op: Op,
    /// On which file; empty for the directory.
    pub name: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// What becomes of a call. Those that lie are for tests of damage: the caller is told that all went well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails and did nothing. A sync that fails marks its writes clean without keeping them.
    Errno(i32),
    /// The same, for errors that the standard library names.
    Kind(io::ErrorKind),
    /// It fails after a part was done: a write that is short or torn.
    Partly(i32),
    /// It is interrupted and takes two calls, as the real disk makes them; nobody notices.
    InTwo,
    /// Lies: one bit of what is written is another one.
    FlippedBit(u64),
    /// Lies: one sector of what is written is not, and stays what it was.
    LostSector(u64),
    /// Lies: one sector of what is written goes to another place in the file.
    MisdirectedSector(u64),
}

/// The device failed.
pub const EIO: i32 = 5;
/// The call was interrupted.
pub const EINTR: i32 = 4;
/// No memory, for a mapping.
pub const ENOMEM: i32 = 12;
/// No descriptor is left.
pub const EMFILE: i32 = 24;
/// No room is left.
pub const ENOSPC: i32 = 28;

impl Fault {
    /// What a sync that fails so has kept.
    pub(super) fn kept(fault: Option<Fault>) -> Kept {
        if matches!(fault, Some(Fault::Partly(_))) { Kept(4) } else { Kept::NONE }
    }

    /// The error that the caller gets, if any.
    pub(super) fn error(self) -> Option<io::Error> {
        match self {
            Fault::Errno(errno) | Fault::Partly(errno) => Some(io::Error::from_raw_os_error(errno)),
            Fault::Kind(kind) => Some(kind.into()),
            _ => None,
        }
    }
}
