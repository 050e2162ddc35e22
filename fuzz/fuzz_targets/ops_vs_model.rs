//! A schema, settings and operations of every kind (mutations, batches, transactions, checkpoints,
//! compactions, snapshots, reopenings, kills, power cuts, schema changes) by the input's bytes.
//!
//! Promise: the store answers as the model does, on the way and at the end, and again from its log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vellum_fuzz::config;
use vellum_testkit::Rng;
use vellum_testkit::run::{Counts, run_with};

fuzz_target!(|input: &[u8]| {
    if let Err(why) = run_with(config(1), Rng::from_bytes(input), 24, &mut Counts::new()) {
        panic!("{why}");
    }
});
