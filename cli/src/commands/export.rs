//! `vellum export`: all records of an object, as they were when it began.

use crate::failure::Failure;
use crate::open;
use crate::output::Output;
use crate::rows::EXPORT_HEAD;
use clap::ValueEnum;
use std::io::{self, Write};
use std::path::PathBuf;
use vellum::{Error, Record, text::format_record};

/// Write all records of an object to stdout
///
/// NDJSON: {"id":…,"version":…,"counter":…,"created_at":…,"updated_at":…,"values":{…}} a line. CSV: the same as
/// columns; there a text that is empty and one that is missing look alike. `vellum import` takes both.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(&args.store, output)?;
    let schema = store.schema();
    let object = schema.object(&args.object)?;
    if object.is_open() && matches!(args.format, Format::Csv) {
        let message = "records of an open object have members that no column is for; export them as ndjson";
        return Err(Error::invalid_input(message).into());
    }
    let names: Vec<&str> = object.attributes().iter().map(|attribute| attribute.key()).collect();
    let snapshot = store.snapshot()?;
    let records = snapshot.iter(&args.object)?;
    let mut stream = output.stream();
    match args.format {
        Format::Ndjson => {
            for record in records {
                writeln!(stream, "{}", format_record(&record?)).map_err(Failure::stdout)?;
            }
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(&mut stream);
            writer.write_record(EXPORT_HEAD.iter().chain(&names)).map_err(unwritten)?;
            for record in records {
                writer.write_record(fields(&record?, &names)).map_err(unwritten)?;
            }
            writer.flush().map_err(Failure::stdout)?;
        }
    }
    stream.flush().map_err(Failure::stdout)
}

/// The fields of a record, in the order of the header; those without a value are empty.
fn fields(record: &Record, names: &[&str]) -> Vec<String> {
    let mut fields = vec![
        record.id.to_string(),
        record.version.to_string(),
        record.counter.to_string(),
        record.created_at.to_string(),
        record.updated_at.to_string(),
    ];
    // A record brings its values in schema order, as the names are.
    let mut values = record.iter().peekable();
    fields.extend(names.iter().map(|name| {
        values
            .next_if(|(present, _)| present == name)
            .map_or_else(String::new, |(_, value)| value.to_string())
    }));
    fields
}

fn unwritten(error: csv::Error) -> Failure {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Failure::stdout(error),
        _ => Failure::stdout(io::Error::other(text)),
    }
}
