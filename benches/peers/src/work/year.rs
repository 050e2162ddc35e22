//! A year of flights, one transaction each, not synced: creations and patches of flights, planes, airports
//! and airlines by primary keys of up to four attributes. Lines are parsed, and rows encoded, beforehand.
//!
//! vellum applies the mutations, with an id for each record and every check of the schema. The others keep
//! one row of fixed slots under the object's name and primary key, and patch it by reading, writing over
//! slots and putting it back: less than vellum does, since no id is kept and no type checked.

use crate::Result;
use crate::session::Session;
use std::time::{Duration, Instant};
use vellum::{Action, Config, Durability, Key, Mutation, Schema, Value};
use vellum_bench::year;

/// Bytes of a slot: the cell's length, then the cell, cut where it is longer.
const SLOT_LEN: usize = 24;

/// The n-th slot's new content.
type Slot = (usize, [u8; SLOT_LEN]);

/// One mutation for a store of keys and values.
struct Edit {
    key: Vec<u8>,
    row_len: usize,
    is_create: bool,
    slots: Vec<Slot>,
}

pub fn run(session: &mut Session) -> Result<()> {
    let Some(file) = session.year.clone() else {
        println!("  left out: --year names no file of flights");
        return Ok(());
    };
    let schema = year::schema()?;
    let mutations = year::read(&file, &schema)?;
    let edits = mutations.iter().map(|mutation| edit(&schema, mutation)).collect::<Result<Vec<Edit>>>()?;
    session.close_all();
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); session.families.len()];
    for _ in 0..session.rounds {
        for (family, rates) in session.families.iter().zip(&mut rates) {
            let path = session.dir.join(format!("year-{}", family.name));
            let spent = match family.name {
                "vellum" => apply(&path, &schema, &mutations)?,
                _ => {
                    let mut engine = (family.open)(&path, 1_000_000)?;
                    engine.set_mode(0)?;
                    let started = Instant::now();
                    for edit in &edits {
                        engine.edit(&edit.key, &mut |old| edit.row(old))?;
                    }
                    started.elapsed()
                }
            };
            rates.push(mutations.len() as f64 / spent.as_secs_f64());
            std::fs::remove_dir_all(&path)?;
        }
    }
    for (family, rates) in session.families.clone().into_iter().zip(rates) {
        session.add("a year of flights, one transaction each", &family.modes[0], "mutations/s", rates)?;
    }
    Ok(())
}

fn apply(path: &std::path::Path, schema: &Schema, mutations: &[Mutation]) -> Result<Duration> {
    let store = Config::new().durability(Durability::Buffered).create(path, schema)?;
    let started = Instant::now();
    for mutation in mutations {
        store.apply(mutation)?;
    }
    let spent = started.elapsed();
    store.close()?;
    Ok(spent)
}

impl Edit {
    fn row(&self, old: Option<&[u8]>) -> Result<Vec<u8>> {
        let mut row = match (old, self.is_create) {
            (None, true) => vec![0; self.row_len],
            (Some(old), false) => old.to_vec(),
            (Some(_), true) => return Err("the key is taken".into()),
            (None, false) => return Err("no such record".into()),
        };
        for (slot, content) in &self.slots {
            row[slot * SLOT_LEN..][..SLOT_LEN].copy_from_slice(content);
        }
        Ok(row)
    }
}

fn edit(schema: &Schema, mutation: &Mutation) -> Result<Edit> {
    let object = schema.object(&mutation.object)?;
    let (set, is_create) = (&mutation.patch.set, mutation.action == Action::Create);
    let value_of = |name: &str| -> Result<&Value> {
        let parts = match &mutation.key {
            Some(Key::Attributes(parts)) => parts,
            _ => set,
        };
        let found = parts.iter().find(|(key, _)| &**key == name);
        Ok(found.map(|(_, value)| value).ok_or_else(|| format!("{name} is not in the key"))?)
    };
    let mut key = mutation.object.as_bytes().to_vec();
    for id in object.primary_key().ok_or("an object without a primary key")?.attributes() {
        let attribute = object.attribute_by_id(*id).ok_or("a key without its attribute")?;
        let mut cell = Vec::new();
        attribute.encode(object, value_of(attribute.key())?, &mut cell)?;
        key.push(u8::try_from(cell.len())?);
        key.extend_from_slice(&cell);
    }
    let mut slots = Vec::with_capacity(set.len());
    for (name, value) in set {
        let index = object.attributes().iter().position(|attribute| attribute.key() == &**name);
        let index = index.ok_or_else(|| format!("{name} is no attribute"))?;
        let (mut cell, mut slot) = (Vec::new(), [0; SLOT_LEN]);
        if !value.is_null() {
            object.attributes()[index].encode(object, value, &mut cell)?;
        }
        cell.truncate(SLOT_LEN - 1);
        slot[0] = cell.len() as u8;
        slot[1..=cell.len()].copy_from_slice(&cell);
        slots.push((index, slot));
    }
    let row_len = object.attributes().len() * SLOT_LEN;
    Ok(Edit { key, row_len, is_create, slots })
}
