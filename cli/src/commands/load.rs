//! `vellum load`: a store from a dump.

use crate::failure::Failure;
use crate::input::Input;
use crate::output::{Output, counted};
use crate::progress::Progress;
use serde::Serialize;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Make a store of what `vellum dump` wrote, and verify it
///
/// The store is there as a whole or not at all, whatever happens meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The dump, plain or gzip; - for stdin
    file: PathBuf,

    /// Directory of the store, which must not exist or be empty
    store: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    record_count: u64,
    lsn: u64,
}

/// Tells a bar how much was read.
struct Shown<R> {
    text: R,
    bar: Progress,
    done: Arc<AtomicU64>,
    total: Option<u64>,
}

impl<R: Read> Read for Shown<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.bar.reached_of(self.done.load(Ordering::Relaxed), self.total.unwrap_or(0));
        self.text.read(into)
    }
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let input = Input::open(&args.file)?;
    let (done, total) = (input.done(), input.total());
    let bar = Progress::of_input(output, total);
    let text = Shown { text: input.decode()?, bar: bar.clone(), done, total };
    let report = vellum_admin::load(&mut BufReader::with_capacity(1 << 20, text), &args.store);
    bar.finish();
    let report = report?;
    let answer = Answer { record_count: report.record_count, lsn: report.lsn.0 };
    output.answer(
        &answer,
        format!("{} loaded into {}", counted(report.record_count, "record"), args.store.display()),
    )
}
