//! Whether a store is what the model says: every record by iteration, by id and by each of its keys,
//! counts, index entries; and the same again from a log that is replayed.

use crate::model::{Expected, Model, ModelRecord, Records};
use crate::open;
use crate::relations::Other;
use crate::schema::ObjectDef;
use crate::values::same;
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::disk::Disk;
use vellum::{Config, Key, Once, Outcome, Record, RecordId, Snapshot, Store, Value};
use vellum_sim::MemDisk;

/// Why a store is not what the model says.
pub type Difference = String;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(crate) use ensure;

fn brief(value: Option<&Value>) -> String {
    value.map_or("nothing".to_string(), |value| {
        let text = format!("{value:?}");
        if text.len() > 80 {
            format!("{}… ({} bytes)", text.chars().take(60).collect::<String>(), text.len())
        } else {
            text
        }
    })
}

/// Compares the values of a record.
///
/// # Errors
/// The first difference.
pub fn same_values(
    def: &ObjectDef,
    values: &BTreeMap<usize, Value>,
    found: &Record,
) -> Result<(), Difference> {
    for (at, attribute) in def.attributes.iter().enumerate().filter(|(_, a)| a.is_shown()) {
        let (wanted, got) = (values.get(&at), found.get(&attribute.name));
        ensure!(same(wanted, got), "{}: {} expected, {} found", attribute.name, brief(wanted), brief(got));
    }
    let hidden = def.open().filter(|at| values.contains_key(at));
    let members = open::shown(def, hidden.and_then(|at| values.get(&at)));
    for (name, wanted) in &members {
        let got = found.get(name);
        ensure!(got == Some(wanted), "{name}: {} expected, {} found", brief(Some(wanted)), brief(got));
    }
    let count = values.len() - usize::from(hidden.is_some()) + members.len();
    ensure!(found.iter().len() == count, "{count} values expected, {} found", found.iter().len());
    Ok(())
}

fn same_record(
    def: &ObjectDef,
    id: RecordId,
    wanted: &ModelRecord,
    found: &Record,
) -> Result<(), Difference> {
    let head = (id, wanted.version, wanted.counter, wanted.created_at, wanted.updated_at);
    let got = (found.id, found.version, found.counter, found.created_at.0, found.updated_at.0);
    ensure!(
        head == got,
        "{} {id}: id, version, counter and times {head:?} expected, {got:?} found",
        def.name
    );
    let by = (wanted.created_by.as_ref(), wanted.updated_by.as_ref());
    let got = (found.created_by(), found.updated_by());
    ensure!(by == got, "{} {id}: made and changed by {by:?} expected, {got:?} found", def.name);
    same_values(def, &wanted.values, found).map_err(|why| format!("{} {id}: {why}", def.name))
}

/// What a mutation should tell of the values before it: of attributes, and of members that an open object does not
/// know, those that changed.
fn before(def: &ObjectDef, wanted: &Expected) -> BTreeMap<String, Value> {
    let mut before = BTreeMap::new();
    for at in &wanted.changed {
        let (old, new) = (wanted.before.get(at), wanted.values.get(at));
        if def.open() != Some(*at) {
            before.insert(def.attributes[*at].name.to_string(), old.cloned().unwrap_or_default());
            continue;
        }
        let (old, new) = (open::shown(def, old), open::shown(def, new));
        let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
        before.extend(names.map(|name| (name.clone(), old.get(name).cloned().unwrap_or_default())));
    }
    before
}

/// Compares what a mutation says that it changed of its own record, and the values before it where they were asked
/// for.
///
/// # Errors
/// The first difference.
pub fn same_changes(
    def: &ObjectDef,
    wanted: &Expected,
    outcome: &Outcome,
    asked: bool,
) -> Result<(), Difference> {
    let shown = wanted.changed.iter().map(|at| &def.attributes[*at]).filter(|attribute| attribute.is_shown());
    let names: Vec<&str> = shown.map(|attribute| attribute.name.as_str()).collect();
    let changed: Vec<&str> = outcome.changed().collect();
    ensure!(names == changed, "changed {names:?} expected, {changed:?} found");
    let is_unchanged = !wanted.created && wanted.changed.is_empty() && wanted.others.is_empty();
    ensure!(
        outcome.is_unchanged() == is_unchanged,
        "unchanged: {is_unchanged} expected, {} found",
        outcome.is_unchanged()
    );
    let wanted = if asked && !wanted.created { before(def, wanted) } else { BTreeMap::new() };
    let found: BTreeMap<String, Value> =
        outcome.before().iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let is_same = wanted.len() == found.len() && found.len() == outcome.before().len();
    let is_same = is_same && wanted.iter().all(|(name, value)| same(Some(value), found.get(name)));
    ensure!(is_same, "before: {wanted:?} expected, {found:?} found");
    Ok(())
}

/// Compares what a mutation says that it did to other records.
///
/// # Errors
/// The first difference.
pub fn same_others(model: &Model, wanted: &Expected, outcome: &Outcome) -> Result<(), Difference> {
    let mut found = BTreeMap::new();
    for other in outcome.others() {
        let object = model.object(&other.object).ok_or_else(|| format!("{other:?} is of no object"))?;
        let version = (!other.deleted).then_some(other.version);
        let before = found.insert(other.id, Other { object, version, created: other.created });
        ensure!(before.is_none(), "{} is told twice", other.id);
    }
    ensure!(found == wanted.others, "others: {:?} expected, {found:?} found", wanted.others);
    Ok(())
}

/// Compares a snapshot with the records that it should show, by iteration and by id.
///
/// # Errors
/// The first difference.
pub fn compare_snapshot(
    snapshot: &Snapshot,
    objects: &[ObjectDef],
    records: &Records,
) -> Result<(), Difference> {
    for (number, def) in objects.iter().enumerate() {
        let fail = |error: vellum::Error| format!("{}: {error}", def.name);
        let mut left: BTreeMap<RecordId, &Arc<ModelRecord>> =
            records.iter().filter(|(_, r)| r.object == number).map(|(id, record)| (*id, record)).collect();
        let count = snapshot.count(&def.name).map_err(fail)?;
        ensure!(count == left.len() as u64, "{}: count {count}, {} expected", def.name, left.len());
        for found in snapshot.iter(&def.name).map_err(fail)? {
            let found = found.map_err(fail)?;
            let wanted = left.remove(&found.id);
            let wanted =
                wanted.ok_or_else(|| format!("{} {}: not expected, or twice", def.name, found.id))?;
            same_record(def, found.id, wanted, &found)?;
            let by_id = snapshot.get(&def.name, found.id).map_err(fail)?;
            ensure!(by_id.as_ref() == Some(&found), "{} {}: by id {by_id:?}", def.name, found.id);
        }
        ensure!(left.is_empty(), "{}: {:?} are missing", def.name, left.keys());
    }
    Ok(())
}

/// Compares a store with the model.
///
/// # Errors
/// The first difference.
pub fn compare(store: &Store, model: &Model) -> Result<(), Difference> {
    compare_present(store, model)?;
    crate::compare_past::compare_past(store, model).map_err(|why| format!("the past of {why}"))
}

fn compare_present(store: &Store, model: &Model) -> Result<(), Difference> {
    let fail = |error: vellum::Error| error.to_string();
    ensure!(store.applied_lsn().0 == model.lsn, "lsn {} expected, {} found", model.lsn, store.applied_lsn());
    compare_snapshot(&store.snapshot().map_err(fail)?, &model.objects, &model.records)?;
    if let Some(broken) = model.broken_reference() {
        return Err(format!("store and model agree, and {broken}"));
    }
    let stats = store.stats().map_err(fail)?;
    let entries =
        |name: &str| stats.indexes.iter().find(|index| index.name == name).map(|index| index.entries);
    let all = Some(model.records.len() as u64);
    ensure!(entries("(record ids)") == all, "{all:?} ids expected, {:?} found", entries("(record ids)"));
    for (number, def) in model.objects.iter().enumerate() {
        let object = store.object(&def.name).map_err(fail)?;
        let count = model.records.values().filter(|record| record.object == number).count() as u64;
        ensure!(object.count() == count, "{}: count {}, {count} expected", def.name, object.count());
        ensure!(
            stats.objects[number].records == count,
            "{}: stats say {:?}",
            def.name,
            stats.objects[number]
        );
        for (key_number, key) in def.keys().iter().enumerate() {
            let names: Vec<&str> = key.iter().map(|at| def.attributes[*at].name.as_str()).collect();
            let name = format!("{}.{}", def.name, names.join("+"));
            let wanted = model.key_count(number, key_number) as u64;
            ensure!(
                entries(&name) == Some(wanted),
                "{name}: {wanted} entries expected, {:?} found",
                entries(&name)
            );
        }
    }
    for (id, record) in &model.records {
        let def = &model.objects[record.object];
        let object = store.object(&def.name).map_err(fail)?;
        for key in def.keys() {
            let part = |at: &usize| {
                record.values.get(at).map(|value| (def.attributes[*at].name.clone(), value.clone()))
            };
            let Some(parts) = key.iter().map(part).collect::<Option<Vec<_>>>() else { continue };
            // Each of several values finds the record.
            let keys = match &parts[..] {
                [(name, Value::List(values))] => {
                    values.iter().map(|value| vec![(name.clone(), value.clone())]).collect()
                }
                _ => vec![parts],
            };
            for parts in keys {
                let found = object.get(Key::Attributes(parts.clone())).map_err(fail)?;
                let found = found.ok_or_else(|| format!("{} {id}: not found by {parts:?}", def.name))?;
                same_record(def, *id, record, &found)?;
            }
        }
    }
    Ok(())
}

/// Every request that is kept is answered as it was the first time, and changes nothing.
///
/// # Errors
/// The first difference.
pub fn compare_requests(store: &Store, model: &Model, now: i64) -> Result<(), Difference> {
    for (key, asked) in model.requests.iter().filter(|(key, _)| model.asked(key, now).is_some()) {
        let again = store.apply_once(&Once::new(key), &asked.mutations);
        let again = again.map_err(|error| format!("{key}, asked again: {error}"))?;
        let found: Vec<_> =
            again.iter().map(|outcome| (outcome.id, outcome.version, outcome.created)).collect();
        ensure!(found == asked.outcomes, "{key}: {:?} expected, {found:?} found", asked.outcomes);
        ensure!(
            again.iter().all(|outcome| outcome.lsn.0 == asked.lsn),
            "{key}: another lsn than {}",
            asked.lsn
        );
    }
    let lsn = store.applied_lsn().0;
    ensure!(lsn == model.lsn, "lsn {} expected, {lsn} found, after requests were asked again", model.lsn);
    Ok(())
}

/// The log is replayed from scratch on a copy of the disk, from the newest checkpoint and from the one
/// before, and gives the same state each time: there is one apply. Returns how many commits that were.
///
/// # Errors
/// The first difference.
pub fn replay_check(disk: &MemDisk, model: &Model) -> Result<u64, Difference> {
    let mut replayed = 0;
    let config = Config::new().read_only(true);
    let newest = disk.after_kill();
    let open = |disk: &MemDisk| config.open_on(Arc::new(disk.clone()) as Arc<dyn Disk>);
    let store = open(&newest).map_err(|error| format!("replay: {error}"))?;
    compare(&store, model).map_err(|why| format!("replay: {why}"))?;
    replayed += store.recovery().replayed;
    drop(store);
    let older = disk.after_kill();
    damage_newer_superblock(&older);
    let store = open(&older).map_err(|error| format!("replay from the older checkpoint: {error}"))?;
    compare(&store, model).map_err(|why| format!("replay from the older checkpoint: {why}"))?;
    ensure!(store.recovery().damage.is_some(), "a damaged superblock copy was not reported");
    Ok(replayed + store.recovery().replayed)
}

/// Flips a bit in the superblock copy with the higher generation.
pub fn damage_newer_superblock(disk: &MemDisk) {
    disk.edit("superblock", |bytes| {
        let copy = usize::from(superblock_generation(bytes, 1) > superblock_generation(bytes, 0));
        bytes[copy * 4096 + 40] ^= 1;
    });
}

/// The generation of a copy: 8 bytes at 32 (`src/pagestore/superblock.rs` has the table).
#[must_use]
pub fn superblock_generation(bytes: &[u8], copy: usize) -> u64 {
    let at = copy * 4096 + 32;
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
