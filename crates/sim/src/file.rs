//! The engine's side of the simulated disk.

use super::bytes::PAGE;
use super::crash::Kept;
use super::node::Node;
use super::{EIO, ENOSPC, Event, Fault, MemDisk, Op, State};
use crate::rng::Rng;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use vellum_bytes::{Error, Result};
use vellum_disk::{Access, Disk, File, FileId, Lock, LogTail, Region};

/// The file is not open for this.
const EBADF: i32 = 9;

fn os_error(op: Op, name: &str, errno: i32) -> Error {
    Error::io(format!("({op:?})"), name, io::Error::from_raw_os_error(errno))
}

/// A call that was let through, perhaps with a lie.
struct Call<'a> {
    state: MutexGuard<'a, State>,
    fault: Option<Fault>,
}

impl MemDisk {
    /// Counts and records a call, and asks what becomes of it.
    fn ask(&self, op: Op, name: &str, offset: u64, len: u64) -> Result<Call<'_>> {
        let mut state = self.state();
        // A mapping would go on giving what it has, so a segment that is read by calls does too.
        let is_page_read = op == Op::Read && name.starts_with("seg-");
        if state.dead && !is_page_read || op.changes() && state.dies_at.is_some_and(|at| state.calls >= at) {
            state.dead = true;
            return Err(os_error(op, name, EIO));
        }
        state.calls += u64::from(op.changes());
        if super::told() {
            println!("    {} {op:?} {name} {offset}+{len}", state.calls);
        }
        if state.trace.is_none() && state.judge.is_none() && state.hook.is_none() {
            return Ok(Call { state, fault: None });
        }
        let event = Event { op, name: name.to_string(), offset, len };
        let mut fault = None;
        if op != Op::TailWrite
            && let Some(mut judge) = state.judge.take()
        {
            fault = judge(&event);
            state.judge = Some(judge);
            // What fails half is for the call itself to do.
            let half = matches!(fault, Some(Fault::Partly(_))) || matches!(op, Op::Sync | Op::SyncDir);
            if !half && let Some(error) = fault.and_then(Fault::error) {
                return Err(Error::io(format!("({op:?})"), name, error));
            }
        }
        if let Some(trace) = &mut state.trace {
            trace.push(event.clone());
        }
        if op != Op::Sync {
            state = self.run_hook(state, &event);
        }
        Ok(Call { state, fault })
    }

    /// The hook runs without the disk's lock, since it calls the disk.
    fn run_hook<'a>(&'a self, mut state: MutexGuard<'a, State>, event: &Event) -> MutexGuard<'a, State> {
        let Some(mut hook) = state.hook.take() else { return state };
        drop(state);
        hook(event);
        let mut state = self.state();
        state.hook.get_or_insert(hook);
        state
    }

    fn file(&self, name: &str, node: usize, access: Access) -> Arc<dyn File> {
        Arc::new(MemFile { disk: self.clone(), name: name.to_string(), node, access })
    }
}

impl State {
    /// Randomness for one call: another one each time, and the same again in the same run.
    fn chance(&mut self) -> Rng {
        let seed = self.rng.as_mut().map_or(self.calls, Rng::draw);
        Rng::new(seed)
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
        self.ask(Op::CreateDir, "", 0, 0)?.state.exists = true;
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.ask(Op::List, "", 0, 0)?.state.names.now().keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>> {
        let call = self.ask(Op::Open, name, 0, 0)?;
        let node = call.state.names.now().get(name).copied();
        drop(call);
        let absent = || Error::io("opening", name, io::ErrorKind::NotFound.into());
        node.map(|node| self.file(name, node, access)).ok_or_else(absent)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let mut call = self.ask(Op::Create, name, 0, 0)?;
        let state = &mut *call.state;
        if state.names.now().contains_key(name) {
            return Err(Error::io("creating", name, io::ErrorKind::AlreadyExists.into()));
        }
        if !state.exists {
            return Err(Error::io("creating", name, io::ErrorKind::NotFound.into()));
        }
        let node = state.add(Node::default());
        state.names.link(name, node);
        drop(call);
        Ok(self.file(name, node, Access::Write))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut call = self.ask(Op::Rename, to, 0, 0)?;
        let absent = || Error::io("renaming", from, io::ErrorKind::NotFound.into());
        call.state.names.rename(from, to).map(|_| ()).ok_or_else(absent)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut call = self.ask(Op::Remove, name, 0, 0)?;
        if !call.state.names.now().contains_key(name) {
            return Err(Error::io("removing", name, io::ErrorKind::NotFound.into()));
        }
        call.state.names.unlink(name);
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        let mut call = self.ask(Op::SyncDir, "", 0, 0)?;
        let Some(error) = call.fault.and_then(Fault::error) else {
            call.state.names.sync();
            return Ok(());
        };
        let mut rng = call.state.chance();
        call.state.names.sync_fails(Fault::kept(call.fault), &mut rng);
        Err(Error::io("(SyncDir)", "", error))
    }

    fn identity(&self, name: &str) -> Result<Option<FileId>> {
        let call = self.ask(Op::Identity, name, 0, 0)?;
        Ok(call.state.names.now().get(name).map(|node| id_of(*node)))
    }

    fn lock(&self) -> Result<Box<dyn Lock>> {
        self.take_lock(Held::Writer)
    }

    fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        self.take_lock(Held::Reader)
    }

    fn free_len(&self) -> Result<u64> {
        let call = self.ask(Op::FreeLen, "", 0, 0)?;
        Ok(call.state.free_len.min(call.state.room()))
    }
}

/// Files of the simulation lie on one device.
fn id_of(node: usize) -> FileId {
    FileId { device: 0, inode: node as u64 }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Writer,
    Reader,
}

impl MemDisk {
    fn take_lock(&self, held: Held) -> Result<Box<dyn Lock>> {
        let mut call = self.ask(Op::Lock, "", 0, 0)?;
        let is_free = !call.state.has_writer && (held == Held::Reader || call.state.reader_count == 0);
        if !is_free {
            return Err(Error::io("locking", "(memory)", io::ErrorKind::WouldBlock.into()));
        }
        match held {
            Held::Writer => call.state.has_writer = true,
            Held::Reader => call.state.reader_count += 1,
        }
        drop(call);
        Ok(Box::new(MemLock { disk: self.clone(), held }))
    }
}

#[derive(Debug)]
struct MemLock {
    disk: MemDisk,
    held: Held,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        match self.held {
            Held::Writer => state.has_writer = false,
            Held::Reader => state.reader_count -= 1,
        }
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    name: String,
    node: usize,
    access: Access,
}

impl MemFile {
    fn for_writing(&self) -> Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(os_error(Op::Write, &self.name, EBADF)),
        }
    }

    fn short(&self, found: usize, wanted: u64) -> Error {
        Error::corrupt(&self.name, found as u64, format!("the file has {found} bytes, {wanted} are needed"))
    }

    fn ask(&self, op: Op, offset: u64, len: u64) -> Result<Call<'_>> {
        self.disk.ask(op, &self.name, offset, len)
    }

    /// How much of a file that is to have `len` bytes finds room.
    fn room_for(&self, state: &State, len: usize) -> usize {
        let node = &state.nodes[self.node];
        if state.capacity.is_none() || len <= node.used_len() as usize {
            return len;
        }
        let room = usize::try_from(state.room()).unwrap_or(usize::MAX);
        len.min((node.used_len() as usize).saturating_add(room / PAGE * PAGE))
    }

    /// The part of a write that takes place, as a sector or so less than all.
    fn write_partly(&self, state: &mut State, offset: usize, bytes: &[u8]) {
        let mut rng = state.chance();
        let mut at = offset;
        while at < offset + bytes.len() {
            let end = ((at / 512 + 1) * 512).min(offset + bytes.len());
            if rng.one_in(2) {
                state.nodes[self.node].write(at, &bytes[at - offset..end - offset], None);
            }
            at = end;
        }
    }

    fn write(state: &mut State, node: usize, offset: usize, bytes: &[u8]) {
        let State { nodes, rng, .. } = state;
        nodes[node].write(offset, bytes, rng.as_mut());
    }

    /// Writes and tells the caller nothing of what went wrong.
    fn write_with_lie(&self, state: &mut State, offset: usize, bytes: &[u8], fault: Fault) {
        let node = &mut state.nodes[self.node];
        let range = Node::sector_range(offset, bytes.len());
        let pick = |number: u64| range.start + (number as usize % range.len().max(1));
        match fault {
            Fault::FlippedBit(bit) => {
                let mut wrong = bytes.to_vec();
                let bit = bit as usize % (wrong.len().max(1) * 8);
                wrong[bit / 8] ^= 1 << (bit % 8);
                node.write(offset, &wrong, None);
            }
            Fault::LostSector(number) => {
                let before = node.data().page(pick(number) / 8).clone();
                node.write(offset, bytes, None);
                node.put_back(pick(number), &before);
            }
            Fault::MisdirectedSector(number) => {
                let (from, last) = (pick(number), node.len().max(offset + bytes.len()) / 512);
                let to = (from + 1 + number as usize / 7 % last.max(1)) % last.max(1);
                let before = node.data().page(from / 8).clone();
                node.write(offset, bytes, None);
                let sector = node.data().sector(from / 8, from % 8).to_vec();
                node.write(to * 512, &sector, None);
                node.put_back(from, &before);
            }
            _ => node.write(offset, bytes, None),
        }
    }
}

impl File for MemFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Result<FileId> {
        Ok(id_of(self.node))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.ask(Op::Len, 0, 0)?.state.nodes[self.node].len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let call = self.ask(Op::Read, offset, into.len() as u64)?;
        let node = &call.state.nodes[self.node];
        let (data, end) = (node.data(), offset as usize + into.len());
        if end > data.len() {
            return Err(self.short(data.len(), end as u64));
        }
        if !node.reads(offset as usize..end) {
            return Err(os_error(Op::Read, &self.name, EIO));
        }
        data.read(offset as usize, into);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.for_writing()?;
        let call = self.ask(Op::Write, offset, bytes.len() as u64)?;
        let (mut state, fault, offset) = (call.state, call.fault, offset as usize);
        let fits = self.room_for(&state, offset + bytes.len());
        if fits < offset + bytes.len() {
            let part = fits.saturating_sub(offset);
            MemFile::write(&mut state, self.node, offset, &bytes[..part]);
            return Err(os_error(Op::Write, &self.name, ENOSPC));
        }
        match fault {
            Some(Fault::InTwo) if bytes.len() > 1 => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                MemFile::write(&mut state, self.node, offset, first);
                drop(state);
                return self.write_at((offset + first.len()) as u64, second);
            }
            None | Some(Fault::InTwo) => MemFile::write(&mut state, self.node, offset, bytes),
            Some(Fault::Partly(errno)) => {
                self.write_partly(&mut state, offset, bytes);
                return Err(os_error(Op::Write, &self.name, errno));
            }
            Some(fault) => self.write_with_lie(&mut state, offset, bytes, fault),
        }
        Ok(())
    }

    fn allocate_zeroed(&self, len: u64) -> Result<()> {
        self.for_writing()?;
        let mut call = self.ask(Op::Allocate, 0, len)?;
        let fits = self.room_for(&call.state, len as usize);
        let errno = match call.fault {
            _ if (fits as u64) < len => Some(ENOSPC),
            Some(Fault::Partly(errno)) => Some(errno),
            _ => None,
        };
        let Some(errno) = errno else {
            call.state.nodes[self.node].fill_zeros(len as usize);
            return Ok(());
        };
        let part = if fits < len as usize { fits } else { fits / 2 };
        call.state.nodes[self.node].fill_zeros(part);
        Err(os_error(Op::Allocate, &self.name, errno))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.for_writing()?;
        let mut call = self.ask(Op::Allocate, 0, len)?;
        let fits = self.room_for(&call.state, len as usize);
        let (end, errno) = match call.fault {
            _ if (fits as u64) < len => (fits, Some(ENOSPC)),
            Some(Fault::Partly(errno)) => (fits / 2, Some(errno)),
            _ => (fits, None),
        };
        call.state.nodes[self.node].extend_zeros(end);
        errno.map_or(Ok(()), |errno| Err(os_error(Op::Allocate, &self.name, errno)))
    }

    fn sync(&self) -> Result<()> {
        let mut call = self.ask(Op::Sync, 0, 0)?;
        let covered = call.state.nodes[self.node].sync_starts();
        let event = Event { op: Op::Sync, name: self.name.clone(), offset: 0, len: 0 };
        let (fault, mut state) = (call.fault, self.disk.run_hook(call.state, &event));
        // The machine may have died under the hook.
        let died = state.dead.then(|| io::Error::from_raw_os_error(EIO));
        if let Some(error) = died.or_else(|| fault.and_then(Fault::error)) {
            // The death of the process ends the call, not the kernel's work: nothing is taken back then.
            let (kept, reverts) = if state.dead {
                (Kept(4), false)
            } else {
                (Fault::kept(fault), state.file_system.failed_sync_reverts)
            };
            if !state.dead {
                state.failed_syncs.insert(self.name.clone());
            }
            let mut rng = state.chance();
            state.nodes[self.node].sync_fails(covered, &mut rng, kept, reverts);
            return Err(Error::io("(Sync)", &self.name, error));
        }
        state.nodes[self.node].sync_ends(covered);
        if state.file_system.any_sync_names {
            state.names.sync();
        }
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn map(&self, len: u64) -> Result<Region> {
        let call = self.ask(Op::Map, 0, len)?;
        let node = &call.state.nodes[self.node];
        if len > node.len() as u64 {
            return Err(self.short(node.len(), len));
        }
        let bytes = node.mapped(len as usize);
        let (disk, node) = (Arc::downgrade(&self.disk.0), self.node);
        Ok(Region::probed(bytes, Arc::new(move |range| probe(&disk, node, range))))
    }

    fn map_tail(&self, len: u64) -> Result<Option<Box<dyn LogTail>>> {
        self.for_writing()?;
        let call = self.ask(Op::Map, 0, len)?;
        let found = call.state.nodes[self.node].len();
        drop(call);
        if (found as u64) < len {
            return Err(self.short(found, len));
        }
        let (disk, name) = (self.disk.clone(), self.name.clone());
        Ok(Some(Box::new(MemTail { disk, name, node: self.node, len: len as usize })))
    }
}

/// Whether the device reads a range now; a disk that is gone took its broken sectors along.
fn probe(disk: &Weak<Mutex<State>>, node: usize, range: std::ops::Range<usize>) -> io::Result<()> {
    let Some(disk) = disk.upgrade().map(MemDisk) else { return Ok(()) };
    let reads = disk.state().nodes[node].reads(range);
    if reads { Ok(()) } else { Err(io::Error::from_raw_os_error(EIO)) }
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
        // A store through a mapping cannot fail: of the answers, only that of a dead machine counts.
        if let Ok(mut call) = self.disk.ask(Op::TailWrite, &self.name, offset as u64, bytes.len() as u64) {
            MemFile::write(&mut call.state, self.node, offset, bytes);
        }
    }

    fn prefault(&self, _offset: usize, _len: usize) {}
}
