use super::Rng;
use crate::page::delta::Delta;

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

fn check_reads(delta: &Delta, model: &[Option<u8>], rng: &mut Rng) {
    let (offset, len) = (rng.below(model.len()), rng.below(40));
    let expected: Vec<Option<u8>> =
        (offset..offset + len).map(|at| model.get(at).copied().flatten()).collect();
    let mut found = vec![0xee; len];
    delta.overlay(offset, &mut found);
    let overlaid: Vec<u8> = expected.iter().map(|byte| byte.unwrap_or(0xee)).collect();
    assert_eq!(found, overlaid);
    assert_eq!(delta.touches(offset, len), expected.iter().any(Option::is_some));
    if let Some(bytes) = delta.covering(offset, len) {
        assert_eq!(bytes, overlaid);
        assert!(expected.iter().all(Option::is_some));
    }
}

#[test]
fn writes_of_any_overlap_read_like_an_array() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let len = 50 + rng.below(400);
        let (mut delta, mut model) = (Delta::default(), vec![None; len]);
        for _ in 0..300 {
            let offset = rng.below(len);
            let longest = if rng.below(10) == 0 { 80 } else { 12 };
            let count = rng.below(longest).min(len - offset);
            let bytes = rng.bytes(count);
            delta.write(offset, &bytes);
            for (index, byte) in bytes.into_iter().enumerate() {
                model[offset + index] = Some(byte);
            }
            check_reads(&delta, &model, &mut rng);
        }
        assert_eq!(flat(&delta, len), model);
        let mut encoded = vec![9];
        delta.encode(&mut encoded);
        assert_eq!(encoded.len() - 1, delta.encoded_len());
        assert_eq!(flat(&Delta::decode(&encoded[1..]).unwrap(), len), model);
    }
}

#[test]
fn an_empty_delta_says_nothing() {
    let mut delta = Delta::default();
    delta.write(10, &[]);
    assert!(delta.is_empty() && delta.end() == 0 && delta.encoded_len() == 0 && delta.memory_len() == 0);
    assert!(!delta.touches(0, 100) && delta.covering(0, 1).is_none());
    assert!(Delta::decode(&[]).unwrap().is_empty());
}

#[test]
fn the_same_range_again_takes_no_more_memory() {
    let mut delta = Delta::default();
    delta.write(100, &[1; 20]);
    let before = delta.memory_len();
    for round in 0..100u8 {
        delta.write(100, &[round; 20]);
        delta.write(104, &[round; 4]);
    }
    assert_eq!((delta.memory_len(), delta.range_count()), (before, 1));
}

#[test]
fn appends_grow_one_range() {
    let mut delta = Delta::default();
    for index in 0..100 {
        delta.write(1000 + index * 7, &[index as u8; 7]);
    }
    assert_eq!((delta.range_count(), delta.end()), (1, 1700));
}

#[test]
fn growing_overlaps_do_not_pile_up_garbage() {
    let mut delta = Delta::default();
    for len in 1..2000 {
        delta.write(4000 - len, &vec![len as u8; len]);
    }
    assert_eq!(delta.range_count(), 1);
    assert!(delta.memory_len() < 4 * 2000 + 12 * 8, "{}", delta.memory_len());
}

#[test]
fn a_range_costs_twelve_bytes_of_memory_and_two_to_five_encoded() {
    let mut delta = Delta::default();
    for index in (0..1024).rev() {
        delta.write(index * 64, &[1; 20]);
    }
    assert_eq!(delta.range_count(), 1024);
    assert!(delta.memory_len() <= 2 * 1024 * (12 + 20));
    assert_eq!(delta.encoded_len(), 1024 * 22);
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
    let ranges: Vec<(usize, usize)> = delta.iter().map(|(offset, bytes)| (offset, bytes.len())).collect();
    assert_eq!(ranges, [(1000, 25), (40_000, 1)], "near ranges are joined, far ones are not");
    now.resize(70_000, 0);
    assert_eq!(Delta::diff(&base, &now).end(), 70_000, "a longer page keeps its length");
}

#[test]
fn pruning_drops_what_the_base_says() {
    let base: Vec<u8> = (0..100).collect();
    let mut delta = Delta::default();
    delta.write(10, &base[10..20]);
    delta.write(30, &[0, 0]);
    delta.write(98, &[98, 99, 0]);
    delta.prune_equal(&base);
    let ranges: Vec<usize> = delta.iter().map(|(offset, _)| offset).collect();
    assert_eq!(ranges, [30, 98], "a range behind the base's end is kept");
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
            let mut again = Vec::new();
            delta.encode(&mut again);
            let twice = Delta::decode(&again).unwrap();
            assert!(delta.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= bytes.len());
            assert_eq!((twice.end(), twice.encoded_len()), (delta.end(), again.len()));
        }
    }
    assert!(Delta::decode(&[0, 0]).is_err(), "an empty range");
    assert!(Delta::decode(&[0x80, 0x80, 0x80, 0x20, 1, 7]).is_err(), "a range behind the longest page");
    assert!(Delta::decode(&[0, 200, 1]).is_err(), "a range cut short");
}
