//! A mutation line, read in one pass over borrowed text.

use super::terms::TermsText;
use super::values::ValuesSeed;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RecordId;
use crate::mutation::{Absent, Action, Key, Mode, Mutation, Patch};
use crate::schema::{ObjectSchema, Schema};
use crate::value::{Name, Timestamp, Value, Values, excerpt};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Reads one mutation line (see the room's doc). Values are typed by the schema where it knows the
/// attribute; whether names exist and values fit is for the write to say.
///
/// # Errors
/// `InvalidInput` when the line is not UTF-8, not JSON, or not a mutation.
pub fn parse_mutation(schema: &Schema, line: &[u8]) -> Result<Mutation> {
    let text = std::str::from_utf8(line).map_err(|error| {
        Error::invalid_input(format!("the line is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    read_line(schema, text, None).map_err(|error| unreadable(&error))?.into_mutation(schema)
}

/// Reads a line; `object` is its object where it names none.
fn read_line<'t>(schema: &Schema, text: &'t str, object: Option<Name>) -> serde_json::Result<Line<'t>> {
    let mut source = serde_json::Deserializer::from_str(text);
    let line = LineSeed { schema, object }.deserialize(&mut source)?;
    source.end().map(|()| line)
}

/// Reads the mutation that a reference holds: as a line, but for `op` and `object`, which follow from
/// what stands there and from the reference.
pub(super) fn parse_nested(schema: &Schema, text: &str, object: Option<Name>) -> Result<(Mutation, Nested)> {
    let mut line = read_line(schema, text, object).map_err(|error| unreadable(&error))?;
    let absent = line.absent.take();
    let nested = Nested { absent, only_match: line.op.is_none() && !line.changes_something() };
    if line.op.is_none() {
        let found = line.id.is_some() || line.key.is_some() || line.named.is_some();
        line.op = Some(if found { Action::Upsert } else { Action::Create });
    }
    line.into_mutation(schema).map(|mutation| (mutation, nested))
}

/// What a nested mutation has that a line has not.
pub(super) struct Nested {
    pub(super) absent: Option<Absent>,
    /// Whether it says which record, and nothing else.
    pub(super) only_match: bool,
}

#[cold]
pub(super) fn unreadable(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // A line is line 1 of itself; the column is what helps.
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    Error::invalid_input(format!("mutation line, column {}: {reason}", error.column()))
}

/// The members of a line.
#[derive(Default)]
struct Line<'a> {
    op: Option<Action>,
    object: Option<Name>,
    id: Option<RecordId>,
    key: Option<Values>,
    values: Option<Values>,
    set: Option<Values>,
    clear: Option<Vec<Name>>,
    if_version: Option<u64>,
    mode: Option<Mode>,
    at: Option<Timestamp>,
    returning: Option<bool>,
    named: Option<Name>,
    absent: Option<Absent>,
    terms: TermsText<'a>,
    /// `key`, `values` and `set` that stood before `object`.
    waiting: [Option<&'a RawValue>; 3],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Member {
    Op,
    Object,
    Id,
    Key,
    Values,
    Set,
    Clear,
    IfVersion,
    Mode,
    At,
    Returning,
    Match,
    Named,
    Absent,
    CreateOrUpdate,
    Create,
    Update,
    UpdateIfEmpty,
    CreateOrUpdateIfEmpty,
    Ops,
    If,
    Validation,
    Before,
    As,
}

impl Member {
    pub(super) const ALL: [(&'static str, Member); 24] = [
        ("op", Member::Op),
        ("object", Member::Object),
        ("id", Member::Id),
        ("key", Member::Key),
        ("values", Member::Values),
        ("set", Member::Set),
        ("clear", Member::Clear),
        ("if_version", Member::IfVersion),
        ("mode", Member::Mode),
        ("at", Member::At),
        ("returning", Member::Returning),
        ("match", Member::Match),
        ("named", Member::Named),
        ("absent", Member::Absent),
        ("create_or_update", Member::CreateOrUpdate),
        ("create", Member::Create),
        ("update", Member::Update),
        ("update_if_empty", Member::UpdateIfEmpty),
        ("create_or_update_if_empty", Member::CreateOrUpdateIfEmpty),
        ("ops", Member::Ops),
        ("if", Member::If),
        ("validation", Member::Validation),
        ("before", Member::Before),
        ("as", Member::As),
    ];

    pub(super) fn name(self) -> &'static str {
        Member::ALL.into_iter().find(|(_, member)| *member == self).map_or("", |(name, _)| name)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Member, D::Error> {
        struct MemberVisitor;
        impl Visitor<'_> for MemberVisitor {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Member, E> {
                let known = Member::ALL.into_iter().find(|(known, _)| *known == name);
                known.map(|(_, member)| member).ok_or_else(|| {
                    let all = Member::ALL.map(|(name, _)| name).join(", ");
                    E::custom(format_args!("unknown member {}; a mutation has {all}", excerpt(name)))
                })
            }
        }
        deserializer.deserialize_str(MemberVisitor)
    }
}

struct LineSeed<'s> {
    schema: &'s Schema,
    object: Option<Name>,
}

impl<'de> DeserializeSeed<'de> for LineSeed<'_> {
    type Value = Line<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_> {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mutation as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let mut line = Line::default();
        let mut object = None;
        while let Some(member) = map.next_key::<Member>()? {
            if line.has(member) {
                return Err(A::Error::custom(format_args!("{}", stands_twice(member))));
            }
            line.read(member, &mut object, self.schema, &mut map)?;
        }
        if line.object.is_none() {
            object = self.object.as_ref().and_then(|name| self.schema.find_object(name));
            line.object = self.object;
        }
        line.read_waiting(object).map_err(A::Error::custom)?;
        Ok(line)
    }
}

impl<'de> Line<'de> {
    fn has(&self, member: Member) -> bool {
        match member {
            Member::Op => self.op.is_some(),
            Member::Object => self.object.is_some(),
            Member::Id => self.id.is_some(),
            Member::Key | Member::Match => self.key.is_some() || self.waiting[0].is_some(),
            Member::Values => self.values.is_some() || self.waiting[1].is_some(),
            Member::Set | Member::CreateOrUpdate => self.set.is_some() || self.waiting[2].is_some(),
            Member::Clear => self.clear.is_some(),
            Member::IfVersion => self.if_version.is_some(),
            Member::Mode => self.mode.is_some(),
            Member::At => self.at.is_some(),
            Member::Returning => self.returning.is_some(),
            Member::Named => self.named.is_some(),
            Member::Absent => self.absent.is_some(),
            other => self.terms.has(other),
        }
    }

    /// Whether there is more than which record is meant.
    fn changes_something(&self) -> bool {
        let members =
            [Member::Values, Member::Set, Member::Clear, Member::Ops, Member::Create, Member::Update];
        let parts = [Member::UpdateIfEmpty, Member::CreateOrUpdateIfEmpty];
        members.into_iter().chain(parts).any(|member| self.has(member))
    }

    fn read<'s, A: MapAccess<'de>>(
        &mut self,
        member: Member,
        object: &mut Option<&'s ObjectSchema>,
        schema: &'s Schema,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let position = match member {
            Member::Key | Member::Match => 0,
            Member::Values => 1,
            Member::Set | Member::CreateOrUpdate => 2,
            _ => return self.read_plain(member, object, schema, map),
        };
        if self.object.is_none() {
            self.waiting[position] = Some(map.next_value()?);
            return Ok(());
        }
        let values = map.next_value_seed(ValuesSeed(*object))?;
        *self.values_at(position) = Some(values);
        Ok(())
    }

    fn read_plain<'s, A: MapAccess<'de>>(
        &mut self,
        member: Member,
        object: &mut Option<&'s ObjectSchema>,
        schema: &'s Schema,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match member {
            Member::Op => self.op = Some(word(member, map, action)?),
            Member::Object => {
                let Word(name) = map.next_value()?;
                *object = schema.find_object(&name);
                self.object = Some(object.map_or_else(|| Name::from(&*name), |object| object.name().into()));
            }
            Member::Id => self.id = Some(word(member, map, record_id)?),
            Member::Clear => {
                self.clear = Some(map.next_value::<Vec<String>>()?.into_iter().map(Name::from).collect())
            }
            Member::IfVersion => self.if_version = Some(map.next_value()?),
            Member::Mode => self.mode = Some(word(member, map, mode)?),
            Member::At => self.at = Some(word(member, map, Timestamp::read)?),
            Member::Returning => self.returning = Some(map.next_value()?),
            Member::Named => {
                let Word(name) = map.next_value()?;
                self.named = Some(name_of(&name).into());
            }
            Member::Absent => self.absent = Some(word(member, map, absent)?),
            Member::Key | Member::Match | Member::Values | Member::Set | Member::CreateOrUpdate => {
                unreachable!("read before")
            }
            other => self.terms.keep(other, map.next_value()?),
        }
        Ok(())
    }

    fn values_at(&mut self, position: usize) -> &mut Option<Values> {
        match position {
            0 => &mut self.key,
            1 => &mut self.values,
            _ => &mut self.set,
        }
    }

    fn read_waiting(&mut self, object: Option<&ObjectSchema>) -> serde_json::Result<()> {
        for position in 0..self.waiting.len() {
            if let Some(raw) = self.waiting[position].take() {
                let mut source = serde_json::Deserializer::from_str(raw.get());
                *self.values_at(position) = Some(ValuesSeed(object).deserialize(&mut source)?);
            }
        }
        Ok(())
    }

    fn into_mutation(mut self, schema: &Schema) -> Result<Mutation> {
        let action = self.op.ok_or_else(|| missing("op"))?;
        self.refuse_misplaced(action)?;
        if self.absent.is_some() {
            return Err(refuse("absent belongs to a reference"));
        }
        let object = self.object.take().ok_or_else(|| missing("object"))?;
        let key = match (self.id, self.key.take(), self.named.take()) {
            (Some(id), None, None) => Some(Key::Id(id)),
            (None, Some(key), None) => Some(whole_key(key)?),
            (None, None, Some(name)) => Some(Key::Named(name)),
            (None, None, None) if action == Action::Create => None,
            (None, None, None) => {
                return Err(of_kind(ErrorKind::MissingKey, "id or key must say which record"));
            }
            _ => {
                let reason = "id and key both say which record; leave one out";
                return Err(of_kind(ErrorKind::AmbiguousKey, reason));
            }
        };
        let mut set = self.values.or(self.set).unwrap_or_default();
        let terms = self.terms.read(schema, schema.find_object(&object), &mut set)?;
        let patch = Patch {
            set,
            clear: self.clear.unwrap_or_default(),
            mode: self.mode.unwrap_or_default(),
            if_version: self.if_version,
            at: self.at,
            returning: self.returning.unwrap_or(false),
            terms,
        };
        Ok(Mutation { object, action, key, patch })
    }

    /// Members that mean nothing with this op were meant to do something: they are refused.
    fn refuse_misplaced(&self, action: Action) -> Result<()> {
        let (name, misplaced): (&str, &[Member]) = match action {
            Action::Create => (
                "create",
                &[
                    Member::Set,
                    Member::Clear,
                    Member::Mode,
                    Member::IfVersion,
                    Member::Named,
                    Member::Create,
                    Member::Update,
                    Member::UpdateIfEmpty,
                    Member::CreateOrUpdateIfEmpty,
                    Member::If,
                    Member::Before,
                ],
            ),
            Action::Update => ("update", &[Member::Values, Member::Create]),
            Action::Upsert => ("upsert", &[Member::Values]),
            Action::Delete => (
                "delete",
                &[
                    Member::Values,
                    Member::Set,
                    Member::Clear,
                    Member::Mode,
                    Member::Create,
                    Member::Update,
                    Member::UpdateIfEmpty,
                    Member::CreateOrUpdateIfEmpty,
                    Member::Ops,
                    Member::Validation,
                    Member::As,
                ],
            ),
        };
        match misplaced.iter().find(|member| self.has(**member)) {
            None => Ok(()),
            Some(Member::Values) => Err(refuse(&format!("{name} takes set, not values"))),
            Some(Member::Set) if action == Action::Create => Err(refuse("create takes values, not set")),
            Some(member) => Err(refuse(&format!("{name} takes no {}", member.name()))),
        }
    }
}

fn whole_key(key: Values) -> Result<Key> {
    if key.is_empty() {
        return Err(refuse("key names no attribute"));
    }
    match key.iter().all(|(_, value)| *value == Value::Null) {
        true => Err(refuse(&format!("key: {} is null and matches no record", excerpt(&key[0].0)))),
        false => Ok(Key::Attributes(key)),
    }
}

#[cold]
pub(super) fn refuse(reason: &str) -> Error {
    Error::invalid_input(format!("mutation line: {reason}"))
}

#[cold]
fn of_kind(kind: ErrorKind, reason: &str) -> Error {
    Error::new(kind, format!("mutation line: {reason}"))
}

#[cold]
fn stands_twice(member: Member) -> String {
    match member {
        Member::Match | Member::Key => "key or match stands twice".to_string(),
        Member::Set | Member::CreateOrUpdate => "set or create_or_update stands twice".to_string(),
        other => format!("{} stands twice", other.name()),
    }
}

/// A name of a record in this transaction; the mark in front of it may stand or not.
pub(super) fn name_of(text: &str) -> &str {
    text.strip_prefix('@').unwrap_or(text)
}

fn absent(name: &str) -> Result<Absent, String> {
    match name {
        "null" => Ok(Absent::Null),
        "error" => Ok(Absent::Error),
        _ => Err(format!("{} is neither null nor error", excerpt(name))),
    }
}

#[cold]
fn missing(name: &str) -> Error {
    refuse(&format!("{name} is missing"))
}

/// A member that is text of a certain form.
fn word<'de, A: MapAccess<'de>, T>(
    member: Member,
    map: &mut A,
    read: fn(&str) -> Result<T, String>,
) -> Result<T, A::Error> {
    let Word(text) = map.next_value()?;
    read(&text).map_err(|reason| A::Error::custom(format_args!("{}: {reason}", member.name())))
}

/// Text, borrowed from the line unless it has escapes.
struct Word<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word<'a>, D::Error> {
        struct WordVisitor;
        impl<'de> Visitor<'de> for WordVisitor {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_str(WordVisitor)
    }
}

fn action(name: &str) -> Result<Action, String> {
    match name {
        "create" => Ok(Action::Create),
        "update" => Ok(Action::Update),
        "upsert" => Ok(Action::Upsert),
        "delete" => Ok(Action::Delete),
        _ => Err(format!("{} is none of create, update, upsert, delete", excerpt(name))),
    }
}

fn mode(name: &str) -> Result<Mode, String> {
    match name {
        "merge" => Ok(Mode::Merge),
        "replace" => Ok(Mode::Replace),
        _ => Err(format!("{} is neither merge nor replace", excerpt(name))),
    }
}

fn record_id(text: &str) -> Result<RecordId, String> {
    text.parse().map_err(|error: Error| error.to_string())
}
