//! Locks, atomics, swapped pointers and threads, as the rooms that synchronize take them.
//!
//! In a build these are `parking_lot`, `arc_swap` and the standard library, by other names and nothing more.
//! In unit tests under `--cfg vellum_shuttle` they are those of [`shuttle`](https://docs.rs/shuttle), which
//! runs threads one step at a time in an order that it chooses: `schedules` has the tests. What only counts
//! (memory, images read, draws) uses the standard library's atomics directly: no order depends on them.

#[cfg(all(test, vellum_shuttle))]
mod scheduled;
#[cfg(all(test, vellum_shuttle))]
pub(crate) use scheduled::*;

#[cfg(not(all(test, vellum_shuttle)))]
mod plain {
    pub(crate) use arc_swap::{ArcSwap, Guard};
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub(crate) use std::sync::{atomic, mpsc};
    pub(crate) use std::thread;

    /// A place for what several hold, or nothing.
    pub(crate) type SharedSwap<T> = arc_swap::ArcSwapAny<Option<crate::heap::Shared<T>>>;
}
#[cfg(not(all(test, vellum_shuttle)))]
pub(crate) use plain::*;
