//! The commands, a file each. A command opens what it needs, does its work, and answers through
//! [`Output`]; what stops it is a [`Failure`].

mod apply;
mod backup;
mod checkpoint;
mod compact;
mod count;
mod delete;
mod dump;
mod export;
mod get;
mod history;
mod import;
mod init;
mod load;
mod patch;
mod repair;
mod restore;
mod revert;
mod schema;
mod stats;
mod undelete;
mod verify;

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Schema(schema::Args),
    Import(import::Args),
    Apply(apply::Args),
    Get(get::Args),
    History(history::Args),
    Patch(patch::Args),
    Delete(delete::Args),
    Undelete(undelete::Args),
    Revert(revert::Args),
    Count(count::Args),
    Export(export::Args),
    Stats(stats::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Dump(dump::Args),
    Load(load::Args),
    Checkpoint(checkpoint::Args),
    Compact(compact::Args),
}

impl Command {
    pub(crate) fn run(&self, output: &Output) -> Result<(), Failure> {
        match self {
            Command::Init(args) => init::run(args, output),
            Command::Schema(args) => schema::run(args, output),
            Command::Import(args) => import::run(args, output),
            Command::Apply(args) => apply::run(args, output),
            Command::Get(args) => get::run(args, output),
            Command::History(args) => history::run(args, output),
            Command::Patch(args) => patch::run(args, output),
            Command::Delete(args) => delete::run(args, output),
            Command::Undelete(args) => undelete::run(args, output),
            Command::Revert(args) => revert::run(args, output),
            Command::Count(args) => count::run(args, output),
            Command::Export(args) => export::run(args, output),
            Command::Stats(args) => stats::run(args, output),
            Command::Verify(args) => verify::run(args, output),
            Command::Repair(args) => repair::run(args, output),
            Command::Backup(args) => backup::run(args, output),
            Command::Restore(args) => restore::run(args, output),
            Command::Dump(args) => dump::run(args, output),
            Command::Load(args) => load::run(args, output),
            Command::Checkpoint(args) => checkpoint::run(args, output),
            Command::Compact(args) => compact::run(args, output),
        }
    }
}
