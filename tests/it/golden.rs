//! Stores of the format, as they were written when it was declared: they open with every record, and the
//! same commits give the same bytes today as then. `VELLUM_WRITE_GOLDEN=1 cargo test golden`
//! writes them anew; that is a change of format, which CONTRIBUTING.md speaks of.

use crate::common::Dir;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use vellum::{
    Action, Actor, ActorKind, Config, Durability, Json, Key, Mutation, Name, Patch, RecordId, Schema, Store,
    Timestamp, Value, record,
};
use vellum_testkit::MemDisk;

const SCHEMA: &str = r#"{"objects":[
    {"key":"ticket","title":"Ticket","primary_key":["queue","number"],"max_record_bytes":400000,"attributes":[
        {"key":"queue","type":"text"},{"key":"number","type":"integer","min":0,"max":1000000},
        {"key":"subject","type":"text"},{"key":"body","type":"long_text"},
        {"key":"hours","type":"number"},{"key":"cost","type":"decimal","decimals":2},
        {"key":"open","type":"boolean"},{"key":"due","type":"date"},
        {"key":"seen","type":"timestamp"},{"key":"heard","type":"timestamp","unit":"us"},
        {"key":"token","type":"uuid","unique":true},
        {"key":"state","type":"select","options":[{"key":"new","title":"New"},{"key":"busy"},{"key":"done"}]},
        {"key":"extra","type":"json"}]},
    {"key":"note","attributes":[{"key":"text","type":"text","unique":true}]}OBJECTS]}"#;

/// An object with attributes of the newer types.
const THINGS: &str = r#",{"key":"thing","id":"t1","history":true,"open":true,"external_id":true,"owners":{"max":2},"attributes":[
    {"key":"code","type":"regexp_text","pattern":"^[a-z]+$"},{"key":"stars","type":"rating","default":3},
    {"key":"email","type":"email","unique":true},{"key":"url","type":"url"},
    {"key":"domains","type":"domain","multi":true,"unique":true},{"key":"phone","type":"phone"},
    {"key":"country","type":"country"},{"key":"address","type":"address"},{"key":"place","type":"location"},
    {"key":"price","type":"currency","currency":"USD"},{"key":"budget","type":"currency"},
    {"key":"who","type":"person_name"},{"key":"stage","type":"status","options":[{"key":"new","id":"o1"},{"key":"old"}]},
    {"key":"shape","type":"radio","custom_values":true,"options":[{"key":"round"}]},
    {"key":"tags","type":"select","multi":true,"ordered":false,"options":[{"key":"a"},{"key":"b"},{"key":"c","archived":true}]},
    {"key":"ranks","type":"select","multi":true,"options":[{"key":"x"},{"key":"y"}]},
    {"key":"lines","type":"text_list","labels":["one","two"]},{"key":"files","type":"file","multi":true,"max_values":3},
    {"key":"friends","type":"reference","multi":true,"refers_to":["thing"],"on_delete":"cascade"},
    {"key":"ticket","type":"reference","refers_to":["ticket"],"on_delete":"restrict"},
    {"key":"by","type":"actor"},{"key":"days","type":"date","multi":true}]}"#;

/// Stores by name: closed after a checkpoint; killed with a log behind it.
const STORES: [&str; 2] = ["closed", "killed"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v3").join(name)
}

fn config() -> Config {
    // No background work and no idle marks: only what the commits make. And no log file that is half full, since
    // another one would be made beside them, sooner or later.
    let clock = AtomicI64::new(1_700_000_000_000_000_000);
    let tick = move || Timestamp(clock.fetch_add(1_000_000_007, Ordering::Relaxed));
    let config = Config::new().seed(42).clock(Arc::new(tick)).background(false);
    config.durability(Durability::Interval(3_600_000)).log_file_len(2 << 20, 64 << 20)
}

fn id(n: i64) -> RecordId {
    let mut bytes = [0x11; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RecordId::from_bytes(bytes)
}

/// The values of a ticket after so many rounds of changes.
fn ticket(n: i64, round: i64) -> Vec<(Name, Value)> {
    let state = ["new", "busy", "done"][((n + round) % 3) as usize];
    let subjects = ["", "twelve bytes", "thirteen byte", "größer als zwölf Bytes, 大きい", "a\0b"];
    let mut values = record! {
        "queue" => if n % 2 == 0 { "support" } else { "sales and everything else" },
        "number" => n,
        "subject" => subjects[((n + round) % 5) as usize],
        "hours" => if n == 3 { -0.0 } else { n as f64 / 7.0 + round as f64 },
        "cost" => format!("{}.{:02}", n * round - 3, n % 100),
        "open" => (n + round) % 2 == 0,
        "due" => vellum::Date((n * 37 - 800 + round) as i32),
        "seen" => Timestamp(n * 1_000_000_000_001 - round),
        "heard" => Timestamp((n - 50) * 1_000_000),
        "token" => id(n * 3).0,
        "state" => state,
        "extra" => Json::parse(&format!(r#"{{"n":{n},"round":[{round},null,"é"]}}"#)).unwrap(),
    };
    if n % 10 == 0 {
        values.push(("body".into(), Value::from(format!("{n} and {round}; ").repeat((n * 40 + 1) as usize))));
    }
    if n % 7 == 0 {
        values.retain(|(name, _)| !["extra", "due", "token"].contains(&name.as_str()));
    }
    values
}

fn mutation(object: &str, action: Action, n: i64, set: Vec<(Name, Value)>) -> Mutation {
    let patch = Patch { set, ..Patch::default() };
    Mutation { object: object.to_string().into(), action, key: Some(Key::Id(id(n))), patch }
}

/// The values of a thing.
fn thing(n: i64) -> Vec<(Name, Value)> {
    let json = |text: String| Value::from(Json::parse(&text).unwrap());
    let name = format!(r#"{{"first":"A","last":"L{n}","full":"A L{n}"}}"#);
    let mut values = record! {
        "external_id" => format!("x{n}"),
        "owners" => [Actor::new(ActorKind::User, format!("u{n}")), Actor::new(ActorKind::System, "")],
        "code" => ["a", "longer", "muchlongerthantwelve"][n as usize % 3],
        "stars" => n % 6,
        "email" => format!("User{n}@Example.com"),
        "url" => format!("https://acme.example/{n}"),
        "domains" => vec![format!("Acme{n}.example"), format!("acme{n}.test")],
        "phone" => format!("+1 (555) 000-{n:04}"),
        "country" => "US",
        "address" => json(format!(r#"{{"city":"Berlin","postal_code":"{n}"}}"#)),
        "place" => json(format!(r#"{{"latitude":"{}.5","longitude":"-1"}}"#, n % 90)),
        "price" => Value::Currency { amount: "12.5".parse().unwrap(), code: "USD".parse().unwrap() },
        "budget" => Value::Currency { amount: format!("{}", n * 1000 - 7).parse().unwrap(), code: "EUR".parse().unwrap() },
        "who" => json(name),
        "stage" => if n % 2 == 0 { "new" } else { "old" },
        "shape" => if n % 3 == 0 { "round" } else { "of a kind of its own" },
        "tags" => if n % 2 == 0 { vec!["a", "b"] } else { vec!["b"] },
        "ranks" => ["y", "x"],
        "lines" => json(format!(r#"{{"one":"{n}","two":"2"}}"#)),
        "files" => vec![json(r#"{"url":"https://acme.example/f"}"#.to_string()); 1],
        "friends" => [id(2000), id(2001)],
        "ticket" => id(1),
        "by" => Actor::new(ActorKind::ApiToken, "token"),
        "days" => [vellum::Date(n as i32), vellum::Date(-1)],
        "colour" => "red",
    };
    if n < 2002 {
        values.retain(|(name, _)| *name != "friends");
    }
    if n % 4 == 0 {
        values.retain(|(name, _)| !["budget", "domains", "tags", "colour"].contains(&name.as_str()));
    }
    values
}

/// Makes the commits, and with them the store called `name`.
fn build(name: &str) -> MemDisk {
    let disk = MemDisk::new();
    let schema = Schema::from_json(&SCHEMA.replace("OBJECTS", THINGS)).unwrap();
    let store = config().create_on(Arc::new(disk.clone()), &schema).unwrap();
    for n in 1..=150 {
        store.apply(&mutation("ticket", Action::Create, n, ticket(n, 0))).unwrap();
    }
    let notes =
        (1000..1300).map(|n| mutation("note", Action::Create, n, record! { "text" => format!("note {n}") }));
    store.apply_batch(&notes.collect::<Vec<_>>()).unwrap();
    for n in 2000..2040 {
        store.apply(&mutation("thing", Action::Create, n, thing(n))).unwrap();
    }
    store.checkpoint().unwrap();
    for n in (1..=150).filter(|n| n % 3 == 0) {
        store.apply(&mutation("ticket", Action::Update, n, ticket(n, 1))).unwrap();
    }
    for n in (1..=150).filter(|n| n % 25 == 0) {
        store.apply(&mutation("ticket", Action::Delete, n, Vec::new())).unwrap();
    }
    store.checkpoint().unwrap();
    store.add_attribute("note", r#"{"key":"stars","type":"integer"}"#).unwrap();
    for n in (2000..2040).filter(|n| n % 4 == 3) {
        store.apply(&mutation("thing", Action::Update, n, thing(n + 100))).unwrap();
    }
    let starred = |n| mutation("note", Action::Update, n, record! { "stars" => n });
    store.apply_batch(&(1000..1005).map(starred).collect::<Vec<_>>()).unwrap();
    match name {
        "closed" => {
            store.checkpoint().unwrap();
            store.close().unwrap();
            disk
        }
        _ => disk.after_kill(),
    }
}

/// The records of that object.
fn check_things(store: &Store) {
    let things = store.object("thing").unwrap();
    assert_eq!(things.count(), 40);
    for n in 2000..2040 {
        let found = things.get(id(n)).unwrap().unwrap();
        let values = if n % 4 == 3 { thing(n + 100) } else { thing(n) };
        for (name, value) in &values {
            assert_eq!(found.get(name), Some(value), "thing {n}: {name}");
        }
        assert_eq!(found.iter().len(), values.len(), "{n}");
        let (_, email) = values.iter().find(|(name, _)| name == "email").unwrap();
        let by_email = ("email", email.to_string().to_lowercase());
        assert_eq!(things.get(by_email).unwrap().as_ref(), Some(&found));
        if let Some(domains) = found.get("domains").and_then(Value::as_list) {
            for domain in domains {
                assert_eq!(things.get(("domains", domain.clone())).unwrap().as_ref(), Some(&found));
            }
        }
    }
    assert_eq!(things.get(("domains", "acme2003.test")).unwrap(), None, "what was given up finds nothing");
}

fn check(store: &Store) {
    check_things(store);
    let tickets = store.object("ticket").unwrap();
    assert_eq!((tickets.count(), store.object("note").unwrap().count()), (144, 300));
    for n in 1..=150 {
        let found = tickets.get(id(n)).unwrap();
        assert_eq!(found.is_none(), n % 25 == 0, "{n}");
        let Some(found) = found else { continue };
        let round = i64::from(n % 3 == 0);
        assert_eq!((found.version, found.counter), (n as u64 + 1 + round as u64, n as u64), "{n}");
        let values = ticket(n, round);
        // What the second round did not name stays.
        for (name, value) in &values {
            let got = found.get(name).unwrap_or_else(|| panic!("ticket {n} has no {name}"));
            let typed = match value {
                Value::Text(text) if name == "cost" => Value::Decimal(text.parse().unwrap()),
                other => other.clone(),
            };
            assert_eq!(*got, typed, "ticket {n}: {name}");
        }
        assert_eq!(found.iter().len(), values.len(), "{n}");
        let by_key = vec![values[1].clone(), values[0].clone()];
        assert_eq!(tickets.get(by_key).unwrap(), Some(found));
    }
    for n in 1000..1300 {
        let found = store.object("note").unwrap().get(("text", format!("note {n}"))).unwrap().unwrap();
        assert_eq!((found.id, found.get("stars")), (id(n), (n < 1005).then_some(&Value::Integer(n))));
    }
}

/// What is kept of a store: not the lock, nor the room that is set aside.
fn kept(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.into_iter().filter(|(name, _)| !name.starts_with("reserve") && name != "lock").collect()
}

fn stored(name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder(name)).expect("the golden stores are part of the repository") {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        GzDecoder::new(&*std::fs::read(&path).unwrap()).read_to_end(&mut bytes).unwrap();
        files.insert(file, bytes);
    }
    files
}

fn write(name: &str, files: &BTreeMap<String, Vec<u8>>) {
    let folder = folder(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (file, bytes) in files {
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(bytes).unwrap();
        std::fs::write(folder.join(format!("{file}.gz")), gz.finish().unwrap()).unwrap();
    }
}

#[test]
fn golden_commits_give_the_bytes_of_the_format() {
    for name in STORES {
        let files = kept(build(name).files());
        if std::env::var_os("VELLUM_WRITE_GOLDEN").is_some() {
            write(name, &files);
        }
        let stored = stored(name);
        assert_eq!(files.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>(), "{name}");
        for (file, bytes) in &files {
            let differs = bytes.iter().zip(&stored[file]).position(|(a, b)| a != b);
            assert!(*bytes == stored[file], "{name}/{file} differs at byte {differs:?}");
        }
    }
}

#[test]
fn golden_stores_open_with_every_record() {
    if std::env::var_os("VELLUM_WRITE_GOLDEN").is_some() {
        return;
    }
    for name in STORES {
        for read_only in [true, false] {
            let dir = Dir::new("golden");
            std::fs::create_dir_all(dir.path()).unwrap();
            for (file, bytes) in stored(name) {
                std::fs::write(dir.path().join(file), bytes).unwrap();
            }
            assert!(vellum_admin::verify(dir.path()).unwrap().is_clean());
            let store = config().read_only(read_only).open(dir.path()).unwrap();
            assert_eq!(store.recovery().clean, name == "closed");
            assert_eq!(store.recovery().replayed > 0, name == "killed");
            check(&store);
            if !read_only {
                store.apply(&mutation("note", Action::Create, 5000, record! { "text" => "new" })).unwrap();
                store.compact().unwrap();
                check_after_a_write(store, &dir);
            }
        }
    }
}

fn check_after_a_write(store: Store, dir: &Dir) {
    store.close().unwrap();
    let store = config().open(dir.path()).unwrap();
    store.apply(&mutation("note", Action::Delete, 5000, Vec::new())).unwrap();
    check(&store);
}
