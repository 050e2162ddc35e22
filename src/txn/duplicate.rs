//! A create whose key is taken, told before anything is staged. Refusing duplicates is work of its own for a record
//! server: an import that runs again is nothing else.
//!
//! The order of refusals stays what it is: what is wrong with a value is told before a conflict. So this way is taken
//! only where one look at each value shows that nothing is wrong with it: its kind is the attribute's own, and
//! nothing else could refuse it. All others go the long way.

use super::commit::conflict;
use super::key::{ObjectRef, encode_key, is_shown};
use super::outcome::AttributeSet;
use super::transaction::Transaction;
use crate::records::{IndexKey, IndexLayout, ObjectLayout, prefetch};
use vellum_engine::index::key_hash;
use vellum_engine::pages::GroupState;
use vellum_types::Patch;
use vellum_types::Result;
use vellum_types::schema::Status;

impl Transaction<'_> {
    /// Looks the keys of a create up that is the whole transaction, where nothing but them can refuse it; and notes
    /// that they were looked up, so that the commit does not do it again.
    ///
    /// # Errors
    /// `UniqueConflict`; `Corrupt`.
    pub(super) fn reject_duplicate(&mut self, object: ObjectRef<'_>, patch: &Patch) -> Result<()> {
        let is_known = self.context.actor.is_none_or(|actor| actor.check().is_ok());
        if !(self.single && is_known && is_simple(object) && is_sound(object, patch)) {
            return Ok(());
        }
        let mut key = std::mem::take(&mut self.state.stage.key);
        let result =
            object.layout.indexes.iter().filter(|index| is_shown(object.schema, index)).try_for_each(
                |index| {
                    key.clear();
                    match encode_key(object, index, &patch.set, &mut key)? {
                        true => self.refuse_held(object, index, &key),
                        false => Ok(()),
                    }
                },
            );
        self.state.stage.key = key;
        result?;
        self.state.stage.keys_are_free = true;
        Ok(())
    }

    fn refuse_held(&self, object: ObjectRef<'_>, index: &IndexLayout, bytes: &[u8]) -> Result<()> {
        let records = self.context.records;
        let key = IndexKey { index, bytes, hash: key_hash(records.hash_seed, bytes) };
        let ahead = |object: &ObjectLayout, state: &GroupState, slot| {
            prefetch(state, slot, index.attributes.iter().filter_map(|id| object.attribute(*id)));
        };
        let held = records.find_key(self.root, object.layout, &key, ahead, |_, header, _| {
            Ok((header.id, header.version))
        })?;
        held.map_or(Ok(()), |(holder, _)| {
            Err(conflict(object, index, bytes, holder).at_position(self.state.stage.position))
        })
    }
}

/// Whether a record of this object gets nothing but what its creation says, and its keys in the order in which a
/// commit would look them up.
fn is_simple(object: ObjectRef<'_>) -> bool {
    let ObjectRef { schema, layout } = object;
    !layout.indexes.is_empty()
        && layout.indexes.iter().all(|index| index.plain)
        && layout.indexes.is_sorted_by_key(|index| index.tree)
        && layout.history.is_none()
        && !(layout.has_defaults || layout.has_sequences || schema.is_open())
        && schema.max_record_len().is_none()
}

/// Whether every value is one that its attribute takes, and none is missing.
fn is_sound(object: ObjectRef<'_>, patch: &Patch) -> bool {
    if !patch.clear.is_empty() {
        return false;
    }
    let (mut given, mut near) = (AttributeSet::default(), 0);
    for (name, value) in &patch.set {
        let Ok(attribute) = object.schema.attribute_near(near, name) else { return false };
        near = usize::from(attribute.id().0) + 1;
        let is_new = !given.contains(attribute.id());
        if !(is_new && attribute.standing() == Status::Active && attribute.surely_takes(value)) {
            return false;
        }
        given.insert(attribute.id());
    }
    object.layout.attributes.iter().all(|attribute| !attribute.required || given.contains(attribute.id))
}
