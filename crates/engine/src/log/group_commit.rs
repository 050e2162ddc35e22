//! Group commit: one sync acknowledges everybody who waits.
//!
//! Whoever finds that nobody syncs becomes the leader: it notes the newest appended lsn, syncs every
//! file that may hold frames up to it (the older file first), publishes that lsn as durable, and wakes
//! those whom it covers. The others wait; one of them leads the next round. Commits that are polled
//! leave a waker, and the flusher waits in their stead.
//!
//! The same lock guards what belongs to the files ahead and behind: the next one, which the flusher
//! prepares, and the spare one, which was given back. No file is made, zeroed or synced under the lock.

use super::attestation::{CurrentFile, NewestFile, Witness};
use super::file::{self, FRAMES_AT, FileHeader};
use super::{LogConfig, Position};
use crate::id::Lsn;
use crate::planted::planted;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Access, Disk, File, LOG_RESERVE_NAME, LogTail};

thread_local! {
    /// The log of which this thread leads a sync: a commit from inside one, as a hook of the disk may make, cannot
    /// wait for it.
    static LEADING: Cell<usize> = const { Cell::new(0) };
}

/// Bytes of a fresh file that are faulted in with its preparation. More would be written twice: a page
/// that is faulted in for writing is dirty, and the next sync writes it.
const PREFAULT_LEN: usize = 256 << 10;

/// A new log file takes at most this part of the free space.
const FREE_PART: u64 = 8;

/// Shared by the writer, those who wait for durability, and the flusher.
#[derive(Debug)]
pub struct GroupCommit {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    appended: Line,
    /// The attested lsn: nothing newer was reported durable. Apart from what a sync covered here: both move
    /// together as long as one disk is all that durability asks for.
    durable: Line,
    /// Absent in a log without a store.
    witness: OnceLock<Witness>,
    poisoned: AtomicBool,
    attempts: AtomicU64,
    /// Whether there is a file under [`LOG_RESERVE_NAME`].
    has_reserve: AtomicBool,
    state: Mutex<State>,
    /// A round of syncing, or a preparation, has ended; or the store stopped.
    ended: Condvar,
    /// There is work for the flusher.
    work: Condvar,
}

/// A counter on a cache line of its own: the writer's and the leader's stores do not disturb each other.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

#[derive(Debug)]
struct State {
    /// Files that may hold frames no sync covered, oldest first; the last one takes new frames.
    unsynced: Vec<CurrentFile>,
    /// Somebody is syncing.
    leading: bool,
    /// Why the store stopped.
    cause: Option<Error>,
    wakers: BTreeMap<Lsn, Vec<Waker>>,
    /// The newest lsn that was polled since the flusher last looked.
    polled: Option<Lsn>,
    next: Next,
    /// The flusher was told that a file is wanted.
    told: bool,
    /// Mappings of files that are full. Unmapping 64 MiB takes a while; the writer leaves it to others.
    retired: Vec<Box<dyn LogTail>>,
    spare: Option<Spare>,
    /// New files are made of the reserve alone.
    reserve_only: bool,
    stopped: bool,
}

/// The file after the current one.
#[derive(Debug)]
enum Next {
    Unasked,
    Wanted(FileHeader),
    Preparing,
    Ready(LogFile),
}

/// A file that was given back.
#[derive(Debug)]
struct Spare {
    name: String,
    len: u64,
}

/// A log file that is ready for frames: its zeros, its header and its name are durable.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) header: FileHeader,
    /// CRC of the header.
    pub(super) crc: u32,
    pub(super) file: Arc<dyn File>,
    pub(super) tail: Option<Box<dyn LogTail>>,
}

impl LogFile {
    pub(super) fn as_current(&self) -> Result<CurrentFile> {
        let mut header = [0; file::HEADER_LEN];
        header.copy_from_slice(&self.header.encode().0[..file::HEADER_LEN]);
        let name = file::log_name(self.header.number);
        Ok(CurrentFile { name, file: Arc::clone(&self.file), id: self.file.identity()?, header })
    }
}

/// What the flusher is woken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlusherWork {
    /// Somebody polls for this lsn: call [`GroupCommit::wait`] with it. An error there has been told to
    /// those who poll.
    Sync(Lsn),
    /// Call [`GroupCommit::prepare_next`]; an error there is for the log only, the writer tries itself.
    Prepare,
    /// The timeout passed.
    Timeout,
    /// [`GroupCommit::stop`] was called, and nobody polls any more.
    Stop,
}

impl GroupCommit {
    pub(super) fn new(disk: Arc<dyn Disk>, config: LogConfig, lsn: Lsn, current: CurrentFile) -> GroupCommit {
        GroupCommit {
            disk,
            config,
            appended: Line(AtomicU64::new(lsn.0)),
            durable: Line(AtomicU64::new(lsn.0)),
            witness: OnceLock::new(),
            poisoned: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            has_reserve: AtomicBool::new(false),
            state: Mutex::new(State {
                unsynced: vec![current],
                leading: false,
                cause: None,
                wakers: BTreeMap::new(),
                polled: None,
                next: Next::Unasked,
                told: false,
                retired: Vec::new(),
                spare: None,
                reserve_only: false,
                stopped: false,
            }),
            ended: Condvar::new(),
            work: Condvar::new(),
        }
    }

    /// The newest commit in the log.
    #[inline]
    pub fn appended(&self) -> Lsn {
        Lsn(self.appended.0.load(Ordering::Acquire))
    }

    /// Has what is reported durable recorded from here on, and the store's files checked.
    pub fn set_witness(&self, witness: Witness) {
        assert!(self.witness.set(witness).is_ok(), "a log has one witness");
    }

    /// The witness of a store's log.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.get()
    }

    /// Checks that the files are still those that the store opened; if not, the store stops.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn check_files(&self) -> Result<()> {
        let Some(witness) = self.witness.get().filter(|_| !planted("no_file_check")) else { return Ok(()) };
        let mut checked = self.current();
        loop {
            let Err(cause) = witness.check(&checked) else { return Ok(()) };
            let now = self.current();
            // The log went on in the next file, and the one that was looked at may be in other use.
            if now.id == checked.id {
                self.poison(cause);
                return self.poisoned().map_or(Ok(()), Err);
            }
            checked = now;
        }
    }

    fn current(&self) -> CurrentFile {
        self.state.lock().unsynced.last().expect("a log has a file that takes frames").clone()
    }

    /// The newest commit that was reported durable: it is on stable storage.
    #[inline]
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.0.load(Ordering::Acquire))
    }

    /// The writer has written the frame of `lsn`. What it wrote happens before a leader's sync that reads
    /// this lsn.
    #[inline]
    pub(super) fn publish(&self, lsn: Lsn) {
        self.appended.0.store(lsn.0, Ordering::Release);
    }

    /// Returns when `lsn` is durable.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped before; `InvalidInput` for an lsn that was not appended.
    pub fn wait(&self, lsn: Lsn) -> Result<()> {
        if lsn <= self.durable() {
            return Ok(());
        }
        self.check_appended(lsn)?;
        let mut state = self.state.lock();
        loop {
            if lsn <= self.durable() {
                return Ok(());
            }
            self.check(&state)?;
            if state.leading {
                self.ended.wait(&mut state);
            } else {
                state = self.lead(state)?;
            }
        }
    }

    /// Makes everything durable that was appended before the call, marks too, and returns the newest
    /// durable commit.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped.
    pub fn sync_now(&self) -> Result<Lsn> {
        let mut state = self.state.lock();
        // A round under way may have begun before the last append: it does not count.
        while state.leading {
            self.ended.wait(&mut state);
        }
        self.check(&state)?;
        drop(self.lead(state)?);
        Ok(self.durable())
    }

    /// One round: syncs, publishes, wakes. Takes the lock and gives it back.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        state.leading = true;
        // The lsn is read before the list of files: a frame up to it lies in a file that the list has,
        // because the writer adds a file before it writes there.
        let lsn = self.appended();
        let files = state.unsynced.clone();
        let retired = std::mem::take(&mut state.retired);
        drop(state);
        drop(retired);
        // The older file first, so that what is on disk is a prefix as often as can be.
        let skipped = if planted("no_sync") { files.len() } else { 0 };
        let outer = LEADING.replace(std::ptr::from_ref(self) as usize);
        let synced = files.iter().skip(skipped).try_for_each(|current| current.file.sync());
        LEADING.set(outer);
        let lsn = if planted("late_lsn") { self.appended() } else { lsn };
        let synced = synced.and_then(|()| self.vouch(lsn));

        let mut state = self.state.lock();
        state.leading = false;
        match synced {
            // Crash rule 9: once poisoned, nothing is acknowledged any more, not even what this round
            // covered.
            Ok(()) if state.cause.is_none() => {
                // All but the last of the files take no more frames, and they are synced.
                state.unsynced.drain(..files.len() - 1);
                self.durable.0.store(lsn.0, Ordering::Release);
            }
            Ok(()) => {}
            Err(_) if planted("sync_error_ignored") => self.durable.0.store(lsn.0, Ordering::Release),
            Err(cause) => self.set_poisoned(&mut state, cause),
        }
        let wakers = self.due_wakers(&mut state);
        self.ended.notify_all();
        if !wakers.is_empty() {
            // Wakers are foreign code: they run without the lock.
            MutexGuard::unlocked(&mut state, || wakers.into_iter().for_each(Waker::wake));
        }
        self.check(&state)?;
        Ok(state)
    }

    /// Whether this thread is in the middle of a sync of this log, so that it cannot wait for another one.
    pub fn is_led_here(&self) -> bool {
        LEADING.get() == std::ptr::from_ref(self) as usize
    }

    /// Between a sync and its answer: the files are still the store's, and what is about to be reported durable is
    /// on record (crash rule 5).
    fn vouch(&self, lsn: Lsn) -> Result<()> {
        let Some(witness) = self.witness.get() else { return Ok(()) };
        self.check_files()?;
        if planted("no_attestation") { Ok(()) } else { witness.attest(lsn) }
    }

    /// Wakers that have their answer: durable, or never.
    fn due_wakers(&self, state: &mut State) -> Vec<Waker> {
        let later = match state.cause {
            Some(_) => BTreeMap::new(),
            None => state.wakers.split_off(&self.durable().next()),
        };
        std::mem::replace(&mut state.wakers, later).into_values().flatten().collect()
    }

    /// Whether `lsn` is durable; if not, `waker` is called once it is, or once the log stopped. Wakes the
    /// flusher.
    pub fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<Result<()>> {
        if lsn <= self.durable() {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        // Looked at again under the lock: a leader publishes, then takes the lock to collect wakers.
        if lsn <= self.durable() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = self.check(&state).and_then(|()| self.check_appended(lsn)) {
            return Poll::Ready(Err(error));
        }
        if state.stopped {
            // No flusher will come: this thread leads or follows itself.
            drop(state);
            return Poll::Ready(self.wait(lsn));
        }
        let waiting = state.wakers.entry(lsn).or_default();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        if state.polled.is_none() {
            self.work.notify_all();
        }
        state.polled = state.polled.max(Some(lsn));
        Poll::Pending
    }

    /// Blocks the flusher thread until there is something to do, or until `timeout`.
    pub fn flusher_wait(&self, timeout: Option<Duration>) -> FlusherWork {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        let mut timed_out = false;
        loop {
            if let Some(lsn) = state.polled.take() {
                return FlusherWork::Sync(lsn);
            }
            if state.stopped {
                return FlusherWork::Stop;
            }
            if matches!(state.next, Next::Wanted(_)) && !state.told && state.cause.is_none() {
                // Told once: the flusher may hand this to another thread and come back.
                state.told = true;
                return FlusherWork::Prepare;
            }
            match deadline {
                _ if timed_out => return FlusherWork::Timeout,
                None => self.work.wait(&mut state),
                Some(deadline) => timed_out = self.work.wait_until(&mut state, deadline).timed_out(),
            }
        }
    }

    /// No work for the flusher comes any more; who polls now waits himself.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        self.work.notify_all();
    }

    /// Stops the log for good. Crash rule 9: after a failed write or sync, memory is ahead of the disk and
    /// the page cache may have dropped what it could not write; so no sync is tried again and nothing is
    /// acknowledged. The first cause stays.
    pub fn poison(&self, cause: Error) {
        let mut state = self.state.lock();
        self.set_poisoned(&mut state, cause);
        let wakers = self.due_wakers(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn set_poisoned(&self, state: &mut State, cause: Error) {
        self.poisoned.store(true, Ordering::Release);
        state.cause.get_or_insert(cause);
        self.ended.notify_all();
        self.work.notify_all();
    }

    /// The error that everybody gets after [`GroupCommit::poison`].
    #[inline]
    pub fn poisoned(&self) -> Option<Error> {
        if !self.poisoned.load(Ordering::Acquire) {
            return None;
        }
        self.check(&self.state.lock()).err()
    }

    fn check(&self, state: &State) -> Result<()> {
        match &state.cause {
            Some(cause) => Err(stopped(cause, self.durable())),
            None => Ok(()),
        }
    }

    fn check_appended(&self, lsn: Lsn) -> Result<()> {
        let appended = self.appended();
        if lsn > appended {
            return Err(Error::invalid_input(format!(
                "lsn {lsn} is not in the log, which ends at lsn {appended}; wait for one that was returned"
            )));
        }
        Ok(())
    }

    /// Crash rule 12: a log file takes no more than its part of a disk that is nearly full; the rest is for
    /// the images of a checkpoint.
    pub(super) fn fitting_len(&self, len: u64) -> u64 {
        // A disk that does not say how much is free says so when the file is made.
        let part = self.disk.free_len().map_or(len, |free| free / FREE_PART / FRAMES_AT * FRAMES_AT);
        let part = if self.state.lock().reserve_only { 0 } else { part };
        len.min(part.max(self.config.file_len_min))
    }

    /// Asks the flusher for the next file.
    pub(super) fn want_next(&self, header: FileHeader) {
        let mut state = self.state.lock();
        if matches!(state.next, Next::Unasked) {
            state.next = Next::Wanted(header);
            state.told = false;
            self.work.notify_all();
        }
    }

    /// Makes the file that the writer will need next, if one is wanted: the flusher's part.
    ///
    /// # Errors
    /// What the disk said. The writer then tries itself when it needs the file; only a failed sync stops
    /// the log.
    pub fn prepare_next(&self) -> Result<()> {
        let mut state = self.state.lock();
        let retired = std::mem::take(&mut state.retired);
        let Next::Wanted(header) = state.next else { return Ok(()) };
        self.check(&state)?;
        if state.reserve_only {
            // The writer makes it when it needs it.
            state.next = Next::Unasked;
            return Ok(());
        }
        state.next = Next::Preparing;
        let spare = state.spare.take_if(|spare| spare.len == header.file_len);
        drop(state);
        drop(retired);
        let built = self.build(&header, spare);
        let mut state = self.state.lock();
        let (next, result) = match built {
            Ok(file) => (Next::Ready(file), Ok(())),
            Err(error) => (Next::Unasked, Err(error)),
        };
        state.next = next;
        self.ended.notify_all();
        result
    }

    /// The next file, for the writer: the one that was prepared if it is long enough, else one that is
    /// made here and takes the place of the prepared one.
    pub(super) fn take_next(&self, header: FileHeader) -> Result<LogFile> {
        let mut state = self.state.lock();
        while matches!(state.next, Next::Preparing) {
            self.ended.wait(&mut state);
        }
        self.check(&state)?;
        if let Next::Ready(file) = std::mem::replace(&mut state.next, Next::Unasked)
            && file.header.file_len >= header.file_len
        {
            return Ok(file);
        }
        let spare = state.spare.take_if(|spare| spare.len == header.file_len);
        let reserve_only = state.reserve_only;
        drop(state);
        if reserve_only && let Some(file) = self.take_reserve(header)? {
            return Ok(file);
        }
        self.build(&header, spare)
    }

    /// Crash rule 12: while a checkpoint runs in the room that was reserved, no file is made of it, and none
    /// waits to be used again.
    pub fn set_reserve_only(&self, reserve_only: bool) {
        let mut state = self.state.lock();
        state.reserve_only = reserve_only;
        while matches!(state.next, Next::Preparing) {
            self.ended.wait(&mut state);
        }
        drop(state);
        if reserve_only {
            self.remove_spare();
        }
    }

    /// Removes the next file where it is ready and not yet used; the caller holds the writer lock. The writer makes
    /// it anew when it needs it.
    pub fn remove_next(&self) {
        let mut state = self.state.lock();
        let Next::Ready(next) = &state.next else { return };
        if let Err(error) = self.disk.remove(&file::log_name(next.header.number)) {
            tracing::warn!(%error, "a log file that was made ahead could not be removed");
        }
        state.next = Next::Unasked;
    }

    /// Gives up the room of a log file, for a checkpoint that has no other; it gives back whole files.
    pub fn give_up_reserve(&self) {
        if self.has_reserve.swap(false, Ordering::AcqRel)
            && let Err(error) = self.disk.remove(LOG_RESERVE_NAME)
        {
            tracing::warn!(%error, "the log's reserve could not be given up");
        }
    }

    /// Crash rule 12: makes sure that a log file of the least length has its room on the disk, so that a
    /// checkpoint's mark and deletes find room when others have filled the disk.
    ///
    /// # Errors
    /// What the disk said; nothing is left of the file then.
    pub fn keep_reserve(&self) -> Result<()> {
        if self.has_reserve() {
            return Ok(());
        }
        let len = self.config.file_len_min;
        if self.disk.list()?.iter().any(|name| name == LOG_RESERVE_NAME) {
            let file = self.disk.open(LOG_RESERVE_NAME, Access::Read)?;
            let mut front = [0; file::HEADER_LEN];
            if file.len()? == len {
                file.read_at(0, &mut front)?;
                if front == [0; file::HEADER_LEN] {
                    self.has_reserve.store(true, Ordering::Release);
                    return Ok(());
                }
            }
            // Of a session with other settings, or of one that died here: a log file has its length exactly. Or it
            // became a log file, and a power cut took the new name back: its header was synced first.
            self.disk.remove(LOG_RESERVE_NAME)?;
        }
        let made = self.disk.create(LOG_RESERVE_NAME)?.allocate(len);
        made.inspect_err(|_| drop(self.disk.remove(LOG_RESERVE_NAME)))?;
        self.has_reserve.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether a log file has its room.
    #[inline]
    pub fn has_reserve(&self) -> bool {
        self.has_reserve.load(Ordering::Acquire)
    }

    /// The reserved file, for the writer of a disk that is full; `None` where there is none that is long
    /// enough.
    pub(super) fn take_reserve(&self, header: FileHeader) -> Result<Option<LogFile>> {
        // One of two has it: a checkpoint may give it up meanwhile.
        if header.file_len > self.config.file_len_min || !self.has_reserve.swap(false, Ordering::AcqRel) {
            return Ok(None);
        }
        let header = FileHeader { file_len: self.config.file_len_min, ..header };
        let spare = Spare { name: LOG_RESERVE_NAME.to_string(), len: header.file_len };
        self.build(&header, Some(spare)).map(Some)
    }

    /// The writer goes on in `file`.
    ///
    /// # Errors
    /// What the disk said; the log is poisoned then.
    pub(super) fn roll_over(
        &self,
        file: CurrentFile,
        newest: NewestFile,
        retired: Option<Box<dyn LogTail>>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.unsynced.push(file);
        state.retired.extend(retired);
        drop(state);
        let Some(witness) = self.witness.get() else { return Ok(()) };
        witness.begin_file(newest).inspect_err(|cause| self.poison(cause.clone()))
    }

    /// A log file with this header, ready for frames.
    ///
    /// # Errors
    /// What the disk said, and then nothing is left of the file. A failed sync also poisons the log.
    fn build(&self, header: &FileHeader, spare: Option<Spare>) -> Result<LogFile> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let built = build(&*self.disk, header, spare.map(|spare| spare.name), attempt, self.config.mapped);
        built.map_err(|failure| {
            if failure.syncing {
                self.poison(failure.error.clone());
            }
            failure.error
        })
    }

    /// Gives files back that lie wholly before `before`, the oldest place that a superblock copy, a
    /// reader, a backup or a replica still needs. Runs beside the writer. Returns how many went.
    ///
    /// Crash rule 2: the caller passes the older superblock copy's place, not the newer one's.
    ///
    /// # Errors
    /// What the disk said; the rest goes with the next call.
    pub fn recycle(&self, before: Position) -> Result<usize> {
        let names = self.disk.list()?;
        let old = names.iter().filter_map(|name| Some((file::log_number(name)?, name)));
        let mut count = 0;
        for (number, name) in old.filter(|(number, _)| *number < before.file) {
            self.give_back(number, name)?;
            count += 1;
        }
        if count > 0 {
            self.disk.sync_dir()?;
        }
        Ok(count)
    }

    /// Unlinks the spare file, at a close: the next session would do so, and until then its bytes are
    /// none that anybody could check. What cannot be removed now goes with the next opening.
    pub fn remove_spare(&self) {
        let Some(spare) = self.state.lock().spare.take() else { return };
        if let Err(error) = self.disk.remove(&spare.name) {
            tracing::warn!(%error, "a spare log file stays behind");
        }
    }

    /// Keeps one file of full length as a spare, unlinks others.
    fn give_back(&self, number: u64, name: &str) -> Result<()> {
        let has_spare = self.state.lock().spare.is_some();
        let len = if has_spare { 0 } else { self.disk.open(name, Access::Read)?.len()? };
        if len != self.config.file_len_max {
            return self.disk.remove(name);
        }
        let spare = Spare { name: file::spare_name(number), len };
        self.disk.rename(name, &spare.name)?;
        self.state.lock().spare = Some(spare);
        Ok(())
    }
}

/// Why a file could not be made, and whether it was a sync that failed.
#[derive(Debug)]
pub(super) struct BuildFailure {
    pub(super) error: Error,
    syncing: bool,
}

/// Makes a log file: zeros, header, sync, name, sync of the name. Crash rule 11's order, so that a file
/// under a log's name is whole.
pub(super) fn build(
    disk: &dyn Disk,
    header: &FileHeader,
    spare: Option<String>,
    attempt: u64,
    mapped: bool,
) -> Result<LogFile, BuildFailure> {
    let failed = |error| BuildFailure { error, syncing: false };
    // A sync that finds the disk full (file systems that allocate late do) has lost nothing that counts:
    // the file is thrown away.
    let sync_failed = |error: Error| BuildFailure { syncing: error.kind() != ErrorKind::DiskFull, error };
    let (new, name) = (file::new_name(header.number, attempt), file::log_name(header.number));
    let file = match &spare {
        Some(spare) => {
            disk.rename(spare, &new).map_err(failed)?;
            disk.open(&new, Access::Write)
        }
        None => disk.create(&new),
    };
    let (bytes, crc) = header.encode();
    let filled = file.map_err(failed).and_then(|file| {
        // A spare file is zeroed like a new one: old frames must not come back.
        file.drop_cache(0, header.file_len);
        file.allocate_zeroed(header.file_len).map_err(failed)?;
        file.write_at(0, &bytes).map_err(failed)?;
        file.sync().map_err(sync_failed)?;
        let tail = if mapped { file.map_tail(header.file_len).map_err(failed)? } else { None };
        if let Some(tail) = &tail {
            tail.prefault(FRAMES_AT as usize, PREFAULT_LEN);
        }
        disk.rename(&new, &name).map_err(failed)?;
        Ok((file, tail))
    });
    let (file, tail) = filled.inspect_err(|_| {
        // What cannot be removed now goes when the store is opened for writing the next time.
        let _ = disk.remove(&new);
    })?;
    // The name must be durable before a frame in the file is called so.
    if !planted("no_dir_sync") {
        disk.sync_dir().map_err(|error| BuildFailure { error, syncing: true })?;
    }
    // Opened again, so that messages name the file as it is called now.
    let file = disk.open(&name, Access::Write).unwrap_or(file);
    Ok(LogFile { header: *header, crc, file, tail })
}

/// The store stopped because of `cause`, with commits up to `durable` on stable storage (crash rule 9).
#[must_use]
pub fn stopped(cause: &Error, durable: Lsn) -> Error {
    Error::new(
        ErrorKind::Poisoned,
        format!(
            "the store stopped after a failed log write ({cause}); commits up to lsn {durable} are durable: reopen the store"
        ),
    )
}
