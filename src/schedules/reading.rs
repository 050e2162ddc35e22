//! Readers beside a writer and a checkpoint: latches, look-ups, snapshots, lazy loading, mapped segments.

use super::disk::TestDisk;
use super::explore;
use crate::{Config, Durability, Store};
use crate::{Key, Mutation, RecordId, Schema, Timestamp, Value};
use std::sync::Arc;
use vellum_engine::page::image::{ImageHead, Kind};
use vellum_engine::pages::segment::{Segment, SegmentWriter, StoredImage};
use vellum_engine::pages::{ImageRef, Slots};
use vellum_engine::sync::thread;
use vellum_engine::{Address, Lsn, TreeId};
use vellum_memory::Shared;
use vellum_types::{Action, Patch};

const SCHEMA: &str = r#"{"objects":[{"key":"account","primary_key":["number"],"attributes":[
    {"key":"number","type":"integer","required":true},{"key":"balance","type":"integer"},
    {"key":"copy","type":"integer"},{"key":"holder","type":"text","unique":true}]}]}"#;
/// What all accounts hold together.
const SUM: i64 = 100;

pub(super) fn config() -> Config {
    Config::new()
        .durability(Durability::Buffered)
        .threads(false)
        .seed(7)
        .clock(Arc::new(|| Timestamp(1_700_000_000_000_000_000)))
        .log_file_len(16 << 10, 64 << 10)
}

/// No memory for clean pages: what a checkpoint has written is read from its images again.
fn keep_nothing() -> Config {
    let mut config = config();
    config.engine.dirty_budget = 0;
    config
}

fn account(number: i64) -> Key {
    Key::Attributes(vec![("number".into(), Value::Integer(number))])
}

pub(super) fn set(number: i64, values: &[(&str, Value)]) -> Mutation {
    let set = values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Mutation {
        object: "account".into(),
        action: Action::Update,
        key: Some(account(number)),
        patch: Patch { set, ..Patch::default() },
    }
}

/// A store with two accounts that hold all.
pub(super) fn store(disk: &TestDisk, config: &Config) -> Store {
    let schema = Schema::from_json(SCHEMA).expect("a valid schema");
    let store = config.create_on(Arc::new(disk.clone()), &schema).expect("an empty disk");
    let accounts = store.object("account").expect("in the schema");
    for number in 0..2 {
        let values = vec![
            ("number".into(), Value::Integer(number)),
            ("balance".into(), Value::Integer(SUM / 2)),
            ("copy".into(), Value::Integer(SUM / 2)),
            ("holder".into(), Value::from(format!("holder {number}"))),
        ];
        accounts.create(values).expect("a new key");
    }
    store
}

/// The same in files, closed behind a checkpoint.
fn stored() -> TestDisk {
    made_once(|disk| {
        let store = store(&disk, &config());
        store.checkpoint().expect("a sound disk");
        store.close().expect("a sound disk");
    })
}

/// Locks work only under a scheduler: one schedule is enough to make files.
fn made_once(make: impl Fn(TestDisk) + Send + Sync + 'static) -> TestDisk {
    let files = TestDisk::default();
    let disk = files.clone();
    shuttle::check_random(move || make(disk.clone()), 1);
    files
}

fn transfer(amount: i64) -> Vec<Mutation> {
    let balances = [SUM / 2 - amount, SUM / 2 + amount];
    let both = |number: usize| {
        let balance = Value::Integer(balances[number]);
        set(number as i64, &[("balance", balance.clone()), ("copy", balance)])
    };
    vec![both(0), both(1)]
}

fn integer(record: &crate::Record, name: &str) -> i64 {
    match record.get(name) {
        Some(Value::Integer(value)) => *value,
        other => panic!("{name} is {other:?}"),
    }
}

/// A reader's thread that is joined, or whose panic is passed on.
fn beside(store: &Store, reader: impl FnOnce(&Store) + Send + 'static) -> thread::JoinHandle<()> {
    let store = store.clone();
    thread::spawn(move || reader(&store))
}

#[test]
fn a_snapshot_never_shows_half_of_a_transaction() {
    // Each transaction moves something from one account to the other; requirement 39.
    explore(4, || {
        let store = store(&TestDisk::default(), &config());
        let reader = beside(&store, |store| {
            for _ in 0..2 {
                let snapshot = store.snapshot().expect("an open store");
                let read = |number| {
                    let found = snapshot.get("account", account(number)).expect("a sound store");
                    integer(&found.expect("it is never deleted"), "balance")
                };
                assert_eq!(read(0) + read(1), SUM, "at lsn {}", snapshot.lsn());
                let all = snapshot.iter("account").expect("in the schema");
                let all: i64 = all.map(|found| integer(&found.expect("a sound store"), "balance")).sum();
                assert_eq!(all, SUM, "at lsn {}", snapshot.lsn());
                // Each transfer is one commit and moves one: the snapshot is of the commit that it says.
                assert_eq!(read(1) - SUM / 2, snapshot.lsn().0 as i64 - 3);
            }
        });
        for amount in 1..3 {
            store.apply_batch(&transfer(amount)).expect("no conflict");
        }
        reader.join().expect("the reader panicked");
    });
}

#[test]
fn one_record_is_read_whole_beside_a_writer() {
    // Both attributes of a record are written by each patch; they lie on pages of their own.
    explore(4, || {
        let store = store(&TestDisk::default(), &config());
        let reader = beside(&store, |store| {
            let accounts = store.object("account").expect("in the schema");
            for _ in 0..3 {
                let found = accounts.get(account(0)).expect("a sound store").expect("it is never deleted");
                assert_eq!(integer(&found, "balance"), integer(&found, "copy"), "{found:?}");
            }
        });
        for amount in 1..3 {
            store.apply_batch(&transfer(amount)).expect("no conflict");
        }
        reader.join().expect("the reader panicked");
    });
}

#[test]
fn a_key_that_every_state_has_is_always_found() {
    // Two records swap their unique keys again and again: a look-up between the two moves must not say that
    // there is no such key.
    explore(4, || {
        let store = store(&TestDisk::default(), &config());
        let reader = beside(&store, |store| {
            let accounts = store.object("account").expect("in the schema");
            for _ in 0..3 {
                let found = accounts.get(("holder", "holder 0")).expect("a sound store");
                assert_eq!(found.expect("somebody always has it").get("holder"), Some(&"holder 0".into()));
            }
        });
        for swapped in [true, false] {
            let holder = |number: i64| Value::from(format!("holder {}", number ^ i64::from(swapped)));
            let swap = [set(0, &[("holder", holder(0))]), set(1, &[("holder", holder(1))])];
            store.apply_batch(&swap).expect("the end state has no conflict");
        }
        reader.join().expect("the reader panicked");
    });
}

/// Reads both accounts; whatever else happens, they are there and hold all.
fn read_all(store: &Store) {
    let accounts = store.object("account").expect("in the schema");
    for number in 0..2 {
        let found = accounts.get(account(number)).expect("a sound store").expect("it is never deleted");
        assert_eq!(integer(&found, "balance"), integer(&found, "copy"), "{found:?}");
    }
}

#[test]
fn what_a_slow_reader_loads_does_not_come_to_stand_behind_a_newer_image() {
    // Nothing is in memory at first. The reader loads table nodes and groups while the writer changes them
    // and a checkpoint writes and forgets them; with no budget for clean pages, what is read next comes
    // from the images again. A stale node that stays would bring back what a patch replaced.
    let files = stored();
    explore(8, move || {
        let store = keep_nothing().open_on(Arc::new(files.copy())).expect("a sound store");
        let reader = beside(&store, |store| {
            read_all(store);
            read_all(store);
        });
        store.apply_batch(&transfer(1)).expect("no conflict");
        store.checkpoint().expect("a sound disk");
        read_transfer(&store, 1);
        store.apply_batch(&transfer(2)).expect("no conflict");
        store.checkpoint().expect("a sound disk");
        reader.join().expect("the reader panicked");
        read_transfer(&store, 2);
    });
}

fn read_transfer(store: &Store, amount: i64) {
    let accounts = store.object("account").expect("in the schema");
    let found = accounts.get(account(1)).expect("a sound store").expect("it is never deleted");
    assert_eq!(integer(&found, "balance"), SUM / 2 + amount);
}

/// Accounts of a store whose indexes have several buckets: a change of one leaves nodes beside it unread.
const MANY: i64 = 500;

fn many() -> TestDisk {
    made_once(|disk| {
        let store = store(&disk, &config());
        let create = |number: i64| Mutation {
            object: "account".into(),
            action: Action::Create,
            key: None,
            patch: Patch::new()
                .set("number", number)
                .set("balance", number)
                .set("copy", number)
                .set("holder", format!("holder {number}")),
        };
        let creates: Vec<Mutation> = (2..MANY).map(create).collect();
        store.apply_batch(&creates).expect("new keys");
        store.checkpoint().expect("a sound disk");
        store.close().expect("a sound disk");
    })
}

/// Changes one key, and moves all else to new segments; twice, so that the old ones are unlinked.
fn change_and_compact(store: &Store) {
    for holder in ["first", "second"] {
        store.apply(&set(0, &[("holder", holder.into())])).expect("a new key");
        store.compact().expect("a sound disk");
    }
}

#[test]
fn a_snapshot_reads_its_segments_as_long_as_it_lives() {
    // A snapshot of a store that was just opened names nodes that nobody has read. Compactions beside the
    // reader free the segments that they lie in, and unlink them.
    let files = many();
    explore(20, move || {
        let store = keep_nothing().open_on(Arc::new(files.copy())).expect("a sound store");
        let snapshot = store.snapshot().expect("an open store");
        let reader = thread::spawn(move || {
            for number in (2..MANY).step_by(83) {
                let holder = format!("holder {number}");
                let found = snapshot.get("account", ("holder", holder)).expect("a sound store");
                assert_eq!(integer(&found.expect("it is never deleted"), "number"), number);
            }
        });
        change_and_compact(&store);
        reader.join().expect("the reader panicked");
    });
}

#[test]
fn a_live_reader_beside_compactions_meets_no_missing_segment() {
    // The same without a snapshot: the reader has a root and a place in it, and no pin.
    let files = many();
    explore(20, move || {
        let store = keep_nothing().open_on(Arc::new(files.copy())).expect("a sound store");
        let reader = beside(&store, |store| {
            let accounts = store.object("account").expect("in the schema");
            for number in (2..MANY).step_by(83) {
                let found = accounts.get(("holder", format!("holder {number}"))).expect("a sound store");
                assert_eq!(integer(&found.expect("it is never deleted"), "number"), number);
            }
        });
        change_and_compact(&store);
        reader.join().expect("the reader panicked");
    });
}

#[test]
fn a_place_never_keeps_what_was_read_from_an_image_that_it_no_longer_has() {
    // The protocol under the test above, alone, so that its few steps are tried in many orders: a reader loads
    // a place of the page table while a checkpoint gives it another image and forgets what was in memory.
    let images: Vec<StoredImage> = three_images();
    explore(1, move || {
        let slots = Arc::new(Slots::<u32>::new(std::iter::once(Some(images[0].clone()))));
        let load = |slots: &Slots<u32>| {
            let place = slots.get(0).expect("there is one");
            place.load_with(|stored| Ok(Shared::new(stored.image.place))).expect("no error")
        };
        let readers = [(); 2].map(|()| {
            let slots = slots.clone();
            thread::spawn(move || drop(load(&slots)))
        });
        for image in &images[1..] {
            let place = slots.get(0).expect("there is one");
            place.set_stored(Some(image.clone()));
            place.set_loaded(None);
        }
        for reader in readers {
            reader.join().expect("a reader panicked");
        }
        assert_eq!(load(&slots).as_deref(), Some(&images[2].image.place));
    });
}

/// Images in a segment of their own.
fn three_images() -> Vec<StoredImage> {
    let (disk, store_id) = (Arc::new(TestDisk::default()), [3; 16]);
    let slot = Arc::new(std::sync::Mutex::new(Vec::new()));
    let images = slot.clone();
    shuttle::check_random(
        move || {
            let mut writer = SegmentWriter::new(disk.clone(), store_id, 1, 1 << 20);
            let address = Address { tree: TreeId(1), number: 0, column: 0 };
            let head =
                ImageHead { kind: Kind::Node, address, lsn: Lsn(1), rows: 0, payload_len: 1, store_tag: 0 };
            writer.settle().expect("a sound disk");
            let refs: Vec<ImageRef> = (0..3).map(|n| writer.put(&head, &[n])).collect();
            writer.finish().expect("a sound disk");
            let entries = writer.entries();
            let segment = Segment::open(&*disk, &entries[0], store_id, None).expect("it was just written");
            let stored = |image: ImageRef| StoredImage { image, segment: segment.clone() };
            *images.lock().expect("no other thread") = refs.into_iter().map(stored).collect();
        },
        1,
    );
    Arc::into_inner(slot).expect("the schedule is over").into_inner().expect("no other thread")
}

#[test]
fn a_record_that_is_deleted_and_made_again_is_never_mixed_up() {
    // The row is free and taken again at once; a reader that found it before must not show the other record.
    explore(4, || {
        let store = store(&TestDisk::default(), &config());
        let accounts = store.object("account").expect("in the schema");
        let first = accounts.get(account(0)).expect("a sound store").expect("made above").id;
        let reader = beside(&store, move |store| {
            let accounts = store.object("account").expect("in the schema");
            for _ in 0..3 {
                let found = accounts.get(first).expect("a sound store");
                assert!(found.is_none_or(|found| found.id == first && integer(&found, "number") == 0));
            }
        });
        accounts.delete(first).expect("it exists");
        let values = vec![
            ("number".into(), Value::Integer(9)),
            ("balance".into(), Value::Integer(0)),
            ("copy".into(), Value::Integer(0)),
        ];
        let second: RecordId = accounts.create(values).expect("a new key").id;
        assert_ne!(first, second);
        reader.join().expect("the reader panicked");
    });
}
