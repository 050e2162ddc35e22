//! Which value of which part counts for an attribute, and in which order its ops go.

use crate::mutation::{Op, Patch, Terms};
use crate::value::{Name, Value};

/// Whether the record is made or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// A record is created.
    Create,
    /// A record is updated.
    Update,
}

/// The value that counts for one attribute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Given<'p> {
    /// Name of the attribute.
    pub name: &'p Name,
    /// Its value.
    pub value: &'p Value,
    /// Whether it counts only where the record has no value.
    pub if_empty: bool,
}

static NULL: Value = Value::Null;

/// The values that count, one for each attribute that is named. `key` is what the record was looked for by: a record that is made has it.
pub fn given<'p>(patch: &'p Patch, key: &'p [(Name, Value)], when: When) -> Vec<Given<'p>> {
    static NONE: std::sync::OnceLock<Terms> = std::sync::OnceLock::new();
    let terms = patch.terms.as_deref().unwrap_or_else(|| NONE.get_or_init(Terms::default));
    let mut found: Vec<Given<'p>> = Vec::with_capacity(patch.set.len() + patch.clear.len());
    let first: &[(Name, Value)] = match when {
        When::Create => &terms.create,
        When::Update => &terms.update,
    };
    part(&mut found, first.iter().rev(), false);
    for name in patch.clear.iter().rev() {
        put(&mut found, Given { name, value: &NULL, if_empty: false });
    }
    part(&mut found, patch.set.iter().rev(), false);
    match when {
        When::Create => {
            part(&mut found, terms.create_or_update_if_empty.iter().rev(), false);
            part(&mut found, key.iter().rev().filter(|(_, value)| !value.is_null()), false);
        }
        When::Update => {
            part(&mut found, terms.update_if_empty.iter().rev(), true);
            part(&mut found, terms.create_or_update_if_empty.iter().rev(), true);
        }
    }
    // In the order of the request: errors are told in it, and nested records made.
    found.reverse();
    found
}

/// Adds what no part before named. Of a name that stands twice in a part the last one counts, so the
/// parts come from behind.
fn part<'p>(found: &mut Vec<Given<'p>>, values: impl Iterator<Item = &'p (Name, Value)>, if_empty: bool) {
    for (name, value) in values {
        put(found, Given { name, value, if_empty });
    }
}

fn put<'p>(found: &mut Vec<Given<'p>>, given: Given<'p>) {
    if !found.iter().any(|other| other.name == given.name) {
        found.push(given);
    }
}

/// The ops in the order in which they are carried out: those that take away first.
pub fn ordered(ops: &[(Name, Op)]) -> impl Iterator<Item = &(Name, Op)> {
    let away = ops.iter().filter(|(_, op)| op.takes_away());
    away.chain(ops.iter().filter(|(_, op)| !op.takes_away()))
}
