//! Stores, opened as a command needs them.

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use std::path::Path;
use std::sync::Arc;
use vellum::{Actor, Config, Durability, Store};

/// For reading: works on a directory that cannot be written, and leaves the log as it is.
pub(crate) fn read_only(path: &Path, output: &Output) -> Result<Store, Failure> {
    open(Config::new().read_only(true), path, output)
}

/// For writing.
pub(crate) fn writable(path: &Path, durability: Durability, output: &Output) -> Result<Store, Failure> {
    open(Config::new().durability(durability).lock_wait(output.wait()), path, output)
}

/// The store for one who says so.
pub(crate) fn acting_as(store: Store, actor: Option<&Actor>) -> Store {
    match actor {
        Some(actor) => store.acting_as(actor.clone()),
        None => store,
    }
}

fn open(config: Config, path: &Path, output: &Output) -> Result<Store, Failure> {
    let bar = Progress::of_recovery(output);
    let shown = bar.clone();
    let config =
        config.on_progress(Arc::new(move |at: vellum::Progress| shown.reached_of(at.done_len, at.total_len)));
    let store = config.open(path);
    bar.finish();
    Ok(store?)
}
