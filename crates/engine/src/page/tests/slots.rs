use super::{Damaged, Layered, Rng};
use crate::id::GROUP_ROWS;
use crate::page::delta::Cover;
use crate::page::slots::{SLOTS_START, Width, clear, is_present, page_len, read_fixed, set_fixed};
use crate::page::{PageRead, PageWrite};

const WIDTHS: [Width; 4] = [Width::Bit, Width::Four, Width::Eight, Width::Sixteen];

fn cell(rng: &mut Rng, width: Width) -> Vec<u8> {
    match width {
        Width::Bit => vec![rng.below(2) as u8],
        _ => rng.bytes(width.cell_len()),
    }
}

fn value(page: &impl PageRead, width: Width, slot: u32) -> Option<Vec<u8>> {
    let mut into = [0xee; 16];
    let len = read_fixed(page, width, slot, &mut into).unwrap()?;
    Some(into[..len].to_vec())
}

fn run_model(page: &mut impl PageWrite, width: Width, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut model = vec![None; GROUP_ROWS as usize];
    for _ in 0..3000 {
        let slot = rng.below(model.len());
        if rng.below(3) == 0 {
            clear(page, width, slot as u32);
            model[slot] = None;
        } else {
            let cell = cell(&mut rng, width);
            set_fixed(page, width, slot as u32, &cell);
            model[slot] = Some(cell);
        }
        assert_eq!(value(page, width, slot as u32), model[slot]);
    }
    for (slot, expected) in model.iter().enumerate() {
        assert_eq!(&value(page, width, slot as u32), expected);
        assert_eq!(is_present(page, slot as u32).unwrap(), expected.is_some());
    }
    assert!(page.len() <= page_len(width, GROUP_ROWS));
    for slot in 0..GROUP_ROWS {
        clear(page, width, slot);
    }
    let mut bytes = vec![1; page.len()];
    page.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "an empty page is zero");
}

#[test]
fn every_width_keeps_what_it_was_given() {
    for width in WIDTHS {
        run_model(&mut Vec::new(), width, 1);
        run_model(&mut Layered::default(), width, 2);
    }
}

#[test]
fn a_page_ends_at_its_highest_row() {
    assert_eq!(WIDTHS.map(|width| page_len(width, 0)), [0; 4]);
    assert_eq!(WIDTHS.map(|width| page_len(width, 9)), [130, 128 + 36, 128 + 72, 128 + 144]);
    for width in WIDTHS {
        for slot in [0, 7, 8, GROUP_ROWS - 1] {
            let mut page = Vec::new();
            let cell = [1; 16];
            set_fixed(&mut page, width, slot, &cell[..width.cell_len()]);
            assert_eq!(page.len(), page_len(width, slot + 1));
        }
    }
}

#[test]
fn the_layout_is_arrows() {
    // Validity and boolean values count bits from the lowest; integers lie side by side.
    let mut page = Vec::new();
    set_fixed(&mut page, Width::Bit, 0, &[1]);
    set_fixed(&mut page, Width::Bit, 3, &[0]);
    set_fixed(&mut page, Width::Bit, 9, &[1]);
    assert_eq!(page[..3], [0b1001, 0b10, 0]);
    assert_eq!(page[SLOTS_START..], [0b1, 0b10]);
    let mut page = Vec::new();
    set_fixed(&mut page, Width::Eight, 1, &(-2i64).to_le_bytes());
    assert_eq!(page[SLOTS_START + 8..], (-2i64).to_le_bytes());
}

#[test]
fn a_patch_of_a_value_is_one_range() {
    let mut owned = Vec::new();
    for slot in 0..100 {
        set_fixed(&mut owned, Width::Eight, slot, &[3; 8]);
    }
    let mut page = Layered::over(owned);
    set_fixed(&mut page, Width::Eight, 50, &[4; 8]);
    assert_eq!((page.delta.iter().count(), page.delta.end()), (1, SLOTS_START + 51 * 8));
    clear(&mut page, Width::Eight, 500);
    assert_eq!(page.len(), page_len(Width::Eight, 100), "clearing nothing writes nothing");
}

#[test]
fn over_a_damaged_base_writes_go_through() {
    for width in WIDTHS {
        let mut page = Damaged::new(page_len(width, 100));
        let cell = [1; 16];
        set_fixed(&mut page, width, 5, &cell[..width.cell_len()]);
        clear(&mut page, width, 17);
        assert!(is_present(&page, 5).is_err());
        assert_eq!(page.delta.cover(0, 1), Cover::Whole(&[1 << 5]));
        assert_eq!(page.delta.cover(2, 1), Cover::Whole(&[0]));
        let first = if width == Width::Bit { SLOTS_START } else { page_len(width, 5) };
        assert_eq!(page.delta.cover(first, 1), Cover::Whole(&[if width == Width::Bit { 1 << 5 } else { 1 }]));
    }
}
