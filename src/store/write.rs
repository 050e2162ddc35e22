//! Writing: one mutation, a batch, or a closure over several records, each one transaction.

use super::Store;
use super::commit::Commit;
use crate::records::Records;
use crate::txn::transaction::Transaction;
use crate::txn::{Context, Once, Outcome, Stamp, prefault};
use vellum_engine::{Held, Lsn};
use vellum_types::schema::Schema;
use vellum_types::value::{Name, Record, Value};
use vellum_types::{Action, Key, Mutation, Patch};
use vellum_types::{ErrorKind, Result};

/// A transaction over many records: its reads see its own writes, nobody else does before it commits.
///
/// Made by [`Store::transaction`].
#[derive(Debug)]
pub struct Txn<'a> {
    inner: Transaction<'a>,
}

impl Txn<'_> {
    /// Stages a mutation. Uniqueness is judged at the end, on what all mutations together leave.
    ///
    /// # Errors
    /// Every refusal; the transaction may go on without this mutation.
    pub fn apply(&mut self, mutation: &Mutation) -> Result<Outcome> {
        self.inner.execute(mutation)
    }

    fn run(&mut self, object: &str, action: Action, key: Option<Key>, patch: Patch) -> Result<Outcome> {
        self.apply(&Mutation { object: object.into(), action, key, patch })
    }

    /// Makes a record.
    ///
    /// # Errors
    /// As [`Txn::apply`].
    pub fn create(&mut self, object: &str, values: Vec<(Name, Value)>) -> Result<Outcome> {
        self.run(object, Action::Create, None, Patch { set: values, ..Patch::default() })
    }

    /// Changes a record.
    ///
    /// # Errors
    /// As [`Txn::apply`]; `RecordNotFound`.
    pub fn update(&mut self, object: &str, key: impl Into<Key>, patch: Patch) -> Result<Outcome> {
        self.run(object, Action::Update, Some(key.into()), patch)
    }

    /// Changes a record or makes it.
    ///
    /// # Errors
    /// As [`Txn::apply`].
    pub fn upsert(&mut self, object: &str, key: impl Into<Key>, patch: Patch) -> Result<Outcome> {
        self.run(object, Action::Upsert, Some(key.into()), patch)
    }

    /// Removes a record.
    ///
    /// # Errors
    /// As [`Txn::apply`]; `RecordNotFound`.
    pub fn delete(&mut self, object: &str, key: impl Into<Key>) -> Result<Outcome> {
        self.run(object, Action::Delete, Some(key.into()), Patch::default())
    }

    /// Reads a record as this transaction sees it.
    ///
    /// # Errors
    /// `ObjectNotFound`, `MatchNotUnique`, `Corrupt`.
    pub fn get(&mut self, object: &str, key: impl Into<Key>) -> Result<Option<Record>> {
        self.inner.get(object, &key.into())
    }
}

impl Store {
    /// Carries out one mutation and waits as the store's durability says.
    ///
    /// # Errors
    /// Every refusal (the store is as it was), `DiskFull`, `Poisoned`.
    pub fn apply(&self, mutation: &Mutation) -> Result<Outcome> {
        let (outcome, lsn) = self.commit_one(mutation)?;
        self.settle(lsn)?;
        Ok(outcome)
    }

    /// Carries out one mutation without waiting; reads show it at once.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn submit(&self, mutation: &Mutation) -> Result<(Outcome, Commit)> {
        let (outcome, lsn) = self.commit_one(mutation)?;
        Ok((outcome, Commit::new(self.engine(), lsn)))
    }

    /// Carries out mutations as one transaction, all or nothing, and waits.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply_batch(&self, mutations: &[Mutation]) -> Result<Vec<Outcome>> {
        let (outcomes, commit) = self.submit_batch(mutations)?;
        commit.wait()?;
        Ok(outcomes)
    }

    /// Carries out mutations as one transaction, all or nothing, without waiting.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn submit_batch(&self, mutations: &[Mutation]) -> Result<(Vec<Outcome>, Commit)> {
        let (outcomes, lsn) = self.write(false, |txn| execute_all(txn, mutations))?;
        Ok((outcomes, Commit::new(self.engine(), lsn)))
    }

    /// Carries out mutations as one transaction, once: the key is stored with their effect. The same request
    /// under the same key, also after a crash or a restart, is answered with the first outcomes and changes nothing.
    ///
    /// ```
    /// # use vellum::{Action, Mutation, Once, Patch, Schema, Store, record};
    /// # let dir = std::env::temp_dir().join(format!("vellum-doc-once-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&dir);
    /// # let schema = r#"{"objects":[{"key":"order","attributes":[{"key":"total","type":"integer"}]}]}"#;
    /// # let store = Store::create(&dir, &Schema::from_json(schema)?)?;
    /// let patch = Patch { set: record! { "total" => 5 }, ..Patch::default() };
    /// let order = [Mutation { object: "order".into(), action: Action::Create, key: None, patch }];
    /// let first = store.apply_once(&Once::new("request-17"), &order)?;
    /// let again = store.apply_once(&Once::new("request-17"), &order)?;
    /// assert_eq!(first[0].id, again[0].id);
    /// assert_eq!(store.object("order")?.count(), 1);
    /// # drop(store);
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), vellum::Error>(())
    /// ```
    ///
    /// # Errors
    /// `RequestConflict` when the key was used for another request, and as [`Store::apply`]. What is refused
    /// stores no key.
    pub fn apply_once(&self, once: &Once, mutations: &[Mutation]) -> Result<Vec<Outcome>> {
        self.outcomes(|txn| txn.once(once, mutations)).map(|(answer, _)| answer.outcomes)
    }

    /// Carries out mutations each on its own, in order, and waits once at the end: one that is refused
    /// leaves no trace and the others go on. A name that one gave its record holds for those after it.
    /// The answers stand in the order of the mutations.
    ///
    /// # Errors
    /// What ends the whole run: `Poisoned`, `Closed`. Refusals, and a full disk, are among the answers.
    pub fn apply_each(&self, mutations: &[Mutation]) -> Result<Vec<Result<Outcome>>> {
        let (mut names, mut newest) = (Vec::new(), None);
        let mut answers = Vec::with_capacity(mutations.len());
        for (position, mutation) in mutations.iter().enumerate() {
            let result = self.write(false, |txn| {
                txn.state.stage.names.clone_from(&names);
                txn.state.stage.position = position;
                let outcome = txn.execute(mutation)?;
                Ok((outcome, txn.state.stage.names.clone()))
            });
            answers.push(match result {
                Ok(((outcome, named), lsn)) => {
                    names = named;
                    newest = Some(lsn);
                    Ok(outcome)
                }
                Err(error) if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Closed) => {
                    return Err(error);
                }
                Err(error) => Err(error.at_position(position)),
            });
        }
        newest.map_or(Ok(()), |lsn| self.settle(lsn))?;
        Ok(answers)
    }

    /// What [`Store::apply_batch`] would answer, and nothing is changed: every check is made, on keys and
    /// references too, but for that of space on the disk. Ids of records that would be made are others in
    /// the real call, unless the mutation gives them.
    ///
    /// # Errors
    /// As [`Store::apply_batch`].
    pub fn dry_run(&self, mutations: &[Mutation]) -> Result<Vec<Outcome>> {
        self.write_with(|context, held| {
            let (catalog, root) = (context.records.catalog(), context.records.pages.live());
            let state = &mut **held;
            let mut txn = Transaction { state, context, catalog: &catalog, root: &root, single: false };
            let mut outcomes = execute_all(&mut txn, mutations)?;
            let applied = context.records.applied();
            outcomes.stamp(if txn.check_end()? { applied.next() } else { applied });
            Ok(outcomes)
        })
    }

    /// Runs a closure in a transaction and waits as the store's durability says. When the closure fails
    /// or panics, the transaction leaves no trace. Other writers wait meanwhile; a write through the
    /// store itself inside the closure is an error.
    ///
    /// # Errors
    /// The closure's, and as [`Store::apply`].
    pub fn transaction<T>(&self, body: impl FnOnce(&mut Txn<'_>) -> Result<T>) -> Result<T> {
        let (value, commit) = self.submit_transaction(body)?;
        commit.wait()?;
        Ok(value)
    }

    /// [`Store::transaction`] without waiting.
    ///
    /// # Errors
    /// As [`Store::transaction`].
    pub fn submit_transaction<T>(&self, body: impl FnOnce(&mut Txn<'_>) -> Result<T>) -> Result<(T, Commit)> {
        let body = |inner: &mut Transaction<'_>| {
            let _inside = self.engine().enter_transaction();
            body(&mut Txn { inner: inner.reborrow() })
        };
        let (value, lsn) = self.commit_with(false, body, |_, _| {})?;
        Ok((value, Commit::new(self.engine(), lsn)))
    }

    /// Adds an object: one in the neutral schema form, as JSON.
    ///
    /// # Errors
    /// `InvalidSchema`.
    pub fn add_object(&self, json: &str) -> Result<Lsn> {
        self.alter(|schema| schema.add_object(json))
    }

    /// Adds an attribute to an object, whatever the number of its records: they have no value for it.
    ///
    /// # Errors
    /// `InvalidSchema`, `ObjectNotFound`.
    pub fn add_attribute(&self, object: &str, json: &str) -> Result<Lsn> {
        self.alter(|schema| schema.add_attribute(object, json))
    }

    /// Makes changes of the schema in one commit, all or none; see docs/schema-changes.md. What concerns
    /// records is checked, and done, under the writer lock: a new index is built and a wider type's values are
    /// moved while others wait.
    ///
    /// ```
    /// # use vellum::{Schema, Store};
    /// # let dir = std::env::temp_dir().join(format!("vellum-doc-changes-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&dir);
    /// # let schema = r#"{"objects":[{"key":"deal","attributes":[{"key":"amount","type":"integer"}]}]}"#;
    /// # let store = Store::create(&dir, &Schema::from_json(schema)?)?;
    /// store.change_schema(r#"{"changes":[
    ///     {"widen": {"object": "deal", "attribute": "amount", "type": "decimal", "decimals": 2}},
    ///     {"add_attribute": {"object": "deal", "attribute": {"key": "code", "type": "text", "unique": true}}}
    /// ]}"#)?;
    /// # drop(store);
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), vellum::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidSchema` for changes that are none; `MissingRequired`, `UniqueConflict`, `InvalidValue` or
    /// `LimitExceeded` when records are in the way, which [`Error::records`](crate::Error::records) names.
    pub fn change_schema(&self, json: &str) -> Result<Lsn> {
        let ((), lsn) = self.outcomes(|txn| txn.stage_changes(json))?;
        Ok(lsn)
    }

    fn alter(&self, change: impl FnOnce(&mut Schema) -> Result<()>) -> Result<Lsn> {
        let ((), lsn) = self.write(false, |txn| {
            let mut schema = txn.catalog.schema.clone();
            change(&mut schema)?;
            txn.state.stage.schema = Some(schema);
            Ok(())
        })?;
        self.settle(lsn)?;
        Ok(lsn)
    }

    fn commit_one(&self, mutation: &Mutation) -> Result<(Outcome, Lsn)> {
        self.write(true, |txn| txn.execute(mutation))
    }

    /// Commits what `body` stages as one transaction, and waits.
    pub(super) fn outcomes<T: Stamp>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<(T, Lsn)> {
        let (value, lsn) = self.write(false, body)?;
        self.settle(lsn)?;
        Ok((value, lsn))
    }

    fn settle(&self, lsn: Lsn) -> Result<()> {
        Ok(self.engine().wait(lsn, self.durability())?)
    }
}

/// Executes mutations one after the other; an error says at which it stopped.
fn execute_all(txn: &mut Transaction<'_>, mutations: &[Mutation]) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(mutations.len());
    for (position, mutation) in mutations.iter().enumerate() {
        txn.state.stage.position = position;
        outcomes.push(txn.execute(mutation).map_err(|error| error.at_position(position))?);
    }
    Ok(outcomes)
}

impl Store {
    /// Commits what `body` stages. The LSN, of the outcomes too, is that of the commit, or of the newest one before
    /// where nothing changed.
    fn write<T: Stamp>(
        &self,
        single: bool,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<(T, Lsn)> {
        self.commit_with(single, body, T::stamp)
    }

    fn commit_with<T>(
        &self,
        single: bool,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
        stamp: impl FnOnce(&mut T, Lsn),
    ) -> Result<(T, Lsn)> {
        self.write_with(|context, held| {
            let (engine, records) = (&**self.engine(), context.records);
            let (catalog, root) = (records.catalog(), records.pages.live());
            let state = &mut **held;
            let mut txn = Transaction { state, context, catalog: &catalog, root: &root, single };
            let mut value = body(&mut txn)?;
            let Some(prepared) = txn.prepare()? else {
                stamp(&mut value, records.applied());
                return Ok((value, records.applied()));
            };
            let mut is_again = false;
            let lsn = engine.commit(held, prepared.only_frees, |writer| {
                if std::mem::replace(&mut is_again, true) {
                    // A checkpoint may have taken pages out of memory: they are read again.
                    writer.stage.forget_groups();
                }
                prefault(records, &root, &catalog, &mut writer.stage)
            })?;
            stamp(&mut value, lsn);
            Ok((value, lsn))
        })
    }

    fn write_with<T>(
        &self,
        body: impl FnOnce(&Context<'_>, &mut Held<'_, Records>) -> Result<T>,
    ) -> Result<T> {
        let engine = &**self.engine();
        let mut held = Clean(engine.writer()?);
        let _hold = engine.pages.hold();
        let (source, actor) = (&*self.source, self.actor.as_deref());
        body(&Context { records: &engine.machine, source, actor }, &mut held.0)
    }
}

/// The writer lock; the next transaction finds the buffers empty, and no page is kept for it.
struct Clean<'a>(Held<'a, Records>);

impl Drop for Clean<'_> {
    fn drop(&mut self) {
        self.0.stage.clear();
        self.0.pages.clear_hint();
    }
}
