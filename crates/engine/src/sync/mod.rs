//! Locks, atomics, swapped pointers and threads, as the rooms that synchronize take them.
//!
//! In a build these are `parking_lot`, `arc_swap` and the standard library, by other names and nothing more.
//! Under `--cfg vellum_shuttle` they are those of [`shuttle`](https://docs.rs/shuttle), which
//! runs threads one step at a time in an order that it chooses: `schedules` has the tests. What only counts
//! (memory, images read, draws) uses the standard library's atomics directly: no order depends on them.

#[cfg(vellum_shuttle)]
mod scheduled;
#[cfg(vellum_shuttle)]
pub use scheduled::*;

#[cfg(not(vellum_shuttle))]
mod plain {
    pub use arc_swap::{ArcSwap, Guard};
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::sync::{atomic, mpsc};
    pub use std::thread;

    /// A place for what several hold, or nothing.
    pub type SharedSwap<T> = arc_swap::ArcSwapAny<Option<vellum_memory::Shared<T>>>;
}
#[cfg(not(vellum_shuttle))]
pub use plain::*;
