//! [`Records`] as a state machine of the engine: where the seam is.

use super::{ApplyScratch, CATALOG_TREE, COUNTER, Catalog, FREE_HEAD, ID_TREE, RECORDS, ROWS, Records};
use crate::redo::Redo;
use crate::txn::WriterState;
use std::sync::Arc;
use vellum_engine::index::{self, key_hash};
use vellum_engine::page::Columns;
use vellum_engine::pages::{GroupGuard, PageStore, Root, Tree, Writer, superblock};
use vellum_engine::{Error, Lsn, Result, StateAt, StateMachine};
use vellum_types::schema::Schema;

impl StateMachine for Records {
    type Change<'a> = Redo<'a>;
    type Writer = WriterState;
    type Scratch = ApplyScratch;

    fn open(pages: Arc<PageStore>, at: &StateAt) -> Result<Records> {
        let schema = if at.is_new { Schema::default() } else { read_schema(&pages)? };
        let records = Records::new(pages, hash_seed(&at.store_id), schema, at.lsn, at.time);
        check_counts(&records.pages.live(), &records.catalog())?;
        Ok(records)
    }

    #[inline]
    fn staged(writer: &WriterState) -> Redo<'_> {
        writer.frame.redo()
    }

    #[inline]
    fn first_group(writer: &mut WriterState) -> Option<GroupGuard> {
        writer.stage.first_group()
    }

    #[inline]
    fn encoded_len(change: &Redo<'_>) -> usize {
        change.bytes.len()
    }

    #[inline]
    fn encode<'a>(change: &'a Redo<'_>, _space: &'a mut Vec<u8>) -> &'a [u8] {
        change.bytes
    }

    #[inline]
    fn decode(record: &[u8]) -> Result<Redo<'_>> {
        Ok(Redo { bytes: record })
    }

    #[inline]
    fn apply(
        &self,
        pages: &mut Writer,
        scratch: &mut ApplyScratch,
        lsn: Lsn,
        change: Redo<'_>,
    ) -> Result<()> {
        self.apply_redo(pages, scratch, lsn, change)
    }

    #[inline]
    fn applied(&self) -> Lsn {
        self.applied()
    }

    #[inline]
    fn time(&self) -> i64 {
        self.commit_time()
    }

    fn is_empty(&self) -> bool {
        // A store without a record has nothing to delete.
        self.applied() <= Lsn(1) && !self.has_records()
    }
}

/// Seed of the key hashes of a store.
#[must_use]
pub fn hash_seed(store_id: &[u8; 16]) -> u64 {
    key_hash(0, store_id)
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
