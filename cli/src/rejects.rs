//! The file of lines that were refused: NDJSON, so that it can be read, corrected and tried again.
//!
//! ```json
//! {"line":17,"kind":"invalid_input","reason":"seats: \"1,200\" is not a whole number of 64 bits","input":"N14228,\"1,200\""}
//! ```
//!
//! The file is made when the first line is refused, and replaces one of the same name.

use crate::failure::Failure;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lines that were refused.
pub(crate) struct Rejects {
    path: PathBuf,
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
    pub(crate) fn new(path: PathBuf) -> Rejects {
        Rejects { path, file: None, count: 0 }
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
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), BufWriter::flush);
        flushed.map_err(|error| Failure::io("write", self.path.display(), error))
    }

    fn file(&mut self) -> Result<&mut BufWriter<File>, Failure> {
        if self.file.is_none() {
            let file = File::create(&self.path);
            let file = file.map_err(|error| Failure::io("create", self.path.display(), error))?;
            self.file = Some(BufWriter::new(file));
        }
        Ok(self.file.as_mut().expect("it was made above"))
    }
}
