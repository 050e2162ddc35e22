use super::{Damaged, Layered, Rng, Watched};
use crate::page::bucket::{
    count, entries, find, insert, is_incomplete, mark_incomplete, new_empty, remove, replace_value, split,
    touch, verify,
};
use crate::page::{PageRead, PageWrite};
use std::collections::HashMap;
use vellum_bytes::{ErrorKind, Result};

type Model = HashMap<u64, Vec<u64>>;

/// A hash with this bucket number, home and tag, for collisions of each kind.
fn hash(low: u64, home: u64, tag: u64) -> u64 {
    low | home << 40 | tag << 56
}

fn values(page: &impl PageRead, hash: u64) -> Vec<u64> {
    let mut values = Vec::new();
    let stopped = find(page, hash, &mut |value| {
        values.push(value);
        Ok(false)
    });
    assert!(!stopped.unwrap());
    values.sort_unstable();
    values
}

fn sorted(page: &impl PageRead) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    entries(page, &mut |hash, value| {
        all.push((hash, value));
        Ok(())
    })
    .unwrap();
    all.sort_unstable();
    all
}

fn check(page: &impl PageRead, model: &Model) {
    verify(page).unwrap();
    let mut expected: Vec<(u64, u64)> =
        model.iter().flat_map(|(hash, values)| values.iter().map(|value| (*hash, *value))).collect();
    expected.sort_unstable();
    assert_eq!(sorted(page), expected);
    assert_eq!(count(page).unwrap() as usize, expected.len());
}

fn run_model(page: &mut impl PageWrite, seed: u64, pick: impl Fn(&mut Rng) -> u64) {
    let (mut rng, mut model) = (Rng::new(seed), Model::new());
    for round in 0..4000usize {
        // Grows for a while, then shrinks, and again.
        let growing = round / 800 % 2 == 0;
        let hash = pick(&mut rng);
        let have = model.entry(hash).or_default();
        let value = rng.below(1 << 20) as u64;
        match rng.below(8) {
            0 => {
                assert!(!remove(page, hash, u64::MAX).unwrap());
                assert!(!replace_value(page, hash, u64::MAX, 0).unwrap());
            }
            1 if !have.is_empty() => {
                let at = rng.below(have.len());
                assert!(replace_value(page, hash, have[at], value).unwrap());
                have[at] = value;
            }
            2 if growing && !have.is_empty() => assert!(remove(page, hash, have.pop().unwrap()).unwrap()),
            _ if growing => {
                insert(page, hash, value).unwrap();
                have.push(value);
            }
            _ => {
                if let Some((hash, values)) = model.iter_mut().find(|(_, values)| !values.is_empty()) {
                    assert!(remove(page, *hash, values.pop().unwrap()).unwrap());
                }
            }
        }
        let mut expected = model.get(&hash).cloned().unwrap_or_default();
        expected.sort_unstable();
        assert_eq!(values(page, hash), expected, "seed {seed} round {round}");
        if round % 100 == 0 {
            check(page, &model);
        }
    }
    check(page, &model);
}

#[test]
fn a_bucket_answers_like_a_map() {
    run_model(&mut Vec::new(), 1, |rng| rng.next());
    run_model(&mut new_empty(), 2, |rng| rng.next() % 600);
    run_model(&mut Layered::default(), 3, |rng| rng.next());
}

#[test]
fn a_bucket_answers_like_a_map_when_everything_collides() {
    run_model(&mut Vec::new(), 4, |rng| hash(rng.below(300) as u64, 3, 0));
    run_model(&mut Vec::new(), 5, |_| 42);
    run_model(&mut Layered::default(), 6, |rng| hash(rng.below(9) as u64, 0xffff, rng.below(3) as u64));
}

#[test]
fn an_empty_page_is_an_empty_bucket() {
    for mut page in [Vec::new(), new_empty()] {
        assert!(!find(&page, 7, &mut |_| Ok(true)).unwrap());
        assert!(!remove(&mut page, 7, 7).unwrap());
        assert!(!replace_value(&mut page, 7, 7, 8).unwrap());
        assert!(sorted(&page).is_empty() && !is_incomplete(&page).unwrap());
        verify(&page).unwrap();
        touch(&page, 7, 1).unwrap();
        insert(&mut page, 0, 0).unwrap();
        assert_eq!((values(&page, 0), count(&page).unwrap(), page.len()), (vec![0], 1, 320));
    }
}

#[test]
fn a_cell_is_filled_to_the_last_and_then_doubles() {
    let mut page = Vec::new();
    for value in 0..15 {
        insert(&mut page, hash(value, 0, value), value).unwrap();
        assert_eq!(page.len(), 64 + 256);
    }
    insert(&mut page, hash(15, 0, 15), 15).unwrap();
    assert_eq!(page.len(), 64 + 512);
    verify(&page).unwrap();
    for value in 16..27 {
        insert(&mut page, hash(value, 1, value), value).unwrap();
    }
    assert_eq!((page.len(), count(&page).unwrap()), (64 + 1024, 27), "over 7/8 of two cells are four");
    for value in 0..27 {
        assert_eq!(values(&page, hash(value, u64::from(value > 15), value)), [value]);
    }
}

#[test]
fn find_stops_at_the_value_that_is_confirmed() {
    let mut page = Vec::new();
    for value in [10, 20, 30] {
        insert(&mut page, 5, value).unwrap();
    }
    let mut seen = 0;
    let found = find(&page, 5, &mut |value| {
        seen += 1;
        Ok(value == 20)
    });
    assert!(found.unwrap());
    assert_eq!(seen, 2);
    let failing = &mut |_| -> Result<bool> { Err(vellum_bytes::Error::corrupt("x", 1, "from the caller")) };
    assert_eq!(find(&page, 5, failing).unwrap_err().place().unwrap().file, "x");
}

#[test]
fn a_split_parts_the_entries_by_one_bit() {
    let mut rng = Rng::new(8);
    for size in [0, 1, 15, 16, 200, 1000] {
        let (mut page, mut all) = (Vec::new(), Vec::new());
        for value in 0..size {
            let hash = rng.next();
            insert(&mut page, hash, value).unwrap();
            all.push((hash, value));
        }
        let mut out = vec![9; 5];
        split(&mut page, 6, &mut out).unwrap();
        verify(&page).unwrap();
        verify(&out).unwrap();
        all.sort_unstable();
        let (moved, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|(hash, _)| hash & 64 != 0);
        assert_eq!((sorted(&out), sorted(&page)), (moved, kept));
    }
}

#[test]
fn the_same_calls_make_the_same_bytes_whatever_the_page_is_made_of() {
    let (mut owned, mut layered) = (Vec::new(), Layered::default());
    let mut rng = Rng::new(9);
    let mut held = Vec::new();
    for _ in 0..2000 {
        if rng.below(3) > 0 || held.is_empty() {
            let entry = (rng.next(), rng.next());
            held.push(entry);
            insert(&mut owned, entry.0, entry.1).unwrap();
            insert(&mut layered, entry.0, entry.1).unwrap();
        } else {
            let (hash, value) = held.swap_remove(rng.below(held.len()));
            assert!(remove(&mut owned, hash, value).unwrap() && remove(&mut layered, hash, value).unwrap());
        }
        assert_eq!(owned.len(), PageRead::len(&layered));
    }
    assert_eq!(owned, layered.whole());
}

#[test]
fn a_bucket_that_is_emptied_gets_small_again() {
    let mut page = Vec::new();
    for value in 0..3000 {
        insert(&mut page, value << 40 | value, value).unwrap();
    }
    let largest = page.len();
    for value in 0..3000 {
        assert!(remove(&mut page, value << 40 | value, value).unwrap());
    }
    verify(&page).unwrap();
    assert!(largest > 60_000 && page.len() == 320, "{largest} {}", page.len());
}

#[test]
fn an_incomplete_bucket_says_so_and_answers_nothing() {
    let mut page = new_empty();
    insert(&mut page, 1, 1).unwrap();
    mark_incomplete(&mut page);
    assert!(is_incomplete(&page).unwrap());
    let errors = [
        find(&page, 1, &mut |_| Ok(true)).unwrap_err(),
        insert(&mut page, 1, 1).unwrap_err(),
        remove(&mut page, 1, 1).unwrap_err(),
        replace_value(&mut page, 1, 1, 2).unwrap_err(),
        split(&mut page, 0, &mut Vec::new()).unwrap_err(),
        entries(&page, &mut |_, _| Ok(())).unwrap_err(),
        touch(&page, 1, 1).unwrap_err(),
        verify(&page).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("lost to damage"), "{error}");
    }
    let mut page = Damaged::new(320);
    assert!(insert(&mut page, 1, 1).is_err() && page.delta.is_empty());
    mark_incomplete(&mut page);
    assert!(is_incomplete(&page).unwrap());
}

#[test]
fn a_touch_reads_what_a_change_will_read() {
    let mut rng = Rng::new(10);
    let (mut page, mut held) = (Watched::default(), Vec::new());
    for round in 0..3000usize {
        let growing = round / 600 % 2 == 0;
        page.strict(false);
        if growing || held.is_empty() {
            let entry = (rng.next(), rng.next());
            touch(&page, entry.0, 1).unwrap();
            page.strict(true);
            insert(&mut page, entry.0, entry.1).unwrap();
            held.push(entry);
        } else {
            let (hash, value) = held.swap_remove(rng.below(held.len()));
            touch(&page, hash, 1).unwrap();
            page.strict(true);
            assert!(remove(&mut page, hash, value).unwrap());
        }
    }
    page.strict(false);
    touch(&page, held.first().map_or(0, |entry| entry.0), 10_000).unwrap();
    page.strict(true);
    for value in 0..1000 {
        insert(&mut page, rng.next(), value).unwrap();
    }
}

#[test]
fn a_touch_reads_past_a_full_cell_that_nothing_passed_yet() {
    // 32 cells; cell 15 is full, so that the entry goes to cell 16.
    let mut page = Vec::new();
    for value in 0..250 {
        let home = value % 28 + if value % 28 < 14 { 0 } else { 4 };
        insert(&mut page, hash(value, home, value), value).unwrap();
    }
    assert_eq!(page.len(), 64 + 32 * 256);
    for value in 0..15 {
        insert(&mut page, hash(value, 15, value), value).unwrap();
    }
    let mut page = Watched::over(page);
    touch(&page, hash(99, 15, 9), 1).unwrap();
    page.strict(true);
    insert(&mut page, hash(99, 15, 9), 99).unwrap();
    assert_eq!(page.bytes[64 + 15 * 256 + 15], 1);
}

/// Runs everything over bytes that may be anything; what matters is that it ends, without a panic.
fn run_hostile(bytes: &[u8], rng: &mut Rng) {
    let hash = if rng.below(2) == 0 { rng.next() } else { rng.below(4) as u64 };
    let _ = find(&bytes.to_vec(), hash, &mut |_| Ok(false));
    let _ = entries(&bytes.to_vec(), &mut |_, _| Ok(()));
    let _ = (verify(&bytes.to_vec()), count(&bytes.to_vec()), is_incomplete(&bytes.to_vec()));
    let mut page = bytes.to_vec();
    let before = page.clone();
    for _ in 0..4 {
        let _ = touch(&page, hash, 3);
        let unchanged = page.clone();
        if insert(&mut page, hash, 1).is_err() {
            assert_eq!(page, unchanged, "an error changes nothing");
        }
        let _ = remove(&mut page, hash, rng.next());
        let _ = remove(&mut page, hash, 1);
        let _ = replace_value(&mut page, hash, 1, 2);
    }
    let mut page = before;
    let _ = split(&mut page, 3, &mut Vec::new());
}

#[test]
fn hostile_bytes_never_panic_and_never_loop() {
    let mut rng = Rng::new(11);
    for round in 0..3000 {
        let len = match round % 3 {
            0 => 64 + (256 << rng.below(4)),
            1 => rng.below(1000),
            _ => [0, 64, 63, 65, 319, 320, 321, 576][rng.below(8)],
        };
        let bytes = rng.bytes(len);
        run_hostile(&bytes, &mut rng);
    }
}

#[test]
fn a_sound_bucket_with_one_wrong_byte_never_panics_and_verify_finds_it() {
    let mut rng = Rng::new(12);
    let mut page = Vec::new();
    for value in 0..60 {
        insert(&mut page, hash(rng.next() & 0xffff, rng.below(3) as u64, rng.below(256) as u64), value)
            .unwrap();
    }
    for at in 0..page.len() {
        let mut bad = page.clone();
        bad[at] ^= 1 << rng.below(8);
        run_hostile(&bad, &mut rng);
        // A value says nothing about itself, nor do the low bits of a hash: the block's CRC does.
        let in_entry = at >= 64 && (at - 64) % 256 >= 16;
        if !in_entry {
            assert!(verify(&bad).is_err(), "byte {at}");
        }
    }
}

#[test]
fn overflow_counters_that_ran_full_stay_full_until_the_bucket_is_rebuilt() {
    // 300 entries of one home pass the first cell, more than its counter can say.
    let mut page = Vec::new();
    for value in 0..300 {
        insert(&mut page, hash(value, 0, 1), value).unwrap();
    }
    let cells = (page.len() - 64) / 256;
    assert_eq!(page[64 + 15], 255, "{cells} cells");
    verify(&page).unwrap();
    for value in 0..200 {
        assert!(remove(&mut page, hash(value, 0, 1), value).unwrap());
        verify(&page).unwrap();
    }
    for value in 200..300 {
        assert_eq!(values(&page, hash(value, 0, 1)), [value]);
    }
}
