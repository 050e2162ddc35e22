//! Logs of several files and generations: frames by the input, damaged at any byte, with or without
//! checksums that are made to fit.
//!
//! Promise, where checksums are left as they fell: what is read is a beginning of what was written; what an
//! undamaged later frame calls durable is read, or reading fails as `Corrupt`; and a log that goes on in a
//! new generation behind that reads back whole. Where they are made to fit: no panic, and no more.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use vellum::disk::Disk;
use vellum_fuzz::damage::Edit;
use vellum_fuzz::parsers::{LogFrame, PlacedFrame, is_damage, read_body, read_log, write_log};
use vellum_fuzz::reseal::{FRAMES_AT, frame_len, seal_log};
use vellum_testkit::MemDisk;

#[derive(Arbitrary, Debug)]
struct Frame {
    is_mark: bool,
    lag: u8,
    body: Body,
}

#[derive(Arbitrary, Debug)]
enum Body {
    Bytes(Vec<u8>),
    Run { byte: u8, len: u16 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    frames: Vec<Frame>,
    edits: Vec<(u8, Edit)>,
    seal: bool,
    more: Vec<Frame>,
}

/// Frames of one log, at most: enough for three files.
const FRAMES_MAX: usize = 48;
const FILE_LEN: u64 = 2 * FRAMES_AT as u64;

fn frames(from: &[Frame], first: u64) -> Vec<LogFrame> {
    let mut lsn = first;
    let frame = |frame: &Frame| {
        lsn += u64::from(!frame.is_mark);
        let body = match &frame.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Run { byte, len } => vec![*byte; usize::from(*len) % 6000],
        };
        let body = (!frame.is_mark).then_some(body);
        LogFrame { body, durable: lsn.saturating_sub(u64::from(frame.lag)) }
    };
    from.iter().take(FRAMES_MAX).map(frame).collect()
}

fuzz_target!(|input: Input| {
    let memory = MemDisk::new();
    memory.create_dir().expect("no fault was asked for");
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let written = write_log(&disk, FILE_LEN, None, &frames(&input.frames, 0)).expect("a sound disk");
    let before = memory.files();
    let mut names: Vec<String> = before.keys().filter(|name| name.starts_with("log-")).cloned().collect();
    names.sort();
    for (file, edit) in input.edits.iter().take(4) {
        let name = &names[usize::from(*file) % names.len()];
        memory.edit(name, |bytes| edit.apply(bytes));
        if input.seal {
            memory.edit(name, seal_log);
        }
    }
    let read = read_log(&*disk);
    if let Ok((frames, _)) = &read {
        for body in frames.iter().filter_map(|frame| frame.body.as_ref()) {
            // Bodies are any bytes here: whether they are one of a commit is for the next room.
            let _ = read_body(body);
        }
    }
    let after = memory.files();
    let is_sealed_anew = input.seal && !input.edits.is_empty();
    match read {
        Err(error) => {
            assert!(is_damage(&error), "{error}");
            assert!(before != after, "an undamaged log: {error}");
        }
        Ok(_) if is_sealed_anew => {}
        Ok((frames, end)) => {
            let is_reached = |index: usize| {
                let earlier = index.checked_sub(1).map(|earlier| &written[earlier]);
                is_whole(&written[index], &before, &after)
                    && leads_on(earlier, &written[index], &before, &after)
            };
            let whole = (0..written.len()).find(|index| !is_reached(*index)).unwrap_or(written.len());
            assert!(same(&written, &frames), "what was read is no beginning of what was written");
            assert!(frames.len() >= whole, "{} of {whole} undamaged frames were read", frames.len());
            let missing = written[frames.len()..].iter().find(|frame| frame.body.is_some());
            if let Some(missing) = missing {
                let witness = written[frames.len()..]
                    .iter()
                    .find(|frame| frame.durable >= missing.lsn && has_head(frame, &before, &after));
                assert!(witness.is_none(), "lsn {} was cut, and {witness:?} calls it durable", missing.lsn);
            }
            let more = frames_behind(&input.more, &frames);
            let also = write_log(&disk, FILE_LEN, Some(&end), &more).expect("a sound disk");
            let (again, end) = read_log(&*disk).expect("a log that was read and went on");
            assert!(!end.is_torn(), "a log that was just made durable");
            let all: Vec<PlacedFrame> = frames.into_iter().chain(also).collect();
            assert!(all.len() == again.len() && same(&all, &again), "a log that went on lost frames");
        }
    }
});

fn frames_behind(more: &[Frame], read: &[PlacedFrame]) -> Vec<LogFrame> {
    frames(more, read.last().map_or(0, |frame| frame.lsn))
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

fn same(written: &[PlacedFrame], read: &[PlacedFrame]) -> bool {
    let strip = |frame: &PlacedFrame| PlacedFrame { durable: 0, ..frame.clone() };
    read.len() <= written.len() && written.iter().zip(read).all(|(a, b)| strip(a) == strip(b))
}

fn part<'f>(files: &'f Files, frame: &PlacedFrame, len: usize) -> Option<&'f [u8]> {
    let bytes = files.get(&format!("log-{:08}", frame.file))?;
    bytes.get(frame.offset as usize..frame.offset as usize + len)
}

/// Whether the frame's bytes, padding too, are as they were written; and its file's header and length.
fn is_whole(frame: &PlacedFrame, before: &Files, after: &Files) -> bool {
    let len = frame_len(frame.body.as_ref().map_or(0, Vec::len));
    let name = format!("log-{:08}", frame.file);
    let same_file = after.get(&name).is_some_and(|bytes| {
        bytes.len() == before[&name].len() && bytes[..FRAMES_AT] == before[&name][..FRAMES_AT]
    });
    same_file && part(before, frame, len) == part(after, frame, len)
}

/// Whether a reader gets from one frame, or from the start of the log, to the next: where that one lies in a later
/// file, the frames that name the files between are as they were written. No caller appends those, so they are not
/// listed.
fn leads_on(earlier: Option<&PlacedFrame>, next: &PlacedFrame, before: &Files, after: &Files) -> bool {
    let number = |name: &String| name.strip_prefix("log-").and_then(|number| number.parse::<u64>().ok());
    before.iter().filter_map(|(name, bytes)| Some((name, number(name)?, bytes))).all(|(name, file, bytes)| {
        let start = match earlier {
            Some(earlier) if file < earlier.file => return true,
            Some(earlier) if file == earlier.file => {
                earlier.offset as usize + frame_len(earlier.body.as_ref().map_or(0, Vec::len))
            }
            _ => 0,
        };
        file >= next.file || after.get(name).and_then(|bytes| bytes.get(start..)) == bytes.get(start..)
    })
}

fn has_head(frame: &PlacedFrame, before: &Files, after: &Files) -> bool {
    part(before, frame, 40) == part(after, frame, 40) && frame.lsn > 0
}
