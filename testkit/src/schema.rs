//! Schemas as the model knows them, and a generator of them.

use crate::defaults::{self, DefaultDef};
use crate::links::Refers;
use crate::numbers::Sequence;
use crate::samples;
use std::fmt::Write;
use vellum::{Name, Value};
use vellum_sim::Rng;

/// What an attribute holds: types whose values come back as they were given, or in a form that
/// is easy to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    Text,
    LongText,
    Integer,
    Number,
    Decimal,
    Boolean,
    Date,
    Timestamp,
    Uuid,
    Select,
    Json,
    Rating,
    Email,
    Phone,
    Country,
    /// Several options in the order of the options: a set of bits.
    Options,
    /// Several options in the order given.
    OptionList,
    /// Several texts.
    Texts,
    /// Several e-mail addresses.
    Emails,
    RegexpText,
    Url,
    Domain,
    Status,
    Radio,
    Address,
    Location,
    Currency,
    PersonName,
    TextList,
    File,
    Actor,
    /// A record; `links` makes attributes of these.
    Reference,
    /// Several records.
    References,
    /// A number that the engine gives; `numbers` makes attributes of these.
    Autonumber,
    /// What an open object keeps of members that it does not know; see `open`.
    Open,
}

impl Type {
    /// All whose values stand by themselves.
    pub const ALL: [Type; 31] = [
        Type::Text,
        Type::LongText,
        Type::Integer,
        Type::Number,
        Type::Decimal,
        Type::Boolean,
        Type::Date,
        Type::Timestamp,
        Type::Uuid,
        Type::Select,
        Type::Json,
        Type::Rating,
        Type::Email,
        Type::Phone,
        Type::Country,
        Type::Options,
        Type::OptionList,
        Type::Texts,
        Type::Emails,
        Type::RegexpText,
        Type::Url,
        Type::Domain,
        Type::Status,
        Type::Radio,
        Type::Address,
        Type::Location,
        Type::Currency,
        Type::PersonName,
        Type::TextList,
        Type::File,
        Type::Actor,
    ];
    const KEYS: [Type; 10] = [
        Type::Text,
        Type::Integer,
        Type::Number,
        Type::Decimal,
        Type::Date,
        Type::Timestamp,
        Type::Uuid,
        Type::Select,
        Type::Email,
        Type::Phone,
    ];

    /// Whether an attribute has several values.
    #[must_use]
    pub fn is_multi(self) -> bool {
        matches!(self, Type::Options | Type::OptionList | Type::Texts | Type::Emails | Type::References)
    }

    /// Whether values are records.
    #[must_use]
    pub fn is_reference(self) -> bool {
        matches!(self, Type::Reference | Type::References)
    }

    /// Whether values of it may be unique.
    pub(crate) fn may_be_unique(self) -> bool {
        use Type as T;
        let objects =
            matches!(self, T::Address | T::Location | T::Currency | T::PersonName | T::TextList | T::File);
        !objects && !matches!(self, T::LongText | T::Json | T::Boolean | T::Options | T::OptionList)
    }

    /// Whether the model knows some of its values and no rule for them; see `samples`.
    #[must_use]
    pub fn has_samples(self) -> bool {
        use Type as T;
        let texts = matches!(self, T::RegexpText | T::Url | T::Domain | T::Status | T::Radio);
        texts
            || matches!(
                self,
                T::Address | T::Location | T::Currency | T::PersonName | T::TextList | T::File | T::Actor
            )
    }

    /// Whether values of it may have limits.
    pub(crate) fn has_limits(self) -> bool {
        use Type as T;
        matches!(self, T::Integer | T::Number | T::Decimal | T::Rating | T::Date | T::Timestamp)
    }

    pub(crate) fn has_options(self) -> bool {
        matches!(self, Type::Select | Type::Options | Type::OptionList)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Text | Type::Texts => "text",
            Type::LongText => "long_text",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Decimal => "decimal",
            Type::Boolean => "boolean",
            Type::Date => "date",
            Type::Timestamp => "timestamp",
            Type::Uuid => "uuid",
            Type::Select | Type::Options | Type::OptionList => "select",
            Type::Json | Type::Open => "json",
            Type::Rating => "rating",
            Type::Email | Type::Emails => "email",
            Type::Phone => "phone",
            Type::Country => "country",
            Type::Reference | Type::References => "reference",
            Type::Autonumber => "autonumber",
            Type::RegexpText => "regexp_text",
            Type::Url => "url",
            Type::Domain => "domain",
            Type::Status => "status",
            Type::Radio => "radio",
            Type::Address => "address",
            Type::Location => "location",
            Type::Currency => "currency",
            Type::PersonName => "person_name",
            Type::TextList => "text_list",
            Type::File => "file",
            Type::Actor => "actor",
        }
    }
}

/// Whether something of the schema is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "docs/schema-changes.md says what they mean")]
pub enum Status {
    Active,
    Archived,
    Deleted,
}

/// An option of a select. One that was deleted keeps its place and gives up its name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OptionDef {
    pub key: String,
    pub standing: Status,
}

/// One attribute.
#[derive(Clone, Debug)]
pub struct AttributeDef {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub of: Type,
    /// Whether each record must have a value.
    pub required: bool,
    /// Whether no two records may have the same value.
    pub unique: bool,
    /// Scale of a decimal.
    pub decimals: u8,
    /// Whether a timestamp keeps microseconds.
    pub micros: bool,
    /// Options of a select, deleted ones too.
    pub options: Vec<OptionDef>,
    /// Most values of a list.
    pub max_values: Option<usize>,
    /// What a reference may name.
    pub refers: Refers,
    /// How an autonumber counts.
    pub sequence: Sequence,
    /// Limits of numbers, days and moments.
    pub min: Option<Value>,
    #[expect(missing_docs, reason = "see `min`")]
    pub max: Option<Value>,
    /// What a new record gets of which nothing is said.
    pub default: Option<DefaultDef>,
    /// Whether its superseded values are kept.
    pub history: bool,
    /// Whether it is in use; a deleted one keeps its place and gives up its name.
    pub standing: Status,
    /// Whether a member of the object stands for it, and not one of its attributes.
    pub is_member: bool,
}

/// One object.
#[derive(Clone, Debug)]
pub struct ObjectDef {
    /// Its name.
    pub name: Name,
    /// Its attributes.
    pub attributes: Vec<AttributeDef>,
    /// Positions of the primary key's attributes; none without a primary key.
    pub primary_key: Vec<usize>,
    /// Whether superseded values of all its attributes are kept.
    pub history: bool,
    /// Whether it kept any history before that was switched off: births and deaths are noted still.
    pub had_history: bool,
    /// Most bytes of a record.
    pub max_record_bytes: Option<usize>,
}

impl AttributeDef {
    /// An optional attribute.
    #[must_use]
    pub fn new(name: impl Into<Name>, of: Type) -> AttributeDef {
        let option = |n| OptionDef { key: format!("option{n}"), standing: Status::Active };
        let options = if of.has_options() { (0..40).map(option).collect() } else { Vec::new() };
        let limit = |n| (of == Type::Rating).then_some(Value::Integer(n));
        let decimals = if of == Type::Decimal { 2 } else { 0 };
        AttributeDef {
            name: name.into(),
            of,
            required: false,
            unique: false,
            decimals,
            micros: false,
            options,
            max_values: None,
            refers: Refers::default(),
            sequence: Sequence::default(),
            min: limit(0),
            max: limit(5),
            default: None,
            history: false,
            standing: Status::Active,
            is_member: false,
        }
    }

    /// The place of the option that has this key now.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<usize> {
        self.options.iter().position(|option| option.standing != Status::Deleted && option.key == key)
    }

    /// Keys of the options that may be written.
    #[must_use]
    pub fn active_options(&self) -> Vec<&str> {
        let active = self.options.iter().filter(|option| option.standing == Status::Active);
        active.map(|option| option.key.as_str()).collect()
    }

    /// Whether it is the JSON that the member `metadata` of an object stands for.
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        self.is_member && self.of == Type::Json
    }

    /// Whether its values have limits.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }

    /// Whether callers see the attribute.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        !self.is_deleted() && self.of != Type::Open
    }

    /// Whether the attribute was deleted: nobody sees it.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.standing == Status::Deleted
    }

    /// As the neutral form has it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = format!(r#"{{"key":"{}","type":"{}""#, self.name, self.of.name());
        for (name, on) in [("required", self.required), ("unique", self.unique), ("history", self.history)] {
            if on {
                let _ = write!(out, r#","{name}":true"#);
            }
        }
        if self.of == Type::Decimal {
            let _ = write!(out, r#","decimals":{}"#, self.decimals);
        }
        if self.micros {
            out.push_str(r#","unit":"us""#);
        }
        if self.of.is_multi() {
            out.push_str(r#","multi":true"#);
        }
        if self.of == Type::Options {
            out.push_str(r#","ordered":false"#);
        }
        if let Some(max) = self.max_values {
            let _ = write!(out, r#","max_values":{max}"#);
        }
        if !self.options.is_empty() {
            let options: Vec<String> =
                self.options.iter().map(|option| format!(r#"{{"key":"{}"}}"#, option.key)).collect();
            let _ = write!(out, r#","options":[{}]"#, options.join(","));
        }
        for (name, limit) in [("min", &self.min), ("max", &self.max)] {
            if let Some(limit) = limit {
                let _ = write!(out, r#","{name}":{}"#, limit.to_json());
            }
        }
        out += &self.default.as_ref().map_or(String::new(), DefaultDef::to_json);
        out + samples::members(self.of) + &self.refers.json + &self.sequence.to_json(self.of) + "}"
    }
}

impl ObjectDef {
    /// Its unique keys as positions: the primary key first, then unique attributes.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<usize>> {
        let mut keys = Vec::new();
        if !self.primary_key.is_empty() {
            keys.push(self.primary_key.clone());
        }
        let is_key = |at: &usize| {
            let attribute = &self.attributes[*at];
            attribute.unique && !attribute.is_deleted() && self.primary_key != [*at]
        };
        let unique = (0..self.attributes.len()).filter(is_key);
        keys.extend(unique.map(|at| vec![at]));
        keys
    }

    /// Whether superseded values of an attribute are kept.
    #[must_use]
    pub fn keeps(&self, at: usize) -> bool {
        self.history || self.attributes[at].history
    }

    /// Whether it keeps any history.
    #[must_use]
    pub fn keeps_history(&self) -> bool {
        let is_kept = self.history || self.attributes.iter().any(|attribute| attribute.history);
        is_kept || self.had_history
    }

    /// Whether each record must have a value.
    #[must_use]
    pub fn is_required(&self, at: usize) -> bool {
        self.attributes[at].required || self.primary_key.contains(&at)
    }

    /// The place of what an open object keeps of members that it does not know.
    #[must_use]
    pub fn open(&self) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.of == Type::Open)
    }

    /// The attributes that callers see.
    #[must_use]
    pub fn present(&self) -> Vec<&AttributeDef> {
        self.attributes.iter().filter(|attribute| attribute.is_shown()).collect()
    }

    /// The position of an attribute.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.is_shown() && attribute.name == name)
    }

    /// As the neutral form has it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let listed = self.attributes.iter().filter(|attribute| !attribute.is_member);
        let attributes: Vec<String> = listed.map(AttributeDef::to_json).collect();
        let key: Vec<String> =
            self.primary_key.iter().map(|at| format!("{:?}", self.attributes[*at].name)).collect();
        let primary =
            if key.is_empty() { String::new() } else { format!(r#""primary_key":[{}],"#, key.join(",")) };
        let history = if self.history { r#""history":true,"# } else { "" };
        let open = if self.open().is_some() { r#""open":true,"# } else { "" };
        let has_metadata = self.attributes.iter().any(AttributeDef::is_metadata);
        let metadata = if has_metadata { r#""metadata":true,"# } else { "" };
        let max = self.max_record_bytes.map_or(String::new(), |max| format!(r#""max_record_bytes":{max},"#));
        let (name, attributes) = (&self.name, attributes.join(","));
        format!(r#"{{"key":"{name}",{history}{max}{metadata}{open}{primary}"attributes":[{attributes}]}}"#)
    }
}

/// A whole schema in the neutral form.
#[must_use]
pub fn to_json(objects: &[ObjectDef]) -> String {
    let objects: Vec<String> = objects.iter().map(ObjectDef::to_json).collect();
    format!(r#"{{"objects":[{}]}}"#, objects.join(","))
}

/// An optional attribute of any type.
pub fn plain(rng: &mut Rng, name: Name) -> AttributeDef {
    let of = *rng.pick(&Type::ALL);
    of_type(rng, name, of)
}

fn of_type(rng: &mut Rng, name: impl Into<Name>, of: Type) -> AttributeDef {
    let mut attribute = AttributeDef::new(name, of);
    if of == Type::Decimal {
        attribute.decimals = *rng.pick(&[0, 2, 9, 38]);
    }
    attribute.micros = of == Type::Timestamp && rng.one_in(3);
    attribute.max_values = (of.is_multi() && rng.one_in(2)).then_some(3);
    if of.has_limits() && rng.one_in(6) {
        draw_limits(rng, &mut attribute);
    }
    attribute.default = defaults::draw(rng, &attribute);
    attribute
}

/// An object with a composite, a single or no primary key, unique attributes, and some of all types.
pub fn generate(rng: &mut Rng, number: usize) -> ObjectDef {
    let mut attributes = Vec::new();
    let key_len = rng.below(4);
    for at in 0..key_len {
        let of = if at > 0 && rng.one_in(6) { Type::Boolean } else { *rng.pick(&Type::KEYS) };
        attributes.push(AttributeDef { required: true, ..AttributeDef::new(format!("key{at}"), of) });
    }
    for at in 0..rng.below(3) {
        let of = match rng.below(6) {
            0 => Type::Texts,
            1 => Type::Emails,
            _ => *rng.pick(&Type::KEYS),
        };
        attributes.push(AttributeDef { unique: true, ..AttributeDef::new(format!("unique{at}"), of) });
    }
    let all = rng.one_in(4);
    for (at, of) in Type::ALL.into_iter().enumerate() {
        if all || rng.one_in(2) {
            let required = rng.one_in(10);
            let attribute = of_type(rng, format!("plain{at}"), of);
            attributes.push(AttributeDef { required, ..attribute });
        }
    }
    if attributes.is_empty() {
        attributes.push(AttributeDef::new("only", Type::Integer));
    }
    let mut primary_key: Vec<usize> = (0..key_len).collect();
    if rng.one_in(2) {
        primary_key.reverse();
    }
    let history = rng.one_in(4);
    if rng.one_in(4) {
        attributes.iter_mut().for_each(|attribute| attribute.history = rng.one_in(3));
    }
    let name = format!("object{number}").into();
    ObjectDef { name, attributes, primary_key, history, had_history: false, max_record_bytes: None }
}

/// Gives some objects, behind all their attributes, those that members of an object stand for.
pub fn complete(rng: &mut Rng, object: &mut ObjectDef) {
    let member = |name: &str, of| AttributeDef { is_member: true, ..AttributeDef::new(name, of) };
    if rng.one_in(3) {
        object.attributes.push(member("metadata", Type::Json));
    }
    if rng.one_in(3) {
        object.attributes.push(member("$open", Type::Open));
    }
    object.max_record_bytes = rng.one_in(8).then(|| *rng.pick(&[400, 1500, 5000, 20_000]));
}

/// Limits between which few values lie, or most.
fn draw_limits(rng: &mut Rng, attribute: &mut AttributeDef) {
    let bare = AttributeDef { min: None, max: None, ..attribute.clone() };
    let mut side = || crate::values::canonical(&bare, &crate::ops::value(rng, &bare, false)).ok().flatten();
    let (a, b) = (side(), side());
    let (Some(a), Some(b)) = (a, b) else { return };
    let is_less = crate::plan::order(&a, &b).is_some_and(std::cmp::Ordering::is_le);
    let (min, max) = if is_less { (a, b) } else { (b, a) };
    match rng.below(3) {
        0 => attribute.min = Some(min),
        1 => attribute.max = Some(max),
        _ => (attribute.min, attribute.max) = (Some(min), Some(max)),
    }
}
