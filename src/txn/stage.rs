//! What a transaction has staged so far: an overlay over the store that only its own reads see.

use super::hashing::Hashing;
use crate::records::KeyBuffers;
use crate::redo::Origin;
use std::collections::HashMap;
use std::ops::Range;
use vellum_engine::index::Moved;
use vellum_engine::pages::GroupGuard;
use vellum_engine::{RowId, TreeId};
use vellum_types::schema::Schema;
use vellum_types::value::{Name, Timestamp};
use vellum_types::{AttributeId, ObjectId, RecordId};

/// Up to here a record is looked for by walking the list.
const WALK_MAX: usize = 8;

/// What becomes of a staged record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Create,
    Update,
    Delete,
    /// Made and removed in the same transaction: nothing is logged.
    CreatedAndDeleted,
    /// The same of a record that was given a number, which is spent: both are logged.
    ConsumedNumber,
}

/// One attribute's staged value: a span of the arena, or cleared.
#[derive(Clone, Debug)]
pub(crate) struct StagedCell {
    pub(crate) attribute: AttributeId,
    pub(crate) bytes: Option<Range<usize>>,
}

/// One record that the transaction changes.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) object: ObjectId,
    pub(crate) id: RecordId,
    /// Where it is; a create gets its row at commit.
    pub(crate) row: RowId,
    pub(crate) fate: Fate,
    /// Version after the transaction; for a delete the last one.
    pub(crate) version: u64,
    pub(crate) at: Option<Timestamp>,
    /// Newest entry of its history, as its header will have it; 0: as it is.
    pub(crate) history: u64,
    /// The counter that it was promised, where it has a number of a sequence; else 0.
    pub(crate) counter: u64,
    /// What a create that is a restore keeps of the record.
    pub(crate) origin: Option<Origin>,
    pub(crate) cells: Vec<StagedCell>,
    /// Whether a cell of a key is among them.
    pub(crate) moves_keys: bool,
    /// The row's group, looked up once; `None` for a create.
    pub(crate) group: Option<GroupGuard>,
    /// Which mutation of the transaction staged it last.
    pub(crate) position: usize,
}

/// An entry that is staged, and the staged record whose history it is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StagedEntry {
    pub(super) staged: usize,
    pub(super) owner: usize,
    pub(super) before: Before,
}

/// The entry before another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// One in the store, as a link; 0: none.
    Stored(u64),
    /// One of the same transaction.
    Staged(usize),
}

/// A value that a caller inserts into the past of a staged record.
#[derive(Clone, Debug)]
pub(crate) struct PastValue {
    pub(crate) owner: usize,
    pub(crate) attribute: AttributeId,
    pub(crate) cell: Range<usize>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// A place that a refused mutation goes back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    count: usize,
    arena_len: usize,
    undo_len: usize,
    names_len: usize,
    restricted_len: usize,
    emptied_len: usize,
}

impl Mark {
    /// How many records were staged.
    pub(crate) fn count(self) -> usize {
        self.count
    }
}

/// A required reference that another record's change left without a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emptied {
    pub(crate) object: ObjectId,
    pub(crate) attribute: AttributeId,
    pub(crate) record: RecordId,
}

/// A reference that forbids that the record goes which it names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restricted {
    pub(crate) gone: RecordId,
    pub(crate) object: ObjectId,
    pub(crate) attribute: AttributeId,
    pub(crate) referrer: RecordId,
    pub(crate) position: usize,
}

impl Staged {
    pub(crate) fn cell(&self, attribute: AttributeId) -> Option<&StagedCell> {
        self.cells.iter().find(|cell| cell.attribute == attribute)
    }

    pub(crate) fn put(&mut self, attribute: AttributeId, bytes: Option<Range<usize>>) {
        match self.cells.iter_mut().find(|cell| cell.attribute == attribute) {
            Some(cell) => cell.bytes = bytes,
            None => self.cells.push(StagedCell { attribute, bytes }),
        }
    }

    /// [`Staged::put`] for a create, whose cells are kept in the order of the attributes.
    pub(crate) fn put_in_order(&mut self, attribute: AttributeId, bytes: Option<Range<usize>>) {
        if self.cells.last().is_none_or(|last| last.attribute < attribute) {
            return self.cells.push(StagedCell { attribute, bytes });
        }
        match self.cells.binary_search_by_key(&attribute, |cell| cell.attribute) {
            Ok(at) => self.cells[at].bytes = bytes,
            Err(at) => self.cells.insert(at, StagedCell { attribute, bytes }),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.fate, Fate::Create | Fate::Update)
    }
}

/// The buffers of one transaction, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// The first `count` are in use; the others keep their buffers.
    records: Vec<Staged>,
    count: usize,
    by_id: HashMap<RecordId, usize, Hashing>,
    /// Keys that staged records took: (index tree, hash) → record. A hint; the key is compared.
    claims: HashMap<(TreeId, u64), usize, Hashing>,
    /// Bytes of staged cells.
    pub(crate) arena: Vec<u8>,
    /// Whether a record of an object that keeps history is among them.
    pub(crate) keeps_history: bool,
    /// Entries for the history, in the order in which they are made.
    pub(crate) entries: Vec<StagedEntry>,
    /// Values that callers insert into the past.
    pub(crate) past: Vec<PastValue>,
    /// Number of the actor who commits, once it is known.
    pub(crate) actor: u32,
    /// The staged create of an actor who never committed before.
    pub(crate) new_actor: Option<usize>,
    /// A new schema, where the transaction has one.
    pub(crate) schema: Option<Schema>,
    pub(crate) key: Vec<u8>,
    pub(crate) keys: KeyBuffers,
    pub(crate) new_keys: Vec<NewKey>,
    /// Whether all of them were looked up, and nobody has any.
    pub(crate) keys_are_free: bool,
    /// Attributes that the patch at hand names, in its order.
    pub(crate) named: Vec<Option<AttributeId>>,
    /// Free list head and row count of each object that gets records, as they will be.
    pub(crate) next_rows: Vec<(ObjectId, u64, u64)>,
    /// What the indexes get and give up.
    pub(crate) moved: Vec<Moved>,
    /// Which mutation of the transaction is at hand.
    pub(crate) position: usize,
    /// What records that were staged before were like, newest last; only mutations of several records
    /// keep it.
    undo: Vec<(usize, Staged)>,
    /// Records that mutations of the transaction named.
    pub(crate) names: Vec<(Name, RecordId)>,
    /// References that must be gone at the end.
    pub(crate) restricted: Vec<Restricted>,
    /// References that must have a value again at the end of the mutation, or be gone with their record.
    pub(crate) emptied: Vec<Emptied>,
}

/// A key that a staged record has at the end of the transaction.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) tree: TreeId,
    pub(crate) hash: u64,
    pub(crate) bytes: Range<usize>,
    pub(crate) staged: usize,
    pub(crate) index: usize,
}

impl Stage {
    /// Forgets everything but the buffers; what one huge transaction left of those is given back.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = 4096;
        for staged in &mut self.records[..self.count] {
            // A group that is held here would keep its pages from being patched in place.
            staged.group = None;
        }
        self.count = 0;
        if self.records.len() > KEPT {
            self.records.truncate(KEPT);
        }
        if !self.by_id.is_empty() {
            self.by_id.clear();
        }
        if !self.claims.is_empty() {
            self.claims.clear();
        }
        self.arena.clear();
        self.arena.shrink_to(KEPT << 10);
        self.schema = None;
        self.keeps_history = false;
        self.entries.clear();
        self.past.clear();
        self.actor = 0;
        self.new_actor = None;
        self.new_keys.clear();
        self.keys_are_free = false;
        self.named.clear();
        self.next_rows.clear();
        self.moved.clear();
        self.position = 0;
        self.undo.clear();
        self.names.clear();
        self.restricted.clear();
        self.emptied.clear();
    }

    /// Where the stage stands.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            count: self.count,
            arena_len: self.arena.len(),
            undo_len: self.undo.len(),
            names_len: self.names.len(),
            restricted_len: self.restricted.len(),
            emptied_len: self.emptied.len(),
        }
    }

    /// Keeps what a record was like, for [`Stage::rollback`].
    pub(crate) fn keep(&mut self, index: usize) {
        self.undo.push((index, self.records[index].clone()));
    }

    /// Gives up what [`Stage::keep`] kept last, of a record that did not change.
    pub(crate) fn drop_undo(&mut self) {
        self.undo.pop();
    }

    /// Gives up what [`Stage::keep`] kept: nothing goes back behind here.
    pub(crate) fn clear_undo(&mut self) {
        self.undo.clear();
    }

    /// Takes back everything since the mark.
    pub(crate) fn rollback(&mut self, mark: Mark) {
        while self.undo.len() > mark.undo_len {
            let (index, staged) = self.undo.pop().expect("longer than the mark's");
            self.records[index] = staged;
        }
        while self.count > mark.count {
            let id = self.records[self.count - 1].id;
            let before = self.records[..self.count - 1].iter().rposition(|staged| staged.id == id);
            self.pop(before);
        }
        // A claim is a hint. One of a record that is gone leads to any other, from where all are walked.
        match mark.count.checked_sub(1) {
            None => self.claims.clear(),
            Some(last) => self.claims.values_mut().for_each(|staged| *staged = (*staged).min(last)),
        }
        self.arena.truncate(mark.arena_len);
        self.names.truncate(mark.names_len);
        self.restricted.truncate(mark.restricted_len);
        self.emptied.truncate(mark.emptied_len);
    }

    /// The records that were staged since the mark, or changed: each once, in the order of their places.
    pub(crate) fn since(&self, mark: Mark) -> Vec<usize> {
        let changed = self.undo[mark.undo_len..].iter().map(|(index, _)| *index);
        let mut places: Vec<usize> =
            changed.filter(|index| *index < mark.count).chain(mark.count..self.count).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Takes the next reference that lost its value since the mark.
    pub(crate) fn next_emptied(&mut self, mark: Mark) -> Option<Emptied> {
        (self.emptied.len() > mark.emptied_len).then(|| self.emptied.remove(mark.emptied_len))
    }

    /// The record that a mutation of the transaction gave this name; the newest one.
    pub(crate) fn named_record(&self, name: &str) -> Option<RecordId> {
        self.names.iter().rev().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    pub(crate) fn records(&self) -> &[Staged] {
        &self.records[..self.count]
    }

    pub(crate) fn record(&self, index: usize) -> &Staged {
        &self.records[..self.count][index]
    }

    pub(crate) fn record_mut(&mut self, index: usize) -> &mut Staged {
        &mut self.records[..self.count][index]
    }

    /// Gives away the group of the first record: apply will look for it next.
    pub(crate) fn first_group(&mut self) -> Option<GroupGuard> {
        self.records[..self.count].first_mut().and_then(|staged| staged.group.take())
    }

    /// Forgets where the records' pages are.
    pub(crate) fn forget_groups(&mut self) {
        self.records[..self.count].iter_mut().for_each(|staged| staged.group = None);
    }

    /// The newest staged record with this id.
    pub(crate) fn find(&self, id: RecordId) -> Option<usize> {
        if self.count <= WALK_MAX {
            return self.records().iter().rposition(|staged| staged.id == id && !staged.object.is_system());
        }
        self.by_id.get(&id).copied()
    }

    /// Adds a record without cells.
    pub(crate) fn push(
        &mut self,
        object: ObjectId,
        id: RecordId,
        row: RowId,
        fate: Fate,
        version: u64,
    ) -> usize {
        let (index, position) = (self.count, self.position);
        match self.records.get_mut(index) {
            Some(staged) => {
                staged.cells.clear();
                let cells = std::mem::take(&mut staged.cells);
                *staged = Staged {
                    object,
                    id,
                    row,
                    fate,
                    version,
                    at: None,
                    history: 0,
                    counter: 0,
                    origin: None,
                    cells,
                    moves_keys: false,
                    group: None,
                    position,
                };
            }
            None => {
                self.records.push(Staged {
                    object,
                    id,
                    row,
                    fate,
                    version,
                    at: None,
                    history: 0,
                    counter: 0,
                    origin: None,
                    cells: Vec::new(),
                    moves_keys: false,
                    group: None,
                    position,
                });
            }
        }
        self.count += 1;
        if self.count == WALK_MAX + 1 {
            let callers = self.records[..index].iter().enumerate().filter(|(_, s)| !s.object.is_system());
            self.by_id.extend(callers.map(|(index, staged)| (staged.id, index)));
        }
        // Nobody asks for a system record by its id, which need not be its own.
        if self.count > WALK_MAX && !object.is_system() {
            self.by_id.insert(id, index);
        }
        index
    }

    /// Takes back the record that was pushed last.
    pub(crate) fn pop(&mut self, before: Option<usize>) {
        self.count -= 1;
        self.records[self.count].group = None;
        let id = self.records[self.count].id;
        if self.count > WALK_MAX {
            match before {
                Some(before) => self.by_id.insert(id, before),
                None => self.by_id.remove(&id),
            };
        } else if !self.by_id.is_empty() {
            // From here on the list is walked; it is read again when it is longer.
            self.by_id.clear();
        }
    }

    pub(crate) fn claim(&mut self, tree: TreeId, hash: u64, staged: usize) {
        self.claims.insert((tree, hash), staged);
    }

    pub(crate) fn claimed(&self, tree: TreeId, hash: u64) -> Option<usize> {
        if self.claims.is_empty() {
            return None;
        }
        self.claims.get(&(tree, hash)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_record_with_an_id_is_found_in_short_and_long_lists() {
        let mut stage = Stage::default();
        let id = |n: usize| RecordId::from_bytes([n as u8; 16]);
        for n in 0..20 {
            let index = stage.push(ObjectId(0), id(n), RowId(0), Fate::Create, 1);
            assert_eq!((index, stage.find(id(n))), (n, Some(n)));
            assert_eq!(stage.find(id(0)), Some(0));
        }
        let again = stage.push(ObjectId(0), id(3), RowId(0), Fate::Create, 1);
        assert_eq!(stage.find(id(3)), Some(again));
        stage.pop(Some(3));
        assert_eq!(stage.find(id(3)), Some(3));
        stage.clear();
        assert_eq!(stage.find(id(3)), None);
    }

    #[test]
    fn a_record_that_was_taken_back_is_not_found_when_the_list_is_long_again() {
        let mut stage = Stage::default();
        let id = |n: usize| RecordId::from_bytes([n as u8; 16]);
        let push = |stage: &mut Stage, n: usize| {
            stage.push(ObjectId(0), id(n), RowId(0), Fate::Create, 1);
        };
        (0..6).for_each(|n| push(&mut stage, n));
        let mark = stage.mark();
        (6..12).for_each(|n| push(&mut stage, n));
        stage.rollback(mark);
        (20..30).for_each(|n| push(&mut stage, n));
        for n in 0..30 {
            let place = stage.find(id(n)).map(|index| stage.record(index).id);
            assert_eq!(place, (!(6..20).contains(&n)).then_some(id(n)), "{n}");
        }
    }
}
