//! One object's records: the methods that a record server calls most.

use super::{Engine, Store};
use crate::records::{
    AttributeLayout, Catalog, IndexKey, Records, no_prefetch, read_cell, read_key, read_record,
};
use crate::txn::Outcome;
use crate::txn::key::{ObjectRef, choose_index, encode_key, meets, object_ref, refiners};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vellum_engine::index::key_hash;
use vellum_engine::pages::{GroupState, Root};
use vellum_types::ObjectId;
use vellum_types::value::{Name, Record, Value, values_from};
use vellum_types::{Action, Key, Mutation, Patch};
use vellum_types::{Error, ErrorKind, Result};

/// A handle for one object's records. Cheap; it keeps the store open.
#[derive(Clone, Debug)]
pub struct Object {
    store: Store,
    id: ObjectId,
    name: Name,
}

impl Object {
    pub(crate) fn new(store: &Store, name: &str) -> Result<Object> {
        let id = store.engine().machine.catalog().schema.object(name)?.id();
        Ok(Object { store: store.clone(), id, name: name.into() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Makes a record; see [`record!`](crate::record!).
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn create(&self, values: Vec<(Name, Value)>) -> Result<Outcome> {
        self.run(Action::Create, None, Patch { set: values, ..Patch::default() })
    }

    /// Makes a record from a struct: its fields are the attributes, `None` is no value.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn create_from<T: Serialize>(&self, value: &T) -> Result<Outcome> {
        self.create(values_from(value)?)
    }

    /// Changes what a patch names and leaves the rest; see [`patch!`](vellum_types::patch!).
    ///
    /// # Errors
    /// As [`Store::apply`]; `RecordNotFound`.
    pub fn update(&self, key: impl Into<Key>, patch: Patch) -> Result<Outcome> {
        self.run(Action::Update, Some(key.into()), patch)
    }

    /// Changes the record with this key, or makes it with the key's values and the patch's.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn upsert(&self, key: impl Into<Key>, patch: Patch) -> Result<Outcome> {
        self.run(Action::Upsert, Some(key.into()), patch)
    }

    /// Removes a record.
    ///
    /// # Errors
    /// As [`Store::apply`]; `RecordNotFound`.
    pub fn delete(&self, key: impl Into<Key>) -> Result<Outcome> {
        self.run(Action::Delete, Some(key.into()), Patch::default())
    }

    fn run(&self, action: Action, key: Option<Key>, patch: Patch) -> Result<Outcome> {
        self.store.apply(&Mutation { object: self.name.clone(), action, key, patch })
    }

    /// The record with this key.
    ///
    /// # Errors
    /// `MatchNotUnique`, `InvalidValue`, `Corrupt` (for this record; others can be read), `Poisoned`.
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<Record>> {
        self.read(&key.into(), &|_| true)
    }

    /// The record with this key as a struct.
    ///
    /// # Errors
    /// As [`Object::get`]; `InvalidInput` when the struct does not fit.
    pub fn get_as<T: DeserializeOwned>(&self, key: impl Into<Key>) -> Result<Option<T>> {
        self.get(key)?.map(|record| record.deserialize()).transpose()
    }

    /// Some attributes of a record: only their pages are read.
    ///
    /// # Errors
    /// As [`Object::get`]; `UnknownAttribute`.
    pub fn get_attributes(&self, key: impl Into<Key>, names: &[&str]) -> Result<Option<Record>> {
        let ids = {
            let catalog = self.store.engine().machine.catalog();
            let object = catalog.schema.object(&self.name)?;
            names.iter().map(|name| object.attribute(name).map(|a| a.id())).collect::<Result<Vec<_>>>()?
        };
        self.read(&key.into(), &|attribute| ids.contains(&attribute.id))
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let engine = self.store.engine();
        let catalog = engine.machine.catalog();
        catalog.object(self.id).map_or(0, |object| engine.machine.count(&engine.pages.live(), object))
    }

    /// The seeded XXH3-64 hash of a record's primary key, as the index has it. `None` without such a
    /// record, or without a primary key.
    ///
    /// # Errors
    /// As [`Object::get`].
    pub fn primary_key_hash(&self, key: impl Into<Key>) -> Result<Option<u64>> {
        let engine = self.store.engine();
        engine.check_open()?;
        let (catalog, key) = (engine.machine.catalog().clone(), key.into());
        let found = find(engine, &catalog, &self.name, &key, &mut |object, _, state, slot| {
            let Some(index) = object.indexes.iter().find(|index| index.primary) else { return Ok(None) };
            let (mut bytes, mut cell) = (Vec::new(), Vec::new());
            let has = read_key(state, object, index, slot, &mut bytes, &mut cell)?;
            Ok(has.then(|| key_hash(engine.machine.hash_seed, &bytes)))
        })?;
        Ok(found.flatten())
    }

    fn read(&self, key: &Key, wanted: &dyn Fn(&AttributeLayout) -> bool) -> Result<Option<Record>> {
        let engine = self.store.engine();
        engine.check_open()?;
        let catalog = engine.machine.catalog().clone();
        let mut found = find(engine, &catalog, &self.name, key, &mut |object, header, state, slot| {
            read_record(&catalog, object, header, state, slot, wanted)
        })?;
        if let Some(record) = &mut found
            && record.has_actors()
        {
            name_actors(engine, record)?;
        }
        Ok(found)
    }
}

/// Names the actors of a record that was read from the live state.
#[cold]
fn name_actors(engine: &Engine, record: &mut Record) -> Result<()> {
    let records = &engine.machine;
    let named = records.read_live(
        |root| records.name_actors(root, record).map(Some),
        |attempt| attempt(&records.pages.live()),
    );
    named.map(drop)
}

/// What is done with a record under its group's latch.
pub(crate) type ReadRow<'r, R> = &'r mut dyn FnMut(
    &crate::records::ObjectLayout,
    &crate::records::row_header::Header,
    &vellum_engine::pages::GroupState,
    u32,
) -> Result<R>;

fn find<R>(
    engine: &Engine,
    catalog: &Catalog,
    object: &str,
    key: &Key,
    read: ReadRow<'_, R>,
) -> Result<Option<R>> {
    with_key(&engine.machine, catalog, object, key, |look| {
        engine.machine.read_live(
            |root| look.at(root, read),
            |attempt| match engine.lock_writer() {
                Ok(_writer) => attempt(&engine.pages.live()),
                // Inside a transaction of this thread nothing is applied meanwhile.
                Err(error) if error.kind() == vellum_engine::ErrorKind::NestedWrite => {
                    attempt(&engine.pages.live())
                }
                Err(error) => Err(error.into()),
            },
        )
    })
}

/// Finds and reads a record in a frozen state.
pub(crate) fn find_at<R>(
    records: &Records,
    catalog: &Catalog,
    root: &Root,
    object: &str,
    key: &Key,
    read: ReadRow<'_, R>,
) -> Result<Option<R>> {
    with_key(records, catalog, object, key, |look| look.at(root, read))
}

/// A look-up whose names and values were resolved.
struct Look<'a> {
    records: &'a Records,
    catalog: &'a Catalog,
    object: &'a crate::records::ObjectLayout,
    by: By<'a>,
}

enum By<'a> {
    Id(crate::RecordId),
    /// A key, and the values that the record must have beside it.
    Key(IndexKey<'a>, ObjectRef<'a>, Vec<&'a (Name, Value)>),
}

impl Look<'_> {
    fn at<R>(&self, root: &Root, read: ReadRow<'_, R>) -> Result<Option<R>> {
        let object = self.object;
        match &self.by {
            By::Key(key, names, refiners) => {
                let hit = self.records.find_key(root, object, key, no_prefetch, |found, header, state| {
                    let slot = found.row.slot();
                    match refiners.is_empty() || refined(*names, state, slot, refiners)? {
                        true => read(object, header, state, slot).map(Some),
                        false => Ok(None),
                    }
                })?;
                Ok(hit.and_then(|(read, _)| read))
            }
            By::Id(id) => {
                let hit =
                    self.records.find_id(root, self.catalog, *id, no_prefetch, |found, header, state| {
                        match found.object == object.id {
                            true => read(object, header, state, found.row.slot()).map(Some),
                            false => Ok(None),
                        }
                    })?;
                Ok(hit.and_then(|(read, _)| read))
            }
        }
    }
}

fn with_key<R>(
    records: &Records,
    catalog: &Catalog,
    object: &str,
    key: &Key,
    look: impl FnOnce(&Look<'_>) -> Result<Option<R>>,
) -> Result<Option<R>> {
    let object = object_ref(catalog, object)?;
    let layout = object.layout;
    match key {
        Key::Id(id) => look(&Look { records, catalog, object: layout, by: By::Id(*id) }),
        Key::Attributes(parts) => {
            let index = choose_index(object, parts)?;
            let mut bytes = Vec::new();
            if !encode_key(object, index, parts, &mut bytes)? {
                return Ok(None);
            }
            let key = IndexKey { index, bytes: &bytes, hash: key_hash(records.hash_seed, &bytes) };
            let refiners = refiners(object, index, parts).collect();
            look(&Look { records, catalog, object: layout, by: By::Key(key, object, refiners) })
        }
        Key::Named(name) => {
            let message = format!("the name {name} means a record inside of one transaction only");
            Err(Error::new(ErrorKind::MissingKey, message))
        }
    }
}

/// Whether the record in a slot has the values that it must have beside its key.
fn refined(
    object: ObjectRef<'_>,
    state: &GroupState,
    slot: u32,
    refiners: &[&(Name, Value)],
) -> Result<bool> {
    let mut cell = Vec::new();
    for (name, value) in refiners {
        let attribute = object.schema.attribute(name)?;
        let layout = object.layout.attribute(attribute.id()).expect("a layout for each attribute");
        let present = read_cell(state, layout, slot, &mut cell)?;
        if !meets(object.schema, attribute, present.then_some(&cell), value)? {
            return Ok(false);
        }
    }
    Ok(true)
}
