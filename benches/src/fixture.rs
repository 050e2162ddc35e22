//! Stores that the criterion benches begin with, made in one place and removed at the end.

use crate::{Random, Result, WorkDir, mix, narrow, wide};
use vellum::{Config, Durability, Mutation, Object, Store};

/// Record counts to bench at: 10,000 and 1,000,000, or what `VELLUM_BENCH_RECORDS` says (with commas).
///
/// # Panics
/// When the variable holds anything else.
#[must_use]
pub fn sizes() -> Vec<u64> {
    let text = std::env::var("VELLUM_BENCH_RECORDS").unwrap_or_else(|_| "10000,1000000".into());
    text.split(',').map(|word| word.trim().parse().expect("VELLUM_BENCH_RECORDS holds numbers")).collect()
}

/// A loaded store, checkpointed.
#[derive(Debug)]
pub struct Fixture {
    /// The store.
    pub store: Store,
    /// Its one object.
    pub object: Object,
    /// Records in it.
    pub records: u64,
    /// Where it lies.
    pub work: WorkDir,
}

impl Fixture {
    /// Narrow records (seven attributes of 8 bytes), buffered.
    ///
    /// # Panics
    /// When the store cannot be made: there is nothing to bench then.
    #[must_use]
    pub fn narrow(name: &str, records: u64) -> Fixture {
        Fixture::with(name, records, &buffered())
    }

    /// Narrow records under other settings.
    ///
    /// # Panics
    /// As [`Fixture::narrow`].
    #[must_use]
    pub fn with(name: &str, records: u64, config: &Config) -> Fixture {
        Fixture::make(name, records, narrow::OBJECT, |path| {
            let store = narrow::create(config, path)?;
            narrow::load(&store, 0, records)?;
            Ok(store)
        })
    }

    /// Wide records (sixteen attributes, 330 bytes), buffered.
    ///
    /// # Panics
    /// As [`Fixture::narrow`].
    #[must_use]
    pub fn wide(name: &str, records: u64) -> Fixture {
        Fixture::make(name, records, wide::OBJECT, |path| {
            let store = wide::create(&buffered(), path)?;
            wide::load(&store, 0, records)?;
            Ok(store)
        })
    }

    fn make(
        name: &str,
        records: u64,
        object: &str,
        fill: impl FnOnce(&std::path::Path) -> Result<Store>,
    ) -> Fixture {
        let make = || -> Result<Fixture> {
            let work = WorkDir::new(&std::env::temp_dir(), &format!("{name}-{records}"))?;
            let store = fill(&work.join("store"))?;
            store.checkpoint()?;
            let object = store.object(object)?;
            Ok(Fixture { store, object, records, work })
        };
        make().expect("a new store in the temporary directory")
    }

    /// Applies a mutation that must succeed.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, mutation: &Mutation) {
        self.store.apply(mutation).expect("nothing forbids it");
    }

    /// Log bytes of one of these mutations, on average over a few.
    ///
    /// # Panics
    /// When one is refused.
    pub fn log_len_each(&self, mut next: impl FnMut(&Fixture)) -> u64 {
        const COUNT: u64 = 64;
        let logged = || self.store.stats().expect("an open store").log_since_checkpoint;
        self.store.checkpoint().expect("room for a checkpoint");
        let before = logged();
        (0..COUNT).for_each(|_| next(self));
        logged().saturating_sub(before) / COUNT
    }
}

/// The settings that most benches run under: buffered, checkpoints as they come.
#[must_use]
pub fn buffered() -> Config {
    Config::new().durability(Durability::Buffered)
}

/// Numbers below `count`, few of them very often: Zipf with exponent 0.99, as YCSB draws them (Gray et al.,
/// "Quickly generating billion-record synthetic databases", SIGMOD 1994). Which ones are frequent is
/// scattered over all.
#[derive(Clone, Debug)]
pub struct Zipf {
    random: Random,
    count: u64,
    zeta: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    /// Draws below `count`; costs time in proportion to it once.
    #[must_use]
    pub fn new(seed: u64, count: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-THETA)).sum::<f64>();
        let (all, two) = (zeta(count), zeta(2));
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - two / all);
        Zipf { random: Random::new(seed), count, zeta: all, eta }
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        let u = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = u * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5_f64.powf(THETA) {
            1
        } else {
            (self.count as f64 * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - THETA))) as u64
        };
        mix(rank.min(self.count - 1)) % self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_one_record_far_more_often_than_most() {
        let mut zipf = Zipf::new(1, 1000);
        let mut counts = vec![0_u32; 1000];
        (0..100_000).for_each(|_| counts[zipf.draw() as usize] += 1);
        counts.sort_unstable();
        // The first rank has a share of 1 / zeta(1000) = 0.13; a uniform draw would give each 100.
        assert!((11_000..16_000).contains(&counts[999]), "{}", counts[999]);
        assert!(counts[500] < 60, "{}", counts[500]);
    }
}
