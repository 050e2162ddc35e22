//! The write-ahead log: frames of changes are appended, made durable in groups, and read back after a
//! crash. A commit is promised once [`GroupCommit::wait`] (or [`GroupCommit::poll_durable`]) says so.
//!
//! | file     | holds                                                                                   |
//! |----------|-----------------------------------------------------------------------------------------|
//! | `frame`  | layout of one frame                                                                     |
//! | `attestation` | the record of what was reported durable, outside the log; the check of the store's files |
//! | `file`   | layout of a log file's header, names of files                                           |
//! | `log`    | [`Log`], the writer's end: reserve, append, roll over to the next file                  |
//! | `group`  | [`GroupCommit`]: who syncs, who waits, who is woken; files made ahead and given back    |
//! | `reader` | [`scan`]: walks the log after a crash or a close, tells torn from corrupt               |
//! | `audit`  | [`audit`]: looks at every byte of every file, without a store                           |
//! | `salvage`| [`salvage`]: every frame that can be read, also behind damage                           |
//!
//! The room promises that after `reserve` an append cannot fail (mapped), that nothing is called durable
//! before a sync covered it, and that a frame which was called durable is found again or missed loudly.
//! It owns no thread, and leaves to the store what a superblock must say first:
//!
//! ```text
//! commit    reserve ─► append ─► (apply) ─► wait                       one fdatasync for all who wait
//! open      scan ─┬─ sealed ─► superblock "open" ─► resume
//!                 └─ else ─► keep_torn_tail ─► make_durable ─► start_generation
//! close     sync_now ─► resume_point().seal() into both superblock copies
//! checkpoint  resume_point() at the snapshot ─► … ─► superblock ─► append a mark ─► recycle
//! ```
//!
//! The store runs the flusher with [`GroupCommit::flusher_wait`] and
//! [`GroupCommit::prepare_next`], and gives files back with [`GroupCommit::recycle`].

mod attestation;
mod audit;
mod file;
mod frame;
mod group_commit;
mod reader;
mod salvage;
#[cfg(test)]
mod tests;
mod writer;

pub use attestation::{Attestation, BLOCK_LEN, Block, Constant, NewestFile, Witness};
pub use audit::{Landmark, LogAudit, audit};
pub use file::{FRAMES_AT, FileHeader};
pub use file::{is_leftover, log_name, log_number};
pub use frame::{CheckpointMark, Kind, frame_len};
pub use group_commit::{FlusherWork, GroupCommit, stopped};
pub use reader::{FrameRef, Known, Scan, Seal, is_torn_name, keep_torn_tail, make_durable, scan};
pub use writer::Log;

pub use salvage::{Salvaged, salvage, store_id_of_logs};

use crate::id::Lsn;

/// A place in the log: where a frame starts, or where the next one goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Number of the log file.
    pub file: u64,
    /// Offset in it.
    pub offset: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} byte {}", file::log_name(self.file), self.offset)
    }
}

/// All that is needed to go on writing the log, or to start reading it: the place behind a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Where the next frame goes.
    pub position: Position,
    /// Lsn of the frame before.
    pub lsn: Lsn,
    /// Header CRC of the frame before; at the start of a generation, of its first file.
    pub prev_crc: u32,
    /// The log generation.
    pub generation: u32,
}

impl Resume {
    /// The file in which a log that just began goes on.
    pub fn first_file(&self) -> NewestFile {
        NewestFile { number: self.position.file, crc: self.prev_crc }
    }

    /// What a clean close seals the log with, once everything before this place is durable.
    pub fn seal(&self) -> Seal {
        Seal { position: self.position, crc: self.prev_crc }
    }
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// Length of a new store's first file: one that is never written takes little of the disk.
    pub file_len_first: u64,
    /// Length of the next file; the following ones double, but for those that are asked for late
    /// (`Log::len_in_time`).
    pub file_len_min: u64,
    /// Length at which they stop doubling.
    pub file_len_max: u64,
    /// Write through a shared mapping where the disk has one: a frame then reaches the operating system
    /// without a system call. Otherwise each frame is one `pwrite`.
    pub mapped: bool,
}

impl Default for LogConfig {
    /// 1 MiB is made in a few milliseconds; 64 MiB makes a roll-over rare under full load.
    fn default() -> LogConfig {
        LogConfig { file_len_first: 64 << 10, file_len_min: 1 << 20, file_len_max: 64 << 20, mapped: true }
    }
}
