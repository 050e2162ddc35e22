//! A record's values as a serde data format, for [`Record::deserialize`](super::Record::deserialize).

use crate::value::{CurrencyCode, Decimal, Value};
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use std::sync::Arc;

/// Makes a `T` of names and values; the reason when they do not fit.
pub fn from_values<T: DeserializeOwned>(values: &[(Arc<str>, Value)]) -> Result<T, Error> {
    T::deserialize(MapDeserializer::new(
        values.iter().map(|(name, value)| (&**name, ValueDeserializer(value))),
    ))
}

/// One value. Without a wish from the type asked for, dates, timestamps, decimals and UUIDs are text.
struct ValueDeserializer<'a>(&'a Value);

impl<'de> IntoDeserializer<'de, Error> for ValueDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A member of an amount of money: the amount as text, or as a number where the type asks for one.
enum MoneyPart {
    Amount(Decimal),
    Code(CurrencyCode),
}

impl IntoDeserializer<'_, Error> for MoneyPart {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for MoneyPart {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            MoneyPart::Amount(amount) => visitor.visit_string(amount.to_string()),
            MoneyPart::Code(code) => visitor.visit_string(code.to_string()),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            MoneyPart::Amount(amount) => visitor.visit_f64(amount.to_f64()),
            MoneyPart::Code(code) => visitor.visit_string(code.to_string()),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 option newtype_struct enum
        bool char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl ValueDeserializer<'_> {
    /// The number behind a value that shows as text.
    fn as_integer(&self) -> Option<i64> {
        match self.0 {
            Value::Date(date) => Some(i64::from(date.0)),
            Value::Timestamp(timestamp) => Some(timestamp.0),
            Value::Decimal(decimal) => decimal.to_i64(),
            _ => None,
        }
    }
}

macro_rules! as_integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.as_integer() {
                Some(number) => visitor.visit_i64(number),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

macro_rules! as_floats {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Decimal(decimal) => visitor.visit_f64(decimal.to_f64()),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Number(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::Json(json) => {
                let mut source = serde_json::Deserializer::from_str(json.as_str());
                source.deserialize_any(visitor).map_err(serde::de::Error::custom)
            }
            Value::List(values) => {
                visitor.visit_seq(SeqDeserializer::new(values.iter().map(ValueDeserializer)))
            }
            Value::Actor(actor) => {
                let members = [("kind", actor.kind.name()), ("id", actor.id.as_str())];
                visitor.visit_map(MapDeserializer::new(members.into_iter()))
            }
            Value::Currency { amount, code } => {
                let members = [("amount", MoneyPart::Amount(*amount)), ("code", MoneyPart::Code(*code))];
                visitor.visit_map(MapDeserializer::new(members.into_iter()))
            }
            other => visitor.visit_string(other.to_string()),
        }
    }

    as_integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128);
    as_integers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128);
    as_floats!(deserialize_f32 deserialize_f64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Text(option) => visitor.visit_enum(option.as_str().into_deserializer()),
            Value::Json(json) => {
                let mut source = serde_json::Deserializer::from_str(json.as_str());
                source.deserialize_enum(name, variants, visitor).map_err(serde::de::Error::custom)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
