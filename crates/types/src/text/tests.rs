//! Mutation lines, records as lines, CSV fields.

use super::*;
use crate::error::ErrorKind;
use crate::id::RecordId;
use crate::mutation::{Action, Key, Mode, Mutation, Patch};
use crate::record;
use crate::schema::Schema;
use crate::value::{Date, Decimal, Json, Record, Timestamp, Value};

const SCHEMA: &str = r#"{"objects":[{"key":"flight","primary_key":["date","flight"],"attributes":[
    {"key":"date","type":"date"},{"key":"flight","type":"integer"},{"key":"dep","type":"timestamp"},
    {"key":"price","type":"decimal","decimals":20},{"key":"mass","type":"number"},{"key":"crew","type":"uuid"},
    {"key":"open","type":"boolean"},{"key":"dest","type":"text"},{"key":"extra","type":"json"},
    {"key":"status","type":"select","options":[{"key":"gone"}]}]}]}"#;
const ID: &str = "0190b5a0-0000-7000-8000-000000000001";

fn schema() -> Schema {
    Schema::from_json(SCHEMA).unwrap()
}

fn read(line: &str) -> Mutation {
    parse_mutation(&schema(), line.as_bytes()).unwrap()
}

fn refused(line: &str) -> String {
    let error = parse_mutation(&schema(), line.as_bytes()).unwrap_err();
    let kinds = [ErrorKind::InvalidInput, ErrorKind::AmbiguousKey, ErrorKind::MissingKey];
    assert!(kinds.contains(&error.kind()), "{error}");
    error.to_string()
}

fn id() -> RecordId {
    ID.parse().unwrap()
}

#[test]
fn a_create_line_becomes_a_typed_mutation() {
    let line = r#"{"op":"create","object":"flight","values":{"date":"2013-01-01","flight":1545,
        "dep":"2013-01-01T05:15:00Z","price":0.12345678901234567891,"mass":2,"crew":"ID","open":true,
        "dest":"I\u0041H","extra":{"n": 123456789012345678901234567890},"status":"gone"},"at":"1970-01-01T00:00:01Z"}"#;
    let mutation = read(&line.replace("ID", ID));
    let expected = record! {
        "date" => Date(15_706), "flight" => 1545, "dep" => Timestamp(1_357_017_300_000_000_000),
        "price" => "0.12345678901234567891".parse::<Decimal>().unwrap(), "mass" => 2, "crew" => id().0,
        "open" => true, "dest" => "IAH", "extra" => Json::parse(r#"{"n":123456789012345678901234567890}"#).unwrap(),
        "status" => "gone",
    };
    let patch = Patch { set: expected, at: Some(Timestamp(1_000_000_000)), ..Patch::new() };
    assert_eq!(mutation, Mutation { object: "flight".into(), action: Action::Create, key: None, patch });
}

#[test]
fn an_update_line_has_a_key_changes_and_conditions() {
    let mutation = read(
        r#"{"op":"update","object":"flight","key":{"date":"2013-01-01","flight":7},"set":{"dest":null,"mass":-2.5},
        "clear":["crew"],"if_version":3,"mode":"replace","returning":true}"#,
    );
    assert_eq!(mutation.action, Action::Update);
    assert_eq!(mutation.key, Some(Key::Attributes(record! { "date" => Date(15_706), "flight" => 7 })));
    let patch = mutation.patch;
    assert_eq!(patch.set, record! { "dest" => Value::Null, "mass" => -2.5 });
    assert_eq!((patch.clear, patch.if_version, patch.mode), (vec!["crew".into()], Some(3), Mode::Replace));
    assert!(patch.returning);
    assert_eq!(patch.at, None);
}

#[test]
fn deletes_and_upserts_go_by_id_or_key() {
    let delete = read(&format!(r#"{{"op":"delete","object":"flight","id":"{ID}","if_version":1}}"#));
    assert_eq!(
        (delete.action, delete.key, delete.patch.if_version),
        (Action::Delete, Some(Key::Id(id())), Some(1))
    );
    let upsert = read(r#"{"op":"upsert","object":"flight","key":{"flight":1},"set":{}}"#);
    assert_eq!((upsert.action, upsert.patch), (Action::Upsert, Patch::new()));
    let create = read(&format!(r#"{{"op":"create","object":"flight","id":"{ID}"}}"#));
    assert_eq!(create.key, Some(Key::Id(id())));
}

#[test]
fn members_may_come_in_any_order() {
    let usual =
        r#"{"op":"update","object":"flight","key":{"date":"2013-01-01"},"set":{"price":1.50,"extra":[ 1 ]}}"#;
    let odd =
        r#"{"set":{"price":1.50,"extra":[ 1 ]},"key":{"date":"2013-01-01"},"op":"update","object":"flight"}"#;
    assert_eq!(read(usual), read(odd));
    let twice = r#"{"set":{},"set":{},"op":"update","object":"flight","key":{"flight":1}}"#;
    assert!(refused(twice).contains("set or create_or_update stands twice"));
    let inside = r#"{"op":"update","set":{"dest":"a","dest":"b"},"object":"flight","key":{"flight":1}}"#;
    assert!(refused(inside).contains("\"dest\" stands twice"));
}

#[test]
fn what_the_schema_does_not_know_is_left_to_the_write() {
    let mutation =
        read(r#"{"op":"create","object":"ship","values":{"n":1,"m":1.5,"t":"x","j":[1e2, 2],"z":null}}"#);
    let json = Json::parse("[1e2,2]").unwrap();
    assert_eq!(
        mutation.patch.set,
        record! { "n" => 1, "m" => 1.5, "t" => "x", "j" => json, "z" => Value::Null }
    );
    let mutation = read(r#"{"op":"create","object":"flight","values":{"draught":4}}"#);
    assert_eq!(mutation.patch.set, record! { "draught" => 4 });
}

#[test]
fn a_value_that_does_not_fit_is_handed_on_for_the_write_to_refuse() {
    let line = r#"{"op":"create","object":"flight","values":{"date":"2013-02-30","flight":"x","dep":5,"price":[1],
        "mass":18446744073709551615,"crew":{"a":1},"open":"yes","dest":7,"status":"lost"}}"#;
    let set = read(line).patch.set;
    let schema = schema();
    let flight = schema.object("flight").unwrap();
    for (name, value) in &set {
        let attribute = flight.attribute(name).unwrap();
        let error = attribute.encode(flight, value, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("flight.{name}: ")), "{error}");
    }
    assert_eq!(set.len(), 9);
    // The digits of a decimal that is out of range are still there for the message.
    let set = read(r#"{"op":"create","object":"flight","values":{"price":1e400}}"#).patch.set;
    assert_eq!(set, record! { "price" => "1e400" });
    let set = read(r#"{"op":"create","object":"flight","values":{"price":"1.10"}}"#).patch.set;
    assert_eq!(set, record! { "price" => "1.1".parse::<Decimal>().unwrap() });
    let set = read(r#"{"op":"create","object":"flight","values":{"price":null,"extra":null}}"#).patch.set;
    assert_eq!(set, record! { "price" => Value::Null, "extra" => Value::Null });
}

#[test]
fn lines_that_are_no_mutation_are_refused_with_the_reason() {
    let both = format!(r#"{{"op":"update","object":"flight","id":"{ID}","key":{{"flight":1}}}}"#);
    assert!(refused(&both).contains("id and key"));
    for (line, expected) in [
        ("", "EOF"),
        ("[]", "a mutation as a JSON object"),
        ("{}", "op is missing"),
        (r#"{"op":"create"}"#, "object is missing"),
        (r#"{"op":"create","object":"flight"} x"#, "trailing characters"),
        (r#"{"op":"create","object":"flight""#, "EOF"),
        (r#"{"op":"merge","object":"flight"}"#, "op: \"merge\" is none of create, update, upsert, delete"),
        (r#"{"op":1}"#, "expected a string"),
        (r#"{"op":"create","op":"create"}"#, "op stands twice"),
        (
            r#"{"op":"create","object":"flight","color":1}"#,
            "unknown member \"color\"; a mutation has op, object,",
        ),
        (r#"{"op":"create","object":7}"#, "expected a string"),
        (r#"{"op":"create","object":"flight","values":[]}"#, "expected an object of attributes and values"),
        (r#"{"op":"create","object":"flight","values":{"x":1,"x":2}}"#, "\"x\" stands twice"),
        (r#"{"op":"create","object":"flight","at":"yesterday"}"#, "at: \"yesterday\" is not a timestamp"),
        (r#"{"op":"create","object":"flight","id":"7"}"#, "id: \"7\" is not a record id"),
        (r#"{"op":"create","object":"flight","returning":1}"#, "expected a boolean"),
        (r#"{"op":"create","object":"flight","set":{}}"#, "create takes values, not set"),
        (r#"{"op":"create","object":"flight","if_version":1}"#, "create takes no if_version"),
        (r#"{"op":"update","object":"flight"}"#, "id or key must say which record"),
        (r#"{"op":"update","object":"flight","key":{}}"#, "key names no attribute"),
        (
            r#"{"op":"update","object":"flight","key":{"flight":null}}"#,
            "\"flight\" is null and matches no record",
        ),
        (
            r#"{"op":"update","object":"flight","key":{"flight":1},"values":{}}"#,
            "update takes set, not values",
        ),
        (r#"{"op":"update","object":"flight","key":{"flight":1},"mode":"x"}"#, "neither merge nor replace"),
        (r#"{"op":"update","object":"flight","key":{"flight":1},"clear":"x"}"#, "expected a sequence"),
        (r#"{"op":"update","object":"flight","key":{"flight":1},"if_version":-1}"#, "expected u64"),
        (r#"{"op":"delete","object":"flight","key":{"flight":1},"set":{}}"#, "delete takes no set"),
        (r#"{"op":"create","object":"flight","values":{"extra":{"a":1e999}}}"#, "not JSON"),
    ] {
        let message = refused(line);
        assert!(message.starts_with("mutation line"), "{message}");
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn a_line_that_is_not_utf_8_says_where() {
    let error = parse_mutation(&schema(), b"{\"op\":\"\xff\"}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "the line is not UTF-8 at byte 7");
}

#[test]
fn names_that_stand_twice_are_found_beyond_the_first_attributes() {
    let attributes: Vec<String> = (0..300).map(|n| format!(r#"{{"key":"a{n}","type":"integer"}}"#)).collect();
    let json = format!(r#"{{"objects":[{{"key":"wide","attributes":[{}]}}]}}"#, attributes.join(","));
    let schema = Schema::from_json(&json).unwrap();
    for name in ["a0", "a127", "a128", "a299", "unknown"] {
        let line = format!(r#"{{"op":"create","object":"wide","values":{{"{name}":1,"a5":2,"{name}":1}}}}"#);
        let error = parse_mutation(&schema, line.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?} stands twice")), "{error}");
    }
}

#[test]
fn a_line_with_every_byte_changed_is_an_error_or_another_mutation() {
    let line = format!(
        r#"{{"op":"update","object":"flight","id":"{ID}","set":{{"price":1.5,"extra":[1],"open":true}},"clear":["crew"]}}"#
    );
    let schema = schema();
    for at in 0..line.len() {
        let _ = parse_mutation(&schema, &line.as_bytes()[..at]);
        for byte in [0, b'"', b'{', b'}', b',', b'1', b'\\', 0xff] {
            let mut changed = line.clone().into_bytes();
            changed[at] = byte;
            let _ = parse_mutation(&schema, &changed);
        }
    }
    let deep = format!(r#"{{"op":"create","object":"flight","values":{{"dest":{}"#, "[".repeat(100_000));
    assert!(parse_mutation(&schema, deep.as_bytes()).is_err());
}

#[test]
fn a_record_prints_as_one_line_in_schema_order() {
    let values = vec![
        ("flight".into(), 7.into()),
        ("de\"st".into(), "a\nb".into()),
        ("extra".into(), Json::parse("[1.50, 2]").unwrap().into()),
        ("date".into(), Date(0).into()),
        ("mass".into(), 2.0.into()),
    ];
    let record = Record::new(id(), 3, 9, Timestamp(0), Timestamp(1_500_000_000), values);
    let line = format_record(&record);
    assert_eq!(
        line,
        format!(
            r#"{{"id":"{ID}","version":3,"counter":9,"created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:01.5Z","values":{{"flight":7,"de\"st":"a\nb","extra":[1.50,2],"date":"1970-01-01","mass":2.0}}}}"#
        )
    );
    assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
}

#[test]
fn csv_fields_are_read_by_type() {
    let schema = schema();
    let flight = schema.object("flight").unwrap();
    let field = |name: &str, text: &str| value_from_text(flight.attribute(name).unwrap(), text);
    for attribute in flight.attributes() {
        assert_eq!(value_from_text(attribute, "").unwrap(), Value::Null);
    }
    assert_eq!(field("flight", " 1545 ").unwrap(), Value::Integer(1545));
    assert_eq!(field("flight", "1545.0").unwrap(), Value::Integer(1545));
    assert_eq!(field("mass", "-2.5e3").unwrap(), Value::Number(-2500.0));
    assert_eq!(field("price", "0.10").unwrap().to_string(), "0.10");
    assert_eq!(field("date", "2013-01-01").unwrap(), Date(15_706).into());
    assert_eq!(field("dep", "1970-01-01T00:00:00Z").unwrap(), Timestamp(0).into());
    assert_eq!(field("crew", ID).unwrap(), id().0.into());
    assert_eq!(field("dest", " x ").unwrap(), " x ".into());
    assert_eq!(field("extra", "[1, 2]").unwrap(), Json::parse("[1,2]").unwrap().into());
    for (text, expected) in
        [("TRUE", true), ("yes", true), ("1", true), ("False", false), ("no", false), ("0", false)]
    {
        assert_eq!(field("open", text).unwrap(), expected.into());
    }
    for (name, text) in [
        ("flight", "1.5"),
        ("flight", "x"),
        ("mass", "inf"),
        ("mass", "nan"),
        ("price", "1,5"),
        ("date", "01/02/2013"),
        ("dep", "2013-01-01"),
        ("crew", "7"),
        ("open", "maybe"),
        ("extra", "{"),
    ] {
        let error = field(name, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
    }
}
