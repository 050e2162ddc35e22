//! What a figure was measured on.

use std::path::Path;

/// Prints machine, file system, command and settings, ahead of the figures.
pub fn print_head(dir: &Path, settings: &str) {
    print!("{}", head(dir, settings));
}

/// What [`print_head`] prints.
#[must_use]
pub fn head(dir: &Path, settings: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu =
        after_colon(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let memory_kib: u64 = after_colon(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let memory_gib = memory_kib as f64 / f64::from(1 << 20);
    let (os, kernel) = (std::env::consts::OS, read("/proc/sys/kernel/osrelease"));
    let mut head = format!("machine   {cores} cores, {cpu}, {memory_gib:.1} GiB memory\n");
    head +=
        &format!("system    {os} {}, store on {}\n", kernel.trim(), file_system(dir, &read("/proc/mounts")));
    // Whoever else uses the machine shows here: figures of a busy one are upper bounds.
    if let Some(load) = read("/proc/loadavg").split(' ').next().filter(|load| !load.is_empty()) {
        head += &format!("busy      load average {load} before this run\n");
    }
    head + &format!("command   {}\nsettings  {settings}\n", command())
}

/// The command line, with the program's name in place of its path.
fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(first) = words.first_mut() {
        *first =
            Path::new(first).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    }
    words.join(" ")
}

fn after_colon(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The type of the file system that holds `dir`: that of the longest mount point above it.
fn file_system(dir: &Path, mounts: &str) -> String {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "an unknown file system".into(), |(_, kind)| kind.to_string())
}
