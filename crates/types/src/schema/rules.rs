//! What an attribute may say beyond its type: the parts of a schema that most attributes leave alone.

use super::AttributeSchema;
use crate::error::{Error, Result};
use crate::id::{AttributeId, ObjectId};
use crate::value::CurrencyCode;
use serde::{Deserialize, Serialize};

/// Most bytes of an autonumber's prefix.
pub const PREFIX_LEN_MAX: usize = 30;
/// Most digits that an autonumber is filled up to.
pub const PADDING_MAX: u8 = 18;

/// Rules of an attribute beyond its type. The order of the fields is part of the persisted form.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rules {
    /// An identity that the maker of the schema gave it.
    pub given_id: Option<String>,
    /// Whether it may have several values.
    pub multi: bool,
    /// Whether several options are a set of 64 bits; fixed when the attribute is declared.
    pub bit_set: bool,
    /// Whether the order of several options is of no account.
    pub unordered: bool,
    /// Most values that it may have.
    pub max_values: Option<u32>,
    /// What a new record gets that is given no value.
    pub default: Option<DefaultValue>,
    /// Labels of a text list.
    pub labels: Vec<String>,
    /// Objects whose records a reference may name; none says any.
    pub refers_to: Vec<ObjectId>,
    /// The other side of a relation.
    pub inverse: Option<Inverse>,
    /// What happens to a reference when the record goes that it names.
    pub on_delete: OnDelete,
    /// The currency of every amount.
    pub currency: Option<CurrencyCode>,
    /// What a text must match, as a regular expression.
    pub pattern: Option<String>,
    /// Whether a radio takes texts that are no options.
    pub custom_values: bool,
    /// How an autonumber counts.
    pub sequence: Option<Sequence>,
    /// Whether superseded values are kept.
    pub history: bool,
    /// Whether it is in use.
    pub standing: Status,
    /// Whether it is the engine's own and shown to nobody: what an open object keeps of unknown members.
    pub hidden: bool,
}

/// What a new record gets that is given no value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum DefaultValue {
    /// Always the same cell.
    Cell(Vec<u8>),
    /// The time of the creation.
    Now,
    /// Whoever creates the record.
    Actor,
}

/// The other side of a relation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inverse {
    /// The object that the attribute refers to.
    pub object: ObjectId,
    /// That object's attribute that refers back.
    pub attribute: AttributeId,
}

/// What happens to a reference when the record goes that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OnDelete {
    /// The reference is taken away.
    #[default]
    Clear,
    /// The record cannot go while it is named.
    Restrict,
    /// The record with the reference goes too.
    Cascade,
}

/// How an autonumber counts: its value is the record's counter plus `offset`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sequence {
    /// What stands before the digits.
    pub prefix: String,
    /// Digits at least, with zeros in front.
    pub padding: u8,
    /// What is added to the counter.
    pub offset: i64,
}

/// Whether an object, an attribute or an option is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Status {
    /// It is.
    #[default]
    Active,
    /// Values that exist stay and are shown; nothing new is written.
    Archived,
    /// It is gone; its number stays taken.
    Deleted,
}

impl Status {
    /// What is found by its name: nothing that was deleted.
    pub(super) fn name_or_none(self, name: &str) -> &str {
        if self == Status::Deleted { "" } else { name }
    }
}

impl AttributeSchema {
    /// Whether it may have several values.
    #[must_use]
    pub fn is_multi(&self) -> bool {
        self.rules.multi
    }

    /// Whether the order of its values is of no account.
    #[must_use]
    pub fn is_unordered(&self) -> bool {
        self.rules.unordered
    }

    /// Whether its values are options in a set of 64 bits.
    #[must_use]
    pub fn is_bit_set(&self) -> bool {
        self.rules.bit_set
    }

    /// Most values that it may have.
    #[must_use]
    pub fn max_values(&self) -> Option<u32> {
        self.rules.max_values
    }

    /// What a new record gets that is given no value.
    #[must_use]
    pub fn default_value(&self) -> Option<&DefaultValue> {
        self.rules.default.as_ref()
    }

    /// Labels of a text list.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.rules.labels
    }

    /// Objects whose records a reference may name; none says any.
    #[must_use]
    pub fn refers_to(&self) -> &[ObjectId] {
        &self.rules.refers_to
    }

    /// The other side of a relation.
    #[must_use]
    pub fn inverse(&self) -> Option<Inverse> {
        self.rules.inverse
    }

    /// What happens to a reference when the record goes that it names.
    #[must_use]
    pub fn on_delete(&self) -> OnDelete {
        self.rules.on_delete
    }

    /// The currency of every amount.
    #[must_use]
    pub fn currency(&self) -> Option<CurrencyCode> {
        self.rules.currency
    }

    /// How an autonumber counts.
    #[must_use]
    pub fn sequence(&self) -> Option<&Sequence> {
        self.rules.sequence.as_ref()
    }

    /// Whether superseded values are kept.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.rules.history
    }

    /// Whether it is in use.
    #[must_use]
    pub fn standing(&self) -> Status {
        self.rules.standing
    }

    /// Whether it is the engine's own and shown to nobody.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.rules.hidden
    }

    /// The identity that the maker of the schema gave it.
    #[must_use]
    pub fn given_id(&self) -> Option<&str> {
        self.rules.given_id.as_deref()
    }
}

impl OnDelete {
    /// The name in a schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OnDelete::Clear => "clear",
            OnDelete::Restrict => "restrict",
            OnDelete::Cascade => "cascade",
        }
    }

    /// Every choice.
    pub const ALL: [OnDelete; 3] = [OnDelete::Clear, OnDelete::Restrict, OnDelete::Cascade];
}

impl Sequence {
    /// The value as people see it: the prefix, then at least `padding` digits.
    #[must_use]
    pub fn show(&self, number: i64) -> String {
        let width = usize::from(self.padding);
        format!("{}{number:0width$}", self.prefix)
    }

    /// Whether the number alone is shown.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.prefix.is_empty() && self.padding == 0
    }

    /// The number in a text that [`Sequence::show`] made.
    pub fn read(&self, text: &str) -> Option<i64> {
        let digits = text.strip_prefix(&self.prefix)?;
        let number: i64 = digits.parse().ok()?;
        (self.show(number) == text).then_some(number)
    }

    /// The value of the record with this counter.
    ///
    /// # Errors
    /// `LimitExceeded` past 2^63.
    pub fn value_at(&self, counter: u64) -> Result<i64> {
        let value = i64::try_from(counter).ok().and_then(|counter| counter.checked_add(self.offset));
        value.ok_or_else(|| {
            Error::new(crate::ErrorKind::LimitExceeded, "all numbers of the sequence are used")
        })
    }
}
