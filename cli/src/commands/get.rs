//! `vellum get`: one record.

use crate::failure::Failure;
use crate::key::parse_key;
use crate::open;
use crate::output::{Output, columns};
use std::path::PathBuf;
use vellum::{Record, Timestamp, text::format_record};

/// Show one record
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// A record id, or attr=value[,attr=value…] of the primary key or a unique attribute, or these as JSON
    key: String,

    /// Only these attributes
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    attributes: Option<Vec<String>>,

    /// The record as it was at this moment; the object must keep history
    #[arg(long, value_name = "TIME", conflicts_with = "attributes")]
    as_of: Option<Timestamp>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open::read_only(&args.store, output)?;
    let key = parse_key(&store.schema(), &args.object, &args.key)?;
    let object = store.object(&args.object)?;
    let record = match (&args.attributes, args.as_of) {
        (None, None) => object.get(key)?,
        (None, Some(at)) => object.get_as_of(key, at)?,
        (Some(names), _) => {
            object.get_attributes(key, &names.iter().map(String::as_str).collect::<Vec<_>>())?
        }
    };
    let record = record.ok_or_else(|| Failure::record_not_found(&args.object, &args.key))?;
    match output.is_json() {
        true => output.print(format_record(&record)),
        false => output.print(described(&args.object, &record)),
    }
}

fn described(object: &str, record: &Record) -> String {
    let head = [
        ("version", record.version.to_string()),
        ("created", record.created_at.to_string()),
        ("updated", record.updated_at.to_string()),
    ];
    let values = columns("", record.iter().map(|(name, value)| (name, value.to_string())));
    let gap = if values.is_empty() { "" } else { "\n\n" };
    format!("{object} {}\n{}{gap}{values}", record.id, columns("", head))
}
