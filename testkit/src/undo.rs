//! Requests about the past by seed: a deleted record comes back, a commit is taken back, a value is put into an
//! interval of the past; and whether a store answers them as the model does.

use crate::compare::{Difference, ensure};
use crate::model::Model;
use crate::ops::{self, value};
use crate::past::Answer;
use crate::sim::is_placeholder;
use std::collections::BTreeSet;
use vellum::{Error, ErrorKind, Key, Lsn, Name, Outcome, RecordId, Store, Timestamp, Value};
use vellum_sim::Rng;

/// One request.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in docs/history.md")]
pub enum Undo {
    Restore { object: usize, id: RecordId },
    Revert(u64),
    Insert { object: usize, key: Key, attribute: Name, value: Value, from: i64, until: i64 },
}

/// A request that makes sense, but for now and then.
pub fn draw(rng: &mut Rng, model: &Model, graveyard: &[RecordId]) -> Undo {
    match rng.below(5) {
        0 | 1 => restore(rng, model, graveyard),
        2 | 3 => revert(rng, model),
        _ => insert(rng, model),
    }
}

fn restore(rng: &mut Rng, model: &Model, graveyard: &[RecordId]) -> Undo {
    let dead = model.histories.iter().filter(|(_, history)| history.death.is_some());
    let dead: Vec<(usize, RecordId)> =
        dead.map(|(key, _)| *key).filter(|(_, id)| !is_placeholder(id)).collect();
    if !dead.is_empty() && !rng.one_in(8) {
        let (object, id) = *rng.pick(&dead);
        return Undo::Restore { object, id };
    }
    let object = rng.below(model.objects.len());
    let id = if graveyard.is_empty() { RecordId::from_bytes([1; 16]) } else { *rng.pick(graveyard) };
    Undo::Restore { object, id }
}

fn revert(rng: &mut Rng, model: &Model) -> Undo {
    let mut known = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for ((_, id), history) in &model.histories {
        let lsns = history.did.iter().map(|did| did.lsn);
        if is_placeholder(id) { unknown.extend(lsns) } else { known.extend(lsns) }
    }
    // Which records a commit made is not known where nobody was told.
    let known: Vec<u64> = known.difference(&unknown).copied().collect();
    let newest = &known[known.len().saturating_sub(6)..];
    match rng.below(8) {
        0 if !unknown.contains(&model.lsn) => Undo::Revert(model.lsn),
        1 if !known.is_empty() => Undo::Revert(*rng.pick(&known)),
        _ if !newest.is_empty() => Undo::Revert(*rng.pick(newest)),
        _ => Undo::Revert(1),
    }
}

fn insert(rng: &mut Rng, model: &Model) -> Undo {
    let keeping: Vec<usize> =
        (0..model.objects.len()).filter(|at| model.objects[*at].keeps_history()).collect();
    let any = keeping.is_empty() || rng.one_in(20);
    let object = if any { rng.below(model.objects.len()) } else { *rng.pick(&keeping) };
    let def = &model.objects[object];
    let of = model.records.iter().filter(|(id, record)| record.object == object && !is_placeholder(id));
    let ids: Vec<RecordId> = of.map(|(id, _)| *id).collect();
    let id = if ids.is_empty() { RecordId::from_bytes([1; 16]) } else { *rng.pick(&ids) };
    let mut attribute = ops::attribute(rng, def);
    // Which references a value of the past may have had nobody judges.
    while attribute.of.is_reference() {
        attribute = ops::attribute(rng, def);
    }
    let place = def.attributes.iter().position(|other| std::ptr::eq(other, attribute)).expect("one of them");
    // Intervals that touch, overlap or miss those that are known.
    let history = model.histories.get(&(object, id));
    let mut edges: Vec<i64> = vec![model.commit_time, model.records.get(&id).map_or(0, |r| r.created_at)];
    for (from, until) in history.iter().flat_map(|history| history.intervals(place, true)) {
        edges.extend([Some(from), until].into_iter().flatten());
    }
    let mut moment = || rng.pick(&edges).saturating_add(*rng.pick(&[0, 0, 0, -1, 1, -1_000, 1_000]));
    let (a, b) = (moment(), moment());
    let (from, until) = if rng.one_in(12) { (a, b) } else { (a.min(b), a.max(b)) };
    let value = if rng.one_in(20) { Value::Null } else { value(rng, attribute, attribute.unique) };
    Undo::Insert { object, key: Key::Id(id), attribute: attribute.name.clone(), value, from, until }
}

/// What it is called in counts.
#[must_use]
pub fn name(undo: &Undo) -> &'static str {
    match undo {
        Undo::Restore { .. } => "restore",
        Undo::Revert(_) => "revert",
        Undo::Insert { .. } => "value put into the past",
    }
}

/// Asks a store.
///
/// # Errors
/// The store's.
pub fn ask(store: &Store, model: &Model, undo: &Undo) -> Result<Vec<Outcome>, Error> {
    let name = |object: usize| &model.objects[object].name;
    match undo {
        Undo::Restore { object, id } => Ok(vec![store.object(name(*object))?.restore(*id)?]),
        Undo::Revert(lsn) => store.revert(Lsn(*lsn)),
        Undo::Insert { object, key, attribute, value, from, until } => {
            let (from, until) = (Timestamp(*from), Timestamp(*until));
            let object = store.object(name(*object))?;
            Ok(vec![object.insert_past(key.clone(), attribute, value.clone(), from, until)?])
        }
    }
}

/// What the model makes of it: a later state and its answers, or why not, which is one of these.
///
/// # Errors
/// What the store may say.
pub fn expected(model: &Model, undo: &Undo, now: i64) -> Result<(Model, Vec<Answer>), Vec<ErrorKind>> {
    let mut model = model.clone();
    let one = |answer: Result<Answer, ErrorKind>| answer.map(|one| vec![one]).map_err(|kind| vec![kind]);
    let answers = match undo {
        Undo::Restore { object, id } => model.restore_record(*object, *id).map(|answer| vec![answer]),
        Undo::Revert(lsn) => model.revert(*lsn),
        Undo::Insert { object, key, attribute, value, from, until } => {
            one(model.insert_past(*object, key, (attribute, value), (*from, *until), now))
        }
    }?;
    model.commit(now).map_err(|kind| vec![kind])?;
    Ok((model, answers))
}

/// Holds a store's answer against the model's, which goes the same way. Whether something was done.
///
/// # Errors
/// The difference.
pub fn judge(
    model: &mut Model,
    undo: &Undo,
    now: i64,
    result: &Result<Vec<Outcome>, Error>,
) -> Result<bool, Difference> {
    match (expected(model, undo, now), result) {
        (Ok((after, wanted)), Ok(outcomes)) => {
            // How often a record that is removed was changed on its way is nobody's matter.
            let told = |(id, version): Answer| (id, after.records.contains_key(&id).then_some(version));
            let wanted: BTreeSet<_> = wanted.into_iter().map(told).collect();
            let found: BTreeSet<_> =
                outcomes.iter().map(|outcome| told((outcome.id, outcome.version))).collect();
            ensure!(wanted == found, "{undo:?}: {wanted:?} expected, {found:?} found");
            let lsns: BTreeSet<u64> = outcomes.iter().map(|outcome| outcome.lsn.0).collect();
            ensure!(lsns == BTreeSet::from([after.lsn]), "{undo:?}: lsn {} expected, {lsns:?}", after.lsn);
            *model = after;
            Ok(true)
        }
        (Err(kinds), Err(error)) => {
            ensure!(kinds.contains(&error.kind()), "{undo:?}: {kinds:?} expected, {error} found");
            Ok(false)
        }
        (Err(kinds), Ok(outcomes)) => Err(format!(
            "{undo:?}: {kinds:?} expected, done was {:?}",
            outcomes.iter().map(|o| o.id).collect::<Vec<_>>()
        )),
        (Ok((_, answers)), Err(error)) => {
            Err(format!("{undo:?}: {answers:?} expected, refused with {error}"))
        }
    }
}
