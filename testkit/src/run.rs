//! One run of the model test: a schema, settings and some sixty operations by seed, against a store in
//! memory and the model, compared on the way and at the end.

use crate::alter;
use crate::changes::{Change, What};
use crate::compare::{compare, compare_snapshot, ensure, same_changes, same_others, same_values};
use crate::compare_past::compare_past_of_snapshot;
use crate::history::Histories;
use crate::links;
use crate::model::{Expected, Model, Records, Saved};
use crate::nested;
use crate::numbers;
use crate::ops::{self, dummy_id};
use crate::relations::Other;
use crate::schema::{self, ObjectDef};
use crate::undo;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use vellum::{
    Config, Durability, Error, ErrorKind, Mutation, Op, Outcome, RecordId, Schema, Snapshot, Store, Timestamp,
};
use vellum_sim::MemDisk;
use vellum_sim::Rng;

mod life;
mod requests;
mod several;

/// What happened how often.
pub type Counts = BTreeMap<&'static str, u64>;

/// Everything that [`Counts`] must have seen in a campaign.
pub const MUST_HAPPEN: &[&str] = &[
    "create",
    "update",
    "upsert that makes",
    "upsert that changes",
    "delete",
    "ops",
    "left out",
    "now",
    "default",
    "default that came later",
    "record with too many bytes",
    "max_record_bytes set",
    "found by more than a key",
    "made by more than a key",
    "merge of metadata",
    "member of an open object",
    "change of members alone",
    "members replaced",
    "nested create",
    "named record",
    "numbered",
    "cascade",
    "other side changed along",
    "delete restricted",
    "request",
    "request that came again",
    "unchanged",
    "refused",
    "refused at commit",
    "batch",
    "transaction",
    "transaction that fails",
    "transaction that panics",
    "swap",
    "renew",
    "bulk",
    "checkpoint",
    "compaction",
    "snapshot compared",
    "clean reopening",
    "killed",
    "power cut",
    "add_object",
    "rename_object",
    "add_attribute",
    "rename_attribute",
    "archive_attribute",
    "delete_attribute",
    "add_option",
    "rename_option",
    "archive_option",
    "delete_option",
    "set_required",
    "set_unique",
    "widen",
    "set_limits",
    "set_history",
    "history switched off",
    "history switched on again",
    "restore",
    "revert",
    "value put into the past",
    "request about the past refused",
    "change refused with the records in the way",
    "replayed commits",
    "delta images",
    "full images",
    "images read",
    "text heaps",
    "bucket splits",
    "freed segments",
    "background checkpoints",
];

struct Held {
    snapshot: Snapshot,
    objects: Arc<Vec<ObjectDef>>,
    records: Records,
    histories: Histories,
}

struct Run<'c> {
    rng: Rng,
    counts: &'c mut Counts,
    disk: MemDisk,
    store: Option<Store>,
    config: Config,
    durability: Durability,
    background: bool,
    clock: Arc<AtomicI64>,
    model: Model,
    held: Vec<Held>,
    graveyard: Vec<RecordId>,
    /// Latest time at which a request was made.
    latest: i64,
    /// States by LSN, where this run cuts the power.
    saved: Option<BTreeMap<u64, Saved>>,
}

type Checked = Result<(), String>;

/// Runs one seed.
///
/// # Errors
/// The first difference between store and model.
pub fn run(seed: u64, op_count: usize, counts: &mut Counts) -> Checked {
    run_with(Config::new().seed(seed), Rng::new(seed), op_count, counts)
}

/// Runs what a generator decides, until it is spent, on a store with these settings and those that it draws.
///
/// # Errors
/// As [`run`].
pub fn run_with(base: Config, mut rng: Rng, op_count: usize, counts: &mut Counts) -> Checked {
    let mut objects: Vec<ObjectDef> =
        (0..1 + rng.below(3)).map(|number| schema::generate(&mut rng, number)).collect();
    // What references, and numbers that the engine gives, mean to requests about the past and to changes of a schema
    // the model does not know: each seed draws the ones or the others.
    if rng.one_in(2) {
        links::add(&mut rng, &mut objects, 0);
        numbers::add(&mut rng, &mut objects);
    }
    objects.iter_mut().for_each(|object| schema::complete(&mut rng, object));
    let clock = Arc::new(AtomicI64::new(1_700_000_000_000_000_000));
    let ticks = clock.clone();
    let durability =
        *rng.pick(&[Durability::Buffered, Durability::Buffered, Durability::Sync, Durability::Interval(1)]);
    let background = rng.one_in(4);
    let config = base
        .durability(durability)
        .background(background)
        .dirty_budget(*rng.pick(&[1 << 20, 256 << 20]))
        .checkpoint_log_len(*rng.pick(&[1 << 10, 16 << 10]))
        .log_mapped(!rng.one_in(3))
        .clock(Arc::new(move || Timestamp(ticks.load(Ordering::Relaxed))));
    let disk = MemDisk::new();
    let model = Model::new(objects, clock.load(Ordering::Relaxed));
    let schema = Schema::from_json(&schema::to_json(&model.objects)).map_err(|error| error.to_string())?;
    let store = config.create_on(Arc::new(disk.clone()), &schema).map_err(|error| error.to_string())?;
    let saved = rng.one_in(3).then(|| BTreeMap::from([(model.lsn, model.save())]));
    let (held, graveyard) = (Vec::new(), Vec::new());
    let store = Some(store);
    let mut run = Run {
        rng,
        counts,
        disk,
        store,
        config,
        durability,
        background,
        clock,
        model,
        held,
        graveyard,
        latest: i64::MIN,
        saved,
    };
    for number in 0..op_count {
        if run.rng.is_spent() {
            break;
        }
        run.step().map_err(|why| format!("operation {number}: {why}"))?;
    }
    run.finish()
}

impl Run<'_> {
    fn count(&mut self, what: &'static str, by: u64) {
        *self.counts.entry(what).or_default() += by;
    }

    /// The store, for whoever acts in this step.
    fn store(&self) -> Store {
        let store = self.store.clone().expect("a store is open between operations");
        self.model.actor.iter().fold(store, |store, actor| store.acting_as(actor.clone()))
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn step(&mut self) -> Checked {
        // Clocks jump back now and then.
        let step = if self.rng.one_in(10) { -5_000_000_000 } else { self.rng.below(3_000_000) as i64 };
        self.clock.fetch_add(step, Ordering::Relaxed);
        self.model.now = self.now();
        self.model.actor = ops::actor(&mut self.rng);
        let roll = self.rng.below(100);
        if std::env::var_os("VELLUM_TRACE").is_some() {
            println!("roll {roll} at lsn {}", self.model.lsn);
        }
        match roll {
            0..51 => self.one()?,
            51..55 => self.undo()?,
            55..58 if !self.model.is_linked() => self.change_schema()?,
            58..66 => self.batch()?,
            66..76 => self.transaction()?,
            76..78 => self.bulk()?,
            78..82 => self.checkpoint()?,
            82..84 => self.compact()?,
            84..88 => self.take_snapshot()?,
            88..91 => self.check_snapshots()?,
            91..93 => compare(&self.store(), &self.model)?,
            93..95 => self.reopen()?,
            95..97 => self.kill()?,
            97..99 => self.cut_power()?,
            _ => self.batch()?,
        }
        if let Some(saved) = &mut self.saved {
            saved.entry(self.model.lsn).or_insert_with(|| self.model.save());
        }
        Ok(())
    }

    fn one(&mut self) -> Checked {
        if self.rng.one_in(12) {
            return self.once();
        }
        let mutation = ops::mutation(&mut self.rng, &self.model, &self.graveyard);
        if self.model.is_ambiguous(&mutation) {
            return Ok(());
        }
        let result = match self.rng.one_in(4) {
            true => {
                self.store().submit(&mutation).and_then(|(outcome, commit)| commit.wait().map(|()| outcome))
            }
            false => self.store().apply(&mutation),
        };
        let wanted = self.model.mutate_as(&mutation, result.as_ref().ok(), dummy_id(0));
        if let (Ok(_), Ok(wanted)) = (&result, &wanted) {
            self.count_mutation(&mutation, wanted);
        }
        let (before, now) = (self.model.lsn, self.now());
        let committed = wanted.and_then(|wanted| self.model.commit(now).map(|lsn| (wanted, lsn)));
        match (result, committed) {
            (Ok(outcome), Ok((wanted, lsn))) => {
                ensure!(outcome.lsn.0 == lsn, "lsn {lsn} expected, {} found", outcome.lsn);
                if lsn == before {
                    self.count("unchanged", 1);
                }
                self.same_outcome(&mutation, &wanted, &outcome)
            }
            (Err(error), Err(kind)) => {
                self.model.abort();
                self.count("refused", 1);
                let of = self.model.object(&mutation.object).map(|at| &self.model.objects[at]);
                if kind == ErrorKind::LimitExceeded && of.is_some_and(|def| def.max_record_bytes.is_some()) {
                    self.count("record with too many bytes", 1);
                }
                if kind == ErrorKind::ReferenceRestricted {
                    self.count("delete restricted", 1);
                }
                same_kind(&mutation, kind, &error)
            }
            (result, wanted) => Err(format!("{mutation:?}\nexpected {wanted:?}\nfound {result:?}")),
        }
    }

    fn count_mutation(&mut self, mutation: &Mutation, wanted: &Expected) {
        use vellum::Action as A;
        let what = match (mutation.action, wanted.created) {
            (A::Create, _) => "create",
            (A::Update, _) => "update",
            (A::Upsert, true) => "upsert that makes",
            (A::Upsert, false) => "upsert that changes",
            (A::Delete, _) => "delete",
        };
        let terms = mutation.patch.terms.as_deref();
        if terms.is_some_and(|terms| !terms.ops.is_empty()) && !wanted.changed.is_empty() {
            self.count("ops", 1);
        }
        let open = self.model.object(&mutation.object).and_then(|at| self.model.objects[at].open());
        if open.is_some_and(|at| wanted.changed.contains(&at)) && mutation.action != A::Delete {
            self.count("member of an open object", 1);
            if wanted.changed.len() == 1 && !wanted.created {
                self.count("change of members alone", 1);
            }
            if mutation.patch.mode == vellum::Mode::Replace {
                self.count("members replaced", 1);
            }
        }
        let objects = self.model.objects.clone();
        let def = self.model.object(&mutation.object).map(|at| &objects[at]);
        let is_metadata = |at: usize| def.is_some_and(|def| def.attributes[at].is_metadata());
        let has_op =
            |is_it: fn(&Op) -> bool| terms.is_some_and(|terms| terms.ops.iter().any(|(_, op)| is_it(op)));
        if has_op(|op| matches!(op, Op::Now)) && wanted.dropped == 0 {
            self.count("now", 1);
        }
        if has_op(|op| matches!(op, Op::Merge(_))) && wanted.changed.iter().any(|at| is_metadata(*at)) {
            self.count("merge of metadata", 1);
        }
        self.count("default", wanted.defaulted as u64);
        if self.model.is_refined(mutation) {
            let made = ["found by more than a key", "made by more than a key"];
            self.count(made[usize::from(wanted.created)], 1);
        }
        if wanted.dropped > 0 {
            self.count("left out", 1);
        }
        let is_gone = |other: &Other| other.version.is_none();
        if wanted.created && self.model.object(&mutation.object).is_some_and(|at| self.model.has_numbers(at))
        {
            self.count("numbered", 1);
        }
        if wanted.others.values().any(|other| other.created) {
            self.count("nested create", 1);
        }
        if matches!(mutation.key, Some(vellum::Key::Named(_))) {
            self.count("named record", 1);
        }
        if wanted.others.values().any(is_gone) {
            self.count("cascade", 1);
        }
        if wanted.others.values().any(|other| !is_gone(other) && !other.created) {
            self.count("other side changed along", 1);
        }
        if mutation.action == A::Delete {
            self.graveyard.push(wanted.id);
        }
        self.count(what, 1);
    }

    fn same_outcome(&self, mutation: &Mutation, wanted: &Expected, outcome: &Outcome) -> Checked {
        let found = (outcome.id, outcome.version, outcome.created);
        let expected = (wanted.id, wanted.version, wanted.created);
        ensure!(found == expected, "{mutation:?}\nexpected {expected:?}, found {found:?}");
        let object = self.model.object(&mutation.object).expect("the mutation was carried out");
        let def = &self.model.objects[object];
        let asked = mutation.patch.terms.as_deref().is_some_and(|terms| terms.before);
        same_changes(def, wanted, outcome, asked).map_err(|why| format!("{mutation:?}\n{why}"))?;
        // A nested mutation that is left out may have more than one fault.
        let found = match nested::count(mutation) {
            0 => outcome.dropped().len(),
            _ if outcome.dropped().is_empty() => 0,
            _ => wanted.dropped.max(1),
        };
        ensure!(
            found == wanted.dropped,
            "{mutation:?}\n{} left out expected, {:?} found",
            wanted.dropped,
            outcome.dropped()
        );
        same_others(&self.model, wanted, outcome).map_err(|why| format!("{mutation:?}\n{why}"))?;
        match (&outcome.record, mutation.patch.returning) {
            (Some(record), true) => {
                ensure!(
                    (record.id, record.version) == (wanted.id, wanted.version),
                    "{mutation:?} returned {record:?}"
                );
                same_values(def, &wanted.values, record).map_err(|why| format!("{mutation:?} returned {why}"))
            }
            (None, false) => Ok(()),
            (record, asked) => Err(format!("{mutation:?}: asked for the record: {asked}, got {record:?}")),
        }
    }

    fn checkpoint(&mut self) -> Checked {
        self.store().checkpoint().map_err(|error| error.to_string())?;
        self.count("checkpoint", 1);
        let stats = self.store().stats().map_err(|error| error.to_string())?;
        if !self.background {
            ensure!(
                stats.checkpoint_lsn.0 == self.model.lsn,
                "the checkpoint is at lsn {}",
                stats.checkpoint_lsn
            );
        }
        Ok(())
    }

    fn compact(&mut self) -> Checked {
        let report = self.store().compact().map_err(|error| error.to_string())?;
        self.count("compaction", 1);
        self.count("freed segments", report.freed_segment_count);
        Ok(())
    }

    fn take_snapshot(&mut self) -> Checked {
        let snapshot = self.store().snapshot().map_err(|error| error.to_string())?;
        ensure!(
            snapshot.lsn().0 == self.model.lsn,
            "a snapshot at {}, {} expected",
            snapshot.lsn(),
            self.model.lsn
        );
        let (objects, records) = (self.model.objects.clone(), self.model.records.clone());
        let histories = self.model.histories.clone();
        self.held.push(Held { snapshot, objects, records, histories });
        if self.held.len() > 4 {
            self.held.remove(0);
        }
        Ok(())
    }

    /// A request about the past.
    fn undo(&mut self) -> Checked {
        let undo = undo::draw(&mut self.rng, &self.model, &self.graveyard);
        let result = undo::ask(&self.store(), &self.model, &undo);
        let now = self.now();
        match undo::judge(&mut self.model, &undo, now, &result)? {
            true => self.count(undo::name(&undo), 1),
            false => self.count("request about the past refused", 1),
        }
        Ok(())
    }

    /// Changes of the schema, alone or several in one commit.
    fn change_schema(&mut self) -> Checked {
        let changes = alter::draw(&mut self.rng, &self.model);
        if std::env::var_os("VELLUM_TRACE").is_some() {
            println!("  {}", alter::to_json(&changes));
        }
        let result = self.store().change_schema(&alter::to_json(&changes));
        let objects = self.model.objects.clone();
        let now = self.now();
        if alter::judge(&mut self.model, &changes, now, &result)? {
            changes.iter().for_each(|change| self.count(alter::name(change), 1));
            let has_default = |change: &Change| matches!(change, Change::AddAttribute { attribute, .. } if attribute.default.is_some());
            let is_on_again = |change: &Change| match change {
                Change::ObjectHistory { object, history: true } => {
                    objects.iter().any(|def| def.name == *object && !def.history && def.had_history)
                }
                Change::Attribute { object, what: What::History(true), .. } => {
                    objects.iter().any(|def| def.name == *object && def.had_history)
                }
                _ => false,
            };
            if changes.iter().any(is_on_again) {
                self.count("history switched on again", 1);
            }
            if changes.iter().any(has_default) && !self.model.records.is_empty() {
                self.count("default that came later", 1);
            }
        } else if result.is_err_and(|error| !error.records().is_empty()) {
            self.count("change refused with the records in the way", 1);
        }
        Ok(())
    }

    fn check_snapshots(&mut self) -> Checked {
        for held in std::mem::take(&mut self.held) {
            let lsn = held.snapshot.lsn();
            compare_snapshot(&held.snapshot, &held.objects, &held.records)
                .and_then(|()| {
                    let (objects, records) = (&held.objects, &held.records);
                    compare_past_of_snapshot(&held.snapshot, objects, records, &held.histories)
                })
                .map_err(|why| format!("snapshot of lsn {lsn}: {why}"))?;
            self.count("snapshot compared", 1);
        }
        Ok(())
    }
}

fn same_kind(mutation: &Mutation, kind: ErrorKind, error: &Error) -> Checked {
    ensure!(error.kind() == kind, "{mutation:?}\n{kind:?} expected, {:?} found: {error}", error.kind());
    ensure!(
        error.conflict().is_some() == (kind == ErrorKind::UniqueConflict),
        "{error} has no conflict in it"
    );
    Ok(())
}
