//! `vellum init`: a new store.

use crate::failure::Failure;
use crate::input::read_text;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;
use vellum::{Config, Schema};

/// Create a store
///
/// The schema is JSON: {"objects": [{"key": "plane", "primary_key": ["tailnum"], "attributes": [{"key": "tailnum",
/// "type": "text"}, …]}]}. Types: text, long_text, integer, number, decimal, boolean, date, timestamp, uuid,
/// select, json.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the new store
    store: PathBuf,

    /// File with the schema; - for stdin
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    store: String,
    objects: Vec<&'a str>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let schema = Schema::from_json(&read_text(&args.schema)?)?;
    Config::new().lock_wait(output.wait()).create(&args.store, &schema)?.close()?;
    let objects: Vec<&str> = schema.objects().iter().map(|object| object.key()).collect();
    let store = args.store.display().to_string();
    let text = format!("created {store} with {}", objects.join(", "));
    output.answer(&Answer { store, objects }, text)
}
