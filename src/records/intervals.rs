//! From entries to intervals: when an attribute had which value. Pure.
//!
//! Entries come newest first, as they are linked; intervals come oldest first. What an entry ended began with
//! the entry before it of the same attribute, or with the record's birth. So a value needs no begin of its own,
//! and a change costs no look at older entries.

use super::history::{Entry, EntryKind};
use crate::records::row_header::Header;
use std::collections::BTreeMap;
use vellum_types::AttributeId;
use vellum_types::value::Timestamp;

/// An interval in which an attribute had a value; the end is missing for the present one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub attribute: AttributeId,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

/// One value and its interval.
#[derive(Clone, Debug)]
pub struct Interval<'e> {
    pub attribute: AttributeId,
    pub from: Timestamp,
    /// Missing for the present value.
    pub until: Option<Timestamp>,
    /// Who set it, and who ended it.
    pub set_by: u32,
    pub ended_by: u32,
    /// The entry that has the value; missing for the present value, which the record has.
    pub entry: Option<&'e Entry>,
}

/// When a record was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

/// Where the present value of an attribute began, and with whom.
#[derive(Clone, Copy)]
struct Since {
    from: Timestamp,
    by: u32,
}

/// Walks entries from the oldest on.
struct Walk {
    /// Since when attributes that no entry named since are as they are.
    all: Since,
    each: BTreeMap<AttributeId, Since>,
}

impl Walk {
    fn since(&self, attribute: AttributeId) -> Since {
        self.each.get(&attribute).copied().unwrap_or(self.all)
    }
}

/// Every interval with a value, oldest entry first; then those of `present` attributes, which are open.
/// `born` is when the record was created and by whom, where no entry says it: history may have been
/// switched on later.
pub fn of<'e>(entries: &'e [Entry], born: (Timestamp, u32), present: &[AttributeId]) -> Vec<Interval<'e>> {
    let all = Since { from: born.0, by: born.1 };
    let mut walk = Walk { all, each: BTreeMap::new() };
    let mut found = Vec::new();
    for entry in entries.iter().rev() {
        let now = Since { from: entry.at, by: entry.by };
        match entry.kind {
            EntryKind::Born | EntryKind::Died => {
                walk.all = now;
                walk.each.clear();
            }
            EntryKind::Value => {
                let since = walk.since(entry.attribute);
                walk.each.insert(entry.attribute, now);
                if entry.cell.is_some() {
                    found.push(Interval {
                        attribute: entry.attribute,
                        from: since.from.min(entry.at),
                        until: Some(entry.at),
                        set_by: since.by,
                        ended_by: entry.by,
                        entry: Some(entry),
                    });
                }
            }
            EntryKind::Inserted => {
                let Some((from, until)) = entry.interval else { continue };
                found.push(Interval {
                    attribute: entry.attribute,
                    from,
                    until: Some(until),
                    set_by: entry.by,
                    ended_by: entry.by,
                    entry: Some(entry),
                });
            }
        }
    }
    for attribute in present {
        let since = walk.since(*attribute);
        found.push(Interval {
            attribute: *attribute,
            from: since.from,
            until: None,
            set_by: since.by,
            ended_by: 0,
            entry: None,
        });
    }
    found
}

/// [`of`] without the values, for a record that is there.
pub fn known(entries: &[Entry], header: &Header, present: &[AttributeId]) -> Vec<Known> {
    let created = (Timestamp(header.created_at), header.created_by);
    let found = of(entries, first_birth(entries).unwrap_or(created), present);
    found.iter().map(|i| Known { attribute: i.attribute, from: i.from, until: i.until }).collect()
}

/// When the first life of a record that died began, and with whom: history may have been switched on in it.
pub fn first_birth(entries: &[Entry]) -> Option<(Timestamp, u32)> {
    let origin = entries.iter().rev().find_map(|entry| entry.origin)?;
    Some((origin.created_at, origin.created_by))
}

/// [`known`] for a record that is gone, the entry of its end being the newest.
pub fn known_of_dead(entries: &[Entry]) -> Vec<Known> {
    let found = of(entries, first_birth(entries).unwrap_or((Timestamp(0), 0)), &[]);
    found.iter().map(|i| Known { attribute: i.attribute, from: i.from, until: i.until }).collect()
}

/// When the record was there. `born` is when it was created, where no entry says it; `is_alive` whether it
/// is there now.
pub fn lives(entries: &[Entry], born: Timestamp, is_alive: bool) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for entry in entries.iter().rev() {
        match entry.kind {
            EntryKind::Born => lives.push(Life { from: entry.at, until: None }),
            EntryKind::Died => match lives.last_mut() {
                Some(life) if life.until.is_none() => life.until = Some(entry.at),
                _ => {
                    let from = entry.origin.map_or(born, |origin| origin.created_at);
                    lives.push(Life { from, until: Some(entry.at) });
                }
            },
            EntryKind::Value | EntryKind::Inserted => {}
        }
    }
    if is_alive && lives.last().is_none_or(|life| life.until.is_some()) {
        lives.push(Life { from: born, until: None });
    }
    lives
}

/// The version that the record had at a moment: the one that the first change behind it ended.
pub fn version_at(entries: &[Entry], at: Timestamp, version: u64) -> u64 {
    let changes = entries.iter().filter(|entry| entry.kind != EntryKind::Born);
    changes.filter(|entry| entry.at > at).map(|entry| entry.version).min().unwrap_or(version)
}

/// The last change at or before a moment, and who made it.
pub fn last_change(entries: &[Entry], at: Timestamp) -> Option<(Timestamp, u32)> {
    entries.iter().filter(|entry| entry.at <= at).map(|entry| (entry.at, entry.by)).max_by_key(|(at, _)| *at)
}
