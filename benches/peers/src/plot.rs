//! The plot: a panel for each kind of work, a bar for each engine, on a logarithmic axis. Plain SVG that
//! names no font of its own.

use crate::report::grouped;
use crate::results::Row;
use std::fmt::Write;

const PANELS: [&str; 6] = [
    "patch",
    "patch, synced, 1 thread",
    "patch, synced, 64 threads",
    "patch, 1,000 a transaction, synced",
    "get one attribute by id",
    "get a whole record by id",
];
const WIDTH: f64 = 860.0;
const LABELS: f64 = 280.0;
const BARS: f64 = 470.0;
const LINE: f64 = 20.0;
const HEAD: f64 = 34.0;

/// The panels of the smallest size that has them.
#[must_use]
pub fn svg(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for work in PANELS {
        let Some(records) = rows.iter().filter(|row| row.work == work).map(|row| row.records).min() else {
            continue;
        };
        let mut panel: Vec<&Row> =
            rows.iter().filter(|row| row.work == work && row.records == records).collect();
        panel.sort_by(|a, b| b.median().total_cmp(&a.median()));
        y = draw(&mut body, y, work, records, &panel);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{y:.0}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn draw(body: &mut String, top: f64, work: &str, records: u64, rows: &[&Row]) -> f64 {
    let text = |body: &mut String, x: f64, y: f64, anchor: &str, weight: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        // Writing to a string does not fail.
        let _ = writeln!(
            body,
            "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" fill=\"#222222\">{text}</text>"
        );
    };
    let title = format!("{work} ({}, {} records, logarithmic)", rows[0].unit, grouped(records as f64));
    text(body, 10.0, top + 18.0, "start", "bold", &title);
    let largest = rows.iter().map(|row| row.median()).fold(1.0, f64::max).log10();
    let smallest =
        rows.iter().map(|row| row.median()).fold(f64::MAX, f64::min).max(1.0).log10().floor() - 0.3;
    let mut y = top + HEAD;
    for row in rows {
        let share = ((row.median().max(1.0).log10() - smallest) / (largest - smallest)).clamp(0.0, 1.0);
        let colour = match () {
            () if row.engine.starts_with("vellum") => "#b4462f",
            () if row.engine.starts_with('(') => "#9a9a9a",
            () => "#4a6f8a",
        };
        text(body, LABELS - 8.0, y + 11.0, "end", "normal", &row.engine);
        let width = share * BARS;
        let _ = writeln!(
            body,
            "<rect x=\"{LABELS}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>"
        );
        text(body, LABELS + width + 6.0, y + 11.0, "start", "normal", &grouped(row.median()));
        y += LINE;
    }
    y + 12.0
}
