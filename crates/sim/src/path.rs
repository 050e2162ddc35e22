//! Paths of the simulated file system: what leads to a directory now may lead to another one later.

use super::{MemDisk, names::Map};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use vellum_bytes::Result;
use vellum_disk::{Access, Disk, File, FileId, Lock};

/// A path to a directory. Clones are the same path.
#[derive(Clone, Debug)]
pub struct MemPath(Arc<Mutex<MemDisk>>);

impl MemPath {
    /// A path that leads to this directory.
    #[must_use]
    pub fn new(disk: MemDisk) -> MemPath {
        MemPath(Arc::new(Mutex::new(disk)))
    }

    /// Lets the path lead to another directory: the first one was renamed, or a link was switched.
    pub fn lead_to(&self, disk: MemDisk) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    /// A disk at this path. Like the real one it is resolved at its first call, and stays what it was then.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Resolved { path: self.clone(), disk: OnceLock::new() })
    }
}

#[derive(Debug)]
struct Resolved {
    path: MemPath,
    disk: OnceLock<MemDisk>,
}

impl Resolved {
    fn disk(&self) -> &MemDisk {
        self.disk.get_or_init(|| self.path.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Disk for Resolved {
    fn place(&self) -> String {
        self.disk().place()
    }
    fn exists(&self) -> Result<bool> {
        self.disk().exists()
    }
    fn create_dir(&self) -> Result<()> {
        self.disk().create_dir()
    }
    fn list(&self) -> Result<Vec<String>> {
        self.disk().list()
    }
    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>> {
        self.disk().open(name, access)
    }
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.disk().create(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk().rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.disk().remove(name)
    }
    fn sync_dir(&self) -> Result<()> {
        self.disk().sync_dir()
    }
    fn identity(&self, name: &str) -> Result<Option<FileId>> {
        self.disk().identity(name)
    }
    fn lock(&self) -> Result<Box<dyn Lock>> {
        self.disk().lock()
    }
    fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        self.disk().lock_shared()
    }
    fn free_len(&self) -> Result<u64> {
        self.disk().free_len()
    }
}

/// Names that were taken away, with the files behind them.
#[derive(Debug)]
pub struct Taken {
    names: Map,
    /// The directory itself went with them.
    with_directory: bool,
}

impl MemDisk {
    /// Deletes the directory with all that is in it, behind the engine's back, durably.
    pub fn take_directory(&self) -> Taken {
        let mut state = self.state();
        let names = state.names.now().clone();
        names.keys().for_each(|name| state.names.edit(name, None));
        state.exists = false;
        Taken { names, with_directory: true }
    }

    /// Deletes the files whose names begin with this, durably, without the engine's knowledge.
    pub fn take_files(&self, prefix: &str) -> Taken {
        let mut state = self.state();
        let mut names = state.names.now().clone();
        names.retain(|name, _| name.starts_with(prefix));
        names.keys().for_each(|name| state.names.edit(name, None));
        Taken { names, with_directory: false }
    }

    /// Puts back what was taken away, in place of what came to stand there.
    pub fn bring_back(&self, taken: Taken) {
        let mut state = self.state();
        state.exists |= taken.with_directory;
        taken.names.into_iter().for_each(|(name, node)| state.names.edit(&name, Some(node)));
    }
}

impl MemDisk {
    /// Remembers a file as it is, to put back a copy of it.
    pub fn copy_away(&self, name: &str) -> Taken {
        let mut state = self.state();
        let found = state.names.now().get(name).copied();
        let names = found.map(|node| (name.to_string(), node)).into_iter().collect::<Map>();
        let copies = names.into_iter().map(|(name, node)| {
            let copy = state.nodes[node].clone();
            (name, state.add(copy))
        });
        Taken { names: copies.collect(), with_directory: false }
    }

    /// Writes over a file in place, behind the engine's back, durably.
    pub fn overwrite(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        if let Some(node) = state.names.now().get(name).copied() {
            state.nodes[node] = super::node::Node::new(content);
        }
    }
}

impl Taken {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }
}
