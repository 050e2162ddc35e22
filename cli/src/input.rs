//! The bytes of a file or of stdin, plain or gzip.
//!
//! Gzip is known by its first two bytes, whatever the name says; a name that ends in .gz promises
//! gzip, so a file of that name without them is damaged (an empty one was cut short). Several
//! members one behind the other are one input. The checksum of a member stands at its end: lines
//! that were read before it may have taken effect when it turns out wrong.

use crate::failure::Failure;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
// Compressed bytes at a time; decompressed they fill a few blocks of lines.
const COMPRESSED_LEN: usize = 256 << 10;

/// An input that is open, and not read yet.
pub(crate) struct Input {
    name: String,
    promises_gzip: bool,
    bytes: Counted<Box<dyn Read + Send>>,
    total: Option<u64>,
}

/// A whole input as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = Input::open(path)?.decode()?;
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes).map_err(|error| text.failure(error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::invalid_input(format!("{} is not UTF-8 at byte {at}", path.display()))
    })
}

impl Input {
    /// Opens a file, or stdin for `-`. Reads nothing.
    pub(crate) fn open(path: &Path) -> Result<Input, Failure> {
        if is_stdin(path) {
            return Ok(Input::of("standard input", Box::new(io::stdin())));
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| Failure::io("open", &name, error))?;
        if metadata.is_dir() {
            return Err(Failure::io("open", &name, io::ErrorKind::IsADirectory.into()));
        }
        let promises_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let total = metadata.is_file().then_some(metadata.len());
        Ok(Input { name, promises_gzip, bytes: Counted::new(Box::new(file)), total })
    }

    /// Bytes that come from somewhere, under a name for messages.
    pub(crate) fn of(name: &str, bytes: Box<dyn Read + Send>) -> Input {
        Input { name: name.to_string(), promises_gzip: false, bytes: Counted::new(bytes), total: None }
    }

    /// Bytes of the file, where it is one.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Where to look how many of them were read.
    pub(crate) fn done(&self) -> Arc<AtomicU64> {
        self.bytes.count.clone()
    }

    /// The text of the input; reads its first bytes, which may wait for a pipe.
    pub(crate) fn decode(self) -> Result<Text, Failure> {
        let Input { name, promises_gzip, mut bytes, .. } = self;
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        let sniffed = bytes.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head);
        sniffed.map_err(|error| Failure::io("read", &name, error))?;
        if head == GZIP_MAGIC {
            let source = Cursor::new(head).chain(bytes);
            let reader = MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_LEN, source));
            return Ok(Text { name, is_gzip: true, reader: Box::new(reader) });
        }
        if promises_gzip {
            let found = if head.is_empty() { "it is empty" } else { "its first bytes are others" };
            let message =
                format!("{name} is no gzip file: {found}; fetch it again, or rename it if it is plain text");
            return Err(Failure::damaged_input(message));
        }
        Ok(Text { name, is_gzip: false, reader: Box::new(Cursor::new(head).chain(bytes)) })
    }
}

/// Whether the path means stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether two paths are the same file, as far as the system tells.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
    a == b || real(a).is_some_and(|a| real(b) == Some(a))
}

/// The decompressed bytes of an input.
pub(crate) struct Text {
    name: String,
    is_gzip: bool,
    reader: Box<dyn Read + Send>,
}

impl Text {
    /// What a read error means. The caller knows how far it came.
    pub(crate) fn failure(&self, error: io::Error) -> Failure {
        self.explain()(error)
    }

    /// The same for one who gives the reader away.
    pub(crate) fn explain(&self) -> impl Fn(io::Error) -> Failure + 'static {
        let (name, is_gzip) = (self.name.clone(), self.is_gzip);
        move |error| match error.kind() {
            io::ErrorKind::UnexpectedEof if is_gzip => Failure::damaged_input(format!(
                "{name} is cut short: the compressed data ends early; fetch it again"
            )),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if is_gzip => {
                Failure::damaged_input(format!("{name} is damaged: {error}; fetch it again"))
            }
            _ => Failure::io("read", &name, error),
        }
    }
}

impl Read for Text {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

/// Counts the bytes that pass.
struct Counted<R> {
    reader: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    fn new(reader: R) -> Counted<R> {
        Counted { reader, count: Arc::default() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(into)?;
        // A number for a progress bar; nothing else depends on it.
        self.count.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}
