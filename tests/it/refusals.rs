//! Every refusal of SEMANTICS.md section 9 that a mutation can meet, by its name, with the data that it must
//! carry; and that it leaves no trace: what the store shows is the same before and after, and after it was
//! opened again.

use crate::common::Dir;
use crate::crm::{Crm, list, mutation};
use vellum::{
    Absent, Action, Config, Durability, Error, ErrorKind, Filter, Key, Link, Mutation, Patch, RecordId,
    Schema, Value, patch, record,
};

struct Case {
    name: &'static str,
    kind: ErrorKind,
    mutation: Mutation,
    holds: fn(&Error, &Known) -> bool,
}

struct Known {
    acme: RecordId,
    ann: RecordId,
}

fn update(key: impl Into<Key>, patch: Patch) -> Mutation {
    mutation("company", Action::Update, Some(key.into()), patch)
}

fn path_is(error: &Error, path: &str) -> bool {
    error.path().as_deref() == Some(path)
}

fn cases(known: &Known) -> Vec<Case> {
    use ErrorKind as K;
    let &Known { acme, .. } = known;
    let case = |name, kind, mutation, holds| Case { name, kind, mutation, holds };
    let missing = RecordId::from_bytes([3; 16]);
    let link = Link::Match {
        object: "person".into(),
        values: record! { "email" => "no@x.example" },
        absent: Absent::Error,
    };
    vec![
        case(
            "ObjectNotFound",
            K::ObjectNotFound,
            mutation("planet", Action::Create, None, Patch::new()),
            |e, _| e.to_string().contains("planet"),
        ),
        case("RecordNotFound, id", K::RecordNotFound, update(missing, patch! { "seats" => 1 }), |e, _| {
            e.to_string().contains("03030303")
        }),
        case(
            "RecordNotFound, key",
            K::RecordNotFound,
            update(("domain", "no.example"), patch! { "seats" => 1 }),
            |e, _| e.to_string().contains("no.example"),
        ),
        case("UnknownAttribute", K::UnknownAttribute, update(acme, patch! { "colour" => 1 }), |e, _| {
            path_is(e, "colour")
        }),
        case("InvalidValue", K::InvalidValue, update(acme, patch! { "seats" => "many" }), |e, _| {
            path_is(e, "seats") && e.value_type() == Some("integer") && e.reason().contains("many")
        }),
        case("UnknownOption", K::UnknownOption, update(acme, patch! { "status" => "gone" }), |e, _| {
            path_is(e, "status") && e.given() == Some("gone")
        }),
        case("MissingRequired", K::MissingRequired, update(acme, Patch::new().clear("name")), |e, _| {
            path_is(e, "name")
        }),
        case("NotWritable", K::NotWritable, update(acme, patch! { "sealed" => "x" }), |e, _| {
            path_is(e, "sealed")
        }),
        case(
            "UniqueConflict",
            K::UniqueConflict,
            update(("domain", "b.example"), patch! { "code" => "A1" }),
            |e, known| {
                let conflict = e.conflict().unwrap();
                conflict.attributes == ["code"] && conflict.key == ["A1"] && conflict.record == known.acme
            },
        ),
        case(
            "UniqueConflict, one of several values",
            K::UniqueConflict,
            update(("domain", "b.example"), patch! { "aliases" => list(&["new.example", "HELD.example"]) }),
            |e, known| {
                let conflict = e.conflict().unwrap();
                conflict.attributes == ["aliases"] && conflict.record == known.acme
            },
        ),
        case(
            "ReferenceNotFound, id",
            K::ReferenceNotFound,
            update(acme, patch! { "keeper" => missing }),
            |e, _| path_is(e, "keeper") && e.target().is_some_and(|target| target.starts_with("03030303")),
        ),
        case(
            "ReferenceNotFound, match",
            K::ReferenceNotFound,
            update(acme, patch! { "keeper" => "@k" }.link("k", link)),
            |e, _| path_is(e, "keeper") && e.target().is_some_and(|target| target.contains("no@x.example")),
        ),
        case(
            "ReferenceNotAllowed",
            K::ReferenceNotAllowed,
            update(acme, patch! { "keeper" => acme }),
            |e, _| path_is(e, "keeper") && e.target() == Some("company"),
        ),
        case(
            "MatchNotUnique",
            K::MatchNotUnique,
            update(("name", "Acme"), patch! { "seats" => 1 }),
            |e, _| e.to_string().contains("name"),
        ),
        case(
            "MultipleMatches",
            K::MultipleMatches,
            update(("aliases", list(&["held.example", "b2.example"])), patch! { "seats" => 1 }),
            |e, known| e.records().len() == 2 && e.records().contains(&known.acme),
        ),
        case("MissingKey", K::MissingKey, mutation("company", Action::Update, None, Patch::new()), |_, _| {
            true
        }),
        case(
            "TooManyValues",
            K::TooManyValues,
            update(acme, patch! { "notes" => list(&["1", "2", "3", "4"]) }),
            |e, _| path_is(e, "notes") && e.limit() == Some((3, 4)),
        ),
        case(
            "LimitExceeded",
            K::LimitExceeded,
            update(acme, patch! { "source" => "x".repeat(5000) }),
            |e, _| e.limit().is_some_and(|(max, given)| max == 4000 && given > 5000),
        ),
        case(
            "BadFilter",
            K::BadFilter,
            update(acme, patch! { "seats" => 1 }.only_if(Filter::eq("colour", 1))),
            |e, _| path_is(e, "colour"),
        ),
        case(
            "PreconditionFailed, version",
            K::PreconditionFailed,
            update(acme, patch! { "seats" => 1 }.if_version(9)),
            |e, _| e.current_version() == Some(1),
        ),
        case(
            "PreconditionFailed, values",
            K::PreconditionFailed,
            update(acme, patch! { "seats" => 1 }.only_if(Filter::eq("seats", 5))),
            |e, known| e.current_version() == Some(1) && e.records() == [known.acme],
        ),
        case(
            "ReferenceRestricted",
            K::ReferenceRestricted,
            mutation("person", Action::Delete, Some(Key::Id(known.ann)), Patch::new()),
            |e, known| path_is(e, "keeper") && e.records() == [known.acme],
        ),
    ]
}

fn filled(name: &str) -> (Crm, Known) {
    let crm = Crm::new(name);
    let ann = crm.make("person", patch! { "email" => "ann@x.example" });
    let acme = crm.make(
        "company",
        patch! {
            "domain" => "acme.example", "name" => "Acme", "code" => "A1", "keeper" => ann,
            "aliases" => list(&["held.example"])
        },
    );
    crm.make(
        "company",
        patch! { "domain" => "b.example", "name" => "B", "aliases" => list(&["b2.example"]) },
    );
    (crm, Known { acme, ann })
}

#[test]
fn every_refusal_carries_its_data_and_leaves_no_trace() {
    let (mut crm, known) = filled("refusals");
    let before = crm.fingerprint();
    for Case { name, kind, mutation, holds } in cases(&known) {
        let error = crm.store.apply(&mutation).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(kind.is_refusal(), "{name}");
        assert!(holds(&error, &known), "{name}: {error:?}");
        assert_eq!(crm.fingerprint(), before, "{name}");
        let tried = crm.store.dry_run(std::slice::from_ref(&mutation)).unwrap_err();
        assert_eq!(tried.kind(), kind, "{name}, tried");
        // In a batch behind a sound mutation, it takes that one with it, and says where it stood.
        let sound = crate::crm::mutation(
            "company",
            Action::Update,
            Some(Key::Id(known.acme)),
            patch! { "source" => "s" },
        );
        let batch = match name {
            "PreconditionFailed, version" => {
                vec![sound, update(known.acme, patch! { "seats" => 1 }.if_version(1))]
            }
            _ => vec![sound, mutation],
        };
        let error = crm.store.apply_batch(&batch).unwrap_err();
        assert_eq!((error.kind(), error.position()), (kind, Some(1)), "{name}, in a batch: {error}");
        assert_eq!(crm.fingerprint(), before, "{name}, in a batch");
    }
    crm = crm.reopen();
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn a_refusal_uses_up_no_number_of_a_sequence() {
    let (crm, known) = filled("counter");
    for Case { mutation, .. } in cases(&known) {
        crm.store.apply(&mutation).unwrap_err();
    }
    let bad = [
        mutation("company", Action::Create, None, patch! { "domain" => "acme.example", "name" => "Twice" }),
        mutation("company", Action::Create, None, patch! { "domain" => "c.example" }),
    ];
    bad.iter().for_each(|mutation| assert!(crm.store.apply(mutation).is_err()));
    let next = crm.make("company", patch! { "domain" => "c.example", "name" => "C" });
    assert_eq!(crm.get("company", next).unwrap().counter, 3);
    crm.run("company", Action::Delete, Some(Key::Id(next)), Patch::new());
    let again = crm.make("company", patch! { "domain" => "c.example", "name" => "C" });
    assert_eq!(crm.get("company", again).unwrap().counter, 4, "nor is one used twice");
}

#[test]
fn a_value_of_null_and_an_empty_list_are_no_value() {
    let (crm, known) = filled("null");
    crm.update(
        "company",
        known.acme,
        patch! { "seats" => 1, "notes" => list(&["n"]), "tags" => list(&["a"]) },
    );
    let empty =
        patch! { "seats" => Value::Null, "notes" => Value::List(vec![]), "tags" => Value::List(vec![]) };
    let outcome = crm.update("company", known.acme, empty.clone());
    assert_eq!(outcome.changed().count(), 3);
    assert!(crm.update("company", known.acme, empty).is_unchanged());
}

#[test]
fn a_taken_key_is_told_the_same_way_whichever_way_it_is_found_and_behind_what_is_wrong_with_values() {
    // A create alone looks its keys up before it stages anything; one in a batch does at the end.
    let dir = Dir::new("refusals-taken");
    let schema = r#"{"objects":[{"key":"o","primary_key":["k","n"],"attributes":[
        {"key":"k","type":"text","required":true},{"key":"n","type":"number","required":true},
        {"key":"u","type":"uuid","unique":true},{"key":"t","type":"text","unique":true},
        {"key":"d","type":"decimal","decimals":2},{"key":"i","type":"integer","max":9},{"key":"b","type":"boolean"}]}]}"#;
    let config = Config::new().durability(Durability::Buffered).seed(7);
    let store = config.create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let create = |values| mutation("o", Action::Create, None, Patch { set: values, ..Patch::new() });
    let uuid = Value::Uuid(uuid::Uuid::from_bytes([5; 16]));
    let held = record! { "k" => "a", "n" => 0.0, "u" => uuid.clone(), "t" => "x" };
    let first = store.apply(&create(held)).unwrap().id;
    let cases = [
        (record! { "k" => "a", "n" => -0.0 }, ErrorKind::UniqueConflict, "k"),
        (record! { "n" => 0.0, "k" => "a", "u" => uuid.clone(), "d" => 1 }, ErrorKind::UniqueConflict, "k"),
        (record! { "k" => "b", "n" => 0.0, "u" => uuid.clone(), "t" => "x" }, ErrorKind::UniqueConflict, "u"),
        (record! { "k" => "b", "n" => 0.0, "t" => "x", "b" => true }, ErrorKind::UniqueConflict, "t"),
        (record! { "k" => "a", "n" => 0.0, "i" => 10 }, ErrorKind::InvalidValue, "i"),
        (record! { "k" => "a", "n" => f64::NAN }, ErrorKind::InvalidValue, "n"),
        (record! { "k" => "a", "n" => 0.0, "b" => "no" }, ErrorKind::InvalidValue, "b"),
        (record! { "k" => "a", "n" => 0.0, "z" => 1 }, ErrorKind::UnknownAttribute, "z"),
        (record! { "k" => "a", "u" => uuid.clone() }, ErrorKind::MissingRequired, "n"),
        (record! { "t" => "x", "n" => 0.0 }, ErrorKind::MissingRequired, "k"),
    ];
    for (values, kind, attribute) in cases {
        let alone = store.apply(&create(values.clone())).unwrap_err();
        let among = [create(record! { "k" => "c", "n" => 1.0 }), create(values.clone())];
        let batch = store.apply_batch(&among).unwrap_err();
        assert_eq!((alone.kind(), batch.kind()), (kind, kind), "{values:?}: {alone} and {batch}");
        assert_eq!(alone.conflict(), batch.conflict(), "{values:?}");
        match alone.conflict() {
            Some(conflict) => {
                assert_eq!((conflict.record, conflict.attributes[0].as_str()), (first, attribute));
            }
            None => assert!(path_is(&alone, attribute), "{values:?}: {alone}"),
        }
    }
    // What was looked up ahead is not taken for known by the next one.
    let free = record! { "k" => "b", "n" => 0.0, "t" => "y" };
    store.apply(&create(free.clone())).unwrap();
    assert_eq!(store.apply(&create(free)).unwrap_err().kind(), ErrorKind::UniqueConflict);
    assert_eq!(store.object("o").unwrap().count(), 2);
}
