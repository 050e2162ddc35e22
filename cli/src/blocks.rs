//! Mutations in blocks, decompressed and parsed by a thread of their own.
//!
//! The thread sends a block when it is full, and also when it would have to wait for more bytes: a
//! line from a slow pipe takes effect at once. The channel is bounded, so a fast reader does not fill
//! the memory. When the reading ends with a failure, that is the last thing sent.
//!
//! Blocks go back to the thread when they are used up: memory is freed where it was allocated, which
//! takes that work and the allocator's locks off the thread that applies.

use crate::failure::Failure;
use crate::input::{Input, Text};
use crate::lines::Lines;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use vellum::{Error, Mutation, Schema, text};

/// Lines of a block: some tens of microseconds of work, next to which passing it on costs nothing.
const BLOCK_LINES: usize = 256;
/// Blocks on their way: a few milliseconds, which covers a pause on either side.
const BLOCKS_WAITING: usize = 16;

/// Some lines of the input, parsed.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) items: Vec<Item>,
    /// The lines as they were read, where they are kept.
    pub(crate) text: Vec<u8>,
}

/// One line.
pub(crate) struct Item {
    /// Its number, from 1.
    pub(crate) line: u64,
    /// What it asks for, or why it cannot be read.
    pub(crate) mutation: Result<Mutation, Error>,
    /// Where it is in the block's text.
    pub(crate) text: Range<usize>,
}

/// How lines of mutations are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// `at` counts; otherwise the time of the commit is what a record shows.
    pub(crate) keeps_at: bool,
    /// The text of each line is kept for the rejects file.
    pub(crate) keeps_text: bool,
    /// `returning` counts: somebody prints the records.
    pub(crate) keeps_returning: bool,
}

/// The blocks of an input, in order.
pub(crate) struct Blocks {
    receiver: Receiver<Result<Block, Failure>>,
    used: Sender<Block>,
    thread: Option<JoinHandle<()>>,
    done: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Blocks {
    /// Mutation lines, typed by a copy of the store's schema. Blank lines are passed over.
    pub(crate) fn of_mutations(input: Input, schema: Schema, reading: Reading) -> Result<Blocks, Failure> {
        Blocks::spawn(input, reading.keeps_text, move |text, sink| {
            read_lines(text, sink, |line| {
                let mut mutation = text::parse_mutation(&schema, line).map_err(without_prefix)?;
                if !reading.keeps_at {
                    mutation.patch.at = None;
                }
                mutation.patch.returning &= reading.keeps_returning;
                Ok(mutation)
            })
        })
    }

    /// Whatever `produce` makes of the text.
    pub(crate) fn spawn(
        input: Input,
        keeps_text: bool,
        produce: impl FnOnce(Text, &mut Sink) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Blocks, Failure> {
        let (sender, receiver) = sync_channel(BLOCKS_WAITING);
        // As many as were sent, and those are bounded.
        let (used, freed) = channel();
        let (done, total) = (input.done(), input.total());
        let thread = Builder::new().spawn(move || {
            let mut sink = Sink { sender, freed, keeps_text, block: Block::default() };
            let result = input.decode().and_then(|text| produce(text, &mut sink));
            sink.flush();
            if let Err(failure) = result {
                // Nobody listens any more when the main thread has failed already.
                let _ = sink.sender.send(Err(failure));
            }
        });
        let thread = thread.map_err(|error| Failure::thread("reading the input", error))?;
        Ok(Blocks { receiver, used, thread: Some(thread), done, total })
    }

    /// Takes back a block that nobody needs any more.
    pub(crate) fn give_back(&self, block: Block) {
        // The thread has ended when the input has; then the block is freed here.
        let _ = self.used.send(block);
    }

    /// Bytes of the input that were read.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes of the input, where that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, Failure>;

    fn next(&mut self) -> Option<Result<Block, Failure>> {
        if let Ok(block) = self.receiver.recv() {
            return Some(block);
        }
        // The end of the channel is the end of the input only if the thread came to its own end.
        self.thread.take()?.join().expect("the thread that reads the input panicked");
        None
    }
}

/// Where a producer puts its lines.
pub(crate) struct Sink {
    sender: SyncSender<Result<Block, Failure>>,
    freed: Receiver<Block>,
    keeps_text: bool,
    block: Block,
}

impl Sink {
    /// Adds a line; false when nobody wants more.
    #[must_use]
    pub(crate) fn push(&mut self, line: u64, text: &[u8], mutation: Result<Mutation, Error>) -> bool {
        let start = self.block.text.len();
        if self.keeps_text {
            self.block.text.extend_from_slice(text);
        }
        self.block.items.push(Item { line, mutation, text: start..self.block.text.len() });
        self.block.items.len() < BLOCK_LINES || self.flush()
    }

    /// Sends what is there; false when nobody wants more.
    pub(crate) fn flush(&mut self) -> bool {
        if self.block.items.is_empty() {
            return true;
        }
        let mut empty = Block::default();
        for mut used in self.freed.try_iter() {
            used.items.clear();
            used.text.clear();
            empty = used;
        }
        self.sender.send(Ok(std::mem::replace(&mut self.block, empty))).is_ok()
    }
}

/// The line's number stands before the message; that it is a mutation line is then known.
fn without_prefix(error: Error) -> Error {
    let text = error.to_string();
    let reason = text.strip_prefix("mutation line, ").or_else(|| text.strip_prefix("mutation line: "));
    reason.map_or(error, Error::invalid_input)
}

/// Hands each line that is not blank to `parse`.
pub(crate) fn read_lines(
    text: Text,
    sink: &mut Sink,
    parse: impl Fn(&[u8]) -> Result<Mutation, Error>,
) -> Result<(), Failure> {
    let mut lines = Lines::new(text);
    while lines.fill()? {
        while let Some((number, line)) = lines.next() {
            let line = line.trim_ascii();
            if !line.is_empty() && !sink.push(number, line, parse(line)) {
                return Ok(());
            }
        }
        if !sink.flush() {
            return Ok(());
        }
    }
    Ok(())
}
