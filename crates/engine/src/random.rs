//! Randomness: ids of stores, salts of log generations, and what a state machine draws.

use crate::index::key_hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter through XXH3 under a random seed: each draw is one that was not drawn before.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    drawn: AtomicU64,
}

impl Random {
    /// Draws that follow from `seed`, or else from the system's randomness.
    #[must_use]
    pub fn new(seed: Option<u64>) -> Random {
        Random { seed: seed.unwrap_or_else(system_random), drawn: AtomicU64::new(0) }
    }

    /// 64 bits.
    #[must_use]
    pub fn draw(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Relaxed);
        key_hash(self.seed, &drawn.to_le_bytes())
    }

    /// 128 bits.
    #[must_use]
    pub fn draw_id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.draw().to_le_bytes());
        bytes[8..].copy_from_slice(&self.draw().to_le_bytes());
        bytes
    }
}

/// The standard library seeds its hash maps from the operating system; that is the one source of
/// randomness that needs no further crate.
fn system_random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let time = std::time::Instant::now();
    RandomState::new().hash_one(time) ^ RandomState::new().hash_one(std::process::id()).rotate_left(32)
}
