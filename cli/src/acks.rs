//! Waits for commits in groups, while more are submitted, and prints the numbers of their lines.
//!
//! Commits become durable in the order in which they were submitted, so waiting for the newest of a
//! group is waiting for all: one sync serves as many lines as came in during the sync before.

use crate::failure::Failure;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use vellum::Commit;

/// Groups of lines on their way, each at most a block: enough for one sync of a slow disk.
const GROUPS_WAITING: usize = 256;

/// Lines whose commits were submitted, the newest of these being `commit`.
struct Group {
    lines: Vec<u64>,
    commit: Commit,
}

/// A thread that waits, or nothing where nobody has to.
pub(crate) struct Acks {
    prints: bool,
    lines: Vec<u64>,
    newest: Option<Commit>,
    sender: Option<SyncSender<Group>>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Acks {
    /// Waits for commits as the store's durability says, and prints their lines if `prints`.
    pub(crate) fn spawn(prints: bool) -> Result<Acks, Failure> {
        let (sender, receiver) = sync_channel(GROUPS_WAITING);
        let thread = Builder::new().spawn(move || wait(&receiver, prints));
        let thread = thread.map_err(|error| Failure::thread("waiting for commits", error))?;
        Ok(Acks { prints, lines: Vec::new(), newest: None, sender: Some(sender), thread: Some(thread) })
    }

    /// Waits for nothing.
    pub(crate) fn none() -> Acks {
        Acks { prints: false, lines: Vec::new(), newest: None, sender: None, thread: None }
    }

    /// Lines were submitted; `commit` carries them.
    pub(crate) fn submitted(&mut self, lines: impl IntoIterator<Item = u64>, commit: Commit) {
        if self.prints {
            self.lines.extend(lines);
        }
        self.newest = Some(commit);
    }

    /// Hands what was submitted to the thread; false when it has failed, and [`Acks::finish`] says why.
    #[must_use]
    pub(crate) fn hand_over(&mut self) -> bool {
        let (Some(sender), Some(commit)) = (&self.sender, self.newest.take()) else {
            return true;
        };
        sender.send(Group { lines: std::mem::take(&mut self.lines), commit }).is_ok()
    }

    /// Waits until all that was submitted holds and is printed.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let _ = self.hand_over();
        drop(self.sender.take());
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).expect("the thread that waits for commits panicked")
    }
}

fn wait(receiver: &Receiver<Group>, prints: bool) -> Result<(), Failure> {
    let mut text = Vec::new();
    while let Ok(first) = receiver.recv() {
        let mut newest = first.commit;
        let mut lines = first.lines;
        for group in receiver.try_iter() {
            lines.extend(group.lines);
            newest = group.commit;
        }
        newest.wait()?;
        if prints {
            print(&lines, &mut text).map_err(|error| Failure::stdout(error).loud())?;
        }
    }
    Ok(())
}

fn print(lines: &[u64], text: &mut Vec<u8>) -> io::Result<()> {
    text.clear();
    for line in lines {
        writeln!(text, "{line}")?;
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}
