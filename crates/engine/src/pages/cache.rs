//! The cache of a store whose segments are not mapped: sealed images that pages have read, and which of them
//! go when there are too many.
//!
//! A page owns its buffer and readers borrow from it under the group's read latch, so a buffer goes only
//! under that group's write latch, which is tried and never waited for, or with its last holder: the page of
//! a frozen state and the live one share it. The hand of a clock walks the groups in memory of every root that
//! is alive; a buffer that was used since the hand came by stays for another round.
//!
//! Crash rule 8: nothing may fail between the frame and the end of apply. What the writer's thread reads from
//! the beginning of a transaction on is held ([`Cache::hold`]) until the transaction has been applied, however
//! much that is.
//!
//! The bound holds but for that, for what others have latched, and for one image a thread that is being read.

use super::node::CHUNK_GROUPS;
use super::tree::Root;
use crate::sync::Mutex;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// When room is made, an eighth of the bound is: a walk over the groups costs the same for one buffer.
const ROOM_PART: u64 = 8;

thread_local! {
    /// The cache whose writer this thread is, and the number of its transaction.
    static HELD: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

/// See the module.
#[derive(Debug)]
pub struct Cache {
    len_max: u64,
    loaded: AtomicU64,
    /// The most that was loaded at a time, for tests.
    peak: AtomicU64,
    /// Roots that were live; those of them that views or the store still hold.
    roots: Mutex<Vec<Weak<Root>>>,
    /// Groups that the hand has passed in this round.
    hand: Mutex<u64>,
    /// Transactions so far.
    holds: AtomicU64,
    /// The one that runs; 0 for none.
    held: AtomicU64,
}

impl Cache {
    /// A cache of at most `len_max` bytes.
    pub fn new(len_max: u64) -> Arc<Cache> {
        Arc::new(Cache {
            len_max,
            loaded: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            roots: Mutex::new(Vec::new()),
            hand: Mutex::new(0),
            holds: AtomicU64::new(0),
            held: AtomicU64::new(0),
        })
    }

    /// Bytes that are loaded, and the most that were at a time.
    pub fn loaded(&self) -> (u64, u64) {
        (self.loaded.load(Relaxed), self.peak.load(Relaxed))
    }

    /// A root became the live one.
    pub(super) fn add_root(&self, root: &Arc<Root>) {
        let mut roots = self.roots.lock();
        roots.retain(|root| root.strong_count() > 0);
        roots.push(Arc::downgrade(root));
    }

    /// Keeps what this thread reads until the answer is dropped. The caller is the writer: there is one.
    pub fn hold(self: &Arc<Cache>) -> Hold {
        let number = self.holds.fetch_add(1, Relaxed) + 1;
        self.held.store(number, Relaxed);
        Hold { cache: self.clone(), outer: HELD.replace((Arc::as_ptr(self) as usize, number)) }
    }

    /// Counts bytes that are about to be read, and lets others go for them.
    fn make_room(&self, len: u64) {
        let loaded = self.loaded.fetch_add(len, Relaxed) + len;
        if loaded > self.len_max {
            self.evict(self.len_max - self.len_max / ROOM_PART);
        }
        self.peak.fetch_max(self.loaded.load(Relaxed), Relaxed);
    }

    /// Lets go of buffers until so many bytes are left. Another thread that does so is enough.
    fn evict(&self, target: u64) {
        let Some(mut hand) = self.hand.try_lock() else { return };
        let roots: Vec<Arc<Root>> = self.roots.lock().iter().filter_map(Weak::upgrade).collect();
        // The rest of this round, a round that takes away the mark of use, and one after that.
        for _ in 0..3 {
            if let Some(at) = self.walk(&roots, *hand, target) {
                *hand = at;
                return;
            }
            *hand = 0;
        }
    }

    /// Walks the groups behind the hand; where the target was reached.
    fn walk(&self, roots: &[Arc<Root>], hand: u64, target: u64) -> Option<u64> {
        let mut at = 0;
        let trees = roots.iter().flat_map(|root| &root.trees).filter_map(|(_, tree)| tree.chunks.get());
        for slot in trees.flat_map(|chunks| chunks.iter()) {
            if at + CHUNK_GROUPS as u64 <= hand {
                at += CHUNK_GROUPS as u64;
                continue;
            }
            let Some(chunk) = slot.loaded().clone() else {
                at += CHUNK_GROUPS as u64;
                continue;
            };
            for slot in chunk.groups.iter() {
                at += 1;
                if at > hand
                    && let Some(group) = slot.loaded().as_ref()
                    && let Some(mut state) = group.state.try_write()
                {
                    // Looked at behind the latch: a transaction that began meanwhile may have read here.
                    state.evict(self.held.load(Relaxed));
                    if self.loaded.load(Relaxed) <= target {
                        return Some(at);
                    }
                }
            }
        }
        None
    }
}

/// See [`Cache::hold`].
#[derive(Debug)]
pub struct Hold {
    cache: Arc<Cache>,
    outer: (usize, u64),
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.cache.held.store(0, Relaxed);
        HELD.set(self.outer);
    }
}

/// The payload of an image in memory, counted for as long as it lives.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: AtomicBool,
    /// The last transaction that read it.
    held: AtomicU64,
    counted: Counted,
}

#[derive(Debug)]
struct Counted {
    len: u64,
    cache: Arc<Cache>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.cache.loaded.fetch_sub(self.len, Relaxed);
    }
}

impl Buffer {
    /// Makes room for `len` bytes, and reads them.
    pub(super) fn load<E>(
        cache: &Arc<Cache>,
        len: u64,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Buffer>, E> {
        cache.make_room(len);
        let counted = Counted { len, cache: cache.clone() };
        let (used, held) = (AtomicBool::new(true), AtomicU64::new(0));
        Ok(Arc::new(Buffer { bytes: read()?, used, held, counted }))
    }

    /// The bytes, which are used by that.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let (cache, number) = HELD.get();
        if cache == Arc::as_ptr(&self.counted.cache) as usize {
            self.held.store(number, Relaxed);
        }
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        &self.bytes
    }

    /// Whether the hand, coming by, may let go of it. `held` is the transaction that runs.
    pub(super) fn may_go(&self, held: u64) -> bool {
        let is_held = held != 0 && self.held.load(Relaxed) == held;
        !is_held && !self.used.swap(false, Relaxed)
    }
}
