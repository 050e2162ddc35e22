//! The machine itself: the memory and file operations that a patch cannot do without.

use crate::Result;
use crate::engine::{Mode, Survives};
use crate::session::Session;
use vellum_bench::floor::Floor;

pub fn run(session: &mut Session) -> Result<()> {
    let mut floors = Vec::new();
    for _ in 0..session.rounds {
        floors.push(Floor::measure(session.records, &session.dir, session.time / 4)?);
    }
    let each = |what: fn(&Floor) -> f64| floors.iter().map(what).collect::<Vec<f64>>();
    let mode = |name, survives| Mode { name, survives };
    let floor = mode("(bare memory and a mapped log)", Survives::Kill);
    session.add("patch", &floor, "patches/s", each(|floor| 1e9 / floor.patch))?;
    let pieces: [(&str, fn(&Floor) -> f64); 5] = [
        ("one dependent probe", |floor| floor.probe),
        ("a line and two slots written", |floor| floor.write),
        ("a frame by pwrite", |floor| floor.frame_pwrite),
        ("a frame, written every 64 KiB", |floor| floor.frame_buffered),
        ("a frame into a mapped log", |floor| floor.frame_mapped),
    ];
    for (name, piece) in pieces {
        session.add("pieces of a patch", &mode(name, Survives::Nothing), "ns", each(piece))?;
    }
    session.add(
        "pieces of a patch",
        &mode("all, dependent and locked", Survives::Kill),
        "ns",
        each(|floor| floor.patch),
    )?;
    session.add("a column from front to back", &floor, "MB/s", each(|floor| floor.scan / 1e6))
}
