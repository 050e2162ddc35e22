//! How the tables of a transaction hash: XXH3 under a seed of the process, so that nobody can choose ids which meet.
//! The standard library's hash takes several times as long for 16 bytes, which is a twentieth of a patch.

use std::hash::{BuildHasher, Hasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes hashers of one seed.
#[derive(Clone, Debug)]
pub(super) struct Hashing(u64);

impl Default for Hashing {
    fn default() -> Hashing {
        Hashing(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Hashing {
    type Hasher = Seeded;

    #[inline]
    fn build_hasher(&self) -> Seeded {
        Seeded(self.0)
    }
}

/// What was hashed so far is the seed of what follows.
#[derive(Debug)]
pub(super) struct Seeded(u64);

impl Hasher for Seeded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// Lengths of what has always the same one.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_engine::TreeId;
    use vellum_types::RecordId;

    #[test]
    fn equal_keys_have_equal_hashes_and_every_bit_counts() {
        let hashing = Hashing::default();
        let ids = (0..128).map(|bit| RecordId::from_bytes((1_u128 << bit).to_le_bytes()));
        let mut hashes: Vec<u64> = ids.map(|id| hashing.hash_one(id)).collect();
        hashes.extend((0..64).map(|bit| hashing.hash_one((TreeId(7), 1_u64 << bit))));
        assert_eq!(hashing.hash_one((TreeId(7), 1_u64)), hashes[128]);
        assert_ne!(Hashing::default().hash_one((TreeId(7), 1_u64)), hashes[128], "another seed");
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 128 + 64);
    }
}
