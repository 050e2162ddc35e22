//! System objects: what the engine keeps in records of its own, stored, logged, checked and repaired like any
//! other, and seen by nobody.
//!
//! | object      | id         | trees     | a record is                                                        |
//! |-------------|------------|-----------|--------------------------------------------------------------------|
//! | actors      | 65535      | 2, 3      | somebody who commits; row + 1 is the actor's number                 |
//! | requests    | 65534      | 4, 5      | an idempotency key with the outcome that it stands for              |
//! | history     | 32768 + id | by schema | one superseded value of a record of the object, or a birth or death |
//!
//! Their attributes follow from the kind and are no part of the persisted schema; the order in which they
//! stand here is part of the format. A system record has no entry in the store's index of record ids: it is
//! found by its row or by its unique key.

use super::{AttributeSchema, Codec, IndexSchema, Names, ObjectSchema, Pattern, Rules, Status};
use crate::id::{AttributeId, ObjectId};
use crate::value::ValueType;
use std::sync::{Arc, LazyLock};

/// First id of a system object: objects of callers have smaller ones.
pub const FIRST_SYSTEM: u16 = 0x8000;
/// Who commits.
pub const ACTORS: ObjectId = ObjectId(0xffff);
/// Requests that were made once.
pub const REQUESTS: ObjectId = ObjectId(0xfffe);

/// The one attribute of an actor: its cell form, as text.
pub const ACTOR: AttributeId = AttributeId(0);

static ALWAYS: LazyLock<[ObjectSchema; 2]> = LazyLock::new(|| {
    let actors = [Column::key("actor", ValueType::Text)];
    let requests = [
        Column::key("key", ValueType::Text),
        Column::of("body_hash", ValueType::Uuid),
        Column::of("expires_at", ValueType::Timestamp),
        // JSON with whole records in it, and so nested deeper than a value of that type may be.
        Column::of("outcome", ValueType::LongText),
    ];
    [object(ACTORS, "$actors", 2, 3, &actors), object(REQUESTS, "$requests", 4, 5, &requests)]
});

/// Attributes of an object that keeps the history of another; see `records::history`.
pub mod history {
    use crate::id::AttributeId;

    /// What the entry tells; 0 or none: nothing, it holds the place of one that was lost.
    pub const KIND: AttributeId = AttributeId(0);
    /// Attribute id of a value.
    pub const ATTRIBUTE: AttributeId = AttributeId(1);
    /// Type of the attribute then, by its place in the persisted form.
    pub const VALUE_TYPE: AttributeId = AttributeId(2);
    /// The value's cell; none where there was no value.
    pub const CELL: AttributeId = AttributeId(3);
    /// The interval of a value that a caller inserted.
    pub const FROM: AttributeId = AttributeId(4);
    /// Until when the values were current.
    pub const UNTIL: AttributeId = AttributeId(5);
    /// Id of a record that is deleted; taken away when the id lives again.
    pub const DELETED: AttributeId = AttributeId(6);
    /// What is needed to restore a record that died.
    pub const CREATED_AT: AttributeId = AttributeId(7);
    /// Actor who created the record.
    pub const CREATED_BY: AttributeId = AttributeId(8);
    /// The record's number within its object.
    pub const COUNTER: AttributeId = AttributeId(9);
    /// The commit.
    pub const LSN: AttributeId = AttributeId(10);
    /// The entry before it, as a row + 1.
    pub const PREVIOUS: AttributeId = AttributeId(11);
}

/// The object that keeps the history of `object`.
pub(super) fn history_of(object: ObjectId, [tree, index]: [u32; 2]) -> ObjectSchema {
    let columns = [
        Column::of("kind", ValueType::Integer),
        Column::of("attribute", ValueType::Integer),
        Column::of("type", ValueType::Integer),
        Column::of("cell", ValueType::Bytes),
        Column::of("from", ValueType::Timestamp),
        Column::of("until", ValueType::Timestamp),
        Column::key("deleted", ValueType::Uuid),
        Column::of("created_at", ValueType::Timestamp),
        Column::of("created_by", ValueType::Integer),
        Column::of("counter", ValueType::Integer),
        Column::of("lsn", ValueType::Integer),
        Column::of("previous", ValueType::Integer),
    ];
    self::object(object.history(), &format!("$history of {object}"), tree, index, &columns)
}

/// The system objects that every store has.
pub(super) fn always() -> &'static [ObjectSchema] {
    &*ALWAYS
}

/// One attribute of a system object.
struct Column {
    key: &'static str,
    value_type: ValueType,
    unique: bool,
}

impl Column {
    fn of(key: &'static str, value_type: ValueType) -> Column {
        Column { key, value_type, unique: false }
    }

    fn key(key: &'static str, value_type: ValueType) -> Column {
        Column { key, value_type, unique: true }
    }
}

impl AttributeSchema {
    /// An optional attribute of this type, without rules.
    fn plain(id: AttributeId, key: &str, value_type: ValueType) -> AttributeSchema {
        AttributeSchema {
            id,
            column: id.0 + 1,
            key: key.to_string(),
            title: None,
            value_type,
            required: false,
            unique: false,
            read_only: false,
            decimals: 0,
            microseconds: false,
            min: None,
            max: None,
            options: Vec::new(),
            rules: Rules::default(),
            name: Arc::from(key),
            option_names: Names::default(),
            coding: Codec::default(),
            has_archived_options: false,
            limited: false,
            pattern: Pattern::default(),
        }
    }
}

/// A system object of these columns, of which one is a key.
fn object(id: ObjectId, key: &str, tree: u32, index: u32, columns: &[Column]) -> ObjectSchema {
    let mut object = ObjectSchema {
        id,
        key: key.to_string(),
        title: None,
        tree,
        attributes: Vec::new(),
        indexes: Vec::new(),
        max_record_len: None,
        given_id: None,
        open: None,
        history: false,
        history_trees: None,
        history_object: None,
        standing: Status::Active,
        name: Arc::from(key),
        names: Names::default(),
    };
    for (at, column) in (0..).zip(columns) {
        let mut attribute = AttributeSchema::plain(AttributeId(at), column.key, column.value_type);
        attribute.unique = column.unique;
        object.attributes.push(attribute);
        if column.unique {
            object.indexes.push(IndexSchema {
                tree: index,
                attributes: vec![AttributeId(at)],
                primary: false,
            });
        }
    }
    object.index_names();
    object
}

impl ObjectId {
    /// Whether this is an object of the engine's own.
    #[must_use]
    #[inline]
    pub fn is_system(self) -> bool {
        self.0 >= FIRST_SYSTEM
    }

    /// The object that keeps this one's history.
    #[must_use]
    pub fn history(self) -> ObjectId {
        ObjectId(FIRST_SYSTEM | self.0)
    }

    /// Whether it keeps the history of another one.
    #[must_use]
    pub fn is_history(self) -> bool {
        self.is_system() && self != REQUESTS && self != ACTORS
    }

    /// Whether its records are named by their rows.
    #[must_use]
    pub fn keeps_rows(self) -> bool {
        self.is_system() && self != REQUESTS
    }
}
