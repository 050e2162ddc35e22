//! [`Shared`]: what several hold, in huge pages.
//!
//! It is made as [`std::sync::Arc`] is, which cannot lie in a heap of one's own yet; weak holders, which nobody
//! needs here, are left out. The order of its counts is checked by Miri and by the schedules of the rooms that use it.

#![expect(unsafe_code, reason = "who drops it last frees it")]

use super::Heap;
use allocator_api2::alloc::{Allocator, Layout, handle_alloc_error};
use arc_swap::RefCnt;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicUsize, fence};

/// What several hold. Whoever has a clone holds it.
pub struct Shared<T>(NonNull<Holding<T>>);

/// The value and how many hold it.
#[repr(C)]
pub struct Holding<T> {
    holders: AtomicUsize,
    value: T,
}

// SAFETY: as an `Arc`, which any thread may drop, and so the value with it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The value, with one holder.
    #[must_use]
    pub fn new(value: T) -> Shared<T> {
        let layout = Layout::new::<Holding<T>>();
        let Ok(at) = Heap.allocate(layout) else { handle_alloc_error(layout) };
        let at = at.cast();
        // SAFETY: memory of this layout, and nobody else's.
        unsafe { at.write(Holding { holders: AtomicUsize::new(1), value }) };
        Shared(at)
    }

    /// Whether both are one.
    pub fn is(a: &Shared<T>, b: &Shared<T>) -> bool {
        a.0 == b.0
    }

    /// The value, if nobody else holds it.
    pub fn get_mut(shared: &mut Shared<T>) -> Option<&mut T> {
        // Acquire: what others did with the value before they let go of it happened before.
        // SAFETY: it lives as long as it is held.
        if unsafe { shared.0.as_ref() }.holders.load(Acquire) != 1 {
            return None;
        }
        // SAFETY: this is the only holder, and it is borrowed for as long as the answer.
        Some(unsafe { &mut shared.0.as_mut().value })
    }

    /// The value for this holder alone: a copy, if others hold it too.
    pub fn make_mut(shared: &mut Shared<T>) -> &mut T
    where
        T: Clone,
    {
        if Shared::get_mut(shared).is_none() {
            *shared = Shared::new(T::clone(shared));
        }
        Shared::get_mut(shared).expect("nobody else holds what was just made")
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // Relaxed: who clones holds it already.
        // SAFETY: it lives as long as it is held.
        let before = unsafe { self.0.as_ref() }.holders.fetch_add(1, Relaxed);
        assert!(before <= isize::MAX as usize, "a count of holders that overflows");
        Shared(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it lives as long as it is held.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // Release and Acquire: what every holder did with the value happened before the last one drops it.
        // SAFETY: it lives as long as it is held.
        if unsafe { self.0.as_ref() }.holders.fetch_sub(1, Release) == 1 {
            fence(Acquire);
            // SAFETY: `new` made it here with this layout, and nobody holds it any more.
            unsafe {
                self.0.drop_in_place();
                Heap.deallocate(self.0.cast(), Layout::new::<Holding<T>>());
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

// SAFETY: the pointer is that of the allocation; `into_ptr` and `from_ptr` carry one holder over, `as_ptr` none.
unsafe impl<T> RefCnt for Shared<T> {
    type Base = Holding<T>;

    fn into_ptr(me: Shared<T>) -> *mut Holding<T> {
        ManuallyDrop::new(me).0.as_ptr()
    }

    fn as_ptr(me: &Shared<T>) -> *mut Holding<T> {
        me.0.as_ptr()
    }

    unsafe fn from_ptr(at: *const Holding<T>) -> Shared<T> {
        // SAFETY: as promised by the caller, it came from `into_ptr`, and so is not null.
        Shared(unsafe { NonNull::new_unchecked(at.cast_mut()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn the_last_holder_drops_the_value_and_nobody_else_does() {
        let alive = Arc::new(());
        let first = Shared::new((alive.clone(), 7));
        let mut second = first.clone();
        assert!(Shared::is(&first, &second));
        assert!(Shared::get_mut(&mut second).is_none(), "two hold it");
        Shared::make_mut(&mut second).1 = 8;
        assert_eq!((first.1, second.1), (7, 8), "the one that changes gets a copy");
        assert_eq!(Arc::strong_count(&alive), 3);
        drop(first);
        drop(second);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn holders_on_many_threads_come_and_go() {
        let alive = Arc::new(());
        let shared = Shared::new(alive.clone());
        let rounds = if cfg!(miri) { 20 } else { 10_000 };
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut mine = shared.clone();
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let other = mine.clone();
                        assert!(Shared::is(&mine, &other));
                        mine = other;
                    }
                });
            }
        });
        let swap: arc_swap::ArcSwapAny<_> = Some(shared).into();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let held = swap.load();
                        assert_eq!(Arc::strong_count(held.as_ref().expect("always something")), 2);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..rounds {
                    let same = swap.load_full();
                    swap.store(same);
                }
            });
        });
        drop(swap);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
