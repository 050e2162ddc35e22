//! Words about a lock: who holds it, since when. The lock itself is on the directory (`directory.rs`).
//!
//! The file `lock` says which process took the writer's lock last, and when, in seconds since 1970:
//!
//! ```text
//! 4711 1764508805
//! ```
//!
//! A message names a process that lives. On Linux the kernel's list of locks says which do hold this one; elsewhere,
//! or where the holder lives in another container, the file's words are all there is.

#![expect(clippy::disallowed_methods, reason = "this is the room that the seam leads to")]

use rustix::io::Errno;
use std::fs;
use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system has no such lock on a directory.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let known = [Errno::BADF, Errno::OPNOTSUPP, Errno::INVAL, Errno::ISDIR].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| known.contains(&errno))
}

/// Says in the file `lock` that this process has the lock. Nothing rests on it, so that a failure is no error.
pub(super) fn write_words(file: Result<fs::File, Errno>) {
    let Ok(mut file) = file else { return };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let words = format!("{} {since}\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.write_all(words.as_bytes()));
}

/// The process that took the writer's lock last, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Words {
    process: u32,
    since: u64,
}

fn read_words(file: Option<fs::File>) -> Option<Words> {
    // The holder may just be writing them: what cannot be read is left out.
    let mut text = String::new();
    file?.take(64).read_to_string(&mut text).ok()?;
    let (process, since) = text.trim_end().split_once(' ')?;
    Some(Words { process: process.parse().ok()?, since: since.parse().ok()? })
}

/// The living holder of a directory's lock, as a message names it.
pub(super) fn describe_holder(directory: &fs::File, words: Option<fs::File>) -> String {
    let words = read_words(words);
    let holders = holders_of(directory);
    let known = words.filter(|words| match &holders {
        Some(holders) if !holders.is_empty() => holders.contains(&words.process),
        _ => is_alive(words),
    });
    match (known, holders.and_then(|holders| holders.first().copied())) {
        (Some(words), _) => describe(words.process, Some(words.since)),
        (None, Some(process)) => describe(process, started(process)),
        (None, None) => "another process, perhaps in another container".to_string(),
    }
}

fn describe(process: u32, since: Option<u64>) -> String {
    let since = since
        .and_then(|since| jiff::Timestamp::from_second(i64::try_from(since).ok()?).ok())
        .map_or(String::new(), |since| format!(", since {since}"));
    if process == std::process::id() {
        return format!("another handle in this process (process {process}{since})");
    }
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    match name.trim_end() {
        "" => format!("process {process}{since}"),
        name => format!("process {process} ({name}{since})"),
    }
}

/// Whether the process lives that wrote these words, and not a later one of the same number; where that cannot be
/// asked, it is believed.
fn is_alive(words: &Words) -> bool {
    let knows_processes = fs::exists("/proc/self").unwrap_or(false);
    !knows_processes || started(words.process).is_some_and(|started| started <= words.since + 1)
}

/// Processes that hold a lock on the directory, as Linux lists them; `None` where there is no such list.
#[cfg(target_os = "linux")]
fn holders_of(directory: &fs::File) -> Option<Vec<u32>> {
    use std::os::unix::fs::MetadataExt;
    /// Locks that come and go while the list is read may hide others.
    const LOOKS: u32 = 5;
    let meta = directory.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let mut holders = Vec::new();
    for _ in 0..LOOKS {
        holders = holders_in(&fs::read_to_string("/proc/locks").ok()?, &file);
        if !holders.is_empty() {
            break;
        }
    }
    Some(holders)
}

#[cfg(not(target_os = "linux"))]
fn holders_of(_directory: &fs::File) -> Option<Vec<u32>> {
    None
}

/// Lines like `3: FLOCK  ADVISORY  WRITE 4711 fe:00:1179650 0 EOF`; one with `->` waits and holds nothing. A process
/// of another container has number 0.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no such list elsewhere"))]
fn holders_in(list: &str, wanted: &str) -> Vec<u32> {
    let holder = |line: &str| -> Option<u32> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words[..] else { return None };
        (file == wanted).then(|| process.parse().ok()).flatten().filter(|process| *process != 0)
    };
    list.lines().filter_map(holder).collect()
}

/// When a process began, in seconds since 1970, as Linux reports it.
fn started(process: u32) -> Option<u64> {
    /// What the kernel counts in for every program, whatever its own clock does.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the start is the 20th word after it.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let kernel = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = kernel.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    booted.checked_add(Duration::from_secs(ticks / TICKS_PER_SECOND).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_the_processes_that_the_kernel_lists_for_this_directory() {
        let list = "1: POSIX  ADVISORY  WRITE 10 fe:00:77 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n\
                    3: FLOCK  ADVISORY  READ 0 fe:00:77 0 EOF\n\
                    4: FLOCK  ADVISORY  READ 13 fe:00:78 0 EOF\n";
        assert_eq!(holders_in(list, "fe:00:77"), [11]);
        assert_eq!(holders_in("", "fe:00:77"), [0; 0]);
    }

    #[test]
    fn a_process_of_now_has_begun_and_one_that_ended_is_not_named() {
        if fs::exists("/proc/self/stat").unwrap() {
            assert!(started(std::process::id()).is_some_and(|started| started > 1_000_000_000));
        }
        let process = std::process::id();
        assert!(is_alive(&Words { process, since: u64::MAX >> 1 }));
        assert!(!is_alive(&Words { process: u32::MAX, since: 1 }) || !fs::exists("/proc/self").unwrap());
    }
}
