//! Benchmarks of vellum, one file a promise. Every figure goes out with machine, size and command.
//!
//! | file                 | promise                                                                   |
//! |----------------------|---------------------------------------------------------------------------|
//! | `benches/patch`      | a patch costs what it changes: kinds, refusals, batches, sizes            |
//! | `benches/get`        | a read costs the same at any size, and reads what was asked for           |
//! | `benches/wal`        | a frame costs a copy; one sync serves all who wait                        |
//! | `benches/index`      | probe, insert and split                                                   |
//! | `benches/checkpoint` | a checkpoint writes what changed; writers hardly wait                     |
//! | `benches/recover`    | opening after a crash costs what the log holds                            |
//! | `benches/load`       | a new store filled                                                        |
//! | `benches/snapshot`   | taken at once; patches while it is held and read                          |
//! | `bin/floor`          | what the machine allows, beside vellum                                    |
//! | `bin/instructions`   | instructions of a warm patch, get and commit, against a committed budget  |
//! | `bin/year`           | mutations a second over a year of flights, one transaction each           |
//! | `bin/random_patch`   | patches a second, bytes written and memory, over a store larger than memory's budget |
//! | `bin/latency`        | how long commits take beside checkpoints and long readers                 |
//! | `bin/open_time`      | opening after a clean close costs the same at any size                    |
//! | `bin/recovery`       | a full log is replayed within a second                                    |
//! | `bin/wide`           | what a wide record costs: read whole, refused, made and patched by the thousand |
//! | `bin/scale`          | what grows with the number of records: one store in stages, up to 10^8    |
//! | `peers/`             | the same work through other engines: a crate of its own                   |
//!
//! Here is what they share: arguments, the machine, the process's own figures, fixtures, a narrow and a
//! wide object.

#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark reads /proc and makes directories"
)]

pub mod args;
pub mod fixture;
pub mod floor;
mod floor_map;
pub mod machine;
pub mod narrow;
pub mod process;
pub mod tags;
pub mod wide;
pub mod year;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Any error here is for a person to read.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// A directory of this run's own, removed at the end.
#[derive(Debug)]
pub struct WorkDir(PathBuf);

impl WorkDir {
    /// A new directory under `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(parent: &Path, name: &str) -> Result<WorkDir> {
        let path = parent.join(format!("vellum-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(WorkDir(path))
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed stays for the system to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The middle one of the figures, the lower one of two.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Events a second since `started`.
#[must_use]
pub fn rate(count: u64, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}

/// Bytes of all files in a directory.
///
/// # Errors
/// When it cannot be listed.
pub fn dir_len(path: &Path) -> Result<u64> {
    let mut len = 0;
    for entry in std::fs::read_dir(path)? {
        len += entry?.metadata()?.len();
    }
    Ok(len)
}

/// Bytes that a directory and those in it take on the disk, holes left out.
///
/// # Errors
/// When one cannot be listed.
pub fn allocated_len(path: &Path) -> Result<u64> {
    let mut len = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // `st_blocks` counts 512 bytes each, whatever the file system's own blocks are.
        len += if metadata.is_dir() { allocated_len(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(len)
}

/// Random numbers that are the same in every run: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, uniform but for a bias of `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// SplitMix64's finalizer: a permutation of the 64-bit numbers.
#[must_use]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
