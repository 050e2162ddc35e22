//! An open store: records and transactions on an engine, and the handles that callers have.
//!
//! ```text
//! Store ─ Arc ─► Handle (closes on drop) ─ Arc ─► Engine<Records>
//! ```

mod commit;
mod config;
mod history;
mod object;
mod snapshot;
mod stats;
mod write;

pub use commit::Commit;
pub use config::Config;
pub use history::PastValue;
pub use object::Object;
pub use snapshot::Snapshot;
pub use stats::{IndexStats, ObjectStats, Stats};
pub use write::Txn;

use crate::records::Records;
use crate::redo::{FrameBuilder, FrameHead};
use config::StoreSource;
use std::path::Path;
use std::sync::Arc;
use vellum_disk::Disk;
use vellum_engine::pages::{CheckpointReport, Compaction, Writer};
use vellum_engine::{Durability, Handle, Health, Lsn, RecoveryReport, Work};
use vellum_types::Result;
use vellum_types::schema::Schema;
use vellum_types::value::Actor;

pub(crate) type Engine = vellum_engine::Engine<Records>;

/// An open store. Cheap to clone; the last clone closes it.
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle<Records>>,
    source: Arc<StoreSource>,
    config: Arc<Config>,
    /// The actor of commits through this handle.
    actor: Option<Arc<Actor>>,
}

impl Store {
    /// Creates a store with the default settings.
    ///
    /// # Errors
    /// As [`Config::create`].
    pub fn create(path: impl AsRef<Path>, schema: &Schema) -> Result<Store> {
        Config::new().create(path, schema)
    }

    /// Opens a store with the default settings.
    ///
    /// # Errors
    /// As [`Config::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Config::new().open(path)
    }

    pub(crate) fn create_with(disk: Arc<dyn Disk>, config: Config, schema: &Schema) -> Result<Store> {
        let first = || {
            let mut frame = FrameBuilder::default();
            frame.start(&FrameHead { commit_time: config::now(config.clock.as_ref()), actor: 0 });
            frame.schema(&schema.encode());
            frame.body().to_vec()
        };
        let handle = Handle::create(disk, config.engine.clone(), first)?;
        Ok(Store::new(handle, config))
    }

    pub(crate) fn open_with(disk: Arc<dyn Disk>, config: Config) -> Result<Store> {
        let handle = Handle::open(disk, config.engine.clone())?;
        Ok(Store::new(handle, config))
    }

    fn new(handle: Handle<Records>, config: Config) -> Store {
        let source = StoreSource::new(config.clock.clone(), handle.engine().clone());
        Store { handle: Arc::new(handle), source: Arc::new(source), config: Arc::new(config), actor: None }
    }

    /// A handle on the same store whose commits are the actor's: records show it as
    /// [`Record::created_by`](crate::Record::created_by) and
    /// [`Record::updated_by`](crate::Record::updated_by), and history keeps it.
    ///
    /// ```
    /// # use vellum::{Actor, ActorKind, Schema, Store, record};
    /// # let dir = std::env::temp_dir().join(format!("vellum-doc-actor-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&dir);
    /// # let schema = r#"{"objects":[{"key":"note","attributes":[{"key":"text","type":"text"}]}]}"#;
    /// # let store = Store::create(&dir, &Schema::from_json(schema)?)?;
    /// let alice = store.acting_as(Actor::new(ActorKind::User, "alice"));
    /// let notes = alice.object("note")?;
    /// let id = notes.create(record! { "text" => "hello" })?.id;
    /// assert_eq!(notes.get(id)?.unwrap().created_by().unwrap().id, "alice");
    /// # drop((notes, alice, store));
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), vellum::Error>(())
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Store {
        Store { actor: Some(Arc::new(actor)), ..self.clone() }
    }

    /// A handle for one object's records.
    ///
    /// # Errors
    /// `ObjectNotFound`.
    pub fn object(&self, name: &str) -> Result<Object> {
        Object::new(self, name)
    }

    /// A copy of the schema.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.engine().machine.catalog().schema.clone()
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.engine().report
    }

    /// Newest commit in memory: what reads show.
    #[must_use]
    pub fn applied_lsn(&self) -> Lsn {
        self.engine().machine.applied()
    }

    /// Newest commit on stable storage.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.engine().durable()
    }

    /// Waits until a commit is on stable storage. With the LSN of what was read, this makes a read
    /// durable.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        Ok(self.engine().wait_durable(lsn)?)
    }

    /// A view of the store as it is now, that stays so. Costs the same whatever the number of records.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(self)
    }

    /// Writes what memory is ahead of disk, so that a later opening has less to replay.
    ///
    /// # Errors
    /// `Io`, `DiskFull`: nothing is lost, the log still has it. `Poisoned`.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        Ok(self.engine().checkpoint(Compaction::Bounded)?)
    }

    /// A checkpoint that leaves no segment with anything dead in it, and frees the space.
    ///
    /// # Errors
    /// As [`Store::checkpoint`].
    pub fn compact(&self) -> Result<CheckpointReport> {
        let report = self.engine().checkpoint(Compaction::Full)?;
        // What a checkpoint empties is unlinked by the next one (crash rule 2).
        let last = self.engine().checkpoint(Compaction::Bounded)?;
        Ok(CheckpointReport { written_len: report.written_len + last.written_len, ..report })
    }

    /// Drops what is in memory and opens the store again from what is durable, after
    /// [`ErrorKind::Poisoned`](vellum_types::ErrorKind::Poisoned). Other clones of this store stay as they are and must be dropped first.
    ///
    /// # Errors
    /// As [`Config::open`]; `Locked` while another clone or a snapshot lives.
    pub fn reopen(self) -> Result<Store> {
        let (disk, mut config) = (self.engine().disk.clone(), Config::clone(&self.config));
        // A seed that is given says how ids follow, and must not give the same ones again.
        config.engine.seed = config.engine.seed.map(|_| self.engine().random.draw());
        drop(self);
        Store::open_with(disk, config)
    }

    /// Closes the store: a final checkpoint if there is more than 1 MiB of log, a sync, and the seal
    /// that lets the next opening tell damage from a crash (crash rule 6). Dropping the last clone does
    /// the same, but cannot report an error. Other clones answer `Closed` from here on.
    ///
    /// # Errors
    /// What the disk said; nothing is lost by that, the next opening recovers.
    pub fn close(self) -> Result<()> {
        Ok(self.handle.close()?)
    }

    /// The records, for tools that read pages.
    #[doc(hidden)]
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.engine().machine
    }

    /// Changes pages under the writer lock without a frame, for tests of tools that find damage.
    ///
    /// # Errors
    /// As [`Store::apply`].
    #[doc(hidden)]
    pub fn with_pages<R>(&self, change: impl FnOnce(&Records, &mut Writer) -> R) -> Result<R> {
        Ok(change(self.records(), &mut self.engine().lock_writer()?.pages))
    }

    /// Whether background work goes well. Errors there are kept here until they are overcome.
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// Does what a thread would do now, if the store has none; an error is kept for [`Store::health`].
    #[doc(hidden)]
    pub fn work(&self, work: Work) {
        self.engine().work(work);
    }

    #[inline]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.handle.engine()
    }

    fn durability(&self) -> Durability {
        self.config.engine.durability
    }
}
