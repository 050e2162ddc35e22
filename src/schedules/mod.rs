//! Threads in every order that a scheduler can think of: group commit, snapshots, look-ups, checkpoints and
//! closing beside writers.
//!
//! `just schedules` runs them: `RUSTFLAGS="--cfg vellum_shuttle" cargo test -p vellum --lib schedules`. Each
//! test is one small program of two to four threads over a disk in memory, run under many schedules:
//! `shuttle` chooses who goes on at every lock, atomic and swap (see `sync`). Some schedules are random walks,
//! some take priorities with a few changes (PCT), which finds races of small depth, and some stop one thread
//! at one of its steps until all others are done ([`pause`]), which finds slow readers.
//! `VELLUM_SCHEDULES=n` runs n times as many. A failure prints a schedule, and `VELLUM_REPLAY=…` runs that
//! one alone. A deadlock and a livelock are failures too.

mod closing;
mod commits;
mod disk;
mod pause;
mod reading;

use pause::Pause;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Schedules of each kind, of a test that is small; tests that open stores run fewer.
const SCHEDULES: usize = 400;
/// Changes of priority in a schedule of the second kind: races need few.
const DEPTH: usize = 3;
/// The first seed.
const SEED: u64 = 0x5eed;

/// Runs a program under many schedules; `cost` says how many times fewer than of a small one.
fn explore(cost: usize, program: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("VELLUM_REPLAY") {
        run(ReplayScheduler::new_from_encoded(&schedule), program);
        return;
    }
    let factor = std::env::var("VELLUM_SCHEDULES").map_or(1, |text| text.parse().expect("a number"));
    let count = (SCHEDULES * factor / cost).max(1);
    let program = std::sync::Arc::new(program);
    let again = program.clone();
    let program_of_pauses = program.clone();
    run(RandomScheduler::new_from_seed(SEED, count), move || program());
    run(PctScheduler::new_from_seed(SEED, DEPTH, count), move || again());
    run(Pause::new(2 * count), move || program_of_pauses());
}

fn run(scheduler: impl Scheduler + 'static, program: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // The engine's frames are large in a debug build.
    config.stack_size = 1 << 20;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(program);
}
