//! The `vellum` tool: a file a command in `commands`; what several of them need lies beside it.
//!
//! | file       | what                                                                     |
//! |------------|--------------------------------------------------------------------------|
//! | `open`     | stores, opened for reading or writing, with the progress of a recovery   |
//! | `input`    | the bytes of a file or of stdin, plain or gzip                           |
//! | `lines`    | complete lines of them, numbered                                         |
//! | `blocks`   | mutations in blocks, read and parsed by a thread of their own            |
//! | `rows`     | CSV rows and NDJSON records as creates, for `import`                     |
//! | `acks`     | waits for commits in groups and prints the numbers of their lines        |
//! | `rejects`  | the file of lines that were refused                                      |
//! | `key`      | KEY and attr=value arguments                                             |
//! | `failure`  | what went wrong: exit code, sentence, JSON                               |
//! | `output`   | stdout for people and for programs                                       |
//! | `progress` | bars, on a terminal only                                                 |
//!
//! Exit codes: 0 done, 1 refused, 2 usage, 3 damage or I/O.

#![allow(clippy::disallowed_methods, reason = "the tool reads and writes the user's own files")]

mod acks;
mod blocks;
mod commands;
mod failure;
mod input;
mod key;
mod lines;
mod open;
mod outcomes;
mod output;
mod progress;
mod rejects;
mod rows;

use clap::Parser;
use commands::Command;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

/// Create, fill, read and check stores of typed records.
#[derive(Parser)]
#[command(name = "vellum", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done · 1 refused (conflict, not found, invalid) · 2 usage · 3 damage or I/O"
)]
struct Cli {
    /// Answer in JSON on stdout; an error is one JSON object on stderr
    #[arg(long, global = true)]
    json: bool,

    /// Wait so long for another process that has the store open for writing
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    wait: u32,

    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error),
    };
    let output = Output::new(cli.json).waiting(cli.wait);
    match cli.command.run(&output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&output, &failure),
    }
}

fn end(output: &Output, failure: &Failure) -> ExitCode {
    output.failure(failure);
    ExitCode::from(failure.exit_code())
}

/// Help and version go to stdout as clap writes them; a wrong command line is a failure like others.
fn explain_usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && wants_json {
        let text = error.to_string();
        return end(&Output::new(true), &Failure::usage(text.trim_start_matches("error: ").trim_end()));
    }
    // A closed stdout is the only thing that can go wrong here, and nobody is left to tell.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
