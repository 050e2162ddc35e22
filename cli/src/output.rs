//! Stdout for people and for programs, and stderr for errors.

use crate::failure::Failure;
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::Duration;

/// How the tool answers.
pub(crate) struct Output {
    json: bool,
    /// How long an opening for writing waits for the lock.
    wait: Duration,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json, wait: Duration::ZERO }
    }

    pub(crate) fn waiting(self, seconds: u32) -> Output {
        Output { wait: Duration::from_secs(seconds.into()), ..self }
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody looks at stderr who likes bars.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Answers with `object` as one line of JSON, or with `text`.
    pub(crate) fn answer(&self, object: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        self.print(self.rendered(object, text))
    }

    /// The same on stderr, where stdout has its own lines.
    pub(crate) fn answer_aside(&self, object: &impl Serialize, text: impl Display) {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "{}", self.rendered(object, text));
    }

    /// Prints a text and ends its line.
    pub(crate) fn print(&self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// A remark for people: on stderr, and not with `--json`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Stdout for many lines; the caller flushes it.
    pub(crate) fn stream(&self) -> BufWriter<StdoutLock<'static>> {
        // 64 KiB, as much as a pipe takes at once.
        BufWriter::with_capacity(64 << 10, io::stdout().lock())
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = match self.json {
            true => writeln!(stderr, "{}", failure.to_json()),
            false => writeln!(stderr, "vellum: {failure}"),
        };
    }

    fn rendered(&self, object: &impl Serialize, text: impl Display) -> String {
        match self.json {
            true => serde_json::to_string(object).expect("answers have text keys and plain values"),
            false => text.to_string(),
        }
    }
}

/// `1,336,337`
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `12.30 MiB`
pub(crate) fn bytes(len: u64) -> String {
    BinaryBytes(len).to_string()
}

/// A number with its word: `1 line`, `2 lines`.
pub(crate) fn counted(number: u64, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {word}{plural}", count(number))
}

/// The numbers that are not zero with their words, behind `before`: `: 2 created, 1 deleted`.
pub(crate) fn listed(before: &str, numbers: &[(u64, &str)]) -> String {
    let shown = numbers.iter().filter(|(number, _)| *number > 0);
    let shown: Vec<String> = shown.map(|(number, word)| format!("{} {word}", count(*number))).collect();
    if shown.is_empty() { String::new() } else { format!("{before}{}", shown.join(", ")) }
}

/// `0.53 s`
pub(crate) fn seconds(ms: u64) -> String {
    format!("{:.2} s", ms as f64 / 1000.0)
}

/// Rows of names and texts as two aligned columns, each line behind `indent`.
pub(crate) fn columns<'a>(indent: &str, rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<(&str, String)> = rows.into_iter().collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines =
        rows.iter().map(|(name, text)| format!("{indent}{name:width$}  {text}").trim_end().to_string());
    lines.collect::<Vec<_>>().join("\n")
}
