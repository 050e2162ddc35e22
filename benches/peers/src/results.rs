//! Figures: collected, kept in a file of tab-separated lines, read back.

use crate::Result;
use std::io::Write;
use std::path::PathBuf;

/// What one engine did in one kind of work, once a round.
#[derive(Clone, Debug)]
pub struct Row {
    /// Records in the store.
    pub records: u64,
    /// The work, as the tables name it.
    pub work: String,
    /// Engine and mode.
    pub engine: String,
    /// What an acknowledged transaction outlives.
    pub survives: String,
    /// Unit; `/s` at its end says that more is better.
    pub unit: String,
    /// One a round.
    pub figures: Vec<f64>,
}

impl Row {
    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        vellum_bench::median(self.figures.clone())
    }

    /// Smallest and largest.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        self.figures
            .iter()
            .fold((f64::MAX, f64::MIN), |(min, max), figure| (min.min(*figure), max.max(*figure)))
    }

    /// Whether more is better.
    #[must_use]
    pub fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s")
    }

    fn line(&self) -> String {
        let figures: Vec<String> = self.figures.iter().map(|figure| format!("{figure:.2}")).collect();
        let records = self.records.to_string();
        [&records, &self.work, &self.engine, &self.survives, &self.unit, &figures.join(",")]
            .map(String::as_str)
            .join("\t")
    }

    fn parse(line: &str) -> Option<Row> {
        let words: Vec<&str> = line.split('\t').collect();
        let [records, work, engine, survives, unit, figures] = words[..] else { return None };
        let figures = figures.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>().ok()?;
        let [work, engine, survives, unit] = [work, engine, survives, unit].map(str::to_string);
        Some(Row { records: records.parse().ok()?, work, engine, survives, unit, figures })
    }
}

/// All rows so far. A row that is measured again takes the place of the one before.
#[derive(Debug, Default)]
pub struct Results {
    rows: Vec<Row>,
    file: Option<PathBuf>,
}

impl Results {
    /// Goes on with a file, if there is one.
    ///
    /// # Errors
    /// A line that is none of ours.
    pub fn open(file: Option<PathBuf>) -> Result<Results> {
        let mut results = Results { rows: Vec::new(), file };
        if let Some(Ok(text)) = results.file.as_ref().map(std::fs::read_to_string) {
            for line in text.lines() {
                results.put(Row::parse(line).ok_or_else(|| format!("not a result: {line}"))?);
            }
        }
        Ok(results)
    }

    /// Adds a row, and shows it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, row: Row) -> Result<()> {
        let (min, max) = row.spread();
        println!(
            "  {:44} {:40} {:>12.0} {} ({min:.0} to {max:.0})",
            row.work,
            row.engine,
            row.median(),
            row.unit
        );
        if let Some(path) = &self.file {
            writeln!(std::fs::File::options().append(true).create(true).open(path)?, "{}", row.line())?;
        }
        self.put(row);
        Ok(())
    }

    fn put(&mut self, row: Row) {
        let same = |old: &Row| {
            (old.records, &old.work, &old.engine, &old.unit)
                == (row.records, &row.work, &row.engine, &row.unit)
        };
        self.rows.retain(|old| !same(old));
        self.rows.push(row);
    }

    /// Every row.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}
