//! How a power cut goes, and what file system it meets.

use crate::rng::Rng;

/// How much of what was not synced is there afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept(pub usize);

impl Kept {
    /// Nothing.
    pub const NONE: Kept = Kept(0);
    /// Everything.
    pub const ALL: Kept = Kept(8);

    /// Nothing, all, or a part, by seed.
    pub fn by_seed(rng: &mut Rng) -> Kept {
        *rng.pick(&[Kept::NONE, Kept(1), Kept(4), Kept(7), Kept::ALL])
    }

    /// Whether this one is kept: so many times in eight.
    pub fn roll(self, rng: &mut Rng) -> bool {
        rng.below(8) < self.0
    }
}

/// A power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// 512-byte sectors.
    pub sectors: Kept,
    /// Lengths of files.
    pub sizes: Kept,
    /// Names made, changed or removed.
    pub names: Kept,
}

impl Crash {
    /// Only what was synced.
    pub const NOTHING_KEPT: Crash = Crash { sectors: Kept::NONE, sizes: Kept::NONE, names: Kept::NONE };

    /// The same for all three.
    #[must_use]
    pub fn same(kept: Kept) -> Crash {
        Crash { sectors: kept, sizes: kept, names: kept }
    }

    /// Each by seed: names without data, data without names, holes.
    pub fn by_seed(rng: &mut Rng) -> Crash {
        let (sectors, sizes, names) = (Kept::by_seed(rng), Kept::by_seed(rng), Kept::by_seed(rng));
        Crash { sectors, sizes, names }
    }
}

/// What file systems do differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileSystem {
    /// The sync of any file makes all earlier names durable (ext4's journal); otherwise only that of the
    /// directory does.
    pub any_sync_names: bool,
    /// Names that were not synced come and go in any order; otherwise a crash keeps the first so many.
    pub names_reordered: bool,
    /// After a failed sync readers see what is on the platter (btrfs); otherwise what was written, until a
    /// crash (ext4, XFS).
    pub failed_sync_reverts: bool,
}

impl FileSystem {
    /// One by seed.
    pub fn by_seed(rng: &mut Rng) -> FileSystem {
        let mut coin = || rng.one_in(2);
        FileSystem { any_sync_names: coin(), names_reordered: coin(), failed_sync_reverts: coin() }
    }
}
