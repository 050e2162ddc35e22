//! A disk in memory: keeps what was synced apart from what was written, can be copied as a killed
//! process or a power cut leaves it, records the order of calls and fails those that a test picks.

use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use vellum::disk::{Access, Disk, File, Lock, LogTail, Region};
use vellum::{Error, Result};

/// What was asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    /// The directory was created.
    CreateDir,
    /// A file was created.
    Create,
    /// A file was opened.
    Open,
    /// A file was renamed; the event has the new name.
    Rename,
    /// A file was unlinked.
    Remove,
    /// Names were synced.
    SyncDir,
    /// Bytes were written by a call.
    Write,
    /// Bytes were stored through the log's mapping; cannot fail.
    TailWrite,
    /// A file was filled with zeros.
    Allocate,
    /// Contents were synced.
    Sync,
    /// A file was mapped.
    Map,
    /// Bytes were read.
    Read,
    /// The lock was taken.
    Lock,
    /// The free space was asked for.
    FreeLen,
}

impl Op {
    /// Whether it changes what is stored, or makes it durable.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Op::Open | Op::Map | Op::Read | Op::FreeLen | Op::Lock)
    }
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub op: Op,
    /// On which file; empty for the directory.
    pub name: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

type Fault = Box<dyn FnMut(&Event) -> Option<io::ErrorKind> + Send>;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct MemDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    exists: bool,
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// Names as of the last sync of the directory.
    durable_names: BTreeMap<String, usize>,
    locked: bool,
    free_len: u64,
    trace: Option<Vec<Event>>,
    fault: Option<Fault>,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges written since the last sync.
    pending: Vec<Range<usize>>,
    /// Whether the file holds zeros alone.
    zeros: bool,
}

impl Node {
    /// Zeros that nobody touches cost no memory.
    fn copy(&self) -> Node {
        let fresh = |bytes: &Vec<u8>| if self.zeros { vec![0; bytes.len()] } else { bytes.clone() };
        let (data, durable) = (fresh(&self.data), fresh(&self.durable));
        Node { data, durable, pending: self.pending.clone(), zeros: self.zeros }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.zeros = false;
        let end = offset + bytes.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[offset..end].copy_from_slice(bytes);
        self.pending.push(offset..end);
    }

    fn sync(&mut self) {
        if self.zeros {
            self.durable = vec![0; self.data.len()];
            self.pending.clear();
            return;
        }
        self.durable.resize(self.data.len(), 0);
        for range in std::mem::take(&mut self.pending) {
            self.durable[range.clone()].copy_from_slice(&self.data[range]);
        }
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

fn not_found(doing: &str, name: &str) -> Error {
    Error::io(doing, name, io::ErrorKind::NotFound.into())
}

impl MemDisk {
    /// An empty disk without the directory.
    #[must_use]
    pub fn new() -> MemDisk {
        MemDisk(Arc::new(Mutex::new(State { free_len: 1 << 40, ..State::default() })))
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
        let mut copy = State { exists: state.exists, free_len: state.free_len, ..State::default() };
        for (name, node) in &state.names {
            let at = copy.nodes.len();
            copy.names.insert(name.clone(), at);
            copy.nodes.push(state.nodes[*node].copy());
            copy.durable_names.extend(
                state.durable_names.iter().filter(|(_, n)| *n == node).map(|(name, _)| (name.clone(), at)),
            );
        }
        for (name, node) in &state.durable_names {
            if !copy.durable_names.contains_key(name) {
                copy.durable_names.insert(name.clone(), copy.nodes.len());
                copy.nodes.push(state.nodes[*node].copy());
            }
        }
        MemDisk(Arc::new(Mutex::new(copy)))
    }

    /// The disk as a power cut leaves it: what was synced, and of the rest each 512-byte sector and each
    /// name with a chance of `kept` in 4.
    #[must_use]
    pub fn after_power_cut(&self, rng: &mut Rng, kept: usize) -> MemDisk {
        let state = self.state();
        let mut copy = State { exists: state.exists, free_len: state.free_len, ..State::default() };
        let mut names = state.durable_names.clone();
        for (name, node) in &state.names {
            if !names.contains_key(name) && rng.below(4) < kept {
                names.retain(|_, other| other != node);
                names.insert(name.clone(), *node);
            }
        }
        for (name, node) in names {
            let node = &state.nodes[node];
            if node.zeros && node.pending.is_empty() {
                copy.names.insert(name, copy.nodes.len());
                copy.nodes.push(node.copy());
                continue;
            }
            let mut data = node.durable.clone();
            if node.data.len() > data.len() && rng.below(4) < kept {
                data.resize(node.data.len(), 0);
            }
            for range in &node.pending {
                let mut at = range.start;
                while at < range.end {
                    let end = ((at / 512 + 1) * 512).min(range.end);
                    if end <= data.len() && rng.below(4) < kept {
                        data[at..end].copy_from_slice(&node.data[at..end]);
                    }
                    at = end;
                }
            }
            copy.names.insert(name, copy.nodes.len());
            copy.nodes.push(Node { durable: data.clone(), data, ..Node::default() });
        }
        copy.durable_names = copy.names.clone();
        MemDisk(Arc::new(Mutex::new(copy)))
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
    pub fn fail(&self, fault: impl FnMut(&Event) -> Option<io::ErrorKind> + Send + 'static) {
        self.state().fault = Some(Box::new(fault));
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Sets what the disk says of its free space.
    pub fn set_free_len(&self, len: u64) {
        self.state().free_len = len;
    }

    /// Names and contents of all files.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, node)| (name.clone(), state.nodes[*node].data.clone())).collect()
    }

    /// Changes a file behind the engine's back, durably; creates it if need be.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        state.exists = true;
        let node = match state.names.get(name) {
            Some(node) => *node,
            None => {
                state.nodes.push(Node::default());
                let node = state.nodes.len() - 1;
                state.names.insert(name.to_string(), node);
                state.durable_names.insert(name.to_string(), node);
                node
            }
        };
        let node = &mut state.nodes[node];
        node.zeros = false;
        change(&mut node.data);
        node.durable = node.data.clone();
        node.pending.clear();
    }

    /// Unlinks a file behind the engine's back, durably.
    pub fn unlink(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    fn ask(&self, op: Op, name: &str, offset: u64, len: u64) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let event = Event { op, name: name.to_string(), offset, len };
        if let Some(mut fault) = state.fault.take() {
            let failed = fault(&event);
            state.fault = Some(fault);
            if let Some(kind) = failed {
                return Err(Error::io(format!("({op:?})"), name, kind.into()));
            }
        }
        if let Some(trace) = &mut state.trace {
            trace.push(event);
        }
        Ok(state)
    }

    fn file(&self, name: &str, node: usize) -> Arc<dyn File> {
        Arc::new(MemFile { disk: self.clone(), name: name.to_string(), node })
    }
}

impl Disk for MemDisk {
    fn place(&self) -> String {
        "(memory)".to_string()
    }

    fn exists(&self) -> Result<bool> {
        Ok(self.state().exists)
    }

    fn create_dir(&self) -> Result<()> {
        self.ask(Op::CreateDir, "", 0, 0)?.exists = true;
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>> {
        let _ = access;
        let state = self.ask(Op::Open, name, 0, 0)?;
        let node = *state.names.get(name).ok_or_else(|| not_found("opening", name))?;
        drop(state);
        Ok(self.file(name, node))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let mut state = self.ask(Op::Create, name, 0, 0)?;
        if state.names.contains_key(name) || !state.exists {
            return Err(Error::io("creating", name, io::ErrorKind::AlreadyExists.into()));
        }
        state.nodes.push(Node::default());
        let node = state.nodes.len() - 1;
        state.names.insert(name.to_string(), node);
        drop(state);
        Ok(self.file(name, node))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut state = self.ask(Op::Rename, to, 0, 0)?;
        let node = state.names.remove(from).ok_or_else(|| not_found("renaming", from))?;
        state.names.insert(to.to_string(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut state = self.ask(Op::Remove, name, 0, 0)?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| not_found("removing", name))
    }

    fn sync_dir(&self) -> Result<()> {
        let mut state = self.ask(Op::SyncDir, "", 0, 0)?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Lock>> {
        let mut state = self.ask(Op::Lock, name, 0, 0)?;
        if std::mem::replace(&mut state.locked, true) {
            return Err(Error::io("locking", name, io::ErrorKind::WouldBlock.into()));
        }
        Ok(Box::new(MemLock(self.clone())))
    }

    fn free_len(&self) -> Result<u64> {
        Ok(self.ask(Op::FreeLen, "", 0, 0)?.free_len)
    }
}

#[derive(Debug)]
struct MemLock(MemDisk);

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    name: String,
    node: usize,
}

impl MemFile {
    fn short(&self, found: usize, wanted: u64) -> Error {
        Error::corrupt(&self.name, found as u64, format!("the file has {found} bytes, {wanted} are needed"))
    }
}

impl File for MemFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Result<u64> {
        Ok(self.disk.state().nodes[self.node].data.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let state = self.disk.ask(Op::Read, &self.name, offset, into.len() as u64)?;
        let data = &state.nodes[self.node].data;
        let end = offset as usize + into.len();
        let bytes = data.get(offset as usize..end).ok_or_else(|| self.short(data.len(), end as u64))?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.disk.ask(Op::Write, &self.name, offset, bytes.len() as u64)?;
        state.nodes[self.node].write(offset as usize, bytes);
        Ok(())
    }

    fn allocate_zeroed(&self, len: u64) -> Result<()> {
        let mut state = self.disk.ask(Op::Allocate, &self.name, 0, len)?;
        let node = &mut state.nodes[self.node];
        node.data = vec![0; node.data.len().max(len as usize)];
        node.zeros = true;
        node.pending = std::iter::once(0..node.data.len()).collect();
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.disk.ask(Op::Sync, &self.name, 0, 0)?;
        state.nodes[self.node].sync();
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn map(&self, len: u64) -> Result<Region> {
        let state = self.disk.ask(Op::Map, &self.name, 0, len)?;
        let data = &state.nodes[self.node].data;
        data.get(..len as usize)
            .map(|bytes| Region::heap(bytes.to_vec()))
            .ok_or_else(|| self.short(data.len(), len))
    }

    fn map_tail(&self, len: u64) -> Result<Option<Box<dyn LogTail>>> {
        let state = self.disk.ask(Op::Map, &self.name, 0, len)?;
        let found = state.nodes[self.node].data.len();
        if (found as u64) < len {
            return Err(self.short(found, len));
        }
        drop(state);
        Ok(Some(Box::new(MemTail {
            disk: self.disk.clone(),
            name: self.name.clone(),
            node: self.node,
            len: len as usize,
        })))
    }
}

#[derive(Debug)]
struct MemTail {
    disk: MemDisk,
    name: String,
    node: usize,
    len: usize,
}

impl LogTail for MemTail {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len, "a store outside the mapping");
        let mut state = self.disk.state();
        if let Some(trace) = &mut state.trace {
            let (offset, len) = (offset as u64, bytes.len() as u64);
            trace.push(Event { op: Op::TailWrite, name: self.name.clone(), offset, len });
        }
        state.nodes[self.node].write(offset, bytes);
    }

    fn prefault(&self, _offset: usize, _len: usize) {}
}
