//! The buckets of an index: each holds together, has what its number says, and all have as many entries as there are
//! keys. With each key found once ([`super::state`]), so nothing else is in them.

use super::name_of_index;
use super::state::{Check, NAMED_MAX};
use vellum::records::{IndexLayout, KeyBuffers, ObjectLayout, for_each_key_in, read_header};
use vellum_engine::index::key_hash;
use vellum_engine::index::{self, BUCKET_COUNT, ENTRY_COUNT, MISSING_COUNT};
use vellum_engine::page::{Columns, PageRead, bucket};
use vellum_engine::{Error, Result};
use vellum_engine::{RowId, TreeId};
use vellum_types::schema::ObjectSchema;

impl Check<'_> {
    pub(super) fn key_index(
        &mut self,
        object: &ObjectLayout,
        schema: &ObjectSchema,
        index: &IndexLayout,
        expected: Option<u64>,
    ) {
        let (records, root) = (self.records, self.root);
        self.index(index.tree, &name_of_index(schema, &index.attributes), expected, &|hash, value| {
            let mut has = false;
            records.with_row(root, object, RowId(value), |state, slot| {
                if read_header(state, slot)?.is_none() {
                    return Ok(());
                }
                for_each_key_in(state, object, index, slot, &mut KeyBuffers::default(), |key| {
                    has |= key_hash(records.hash_seed, key) == hash;
                    Ok(())
                })
            })?;
            Ok(has)
        });
    }

    /// Checks the buckets of an index. `expected`: entries that it should have, where that is known.
    /// `is_right` is asked about each entry if their number is wrong.
    pub(super) fn index(
        &mut self,
        tree: TreeId,
        name: &str,
        expected: Option<u64>,
        is_right: &dyn Fn(u64, u64) -> Result<bool>,
    ) {
        let meta = self.root.tree(tree).map_or([0; 4], |tree| tree.metas());
        let buckets = meta[BUCKET_COUNT].max(1);
        if meta[MISSING_COUNT] != 0 {
            self.report
                .add(None, format!("{name} lacks {} keys that were lost to damage", meta[MISSING_COUNT]));
        }
        let mut entry_count = 0u64;
        let mut sound = true;
        sound &= self.groups(tree, &mut |check, group| {
            let state = group.state.read();
            if group.number >= buckets || state.iter().any(|(column, _)| column != 0) {
                check.report.add(None, format!("{name} has pages at bucket {} of {buckets}", group.number));
            }
            let Some(page) = state.page(0) else { return };
            match check_bucket(page, group.number, buckets) {
                Ok(count) => entry_count += count,
                Err(error) => {
                    sound = false;
                    let whom = format!("bucket {} of {name}", group.number);
                    match error.place() {
                        Some(place) if place.file.is_empty() => {
                            check.report.add(None, format!("{whom}: {}", place.reason))
                        }
                        _ => check.report.affects(&error, &whom),
                    }
                }
            }
        });
        if !sound {
            return;
        }
        if entry_count != meta[ENTRY_COUNT] {
            self.report
                .add(None, format!("{name} counts {} entries and has {entry_count}", meta[ENTRY_COUNT]));
        }
        if let Some(expected) = expected.filter(|expected| *expected != entry_count) {
            self.report.add(None, format!("{name} has {entry_count} entries for {expected} keys"));
            self.name_wrong_entries(tree, name, is_right);
        }
    }

    fn name_wrong_entries(&mut self, tree: TreeId, name: &str, is_right: &dyn Fn(u64, u64) -> Result<bool>) {
        let mut named = 0;
        self.groups(tree, &mut |check, group| {
            let state = group.state.read();
            let Some(page) = state.page(0) else { return };
            let result = bucket::entries(page, &mut |hash, value| {
                if named < NAMED_MAX && is_right(hash, value).is_ok_and(|right| !right) {
                    named += 1;
                    let message = format!(
                        "{name} has an entry with hash {hash:016x} and value {value}, and no such record"
                    );
                    check.report.add(None, message);
                }
                Ok(())
            });
            debug_assert!(result.is_ok(), "the bucket was read before");
        });
    }
}

/// Checks one bucket; how many entries it has.
fn check_bucket(page: &impl PageRead, number: u64, buckets: u64) -> Result<u64> {
    bucket::verify(page)?;
    let mut count = 0;
    bucket::entries(page, &mut |hash, _| {
        count += 1;
        let right = index::bucket_of(hash, buckets);
        if right != number {
            return Err(Error::corrupt("", 0, format!("hash {hash:016x} belongs to bucket {right}")));
        }
        Ok(())
    })?;
    Ok(count)
}
