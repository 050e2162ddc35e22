use super::{Damaged, Group, Layered, Rng, Watched};
use crate::id::GROUP_ROWS;
use crate::page::slots::{SLOTS_START, Width, set_fixed};
use crate::page::varlen::{
    BUFFER_LEN_MAX, DATA_START, DEAD_LEN_FREE, OWN_LEN_MIN, clear, equals, read, set, touch, verify,
};
use crate::page::{Columns, PageWrite};
use std::collections::BTreeMap;
use vellum_bytes::ErrorKind;

const COLUMN: u32 = 5 << 16;

fn value(cols: &impl Columns, slot: u32) -> Option<Vec<u8>> {
    let mut out = vec![1, 2, 3];
    let present = read(cols, COLUMN, slot, &mut out).unwrap();
    assert_eq!(out[..3], [1, 2, 3], "a read appends");
    present.then(|| out.split_off(3))
}

fn check(cols: &impl Columns, model: &BTreeMap<u32, Vec<u8>>, rows: u32) {
    verify(cols, COLUMN, rows).unwrap();
    for slot in 0..rows {
        assert_eq!(value(cols, slot).as_ref(), model.get(&slot), "slot {slot}");
    }
}

fn any_len(rng: &mut Rng) -> usize {
    match rng.below(40) {
        0 => [0, 1, 11, 12, 13, OWN_LEN_MIN - 1, OWN_LEN_MIN, OWN_LEN_MIN + 1][rng.below(8)],
        1 => OWN_LEN_MIN + rng.below(80_000),
        2..6 => rng.below(OWN_LEN_MIN),
        6..20 => rng.below(300),
        _ => rng.below(40),
    }
}

#[test]
fn a_column_answers_like_a_map_and_the_same_calls_make_the_same_pages() {
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let rows = [3, 40, GROUP_ROWS as usize][seed as usize % 3];
        let (mut owned, mut layered) = (Group::<Vec<u8>>::default(), Group::<Layered>::default());
        let mut model = BTreeMap::new();
        for round in 0..3000 {
            let slot = rng.below(rows) as u32;
            if rng.below(5) == 0 {
                clear(&mut owned, COLUMN, slot);
                clear(&mut layered, COLUMN, slot);
                model.remove(&slot);
            } else {
                let len = any_len(&mut rng);
                let bytes = rng.bytes(len);
                set(&mut owned, COLUMN, slot, &bytes);
                set(&mut layered, COLUMN, slot, &bytes);
                assert!(equals(&layered, COLUMN, slot, &bytes).unwrap());
                assert!(!equals(&owned, COLUMN, slot, &[&bytes[..], b"x"].concat()).unwrap());
                model.insert(slot, bytes);
            }
            assert_eq!(value(&owned, slot).as_ref(), model.get(&slot));
            if round % 300 == 0 {
                check(&owned, &model, rows as u32);
                check(&layered, &model, rows as u32);
            }
        }
        check(&owned, &model, rows as u32);
        let flat: BTreeMap<u32, Vec<u8>> =
            layered.pages.iter().map(|(column, page)| (*column, page.whole())).collect();
        assert_eq!(owned.pages, flat, "seed {seed}");
        for slot in 0..rows as u32 {
            clear(&mut owned, COLUMN, slot);
        }
        assert_eq!(owned.pages.len(), 1, "buffers go with their last value");
    }
}

#[test]
fn short_values_live_in_the_view() {
    let mut cols = Group::<Vec<u8>>::default();
    for (slot, text) in ["", "a", "twelve bytes"].iter().enumerate() {
        set(&mut cols, COLUMN, slot as u32, text.as_bytes());
        assert_eq!(value(&cols, slot as u32).unwrap(), text.as_bytes());
    }
    assert_eq!(cols.pages.keys().copied().collect::<Vec<_>>(), [COLUMN]);
    assert_eq!(value(&cols, 3), None);
    assert!(equals(&cols, COLUMN, 0, b"").unwrap() && !equals(&cols, COLUMN, 3, b"").unwrap());
}

#[test]
fn the_layout_is_arrows() {
    // Arrow: length, then twelve inline bytes padded with zeros, or prefix, buffer index, offset.
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, b"inline");
    set(&mut cols, COLUMN, 1, b"thirteen byte");
    set(&mut cols, COLUMN, 2, b"another thirteen");
    let views = &cols.pages[&COLUMN];
    let view = |slot: usize| &views[SLOTS_START + slot * 16..][..16];
    assert_eq!(views[0], 0b111);
    assert_eq!(view(0), b"\x06\0\0\0inline\0\0\0\0\0\0");
    assert_eq!(view(1), b"\x0d\0\0\0thir\0\0\0\0\0\0\0\0");
    assert_eq!(view(2), b"\x10\0\0\0anot\0\0\0\0\x0d\0\0\0");
    let buffer = &cols.pages[&(COLUMN + 1)];
    assert_eq!(&buffer[..DATA_START], [29, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&buffer[DATA_START..], b"thirteen byteanother thirteen");
}

#[test]
fn a_value_that_fits_is_written_over_the_old_one() {
    let mut cols = Group::<Layered>::default();
    set(&mut cols, COLUMN, 0, &[1; 100]);
    set(&mut cols, COLUMN, 1, &[2; 100]);
    set(&mut cols, COLUMN, 0, &[3; 100]);
    assert_eq!(cols.pages[&(COLUMN + 1)].whole()[..8], [200, 0, 0, 0, 0, 0, 0, 0]);
    set(&mut cols, COLUMN, 0, &[4; 60]);
    assert_eq!(cols.pages[&(COLUMN + 1)].whole()[..8], [200, 0, 0, 0, 40, 0, 0, 0]);
    set(&mut cols, COLUMN, 0, &[5; 61]);
    assert_eq!(cols.pages[&(COLUMN + 1)].whole()[..8], [5, 1, 0, 0, 100, 0, 0, 0]);
    assert_eq!(value(&cols, 0).unwrap(), [5; 61]);
    verify(&cols, COLUMN, 2).unwrap();
}

#[test]
fn a_patch_of_text_is_a_small_delta() {
    let mut cols = Group::<Layered>::default();
    for slot in 0..500 {
        set(&mut cols, COLUMN, slot, &[slot as u8; 100]);
    }
    for page in cols.pages.values_mut() {
        *page = Layered::over(page.whole());
    }
    set(&mut cols, COLUMN, 77, &[1; 120]);
    let mut encoded = Vec::new();
    cols.pages.values().for_each(|page| page.delta.encode(&mut encoded));
    assert!(encoded.len() < 16 + 120 + 8 + 20, "{}", encoded.len());
}

#[test]
fn a_buffer_past_a_third_dead_is_rewritten_in_row_order() {
    let mut cols = Group::<Vec<u8>>::default();
    for slot in (0..30).rev() {
        set(&mut cols, COLUMN, slot, &[slot as u8; 500]);
    }
    // 15,000 bytes: ten values make a third, the eleventh goes past it.
    for slot in 0..10 {
        clear(&mut cols, COLUMN, slot * 3);
        assert_eq!(cols.pages[&(COLUMN + 1)].len(), DATA_START + 15_000);
    }
    clear(&mut cols, COLUMN, 1);
    let buffer = &cols.pages[&(COLUMN + 1)];
    assert_eq!((buffer.len(), &buffer[4..8]), (DATA_START + 19 * 500, &[0; 4][..]));
    let order: Vec<u8> = buffer[DATA_START..].chunks(500).map(|value| value[0]).collect();
    assert!(order.is_sorted());
    verify(&cols, COLUMN, 30).unwrap();
}

#[test]
fn a_little_dead_space_is_left_alone() {
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, &[1; 20]);
    set(&mut cols, COLUMN, 1, &[1; DEAD_LEN_FREE]);
    clear(&mut cols, COLUMN, 1);
    assert_eq!(cols.pages[&(COLUMN + 1)].len(), DATA_START + 20 + DEAD_LEN_FREE);
    set(&mut cols, COLUMN, 1, &[1; 20]);
    clear(&mut cols, COLUMN, 1);
    assert_eq!(cols.pages[&(COLUMN + 1)].len(), DATA_START + 20);
}

#[test]
fn a_large_value_has_a_buffer_of_its_own_and_takes_it_along() {
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, &[1; 20]);
    set(&mut cols, COLUMN, 1, &[2; OWN_LEN_MIN + 1]);
    set(&mut cols, COLUMN, 2, &[3; 20]);
    assert_eq!(cols.pages.keys().copied().collect::<Vec<_>>(), [COLUMN, COLUMN + 1, COLUMN + 2]);
    assert_eq!(cols.pages[&(COLUMN + 1)].len(), DATA_START + 40, "short values do not join it");
    set(&mut cols, COLUMN, 1, &vec![4; 16 << 20]);
    assert_eq!(cols.pages[&(COLUMN + 2)].len(), DATA_START + (16 << 20));
    assert_eq!(value(&cols, 1).unwrap().len(), 16 << 20);
    set(&mut cols, COLUMN, 1, &[5; OWN_LEN_MIN]);
    assert_eq!(cols.pages.len(), 2);
    set(&mut cols, COLUMN, 0, &[6; OWN_LEN_MIN + 9]);
    verify(&cols, COLUMN, 3).unwrap();
    set(&mut cols, COLUMN, 0, b"short");
    assert_eq!(cols.pages.len(), 2);
    verify(&cols, COLUMN, 3).unwrap();
}

#[test]
fn buffers_are_filled_one_after_the_other_and_numbers_are_used_again() {
    let mut cols = Group::<Vec<u8>>::default();
    for slot in 0..GROUP_ROWS {
        set(&mut cols, COLUMN, slot, &[slot as u8; 1000]);
    }
    // 65 values of 1000 bytes fill a buffer.
    assert_eq!(cols.last_in(COLUMN + 1, COLUMN + 0xffff), Some(COLUMN + GROUP_ROWS.div_ceil(65)));
    assert!(cols.pages.values().all(|page| page.len() <= DATA_START + BUFFER_LEN_MAX));
    for slot in 65..130 {
        clear(&mut cols, COLUMN, slot);
    }
    assert!(cols.page(COLUMN + 2).is_none());
    for slot in 65..130 {
        set(&mut cols, COLUMN, slot, &[7; 1000]);
    }
    assert!(cols.page(COLUMN + 2).is_some());
    verify(&cols, COLUMN, GROUP_ROWS).unwrap();
}

#[test]
fn space_stays_in_proportion_under_a_long_life() {
    let mut rng = Rng::new(6);
    let mut cols = Group::<Vec<u8>>::default();
    let mut lens = vec![0; 300];
    for _ in 0..30_000 {
        let slot = rng.below(lens.len());
        lens[slot] = 13 + rng.below(400);
        set(&mut cols, COLUMN, slot as u32, &vec![slot as u8; lens[slot]]);
    }
    let live: usize = lens.iter().sum();
    let held: usize =
        cols.pages.iter().filter(|(column, _)| **column != COLUMN).map(|(_, page)| page.len()).sum();
    assert!(held < live * 3 / 2 + 3 * DEAD_LEN_FREE, "{held} bytes for {live}");
    assert!(cols.last_in(COLUMN + 1, COLUMN + 0xffff).unwrap() - COLUMN < 5);
    verify(&cols, COLUMN, 300).unwrap();
}

#[test]
fn a_touch_reads_what_a_change_will_read() {
    let mut rng = Rng::new(13);
    let mut cols = Group::<Watched>::default();
    for _ in 0..6000 {
        let slot = rng.below(400) as u32;
        cols.pages.values().for_each(|page| page.strict(false));
        touch(&cols, COLUMN, slot).unwrap();
        cols.pages.values().for_each(|page| page.strict(true));
        if rng.below(4) == 0 {
            clear(&mut cols, COLUMN, slot);
        } else {
            let len = any_len(&mut rng);
            set(&mut cols, COLUMN, slot, &rng.bytes(len));
        }
    }
    cols.pages.values().for_each(|page| page.strict(false));
    verify(&cols, COLUMN, 400).unwrap();
}

/// Everything that reads, over pages that may be anything.
fn run_hostile<P: PageWrite + Default + Clone>(cols: &Group<P>, rng: &mut Rng, rows: u32) {
    let mut out = Vec::new();
    for slot in 0..rows {
        let _ = (read(cols, COLUMN, slot, &mut out), equals(cols, COLUMN, slot, b"fourteen bytes"));
        let _ = touch(cols, COLUMN, slot);
    }
    let _ = verify(cols, COLUMN, rows);
    let mut changed = cols.clone();
    for _ in 0..20 {
        let (slot, len) = (rng.below(rows as usize) as u32, any_len(rng));
        let bytes = rng.bytes(len);
        set(&mut changed, COLUMN, slot, &bytes);
        clear(&mut changed, COLUMN, rng.below(rows as usize) as u32);
    }
}

#[test]
fn hostile_pages_never_panic() {
    let mut rng = Rng::new(14);
    for round in 0..300 {
        let mut cols = Group::<Vec<u8>>::default();
        for slot in 0..20 {
            let len = any_len(&mut rng);
            set(&mut cols, COLUMN, slot, &rng.bytes(len));
        }
        let columns: Vec<u32> = cols.pages.keys().copied().collect();
        for _ in 0..1 + round % 20 {
            let page = cols.pages.get_mut(&columns[rng.below(columns.len())]).unwrap();
            let from = if rng.below(2) == 0 { 0 } else { SLOTS_START.min(page.len() - 1) };
            let at = from + rng.below((page.len() - from).min(400));
            page[at] = if rng.below(2) == 0 { 0xff } else { rng.next() as u8 };
        }
        run_hostile(&cols, &mut rng, 24);
    }
    for _ in 0..300 {
        let mut cols = Group::<Vec<u8>>::default();
        for slot in 0..8 {
            let mut view = rng.bytes(16);
            view[rng.below(2) * 4 + 3] = 0;
            view[2..4].fill(0);
            view[9..12].fill(0);
            set_fixed(cols.page_mut(COLUMN), Width::Sixteen, slot, &view);
        }
        for number in 1..20 {
            let len = rng.below(100);
            cols.pages.insert(COLUMN + number, rng.bytes(len));
        }
        run_hostile(&cols, &mut rng, 10);
    }
}

#[test]
fn a_view_that_does_not_fit_its_buffer_is_corrupt() {
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, &[1; 50]);
    let wrong: [(usize, [u8; 4]); 6] = [
        (0, [51, 0, 0, 0]),
        (0, [0, 0, 0, 0x80]),
        (4, [2, 1, 1, 1]),
        (8, [1, 0, 0, 0]),
        (8, [0xff; 4]),
        (12, [1, 0, 0, 0]),
    ];
    for (at, bytes) in wrong {
        let mut bad = cols.clone();
        bad.page_mut(COLUMN).write(SLOTS_START + at, &bytes);
        let mut out = Vec::new();
        assert_eq!(read(&bad, COLUMN, 0, &mut out).unwrap_err().kind(), ErrorKind::Corrupt, "{at} {bytes:?}");
        assert!(out.is_empty() && verify(&bad, COLUMN, 1).is_err());
        set(&mut bad, COLUMN, 0, b"a value again, longer than twelve");
        assert_eq!(value(&bad, 0).unwrap(), b"a value again, longer than twelve");
    }
}

#[test]
fn a_view_longer_than_what_shares_a_buffer_does_not_fit_a_shared_one() {
    let mut cols = Group::<Vec<u8>>::default();
    for slot in 0..4 {
        set(&mut cols, COLUMN, slot, &[1; 10_000]);
    }
    cols.page_mut(COLUMN).write(SLOTS_START, &20_000u32.to_le_bytes());
    assert!(read(&cols, COLUMN, 0, &mut Vec::new()).is_err());
    set(&mut cols, COLUMN, 0, b"short");
    assert_eq!(value(&cols, 1).unwrap(), [1; 10_000], "the buffer was not taken for the value's own");
}

#[test]
fn views_that_share_bytes_do_not_blow_a_buffer_up() {
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, &[1; 10_000]);
    set(&mut cols, COLUMN, 1, &[1; 10_000]);
    let view = cols.pages[&COLUMN][SLOTS_START..SLOTS_START + 16].to_vec();
    for slot in 2..GROUP_ROWS {
        set_fixed(cols.page_mut(COLUMN), Width::Sixteen, slot, &view);
    }
    clear(&mut cols, COLUMN, 1);
    assert_eq!(cols.pages[&(COLUMN + 1)].len(), DATA_START + 20_000, "left as it was");
    assert!(verify(&cols, COLUMN, GROUP_ROWS).is_err());
}

#[test]
fn a_buffer_that_counts_more_dead_bytes_than_it_has_goes_with_the_next_value() {
    let mut cols = Group::<Vec<u8>>::default();
    set(&mut cols, COLUMN, 0, &[1; 50]);
    cols.page_mut(COLUMN + 1).write(4, &[0xfe, 0xff, 0xff, 0xff]);
    assert!(verify(&cols, COLUMN, 1).is_err());
    clear(&mut cols, COLUMN, 0);
    assert_eq!(cols.pages.len(), 1);
}

#[test]
fn a_long_value_in_pieces_is_compared_piece_by_piece() {
    let bytes = Rng::new(15).bytes(1500);
    let mut cols = Group::<Layered>::default();
    set(&mut cols, COLUMN, 0, &bytes);
    let buffer = cols.page_mut(COLUMN + 1);
    *buffer = Layered::over(buffer.whole());
    for at in [0, 600, 1499] {
        cols.page_mut(COLUMN + 1).write(DATA_START + at, &[bytes[at]]);
    }
    assert!(equals(&cols, COLUMN, 0, &bytes).unwrap());
    assert_eq!(value(&cols, 0).unwrap(), bytes);
    for at in [100, 511, 512, 1023, 1024, 1499] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(!equals(&cols, COLUMN, 0, &other).unwrap(), "byte {at}");
    }
}

#[test]
fn over_damaged_pages_changes_go_through() {
    let mut cols = Group::<Damaged>::default();
    cols.pages.insert(COLUMN, Damaged::new(4000));
    cols.pages.insert(COLUMN + 1, Damaged::new(9000));
    assert!(touch(&cols, COLUMN, 3).is_err());
    for (slot, len) in [(3, 0), (4, 40), (5, OWN_LEN_MIN + 1), (3, 30)] {
        set(&mut cols, COLUMN, slot, &vec![slot as u8; len]);
    }
    clear(&mut cols, COLUMN, 4);
    clear(&mut cols, COLUMN, 90);
    assert!(read(&cols, COLUMN, 3, &mut Vec::new()).is_err());
}
