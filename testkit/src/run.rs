//! One run of the model test: a schema, settings and some sixty operations by seed, against a store in
//! memory and the model, compared on the way and at the end.

use crate::compare::{
    compare, compare_requests, compare_snapshot, ensure, replay_check, same_others, same_values,
};
use crate::links;
use crate::mem::MemDisk;
use crate::model::{Asked, Expected, Model, Records, Saved, same};
use crate::nested;
use crate::numbers;
use crate::ops::{self, dummy_id};
use crate::relations::Other;
use crate::rng::Rng;
use crate::schema::{self, AttributeDef, ObjectDef, Type};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use vellum::disk::Disk;
use vellum::{
    Config, Durability, Error, ErrorKind, Mutation, Once, Outcome, RecordId, Result as StoreResult, Schema,
    Snapshot, Store, Timestamp,
};

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
    "attribute added",
    "object added",
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
    if !rng.one_in(4) {
        links::add(&mut rng, &mut objects, 0);
    }
    numbers::add(&mut rng, &mut objects);
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

    fn store(&self) -> Store {
        self.store.clone().expect("a store is open between operations")
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn step(&mut self) -> Checked {
        // Clocks jump back now and then.
        let step = if self.rng.one_in(10) { -5_000_000_000 } else { self.rng.below(3_000_000) as i64 };
        self.clock.fetch_add(step, Ordering::Relaxed);
        let roll = self.rng.below(100);
        if std::env::var_os("VELLUM_TRACE").is_some() {
            println!("roll {roll} at lsn {}", self.model.lsn);
        }
        match roll {
            0..58 => self.one()?,
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
            _ => self.change_schema()?,
        }
        if let Some(saved) = &mut self.saved {
            saved.entry(self.model.lsn).or_insert_with(|| self.model.save());
        }
        Ok(())
    }

    /// A request under one of a few keys: a new one, one that came before, or another under its key.
    fn once(&mut self) -> Checked {
        let (key, now) = (format!("request {}", self.rng.below(9)), self.now());
        // One whose time was over before the clock went back may be gone or not.
        let is_open = |asked: &Asked| asked.expires_at > now && asked.expires_at <= self.latest;
        if self.model.requests.get(&key).is_some_and(is_open) {
            return Ok(());
        }
        self.latest = self.latest.max(now);
        let known = self.model.asked(&key, now).cloned();
        let again = known.as_ref().filter(|_| !self.rng.one_in(4)).map(|asked| asked.mutations.clone());
        let mutations =
            again.unwrap_or_else(|| vec![ops::mutation(&mut self.rng, &self.model, &self.graveyard)]);
        if known.is_none() && self.model.is_ambiguous(&mutations[0]) {
            return Ok(());
        }
        let keep = *self.rng.pick(&[Duration::from_millis(4), Duration::from_secs(3600)]);
        let result = self.store().apply_once(&Once::new(&key).keep_for(keep), &mutations);
        if let Some(asked) = known {
            self.count("request that came again", 1);
            let is_same = format!("{:?}", asked.mutations) == format!("{mutations:?}");
            return match result {
                Ok(_) if is_same => compare_requests(&self.store(), &self.model, self.latest),
                Err(error) if !is_same && error.kind() == ErrorKind::RequestConflict => Ok(()),
                result => Err(format!("{key}, the same: {is_same}, answered {result:?}")),
            };
        }
        let wanted =
            self.model.mutate_as(&mutations[0], result.as_ref().ok().map(|all| &all[0]), dummy_id(0));
        let committed = wanted.and_then(|wanted| {
            let expires_at = now.saturating_add(keep.as_nanos() as i64);
            self.model.ask(key, &mutations, std::slice::from_ref(&wanted), expires_at);
            self.model.commit(now).map(|lsn| (wanted, lsn))
        });
        match (result, committed) {
            (Ok(outcomes), Ok((wanted, lsn))) => {
                ensure!(outcomes[0].lsn.0 == lsn, "lsn {lsn} expected, {} found", outcomes[0].lsn);
                self.count("request", 1);
                self.count_mutation(&mutations[0], &wanted);
                self.same_outcome(&mutations[0], &wanted, &outcomes[0])
            }
            (Err(error), Err(kind)) => {
                self.model.abort();
                same_kind(&mutations[0], kind, &error)
            }
            (result, wanted) => Err(format!("{mutations:?}\nexpected {wanted:?}\nfound {result:?}")),
        }
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
        let names: Vec<&str> = wanted.changed.iter().map(|at| def.attributes[*at].name.as_str()).collect();
        let changed: Vec<&str> = outcome.changed().collect();
        ensure!(names == changed, "{mutation:?}\nchanged {names:?} expected, {changed:?} found");
        let terms = mutation.patch.terms.as_deref();
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
        if terms.is_some_and(|terms| terms.before) && !wanted.created {
            let at = |name: &str| def.find(name).expect("an attribute of the object");
            let found: BTreeMap<usize, vellum::Value> =
                outcome.before().iter().map(|(name, value)| (at(name), value.clone())).collect();
            for at in &wanted.changed {
                let (wanted, found) = (wanted.before.get(at), found.get(at).filter(|value| !value.is_null()));
                ensure!(same(wanted, found), "{mutation:?}\nbefore: {wanted:?} expected, {found:?} found");
            }
            ensure!(found.len() == wanted.changed.len(), "{mutation:?}\nbefore: {found:?}");
        }
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

    fn batch(&mut self) -> Checked {
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

    fn transaction(&mut self) -> Checked {
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
    fn bulk(&mut self) -> Checked {
        let mut mutations = Vec::new();
        let count_max = if self.rng.one_in(4) { 300 } else { 80 };
        let count = 20 + self.rng.below(count_max);
        while mutations.len() < count {
            let mut mutation = ops::mutation(&mut self.rng, &self.model, &[]);
            if mutation.action != vellum::Action::Create || mutation.key.is_some() || mutation.patch.returning
            {
                continue;
            }
            mutation.patch.terms = None;
            // Numbers far from those of other operations, so that few collide.
            let Some(object) = self.model.object(&mutation.object) else { continue };
            let def = &self.model.objects[object];
            let number = self.rng.draw() as u32;
            for (name, value) in &mut mutation.patch.set {
                if let Some(at) = def.find(name) {
                    spread(&def.attributes[at], number, value);
                }
            }
            mutations.push(mutation);
        }
        let mut trial = self.model.clone();
        let mut number = 0;
        mutations.retain(|mutation| {
            number += 1;
            trial.mutate(mutation, dummy_id(number)).is_ok()
        });
        self.count("bulk", 1);
        self.apply_batch(&mutations)
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
        self.held.push(Held { snapshot, objects, records });
        if self.held.len() > 4 {
            self.held.remove(0);
        }
        Ok(())
    }

    fn check_snapshots(&mut self) -> Checked {
        for held in std::mem::take(&mut self.held) {
            let lsn = held.snapshot.lsn();
            compare_snapshot(&held.snapshot, &held.objects, &held.records)
                .map_err(|why| format!("snapshot of lsn {lsn}: {why}"))?;
            self.count("snapshot compared", 1);
        }
        Ok(())
    }

    fn change_schema(&mut self) -> Checked {
        let number = self.model.objects.len();
        let now = self.now();
        if number < 5 && self.rng.one_in(2) {
            let object = schema::generate(&mut self.rng, number);
            self.store().add_object(&object.to_json()).map_err(|error| error.to_string())?;
            self.model.change_schema(now, |objects| objects.push(object));
            self.count("object added", 1);
            return Ok(());
        }
        let at = self.rng.below(number);
        let of = *self.rng.pick(&Type::ALL);
        let attribute = AttributeDef::new(format!("added{}", self.model.objects[at].attributes.len()), of);
        let name = self.model.objects[at].name.clone();
        self.store().add_attribute(&name, &attribute.to_json()).map_err(|error| error.to_string())?;
        self.model.change_schema(now, |objects| objects[at].attributes.push(attribute));
        self.count("attribute added", 1);
        Ok(())
    }

    /// Takes note of what the open store did, before it goes.
    fn note(&mut self) -> Checked {
        let store = self.store();
        let stats = store.stats().map_err(|error| error.to_string())?;
        self.count("images read", stats.images_read);
        self.count("bucket splits", stats.indexes.iter().map(|index| index.buckets - 1).sum());
        let heaps = stats.bytes_by_kind.iter().filter(|(name, _)| name == "text heaps").map(|(_, len)| *len);
        self.count("text heaps", heaps.sum());
        if self.background {
            self.count("background checkpoints", store.health().checkpoint_count);
        }
        let health = store.health();
        ensure!(health.checkpoint.is_none() && health.log.is_none(), "{health:?}");
        for (name, bytes) in self.disk.files().iter().filter(|(name, _)| name.starts_with("seg-")) {
            ensure!(bytes.len() % 64 == 0, "{name} has {} bytes", bytes.len());
            let images = bytes.chunks(64).filter(|head| head.starts_with(b"vlPG"));
            let (full, delta) = images.fold((0, 0), |(full, delta), head| match head[4] {
                1 => (full + 1, delta),
                2 => (full, delta + 1),
                _ => (full, delta),
            });
            self.count("full images", full);
            self.count("delta images", delta);
        }
        Ok(())
    }

    fn open(&mut self, disk: MemDisk) -> Checked {
        self.disk = disk;
        // The same seed would draw the same ids and salts again.
        self.config = self.config.clone().seed(self.rng.draw());
        let opened = self.config.open_on(Arc::new(self.disk.clone()) as Arc<dyn Disk>);
        self.store = Some(opened.map_err(|error| format!("opening: {error}"))?);
        let replayed = self.store().recovery().replayed;
        self.count("replayed commits", replayed);
        Ok(())
    }

    fn reopen(&mut self) -> Checked {
        self.note()?;
        self.check_snapshots()?;
        self.store.take().expect("open").close().map_err(|error| format!("closing: {error}"))?;
        let disk = self.disk.clone();
        self.open(disk)?;
        self.count("clean reopening", 1);
        ensure!(self.store().recovery().clean, "a clean close, and {:?}", self.store().recovery());
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    /// The process dies: what was written is there, nothing is closed.
    fn kill(&mut self) -> Checked {
        self.note()?;
        self.check_snapshots()?;
        let copy = self.disk.after_kill();
        self.store = None;
        self.open(copy)?;
        self.count("killed", 1);
        ensure!(self.store().recovery().torn.is_none(), "torn: {:?}", self.store().recovery());
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    /// The power goes: what was durable is there, and of the rest anything, but in order.
    fn cut_power(&mut self) -> Checked {
        if self.saved.is_none() {
            return Ok(());
        }
        self.note()?;
        self.check_snapshots()?;
        let floor = match self.durability {
            Durability::Sync => self.model.lsn,
            _ => self.store().durable_lsn().0,
        };
        let kept = *self.rng.pick(&[0, 1, 3, 4]);
        let copy = self.disk.after_power_cut(&mut self.rng, kept);
        self.store = None;
        self.open(copy)?;
        self.count("power cut", 1);
        let lsn = self.store().applied_lsn().0;
        ensure!(
            (floor..=self.model.lsn).contains(&lsn),
            "lsn {floor} to {} expected, {lsn} found",
            self.model.lsn
        );
        if lsn < self.model.lsn {
            let saved = self.saved.as_ref().and_then(|saved| saved.get(&lsn));
            let saved = saved.ok_or_else(|| format!("lsn {lsn} was durable when the store was opened"))?;
            self.model = Model::restore(saved);
        }
        self.saved.iter_mut().for_each(BTreeMap::clear);
        compare(&self.store(), &self.model)?;
        compare_requests(&self.store(), &self.model, self.latest.max(self.now()))
    }

    fn finish(mut self) -> Checked {
        self.note()?;
        compare(&self.store(), &self.model).map_err(|why| format!("at the end: {why}"))?;
        self.check_snapshots()?;
        let killed = self.disk.after_kill();
        let replayed = replay_check(&killed, &self.model)?;
        self.count("replayed commits", replayed);
        self.store.take().expect("open").close().map_err(|error| format!("closing: {error}"))?;
        replay_check(&self.disk, &self.model).map_err(|why| format!("after the close: {why}"))?;
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

/// Puts a number into a value of a type that may be a key.
fn spread(attribute: &AttributeDef, number: u32, value: &mut vellum::Value) {
    use vellum::{Date, Value};
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
