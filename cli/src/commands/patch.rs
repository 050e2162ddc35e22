//! `vellum patch`: change attributes of one record.

use crate::failure::Failure;
use crate::key::{parse_key, parse_values};
use crate::open;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;
use vellum::{Action, Actor, Durability, Mutation, Name, Outcome, Patch};

/// Change attributes of one record
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  vellum patch flights plane tailnum=N14228 seats=149 speed=\n  \
    vellum patch flights plane tailnum=N14228 '{\"seats\": 149}' --clear speed --if-version 3")]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// A record id, or attr=value[,attr=value…] of the primary key or a unique attribute, or these as JSON
    key: String,

    /// attr=value, several times, or one JSON object; an empty value clears
    #[arg(value_name = "ATTR=VALUE", required_unless_present = "clear")]
    values: Vec<String>,

    /// Clear an attribute; several times
    #[arg(long, value_name = "ATTR", value_delimiter = ',')]
    clear: Vec<String>,

    /// Refuse unless the record has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,

    /// Who does it: user:ID, app:ID, api_token:ID, system:
    #[arg(long, value_name = "KIND:ID")]
    actor: Option<Actor>,
}

/// What became of a record.
#[derive(Serialize)]
struct Answer<'a> {
    id: String,
    version: u64,
    lsn: u64,
    changed: Vec<&'a str>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::writable(&args.store, Durability::Sync, output)?;
    let store = open::acting_as(store, args.actor.as_ref());
    let schema = store.schema();
    let key = parse_key(&schema, &args.object, &args.key)?;
    let set = parse_values(&schema, &args.object, &args.values)?;
    let patch = Patch {
        set,
        clear: args.clear.iter().map(Name::from).collect(),
        if_version: args.if_version,
        ..Patch::default()
    };
    let mutation =
        Mutation { object: args.object.as_str().into(), action: Action::Update, key: Some(key), patch };
    let outcome = store.apply(&mutation)?;
    store.close()?;
    let answer = answer_of(&outcome);
    let changed = if answer.changed.is_empty() { "nothing".to_string() } else { answer.changed.join(", ") };
    let text = format!("{} {} is at version {}; changed: {changed}", args.object, answer.id, answer.version);
    output.answer(&answer, text)
}

fn answer_of(outcome: &Outcome) -> Answer<'_> {
    let changed = outcome.changed().collect();
    Answer { id: outcome.id.to_string(), version: outcome.version, lsn: outcome.lsn.0, changed }
}
