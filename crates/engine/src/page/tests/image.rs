use super::Rng;
use crate::id::{Address, Lsn, TreeId};
use crate::page::image::{
    BLOCK_LEN, ImageHead, ImageView, Kind, check_block_at, encode, image_len, parse_head,
};
use vellum_bytes::crc32;

fn head(kind: Kind, payload_len: usize) -> ImageHead {
    let address = Address { tree: TreeId(7), number: 1 << 40, column: 3 << 16 };
    ImageHead { kind, address, lsn: Lsn(99), rows: 12, payload_len: payload_len as u32, store_tag: 0xabcd }
}

fn image(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&head(Kind::Page, payload.len()), payload, &mut bytes);
    bytes
}

fn is_sound(bytes: &[u8]) -> bool {
    ImageView::parse(bytes).is_ok_and(|view| view.verify_whole().is_ok())
}

#[test]
fn an_image_of_any_length_reads_back_behind_what_was_there() {
    let mut rng = Rng::new(1);
    for len in [0, 1, 63, 64, 65, 4095, 4096, 4097, 8192, 16 * 4096, 16 * 4096 + 1, 17 * 4096, 300_000] {
        let payload = rng.bytes(len);
        let mut bytes = rng.bytes(64);
        encode(&head(Kind::Delta, len), &payload, &mut bytes);
        let bytes = bytes.split_off(64);
        assert_eq!((bytes.len(), bytes.len() % 64), (image_len(len), 0));
        let view = ImageView::parse(&bytes).unwrap();
        assert_eq!(view.head(), &head(Kind::Delta, len));
        assert_eq!(view.payload_unchecked(), payload);
        assert_eq!(view.payload_range().start % 64, 0);
        assert_eq!(view.block_count(), len.div_ceil(BLOCK_LEN));
        view.verify_whole().unwrap();
        assert_eq!(parse_head(&bytes[..64]).unwrap(), (head(Kind::Delta, len), bytes.len()));
    }
}

#[test]
fn a_small_delta_image_is_small_and_a_large_one_keeps_its_checksums_in_front() {
    assert_eq!((image_len(0), image_len(64), image_len(100)), (64, 128, 192));
    assert_eq!(image_len(65_536), 64 + 64 + 65_536);
    assert_eq!(ImageView::parse(&image(&[1; 5000])).unwrap().payload_range(), 128..5128);
}

#[test]
fn every_flipped_bit_is_noticed() {
    for len in [0, 100, 4200] {
        let bytes = image(&Rng::new(2).bytes(len));
        assert!(is_sound(&bytes));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(!is_sound(&bad), "byte {at} of an image of {len}");
        }
    }
}

#[test]
fn a_cut_or_longer_image_is_an_error() {
    let bytes = image(&[5; 200]);
    for len in 0..bytes.len() {
        assert!(ImageView::parse(&bytes[..len]).is_err());
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 64]);
    assert!(ImageView::parse(&longer).is_err());
}

#[test]
fn a_bad_block_fails_alone_and_says_where() {
    let mut bytes = image(&[3; 3 * 4096]);
    bytes[128 + 4096 + 17] ^= 4;
    let view = ImageView::parse(&bytes).unwrap();
    assert!(view.check_block(0).is_ok() && view.check_block(2).is_ok());
    let error = view.check_block(1).unwrap_err();
    assert_eq!(error.place().unwrap().offset, 128 + 4096);
    assert!(view.verify_whole().is_err());
}

#[test]
fn padding_is_checked_by_the_whole_verification_alone() {
    let mut bytes = image(&[3; 100]);
    bytes[64 + 103] = 1;
    let view = ImageView::parse(&bytes).unwrap();
    assert!(view.check_block(0).is_ok());
    assert_eq!(view.verify_whole().unwrap_err().place().unwrap().offset, 64 + 103);
}

#[test]
fn a_block_that_is_not_there_is_an_error() {
    let bytes = image(&[3; 100]);
    assert!(check_block_at(&bytes, 100, 0).is_ok());
    for block in [1, 2, 1 << 40, usize::MAX] {
        assert!(check_block_at(&bytes, 100, block).is_err());
        assert!(check_block_at(&bytes, 1 << 20, block).is_err());
        assert!(check_block_at(&[], 0, block).is_err());
    }
    assert!(check_block_at(&image(&[]), 0, 0).is_err());
}

#[test]
fn known_fields_are_held_against_what_this_build_knows_even_under_a_right_checksum() {
    for (at, value) in [(4, 0u8), (4, 5), (5, 1), (6, 2), (48, 1), (59, 1), (43, 0x40), (44, 1)] {
        let mut bytes = image(&[]);
        bytes[at] = value;
        let crc = crc32(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        assert!(ImageView::parse(&bytes).is_err(), "byte {at} is {value}");
    }
}

#[test]
fn random_bytes_are_no_image_and_never_a_panic() {
    let mut rng = Rng::new(3);
    for _ in 0..2000 {
        let len = rng.below(300);
        let mut bytes = rng.bytes(len);
        assert!(!is_sound(&bytes));
        if len >= 64 {
            // A head that checks out, over nonsense.
            bytes[..4].copy_from_slice(b"vlPG");
            bytes[4..8].copy_from_slice(&[1 + rng.below(4) as u8, 0, 1, 0]);
            bytes[40..44].copy_from_slice(&(rng.below(600) as u32).to_le_bytes());
            bytes[48..60].fill(0);
            let crc = crc32(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            assert!(!is_sound(&bytes) || bytes.len() == 64);
        }
    }
}
