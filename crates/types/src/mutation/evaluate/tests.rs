//! Parts, ops and conditions without a store.

use super::*;
use crate::mutation::{Bounds, Comparison, Filter, Patch};
use crate::schema::Schema;
use crate::value::{Decimal, Json, Name};

const SCHEMA: &str = r#"{"objects":[{"key":"thing","attributes":[
    {"key":"whole","type":"integer","max":100},{"key":"exact","type":"decimal","decimals":2},
    {"key":"double","type":"number"},{"key":"text","type":"text"},{"key":"day","type":"date"},
    {"key":"moment","type":"timestamp","unit":"us"},{"key":"json","type":"json"},
    {"key":"bits","type":"select","multi":true,"ordered":false,"max_values":2,"options":[{"key":"a"},{"key":"b"},{"key":"c"}]},
    {"key":"words","type":"text","multi":true},{"key":"mails","type":"email","multi":true},
    {"key":"stars","type":"rating"},{"key":"money","type":"currency","currency":"USD"},{"key":"any","type":"currency"},
    {"key":"boxes","type":"text_list","labels":["left","right"]}]}]}"#;

fn schema() -> Schema {
    Schema::from_json(SCHEMA).unwrap()
}

/// What an op makes of a value, both as values.
fn made(schema: &Schema, name: &str, current: Value, op: &Op) -> Result<Value> {
    let object = schema.object("thing")?;
    let attribute = object.attribute(name)?;
    let mut cell = Vec::new();
    let present = !current.is_null() && attribute.encode(object, &current, &mut cell)?;
    let place = Place { object, attribute, now: Timestamp(86_400_000_000_000 * 3 + 1_234) };
    let mut out = vec![7];
    let result = apply(place, present.then_some(&cell), op, &mut out);
    if result.is_err() {
        assert_eq!(out, [7], "{op:?} left bytes behind");
    }
    match result? {
        true => attribute.decode(&out[1..]),
        false => Ok(Value::Null),
    }
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).collect()
}

#[test]
fn for_each_attribute_the_first_part_that_names_it_counts() {
    // Every set of parts that may name an attribute, against the order that is promised.
    let make = |parts: u32| {
        let mut patch = Patch::new();
        let value = |part: &str| (Name::from("x"), Value::from(part));
        if parts & 1 != 0 {
            patch.set.push(value("set"));
        }
        let mut key = Vec::new();
        if parts & 2 != 0 {
            key.push(value("key"));
        }
        let terms = patch.terms_mut();
        let targets = [
            (4, &mut terms.create, "create"),
            (8, &mut terms.update, "update"),
            (16, &mut terms.update_if_empty, "update_if_empty"),
            (32, &mut terms.create_or_update_if_empty, "create_or_update_if_empty"),
        ];
        for (bit, target, name) in targets {
            if parts & bit != 0 {
                target.push(value("first"));
                target.push(value(name));
            }
        }
        (patch, key)
    };
    let orders = [
        (When::Create, [(4, "create"), (1, "set"), (32, "create_or_update_if_empty"), (2, "key")]),
        (
            When::Update,
            [(8, "update"), (1, "set"), (16, "update_if_empty"), (32, "create_or_update_if_empty")],
        ),
    ];
    for parts in 0..64 {
        let (patch, key) = make(parts);
        for (when, order) in orders {
            let expected = order.into_iter().find(|(bit, _)| parts & bit != 0);
            let found = given(&patch, &key, when);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{parts:#b}");
            if let (Some((bit, name)), Some(found)) = (expected, found.first()) {
                let if_empty = when == When::Update && bit >= 16;
                assert_eq!((found.value, found.if_empty), (&Value::from(name), if_empty), "{parts:#b}");
            }
        }
    }
}

#[test]
fn clear_comes_after_set_and_the_last_of_a_name_counts() {
    let patch = Patch::new().set("x", 1).set("y", 1).set("x", 2).clear("y").if_empty("y", 3);
    let found = given(&patch, &[], When::Update);
    let found: Vec<(&str, &Value)> = found.iter().map(|given| (given.name.as_str(), given.value)).collect();
    assert_eq!(found, [("x", &Value::from(2)), ("y", &Value::Null)]);
    let null_key = [(Name::from("z"), Value::Null)];
    assert!(given(&Patch::new(), &null_key, When::Create).is_empty());
}

#[test]
fn ops_that_take_away_go_first_and_the_others_keep_their_order() {
    let ops: Vec<(Name, Op)> =
        [Op::Add(vec![]), Op::Remove(vec![]), Op::Prepend(vec![]), Op::ClearEntry("x".into())]
            .into_iter()
            .map(|op| (Name::from("x"), op))
            .collect();
    let names: Vec<&str> = ordered(&ops).map(|(_, op)| op.name()).collect();
    assert_eq!(names, ["remove", "clear_entry", "add", "prepend"]);
}

#[test]
fn arithmetic_is_exact_or_refused() {
    let schema = schema();
    let decimal = |text: &str| Value::Decimal(text.parse::<Decimal>().unwrap());
    let add = |by: Value| Op::Increment(by, Bounds::default());
    let times = |by: Value| Op::Multiply(by, Bounds::default());
    let sound = [
        ("whole", Value::Null, add(5.into()), Value::Integer(5)),
        ("whole", 90.into(), add(10.into()), Value::Integer(100)),
        ("whole", 7.into(), add((-9).into()), Value::Integer(-2)),
        ("whole", 8.into(), times(0.5.into()), Value::Integer(4)),
        ("whole", 8.into(), add(decimal("2.0")), Value::Integer(10)),
        ("exact", decimal("0.1"), add(decimal("0.2")), decimal("0.3")),
        ("exact", decimal("1.5"), times(decimal("0.5")), decimal("0.75")),
        ("exact", Value::Null, times(9.into()), decimal("0")),
        ("double", 0.5.into(), add(0.25.into()), Value::Number(0.75)),
        ("double", 2.0.into(), times(3.into()), Value::Number(6.0)),
    ];
    for (name, current, op, expected) in sound {
        assert_eq!(made(&schema, name, current.clone(), &op).unwrap(), expected, "{name} {current} {op:?}");
    }
    let refused = [
        ("whole", 91.into(), add(10.into())),
        ("whole", 1.into(), add(i64::MAX.into())),
        ("whole", 1.into(), add(0.5.into())),
        ("whole", 1.into(), add("x".into())),
        ("exact", decimal("0.01"), times(decimal("0.1"))),
        ("exact", decimal("1"), add(decimal("0.001"))),
        ("exact", decimal("1000000000000000000"), times(decimal("100000000000000000000"))),
        ("double", f64::MAX.into(), times(2.into())),
        ("double", 1.0.into(), add(Value::Null)),
        ("text", "1".into(), add(1.into())),
        ("day", Value::Null, add(1.into())),
        ("words", Value::Null, add(1.into())),
    ];
    for (name, current, op) in refused {
        let error = made(&schema, name, current, &op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{name} {op:?}: {error}");
    }
}

#[test]
fn amounts_and_ratings_are_numbers_too() {
    let schema = schema();
    let money = |text: &str| Value::Currency { amount: text.parse().unwrap(), code: "USD".parse().unwrap() };
    let euro = Value::Currency { amount: Decimal::from(1), code: "EUR".parse().unwrap() };
    let add = |by: Value| Op::Increment(by, Bounds::default());
    assert_eq!(made(&schema, "money", Value::Null, &add(money("1.10"))).unwrap(), money("1.1"));
    assert_eq!(made(&schema, "money", money("1.1"), &add(2.into())).unwrap(), money("3.1"));
    assert_eq!(made(&schema, "money", money("1.1"), &Op::Max(money("2"))).unwrap(), money("2"));
    assert!(made(&schema, "money", money("1.1"), &add(euro.clone())).is_err());
    let up_to = Op::Increment(1.into(), Bounds { min: None, max: Some(money("2")) });
    assert!(made(&schema, "money", money("1.1"), &up_to).is_err());
    assert!(
        made(&schema, "any", euro.clone(), &Op::Max(euro.clone())).is_err(),
        "amounts of any currency have no order"
    );
    assert_eq!(made(&schema, "stars", 4.into(), &add(1.into())).unwrap(), Value::Integer(5));
    assert!(made(&schema, "stars", 5.into(), &add(1.into())).is_err());
    // Of any currency: the amount that is there says which; where there is none, nothing does.
    assert_eq!(made(&schema, "any", euro.clone(), &add(2.into())).unwrap().to_string(), "3 EUR");
    assert!(made(&schema, "any", Value::Null, &add(2.into())).is_err());
}

#[test]
fn entries_have_labels_that_exist_and_the_last_one_takes_the_value_with_it() {
    let schema = schema();
    let json = |text: &str| Value::Json(Json::parse(text).unwrap());
    let run = |current: Value, op: Op| made(&schema, "boxes", current, &op);
    let both = run(json(r#"{"right":"r"}"#), Op::SetEntry("left".into(), "l".into())).unwrap();
    assert_eq!(both.to_string(), r#"{"left":"l","right":"r"}"#);
    assert!(run(both.clone(), Op::SetEntry("middle".into(), "m".into())).is_err());
    assert_eq!(run(both, Op::ClearEntry("left".into())).unwrap(), json(r#"{"right":"r"}"#));
    assert_eq!(run(json(r#"{"right":"r"}"#), Op::ClearEntry("right".into())).unwrap(), Value::Null);
    assert_eq!(run(Value::Null, Op::ClearEntry("right".into())).unwrap(), Value::Null);
}

#[test]
fn a_result_beyond_its_bounds_is_refused_and_one_on_them_is_not() {
    let schema = schema();
    let bounds =
        |min: Option<i64>, max: Option<i64>| Bounds { min: min.map(Value::from), max: max.map(Value::from) };
    for (by, min, max, fits) in [
        (1, None, Some(11), true),
        (2, None, Some(11), false),
        (-10, Some(0), None, true),
        (-11, Some(0), None, false),
        (0, Some(10), Some(10), true),
    ] {
        let result = made(&schema, "whole", 10.into(), &Op::Increment(by.into(), bounds(min, max)));
        assert_eq!(result.is_ok(), fits, "{by} {min:?} {max:?}");
        let result = made(&schema, "double", 10.0.into(), &Op::Increment(by.into(), bounds(min, max)));
        assert_eq!(result.is_ok(), fits, "{by} {min:?} {max:?}");
    }
    let odd = Bounds { min: Some("x".into()), max: None };
    assert!(made(&schema, "whole", 1.into(), &Op::Increment(1.into(), odd)).is_err());
}

#[test]
fn the_smaller_and_the_larger_stay_and_now_is_as_fine_as_the_attribute() {
    let schema = schema();
    let pairs = [
        ("whole", Value::from(3), Value::from(5)),
        ("double", (-1.0).into(), 0.5.into()),
        ("day", "2024-01-01".into(), "2024-01-02".into()),
    ];
    for (name, small, large) in pairs {
        let normal = |value: &Value| made(&schema, name, Value::Null, &Op::Set(value.clone())).unwrap();
        for (current, given) in [(&small, &large), (&large, &small), (&small, &small), (&Value::Null, &small)]
        {
            let min = made(&schema, name, current.clone(), &Op::Min(given.clone())).unwrap();
            let max = made(&schema, name, current.clone(), &Op::Max(given.clone())).unwrap();
            if current.is_null() {
                assert_eq!((&min, &max), (&normal(given), &normal(given)));
                continue;
            }
            assert_eq!(min, normal(&small));
            assert_eq!(max, normal(if current == given { &small } else { &large }));
        }
        assert_eq!(made(&schema, name, small.clone(), &Op::Max(Value::Null)).unwrap(), normal(&small));
    }
    assert!(made(&schema, "text", "a".into(), &Op::Max("b".into())).is_err());
    assert_eq!(
        made(&schema, "moment", Value::Null, &Op::Now).unwrap(),
        Value::Timestamp(Timestamp(86_400_000_000_000 * 3 + 1_000))
    );
    assert_eq!(made(&schema, "day", Value::Null, &Op::Now).unwrap(), Value::Date(Date(3)));
    assert!(made(&schema, "whole", Value::Null, &Op::Now).is_err());
}

#[test]
fn a_set_of_bits_does_what_a_list_does() {
    // Every set of three options, with every list of up to two others, against plain sets.
    let schema = schema();
    let names = ["a", "b", "c"];
    let list = |bits: u32| -> Vec<Value> {
        names
            .iter()
            .enumerate()
            .filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, name)| Value::from(*name))
            .collect()
    };
    let as_value = |bits: u32| if bits == 0 { Value::Null } else { Value::List(list(bits)) };
    for current in (0..8u32).filter(|bits| bits.count_ones() <= 2) {
        for given in 0..8u32 {
            let ops: [(Op, u32); 5] = [
                (Op::Add(list(given)), current | given),
                (Op::Append(list(given)), current | given),
                (Op::Prepend(list(given)), current | given),
                (Op::Remove(list(given)), current & !given),
                (Op::Replace(list(given)), given),
            ];
            for (op, expected) in ops {
                let result = made(&schema, "bits", as_value(current), &op);
                match expected.count_ones() > 2 {
                    true => {
                        let error = result.unwrap_err();
                        assert_eq!((error.kind(), error.limit()), (ErrorKind::TooManyValues, Some((2, 3))));
                    }
                    false => assert_eq!(result.unwrap(), as_value(expected), "{current:03b} {op:?}"),
                }
            }
        }
    }
    let unknown = made(&schema, "bits", Value::Null, &Op::Add(texts(&["z"]))).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownOption);
}

#[test]
fn lists_keep_their_order_and_hold_each_value_once() {
    let schema = schema();
    let run = |op: Op| made(&schema, "words", Value::List(texts(&["a", "b", "c"])), &op).unwrap();
    let list = |words: &[&str]| Value::List(texts(words));
    assert_eq!(run(Op::Prepend(texts(&["d", "b", "d"]))), list(&["d", "b", "a", "c"]));
    assert_eq!(run(Op::Append(texts(&["a", "d"]))), list(&["b", "c", "a", "d"]));
    assert_eq!(run(Op::Add(texts(&["b", "d", "d"]))), list(&["a", "b", "c", "d"]));
    assert_eq!(run(Op::Remove(texts(&["b", "z"]))), list(&["a", "c"]));
    assert_eq!(run(Op::Replace(texts(&["z", "y", "z"]))), list(&["z", "y"]));
    assert_eq!(run(Op::Replace(Vec::new())), Value::Null);
    assert_eq!(run(Op::Remove(texts(&["a", "b", "c"]))), Value::Null);
    let mails = Value::List(texts(&["Ann@X.example"]));
    assert_eq!(made(&schema, "mails", mails.clone(), &Op::Add(texts(&["ann@x.EXAMPLE"]))).unwrap(), mails);
    assert_eq!(made(&schema, "mails", mails, &Op::Remove(texts(&["ann@x.example"]))).unwrap(), Value::Null);
    assert!(made(&schema, "text", Value::Null, &Op::Add(texts(&["a"]))).is_err());
    assert!(made(&schema, "words", Value::Null, &Op::Add(vec![Value::Null])).is_err());
}

#[test]
fn members_of_an_object_keep_their_text() {
    let schema = schema();
    let json = |text: &str| Value::Json(Json::parse(text).unwrap());
    let run = |current: Value, op: Op| made(&schema, "json", current, &op);
    let big = json(r#"{"n":123456789012345678901234567890,"s":"\u00e9"}"#);
    let merged = run(big.clone(), Op::Merge(Json::parse(r#"{"s":null,"t":{"x":null}}"#).unwrap())).unwrap();
    assert_eq!(merged.to_string(), r#"{"n":123456789012345678901234567890,"t":{"x":null}}"#);
    assert_eq!(
        run(big.clone(), Op::SetEntry("s".into(), 1.into())).unwrap().to_string(),
        r#"{"n":123456789012345678901234567890,"s":1}"#
    );
    assert_eq!(
        run(Value::Null, Op::SetEntry("q\"".into(), "x".into())).unwrap().to_string(),
        r#"{"q\"":"x"}"#
    );
    assert_eq!(run(json(r#"{"a":1}"#), Op::ClearEntry("a".into())).unwrap().to_string(), "{}");
    for current in [json("[1]"), json("5")] {
        assert!(run(current, Op::ClearEntry("a".into())).is_err());
    }
    assert!(run(big, Op::Merge(Json::parse("[1]").unwrap())).is_err());
    assert!(made(&schema, "text", Value::Null, &Op::ClearEntry("a".into())).is_err());
}

#[test]
fn a_filter_too_deep_is_refused() {
    let schema = schema();
    let object = schema.object("thing").unwrap();
    let deep = (0..40).fold(Filter::eq("whole", 1), |inner, _| Filter::Not(Box::new(inner)));
    assert_eq!(check(object, &deep).unwrap_err().kind(), ErrorKind::BadFilter);
    assert!(check(object, &Filter::is("whole", Comparison::Less, 3)).is_ok());
    let read = &mut |_, _: &mut Vec<u8>| Ok(false);
    assert!(!holds(object, &Filter::is("whole", Comparison::Less, 3), read).unwrap());
    assert!(
        holds(object, &Filter::is("whole", Comparison::NotIn, Value::List(vec![3.into()])), read).unwrap()
    );
}
