//! A small random number generator (splitmix64): the same seed gives the same run for ever, whatever
//! other crates do.

/// Its state.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    /// What is drawn first, where bytes decide: those that are left, the next one last.
    bytes: Option<Vec<u8>>,
}

impl Rng {
    /// A generator for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d, bytes: None }
    }

    /// A generator whose draws are these bytes, as few a draw as do: who changes a byte changes a draw.
    /// Behind their end it goes on as that of seed 0, so that whoever draws until something fits ends.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Rng {
        Rng { bytes: Some(bytes.iter().rev().copied().collect()), ..Rng::new(0) }
    }

    /// Whether all bytes of [`Rng::from_bytes`] were drawn; never so with a seed.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.bytes.as_ref().is_some_and(Vec::is_empty)
    }

    fn take(&mut self, len: usize) -> Option<u64> {
        let bytes = self.bytes.as_mut().filter(|bytes| bytes.len() >= len)?;
        let taken = bytes.split_off(bytes.len() - len);
        Some(taken.into_iter().fold(0, |number, byte| number << 8 | u64::from(byte)))
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        if let Some(taken) = self.take(8) {
            return taken;
        }
        if let Some(bytes) = &mut self.bytes {
            bytes.clear();
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let len = match end {
            ..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 8,
        };
        let drawn = self.take(len).unwrap_or_else(|| self.draw());
        (drawn % end as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
