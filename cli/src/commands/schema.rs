//! `vellum schema`: the objects and attributes of a store.

use crate::failure::Failure;
use crate::input::read_text;
use crate::open;
use crate::output::{Output, columns};
use std::path::PathBuf;
use vellum::{Durability, Schema};

/// Show the objects and attributes of a store, or change them
///
/// With --json it is the form that `vellum init --schema` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Make the changes in this JSON file first (- is standard input); see docs/schema-changes.md
    #[arg(long, value_name = "FILE")]
    change: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let schema = match &args.change {
        None => open::read_only(&args.store, output)?.schema(),
        Some(file) => {
            let changes = read_text(file)?;
            let store = open::writable(&args.store, Durability::Sync, output)?;
            store.change_schema(&changes)?;
            let schema = store.schema();
            store.close()?;
            schema
        }
    };
    if output.is_json() {
        return output.print(schema.to_json());
    }
    output.print(described(&schema))
}

fn described(schema: &Schema) -> String {
    let objects = schema.objects().iter().map(|object| {
        let mut lines = object.key().to_string();
        if let Some(title) = object.title() {
            lines += &format!(" · {title}");
        }
        if let Some(key) = object.primary_key() {
            let names = key.attributes().iter().filter_map(|id| object.attribute_by_id(*id));
            lines += &format!(
                " · primary key {}",
                names.map(|attribute| attribute.key()).collect::<Vec<_>>().join(", ")
            );
        }
        let shown = object.attributes().iter().filter(|attribute| !attribute.is_hidden());
        let attributes = shown.map(|attribute| {
            let mut words = vec![attribute.value_type().name().to_string()];
            let flags = [
                (attribute.is_required(), "required"),
                (attribute.is_unique(), "unique"),
                (attribute.is_read_only(), "read only"),
            ];
            words.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| (*word).to_string()));
            let options: Vec<&str> = attribute.options().iter().map(|option| option.key()).collect();
            if !options.is_empty() {
                words.push(options.join(" | "));
            }
            (attribute.key(), words.join(" · "))
        });
        format!("{lines}\n{}", columns("  ", attributes))
    });
    objects.collect::<Vec<_>>().join("\n\n")
}
