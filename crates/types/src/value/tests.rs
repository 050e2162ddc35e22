//! Edges of each kind of value, and round trips.

use super::*;
use crate::error::ErrorKind;
use crate::id::RecordId;
use crate::{patch, record};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn hash_of(decimal: Decimal) -> u64 {
    let mut hasher = DefaultHasher::new();
    decimal.hash(&mut hasher);
    hasher.finish()
}

/// A small generator with a fixed seed, so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn mantissa(&mut self) -> i128 {
        let wide = (i128::from(self.next()) << 64) | i128::from(self.next());
        wide >> (self.next() % 127)
    }
}

#[test]
fn decimals_print_the_digits_they_were_given() {
    for text in
        ["0", "1", "-1", "12.50", "-0.05", "0.00", "1000000", "0.00000000000000000000000000000000000001"]
    {
        assert_eq!(decimal(text).to_string(), text);
    }
    assert_eq!(decimal(".5").to_string(), "0.5");
    assert_eq!(decimal("5.").to_string(), "5");
    assert_eq!(decimal("+007.10").to_string(), "7.10");
    assert_eq!(decimal("1.5e3").to_string(), "1500");
    assert_eq!(decimal("15E-1").to_string(), "1.5");
    assert_eq!(decimal("-0").to_string(), "0");
    assert_eq!(decimal("0e999999999999999999999").to_string(), "0");
    assert_eq!(decimal("170141183460469231731687303715884105727").mantissa(), i128::MAX);
    assert_eq!(decimal("-170141183460469231731687303715884105728").mantissa(), i128::MIN);
    assert_eq!(decimal(&format!("1.{}", "0".repeat(5000))), decimal("1"));
    assert_eq!(decimal(&format!("{}1", "0".repeat(5000))), decimal("1"));
}

#[test]
fn what_is_no_decimal_or_does_not_fit_is_refused() {
    for text in
        ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "1 ", " 1", "0x10", "inf", "NaN", "1_000", "١", "--1"]
    {
        let error = text.parse::<Decimal>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("is not a decimal"), "{text}: {error}");
    }
    for text in
        ["170141183460469231731687303715884105728", "1e39", "1e-39", "1e99999999999", "1e-99999999999"]
    {
        let error = text.parse::<Decimal>().unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{text}: {error}");
    }
    assert!(Decimal::new(1, 39).is_none());
}

#[test]
fn rescaling_loses_no_digit_and_says_none_instead() {
    assert_eq!(decimal("1.5").rescale(3).unwrap().mantissa(), 1500);
    assert_eq!(decimal("1.500").rescale(1).unwrap().mantissa(), 15);
    assert!(decimal("1.501").rescale(1).is_none());
    assert!(decimal("1").rescale(39).is_none());
    assert!(Decimal::new(i128::MAX, 0).unwrap().rescale(1).is_none());
    assert!(Decimal::new(i128::MIN, 0).unwrap().rescale(1).is_none());
    assert_eq!(decimal("-12.3400").normalized().to_string(), "-12.34");
    assert_eq!(Decimal::new(i128::MIN, 3).unwrap().normalized(), Decimal::new(i128::MIN, 3).unwrap());
}

#[test]
fn decimals_compare_by_value_at_any_scales() {
    assert_eq!(decimal("12.5"), decimal("12.50"));
    assert_eq!(hash_of(decimal("12.5")), hash_of(decimal("12.50")));
    assert!(decimal("-2") < decimal("-1.5"));
    assert!(decimal("-1") < decimal("0.00"));
    let (huge, tiny) = (Decimal::new(i128::MAX, 0).unwrap(), Decimal::new(i128::MAX, 38).unwrap());
    assert!(tiny < huge);
    let (low, near) = (Decimal::new(i128::MIN, 0).unwrap(), Decimal::new(i128::MIN, 38).unwrap());
    assert!(low < near);
}

#[test]
fn random_decimals_survive_print_and_parse_and_order_as_their_scaled_numbers() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let (a, b) = (numbers.mantissa(), numbers.mantissa());
        let scales = ((numbers.next() % 39) as u8, (numbers.next() % 39) as u8);
        let (x, y) = (Decimal::new(a, scales.0).unwrap(), Decimal::new(b, scales.1).unwrap());
        let again = decimal(&x.to_string());
        assert_eq!((again.mantissa(), again.scale()), (x.mantissa(), x.scale()));
        assert_eq!(x.normalized(), x);
        assert_eq!(hash_of(x.normalized()), hash_of(x));
        assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
        if let (Some(p), Some(q)) = (x.rescale(38), y.rescale(38)) {
            assert_eq!(x.cmp(&y), p.mantissa().cmp(&q.mantissa()));
        }
    }
}

#[test]
fn decimals_meet_doubles_by_their_shortest_digits() {
    assert_eq!(Decimal::from_f64(0.1).unwrap(), decimal("0.1"));
    assert_eq!(Decimal::from_f64(-2.5e10).unwrap(), decimal("-25000000000"));
    assert!(Decimal::from_f64(f64::NAN).is_none());
    assert!(Decimal::from_f64(f64::INFINITY).is_none());
    assert!(Decimal::from_f64(1e300).is_none());
    assert_eq!(decimal("0.1").to_f64(), 0.1);
    assert_eq!(decimal("7.00").to_i64(), Some(7));
    assert_eq!(decimal("7.01").to_i64(), None);
}

#[test]
fn every_day_of_eight_centuries_reads_and_prints_as_jiff_does() {
    let mut day = jiff::civil::date(1600, 1, 1);
    let end = jiff::civil::date(2400, 12, 31);
    let epoch = jiff::civil::date(1970, 1, 1);
    let first = epoch.until(day).unwrap().get_days();
    for number in first.. {
        let text = day.to_string();
        assert_eq!(Date::read(&text), Ok(Date(number)));
        assert_eq!(Date(number).to_string(), text);
        assert_eq!(Date(number).civil(), (day.year().into(), day.month() as u32, day.day() as u32));
        if day == end {
            break;
        }
        day = day.tomorrow().unwrap();
    }
}

#[test]
fn days_at_the_ends_of_the_range_read_and_print() {
    assert_eq!("0000-01-01".parse::<Date>().unwrap(), Date::MIN);
    assert_eq!("9999-12-31".parse::<Date>().unwrap(), Date::MAX);
    assert_eq!(Date::MIN.to_string(), "0000-01-01");
    assert_eq!(Date(Date::MAX.0 + 1).to_string(), "+010000-01-01");
    assert_eq!(Date(Date::MIN.0 - 1).to_string(), "-000001-12-31");
    assert!(!Date(i32::MAX).to_string().is_empty());
    assert!(!Date(i32::MIN).to_string().is_empty());
}

#[test]
fn a_date_that_does_not_exist_is_refused_with_the_reason() {
    let reason = |text: &str| Date::read(text).unwrap_err();
    assert!(reason("2013-02-29").contains("2013-02 has 28 days, not 29"));
    assert!(reason("2013-13-01").contains("there is no month 13"));
    assert!(reason("2013-04-00").contains("not 0"));
    for text in
        ["", "2013-1-1", "20130101", "2013-01-01T00:00:00Z", "2013-01-0é", "+2013-01-01", "2013/01/01"]
    {
        assert!(reason(text).contains("write it as YYYY-MM-DD"), "{text}");
    }
    assert_eq!(Date::read("2000-02-29"), Ok(Date(11_016)));
    assert!(Date::read("1900-02-29").is_err());
}

#[test]
fn timestamps_read_as_jiff_does() {
    let mut numbers = Numbers(42);
    for round in 0..40_000 {
        let nanos = numbers.next() as i64;
        let nanos = if round % 3 == 0 { nanos / 1_000_000_000 * 1_000_000_000 } else { nanos };
        let moment = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
        let text = moment.to_string();
        assert_eq!(Timestamp::read(&text), Ok(Timestamp(nanos)), "{text}");
        assert_eq!(Timestamp(nanos).to_string(), text);
        let offset = jiff::tz::offset((numbers.next() % 24) as i8 * if round % 2 == 0 { 1 } else { -1 });
        let text = moment.display_with_offset(offset).to_string();
        assert_eq!(Timestamp::read(&text), Ok(Timestamp(nanos)), "{text}");
    }
}

#[test]
fn timestamps_print_only_the_digits_they_have() {
    let printed = |text: &str| text.parse::<Timestamp>().unwrap().to_string();
    assert_eq!(printed("2013-01-01T05:15:00Z"), "2013-01-01T05:15:00Z");
    assert_eq!(printed("2013-01-01T05:15:00.120Z"), "2013-01-01T05:15:00.12Z");
    assert_eq!(printed("2013-01-01T05:15:00.000000001+05:30"), "2012-12-31T23:45:00.000000001Z");
    assert_eq!(printed("2013-01-01t05:15:00z"), "2013-01-01T05:15:00Z");
    assert_eq!(printed("2016-12-31T23:59:60Z"), "2016-12-31T23:59:59Z");
    assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
    for end in [i64::MIN, i64::MAX] {
        assert_eq!(Timestamp(end).to_string().parse::<Timestamp>().unwrap(), Timestamp(end));
    }
}

#[test]
fn a_timestamp_outside_its_range_or_without_zone_is_refused_with_the_reason() {
    let reason = |text: &str| Timestamp::read(text).unwrap_err();
    assert!(reason("2262-04-11T23:47:16.854775808Z").contains("outside the range"));
    assert!(reason("1677-09-21T00:12:43.145224191Z").contains("outside the range"));
    assert!(reason("2013-01-01T05:15:00").contains("RFC 3339 with zone"));
    assert!(reason("2013-01-01").contains("RFC 3339 with zone"));
    assert!(reason("2013-01-01T05:15:00-05:00[America/New_York]").contains("offset alone"));
    for text in
        ["", "2013-02-30T00:00:00Z", "2013-01-01T24:00:00Z", "2013-01-01T00:60:00Z", "2013-01-01T05:15:00.Z"]
    {
        assert!(Timestamp::read(text).is_err(), "{text}");
    }
}

#[test]
fn json_is_kept_byte_for_byte_but_for_white_space_between_tokens() {
    let text =
        "{ \"b\" : [ 1 ,\t2.50, 123456789012345678901234567890 ],\r\n \"a\":\"x \\\" y\\\\\" , \"b\": 1e2 }";
    let json = Json::parse(text).unwrap();
    assert_eq!(json.as_str(), r#"{"b":[1,2.50,123456789012345678901234567890],"a":"x \" y\\","b":1e2}"#);
    assert_eq!(Json::parse(json.as_str()).unwrap(), json);
    assert_eq!(Json::parse(" null ").unwrap().as_str(), "null");
    assert_eq!(Json::from_value(&json.to_value()).to_value(), json.to_value());
}

#[test]
fn text_that_serde_json_cannot_make_a_tree_of_is_no_json() {
    for text in ["", "{", "[1,]", "{\"a\":1,}", "nul", "1 2", "1e999", "\"\\ud800\"", "01", "'a'", "NaN"] {
        assert_eq!(Json::parse(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(&nested(127)).is_ok());
    assert!(Json::parse(&nested(128)).is_err());
    assert!(Json::parse(&"[".repeat(1_000_000)).is_err());
    let tree = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    assert!(Json::from_value(&tree).is_too_deep());
    assert!(!Json::parse(&nested(127)).unwrap().is_too_deep());
    assert!(!Json::parse(&format!("[\"{}\"]", "[".repeat(500))).unwrap().is_too_deep());
}

#[test]
fn values_come_from_json_and_go_back() {
    let json = serde_json::json!([null, true, -5, 2.5, "x", [1], {"a": 1}, 18_446_744_073_709_551_615u64]);
    let values: Vec<Value> = json.as_array().unwrap().iter().cloned().map(Value::from_json).collect();
    let kinds: Vec<&str> = values.iter().map(Value::kind_name).collect();
    assert_eq!(kinds, ["null", "boolean", "integer", "number", "text", "json", "json", "decimal"]);
    for (value, member) in values.iter().zip(json.as_array().unwrap()).take(7) {
        assert_eq!(value.to_json(), *member);
        let mut text = Vec::new();
        write_json(&mut text, value);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), *member);
    }
    assert_eq!(values[7].to_json(), "18446744073709551615");
    assert_eq!(Value::Number(f64::NAN).to_json(), serde_json::Value::Null);
}

#[test]
fn types_have_names_and_slots() {
    for value_type in ValueType::ALL {
        assert_eq!(ValueType::from_name(value_type.name()), Some(value_type));
    }
    assert_eq!(ValueType::from_name("telephone"), None);
    let widths = ValueType::ALL.map(|value_type| value_type.form().width());
    assert_eq!(widths[..11], [16, 16, 8, 8, 16, 0, 4, 8, 16, 4, 16]);
    // regexp_text, rating, email, url, domain, phone, country, address, location, currency, person_name,
    assert_eq!(widths[11..22], [16, 8, 16, 16, 16, 16, 16, 16, 16, 16, 16]);
    // status, radio, text_list, file, reference, actor, autonumber
    assert_eq!(widths[22..], [4, 16, 16, 16, 16, 16, 8]);
}

#[test]
fn key_bytes_carry_their_length_and_one_zero() {
    let key = |value_type, cell: &[u8]| {
        let mut out = Vec::new();
        append_key_bytes(&mut out, value_type, cell);
        out
    };
    assert_eq!(key(ValueType::Text, b"ab"), [2, 0, 0, 0, b'a', b'b']);
    assert_eq!(key(ValueType::Text, b""), [0; 4]);
    assert_eq!(
        key(ValueType::Number, &(-0.0f64).to_le_bytes()),
        key(ValueType::Number, &0.0f64.to_le_bytes())
    );
    // An integer may have the bytes of -0.0 and is another number.
    assert_ne!(key(ValueType::Integer, &i64::MIN.to_le_bytes()), key(ValueType::Integer, &[0; 8]));
    // Without lengths these two pairs would be one key.
    let pair = |a: &[u8], b: &[u8]| [key(ValueType::Text, a), key(ValueType::Text, b)].concat();
    assert_ne!(pair(b"ab", b"c"), pair(b"a", b"bc"));
}

#[test]
fn cells_are_ordered_by_value_and_any_bytes_have_an_order() {
    let numbers = |value_type, a: [u8; 8], b: [u8; 8]| compare_cells(value_type, &a, &b);
    assert_eq!(numbers(ValueType::Integer, (-1i64).to_le_bytes(), 1i64.to_le_bytes()), Ordering::Less);
    assert_eq!(numbers(ValueType::Number, (-1.5f64).to_le_bytes(), 1.0f64.to_le_bytes()), Ordering::Less);
    assert_eq!(numbers(ValueType::Number, (-0.0f64).to_le_bytes(), 0.0f64.to_le_bytes()), Ordering::Equal);
    assert_eq!(numbers(ValueType::Number, f64::NAN.to_le_bytes(), 0.0f64.to_le_bytes()), Ordering::Greater);
    assert_eq!(compare_cells(ValueType::Date, &(-1i32).to_le_bytes(), &0i32.to_le_bytes()), Ordering::Less);
    assert_eq!(
        compare_cells(ValueType::Select, &256u32.to_le_bytes(), &1u32.to_le_bytes()),
        Ordering::Greater
    );
    let (low, high) = ((-1i128).to_le_bytes(), 1i128.to_le_bytes());
    assert_eq!(compare_cells(ValueType::Decimal, &low, &high), Ordering::Less);
    assert_eq!(compare_cells(ValueType::Text, b"Z", b"a"), Ordering::Less);
    assert_eq!(compare_cells(ValueType::Boolean, &[0], &[1]), Ordering::Less);
    for value_type in ValueType::ALL {
        assert_eq!(compare_cells(value_type, &[1, 2, 3], &[1, 2]), Ordering::Greater);
    }
}

#[test]
fn the_macros_take_what_a_caller_writes() {
    let name = String::from("seats");
    let values = record! { "tailnum" => "N14228", name => 149, "speed" => None::<i64>, "mach" => 0.8, };
    assert_eq!(values[1], ("seats".into(), Value::Integer(149)));
    assert_eq!(values[2].1, Value::Null);
    assert_eq!(record! {}, Values::new());
    let changes = patch! { "status" => "departed", "delay" => -2 };
    assert_eq!(changes.set.len(), 2);
    assert!(patch! {}.set.is_empty());
}

fn sample() -> Record {
    let values: Vec<(Arc<str>, Value)> = vec![
        ("name".into(), "N14228".into()),
        ("seats".into(), 149.into()),
        ("built".into(), Date(15_706).into()),
        ("seen".into(), Timestamp(1_500_000_000_000_000_000).into()),
        ("price".into(), decimal("12.5").into()),
        ("owner".into(), uuid::Uuid::from_u128(7).into()),
        ("tags".into(), Json::parse(r#"{"a":[1,2]}"#).unwrap().into()),
        ("active".into(), true.into()),
        ("status".into(), "active".into()),
    ];
    Record::new(RecordId(uuid::Uuid::nil()), 3, 9, Timestamp(1), Timestamp(2), values)
}

#[test]
fn a_record_gives_its_values_by_name_in_order_and_as_json() {
    let record = sample();
    assert_eq!(record.get("seats"), Some(&Value::Integer(149)));
    assert_eq!(record.get("speed"), None);
    assert_eq!(record.iter().len(), 9);
    assert_eq!(record.iter().next().unwrap().0, "name");
    let json = serde_json::Value::Object(record.to_json());
    assert_eq!(json["built"], "2013-01-01");
    assert_eq!(json["seen"], "2017-07-14T02:40:00Z");
    assert_eq!(json["price"], "12.5");
    assert_eq!(json["tags"]["a"][1], 2);
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
enum Status {
    Active,
    Gone,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Seats(u16);

#[derive(Deserialize, PartialEq, Debug)]
struct Tags {
    a: (i32, i32),
}

#[test]
fn a_record_becomes_a_type_of_the_callers() {
    #[derive(Deserialize)]
    struct Typed {
        name: String,
        seats: Seats,
        built: Date,
        seen: Timestamp,
        price: Decimal,
        owner: String,
        tags: Tags,
        active: Option<bool>,
        speed: Option<i64>,
        status: Status,
    }
    let typed: Typed = sample().deserialize().unwrap();
    assert_eq!((typed.name.as_str(), typed.seats, typed.built), ("N14228", Seats(149), Date(15_706)));
    assert_eq!((typed.seen.0, typed.price), (1_500_000_000_000_000_000, decimal("12.5")));
    assert_eq!(typed.owner, "00000000-0000-0000-0000-000000000007");
    assert_eq!((typed.tags, typed.active, typed.speed), (Tags { a: (1, 2) }, Some(true), None));
    assert_eq!(typed.status, Status::Active);
}

#[test]
fn dates_and_timestamps_become_numbers_where_the_type_asks_for_one() {
    #[derive(Deserialize)]
    struct Numeric {
        built: i32,
        seen: i64,
        price: f64,
        tags: serde_json::Value,
    }
    let numeric: Numeric = sample().deserialize().unwrap();
    assert_eq!((numeric.built, numeric.seen, numeric.price), (15_706, 1_500_000_000_000_000_000, 12.5));
    assert_eq!(numeric.tags["a"][0], 1);
}

#[test]
fn a_record_that_does_not_fit_a_type_names_itself_and_the_reason() {
    #[derive(Deserialize, Debug)]
    struct Strict {
        #[expect(dead_code, reason = "the test asks whether it can be made")]
        speed: i64,
    }
    let error = sample().deserialize::<Strict>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert!(error.to_string().contains("missing field `speed`"), "{error}");
    assert!(error.to_string().contains("00000000-0000"), "{error}");
}

#[test]
fn a_struct_becomes_values() {
    #[derive(Serialize)]
    struct Plane {
        tailnum: &'static str,
        seats: u64,
        speed: Option<i64>,
        built: Date,
        tags: Vec<i32>,
        price: Decimal,
    }
    let plane = Plane {
        tailnum: "N1",
        seats: 149,
        speed: None,
        built: Date(0),
        tags: vec![1, 2],
        price: decimal("1.10"),
    };
    let values = values_from(&plane).unwrap();
    let get = |name: &str| values.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(get("seats"), Value::Integer(149));
    assert_eq!(get("speed"), Value::Null);
    assert_eq!(get("built"), "1970-01-01".into());
    assert_eq!(get("price"), "1.10".into());
    assert_eq!(get("tags"), Json::parse("[1,2]").unwrap().into());
    assert_eq!(get("tailnum"), "N1".into());
    assert_eq!(values_from(&5).unwrap_err().kind(), ErrorKind::InvalidValue);
}

#[test]
fn long_text_is_cut_in_messages_at_a_character() {
    assert_eq!(excerpt("short"), "\"short\"");
    let long = "é".repeat(500);
    assert!(excerpt(&long).ends_with("(1000 bytes)"));
    assert!(excerpt(&long).chars().count() < 90);
}
