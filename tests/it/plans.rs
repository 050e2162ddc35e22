//! Plans at work: match, parts, ops, conditions, policies, outcomes, batches.
//!
//! Which test stands for which row of SEMANTICS.md (6: merged features, 7: capabilities; 9 is `refusals`):
//!
//! | row | test |
//! |---|---|
//! | 6 merge update by id | `an_outcome_has_the_values_before_and_the_record_after` |
//! | 6 full replacement, 7.2 ReplaceAll | `a_replacement_clears_what_it_does_not_name` |
//! | 6 create by update, upsert key, 7.3 | `match_tells_none_one_and_many_apart`, `refiners_stand_beside_a_unique_attribute`, `the_match_gives_a_new_record_its_values_and_the_parts_come_first`, `a_create_with_a_match_is_refused_if_the_record_is_there` |
//! | 6 upsert parts, set-if-empty, 7.4 | `the_six_parts_of_an_upsert_have_their_precedence` |
//! | 6 clear a value | `refusals::a_value_of_null_and_an_empty_list_are_no_value` |
//! | 6 multi value write, 7.2 lists | `multi_values_are_replaced_prepended_appended_added_and_removed`, `remove_goes_before_add_so_a_swap_at_the_limit_works` |
//! | 6 map entry write | `entries_of_a_labelled_list_are_set_and_cleared_one_by_one` |
//! | 6 side document, 7.2 MergeMeta | `metadata_is_merged_member_by_member` |
//! | 6 unknown attribute, partial success, 7.6 | `a_strict_mutation_tells_everything_that_is_wrong`, `ignore_invalid_drops_and_lists_what_does_not_fit` |
//! | 6 unique attribute, conflict answer, 7.7 | `key_lessons`, `refusals` |
//! | 6 reference by id, by match, nested upsert, 7.5 | `relations::a_reference_by_id_must_be_to_a_record_that_exists_and_is_allowed`, `relations::a_reference_by_match_may_be_null_or_an_error_where_nothing_matches`, `relations::a_nested_upsert_makes_its_record_in_the_same_commit`, `relations::nesting_is_bounded`, `flights_linked` |
//! | 6 two-sided relations, 7.9 | `relations::writing_one_side_of_a_relation_writes_the_other`, `relations::a_relation_of_one_to_one_moves_both_old_partners` |
//! | 6 bulk write | `an_atomic_batch_names_the_mutation_that_was_refused`, `a_batch_of_each_on_its_own_goes_on_behind_a_refusal`, `later_mutations_of_a_batch_name_records_made_by_earlier_ones` |
//! | 6 record counter, 7.10 | `refusals::a_refusal_uses_up_no_number_of_a_sequence` |
//! | 6 If-Match | `a_condition_on_version_or_values_is_judged_in_the_transaction` |
//! | 7.1 nothing changes on an error | `refusals::every_refusal_carries_its_data_and_leaves_no_trace` |

use crate::crm::{Crm, list, mutation, texts};
use vellum::{
    Action, Bounds, Comparison, Decimal, ErrorKind, Filter, Json, Key, Op, Patch, Schema, Timestamp, Value,
    patch, record,
};

fn by_domain(domain: &str) -> Option<Key> {
    Some(Key::from(("domain", domain)))
}

fn acme(crm: &Crm) -> vellum::RecordId {
    crm.make("company", patch! { "domain" => "acme.example", "name" => "Acme", "code" => "A1" })
}

#[test]
fn match_tells_none_one_and_many_apart() {
    let crm = Crm::new("match");
    let first = crm.make(
        "company",
        patch! { "domain" => "one.example", "name" => "One", "aliases" => list(&["a.example", "b.example"]) },
    );
    let second = crm.make(
        "company",
        patch! { "domain" => "two.example", "name" => "Two", "aliases" => list(&["c.example"]) },
    );
    let found = |values: Vec<(vellum::Name, Value)>| {
        let key = Some(Key::Attributes(values));
        crm.try_run("company", Action::Update, key, patch! { "source" => "x" })
    };
    // One, by any of its values, in any form of the name.
    let outcome = found(record! { "aliases" => list(&["b.example"]) }).unwrap();
    assert_eq!(outcome.id, first);
    assert_eq!(found(record! { "aliases" => "https://B.example/x" }).unwrap().id, first);
    assert_eq!(found(record! { "aliases" => list(&["a.example", "b.example"]) }).unwrap().id, first);
    assert_eq!(found(record! { "aliases" => list(&["zzz.example", "c.example"]) }).unwrap().id, second);
    // None.
    let none = found(record! { "aliases" => list(&["zzz.example", "yyy.example"]) }).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::RecordNotFound);
    // Many, with their ids.
    let many = found(record! { "aliases" => list(&["a.example", "c.example"]) }).unwrap_err();
    assert_eq!(many.kind(), ErrorKind::MultipleMatches);
    assert_eq!(many.records(), [first, second]);
}

#[test]
fn refiners_stand_beside_a_unique_attribute() {
    let crm = Crm::new("refine");
    let id = crm.make(
        "company",
        patch! { "domain" => "acme.example", "name" => "Acme", "status" => "active", "notes" => list(&["n", "m"]),
            "aliases" => list(&["a.example", "B.example"]) },
    );
    let with = |values: Vec<(vellum::Name, Value)>| {
        crm.try_run("company", Action::Update, Some(Key::Attributes(values)), patch! { "source" => "x" })
    };
    let hits = [
        record! { "status" => "active", "domain" => "acme.example" },
        record! { "domain" => "acme.example", "code" => Value::Null },
        record! { "domain" => "acme.example", "notes" => "m" },
        // One is the other as keys are.
        record! { "domain" => "acme.example", "aliases" => "https://b.EXAMPLE/x" },
    ];
    for values in hits {
        assert_eq!(with(values.clone()).unwrap().id, id, "{values:?}");
        assert_eq!(crm.store.object("company").unwrap().get(values).unwrap().unwrap().id, id);
    }
    let misses = [
        record! { "domain" => "acme.example", "status" => "lost" },
        record! { "domain" => "acme.example", "code" => "A1" },
        record! { "domain" => "acme.example", "name" => Value::Null },
        record! { "domain" => "acme.example", "aliases" => "c.example" },
    ];
    for values in misses {
        assert_eq!(with(values.clone()).unwrap_err().kind(), ErrorKind::RecordNotFound, "{values:?}");
        assert_eq!(crm.store.object("company").unwrap().get(values).unwrap(), None);
    }
    assert_eq!(with(record! { "status" => "active" }).unwrap_err().kind(), ErrorKind::MatchNotUnique);
    // An empty list is no value, and no record is found by none.
    let empty = with(record! { "aliases" => Value::List(Vec::new()), "status" => "active" }).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::RecordNotFound);
    let unknown = with(record! { "domain" => "acme.example", "colour" => "red" }).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownAttribute);
}

#[test]
fn a_create_with_a_match_is_refused_if_the_record_is_there() {
    let crm = Crm::new("create-match");
    let create =
        || crm.try_run("company", Action::Create, by_domain("acme.example"), patch! { "name" => "Acme" });
    let made = create().unwrap();
    assert_eq!(crm.value("company", made.id, "domain"), Value::from("acme.example"));
    let before = crm.fingerprint();
    let error = create().unwrap_err();
    assert_eq!((error.kind(), error.conflict().unwrap().record), (ErrorKind::UniqueConflict, made.id));
    assert_eq!(crm.fingerprint(), before);
}

/// Every part sets its own attributes and `source`, which the one with the highest precedence wins.
fn six_parts() -> Patch {
    patch! { "source" => "set", "score" => 1.0 }
        .on_create("source", "create")
        .on_create("status", "lead")
        .on_update("source", "update")
        .on_update("status", "active")
        .on_update_if_empty("source", "update_if_empty")
        .on_update_if_empty("seats", 1)
        .if_empty("source", "create_or_update_if_empty")
        .if_empty("seats", 2)
        .if_empty("name", "given")
}

#[test]
fn the_six_parts_of_an_upsert_have_their_precedence() {
    let crm = Crm::new("parts");
    let upsert = |patch: Patch| crm.run("company", Action::Upsert, by_domain("acme.example"), patch);
    let made = upsert(six_parts());
    assert!(made.created);
    let read = |name: &str| crm.value("company", made.id, name);
    assert_eq!(
        [read("domain"), read("source"), read("status"), read("seats"), read("score"), read("name")],
        ["acme.example".into(), "create".into(), "lead".into(), 2.into(), 1.0.into(), "given".into()]
    );
    let changed = upsert(six_parts());
    assert!(!changed.created && changed.id == made.id);
    assert_eq!([read("source"), read("status"), read("seats")], ["update".into(), "active".into(), 2.into()]);
    // Without values the two parts for empty attributes count, the one for updates first.
    crm.update("company", made.id, Patch::new().clear("seats").clear("source"));
    let only_empty = Patch::new()
        .on_update_if_empty("seats", 1)
        .if_empty("seats", 2)
        .if_empty("source", "late")
        .if_empty("name", "not this");
    upsert(only_empty);
    assert_eq!([read("seats"), read("source"), read("name")], [1.into(), "late".into(), "given".into()]);
    // `set` hides a value for empty attributes also where it clears.
    upsert(Patch::new().clear("seats").if_empty("seats", 9));
    assert_eq!(read("seats"), Value::Null);
}

#[test]
fn the_match_gives_a_new_record_its_values_and_the_parts_come_first() {
    let crm = Crm::new("match-values");
    let key = Key::Attributes(record! { "code" => "A1", "status" => "lead" });
    let patch = patch! { "domain" => "acme.example", "name" => "Acme", "status" => "active" };
    let made = crm.run("company", Action::Upsert, Some(key), patch);
    assert!(made.created);
    assert_eq!(crm.value("company", made.id, "code"), Value::from("A1"));
    assert_eq!(crm.value("company", made.id, "status"), Value::from("active"));
}

#[test]
fn numbers_are_changed_in_place_with_bounds_that_refuse() {
    let crm = Crm::new("numbers");
    let id = acme(&crm);
    let with = |name: &'static str, op: Op| {
        crm.try_run("company", Action::Update, Some(Key::Id(id)), Patch::new().op(name, op))
    };
    let read = |name: &str| crm.value("company", id, name);
    let free = Bounds::default;
    with("seats", Op::Increment(5.into(), free())).unwrap();
    with("seats", Op::Multiply(3.into(), free())).unwrap();
    assert_eq!(read("seats"), Value::Integer(15));
    let price: Decimal = "0.10".parse().unwrap();
    for _ in 0..3 {
        with("price", Op::Increment(price.into(), free())).unwrap();
    }
    assert_eq!(read("price"), Value::Decimal("0.30".parse().unwrap()));
    with("score", Op::Increment(0.5.into(), free())).unwrap();
    with("score", Op::Min(0.25.into())).unwrap();
    with("score", Op::Max(0.125.into())).unwrap();
    assert_eq!(read("score"), Value::Number(0.25));
    with("since", Op::Max("2024-02-29".into())).unwrap();
    with("since", Op::Max("2023-01-01".into())).unwrap();
    assert_eq!(read("since").to_string(), "2024-02-29");

    let before = crm.fingerprint();
    let up_to = |max: i64| Bounds { min: None, max: Some(max.into()) };
    let down_to = |min: i64| Bounds { min: Some(min.into()), max: None };
    let refused = [
        ("seats", Op::Increment(1.into(), up_to(15))),
        ("seats", Op::Increment((-16).into(), free())),
        ("seats", Op::Increment((-10).into(), down_to(6))),
        ("seats", Op::Increment(i64::MAX.into(), free())),
        ("seats", Op::Multiply(0.1.into(), free())),
        ("price", Op::Multiply("0.001".parse::<Decimal>().unwrap().into(), free())),
        ("score", Op::Multiply(f64::MAX.into(), free())),
        ("name", Op::Increment(1.into(), free())),
        ("name", Op::Now),
        ("tags", Op::Increment(1.into(), free())),
    ];
    for (name, op) in refused {
        match (name, &op) {
            ("score", _) => {
                // A double of 0.25 times the largest is finite; twice that is not.
                with("score", Op::Set(8.0.into())).unwrap();
                assert_eq!(with(name, op).unwrap_err().kind(), ErrorKind::InvalidValue);
                with("score", Op::Set(0.25.into())).unwrap();
            }
            _ => {
                let error = with(name, op.clone()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidValue, "{name}: {op:?}: {error}");
                assert_eq!(error.path().as_deref(), Some(name));
            }
        }
    }
    assert_eq!(read("seats"), Value::Integer(15));
    assert_ne!(before, String::new());
}

#[test]
fn now_is_the_time_of_the_transaction() {
    let crm = Crm::new("now");
    let id = acme(&crm);
    let outcome =
        crm.update("company", id, Patch::new().op("seen", Op::Now).op("since", Op::Now).returning());
    let record = outcome.record.unwrap();
    let Some(Value::Timestamp(seen)) = record.get("seen") else { panic!("{record:?}") };
    assert!(
        seen.0 > 0 && (record.updated_at.0 - seen.0).abs() < 1_000_000_000,
        "{seen} {}",
        record.updated_at
    );
    assert_eq!(record.get("since").unwrap().to_string(), Timestamp(seen.0).to_string()[..10]);
}

#[test]
fn multi_values_are_replaced_prepended_appended_added_and_removed() {
    let crm = Crm::new("lists");
    let id = acme(&crm);
    let with = |op: Op, name: &'static str| crm.update("company", id, Patch::new().op(name, op));
    let read = |name: &str| crm.value("company", id, name);
    for name in ["notes", "phases"] {
        let [a, b, c] = if name == "notes" { ["x", "y", "z"] } else { ["one", "two", "three"] };
        with(Op::Replace(texts(&[a, b])), name);
        with(Op::Prepend(texts(&[c])), name);
        assert_eq!(read(name), list(&[c, a, b]));
        with(Op::Prepend(texts(&[b])), name);
        assert_eq!(read(name), list(&[b, c, a]), "what is there already moves");
        with(Op::Append(texts(&[b])), name);
        assert_eq!(read(name), list(&[c, a, b]));
        let same = with(Op::Add(texts(&[a])), name);
        assert!(same.is_unchanged(), "adding what is there is no error and no change");
        with(Op::Remove(texts(&[a])), name);
        assert_eq!(read(name), list(&[c, b]));
        assert!(with(Op::Remove(texts(&[a])), name).is_unchanged());
        with(Op::Remove(texts(&[b, c])), name);
        assert_eq!(read(name), Value::Null);
    }
    // A set of bits.
    with(Op::Add(texts(&["b", "a"])), "tags");
    assert_eq!(read("tags"), list(&["a", "b"]));
    with(Op::Remove(texts(&["a", "d"])), "tags");
    assert_eq!(read("tags"), list(&["b"]));
    // E-mail addresses, domains and phones are the same in any of their forms.
    with(Op::Add(texts(&["Acme.Example"])), "aliases");
    assert!(with(Op::Add(texts(&["acme.example"])), "aliases").is_unchanged());
    with(Op::Remove(texts(&["ACME.example"])), "aliases");
    assert_eq!(read("aliases"), Value::Null);
}

#[test]
fn remove_goes_before_add_so_a_swap_at_the_limit_works() {
    let crm = Crm::new("limit");
    let id = acme(&crm);
    crm.update("company", id, patch! { "tags" => list(&["a", "b", "c"]), "notes" => list(&["1", "2", "3"]) });
    for (name, gone, new) in [("tags", "a", "d"), ("notes", "1", "4")] {
        let add = Op::Add(texts(&[new]));
        let over =
            crm.try_run("company", Action::Update, Some(Key::Id(id)), Patch::new().op(name, add.clone()));
        let error = over.unwrap_err();
        assert_eq!((error.kind(), error.limit()), (ErrorKind::TooManyValues, Some((3, 4))), "{error}");
        crm.update("company", id, Patch::new().op(name, add).op(name, Op::Remove(texts(&[gone]))));
    }
    assert_eq!(crm.value("company", id, "tags"), list(&["b", "c", "d"]));
    assert_eq!(crm.value("company", id, "notes"), list(&["2", "3", "4"]));
}

#[test]
fn entries_of_a_labelled_list_are_set_and_cleared_one_by_one() {
    let crm = Crm::new("entries");
    let id = acme(&crm);
    let with =
        |op: Op| crm.try_run("company", Action::Update, Some(Key::Id(id)), Patch::new().op("boxes", op));
    with(Op::SetEntry("right".into(), "r".into())).unwrap();
    with(Op::SetEntry("left".into(), "l".into())).unwrap();
    assert_eq!(crm.value("company", id, "boxes").to_string(), r#"{"left":"l","right":"r"}"#);
    assert_eq!(with(Op::SetEntry("middle".into(), "m".into())).unwrap_err().kind(), ErrorKind::InvalidValue);
    with(Op::ClearEntry("left".into())).unwrap();
    assert!(with(Op::ClearEntry("left".into())).unwrap().is_unchanged());
    assert_eq!(crm.value("company", id, "boxes").to_string(), r#"{"right":"r"}"#);
    with(Op::SetEntry("right".into(), Value::Null)).unwrap();
    assert_eq!(crm.value("company", id, "boxes"), Value::Null);
}

#[test]
fn metadata_is_merged_member_by_member() {
    let crm = Crm::new("meta");
    let id = acme(&crm);
    let merge = |json: &str| {
        let op = Op::Merge(Json::parse(json).unwrap());
        crm.update("company", id, Patch::new().op("meta", op));
    };
    merge(r#"{"id":"r1","n":12345678901234567890123,"deep":{"a":1,"b":2}}"#);
    merge(r#"{"deep":{"a":3},"id":null,"new":[1]}"#);
    assert_eq!(
        crm.value("company", id, "meta").to_string(),
        r#"{"n":12345678901234567890123,"deep":{"a":3},"new":[1]}"#
    );
}

#[test]
fn a_replacement_clears_what_it_does_not_name() {
    let crm = Crm::new("replace");
    let id = acme(&crm);
    crm.update("company", id, patch! { "status" => "lead", "seats" => 3, "score" => 1.0 });
    let replacement =
        patch! { "name" => "Other" }.replace().op("seats", Op::Increment(1.into(), Bounds::default()));
    crm.run("company", Action::Update, by_domain("acme.example"), replacement);
    let record = crm.get("company", id).unwrap();
    let names: Vec<&str> = record.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["domain", "name", "seats"]);
    // What is required must be named.
    let error = crm.try_run("company", Action::Update, by_domain("acme.example"), Patch::new().replace());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::MissingRequired);
}

#[test]
fn a_condition_on_version_or_values_is_judged_in_the_transaction() {
    let crm = Crm::new("condition");
    let id = acme(&crm);
    crm.update("company", id, patch! { "status" => "lead", "seats" => 3, "tags" => list(&["a"]) });
    use Comparison as C;
    let holds = [
        Filter::eq("status", "lead"),
        Filter::is("status", C::NotEqual, "active"),
        Filter::is("status", C::In, Value::List(texts(&["lost", "lead"]))),
        Filter::is("seats", C::AtLeast, 3),
        Filter::is("seats", C::Less, 4),
        Filter::eq("score", Value::Null),
        Filter::is("score", C::Empty, true),
        Filter::is("score", C::NotEqual, 1.0),
        Filter::is("name", C::Contains, "CM"),
        Filter::is("name", C::StartsWith, "Ac"),
        Filter::is("tags", C::Contains, "a"),
        Filter::Not(Box::new(Filter::is("seats", C::Greater, 3))),
        Filter::Any(vec![Filter::eq("status", "lost"), Filter::eq("status", "lead")]),
        Filter::All(vec![]),
    ];
    let update = |filter: Filter, seats: i64| {
        let patch = patch! { "seats" => seats }.only_if(filter);
        crm.try_run("company", Action::Update, Some(Key::Id(id)), patch)
    };
    for filter in holds {
        assert!(update(filter.clone(), 3).is_ok(), "{filter:?}");
        let error = update(Filter::Not(Box::new(filter.clone())), 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{filter:?}");
        assert_eq!((error.current_version(), error.records()), (Some(2), &[id][..]));
    }
    let error = update(Filter::is("score", C::Less, 5.0), 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "no value is less than nothing");
    let bad = [
        Filter::eq("colour", "red"),
        Filter::eq("seats", "many"),
        Filter::is("status", C::In, "lead"),
        Filter::is("tags", C::Less, "a"),
        Filter::is("seats", C::Contains, 3),
        Filter::Any(vec![Filter::eq("status", "lead"), Filter::eq("status", "none")]),
    ];
    for filter in bad {
        let error = update(filter.clone(), 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadFilter, "{filter:?}: {error}");
        assert!(error.path().is_some());
    }
    let delete =
        mutation("company", Action::Delete, Some(Key::Id(id)), Patch::new().only_if(Filter::eq("seats", 4)));
    assert_eq!(crm.store.apply(&delete).unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[test]
fn an_upsert_judges_its_condition_only_if_the_record_is_there() {
    let crm = Crm::new("condition-upsert");
    let upsert = || {
        let patch = patch! { "name" => "Acme" }.if_empty("seats", 1).only_if(Filter::eq("seats", 7));
        crm.try_run("company", Action::Upsert, by_domain("acme.example"), patch)
    };
    assert!(upsert().unwrap().created);
    assert_eq!(upsert().unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[test]
fn a_strict_mutation_tells_everything_that_is_wrong() {
    let crm = Crm::new("strict");
    acme(&crm);
    let before = crm.fingerprint();
    let patch = patch! {
        "colour" => "red", "seats" => -1, "status" => "none", "price" => "much", "sealed" => "x",
        "score" => 1.0, "name" => Value::Null
    };
    let error = crm.try_run("company", Action::Update, by_domain("acme.example"), patch).unwrap_err();
    let all: Vec<(ErrorKind, String)> =
        error.all().iter().map(|error| (error.kind(), error.path().unwrap())).collect();
    use ErrorKind as K;
    let expected = [
        (K::UnknownAttribute, "colour"),
        (K::NotWritable, "sealed"),
        (K::InvalidValue, "seats"),
        (K::UnknownOption, "status"),
        (K::InvalidValue, "price"),
        (K::MissingRequired, "name"),
    ];
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for (kind, path) in expected {
        assert!(all.contains(&(kind, path.to_string())), "{path}: {all:?}");
    }
    assert_eq!(crm.fingerprint(), before);
    // A create too; what is there but wrong is not called missing as well.
    let error =
        crm.try_run("company", Action::Create, None, patch! { "name" => 7, "seats" => "x" }).unwrap_err();
    let kinds: Vec<ErrorKind> = error.all().iter().map(vellum::Error::kind).collect();
    assert_eq!(kinds, [K::InvalidValue, K::InvalidValue, K::MissingRequired], "{error}");
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn ignore_invalid_drops_and_lists_what_does_not_fit() {
    let crm = Crm::new("ignore");
    let id = acme(&crm);
    crm.update("company", id, patch! { "seats" => 3 });
    let patch =
        patch! { "colour" => "red", "seats" => -1, "status" => "none", "score" => 1.0, "sealed" => "x" };
    let outcome = crm.update("company", id, patch.ignore_invalid());
    let mut dropped: Vec<String> = outcome.dropped().iter().map(|error| error.path().unwrap()).collect();
    dropped.sort();
    assert_eq!(dropped, ["colour", "sealed", "seats", "status"]);
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["score"]);
    assert_eq!(crm.value("company", id, "seats"), Value::Integer(3), "as if it had not been sent");
    // A required attribute is not left out.
    let bad = patch! { "name" => 7, "score" => 2.0 }.ignore_invalid();
    let error = crm.try_run("company", Action::Update, Some(Key::Id(id)), bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    let bare = Patch::new().ignore_invalid();
    let error = crm.try_run("company", Action::Create, None, bare).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequired);
}

#[test]
fn an_outcome_has_the_values_before_and_the_record_after() {
    let crm = Crm::new("before");
    let id = acme(&crm);
    crm.update("company", id, patch! { "seats" => 3, "status" => "lead" });
    let patch = patch! { "seats" => 4, "status" => "lead", "score" => 2.0 }.before().returning();
    let outcome = crm.update("company", id, patch);
    assert_eq!(outcome.before(), record! { "seats" => 3, "score" => Value::Null });
    assert_eq!(outcome.record.unwrap().get("seats"), Some(&Value::Integer(4)));
    let delete = crm.run("company", Action::Delete, Some(Key::Id(id)), Patch::new().before());
    assert!(delete.before().contains(&("domain".into(), "acme.example".into())));
}

#[test]
fn a_mutation_that_changes_nothing_says_so_and_leaves_version_and_time() {
    let crm = Crm::new("unchanged");
    let id = acme(&crm);
    crm.update("company", id, patch! { "seats" => 3, "tags" => list(&["a"]) });
    let before = crm.fingerprint();
    let same = [
        patch! { "seats" => 3 },
        patch! { "seats" => 3 }.op("tags", Op::Add(texts(&["a"]))),
        Patch::new().op("seats", Op::Increment(0.into(), Bounds::default())),
        Patch::new().if_empty("seats", 9).op("seats", Op::SetIfEmpty(8.into())),
        Patch::new().op("seats", Op::Increment(1.into(), Bounds::default())).op("seats", Op::Min(3.into())),
    ];
    for patch in same {
        let outcome = crm.update("company", id, patch.clone());
        assert!(outcome.is_unchanged() && outcome.version == 2, "{patch:?}");
        assert_eq!(crm.fingerprint(), before, "{patch:?}");
    }
}

#[test]
fn a_dry_run_answers_as_the_real_call_and_changes_nothing() {
    let crm = Crm::new("dry");
    let id = acme(&crm);
    let mutations = [
        mutation("company", Action::Update, Some(Key::Id(id)), patch! { "seats" => 3 }.before()),
        mutation("company", Action::Upsert, by_domain("new.example"), patch! { "name" => "New" }),
    ];
    let before = crm.fingerprint();
    let tried = crm.store.dry_run(&mutations).unwrap();
    assert_eq!(crm.fingerprint(), before);
    let real = crm.store.apply_batch(&mutations).unwrap();
    for (tried, real) in tried.iter().zip(&real) {
        assert_eq!((tried.version, tried.lsn, tried.created), (real.version, real.lsn, real.created));
        assert_eq!(tried.before(), real.before());
        assert!(tried.changed().eq(real.changed()));
    }
    // Keys are judged as well.
    let clash =
        [mutation("company", Action::Update, Some(Key::Id(id)), patch! { "domain" => "new.example" })];
    let error = crm.store.dry_run(&clash).unwrap_err();
    assert_eq!((error.kind(), error.conflict().unwrap().record), (ErrorKind::UniqueConflict, real[1].id));
    assert_eq!(crm.store.dry_run(&[]).unwrap().len(), 0);
}

#[test]
fn an_atomic_batch_names_the_mutation_that_was_refused() {
    let crm = Crm::new("atomic");
    let id = acme(&crm);
    let good = mutation("company", Action::Update, Some(Key::Id(id)), patch! { "seats" => 3 });
    let create = |domain: &str| {
        mutation("company", Action::Create, None, patch! { "domain" => domain, "name" => "N" })
    };
    let before = crm.fingerprint();
    let bad = mutation("company", Action::Update, Some(Key::Id(id)), patch! { "seats" => "x" });
    let error = crm.store.apply_batch(&[good.clone(), bad, good.clone()]).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::InvalidValue, Some(1)));
    let error =
        crm.store.apply_batch(&[good.clone(), create("x.example"), create("acme.example")]).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::UniqueConflict, Some(2)));
    assert_eq!(crm.fingerprint(), before);
}

#[test]
fn a_batch_of_each_on_its_own_goes_on_behind_a_refusal() {
    let crm = Crm::new("each");
    let create = |domain: &str| {
        mutation("company", Action::Create, None, patch! { "domain" => domain, "name" => "N" })
    };
    let named = |name: &str| Some(Key::Named(name.to_string().into()));
    let first = mutation(
        "company",
        Action::Create,
        None,
        patch! { "domain" => "a.example", "name" => "N" }.named("first"),
    );
    let mutations = [
        first,
        create("a.example"),
        create("b.example"),
        mutation("company", Action::Update, named("first"), patch! { "seats" => 7 }),
        mutation("company", Action::Update, named("nobody"), patch! { "seats" => 7 }),
    ];
    let answers = crm.store.apply_each(&mutations).unwrap();
    let kinds: Vec<Option<ErrorKind>> =
        answers.iter().map(|answer| answer.as_ref().err().map(vellum::Error::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::UniqueConflict), None, None, Some(ErrorKind::RecordNotFound)]);
    assert_eq!(answers[1].as_ref().unwrap_err().position(), Some(1));
    assert_eq!(crm.value("company", answers[0].as_ref().unwrap().id, "seats"), Value::Integer(7));
    assert_eq!(crm.store.object("company").unwrap().count(), 2);
}

#[test]
fn later_mutations_of_a_batch_name_records_made_by_earlier_ones() {
    let crm = Crm::new("names");
    let batch = [
        mutation(
            "company",
            Action::Create,
            None,
            patch! { "domain" => "acme.example", "name" => "Acme" }.named("acme"),
        ),
        mutation(
            "person",
            Action::Create,
            None,
            patch! { "email" => "ann@acme.example", "company" => "@acme" }.named("ann"),
        ),
        mutation("company", Action::Update, Some(Key::Named("acme".into())), patch! { "keeper" => "@ann" }),
    ];
    let outcomes = crm.store.apply_batch(&batch).unwrap();
    assert_eq!(crm.value("person", outcomes[1].id, "company"), Value::Reference(outcomes[0].id));
    assert_eq!(crm.value("company", outcomes[0].id, "keeper"), Value::Reference(outcomes[1].id));
    // A name holds inside of its transaction alone.
    let late = mutation("person", Action::Create, None, patch! { "company" => "@acme" });
    let error = crm.store.apply(&late).unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::ReferenceNotFound, Some("acme")));
    let record = crm.store.object("company").unwrap().get(Key::Named("acme".into()));
    assert_eq!(record.unwrap_err().kind(), ErrorKind::MissingKey);
}

#[test]
fn a_refused_mutation_inside_a_transaction_leaves_the_others_as_they_were() {
    let crm = Crm::new("inside");
    let id = acme(&crm);
    let outcome = crm
        .store
        .transaction(|txn| {
            txn.update("company", id, patch! { "seats" => 1 })?;
            // Two records staged on the way, and the last one is wrong.
            let bad = patch! { "domain" => "b.example", "name" => "B", "seats" => "x" }
                .named("lost")
                .op("tags", Op::Add(texts(&["a"])));
            assert!(txn.apply(&mutation("company", Action::Create, None, bad)).is_err());
            assert!(txn.get("company", ("domain", "b.example"))?.is_none());
            let more = Patch::new().op("seats", Op::Increment(1.into(), Bounds::default()));
            txn.update("company", ("domain", "acme.example"), more)
        })
        .unwrap();
    assert_eq!((outcome.version, crm.value("company", id, "seats")), (2, Value::Integer(2)));
    assert_eq!(crm.store.object("company").unwrap().count(), 1);
}

#[test]
fn a_record_made_by_a_match_has_no_default_where_the_match_asks_for_no_value() {
    let dir = crate::common::Dir::new("match-null-default");
    let schema = r#"{"objects":[{"key":"o","attributes":[
        {"key":"code","type":"text","unique":true},{"key":"seats","type":"integer","default":5}]}]}"#;
    let store = crate::common::quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let seats = |code: &str, patch: Patch| {
        let key = Some(Key::Attributes(record! { "code" => code, "seats" => Value::Null }));
        let id = store.apply(&mutation("o", Action::Upsert, key, patch)).unwrap().id;
        store.object("o").unwrap().get(id).unwrap().unwrap().get("seats").cloned()
    };
    assert_eq!(seats("plain", Patch::new()), None);
    assert_eq!(seats("with a part", Patch::new().on_update("seats", 1)), None);
    assert_eq!(seats("said", Patch::new().on_create("seats", 1)), Some(1.into()));
}
