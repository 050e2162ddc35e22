//! Number newtypes that flow through every room of the engine. Plain data.

use std::fmt;

/// Rows of one row group. 1024 headers of 64 bytes fill 64 KiB, one large read, and a presence
/// bitmap of 1024 bits is two cache lines. Kept per store in the format.
pub const GROUP_ROWS: u32 = 1024;

/// No store gets so far with a number that rises by one: commits, checkpoints, log files, versions of a record. A
/// file that says otherwise is damaged, which is checked where such numbers are read; adding to them is safe then.
pub const NUMBER_MAX: u64 = 1 << 60;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Log sequence number: one for each frame that changes something, rising by one.
    /// 0 is the state of a store that was just created.
    Lsn(u64)
}
number! {
    /// Number of a segment file; never reused within a store.
    SegmentId(u32)
}
number! {
    /// Number of a page tree: one per object, one per index, one for the catalog.
    TreeId(u32)
}
number! {
    /// A row of an object: row group times [`GROUP_ROWS`] plus slot.
    RowId(u64)
}

impl serde::Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
        u64::deserialize(deserializer).map(Lsn)
    }
}

impl Lsn {
    /// The next number.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl RowId {
    /// The row group that holds this row.
    #[must_use]
    pub fn group(self) -> u64 {
        self.0 / u64::from(GROUP_ROWS)
    }

    /// The position inside the group, below [`GROUP_ROWS`].
    #[must_use]
    pub fn slot(self) -> u32 {
        (self.0 % u64::from(GROUP_ROWS)) as u32
    }
}

/// Where a page lives: tree, row group or bucket number, column. The image on disk repeats it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// The page tree.
    pub tree: TreeId,
    /// Row group of an object's tree, bucket of an index's tree.
    pub number: u64,
    /// Column within the group; see `page` for how a column's heap buffers are numbered.
    pub column: u32,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree {} number {} column {:#x}", self.tree, self.number, self.column)
    }
}
