//! Every type goes through JSON, CSV and serde and comes back as the same cell.

use super::{parse_mutation, value_from_text};
use crate::id::RecordId;
use crate::schema::{AttributeSchema, Schema};
use crate::value::{Actor, ActorKind, Record, Timestamp, Value, values_from, write_json};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Members of an attribute, and a value in the form in which JSON has it.
const SAMPLES: [(&str, &str); 41] = [
    (r#""type":"text""#, r#""a \"b\" ü""#),
    (r#""type":"long_text""#, r#""lines\nand commas, too""#),
    (r#""type":"regexp_text","pattern":"^x""#, r#""xy""#),
    (r#""type":"integer""#, "-9223372036854775808"),
    (r#""type":"number""#, "0.1"),
    (r#""type":"decimal","decimals":20"#, r#""1234567890.12345678901234567891""#),
    (r#""type":"rating""#, "4"),
    (r#""type":"boolean""#, "false"),
    (r#""type":"date""#, r#""2013-01-01""#),
    (r#""type":"timestamp""#, r#""2013-01-01T05:15:00.000000001Z""#),
    (r#""type":"uuid""#, r#""00000000-0000-0000-0000-000000000007""#),
    (r#""type":"email""#, r#""Ada@Example.com""#),
    (r#""type":"url""#, r#""https://acme.example/?a=b,c""#),
    (r#""type":"domain""#, r#""Acme.example""#),
    (r#""type":"phone""#, r#""+1 (415) 555-0100""#),
    (r#""type":"country""#, r#""DE""#),
    (r#""type":"address""#, r#"{"city":"Berlin","postal_code":"10115"}"#),
    (r#""type":"location""#, r#"{"locality":"Berlin","latitude":"52.5"}"#),
    (r#""type":"currency""#, r#"{"amount":"-12.5","code":"EUR"}"#),
    (r#""type":"currency","currency":"USD""#, r#"{"amount":"0.0001","code":"USD"}"#),
    (r#""type":"person_name""#, r#"{"first":"Ada","last":"L","full":"Ada L"}"#),
    (r#""type":"select","options":[{"key":"a, b"}]"#, r#""a, b""#),
    (r#""type":"status","options":[{"key":"s"}]"#, r#""s""#),
    (r#""type":"radio","custom_values":true"#, r#""anything""#),
    (r#""type":"text_list","labels":["one","two"]"#, r#"{"one":"1","two":"2"}"#),
    (r#""type":"file""#, r#"{"url":"https://acme.example/a","name":"a;b"}"#),
    (r#""type":"reference""#, r#""00000000-0000-0000-0000-000000000008""#),
    (r#""type":"actor""#, r#"{"kind":"api_token","id":"t:1"}"#),
    (r#""type":"json""#, r#"{"list":[null,"x"],"n":1.5}"#),
    (r#""type":"text","multi":true"#, r#"["b","a;c",""]"#),
    (r#""type":"integer","multi":true"#, "[3,1,2]"),
    (r#""type":"decimal","multi":true"#, r#"["0.1","2"]"#),
    (r#""type":"date","multi":true"#, r#"["2013-01-01","2012-02-29"]"#),
    (r#""type":"timestamp","multi":true,"unit":"us""#, r#"["2013-01-01T05:15:00.000001Z"]"#),
    (r#""type":"select","multi":true,"ordered":false,"options":[{"key":"a"},{"key":"b"}]"#, r#"["a","b"]"#),
    (r#""type":"select","multi":true,"options":[{"key":"a"},{"key":"b"}]"#, r#"["b","a"]"#),
    (r#""type":"currency","multi":true"#, r#"[{"amount":"1","code":"USD"},{"amount":"1","code":"EUR"}]"#),
    (r#""type":"file","multi":true"#, r#"[{"url":"https://acme.example/a"}]"#),
    (r#""type":"reference","multi":true"#, r#"["00000000-0000-0000-0000-000000000008"]"#),
    (r#""type":"actor","multi":true"#, r#"[{"kind":"user","id":"u"},{"kind":"system","id":""}]"#),
    (r#""type":"json","multi":true"#, r#"[{"a":[1]},[2],"x"]"#),
];

fn schema() -> Schema {
    let attributes =
        SAMPLES.iter().enumerate().map(|(at, (members, _))| format!(r#"{{"key":"a{at}",{members}}}"#));
    let attributes: Vec<String> = attributes.collect();
    Schema::from_json(&format!(r#"[{{"key":"o","attributes":[{}]}}]"#, attributes.join(","))).unwrap()
}

fn cell_of(schema: &Schema, attribute: &AttributeSchema, value: &Value) -> Vec<u8> {
    let mut cell = Vec::new();
    let encoded = attribute.encode(schema.object("o").unwrap(), value, &mut cell);
    assert!(encoded.unwrap_or_else(|error| panic!("{error}: {value:?}")));
    cell
}

/// The samples as a mutation line has them, with their cells.
fn read(schema: &Schema) -> Vec<(&AttributeSchema, Vec<u8>, Value)> {
    let values = SAMPLES.iter().enumerate().map(|(at, (_, value))| format!(r#""a{at}":{value}"#));
    let values: Vec<String> = values.collect();
    let line = format!(r#"{{"op":"create","object":"o","values":{{{}}}}}"#, values.join(","));
    let mutation = parse_mutation(schema, line.as_bytes()).unwrap();
    let object = schema.object("o").unwrap();
    let read = mutation.patch.set.iter().zip(object.attributes()).map(|((name, value), attribute)| {
        assert_eq!(name, attribute.key());
        let cell = cell_of(schema, attribute, value);
        let value = attribute.decode(&cell).unwrap();
        (attribute, cell, value)
    });
    read.collect()
}

#[test]
fn the_samples_are_of_every_type_that_can_be_written() {
    let schema = schema();
    let types: BTreeSet<&str> = schema
        .object("o")
        .unwrap()
        .attributes()
        .iter()
        .map(|attribute| attribute.value_type().name())
        .collect();
    let all = crate::value::ValueType::ALL.map(|value_type| value_type.name());
    let missing: Vec<_> = all.into_iter().filter(|name| !types.contains(name)).collect();
    assert_eq!(missing, ["autonumber"]);
}

#[test]
fn what_json_says_is_what_json_gets() {
    let schema = schema();
    for ((_, sample), (attribute, cell, value)) in SAMPLES.iter().zip(read(&schema)) {
        let mut text = Vec::new();
        write_json(&mut text, &value);
        assert_eq!(std::str::from_utf8(&text).unwrap(), *sample, "{}", attribute.value_type());
        let tree: serde_json::Value = serde_json::from_str(sample).unwrap();
        assert_eq!(value.to_json(), tree, "{}", attribute.value_type());
        // Untyped, as a caller without the schema has it.
        if !sample.contains("12345678901234567891") {
            assert_eq!(cell_of(&schema, attribute, &Value::from_json(tree)), cell, "{sample}");
        }
    }
}

#[test]
fn a_csv_field_reads_back() {
    let schema = schema();
    for (attribute, cell, value) in read(&schema) {
        let field = value.to_string();
        let again = value_from_text(attribute, &field).unwrap_or_else(|error| panic!("{error}: {field}"));
        assert_eq!(cell_of(&schema, attribute, &again), cell, "{}: {field}", attribute.value_type());
    }
    let object = schema.object("o").unwrap();
    let several = |name: &str, field: &str| value_from_text(object.attribute(name).unwrap(), field).unwrap();
    assert_eq!(several("a30", " 3; 1;"), Value::from([3, 1]));
    assert_eq!(several("a29", "b;a"), Value::from(["b", "a"]));
    assert_eq!(several("a29", " ; "), Value::Null);
}

#[test]
fn serde_gives_and_takes_every_type() {
    let schema = schema();
    let samples = read(&schema);
    let values = samples.iter().map(|(attribute, _, value)| (attribute.name().clone(), value.clone()));
    let id = RecordId::from_bytes([1; 16]);
    let record = Record::new(id, 1, 1, Timestamp(0), Timestamp(0), values.collect());
    let trees: BTreeMap<String, serde_json::Value> = record.deserialize().unwrap();
    assert_eq!(trees.len(), SAMPLES.len());
    for (name, value) in values_from(&trees).unwrap() {
        let (attribute, cell, _) = samples.iter().find(|(a, _, _)| name == a.key()).unwrap();
        assert_eq!(cell_of(&schema, attribute, &value), *cell, "{}", attribute.value_type());
    }

    #[derive(Deserialize)]
    struct Money {
        amount: f64,
        code: String,
    }
    #[derive(Deserialize)]
    struct Typed {
        a18: Money,
        a27: Actor,
        a30: Vec<u8>,
        a31: Vec<f64>,
        a35: Vec<String>,
        a38: Vec<String>,
    }
    let typed: Typed = record.deserialize().unwrap();
    assert_eq!((typed.a18.amount, typed.a18.code.as_str()), (-12.5, "EUR"));
    assert_eq!(typed.a27, Actor::new(ActorKind::ApiToken, "t:1"));
    assert_eq!((typed.a30, typed.a31), (vec![3, 1, 2], vec![0.1, 2.0]));
    assert_eq!((typed.a35, typed.a38.len()), (vec!["b".to_string(), "a".to_string()], 1));
}
