//! Plus and times, exact or refused: nothing is rounded but a double, and nothing wraps.

use super::Place;
use crate::error::Result;
use crate::mutation::{Bounds, Op};
use crate::value::{CurrencyCode, Decimal, Value, ValueType};
use std::cmp::Ordering;

/// What an increment or a multiplication makes of a value.
pub(super) fn changed(place: Place<'_>, current: Option<Value>, op: &Op, by: &Value) -> Result<Value> {
    // An amount that may be of any currency is of none where there is no value.
    let current = match current {
        Some(current) if is_number(place) => current,
        _ => zero(place).ok_or_else(|| place.unfit(op))?,
    };
    let times = matches!(op, Op::Multiply(..));
    let combined = match &current {
        Value::Number(current) => double(by).map(|by| Value::Number(combine(*current, by, times))),
        Value::Currency { amount, code } => of_currency(by, *code).and_then(|by| {
            let result = if times { product(*amount, by) } else { sum(*amount, by) };
            result.map(|amount| Value::Currency { amount, code: *code })
        }),
        _ => exact(&current).zip(exact(by)).and_then(|(current, by)| {
            let result = if times { product(current, by) } else { sum(current, by) };
            result.map(Value::Decimal)
        }),
    };
    let result = combined.ok_or_else(|| {
        place.refuse(format!(
            "{current} {} {by} is no number of the type {}",
            sign(times),
            place.attribute.value_type()
        ))
    })?;
    match (&result, place.attribute.value_type()) {
        (Value::Number(number), _) if !number.is_finite() => {
            Err(place.refuse(format!("{current} {} {by} is out of the range of a number", sign(times))))
        }
        (Value::Decimal(whole), ValueType::Integer | ValueType::Rating) => {
            whole.to_i64().map(Value::Integer).ok_or_else(|| {
                place.refuse(format!("{current} {} {by} is {whole}, no whole number of 64 bits", sign(times)))
            })
        }
        _ => Ok(result),
    }
}

fn sign(times: bool) -> &'static str {
    if times { "times" } else { "plus" }
}

fn combine(current: f64, by: f64, times: bool) -> f64 {
    if times { current * by } else { current + by }
}

fn is_number(place: Place<'_>) -> bool {
    use ValueType as T;
    let number =
        matches!(place.attribute.value_type(), T::Integer | T::Rating | T::Number | T::Decimal | T::Currency);
    number && !place.attribute.is_multi()
}

fn zero(place: Place<'_>) -> Option<Value> {
    if place.attribute.is_multi() {
        return None;
    }
    match place.attribute.value_type() {
        ValueType::Integer | ValueType::Rating => Some(Value::Integer(0)),
        ValueType::Currency => {
            place.attribute.currency().map(|code| Value::Currency { amount: Decimal::from(0), code })
        }
        ValueType::Number => Some(Value::Number(0.0)),
        ValueType::Decimal => Some(Value::Decimal(Decimal::from(0))),
        _ => None,
    }
}

/// A number, or an amount of the same currency.
fn of_currency(value: &Value, code: CurrencyCode) -> Option<Decimal> {
    match value {
        Value::Currency { amount, code: other } => (*other == code).then_some(*amount),
        other => exact(other),
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Integer(whole) => Some(*whole as f64),
        Value::Decimal(decimal) => Some(decimal.to_f64()),
        _ => None,
    }
}

fn exact(value: &Value) -> Option<Decimal> {
    match value {
        Value::Integer(whole) => Some(Decimal::from(*whole)),
        Value::Decimal(decimal) => Some(*decimal),
        Value::Number(number) => Decimal::from_f64(*number),
        Value::Text(text) => Decimal::read(text).ok(),
        Value::Currency { amount, .. } => Some(*amount),
        _ => None,
    }
}

pub(super) fn sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    let scale = a.scale().max(b.scale());
    let (a, b) = (a.rescale(scale)?, b.rescale(scale)?);
    Decimal::new(a.mantissa().checked_add(b.mantissa())?, scale).map(Decimal::normalized)
}

pub(super) fn product(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalized(), b.normalized());
    let mantissa = a.mantissa().checked_mul(b.mantissa())?;
    Decimal::new(mantissa, a.scale().checked_add(b.scale())?).map(Decimal::normalized)
}

/// Refuses a result beyond the bounds that came with the op.
pub(super) fn check_bounds(place: Place<'_>, result: &Value, bounds: &Bounds) -> Result<()> {
    let sides = [(&bounds.min, Ordering::Less, "below"), (&bounds.max, Ordering::Greater, "above")];
    for (bound, side, word) in sides {
        let Some(bound) = bound else { continue };
        let order =
            compare(result, bound).ok_or_else(|| place.refuse(format!("the bound {bound} is no number")))?;
        if order == side {
            return Err(place.refuse(format!("the result {result} is {word} the bound {bound}")));
        }
    }
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), _) => a.partial_cmp(&double(b)?),
        _ => Some(exact(a)?.cmp(&exact(b)?)),
    }
}
