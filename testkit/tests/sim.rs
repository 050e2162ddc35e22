//! Whatever fails and whenever the machine dies, recovery shows what was acknowledged and nothing else.
//!
//! `just crash 100000` is a long campaign; `VELLUM_SEED=7 cargo test -p vellum-testkit --test sim` runs one
//! seed again.

use vellum_testkit::campaign::campaign;
use vellum_testkit::sim::{MUST_HAPPEN, run};

#[test]
fn a_store_survives_every_crash_and_every_fault() {
    campaign(2_000, MUST_HAPPEN, "cargo test -p vellum-testkit --test sim", run);
}
