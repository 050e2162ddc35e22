//! What must be in the store at the end, worked out from the stream without the engine.
//!
//! The lines are read as plain JSON and applied to a map. So a fault of the engine, from its reading
//! of a line to its recovery, shows as a difference.

use crate::progress::{Progress, grouped};
use crate::{Result, lines};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use vellum::{Store, record};

/// A flight as a program would declare it. The store fills it through serde.
#[derive(Deserialize, Default, PartialEq, Debug)]
#[serde(default, deny_unknown_fields)]
struct Flight {
    date: Option<Box<str>>,
    carrier: Option<Box<str>>,
    flight: Option<i64>,
    origin: Option<Box<str>>,
    dest: Option<Box<str>>,
    sched_dep: Option<Box<str>>,
    sched_arr_hhmm: Option<i64>,
    distance: Option<i64>,
    status: Option<Box<str>>,
    tailnum: Option<Box<str>>,
    dep_time: Option<Box<str>>,
    dep_delay: Option<i64>,
    arr_hhmm: Option<i64>,
    arr_delay: Option<i64>,
    air_time: Option<i64>,
}

/// The primary key of a flight.
#[derive(Deserialize, PartialEq, Eq, Hash, Clone)]
#[serde(deny_unknown_fields)]
struct FlightKey {
    date: Box<str>,
    carrier: Box<str>,
    flight: i64,
    origin: Box<str>,
}

/// A mutation line, as far as the stream uses it: create, and update with set.
#[derive(Deserialize)]
struct Line {
    op: Box<str>,
    object: Box<str>,
    values: Option<Flight>,
    key: Option<FlightKey>,
    set: Option<Flight>,
}

/// The flights at the end of the stream.
pub(crate) struct Expected {
    flights: HashMap<FlightKey, Flight>,
}

/// Counts and sums over flights.
#[derive(Default, PartialEq, Debug)]
pub(crate) struct Summary {
    pub(crate) flights: u64,
    arrived: u64,
    cancelled: u64,
    diverted: u64,
    /// Over arrived flights, in miles and minutes.
    distance: i64,
    arr_delay: i64,
}

impl Expected {
    /// Reads the stream.
    pub(crate) fn from_stream(file: Option<&Path>) -> Result<Expected> {
        let mut expected = Expected { flights: HashMap::new() };
        let mut progress = Progress::new("working out what is expected");
        lines::for_each_mutation(file, |number, text| {
            progress.show(number);
            expected.apply(serde_json::from_slice(text)?)
        })?;
        Ok(expected)
    }

    fn apply(&mut self, line: Line) -> Result<()> {
        match (&*line.op, &*line.object, line.values, line.key, line.set) {
            ("create", "flight", Some(flight), None, None) => {
                let key = flight.key().ok_or("a create without its key")?;
                match self.flights.insert(key, flight) {
                    Some(_) => Err("the stream creates this flight twice".into()),
                    None => Ok(()),
                }
            }
            ("update", "flight", None, Some(key), Some(patch)) => {
                self.flights.get_mut(&key).ok_or("an update of no flight")?.merge(patch);
                Ok(())
            }
            _ => Err("this stream creates flights and updates them with set, nothing else".into()),
        }
    }

    /// Compares the store with the stream: each flight found by its primary key, and the counts and
    /// sums over all records.
    pub(crate) fn check(&self, store: &Store) -> Result<Summary> {
        let object = store.object("flight")?;
        let mut progress = Progress::new("comparing records");
        for (index, (key, expected)) in self.flights.iter().enumerate() {
            progress.show(index as u64);
            let found: Option<Flight> = object.get_as(key.to_values())?;
            if found.as_ref() != Some(expected) {
                return Err(format!("the store holds {found:?}, the stream says {expected:?}").into());
            }
        }
        let mut found = Summary::default();
        for record in store.snapshot()?.iter("flight")? {
            found.add(&record?.deserialize()?);
        }
        let expected = self.summary();
        if found != expected || object.count() != expected.flights {
            return Err(format!("the store sums up to {found:?}, the stream to {expected:?}").into());
        }
        Ok(found)
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.flights.values().for_each(|flight| summary.add(flight));
        summary
    }
}

impl Flight {
    fn key(&self) -> Option<FlightKey> {
        Some(FlightKey {
            date: self.date.clone()?,
            carrier: self.carrier.clone()?,
            flight: self.flight?,
            origin: self.origin.clone()?,
        })
    }

    fn merge(&mut self, patch: Flight) {
        macro_rules! take {
            ($($field:ident)*) => {$(
                if patch.$field.is_some() {
                    self.$field = patch.$field;
                }
            )*};
        }
        take! { date carrier flight origin dest sched_dep sched_arr_hhmm distance status tailnum }
        take! { dep_time dep_delay arr_hhmm arr_delay air_time }
    }
}

impl FlightKey {
    fn to_values(&self) -> Vec<(vellum::Name, vellum::Value)> {
        record! {
            "date" => &*self.date,
            "carrier" => &*self.carrier,
            "flight" => self.flight,
            "origin" => &*self.origin,
        }
    }
}

impl Summary {
    fn add(&mut self, flight: &Flight) {
        self.flights += 1;
        match flight.status.as_deref() {
            Some("arrived") => {
                self.arrived += 1;
                self.distance += flight.distance.unwrap_or(0);
                self.arr_delay += flight.arr_delay.unwrap_or(0);
            }
            Some("cancelled") => self.cancelled += 1,
            Some("diverted") => self.diverted += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { arrived, cancelled, diverted, .. } = *self;
        write!(f, "arrived {} · ", grouped(arrived))?;
        writeln!(f, "cancelled {} · diverted {}", grouped(cancelled), grouped(diverted))?;
        let distance = grouped(self.distance.unsigned_abs());
        write!(f, "flown {distance} miles, late by {} minutes in sum", self.arr_delay)
    }
}
