//! Those who change records: each call is one step, and steps also run in the middle of another client's
//! sync or checkpoint, where the disk calls back.

use super::oracle::Oracle;
use crate::alter;
use crate::compare::{compare, compare_snapshot, ensure, same_others};
use crate::compare_past::compare_past_of_snapshot;
use crate::history::Histories;
use crate::model::{Expected, Model, Records};
use crate::nested;
use crate::ops;
use crate::run::Counts;
use crate::schema::ObjectDef;
use crate::undo;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use vellum::{
    Commit, Error, ErrorKind, Key, Mutation, Once, Outcome, RecordId, Result as StoreResult, Snapshot, Store,
    Value,
};
use vellum_sim::Rng;
use vellum_sim::{Event, MemDisk, Op};

pub(super) type Checked = Result<(), String>;

/// What a client is waiting for while others go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Under {
    Nothing,
    Sync,
    Checkpoint,
}

struct Held {
    snapshot: Snapshot,
    objects: Arc<Vec<ObjectDef>>,
    records: Records,
    histories: Histories,
}

pub(super) struct Clients {
    pub(super) rng: Rng,
    pub(super) disk: MemDisk,
    pub(super) store: Option<Store>,
    pub(super) oracle: Oracle,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) counts: Counts,
    /// Commits that were not waited for.
    pub(super) waiting: Vec<Commit>,
    /// Calls may fail.
    pub(super) faulty: bool,
    /// The store stopped.
    pub(super) stopped: bool,
    pub(super) under: Under,
    /// What went wrong in the middle of another's call.
    pub(super) failed: Option<String>,
    /// Longest text.
    pub(super) text_len_max: usize,
    held: Vec<Held>,
    graveyard: Vec<RecordId>,
}

impl Clients {
    pub(super) fn new(
        rng: Rng,
        disk: MemDisk,
        model: Model,
        clock: Arc<AtomicI64>,
        text_len_max: usize,
    ) -> Clients {
        Clients {
            rng,
            disk,
            store: None,
            oracle: Oracle::new(model),
            clock,
            counts: Counts::new(),
            waiting: Vec::new(),
            faulty: false,
            stopped: false,
            under: Under::Nothing,
            failed: None,
            text_len_max,
            held: Vec::new(),
            graveyard: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The store, for whoever acts in this step.
    pub(super) fn store(&self) -> Store {
        let store = self.store.clone().expect("a store is open in a session");
        self.oracle.model.actor.iter().fold(store, |store, actor| store.acting_as(actor.clone()))
    }

    /// Lets go of all that keeps the store open.
    pub(super) fn let_go(&mut self) {
        self.held.clear();
        self.waiting.clear();
        self.store = None;
    }

    /// The disk is in the middle of a call: others may go on, where the engine holds no lock.
    pub(super) fn interleave(&mut self, event: &Event) {
        let images = event.name.starts_with("seg-");
        let log_sync =
            event.op == Op::Sync && event.name.starts_with("log-") && !event.name.ends_with(".new");
        let here = match self.under {
            Under::Nothing => false,
            Under::Sync => log_sync,
            Under::Checkpoint => images || log_sync,
        };
        if !here || self.stopped || self.failed.is_some() || !self.rng.one_in(3) {
            return;
        }
        for _ in 0..1 + self.rng.below(2) {
            let before = self.oracle.model.lsn;
            if let Err(why) = self.commit(false) {
                self.failed = Some(format!("in the middle of {event:?}: {why}"));
                return;
            }
            if self.oracle.model.lsn > before {
                self.count(match self.under {
                    Under::Checkpoint => "commit while a checkpoint is written",
                    _ => "commit while a sync is under way",
                });
            }
        }
        if self.rng.one_in(4) && !self.stopped {
            self.failed = self.take_snapshot().err();
        }
    }

    /// One mutation, or several as one transaction; not waited for.
    pub(super) fn commit(&mut self, several: bool) -> Checked {
        let step = if self.rng.one_in(10) { -5_000_000_000 } else { self.rng.below(3_000_000) as i64 };
        self.oracle.model.now = self.clock.fetch_add(step, Ordering::Relaxed) + step;
        self.oracle.model.actor = ops::actor(&mut self.rng);
        let mut mutations = self.mutations(several);
        mutations.iter_mut().for_each(|mutation| shorten(mutation, self.text_len_max));
        if is_ambiguous(&self.oracle.model, &mutations) {
            return Ok(());
        }
        let store = self.store();
        // A request waits; in the middle of a call nobody can.
        let may_wait = matches!(self.under, Under::Nothing);
        let key = (may_wait && self.rng.one_in(12)).then(|| format!("request {}", self.oracle.model.lsn));
        let result = match (&mutations[..], &key) {
            (mutations, Some(key)) => store.apply_once(&Once::new(key), mutations).map(|done| (done, None)),
            ([single], None) => store.submit(single).map(|(outcome, commit)| (vec![outcome], Some(commit))),
            (several, None) => store.submit_batch(several).map(|(done, commit)| (done, Some(commit))),
        };
        self.settle_with_model(&store, &mutations, key, result)
            .map_err(|why| format!("{why}; mutations {mutations:#?}"))
    }

    fn mutations(&mut self, several: bool) -> Vec<Mutation> {
        let model = &self.oracle.model;
        if !several {
            return vec![ops::mutation(&mut self.rng, model, &self.graveyard)];
        }
        let special = match self.rng.below(4) {
            0 => ops::swap(&mut self.rng, model),
            1 => ops::renew(&mut self.rng, model),
            _ => None,
        };
        special.unwrap_or_else(|| {
            let count = 1 + self.rng.below(12);
            let mut mutations: Vec<Mutation> =
                (0..count).map(|_| ops::mutation(&mut self.rng, model, &self.graveyard)).collect();
            nested::name(&mut self.rng, model, &mut mutations);
            mutations
        })
    }

    /// The model goes the same way, or stays where it is.
    fn settle_with_model(
        &mut self,
        store: &Store,
        mutations: &[Mutation],
        key: Option<String>,
        result: StoreResult<(Vec<Outcome>, Option<Commit>)>,
    ) -> Checked {
        let (before, now) = (self.oracle.model.lsn, self.clock.load(Ordering::Relaxed));
        let mut expected = Vec::new();
        let mut refused = None;
        for (number, mutation) in mutations.iter().enumerate() {
            let outcome = result.as_ref().ok().map(|(outcomes, _)| &outcomes[number]);
            let wanted = match outcome {
                Some(outcome) => self.oracle.model.mutate_as(mutation, Some(outcome), outcome.id),
                None => {
                    let ids = (0..nested::count(mutation)).map(|_| self.oracle.placeholder()).collect();
                    self.oracle.model.linked.ids = ids;
                    let id = self.oracle.placeholder();
                    self.oracle.model.mutate(mutation, id)
                }
            };
            match wanted {
                Ok(wanted) => expected.push(wanted),
                Err(kind) => {
                    refused = Some(kind);
                    break;
                }
            }
        }
        if let (Some(key), None) = (key, refused) {
            self.oracle.model.ask(key, mutations, &expected, now.saturating_add(REQUEST_KEPT));
        }
        let (outcomes, commit) = match result {
            Ok(done) => done,
            Err(error) if is_fault(error.kind()) => return self.fault_in_commit(store, &error, refused, now),
            Err(error) => {
                let refused = refused.or_else(|| self.oracle.model.commit(now).err());
                self.oracle.model.abort();
                ensure!(refused == Some(error.kind()), "{refused:?} expected, {error} found");
                if refused == Some(ErrorKind::ReferenceRestricted) {
                    self.count("delete restricted");
                }
                return Ok(());
            }
        };
        ensure!(refused.is_none(), "{refused:?} expected, and it was carried out");
        let lsn =
            self.oracle.model.commit(now).map_err(|kind| format!("{kind:?} expected, and it was done"))?;
        let told = commit.as_ref().map_or(outcomes[0].lsn, Commit::lsn);
        ensure!(told.0 == lsn, "lsn {lsn} expected, {told} found");
        for ((mutation, wanted), outcome) in mutations.iter().zip(&expected).zip(&outcomes) {
            same_outcome(wanted, outcome)?;
            same_others(&self.oracle.model, wanted, outcome)?;
            if mutation.action == vellum::Action::Delete {
                self.graveyard.push(wanted.id);
            }
        }
        if expected.iter().any(|wanted| !wanted.others.is_empty()) {
            self.count("other records changed along");
            if expected.iter().any(|wanted| wanted.others.values().any(|other| other.created)) {
                self.count("nested create");
            }
        }
        if lsn > before {
            // A store into the mapping of a machine that died went nowhere.
            match self.disk.is_dead() {
                true => self.oracle.attempted(),
                false => self.oracle.committed(),
            }
            match commit {
                Some(commit) => self.waiting.push(commit),
                None => self.count("request"),
            }
        }
        Ok(())
    }

    /// A call of the disk failed: the commit left no trace, or, where the store stopped, it may be there.
    fn fault_in_commit(
        &mut self,
        store: &Store,
        error: &Error,
        refused: Option<ErrorKind>,
        now: i64,
    ) -> Checked {
        ensure!(self.faulty || self.disk.is_dead(), "no call failed, and the store says {error}");
        let stops = store.health().poisoned.is_some();
        let before = self.oracle.model.lsn;
        if stops && !self.stopped && refused.is_none() && self.oracle.model.commit(now).is_ok() {
            if self.oracle.model.lsn > before {
                self.oracle.attempted();
                self.count("commit whose fate was open");
            }
        } else {
            self.oracle.model.abort();
        }
        self.stopped |= stops;
        if !stops {
            self.count("refused for a fault");
        }
        Ok(())
    }

    /// Changes of the schema, durable when this returns.
    pub(super) fn change_schema(&mut self) -> Checked {
        let changes = alter::draw(&mut self.rng, &self.oracle.model);
        if vellum_sim::told() {
            println!("{}", alter::to_json(&changes));
        }
        let store = self.store();
        let result = store.change_schema(&alter::to_json(&changes));
        let now = self.clock.load(Ordering::Relaxed);
        if let Some(error) = result.as_ref().err().filter(|error| is_fault(error.kind())) {
            ensure!(self.faulty || self.disk.is_dead(), "no call failed, and the schema: {error}");
            if store.health().poisoned.is_some() && !self.stopped {
                self.stopped = true;
                if self.oracle.model.change(now, &changes).is_ok() {
                    self.oracle.attempted();
                }
            }
            return Ok(());
        }
        if alter::judge(&mut self.oracle.model, &changes, now, &result)? {
            match self.disk.is_dead() {
                true => self.oracle.attempted(),
                false => self.oracle.committed(),
            }
            self.count("schema changed");
        }
        Ok(())
    }

    /// A request about the past, durable when this returns.
    pub(super) fn undo(&mut self) -> Checked {
        self.oracle.model.actor = ops::actor(&mut self.rng);
        let undo = undo::draw(&mut self.rng, &self.oracle.model, &self.graveyard);
        let store = self.store();
        let result = undo::ask(&store, &self.oracle.model, &undo);
        let now = self.clock.load(Ordering::Relaxed);
        if let Some(error) = result.as_ref().err().filter(|error| is_fault(error.kind())) {
            ensure!(self.faulty || self.disk.is_dead(), "no call failed, and {undo:?}: {error}");
            if store.health().poisoned.is_some() && !self.stopped {
                self.stopped = true;
                if let Ok((after, _)) = undo::expected(&self.oracle.model, &undo, now) {
                    self.oracle.model = after;
                    self.oracle.attempted();
                }
            }
            return Ok(());
        }
        if undo::judge(&mut self.oracle.model, &undo, now, &result)? {
            match self.disk.is_dead() {
                true => self.oracle.attempted(),
                false => self.oracle.committed(),
            }
            self.count(undo::name(&undo));
        }
        Ok(())
    }

    pub(super) fn take_snapshot(&mut self) -> Checked {
        let snapshot = match self.store().snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) if self.stopped && error.kind() == ErrorKind::Poisoned => return Ok(()),
            Err(error) => return Err(format!("a snapshot: {error}")),
        };
        let model = &self.oracle.model;
        ensure!(snapshot.lsn().0 == model.lsn, "a snapshot of {}, not {}", snapshot.lsn(), model.lsn);
        let (objects, records) = (model.objects.clone(), model.records.clone());
        let histories = model.histories.clone();
        self.held.push(Held { snapshot, objects, records, histories });
        if self.held.len() > 3 {
            self.held.remove(0);
        }
        Ok(())
    }

    /// Snapshots show what they showed, also after the store stopped.
    pub(super) fn check_snapshots(&mut self) -> Checked {
        for held in std::mem::take(&mut self.held) {
            compare_snapshot(&held.snapshot, &held.objects, &held.records)
                .and_then(|()| {
                    let (objects, records) = (&held.objects, &held.records);
                    compare_past_of_snapshot(&held.snapshot, objects, records, &held.histories)
                })
                .map_err(|why| format!("snapshot of lsn {}: {why}", held.snapshot.lsn()))?;
            self.count("snapshot compared");
        }
        Ok(())
    }

    /// What is live is what the model says.
    pub(super) fn compare(&self) -> Checked {
        if self.stopped || self.faulty || self.disk.is_dead() {
            return Ok(());
        }
        compare(&self.store(), &self.oracle.model)
    }

    /// What the store calls durable is a promise as good as an answer.
    pub(super) fn note_durable(&mut self) {
        let Some(store) = &self.store else { return };
        let durable = store.durable_lsn().0;
        if !self.disk.is_dead() && !self.stopped {
            self.oracle.acknowledged(durable);
        }
    }

    /// Takes note of a store that stopped by itself.
    pub(super) fn note_health(&mut self) -> Checked {
        let Some(store) = &self.store else { return Ok(()) };
        if let Some(why) = store.health().poisoned {
            ensure!(self.faulty || self.disk.is_dead(), "no call failed, and the store stopped: {why}");
            self.stopped = true;
        }
        Ok(())
    }
}

/// Requests are kept for longer than a run takes.
const REQUEST_KEPT: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Kinds that speak of the disk or of a store that stopped.
pub(super) fn is_fault(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(kind, K::Io | K::DiskFull | K::Poisoned | K::ReadOnly)
}

fn same_outcome(wanted: &Expected, outcome: &Outcome) -> Checked {
    let found = (outcome.id, outcome.version, outcome.created);
    let expected = (wanted.id, wanted.version, wanted.created);
    ensure!(found == expected, "{expected:?} expected, {found:?} found");
    Ok(())
}

/// Which of two records with one key is meant is not promised.
fn is_ambiguous(model: &Model, mutations: &[Mutation]) -> bool {
    let keyed = |mutation: &Mutation| matches!(mutation.key, Some(Key::Attributes(_)));
    let is_keyed = mutations.len() > 1 && mutations.iter().any(keyed);
    if !is_keyed && !mutations.iter().any(nested::is_linked) {
        return false;
    }
    let mut trial = model.clone();
    for (number, mutation) in mutations.iter().enumerate() {
        if trial.is_ambiguous(mutation) {
            return true;
        }
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        if trial.mutate(mutation, RecordId::from_bytes(id)).is_err() {
            break;
        }
    }
    false
}

/// Cuts long texts: they cost time, and few of them show what there is to see.
fn shorten(mutation: &mut Mutation, len_max: usize) {
    for (_, value) in &mut mutation.patch.set {
        if let Value::Text(text) = value
            && text.len() > len_max
            && text.is_ascii()
        {
            text.truncate(len_max);
        }
    }
}
