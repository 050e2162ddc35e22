//! The process that writes: it creates the store, streams the mutations, and is killed.
//!
//! A store that was closed has nothing to recover. So the example starts itself a second time for the
//! writing, waits until that process says that every commit is done, and kills it where it stands.

use crate::options::Run;
use crate::progress::Progress;
use crate::{Result, lines, reference};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use vellum::text::parse_mutation;
use vellum::{Action, Commit, Config, Durability, Mutation, Schema, Store};

/// Makes this program the writer.
pub(crate) const ARGUMENT: &str = "--as-writer";

const SCHEMA: &str = include_str!("data/schema.json");

/// Commits that may wait for the disk at once, as many as a busy server has requests in flight. One
/// sync serves all that wait.
const IN_FLIGHT: usize = 1024;

/// Of every so many mutations one is weighed, if it is a patch: the log's length before and after it.
const WEIGH_EVERY: u64 = 1000;

/// So many are weighed and no more: asking the store for its figures takes longer than a patch.
const WEIGHED_MAX: u64 = 64;

/// What the writer measured.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) mutations: u64,
    pub(crate) ms: u64,
    /// Patches that were weighed, and what they added to the log.
    pub(crate) weighed: u64,
    pub(crate) weighed_len: u64,
}

impl Figures {
    fn to_line(&self) -> String {
        format!("done {} {} {} {}", self.mutations, self.ms, self.weighed, self.weighed_len)
    }

    fn from_line(line: &str) -> Option<Figures> {
        let mut numbers = line.trim_end().strip_prefix("done ")?.split(' ').map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Figures { mutations: next()?, ms: next()?, weighed: next()?, weighed_len: next()? })
    }
}

/// Starts the writer on a store in `path`, waits until all its commits are done, and kills it.
pub(crate) fn run_and_kill(path: &Path) -> Result<Figures> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args([ARGUMENT.as_ref(), "--store".as_ref(), path.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let figures = read_figures(&mut child);
    // On Unix this is SIGKILL: no destructor runs, nothing is closed. It fails only on a process
    // that is gone already.
    let _ = child.kill();
    child.wait()?;
    figures
}

fn read_figures(child: &mut Child) -> Result<Figures> {
    let output = child.stdout.take().ok_or("the writer has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    Figures::from_line(&line).ok_or_else(|| "the writer stopped before the end".into())
}

/// The writer's own side: writes, says so, and waits to be killed.
pub(crate) fn write(run: &Run) -> Result<()> {
    let path = run.store.as_ref().ok_or("the writer needs --store")?;
    let store = Config::new().durability(run.durability).create(path, &Schema::from_json(SCHEMA)?)?;
    reference::load(&store)?;
    let figures = stream(&store, run)?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", figures.to_line())?;
    output.flush()?;
    // Standard input ends if the other process dies first.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    std::process::abort()
}

/// Sends every mutation through the store, one transaction each.
fn stream(store: &Store, run: &Run) -> Result<Figures> {
    let started = Instant::now();
    let mut figures = match run.durability {
        // Nothing to wait for: a commit is with the operating system when `apply` returns.
        Durability::Buffered => stream_each(store, run, |mutation| {
            store.apply(mutation)?;
            Ok(())
        }),
        _ => stream_pipelined(store, run),
    }?;
    figures.ms = started.elapsed().as_millis() as u64;
    Ok(figures)
}

/// Submits without waiting, while a second thread waits for the commits in their order. This is what
/// the many clients of a server do between them: while a sync runs, the next commits gather.
fn stream_pipelined(store: &Store, run: &Run) -> Result<Figures> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Commit>(IN_FLIGHT);
        let acknowledger = scope.spawn(move || receiver.into_iter().try_for_each(|commit| commit.wait()));
        let streamed = stream_each(store, run, |mutation| {
            let (_, commit) = store.submit(mutation)?;
            // Nobody receives once a commit has failed; its error is reported below.
            sender.send(commit).map_err(|_| "a commit failed".into())
        });
        drop(sender);
        acknowledger.join().map_err(|_| "the acknowledging thread panicked")??;
        streamed
    })
}

fn stream_each(store: &Store, run: &Run, mut send: impl FnMut(&Mutation) -> Result<()>) -> Result<Figures> {
    let schema = store.schema();
    let mut figures = Figures::default();
    let mut progress = Progress::new("streaming mutations");
    lines::for_each_mutation(run.full.as_deref(), |_, line| {
        let mutation = parse_mutation(&schema, line)?;
        figures.mutations += 1;
        let weigh = figures.weighed < WEIGHED_MAX && figures.mutations.is_multiple_of(WEIGH_EVERY);
        if weigh && mutation.action == Action::Update {
            let before = store.stats()?.log_since_checkpoint;
            send(&mutation)?;
            // A checkpoint in between starts the count anew: that patch is not weighed.
            if let Some(len) = store.stats()?.log_since_checkpoint.checked_sub(before) {
                figures.weighed += 1;
                figures.weighed_len += len;
            }
        } else {
            send(&mutation)?;
        }
        progress.show(figures.mutations);
        Ok(())
    })?;
    Ok(figures)
}
