use super::{Layered, Rng};
use vellum_engine::{GROUP_ROWS, RowId};
use vellum_types::RecordId;
use crate::records::row_header::{Header, SLOT_LEN, free, id, page_len, read_next_free, set_history, touch, version, write_new};
use vellum_engine::page::{PageRead, PageWrite};

fn sample(number: u8) -> Header {
    Header {
        version: u64::from(number) + 1,
        updated_at: -5,
        updated_by: 8,
        history: 0,
        id: RecordId::from_bytes([number; 16]),
        created_at: i64::MIN,
        counter: u64::MAX,
        created_by: u32::MAX,
    }
}

#[test]
fn a_header_reads_back_in_every_slot_and_leaves_its_neighbours_alone() {
    for slot in [0, 1, GROUP_ROWS - 1] {
        let mut page = Vec::new();
        write_new(&mut page, slot, &sample(slot as u8));
        assert_eq!(page.len(), page_len(slot + 1));
        assert_eq!(Header::read(&page, slot).unwrap(), sample(slot as u8));
        assert_eq!(version(&page, slot).unwrap(), sample(slot as u8).version);
        assert_eq!(id(&page, slot).unwrap(), sample(slot as u8).id);
        for other in (0..GROUP_ROWS).filter(|other| *other != slot) {
            assert!(Header::read(&page, other).unwrap().is_free());
            assert_eq!(read_next_free(&page, other).unwrap(), None);
        }
    }
}

#[test]
fn a_touch_is_twenty_bytes_of_delta() {
    let mut owned = Vec::new();
    write_new(&mut owned, 3, &sample(1));
    let mut page = Layered::over(owned);
    touch(&mut page, 3, 77, 123, 9);
    let ranges: Vec<(usize, usize)> =
        page.delta.iter().map(|(offset, bytes)| (offset, bytes.len())).collect();
    assert_eq!(ranges, [(3 * SLOT_LEN, 20)]);
    set_history(&mut page, 3, 41);
    let expected = Header { version: 77, updated_at: 123, updated_by: 9, history: 41, ..sample(1) };
    assert_eq!(Header::read(&page, 3).unwrap(), expected);
    assert_eq!(page.delta.iter().count(), 1, "the history head continues the same range");
}

#[test]
fn free_slots_make_a_list() {
    let mut page = Vec::new();
    for slot in 0..4 {
        write_new(&mut page, slot, &sample(slot as u8));
    }
    free(&mut page, 2, None);
    free(&mut page, 0, Some(RowId(2)));
    assert_eq!(read_next_free(&page, 0).unwrap(), Some(RowId(2)));
    assert_eq!(read_next_free(&page, 2).unwrap(), None);
    assert_eq!(version(&page, 0).unwrap(), 0);
    assert_eq!(id(&page, 0).unwrap(), RecordId::from_bytes([0; 16]));
    assert!(read_next_free(&page, 1).is_err(), "a record in the list of free rows is damage");
    free(&mut page, 1, Some(RowId(0)));
    assert_eq!(read_next_free(&page, 1).unwrap(), Some(RowId(0)));
}

#[test]
fn any_bytes_read_as_a_header_or_as_damage() {
    let mut rng = Rng::new(4);
    for len in 0..200 {
        let mut page = Vec::new();
        page.write(0, &rng.bytes(len));
        for slot in 0..4 {
            let is_free = match Header::read(&page, slot) {
                Ok(header) => header.is_free(),
                Err(error) => {
                    assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
                    false
                }
            };
            assert_eq!(read_next_free(&page, slot).is_ok(), is_free);
        }
        assert_eq!(PageRead::len(&page), len);
    }
}
