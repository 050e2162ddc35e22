//! `verify` beside a writer (requirement 24).

use crate::common::{Dir, StopAtEnd, companies, quick};
use crate::damage::{by_number, files, make, name_of, names_file};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use vellum::patch;
use vellum_admin::verify;

#[test]
fn requirement_24_verify_beside_a_writer_is_clean_and_the_writer_goes_on() {
    let dir = Dir::new("beside");
    let config = quick().background(false);
    let store = config.create(dir.path(), &companies()).unwrap();
    (0..200).for_each(|n| make(&store, n));
    let (stop, written, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| {
            // Commits as fast as they go, and behind each look a checkpoint, which empties segments and gives log
            // files back in the middle of the next one. (With more of them a slow machine sees no still store.)
            let companies = store.object("company").unwrap();
            let mut checkpoints = 0;
            for number in 0.. {
                // Each look has so many commits beside it at most: on a busy machine the log would grow faster than a
                // look reads it, and each look would be longer than the one before.
                while number / 5_000 > looks.load(Ordering::Relaxed) as i64 && !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                companies.update(by_number(number % 200), patch! { "score" => number as f64 }).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
                if checkpoints < looks.load(Ordering::Relaxed) && number % 100 == 99 {
                    store.checkpoint().unwrap();
                    checkpoints += 1;
                }
            }
        });
        for round in 0..20 {
            let before = written.load(Ordering::Relaxed);
            let report = verify(dir.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(report.is_clean(), "round {round}: {report:#?}");
            assert_eq!(report.record_count, 200);
            looks.fetch_add(1, Ordering::Relaxed);
            while written.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
        }
    });
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
}

#[test]
fn requirement_24_damage_is_found_while_the_store_is_open() {
    let dir = Dir::new("beside-damage");
    let store = quick().background(false).create(dir.path(), &companies()).unwrap();
    (0..50).for_each(|n| make(&store, n));
    store.checkpoint().unwrap();
    let all = files(dir.path());
    let path = all.iter().find(|path| name_of(path).starts_with("seg-")).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
    for at in (100..bytes.len()).step_by(bytes.len() / 20) {
        bytes[at] ^= 4;
        std::fs::write(path, &bytes).unwrap();
        let report = verify(dir.path()).unwrap();
        assert!(names_file(&report, name_of(path)), "byte {at}: {report:#?}");
        bytes[at] ^= 4;
    }
    std::fs::write(path, &bytes).unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
    store.close().unwrap();
}
