//! Which way an attribute's values take to cells and back. Worked out when a schema is made or read, so
//! that writing a value of one of the plain types asks one question.

use super::AttributeSchema;
use crate::value::ValueType;
use regex_lite::Regex;

/// The way of an attribute's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Codec {
    /// Text without a rule.
    Text,
    Integer,
    Number,
    Decimal,
    Boolean,
    Date,
    Timestamp,
    Uuid,
    /// One of the options.
    Choice,
    Json,
    /// All others, out of line: several values, and the types with rules of their own.
    #[default]
    Other,
}

/// A compiled pattern. It follows from its text, so two are always equal to a comparison of schemas.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern(Option<Regex>);

impl PartialEq for Pattern {
    fn eq(&self, _: &Pattern) -> bool {
        true
    }
}

impl Pattern {
    /// Compiles a pattern; the reason when it is none.
    pub(super) fn compile(text: &str) -> Result<Pattern, String> {
        // The limit bounds what a pattern from a file may cost.
        let regex = regex_lite::RegexBuilder::new(text).size_limit(1 << 20).build();
        regex.map(|regex| Pattern(Some(regex))).map_err(|error| format!("pattern: {error}"))
    }

    /// Whether the text matches; everything does without a pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl Codec {
    pub(super) fn of(attribute: &AttributeSchema) -> Codec {
        match attribute.rules.multi || attribute.rules.pattern.is_some() {
            true => Codec::Other,
            false => Codec::of_type(attribute.value_type),
        }
    }

    /// The way of one value of a type that has no further rule.
    pub(super) fn of_type(value_type: ValueType) -> Codec {
        use ValueType as T;
        match value_type {
            T::Text | T::LongText | T::RegexpText => Codec::Text,
            T::Integer => Codec::Integer,
            T::Number => Codec::Number,
            T::Decimal => Codec::Decimal,
            T::Boolean => Codec::Boolean,
            T::Date => Codec::Date,
            T::Timestamp => Codec::Timestamp,
            T::Uuid => Codec::Uuid,
            T::Select | T::Status => Codec::Choice,
            T::Json => Codec::Json,
            _ => Codec::Other,
        }
    }
}
