//! Lines of a text, plain or compressed with gzip.

use crate::Result;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// January's mutations, which this program carries along.
const JANUARY: &[u8] = include_bytes!("data/flights-january.ndjson.gz");

/// Calls `each` with every mutation line of `file`, or of the sample when there is none, and with its
/// number from 1. Empty lines are passed over.
pub(crate) fn for_each_mutation(
    file: Option<&Path>,
    mut each: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut source: Box<dyn BufRead> = match file {
        None => Box::new(BufReader::new(MultiGzDecoder::new(JANUARY))),
        Some(path) => open(path)?,
    };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if source
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("after line {}: {error}", number - 1))?
            == 0
        {
            break;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            each(number, text).map_err(|error| format!("line {number}: {error}"))?;
        }
    }
    Ok(())
}

/// Opens a file for reading; one that is named .gz is decompressed.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(if is_gzip(path) {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, file))
    })
}

/// Whether a file of this name is compressed.
pub(crate) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}
