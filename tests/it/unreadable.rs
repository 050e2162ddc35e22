//! Sectors that the disk does not read: an error for the records on them, and no signal; all else goes on, in
//! the same process.

use crate::common::{Dir, companies};
use crate::damage::{
    Random, World, Written, by_number, change, config, lived_store, make, names_file, read_files,
    store_on_disk,
};
use crate::history::on;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use vellum::{
    Action, Config, Error, ErrorKind, Mutation, Record, RecordId, Snapshot, Store, Value, patch, record,
};
use vellum_admin::{Repair, RepairReport, verify_on};
use vellum_testkit::MemDisk;

/// What the device reads whole or not at all, as far as the page cache can tell.
const PAGE: usize = 4096;
const SECTORS: usize = PAGE / 512;

/// Both ways to read segments; without mapping, into a cache that holds next to nothing.
fn settings() -> [Config; 2] {
    [config(), config().segments_mapped(false).segment_cache_len(1 << 15)]
}

/// The same files on a simulated disk.
fn load(dir: &Path) -> MemDisk {
    let disk = MemDisk::new();
    for (name, bytes) in read_files(dir) {
        disk.edit(&name, |content| *content = bytes);
    }
    disk
}

/// Every page of every segment.
fn pages(disk: &MemDisk) -> Vec<(String, usize)> {
    let files = disk.files();
    let segments = files.iter().filter(|(name, _)| name.starts_with("seg-"));
    segments
        .flat_map(|(name, bytes)| (0..bytes.len().div_ceil(PAGE)).map(|page| (name.clone(), page)))
        .collect()
}

/// An error about the sector says where it is, what happened and what to do.
fn tells(error: &Error, file: &str, page: usize) -> bool {
    let place = error.place().filter(|place| place.file == file && place.offset == (page * PAGE) as u64);
    place.is_some_and(|place| {
        ["cannot read", "os error 5", "vellum verify", "vellum repair"]
            .iter()
            .all(|s| place.reason.contains(s))
    })
}

/// Errors about a file speak of the broken sector, and nothing but it.
fn all_tell(errors: &[Error], file: &str, page: usize, what: &str) -> usize {
    let placed: Vec<&Error> = errors.iter().filter(|error| error.place().is_some()).collect();
    for error in &placed {
        assert!(tells(error, file, page), "{what}: {error}");
    }
    placed.len()
}

fn expected(world: &World) -> BTreeMap<RecordId, Record> {
    let newest = &world.states[&world.last()];
    newest.iter().filter(|(name, _)| name.starts_with("id ")).map(|(_, r)| (r.id, r.clone())).collect()
}

/// A repair keeps nothing but what was, and lists what it leaves out.
fn repaired(disk: &MemDisk, world: &World, what: &str) -> RepairReport {
    let into = MemDisk::new();
    let report = Repair::new().run_on(on(disk), on(&into)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected = expected(world);
    let store = config().open_on(on(&into)).unwrap();
    let mut missing = expected.clone();
    for record in store.snapshot().unwrap().iter("company").unwrap() {
        let record = record.unwrap();
        missing.remove(&record.id);
        let was = &expected[&record.id];
        assert_eq!(record.version, was.version, "{what}: {}", record.id);
        let lost = |name: &str| {
            let about = |loss: &&vellum_admin::Loss| loss.records.contains(&record.id);
            report.losses.iter().filter(about).any(|loss| loss.attributes.iter().any(|lost| lost == name))
        };
        for (name, value) in was.iter() {
            assert!(record.get(name) == Some(value) || lost(name), "{what}: {}.{name}", record.id);
        }
    }
    assert!(missing.is_empty() || !report.is_complete(), "{what}: {} records are missing", missing.len());
    report
}

/// Another store that is the same, byte for byte, but for a broken page.
fn broken(disk: &MemDisk, file: &str, page: usize) -> MemDisk {
    let copy = disk.after_kill();
    copy.break_sectors(file, page * SECTORS..page * SECTORS + 1);
    copy
}

#[test]
fn unreadable_sector_is_an_error_for_its_records_only() {
    for (closed, config) in settings().into_iter().flat_map(|c| [(true, c.clone()), (false, c)]) {
        let (dir, world) = store_on_disk("unreadable", closed);
        let disk = load(dir.path());
        let (mut errors, mut written, mut opened) = (0, 0, 0);
        for (file, page) in pages(&disk) {
            let what = format!("{file} page {page}, closed: {closed}");
            let disk = broken(&disk, &file, page);
            let report = verify_on(on(&disk)).unwrap();
            assert!(names_file(&report, &file), "{what}: {report:#?}");
            let store = match config.open_on(on(&disk)) {
                Ok(store) => store,
                Err(error) => {
                    // The root and the schema are what a store cannot open without.
                    assert!(tells(&error, &file, page), "{what}: {error}");
                    continue;
                }
            };
            opened += 1;
            errors += all_tell(&world.judge(&store), &file, page, &what);
            let mut random = Random::new(page as u64);
            let mut state = Written::of(&world, &store);
            for step in 0..2 {
                written += state.write(&store, &mut random);
                let result = if step == 1 { store.compact() } else { store.checkpoint() };
                assert!(result.is_ok(), "{what}, checkpoint {step}: {result:?}");
                state.judge(&store, &format!("{what}, checkpoint {step}"));
            }
            written += state.write(&store, &mut random);
            store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
            let store = config.open_on(on(&disk)).unwrap_or_else(|error| panic!("{what}, again: {error}"));
            state.judge(&store, &format!("{what}, opened again"));
        }
        assert!(errors > 100 && written > 100 && opened > 5, "{errors} {written} {opened}");
    }
}

#[test]
fn a_sector_that_breaks_while_the_store_is_open_is_an_error_at_its_first_touch() {
    let (dir, world) = store_on_disk("breaks", true);
    let disk = load(dir.path());
    for config in settings() {
        let mut errors = 0;
        for (file, page) in pages(&disk) {
            let what = format!("{file} page {page}");
            let disk = disk.after_kill();
            let store = config.open_on(on(&disk)).unwrap();
            disk.break_sectors(&file, page * SECTORS..page * SECTORS + 1);
            errors += all_tell(&world.judge(&store), &file, page, &what);
            store.checkpoint().unwrap();
            all_tell(&world.judge(&store), &file, page, &what);
        }
        assert!(errors > 100, "{errors}");
    }
}

#[test]
fn without_a_mapping_a_sector_that_breaks_after_it_was_read_is_an_error_too() {
    let (dir, world) = store_on_disk("breaks-later", true);
    let disk = load(dir.path());
    let [_, config] = settings();
    let mut errors = 0;
    for (file, page) in pages(&disk) {
        let disk = disk.after_kill();
        let store = config.open_on(on(&disk)).unwrap();
        assert_eq!(world.judge(&store).len(), 0);
        disk.break_sectors(&file, page * SECTORS..page * SECTORS + 1);
        errors += all_tell(&world.judge(&store), &file, page, &format!("{file} page {page}"));
    }
    assert!(errors > 50, "{errors}");
}

/// Makes a record, unless there is one, or another has its domain.
fn create(store: &Store, number: i64) {
    let values = record! {
        "country" => "DE", "number" => number, "name" => format!("company number {number}"),
        "domain" => format!("{number}.example.org"), "notes" => "note ".repeat((number % 90) as usize)
    };
    if let Err(error) = store.object("company").unwrap().create(values) {
        assert_eq!(error.kind(), ErrorKind::UniqueConflict, "{error}");
    }
}

#[test]
fn the_same_work_gives_the_same_store_whether_segments_are_mapped_or_not() {
    let stores: Vec<(MemDisk, Config)> = (0..2).map(|at| (MemDisk::new(), settings()[at].clone())).collect();
    let mut open: Vec<Store> =
        stores.iter().map(|(disk, config)| config.create_on(on(disk), &companies()).unwrap()).collect();
    let mut random = Random::new(11);
    let mut held = Vec::new();
    for step in 0..400 {
        // One change of seven makes a record, which is for `create` to do here.
        let (roll, number) = (random.next(20), random.next(42) as i64 * 7 + random.next(6) as i64);
        for store in &open {
            match roll {
                0..8 => create(store, number),
                8..16 => change(store, number),
                16 => drop(store.checkpoint().unwrap()),
                17 => drop(store.compact().unwrap()),
                18 => held.push(store.snapshot().unwrap()),
                _ => held.clear(),
            }
        }
        if roll == 19 && step % 3 == 0 {
            open.drain(..).for_each(|store| store.close().unwrap());
            open.extend(stores.iter().map(|(disk, config)| config.open_on(on(disk)).unwrap()));
        }
        let records = |snapshot: &Snapshot| -> Vec<String> {
            let all = snapshot.iter("company").unwrap().map(|record| record.unwrap());
            all.map(|record| format!("{} {:?}", record.version, record.iter().collect::<Vec<_>>())).collect()
        };
        if step % 10 == 9 {
            let now: Vec<Snapshot> = open.iter().map(|store| store.snapshot().unwrap()).collect();
            assert!(records(&now[0]) == records(&now[1]), "step {step}");
            for pair in held.chunks(2) {
                assert!(records(&pair[0]) == records(&pair[1]), "step {step}, a held snapshot");
            }
        }
    }
    drop(held);
    for (store, (disk, _)) in open.into_iter().zip(&stores) {
        store.close().unwrap();
        assert!(verify_on(on(disk)).unwrap().is_clean());
    }
}

#[test]
fn the_cache_keeps_its_bound_whatever_is_read_and_from_whichever_snapshot() {
    const CACHE_LEN: u64 = 1 << 20;
    const COUNT: i64 = 16_000;
    let disk = MemDisk::new();
    let config = config().segments_mapped(false).segment_cache_len(CACHE_LEN);
    let store = config.create_on(on(&disk), &companies()).unwrap();
    for first in (0..COUNT).step_by(1000) {
        let creation = |n: i64| Mutation {
            object: "company".into(),
            action: Action::Create,
            key: None,
            patch: patch! { "country" => "DE", "number" => n, "notes" => format!("{n:1500}") },
        };
        store.apply_batch(&(first..first + 1000).map(creation).collect::<Vec<_>>()).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = config.open_on(on(&disk)).unwrap();
    assert!(store.stats().unwrap().live_len > 20 * CACHE_LEN);
    let snapshot = store.snapshot().unwrap();
    let companies = store.object("company").unwrap();
    for n in (0..COUNT).step_by(100) {
        companies.update(by_number(n), patch! { "score" => 1.0 }).unwrap();
    }
    store.checkpoint().unwrap();
    for changed in [0, COUNT as usize / 100] {
        let live = store.snapshot().unwrap();
        let read = if changed == 0 { &snapshot } else { &live };
        let records: Vec<Record> = read.iter("company").unwrap().map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), COUNT as usize);
        assert_eq!(records.iter().filter(|record| record.get("score").is_some()).count(), changed);
        for n in (0..COUNT).step_by(7) {
            assert!(companies.get(by_number(n)).unwrap().is_some());
        }
    }
    let stats = store.stats().unwrap();
    let image = 1 << 21;
    assert!(stats.segment_cache_len > 0 && stats.segment_cache_len <= CACHE_LEN + image, "{stats:?}");
    assert!(stats.segment_cache_peak_len <= CACHE_LEN + 2 * image, "{stats:?}");
}

#[test]
fn a_backup_names_the_unreadable_sector_and_a_repair_saves_the_rest() {
    let (dir, world, _) = lived_store("backup", true);
    let disk = load(dir.path());
    let (mut refused, mut complete, mut all) = (0, 0, 0);
    for (file, page) in pages(&disk) {
        let what = format!("{file} page {page}");
        let disk = broken(&disk, &file, page);
        let report = repaired(&disk, &world, &what);
        all += 1;
        complete += usize::from(report.is_complete());
        for config in settings() {
            let Ok(store) = config.open_on(on(&disk)) else { continue };
            let copy = MemDisk::new();
            match vellum_admin::backup_on(&store, on(&copy), &|_| {}) {
                Ok(_) => assert_eq!(world.judge(&config.open_on(on(&copy)).unwrap()).len(), 0, "{what}"),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                    assert!(tells(&error, &file, page), "{what}: {error}");
                    assert!(!copy.files().contains_key("superblock"), "{what}");
                }
            }
        }
    }
    // What the older checkpoint and the log have is not lost at all.
    assert!(refused > 5 && complete > 5, "{refused} {complete} {all}");
}

#[test]
fn an_unreadable_sector_of_the_log_or_the_superblock_is_an_error_that_names_the_file() {
    let (dir, world) = store_on_disk("unreadable-log", false);
    let disk = load(dir.path());
    let files = disk.files();
    for file in files.keys().filter(|name| name.starts_with("log-") || *name == "superblock") {
        for page in 0..files[file].len().div_ceil(PAGE).min(12) {
            let what = format!("{file} page {page}");
            let disk = broken(&disk, file, page);
            match verify_on(on(&disk)) {
                Ok(report) => assert!(report.findings.iter().any(|f| f.to_string().contains(file)), "{what}"),
                Err(error) => assert!(error.to_string().contains(file), "{what}: {error}"),
            }
            match config().open_on(on(&disk)) {
                Ok(store) => assert_eq!(world.judge(&store).len(), 0, "{what}"),
                Err(error) => assert!(error.to_string().contains(file), "{what}: {error}"),
            }
            match Repair::new().run_on(on(&disk), on(&MemDisk::new())) {
                Ok(report) => assert!(!report.losses.is_empty() || !report.notes.is_empty(), "{what}"),
                Err(error) => assert!(error.to_string().contains(file), "{what}: {error}"),
            }
        }
    }
}

/// A file system on a loop device, where this process may mount one.
struct LoopDisk(Dir);

impl LoopDisk {
    fn mount(name: &str, len: u64) -> Option<LoopDisk> {
        let disk = LoopDisk(Dir::new(name));
        std::fs::create_dir_all(disk.path()).unwrap();
        std::fs::File::create(disk.image()).unwrap().set_len(len).unwrap();
        // Without a journal, which may come to lie where the device ends later.
        let made = run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096", "-O", "^has_journal"])
            .arg(disk.image()));
        let mounted = made
            && run(Command::new("mount").args(["-o", "loop"]).arg(disk.image()).arg(disk.path()))
            && std::fs::OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches").is_ok();
        mounted.then_some(disk)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    /// Blocks of the device that a file lies in.
    fn blocks(&self, file: &str) -> Vec<u64> {
        let question = format!("blocks /store/{file}");
        let told = Command::new("debugfs").arg("-R").arg(question).arg(self.image()).output().unwrap();
        String::from_utf8(told.stdout).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    /// The device ends before this block, and nothing of it is in memory any more.
    fn cut(&self, block: u64) {
        assert!(run(&mut Command::new("sync")));
        let image = std::fs::OpenOptions::new().write(true).open(self.image()).unwrap();
        image.set_len(block * PAGE as u64).unwrap();
        image.sync_all().unwrap();
        drop_caches();
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn drop_caches() {
    let file = std::fs::OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches").unwrap();
    file.write_at(b"3", 0).unwrap();
}

/// A store whose newest segment ends where the device will.
fn fill(path: &Path, config: &Config) -> World {
    let store = config.create(path, &companies()).unwrap();
    (0..6000).for_each(|number| make(&store, number));
    store.checkpoint().unwrap();
    let mut world = World::default();
    world.note(&store);
    store.close().unwrap();
    world
}

fn numbers_read(store: &Store) -> (Vec<i64>, Vec<Error>) {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for number in 0..6000 {
        match store.object("company").unwrap().get(by_number(number)) {
            Ok(record) => {
                let record = record.expect("none was deleted");
                assert_eq!(record.get("number"), Some(&Value::Integer(number)));
                read.push(number);
            }
            Err(error) => errors.push(error),
        }
    }
    (read, errors)
}

#[test]
fn sectors_that_a_real_device_does_not_read_are_errors_and_no_signal() {
    settings().iter().for_each(on_a_device_that_ends);
}

fn on_a_device_that_ends(config: &Config) {
    let Some(disk) = LoopDisk::mount("loop", 64 << 20) else {
        eprintln!("SKIPPED: this process may not mount, so no device with unreadable sectors was tried");
        return;
    };
    let path = disk.path().join("store");
    let world = fill(&path, config);
    let mut blocks = disk.blocks("seg-00000001");
    blocks.sort_unstable();
    assert!(blocks.len() > 100, "{} blocks", blocks.len());
    // What a mapping holds is not dropped: of the file that was just written, that could be all of it.
    assert!(run(&mut Command::new("sync")));
    drop_caches();
    let store = config.open(&path).unwrap();
    disk.cut(blocks[blocks.len() / 3]);
    let (read, errors) = numbers_read(&store);
    assert!(!errors.is_empty(), "all {} records were read", read.len());
    for error in &errors {
        let place = error.place().unwrap_or_else(|| panic!("{error}"));
        assert!(place.file.starts_with("seg-") && place.reason.contains("cannot read"), "{error}");
    }
    world.judge(&store);
    store.close().unwrap();
    drop_caches();
    // Of the page table, which lies at the end, nothing can be read any more.
    let report = vellum_admin::verify(&path).unwrap();
    assert!(names_file(&report, "seg-00000001"), "{report:#?}");
    let error = config.open(&path).unwrap_err();
    assert!(error.place().is_some_and(|place| place.file.starts_with("seg-")), "{error}");
    let into = Dir::new("loop-repaired");
    match vellum_admin::repair(&path, into.path()) {
        // All of it is in the log, which was never recycled.
        Ok(report) => {
            let (read, errors) = numbers_read(&config.open(into.path()).unwrap());
            assert!(report.is_complete() && errors.is_empty() && read.len() == 6000, "{report:#?}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}
