//! States of the store's end, each reached another way: from the newer checkpoint, from the older one, and
//! from pages found by scanning. What any of them reads is checked; they differ in what they can read.

use super::locate_roots::Sources;
use super::report::Losses;
use std::cell::Cell;
use std::sync::Arc;
use vellum::records::{ApplyScratch, CATALOG_TREE, COUNTER, Catalog, ROWS, Records, read_header};
use vellum::records::{hash_seed, read_schema};
use vellum_disk::Disk;
use vellum_engine::engine::commit;
use vellum_engine::log::{self, Kind, Known, Salvaged};
use vellum_engine::pages::superblock::Superblock;
use vellum_engine::pages::{FoundImages, Keeping, PageStore, Root, Writer, read_root_as_is};
use vellum_engine::{Lsn, RowId, TreeId};
use vellum_types::schema::Schema;
use vellum_types::{Error, Result};

/// Bytes of clean pages that may stay in memory.
const KEEP_LEN: u64 = 64 << 20;

/// One state.
pub(super) struct State {
    pub(super) records: Records,
    pub(super) root: Arc<Root>,
    /// Whether pages come from a scan: then an absent page says nothing, and it may be doubtful.
    pub(super) is_scanned: bool,
    /// Whether the log behind it was read to its end.
    has_whole_log: bool,
}

/// The states that were reached, the best first; all at the same commit.
pub(super) struct States<'s> {
    pub(super) list: Vec<State>,
    /// Images that the scanned state is made of, and as of which commit.
    found: Option<(&'s FoundImages, Lsn)>,
    keep_doubtful: bool,
    catalog: Arc<Catalog>,
}

impl<'s> States<'s> {
    /// Reaches every state that can be.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        sources: &'s Sources,
        how: &super::Repair,
        losses: &mut Losses,
    ) -> Result<States<'s>> {
        let keep_doubtful = how.keep_doubtful;
        let mut states = States {
            list: Vec::new(),
            found: None,
            keep_doubtful,
            catalog: Arc::new(Catalog::new(Schema::default())),
        };
        let (newest, as_of) = &sources.scan_from;
        states.found = Some((&sources.images, *as_of));
        let (scanned, writer) = from_scan(disk, sources)?;
        // The catalog's page may be all that a checkpoint cannot read.
        let doubtful = states.is_doubtful(CATALOG_TREE, 0, 0..=0);
        let found = (!doubtful).then(|| scanned.catalog().schema.clone());
        let found = found.filter(|schema| !schema.objects().is_empty());
        let schema = found.or_else(|| how.schema.clone());
        if scanned.catalog().objects().is_empty()
            && let Some(schema) = &schema
        {
            scanned.assume(schema.clone());
        }
        for start in &sources.starts {
            match from_checkpoint(disk, sources, start, schema.as_ref(), losses) {
                Ok(state) => states.list.push(state),
                Err(error) => {
                    losses.note(format!("the checkpoint at lsn {} cannot be used: {error}", start.log.lsn))
                }
            }
        }
        // The newest end is the store's; one that stopped short of it is another state.
        let end = states.list.iter().map(|state| state.records.applied()).max();
        states.list.retain(|state| Some(state.records.applied()) == end);
        match replay(&**disk, newest, &scanned, writer, losses) {
            Ok(has_whole_log) if end.is_none_or(|end| scanned.applied() == end) => {
                let root = scanned.pages.live().clone();
                states.list.push(State { records: scanned, root, is_scanned: true, has_whole_log });
            }
            Ok(_) => states.found = None,
            Err(error) => {
                losses.note(format!("pages that were found by scanning cannot be used: {error}"));
                states.found = None;
            }
        }
        let known = states.list.iter().map(|state| state.records.catalog().clone());
        let Some(catalog) = known.into_iter().find(|catalog| !catalog.objects().is_empty()) else {
            let reason = "nothing can be salvaged: the schema is on no page and in no frame that can be read; `vellum repair --schema FILE` takes it from a dump or a file";
            return Err(Error::new(vellum::ErrorKind::Corrupt, reason));
        };
        states.catalog = catalog;
        Ok(states)
    }

    /// The newest commit of the states.
    pub(super) fn end(&self) -> Lsn {
        self.list.iter().map(|state| state.records.applied()).max().unwrap_or(Lsn(1))
    }

    pub(super) fn commit_time(&self) -> i64 {
        self.list.iter().map(|state| state.records.commit_time()).max().unwrap_or(0)
    }

    pub(super) fn schema(&self) -> Schema {
        self.catalog.schema.clone()
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// Whether a state was read to the end of the log.
    pub(super) fn has_whole_log(&self) -> bool {
        self.list.iter().any(|state| state.has_whole_log)
    }

    /// Whether pages that are not found may have been there.
    pub(super) fn may_hide(&self) -> bool {
        !self.keep_doubtful && self.found.is_some_and(|(images, _)| !images.unknown.is_empty())
    }

    /// Whether a newer image of this page, or of the heap behind an attribute's slots, may be gone.
    pub(super) fn is_doubtful(
        &self,
        tree: TreeId,
        number: u64,
        columns: std::ops::RangeInclusive<u32>,
    ) -> bool {
        let Some((images, as_of)) = &self.found else { return false };
        !self.keep_doubtful && !images.are_newest(tree, number, columns, *as_of)
    }
}

fn from_checkpoint(
    disk: &Arc<dyn Disk>,
    sources: &Sources,
    start: &Superblock,
    scanned: Option<&Schema>,
    losses: &mut Losses,
) -> Result<State> {
    let seed = hash_seed(&sources.store_id);
    let (records, writer) = match start.root {
        None => {
            let (pages, writer) = PageStore::create(disk.clone(), sources.store_id, KEEP_LEN);
            (Records::new(Arc::new(pages), seed, Schema::default(), start.log.lsn, i64::MIN), writer)
        }
        Some(root) => {
            let (pages, writer, node) = PageStore::open_as_is(
                disk.clone(),
                sources.store_id,
                keeping(sources),
                &sources.segments,
                root,
            )?;
            let schema = read_schema(&pages).or_else(|error| scanned.cloned().ok_or(error))?;
            (Records::new(Arc::new(pages), seed, schema, start.log.lsn, node.commit_time), writer)
        }
    };
    let has_whole_log = replay(&**disk, start, &records, writer, losses)?;
    let root = records.pages.live().clone();
    Ok(State { records, root, is_scanned: false, has_whole_log })
}

fn keeping(sources: &Sources) -> Keeping {
    Keeping { keep_len: KEEP_LEN, cache: sources.cache.clone() }
}

/// Pages as of a checkpoint, found by scanning; the log behind it is not applied yet.
fn from_scan(disk: &Arc<dyn Disk>, sources: &Sources) -> Result<(Records, Writer)> {
    let (start, lsn) = &sources.scan_from;
    let root = start.root.and_then(|root| read_root_as_is(&sources.segments, root).ok());
    let metas = root.iter().flat_map(|root| &root.trees).map(|tree| (tree.id, tree.meta)).collect();
    let (store_id, segments, images) = (sources.store_id, &sources.segments, &sources.images);
    let (pages, writer) =
        PageStore::of_found(disk.clone(), store_id, keeping(sources), segments, images, *lsn, &metas)?;
    let schema = read_schema(&pages).unwrap_or_default();
    let records = Records::new(Arc::new(pages), hash_seed(&store_id), schema, start.log.lsn, 0);
    if root.is_none() {
        recount(&records);
    }
    Ok((records, writer))
}

/// An object's counter goes on behind the newest record that is left.
fn recount(records: &Records) {
    let root = records.pages.live().clone();
    for (object, _) in records.catalog().all_objects() {
        let Some(tree) = root.tree(object.tree) else { continue };
        let mut newest = 0;
        for row in (0..tree.meta(ROWS)).map(RowId) {
            if let Ok(Some(Some(header))) = records.with_row(&root, object, row, read_header) {
                newest = newest.max(header.counter);
            }
        }
        tree.set_meta(COUNTER, newest);
    }
}

/// Applies the log behind a checkpoint, up to its end or to the first commit that is missing; says which.
fn replay(
    disk: &dyn Disk,
    start: &Superblock,
    records: &Records,
    mut writer: Writer,
    losses: &mut Losses,
) -> Result<bool> {
    let mut scratch = ApplyScratch::default();
    let failed = Cell::new(false);
    records.pages.memory.set_patient(true);
    let mut apply = |lsn, body: &[u8]| {
        commit::replay(records, &mut writer, &mut scratch, lsn, body).inspect_err(|_| failed.set(true))
    };
    let known = Known { floor: start.attested.max(start.log.lsn), newest: None, closed: start.seal };
    let scanned = log::scan(disk, start.store_id, &start.log, &known, &mut |frame| match frame.kind {
        Kind::Commit => apply(frame.lsn, frame.body),
        Kind::CheckpointMark | Kind::NextFile => Ok(()),
    });
    let damage = match scanned {
        Ok(scan) => {
            if let Some(torn) = scan.torn {
                let (len, file, offset) = (torn.len, torn.file, torn.offset);
                losses
                    .note(format!("{file} at byte {offset}: a torn tail of {len} bytes, never acknowledged"));
            }
            return Ok(true);
        }
        Err(error) if failed.get() => return Err(error.into()),
        Err(error) => error,
    };
    losses.note(format!("the log is damaged: {damage}"));
    let mut missing = false;
    log::salvage(disk, start.store_id, &mut |found| -> Result<()> {
        if let Salvaged::Frame(frame, _) = found
            && frame.kind == Kind::Commit
            && frame.lsn > records.applied()
        {
            missing |= frame.lsn != records.applied().next();
            if !missing {
                apply(frame.lsn, frame.body)?;
            }
        }
        Ok(())
    })?;
    Ok(false)
}
