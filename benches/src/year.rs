//! A year of flights as mutations, parsed beforehand.

#![allow(
    clippy::disallowed_methods,
    reason = "the seam for disks is the engine's; a benchmark reads its input with std::fs"
)]

use crate::Result;
use flate2::read::MultiGzDecoder;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use vellum::text::parse_mutation;
use vellum::{Mutation, Schema};

/// The schema of the flights.
///
/// # Errors
/// None, as long as the example's schema is one.
pub fn schema() -> Result<Schema> {
    Ok(Schema::from_json(include_str!("../../examples/flights/data/schema.json"))?)
}

/// The mutations of a file of lines, packed or plain.
///
/// # Errors
/// What the file says, or a line that is no mutation.
pub fn read(path: &Path, schema: &Schema) -> Result<Vec<Mutation>> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let plain: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let lines = BufReader::with_capacity(1 << 16, plain).split(b'\n');
    lines.map(|line| Ok(parse_mutation(schema, &line?)?)).collect()
}
