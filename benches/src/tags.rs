//! An object with a set of up to 64 options: what one more or one less costs beside a plain set.

use crate::Result;
use crate::narrow::id;
use std::fmt::Write;
use std::path::Path;
use vellum::{Action, Config, Key, Mutation, Op, Patch, Schema, Store, Value};

const OPTION_COUNT: u64 = 64;

fn option(number: u64) -> Value {
    Value::from(format!("option{number:02}"))
}

/// A store with `count` records, each with half of the options.
///
/// # Errors
/// What the store refuses.
pub fn create(config: &Config, path: &Path, count: u64) -> Result<Store> {
    let mut options = String::new();
    for number in 0..OPTION_COUNT {
        write!(options, r#"{}{{"key":"option{number:02}"}}"#, if number == 0 { "" } else { "," })?;
    }
    let schema = format!(
        r#"{{"objects":[{{"key":"item","attributes":[{{"key":"a","type":"integer"}},
        {{"key":"tags","type":"select","multi":true,"ordered":false,"options":[{options}]}}]}}]}}"#
    );
    let store = config.create(path, &Schema::from_json(&schema)?)?;
    let half = Value::List((0..OPTION_COUNT).step_by(2).map(option).collect());
    let creation = |n: u64| Mutation {
        object: "item".into(),
        action: Action::Create,
        key: Some(Key::Id(id(n))),
        patch: Patch::new().set("a", 0_i64).set("tags", half.clone()),
    };
    let mutations: Vec<Mutation> = (0..count).map(creation).collect();
    store.apply_batch(&mutations)?;
    Ok(store)
}

/// What is done to the records, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A plain set of the integer.
    Set,
    /// One option more, and in the next round one less; each changes something.
    Option,
}

/// Mutations of all records in turn, written one over the other.
#[derive(Debug)]
pub struct Changes {
    drawn: u64,
    count: u64,
    mutations: [Mutation; 2],
}

impl Changes {
    /// Changes of this kind to `count` records.
    #[must_use]
    pub fn new(count: u64, change: Change) -> Changes {
        let patches = match change {
            Change::Set => [1_i64, 2].map(|value| Patch::new().set("a", value)),
            // The records have the options of even numbers.
            Change::Option => {
                [Op::Add(vec![option(7)]), Op::Remove(vec![option(7)])].map(|op| Patch::new().op("tags", op))
            }
        };
        let mutations = patches.map(|patch| Mutation {
            object: "item".into(),
            action: Action::Update,
            key: Some(Key::Id(id(0))),
            patch,
        });
        Changes { drawn: 0, count, mutations }
    }

    /// The next one.
    pub fn draw(&mut self) -> &Mutation {
        let (round, n) = (self.drawn / self.count, self.drawn % self.count);
        self.drawn += 1;
        let mutation = &mut self.mutations[(round % 2) as usize];
        mutation.key = Some(Key::Id(id(n)));
        mutation
    }
}
