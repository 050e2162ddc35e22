//! Memory for pages and what changed of them, in huge pages.
//!
//! A patch of a cold record meets some ten cache lines, each in a page of memory that it has not met lately.
//! With pages of 4 KiB the processor looks up most of their addresses first, and each look-up may miss several
//! times, twice as often under a hypervisor. So what is met row by row lies here: pieces of 2 MiB that the
//! kernel is asked to back with one page each ([`pieces`]), divided up by [`pool`]. It is one heap for all stores
//! of a process. Nothing that lies here outlives what holds it: [`Array`] and [`Shared`] free it as they drop.
//!
//! What it buys: `benches/src/bin/random_patch.rs` (decision 0004). Its tests run under Miri too, where pieces come
//! from the system's allocator: `cargo +nightly miri test -p vellum-memory`. In fuzz targets the sanitizer's
//! allocator stands in for it, so that it sees each block; the target `heap` tries the pool itself.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

mod pieces;
mod pool;
mod shared;

pub use shared::Shared;

use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};
use allocator_api2::vec::Vec;
use parking_lot::Mutex;
use pool::Pool;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A growing array in this heap.
#[derive(Clone, Debug)]
pub struct Array<T>(Vec<T, Heap>);

impl<T> Default for Array<T> {
    #[inline]
    fn default() -> Array<T> {
        Array(Vec::new_in(Heap))
    }
}

impl<T> Deref for Array<T> {
    type Target = Vec<T, Heap>;

    #[inline]
    fn deref(&self) -> &Vec<T, Heap> {
        &self.0
    }
}

impl<T> DerefMut for Array<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<T, Heap> {
        &mut self.0
    }
}

impl<T> FromIterator<T> for Array<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Array<T> {
        let items = items.into_iter();
        let mut array = Array(Vec::with_capacity_in(items.size_hint().0, Heap));
        array.0.extend(items);
        array
    }
}

impl Array<u8> {
    /// As many zeros.
    pub fn zeroed(len: usize) -> Array<u8> {
        let mut array = Array(Vec::with_capacity_in(len, Heap));
        array.0.resize(len, 0);
        array
    }
}

impl From<&[u8]> for Array<u8> {
    fn from(bytes: &[u8]) -> Array<u8> {
        // The vector's own `extend_from_slice` clones one byte after the other: a hundred times what filling and
        // copying take.
        let mut array = Array::zeroed(bytes.len());
        array.0.copy_from_slice(bytes);
        array
    }
}

impl AsMut<[u8]> for Array<u8> {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Extend<u8> for Array<u8> {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.0.extend(bytes);
    }
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Whether the system's allocator has it: what is long, and what is aligned to more than a cache line. In fuzz
/// targets that is so of all, for a sanitizer then sees each block.
#[inline]
fn is_elsewhere(layout: Layout) -> bool {
    layout.size() > pool::LEN_MAX || layout.align() > pool::ALIGN || layout.size() == 0 || cfg!(fuzzing)
}

/// The heap, as arrays name it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Heap;

// SAFETY: a layout is always passed to the same allocator, and what either gives is as long and as aligned as asked.
unsafe impl Allocator for Heap {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        #[cfg(debug_assertions)]
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        if is_elsewhere(layout) {
            return Global.allocate(layout);
        }
        let at = POOL.lock().take(layout.size()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(at, layout.size()))
    }

    #[inline]
    unsafe fn deallocate(&self, at: NonNull<u8>, layout: Layout) {
        // SAFETY: as promised by the caller, `allocate` gave it for this layout.
        unsafe {
            match is_elsewhere(layout) {
                true => Global.deallocate(at, layout),
                false => POOL.lock().give_back(at, layout.size()),
            }
        }
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static ALLOCATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often this thread took memory here, for the test that counts allocations.
#[cfg(debug_assertions)]
#[doc(hidden)]
#[must_use]
pub fn heap_allocations() -> u64 {
    ALLOCATIONS.get()
}

#[cfg(any(test, fuzzing))]
pub use pool::exercise;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_every_length_and_alignment_is_apart_aligned_and_kept() {
        let mut held = std::vec::Vec::new();
        let mut seed = 1_u64;
        for round in 0..if cfg!(miri) { 200 } else { 20_000_u64 } {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len =
                1 + (seed >> 33) as usize % if round % 100 == 0 && !cfg!(miri) { 3 << 20 } else { 3000 };
            let layout = Layout::from_size_align(len, 1 << (seed >> 60 & 7)).expect("a layout");
            let at = Heap.allocate(layout).expect("memory");
            assert_eq!(at.cast::<u8>().as_ptr().align_offset(layout.align()), 0, "{layout:?}");
            let mark = round as u8;
            // SAFETY: it was just handed out, of this length.
            unsafe { at.cast::<u8>().as_ptr().write_bytes(mark, len) };
            held.push((at.cast::<u8>(), layout, mark));
            if held.len() > 100 {
                let (at, layout, mark) = held.swap_remove((seed >> 40) as usize % held.len());
                give_back(at, layout, mark);
            }
        }
        for (at, layout, mark) in held {
            give_back(at, layout, mark);
        }
    }

    /// Checks that nobody wrote to it, and frees it.
    fn give_back(at: NonNull<u8>, layout: Layout, mark: u8) {
        // SAFETY: handed out with this layout, filled, and freed here alone.
        unsafe {
            let bytes = std::slice::from_raw_parts(at.as_ptr(), layout.size());
            assert!(bytes.iter().all(|byte| *byte == mark), "{layout:?}");
            Heap.deallocate(at, layout);
        }
    }

    #[test]
    fn arrays_grow_and_keep_what_they_hold() {
        let mut array: Array<u64> = (0..10).collect();
        array.extend(10..100_000);
        assert!(array.iter().copied().eq(0..100_000));
        assert_eq!(&**Array::from(&b"page"[..]), b"page");
        assert!(Array::<u8>::default().is_empty());
    }
}
