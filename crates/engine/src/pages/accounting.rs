//! What pages cost in anonymous memory, in three measures:
//!
//! - *held*: owned copies and deltas, counted where they are made, grown and dropped;
//! - *dirty*: what was written since a checkpoint, counted by page in steps that double; so at most twice
//!   what the next checkpoint has to carry. It says when a checkpoint is worth while;
//! - *pinned*: that, and the owned copies it lies in: memory that nothing but a checkpoint can free. It is
//!   what the budget bounds.

use crate::page::delta::Delta;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use vellum_memory::Array;

/// What changed pages amount to.
#[derive(Debug, Default)]
struct Dirt {
    written: AtomicU64,
    /// Length that the pages had when they became dirty.
    pages: AtomicU64,
    /// Owned copies among them.
    owned: AtomicU64,
}

impl Dirt {
    fn move_to(&self, other: &Dirt) {
        let parts =
            [(&self.written, &other.written), (&self.pages, &other.pages), (&self.owned, &other.owned)];
        for (from, to) in parts {
            to.fetch_add(from.swap(0, Relaxed), Relaxed);
        }
    }
}

/// Counters of one store. Relaxed: they steer, they do not order anything.
#[derive(Debug, Default)]
pub struct Memory {
    /// Bytes in owned copies and deltas, whoever holds them.
    held: AtomicU64,
    /// Since the last checkpoint's snapshot.
    now: Dirt,
    /// What a running checkpoint is writing.
    in_checkpoint: Dirt,
    /// Mapped pages turn into owned copies while less than this is held.
    own_len_max: u64,
    /// Whether turning a cold page into an owned copy may wait for the disk: while the log is replayed,
    /// when nobody waits for a commit.
    patient: AtomicBool,
    /// Pages made so far.
    pages: AtomicU64,
}

impl Memory {
    pub fn new(own_len_max: u64) -> Memory {
        Memory { own_len_max, ..Memory::default() }
    }

    /// A number that no other page has.
    pub fn next_page(&self) -> u64 {
        self.pages.fetch_add(1, Relaxed)
    }

    pub fn set_patient(&self, patient: bool) {
        self.patient.store(patient, Relaxed);
    }

    pub fn is_patient(&self) -> bool {
        self.patient.load(Relaxed)
    }

    pub fn may_own(&self) -> bool {
        self.held() < self.own_len_max
    }

    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Bytes written since the last checkpoint, and those in a running one.
    #[inline]
    pub fn dirty(&self) -> u64 {
        self.now.written.load(Relaxed) + self.in_checkpoint.written.load(Relaxed)
    }

    /// Bytes of memory that only a checkpoint can free.
    #[inline]
    pub fn pinned(&self) -> u64 {
        self.dirty() + self.now.owned.load(Relaxed) + self.in_checkpoint.owned.load(Relaxed)
    }

    /// At most what the images of all that is dirty take: a page that was, and what was written since.
    #[inline]
    pub fn images_len_max(&self) -> u64 {
        self.dirty() + self.now.pages.load(Relaxed) + self.in_checkpoint.pages.load(Relaxed)
    }

    #[inline]
    pub fn dirtied_since_checkpoint(&self) -> u64 {
        self.now.written.load(Relaxed)
    }

    #[inline]
    pub fn pinned_since_checkpoint(&self) -> u64 {
        self.now.written.load(Relaxed) + self.now.owned.load(Relaxed)
    }

    pub fn add_dirty(&self, len: u64) {
        self.now.written.fetch_add(len, Relaxed);
    }

    /// A page of this length becomes dirty.
    pub fn add_dirty_page(&self, len: u64) {
        self.now.pages.fetch_add(len, Relaxed);
    }

    /// A dirty page is an owned copy of this length.
    pub fn add_dirty_copy(&self, len: u64) {
        self.now.owned.fetch_add(len, Relaxed);
    }

    pub fn start_checkpoint(&self) {
        self.now.move_to(&self.in_checkpoint);
    }

    /// A checkpoint ended; what a failed one did not write is dirty still.
    pub fn end_checkpoint(&self, written: bool) {
        let target = if written { &Dirt::default() } else { &self.now };
        self.in_checkpoint.move_to(target);
    }
}

/// Something that is counted for as long as it lives.
pub trait Held: Clone {
    fn held_len(&self) -> usize;
}

impl Held for Array<u8> {
    fn held_len(&self) -> usize {
        self.capacity()
    }
}

impl Held for Delta {
    fn held_len(&self) -> usize {
        self.memory_len()
    }
}

/// What one page alone holds, counted for as long as the page lives.
#[derive(Debug)]
pub struct Account {
    counted: u64,
    memory: Arc<Memory>,
}

impl Account {
    pub fn new(memory: &Arc<Memory>) -> Account {
        Account { counted: 0, memory: memory.clone() }
    }

    #[inline]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Counts `len` bytes from now on.
    #[inline]
    pub fn set(&mut self, len: u64) {
        let before = std::mem::replace(&mut self.counted, len);
        if len != before {
            self.memory.held.fetch_add(len, Relaxed);
            self.memory.held.fetch_sub(before, Relaxed);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.counted, Relaxed);
    }
}

/// A shared value whose memory is counted.
#[derive(Debug)]
pub struct Counted<T: Held> {
    value: T,
    counted: u64,
    memory: Arc<Memory>,
}

impl<T: Held> Counted<T> {
    pub fn new(value: T, memory: &Arc<Memory>) -> Counted<T> {
        let counted = value.held_len() as u64;
        memory.held.fetch_add(counted, Relaxed);
        Counted { value, counted, memory: memory.clone() }
    }

    #[inline]
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Takes the value out; what is left counts nothing.
    pub fn take(&mut self) -> T
    where
        T: Default,
    {
        let value = std::mem::take(&mut self.value);
        self.memory.held.fetch_sub(self.counted, Relaxed);
        self.counted = 0;
        value
    }

    /// Changes the value and counts what it holds then.
    pub fn change(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.value);
        let now = self.value.held_len() as u64;
        self.memory.held.fetch_add(now, Relaxed);
        self.memory.held.fetch_sub(self.counted, Relaxed);
        self.counted = now;
    }
}

impl<T: Held> Clone for Counted<T> {
    fn clone(&self) -> Counted<T> {
        Counted::new(self.value.clone(), &self.memory)
    }
}

impl<T: Held> Drop for Counted<T> {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.counted, Relaxed);
    }
}
