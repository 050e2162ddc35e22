//! Random operations against a store and against a map of records give the same answers.
//!
//! `VELLUM_SEEDS=100000 cargo test -p vellum-testkit --release --test model` is a long campaign,
//! `VELLUM_SEED=7 cargo test -p vellum-testkit --test model` runs one seed again
//! (`VELLUM_TRACE=1` prints its operations as they are rolled, `VELLUM_OPS=n` makes it longer).

use vellum_testkit::campaign::{campaign, number};
use vellum_testkit::run::{MUST_HAPPEN, run};

#[test]
fn a_store_answers_as_a_map_of_records_does() {
    let ops = number("VELLUM_OPS").map_or(60, |ops| ops as usize);
    let replay = "cargo test -p vellum-testkit --test model";
    campaign(2_000, MUST_HAPPEN, replay, |seed, counts| run(seed, ops, counts));
}
