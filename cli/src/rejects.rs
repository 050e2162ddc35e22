//! The file of lines that were refused: NDJSON, so that it can be read, corrected and tried again.
//!
//! ```json
//! {"line":17,"kind":"invalid_input","reason":"seats: \"1,200\" is not a whole number of 64 bits","input":"N14228,\"1,200\""}
//! ```
//!
//! The file is created when the first line is rejected. One of an earlier run, as its first line shows, is
//! replaced then, and removed by a run that rejects nothing. Any other file of that name ends the run before
//! it begins: it may be a file of a store.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A first line is looked at up to this length; longer ones are the input's, and are there as a whole.
const FIRST_LINE_MAX: u64 = 16 << 20;

/// Lines that were refused.
pub(crate) struct Rejects {
    path: PathBuf,
    /// The file of an earlier run.
    earlier: Option<File>,
    file: Option<BufWriter<File>>,
    count: u64,
}

#[derive(Serialize)]
struct Reject<'a> {
    line: u64,
    kind: &'a str,
    reason: &'a str,
    input: &'a str,
}

impl Rejects {
    /// # Errors
    /// When there is a file of this name that is not a rejects file.
    pub(crate) fn new(path: PathBuf) -> Result<Rejects, Failure> {
        let earlier = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::io("open", path.display(), error)),
            Ok(file) => Some(file),
        };
        if let Some(file) = &earlier
            && is_plain(file)
            && !is_of_rejects(file)
        {
            let message = format!(
                "{} exists and is not a rejects file, so it is not overwritten; name another file, or remove it",
                path.display()
            );
            return Err(Failure::usage(message));
        }
        Ok(Rejects { path, earlier, file: None, count: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Writes one line; bytes that are not UTF-8 are shown as U+FFFD.
    pub(crate) fn add(&mut self, line: u64, kind: &str, reason: &str, input: &[u8]) -> Result<(), Failure> {
        let reject = Reject { line, kind, reason, input: &String::from_utf8_lossy(input) };
        let mut text = serde_json::to_vec(&reject).expect("a reject is plain text and numbers");
        text.push(b'\n');
        self.count += 1;
        let path = self.path.display().to_string();
        self.file()?.write_all(&text).map_err(|error| Failure::io("write", path, error))
    }

    /// Hands everything to the operating system.
    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), BufWriter::flush);
        flushed.map_err(|error| Failure::io("write", self.path.display(), error))
    }

    /// Ends a run: what was written is with the operating system, and where nothing was, the file of an earlier
    /// run is removed.
    pub(crate) fn end(&mut self, ran: Result<(), Failure>) -> Result<(), Failure> {
        let ended = ran.and(self.flush());
        if ended.is_ok()
            && self.count == 0
            && let Some(earlier) = self.earlier.take().filter(is_plain)
        {
            drop(earlier);
            std::fs::remove_file(&self.path)
                .map_err(|error| Failure::io("remove", self.path.display(), error))?;
        }
        ended
    }

    fn file(&mut self) -> Result<&mut BufWriter<File>, Failure> {
        if self.file.is_none() {
            // What was looked at at the beginning, or one that did not exist then.
            let file = match self.earlier.take() {
                Some(file) if is_plain(&file) => file.set_len(0).and_then(|()| rewound(file)),
                Some(file) => Ok(file),
                None => OpenOptions::new().write(true).create_new(true).open(&self.path),
            };
            let file = file.map_err(|error| Failure::io("create", self.path.display(), error))?;
            self.file = Some(BufWriter::new(file));
        }
        Ok(self.file.as_mut().expect("it was made above"))
    }
}

fn rewound(mut file: File) -> io::Result<File> {
    io::Seek::rewind(&mut file).map(|()| file)
}

/// Not a terminal, a pipe, or `/dev/null`.
fn is_plain(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file())
}

/// Whether the first line is one that [`Rejects::add`] wrote.
fn is_of_rejects(file: &File) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "that it can be read is all that matters")]
    struct FirstLine {
        line: u64,
        kind: String,
        reason: String,
        input: String,
    }
    let mut line = Vec::new();
    let read = BufReader::new(file.take(FIRST_LINE_MAX)).read_until(b'\n', &mut line);
    read.is_ok() && serde_json::from_slice::<FirstLine>(&line).is_ok()
}
