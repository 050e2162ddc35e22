//! Memory for pages, in huge pages of 2 MiB ([`Array`], [`Shared`]), and prefetching ([`prefetch`]).
//!
//! A patch of a cold record misses the cache some ten times, and with pages of 4 KiB the processor first looks up most
//! of those addresses. So what is met row by row lies in pieces of 2 MiB that the kernel is asked to back with one page
//! each. It is one heap for all stores of a process; [`Array`] and [`Shared`] free their memory as they drop. Several
//! misses are awaited at once when their lines are prefetched first: a hint that reads nothing and cannot fault.
//!
//! With `vellum-disk` this is the only library of vellum with `unsafe`. Its tests run under Miri
//! (`cargo +nightly miri test -p vellum-memory`), and the fuzz target `heap` tries the pool.
//!
//! ```
//! use vellum_memory::{Array, Shared, prefetch};
//!
//! let mut page = Array::zeroed(4096);
//! page[100] = 7;
//! let mut ours = Shared::new(page);
//! let snapshot = ours.clone(); // both hold the same bytes
//! Shared::make_mut(&mut ours)[100] = 8; // a copy, as the snapshot holds them too
//! prefetch(&snapshot[100]);
//! assert_eq!((snapshot[100], ours[100]), (7, 8));
//! ```

mod heap;
mod prefetch;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use heap::exercise;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub use heap::heap_allocations;
pub use heap::{Array, Shared};
pub use prefetch::{LINE_LEN, prefetch, prefetch_all, prefetch_at};
