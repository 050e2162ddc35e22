//! From what lies on disk to a state in memory: superblock, root, then the log through the same
//! [`Records::apply`] that commits use.
//!
//! The log is read from the checkpoint's place. Frames that nothing calls durable are valid all the
//! same: they are replayed, and for a store that is opened for writing they are written again and
//! synced before anything is acknowledged (crash rule 4). Damage to a page met on the way sets that
//! page aside; damage to the log that was durable fails the opening (crash rule 5).

use crate::records::{
    ApplyScratch, CATALOG_TREE, COUNTER, Catalog, FREE_HEAD, ID_TREE, RECORDS, ROWS, Records,
};
use crate::store::Progress;
use std::sync::Arc;
use vellum_disk::Disk;
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::Columns;
use vellum_engine::pagestore::superblock::{self, Found};
use vellum_engine::pagestore::{Keeping, PageStore, Root, Tree, Writer};
use vellum_engine::wal::{self, CheckpointMark, Kind, Scan};
use vellum_engine::{Error, Result};
use vellum_types::schema::Schema;

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the store had been closed.
    pub clean: bool,
    /// Commits replayed from the log.
    pub replayed: u64,
    /// Log bytes of those commits.
    pub replayed_len: u64,
    /// A tail that was cut because nothing had promised it, and where it is kept.
    pub torn: Option<String>,
    /// Damage that was worked around: a superblock copy that could not be used.
    pub damage: Option<String>,
}

/// A recovered state.
pub struct Recovered {
    pub records: Records,
    pub writer: Writer,
    pub scan: Scan,
    pub report: RecoveryReport,
}

/// Seed of the key hashes of a store.
pub fn hash_seed(store_id: &[u8; 16]) -> u64 {
    key_hash(0, store_id)
}

/// Reads the state that `found` names and replays the log behind it.
pub fn recover(
    disk: &Arc<dyn Disk>,
    found: &Found,
    keeping: Keeping,
    progress: Option<&dyn Fn(Progress)>,
) -> Result<Recovered> {
    let live = &found.live;
    let (records, mut writer) = open_checkpoint(disk, found, keeping)?;
    let mut report = RecoveryReport {
        clean: live.seal.is_some(),
        damage: found.damage.as_ref().map(ToString::to_string),
        ..RecoveryReport::default()
    };
    let total_len = log_len(&**disk)?;
    let mut scratch = ApplyScratch::default();
    let mut newest_mark = live.generation;
    let mut told = 0;
    records.pages.memory.set_patient(true);
    let scan = wal::scan(&**disk, live.store_id, &live.log, &found.known(), &mut |frame| {
        match frame.kind {
            Kind::Commit => {
                // What a frame has read does not become unreadable halfway through it.
                let _hold = records.pages.hold();
                let applied = records.apply(&mut writer, &mut scratch, frame.lsn, frame.body);
                applied.map_err(|error| in_frame(&frame, &error))?;
                report.replayed += 1;
                report.replayed_len += wal::frame_len(frame.body.len()) as u64;
            }
            Kind::CheckpointMark => {
                newest_mark =
                    newest_mark.max(CheckpointMark::decode(frame.body).map_or(0, |mark| mark.superblock));
            }
            Kind::NextFile => {}
        }
        if let Some(progress) = progress
            && report.replayed_len >= told + (1 << 20)
        {
            told = report.replayed_len;
            progress(Progress { done_len: told, total_len });
        }
        Ok(())
    })?;
    records.pages.memory.set_patient(false);
    if newest_mark > live.generation {
        // Crash rule 2: the log knows of a newer checkpoint than the copy that could be read.
        let note = format!(
            "the superblock of checkpoint {newest_mark} cannot be used; opened from checkpoint {} and a longer log",
            live.generation
        );
        report.damage = Some(report.damage.take().map_or(note.clone(), |damage| format!("{damage}; {note}")));
    }
    report.torn = scan
        .torn
        .as_ref()
        .map(|torn| format!("{} at byte {}: {} bytes cut", torn.file, torn.offset, torn.len));
    Ok(Recovered { records, writer, scan, report })
}

fn open_checkpoint(disk: &Arc<dyn Disk>, found: &Found, keeping: Keeping) -> Result<(Records, Writer)> {
    let live = &found.live;
    let seed = hash_seed(&live.store_id);
    let Some(root) = live.root else {
        let (pages, writer) = PageStore::create(disk.clone(), live.store_id, keeping);
        return Ok((Records::new(pages, seed, Schema::default(), live.log.lsn, i64::MIN), writer));
    };
    let (pages, writer, node) = PageStore::open(disk.clone(), live.store_id, keeping, root)?;
    let schema = read_schema(&pages)?;
    let records = Records::new(pages, seed, schema, live.log.lsn, node.commit_time);
    check_counts(&records.pages.live(), &records.catalog())?;
    Ok((records, writer))
}

/// Rows of an object, and buckets of an index, that no store reaches.
const COUNT_MAX: u64 = 1 << 48;

/// Counts that `apply` keeps in step, and that loops and sums rely on: a checksum does not make them right.
fn check_counts(root: &Root, catalog: &Catalog) -> Result<()> {
    let wrong = |tree: &Tree, what: &str| {
        let reason = format!("the counts {:?} of tree {} are none of {what}", tree.metas(), tree.id);
        Err(Error::corrupt(superblock::FILE_NAME, 0, reason))
    };
    for (object, _) in catalog.all_objects() {
        if let Some(tree) = root.tree(object.tree) {
            let [rows, free_head, records, counter] =
                [ROWS, FREE_HEAD, RECORDS, COUNTER].map(|index| tree.meta(index));
            if rows > COUNT_MAX || free_head > rows || records > rows || counter > u64::MAX >> 1 {
                return wrong(tree, "an object");
            }
        }
        for tree in object.indexes.iter().filter_map(|index| root.tree(index.tree)) {
            check_index(tree).or_else(|()| wrong(tree, "an index"))?;
        }
    }
    match root.tree(ID_TREE) {
        Some(tree) => check_index(tree).or_else(|()| wrong(tree, "an index")),
        None => Ok(()),
    }
}

/// A split follows the insert that asks for it: so there are never more entries than the buckets are for.
fn check_index(tree: &Tree) -> std::result::Result<(), ()> {
    let buckets = tree.meta(index::BUCKET_COUNT);
    let holds = buckets <= COUNT_MAX
        && tree.meta(index::ENTRY_COUNT) <= buckets.max(1) * index::TARGET
        && tree.meta(index::MISSING_COUNT) <= u64::MAX >> 1;
    if holds { Ok(()) } else { Err(()) }
}

/// The schema on the catalog's page.
///
/// # Errors
/// `Corrupt`.
pub fn read_schema(pages: &PageStore) -> Result<Schema> {
    let missing = || Error::corrupt(superblock::FILE_NAME, 0, "the checkpoint has no schema");
    let group = pages.group(&pages.live(), CATALOG_TREE, 0)?.ok_or_else(missing)?;
    let state = group.state.read();
    let page = state.page(0).ok_or_else(missing)?;
    Schema::decode(&page.to_vec()?).map_err(vellum_types::Error::into_storage)
}

/// Bytes of all log files, an upper bound for progress.
fn log_len(disk: &dyn Disk) -> Result<u64> {
    let mut len = 0;
    for name in disk.list()?.iter().filter(|name| name.starts_with("log-")) {
        len += disk.open(name, vellum_disk::Access::Read)?.len()?;
    }
    Ok(len)
}

#[cold]
fn in_frame(frame: &wal::FrameRef<'_>, error: &Error) -> Error {
    let reason = match error.place() {
        Some(place) if place.file.is_empty() => format!("commit {}: {}", frame.lsn, place.reason),
        Some(_) => return error.clone(),
        None => format!("commit {}: {error}", frame.lsn),
    };
    Error::corrupt(wal::log_name(frame.position.file), frame.position.offset, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_engine::TreeId;

    #[test]
    fn counts_that_no_store_has_are_refused_under_any_checksum() {
        let schema = r#"{"objects":[{"key":"o","attributes":[{"key":"a","type":"text","unique":true}]}]}"#;
        let catalog = Catalog::new(Schema::from_json(schema).unwrap());
        let object = &catalog.objects()[0];
        let check = |id: TreeId, metas: [u64; 4]| {
            let tree = Arc::new(Tree::new(id, 1, None, metas));
            check_counts(&Root { epoch: 1, trees: vec![(id, tree)] }, &catalog)
        };
        let (rows, keys) = (object.tree, object.indexes[0].tree);
        check(rows, [5, 5, 3, 9]).unwrap();
        check(keys, [index::TARGET, 0, 0, 0]).unwrap();
        check(keys, [index::TARGET + 1, 2, 0, 0]).unwrap();
        let wrong = [
            (rows, [u64::MAX, 0, 0, 0]),
            (rows, [5, 6, 0, 0]),
            (rows, [5, 0, 6, 0]),
            (rows, [5, 0, 0, u64::MAX]),
            (keys, [index::TARGET + 1, 1, 0, 0]),
            (keys, [0, 1 << 63, 0, 0]),
            (ID_TREE, [u64::MAX, 4, 0, 0]),
            (ID_TREE, [0, 0, u64::MAX, 0]),
        ];
        for (tree, metas) in wrong {
            assert!(check(tree, metas).is_err(), "{tree}: {metas:?}");
        }
    }

    #[test]
    fn a_frame_that_names_a_row_far_behind_all_others_makes_no_table_of_that_length() {
        let disk = Arc::new(vellum_disk::OsDisk::new(std::path::Path::new("not looked at")));
        let (pages, mut writer) = PageStore::create(disk, [0; 16], 0);
        for number in [1 << 40, u64::MAX >> 10] {
            assert!(pages.group_mut(&mut writer, TreeId(5), number).is_err(), "{number}");
        }
        assert!(pages.group_mut(&mut writer, TreeId(5), 0).is_ok());
        assert!(pages.group_mut(&mut writer, TreeId(5), 256).is_ok());
        assert!(pages.group_mut(&mut writer, TreeId(5), 3 * 256).is_err());
    }
}
