//! One run: its options, the engines that take part, their open stores, and the results.

use crate::Result;
use crate::engine::{Engine, Family, Mode};
use crate::results::{Results, Row};
use crate::{engines, work};
use std::path::PathBuf;
use std::time::Duration;
use vellum_bench::args::Args;
use vellum_bench::{Random, WorkDir, machine, narrow};

/// Names of all options.
pub const OPTIONS: &[&str] = &[
    "records", "ms", "rounds", "engines", "steps", "dir", "results", "report", "note", "year", "as-child",
    "store",
];

/// A store that is open.
pub struct Open {
    /// Of this family.
    pub family: &'static Family,
    /// The engine.
    pub engine: Box<dyn Engine>,
}

/// One run.
pub struct Session {
    /// Records in each store.
    pub records: u64,
    /// Length of one measurement.
    pub time: Duration,
    /// Measurements of each engine.
    pub rounds: u64,
    /// The options, for the page.
    pub settings: String,
    /// The engines that take part.
    pub families: Vec<&'static Family>,
    /// Where the stores are.
    pub dir: PathBuf,
    /// What was measured.
    pub results: Results,
    /// What else a reader of the page must know.
    pub note: Option<String>,
    /// A file of flights.
    pub year: Option<PathBuf>,
    open: Vec<Open>,
    steps: Vec<String>,
    /// Removes the directory at the end, when it was not given.
    _work: Option<WorkDir>,
}

/// Which modes a kind of work is about.
pub type Wanted = fn(&Mode) -> bool;

/// Reads a third of the records, chosen at random: nearly every page of a row store, so that caches are full.
fn warm(engine: &dyn Engine, records: u64) -> Result<()> {
    let mut random = Random::new(records);
    (0..records / 3).try_for_each(|_| engine.get(narrow::id(random.below(records))).map(drop))
}

impl Session {
    /// Reads the options and prints what is measured on.
    ///
    /// # Errors
    /// Bad options.
    pub fn new(args: &Args) -> Result<Session> {
        let list = |name: &str| {
            args.text(name)
                .filter(|text| *text != "all")
                .map(|text| text.split(',').map(str::to_string).collect())
        };
        let wanted: Option<Vec<String>> = list("engines");
        let families = engines::all()
            .into_iter()
            .filter(|family| wanted.as_ref().is_none_or(|names| names.iter().any(|name| name == family.name)))
            .collect();
        let steps: Vec<String> =
            list("steps").unwrap_or_else(|| work::STEPS.iter().map(ToString::to_string).collect());
        let steps = steps.into_iter().filter(|step| step != "none").collect();
        let records = args.number("records", 1_000_000)?;
        let (dir, work) = match args.text("dir") {
            Some(dir) => (PathBuf::from(dir), None),
            None => {
                let work = WorkDir::new(&std::env::temp_dir(), "peers")?;
                (work.join(""), Some(work))
            }
        };
        std::fs::create_dir_all(&dir)?;
        let (time, rounds) = (Duration::from_millis(args.number("ms", 400)?), args.number("rounds", 3)?);
        let settings = format!("{records} records, {rounds} rounds of {} ms", time.as_millis());
        machine::print_head(&dir, &settings);
        Ok(Session {
            records,
            time,
            rounds,
            settings,
            families,
            dir,
            results: Results::open(args.text("results").map(PathBuf::from))?,
            note: args.text("note").map(str::to_string),
            year: args.text("year").map(PathBuf::from),
            open: Vec::new(),
            steps,
            _work: work,
        })
    }

    /// The steps to take.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.steps.clone()
    }

    /// Opens every store, if that was not done.
    ///
    /// # Errors
    /// What an engine says.
    pub fn open_all(&mut self) -> Result<&mut [Open]> {
        if self.open.is_empty() {
            for family in self.families.clone() {
                let engine = (family.open)(&self.dir.join(family.name), self.records)?;
                warm(&*engine, self.records)?;
                self.open.push(Open { family, engine });
            }
        }
        Ok(&mut self.open)
    }

    /// Closes every store.
    pub fn close_all(&mut self) {
        self.open.clear();
    }

    /// Measures every mode that is `wanted`, each once a round, one engine after the other, each with its records
    /// read shortly before. What a sample left to do in the background is done before the next engine's turn.
    ///
    /// # Errors
    /// What an engine says.
    pub fn take_turns(
        &mut self,
        work: &str,
        unit: &str,
        wanted: Wanted,
        mut measure: impl FnMut(&dyn Engine, u64) -> Result<Option<f64>>,
    ) -> Result<()> {
        let mut rows: Vec<(&'static Mode, Vec<f64>)> = Vec::new();
        let rounds = self.rounds;
        for round in 0..rounds {
            let records = self.records;
            for open in self.open_all()? {
                let mut modes =
                    open.family.modes.iter().enumerate().filter(|(_, mode)| wanted(mode)).peekable();
                if modes.peek().is_some() {
                    // Some systems page out what was idle for a minute, and others' turns take that long.
                    warm(&*open.engine, records)?;
                }
                for (index, mode) in modes {
                    open.engine.set_mode(index)?;
                    let figure = measure(&*open.engine, round)
                        .map_err(|error| format!("{}: {work}: {error}", mode.name))?;
                    open.engine.settle()?;
                    let Some(figure) = figure else { continue };
                    match rows.iter_mut().find(|(known, _)| known.name == mode.name) {
                        Some((_, figures)) => figures.push(figure),
                        None => rows.push((mode, vec![figure])),
                    }
                }
            }
        }
        rows.into_iter().try_for_each(|(mode, figures)| self.add(work, mode, unit, figures))
    }

    /// Adds a row of figures.
    ///
    /// # Errors
    /// When the results cannot be written.
    pub fn add(&mut self, work: &str, mode: &Mode, unit: &str, figures: Vec<f64>) -> Result<()> {
        let [work, engine, survives, unit] =
            [work, mode.name, mode.survives.text(), unit].map(str::to_string);
        self.results.add(Row { records: self.records, work, engine, survives, unit, figures })
    }

    /// Closes and cleans up.
    ///
    /// # Errors
    /// None so far; it is where they would be.
    pub fn finish(mut self) -> Result<()> {
        self.close_all();
        Ok(())
    }
}
