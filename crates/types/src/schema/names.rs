//! Names to positions, without allocation: hashes in one run of memory, confirmed against the name.

use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64;

/// No name has this place of the table; there are at most 65,535 names.
const FREE: u16 = u16::MAX;

/// Position of each name at the place of the table that its hash points to, or at the next free one behind it:
/// open addressing, at most half full. What it says follows from the names beside it, so two tables are always equal
/// to a comparison of schemas.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Box<[u16]>);

impl PartialEq for Names {
    fn eq(&self, _: &Names) -> bool {
        true
    }
}

impl Names {
    /// The table of these names, at most 65,535; an empty one is nobody's. Of equal ones the first is found.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Names {
        let named: Vec<(&str, u16)> = names.zip(0..FREE).filter(|(name, _)| !name.is_empty()).collect();
        let mut table = vec![FREE; (2 * named.len()).next_power_of_two()].into_boxed_slice();
        for (name, at) in named {
            let mut place = xxh3_64(name.as_bytes()) as usize & (table.len() - 1);
            while table[place] != FREE {
                place = (place + 1) & (table.len() - 1);
            }
            table[place] = at;
        }
        Names(table)
    }

    /// The position of `name`; `name_at` gives the name at a position.
    #[inline]
    pub(super) fn find<'a>(&self, name: &str, name_at: impl Fn(usize) -> &'a String) -> Option<usize> {
        let mask = self.0.len().checked_sub(1)?;
        let mut place = xxh3_64(name.as_bytes()) as usize & mask;
        loop {
            let at = self.0[place];
            if at == FREE {
                return None;
            }
            if name_at(usize::from(at)) == name {
                return Some(usize::from(at));
            }
            place = (place + 1) & mask;
        }
    }
}

/// What to tell someone who asked for a name that is not there: the closest one, else all of a few.
pub(super) fn hint<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    const LISTED_MAX: usize = 12;
    // An error may not cost more than the request: names of another length are not compared.
    const COMPARED_MAX: usize = 1_000;
    let wanted = shortened(wanted);
    let edits_max = 1 + wanted.len() / 4;
    let similar = names.clone().filter(|name| name.len().abs_diff(wanted.len()) <= edits_max);
    let near = similar.take(COMPARED_MAX).map(|name| (distance(&wanted, name), name)).min();
    if let Some((edits, name)) = near
        && edits <= edits_max
    {
        return format!("; did you mean {name:?}?");
    }
    let mut text = String::new();
    for (at, name) in names.take(LISTED_MAX + 1).enumerate() {
        match at {
            0 => write!(text, "; there are {name}"),
            LISTED_MAX => write!(text, ", …"),
            _ => write!(text, ", {name}"),
        }
        .expect("writing to a String cannot fail");
    }
    text
}

/// A name as a message shows it: no longer than a name may be.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(super::NAME_LEN_MAX).collect()
}

/// Single-character edits between two names, upper and lower case being alike.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
