//! The process's own figures, from `/proc/self`. Zero where there is no such file.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of anonymous memory that are resident now: `RssAnon`.
#[must_use]
pub fn anonymous_len() -> u64 {
    field("/proc/self/status", "RssAnon:") * 1024
}

/// Bytes that this process made the kernel write, or will once it writes back: `write_bytes`. A page
/// that is changed again after it was written back counts again.
#[must_use]
pub fn written_len() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

/// Bytes that the block device under a directory was told to write, by whoever. Zero where it is not known.
#[must_use]
pub fn device_written_len(dir: &std::path::Path) -> u64 {
    const SECTOR: u64 = 512;
    let Ok(metadata) = std::fs::metadata(dir) else { return 0 };
    let dev = metadata.dev();
    let (major, minor) = ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & !0xff));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    stat.split_whitespace().nth(6).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * SECTOR
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Watches the anonymous memory, a hundred times a second, and keeps the peak.
#[derive(Debug)]
pub struct MemoryWatch {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Starts watching.
    #[must_use]
    pub fn start() -> MemoryWatch {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peak_inside, stop_inside) = (Arc::clone(&peak), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stop_inside.load(Ordering::Relaxed) {
                peak_inside.fetch_max(anonymous_len(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        MemoryWatch { peak, stop, thread: Some(thread) }
    }

    /// The peak since the start, or since this was asked last.
    #[must_use]
    pub fn take_peak(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed).max(anonymous_len())
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only sleeps and reads; a panic in it would have cost nothing but the peak.
            let _ = thread.join();
        }
    }
}
