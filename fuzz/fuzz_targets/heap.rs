//! The heap of pages: memory taken and given back in any order and length.
//!
//! Promise: aligned, never handed out twice, and as it was written until it is given back.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|steps: &[u8]| vellum_fuzz::parsers::use_heap(steps));
