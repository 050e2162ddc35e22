//! What this machine allows: the memory and disk operations that a patch cannot do without, and nothing
//! else. `bin/floor` prints them, and comparisons show them beside the engines.
//!
//! A patch at the floor: one probe into a table of 16-byte entries, one header line of 64 bytes and two
//! column slots of 8 written, a frame of 96 bytes with its CRC handed to the operating system. The probe
//! is *dependent*: it cannot begin before the one before has ended, as behind a lock.

use crate::floor_map::{map, zeroed_file};
use crate::{Random, Result, mix, rate};
use memmap2::MmapMut;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Bytes of a frame.
pub const FRAME_LEN: usize = 96;
/// Bytes of the log file that frames go to; it is written round and round.
const LOG_LEN: u64 = 16 << 20;
/// Frames are collected up to so many bytes where that is measured.
const BUFFER_LEN: usize = 64 << 10;

/// One cache line of a record's header.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; 8]);

/// Records as bare memory: a hash table from key to row, header lines, two columns.
pub struct Memory {
    table: Vec<[u64; 2]>,
    lines: Vec<Line>,
    columns: [Vec<u64>; 2],
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("records", &self.lines.len()).finish_non_exhaustive()
    }
}

impl Memory {
    /// So many records; the table is two thirds full.
    #[must_use]
    pub fn new(records: u64) -> Memory {
        let len = records as usize;
        let mut table = vec![[0; 2]; len + len / 2 + 1];
        for n in 0..records {
            let hash = mix(n) | 1;
            let mut at = place(hash, table.len());
            while table[at][0] != 0 {
                at = (at + 1) % table.len();
            }
            // Rows lie in another order than keys, as after any life of a store.
            table[at] = [hash, mix(n ^ 0x5a5a) % records];
        }
        Memory { table, lines: vec![Line([1; 8]); len], columns: [vec![1; len], vec![1; len]] }
    }

    fn records(&self) -> u64 {
        self.lines.len() as u64
    }

    #[inline]
    fn probe(&self, n: u64) -> usize {
        let hash = mix(n) | 1;
        let mut at = place(hash, self.table.len());
        while self.table[at][0] != hash {
            at = if at + 1 == self.table.len() { 0 } else { at + 1 };
        }
        self.table[at][1] as usize
    }

    #[inline]
    fn write(&mut self, row: usize, value: u64) {
        let line = &mut self.lines[row].0;
        line[0] += 1;
        line[1] = value;
        self.columns[0][row] = value;
        self.columns[1][row] = value;
    }
}

#[inline]
fn place(hash: u64, len: usize) -> usize {
    ((u128::from(hash) * len as u128) >> 64) as usize
}

/// Frames on their way to a mapped file.
struct MappedLog {
    map: MmapMut,
    at: usize,
}

impl MappedLog {
    fn new(file: &File) -> Result<MappedLog> {
        Ok(MappedLog { map: map(file)?, at: 0 })
    }

    #[inline]
    fn append(&mut self, frame: &[u8; FRAME_LEN]) {
        if self.at + FRAME_LEN > self.map.len() {
            self.at = 0;
        }
        self.map[self.at..][..FRAME_LEN].copy_from_slice(frame);
        self.at += FRAME_LEN;
    }
}

#[inline]
fn frame(value: u64) -> [u8; FRAME_LEN] {
    let mut frame = [0x5a; FRAME_LEN];
    frame[8..16].copy_from_slice(&value.to_le_bytes());
    let crc = crc32fast::hash(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// Nanoseconds of each piece, and of a whole patch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// One probe, each beginning when the one before has ended.
    pub probe: f64,
    /// One header line and two column slots at random.
    pub write: f64,
    /// A frame by `pwrite`.
    pub frame_pwrite: f64,
    /// A frame into a buffer that is written every 64 KiB: lost when the process dies.
    pub frame_buffered: f64,
    /// A frame into a mapped, preallocated file.
    pub frame_mapped: f64,
    /// A whole patch without a lock, probes as independent as the processor makes them.
    pub patch_free: f64,
    /// A whole patch with a dependent probe, under one lock.
    pub patch: f64,
    /// Bytes a second of a column read from front to back.
    pub scan: f64,
}

impl Floor {
    /// Measures at so many records, each piece for `time`; works in `dir`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn measure(records: u64, dir: &Path, time: Duration) -> Result<Floor> {
        let path = dir.join(format!("floor-{records}"));
        let file = zeroed_file(&path, LOG_LEN)?;
        let mut memory = Memory::new(records);
        let mut floor = Floor { scan: scan(&memory, time), ..Floor::default() };
        let mut random = Random::new(5);
        let mut last = 0;
        floor.probe = each(time, || {
            let n = draw(&mut random, records, last);
            last = memory.probe(n);
        });
        floor.write = each(time, || {
            let row = random.below(records) as usize;
            memory.write(row, row as u64);
        });
        floor.patch_free = {
            let mut log = MappedLog::new(&file)?;
            each(time, || {
                let row = memory.probe(random.below(records));
                log.append(&frame(row as u64));
                memory.write(row, row as u64);
            })
        };
        floor.patch = locked(memory, &file, time)?;
        floor.add_frames(&file, time)?;
        std::fs::remove_file(&path)?;
        Ok(floor)
    }

    fn add_frames(&mut self, file: &File, time: Duration) -> Result<()> {
        let (mut value, mut offset, mut failed) = (0, 0, None);
        self.frame_pwrite = each(time, || {
            value += 1;
            if let Err(error) = file.write_all_at(&frame(value), offset) {
                failed = Some(error);
            }
            offset = (offset + FRAME_LEN as u64) % (LOG_LEN - FRAME_LEN as u64);
        });
        let mut buffer = Vec::with_capacity(BUFFER_LEN + FRAME_LEN);
        self.frame_buffered = each(time, || {
            value += 1;
            buffer.extend_from_slice(&frame(value));
            if buffer.len() >= BUFFER_LEN {
                if let Err(error) = file.write_all_at(&buffer, 0) {
                    failed = Some(error);
                }
                buffer.clear();
            }
        });
        let mut log = MappedLog::new(file)?;
        self.frame_mapped = each(time, || {
            value += 1;
            log.append(&frame(value));
        });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// A whole patch as an engine with one writer must do it.
fn locked(memory: Memory, file: &File, time: Duration) -> Result<f64> {
    let records = memory.records();
    let state = Mutex::new((memory, MappedLog::new(file)?));
    let (mut random, mut last) = (Random::new(6), 0);
    Ok(each(time, || {
        let n = draw(&mut random, records, last);
        let mut state = state.lock().expect("no thread panics with it");
        let (memory, log) = &mut *state;
        let row = memory.probe(n);
        log.append(&frame(n));
        memory.write(row, n);
        last = row;
    }))
}

/// A record that cannot be known before `last` is.
#[inline]
fn draw(random: &mut Random, records: u64, last: usize) -> u64 {
    let nothing = black_box(0);
    (random.below(records) ^ (last as u64 & nothing)).min(records - 1)
}

/// Nanoseconds of one call, over as many as fit into `time`.
fn each(time: Duration, mut work: impl FnMut()) -> f64 {
    const BETWEEN_LOOKS: u64 = 1000;
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < time {
        for _ in 0..BETWEEN_LOOKS {
            work();
        }
        count += BETWEEN_LOOKS;
    }
    1e9 / rate(count, started)
}

fn scan(memory: &Memory, time: Duration) -> f64 {
    let column = &memory.columns[0];
    let (started, mut bytes) = (Instant::now(), 0);
    while started.elapsed() < time {
        black_box(black_box(column).iter().fold(0_u64, |sum, value| sum.wrapping_add(*value)));
        bytes += column.len() as u64 * 8;
    }
    rate(bytes, started)
}

/// Frames a second made durable by `writers` threads, one frame each at a time, that share their syncs:
/// whoever finds no sync running leads one for all that was appended. One writer syncs each frame.
///
/// # Errors
/// What the disk says.
pub fn syncs(writers: usize, dir: &Path, time: Duration) -> Result<f64> {
    let path = dir.join(format!("sync-{writers}"));
    let file = zeroed_file(&path, LOG_LEN)?;
    let group = Group { file: &file, state: Mutex::new(Synced::default()), woken: Condvar::new() };
    let started = Instant::now();
    let counts = std::thread::scope(|scope| {
        let writer = || -> std::io::Result<u64> {
            let mut count = 0;
            while started.elapsed() < time {
                group.commit()?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(writer)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer")).sum::<std::io::Result<u64>>()
    })?;
    let frames_a_second = rate(counts, started);
    std::fs::remove_file(&path)?;
    Ok(frames_a_second)
}

#[derive(Default)]
struct Synced {
    appended: u64,
    durable: u64,
    syncing: bool,
}

struct Group<'a> {
    file: &'a File,
    state: Mutex<Synced>,
    woken: Condvar,
}

impl Group<'_> {
    fn commit(&self) -> std::io::Result<()> {
        let mut state = self.state.lock().expect("no thread panics with it");
        state.appended += 1;
        let mine = state.appended;
        let offset = mine * FRAME_LEN as u64 % (LOG_LEN - FRAME_LEN as u64);
        self.file.write_all_at(&frame(mine), offset)?;
        while state.durable < mine {
            if state.syncing {
                state = self.woken.wait(state).expect("no thread panics with it");
                continue;
            }
            state.syncing = true;
            let appended = state.appended;
            drop(state);
            let synced = self.file.sync_data();
            state = self.state.lock().expect("no thread panics with it");
            state.syncing = false;
            self.woken.notify_all();
            synced?;
            state.durable = appended;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_leads_to_a_row() {
        let memory = Memory::new(1000);
        assert!((0..1000).all(|n| memory.probe(n) < 1000));
        assert_eq!(memory.records(), 1000);
    }

    #[test]
    fn a_frame_carries_the_checksum_of_its_rest() {
        let frame = frame(7);
        assert_eq!(frame[..4], crc32fast::hash(&frame[4..]).to_le_bytes());
    }
}
