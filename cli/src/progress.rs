//! Bars on stderr, on a terminal only.

use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// A bar, or nothing where nobody looks.
#[derive(Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Bytes of an input; without a total (a pipe) it is a spinner.
    pub(crate) fn of_input(output: &Output, total: Option<u64>) -> Progress {
        if !output.shows_progress() {
            return Progress(ProgressBar::hidden());
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{wide_bar} {percent:>3} % {msg} {eta}"),
            None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes} {msg}"),
        };
        Progress(bar).styled(template)
    }

    /// Bytes of log that a recovery reads.
    pub(crate) fn of_recovery(output: &Output) -> Progress {
        if !output.shows_progress() {
            return Progress(ProgressBar::hidden());
        }
        Progress(ProgressBar::new(0)).styled("recovering {wide_bar} {binary_bytes} of {binary_total_bytes}")
    }

    /// Pieces of some work.
    pub(crate) fn of_work(output: &Output, doing: &'static str) -> Progress {
        if !output.shows_progress() {
            return Progress(ProgressBar::hidden());
        }
        let bar = Progress(ProgressBar::new(0)).styled("{msg} {wide_bar} {percent:>3} % {eta}");
        bar.0.set_message(doing);
        bar
    }

    fn styled(self, template: &str) -> Progress {
        self.0.set_style(ProgressStyle::with_template(template).expect("the templates are right"));
        self.0.enable_steady_tick(REDRAW_INTERVAL);
        self
    }

    /// How far it is, and how many lines that was.
    pub(crate) fn reached(&self, done: u64, line_count: u64) {
        if self.0.is_hidden() {
            return;
        }
        self.0.set_position(done);
        self.0.set_message(format!("{} lines", indicatif::HumanCount(line_count)));
    }

    /// How far it is of how much.
    pub(crate) fn reached_of(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
