use super::Rng;
use crate::page::delta::{Cover, Delta, UNIT_LEN, WINDOW_LEN};

/// What a delta is: for each byte of the page, the value it gives it, if any.
fn flat(delta: &Delta, len: usize) -> Vec<Option<u8>> {
    let mut flat = vec![None; len];
    let mut before = 0;
    for (offset, bytes) in delta.iter() {
        assert!(offset >= before && !bytes.is_empty(), "ranges are sorted, apart and not empty");
        before = offset + bytes.len();
        for (index, byte) in bytes.iter().enumerate() {
            flat[offset + index] = Some(*byte);
        }
    }
    assert_eq!(delta.end(), before);
    flat
}

fn encoded(delta: &Delta) -> Vec<u8> {
    let mut out = Vec::new();
    delta.encode(&mut out);
    out
}

/// Nothing is known of what lies below.
fn unknown(_: usize, _: &mut [u8; UNIT_LEN]) -> bool {
    false
}

/// A delta over a base, and the same as plain bytes.
struct Checked {
    base: Vec<u8>,
    delta: Delta,
    changed: Vec<Option<u8>>,
    /// Whether a write is told what the base has.
    knows_base: bool,
}

impl Checked {
    fn new(base: Vec<u8>, knows_base: bool) -> Checked {
        let changed = vec![None; base.len()];
        Checked { base, delta: Delta::default(), changed, knows_base }
    }

    fn below(&self, offset: usize, into: &mut [u8; UNIT_LEN]) -> bool {
        let end = self.base.len().min(offset + UNIT_LEN);
        into[..end - offset].copy_from_slice(&self.base[offset..end]);
        self.knows_base
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let mut delta = std::mem::take(&mut self.delta);
        delta.write(offset, bytes, |at, into| self.below(at, into));
        self.delta = delta;
        for (index, byte) in bytes.iter().enumerate() {
            self.changed[offset + index] = Some(*byte);
        }
    }

    fn now(&self) -> Vec<u8> {
        self.changed.iter().zip(&self.base).map(|(changed, base)| changed.unwrap_or(*base)).collect()
    }

    /// Reads a random range in every way there is.
    fn check_reads(&self, rng: &mut Rng) {
        let offset = rng.below(self.base.len());
        let len = rng.below(40).min(self.base.len() - offset);
        let now = self.now();
        let mut found = self.base[offset..offset + len].to_vec();
        self.delta.overlay(offset, &mut found);
        assert_eq!(found, now[offset..offset + len]);
        let changed = &self.changed[offset..offset + len];
        match self.delta.cover(offset, len) {
            Cover::None => assert!(changed.iter().all(Option::is_none)),
            Cover::Whole(bytes) => assert_eq!(bytes, &now[offset..offset + len]),
            Cover::Part => assert!(len > 1),
        }
    }
}

fn random_write(rng: &mut Rng, page_len: usize) -> (usize, Vec<u8>) {
    let offset = rng.below(page_len);
    let longest = if rng.below(10) == 0 { 80 } else { 12 };
    let len = rng.below(longest).min(page_len - offset);
    (offset, rng.bytes(len))
}

#[test]
fn writes_of_any_overlap_read_like_an_array() {
    for seed in 0..80 {
        let mut rng = Rng::new(seed);
        let len = 50 + rng.below(400);
        let mut page = Checked::new(rng.bytes(len), seed % 2 == 0);
        for _ in 0..300 {
            let (offset, bytes) = random_write(&mut rng, len);
            page.write(offset, &bytes);
            page.check_reads(&mut rng);
        }
        assert_eq!(flat(&page.delta, len), page.changed);
        let decoded = Delta::decode(&encoded(&page.delta)).unwrap();
        assert_eq!(flat(&decoded, len), page.changed);
        let mut applied = page.base.clone();
        page.delta.apply_to(&mut applied);
        assert_eq!(applied, page.now());
    }
}

#[test]
fn a_delta_over_a_delta_merges_into_what_both_say() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let len = 40 + rng.below(300);
        let mut older = Checked::new(rng.bytes(len), seed % 2 == 0);
        for _ in 0..rng.below(30) {
            let (offset, bytes) = random_write(&mut rng, len);
            older.write(offset, &bytes);
        }
        let mut newer = Checked::new(older.now(), seed % 3 == 0);
        for _ in 0..rng.below(30) {
            let (offset, bytes) = random_write(&mut rng, len);
            newer.write(offset, &bytes);
        }
        let both = older.changed.iter().zip(&newer.changed).map(|(older, newer)| newer.or(*older));
        let mut merged = Checked { changed: both.collect(), ..older };
        merged.delta.merge(newer.delta);
        assert_eq!(flat(&merged.delta, len), merged.changed, "seed {seed}");
        for _ in 0..50 {
            merged.check_reads(&mut rng);
        }
    }
}

#[test]
fn ranges_in_any_part_of_a_long_page_are_found() {
    let mut delta = Delta::default();
    let places = [5, 65_530, 65_536, 131_072 + 7, 16 << 20, 20];
    for (index, place) in places.into_iter().enumerate() {
        delta.write(place, &[index as u8 + 1; 12], unknown);
    }
    for (index, place) in places.into_iter().enumerate().filter(|(_, place)| *place != 65_530) {
        assert_eq!(delta.cover(place, 4), Cover::Whole(&[index as u8 + 1; 4]));
    }
    assert_eq!(delta.cover(65_534, 4), Cover::Part, "two windows");
    assert_eq!(delta.cover(200_000, 64), Cover::None);
    assert_eq!(delta.end(), (16 << 20) + 12);
    assert_eq!(flat(&Delta::decode(&encoded(&delta)).unwrap(), 17 << 20), flat(&delta, 17 << 20));
    assert!(delta.memory_len() < 64 << 10, "untouched windows cost nothing: {}", delta.memory_len());
}

#[test]
fn an_empty_delta_says_nothing() {
    let mut delta = Delta::default();
    delta.write(10, &[], unknown);
    assert!(delta.is_empty() && delta.end() == 0 && encoded(&delta).is_empty() && delta.memory_len() == 0);
    assert_eq!(delta.cover(0, 100), Cover::None);
    assert!(Delta::decode(&[]).unwrap().is_empty());
}

#[test]
fn the_same_range_again_takes_no_more_memory() {
    let mut delta = Delta::default();
    delta.write(100, &[1; 20], unknown);
    let before = delta.memory_len();
    for round in 0..100u8 {
        delta.write(100, &[round; 20], unknown);
        delta.write(104, &[round; 4], unknown);
    }
    assert_eq!((delta.memory_len(), encoded(&delta).len()), (before, 22));
}

#[test]
fn a_touched_header_costs_one_unit_of_memory_and_two_bytes_more_encoded() {
    let mut delta = Delta::default();
    for index in (0..1024).rev() {
        delta.write(index * 64, &[1; 20], |_, _| true);
    }
    assert!(delta.memory_len() <= 1024 * (40 + 8), "{}", delta.memory_len());
    assert_eq!(encoded(&delta).len(), 1024 * 22);
}

#[test]
fn a_difference_turns_base_into_now() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let len = rng.below(700);
        let base = rng.bytes(len);
        let mut now = base.clone();
        let changes = rng.below(8);
        for _ in 0..changes {
            let (at, count) = (rng.below(len), rng.below(30));
            for byte in now.iter_mut().skip(at).take(count) {
                *byte = if rng.below(3) == 0 { 0 } else { rng.next() as u8 };
            }
        }
        match rng.below(3) {
            0 => now.extend(vec![0; rng.below(200)]),
            1 => {
                let more = rng.below(200);
                now.extend(rng.bytes(more));
            }
            _ => now.truncate(rng.below(len + 1)),
        }
        let delta = Delta::diff(&base, &now);
        let mut built = base.clone();
        delta.apply_to(&mut built);
        now.resize(now.len().max(base.len()), 0);
        assert_eq!(built, now, "seed {seed}");
        flat(&delta, now.len());
    }
}

#[test]
fn a_difference_is_about_as_small_as_the_change() {
    let base = vec![7u8; 65_536];
    assert!(Delta::diff(&base, &base).is_empty());
    let mut now = base.clone();
    now[1000..1020].fill(1);
    now[1024] = 2;
    now[40_000] = 3;
    let delta = Delta::diff(&base, &now);
    let expected = [&[0xe8, 0x07, 25][..], &now[1000..1025], &[0xbf, 0xb0, 0x02, 1, 3]].concat();
    assert_eq!(encoded(&delta), expected, "near ranges are joined, far ones are not");
    now.resize(70_000, 0);
    assert_eq!(Delta::diff(&base, &now).end(), 70_000, "a longer page keeps its length");
}

#[test]
fn hostile_bytes_are_refused_or_a_delta_and_never_a_panic() {
    let mut rng = Rng::new(5);
    for round in 0..5000 {
        let len = rng.below(60);
        let mut bytes = rng.bytes(len);
        if round % 2 == 0 {
            bytes.iter_mut().for_each(|byte| *byte &= 0x0f);
        }
        if let Ok(delta) = Delta::decode(&bytes) {
            let twice = Delta::decode(&encoded(&delta)).unwrap();
            assert!(delta.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= bytes.len());
            assert_eq!((twice.end(), encoded(&twice)), (delta.end(), encoded(&delta)));
        }
    }
    assert!(Delta::decode(&[0, 0]).is_err(), "an empty range");
    assert!(Delta::decode(&[0x80, 0x80, 0x80, 0x20, 1, 7]).is_err(), "a range behind the longest page");
    assert!(Delta::decode(&[0, 200, 1]).is_err(), "a range cut short");
}

#[test]
fn units_are_found_whatever_their_numbers_and_however_many_there_are() {
    // Numbers that share their low bits meet in a short table; a full window has a home for each.
    for stride in [1, 2, 7, 64, 128, 1024] {
        let mut delta = Delta::default();
        let offsets: Vec<usize> = (0..2 * WINDOW_LEN).step_by(UNIT_LEN * stride).collect();
        for (count, offset) in offsets.iter().enumerate() {
            assert_eq!(delta.cover(*offset, 1), Cover::None, "stride {stride}, unit {count}");
            delta.write(*offset, &[count as u8 | 1], |_, _| false);
        }
        for (count, offset) in offsets.iter().enumerate() {
            assert_eq!(delta.cover(*offset, 1), Cover::Whole(&[count as u8 | 1]), "stride {stride}");
        }
        assert!(delta.iter().map(|(offset, _)| offset).eq(offsets), "stride {stride}: in order");
    }
}
