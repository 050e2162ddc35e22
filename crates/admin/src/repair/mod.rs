//! Salvage: everything of a damaged store that can be proven right, in a new store; the old one is only read.
//!
//! | file     | does                                                                                    |
//! |----------|-----------------------------------------------------------------------------------------|
//! | `find`   | reads the superblock, segments and log as far as they go; finds places to start from     |
//! | `state`  | a state of the store's end: a checkpoint and the log behind it, or pages without a table |
//! | `rows`   | reads each record from the first state that has it, and notes what none has              |
//! | `behind` | changes behind damage in the log, where a record's version proves that none is missing   |
//!
//! # What is kept
//!
//! - Each of the two checkpoints, with the log behind it, leads to the same state. What the newer one
//!   cannot give is taken from the older one, cell by cell: where either can be read it is right.
//! - Where neither has a page, and its page table is gone, the newest image that a scan of the segments
//!   finds is taken, if no damage can hide a newer one. Where it can, the page is *doubtful*: it is left
//!   out, unless [`Repair::keep_doubtful`] asks for it.
//! - Without a superblock, the newest root image whose place the log knows is the checkpoint.
//! - A record with one damaged attribute is kept without it; a record whose header is gone is not.
//! - Where the log is damaged, the state in front of the damage is kept. Changes behind it are made to a
//!   record if its version goes up by one, which proves that none in between is missing; and a record that
//!   was created there is kept.
//!
//! What is left out is listed, never made up. The new store has an id of its own; records keep theirs, with
//! versions, counters and times. It is verified before a repair succeeds.

mod after_damage;
mod locate_roots;
mod report;
mod rows;
mod state;

pub use report::{Loss, RepairReport};

use crate::import::{self, Identity, StoreBuilder};
use crate::verify::verify_on;
use locate_roots::Sources;
use report::Losses;
use state::States;
use std::path::Path;
use std::sync::Arc;
use vellum::internal::Random;
use vellum_disk::{Disk, OsDisk};
use vellum_types::schema::Schema;
use vellum_types::{Error, ErrorKind, Result};

/// How to salvage.
///
/// ```no_run
/// let report = vellum_admin::Repair::new().run("crm.vellum", "crm-salvaged.vellum")?;
/// for loss in &report.losses {
///     eprintln!("{loss}");
/// }
/// # Ok::<(), vellum::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Repair {
    keep_doubtful: bool,
    schema: Option<Schema>,
}

/// Salvages a store into a new one; see [`Repair`].
///
/// # Errors
/// As [`Repair::run`].
pub fn repair(store: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<RepairReport> {
    Repair::new().run(store, into)
}

impl Repair {
    /// Keeps what can be proven right.
    #[must_use]
    pub fn new() -> Repair {
        Repair::default()
    }

    /// Whether pages are kept too of which a newer image may be gone: their values were right once, and
    /// may be older than the store. The report names them.
    #[must_use]
    pub fn keep_doubtful(mut self, keep: bool) -> Repair {
        self.keep_doubtful = keep;
        self
    }

    /// The schema that the store had, for one that lost the page of it: objects and attributes in the order
    /// in which they were made, as `vellum schema` or the first line of a dump shows them. It is used only
    /// where the store's own cannot be read.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Repair {
        self.schema = Some(schema);
        self
    }

    /// Reads `store`, and makes a store of what is intact in the new directory `into`.
    ///
    /// # Errors
    /// `AlreadyExists` when there is anything in `into`; `NotAStore`, `UnknownFormat`, `Locked`; `Corrupt`
    /// when nothing can be salvaged: no state to start from, or no schema. `into` is no store then.
    pub fn run(&self, store: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<RepairReport> {
        let from: Arc<dyn Disk> = Arc::new(OsDisk::new(store.as_ref()));
        self.run_on(from, Arc::new(OsDisk::new(into.as_ref())))
    }

    /// [`Repair::run`] on other disks.
    ///
    /// # Errors
    /// As [`Repair::run`].
    #[doc(hidden)]
    pub fn run_on(&self, from: Arc<dyn Disk>, into: Arc<dyn Disk>) -> Result<RepairReport> {
        if !from.exists()? {
            let message = format!("{} does not exist; name the directory of the damaged store", from.place());
            return Err(Error::new(ErrorKind::NotAStore, message));
        }
        let _lock = from.lock_shared()?;
        let mut losses = Losses::default();
        let sources = Sources::read(&from, &mut losses)?;
        let states = States::open(&from, &sources, self, &mut losses)?;
        let random = Random::new(None);
        let identity = Identity {
            store_id: random.draw_id(),
            lsn: states.end(),
            commit_time: states.commit_time().max(0),
        };
        let mut build = StoreBuilder::begin(into.clone(), &identity, Some(&states.schema()))?;
        let filled =
            rows::salvage(&states, &mut build, &mut losses).and_then(|()| match states.has_whole_log() {
                true => Ok(()),
                false => {
                    after_damage::salvage(&*from, sources.store_id, states.end(), &mut build, &mut losses)
                }
            });
        if let Err(error) = filled {
            build.abandon();
            return Err(error);
        }
        let record_count = build.record_count();
        build.finish(random.draw() as u32).inspect_err(|_| import::clear(&*into))?;
        check(&into)?;
        Ok(losses.into_report(record_count))
    }
}

/// The new store is as it should be, or none.
fn check(into: &Arc<dyn Disk>) -> Result<()> {
    let report = verify_on(into.clone()).inspect_err(|_| import::clear(&**into))?;
    let Some(finding) = report.findings.first() else {
        import::settle(&**into);
        return Ok(());
    };
    import::clear(&**into);
    let message = format!("the salvaged store does not verify, and was removed: {finding}");
    Err(Error::new(ErrorKind::Corrupt, message))
}
