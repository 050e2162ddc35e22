//! The page: machine and settings, a table for each kind of work, the plot beside it.

use crate::Result;
use crate::results::Row;
use crate::session::Session;
use crate::{engines, plot};
use std::fmt::Write;
use std::path::Path;

/// Writes the page, and the plot under the same name with `.svg`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(path: &Path, session: &Session) -> Result<()> {
    let rows = session.results.rows();
    let picture = path.with_extension("svg");
    std::fs::write(&picture, plot::svg(rows))?;
    let picture = picture.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut page = format!(
        "# Benchmarks: vellum beside other engines\n\n\
         Written by `benches/peers`; figures are medians, with the smallest and the largest of the rounds. In a round\n\
         every engine is measured once, one after the other, in the same process. Rows are sorted, the best first, and\n\
         those where vellum is not first stay where they are.\n\n\
         ![Patches and reads a second]({picture})\n\n\
         ## How it was measured\n\n```text\n{}```\n\n```sh\n{}\n```\n\n{}",
        // The command that wrote the page names places of one machine; the one below says how to do it elsewhere.
        vellum_bench::machine::head(&session.dir, &session.settings)
            .split_inclusive('\n')
            .filter(|line| ["machine", "system", "settings"].iter().any(|name| line.starts_with(name)))
            .collect::<String>(),
        "cd benches/peers && cargo run --release -- --dir DIR --results figures.tsv --report ../../docs/benchmarks.md",
        session.note.as_ref().map_or(String::new(), |note| format!("{note}\n\n"))
    );
    page.push_str(WORK);
    page.push_str("| engine | set up |\n|---|---|\n");
    for family in engines::all() {
        writeln!(page, "| {} | {} |", family.name, family.settings)?;
    }
    let mut sizes: Vec<u64> = rows.iter().map(|row| row.records).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for records in sizes {
        writeln!(page, "\n## {} records", grouped(records as f64))?;
        let of_size: Vec<&Row> = rows.iter().filter(|row| row.records == records).collect();
        let mut works: Vec<&str> = Vec::new();
        of_size.iter().for_each(|row| {
            if !works.contains(&&*row.work) {
                works.push(&row.work)
            }
        });
        for work in works {
            table(&mut page, work, of_size.iter().filter(|row| row.work == work).copied().collect())?;
        }
    }
    Ok(std::fs::write(path, page)?)
}

const WORK: &str = "\
A record has 16 attributes, about 330 bytes, and is unique by its id and by a natural key of 20 bytes. A patch sets two
attributes of 8 bytes and the time of the change, by id, in a transaction of its own. Stores of keys and values hold the
record as one row of fixed offsets and the id under the natural key; they patch by reading the row, writing over 32 bytes
of it and putting it back, and their reads hand out the row's bytes, not values. Caches are large enough for all records.

What an acknowledged transaction outlives stands beside each figure: compare within the same. A third of the
records is read at random before each engine's turn (the system pages out what was idle for a minute, which else hits
those whose turn comes late), and before every measurement of patches or reads the engine works for half that time without
being measured; after it, what it left to do in the background is waited for. RocksDB's merge operator is blind: it
writes the change without a look at the record.

In parentheses stands the machine itself: the same memory and file operations without an engine around them.

DuckDB is not here: it is made for analytics, patches by writing new versions of rows into columnar segments, and building
it from its sources is out of proportion to that.

";

fn table(page: &mut String, work: &str, mut rows: Vec<&Row>) -> Result<()> {
    let more = rows.iter().any(|row| row.more_is_better());
    rows.sort_by(|a, b| match more {
        true => b.median().total_cmp(&a.median()),
        false => a.median().total_cmp(&b.median()),
    });
    let vellum = rows.iter().find(|row| row.engine.starts_with("vellum")).map(|row| row.median());
    let unit = rows.first().map_or("", |row| &row.unit);
    writeln!(
        page,
        "\n### {work}\n\n| engine | survives | {unit} | spread | beside vellum |\n|---|---|--:|--:|--:|"
    )?;
    for row in rows {
        let (min, max) = row.spread();
        let beside = vellum.map_or(String::new(), |vellum| format!("{:.2}", row.median() / vellum));
        let name =
            if row.engine.starts_with("vellum") { format!("**{}**", row.engine) } else { row.engine.clone() };
        writeln!(
            page,
            "| {name} | {} | {} | {} to {} | {beside} |",
            row.survives,
            grouped(row.median()),
            grouped(min),
            grouped(max)
        )?;
    }
    Ok(())
}

/// A number with a comma between thousands; small ones with one digit behind the point.
#[must_use]
pub fn grouped(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
