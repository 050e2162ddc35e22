//! The simulated disk: keeps what was synced apart from what was written, can be copied as a killed
//! process or a power cut leaves it, dies at any call, fails those that a test picks, and records their
//! order.
//!
//! | file     | holds                                                                               |
//! |----------|-------------------------------------------------------------------------------------|
//! | `bytes`  | content of a file, shared between copies of the disk                                |
//! | `node`   | one file: what readers see, what is on the platter, what no sync covered            |
//! | `names`  | the directory: names now, names on the platter, changes in between                  |
//! | `crash`  | how a power cut goes ([`Crash`]), and what file systems do differently              |
//! | `fault`  | calls ([`Op`], [`Event`]) and how they fail ([`Fault`])                             |
//! | `path`   | paths that lead to a directory ([`MemPath`]), and files taken away                  |
//! | `file`   | the engine's side: [`vellum_disk::Disk`], files, the log's tail, the lock          |
//!
//! What it promises the engine is what `vellum_disk` asks for, and not more: between two syncs nothing is
//! ordered; a sync covers what was written before it began; a sync that failed leaves its sectors clean
//! and, by chance, not written. A mapping is a copy; sectors that broke before it was made are garbage in it,
//! and [`vellum_disk::Region::populate`] says which are broken now. The same seed gives the same disk.
//!
//! ```
//! use vellum_disk::{Access, Disk};
//! use vellum_sim::{Crash, MemDisk, Rng};
//!
//! let disk = MemDisk::new();
//! disk.create_dir()?;
//! let file = disk.create("notes")?;
//! file.write_at(0, b"synced")?;
//! file.sync()?;
//! disk.sync_dir()?;
//! file.write_at(0, b"mislaid")?;
//!
//! // A killed process leaves what was written, a power cut what was synced, and by chance more.
//! let read = |disk: &MemDisk| disk.files()["notes"].clone();
//! assert_eq!(read(&disk.after_kill()), b"mislaid");
//! assert_eq!(read(&disk.after_crash(&mut Rng::new(1), &Crash::NOTHING_KEPT)), b"synced");
//! # Ok::<(), vellum_bytes::Error>(())
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod crash;
mod fault;
mod file;
mod names;
mod node;
mod path;
mod rng;

pub use crash::{Crash, FileSystem, Kept};
pub use fault::{EINTR, EIO, EMFILE, ENOMEM, ENOSPC, Event, Fault, Op};
pub use path::{MemPath, Taken};

use names::{Map, Names};
use node::Node;
pub use rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Whether each call is printed: to look at one seed.
#[must_use]
pub fn told() -> bool {
    static TOLD: OnceLock<bool> = OnceLock::new();
    *TOLD.get_or_init(|| std::env::var_os("VELLUM_TRACE").is_some())
}

type Judge = Box<dyn FnMut(&Event) -> Option<Fault> + Send>;
type Hook = Box<dyn FnMut(&Event) + Send>;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct MemDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    exists: bool,
    nodes: Vec<Node>,
    names: Names,
    has_writer: bool,
    reader_count: usize,
    /// What is said of the free space, where nothing limits it.
    free_len: u64,
    /// Bytes that files may take in all.
    capacity: Option<u64>,
    file_system: FileSystem,
    /// For what the kernel does by itself, and what a failed sync keeps.
    rng: Option<Rng>,
    trace: Option<Vec<Event>>,
    judge: Option<Judge>,
    hook: Option<Hook>,
    /// Calls that change something, so far.
    calls: u64,
    dies_at: Option<u64>,
    /// Files of which a sync failed.
    failed_syncs: BTreeSet<String>,
    dead: bool,
}

impl State {
    fn used_len(&self) -> u64 {
        self.names.now().values().map(|node| self.nodes[*node].used_len()).sum()
    }

    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_len()))
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

impl Default for MemDisk {
    fn default() -> MemDisk {
        MemDisk::new()
    }
}

impl fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemDisk")
    }
}

impl MemDisk {
    /// An empty disk without the directory.
    #[must_use]
    pub fn new() -> MemDisk {
        MemDisk::of(State { free_len: 1 << 40, ..State::default() })
    }

    /// An empty disk with this file system, on which the kernel writes back by itself, by seed.
    #[must_use]
    pub fn seeded(seed: u64, file_system: FileSystem) -> MemDisk {
        let rng = Some(Rng::new(seed));
        MemDisk::of(State { free_len: 1 << 40, rng, file_system, ..State::default() })
    }

    fn of(state: State) -> MemDisk {
        MemDisk(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics elsewhere must not hide behind this lock.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The disk as the death of the process leaves it: all that was written is there, and what was not
    /// synced is still not.
    #[must_use]
    pub fn after_kill(&self) -> MemDisk {
        let state = self.state();
        let mut copy = state.without_files();
        let mut numbers = BTreeMap::new();
        for node in state.names.nodes() {
            numbers.entry(node).or_insert_with(|| copy.add(state.nodes[node].clone()));
        }
        copy.names = state.names.renumbered(&numbers);
        MemDisk::of(copy)
    }

    /// The disk as a power cut leaves it: what was synced, and of the rest each 512-byte sector, length and
    /// name with a chance of `kept` in 4.
    #[must_use]
    pub fn after_power_cut(&self, rng: &mut Rng, kept: usize) -> MemDisk {
        self.after_crash(rng, &Crash::same(Kept(2 * kept)))
    }

    /// The disk as this power cut leaves it.
    #[must_use]
    pub fn after_crash(&self, rng: &mut Rng, crash: &Crash) -> MemDisk {
        let state = self.state();
        let mut copy = state.without_files();
        let mut names = Map::new();
        for (name, node) in state.names.after_power_cut(crash.names, state.file_system.names_reordered, rng) {
            names.insert(name, copy.add(state.nodes[node].after_power_cut(crash, rng)));
        }
        copy.names = Names::settled(names);
        MemDisk::of(copy)
    }

    /// Starts recording calls, or starts anew.
    pub fn record(&self) {
        self.state().trace = Some(Vec::new());
    }

    /// The calls since [`MemDisk::record`].
    #[must_use]
    pub fn trace(&self) -> Vec<Event> {
        self.state().trace.clone().unwrap_or_default()
    }

    /// Asks `fault` before each call whether that fails, and how.
    pub fn fail(&self, mut fault: impl FnMut(&Event) -> Option<io::ErrorKind> + Send + 'static) {
        self.fail_with(move |event| fault(event).map(Fault::Kind));
    }

    /// Asks `judge` before each call what becomes of it.
    pub fn fail_with(&self, judge: impl FnMut(&Event) -> Option<Fault> + Send + 'static) {
        self.state().judge = Some(Box::new(judge));
    }

    /// No call fails any more, unless the disk is dead.
    pub fn heal(&self) {
        self.state().judge = None;
    }

    /// Calls `hook` in the middle of each call: a sync then covers what was written before, and not what
    /// the hook writes. Calls that the hook itself makes are not hooked.
    pub fn on_call(&self, hook: impl FnMut(&Event) + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// No hook any more.
    pub fn no_hook(&self) {
        self.state().hook = None;
    }

    /// The machine dies before so many more calls that change something: from then on every call fails
    /// and changes nothing, stores through the log's mapping too.
    pub fn die_after(&self, calls: u64) {
        let mut state = self.state();
        state.dies_at = Some(state.calls + calls);
    }

    /// No death is planned any more.
    pub fn live_on(&self) {
        self.state().dies_at = None;
    }

    /// The machine dies now.
    pub fn die(&self) {
        self.state().dead = true;
    }

    /// Whether the machine died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Whether the sync of a file whose name begins so failed: what it covered may be gone although the
    /// process alone died.
    #[must_use]
    pub fn sync_failed(&self, prefix: &str) -> bool {
        self.state().failed_syncs.iter().any(|name| name.starts_with(prefix))
    }

    /// Calls that changed something, so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Sets what the disk says of its free space.
    pub fn set_free_len(&self, len: u64) {
        self.state().free_len = len;
    }

    /// Gives the disk a size: what goes beyond it finds no room.
    pub fn set_capacity(&self, len: Option<u64>) {
        self.state().capacity = len;
    }

    /// Bytes that files take.
    #[must_use]
    pub fn used_len(&self) -> u64 {
        self.state().used_len()
    }

    /// Names and contents of all files.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let content = |(name, node): (&String, &usize)| (name.clone(), state.nodes[*node].data().to_vec());
        state.names.now().iter().map(content).collect()
    }

    /// Changes a file behind the engine's back, durably; creates it if need be.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        state.exists = true;
        let found = state.names.now().get(name).copied();
        let mut content = found.map_or(Vec::new(), |node| state.nodes[node].data().to_vec());
        change(&mut content);
        match found {
            Some(node) => state.nodes[node] = Node::new(&content),
            None => {
                let node = state.add(Node::new(&content));
                state.names.edit(name, Some(node));
            }
        }
    }

    /// From now on the device does not read these sectors of 512 bytes: reading answers EIO, and so does
    /// [`vellum_disk::Region::populate`], also of a region that was mapped before. As in a page cache, the
    /// whole page of 4 KiB around a sector is not read.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn break_sectors(&self, name: &str, sectors: std::ops::Range<usize>) {
        let mut state = self.state();
        let node = *state.names.now().get(name).expect("a file of this name");
        state.nodes[node].break_sectors(sectors);
    }

    /// Unlinks a file behind the engine's back, durably.
    pub fn unlink(&self, name: &str) {
        self.state().names.edit(name, None);
    }
}

impl State {
    /// A disk of the same kind, on which nothing is.
    fn without_files(&self) -> State {
        State {
            exists: self.exists,
            free_len: self.free_len,
            capacity: self.capacity,
            file_system: self.file_system,
            rng: self.rng.clone(),
            ..State::default()
        }
    }
}
