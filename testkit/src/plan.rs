//! What a mutation makes of a record's values, as docs/mutations.md says it: parts by precedence, ops behind
//! them, conditions, and what is left out where the caller asked for that. Written from that text.

use crate::defaults::{self, Moment};
use crate::entries;
use crate::model::Values;
use crate::open;
use crate::schema::{AttributeDef, ObjectDef, Status, Type};
use crate::values::{canonical, key_part};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use vellum::{
    Bounds, Comparison, Decimal, ErrorKind, Filter, Mode, Name, Op, Patch, Terms, Validation, Value,
};

/// What a mutation leaves of a record.
#[derive(Debug)]
pub struct End {
    /// Its values.
    pub values: Values,
    /// How many unknown names and unfit values were left out.
    pub dropped: usize,
    /// How many defaults it got.
    pub defaulted: usize,
}

struct Problems {
    ignore: bool,
    first: Option<ErrorKind>,
    dropped: usize,
}

impl Problems {
    fn note(&mut self, kind: ErrorKind, is_required: bool) {
        if self.ignore && !is_required {
            self.dropped += 1;
        } else {
            self.first.get_or_insert(kind);
        }
    }
}

/// What a mutation says of one attribute, with its references found or made; or why it cannot.
#[derive(Debug)]
pub enum Choice {
    /// A name that nobody can write.
    Refused(ErrorKind),
    /// A value.
    Value(usize, Result<Value, ErrorKind>),
    /// An op.
    Op(usize, Result<Op, ErrorKind>),
    /// A value of a member that an open object does not know; none where it does not count.
    Member(Name, Result<Option<Value>, ErrorKind>),
}

/// Finds or makes the records that a value refers to; the last argument says whether they must exist.
pub type Link<'l> = &'l mut dyn FnMut(usize, &Value, bool) -> Result<Value, ErrorKind>;

/// What counts, in the order in which parts and ops stand. Which values count is settled on the record as it
/// was found, before any link makes or changes a record.
pub fn choices(
    def: &ObjectDef,
    patch: &Patch,
    key: &[(Name, Value)],
    before: Option<&Values>,
    link: Link<'_>,
) -> Vec<Choice> {
    let none = Terms::default();
    let terms = patch.terms.as_deref().unwrap_or(&none);
    let mut chosen = Vec::new();
    let writable = |name: &str| match def.find(name) {
        None => Err(ErrorKind::UnknownAttribute),
        Some(at) if def.attributes[at].of == Type::Autonumber => Err(ErrorKind::NotWritable),
        Some(at) => Ok(at),
    };
    let there = open::shown(def, hidden_of(def, before));
    for (name, value, if_empty) in counting(patch, terms, key, before.is_none()) {
        if open::takes(def, &name) {
            chosen.push(open::choice(&name, &value, if_empty && there.contains_key(&*name)));
            continue;
        }
        match writable(&name) {
            Err(kind) => chosen.push(Choice::Refused(kind)),
            Ok(at) if if_empty && before.is_some_and(|values| values.contains_key(&at)) => {}
            Ok(at) if def.attributes[at].of.is_reference() => {
                chosen.push(Choice::Value(at, link(at, &value, true)))
            }
            Ok(at) => chosen.push(Choice::Value(at, Ok(value))),
        }
    }
    let away = |op: &Op| matches!(op, Op::Remove(_) | Op::ClearEntry(_) | Op::Clear);
    let ordered = terms.ops.iter().filter(|(_, op)| away(op));
    for (name, op) in ordered.chain(terms.ops.iter().filter(|(_, op)| !away(op))) {
        if open::takes(def, name) {
            let choice = open::op_choice(name, op, &there, &chosen);
            chosen.push(choice);
            continue;
        }
        chosen.push(match writable(name) {
            Err(kind) => Choice::Refused(kind),
            Ok(at) if def.attributes[at].of.is_reference() => {
                if matches!(op, Op::SetIfEmpty(_)) && has_value_by_then(def, at, before, &chosen) {
                    continue;
                }
                Choice::Op(at, linked_op(at, op, link))
            }
            Ok(at) => Choice::Op(at, Ok(op.clone())),
        });
    }
    chosen
}

/// What a record of an open object has of members that it does not know.
fn hidden_of<'v>(def: &ObjectDef, values: Option<&'v Values>) -> Option<&'v Value> {
    def.open().and_then(|at| values?.get(&at))
}

/// Whether an attribute has a value once all that was chosen so far is carried out.
fn has_value_by_then(def: &ObjectDef, at: usize, before: Option<&Values>, chosen: &[Choice]) -> bool {
    let attribute = &def.attributes[at];
    let mut current = before.and_then(|values| values.get(&at)).cloned();
    for choice in chosen {
        let made = match choice {
            Choice::Value(of, Ok(value)) if *of == at => canonical(attribute, value),
            Choice::Op(of, Ok(op)) if *of == at => applied(attribute, current.clone(), op, 0),
            _ => continue,
        };
        current = made.unwrap_or(current);
    }
    current.is_some()
}

fn linked_op(at: usize, op: &Op, link: Link<'_>) -> Result<Op, ErrorKind> {
    let mut all = |values: &[Value], must_exist| {
        let linked = link(at, &Value::List(values.to_vec()), must_exist)?;
        Ok::<_, ErrorKind>(if let Value::List(values) = linked { values } else { Vec::new() })
    };
    Ok(match op {
        Op::Set(value) => Op::Set(link(at, value, true)?),
        Op::SetIfEmpty(value) => Op::SetIfEmpty(link(at, value, true)?),
        Op::Replace(values) => Op::Replace(all(values, true)?),
        Op::Prepend(values) => Op::Prepend(all(values, true)?),
        Op::Append(values) => Op::Append(all(values, true)?),
        Op::Add(values) => Op::Add(all(values, true)?),
        // What is taken away need not exist any more.
        Op::Remove(values) => Op::Remove(all(values, false)?),
        op => op.clone(),
    })
}

/// The values behind a mutation. `before` is what the record has now, and `None` for one that is made; `key` is
/// what it was looked for by.
///
/// # Errors
/// The first refusal, in the order in which parts and ops stand.
pub fn end(
    def: &ObjectDef,
    patch: &Patch,
    key: &[(Name, Value)],
    before: Option<&Values>,
    chosen: Vec<Choice>,
    moment: &Moment,
) -> Result<End, ErrorKind> {
    let none = Terms::default();
    let terms = patch.terms.as_deref().unwrap_or(&none);
    let mut problems =
        Problems { ignore: terms.validation == Validation::IgnoreInvalid, first: None, dropped: 0 };
    let (had, mut values) = (|at: usize| before.and_then(|values| values.get(&at)).cloned(), Values::new());
    let mut ends: Vec<(usize, Option<Value>)> = Vec::new();
    let mut named_members = Vec::new();
    for choice in chosen {
        let at = match &choice {
            Choice::Refused(kind) => {
                problems.note(*kind, false);
                continue;
            }
            Choice::Member(name, value) => {
                named_members.push((name.clone(), value.clone().unwrap_or_default()));
                value.as_ref().err().into_iter().for_each(|kind| problems.note(*kind, false));
                continue;
            }
            Choice::Value(at, _) | Choice::Op(at, _) => *at,
        };
        let attribute = &def.attributes[at];
        let place = ends.iter().position(|(known, _)| *known == at);
        let made = match choice {
            Choice::Op(_, op) => {
                let current = place.map_or_else(|| had(at), |place| ends[place].1.clone());
                op.and_then(|op| {
                    writable(attribute, written(&op, current.is_some()))?;
                    applied(attribute, current, &op, moment.now)
                })
            }
            Choice::Value(_, value) => value.and_then(|value| {
                writable(attribute, [&value])?;
                canonical(attribute, &value)
            }),
            Choice::Refused(_) | Choice::Member(..) => continue,
        };
        match (made, place) {
            (Ok(value), Some(place)) => ends[place].1 = value,
            (Ok(value), None) => ends.push((at, value)),
            (Err(kind), _) => problems.note(kind, def.is_required(at)),
        }
    }
    values.extend(before.into_iter().flatten().map(|(at, value)| (*at, value.clone())));
    let replaces = patch.mode == Mode::Replace && before.is_some();
    if replaces {
        let parts = [&terms.update, &patch.set, &terms.update_if_empty, &terms.create_or_update_if_empty];
        let named = parts.into_iter().flatten().chain(key).map(|(name, _)| name);
        let named: Vec<&Name> = named.chain(terms.ops.iter().map(|(name, _)| name)).collect();
        values.retain(|at, _| {
            let AttributeDef { name, standing, of, .. } = &def.attributes[*at];
            let is_given = matches!(of, Type::Autonumber | Type::Open);
            is_given || *standing == Status::Archived || named.contains(&name)
        });
    }
    // What a match asks to have no value has none.
    let no_value = key.iter().filter(|(_, value)| value.is_null());
    let mut said: BTreeSet<usize> = no_value.filter_map(|(name, _)| def.find(name)).collect();
    for (at, value) in ends {
        said.insert(at);
        match value {
            Some(value) => values.insert(at, value),
            None => values.remove(&at),
        };
    }
    let at = patch.at.map(|at| at.0);
    let defaulted = match before {
        None => defaults::fill(def, &said, at, moment, &mut values),
        Some(_) => 0,
    };
    if let Some(at) = def.open() {
        let members = open::end(def, hidden_of(def, before), named_members, replaces);
        values.remove(&at);
        values.extend(open::hidden(members).map(|hidden| (at, hidden)));
    }
    match problems.first {
        Some(kind) => Err(kind),
        None if (0..def.attributes.len()).any(|at| def.is_required(at) && !values.contains_key(&at)) => {
            Err(ErrorKind::MissingRequired)
        }
        None => Ok(End { values, dropped: problems.dropped, defaulted }),
    }
}

/// Whether callers may write these values: what is archived is shown and not written.
pub(crate) fn writable<'v>(
    attribute: &AttributeDef,
    values: impl IntoIterator<Item = &'v Value>,
) -> Result<(), ErrorKind> {
    if attribute.standing == Status::Archived {
        return Err(ErrorKind::NotWritable);
    }
    let is_archived = |value: &Value| {
        let option = value.as_text().and_then(|key| attribute.option(key));
        option.is_some_and(|option| attribute.options[option].standing == Status::Archived)
    };
    let is_archived = |value: &Value| match value {
        Value::List(values) => values.iter().any(is_archived),
        value => is_archived(value),
    };
    match values.into_iter().any(is_archived) {
        true => Err(ErrorKind::UnknownOption),
        false => Ok(()),
    }
}

/// The values that an op would write.
fn written(op: &Op, has_value: bool) -> &[Value] {
    match op {
        Op::SetIfEmpty(_) if has_value => &[],
        Op::Set(value) | Op::SetIfEmpty(value) | Op::Min(value) | Op::Max(value) => {
            std::slice::from_ref(value)
        }
        Op::Replace(values) | Op::Prepend(values) | Op::Append(values) | Op::Add(values) => values,
        _ => &[],
    }
}

/// The values that count, and whether only for a record without one: those that no stronger part names again.
fn counting(patch: &Patch, terms: &Terms, key: &[(Name, Value)], is_new: bool) -> Vec<(Name, Value, bool)> {
    let clear: Vec<(Name, Value)> = patch.clear.iter().map(|name| (name.clone(), Value::Null)).collect();
    let key: Vec<(Name, Value)> = key.iter().filter(|(_, value)| !value.is_null()).cloned().collect();
    let weakest_first: [(&[(Name, Value)], bool); 5] = match is_new {
        true => [
            (&key, false),
            (&terms.create_or_update_if_empty, false),
            (&patch.set, false),
            (&clear, false),
            (&terms.create, false),
        ],
        false => [
            (&terms.create_or_update_if_empty, true),
            (&terms.update_if_empty, true),
            (&patch.set, false),
            (&clear, false),
            (&terms.update, false),
        ],
    };
    let all: Vec<(&(Name, Value), bool)> = weakest_first
        .iter()
        .flat_map(|(part, if_empty)| part.iter().map(|named| (named, *if_empty)))
        .collect();
    let counts = |place: usize| !all[place + 1..].iter().any(|((name, _), _)| *name == all[place].0.0);
    let kept = (0..all.len()).filter(|place| counts(*place)).map(|place| all[place]);
    kept.map(|((name, value), if_empty)| (name.clone(), value.clone(), if_empty)).collect()
}

/// What an op makes of a value.
fn applied(
    attribute: &AttributeDef,
    current: Option<Value>,
    op: &Op,
    now: i64,
) -> Result<Option<Value>, ErrorKind> {
    match op {
        Op::Set(value) => canonical(attribute, value),
        Op::Clear => Ok(None),
        Op::SetIfEmpty(value) if current.is_none() => canonical(attribute, value),
        Op::SetIfEmpty(_) => Ok(current),
        Op::Now => canonical(attribute, &defaults::moment(attribute, now)?),
        Op::Increment(by, bounds) => arithmetic(attribute, current, by, bounds, false),
        Op::Multiply(by, bounds) => arithmetic(attribute, current, by, bounds, true),
        Op::Min(value) => extreme(attribute, current, value, Ordering::Less),
        Op::Max(value) => extreme(attribute, current, value, Ordering::Greater),
        Op::Replace(values)
        | Op::Prepend(values)
        | Op::Append(values)
        | Op::Add(values)
        | Op::Remove(values) => list(attribute, current, values, op),
        Op::SetEntry(..) | Op::ClearEntry(_) | Op::Merge(_) => {
            entries::applied(attribute.of, current.as_ref(), op)
        }
        // The generator makes no others.
        _ => Err(ErrorKind::InvalidValue),
    }
}

fn list(
    attribute: &AttributeDef,
    current: Option<Value>,
    values: &[Value],
    op: &Op,
) -> Result<Option<Value>, ErrorKind> {
    if !attribute.of.is_multi() {
        return Err(ErrorKind::InvalidValue);
    }
    let has = |list: &[Value], value: &Value| {
        list.iter().any(|other| key_part(attribute.of, other) == key_part(attribute.of, value))
    };
    let unbounded = AttributeDef { max_values: None, ..attribute.clone() };
    let mut given: Vec<Value> = Vec::new();
    for value in values {
        match canonical(&unbounded, &Value::List(vec![value.clone()]))? {
            Some(Value::List(one)) if one.len() == 1 => {
                if !has(&given, &one[0]) {
                    given.extend(one);
                }
            }
            _ => return Err(ErrorKind::InvalidValue),
        }
    }
    let before = match current {
        Some(Value::List(list)) => list,
        _ => Vec::new(),
    };
    let others = |list: &[Value], without: &[Value]| -> Vec<Value> {
        list.iter().filter(|value| !has(without, value)).cloned().collect()
    };
    let made = match op {
        Op::Prepend(_) => [given.clone(), others(&before, &given)].concat(),
        Op::Append(_) => [others(&before, &given), given].concat(),
        Op::Add(_) => [before.clone(), others(&given, &before)].concat(),
        Op::Remove(_) => others(&before, &given),
        _ => given,
    };
    canonical(attribute, &Value::List(made))
}

fn exact(value: &Value) -> Option<Decimal> {
    match value {
        Value::Integer(whole) => Some(Decimal::from(*whole)),
        Value::Decimal(decimal) => Some(*decimal),
        Value::Number(number) => Decimal::from_f64(*number),
        _ => None,
    }
}

fn arithmetic(
    attribute: &AttributeDef,
    current: Option<Value>,
    by: &Value,
    bounds: &Bounds,
    times: bool,
) -> Result<Option<Value>, ErrorKind> {
    let refused = ErrorKind::InvalidValue;
    if !matches!(attribute.of, Type::Integer | Type::Rating | Type::Number | Type::Decimal) {
        return Err(refused);
    }
    let current = current.unwrap_or(Value::Integer(0));
    let result = if attribute.of == Type::Number {
        let double = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            Value::Integer(whole) => Some(*whole as f64),
            Value::Decimal(decimal) => Some(decimal.to_f64()),
            _ => None,
        };
        let (a, b) = double(&current).zip(double(by)).ok_or(refused)?;
        Value::Number(if times { a * b } else { a + b })
    } else {
        let (a, b) = exact(&current).zip(exact(by)).ok_or(refused)?;
        let (a, b) = (a.normalized(), b.normalized());
        let scale = if times { a.scale() + b.scale() } else { a.scale().max(b.scale()) };
        let mantissa = match times {
            true => a.mantissa().checked_mul(b.mantissa()),
            false => match (a.rescale(scale), b.rescale(scale)) {
                (Some(a), Some(b)) => a.mantissa().checked_add(b.mantissa()),
                _ => None,
            },
        };
        let result = mantissa.and_then(|mantissa| Decimal::new(mantissa, scale)).ok_or(refused)?.normalized();
        match attribute.of {
            Type::Decimal => Value::Decimal(result),
            _ => Value::Integer(result.to_i64().ok_or(refused)?),
        }
    };
    let beyond =
        |bound: &Option<Value>, side| bound.as_ref().is_some_and(|b| order(&result, b) == Some(side));
    if beyond(&bounds.min, Ordering::Less) || beyond(&bounds.max, Ordering::Greater) {
        return Err(refused);
    }
    canonical(attribute, &result)
}

/// The order of two values of a type that has one.
#[must_use]
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Number(a), Value::Integer(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (a, b) => Some(exact(a)?.cmp(&exact(b)?)),
    }
}

fn extreme(
    attribute: &AttributeDef,
    current: Option<Value>,
    value: &Value,
    side: Ordering,
) -> Result<Option<Value>, ErrorKind> {
    use Type as T;
    if !matches!(attribute.of, T::Integer | T::Rating | T::Number | T::Decimal | T::Date | T::Timestamp) {
        return Err(ErrorKind::InvalidValue);
    }
    let value = canonical(attribute, value)?;
    match (&value, &current) {
        (Some(new), Some(old)) if order(new, old) != Some(side) => Ok(current),
        (None, _) => Ok(current),
        _ => Ok(value),
    }
}

/// Whether a condition holds; the generator makes those alone that can be judged.
#[must_use]
pub fn holds(def: &ObjectDef, filter: &Filter, values: &Values) -> bool {
    match filter {
        Filter::All(all) => all.iter().all(|filter| holds(def, filter, values)),
        Filter::Any(any) => any.iter().any(|filter| holds(def, filter, values)),
        Filter::Not(not) => !holds(def, not, values),
        Filter::Is(name, comparison, against) => {
            let found = def.find(name).and_then(|at| values.get(&at));
            let is =
                |side: fn(Ordering) -> bool| found.and_then(|found| order(found, against)).is_some_and(side);
            match (comparison, against) {
                (Comparison::Empty, _) => Value::Boolean(found.is_none()) == *against,
                (Comparison::Equal, Value::Null) => found.is_none(),
                (Comparison::NotEqual, Value::Null) => found.is_some(),
                (Comparison::Equal, _) => found == Some(against),
                (Comparison::NotEqual, _) => found != Some(against),
                (Comparison::Less, _) => is(Ordering::is_lt),
                (Comparison::AtMost, _) => is(Ordering::is_le),
                (Comparison::Greater, _) => is(Ordering::is_gt),
                (Comparison::AtLeast, _) => is(Ordering::is_ge),
                (Comparison::Contains, _) => {
                    found.and_then(Value::as_list).is_some_and(|list| list.contains(against))
                }
                _ => false,
            }
        }
        _ => false,
    }
}
