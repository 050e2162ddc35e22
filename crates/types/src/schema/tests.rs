//! The neutral form, the persisted form, names, changes, and cells of each type.

use super::*;
use crate::value::{Date, Decimal, Form, Json, TEXT_LEN_MAX, Timestamp, Value};

const FLEET: &str = r#"{"objects": [
    {"key": "plane", "title": "Plane", "primary_key": ["tailnum"], "max_record_bytes": 32768, "attributes": [
        {"key": "tailnum", "type": "text"},
        {"key": "serial", "type": "integer", "unique": true, "min": 1, "max": 1000},
        {"key": "price", "type": "decimal", "decimals": 2, "min": "-0.50"},
        {"key": "mass", "type": "number", "max": 1.5},
        {"key": "active", "type": "boolean", "read_only": true},
        {"key": "built", "type": "date", "min": "1900-01-01"},
        {"key": "seen", "type": "timestamp"},
        {"key": "tick", "type": "timestamp", "unit": "us"},
        {"key": "owner", "type": "uuid"},
        {"key": "state", "title": "State", "type": "select",
            "options": [{"key": "active", "title": "Active"}, {"key": "gone"}]},
        {"key": "notes", "type": "long_text", "history": false, "default": null},
        {"key": "extra", "type": "json"},
        {"key": "exact", "type": "decimal"}]},
    {"key": "empty"}]}"#;

fn fleet() -> Schema {
    Schema::from_json(FLEET).unwrap()
}

fn refused(json: &str) -> String {
    let error = Schema::from_json(json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSchema, "{error}");
    error.to_string()
}

/// A schema of one object with these attributes and further members.
fn one(attributes: &str, members: &str) -> String {
    format!(r#"{{"objects":[{{"key":"o","attributes":[{attributes}]{members}}}]}}"#)
}

#[test]
fn the_neutral_form_becomes_ids_columns_and_trees() {
    let schema = fleet();
    let plane = schema.object("plane").unwrap();
    assert_eq!((plane.id(), plane.tree(), plane.title()), (ObjectId(0), 16, Some("Plane")));
    let trees: Vec<u32> = plane.indexes().iter().map(IndexSchema::tree).collect();
    assert_eq!(trees, [17, 18]);
    assert_eq!(plane.primary_key().unwrap().attributes(), [AttributeId(0)]);
    assert_eq!(plane.indexes()[1].attributes(), [AttributeId(1)]);
    assert_eq!(schema.object("empty").unwrap().tree(), 19);
    assert_eq!(schema.next_tree, 20);
    for (at, attribute) in plane.attributes().iter().enumerate() {
        assert_eq!((usize::from(attribute.id().0), usize::from(attribute.column())), (at, at + 1));
        assert_eq!(&**attribute.name(), attribute.key());
    }
    assert!(plane.attribute("tailnum").unwrap().is_required(), "a primary key makes it required");
    assert_eq!(plane.attribute("exact").unwrap().decimals, 9);
    assert_eq!(plane.attribute("active").unwrap().form(), Form::Bit);
    assert_eq!(plane.max_record_len(), Some(32_768));
    assert!(schema.object("empty").unwrap().primary_key().is_none());
}

#[test]
fn the_neutral_form_and_the_persisted_form_round_trip() {
    let schema = fleet();
    assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
    assert_eq!(Schema::decode(&schema.encode()).unwrap(), schema);
    assert_eq!(Schema::decode(&schema.encode()).unwrap().to_json(), schema.to_json());
    let empty = Schema::from_json(r#"{"objects":[]}"#).unwrap();
    assert_eq!(empty, Schema::default());
    assert_eq!(Schema::from_json("[]").unwrap(), empty);
    assert_eq!(Schema::decode(&empty.encode()).unwrap(), empty);
}

#[test]
fn what_the_neutral_form_gets_wrong_is_named_with_its_path() {
    let attribute = |text: &str| refused(&one(text, ""));
    assert!(refused("{").contains("not JSON"));
    assert!(refused("{}").contains("objects are missing"));
    assert!(refused(r#"{"objects":[],"colour":1}"#).starts_with("colour: there is no such member"));
    assert!(refused(r#"{"objects":[{}]}"#).starts_with("objects[0].key: is missing"));
    assert!(refused(r#"{"objects":[1]}"#).starts_with("objects[0]: expected an object"));
    assert!(refused(r#"{"objects":[{"key":"a","key":"b"}]}"#).starts_with("objects[0].key: stands twice"));
    assert!(refused(r#"{"objects":[{"key":"a"},{"key":"a"}]}"#).contains("two have the object key \"a\""));
    assert!(attribute(r#"{"key":"a"}"#).starts_with("objects[0].attributes[0].type: is missing"));
    assert!(attribute(r#"{"key":"a","type":"text","size":1}"#).starts_with("objects[0].attributes[0].size"));
    assert!(attribute(r#"{"key":"a","type":"text","required":"yes"}"#).contains("attributes[0].required: "));
    assert!(
        attribute(r#"{"key":"a","type":"text"},{"key":"a","type":"text"}"#)
            .contains("two have the attribute")
    );
    for name in ["", "$a", "a\\u0000b", &"x".repeat(129)] {
        let message = attribute(&format!(r#"{{"key":"{name}","type":"text"}}"#));
        assert!(message.starts_with("objects[0].attributes[0]: "), "{message}");
    }
    assert!(
        Schema::from_json(&one(&format!(r#"{{"key":"{}","type":"text"}}"#, "x".repeat(128)), "")).is_ok()
    );
}

#[test]
fn members_that_are_off_say_no_more_than_their_absence() {
    let message = refused(&one(r#"{"key":"a","type":"telephone"}"#, ""));
    assert!(
        message
            .contains("type \"telephone\" of \"a\" is not supported by this version; supported are text, ")
    );
    let off = r#"{"key":"a","type":"text","multi":false,"default":null,"history":false,"archived":false}"#;
    let on = Schema::from_json(&one(off, r#","open":false,"external_id":false,"metadata":null"#)).unwrap();
    assert_eq!(on, Schema::from_json(&one(r#"{"key":"a","type":"text"}"#, "")).unwrap());
}

#[test]
fn attributes_that_contradict_themselves_are_refused() {
    let cases = [
        (r#""type":"select""#, "a select needs options"),
        (r#""type":"select","options":[]"#, "a select needs options"),
        (r#""type":"select","options":[{"key":"x"},{"key":"x"}]"#, "two have the option key"),
        (r#""type":"select","options":[{"key":""}]"#, "a name has 1 to 128 bytes"),
        (r#""type":"text","options":[{"key":"x"}]"#, "only selects have them"),
        (r#""type":"long_text","unique":true"#, "cannot be part of a unique key"),
        (r#""type":"json","unique":true"#, "cannot be part of a unique key"),
        (r#""type":"boolean","unique":true"#, "a unique boolean"),
        (r#""type":"text","min":1"#, "have no limits"),
        (r#""type":"integer","min":2,"max":1"#, "min is above max"),
        (r#""type":"integer","min":"x""#, "is not a decimal"),
        (r#""type":"integer","min":1.5"#, "is not a whole number"),
        (r#""type":"date","max":"2013-02-30""#, "2013-02 has 28 days"),
        (r#""type":"decimal","decimals":39"#, "a decimal has 0 to 38"),
        (r#""type":"number","decimals":2"#, "decimals 2 on number"),
        (r#""type":"date","unit":"us""#, "only timestamps have one"),
        (r#""type":"timestamp","unit":"ms""#, "neither"),
        (r#""type":"text","required":true,"read_only":true"#, "nobody could write"),
    ];
    for (members, expected) in cases {
        let message = refused(&one(&format!(r#"{{"key":"a",{members}}}"#), ""));
        assert!(message.contains(expected), "{members}: {message}");
    }
}

#[test]
fn primary_keys_name_attributes_that_can_be_keys() {
    let text = r#"{"key":"a","type":"text"},{"key":"n","type":"json"}"#;
    let key = |key: &str| refused(&one(text, &format!(r#","primary_key":{key}"#)));
    assert!(key(r#"["b"]"#).starts_with("objects[0].primary_key: there is no attribute \"b\""));
    assert!(key("[]").contains("a key has no attributes"));
    assert!(key(r#"["a","a"]"#).contains("names a twice"));
    assert!(key(r#"["n"]"#).contains("cannot be part of a unique key"));
    let sealed = r#"{"key":"a","type":"text","read_only":true}"#;
    assert!(refused(&one(sealed, r#","primary_key":["a"]"#)).contains("nobody could write the key"));
    let both = one(r#"{"key":"a","type":"text","unique":true}"#, r#","primary_key":["a"]"#);
    assert_eq!(Schema::from_json(&both).unwrap().objects()[0].indexes().len(), 1, "one index serves both");
}

#[test]
fn decimal_limits_are_taken_digit_by_digit() {
    let json =
        one(r#"{"key":"a","type":"decimal","decimals":20,"max":12345678901234567.12345678901234567891}"#, "");
    let schema = Schema::from_json(&json).unwrap();
    assert!(schema.to_json().contains("\"12345678901234567.12345678901234567891\""));
}

#[test]
fn names_are_found_among_few_and_among_many() {
    for count in [0, 1, 16, 17, 500] {
        let attributes: Vec<String> =
            (0..count).map(|n| format!(r#"{{"key":"attribute_{n}","type":"integer"}}"#)).collect();
        let schema = Schema::from_json(&one(&attributes.join(","), "")).unwrap();
        let schema = Schema::decode(&schema.encode()).unwrap();
        let object = schema.object("o").unwrap();
        for n in 0..count {
            assert_eq!(usize::from(object.attribute(&format!("attribute_{n}")).unwrap().id().0), n);
        }
        assert!(object.find_attribute("attribute").is_none());
    }
}

#[test]
fn a_name_that_is_not_there_brings_a_hint() {
    let schema = fleet();
    let error = schema.object("plan").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ObjectNotFound);
    assert_eq!(error.to_string(), "there is no object \"plan\"; did you mean \"plane\"?");
    assert!(schema.object("passenger").unwrap_err().to_string().ends_with("; there are plane, empty"));
    let error = schema.object("plane").unwrap().attribute("Tailnumm").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownAttribute);
    assert_eq!(error.attribute_path(), Some(("plane", "Tailnumm")));
    assert!(error.to_string().ends_with("did you mean \"tailnum\"?"), "{error}");
    assert!(schema.object_by_id(ObjectId(2)).is_none());
    assert!(schema.objects()[0].attribute_by_id(AttributeId(13)).is_none());
}

#[test]
fn objects_and_attributes_can_be_added() {
    let mut schema = fleet();
    schema
        .add_object(r#"{"key":"pilot","primary_key":["n"],"attributes":[{"key":"n","type":"integer"}]}"#)
        .unwrap();
    assert_eq!(schema.object("pilot").unwrap().tree(), 20);
    assert_eq!(schema.object("pilot").unwrap().id(), ObjectId(2));
    schema.add_attribute("plane", r#"{"key":"speed","type":"integer"}"#).unwrap();
    let speed = schema.object("plane").unwrap().attribute("speed").unwrap();
    assert_eq!((speed.id(), speed.column()), (AttributeId(13), 14));
    assert_eq!(Schema::decode(&schema.encode()).unwrap(), schema);
}

#[test]
fn a_refused_change_leaves_the_schema_as_it_was() {
    let mut schema = fleet();
    let refusals = [
        schema.add_object(r#"{"key":"plane"}"#),
        schema.add_object(r#"{"key":"x","attributes":[{"key":"n","type":"stars"}]}"#),
        schema.add_attribute("plane", r#"{"key":"tailnum","type":"text"}"#),
        schema.add_attribute("plane", r#"{"key":"x","type":"text","required":true}"#),
        schema.add_attribute("plane", r#"{"key":"x","type":"text","unique":true}"#),
        schema.add_attribute("plane", "[]"),
    ];
    for refusal in refusals {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::InvalidSchema);
    }
    assert_eq!(
        schema.add_attribute("pilot", r#"{"key":"x","type":"text"}"#).unwrap_err().kind(),
        ErrorKind::ObjectNotFound
    );
    assert_eq!(schema, fleet());
    assert_eq!(schema.next_tree, fleet().next_tree);
}

#[test]
fn the_persisted_bytes_are_these() {
    // The format depends on them: a change here is a new encoding version.
    let json = r#"{"objects":[{"key":"o","attributes":[{"key":"s","type":"select","unique":true,"options":[{"key":"x"}]}]}]}"#;
    let expected = [
        &[2, 0][..],                                     // encoding version
        &[1, 0, 0, 0, 0, 0, 0, 0],                       // objects
        &[0, 0],                                         // id
        &[1, 0, 0, 0, 0, 0, 0, 0, b'o'],                 // key
        &[0],                                            // title
        &[16, 0, 0, 0],                                  // tree
        &[1, 0, 0, 0, 0, 0, 0, 0],                       // attributes
        &[0, 0, 1, 0],                                   // id, column
        &[1, 0, 0, 0, 0, 0, 0, 0, b's', 0],              // key, title
        &[9, 0, 0, 0],                                   // type
        &[0, 1, 0, 0, 0, 0, 0],                          // required .. max
        &[1, 0, 0, 0, 0, 0, 0, 0],                       // options
        &[1, 0, 0, 0, 0, 0, 0, 0, b'x', 0],              // key, title
        &[0, 0, 0, 0, 0],                                // given id, standing
        &[0, 0, 0, 0, 0, 0],                             // given id, multi .. default
        &[0, 0, 0, 0, 0, 0, 0, 0],                       // labels
        &[0, 0, 0, 0, 0, 0, 0, 0],                       // refers_to
        &[0, 0, 0, 0, 0],                                // inverse, on_delete
        &[0, 0, 0, 0, 0],          // currency, pattern, custom_values, sequence, history
        &[0, 0, 0, 0, 0],          // standing, hidden
        &[1, 0, 0, 0, 0, 0, 0, 0], // indexes
        &[17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // tree, attributes, primary
        &[0, 0, 0, 0],             // max_record_len, given id, open, history
        &[0, 0, 0, 0, 0],          // standing, history_trees
        &[18, 0, 0, 0],            // next_tree
    ];
    assert_eq!(Schema::from_json(json).unwrap().encode(), expected.concat());
}

#[test]
fn damaged_bytes_are_corrupt_and_never_a_panic() {
    let schema = fleet();
    let bytes = schema.encode();
    for cut in 0..bytes.len() {
        assert!(Schema::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Schema::decode(&longer).unwrap_err().kind(), ErrorKind::Corrupt);
    for at in 0..bytes.len() {
        for flip in [1, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Ok(read) = Schema::decode(&damaged) {
                // Whatever still reads is a schema that can be used.
                let _ = read.to_json();
                let _ = read.clone().add_object(r#"{"key":"new"}"#);
                let _ = read.objects().iter().flat_map(IndexedNames::of).count();
            }
        }
    }
    let mut later = bytes;
    later[0] = 3;
    assert_eq!(Schema::decode(&later).unwrap_err().kind(), ErrorKind::UnknownFormat);
}

/// The names behind every index: what any user of an index looks up.
struct IndexedNames;

impl IndexedNames {
    fn of(object: &ObjectSchema) -> Vec<&str> {
        let ids = object.indexes().iter().flat_map(IndexSchema::attributes);
        ids.map(|id| object.attribute_by_id(*id).expect("checked when it was read").key()).collect()
    }
}

/// Cell and value that come of writing `value` to an attribute of the fleet's planes.
fn written(attribute: &str, value: impl Into<Value>) -> Result<(Vec<u8>, Value)> {
    let schema = fleet();
    let plane = schema.object("plane")?;
    let attribute = plane.attribute(attribute)?;
    // What stands before stays, also on an error.
    let mut out = vec![7];
    let encoded = attribute.encode(plane, &value.into(), &mut out);
    assert_eq!(out[0], 7);
    if let Err(error) = encoded {
        assert_eq!(out.len(), 1);
        assert_eq!(error.attribute_path(), Some(("plane", attribute.key())));
        return Err(error);
    }
    assert!(attribute.form().cell_len().is_none_or(|len| len == out.len() - 1));
    let value = attribute.decode(&out[1..])?;
    Ok((out.split_off(1), value))
}

fn kept(attribute: &str, value: impl Into<Value>) -> Value {
    written(attribute, value).unwrap().1
}

fn complaint(attribute: &str, value: impl Into<Value>) -> String {
    let error = written(attribute, value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue, "{error}");
    error.to_string()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn each_type_has_its_cell() {
    assert_eq!(written("tailnum", "N1").unwrap().0, b"N1");
    assert_eq!(written("serial", 5).unwrap().0, 5i64.to_le_bytes());
    assert_eq!(written("price", decimal("12.5")).unwrap().0, 1250i128.to_le_bytes());
    assert_eq!(written("mass", 1.5).unwrap().0, 1.5f64.to_le_bytes());
    assert_eq!(written("active", true).unwrap().0, [1]);
    assert_eq!(written("built", Date(-1)).unwrap().0, (-1i32).to_le_bytes());
    assert_eq!(written("seen", Timestamp(-1)).unwrap().0, (-1i64).to_le_bytes());
    assert_eq!(written("tick", Timestamp(-7_000)).unwrap().0, (-7i64).to_le_bytes());
    assert_eq!(written("owner", uuid::Uuid::from_u128(1)).unwrap().0, 1u128.to_be_bytes());
    assert_eq!(written("state", "gone").unwrap().0, 1u32.to_le_bytes());
    assert_eq!(written("extra", Json::parse("[ 1 ]").unwrap()).unwrap().0, b"[1]");
}

#[test]
fn values_are_converted_where_nothing_is_lost() {
    assert_eq!(kept("serial", 7.0), Value::Integer(7));
    assert_eq!(kept("serial", decimal("7.00")), Value::Integer(7));
    assert_eq!(kept("mass", 1), Value::Number(1.0));
    assert_eq!(kept("mass", decimal("0.1")), Value::Number(0.1));
    assert_eq!(kept("price", 3), decimal("3").into());
    assert_eq!(kept("price", "12.50"), decimal("12.5").into());
    assert_eq!(kept("price", 0.1), decimal("0.1").into());
    assert_eq!(kept("price", "12.50").to_string(), "12.5");
    assert_eq!(kept("built", "2013-01-01"), Date(15_706).into());
    assert_eq!(kept("seen", "1970-01-01T00:00:01Z"), Timestamp(1_000_000_000).into());
    assert_eq!(kept("owner", "00000000-0000-0000-0000-000000000007"), uuid::Uuid::from_u128(7).into());
    assert_eq!(kept("state", "active"), "active".into());
    assert_eq!(kept("extra", "text"), Json::parse("\"text\"").unwrap().into());
    assert_eq!(kept("extra", 5), Json::parse("5").unwrap().into());
    assert_eq!(kept("notes", ""), "".into());
}

#[test]
fn values_that_do_not_fit_are_refused_with_the_reason() {
    assert!(complaint("tailnum", 5).ends_with("expected text, found the integer \"5\""));
    assert!(complaint("tailnum", Value::Null).contains("clear the attribute instead"));
    assert!(complaint("serial", "5").contains("expected a whole number"));
    assert!(complaint("serial", 7.5).contains("expected a whole number"));
    assert!(complaint("serial", 1e17).contains("expected a whole number"));
    assert!(complaint("serial", 0).contains("0 is below the minimum 1"));
    assert!(complaint("serial", 1001).contains("1001 is above the maximum 1000"));
    assert!(complaint("mass", 9_007_199_254_740_993i64).contains("not exact"));
    assert!(complaint("mass", f64::NAN).contains("not a finite number"));
    assert!(complaint("mass", f64::NEG_INFINITY).contains("not a finite number"));
    assert!(complaint("mass", decimal("0.1234567890123456789")).contains("more digits"));
    assert!(complaint("price", "1.001").contains("nothing is rounded"));
    assert!(complaint("price", "-0.51").contains("below the minimum -0.5"));
    assert!(complaint("price", f64::NAN).contains("not a decimal"));
    assert!(complaint("active", 1).contains("expected true or false"));
    assert!(complaint("built", "2013-02-30").contains("2013-02 has 28 days"));
    assert!(complaint("built", "1899-12-31").contains("below the minimum 1900-01-01"));
    assert!(complaint("built", Date(i32::MAX)).contains("outside the range"));
    assert!(complaint("seen", Date(0)).contains("expected a timestamp"));
    assert!(complaint("tick", Timestamp(1)).contains("keeps microseconds"));
    assert!(complaint("owner", "7").contains("is not a UUID"));
    assert!(complaint("state", 1).contains("the key of an option"));
    assert!(complaint("extra", f64::NAN).contains("not a finite number"));
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    assert!(complaint("extra", Json::from_value(&deep)).contains("deeper than 127"));
}

#[test]
fn an_unknown_option_and_too_long_a_text_have_kinds_of_their_own() {
    let error = written("state", "broken").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownOption);
    assert_eq!(error.to_string(), "plane.state: there is no option \"broken\"; there are active, gone");
    assert!(written("tailnum", "x".repeat(TEXT_LEN_MAX)).is_ok());
    for attribute in ["tailnum", "notes", "extra"] {
        let error = written(attribute, "x".repeat(TEXT_LEN_MAX + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}

#[test]
fn bytes_that_are_no_cell_are_corrupt() {
    let schema = fleet();
    let corrupt = |name: &str, cell: &[u8]| {
        let attribute = schema.object("plane").unwrap().attribute(name).unwrap();
        let error = attribute.decode(cell).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        assert!(attribute.key_text(cell).starts_with("unreadable"));
    };
    for name in ["serial", "price", "mass", "active", "built", "seen", "tick", "owner", "state"] {
        corrupt(name, &[]);
        corrupt(name, &[0; 3]);
        corrupt(name, &[0; 17]);
    }
    corrupt("tailnum", &[0xff]);
    corrupt("active", &[2]);
    corrupt("mass", &f64::NAN.to_le_bytes());
    corrupt("built", &i32::MIN.to_le_bytes());
    corrupt("tick", &i64::MAX.to_le_bytes());
    corrupt("state", &2u32.to_le_bytes());
    corrupt("extra", b"{");
    corrupt("extra", &[b'['; 300]);
}

#[test]
fn a_cell_shows_as_text_in_a_conflict() {
    let schema = fleet();
    let plane = schema.object("plane").unwrap();
    let shown = |name: &str, cell: &[u8]| plane.attribute(name).unwrap().key_text(cell);
    assert_eq!(shown("tailnum", b"N1"), "N1");
    assert_eq!(shown("price", &1250i128.to_le_bytes()), "12.5");
    assert_eq!(shown("built", &15_706i32.to_le_bytes()), "2013-01-01");
    assert_eq!(shown("state", &0u32.to_le_bytes()), "active");
}
