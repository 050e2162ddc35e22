//! A view of the store at one commit.

use super::Store;
use super::object::find_at;
use crate::records::{COUNTER, Catalog, ObjectLayout, Records, read_header, read_record};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use vellum_engine::pages::View;
use vellum_engine::{GROUP_ROWS, Handle, Lsn};
use vellum_types::Key;
use vellum_types::Result;
use vellum_types::value::Record;

/// The store as it was at one commit. Blocks neither writers nor checkpoints; what it holds of disk and
/// memory is freed when it goes. It keeps the store open.
#[derive(Clone, Debug)]
pub struct Snapshot {
    handle: Arc<Handle<Records>>,
    view: View,
    catalog: Arc<Catalog>,
    lsn: Lsn,
}

impl Snapshot {
    pub(crate) fn take(store: &Store) -> Result<Snapshot> {
        let (view, lsn, catalog) = store.freeze()?;
        Ok(Snapshot { handle: store.handle.clone(), view, catalog, lsn })
    }

    /// The commit that it shows.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The record with this key.
    ///
    /// # Errors
    /// As [`Object::get`](crate::Object::get).
    pub fn get(&self, object: &str, key: impl Into<Key>) -> Result<Option<Record>> {
        let records = &self.handle.engine().machine;
        let mut found = find_at(
            records,
            &self.catalog,
            &self.view.root,
            object,
            &key.into(),
            &mut |object, header, state, slot| {
                read_record(&self.catalog, object, header, state, slot, &|_| true)
            },
        )?;
        if let Some(record) = &mut found {
            records.name_actors(&self.view.root, record)?;
        }
        Ok(found)
    }

    /// The record with this key as a struct.
    ///
    /// # Errors
    /// As [`Object::get_as`](crate::Object::get_as).
    pub fn get_as<T: DeserializeOwned>(&self, object: &str, key: impl Into<Key>) -> Result<Option<T>> {
        self.get(object, key)?.map(|record| record.deserialize()).transpose()
    }

    /// How many records an object has.
    ///
    /// # Errors
    /// `ObjectNotFound`.
    pub fn count(&self, object: &str) -> Result<u64> {
        Ok(self.handle.engine().machine.count(&self.view.root, self.layout(object)?))
    }

    /// All records of an object, in the order of their rows. A damaged record is an `Err` item; the
    /// others follow.
    ///
    /// # Errors
    /// `ObjectNotFound`.
    pub fn iter(&self, object: &str) -> Result<impl Iterator<Item = Result<Record>> + '_> {
        let object = self.layout(object)?;
        let groups = self.handle.engine().machine.group_count(&self.view.root, object);
        Ok((0..groups).flat_map(move |group| self.read_group(object, group)))
    }

    /// The schema that it shows.
    #[must_use]
    pub fn schema(&self) -> crate::Schema {
        self.catalog.schema.clone()
    }

    /// A time that no commit in it is behind.
    #[doc(hidden)]
    pub fn commit_time(&self) -> crate::Timestamp {
        crate::Timestamp(self.handle.engine().machine.commit_time())
    }

    /// The counter of the newest record that an object ever had.
    #[doc(hidden)]
    pub fn counter(&self, object: &str) -> Result<u64> {
        let tree = self.layout(object)?.tree;
        Ok(self.view.root.tree(tree).map_or(0, |tree| tree.meta(COUNTER)))
    }

    #[doc(hidden)]
    pub fn records(&self) -> &crate::records::Records {
        &self.handle.engine().machine
    }

    #[doc(hidden)]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    #[doc(hidden)]
    pub fn view(&self) -> &View {
        &self.view
    }

    #[doc(hidden)]
    pub fn root(&self) -> &vellum_engine::pages::Root {
        &self.view.root
    }

    fn layout(&self, name: &str) -> Result<&ObjectLayout> {
        let id = self.catalog.schema.object(name)?.id();
        Ok(self.catalog.object(id).expect("a layout for each object of the schema"))
    }

    /// One group at a time: the latch is held for as long as its records take to read.
    fn read_group(&self, object: &ObjectLayout, number: u64) -> Vec<Result<Record>> {
        let records = &self.handle.engine().machine;
        let group = match records.pages.group(&self.view.root, object.tree, number) {
            Ok(Some(group)) => group,
            Ok(None) => return Vec::new(),
            Err(error) => return vec![Err(error.into())],
        };
        let mut read: Vec<Result<Record>> = {
            let state = group.state.read();
            let record = |slot| match read_header(&state, slot) {
                Ok(None) => None,
                Ok(Some(header)) => {
                    Some(read_record(&self.catalog, object, &header, &state, slot, &|_| true))
                }
                Err(error) => Some(Err(error.into())),
            };
            (0..GROUP_ROWS).filter_map(record).collect()
        };
        for item in &mut read {
            if let Ok(record) = item
                && let Err(error) = records.name_actors(&self.view.root, record)
            {
                *item = Err(error);
            }
        }
        read
    }
}

impl Store {
    /// The state as it is now, its commit and its schema.
    pub(crate) fn freeze(&self) -> Result<(View, Lsn, Arc<Catalog>)> {
        let (view, (lsn, catalog)) =
            self.engine().view(|records| (records.applied(), records.catalog().clone()))?;
        Ok((view, lsn, catalog))
    }
}
