//! The same names over `shuttle`: each lock, atomic and swap is a place where another thread may go on.
//!
//! Two things are wider than in a build, so that more is tried, not less: a wait with a timeout may always
//! time out, whatever the clock says, and a swapped pointer is one step. Orders weaker than sequential
//! consistency are not modelled.

#![expect(missing_docs, reason = "the names and methods are those of what they stand for")]

pub use arc_swap::Guard;
pub use shuttle::sync::{atomic, mpsc};
pub use shuttle::thread;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use vellum_memory::Shared;

/// A place where the scheduler may choose another thread.
pub fn point() {
    thread::sleep(Duration::ZERO);
}

/// As `parking_lot::Mutex`.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

/// As `parking_lot::MutexGuard`; empty only while a condition is waited for.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    inner: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        // A panic fails the schedule anyhow, so that poison says nothing new.
        let inner = Some(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        MutexGuard { mutex: self, inner }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = Some(self.0.try_lock().ok()?);
        Some(MutexGuard { mutex: self, inner })
    }
}

impl<T> MutexGuard<'_, T> {
    pub fn unlocked<R>(guard: &mut Self, run: impl FnOnce() -> R) -> R {
        guard.inner = None;
        let result = run();
        guard.inner = guard.mutex.lock().inner.take();
        result
    }
}

const HELD: &str = "the lock is held but while a condition is waited for";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(HELD)
    }
}

/// As `parking_lot::Condvar`.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

/// Whether a wait came to its time's end.
#[derive(Clone, Copy, Debug)]
pub struct TimedOut;

impl TimedOut {
    pub fn timed_out(self) -> bool {
        true
    }
}

impl Condvar {
    pub fn new() -> Condvar {
        Condvar::default()
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.inner.take().expect(HELD);
        guard.inner = Some(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
    }

    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _deadline: Instant) -> TimedOut {
        MutexGuard::unlocked(guard, thread::yield_now);
        TimedOut
    }

    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) -> TimedOut {
        MutexGuard::unlocked(guard, thread::yield_now);
        TimedOut
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// As `parking_lot::RwLock`.
#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> RwLock<T> {
        RwLock(shuttle::sync::RwLock::new(value))
    }

    pub fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_write(&self) -> Option<shuttle::sync::RwLockWriteGuard<'_, T>> {
        self.0.try_write().ok()
    }

    pub fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As `arc_swap::ArcSwap`.
pub struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    pub fn from_pointee(value: T) -> ArcSwap<T> {
        ArcSwap(arc_swap::ArcSwap::from_pointee(value))
    }

    pub fn load(&self) -> Guard<Arc<T>> {
        point();
        self.0.load()
    }

    pub fn load_full(&self) -> Arc<T> {
        point();
        self.0.load_full()
    }

    pub fn store(&self, value: Arc<T>) {
        point();
        self.0.store(value);
    }
}

impl<T> fmt::Debug for ArcSwap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArcSwap")
    }
}

/// A place for what several hold, or nothing.
pub struct SharedSwap<T>(arc_swap::ArcSwapAny<Option<Shared<T>>>);

impl<T> SharedSwap<T> {
    pub fn new(value: Option<Shared<T>>) -> SharedSwap<T> {
        SharedSwap(arc_swap::ArcSwapAny::new(value))
    }

    pub fn load(&self) -> Guard<Option<Shared<T>>> {
        point();
        self.0.load()
    }

    pub fn load_full(&self) -> Option<Shared<T>> {
        point();
        self.0.load_full()
    }

    pub fn store(&self, value: Option<Shared<T>>) {
        point();
        self.0.store(value);
    }

    pub fn compare_and_swap(
        &self,
        current: &Option<Shared<T>>,
        new: Option<Shared<T>>,
    ) -> Guard<Option<Shared<T>>> {
        point();
        self.0.compare_and_swap(current, new)
    }
}

impl<T> fmt::Debug for SharedSwap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSwap")
    }
}
