//! Promise: a warm patch of fixed-width attributes costs the same number of instructions from version to
//! version. Counted, not timed, so that a busy machine says the same as a quiet one:
//!
//! ```text
//! cargo build --release -p vellum-bench --bin instructions
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*counted_patches*' \
//!     target/release/instructions
//! ```
//!
//! `Collected` divided by the number of patches that the program prints is the figure.

use vellum::{Config, Durability};
use vellum_bench::narrow::{self, Patches};
use vellum_bench::{Result, WorkDir};

const RECORDS: u64 = 2_000;
const PATCHES: u64 = 20_000;

fn main() -> Result<()> {
    let work = WorkDir::new(&std::env::temp_dir(), "instructions")?;
    let config = Config::new().durability(Durability::Buffered).background(false);
    let store = narrow::create(&config, &work.join("store"))?;
    narrow::load(&store, 0, RECORDS)?;
    let mut patches = Patches::new(3, RECORDS);
    // Warm: each page is in memory, each buffer has its size.
    (0..PATCHES / 10).try_for_each(|_| store.apply(patches.draw()).map(drop))?;
    counted_patches(&store, &mut patches)?;
    println!("{PATCHES} patches");
    Ok(())
}

#[inline(never)]
fn counted_patches(store: &vellum::Store, patches: &mut Patches) -> Result<()> {
    for _ in 0..PATCHES {
        store.apply(patches.draw())?;
    }
    Ok(())
}
