//! A line that tells how far a long step is, on a terminal; silence elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// One line on standard error, written over in place.
pub(crate) struct Progress {
    what: &'static str,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { what, started: Instant::now(), shown: None, terminal }
    }

    /// Shows `done`, ten times a second at most.
    pub(crate) fn show(&mut self, done: u64) {
        const PAUSE: Duration = Duration::from_millis(100);
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < PAUSE) {
            return;
        }
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        eprint!("\r{}: {} ({} a second)   ", self.what, grouped(done), grouped(rate as u64));
        self.shown = Some(Instant::now());
        // A progress line that cannot be written is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    /// Clears the line, so that what comes next starts in the first column.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r{:76}\r", "");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A number with a comma between each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
