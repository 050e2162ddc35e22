//! The system calls of this process on files below one directory, as the C library gets them: recorded, or
//! made to behave as badly as POSIX allows.
//!
//! Each function here has the name of one of the C library, and the linker takes this one for the engine,
//! the standard library and every crate. What reaches the kernel without passing here (a call made by hand, a
//! store through a mapping) is missing from a recording, which is how a test notices it.

use libc::{c_char, c_int, c_long, c_uint, c_void, mode_t, off_t, off64_t, size_t, ssize_t};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a call does on a watched file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Manners {
    /// Every third call fails with EINTR before it does anything.
    pub interrupted: bool,
    /// Reads and writes of more than one byte do a part of what was asked for.
    pub short: bool,
}

/// A call that changed something. Paths are relative to the watched directory, handles count the openings.
#[derive(Debug)]
pub enum Call {
    Open { handle: usize, path: PathBuf, flags: c_int },
    Write { handle: usize, offset: Option<u64>, bytes: Vec<u8> },
    Truncate { handle: usize, len: u64 },
    Allocate { handle: usize, len: u64 },
    Sync,
    Close { handle: usize },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Mkdir { path: PathBuf },
}

/// What was seen while a directory was watched.
#[derive(Debug, Default)]
pub struct Seen {
    pub calls: Vec<Call>,
    /// Calls that failed with EINTR, by name.
    pub interrupted: BTreeMap<&'static str, usize>,
    /// Calls that did a part, by name.
    pub shortened: BTreeMap<&'static str, usize>,
    /// Mappings through which files can be written.
    pub writable_maps: usize,
}

struct Watch {
    root: PathBuf,
    manners: Manners,
    handles: BTreeMap<c_int, usize>,
    /// Open directories below the watched one, and itself: their paths in it.
    directories: BTreeMap<c_int, PathBuf>,
    opened: usize,
    drawn: u64,
    seen: Seen,
}

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

fn watch() -> MutexGuard<'static, Option<Watch>> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body`; calls on files below `root` behave as told, and what changes something is recorded.
pub fn watching<T>(root: &Path, manners: Manners, body: impl FnOnce() -> T) -> (T, Seen) {
    let fresh = Watch {
        root: root.to_path_buf(),
        manners,
        handles: BTreeMap::new(),
        directories: BTreeMap::new(),
        opened: 0,
        drawn: 0,
        seen: Seen::default(),
    };
    *watch() = Some(fresh);
    let result = body();
    let seen = watch().take().map_or_else(Seen::default, |watch| watch.seen);
    (result, seen)
}

impl Watch {
    /// A path, seen from a directory's descriptor, as the watched directory has it.
    fn relative(&self, at: c_int, path: &CStr) -> Option<PathBuf> {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        if path.is_relative()
            && let Some(directory) = self.directories.get(&at)
        {
            return Some(directory.join(path));
        }
        path.strip_prefix(&self.root).ok().map(Path::to_path_buf)
    }

    /// XorShift of a counter: the same calls meet the same manners.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut x = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 32)
    }

    /// Whether this call is interrupted; the error is in `errno` then.
    fn interrupts(&mut self, name: &'static str) -> bool {
        if !self.manners.interrupted || !self.draw().is_multiple_of(3) {
            return false;
        }
        *self.seen.interrupted.entry(name).or_default() += 1;
        // SAFETY: the C library's place of this thread's error number, valid as long as the thread.
        unsafe { *libc::__errno_location() = libc::EINTR };
        true
    }

    /// How much of `len` bytes this call does.
    fn part(&mut self, name: &'static str, len: size_t) -> size_t {
        if !self.manners.short || len < 2 {
            return len;
        }
        let part = 1 + self.draw() as usize % (len - 1);
        *self.seen.shortened.entry(name).or_default() += 1;
        part
    }
}

/// The call itself, past every function of this file.
macro_rules! system {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are those that the caller gave to the C library's function of this name,
        // or a shorter length of the same buffer.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

/// `call` on a descriptor of a watched file, as it is told to behave; on any other as it is.
fn on_file(
    fd: c_int,
    name: &'static str,
    call: impl Fn() -> c_long,
    record: impl FnOnce(usize, c_long) -> Option<Call>,
) -> c_long {
    let mut guard = watch();
    let Some(watch) = guard.as_mut() else { return call() };
    let Some(&handle) = watch.handles.get(&fd) else {
        drop(guard);
        return call();
    };
    if watch.interrupts(name) {
        return -1;
    }
    let result = call();
    if result >= 0 {
        watch.seen.calls.extend(record(handle, result));
    }
    result
}

/// The length that a read or write of `len` bytes on this descriptor asks the kernel for.
fn allowed(fd: c_int, name: &'static str, len: size_t) -> size_t {
    match watch().as_mut() {
        Some(watch) if watch.handles.contains_key(&fd) => watch.part(name, len),
        _ => len,
    }
}

/// `call` on a path; `record` gets it relative to the watched directory.
fn on_path(
    at: c_int,
    path: &CStr,
    call: impl Fn() -> c_long,
    record: impl FnOnce(&Watch, PathBuf) -> Option<Call>,
) -> c_int {
    let mut guard = watch();
    let result = call();
    if let (Some(watch), 0) = (guard.as_mut(), result)
        && let Some(path) = watch.relative(at, path)
    {
        let call = record(watch, path);
        watch.seen.calls.extend(call);
    }
    result as c_int
}

/// The bytes that a call wrote.
///
/// # Safety
/// `bytes` points to at least `len` bytes.
unsafe fn copied(bytes: *const c_void, len: c_long) -> Vec<u8> {
    // SAFETY: as promised by the caller; `len` is not negative, since the call succeeded.
    unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize) }.to_vec()
}

/// Opens a file or directory seen from a directory.
fn opened(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let mut guard = watch();
    // SAFETY: the caller gives a string as `open` wants it.
    let found = guard.as_ref().and_then(|watch| watch.relative(at, unsafe { CStr::from_ptr(path) }));
    if let (Some(watch), Some(_)) = (guard.as_mut(), &found)
        && watch.interrupts("open")
    {
        return -1;
    }
    let fd = system!(SYS_openat, c_long::from(at), path, c_long::from(flags), c_long::from(mode)) as c_int;
    if let (Some(watch), true) = (guard.as_mut(), fd >= 0) {
        watch.handles.remove(&fd);
        watch.directories.remove(&fd);
        if let Some(path) = found {
            let handle = watch.opened;
            watch.opened += 1;
            watch.handles.insert(fd, handle);
            if flags & libc::O_DIRECTORY != 0 {
                watch.directories.insert(fd, path.clone());
            }
            watch.seen.calls.push(Call::Open { handle, path, flags });
        }
    }
    fd
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(at, path, flags, mode)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    let mut guard = watch();
    if let Some(watch) = guard.as_mut()
        && let Some(handle) = watch.handles.remove(&fd)
    {
        watch.directories.remove(&fd);
        watch.seen.calls.push(Call::Close { handle });
    }
    system!(SYS_close, c_long::from(fd)) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    let len = allowed(fd, "pwrite", len);
    let call = || system!(SYS_pwrite64, c_long::from(fd), bytes, len, offset);
    on_file(fd, "pwrite", call, |handle, written| {
        // SAFETY: the caller's buffer has `len` bytes, and no more than these were written.
        let bytes = unsafe { copied(bytes, written) };
        Some(Call::Write { handle, offset: Some(offset as u64), bytes })
    }) as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: size_t) -> ssize_t {
    let len = allowed(fd, "write", len);
    let call = || system!(SYS_write, c_long::from(fd), bytes, len);
    on_file(fd, "write", call, |handle, written| {
        // SAFETY: the caller's buffer has `len` bytes, and no more than these were written.
        let bytes = unsafe { copied(bytes, written) };
        Some(Call::Write { handle, offset: None, bytes })
    }) as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(fd: c_int, bytes: *mut c_void, len: size_t, offset: off64_t) -> ssize_t {
    let len = allowed(fd, "pread", len);
    on_file(fd, "pread", || system!(SYS_pread64, c_long::from(fd), bytes, len, offset), |_, _| None)
        as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, len: size_t) -> ssize_t {
    let len = allowed(fd, "read", len);
    on_file(fd, "read", || system!(SYS_read, c_long::from(fd), bytes, len), |_, _| None) as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, len: off64_t) -> c_int {
    let call = || system!(SYS_ftruncate, c_long::from(fd), len);
    on_file(fd, "ftruncate", call, |handle, _| Some(Call::Truncate { handle, len: len as u64 })) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    let call = || system!(SYS_fallocate, c_long::from(fd), c_long::from(mode), offset, len);
    on_file(fd, "fallocate", call, |handle, _| {
        (mode == 0).then_some(Call::Allocate { handle, len: (offset + len) as u64 })
    }) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    on_file(fd, "fsync", || system!(SYS_fsync, c_long::from(fd)), |_, _| Some(Call::Sync)) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    let call = || system!(SYS_fdatasync, c_long::from(fd));
    on_file(fd, "fdatasync", call, |_, _| Some(Call::Sync)) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_at: c_int, from: *const c_char, to_at: c_int, to: *const c_char) -> c_int {
    // SAFETY: the caller gives strings as `renameat` wants them.
    let (source, target) = unsafe { (CStr::from_ptr(from), CStr::from_ptr(to)) };
    let call = || system!(SYS_renameat, c_long::from(from_at), from, c_long::from(to_at), to);
    let record = |watch: &Watch, from| Some(Call::Rename { from, to: watch.relative(to_at, target)? });
    on_path(from_at, source, call, record)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(at: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller gives a string as `unlinkat` wants it.
    let name = unsafe { CStr::from_ptr(path) };
    let call = || system!(SYS_unlinkat, c_long::from(at), path, c_long::from(flags));
    on_path(at, name, call, |_, path| Some(Call::Unlink { path }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(at: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller gives a string as `mkdirat` wants it.
    let name = unsafe { CStr::from_ptr(path) };
    let call = || system!(SYS_mkdirat, c_long::from(at), path, c_uint::from(mode));
    on_path(at, name, call, |_, path| Some(Call::Mkdir { path }))
}

/// The tests themselves, by the standard library.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { mkdirat(libc::AT_FDCWD, path, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    at: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    if let Some(watch) = watch().as_mut() {
        let shared = flags & libc::MAP_TYPE == libc::MAP_SHARED && protection & libc::PROT_WRITE != 0;
        watch.seen.writable_maps += usize::from(shared && watch.handles.contains_key(&fd));
    }
    let (protection, flags) = (c_long::from(protection), c_long::from(flags));
    system!(SYS_mmap, at, len, protection, flags, c_long::from(fd), offset) as *mut c_void
}
