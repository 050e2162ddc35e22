//! Lines with parts, ops, conditions and nested references.

use super::mutation::Member;
use super::*;
use crate::error::ErrorKind;
use crate::mutation::{Absent, Action, Bounds, Comparison, Filter, Key, Link, Mutation, Op, Validation};
use crate::record;
use crate::schema::Schema;
use crate::value::{Decimal, Json, Value};

const SCHEMA: &str = r#"{"objects":[
    {"key":"flight","primary_key":["number"],"attributes":[
        {"key":"number","type":"integer"},{"key":"price","type":"decimal","decimals":20},{"key":"day","type":"date"},
        {"key":"tags","type":"text","multi":true},{"key":"extra","type":"json"},
        {"key":"carrier","type":"reference","refers_to":["airline"]},
        {"key":"stops","type":"reference","multi":true,"refers_to":["airport","airline"]}]},
    {"key":"airline","primary_key":["code"],"attributes":[{"key":"code","type":"text"},{"key":"founded","type":"date"},
        {"key":"home","type":"reference","refers_to":["airport"]}]},
    {"key":"airport","primary_key":["faa"],"attributes":[{"key":"faa","type":"text"}]}]}"#;
const ID: &str = "0190b5a0-0000-7000-8000-000000000001";

fn read(line: &str) -> Mutation {
    let schema = Schema::from_json(SCHEMA).unwrap();
    parse_mutation(&schema, line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> crate::Error {
    parse_mutation(&Schema::from_json(SCHEMA).unwrap(), line.as_bytes()).unwrap_err()
}

#[test]
fn every_part_is_read_and_typed_wherever_it_stands() {
    let mutation = read(
        r#"{"create":{"price":0.12345678901234567891},"update":{"day":"2013-01-01"},"update_if_empty":{"tags":["a"]},
            "create_or_update_if_empty":{"extra":{"n":1}},"create_or_update":{"day":"2013-01-02"},"clear":["price"],
            "match":{"number":7,"day":null},"before":true,"validation":"ignore_invalid","as":"@it",
            "op":"upsert","object":"flight"}"#,
    );
    assert_eq!(mutation.action, Action::Upsert);
    let patch = &mutation.patch;
    let day = |text: &str| Value::Date(text.parse().unwrap());
    assert_eq!(patch.set, record! { "day" => day("2013-01-02") });
    let terms = patch.terms.as_ref().unwrap();
    let price: Decimal = "0.12345678901234567891".parse().unwrap();
    assert_eq!(terms.create, record! { "price" => price });
    assert_eq!(terms.update, record! { "day" => day("2013-01-01") });
    assert_eq!(terms.update_if_empty, record! { "tags" => Value::List(vec!["a".into()]) });
    assert_eq!(terms.create_or_update_if_empty, record! { "extra" => Json::parse(r#"{"n":1}"#).unwrap() });
    assert_eq!((terms.before, terms.validation), (true, Validation::IgnoreInvalid));
    assert_eq!(terms.name.as_deref(), Some("it"));
    assert_eq!(mutation.key, Some(Key::Attributes(record! { "number" => 7, "day" => Value::Null })));
    let named = read(r#"{"op":"update","object":"flight","named":"@it","set":{"day":"2013-01-02"}}"#);
    assert_eq!((named.key, named.patch.terms), (Some(Key::Named("it".into())), None));
}

#[test]
fn a_line_without_terms_carries_none() {
    for line in [
        r#"{"op":"create","object":"flight","values":{"number":1,"carrier":"ID"}}"#,
        r#"{"op":"update","object":"flight","key":{"number":1},"set":{"carrier":"@it","stops":["ID"]},"if_version":3}"#,
    ] {
        assert_eq!(read(&line.replace("ID", ID)).patch.terms, None);
    }
}

#[test]
fn every_op_is_read() {
    let ops = |ops: &str| {
        let line = format!(r#"{{"op":"update","object":"flight","key":{{"number":1}},"ops":{{{ops}}}}}"#);
        read(&line).patch.terms.unwrap().ops
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>();
    let price: Decimal = "0.10".parse().unwrap();
    for (text, expected) in [
        (r#""day":{"set":"2013-01-01"}"#, Op::Set(Value::Date("2013-01-01".parse().unwrap()))),
        (r#""day":{"clear":true}"#, Op::Clear),
        (r#""number":{"set_if_empty":3}"#, Op::SetIfEmpty(3.into())),
        (r#""tags":{"replace":["a","b"]}"#, Op::Replace(texts(&["a", "b"]))),
        (r#""tags":{"prepend":["a"]}"#, Op::Prepend(texts(&["a"]))),
        (r#""tags":{"append":"a"}"#, Op::Append(texts(&["a"]))),
        (r#""tags":{"add":[]}"#, Op::Add(vec![])),
        (r#""tags":{"remove":["a"]}"#, Op::Remove(texts(&["a"]))),
        (r#""extra":{"set_entry":{"a":1}}"#, Op::SetEntry("a".into(), 1.into())),
        (r#""extra":{"clear_entry":"a"}"#, Op::ClearEntry("a".into())),
        (r#""number":{"increment":-2}"#, Op::Increment((-2).into(), Bounds::default())),
        (
            r#""number":{"increment":{"by":2,"min":0,"max":9}}"#,
            Op::Increment(2.into(), Bounds { min: Some(0.into()), max: Some(9.into()) }),
        ),
        (r#""price":{"multiply":0.10}"#, Op::Multiply(price.into(), Bounds::default())),
        (r#""number":{"min":3}"#, Op::Min(3.into())),
        (r#""number":{"max":3}"#, Op::Max(3.into())),
        (r#""day":{"now":true}"#, Op::Now),
        (r#""extra":{"merge":{"a":null}}"#, Op::Merge(Json::parse(r#"{"a":null}"#).unwrap())),
    ] {
        let found = ops(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].1, expected, "{text}");
        // The word is the one that the op says of itself.
        assert!(text.contains(&format!("\"{}\":", expected.name())), "{text}");
    }
    let several = ops(r#""tags":{"add":["a"],"remove":["b"]},"extra":{"clear_entry":["a","b"]}"#);
    let names: Vec<&str> = several.iter().map(|(_, op)| op.name()).collect();
    assert_eq!(names, ["add", "remove", "clear_entry", "clear_entry"]);
    for bad in [
        r#""tags":{"shuffle":true}"#,
        r#""day":{"now":1}"#,
        r#""number":{"increment":{"max":1}}"#,
        r#""number":{"increment":{"by":1,"most":1}}"#,
        r#""extra":{"merge":"#,
        r#""tags":["a"]"#,
    ] {
        let line = format!(r#"{{"op":"update","object":"flight","key":{{"number":1}},"ops":{{{bad}}}}}"#);
        assert_eq!(refused(&line).kind(), ErrorKind::InvalidInput, "{bad}");
    }
}

#[test]
fn filters_are_trees_of_typed_comparisons() {
    let filter = |text: &str| {
        let line = format!(r#"{{"op":"delete","object":"flight","key":{{"number":1}},"if":{text}}}"#);
        read(&line).patch.terms.unwrap().condition.unwrap()
    };
    use Comparison as C;
    let day = |text: &str| Value::Date(text.parse().unwrap());
    assert_eq!(filter(r#"{"number":3}"#), Filter::eq("number", 3));
    assert_eq!(filter(r#"{"day":{"$gte":"2013-01-01"}}"#), Filter::is("day", C::AtLeast, day("2013-01-01")));
    assert_eq!(
        filter(r#"{"number":{"$gt":1,"$lt":5},"day":null}"#),
        Filter::All(vec![
            Filter::All(vec![Filter::is("number", C::Greater, 1), Filter::is("number", C::Less, 5)]),
            Filter::eq("day", Value::Null),
        ])
    );
    assert_eq!(
        filter(r#"{"$or":[{"tags":{"$contains":"a"}},{"$not":{"number":{"$in":[1,2]}}}]}"#),
        Filter::Any(vec![
            Filter::is("tags", C::Contains, "a"),
            Filter::Not(Box::new(Filter::is("number", C::In, Value::List(vec![1.into(), 2.into()])))),
        ])
    );
    assert_eq!(filter("{}"), Filter::All(vec![]));
    // JSON that has members of its own is a value.
    assert_eq!(filter(r#"{"extra":{"a":1}}"#), Filter::eq("extra", Json::parse(r#"{"a":1}"#).unwrap()));
    for bad in
        [r#"{"number":{"$near":1}}"#, r#"{"$xor":[]}"#, r#"{"$and":1}"#, "3", r#"{"number":{"$in":1}}"#]
    {
        let line = format!(r#"{{"op":"delete","object":"flight","key":{{"number":1}},"if":{bad}}}"#);
        assert_eq!(refused(&line).kind(), ErrorKind::BadFilter, "{bad}");
    }
}

#[test]
fn references_are_ids_names_matches_and_nested_mutations() {
    let set = |value: &str| {
        let line = format!(
            r#"{{"op":"update","object":"flight","key":{{"number":1}},"set":{{"carrier":{value}}}}}"#
        );
        let patch = read(&line.replace("ID", ID)).patch;
        let links = patch.terms.map(|terms| terms.links).unwrap_or_default();
        (patch.set[0].1.clone(), links)
    };
    let id = Value::Reference(ID.parse().unwrap());
    assert_eq!(set(r#""ID""#), (id.clone(), vec![]));
    assert_eq!(set(r#"{"id":"ID"}"#), (id, vec![]));
    assert_eq!(set(r#"{"named":"it"}"#), ("@it".into(), vec![]));
    let matched =
        |absent| Link::Match { object: "airline".into(), values: record! { "code" => "UA" }, absent };
    assert_eq!(
        set(r#"{"match":{"code":"UA"}}"#),
        ("@#0".into(), vec![("#0".into(), matched(Absent::Error))])
    );
    assert_eq!(set(r#"{"match":{"code":"UA"},"absent":"null"}"#).1[0].1, matched(Absent::Null));
    // A nested upsert is typed by its own object, and may nest on.
    let (value, links) = set(
        r#"{"match":{"code":"UA"},"create":{"founded":"1926-04-06"},"set":{"home":{"match":{"faa":"ORD"}}}}"#,
    );
    assert_eq!(value, "@#0".into());
    let Link::Mutate(inner) = &links[0].1 else { panic!("{links:?}") };
    assert_eq!((inner.action, inner.object.as_str()), (Action::Upsert, "airline"));
    let terms = inner.patch.terms.as_ref().unwrap();
    assert_eq!(terms.create, record! { "founded" => Value::Date("1926-04-06".parse().unwrap()) });
    assert!(matches!(&terms.links[0].1, Link::Match { object, .. } if object == "airport"));
    let (_, links) = set(r#"{"values":{"code":"ZZ"}}"#);
    assert!(matches!(&links[0].1, Link::Mutate(inner) if inner.action == Action::Create));
}

#[test]
fn lists_of_references_and_ops_on_them_nest_too() {
    let mutation = read(
        r#"{"op":"update","object":"flight","key":{"number":1},
            "set":{"stops":["ID",{"object":"airport","match":{"faa":"ORD"}}]},
            "ops":{"stops":{"add":[{"object":"airline","match":{"code":"UA"}},"@it"]}}}"#
            .replace("ID", ID)
            .as_str(),
    );
    let terms = mutation.patch.terms.unwrap();
    assert_eq!(
        mutation.patch.set[0].1,
        Value::List(vec![Value::Reference(ID.parse().unwrap()), "@#0".into()])
    );
    assert_eq!(terms.ops[0].1, Op::Add(vec!["@#1".into(), "@it".into()]));
    assert_eq!(terms.links.len(), 2);
    // Two objects are allowed, so the nested one must say which.
    let line =
        r#"{"op":"update","object":"flight","key":{"number":1},"set":{"stops":[{"match":{"faa":"ORD"}}]}}"#;
    assert!(refused(line).to_string().contains("object is missing"));
}

#[test]
fn members_without_a_meaning_are_refused() {
    for (line, expected) in [
        (r#"{"op":"create","object":"flight","create":{}}"#, "create takes no create"),
        (r#"{"op":"create","object":"flight","if":{}}"#, "create takes no if"),
        (r#"{"op":"update","object":"flight","key":{"number":1},"create":{}}"#, "update takes no create"),
        (r#"{"op":"delete","object":"flight","key":{"number":1},"ops":{}}"#, "delete takes no ops"),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"absent":"null"}"#,
            "absent belongs to a reference",
        ),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"match":{"number":1}}"#,
            "key or match stands twice",
        ),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"set":{},"create_or_update":{}}"#,
            "stands twice",
        ),
        (r#"{"op":"upsert","object":"flight","key":{"number":1},"validation":"lax"}"#, "neither strict nor"),
        (r#"{"op":"upsert","object":"flight","key":{"number":1},"before":1}"#, "before takes true or false"),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"set":{"carrier":{"match":{"code":"A"},"absent":"maybe"}}}"#,
            "neither null nor error",
        ),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"set":{"carrier":{"values":{},"absent":"null"}}}"#,
            "absent means nothing",
        ),
        (
            r#"{"op":"update","object":"flight","key":{"number":1},"set":{"carrier":{"seats":1}}}"#,
            "unknown member",
        ),
    ] {
        let message = refused(line).to_string();
        assert!(message.contains(expected), "{line}: {message}");
    }
    let both = r#"{"op":"update","object":"flight","named":"it","match":{"number":1}}"#;
    assert_eq!(refused(both).kind(), ErrorKind::AmbiguousKey);
    assert_eq!(refused(r#"{"op":"delete","object":"flight"}"#).kind(), ErrorKind::MissingKey);
}

#[test]
fn the_json_schema_has_every_member_and_every_op() {
    let schema: serde_json::Value = serde_json::from_str(MUTATION_SCHEMA).unwrap();
    let names = |pointer: &str| {
        let members = schema.pointer(pointer).and_then(serde_json::Value::as_object).unwrap();
        let mut names: Vec<String> = members.keys().cloned().collect();
        names.sort();
        names
    };
    let mut members: Vec<String> = Member::ALL.iter().map(|(name, _)| (*name).to_string()).collect();
    members.sort();
    assert_eq!(names("/$defs/members/properties"), members);
    let bounds = Bounds::default;
    let ops = [
        Op::Set(Value::Null),
        Op::Clear,
        Op::SetIfEmpty(Value::Null),
        Op::Replace(vec![]),
        Op::Prepend(vec![]),
        Op::Append(vec![]),
        Op::Add(vec![]),
        Op::Remove(vec![]),
        Op::SetEntry(String::new(), Value::Null),
        Op::ClearEntry(String::new()),
        Op::Increment(Value::Null, bounds()),
        Op::Multiply(Value::Null, bounds()),
        Op::Min(Value::Null),
        Op::Max(Value::Null),
        Op::Now,
        Op::Merge(Json::parse("{}").unwrap()),
    ];
    let mut words: Vec<String> = ops.iter().map(|op| op.name().to_string()).collect();
    words.sort();
    assert_eq!(names("/$defs/ops/properties"), words);
    let text = MUTATION_SCHEMA.to_string();
    for (name, _) in Comparison::ALL {
        assert!(text.contains(name), "{name}");
    }
    // docs/mutations.md speaks of each of them.
    let docs = include_str!("../../../../docs/mutations.md");
    for word in members.iter().chain(&words).map(String::as_str).chain(Comparison::ALL.map(|(name, _)| name))
    {
        assert!(docs.contains(&format!("`{word}`")), "{word} is not in docs/mutations.md");
    }
}
