//! The real disk under calls that are interrupted and do a part, and under a recorder. A binary of its own: it
//! puts itself between the engine and the C library. Requirements 16 and 35.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#![allow(
    unsafe_code,
    reason = "functions of the C library are unsafe; those here count, shorten and pass on"
)]
#![allow(clippy::disallowed_methods, reason = "the tests look at files from outside")]

mod shim;

use shim::{Call, Manners, Seen, watching};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vellum::{Config, Durability, Schema, Store, Timestamp, patch, record};
use vellum_admin::{dump, load, verify};

/// The recorder knows one directory at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vellum-calls-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SCHEMA: &str = r#"{"objects":[{"key":"company","primary_key":["number"],"history":true,"attributes":[
    {"key":"number","type":"integer","required":true},
    {"key":"domain","type":"text","unique":true},
    {"key":"seats","type":"integer"},
    {"key":"notes","type":"long_text"}]}]}"#;

fn config(mapped: bool) -> Config {
    // A clock that ticks through all openings and a seed: every life makes the same records.
    let clock = AtomicI64::new(1_000_000);
    Config::new()
        .durability(Durability::Buffered)
        .log_mapped(mapped)
        .log_file_len(16 << 10, 64 << 10)
        .background(false)
        .seed(16)
        .clock(Arc::new(move || Timestamp(clock.fetch_add(1_000_000, Ordering::Relaxed))))
}

fn change(store: &Store, numbers: std::ops::Range<i64>) {
    let companies = store.object("company").unwrap();
    for number in numbers {
        let notes = "note ".repeat(number as usize % 700);
        let values =
            record! { "number" => number, "domain" => format!("d{number}.example"), "notes" => notes };
        companies.create(values).unwrap();
        companies
            .update(
                ("number", number / 20 * 10),
                patch! { "seats" => number, "domain" => format!("x{number}.example") },
            )
            .unwrap();
        if number % 5 == 4 {
            companies.delete(("number", number - 1)).unwrap();
        }
        if number % 40 == 0 {
            store.wait_durable(store.applied_lsn()).unwrap();
        }
    }
}

fn text_of(store: &Store) -> String {
    let mut out = Vec::new();
    dump(&store.snapshot().unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The lines of a dump between the first, which has the commit's number, and the last, which has the checksum.
fn content_of(dump: &str) -> Vec<&str> {
    let lines: Vec<&str> = dump.lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

/// A store's life below `root`, all of it: created, written, checkpointed, copied, closed, opened,
/// and a copy of its open files, which is what a killed process leaves, recovered. What it held at the end.
fn life(root: &Path, mapped: bool) -> [String; 3] {
    let config = config(mapped);
    let path = root.join("store");
    let store = config.create(&path, &Schema::from_json(SCHEMA).unwrap()).unwrap();
    change(&store, 0..150);
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = config.open(&path).unwrap();
    change(&store, 150..260);
    vellum_admin::backup(&store, root.join("backup")).unwrap();
    change(&store, 260..300);
    let killed = root.join("killed");
    fs::create_dir(&killed).unwrap();
    store.checkpoint().unwrap();
    change(&store, 300..310);
    copy_open_files(&path, &killed);
    store.close().unwrap();
    ["store", "killed", "backup"].map(|name| {
        let store = config.open(root.join(name)).unwrap();
        let text = text_of(&store);
        store.close().unwrap();
        let report = verify(root.join(name)).unwrap();
        assert!(report.is_clean(), "{name}: {report:?}");
        text
    })
}

/// Copies what is there, as of one moment: a thread of the store prepares log files and gives them their names.
fn copy_open_files(from: &Path, to: &Path) {
    loop {
        let before = tree(from);
        if before == tree(from) {
            for (name, bytes) in before {
                File::create(to.join(name)).unwrap().write_all(&bytes).unwrap();
            }
            return;
        }
    }
}

#[test]
fn requirement_16_interrupted_and_short_calls_are_invisible() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for mapped in [false, true] {
        let dir = Dir::new("plain");
        let expected = life(&dir.0, mapped);
        assert_eq!(expected[0], expected[1], "nothing is lost where the process was killed");
        for (interrupted, short) in [(true, false), (false, true), (true, true)] {
            let dir = Dir::new("manners");
            let (found, seen) = watching(&dir.0, Manners { interrupted, short }, || {
                let found = life(&dir.0, mapped);
                load(&mut found[0].as_bytes(), dir.0.join("loaded")).unwrap();
                found
            });
            let loaded = Config::new().read_only(true).open(dir.0.join("loaded")).unwrap();
            assert_eq!(content_of(&text_of(&loaded)), content_of(&expected[0]));
            assert!(found == expected, "interrupted {interrupted}, short {short}, mapped {mapped}");
            // Each kind of call was met, or this shows nothing.
            for name in ["open", "pread", "pwrite", "fdatasync", "fsync", "fallocate"] {
                let count = seen.interrupted.get(name).copied().unwrap_or(0);
                assert_eq!(count > 0, interrupted, "{name}: {:?}", seen.interrupted);
            }
            for name in ["pread", "pwrite", "write"] {
                let count = seen.shortened.get(name).copied().unwrap_or(0);
                assert_eq!(count > 0, short, "{name}: {:?}", seen.shortened);
            }
        }
    }
}

#[test]
fn requirement_35_recorded_calls_make_the_same_directory_again() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, copy) = (Dir::new("recorded"), Dir::new("replayed"));
    let (_, seen) = watching(&dir.0, Manners::default(), || life(&dir.0, false));
    assert_eq!(seen.writable_maps, 0, "with the log's mapping off nothing is written through a mapping");
    replay(&seen, &copy.0);
    let (found, expected) = (tree(&copy.0), tree(&dir.0));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, bytes) in &expected {
        assert!(found[path] == *bytes, "{} differs from what the calls wrote", path.display());
    }
    let count = |kind: fn(&Call) -> bool| seen.calls.iter().filter(|call| kind(call)).count();
    assert!(count(|call| matches!(call, Call::Write { .. })) > 500);
    assert!(count(|call| matches!(call, Call::Sync)) > 20);
    assert!(count(|call| matches!(call, Call::Rename { .. })) > 0);
    assert!(count(|call| matches!(call, Call::Unlink { .. })) > 3);
}

#[test]
fn a_store_through_a_mapping_is_missed_by_a_recording() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, copy) = (Dir::new("mapped"), Dir::new("mapped-replayed"));
    let (_, seen) = watching(&dir.0, Manners::default(), || life(&dir.0, true));
    replay(&seen, &copy.0);
    // Only some file systems take a mapped log; where none is mapped nothing is hidden.
    assert_eq!(tree(&copy.0) == tree(&dir.0), seen.writable_maps == 0);
}

/// Makes the recorded calls below another directory.
fn replay(seen: &Seen, root: &Path) {
    let mut files: BTreeMap<usize, File> = BTreeMap::new();
    for call in &seen.calls {
        match call {
            Call::Open { handle, path, flags } => {
                let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
                let creates = flags & libc::O_CREAT != 0;
                let opened = OpenOptions::new()
                    .read(true)
                    .write(writes)
                    .create(creates)
                    .truncate(flags & libc::O_TRUNC != 0)
                    .create_new(creates && flags & libc::O_EXCL != 0)
                    .open(root.join(path));
                files.insert(*handle, opened.unwrap());
            }
            Call::Write { handle, offset: Some(offset), bytes } => {
                files[handle].write_all_at(bytes, *offset).unwrap();
            }
            Call::Write { handle, offset: None, bytes } => (&files[handle]).write_all(bytes).unwrap(),
            Call::Truncate { handle, len } => files[handle].set_len(*len).unwrap(),
            Call::Allocate { handle, len } => {
                let found = files[handle].metadata().unwrap().len();
                files[handle].set_len(found.max(*len)).unwrap();
            }
            Call::Sync => {}
            Call::Close { handle } => drop(files.remove(handle)),
            Call::Rename { from, to } => fs::rename(root.join(from), root.join(to)).unwrap(),
            Call::Unlink { path } => fs::remove_file(root.join(path)).unwrap(),
            Call::Mkdir { path } => fs::create_dir(root.join(path)).unwrap(),
        }
    }
}

/// Every file below a directory, by its path in it.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                // What got another name since it was listed is not there.
                let Ok(bytes) = fs::read(&path) else { continue };
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    found
}
