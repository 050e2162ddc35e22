//! `vellum apply`: a stream of mutations, one a line.
//!
//! One thread decompresses and parses ([`Blocks`]), the main thread applies, and with `--ack` or
//! `--durability sync` a third one waits for commits in groups ([`Acks`]), so a sync never stops the
//! applying.

use crate::acks::Acks;
use crate::blocks::{Block, Blocks, Reading};
use crate::failure::Failure;
use crate::input::{self, Input};
use crate::open;
use crate::outcomes;
use crate::output::{Output, counted, listed, seconds};
use crate::progress::Progress;
use crate::rejects::Rejects;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{BufWriter, StdoutLock, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vellum::{Action, Commit, Durability, Error, Mutation, Outcome, Store};

/// Apply mutations, one JSON object a line
#[derive(clap::Args)]
#[command(after_help = "Lines:\n  \
    {\"op\":\"create\",\"object\":\"plane\",\"values\":{\"tailnum\":\"N14228\",\"seats\":149}}\n  \
    {\"op\":\"update\",\"object\":\"plane\",\"key\":{\"tailnum\":\"N14228\"},\"set\":{\"seats\":150},\"clear\":[\"speed\"],\"if_version\":1}\n  \
    {\"op\":\"upsert\",\"object\":\"plane\",\"key\":{\"tailnum\":\"N14228\"},\"set\":{\"seats\":151}}\n  \
    {\"op\":\"delete\",\"object\":\"plane\",\"id\":\"01234567-89ab-cdef-0123-456789abcdef\"}\n  \
    {\"op\":\"update\",\"object\":\"plane\",\"match\":{\"tailnum\":\"N14228\"},\"ops\":{\"seats\":{\"increment\":1}},\"if\":{\"speed\":null}}\n\n\
    docs/mutations.md has all that a line may say; --print-schema prints it as a JSON Schema.")]
pub(crate) struct Args {
    /// Directory of the store
    #[arg(required_unless_present = "print_schema")]
    store: Option<PathBuf>,

    /// NDJSON, plain or gzip; - for stdin
    #[arg(required_unless_present = "print_schema")]
    file: Option<PathBuf>,

    /// Lines of one transaction; it takes effect whole or not at all
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,

    /// When a line counts as applied: sync, interval:MS or buffered
    ///
    /// sync: on stable storage, several lines by one sync. interval:MS: with the operating system, and on stable
    /// storage at most MS milliseconds later. buffered: with the operating system; survives the end of the
    /// process, not that of the machine. At the end of the run everything is on stable storage.
    #[arg(long, value_name = "WHEN", default_value = "sync", value_parser = parse_durability)]
    durability: Durability,

    /// Print each line's number, from 1, once it holds at this durability; the summary goes to stderr
    #[arg(long)]
    ack: bool,

    /// What to do at a line that is refused: stop with exit code 1, or write it to the rejects file and go on
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnError::Stop, requires_if("skip", "rejects"))]
    on_error: OnError,

    /// Where lines go that are refused: NDJSON with line, kind, reason and input
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// Show the line's `at` as the time of the change; without this flag `at` is ignored
    #[arg(long)]
    at_from_input: bool,

    /// Change nothing: judge each transaction as if it were the next one
    ///
    /// Keys and references are judged too; what an earlier transaction of the input would have changed is not there.
    #[arg(long, conflicts_with = "ack")]
    dry_run: bool,

    /// Print what became of each line as JSON, once it holds; the summary goes to stderr
    #[arg(long, conflicts_with = "ack")]
    outcomes: bool,

    /// Print a JSON Schema of the lines, and do nothing else
    #[arg(long, conflicts_with_all = ["store", "file"])]
    print_schema: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    Stop,
    Skip,
}

fn parse_durability(text: &str) -> Result<Durability, String> {
    match (text, text.strip_prefix("interval:")) {
        ("sync", _) => Ok(Durability::Sync),
        ("buffered", _) => Ok(Durability::Buffered),
        (_, Some(ms)) => match ms.parse() {
            Ok(ms) if ms > 0 => Ok(Durability::Interval(ms)),
            _ => Err(format!("{ms:?} is no number of milliseconds, as in interval:100")),
        },
        _ => Err("write sync, interval:MS or buffered".to_string()),
    }
}

#[derive(Default, Serialize)]
struct Summary {
    /// Lines that took effect.
    applied: u64,
    created: u64,
    updated: u64,
    /// Lines that set what was there already.
    unchanged: u64,
    deleted: u64,
    rejected: u64,
    transactions: u64,
    lsn: u64,
    elapsed_ms: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    if args.print_schema {
        return output.print(vellum::text::MUTATION_SCHEMA.trim_end());
    }
    let (Some(store), Some(file)) = (&args.store, &args.file) else {
        return Err(Failure::usage("name the store and the file"));
    };
    let rejects = rejects_of(args, file)?;
    let input = Input::open(file)?;
    let store = open::writable(store, args.durability, output)?;
    let start = Instant::now();
    let reading = Reading {
        keeps_at: args.at_from_input,
        keeps_text: rejects.is_some(),
        keeps_returning: args.outcomes,
    };
    let blocks = Blocks::of_mutations(input, store.schema(), reading)?;
    let waits = args.ack || matches!(args.durability, Durability::Sync);
    let acks = if waits { Acks::spawn(args.ack)? } else { Acks::none() };
    let mut applier = Applier {
        store: &store,
        batch_len: args.batch.get(),
        dry_run: args.dry_run,
        outcomes: args.outcomes.then(|| output.stream()),
        batch: Batch::default(),
        rejects,
        acks,
        summary: Summary::default(),
    };
    let applied = applier.apply_all(blocks, output);
    let printed = applier.outcomes.as_mut().map_or(Ok(()), Write::flush).map_err(Failure::stdout);
    let Applier { acks, mut summary, .. } = applier;
    // What was submitted is waited for and printed also when a later line failed. A failure of the
    // waiting comes first: it is about the disk, or about who listens.
    let held = acks.finish();
    summary.lsn = store.applied_lsn().0;
    let closed = store.close().map_err(Failure::from);
    held.and(applied).and(printed).and(closed).map_err(|failure| failure.after(summary.applied))?;
    summary.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    if summary.applied + summary.rejected == 0 {
        output.note("the input has no lines");
    }
    let text = summary.described(args);
    if args.ack || args.outcomes {
        output.answer_aside(&summary, text);
        return Ok(());
    }
    output.answer(&summary, text)
}

fn rejects_of(args: &Args, file: &Path) -> Result<Option<Rejects>, Failure> {
    let Some(path) = &args.rejects else {
        return Ok(None);
    };
    if args.on_error == OnError::Stop {
        return Err(Failure::usage(
            "--rejects needs --on-error skip; without it the first refusal ends the run",
        ));
    }
    if input::is_same_file(path, file) {
        return Err(Failure::usage(
            "--rejects names the input, which would be overwritten; name another file",
        ));
    }
    Rejects::new(path.clone()).map(Some)
}

impl Summary {
    fn add(&mut self, action: Action, outcome: &Outcome) {
        self.applied += 1;
        match action {
            Action::Delete => self.deleted += 1,
            _ if outcome.created => self.created += 1,
            _ if outcome.is_unchanged() => self.unchanged += 1,
            _ => self.updated += 1,
        }
    }

    fn described(&self, args: &Args) -> String {
        let numbers = [
            (self.created, "created"),
            (self.updated, "updated"),
            (self.unchanged, "unchanged"),
            (self.deleted, "deleted"),
        ];
        let done = if args.dry_run { "tried" } else { "applied" };
        let mut text = format!("{} {done} in {}", counted(self.applied, "line"), seconds(self.elapsed_ms));
        text += &listed(": ", &numbers);
        if let (Some(path), 1..) = (&args.rejects, self.rejected) {
            text += &format!("; {} rejected, see {}", counted(self.rejected, "line"), path.display());
        }
        text
    }
}

/// Lines that wait for their transaction.
#[derive(Default)]
struct Batch {
    lines: Vec<(u64, Vec<u8>)>,
    mutations: Vec<Mutation>,
    /// The first line that cannot be read, and why; nothing after it is kept.
    broken: Option<(usize, Error)>,
}

struct Applier<'a> {
    store: &'a Store,
    batch_len: usize,
    dry_run: bool,
    /// Where outcomes go, if somebody asks for them.
    outcomes: Option<BufWriter<StdoutLock<'static>>>,
    batch: Batch,
    rejects: Option<Rejects>,
    acks: Acks,
    summary: Summary,
}

impl Applier<'_> {
    fn apply_all(&mut self, blocks: Blocks, output: &Output) -> Result<(), Failure> {
        let bar = Progress::of_input(output, blocks.total());
        let result = self.apply_blocks(blocks, &bar);
        bar.finish();
        match &mut self.rejects {
            Some(rejects) => rejects.end(result),
            None => result,
        }
    }

    fn apply_blocks(&mut self, mut blocks: Blocks, bar: &Progress) -> Result<(), Failure> {
        while let Some(block) = blocks.next() {
            let block = block?;
            if self.batch_len > 1 {
                self.apply_batches(block)?;
            } else {
                self.apply_lines(&block)?;
                blocks.give_back(block);
            }
            if !self.acks.hand_over() {
                return Ok(());
            }
            bar.reached(blocks.done(), self.summary.applied);
        }
        self.apply_batch()
    }

    fn apply_lines(&mut self, block: &Block) -> Result<(), Failure> {
        for item in &block.items {
            let text = &block.text[item.text.clone()];
            match &item.mutation {
                Err(error) => self.refuse(item.line, error, text)?,
                Ok(mutation) if self.dry_run => match self.store.dry_run(std::slice::from_ref(mutation)) {
                    Err(error) => self.refuse(item.line, &error, text)?,
                    Ok(outcomes) => self.done(&[item.line], &[mutation.action], &outcomes, None)?,
                },
                Ok(mutation) => match self.store.submit(mutation) {
                    Err(error) => self.refuse(item.line, &error, text)?,
                    Ok((outcome, commit)) => {
                        self.done(&[item.line], &[mutation.action], &[outcome], Some(commit))?;
                    }
                },
            }
        }
        Ok(())
    }

    /// Counts a transaction, and prints what it did where that is asked for.
    fn done(
        &mut self,
        lines: &[u64],
        actions: &[Action],
        outcomes: &[Outcome],
        commit: Option<Commit>,
    ) -> Result<(), Failure> {
        self.summary.transactions += 1;
        for (action, outcome) in actions.iter().zip(outcomes) {
            self.summary.add(*action, outcome);
        }
        if let Some(stdout) = &mut self.outcomes {
            commit.as_ref().map_or(Ok(()), Commit::wait)?;
            for ((line, action), outcome) in lines.iter().zip(actions).zip(outcomes) {
                let answer = outcomes::answer(*line, *action, outcome);
                let text = serde_json::to_string(&answer).expect("answers have text keys and plain values");
                writeln!(stdout, "{text}").map_err(Failure::stdout)?;
            }
        }
        if let Some(commit) = commit {
            self.acks.submitted(lines.iter().copied(), commit);
        }
        Ok(())
    }

    /// Writes a line to the rejects file, or fails where the run is to stop.
    fn refuse(&mut self, line: u64, error: &Error, text: &[u8]) -> Result<(), Failure> {
        match &mut self.rejects {
            Some(rejects) if error.kind().is_refusal() => {
                self.summary.rejected += 1;
                rejects.add(line, error.kind().name(), &error.to_string(), text)
            }
            _ => Err(Failure::from(error).at_line(line)),
        }
    }

    fn apply_batches(&mut self, block: Block) -> Result<(), Failure> {
        let Block { items, text } = block;
        for item in items {
            self.batch.lines.push((item.line, text[item.text].to_vec()));
            match item.mutation {
                Ok(mutation) if self.batch.broken.is_none() => self.batch.mutations.push(mutation),
                Err(error) if self.batch.broken.is_none() => {
                    self.batch.broken = Some((self.batch.lines.len() - 1, error));
                }
                Ok(_) | Err(_) => {}
            }
            let stops_here = self.batch.broken.is_some() && self.rejects.is_none();
            if self.batch.lines.len() == self.batch_len || stops_here {
                self.apply_batch()?;
            }
        }
        Ok(())
    }

    fn apply_batch(&mut self) -> Result<(), Failure> {
        let Batch { lines, mutations, broken } = std::mem::take(&mut self.batch);
        if lines.is_empty() {
            return Ok(());
        }
        if let Some((at, error)) = broken {
            return self.refuse_batch(&lines, Some(at), error);
        }
        let submitted = match self.dry_run {
            true => self.store.dry_run(&mutations).map(|outcomes| (outcomes, None)),
            false => self.store.submit_batch(&mutations).map(|(outcomes, commit)| (outcomes, Some(commit))),
        };
        let (outcomes, commit) = match submitted {
            Ok(submitted) => submitted,
            Err(error) if error.kind().is_refusal() => {
                return self.refuse_batch(&lines, error.position(), error);
            }
            Err(error) => return Err(Failure::from(error).at_line(lines[0].0)),
        };
        let lines: Vec<u64> = lines.iter().map(|(line, _)| *line).collect();
        let actions: Vec<Action> = mutations.iter().map(|mutation| mutation.action).collect();
        self.done(&lines, &actions, &outcomes, commit)
    }

    fn refuse_batch(
        &mut self,
        lines: &[(u64, Vec<u8>)],
        at: Option<usize>,
        error: Error,
    ) -> Result<(), Failure> {
        let (first, last) = (lines[0].0, lines[lines.len() - 1].0);
        let (line, _) = lines[at.unwrap_or(0)];
        let Some(rejects) = &mut self.rejects else {
            let hint = match at {
                Some(_) => format!("its batch from line {first} was not applied"),
                None => format!("the batch of lines {first} to {last} was not applied"),
            };
            return Err(Failure::from(error).at_line(line).hint(&hint));
        };
        self.summary.rejected += lines.len() as u64;
        let reason = error.to_string();
        let others = match at {
            Some(_) => format!("its batch failed at line {line}: {reason}"),
            None => format!("the batch of lines {first} to {last} failed: {reason}"),
        };
        for (position, (line, text)) in lines.iter().enumerate() {
            if Some(position) == at {
                rejects.add(*line, error.kind().name(), &reason, text)?;
            } else {
                rejects.add(*line, BATCH_FAILED, &others, text)?;
            }
        }
        Ok(())
    }
}

/// Kind of a reject that is sound itself, in a batch that is not.
const BATCH_FAILED: &str = "batch_failed";
