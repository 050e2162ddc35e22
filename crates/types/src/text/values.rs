//! Names with values in a mutation line, typed by the schema as they are read.
//!
//! A value that does not fit its attribute is handed on as JSON means it; the write refuses it with
//! object and attribute in the message, and there is one place that judges values.

use crate::schema::{AttributeSchema, ObjectSchema};
use crate::value::{Date, Decimal, Json, Name, Timestamp, Value, ValueType, Values};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use uuid::Uuid;

/// Reads `{"name": value, …}` of an object, which may be unknown.
#[derive(Clone, Copy)]
pub(super) struct ValuesSeed<'s>(pub(super) Option<&'s ObjectSchema>);

/// The values in `{"name": value, …}`, typed by the object.
///
/// # Errors
/// `InvalidInput` when it is no such text, or an attribute stands twice.
pub fn read_values(object: &ObjectSchema, json: &str) -> crate::Result<Values> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let values = ValuesSeed(Some(object)).deserialize(&mut deserializer);
    values.map_err(|error| crate::Error::invalid_input(error.to_string()))
}

/// The value of a JSON text, as an attribute has it, which may be unknown.
pub(super) fn read_value(attribute: Option<&AttributeSchema>, raw: &RawValue) -> serde_json::Result<Value> {
    ValueSeed(attribute).deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
}

/// One value of an attribute that may have several.
pub(super) fn read_one(attribute: &AttributeSchema, raw: &RawValue) -> serde_json::Result<Value> {
    match raw.get() {
        "null" => Ok(Value::Null),
        _ => one(attribute.value_type(), raw),
    }
}

impl<'de> DeserializeSeed<'de> for ValuesSeed<'_> {
    type Value = Values;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Values, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_> {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        // Most records have fewer than sixteen attributes, and growing step by step costs as much as reading.
        let mut values = Values::with_capacity(self.0.map_or(4, |object| object.attributes().len().min(16)));
        let mut seen = Seen::default();
        while let Some((name, attribute)) = map.next_key_seed(NameSeed(self.0))? {
            if seen.is_repeated(attribute) {
                return Err(twice(&name));
            }
            values.push((name, map.next_value_seed(ValueSeed(attribute))?));
        }
        match seen.others.then(|| repeated(&values)).flatten() {
            Some(name) => Err(twice(name)),
            None => Ok(values),
        }
    }
}

/// Which attributes stood already: a bit each for the first 128, the rest is compared at the end.
#[derive(Default)]
struct Seen {
    bits: u128,
    others: bool,
}

impl Seen {
    #[inline]
    fn is_repeated(&mut self, attribute: Option<&AttributeSchema>) -> bool {
        match attribute.map(|attribute| attribute.id().0) {
            Some(id) if id < 128 => {
                let bit = 1u128 << id;
                let before = self.bits & bit != 0;
                self.bits |= bit;
                before
            }
            _ => {
                self.others = true;
                false
            }
        }
    }
}

fn repeated(values: &Values) -> Option<&str> {
    let mut names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cold]
fn twice<E: Error>(name: &str) -> E {
    E::custom(format_args!("{} stands twice", crate::value::excerpt(name)))
}

/// Reads a name and finds its attribute before the text is copied.
struct NameSeed<'s>(Option<&'s ObjectSchema>);

impl<'de, 's> DeserializeSeed<'de> for NameSeed<'s> {
    type Value = (Name, Option<&'s AttributeSchema>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'s> Visitor<'_> for NameSeed<'s> {
    type Value = (Name, Option<&'s AttributeSchema>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let attribute = self.0.and_then(|object| object.find_attribute(name));
        Ok((attribute.map_or_else(|| Name::from(name), |attribute| Name::from(attribute.name())), attribute))
    }
}

/// Reads a value for an attribute, which may be unknown.
struct ValueSeed<'s>(Option<&'s AttributeSchema>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(attribute) = self.0 else {
            return <&RawValue>::deserialize(deserializer).and_then(untyped);
        };
        if attribute.is_multi() {
            return <&RawValue>::deserialize(deserializer).and_then(|raw| several(attribute, raw));
        }
        match attribute.value_type() {
            // Digits must survive, and a double would lose some; and JSON is kept as it is.
            ValueType::Decimal => <&RawValue>::deserialize(deserializer).and_then(decimal),
            ValueType::Json => <&RawValue>::deserialize(deserializer).and_then(json),
            ValueType::Currency
            | ValueType::Actor
            | ValueType::Address
            | ValueType::Location
            | ValueType::PersonName
            | ValueType::TextList
            | ValueType::File => {
                <&RawValue>::deserialize(deserializer).and_then(|raw| one(attribute.value_type(), raw))
            }
            value_type => deserializer.deserialize_any(TypedVisitor(value_type)),
        }
    }
}

fn decimal<E: Error>(raw: &RawValue) -> Result<Value, E> {
    match Decimal::read(raw.get()) {
        Ok(decimal) => Ok(Value::Decimal(decimal)),
        Err(_) if is_number(raw) => Ok(Value::Text(raw.get().to_string())),
        Err(_) => match untyped(raw)? {
            Value::Text(text) => Ok(Decimal::read(&text).map_or(Value::Text(text), Value::Decimal)),
            other => Ok(other),
        },
    }
}

/// The values of an array; anything else is one value, which the write takes for a list of one.
fn several<E: Error>(attribute: &AttributeSchema, raw: &RawValue) -> Result<Value, E> {
    if !raw.get().starts_with('[') {
        return one(attribute.value_type(), raw);
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(E::custom)?;
    let values: Result<Vec<Value>, E> =
        items.into_iter().map(|item| one(attribute.value_type(), item)).collect();
    values.map(Value::List)
}

/// One value of a type.
fn one<E: Error>(value_type: ValueType, raw: &RawValue) -> Result<Value, E> {
    match value_type {
        ValueType::Decimal => decimal(raw),
        ValueType::Json => json(raw),
        ValueType::Currency if is_number(raw) => decimal(raw),
        _ if raw.get().starts_with(['[', '{']) => json(raw).map(|value| from_object(value_type, value)),
        _ => serde_json::Deserializer::from_str(raw.get())
            .deserialize_any(TypedVisitor(value_type))
            .map_err(E::custom),
    }
}

/// The value that an object stands for; as it is where it does not, and the write says why.
fn from_object(value_type: ValueType, value: Value) -> Value {
    let Value::Json(json) = &value else { return value };
    match value_type {
        ValueType::Actor => serde_json::from_str(json.as_str()).map_or(value, Value::Actor),
        ValueType::Currency => Value::currency_of_json(json).unwrap_or(value),
        _ => value,
    }
}

fn is_number(raw: &RawValue) -> bool {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn json<E: Error>(raw: &RawValue) -> Result<Value, E> {
    if raw.get() == "null" {
        return Ok(Value::Null);
    }
    Json::parse(raw.get()).map(Value::Json).map_err(E::custom)
}

fn untyped<E: Error>(raw: &RawValue) -> Result<Value, E> {
    if raw.get().starts_with(['[', '{']) {
        return json(raw);
    }
    serde_json::from_str(raw.get()).map(Value::from_json).map_err(E::custom)
}

/// Reads the JSON of an attribute with this type.
struct TypedVisitor(ValueType);

impl<'de> Visitor<'de> for TypedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {}", self.0)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    #[inline]
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    #[inline]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Decimal(Decimal::from(value)), Value::Integer))
    }

    #[inline]
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let typed = match self.0 {
            ValueType::Date => Date::read(text).ok().map(Value::Date),
            ValueType::Timestamp => Timestamp::read(text).ok().map(Value::Timestamp),
            ValueType::Uuid => Uuid::try_parse(text).ok().map(Value::Uuid),
            ValueType::Reference => text.parse().ok().map(Value::Reference),
            _ => None,
        };
        Ok(typed.unwrap_or_else(|| Value::Text(text.to_string())))
    }

    // Arrays and objects fit no other type; the write says so.
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value, A::Error> {
        serde_json::Value::deserialize(SeqAccessDeserializer::new(seq)).map(Value::from_json)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        serde_json::Value::deserialize(MapAccessDeserializer::new(map)).map(Value::from_json)
    }
}
