//! What surrounds a store: other handles, a clock that jumps, directories that cannot be written, panics in
//! the caller's code, odd values, readers beside writers. Limits that hold for a process are in the tool's
//! tests (`cli/tests/it/environment.rs`).

use crate::common::{Dir, StopAtEnd, companies, create, quick};
use crate::damage::{Random, by_number, change, config, make, read_files, store_on_disk};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use vellum::{Config, Durability, Error, ErrorKind, Schema, Store, Timestamp, Value, patch, record};
use vellum_admin::verify;

#[test]
fn requirement_28_a_second_handle_is_refused_until_the_first_is_gone() {
    let dir = Dir::new("env-second");
    let store = create(&dir);
    make(&store, 1);
    for _ in 0..3 {
        assert_eq!(quick().open(dir.path()).unwrap_err().kind(), ErrorKind::Locked);
    }
    make(&store, 2);
    drop(store);
    let store = quick().open(dir.path()).unwrap();
    assert_eq!(store.object("company").unwrap().count(), 2);
}

#[test]
fn readers_share_a_store_and_change_nothing() {
    let (dir, world) = store_on_disk("env-readers", true);
    let before = read_files(dir.path());
    let one = config().read_only(true).open(dir.path()).unwrap();
    let two = config().read_only(true).open(dir.path()).unwrap();
    assert!(world.judge(&one).is_empty() && world.judge(&two).is_empty());
    assert!(verify(dir.path()).unwrap().is_clean());
    drop((one, two));
    assert!(before == read_files(dir.path()));
    config().open(dir.path()).unwrap();
}

#[test]
fn a_reader_beside_a_writer_sees_one_commit_and_disturbs_nobody() {
    // Each transaction moves an amount from one record to another; checkpoints and compactions run. Each
    // opening for reading must see the sum, and the newest commit that was there when it began.
    let dir = Dir::new("env-beside");
    let store = quick().create(dir.path(), &companies()).unwrap();
    for n in 0..50i64 {
        let values = record! { "country" => "DE", "number" => n, "score" => 10.0 };
        store.object("company").unwrap().create(values).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(5);
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = (random.next(50) as i64, random.next(50) as i64);
                let moved = store.transaction(|txn| {
                    for (number, amount) in [(from, -1.0), (to, 1.0)] {
                        let found = txn.get("company", by_number(number))?.expect("it is there");
                        let Some(Value::Number(score)) = found.get("score") else { panic!("{found:?}") };
                        txn.update("company", by_number(number), patch! { "score" => score + amount })?;
                    }
                    Ok(())
                });
                moved.unwrap();
            }
        });
        // Four checkpoints an opening: each try fails only if two of them fall into it.
        let (begin, openings) = std::sync::mpsc::channel();
        let checkpoints = &store;
        scope.spawn(move || {
            for () in openings {
                for _ in 0..2 {
                    checkpoints.checkpoint().unwrap();
                    checkpoints.compact().unwrap();
                }
            }
        });
        // A failure must not leave the writer running for ever.
        let _stop = StopAtEnd(&stop);
        for round in 0..60 {
            begin.send(()).unwrap();
            let floor = store.applied_lsn();
            let reader = Config::new().read_only(true).open(dir.path());
            let reader = reader.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(reader.applied_lsn() >= floor, "round {round}");
            let mut sum = 0.0;
            for record in reader.snapshot().unwrap().iter("company").unwrap() {
                let record = record.unwrap();
                let Some(Value::Number(score)) = record.get("score") else { panic!("{record:?}") };
                sum += score;
            }
            assert_eq!(sum, 500.0, "round {round} at lsn {}", reader.applied_lsn());
            assert_eq!(reader.checkpoint().unwrap_err().kind(), ErrorKind::ReadOnly);
        }
        drop(begin);
    });
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
}

#[test]
fn requirement_29_what_is_no_store_is_not_touched() {
    let foreign = [
        ("empty superblock", vec![]),
        ("other superblock", b"SQLite format 3\0".repeat(512)),
        ("newer version", {
            let (dir, _) = store_on_disk("env-newer", true);
            let mut bytes = std::fs::read(dir.path().join("superblock")).unwrap();
            for copy in [0, 4096] {
                bytes[copy + 8] = u8::MAX;
                let crc = crc32(&bytes[copy..copy + 120]);
                bytes[copy + 120..copy + 124].copy_from_slice(&crc.to_le_bytes());
            }
            bytes
        }),
    ];
    for (name, superblock) in foreign {
        let dir = Dir::new("env-foreign");
        std::fs::create_dir_all(dir.path()).unwrap();
        std::fs::write(dir.path().join("superblock"), superblock).unwrap();
        std::fs::write(dir.path().join("seg-00000001"), "not a segment").unwrap();
        let before = read_files(dir.path());
        for read_only in [true, false] {
            let error = quick().read_only(read_only).open(dir.path()).unwrap_err();
            let expected =
                if name == "newer version" { ErrorKind::UnknownFormat } else { ErrorKind::Corrupt };
            assert_eq!(error.kind(), expected, "{name}: {error}");
        }
        assert!(quick().create(dir.path(), &companies()).is_err());
        assert!(before == read_files(dir.path()), "{name}");
    }
    let dir = Dir::new("env-absent");
    assert_eq!(Store::open(dir.path()).unwrap_err().kind(), ErrorKind::NotAStore);
    assert!(!dir.path().exists(), "an open creates nothing");
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (0u32.wrapping_sub(crc & 1))))
    })
}

#[test]
fn requirement_31_a_directory_that_cannot_be_written_is_read() {
    // Root may write anywhere but where the file system says no, so a read-only mount is what tells.
    let (dir, world) = store_on_disk("env-ro", true);
    let mount = Dir::new("env-ro-mount");
    std::fs::create_dir_all(mount.path()).unwrap();
    let run = |args: &[&std::ffi::OsStr]| {
        std::process::Command::new(args[0])
            .args(&args[1..])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let (from, to) = (dir.path().as_os_str(), mount.path().as_os_str());
    let bound = run(&["mount".as_ref(), "--bind".as_ref(), from, to]);
    let sealed = bound && run(&["mount".as_ref(), "-o".as_ref(), "remount,ro,bind".as_ref(), to]);
    if sealed {
        let store = config().read_only(true).open(mount.path()).unwrap();
        assert!(world.judge(&store).is_empty());
        assert!(verify(mount.path()).unwrap().is_clean());
        drop(store);
        let error = config().open(mount.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    } else {
        eprintln!("SKIPPED: this process may not mount, so no read-only file system was tried");
    }
    if bound {
        assert!(run(&["umount".as_ref(), to]));
    }
    // A store opened for reading refuses to write, wherever it is.
    let store = config().read_only(true).open(dir.path()).unwrap();
    let refused = store.object("company").unwrap().create(record! { "country" => "DE", "number" => 9999 });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn requirement_34_order_does_not_come_from_the_clock() {
    const YEAR: i64 = 365 * 86_400 * 1_000_000_000;
    let now = Arc::new(AtomicI64::new(1_700_000_000_000_000_000));
    let clock = now.clone();
    let config = quick().clock(Arc::new(move || Timestamp(clock.fetch_add(1, Ordering::Relaxed))));
    let dir = Dir::new("env-clock");
    let mut store = config.create(dir.path(), &companies()).unwrap();
    let mut last = (Timestamp(i64::MIN), 0);
    // A year back, to 2001, past 2037, to the end of time, and back again.
    let jumps =
        [0, -YEAR, 1_000_000_000_000_000_000 - 1_700_000_000_000_000_000, 20 * YEAR, 200 * YEAR, -200 * YEAR];
    for (number, jump) in jumps.into_iter().enumerate() {
        now.store(1_700_000_000_000_000_000i64.saturating_add(jump), Ordering::Relaxed);
        for step in 0..3 {
            let n = (number * 10 + step) as i64;
            make(&store, n);
            let found = store.object("company").unwrap().get(by_number(n)).unwrap().unwrap();
            assert!((found.created_at, found.counter) >= last, "times never run backwards");
            last = (found.created_at, found.counter);
        }
        let lsn = store.applied_lsn();
        store = match number % 3 {
            1 => {
                store.checkpoint().unwrap();
                store
            }
            _ => {
                store.close().unwrap();
                config.open(dir.path()).unwrap()
            }
        };
        assert_eq!(store.applied_lsn(), lsn);
    }
    assert_eq!(store.object("company").unwrap().count(), 18);
    drop(store);
    assert!(verify(dir.path()).unwrap().is_clean());
}

#[test]
fn requirement_36_a_panic_in_the_callers_code_leaves_no_trace() {
    let dir = Dir::new("env-panic");
    let store = create(&dir);
    make(&store, 1);
    let lsn = store.applied_lsn();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.transaction(|txn| {
            txn.update("company", by_number(1), patch! { "score" => 99.0 })?;
            txn.create("company", record! { "country" => "DE", "number" => 2 })?;
            if txn.get("company", by_number(2))?.is_some() {
                panic!("in the middle");
            }
            Ok(())
        })
    }));
    assert!(panicked.is_err());
    let thread = {
        let store = store.clone();
        std::thread::spawn(move || {
            let _snapshot = store.snapshot().unwrap();
            make(&store, 3);
            panic!("a client dies");
        })
    };
    assert!(thread.join().is_err());
    assert_eq!(store.applied_lsn().0, lsn.0 + 1);
    make(&store, 4);
    store.checkpoint().unwrap();
    assert_eq!(store.object("company").unwrap().count(), 3);
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
    let store = quick().open(dir.path()).unwrap();
    assert!(store.recovery().clean);
    assert_eq!(store.object("company").unwrap().get(by_number(1)).unwrap().unwrap().version, 1);
}

#[test]
fn requirement_37_odd_values_come_back_exactly() {
    let schema = r#"{"objects":[{"key":"odd","primary_key":["k"],"attributes":[
        {"key":"k","type":"text"},{"key":"t","type":"long_text"},{"key":"i","type":"integer"},
        {"key":"n","type":"number"},{"key":"j","type":"json"}]}]}"#;
    let dir = Dir::new("env-odd");
    let mut store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let long = "0123456789abcdef".repeat((16 << 20) / 16);
    let keys = ["", "\0", "\u{e9}", "e\u{301}", "a\0b", &"k".repeat(60_000), "\u{10ffff}"];
    let texts = ["", "\0", "x\0", "twelve bytes", "thirteen byte", &"y".repeat(16_385), &long];
    let numbers = [0.0, -0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324, -5e-324];
    let whole = [0, i64::MIN, i64::MAX, -1, 1, 1 << 53, i64::MIN + 1];
    for (at, key) in keys.iter().enumerate() {
        let values = record! { "k" => *key, "t" => texts[at], "n" => numbers[at], "i" => whole[at] };
        store.object("odd").unwrap().create(values).unwrap();
    }
    let check = |store: &Store| {
        let odd = store.object("odd").unwrap();
        for (at, key) in keys.iter().enumerate() {
            let found = odd.get(("k", *key)).unwrap().unwrap_or_else(|| panic!("key {at}"));
            assert_eq!(found.get("k").unwrap().as_text(), Some(*key));
            assert_eq!(found.get("t").unwrap().as_text().map(str::as_bytes), Some(texts[at].as_bytes()));
            let Some(Value::Number(number)) = found.get("n") else { panic!("{found:?}") };
            assert_eq!(number.to_bits(), numbers[at].to_bits());
            assert_eq!(found.get("i"), Some(&Value::Integer(whole[at])));
        }
    };
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    let odd = store.object("odd").unwrap();
    let kind = |result: Result<vellum::Outcome, Error>| result.unwrap_err().kind();
    let conflict = kind(odd.create(record! { "k" => "\u{e9}" }));
    assert_eq!(conflict, ErrorKind::UniqueConflict, "the same form of a letter is the same key");
    assert_eq!(kind(odd.update(("k", ""), patch! { "t" => format!("{long}x") })), ErrorKind::LimitExceeded);
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    assert_eq!(kind(odd.update(("k", ""), patch! { "n" => nan })), ErrorKind::InvalidValue);
    // The last one wins where a name stands twice in one patch.
    odd.update(("k", "\0"), patch! { "i" => 1 }.set("i", 7)).unwrap();
    assert_eq!(odd.get(("k", "\0")).unwrap().unwrap().get("i"), Some(&Value::Integer(7)));
    odd.update(("k", "\0"), patch! { "i" => whole[1] }).unwrap();
    drop(odd);
    drop(store);
    store = quick().open(dir.path()).unwrap();
    check(&store);
}

#[test]
fn requirement_37_an_object_of_ten_thousand_attributes() {
    let attributes: Vec<String> =
        (0..9_999).map(|n| format!(r#"{{"key":"a{n}","type":"integer"}}"#)).collect();
    let json = format!(
        r#"{{"objects":[{{"key":"wide","primary_key":["k"],"attributes":[{{"key":"k","type":"integer"}},{}]}}]}}"#,
        attributes.join(",")
    );
    let dir = Dir::new("env-wide");
    let store = quick().create(dir.path(), &Schema::from_json(&json).unwrap()).unwrap();
    let values =
        (0..9_999).map(|n| (format!("a{n}").into(), Value::Integer(n))).chain([("k".into(), 1.into())]);
    store.object("wide").unwrap().create(values.collect()).unwrap();
    store.close().unwrap();
    let store = quick().open(dir.path()).unwrap();
    let found = store.object("wide").unwrap().get(("k", 1)).unwrap().unwrap();
    assert!((0..9_999).all(|n| found.get(&format!("a{n}")) == Some(&Value::Integer(n))));
    assert!(
        Schema::from_json(
            &json.replace("{\"key\":\"k\"", "{\"key\":\"more\",\"type\":\"date\"},{\"key\":\"k\"")
        )
        .is_err()
    );
}

#[test]
fn requirement_38_a_reader_held_over_ten_checkpoints_sees_one_state() {
    let dir = Dir::new("env-held");
    let store = quick().background(false).create(dir.path(), &companies()).unwrap();
    (0..200).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    let held = store.snapshot().unwrap();
    let digest = || -> Vec<String> {
        held.iter("company").unwrap().map(|record| format!("{:?}", record.unwrap())).collect()
    };
    let first = digest();
    for round in 0..10i64 {
        for n in 0..200 {
            let note = format!("round {round} ").repeat(40);
            let _ = store.object("company").unwrap().update(by_number(n), patch! { "notes" => note });
        }
        if round % 3 == 0 {
            store.compact().unwrap()
        } else {
            store.checkpoint().unwrap()
        };
        assert_eq!(digest(), first, "after checkpoint {round}");
    }
    drop(held);
    store.compact().unwrap();
    store.compact().unwrap();
    // Space comes back: what is left is the live data, and little else.
    let stats = store.stats().unwrap();
    assert!(stats.segment_len < 2 * stats.live_len, "{stats:?}");
    let on_disk: u64 = read_files(dir.path())
        .iter()
        .filter(|(name, _)| name.starts_with("seg-"))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert!(on_disk <= 2 * stats.segment_len, "{on_disk} bytes in segment files: {stats:?}");
}

#[test]
fn requirement_39_no_reader_ever_sees_half_of_a_patch() {
    // Each patch sets four attributes of one record to values with a fixed sum.
    let dir = Dir::new("env-torn");
    let store = quick().create(dir.path(), &companies()).unwrap();
    for n in 0..8i64 {
        let values =
            record! { "country" => "DE", "number" => n, "score" => 0.0, "name" => "0", "notes" => "0" };
        store.object("company").unwrap().create(values).unwrap();
    }
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (store, stop, reads) = (&store, &stop, &reads);
        let _stop = StopAtEnd(stop);
        for thread in 0..2u64 {
            scope.spawn(move || {
                let companies = store.object("company").unwrap();
                let mut random = Random::new(thread + 70);
                while !stop.load(Ordering::Relaxed) {
                    let found = companies.get(by_number(random.next(8) as i64)).unwrap().unwrap();
                    let Some(Value::Number(score)) = found.get("score") else { panic!("{found:?}") };
                    for name in ["name", "notes"] {
                        let text = found.get(name).unwrap().as_text().unwrap();
                        assert!(text.len() > 30 || text == "0" || *score != 0.0);
                        let number: f64 = text.split(' ').next().unwrap().parse().unwrap();
                        assert_eq!(number, *score, "half of a patch: {found:?}");
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
            }
        });
        let companies = store.object("company").unwrap();
        let mut random = Random::new(80);
        for n in 1..20_000i64 {
            let (name, notes) =
                (format!("{n} is the name of it"), format!("{n} {}", "and so on ".repeat((n % 50) as usize)));
            let set = patch! { "score" => n as f64, "name" => name, "notes" => notes };
            companies.update(by_number(random.next(8) as i64), set).unwrap();
        }
    });
    assert!(reads.load(Ordering::Relaxed) > 1000);
}

#[test]
fn requirement_40_sizes_behind_the_limits_are_errors() {
    let dir = Dir::new("env-sizes");
    let store = quick().durability(Durability::Buffered).create(dir.path(), &companies()).unwrap();
    make(&store, 1);
    (2..30).for_each(|n| change(&store, n));
    store.checkpoint().unwrap();
    store.close().unwrap();
    // Sparse files: a segment of more than 16 GiB (references count 64 bytes in 32 bits: 256 GiB), a log
    // file of 1 TiB, a superblock of 8 GiB. None is read into memory, all are errors with a name.
    for (name, len) in [("seg-00000001", 1u64 << 39), ("log-00000001", 1 << 40), ("superblock", 1 << 33)] {
        let path = dir.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = file.set_len(len) {
            eprintln!("SKIPPED: {name} of {len} bytes: {error}");
            continue;
        }
        let error = quick().open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        assert_eq!(error.place().unwrap().file, name, "{error}");
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(
        quick()
            .open(dir.path())
            .unwrap()
            .object("company")
            .unwrap()
            .get(by_number(1))
            .unwrap()
            .unwrap()
            .version,
        1
    );
}
