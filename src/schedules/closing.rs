//! Whole stores: acknowledgements under a power cut, and a close beside a writer.

use super::disk::TestDisk;
use super::explore;
use super::reading::{config, set, store};
use crate::{ErrorKind, Store, Value};
use std::sync::Arc;
use vellum_engine::Durability;
use vellum_engine::sync::{Mutex, thread};

fn balance(store: &Store, number: i64) -> i64 {
    let accounts = store.object("account").expect("in the schema");
    let key = crate::Key::Attributes(vec![("number".into(), Value::Integer(number))]);
    match accounts.get(key).expect("a sound store").expect("it is never deleted").get("balance") {
        Some(Value::Integer(value)) => *value,
        other => panic!("balance is {other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut_at_any_moment() {
    // Two writers patch an account each with `Sync`, with all threads of a store beside them; a third one
    // cuts the power at some moment. Requirement 6, through the front door.
    explore(16, || {
        let disk = TestDisk::default();
        let config = config().threads(true).durability(Durability::Sync);
        let store = store(&disk, &config);
        let done = Arc::new(Mutex::new([50, 50]));
        let writer = |number: usize| {
            let (store, done) = (store.clone(), done.clone());
            thread::spawn(move || {
                for value in 1..3 {
                    store.apply(&set(number as i64, &[("balance", Value::Integer(value))])).expect("sound");
                    done.lock()[number] = value;
                }
            })
        };
        let writers = [writer(0), writer(1)];
        let acknowledged = *done.lock();
        let cut = disk.power_cut();
        for writer in writers {
            writer.join().expect("a writer panicked");
        }
        let after = super::reading::config().open_on(Arc::new(cut)).expect("what was synced opens");
        for (number, known) in acknowledged.into_iter().enumerate() {
            let found = balance(&after, number as i64);
            let order = |value: i64| if value == 50 { 0 } else { value };
            assert!(order(found) >= order(known), "{known} was acknowledged, {found} is there");
        }
    });
}

#[test]
fn a_write_beside_a_close_is_kept_or_refused() {
    // Crash rule 6: nothing is appended behind the seal. What the writer was told is there when the store is
    // opened again, which finds the log sealed and whole.
    explore(8, || {
        let disk = TestDisk::default();
        let store = store(&disk, &config());
        let writer = {
            let store = store.clone();
            thread::spawn(move || {
                let mut last = 50;
                // Until the close: it always meets a writer.
                for value in 1..40 {
                    match store.apply(&set(0, &[("balance", Value::Integer(value))])) {
                        Ok(_) => last = value,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                            break;
                        }
                    }
                }
                last
            })
        };
        store.close().expect("a sound disk");
        let last = writer.join().expect("the writer panicked");
        let again = config().open_on(Arc::new(disk.copy())).expect("a sealed store");
        assert!(again.recovery().clean, "{:?}", again.recovery());
        assert_eq!(balance(&again, 0), last);
    });
}
