//! What mutations have beyond a plain patch, by seed: parts, ops, conditions, leaving out what does not fit.

use crate::entries;
use crate::model::Model;
use crate::open;
use crate::ops::{attribute, value};
use crate::schema::{AttributeDef, ObjectDef, Type};
use vellum::{Action, Bounds, Comparison, Filter, Mutation, Name, Op, Validation, Value};
use vellum_sim::Rng;

/// Adds terms to a mutation of an object that exists.
pub fn add(rng: &mut Rng, model: &Model, mutation: &mut Mutation) {
    let Some(object) = model.object(&mutation.object) else { return };
    let def = &model.objects[object];
    if def.present().is_empty() {
        return;
    }
    let action = mutation.action;
    let terms = mutation.patch.terms_mut();
    if action != Action::Create && rng.one_in(4) {
        terms.condition = Some(condition(rng, def));
    }
    if action == Action::Delete {
        return;
    }
    if action != Action::Update && rng.one_in(3) {
        terms.create = part(rng, def);
    }
    if action != Action::Create {
        if rng.one_in(3) {
            terms.update = part(rng, def);
        }
        if rng.one_in(3) {
            terms.update_if_empty = part(rng, def);
        }
        if rng.one_in(3) {
            terms.create_or_update_if_empty = part(rng, def);
        }
        terms.before = rng.one_in(3);
    }
    if rng.one_in(6) {
        terms.validation = Validation::IgnoreInvalid;
    }
    for _ in 0..rng.below(4) {
        if def.open().is_some() && rng.one_in(4) {
            terms.ops.push(member_op(rng));
            continue;
        }
        let attribute = attribute(rng, def);
        let op = op(rng, attribute);
        terms.ops.push((attribute.name.clone(), op));
    }
    if rng.one_in(100) {
        terms.ops.push(("no_such_attribute".into(), Op::Clear));
    }
}

fn part(rng: &mut Rng, def: &ObjectDef) -> Vec<(Name, Value)> {
    let mut values = Vec::new();
    for _ in 0..1 + rng.below(3) {
        if def.open().is_some() && rng.one_in(4) {
            values.push(open::draw(rng));
            continue;
        }
        let attribute = attribute(rng, def);
        let given = match rng.below(12) {
            0 => Value::Null,
            _ => value(rng, attribute, attribute.unique),
        };
        values.push((attribute.name.clone(), given));
    }
    values
}

/// An op on a member that an open object does not know; some have no type to go by.
fn member_op(rng: &mut Rng) -> (Name, Op) {
    let (name, value) = open::draw(rng);
    let op = match rng.below(12) {
        0 => Op::Add(vec![value]),
        1 => Op::Increment(Value::Integer(1), Bounds::default()),
        2..4 => Op::Clear,
        4..8 => Op::Set(value),
        _ => Op::SetIfEmpty(value),
    };
    (name, op)
}

/// An op that fits the attribute, for the most part.
fn op(rng: &mut Rng, attribute: &AttributeDef) -> Op {
    let unfit = rng.one_in(30);
    match rng.below(10) {
        0 => return Op::Set(value(rng, attribute, attribute.unique)),
        1 => return Op::SetIfEmpty(value(rng, attribute, attribute.unique)),
        2 => return Op::Clear,
        _ => {}
    }
    if attribute.of.is_multi() != unfit {
        let values = match value(rng, attribute, attribute.unique) {
            Value::List(values) => values,
            single => vec![single],
        };
        return match rng.below(6) {
            0 => Op::Replace(values),
            1 => Op::Prepend(values),
            2 => Op::Append(values),
            3 => Op::Remove(values),
            _ => Op::Add(values),
        };
    }
    if matches!(attribute.of, Type::TextList | Type::Json) != unfit {
        return entries::draw(rng, attribute.of);
    }
    let is_number = matches!(attribute.of, Type::Integer | Type::Rating | Type::Number | Type::Decimal);
    let has_order = is_number || matches!(attribute.of, Type::Date | Type::Timestamp);
    match rng.below(5) {
        4 if matches!(attribute.of, Type::Date | Type::Timestamp) != unfit => Op::Now,
        0 if has_order != unfit => Op::Min(value(rng, attribute, false)),
        1 if has_order != unfit => Op::Max(value(rng, attribute, false)),
        2 if is_number != unfit => Op::Multiply(number(rng), bounds(rng)),
        3 if is_number != unfit => Op::Increment(number(rng), bounds(rng)),
        _ => Op::SetIfEmpty(value(rng, attribute, attribute.unique)),
    }
}

fn number(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => Value::Integer(*rng.pick(&[i64::MAX, i64::MIN, -1])),
        1 => Value::Number(*rng.pick(&[0.5, 0.25, -1.5])),
        _ => Value::Integer(rng.below(4) as i64),
    }
}

fn bounds(rng: &mut Rng) -> Bounds {
    let mut side = |of: i64| rng.one_in(4).then(|| Value::Integer(of + rng.below(20) as i64));
    Bounds { min: side(-10), max: side(10) }
}

/// A condition that can be judged: order where there is one, and whether there is a value.
fn condition(rng: &mut Rng, def: &ObjectDef) -> Filter {
    let attribute = (*rng.pick(&def.present())).clone();
    let name = attribute.name.clone();
    let small = rng.below(24) as i64;
    let one = match attribute.of {
        Type::Integer | Type::Rating => {
            use Comparison as C;
            let comparison = *rng.pick(&[C::Equal, C::NotEqual, C::Less, C::AtMost, C::Greater, C::AtLeast]);
            Filter::is(name, comparison, Value::Integer(small))
        }
        Type::Boolean => Filter::eq(name, rng.one_in(2)),
        Type::Options | Type::OptionList => {
            let active = attribute.active_options();
            let option = active.first().map_or("option0", |_| *rng.pick(&active));
            Filter::is(name, Comparison::Contains, option)
        }
        _ if rng.one_in(2) => Filter::is(name, Comparison::Empty, rng.one_in(2)),
        _ => Filter::is(name, *rng.pick(&[Comparison::Equal, Comparison::NotEqual]), Value::Null),
    };
    match rng.below(6) {
        0 => Filter::Not(Box::new(one)),
        1 => Filter::Any(vec![one, Filter::eq(attribute.name, Value::Null)]),
        _ => one,
    }
}
