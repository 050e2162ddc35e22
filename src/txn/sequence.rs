//! Numbers that the engine gives. The counter of an object's records is the only sequence: an autonumber is the
//! counter plus an offset that the schema has. So a number is not spent by what fails, and never given twice.

use super::key::ObjectRef;
use super::transaction::Transaction;
use crate::records::COUNTER;
use vellum_types::Result;

impl Transaction<'_> {
    /// Gives a record in the making the number of each of its sequences.
    pub(super) fn give_numbers(&mut self, object: ObjectRef<'_>, staged: usize) -> Result<()> {
        let counter = self.next_counter(object, staged);
        self.state.stage.record_mut(staged).counter = counter;
        for attribute in object.schema.attributes() {
            let Some(sequence) = attribute.sequence() else { continue };
            let number = sequence.value_at(counter)?;
            let arena = &mut self.state.stage.arena;
            let start = arena.len();
            arena.extend_from_slice(&number.to_le_bytes());
            let span = start..arena.len();
            self.state.stage.record_mut(staged).put(attribute.id(), Some(span));
        }
        Ok(())
    }

    /// The counter that apply will give: one behind that of the record made before in this transaction, or in
    /// the store. A record that is restored has its old one.
    fn next_counter(&self, object: ObjectRef<'_>, staged: usize) -> u64 {
        let before = self.state.stage.records()[..staged].iter().rev();
        let made = before.filter(|other| other.object == object.layout.id).find(|other| other.counter != 0);
        match made {
            Some(made) => made.counter + 1,
            None => self.root.tree(object.layout.tree).map_or(0, |tree| tree.meta(COUNTER)) + 1,
        }
    }
}
