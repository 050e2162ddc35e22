//! Key hashes: what an index knows of a key.
//!
//! Algorithm id 1: XXH3-64 of the key's bytes, with the store's seed, so that a client that does not know the seed cannot
//! choose keys that collide. The id is in the superblock; another algorithm gets another id.

/// Number of the hash algorithm in the format: XXH3-64 with a seed.
pub const KEY_HASH_ALGORITHM: u32 = 1;

/// The hash of key bytes under the store's seed.
#[must_use]
#[inline]
pub fn key_hash(seed: u64, key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_hash_is_xxh3_with_the_seed() {
        assert_eq!(key_hash(0, b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_hash(0, b"\x02\x00\x00\x00ab"), xxhash_rust::xxh3::xxh3_64(b"\x02\x00\x00\x00ab"));
        assert_ne!(key_hash(1, b"x"), key_hash(2, b"x"));
        assert_eq!(KEY_HASH_ALGORITHM, 1);
    }
}
