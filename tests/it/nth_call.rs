//! The n-th call of each kind fails, for every n until the run passes, once and from then on: each answer
//! is right or a clear error, and what comes back after reopening is right (requirements 11, 12, 16, 17).

use crate::history::{History, config, create, is_sound, on};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum::{Config, ErrorKind, Result, Store, Work};
use vellum_sim::{EIO, EMFILE, ENOMEM, ENOSPC, Kept};
use vellum_testkit::{Crash, Fault, MemDisk, Op, Rng};

/// How a call fails.
#[derive(Clone, Copy, Debug)]
struct Failure {
    op: Op,
    fault: Fault,
    number: usize,
    sticky: bool,
}

impl Failure {
    /// Sets the disk up; the flag tells whether it came to it.
    fn begin(self, disk: &MemDisk) -> Arc<AtomicBool> {
        let (mut left, happened) = (self.number, Arc::new(AtomicBool::new(false)));
        let tell = happened.clone();
        disk.fail_with(move |event| {
            if event.op != self.op {
                return None;
            }
            if left > 0 {
                left -= 1;
                return None;
            }
            if tell.swap(true, Ordering::Relaxed) && !self.sticky {
                return None;
            }
            Some(self.fault)
        });
        happened
    }
}

/// Runs `run` with each way to fail, until its calls are used up. How many runs that were.
fn for_each_failure(run: &dyn Fn(Failure) -> std::result::Result<bool, String>) -> usize {
    let mut count = 0;
    for op in Op::FALLIBLE {
        let faults = match op {
            Op::Write => vec![Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::Partly(EIO), Fault::InTwo],
            Op::Allocate => vec![Fault::Partly(ENOSPC), Fault::Errno(EIO)],
            Op::Sync => vec![Fault::Errno(EIO), Fault::Partly(EIO), Fault::Errno(ENOSPC)],
            Op::Open | Op::Create | Op::SyncDir | Op::List => vec![Fault::Errno(EMFILE)],
            Op::Map => vec![Fault::Errno(ENOMEM)],
            _ => vec![Fault::Errno(EIO)],
        };
        for (fault, sticky) in faults.into_iter().flat_map(|fault| [(fault, false), (fault, true)]) {
            for number in 0.. {
                let failure = Failure { op, fault, number, sticky };
                count += 1;
                match run(failure) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(why) => panic!("{failure:?}: {why}"),
                }
            }
        }
    }
    count
}

/// One store's day: commits, log files that fill up, checkpoints, compaction, a snapshot, a close, another
/// session. A step that fails is passed over; a store that stopped is opened again.
struct Day<'a> {
    config: &'a Config,
    disk: &'a MemDisk,
    history: History,
    store: Option<Store>,
}

impl Day<'_> {
    fn step(&mut self, what: &dyn Fn(&mut History, &Store) -> Result<()>) -> std::result::Result<(), String> {
        let Some(store) = self.store.take() else { return Ok(()) };
        let result = what(&mut self.history, &store);
        if let Err(error) = &result {
            use ErrorKind as K;
            let clear = matches!(error.kind(), K::Io | K::DiskFull | K::Poisoned | K::ReadOnly);
            if !clear {
                return Err(format!("no clear error: {error}"));
            }
        }
        self.store = match store.health().poisoned {
            // Live reads answer with the cause; what comes back is at least what was acknowledged.
            Some(_) => store.reopen().ok(),
            None => Some(store),
        };
        match &self.store {
            Some(store) if result.is_err() => self.history.settle_if_reopened(store),
            _ => Ok(()),
        }
    }

    fn commits(&mut self, count: i64) -> std::result::Result<(), String> {
        for _ in 0..count {
            let number = self.history.next();
            self.step(&|history, store| history.commit(store, number))?;
        }
        Ok(())
    }

    fn pass(&mut self) -> std::result::Result<(), String> {
        self.commits(7)?;
        self.step(&|_, store| store.checkpoint().map(|_| ()))?;
        self.commits(3)?;
        self.step(&|_, store| {
            store.work(Work::LogFile);
            Ok(())
        })?;
        self.commits(8)?;
        self.step(&|_, store| {
            (0..2).for_each(|_| store.work(Work::Idle));
            Ok(())
        })?;
        self.step(&|_, store| store.checkpoint().map(|_| ()))?;
        self.commits(4)?;
        self.step(&|_, store| store.compact().map(|_| ()))?;
        self.commits(2)?;
        if let Some(store) = &self.store {
            self.history.holds(store)?;
        }
        // Closing may fail; the next opening recovers.
        if let Some(store) = self.store.take() {
            let lsn = store.applied_lsn().0;
            if store.close().is_ok() {
                self.history.acknowledged(lsn);
            }
        }
        self.store = self.config.open_on(on(self.disk)).ok();
        self.commits(3)
    }
}

fn a_day(config: &Config, failure: Failure) -> std::result::Result<bool, String> {
    let disk = MemDisk::new();
    let happened = failure.begin(&disk);
    let mut day = Day { config, disk: &disk, history: History::new(), store: None };
    match create(config, &disk) {
        Ok(store) => day.store = Some(store),
        Err(_) => {
            // Nothing, or a store with its schema: the next creation or opening finishes.
            disk.heal();
            let store = match config.open_on(on(&disk)) {
                Err(error) if error.kind() == ErrorKind::NotAStore => create(config, &disk),
                other => other,
            };
            day.store = Some(store.map_err(|error| format!("after a failed creation: {error}"))?);
        }
    }
    day.pass()?;
    disk.heal();
    let mut rng = Rng::new(failure.number as u64);
    let (history, store) = (day.history, day.store.take());
    let crash = if failure.sticky { Crash::NOTHING_KEPT } else { Crash::by_seed(&mut rng) };
    let cut = disk.after_crash(&mut rng, &crash);
    drop(store);
    for left in [disk, cut] {
        is_sound(&left)?;
        let store = config.clone().seed(rng.draw()).open_on(on(&left)).map_err(|error| error.to_string())?;
        let mut history = history.clone();
        history.settle(&store)?;
        for number in history.next()..history.next() + 2 {
            history.commit(&store, number).map_err(|error| format!("healed: {error}"))?;
        }
        store.checkpoint().map_err(|error| format!("healed: {error}"))?;
        history.holds(&store)?;
    }
    Ok(happened.load(Ordering::Relaxed))
}

#[test]
fn requirement_11_a_day_with_the_nth_call_of_each_kind_failing() {
    let count = for_each_failure(&|failure| a_day(&config(), failure));
    assert!(count > 700, "{count} runs");
}

#[test]
fn requirement_13_a_day_with_the_nth_call_failing_without_a_mapped_log() {
    let config = config().log_mapped(false);
    for op in [Op::Write, Op::Sync, Op::Allocate, Op::Create, Op::Rename] {
        for (fault, sticky) in
            [(Fault::Partly(EIO), false), (Fault::Errno(ENOSPC), false), (Fault::Errno(EIO), true)]
        {
            for number in 0.. {
                let failure = Failure { op, fault, number, sticky };
                match a_day(&config, failure) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(why) => panic!("{failure:?}: {why}"),
                }
            }
        }
    }
}

/// A killed store with frames to replay, a torn tail, a half-written segment and a log file being made.
fn killed(config: &Config) -> (MemDisk, History) {
    let disk = MemDisk::new();
    let store = create(config, &disk).unwrap();
    let mut history = History::new();
    for number in 0..9 {
        history.commit(&store, number).unwrap();
        if number % 4 == 3 {
            store.checkpoint().unwrap();
        }
    }
    for number in 9..14 {
        drop(history.submit(&store, number).unwrap());
    }
    let (sectors, sizes, names) = (Kept(5), Kept::ALL, Kept::ALL);
    // Of the ways in which the power goes, the first that leaves a torn tail and frames in front of it.
    let cut = (0..).map(|seed| disk.after_crash(&mut Rng::new(seed), &Crash { sectors, sizes, names }));
    let is_torn = |cut: &MemDisk| {
        let store = config.clone().read_only(true).open_on(on(cut)).unwrap();
        store.recovery().torn.is_some() && store.recovery().replayed > 3
    };
    let cut = cut.take(100).find(is_torn).expect("some sectors of five frames are lost");
    cut.edit("log-00000009.0.new", |bytes| bytes.resize(5000, 0));
    cut.edit("seg-00000009", |bytes| bytes.resize(70, 3));
    drop(store);
    (cut, history)
}

#[test]
fn requirement_17_the_nth_call_fails_during_recovery() {
    let config = config();
    let (disk, history) = killed(&config);
    is_sound(&disk).unwrap();
    let count = for_each_failure(&|failure| {
        let disk = disk.after_kill();
        let happened = failure.begin(&disk);
        let opened = config.open_on(on(&disk));
        match &opened {
            Ok(store) => history.holds(store)?,
            Err(error) => {
                use ErrorKind as K;
                if !matches!(error.kind(), K::Io | K::DiskFull | K::ReadOnly) {
                    return Err(format!("no clear error: {error}"));
                }
            }
        }
        drop(opened);
        disk.heal();
        // In the same process, after its death, and after that of the machine.
        let mut rng = Rng::new(failure.number as u64);
        let crash = Crash::by_seed(&mut rng);
        for left in [disk.after_kill(), disk.after_crash(&mut rng, &crash), disk] {
            is_sound(&left)?;
            let store = config.open_on(on(&left)).map_err(|error| format!("healed: {error}"))?;
            let mut history = history.clone();
            history.settle(&store)?;
            let number = history.next();
            history.commit(&store, number).map_err(|error| format!("healed: {error}"))?;
        }
        Ok(happened.load(Ordering::Relaxed))
    });
    assert!(count > 100, "{count} runs");
}

#[test]
fn requirement_15_a_full_disk_at_opening_fails_cleanly_or_opens_and_loses_nothing() {
    let config = config();
    let (disk, history) = killed(&config);
    for room in (0..12).map(|blocks| blocks * 4096) {
        let full = disk.after_kill();
        full.set_capacity(Some(full.used_len() + room));
        let reader = config.clone().read_only(true).open_on(on(&full)).expect("reading needs no room");
        history.holds(&reader).unwrap();
        drop(reader);
        match config.open_on(on(&full)) {
            Ok(store) => history.holds(&store).unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}"),
        }
        full.set_capacity(None);
        is_sound(&full).unwrap();
        history.holds(&config.open_on(on(&full)).unwrap()).unwrap();
    }
}
