//! Pieces: 2 MiB of memory each, aligned to as much, which the kernel is asked to back with one huge page.

#![expect(unsafe_code, reason = "mapping memory is unsafe")]

use rustix::mm::{self, MapFlags, ProtFlags};
use std::ptr::NonNull;

/// Bytes of a piece, and what its address is a multiple of: the length of a huge page on x86-64 and aarch64.
pub(super) const PIECE_LEN: usize = 2 << 20;

/// A new piece of zeros; `None` when the system has no memory left.
pub(super) fn map() -> Option<NonNull<u8>> {
    if cfg!(miri) {
        let layout = std::alloc::Layout::from_size_align(PIECE_LEN, PIECE_LEN).ok()?;
        // SAFETY: the layout has a length.
        return NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
    }
    let mut at = map_len(PIECE_LEN)?;
    if at.align_offset(PIECE_LEN) != 0 {
        // The kernel did not align it by itself: one twice as long has an aligned part.
        unmap_len(at, PIECE_LEN);
        let whole = map_len(2 * PIECE_LEN)?;
        let ahead = whole.align_offset(PIECE_LEN);
        at = whole.wrapping_add(ahead);
        unmap_len(whole, ahead);
        unmap_len(at.wrapping_add(PIECE_LEN), PIECE_LEN - ahead);
    }
    #[cfg(target_os = "linux")]
    // SAFETY: advice about a mapping of ours, which changes no byte. A kernel without huge pages refuses it.
    let _ = unsafe { mm::madvise(at.cast(), PIECE_LEN, mm::Advice::LinuxHugepage) };
    NonNull::new(at)
}

/// Gives a piece back.
///
/// # Safety
/// It came from [`map`], and nobody uses any part of it.
pub(super) unsafe fn unmap(piece: NonNull<u8>) {
    if cfg!(miri) {
        if let Ok(layout) = std::alloc::Layout::from_size_align(PIECE_LEN, PIECE_LEN) {
            // SAFETY: as promised by the caller, `map` made it with this layout.
            unsafe { std::alloc::dealloc(piece.as_ptr(), layout) };
        }
        return;
    }
    unmap_len(piece.as_ptr(), PIECE_LEN);
}

fn map_len(len: usize) -> Option<*mut u8> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new private mapping, where the kernel finds room.
    let mapped = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), len, access, MapFlags::PRIVATE) };
    mapped.ok().map(<*mut _>::cast)
}

fn unmap_len(at: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: called here alone, for parts of mappings of ours that nobody uses.
        let unmapped = unsafe { mm::munmap(at.cast(), len) };
        debug_assert!(unmapped.is_ok(), "a part of a mapping can be unmapped: {unmapped:?}");
    }
}
