//! Images of pages, deltas and table nodes: raw bytes, or a payload under checksums that hold.
//!
//! Promise: `Corrupt`, or reads that agree with each other in every layout; a flipped bit is noticed.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use vellum_fuzz::parsers::{is_damage, read_image, seal_image};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    kind: u8,
    probe: u64,
    flip: Option<u32>,
    split: u16,
    bytes: &'a [u8],
}

fuzz_target!(|input: Input| {
    let kind = input.kind % 5;
    let (payload, other) = input.bytes.split_at(usize::from(input.split) % (input.bytes.len() + 1));
    let mut image = if kind == 0 { input.bytes.to_vec() } else { seal_image(kind, payload) };
    if let (Some(bit), false) = (input.flip, image.is_empty()) {
        let bit = bit as usize % (image.len() * 8);
        image[bit / 8] ^= 1 << (bit % 8);
    }
    match read_image(&image, other, input.probe) {
        Ok(()) => assert!(kind == 0 || input.flip.is_none(), "a flipped bit went unnoticed"),
        Err(error) => assert!(is_damage(&error), "{error}"),
    }
});
