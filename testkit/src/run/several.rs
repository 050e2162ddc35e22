//! Mutations that belong together: batches, transactions, and many records at once.

use super::{Checked, Run, same_kind};
use crate::compare::{ensure, same_values};
use crate::nested;
use crate::ops::{self, dummy_id};
use crate::schema::{AttributeDef, Type};
use vellum::{Error, ErrorKind, Mutation, Outcome, RecordId, Result as StoreResult};

impl Run<'_> {
    /// Some mutations that belong together: a swap, a renewal, or any.
    fn several(&mut self) -> Vec<Mutation> {
        let special = match self.rng.below(4) {
            0 => ops::swap(&mut self.rng, &self.model).map(|mutations| ("swap", mutations)),
            1 => ops::renew(&mut self.rng, &self.model).map(|mutations| ("renew", mutations)),
            _ => None,
        };
        if let Some((what, mutations)) = special {
            self.count(what, 1);
            return mutations;
        }
        let count_max = if self.rng.one_in(6) { 20 } else { 4 };
        let count = 1 + self.rng.below(count_max);
        let mut mutations: Vec<Mutation> =
            (0..count).map(|_| ops::mutation(&mut self.rng, &self.model, &self.graveyard)).collect();
        nested::name(&mut self.rng, &self.model, &mut mutations);
        mutations
    }

    pub(super) fn batch(&mut self) -> Checked {
        let mutations = self.several();
        self.apply_batch(&mutations)
    }

    fn apply_batch(&mut self, mutations: &[Mutation]) -> Checked {
        // Which of two records with one key is meant is not promised: the batch is not tried.
        let mut trial = self.model.clone();
        let keyed = |mutation: &Mutation| {
            matches!(mutation.key, Some(vellum::Key::Attributes(_))) || nested::is_linked(mutation)
        };
        let keyed = mutations.iter().any(keyed);
        for (number, mutation) in mutations.iter().enumerate().filter(|_| keyed) {
            if trial.is_ambiguous(mutation) {
                return Ok(());
            }
            if trial.mutate(mutation, dummy_id(number)).is_err() {
                break;
            }
        }
        let result = self.store().apply_batch(mutations);
        self.count("batch", 1);
        let mut wanted = Vec::new();
        let mut refused = None;
        for (number, mutation) in mutations.iter().enumerate() {
            let outcome = result.as_ref().ok().map(|outcomes| &outcomes[number]);
            match self.model.mutate_as(mutation, outcome, dummy_id(number)) {
                Ok(expected) => wanted.push(expected),
                Err(kind) => {
                    refused = Some(kind);
                    break;
                }
            }
        }
        let at_commit = refused.is_none();
        let now = self.now();
        let committed = refused.map_or_else(|| self.model.commit(now), Err);
        match (result, committed) {
            (Ok(outcomes), Ok(lsn)) => {
                for ((mutation, wanted), outcome) in mutations.iter().zip(&wanted).zip(&outcomes) {
                    ensure!(outcome.lsn.0 == lsn, "lsn {lsn} expected, {} found", outcome.lsn);
                    self.same_outcome(mutation, wanted, outcome)?;
                    self.count_mutation(mutation, wanted);
                }
                Ok(())
            }
            (Err(error), Err(kind)) => {
                self.model.abort();
                self.count(if at_commit { "refused at commit" } else { "refused" }, 1);
                ensure!(error.kind() == kind, "{kind:?} expected, {error} found; {mutations:#?}");
                Ok(())
            }
            (result, wanted) => Err(format!("{mutations:#?}\nexpected {wanted:?}\nfound {result:?}")),
        }
    }

    pub(super) fn transaction(&mut self) -> Checked {
        let mutations = self.several();
        let end = self.rng.below(6);
        let store = self.store();
        let mut checked: Checked = Ok(());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.transaction(|txn| {
                for mutation in &mutations {
                    if self.model.is_ambiguous(mutation) {
                        continue;
                    }
                    checked = self.stage(mutation, txn.apply(mutation));
                    if checked.is_err() {
                        return Err(Error::invalid_input("the check failed"));
                    }
                    checked = self.read_staged(txn);
                    if checked.is_err() {
                        return Err(Error::invalid_input("the check failed"));
                    }
                }
                match end {
                    0 => Err(Error::invalid_input("on purpose")),
                    1 => std::panic::resume_unwind(Box::new("on purpose")),
                    _ => Ok(()),
                }
            })
        }));
        checked?;
        match (end, result) {
            (0, Ok(Err(error))) if error.kind() == ErrorKind::InvalidInput => {
                self.count("transaction that fails", 1);
                self.model.abort();
            }
            (1, Err(_)) => {
                self.count("transaction that panics", 1);
                self.model.abort();
            }
            (2.., Ok(result)) => {
                self.count("transaction", 1);
                let now = self.now();
                match (self.model.commit(now), result) {
                    (Ok(_), Ok(())) => {}
                    (Err(kind), Err(error)) if error.kind() == kind => self.count("refused at commit", 1),
                    (wanted, result) => {
                        return Err(format!("{mutations:#?}\nexpected {wanted:?}\nfound {result:?}"));
                    }
                }
            }
            (end, result) => return Err(format!("a transaction that ends with {end} answered {result:?}")),
        }
        let lsn = self.store().applied_lsn().0;
        ensure!(lsn == self.model.lsn, "lsn {} expected, {lsn} found; {mutations:#?}", self.model.lsn);
        Ok(())
    }

    /// One mutation of a transaction: a refusal leaves what was staged before.
    fn stage(&mut self, mutation: &Mutation, result: StoreResult<Outcome>) -> Checked {
        match (self.model.mutate_as(mutation, result.as_ref().ok(), dummy_id(0)), result) {
            (Ok(wanted), Ok(outcome)) => {
                self.count_mutation(mutation, &wanted);
                self.same_outcome(mutation, &wanted, &outcome)
            }
            (Err(kind), Err(error)) => {
                self.count("refused", 1);
                same_kind(mutation, kind, &error)
            }
            (wanted, result) => {
                Err(format!("in a transaction: {mutation:?}\nexpected {wanted:?}\nfound {result:?}"))
            }
        }
    }

    /// A transaction reads what it staged.
    fn read_staged(&mut self, txn: &mut vellum::Txn<'_>) -> Checked {
        if self.model.records.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.model.records.len());
        let (id, wanted) = self.model.records.iter().nth(at).expect("below the length");
        let def = &self.model.objects[wanted.object];
        let found = txn.get(&def.name, *id).map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("{} {id} is not seen in the transaction", def.name))?;
        ensure!(
            found.version == wanted.version,
            "version {} expected, {} read",
            wanted.version,
            found.version
        );
        same_values(def, &wanted.values, &found)
            .map_err(|why| format!("{} {id}, read in a transaction: {why}", def.name))
    }

    /// Many records at once, so that groups fill and buckets split.
    pub(super) fn bulk(&mut self) -> Checked {
        let mut mutations = Vec::new();
        let count_max = if self.rng.one_in(6) { 700 } else { 80 };
        let count = 20 + self.rng.below(count_max);
        let mut trial = self.model.clone();
        for number in 0..TRIES_MAX {
            if mutations.len() == count {
                break;
            }
            let mut mutation = ops::mutation(&mut self.rng, &self.model, &[]);
            if mutation.action != vellum::Action::Create || mutation.key.is_some() || mutation.patch.returning
            {
                continue;
            }
            mutation.patch.terms = None;
            // Numbers far from those of other operations, so that few collide.
            let Some(object) = self.model.object(&mutation.object) else { continue };
            let def = &self.model.objects[object];
            let spread_by = self.rng.draw() as u32;
            for (name, value) in &mut mutation.patch.set {
                if let Some(at) = def.find(name).filter(|at| !def.attributes[*at].is_bounded()) {
                    spread(&def.attributes[at], spread_by, value);
                }
            }
            if trial.mutate(&mutation, dummy_id(number)).is_ok() {
                mutations.push(mutation);
            }
        }
        self.count("bulk", 1);
        self.apply_batch(&mutations)
    }
}

/// Creates that are drawn for one bulk; where most are refused it gets fewer than it wants.
const TRIES_MAX: usize = 4_000;

/// Puts a number into a value of a type that may be a key.
fn spread(attribute: &AttributeDef, number: u32, value: &mut vellum::Value) {
    use vellum::{Date, Timestamp, Value};
    *value = match (attribute.of, &*value) {
        (_, Value::Null) => return,
        (Type::Text, _) => Value::Text(format!("spread {number}")),
        (Type::Texts, _) => Value::List(vec![Value::Text(format!("spread {number}"))]),
        (Type::Email, _) => Value::Text(format!("spread{number}@example.com")),
        (Type::Emails, _) => Value::List(vec![Value::Text(format!("spread{number}@example.com"))]),
        (Type::Phone, _) => Value::Text(format!("+49151{:08}", number % 100_000_000)),
        (Type::Integer, _) => Value::Integer(i64::from(number)),
        (Type::Number, _) => Value::Number(f64::from(number)),
        (Type::Decimal, _) if attribute.decimals < 20 => Value::Integer(i64::from(number)),
        (Type::Date, _) => Value::Date(Date((number % 2_000_000) as i32)),
        (Type::Timestamp, _) => Value::Timestamp(Timestamp(i64::from(number) * 1000)),
        (Type::Uuid, _) => {
            let mut bytes = [7; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Value::Uuid(RecordId::from_bytes(bytes).0)
        }
        _ => return,
    };
}
