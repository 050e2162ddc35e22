//! Every type: what it takes, what it makes of it, what it refuses and in which words; lists; relations.

use super::*;
use crate::id::RecordId;
use crate::value::{Actor, ActorKind, Decimal, Elements, Form, Json, Value, append_key_bytes};

/// A schema with one object `o` that has this attribute, called `a`.
fn schema_of(members: &str) -> Schema {
    let json = format!(r#"{{"objects":[{{"key":"o","attributes":[{{"key":"a",{members}}}]}}]}}"#);
    let schema = Schema::from_json(&json).unwrap_or_else(|error| panic!("{members}: {error}"));
    assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema, "{members}");
    assert_eq!(Schema::decode(&schema.encode()).unwrap(), schema, "{members}");
    schema
}

fn refused_schema(members: &str) -> String {
    let json = format!(r#"{{"objects":[{{"key":"o","attributes":[{{"key":"a",{members}}}]}}]}}"#);
    let error = Schema::from_json(&json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSchema);
    error.to_string()
}

/// The value that an attribute keeps, and its cell.
fn written(members: &str, value: impl Into<Value>) -> Result<(Option<Value>, Vec<u8>)> {
    let schema = schema_of(members);
    let object = schema.object("o")?;
    let attribute = object.attribute("a")?;
    let mut cell = vec![7];
    let encoded = attribute.encode(object, &value.into(), &mut cell);
    assert_eq!(cell[0], 7, "what stands before stays");
    let cell = cell.split_off(1);
    if !encoded.as_ref().is_ok_and(|has_value| *has_value) {
        assert!(cell.is_empty(), "{members}: nothing is appended without a value");
        return encoded.map(|_| (None, cell));
    }
    assert!(attribute.form().cell_len().is_none_or(|len| len == cell.len()), "{members}");
    let value = attribute.decode(&cell)?;
    // What was read is written as the same bytes again.
    let mut again = Vec::new();
    assert!(attribute.encode(object, &value, &mut again)?);
    assert_eq!(again, cell, "{members}: {value}");
    Ok((Some(value), cell))
}

fn kept(members: &str, value: impl Into<Value>) -> Value {
    written(members, value).unwrap_or_else(|error| panic!("{members}: {error}")).0.expect("a value")
}

fn complaint(members: &str, value: impl Into<Value>) -> String {
    let error = written(members, value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue, "{error}");
    error.to_string()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn json(text: &str) -> Value {
    Json::parse(text).unwrap().into()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn list(values: &[&str]) -> Value {
    Value::from(values.to_vec())
}

#[test]
fn texts_with_a_form_are_kept_as_given_and_refused_with_a_reason() {
    let email = r#""type":"email""#;
    assert_eq!(kept(email, " Ada@Example.com "), text("Ada@Example.com"));
    assert_eq!(kept(email, "a+b@mail.example.co.uk"), text("a+b@mail.example.co.uk"));
    for wrong in [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a b@example.com",
        "Ada <ada@example.com>",
        "a@host",
        "a@[1.2.3.4]",
    ] {
        assert!(complaint(email, wrong).contains("is not an e-mail address: "), "{wrong}");
    }
    assert!(complaint(email, 5).ends_with("expected an e-mail address, found the integer \"5\""));

    let domain = r#""type":"domain""#;
    assert_eq!(kept(domain, "https://Acme.example/about"), text("https://Acme.example/about"));
    assert_eq!(kept(domain, "bücher.example"), text("bücher.example"));
    for (wrong, reason) in [
        ("acme", "at least two parts"),
        ("acme..example", "each part between dots"),
        ("-acme.example", "begins or ends with a hyphen"),
        ("acme example.com", "may not stand in it"),
        ("1.2.3.4", "the last part is a number"),
    ] {
        let message = complaint(domain, wrong);
        assert!(message.contains("is not a domain: ") && message.contains(reason), "{message}");
    }

    let url = r#""type":"url""#;
    for right in [
        "https://acme.example/a?b#c",
        "acme.example",
        "acme.example:8080/x",
        "http://localhost:3000",
        "https://127.0.0.1/",
        "https://user@acme.example/",
        "https://[::1]:80/",
    ] {
        assert_eq!(kept(url, right), text(right));
    }
    for wrong in [
        "",
        "acme",
        "https://",
        "https:// acme.example",
        "mailto:a@b.example",
        "javascript:alert(1)",
        "1x://acme.example",
    ] {
        assert!(complaint(url, wrong).contains("is not a web address: "), "{wrong}");
    }

    let phone = r#""type":"phone""#;
    assert_eq!(kept(phone, "+1 (415) 555-0100"), text("+1 (415) 555-0100"));
    for (wrong, reason) in [
        ("415 555 0100", "begin with +"),
        ("+0123456789", "begins with 0"),
        ("+12345", "7 to 15 digits"),
        ("+1234567890123456", "7 to 15 digits"),
        ("+1555CALLNOW", "only digits"),
    ] {
        let message = complaint(phone, wrong);
        assert!(message.contains("is not a telephone number: ") && message.contains(reason), "{message}");
    }

    let country = r#""type":"country""#;
    assert_eq!(kept(country, "us"), text("US"));
    for wrong in ["", "USA", "ZZ", "U"] {
        assert!(complaint(country, wrong).contains("no country of ISO 3166-1"), "{wrong}");
    }
}

#[test]
fn a_pattern_holds_for_each_text() {
    let code = r#""type":"regexp_text","pattern":"^[A-Z]{2}\\d+$""#;
    assert_eq!(kept(code, "AB12"), text("AB12"));
    assert!(complaint(code, "ab12").contains(r#""ab12" does not match the pattern "#));
    assert_eq!(kept(r#""type":"text","pattern":"a""#, "cat"), text("cat"), "it may match anywhere");
    let several = r#""type":"text","multi":true,"pattern":"^x""#;
    assert_eq!(kept(several, vec!["x1", "x2"]), list(&["x1", "x2"]));
    assert!(complaint(several, vec!["x1", "y"]).contains("\"y\" does not match"));
    assert!(refused_schema(r#""type":"regexp_text""#).contains("needs a pattern"));
    assert!(refused_schema(r#""type":"text","pattern":"(""#).contains("pattern: "));
    assert!(refused_schema(r#""type":"integer","pattern":"1""#).contains("pattern on integer"));
}

#[test]
fn ratings_and_autonumbers_are_whole_numbers() {
    let rating = r#""type":"rating""#;
    assert_eq!(kept(rating, 5), Value::Integer(5));
    assert_eq!(kept(rating, 0.0), Value::Integer(0));
    assert!(complaint(rating, 6).contains("6 is above the maximum 5"));
    assert!(complaint(rating, -1).contains("-1 is below the minimum 0"));
    assert!(complaint(rating, 2.5).contains("expected a whole number"));
    assert_eq!(kept(r#""type":"rating","max":10"#, 10), Value::Integer(10));
    let number = r#""type":"autonumber","prefix":"INV-","padding":3,"next":8"#;
    assert_eq!(kept(number, 7), text("INV-007"));
    assert_eq!(kept(number, "INV-12345"), text("INV-12345"));
    for wrong in ["INV-7", "007", "INV-", "INV-00007", "X-007"] {
        assert!(complaint(number, wrong).contains("is no number of the sequence"), "{wrong}");
    }
    let schema = schema_of(number);
    let attribute = schema.object("o").unwrap().attribute("a").unwrap();
    assert!(attribute.is_read_only(), "nobody but the engine writes it");
    assert_eq!(attribute.sequence().unwrap().value_at(1).unwrap(), 8);
    assert_eq!(
        attribute.sequence().unwrap().value_at(u64::MAX).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    assert_eq!(kept(r#""type":"autonumber""#, 3), Value::Integer(3));
    assert!(refused_schema(r#""type":"autonumber","next":-1"#).contains("does not begin below 0"));
    assert!(refused_schema(r#""type":"integer","prefix":"x""#).contains("only autonumbers have them"));
    let long = format!(r#""type":"autonumber","prefix":"{}""#, "x".repeat(31));
    assert!(refused_schema(&long).contains("over the limit of 30"));
}

#[test]
fn money_is_exact_and_knows_its_currency() {
    let dollars = r#""type":"currency","currency":"USD""#;
    let usd = |amount: &str| Value::Currency { amount: decimal(amount), code: "USD".parse().unwrap() };
    let (value, cell) = written(dollars, "12.5").unwrap();
    assert_eq!((value, cell), (Some(usd("12.5")), 125_000i128.to_le_bytes().to_vec()));
    assert_eq!(kept(dollars, json(r#"{"amount": 0.1234, "code": "usd"}"#)), usd("0.1234"));
    assert_eq!(kept(dollars, json(r#"{"amount": "7"}"#)), usd("7"));
    assert_eq!(kept(dollars, "-3 USD"), usd("-3"));
    assert!(complaint(dollars, "3 EUR").contains("amounts are in USD, this one is in EUR"));
    assert!(complaint(dollars, "0.12345").contains("4 digits behind the point; nothing is rounded"));
    assert!(complaint(dollars, json(r#"{"value": 3}"#)).contains("expected {\"amount\", \"code\"}"));
    let any = r#""type":"currency","decimals":2"#;
    let (value, cell) = written(any, usd("-1.27")).unwrap();
    assert_eq!((value, cell), (Some(usd("-1.27")), b"USD\x81".to_vec()), "-127 is one byte");
    for amount in
        ["0", "1.27", "1.28", "-1.28", "-1.29", "327.67", "327.68", "1700000000000000000000000000000000000"]
    {
        assert_eq!(kept(any, usd(amount)), usd(amount));
    }
    assert!(complaint(any, "3").contains("needs the code of its currency"));
    assert!(complaint(any, "3 XYZ").contains("no currency of ISO 4217"));
    let limited = r#""type":"currency","currency":"USD","min":0,"max":100"#;
    assert!(complaint(limited, "-0.01").contains("-0.01 USD is below the minimum 0 USD"));
    assert!(refused_schema(r#""type":"currency","min":0"#).contains("have no limits"));
    assert!(refused_schema(r#""type":"currency","currency":"dollars""#).contains("no currency"));
    assert!(refused_schema(r#""type":"decimal","currency":"USD""#).contains("only amounts of money"));
}

#[test]
fn structures_have_one_order_of_members_and_no_null() {
    let name = r#""type":"person_name""#;
    let ada = json(r#"{"first":"Ada","last":"Lovelace","full":"Ada Lovelace"}"#);
    assert_eq!(kept(name, "Lovelace, Ada"), ada);
    assert_eq!(kept(name, json(r#"{"last":"Lovelace","first":"Ada"}"#)), ada);
    assert_eq!(kept(name, json(r#"{"full":"A. L."}"#)), json(r#"{"full":"A. L."}"#));
    assert!(complaint(name, "Ada Lovelace").contains("write Last, First or the parts"));
    assert!(
        complaint(name, json(r#"{"middle":"B"}"#))
            .contains("no part \"middle\"; there are first, last, full")
    );
    assert_eq!(
        written(name, json(r#"{"first":null}"#)).unwrap().0,
        None,
        "without members there is no value"
    );

    let place = r#""type":"location""#;
    assert_eq!(
        kept(
            place,
            json(r#"{"longitude":-122.4,"latitude":"37.7","country_code":"us","line_1":"1 Main St"}"#)
        ),
        json(r#"{"line_1":"1 Main St","country_code":"US","latitude":"37.7","longitude":"-122.4"}"#)
    );
    assert!(complaint(place, json(r#"{"latitude":"91"}"#)).contains("is not between -90 and 90"));
    assert!(complaint(place, json(r#"{"longitude":"x"}"#)).contains("longitude: \"x\" is not a decimal"));
    assert!(complaint(place, json(r#"{"country_code":"USA"}"#)).contains("no country"));
    let address = r#""type":"address""#;
    assert_eq!(
        kept(address, json(r#"{"postal_code":"10115","city":"Berlin"}"#)),
        json(r#"{"city":"Berlin","postal_code":"10115"}"#)
    );
    assert!(complaint(address, json(r#"{"city":5}"#)).contains("city is a text, found \"5\""));
    assert!(complaint(address, "Berlin").contains("an object with the parts of address"));

    let file = r#""type":"file""#;
    let value = json(r#"{"url":"https://acme.example/a.pdf"}"#);
    assert_eq!(kept(file, "https://acme.example/a.pdf"), value);
    assert_eq!(kept(file, value.clone()), value);
    assert!(complaint(file, json(r#"{"url":"no file"}"#)).contains("is not a web address"));
    assert!(complaint(file, json(r#"{"name":"a.pdf"}"#)).contains("a file needs its url"));

    let labelled = r#""type":"text_list","labels":["b","a"]"#;
    assert_eq!(kept(labelled, json(r#"{"a":"1","b":"2"}"#)), json(r#"{"b":"2","a":"1"}"#));
    assert!(complaint(labelled, json(r#"{"c":"1"}"#)).contains("no part \"c\""));
    assert!(refused_schema(r#""type":"text_list""#).contains("needs labels"));
    assert!(refused_schema(r#""type":"text_list","labels":["a","a"]"#).contains("label key \"a\""));
    assert!(refused_schema(r#""type":"text","labels":["a"]"#).contains("only a text_list"));
}

#[test]
fn references_and_actors_come_in_several_forms() {
    let id = RecordId::from_bytes([3; 16]);
    let reference = r#""type":"reference""#;
    for value in [Value::Reference(id), Value::Uuid(id.0), text(&id.to_string())] {
        assert_eq!(written(reference, value).unwrap(), (Some(Value::Reference(id)), vec![3; 16]));
    }
    assert!(complaint(reference, "acme").contains("is not a record id"));
    assert!(complaint(reference, 3).contains("expected the id of a record"));
    let actor = r#""type":"actor""#;
    let user = Value::Actor(Actor::new(ActorKind::User, "u1"));
    for value in [text("u1"), text("user:u1"), json(r#"{"kind":"user","id":"u1"}"#), user.clone()] {
        assert_eq!(kept(actor, value), user);
    }
    let app = Value::Actor(Actor::new(ActorKind::App, "a:b"));
    assert_eq!(written(actor, "app:a:b").unwrap(), (Some(app), b"\x04a:b".to_vec()));
    assert_eq!(kept(actor, "system:").to_string(), "system:");
    assert_eq!(kept(actor, "mail:x").to_string(), "user:mail:x", "an id may have a colon");
    assert!(complaint(actor, "user:").contains("needs an id"));
    assert!(complaint(actor, json(r#"{"kind":"robot","id":"r2"}"#)).contains("unknown variant `robot`"));
    assert!(complaint(actor, "x".repeat(256)).contains("at most 255 bytes"));
}

#[test]
fn one_choice_is_an_option_and_a_radio_may_take_others() {
    let options = r#""options":[{"key":"a","id":"1"},{"key":"b","title":"B"}]"#;
    for kind in ["select", "status", "radio"] {
        let members = format!(r#""type":"{kind}",{options}"#);
        assert_eq!(written(&members, "b").unwrap(), (Some(text("b")), 1u32.to_le_bytes().to_vec()));
        assert_eq!(written(&members, "c").unwrap_err().kind(), ErrorKind::UnknownOption);
        assert!(refused_schema(&format!(r#""type":"{kind}""#)).contains("needs options"));
    }
    let custom = format!(r#""type":"radio","custom_values":true,{options}"#);
    assert_eq!(kept(&custom, "a"), text("a"));
    assert_eq!(kept(&custom, "something else"), text("something else"));
    assert!(complaint(&custom, "").contains("needs a text"));
    assert!(
        refused_schema(&format!(r#""type":"select","custom_values":true,{options}"#)).contains("a radio may")
    );
}

#[test]
fn a_list_is_an_ordered_set_of_cells() {
    let texts = r#""type":"text","multi":true"#;
    assert_eq!(
        written(texts, vec!["b", "", "b", "a"]).unwrap(),
        (Some(list(&["b", "", "a"])), b"\x01b\x00\x01a".to_vec())
    );
    assert_eq!(kept(texts, "one"), list(&["one"]), "one value is a list of one");
    assert_eq!(kept(texts, json(r#"["x","y"]"#)), list(&["x", "y"]));
    assert_eq!(written(texts, Value::List(Vec::new())).unwrap().0, None, "an empty list is no value");
    assert_eq!(written(texts, json("[]")).unwrap().0, None);
    assert!(complaint(texts, vec![Value::Null]).contains("expected values of type text, found null"));
    assert!(complaint(texts, vec![list(&["a"])]).contains("found the list"));
    assert!(complaint(texts, vec![text("a"), Value::Integer(1)]).contains("expected text"));

    let numbers = r#""type":"integer","multi":true,"min":0"#;
    let (value, cell) = written(numbers, vec![3, 1, 3]).unwrap();
    assert_eq!(value, Some(Value::from([3, 1])));
    assert_eq!(cell, [3i64.to_le_bytes(), 1i64.to_le_bytes()].concat());
    assert!(complaint(numbers, vec![3, -1]).contains("-1 is below the minimum 0"));
    let decimals = r#""type":"decimal","multi":true,"decimals":20"#;
    let exact = "1234567890.12345678901234567891";
    assert_eq!(kept(decimals, json(&format!("[{exact}]"))), Value::List(vec![decimal(exact).into()]));
    let emails = r#""type":"email","multi":true"#;
    assert_eq!(
        kept(emails, vec!["A@x.example", "a@X.example"]),
        list(&["A@x.example"]),
        "the same in any case"
    );
    let people = r#""type":"actor","multi":true,"max_values":2"#;
    assert!(written(people, vec!["a", "b", "a"]).is_ok(), "two that differ");
    let error = written(people, vec!["a", "b", "c"]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::TooManyValues, "o.a: at most 2 values allowed, 3 given".to_string())
    );
    let structures = r#""type":"json","multi":true"#;
    assert_eq!(
        kept(structures, json(r#"[{"b": 1}, [2], null]"#)),
        Value::List(vec![json(r#"{"b":1}"#), json("[2]"), json("null")])
    );
    for of in ["boolean", "date", "timestamp", "uuid", "reference", "number", "rating", "phone", "country"] {
        let schema = schema_of(&format!(r#""type":"{of}","multi":true"#));
        let attribute = schema.object("o").unwrap().attribute("a").unwrap();
        let width = attribute.value_type().form().cell_len();
        let expected = width.map_or(Elements::Prefixed, |len| Elements::Fixed(len as u8));
        assert_eq!((attribute.form(), attribute.elements()), (Form::View, Some(expected)), "{of}");
    }
    assert!(refused_schema(r#""type":"text","max_values":2"#).contains("max_values without multi"));
    assert!(refused_schema(r#""type":"text","multi":true,"max_values":0"#).contains("would allow no value"));
    assert!(
        refused_schema(r#""type":"text","multi":true,"ordered":false"#)
            .contains("ordered false is for several options")
    );
    assert!(refused_schema(r#""type":"autonumber","multi":true"#).contains("has one value"));
}

#[test]
fn several_options_are_numbers_in_order_or_bits_without() {
    let options = |count: usize| {
        let options: Vec<String> = (0..count).map(|n| format!(r#"{{"key":"o{n}"}}"#)).collect();
        format!(r#""type":"select","multi":true,"options":[{}]"#, options.join(","))
    };
    let ordered = options(3);
    assert_eq!(
        written(&ordered, vec!["o2", "o0", "o2"]).unwrap(),
        (Some(list(&["o2", "o0"])), vec![2, 0, 0, 0])
    );
    let bits = format!(r#"{},"ordered":false"#, options(64));
    let (value, cell) = written(&bits, vec!["o63", "o0"]).unwrap();
    assert_eq!((value, cell), (Some(list(&["o0", "o63"])), (1u64 | 1 << 63).to_le_bytes().to_vec()));
    assert_eq!(schema_of(&bits).object("o").unwrap().attribute("a").unwrap().form(), Form::Fixed8);
    assert_eq!(written(&bits, Value::List(Vec::new())).unwrap().0, None);
    let many = format!(r#"{},"ordered":false"#, options(65));
    let (value, cell) = written(&many, vec!["o64", "o1"]).unwrap();
    assert_eq!(
        (value, cell),
        (Some(list(&["o1", "o64"])), vec![1, 0, 64, 0]),
        "sorted, so that equal sets are equal"
    );
    assert_eq!(written(&bits, vec!["o64"]).unwrap_err().kind(), ErrorKind::UnknownOption);
    let error = written(&format!(r#"{bits},"max_values":1"#), vec!["o1", "o2"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyValues);
    assert!(refused_schema(&format!(r#"{ordered},"unique":true"#)).contains("cannot be unique"));
}

#[test]
fn bytes_that_are_no_cell_of_a_kind_are_corrupt() {
    let cases: &[(&str, &[&[u8]])] = &[
        (
            r#""type":"text","multi":true"#,
            &[b"", b"\x02a", b"\x01\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
        ),
        (r#""type":"integer","multi":true"#, &[b"", b"1234567"]),
        (r#""type":"select","multi":true,"options":[{"key":"a"}]"#, &[b"", b"\0", b"\x01\0"]),
        (
            r#""type":"select","multi":true,"ordered":false,"options":[{"key":"a"}]"#,
            &[b"", &[0; 8], &[2, 0, 0, 0, 0, 0, 0, 0]],
        ),
        (r#""type":"currency""#, &[b"", b"USD", b"usd\x01", b"USD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"]),
        (r#""type":"currency","currency":"USD""#, &[b"", b"USD\x01"]),
        (r#""type":"actor""#, &[b"", b"\0a", b"\x05a", b"\x01", b"\x01\xff"]),
        (r#""type":"reference""#, &[b"", &[0; 15]]),
        (r#""type":"person_name""#, &[b"", b"{", b"\xff"]),
        (r#""type":"rating""#, &[b"", &[0; 7]]),
    ];
    for (members, cells) in cases {
        let schema = schema_of(members);
        let attribute = schema.object("o").unwrap().attribute("a").unwrap();
        for cell in *cells {
            let read = attribute.decode(cell);
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{members}: {cell:02x?}");
        }
    }
}

#[test]
fn order_follows_the_value_where_a_type_has_one() {
    let before = |members: &str, a: Value, b: Value| {
        let schema = schema_of(members);
        let (object, cell) = (schema.object("o").unwrap(), |value: &Value| {
            let mut cell = Vec::new();
            let object = schema.object("o").unwrap();
            object.attribute("a").unwrap().encode(object, value, &mut cell).unwrap();
            cell
        });
        object.attribute("a").unwrap().compare(&cell(&a), &cell(&b)).is_lt()
    };
    assert!(before(r#""type":"rating""#, 1.into(), 4.into()));
    assert!(before(r#""type":"autonumber","prefix":"N""#, "N9".into(), "N10".into()));
    assert!(before(r#""type":"currency","currency":"USD""#, "-1".into(), "0.5".into()));
    assert!(before(r#""type":"currency""#, "255 USD".into(), "256 USD".into()));
    assert!(before(r#""type":"currency""#, "256 EUR".into(), "-1 USD".into()));
    assert!(before(r#""type":"status","options":[{"key":"z"},{"key":"a"}]"#, "z".into(), "a".into()));
    assert!(before(r#""type":"country""#, "de".into(), "FR".into()));
}

#[test]
fn keys_are_normal_forms() {
    let key = |members: &str, value: &str| {
        let schema = schema_of(members);
        let object = schema.object("o").unwrap();
        let attribute = object.attribute("a").unwrap();
        let mut key = Vec::new();
        attribute.append_key(object, &value.into(), &mut key).unwrap();
        // The key of the cell is the same.
        let (mut cell, mut of_cell) = (Vec::new(), Vec::new());
        attribute.append_one(&value.into(), &mut cell).unwrap_or_else(|_| panic!("{value}"));
        append_key_bytes(&mut of_cell, attribute.value_type(), &cell);
        assert_eq!(key, of_cell);
        assert_eq!(key[..4], (key.len() as u32 - 4).to_le_bytes());
        String::from_utf8(key.split_off(4)).unwrap()
    };
    assert_eq!(key(r#""type":"email","unique":true"#, "Ada@Example.COM"), "ada@example.com");
    assert_eq!(
        key(r#""type":"domain","unique":true"#, "https://u@WWW.Acme.example:443/x?y#z"),
        "www.acme.example"
    );
    assert_eq!(key(r#""type":"domain","unique":true,"multi":true"#, "BÜCHER.example."), "bücher.example");
    assert_eq!(key(r#""type":"phone","unique":true"#, "+1 (415) 555-0100"), "+14155550100");
    assert_eq!(key(r#""type":"url","unique":true"#, "Acme.example"), "Acme.example", "a path has its case");
}

#[test]
fn special_members_become_attributes() {
    let json = r#"{"objects":[{"key":"o","id":"7","history":true,"open":true,"metadata":true,"external_id":true,
        "name":{"unique":true},"owners":{"max":1},"followers":{"max":10},
        "attributes":[{"key":"a","type":"text","id":"8","history":true,"archived":true}]}]}"#;
    let schema = Schema::from_json(json).unwrap();
    let object = schema.object("o").unwrap();
    let names: Vec<&str> = object.attributes().iter().map(AttributeSchema::key).collect();
    assert_eq!(names, ["name", "external_id", "owners", "followers", "a", "metadata", "$open"]);
    assert!(object.has_history() && object.is_open() && object.find_attribute("$open").is_none());
    assert_eq!((object.given_id(), object.attribute("a").unwrap().given_id()), (Some("7"), Some("8")));
    let attribute = |name: &str| object.attribute(name).unwrap();
    assert!(attribute("name").is_required() && attribute("name").is_unique());
    assert!(attribute("external_id").is_unique() && !attribute("external_id").is_required());
    assert_eq!((attribute("owners").is_multi(), attribute("owners").max_values()), (true, Some(1)));
    assert_eq!(attribute("a").standing(), Status::Archived);
    assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
    let numbered =
        r#"{"objects":[{"key":"o","name":{"autonumber":{"prefix":"INV-","padding":3,"next":5}}}]}"#;
    let schema = Schema::from_json(numbered).unwrap();
    let name = schema.object("o").unwrap().attribute("name").unwrap();
    assert_eq!(name.sequence().unwrap().show(name.sequence().unwrap().value_at(1).unwrap()), "INV-005");
    let both = r#"{"objects":[{"key":"o","name":{"unique":true,"autonumber":{}}}]}"#;
    assert!(Schema::from_json(both).unwrap_err().to_string().contains("exclude each other"));
    let twice = r#"{"objects":[{"key":"o","name":{},"attributes":[{"key":"name","type":"text"}]}]}"#;
    assert!(Schema::from_json(twice).unwrap_err().to_string().contains("attribute key \"name\""));
}

#[test]
fn relations_name_objects_and_each_other() {
    let two = |person: &str, company: &str| {
        Schema::from_json(&format!(
            r#"[{{"key":"person","attributes":[{{"key":"company","type":"reference"{person}}}]}},
                {{"key":"company","attributes":[{{"key":"team","type":"reference","multi":true{company}}}]}}]"#
        ))
    };
    let to_company = r#","refers_to":["company"],"inverse":{"object":"company","attribute":"team"}"#;
    let to_person = r#","refers_to":["person"],"inverse":{"object":"person","attribute":"company"},"on_delete":"cascade""#;
    let schema = two(to_company, to_person).unwrap();
    let team = schema.object("company").unwrap().attribute("team").unwrap();
    assert_eq!(team.inverse(), Some(Inverse { object: ObjectId(0), attribute: AttributeId(0) }));
    assert_eq!((team.refers_to(), team.on_delete()), (&[ObjectId(0)][..], OnDelete::Cascade));
    assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
    let wrong = |person: &str, company: &str| two(person, company).unwrap_err().to_string();
    assert!(wrong(to_company, "").contains("does not name it as its other side"));
    assert!(wrong(r#","refers_to":["nobody"]"#, "").contains("refers_to: there is no object \"nobody\""));
    let no_such = r#","inverse":{"object":"company","attribute":"staff"}"#;
    assert!(wrong(no_such, "").contains("\"company\" has no attribute \"staff\""));
    let loose = r#","inverse":{"object":"company","attribute":"team"}"#;
    assert!(wrong(loose, to_person).contains("refers to the object of the other"));
    assert!(wrong(r#","on_delete":"forget""#, "").contains("none of clear, restrict, cascade"));
    assert!(refused_schema(r#""type":"text","refers_to":["o"]"#).contains("only references have them"));
    assert!(refused_schema(r#""type":"text","on_delete":"restrict""#).contains("only references have it"));
}

#[test]
fn defaults_are_values_or_follow_the_moment() {
    let default = |members: &str, actor: Option<&Actor>| {
        let schema = schema_of(members);
        let attribute = schema.object("o").unwrap().attribute("a").unwrap();
        let mut cell = Vec::new();
        let now = crate::value::Timestamp(1_700_000_000_123_456_789);
        attribute.append_default(now, actor, &mut cell).then(|| attribute.decode(&cell).unwrap().to_string())
    };
    assert_eq!(default(r#""type":"text""#, None), None);
    assert_eq!(default(r#""type":"decimal","decimals":2,"default":1.50"#, None).unwrap(), "1.5");
    assert_eq!(default(r#""type":"boolean","default":false"#, None).unwrap(), "false");
    assert_eq!(default(r#""type":"json","default":{"a":[]}"#, None).unwrap(), r#"{"a":[]}"#);
    assert_eq!(default(r#""type":"date","default":{"$now": true}"#, None).unwrap(), "2023-11-14");
    let actor = Actor::new(ActorKind::ApiToken, "t");
    assert_eq!(default(r#""type":"actor","default":{"$actor":true}"#, Some(&actor)).unwrap(), "api_token:t");
    assert_eq!(default(r#""type":"actor","default":{"$actor":true}"#, None), None);
    let late = r#""type":"date","max":"2000-01-01","default":{"$now":true}"#;
    assert_eq!(default(late, None), None, "a moment outside the limits is no default");
    assert!(refused_schema(r#""type":"text","default":{"$now":true}"#).contains("$now is for dates"));
    assert!(refused_schema(r#""type":"text","default":{"$actor":true}"#).contains("$actor is for actors"));
    assert!(refused_schema(r#""type":"integer","default":"x""#).contains("default: expected a whole number"));
    assert!(refused_schema(r#""type":"rating","default":9"#).contains("above the maximum"));
    let sealed = r#""type":"text","required":true,"read_only":true"#;
    assert!(refused_schema(sealed).contains("nobody could write"));
    schema_of(&format!(r#"{sealed},"default":"x""#));
}
