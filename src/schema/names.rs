//! Names to positions, without allocation: hashes in one run of memory, confirmed against the name.

use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64;

/// Up to here a walk over the hashes beats a search; 16 entries are four cache lines.
const WALK_MAX: usize = 16;

/// Hash and position of each name, in the order of the hashes where there are many. What it says
/// follows from the names beside it, so two tables are always equal to a comparison of schemas.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(u64, u16)>);

impl PartialEq for Names {
    fn eq(&self, _: &Names) -> bool {
        true
    }
}

impl Names {
    /// The table of these names, at most 65,536.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Names {
        let mut entries: Vec<(u64, u16)> =
            names.zip(0..=u16::MAX).map(|(name, at)| (xxh3_64(name.as_bytes()), at)).collect();
        if entries.len() > WALK_MAX {
            entries.sort_unstable();
        }
        Names(entries)
    }

    /// The position of `name`; `name_at` gives the name at a position.
    #[inline]
    pub(super) fn find<'a>(&self, name: &str, name_at: impl Fn(usize) -> &'a String) -> Option<usize> {
        let hash = xxh3_64(name.as_bytes());
        let start = if self.0.len() > WALK_MAX { self.0.partition_point(|entry| entry.0 < hash) } else { 0 };
        let candidates = self.0[start..].iter();
        let candidates = candidates.take_while(|entry| self.0.len() <= WALK_MAX || entry.0 == hash);
        candidates
            .filter(|entry| entry.0 == hash)
            .map(|entry| usize::from(entry.1))
            .find(|at| name_at(*at) == name)
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
