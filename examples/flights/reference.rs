//! The three small files: airlines, airports and planes.

use crate::Result;
use vellum::text::value_from_text;
use vellum::{Name, Schema, Store, Value};

/// Object, the attribute of its primary key, and its records as published.
const FILES: [(&str, &str, &str); 3] = [
    ("airline", "carrier", include_str!("data/airlines.csv")),
    ("airport", "faa", include_str!("data/airports.csv")),
    ("plane", "tailnum", include_str!("data/planes.csv")),
];

/// Loads the three files, each in one transaction; returns how many records came in.
pub(crate) fn load(store: &Store) -> Result<u64> {
    let mut count = 0;
    for (object, _, text) in FILES {
        let rows = rows(&store.schema(), object, text)?;
        count += rows.len() as u64;
        store.transaction(|txn| {
            for row in rows {
                txn.create(object, row)?;
            }
            Ok(())
        })?;
    }
    Ok(count)
}

/// Checks that the store holds the three files, no more and no less; returns the number of records.
pub(crate) fn check(store: &Store) -> Result<u64> {
    let mut count = 0;
    for (name, key, text) in FILES {
        let object = store.object(name)?;
        let rows = rows(&store.schema(), name, text)?;
        if object.count() != rows.len() as u64 {
            return Err(format!("{name}: {} records, not {}", object.count(), rows.len()).into());
        }
        for mut row in rows {
            let (_, value) = row.iter().find(|(name, _)| name == key).ok_or("a row without its key")?;
            let shown = value.to_string();
            let record =
                object.get((key, value.clone()))?.ok_or_else(|| format!("{name} {shown} is missing"))?;
            row.retain(|(_, value)| !value.is_null());
            if !record.iter().eq(row.iter().map(|(name, value)| (name.as_str(), value))) {
                return Err(format!("{name} {shown} is {:?}, not {row:?}", record.to_json()).into());
            }
            count += 1;
        }
    }
    Ok(count)
}

/// The rows of a CSV text as names with values, typed by the schema. None of the files quotes a field.
fn rows(schema: &Schema, object: &str, text: &str) -> Result<Vec<Vec<(Name, Value)>>> {
    let object = schema.object(object)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().ok_or("an empty file")?.split(',').collect();
    let mut rows = Vec::new();
    for line in lines {
        let fields = line.split(',').map(|field| if field == "NA" { "" } else { field });
        let mut row = Vec::with_capacity(names.len());
        for (name, field) in names.iter().zip(fields) {
            row.push(((*name).into(), value_from_text(object.attribute(name)?, field)?));
        }
        rows.push(row);
    }
    Ok(rows)
}
