//! A disk in memory for the log's tests: it keeps unsynced bytes and names apart, can lose any of them in
//! a crash, and fails when told to.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk, File, FileId, Lock, LogTail, Region};

/// Bytes that a device writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default, Clone)]
struct Content {
    cached: Vec<u8>,
    durable: Vec<u8>,
}

type Inode = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    cached: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    sync_count: u64,
    /// The sync with this number and all later ones fail.
    fail_sync_at: Option<u64>,
    /// Bytes that can still be allocated.
    room: Option<u64>,
    fail_write: bool,
    after_sync: Hook,
}

/// Something to do once, right after the next sync of a file took its bytes.
#[derive(Default)]
struct Hook(Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct MemDisk {
    state: Arc<Mutex<State>>,
    /// Whether log tails can be mapped.
    pub(super) mappable: bool,
}

/// A small generator (xorshift), so that each crash is told by its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

impl MemDisk {
    pub(super) fn new() -> MemDisk {
        MemDisk { mappable: true, ..MemDisk::default() }
    }

    pub(super) fn sync_count(&self) -> u64 {
        self.state.lock().sync_count
    }

    /// Lets `count` more syncs pass and fails those behind.
    pub(super) fn fail_sync_after(&self, count: u64) {
        let mut state = self.state.lock();
        state.fail_sync_at = Some(state.sync_count + count);
    }

    pub(super) fn set_room(&self, room: Option<u64>) {
        self.state.lock().room = room;
    }

    /// Runs `hook` while the next sync of a file has taken its bytes and has not returned.
    pub(super) fn during_sync(&self, hook: impl FnOnce() + Send + 'static) {
        self.state.lock().after_sync = Hook(Some(Box::new(hook)));
    }

    pub(super) fn fail_writes(&self) {
        self.state.lock().fail_write = true;
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.state.lock().cached[name].lock().cached.clone()
    }

    pub(super) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let content = Content { cached: bytes.clone(), durable: bytes };
        let inode = Arc::new(Mutex::new(content));
        let mut state = self.state.lock();
        state.cached.insert(name.to_string(), Arc::clone(&inode));
        state.durable.insert(name.to_string(), inode);
    }

    /// A copy of what programs see now; changes to one do not show in the other.
    pub(super) fn copy(&self) -> MemDisk {
        let copy = MemDisk { mappable: self.mappable, ..MemDisk::default() };
        for (name, inode) in &self.state.lock().cached {
            copy.set_bytes(name, inode.lock().cached.clone());
        }
        copy
    }

    /// A copy of what is left after a power cut: each unsynced sector and name is kept or lost by chance.
    pub(super) fn crash(&self, random: &mut Random) -> MemDisk {
        let state = self.state.lock();
        let after = MemDisk { mappable: self.mappable, ..MemDisk::default() };
        let names: std::collections::BTreeSet<&String> =
            state.cached.keys().chain(state.durable.keys()).collect();
        for name in names {
            let (cached, durable) = (state.cached.get(name), state.durable.get(name));
            let kept = if random.below(2) == 0 { cached } else { durable };
            if let Some(inode) = kept {
                let content = inode.lock();
                after.set_bytes(name, torn(&content, random));
            }
        }
        after
    }
}

fn torn(content: &Content, random: &mut Random) -> Vec<u8> {
    let mut bytes = content.durable.clone();
    if content.cached.len() != bytes.len() && random.below(2) == 0 {
        bytes.resize(content.cached.len(), 0);
    }
    let len = bytes.len().min(content.cached.len());
    // Now and then all of it, or nothing, is what a kernel wrote back.
    let odds = random.below(4);
    for start in (0..len).step_by(SECTOR) {
        let end = (start + SECTOR).min(len);
        if odds == 3 || (odds != 0 && random.below(2) == 0) {
            bytes[start..end].copy_from_slice(&content.cached[start..end]);
        }
    }
    bytes
}

fn refused(kind: ErrorKind) -> io::Error {
    io::Error::from(kind)
}

impl Disk for MemDisk {
    fn place(&self) -> String {
        "memory".to_string()
    }

    fn exists(&self) -> Result<bool> {
        Ok(true)
    }

    fn create_dir(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.state.lock().cached.keys().cloned().collect())
    }

    fn open(&self, name: &str, _access: Access) -> Result<Arc<dyn File>> {
        let state = self.state.lock();
        let inode =
            state.cached.get(name).ok_or_else(|| Error::io("opening", name, refused(ErrorKind::NotFound)))?;
        Ok(Arc::new(MemFile { name: name.to_string(), inode: Arc::clone(inode), disk: self.clone() }))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        if state.cached.contains_key(name) {
            return Err(Error::io("creating", name, refused(ErrorKind::AlreadyExists)));
        }
        let inode = Inode::default();
        state.cached.insert(name.to_string(), Arc::clone(&inode));
        Ok(Arc::new(MemFile { name: name.to_string(), inode, disk: self.clone() }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut state = self.state.lock();
        let inode = state
            .cached
            .remove(from)
            .ok_or_else(|| Error::io("renaming", from, refused(ErrorKind::NotFound)))?;
        state.cached.insert(to.to_string(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let gone = self.state.lock().cached.remove(name);
        gone.map(drop).ok_or_else(|| Error::io("removing", name, refused(ErrorKind::NotFound)))
    }

    fn sync_dir(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.sync_count += 1;
        if state.fail_sync_at.is_some_and(|at| state.sync_count > at) {
            return Err(Error::io("syncing directory", "memory", io::Error::other("told to fail")));
        }
        state.durable = state.cached.clone();
        Ok(())
    }

    fn identity(&self, name: &str) -> Result<Option<FileId>> {
        Ok(self.state.lock().cached.get(name).map(id_of))
    }

    fn lock(&self) -> Result<Box<dyn Lock>> {
        unimplemented!("the log takes no lock")
    }

    fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        unimplemented!("the log takes no lock")
    }

    fn free_len(&self) -> Result<u64> {
        Ok(self.state.lock().room.unwrap_or(u64::MAX))
    }
}

fn id_of(inode: &Inode) -> FileId {
    FileId { device: 0, inode: Arc::as_ptr(inode) as u64 }
}

#[derive(Debug)]
struct MemFile {
    name: String,
    inode: Inode,
    disk: MemDisk,
}

impl File for MemFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Result<FileId> {
        Ok(id_of(&self.inode))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.inode.lock().cached.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let content = self.inode.lock();
        let range = offset as usize..offset as usize + into.len();
        let bytes = content
            .cached
            .get(range)
            .ok_or_else(|| Error::corrupt(self.name.clone(), offset, "the file is short"))?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.disk.state.lock().fail_write {
            return Err(Error::io("writing", self.name.clone(), io::Error::other("told to fail")));
        }
        let mut content = self.inode.lock();
        let end = offset as usize + bytes.len();
        if content.cached.len() < end {
            content.cached.resize(end, 0);
        }
        content.cached[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn allocate_zeroed(&self, len: u64) -> Result<()> {
        let mut state = self.disk.state.lock();
        if let Some(room) = &mut state.room {
            if *room < len {
                return Err(Error::io("allocating", self.name.clone(), refused(ErrorKind::StorageFull)));
            }
            *room -= len;
        }
        let mut content = self.inode.lock();
        content.cached.clear();
        content.cached.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.disk.state.lock();
        state.sync_count += 1;
        if state.fail_sync_at.is_some_and(|at| state.sync_count > at) {
            return Err(Error::io("syncing", self.name.clone(), io::Error::other("told to fail")));
        }
        let mut content = self.inode.lock();
        content.durable = content.cached.clone();
        drop(content);
        let hook = state.after_sync.0.take();
        drop(state);
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn map(&self, len: u64) -> Result<Region> {
        let mut bytes = vec![0; len as usize];
        self.read_at(0, &mut bytes)?;
        Ok(Region::heap(bytes))
    }

    fn map_tail(&self, _len: u64) -> Result<Option<Box<dyn LogTail>>> {
        Ok(self.disk.mappable.then(|| Box::new(MemTail(Arc::clone(&self.inode))) as Box<dyn LogTail>))
    }
}

#[derive(Debug)]
struct MemTail(Inode);

impl LogTail for MemTail {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.lock().cached[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn prefault(&self, _offset: usize, _len: usize) {}
}
