//! A preallocated file, mapped for writing: the cheapest way to hand a frame to the operating system.

#![expect(unsafe_code, reason = "mapping a file is unsafe: nobody but us may cut it meanwhile")]

use crate::Result;
use memmap2::MmapMut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Zeros are written in pieces of a page, so that a sync writes no more than the pages that changed.
const PIECE: usize = 4096;

/// A new file of `len` zeros, on disk.
pub(crate) fn zeroed_file(path: &Path, len: u64) -> Result<File> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    for offset in (0..len).step_by(PIECE) {
        file.write_all_at(&[0; PIECE], offset)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Maps all of a file that was made by [`zeroed_file`], every page faulted in.
pub(crate) fn map(file: &File) -> Result<MmapMut> {
    // SAFETY:
    // 1. The file was made by this process in a directory of its own, and keeps its length while it is mapped.
    // 2. Nobody reads or writes it but through this mapping, and fdatasync does not change it.
    let mut map = unsafe { MmapMut::map_mut(file)? };
    map.iter_mut().step_by(PIECE).for_each(|byte| *byte = 0);
    Ok(map)
}
