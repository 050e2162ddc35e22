//! A disk in memory for scheduled threads. A sync covers what was written before it began, takes a while, and
//! other threads go on meanwhile; a power cut keeps what was synced and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vellum_disk::{Access, Disk, File, FileId, Lock, LogTail, Region};
use vellum_engine::sync::point;
use vellum_engine::{Error, Result};

/// Clones are the same disk. The locks are the standard library's: nobody waits while he holds one.
#[derive(Clone, Debug, Default)]
pub(super) struct TestDisk(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    now: BTreeMap<String, Arc<Mutex<Content>>>,
    durable: BTreeMap<String, Arc<Mutex<Content>>>,
    locked: bool,
    fails_sync: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    /// Writes so far, and how many of them the durable bytes have.
    writes: u64,
    durable: Vec<u8>,
    durable_writes: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestDisk {
    /// What a power cut leaves at this moment.
    pub(super) fn power_cut(&self) -> TestDisk {
        let durable = held(&self.0).durable.clone();
        TestDisk::of(durable.into_iter().map(|(name, content)| (name, held(&content).durable.clone())))
    }

    /// A disk of its own with the same files, all durable.
    pub(super) fn copy(&self) -> TestDisk {
        let now = held(&self.0).now.clone();
        TestDisk::of(now.into_iter().map(|(name, content)| (name, held(&content).now.clone())))
    }

    fn of(files: impl Iterator<Item = (String, Vec<u8>)>) -> TestDisk {
        let content = |bytes: Vec<u8>| Content { now: bytes.clone(), durable: bytes, ..Content::default() };
        let names: BTreeMap<_, _> =
            files.map(|(name, bytes)| (name, Arc::new(Mutex::new(content(bytes))))).collect();
        let names = Names { durable: names.clone(), now: names, ..Names::default() };
        TestDisk(Arc::new(Mutex::new(names)))
    }

    /// Every sync of a file fails from here on.
    pub(super) fn fail_syncs(&self) {
        held(&self.0).fails_sync = true;
    }

    fn file(&self, name: &str, content: &Arc<Mutex<Content>>) -> Arc<dyn File> {
        Arc::new(TestFile { name: name.to_string(), content: content.clone(), disk: self.clone() })
    }
}

fn failed(kind: io::ErrorKind, name: &str) -> Error {
    Error::io("using", name, kind.into())
}

impl Disk for TestDisk {
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
        Ok(held(&self.0).now.keys().cloned().collect())
    }

    fn open(&self, name: &str, _access: Access) -> Result<Arc<dyn File>> {
        let content = held(&self.0).now.get(name).cloned();
        content.map(|content| self.file(name, &content)).ok_or_else(|| failed(io::ErrorKind::NotFound, name))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        point();
        let content = Arc::<Mutex<Content>>::default();
        let before = held(&self.0).now.insert(name.to_string(), content.clone());
        assert!(before.is_none(), "{name} exists");
        Ok(self.file(name, &content))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        point();
        let mut names = held(&self.0);
        let content = names.now.remove(from).ok_or_else(|| failed(io::ErrorKind::NotFound, from))?;
        names.now.insert(to.to_string(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        point();
        let content = held(&self.0).now.remove(name);
        content.map(drop).ok_or_else(|| failed(io::ErrorKind::NotFound, name))
    }

    fn sync_dir(&self) -> Result<()> {
        let taken = held(&self.0).now.clone();
        point();
        held(&self.0).durable = taken;
        Ok(())
    }

    fn identity(&self, name: &str) -> Result<Option<FileId>> {
        Ok(held(&self.0).now.get(name).map(id_of))
    }

    fn lock(&self) -> Result<Box<dyn Lock>> {
        match std::mem::replace(&mut held(&self.0).locked, true) {
            true => Err(failed(io::ErrorKind::WouldBlock, "the directory")),
            false => Ok(Box::new(TestLock(self.clone()))),
        }
    }

    fn lock_shared(&self) -> Result<Box<dyn Lock>> {
        self.lock()
    }

    fn free_len(&self) -> Result<u64> {
        Ok(u64::MAX / 4)
    }
}

fn id_of(content: &Arc<Mutex<Content>>) -> FileId {
    FileId { device: 0, inode: Arc::as_ptr(content) as u64 }
}

#[derive(Debug)]
struct TestLock(TestDisk);

impl Lock for TestLock {}

impl Drop for TestLock {
    fn drop(&mut self) {
        held(&self.0.0).locked = false;
    }
}

#[derive(Debug)]
struct TestFile {
    name: String,
    content: Arc<Mutex<Content>>,
    disk: TestDisk,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.writes += 1;
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
    }
}

impl File for TestFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Result<FileId> {
        Ok(id_of(&self.content))
    }

    fn len(&self) -> Result<u64> {
        Ok(held(&self.content).now.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let content = held(&self.content);
        let bytes = content.now.get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(
            bytes.ok_or_else(|| Error::corrupt(self.name.clone(), offset, "the file is short"))?,
        );
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        point();
        held(&self.content).write(offset as usize, bytes);
        Ok(())
    }

    fn allocate_zeroed(&self, len: u64) -> Result<()> {
        let mut content = held(&self.content);
        content.now.clear();
        content.write(0, &vec![0; len as usize]);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let (taken, writes) = {
            let content = held(&self.content);
            (content.now.clone(), content.writes)
        };
        point();
        if held(&self.disk.0).fails_sync {
            return Err(failed(io::ErrorKind::Other, &self.name));
        }
        let mut content = held(&self.content);
        // A sync that began later and ended earlier has more.
        if writes > content.durable_writes {
            content.durable = taken;
            content.durable_writes = writes;
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
        Ok(Some(Box::new(TestTail(self.content.clone()))))
    }
}

#[derive(Debug)]
struct TestTail(Arc<Mutex<Content>>);

impl LogTail for TestTail {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        point();
        held(&self.0).write(offset, bytes);
    }

    fn prefault(&self, _offset: usize, _len: usize) {}
}
