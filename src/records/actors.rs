//! Actors by number, for the records that are read. An actor never changes and never goes, so what was
//! read once is kept, up to a bound.

use super::Records;
use super::read::{read_cell, read_header};
use std::collections::HashMap;
use std::sync::Arc;
use vellum_engine::RowId;
use vellum_engine::pages::Root;
use vellum_engine::sync::Mutex;
use vellum_types::schema::{ACTOR, ACTORS};
use vellum_types::value::{Actor, Record};
use vellum_types::{Error, Result};

/// Most actors that are kept; behind it all are forgotten, and those that are asked for are read again.
const KEPT_MAX: usize = 16_384;

/// Actors that were read.
#[derive(Debug, Default)]
pub(super) struct KnownActors(Mutex<HashMap<u32, Arc<Actor>>>);

impl Records {
    /// Puts the names of its actors into a record that was read at `root`, or before it.
    ///
    /// # Errors
    /// `Corrupt` when an actor's row is damaged or gone.
    #[inline]
    pub fn name_actors(&self, root: &Root, record: &mut Record) -> Result<()> {
        let [created, updated] = record.actor_numbers;
        if record.has_actors() {
            record.actors = [self.actor(root, created)?, self.actor(root, updated)?];
            // Numbers are the store's own: records of two stores are alike by name.
            record.actor_numbers = [0; 2];
        }
        Ok(())
    }

    /// The actor with this number; nobody for 0.
    ///
    /// # Errors
    /// As [`Records::name_actors`].
    pub fn actor(&self, root: &Root, number: u32) -> Result<Option<Arc<Actor>>> {
        if number == 0 {
            return Ok(None);
        }
        if let Some(known) = self.actors.0.lock().get(&number) {
            return Ok(Some(known.clone()));
        }
        let actor = Arc::new(self.read_actor(root, number)?);
        let mut known = self.actors.0.lock();
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(number, actor.clone());
        Ok(Some(actor))
    }

    fn read_actor(&self, root: &Root, number: u32) -> Result<Actor> {
        let gone = || Error::corrupt("", 0, format!("actor {number}, whom a record names, is not there"));
        let catalog = self.catalog();
        let object = catalog.object(ACTORS).ok_or_else(gone)?;
        let attribute = object.attribute(ACTOR).ok_or_else(gone)?;
        let cell = self.with_row(root, object, RowId(u64::from(number) - 1), |state, slot| -> Result<_> {
            let mut cell = Vec::new();
            let there = read_header(state, slot)?.is_some() && read_cell(state, attribute, slot, &mut cell)?;
            Ok(there.then_some(cell))
        })?;
        let cell = cell.flatten().ok_or_else(gone)?;
        Actor::of_cell(&cell).map_err(|reason| Error::corrupt("", 0, format!("actor {number}: {reason}")))
    }
}
