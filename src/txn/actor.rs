//! Who commits: an actor becomes a number, which frames and headers carry.

use super::stage::Fate;
use super::transaction::Transaction;
use crate::records::{IndexKey, no_prefetch};
use vellum_engine::RowId;
use vellum_engine::index::key_hash;
use vellum_types::schema::{ACTOR, ACTORS};
use vellum_types::value::{ValueType, append_key_bytes};
use vellum_types::{Error, ErrorKind, Result};

impl Transaction<'_> {
    /// Looks the number of the actor up, and stages the actor where it never committed before.
    pub(super) fn stage_actor(&mut self) -> Result<()> {
        let Some(actor) = self.context.actor else { return Ok(()) };
        if let Some((last, number)) = &self.state.last_actor
            && last == actor
        {
            self.state.stage.actor = *number;
            return Ok(());
        }
        actor.check().map_err(Error::invalid_input)?;
        let records = self.context.records;
        let object = self.catalog.object(ACTORS).expect("every store has actors");
        let (mut cell, mut key) = (Vec::new(), Vec::new());
        actor.append_cell(&mut cell);
        append_key_bytes(&mut key, ValueType::Text, &cell);
        let key =
            IndexKey { index: &object.indexes[0], bytes: &key, hash: key_hash(records.hash_seed, &key) };
        let found = records.find_key(self.root, object, &key, no_prefetch, |found, _, _| Ok(found.row))?;
        if let Some((row, _)) = found {
            let number = number_of(row)?;
            self.state.stage.actor = number;
            self.state.last_actor = Some((actor.clone(), number));
            return Ok(());
        }
        let id = self.context.source.new_id(self.context.source.now());
        let stage = &mut self.state.stage;
        let staged = stage.push(ACTORS, id, RowId(0), Fate::Create, 1);
        let start = stage.arena.len();
        stage.arena.extend_from_slice(&cell);
        let span = start..stage.arena.len();
        let record = stage.record_mut(staged);
        record.put(ACTOR, Some(span));
        record.moves_keys = true;
        stage.new_actor = Some(staged);
        Ok(())
    }

    /// A new actor's number follows from the row that it was given.
    pub(super) fn number_new_actor(&mut self) -> Result<()> {
        if let Some(staged) = self.state.stage.new_actor {
            self.state.stage.actor = number_of(self.state.stage.record(staged).row)?;
        }
        Ok(())
    }
}

fn number_of(row: RowId) -> Result<u32> {
    u32::try_from(row.0 + 1)
        .map_err(|_| Error::new(ErrorKind::LimitExceeded, "the store has 2^32 actors, and no number is left"))
}
