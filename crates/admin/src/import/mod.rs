//! New stores made whole: what a repair, a load and a backup write into an empty directory.
//!
//! ```text
//! Build::begin    the directory must be empty; the lock is taken
//! add, copy       records through the same `apply` that commits use, or pages as they are
//!                 (when 64 MiB are dirty their images go to segments, which nothing names yet)
//! finish          last images, a root, a log file that starts at the store's lsn, all synced;
//!                 then the superblock, by temporary name, rename and directory sync
//! settle          the file `unfinished` is removed
//! ```
//!
//! Promises: before `finish` switched the superblock in, the directory is no store, whatever happens
//! (crash rule 11); afterwards it is a closed one. The file `unfinished` distinguishes what a build that died left from a
//! store that lost its superblock; it must be removed by hand. Leaves to others: verifying the result.

mod record;

pub(crate) use record::{NewRecord, Refused};

use std::sync::Arc;
use vellum::records::hash_seed;
use vellum::records::{ApplyScratch, Records};
use vellum::redo::FrameBuilder;
use vellum_disk::{Disk, LOCK_NAME, Lock};
use vellum_engine::log::{Log, LogConfig, Position, Resume};
use vellum_engine::page::{Columns, PageWrite};
use vellum_engine::pages::superblock::{self, Remains, Superblock};
use vellum_engine::pages::{Compaction, ImageRef, PageStore, View, Writer, about};
use vellum_engine::{Address, Lsn, RowId};
use vellum_types::ObjectId;
use vellum_types::schema::Schema;
use vellum_types::{Error, ErrorKind, Result};

/// Bytes of memory that may be ahead of the new disk: as much as a checkpoint's log elsewhere.
const DIRTY_LEN_MAX: u64 = 64 << 20;
/// Groups that learn their places at once; nobody waits here.
const INSTALL_BATCH: usize = 4096;

/// A store in the making.
pub(crate) struct StoreBuilder {
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
    records: Records,
    writer: Writer,
    scratch: ApplyScratch,
    frame: FrameBuilder,
    commit_time: i64,
    /// Rows of system objects that were filled to reach those behind them.
    fillers: Vec<(ObjectId, RowId)>,
}

/// What identifies a new store, and where it begins to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) store_id: [u8; 16],
    /// Its newest commit when nothing was added yet; at least 1.
    pub(crate) lsn: Lsn,
    /// Commit times go on behind this.
    pub(crate) commit_time: i64,
}

impl StoreBuilder {
    /// Takes an empty directory. With a schema the catalog page is written; without, pages come by
    /// [`StoreBuilder::copy`].
    ///
    /// # Errors
    /// `AlreadyExists` when there is anything in the directory; what the disk says.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        identity: &Identity,
        schema: Option<&Schema>,
    ) -> Result<StoreBuilder> {
        reject_occupied(&*disk)?;
        disk.create_dir()?;
        let lock = disk.lock()?;
        reject_occupied(&*disk)?;
        superblock::begin_unfinished(&*disk)?;
        let (pages, writer) = PageStore::create(disk.clone(), identity.store_id, DIRTY_LEN_MAX);
        pages.memory.set_patient(true);
        let lsn = Lsn(identity.lsn.0.max(1));
        let seed = hash_seed(&identity.store_id);
        let records = Records::new(Arc::new(pages), seed, Schema::default(), lsn, identity.commit_time);
        let (scratch, frame) = (ApplyScratch::default(), FrameBuilder::default());
        let commit_time = identity.commit_time;
        let fillers = Vec::new();
        let mut build = StoreBuilder { disk, lock, records, writer, scratch, frame, commit_time, fillers };
        if let Some(schema) = schema {
            build.put_schema(schema)?;
        }
        Ok(build)
    }

    /// Every page of a view, as it is, and the numbers of its trees. `progress` hears of groups.
    ///
    /// # Errors
    /// `Corrupt` when a page cannot be read; what the new disk says.
    pub(crate) fn copy(
        &mut self,
        from: &PageStore,
        view: &View,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut done = 0;
        for (id, tree) in &view.root.trees {
            for number in 0..from.number_end(&view.root, *id)? {
                done += 1;
                let Some(group) = from.group(&view.root, *id, number)? else { continue };
                let copy = self.records.pages.group_mut(&mut self.writer, *id, number)?;
                for (column, page) in group.state.read().iter() {
                    let address = Address { tree: *id, number, column };
                    let bytes = page.to_vec().map_err(|error| about(&address, &error))?;
                    copy.state.write().page_mut(column).replace(bytes);
                }
                drop(copy);
                self.make_room()?;
                progress(done);
            }
            let copy = self.records.pages.tree_mut(&self.writer, *id)?;
            tree.metas().into_iter().enumerate().for_each(|(word, value)| copy.set_meta(word, value));
        }
        Ok(())
    }

    /// Writes images while much is dirty.
    fn make_room(&mut self) -> Result<()> {
        if self.records.pages.memory.pinned() < DIRTY_LEN_MAX {
            return Ok(());
        }
        self.write_images().map(drop)
    }

    /// A checkpoint that no superblock names.
    fn write_images(&mut self) -> Result<ImageRef> {
        let pages = &self.records.pages;
        let frozen = pages.freeze(&mut self.writer);
        let lsn = self.records.applied();
        let mut written = pages.write_checkpoint(&frozen, lsn, self.commit_time, Compaction::Bounded)?;
        pages.map_new(&written)?;
        pages.adopt(&written);
        while !pages.install(&mut self.writer, &mut written, INSTALL_BATCH)? {}
        drop(frozen);
        pages.release_retired();
        Ok(written.root)
    }

    /// Makes the directory a store, closed at the newest commit.
    ///
    /// # Errors
    /// What the disk says; the directory is no store then.
    pub(crate) fn finish(mut self, salt: u32) -> Result<Lsn> {
        let root = self.write_images()?;
        let lsn = self.records.applied();
        let store_id = self.records.pages.store_id;
        // A generation that says what came before it: that many commits, and no log of them.
        let before = Resume { position: Position { file: 0, offset: 0 }, lsn, prev_crc: 0, generation: 1 };
        // One header is all that goes into it: no reason to map it.
        let unmapped = LogConfig { mapped: false, ..LogConfig::default() };
        let log = Log::start_generation(self.disk.clone(), store_id, salt, &before, unmapped)?;
        let start = log.resume_point();
        drop(log);
        let seal = Some(start.seal());
        let first = Superblock { store_id, generation: 0, log: start, root: Some(root), attested: lsn, seal };
        superblock::create(&*self.disk, &first, start.first_file())?;
        drop(self.lock);
        Ok(lsn)
    }

    /// Takes back what was written, after an error. The directory stays, with the lock's file.
    pub(crate) fn abandon(self) {
        drop(self.records);
        clear(&*self.disk);
    }
}

/// Removes what says that a store is being filled, once it was checked. One that stays is removed by the next opening
/// for writing.
pub(crate) fn settle(disk: &dyn Disk) {
    remove(disk, superblock::UNFINISHED_NAME);
}

/// Removes the files of a store that was just made and is not wanted: its superblock first, so that no
/// part of it is taken for a store.
pub(crate) fn clear(disk: &dyn Disk) {
    let mut names = disk.list().unwrap_or_default();
    names.retain(|name| name != LOCK_NAME && name != superblock::UNFINISHED_NAME);
    names.sort_by_key(|name| name != superblock::FILE_NAME);
    for name in names {
        remove(disk, &name);
    }
    // What says that this is no store goes last, also where a power cut keeps names in another order.
    if disk.sync_dir().is_ok() {
        remove(disk, superblock::UNFINISHED_NAME);
    }
}

fn remove(disk: &dyn Disk, name: &str) {
    if let Err(error) = disk.remove(name) {
        tracing::warn!(%error, "a file of a store that could not be created stays");
    }
}

/// The directory must be empty, but for files that no store writes.
fn reject_occupied(disk: &dyn Disk) -> Result<()> {
    let names = if disk.exists()? { disk.list()? } else { Vec::new() };
    if names.iter().any(|name| name == superblock::FILE_NAME) {
        let message = format!("{} holds a store already; choose another directory", disk.place());
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    let taken = |message| Err(Error::new(ErrorKind::AlreadyExists, message));
    match superblock::remains(disk)? {
        Remains::Unfinished => return taken(superblock::unfinished(&disk.place()).to_string()),
        Remains::Damaged => return taken(superblock::damaged(&disk.place())),
        Remains::Nothing => {}
    }
    let is_remains = |name: &str| [LOCK_NAME, superblock::UNFINISHED_NAME].contains(&name);
    match names.iter().find(|name| !is_remains(name)) {
        None => Ok(()),
        Some(name) => {
            taken(format!("{} is not empty (it holds {name}); choose an empty directory", disk.place()))
        }
    }
}
