//! Asks the processor for cache lines ahead of their use, so that several misses are awaited at once.
//!
//! A plain load whose result nobody needs holds up all that follows it as soon as the processor's window
//! is full; a prefetch does not. It reads nothing, writes nothing and cannot fault, whatever the address
//! holds, so what is offered here is safe. On other processors than x86-64 and aarch64 it does nothing.
//!
//! What it buys: `benches/src/bin/random_patch.rs`. The fuzz target `patch` runs through every caller.

#![expect(unsafe_code, reason = "the prefetch instruction takes a raw pointer")]

/// Bytes of a cache line.
pub const LINE_LEN: usize = 64;

/// Asks for the line of `place`.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    line(std::ptr::from_ref(place).cast());
}

/// Asks for the line of byte `at`; nothing where the slice is shorter.
#[inline(always)]
pub fn prefetch_at<T>(slice: &[T], at: usize) {
    if let Some(place) = slice.get(at) {
        prefetch(place);
    }
}

/// Asks for all lines of `place`.
#[inline(always)]
pub fn prefetch_all<T>(place: &T) {
    let start: *const u8 = std::ptr::from_ref(place).cast();
    for at in (0..size_of::<T>()).step_by(LINE_LEN) {
        line(start.wrapping_add(at));
    }
}

#[inline(always)]
fn line(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch is a hint: it never faults, and SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch is a hint: it never faults, and it changes neither memory nor flags.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}
