//! Complete lines of a text, numbered from 1.
//!
//! [`Lines::fill`] waits for bytes; [`Lines::next`] hands out the lines that are complete in memory. So a
//! caller can pass on what it has before it waits for a slow pipe. A read error comes after the lines
//! before it; a line that the error cuts is not handed out, one that the end of the file ends is.

use crate::failure::Failure;
use crate::input::Text;
use std::io::{self, Read};

/// One read from a file, and thousands of common lines.
const BUFFER_LEN: usize = 1 << 20;
/// Longest line: ten of the largest values (16 MiB), and half as much again for escapes.
const LINE_LEN_MAX: usize = 256 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a text.
pub(crate) struct Lines {
    text: Text,
    buffer: Vec<u8>,
    /// The bytes that were read and not handed out: `start..end` of the buffer.
    start: usize,
    end: usize,
    /// No line end lies between `start` and here.
    searched: usize,
    /// Lines that were handed out.
    count: u64,
    is_at_end: bool,
}

impl Lines {
    pub(crate) fn new(text: Text) -> Lines {
        let buffer = vec![0; BUFFER_LEN];
        Lines { text, buffer, start: 0, end: 0, searched: 0, count: 0, is_at_end: false }
    }

    /// Reads on, after `next` said that there is no complete line. False at the end.
    pub(crate) fn fill(&mut self) -> Result<bool, Failure> {
        if self.is_at_end {
            return Ok(false);
        }
        self.make_room()?;
        loop {
            match self.text.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_at_end = true,
                Ok(len) => self.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.text.failure(error).at_line(self.count + 1)),
            }
            return Ok(true);
        }
    }

    /// The next line without its end, and its number.
    pub(crate) fn next(&mut self) -> Option<(u64, &[u8])> {
        let start = self.start;
        let end = match memchr::memchr(b'\n', &self.buffer[self.searched..self.end]) {
            Some(at) => {
                self.start = self.searched + at + 1;
                self.start - 1
            }
            None if self.is_at_end && start < self.end => {
                self.start = self.end;
                self.end
            }
            None => {
                self.searched = self.end;
                return None;
            }
        };
        self.searched = self.start;
        self.count += 1;
        let line = &self.buffer[start..end];
        let line = if self.count == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        Some((self.count, line))
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end == LINE_LEN_MAX {
            let message = format!("the line is longer than {LINE_LEN_MAX} bytes; is this the right file?");
            return Err(Failure::invalid_input(message).at_line(self.count + 1));
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 2).min(LINE_LEN_MAX), 0);
        }
        Ok(())
    }
}
