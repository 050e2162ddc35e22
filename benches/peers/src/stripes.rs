//! Locks for engines that read and write in two steps: two threads must not patch one record at once.

use std::sync::{Mutex, MutexGuard};
use vellum_bench::wide::Change;

/// 64 locks; a record's id says which one is its.
#[derive(Debug)]
pub struct Stripes([Mutex<()>; 64]);

impl Default for Stripes {
    fn default() -> Stripes {
        Stripes(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Stripes {
    /// The locks of these records, in order, so that nobody waits in a circle.
    pub fn lock(&self, changes: &[Change]) -> Vec<MutexGuard<'_, ()>> {
        if let [change] = changes {
            return vec![self.guard(stripe(change))];
        }
        let mut stripes: Vec<usize> = changes.iter().map(stripe).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().map(|stripe| self.guard(stripe)).collect()
    }

    /// One lock for creations, and for what has no record id.
    pub fn lock_first(&self) -> MutexGuard<'_, ()> {
        self.guard(0)
    }

    fn guard(&self, stripe: usize) -> MutexGuard<'_, ()> {
        self.0[stripe].lock().expect("no thread panics with it")
    }
}

fn stripe(change: &Change) -> usize {
    usize::from(change.id.bytes()[0] % 64)
}
