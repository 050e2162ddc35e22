//! The life of one store: it is made, worked with, dies, recovers, is checked, and so on.

use super::clients::{Checked, Clients, Under, is_fault};
use super::faults::{Plan, is_page_read};
use super::surroundings::Others;
use crate::compare::{compare_requests, ensure};
use crate::links;
use crate::model::Model;
use crate::numbers;
use crate::run::Counts;
use crate::schema::{self, ObjectDef};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use vellum::disk::Disk;
use vellum::{Config, Durability, ErrorKind, Schema, Store, Timestamp, Work};
use vellum_sim::Rng;
use vellum_sim::{Crash, FileSystem, MemDisk, MemPath};

pub(super) struct Life {
    pub(super) rng: Rng,
    pub(super) disk: MemDisk,
    /// What leads to the directory of the open store.
    pub(super) path: MemPath,
    pub(super) others: Others,
    config: Config,
    clients: Arc<Mutex<Clients>>,
}

/// Runs one seed.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64, counts: &mut Counts) -> Checked {
    let mut life = Life::new(seed)?;
    let result = life.live();
    life.disk.no_hook();
    let mut clients = life.clients();
    for (what, by) in std::mem::take(&mut clients.counts) {
        *counts.entry(what).or_default() += by;
    }
    life.disk.die();
    clients.let_go();
    result
}

impl Life {
    fn new(seed: u64) -> Result<Life, String> {
        let mut rng = Rng::new(seed);
        let mut objects: Vec<ObjectDef> =
            (0..1 + rng.below(2)).map(|number| schema::generate(&mut rng, number)).collect();
        // Either these or requests about the past and changes of the schema, as in the model test.
        if rng.one_in(2) {
            links::add(&mut rng, &mut objects, 0);
            numbers::add(&mut rng, &mut objects);
        }
        objects.iter_mut().for_each(|object| schema::complete(&mut rng, object));
        let clock = Arc::new(AtomicI64::new(1_700_000_000_000_000_000));
        let ticks = clock.clone();
        let durabilities =
            [Durability::Sync, Durability::Sync, Durability::Buffered, Durability::Interval(1)];
        let (min, max) = *rng.pick(&[(2, 4), (4, 16), (8, 8), (16, 64)]);
        let config = Config::new()
            .durability(*rng.pick(&durabilities))
            .threads(false)
            .dirty_budget(*rng.pick(&[1 << 20, 256 << 20]))
            .log_mapped(!rng.one_in(3))
            .segments_mapped(!seed.is_multiple_of(3))
            .segment_cache_len(if seed.is_multiple_of(2) { 1 << 14 } else { 1 << 26 })
            .log_file_len(min * 4096, max * 4096)
            .clock(Arc::new(move || Timestamp(ticks.load(Ordering::Relaxed))));
        let disk = MemDisk::seeded(rng.draw(), FileSystem::by_seed(&mut rng));
        let model = Model::new(objects, clock.load(Ordering::Relaxed));
        let text_len_max = if rng.one_in(40) { usize::MAX } else { 3000 };
        let clients = Clients::new(Rng::new(rng.draw()), disk.clone(), model, clock, text_len_max);
        let path = MemPath::new(disk.clone());
        Ok(Life {
            rng,
            disk,
            path,
            others: Others::default(),
            config,
            clients: Arc::new(Mutex::new(clients)),
        })
    }

    pub(super) fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn count(&self, what: &'static str) {
        self.tell(|| what.to_string());
        self.clients().count(what);
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if vellum_sim::told() {
            println!("{}", what());
        }
    }

    fn live(&mut self) -> Checked {
        self.create().map_err(|why| format!("creation: {why}"))?;
        for number in 0..1 + self.rng.below(4) {
            self.session().map_err(|why| format!("session {number}: {why}"))?;
            self.end_session().map_err(|why| format!("after session {number}: {why}"))?;
        }
        self.close_at_last().map_err(|why| format!("at the end: {why}"))?;
        self.others.check()
    }

    /// The same seed would draw the same ids and salts again.
    pub(super) fn config(&mut self) -> Config {
        self.config.clone().seed(self.rng.draw())
    }

    fn adopt(&mut self, store: Store) {
        let mut clients = self.clients();
        clients.store = Some(store);
        clients.disk = self.disk.clone();
        (clients.stopped, clients.faulty, clients.failed) = (false, false, None);
    }

    /// Makes the store; a creation that failed leaves a store, or nothing that stands in the way.
    fn create(&mut self) -> Checked {
        let schema = Schema::from_json(&schema::to_json(&self.clients().oracle.model.objects))
            .map_err(|error| error.to_string())?;
        loop {
            let faulty = self.set_up_trouble(8, 30);
            let config = self.config();
            let created = config.create_on(self.on_disk(), &schema);
            let dead = self.disk.is_dead();
            let error = match created {
                Ok(store) if !dead => {
                    self.end_trouble();
                    self.adopt(store);
                    return Ok(());
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            ensure!(faulty || dead, "no call failed: {error:?}");
            self.end_trouble();
            if dead {
                self.disk = self.after_death().0;
            }
            let config = self.config();
            match config.open_on(self.on_disk()) {
                Ok(store) => {
                    self.adopt(store);
                    return self.check(false);
                }
                Err(error) => ensure!(error.kind() == ErrorKind::NotAStore, "after {error:?}: {error}"),
            }
            self.count("create refused, made again");
        }
    }

    fn on_disk(&mut self) -> Arc<dyn Disk> {
        self.path = MemPath::new(self.disk.clone());
        self.path.disk()
    }

    /// Now and then the machine dies soon, or calls fail. Whether they may.
    fn set_up_trouble(&mut self, one_in: usize, calls: usize) -> bool {
        if self.rng.one_in(one_in) {
            self.disk.die_after(self.rng.below(calls) as u64);
        }
        if !self.rng.one_in(one_in) {
            return false;
        }
        let plan = Plan::by_seed(&mut self.rng);
        plan.begin(&self.disk, &mut self.rng);
        plan != Plan::None
    }

    fn end_trouble(&self) {
        Plan::end(&self.disk);
        self.disk.live_on();
    }

    /// What the death of the process or of the machine leaves, and whether all that was written is there:
    /// the process died alone, and no sync had failed before, the store's last calls included.
    fn after_death(&mut self) -> (MemDisk, bool) {
        Plan::end(&self.disk);
        if self.rng.one_in(4) {
            self.count("kill");
            return (self.disk.after_kill(), !self.disk.sync_failed("log-"));
        }
        let crash = Crash::by_seed(&mut self.rng);
        self.count("power cut");
        (self.disk.after_crash(&mut self.rng, &crash), false)
    }

    /// Work, until the machine dies, the store stops, or it is enough.
    fn session(&mut self) -> Checked {
        let plan = Plan::by_seed(&mut self.rng);
        self.tell(|| format!("a session with {plan:?}"));
        plan.begin(&self.disk, &mut self.rng);
        self.clients().faulty = plan != Plan::None;
        if self.rng.one_in(2) {
            self.disk.die_after(self.rng.below(90) as u64);
        }
        let clients = Arc::downgrade(&self.clients);
        self.disk.on_call(move |event| {
            // A page is read under the latch of its group: another client would wait for that one.
            if is_page_read(event) {
                return;
            }
            let Some(clients) = clients.upgrade() else { return };
            // Locked: a client is in the middle of a step of its own.
            if let Ok(mut clients) = clients.try_lock() {
                clients.interleave(event);
            }
        });
        for number in 0..3 + self.rng.below(22) {
            self.step().map_err(|why| format!("step {number}: {why}"))?;
            let mut clients = self.clients();
            if let Some(why) = clients.failed.take() {
                return Err(format!("step {number}: {why}"));
            }
            clients.note_health()?;
            let (dead, stopped) = (self.disk.is_dead(), clients.stopped);
            if dead {
                clients.count("death in a session");
                return Ok(());
            }
            if stopped {
                clients.count("stopped by a fault");
            }
            drop(clients);
            if stopped {
                if self.rng.one_in(3) {
                    return Ok(());
                }
                self.reopen()?;
                if self.disk.is_dead() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Checked {
        if self.rng.one_in(50) {
            return self.surround();
        }
        let roll = self.rng.below(100);
        self.tell(|| format!("step {roll} at lsn {}", self.clients().oracle.model.lsn));
        let is_linked = self.clients().oracle.model.is_linked();
        match roll {
            0..39 => self.clients().commit(false),
            39..42 => self.clients().undo(),
            42..44 if is_linked => self.clients().commit(false),
            42..44 => self.clients().change_schema(),
            44..56 => self.clients().commit(true),
            56..72 => self.wait(),
            72..80 => self.checkpoint(false),
            80..82 => self.checkpoint(true),
            82..85 => self.clients().take_snapshot(),
            85..87 => self.clients().check_snapshots(),
            87..91 => self.work(Work::LogFile),
            91..93 => self.work(Work::Idle),
            93..95 => self.clients().compare(),
            95..97 => {
                // The trouble is over: a store that did not stop goes on as if nothing had been.
                Plan::end(&self.disk);
                let mut clients = self.clients();
                clients.note_health()?;
                clients.faulty &= clients.stopped;
                Ok(())
            }
            97 if !is_linked => self.clients().change_schema(),
            _ => {
                self.clients().note_durable();
                Ok(())
            }
        }
    }

    fn set_under(&self, under: Under) {
        self.clients().under = under;
    }

    /// A client waits for its commit: it leads a sync, or finds that another did.
    fn wait(&mut self) -> Checked {
        let commit = {
            let mut clients = self.clients();
            if clients.waiting.is_empty() {
                return Ok(());
            }
            let count = clients.waiting.len();
            let at = clients.rng.below(count);
            clients.waiting.swap_remove(at)
        };
        self.set_under(Under::Sync);
        let result = commit.wait_for(Durability::Sync);
        let mut clients = self.clients();
        clients.under = Under::Nothing;
        let dead = self.disk.is_dead();
        match result {
            Ok(()) if !dead => {
                clients.oracle.acknowledged(commit.lsn().0);
                clients.count("acknowledged");
            }
            Ok(()) => {}
            Err(error) => {
                ensure!(clients.faulty || dead, "no call failed, and a commit is not durable: {error}");
                ensure!(error.kind() == ErrorKind::Poisoned, "a sync failed with {error}");
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, full: bool) -> Checked {
        let store = self.clients().store();
        self.set_under(Under::Checkpoint);
        let result = if full { store.compact() } else { store.checkpoint() };
        let mut clients = self.clients();
        clients.under = Under::Nothing;
        match result {
            Ok(_) => clients.count(if full { "compaction" } else { "checkpoint" }),
            Err(error) => {
                let dead = self.disk.is_dead();
                ensure!(clients.faulty || dead, "no call failed, and a checkpoint says {error}");
                let health = store.health();
                let told = health.checkpoint.is_some() || health.poisoned.is_some();
                ensure!(told, "{error} is not told by {health:?}");
                clients.count("checkpoint that failed");
            }
        }
        Ok(())
    }

    /// What threads would do.
    fn work(&mut self, work: Work) -> Checked {
        let clients = self.clients();
        let store = clients.store();
        drop(clients);
        let count = |disk: &MemDisk| disk.files().keys().filter(|name| name.starts_with("log-")).count();
        let before = count(&self.disk);
        store.work(work);
        if work == Work::LogFile && count(&self.disk) > before {
            self.count("log file made ahead");
        }
        Ok(())
    }

    /// After the store stopped: opened again in the same process, on what the failed calls left.
    fn reopen(&mut self) -> Checked {
        if self.rng.one_in(2) {
            self.end_trouble();
        }
        let store = {
            let mut clients = self.clients();
            clients.check_snapshots()?;
            let store = clients.store();
            clients.let_go();
            store
        };
        let reopened = store.reopen();
        if self.disk.is_dead() {
            return Ok(());
        }
        match reopened {
            Ok(store) => {
                let faulty = self.clients().faulty;
                self.end_trouble();
                self.adopt(store);
                self.check(false).map_err(|why| format!("reopened: {why}"))?;
                self.clients().faulty = faulty;
                self.count("reopened in process");
                Ok(())
            }
            Err(error) => {
                ensure!(is_fault(error.kind()), "reopening: {error}");
                ensure!(self.clients().faulty, "no call failed, and reopening says {error}");
                self.end_trouble();
                self.recover(self.disk.clone(), false)
            }
        }
    }

    /// A close, the death of the process, or that of the machine; and what comes after it.
    fn end_session(&mut self) -> Checked {
        self.tell(|| format!("the session ends; dead: {}", self.disk.is_dead()));
        self.clients().under = Under::Nothing;
        self.clients().check_snapshots()?;
        let dead = self.disk.is_dead();
        let store = self.clients().store.take();
        self.clients().let_go();
        if let (false, true, Some(store)) = (dead, self.rng.one_in(4), store.clone()) {
            let faulty = self.clients().faulty;
            let lsn = store.applied_lsn().0;
            let closed = store.close();
            if !self.disk.is_dead() {
                match closed {
                    Ok(()) if !self.clients().stopped => {
                        self.clients().oracle.acknowledged(lsn);
                        self.count("clean close");
                    }
                    Ok(()) => {}
                    Err(error) => {
                        ensure!(faulty, "closing: {error}");
                        self.clients().stopped = true;
                    }
                }
            }
        }
        let (left, killed_only) = self.after_death();
        // Whatever the store does from here on reaches nobody.
        self.disk.die();
        drop(store);
        let killed_only = killed_only && !self.clients().stopped;
        self.recover(left, killed_only)
    }

    /// Opens what a crash left; recovery may crash and fail too.
    fn recover(&mut self, left: MemDisk, mut killed_only: bool) -> Checked {
        self.disk = left;
        for attempt in 0.. {
            if self.rng.one_in(8) {
                self.verify().map_err(|why| format!("before recovery: {why}"))?;
            }
            let faulty = attempt < 4 && self.set_up_trouble(4, 30);
            self.tell(|| format!("recovery, attempt {attempt}, faulty: {faulty}"));
            let opened = self.config().open_on(self.on_disk());
            let dead = self.disk.is_dead();
            self.end_trouble();
            match opened {
                Ok(store) if !dead => {
                    self.adopt(store);
                    return self.check(killed_only);
                }
                Ok(_) => {}
                Err(error) => {
                    ensure!(faulty || dead, "opening: {error}");
                    ensure!(is_fault(error.kind()), "a failed call in recovery answers {error}");
                }
            }
            if dead {
                self.count("death while recovering");
                let (left, killed) = self.after_death();
                (self.disk, killed_only) = (left, killed_only && killed);
            } else {
                self.count("fault while recovering");
                killed_only = false;
                if self.rng.one_in(2) {
                    self.disk = self.disk.after_kill();
                }
            }
        }
        unreachable!("after four attempts nothing fails any more")
    }

    fn check(&mut self, killed_only: bool) -> Checked {
        {
            let mut clients = self.clients();
            let store = clients.store();
            let report = store.recovery().clone();
            ensure!(report.damage.is_none(), "nothing was damaged, and recovery says {report:?}");
            if report.torn.is_some() {
                clients.count("torn tail cut");
            }
            if store.applied_lsn().0 < clients.oracle.model.lsn {
                clients.count("unacknowledged commits lost");
            }
            clients.oracle.check(&store, killed_only)?;
            let now = clients.clock.load(Ordering::Relaxed);
            compare_requests(&store, &clients.oracle.model, now)?;
        }
        if self.rng.one_in(3) {
            self.verify()?;
        }
        Ok(())
    }

    fn verify(&self) -> Checked {
        let report = vellum_admin::verify_on(Arc::new(self.disk.after_kill()));
        let report = report.map_err(|error| format!("verify: {error}"))?;
        ensure!(report.is_clean(), "verify: {:#?}", report.findings);
        self.count("verified");
        Ok(())
    }

    /// Two checkpoints later nothing is left of all that failed, and a clean close is seen as one.
    fn close_at_last(&mut self) -> Checked {
        let store = self.clients().store();
        self.clients().let_go();
        for _ in 0..2 {
            store.checkpoint().map_err(|error| error.to_string())?;
        }
        store.close().map_err(|error| format!("closing: {error}"))?;
        self.verify()?;
        let store = self.config().open_on(self.on_disk()).map_err(|error| error.to_string())?;
        ensure!(store.recovery().clean, "a clean close, and {:?}", store.recovery());
        self.adopt(store);
        self.check(true)
    }
}
