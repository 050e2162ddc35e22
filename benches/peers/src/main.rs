//! The same work through vellum and through the engines that a user would take instead, in one run.
//!
//! ```sh
//! cargo run --release -- --report ../../docs/benchmarks.md                 # 1,000,000 records, all steps
//! cargo run --release -- --records 10000000 --engines vellum,lmdb
//! cargo run --release -- --steps load,patch --dir DIR --results figures.tsv
//! ```
//!
//! RocksDB is built from its C++ sources, which takes long and needs libclang; `--no-default-features` leaves it
//! out, and `ROCKSDB_LIB_DIR` takes a library that is there. A full run takes a quarter of an hour; at 10,000,000
//! records the stores together need 60 GB.
//!
//! Within a step the engines take turns: every round measures each of them once, so that whatever else
//! the machine does meets all. Stores stay in `--dir` when it is given, and a later run with other steps
//! goes on with them and adds to the same file of results; without it they are removed at the end.
//!
//! Options: `--records 1000000`, `--ms 400` a measurement, `--rounds 3`, `--engines all`, `--steps all`,
//! `--dir DIR`, `--results FILE` (tab separated), `--report FILE.md` to write tables, and a plot beside
//! it, from the results (`--steps none` measures nothing more), `--note TEXT` for that page, `--year FILE` of
//! flights for the step `year`.

mod engine;
mod engines;
mod plot;
mod report;
mod results;
mod session;
mod stripes;
mod work;

/// Any error here is for a person to read.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let args = vellum_bench::args::Args::from_env(session::OPTIONS)?;
    if let Some(errand) = args.text("as-child") {
        return work::recovery::child(errand, &args);
    }
    let mut session = session::Session::new(&args)?;
    for step in session.steps() {
        println!("\n{step}");
        work::run(&step, &mut session)?;
    }
    if let Some(path) = args.text("report") {
        report::write(std::path::Path::new(path), &session)?;
    }
    session.finish()
}
