//! Every count has a limit; at it things work, one more is refused, and an error says which limit. Requirement 40.
//! Lengths of files are tried in `environment`, numbers that only a hostile file has beside the code that reads
//! them, a frame over its limit in the log.

use crate::common::{Dir, companies, quick};
use vellum::{
    Action, Actor, ActorKind, Comparison, Decimal, Error, ErrorKind, Filter, Json, Key, Mutation, Once,
    Schema, Store, patch, record,
};
use vellum_admin::load;

/// A schema of one object with these attributes.
fn of(attributes: &str) -> Result<Schema, Error> {
    Schema::from_json(&format!(r#"[{{"key":"thing","attributes":[{attributes}]}}]"#))
}

fn listed(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

/// At the limit it is a schema that a store can be made of and opened with; over it the error names the limit.
fn limit(name: &str, max: usize, schema: impl Fn(usize) -> Result<Schema, Error>) {
    let dir = Dir::new("limits");
    let at = schema(max).unwrap_or_else(|error| panic!("{max} {name}: {error}"));
    quick().create(dir.path(), &at).unwrap().close().unwrap();
    assert_eq!(quick().open(dir.path()).unwrap().schema(), at, "{name}");
    let error = schema(max + 1).expect_err(name);
    assert_eq!(error.kind(), ErrorKind::InvalidSchema, "{name}: {error}");
    assert!(error.to_string().contains(&max.to_string()), "{name}: {error}");
}

#[test]
fn requirement_40_counts_of_a_schema() {
    limit("objects", 32_766, |count| {
        Schema::from_json(&format!("[{}]", listed(count, |n| format!(r#"{{"key":"o{n}","attributes":[]}}"#))))
    });
    limit("attributes", 10_000, |count| {
        of(&listed(count, |n| format!(r#"{{"key":"a{n}","type":"boolean"}}"#)))
    });
    limit("options", 65_535, |count| {
        let options = listed(count, |n| format!(r#"{{"key":"p{n}"}}"#));
        of(&format!(r#"{{"key":"a","type":"select","options":[{options}]}}"#))
    });
    limit("labels", 1_000, |count| {
        let labels = listed(count, |n| format!(r#""l{n}""#));
        of(&format!(r#"{{"key":"a","type":"text_list","labels":[{labels}]}}"#))
    });
    limit("bytes of a name", 128, |len| of(&format!(r#"{{"key":"{}","type":"text"}}"#, "k".repeat(len))));
    limit("bytes of a pattern", 1_000, |len| {
        of(&format!(r#"{{"key":"a","type":"text","pattern":"{}"}}"#, "p".repeat(len)))
    });
    limit("bytes of a prefix", 30, |len| {
        of(&format!(r#"{{"key":"a","type":"autonumber","prefix":"{}"}}"#, "p".repeat(len)))
    });
    limit("digits of a number", 18, |len| {
        of(&format!(r#"{{"key":"a","type":"autonumber","padding":{len}}}"#))
    });
    limit("digits of a decimal", 38, |len| {
        of(&format!(r#"{{"key":"a","type":"decimal","decimals":{len}}}"#))
    });
}

fn store(dir: &Dir) -> Store {
    let store = quick().create(dir.path(), &companies()).unwrap();
    let values = record! { "country" => "DE", "number" => 1, "name" => "one" };
    store.object("company").unwrap().create(values).unwrap();
    store
}

fn first() -> Key {
    Key::Attributes(record! { "country" => "DE", "number" => 1 })
}

/// The longest that is accepted, and the error of one more.
fn accepted<T>(max: usize, of: impl Fn(usize) -> Result<T, Error>) -> Error {
    if let Err(error) = of(max) {
        panic!("at the limit of {max}: {error}");
    }
    let error = of(max + 1).err().unwrap_or_else(|| panic!("{} were accepted", max + 1));
    assert!(error.to_string().contains(&max.to_string()), "{error}");
    error
}

#[test]
fn requirement_40_counts_of_a_call() {
    let dir = Dir::new("limits-call");
    let store = store(&dir);
    let companies = store.object("company").unwrap();
    let renamed = |name: String| Mutation {
        object: "company".into(),
        action: Action::Update,
        key: Some(first()),
        patch: patch! { "name" => name },
    };
    accepted(255, |len| store.apply_once(&Once::new("k".repeat(len)), &[renamed(format!("once {len}"))]));
    accepted(255, |len| {
        store.acting_as(Actor::new(ActorKind::User, "u".repeat(len))).apply(&renamed(format!("actor {len}")))
    });
    // 127 arrays, one in another, are as deep as JSON may be.
    accepted(127, |depth| {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        companies.update(first(), patch! { "extra" => Json::parse(&json)? })
    });
    let error = accepted(32, |depth| {
        let compared = Filter::is("number", Comparison::Equal, 1);
        let filter = (0..depth).fold(compared, |inner, _| Filter::All(vec![inner]));
        let mut patch = patch! { "name" => format!("filter {depth}") };
        patch.terms_mut().condition = Some(filter);
        companies.update(first(), patch)
    });
    assert_eq!(error.kind(), ErrorKind::BadFilter, "{error}");
    // 38 digits are what a decimal's 128 bits hold.
    assert!("9".repeat(38).parse::<Decimal>().is_ok() && "9".repeat(40).parse::<Decimal>().is_err());
    assert!(store.health().poisoned.is_none());
}

#[test]
fn requirement_40_a_line_of_a_dump() {
    // A line that never ends is refused when it is longer than any that a dump writes, not read into memory whole.
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(b' ');
            self.0 += into.len() as u64;
            Ok(into.len())
        }
    }
    let dir = Dir::new("limits-dump");
    let mut endless = Endless(0);
    let error = load(&mut std::io::BufReader::with_capacity(1 << 20, &mut endless), dir.path()).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
    assert!(endless.0 <= 258 << 20, "{} bytes were read", endless.0);
    assert!(quick().open(dir.path()).is_err());
}
