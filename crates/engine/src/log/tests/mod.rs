//! Tests of the log as a whole: on the real disk where the kernel matters, in memory where every byte or
//! many crashes are tried.

mod lengths;
mod mem;

use super::file::{FRAMES_AT, log_name};
use super::*;
use mem::{MemDisk, Random};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Wake, Waker};
use vellum_bytes::{Error, ErrorKind, Result};
use vellum_disk::{Disk, OsDisk};

const STORE: [u8; 16] = *b"a store's own id";
const SALT: u32 = 0x5a17_0001;

/// The smallest files: 4 KiB of frames, then 8, then 16.
const SMALL: LogConfig =
    LogConfig { file_len_first: 8192, file_len_min: 8192, file_len_max: 20480, mapped: true };

/// A directory that goes when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> (Directory, Arc<dyn Disk>) {
        let path = std::env::temp_dir().join(format!("vellum-wal-{test}-{}", std::process::id()));
        let disk = OsDisk::new(&path);
        disk.create_dir().unwrap();
        (Directory(path), Arc::new(disk))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn memory() -> (MemDisk, Arc<dyn Disk>) {
    let disk = MemDisk::new();
    (disk.clone(), Arc::new(disk))
}

/// The body of commit `lsn`: length and bytes follow from the number.
fn body(lsn: u64) -> Vec<u8> {
    (0..lsn * 37 % 90).map(|index| (lsn + index) as u8 | 1).collect()
}

/// Appends the next commit, telling the durable lsn that the log knows.
fn commit(log: &mut Log) -> Lsn {
    let lsn = log.resume_point().lsn.next();
    let body = body(lsn.0);
    log.reserve(body.len()).unwrap();
    log.append(Kind::Commit, lsn, log.shared().durable(), &body).unwrap();
    lsn
}

fn mark(log: &mut Log, kind: Kind) {
    log.reserve(0).unwrap();
    log.append(kind, log.resume_point().lsn, log.shared().durable(), &[]).unwrap();
}

/// Reads from `from` and checks that commits come in order, each with its own body.
fn read_from(disk: &dyn Disk, from: &Resume, floor: Lsn, closed: Option<Seal>) -> Result<Scan> {
    let mut last = from.lsn;
    let found = scan(disk, STORE, from, &Known { floor, newest: None, closed }, &mut |frame| {
        if frame.kind == Kind::Commit {
            last = last.next();
            assert_eq!(frame.body, body(last.0), "lsn {last}");
        }
        assert_eq!(frame.lsn, last);
        Ok(())
    })?;
    assert_eq!(found.end.lsn, last);
    Ok(found)
}

fn read(disk: &dyn Disk, from: &Resume) -> Result<Scan> {
    read_from(disk, from, Lsn(0), None)
}

#[test]
fn what_was_appended_is_read_back_over_file_boundaries() {
    let (_directory, disk) = Directory::new("round-trip");
    let mut log = Log::create(Arc::clone(&disk), STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    for _ in 0..3000 {
        let lsn = commit(&mut log);
        if lsn.0.is_multiple_of(100) {
            log.shared().wait(lsn).unwrap();
            assert_eq!(log.shared().durable(), lsn);
            mark(&mut log, Kind::CheckpointMark);
        }
        if lsn.0.is_multiple_of(777) {
            log.shared().prepare_next().unwrap();
        }
    }
    assert!(log.position().file > 10);
    let found = read(&*disk, &start).unwrap();
    // Each file but the last ends with a frame that names the next one.
    let frame_count = 3000 + 30 + log.position().file - 1;
    assert_eq!((found.end, found.torn, found.frame_count), (log.resume_point(), None, frame_count));
    // From a place in the middle, the same end.
    let middle = {
        let mut at = None;
        scan(&*disk, STORE, &start, &Known::default(), &mut |frame| {
            at = at.or((frame.lsn == Lsn(1500)).then_some(frame.position));
            Ok(())
        })
        .unwrap();
        at.unwrap()
    };
    assert!(log.bytes_since(middle) < log.bytes_since(start.position));
    assert!(log.bytes_since(middle) > 1000 * 40);
}

#[test]
fn without_a_mapping_the_files_are_the_same() {
    let (directory, disk) = Directory::new("mapped");
    let (unmapped_directory, unmapped_disk) = Directory::new("unmapped");
    for (disk, mapped) in [(&disk, true), (&unmapped_disk, false)] {
        let mut log = Log::create(Arc::clone(disk), STORE, SALT, LogConfig { mapped, ..SMALL }).unwrap();
        for _ in 0..1000 {
            commit(&mut log);
        }
        log.shared().sync_now().unwrap();
    }
    let names = disk.list().unwrap();
    assert!(names.len() > 3);
    assert_eq!(names, unmapped_disk.list().unwrap());
    for name in names {
        let (mapped, unmapped) = (contents(&directory, &name), contents(&unmapped_directory, &name));
        assert!(mapped == unmapped, "{name} differs");
    }
}

fn contents(directory: &Directory, name: &str) -> Vec<u8> {
    let disk = OsDisk::new(&directory.0);
    let file = disk.open(name, vellum_disk::Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// A log of ten commits, of which the last two are not durable; the place of every frame.
fn ten_commits() -> (MemDisk, Log, Resume, Vec<Position>) {
    let (memory, disk) = memory();
    let mut log = Log::create(disk, STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    let mut places = Vec::new();
    for number in 1..=10 {
        places.push(log.position());
        commit(&mut log);
        if number == 8 {
            log.shared().sync_now().unwrap();
        }
    }
    (memory, log, start, places)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_kept_aside() {
    let (memory, log, start, places) = ten_commits();
    let name = log_name(1);
    let (last, end) = (places[9].offset as usize, log.position().offset as usize);
    let whole = memory.bytes(&name);
    for cut in last..end {
        let disk = memory.copy();
        let mut bytes = whole.clone();
        bytes[cut..end].fill(0);
        let complete = bytes == whole;
        disk.set_bytes(&name, bytes);
        let found = read(&disk, &start).unwrap();
        if complete {
            assert_eq!((found.end.lsn, found.torn), (Lsn(10), None));
            continue;
        }
        assert_eq!((found.end.lsn, found.end.position), (Lsn(9), places[9]), "cut at {cut}");
        assert_eq!(found.torn.is_some(), cut > last, "cut at {cut}");
        let Some(torn) = found.torn else { continue };
        assert_eq!((torn.file.as_str(), torn.offset), (name.as_str(), last as u64));
        let kept = keep_torn_tail(&disk, &torn).unwrap();
        assert_eq!(disk.bytes(&kept), whole[last..last + torn.len as usize]);
        assert!(whole[last + torn.len as usize..cut].iter().all(|&byte| byte == 0));
        assert_eq!(keep_torn_tail(&disk, &torn).unwrap(), kept, "a second attempt replaces the first");
    }
}

#[test]
fn a_bit_flipped_anywhere_is_damage_or_a_torn_tail_and_never_a_wrong_frame() {
    // Commits 1 to 8 are durable, and commit 9 says so; 9 and 10 nothing calls durable.
    let (memory, log, start, places) = ten_commits();
    let name = log_name(1);
    let whole = memory.bytes(&name);
    for offset in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1 << (offset % 8);
        let disk = memory.copy();
        disk.set_bytes(&name, bytes);
        let found = read(&disk, &start);
        let place = offset as u64;
        if place < FRAMES_AT {
            let error = found.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat),
                "byte {offset}: {error}"
            );
        } else if place < places[8].offset {
            let error = found.unwrap_err();
            assert_eq!(error.place().unwrap().file, name, "byte {offset}");
            assert!(error.to_string().contains("durable"), "byte {offset}: {error}");
        } else {
            let found = found.unwrap();
            let read = places.iter().filter(|start| **start <= found.end.position).count() as u64;
            let hit = places.iter().filter(|start| start.offset <= place).count() as u64;
            let expected = if place >= log.position().offset { 10 } else { hit - 1 };
            assert_eq!(found.end.lsn, Lsn(expected), "byte {offset}, {read} read");
            assert!(found.torn.is_some(), "byte {offset}");
        }
        // With the superblock's word, or a seal, nothing passes.
        let floor = read_from(&disk, &start, Lsn(10), None);
        assert!(floor.is_err() || place >= log.position().offset, "byte {offset}");
        let sealed = read_from(&disk, &start, Lsn(10), Some(log.resume_point().seal()));
        // What lies behind a sealed log's end is not read at opening; the audit reads it.
        assert!(sealed.is_err() || place >= log.position().offset, "byte {offset}");
        let end = Some(log.position());
        let audited = super::audit(&disk, STORE, &[], end).unwrap();
        assert!(!audited.faults.is_empty() || place < log.position().offset, "byte {offset}");
    }
}

#[test]
fn a_header_testifies_although_its_body_is_torn() {
    let (memory, mut log, start, places) = ten_commits();
    log.shared().sync_now().unwrap();
    let witness = log.position();
    log.reserve(80).unwrap();
    log.append(Kind::Commit, Lsn(11), Lsn(10), &[3; 80]).unwrap();
    let mut bytes = memory.bytes(&log_name(1));
    let body = witness.offset as usize + super::frame::HEADER_LEN;
    bytes[body..body + 80].fill(0);
    memory.set_bytes(&log_name(1), bytes.clone());
    // The torn frame itself is a tail; what comes before it is whole, and known durable.
    let found = read(&memory, &start).unwrap();
    assert_eq!((found.end.lsn, found.newest_durable), (Lsn(10), Lsn(10)));
    // With commit 10 lost as well, the torn frame's header tells.
    bytes[places[9].offset as usize..witness.offset as usize].fill(0);
    memory.set_bytes(&log_name(1), bytes);
    let error = read(&memory, &start).unwrap_err();
    assert_eq!(error.place().unwrap().offset, places[9].offset);
    assert!(error.to_string().contains(&format!("{witness} calls lsn 10 durable")), "{error}");
}

#[test]
fn a_mark_testifies_to_the_last_batch() {
    let (memory, mut log, start, places) = ten_commits();
    log.shared().sync_now().unwrap();
    mark(&mut log, Kind::CheckpointMark);
    let mut bytes = memory.bytes(&log_name(1));
    bytes[places[9].offset as usize + 50] ^= 4;
    memory.set_bytes(&log_name(1), bytes);
    assert_eq!(read(&memory, &start).unwrap_err().place().unwrap().offset, places[9].offset);
}

#[test]
fn a_cut_frame_never_comes_back_behind_a_new_generation() {
    let (memory, _log, start, places) = ten_commits();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let whole = memory.bytes(&log_name(1));
    // The crash loses commit 9; the valid commit 10 behind it is cut with it.
    let mut torn = whole.clone();
    torn[places[8].offset as usize + 4] ^= 1;
    memory.set_bytes(&log_name(1), torn);
    let found = read(&*disk, &start).unwrap();
    assert_eq!(found.end.lsn, Lsn(8));
    make_durable(&*disk, found.durable_until, found.end.position).unwrap();
    let mut log = Log::start_generation(Arc::clone(&disk), STORE, SALT + 1, &found.end, SMALL).unwrap();
    assert_eq!(read(&*disk, &start).unwrap().end, log.resume_point());
    for _ in 0..300 {
        commit(&mut log);
    }
    // The lost sectors are back: the old frames are whole again, and still not read.
    memory.set_bytes(&log_name(1), whole.clone());
    let found = read(&*disk, &start).unwrap();
    assert_eq!((found.end, found.torn.as_ref()), (log.resume_point(), None));
    // A third generation, from there.
    let mut log = Log::start_generation(Arc::clone(&disk), STORE, SALT + 2, &found.end, SMALL).unwrap();
    commit(&mut log);
    assert_eq!(read(&*disk, &start).unwrap().end, log.resume_point());
    assert_eq!(log.resume_point().generation, 3);
    // What a later header names is promised: a flipped bit in front of it is damage.
    let mut bytes = whole;
    bytes[places[7].offset as usize + 44] ^= 1;
    memory.set_bytes(&log_name(1), bytes);
    let error = read(&*disk, &start).unwrap_err();
    assert!(error.to_string().contains("the generation before it ended"), "{error}");
}

#[test]
fn a_sealed_log_goes_on_where_it_ended() {
    let (_directory, disk) = Directory::new("resume");
    for mapped in [true, false] {
        let config = LogConfig { mapped, ..SMALL };
        let mut log = if mapped {
            Log::create(Arc::clone(&disk), STORE, SALT, config).unwrap()
        } else {
            // The second session reads what the first one wrote.
            let first = first_place(&*disk);
            let sealed = read(&*disk, &first).unwrap().end;
            Log::resume(Arc::clone(&disk), STORE, &sealed, config).unwrap()
        };
        for _ in 0..170 {
            commit(&mut log);
        }
        log.shared().prepare_next().unwrap();
        log.shared().sync_now().unwrap();
        let end = log.resume_point();
        drop(log);
        let found = read_from(&*disk, &first_place(&*disk), end.lsn, Some(end.seal())).unwrap();
        assert!(found.sealed);
        assert_eq!((found.end, found.durable_until, found.newest_durable), (end, end.position, end.lsn));
        let mut log = Log::resume(Arc::clone(&disk), STORE, &found.end, config).unwrap();
        for _ in 0..90 {
            commit(&mut log);
        }
        assert_eq!(read(&*disk, &first_place(&*disk)).unwrap().end, log.resume_point());
        log.shared().sync_now().unwrap();
    }
}

/// The place where file 1 starts.
fn first_place(disk: &dyn Disk) -> Resume {
    let file = disk.open(&log_name(1), vellum_disk::Access::Read).unwrap();
    let (header, crc) = super::file::FileHeader::read(&*file, STORE, 1).unwrap();
    let position = Position { file: 1, offset: FRAMES_AT };
    Resume { position, lsn: Lsn(0), prev_crc: crc, generation: header.generation }
}

#[test]
fn a_closed_log_that_lost_or_gained_bytes_is_damaged() {
    let (memory, disk) = memory();
    let mut log = Log::create(disk, STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    for _ in 0..200 {
        commit(&mut log);
    }
    log.shared().prepare_next().unwrap();
    log.shared().sync_now().unwrap();
    let end = log.resume_point();
    let seal = Some(end.seal());
    assert!(read_from(&memory, &start, end.lsn, seal).unwrap().sealed);
    let names = memory.list().unwrap();
    assert!(names.len() >= 3);
    for (index, name) in names.iter().enumerate() {
        let bytes = memory.bytes(name);
        let expect_error = |disk: &MemDisk, what: &str| {
            let error = read_from(disk, &start, end.lsn, seal).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} {what}: {error}");
        };
        for len in [0, 1, 4095, 4096, 5000, bytes.len() - 1] {
            let disk = memory.copy();
            disk.set_bytes(name, bytes[..len].to_vec());
            expect_error(&disk, "is short");
        }
        let disk = memory.copy();
        disk.set_bytes(name, [bytes.clone(), vec![0; 8]].concat());
        expect_error(&disk, "is long");
        let disk = memory.copy();
        disk.remove(name).unwrap();
        // A file that was prepared and not used may go.
        if (index as u64) < end.position.file {
            expect_error(&disk, "is missing");
        }
        let disk = memory.copy();
        let other = memory.bytes(&names[(index + 1) % names.len()]);
        disk.set_bytes(name, other);
        expect_error(&disk, "is another");
    }
    let error = scan(&memory, [9; 16], &start, &Known::default(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("belongs to store"), "{error}");
}

#[test]
fn a_frame_that_fits_no_file_gets_one_of_its_own() {
    let (memory, disk) = memory();
    let mut log = Log::create(Arc::clone(&disk), STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    let large = vec![7; 100_000];
    let mut lsn = Lsn(0);
    let mut expected = Vec::new();
    for len in [10, 100_000, 20, 16_344, 16_345, 30, 100_000] {
        lsn = lsn.next();
        log.reserve(len).unwrap();
        log.append(Kind::Commit, lsn, Lsn(0), &large[..len]).unwrap();
        expected.push(len);
        log.shared().prepare_next().unwrap();
    }
    let mut found = Vec::new();
    let end = scan(&memory, STORE, &start, &Known::default(), &mut |frame| {
        found.extend((frame.kind == Kind::Commit).then_some(frame.body.len()));
        Ok(())
    });
    assert_eq!(found, expected);
    assert_eq!(end.unwrap().end, log.resume_point());
    // Over a gibibyte is refused before anything happens.
    let before = log.resume_point();
    let error = log.reserve(frame::BODY_LEN_MAX + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(log.reserve(usize::MAX).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(log.resume_point(), before);
}

#[test]
fn frames_of_recycled_files_do_not_come_back() {
    let (memory, disk) = memory();
    let mut log = Log::create(Arc::clone(&disk), STORE, SALT, SMALL).unwrap();
    let mut reused = 0;
    for _ in 0..12 {
        let checkpoint = log.resume_point();
        for _ in 0..500 {
            commit(&mut log);
            if memory.list().unwrap().iter().any(|name| name.starts_with("spare-")) {
                log.shared().prepare_next().unwrap();
                reused += usize::from(!memory.list().unwrap().iter().any(|name| name.starts_with("spare-")));
            }
        }
        log.shared().sync_now().unwrap();
        log.shared().recycle(checkpoint.position).unwrap();
        let names = memory.list().unwrap();
        assert!(names.iter().filter(|name| name.starts_with("spare-")).count() <= 1);
        assert!(!names.contains(&log_name(checkpoint.position.file - 1)));
        let found = read(&memory, &checkpoint).unwrap();
        assert_eq!((found.end, found.torn), (log.resume_point(), None));
        let rest = &memory.bytes(&log_name(log.position().file))[log.position().offset as usize..];
        assert!(rest.iter().all(|byte| *byte == 0), "unused space is zero");
        let seal = log.resume_point().seal();
        assert!(read_from(&memory, &checkpoint, Lsn(0), Some(seal)).unwrap().sealed);
    }
    assert!(reused > 5);
    // The next session removes what waited to be used.
    let end = log.resume_point();
    drop(log);
    Log::resume(Arc::clone(&disk), STORE, &end, SMALL).unwrap();
    assert!(memory.list().unwrap().iter().all(|name| super::file::log_number(name).is_some()));
}

#[test]
fn a_full_disk_refuses_and_leaves_the_log_as_it_was() {
    let (memory, disk) = memory();
    let mut log = Log::create(disk, STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    memory.set_room(Some(4096));
    let error = loop {
        let lsn = log.resume_point().lsn.next();
        if let Err(error) = log.reserve(body(lsn.0).len()) {
            break error;
        }
        commit(&mut log);
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert_eq!(
        log.shared().prepare_next().map_err(|error| error.kind()),
        Ok(()),
        "nothing is asked for twice"
    );
    assert_eq!(memory.list().unwrap(), [log_name(1)], "no half file is left");
    assert!(log.shared().poisoned().is_none());
    log.shared().sync_now().unwrap();
    assert_eq!(read(&memory, &start).unwrap().end, log.resume_point());
    memory.set_room(None);
    commit(&mut log);
    assert_eq!(log.position().file, 2);
    assert_eq!(read(&memory, &start).unwrap().end, log.resume_point());
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_thousand_polled_commits_need_one_thread_and_one_sync() {
    let (memory, disk) = memory();
    // All of them in one file.
    let config = LogConfig { file_len_first: 1 << 20, ..LogConfig::default() };
    let mut log = Log::create(disk, STORE, SALT, config).unwrap();
    let group = Arc::clone(log.shared());
    let bells: Vec<Arc<Bell>> = (0..1000).map(|_| Arc::default()).collect();
    let lsns: Vec<Lsn> = bells.iter().map(|_| commit(&mut log)).collect();
    for (bell, lsn) in bells.iter().zip(&lsns) {
        let waker = Waker::from(Arc::clone(bell));
        assert!(group.poll_durable(*lsn, &waker).is_pending());
        assert!(group.poll_durable(*lsn, &waker).is_pending(), "polled twice, kept once");
    }
    let before = memory.sync_count();
    // The flusher's part, by hand.
    let FlusherWork::Sync(lsn) = group.flusher_wait(None) else { panic!("a poll is work") };
    assert_eq!(lsn, Lsn(1000));
    group.wait(lsn).unwrap();
    assert_eq!(memory.sync_count(), before + 1);
    assert!(bells.iter().all(|bell| bell.0.load(Ordering::Relaxed) == 1));
    let waker = Waker::from(Arc::clone(&bells[0]));
    assert!(lsns.iter().all(|lsn| matches!(group.poll_durable(*lsn, &waker), Poll::Ready(Ok(())))));
    // Behind a stop nobody would come: the poll waits itself.
    let lsn = commit(&mut log);
    group.stop();
    assert_eq!(group.flusher_wait(None), FlusherWork::Stop);
    assert!(matches!(group.poll_durable(lsn, &waker), Poll::Ready(Ok(()))));
    // What was not appended is refused, not waited for.
    assert_eq!(group.wait(lsn.next()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(matches!(group.poll_durable(lsn.next(), &waker), Poll::Ready(Err(_))));
}

#[test]
fn a_sync_covers_what_was_appended_before_it_and_nothing_later() {
    let (memory, disk) = memory();
    let log = Log::create(disk, STORE, SALT, SMALL).unwrap();
    let group = Arc::clone(log.shared());
    let log = Arc::new(parking_lot::Mutex::new(log));
    let first = commit(&mut log.lock());
    // While the device works for the first commit, enough are appended to go on in the next file.
    memory.during_sync({
        let log = Arc::clone(&log);
        move || {
            (0..80).for_each(|_| {
                commit(&mut log.lock());
            });
        }
    });
    group.wait(first).unwrap();
    assert_eq!((group.durable(), group.appended()), (first, Lsn(81)));
    assert_eq!(log.lock().position().file, 2);
    // The file that was left meanwhile is synced by the next round, before the new one.
    let before = memory.sync_count();
    group.wait(Lsn(81)).unwrap();
    assert_eq!(memory.sync_count(), before + 2);
    group.sync_now().unwrap();
    assert_eq!(memory.sync_count(), before + 3, "the older file takes no more frames, and no more syncs");
}

#[test]
fn eight_threads_share_syncs_and_each_is_told_the_truth() {
    let (_directory, disk) = Directory::new("threads");
    let log = Log::create(Arc::clone(&disk), STORE, SALT, SMALL).unwrap();
    let start = log.resume_point();
    let group = Arc::clone(log.shared());
    let log = parking_lot::Mutex::new(log);
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            loop {
                match group.flusher_wait(None) {
                    FlusherWork::Sync(lsn) => group.wait(lsn).unwrap(),
                    FlusherWork::Prepare => group.prepare_next().unwrap(),
                    FlusherWork::Timeout => {}
                    FlusherWork::Stop => return,
                }
            }
        });
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..150 {
                        let lsn = commit(&mut log.lock());
                        group.wait(lsn).unwrap();
                        assert!(group.durable() >= lsn);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        group.stop();
        flusher.join().unwrap();
    });
    let log = log.into_inner();
    assert_eq!(group.durable(), Lsn(1200));
    assert_eq!(read(&*disk, &start).unwrap().end, log.resume_point());
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_no_sync_is_tried() {
    let (memory, disk) = memory();
    let mut log = Log::create(disk, STORE, SALT, SMALL).unwrap();
    let group = Arc::clone(log.shared());
    let durable = commit(&mut log);
    group.wait(durable).unwrap();
    memory.fail_sync_after(0);
    let lost = commit(&mut log);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    assert!(group.poll_durable(lost, &waker).is_pending());
    let error = group.wait(lost).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert!(
        error.to_string().contains("told to fail") && error.to_string().contains("lsn 1 are durable"),
        "{error}"
    );
    assert_eq!(bell.0.load(Ordering::Relaxed), 1, "who polled is told");
    let syncs = memory.sync_count();
    let kinds = [
        group.wait(lost).unwrap_err().kind(),
        group.sync_now().unwrap_err().kind(),
        group.poisoned().unwrap().kind(),
        log.reserve(10).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Poisoned; 4]);
    assert!(matches!(group.poll_durable(lost, &waker), Poll::Ready(Err(_))));
    assert_eq!(memory.sync_count(), syncs);
    group.wait(durable).unwrap();
    assert_eq!(group.durable(), durable);
}

#[test]
fn a_failed_sync_of_the_next_file_stops_the_log_too() {
    for passing in 0..2 {
        let (memory, disk) = memory();
        let mut log = Log::create(disk, STORE, SALT, SMALL).unwrap();
        memory.fail_sync_after(passing);
        let error = loop {
            let lsn = log.resume_point().lsn.next();
            match log.reserve(body(lsn.0).len()) {
                Ok(()) => commit(&mut log),
                Err(error) => break error,
            };
        };
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(log.reserve(1).unwrap_err().kind(), ErrorKind::Poisoned);
    }
}

#[test]
fn a_failed_write_poisons_where_there_is_no_mapping() {
    let (memory, disk) = memory();
    let mut log = Log::create(disk, STORE, SALT, LogConfig { mapped: false, ..SMALL }).unwrap();
    let start = log.resume_point();
    commit(&mut log);
    memory.fail_writes();
    log.reserve(5).unwrap();
    let error = log.append(Kind::Commit, Lsn(2), Lsn(0), &[1; 5]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(log.reserve(5).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(log.shared().sync_now().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(read(&memory, &start).unwrap().end.lsn, Lsn(1));
}

#[test]
fn no_acknowledged_commit_is_lost_over_many_crashes() {
    // Write, acknowledge some, lose any unsynced sectors and names, recover as the store does, and again
    // on what is left. Sectors of one frame may be lost apart, and later ones kept.
    let acked = AtomicU64::new(0);
    for seed in 1..=400 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let disk = MemDisk::new();
        let config = LogConfig { mapped: seed % 2 == 0, ..SMALL };
        let mut log = Log::create(Arc::new(disk.clone()), STORE, SALT, config).unwrap();
        let start = log.resume_point();
        let mut disk = disk;
        for cycle in 0..4 {
            let mut promised = log.shared().durable();
            for _ in 0..random.below(150) {
                commit(&mut log);
                match random.below(20) {
                    0 => promised = log.shared().sync_now().unwrap(),
                    1 => log.shared().prepare_next().unwrap(),
                    2 => mark(&mut log, Kind::CheckpointMark),
                    _ => {}
                }
            }
            acked.fetch_max(promised.0, Ordering::Relaxed);
            let attempted = log.resume_point().lsn;
            disk = disk.crash(&mut random);
            let recover = |disk: &MemDisk| {
                let found =
                    read(disk, &start).unwrap_or_else(|error| panic!("seed {seed} cycle {cycle}: {error}"));
                assert!(found.end.lsn >= promised && found.end.lsn <= attempted, "seed {seed} cycle {cycle}");
                assert!(found.newest_durable <= found.end.lsn);
                found
            };
            let found = recover(&disk);
            make_durable(&disk, found.durable_until, found.end.position).unwrap();
            if random.below(3) == 0 {
                // A crash in the middle of the recovery.
                disk = disk.crash(&mut random);
                assert_eq!(recover(&disk).end, found.end, "seed {seed} cycle {cycle}");
            }
            if let Some(torn) = &found.torn {
                keep_torn_tail(&disk, torn).unwrap();
            }
            let salt = SALT + cycle + 1;
            log = Log::start_generation(Arc::new(disk.clone()), STORE, salt, &found.end, config).unwrap();
        }
        assert_eq!(read(&disk, &start).unwrap().end, log.resume_point(), "seed {seed}");
    }
    assert!(acked.into_inner() > 100);
}

#[test]
fn recovery_rewrites_what_the_page_cache_may_have_kept_alone() {
    // The process died, the machine did not: frames are in the cache, not on the disk. Once recovered
    // they must survive a power cut.
    let (memory, log, start, _) = ten_commits();
    drop(log);
    let found = read(&memory, &start).unwrap();
    assert_eq!((found.end.lsn, found.newest_durable), (Lsn(10), Lsn(8)));
    make_durable(&memory, found.durable_until, found.end.position).unwrap();
    for seed in 1..50 {
        let after = memory.crash(&mut Random(seed));
        assert_eq!(read(&after, &start).unwrap().end, found.end);
    }
}

#[test]
fn bytes_that_are_no_log_are_refused_and_nothing_panics() {
    let (memory, log, start, _) = ten_commits();
    let whole = memory.bytes(&log_name(1));
    let used = log.position().offset as usize;
    let mut random = Random(42);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        // Runs of noise, zeros, or bytes from elsewhere in the file.
        for _ in 0..=random.below(3) {
            let start = random.below(used as u64) as usize;
            let end = (start + 1 + random.below(200) as usize).min(bytes.len());
            match random.below(3) {
                0 => bytes[start..end].iter_mut().for_each(|byte| *byte = random.next() as u8),
                1 => bytes[start..end].fill(0),
                _ => {
                    let from = random.below((whole.len() - (end - start)) as u64) as usize;
                    bytes[start..end].copy_from_slice(&whole[from..from + (end - start)]);
                }
            }
        }
        let disk = memory.copy();
        disk.set_bytes(&log_name(1), bytes);
        // `read` itself checks that no frame is wrong.
        let found: Result<Scan, Error> = read(&disk, &start);
        if let Ok(found) = found {
            assert!(found.end.lsn >= Lsn(8) || found.end.lsn.0 + 1 > found.newest_durable.0);
        }
    }
}
