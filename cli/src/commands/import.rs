//! `vellum import`: records of one object from CSV or NDJSON.
//!
//! Each row is a transaction of its own and the run is durable at its end; a crash in between leaves
//! a prefix of the rows. A row whose key is taken is a conflict and goes by `--on-conflict`; a row
//! that is wrong in any other way goes to the rejects file.

use crate::blocks::{Block, Blocks};
use crate::failure::Failure;
use crate::input::{self, Input};
use crate::open;
use crate::output::{Output, counted, listed, seconds};
use crate::progress::Progress;
use crate::rejects::Rejects;
use crate::rows::{Target, read_csv, read_ndjson};
use clap::ValueEnum;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vellum::{Action, Durability, Error, ErrorKind, Key, Mutation, Name, Outcome, Schema, Store, Value};

/// Read records of one object from CSV or NDJSON
///
/// CSV needs a header with names of attributes. NDJSON is an object of attributes and values a line. Both may be
/// gzip, and may be what `vellum export` wrote. Rows that are wrong go to the rejects file with line number and
/// reason, and the exit code is then 1.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,

    /// Name of the object
    object: String,

    /// CSV or NDJSON, plain or gzip; - for stdin
    file: PathBuf,

    /// What to do with a row whose key another record holds: stop, pass over the row, or update that record
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnConflict::Fail)]
    on_conflict: OnConflict,

    /// A text that means no value, as NA; several times. An empty field always does
    #[arg(long, value_name = "TEXT")]
    null: Vec<String>,

    /// What the file is; otherwise its name tells: .csv, .ndjson, .jsonl, .json, and .gz behind it
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where rows go that are wrong: NDJSON with line, kind, reason and input [default: FILE.rejects.ndjson]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Fail,
    Skip,
    Update,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

#[derive(Serialize)]
struct Summary {
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
    rejected: u64,
    rejects_file: Option<String>,
    lsn: u64,
    elapsed_ms: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let format = args.format.map_or_else(|| format_of(&args.file), Ok)?;
    let rejects = Rejects::new(rejects_path(args)?)?;
    let input = Input::open(&args.file)?;
    let store = open::writable(&args.store, Durability::Buffered, output)?;
    let start = Instant::now();
    let schema = store.schema();
    let match_on = match_attributes(&schema, &args.object)?;
    if match_on.is_empty() && args.on_conflict == OnConflict::Update {
        let message = format!(
            "{} has no primary key and no unique attribute; rows are matched by id alone",
            args.object
        );
        output.note(message);
    }
    let target = Target { schema, object: args.object.as_str().into(), nulls: args.null.clone() };
    let blocks = Blocks::spawn(input, true, move |text, sink| match format {
        Format::Csv => read_csv(text, sink, &target),
        Format::Ndjson => read_ndjson(text, sink, &target),
    })?;
    let mut importer = Importer {
        store: &store,
        on_conflict: args.on_conflict,
        match_on,
        rejects,
        created: 0,
        updated: 0,
        unchanged: 0,
        skipped: 0,
    };
    let imported = importer.import_all(blocks, output);
    let lsn = store.applied_lsn();
    let Importer { rejects, created, updated, unchanged, skipped, .. } = importer;
    // Buffered while it ran; closing syncs.
    let closed = store.close().map_err(Failure::from);
    imported.and(closed).map_err(|failure| failure.after(created + updated + unchanged))?;
    let rejected = rejects.count();
    let rejects_file = (rejected > 0).then(|| rejects.path().display().to_string());
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let summary =
        Summary { created, updated, unchanged, skipped, rejected, rejects_file, lsn: lsn.0, elapsed_ms };
    if created + updated + unchanged + skipped + rejected == 0 {
        output.note("the input has no rows");
    }
    output.answer(&summary, summary.described(&args.object))?;
    summary.rejects_file.map_or(Ok(()), |file| {
        Err(Failure::rejected(format!(
            "{} rejected; line numbers and reasons are in {file}",
            counted(rejected, "row")
        )))
    })
}

/// What the name of the file tells.
fn format_of(file: &Path) -> Result<Format, Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, "csv")) => Ok(Format::Csv),
        Some((_, "ndjson" | "jsonl" | "json")) => Ok(Format::Ndjson),
        _ => Err(Failure::usage(format!(
            "the name {} does not tell whether it is CSV or NDJSON; add --format csv or --format ndjson",
            file.display()
        ))),
    }
}

fn rejects_path(args: &Args) -> Result<PathBuf, Failure> {
    let path = match &args.rejects {
        Some(path) => path.clone(),
        None if input::is_stdin(&args.file) => PathBuf::from("stdin.rejects.ndjson"),
        None => {
            let mut name = args.file.clone().into_os_string();
            name.push(".rejects.ndjson");
            PathBuf::from(name)
        }
    };
    if input::is_same_file(&path, &args.file) {
        return Err(Failure::usage(
            "--rejects names the input, which would be overwritten; name another file",
        ));
    }
    Ok(path)
}

/// The attributes that say which record a row means: the primary key, else the first unique attribute.
fn match_attributes(schema: &Schema, object: &str) -> Result<Vec<String>, Failure> {
    let object = schema.object(object)?;
    let ids = object.indexes().first().map_or(&[][..], |index| index.attributes());
    let names = ids.iter().filter_map(|id| object.attribute_by_id(*id));
    Ok(names.map(|attribute| attribute.key().to_string()).collect())
}

impl Summary {
    fn described(&self, object: &str) -> String {
        let numbers = [
            (self.updated, "updated"),
            (self.unchanged, "unchanged"),
            (self.skipped, "skipped"),
            (self.rejected, "rejected"),
        ];
        let created = counted(self.created, "record");
        format!("{object}: {created} created{} in {}", listed(", ", &numbers), seconds(self.elapsed_ms))
    }
}

struct Importer<'a> {
    store: &'a Store,
    on_conflict: OnConflict,
    match_on: Vec<String>,
    rejects: Rejects,
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

impl Importer<'_> {
    fn import_all(&mut self, blocks: Blocks, output: &Output) -> Result<(), Failure> {
        let bar = Progress::of_input(output, blocks.total());
        let result = self.import_blocks(blocks, &bar);
        bar.finish();
        self.rejects.end(result)
    }

    fn import_blocks(&mut self, mut blocks: Blocks, bar: &Progress) -> Result<(), Failure> {
        while let Some(block) = blocks.next() {
            let Block { items, text } = block?;
            for item in items {
                match item.mutation {
                    Ok(mutation) => self.import(mutation, item.line, &text[item.text])?,
                    Err(error) => self.reject(error, item.line, &text[item.text])?,
                }
            }
            bar.reached(blocks.done(), self.created + self.updated + self.unchanged + self.skipped);
        }
        Ok(())
    }

    fn import(&mut self, create: Mutation, line: u64, text: &[u8]) -> Result<(), Failure> {
        let error = match self.store.submit(&create) {
            Ok(_) => {
                self.created += 1;
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind() != ErrorKind::UniqueConflict {
            return self.reject(error, line, text);
        }
        match self.on_conflict {
            OnConflict::Fail => {
                let hint =
                    "--on-conflict skip passes over such rows, --on-conflict update changes the record";
                Err(Failure::from(error).hint(hint).at_line(line))
            }
            OnConflict::Skip => {
                self.skipped += 1;
                Ok(())
            }
            OnConflict::Update => match self.update(create) {
                Ok(Some(outcome)) => {
                    let counter =
                        if outcome.is_unchanged() { &mut self.unchanged } else { &mut self.updated };
                    *counter += 1;
                    Ok(())
                }
                // The refusal of the update says more than the conflict, where there is one.
                Ok(None) => self.reject(error, line, text),
                Err(refusal) => self.reject(refusal, line, text),
            },
        }
    }

    /// Updates the record that the row means; `None` where there is none, and so the conflict was about
    /// another attribute than those that rows are matched by.
    fn update(&self, create: Mutation) -> Result<Option<Outcome>, Error> {
        let Mutation { object, key: id, patch, .. } = create;
        let Some(key) = matched(&self.match_on, &patch.set).or(id) else {
            return Ok(None);
        };
        match self.store.submit(&Mutation { object, action: Action::Update, key: Some(key), patch }) {
            Ok((outcome, _)) => Ok(Some(outcome)),
            Err(error) if error.kind() == ErrorKind::RecordNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the row to the rejects file; what is not about the row ends the run.
    fn reject(&mut self, error: Error, line: u64, text: &[u8]) -> Result<(), Failure> {
        if error.kind().is_refusal() {
            return self.rejects.add(line, error.kind().name(), &error.to_string(), text);
        }
        Err(Failure::from(error).at_line(line))
    }
}

/// The key of a row, where it has all of the attributes that rows are matched by.
fn matched(names: &[String], values: &[(Name, Value)]) -> Option<Key> {
    let value_of =
        |name: &String| values.iter().find(|(set, value)| set == name && !value.is_null()).cloned();
    let key = names.iter().map(value_of).collect::<Option<Vec<_>>>()?;
    (!key.is_empty()).then_some(Key::Attributes(key))
}
