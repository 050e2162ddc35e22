//! The real disk, by its own calls.

#![expect(clippy::disallowed_methods, reason = "the tests look at files from outside")]

use super::*;
use std::fs;
use std::path::PathBuf;
use vellum_bytes::ErrorKind;

/// A directory that goes when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let name = format!("vellum-disk-{test}-{}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_is_made_with_its_ancestors_and_lists_files_only() {
    let directory = Directory::new("create");
    let disk = OsDisk::new(directory.0.join("a/b"));
    assert!(!disk.exists().unwrap());
    assert!(disk.list().unwrap().is_empty());
    disk.create_dir().unwrap();
    disk.create_dir().unwrap();
    assert!(disk.exists().unwrap());
    for name in ["two", "one"] {
        disk.create(name).unwrap();
    }
    fs::create_dir(directory.0.join("a/b/deeper")).unwrap();
    assert_eq!(disk.list().unwrap(), ["one", "two"]);
    disk.rename("one", "two").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["two"]);
    disk.remove("two").unwrap();
    assert!(disk.list().unwrap().is_empty());
    assert!(disk.free_len().unwrap() > 0);
    fs::write(directory.0.join("a/file"), "").unwrap();
    assert_eq!(OsDisk::new(directory.0.join("a/file")).exists().unwrap_err().kind(), ErrorKind::NotAStore);
    assert!(OsDisk::new(directory.0.join("a/file/below")).create_dir().is_err());
}

#[test]
fn a_file_reads_what_was_written_and_a_short_one_says_so() {
    let directory = Directory::new("file");
    let disk = OsDisk::new(&directory.0);
    disk.create_dir().unwrap();
    let file = disk.create("bytes").unwrap();
    assert_eq!(disk.create("bytes").unwrap_err().kind(), ErrorKind::Io);
    file.write_at(3, b"abc").unwrap();
    file.start_writeback(0, 6);
    file.sync().unwrap();
    file.drop_cache(0, 6);
    assert_eq!(file.len().unwrap(), 6);
    let mut bytes = [9; 6];
    disk.open("bytes", Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0\0abc");
    assert_eq!(&*file.map(6).unwrap(), b"\0\0\0abc");
    assert!(file.map(0).unwrap().is_empty());
    for error in [file.read_at(4, &mut bytes).unwrap_err(), file.map(7).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("ends at byte 6"), "{error}");
    }
    assert_eq!(disk.open("absent", Access::Read).unwrap_err().kind(), ErrorKind::Io);
    assert!(disk.open("bytes", Access::Read).unwrap().write_at(0, b"x").is_err());
}

#[test]
fn a_mapped_tail_and_the_file_are_the_same_bytes() {
    let directory = Directory::new("tail");
    let disk = OsDisk::new(&directory.0);
    disk.create_dir().unwrap();
    let file = disk.create("log").unwrap();
    file.write_at(0, &[7; 10_000]).unwrap();
    file.allocate_zeroed(20_000).unwrap();
    assert_eq!(file.len().unwrap(), 20_000);
    let Some(mut tail) = file.map_tail(20_000).unwrap() else { return };
    tail.prefault(0, 100_000);
    tail.write(19_990, b"0123456789");
    tail.write(4090, b"over a page's edge");
    let mut bytes = vec![1; 20_000];
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes[19_990..], b"0123456789");
    assert_eq!(&bytes[4090..4108], b"over a page's edge");
    assert!(bytes[..4090].iter().chain(&bytes[4108..19_990]).all(|&byte| byte == 0));
    assert_eq!(file.map_tail(20_001).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_tail_is_whole_though_written_pages_leave_its_mapping() {
    const LEN: usize = 1 << 20;
    let directory = Directory::new("let-go");
    let disk = OsDisk::new(&directory.0);
    disk.create_dir().unwrap();
    let file = disk.create("log").unwrap();
    file.allocate_zeroed(LEN as u64).unwrap();
    let Some(mut tail) = file.map_tail(LEN as u64).unwrap() else { return };
    let mut expected: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
    for start in (0..LEN).step_by(1000) {
        let end = (start + 1000).min(LEN);
        tail.write(start, &expected[start..end]);
        if start % 64_000 == 0 {
            file.sync().unwrap();
        }
    }
    // A later store brings back a page that left the mapping.
    tail.write(10, b"once more");
    expected[10..19].copy_from_slice(b"once more");
    drop(tail);
    let mut bytes = vec![0; LEN];
    file.read_at(0, &mut bytes).unwrap();
    assert!(bytes == expected);
}

#[test]
fn a_second_handle_learns_which_process_has_the_lock_and_since_when() {
    let directory = Directory::new("lock");
    let disk = OsDisk::new(&directory.0);
    disk.create_dir().unwrap();
    // Words of a process that ended long ago lock nothing, and longer ones leave no digits.
    fs::write(directory.0.join("lock"), "99999999999 99999999999\n").unwrap();
    let held = disk.lock().unwrap();
    let words = fs::read_to_string(directory.0.join("lock")).unwrap();
    assert!(words.starts_with(&format!("{} ", std::process::id())), "{words}");
    for other in [disk.clone(), OsDisk::new(&directory.0)] {
        for error in [other.lock().unwrap_err(), other.lock_shared().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Locked);
            let text = error.to_string();
            assert!(text.contains("another handle in this process") && text.contains(", since 20"), "{text}");
            assert!(text.contains("--wait SECONDS"), "{text}");
        }
    }
    drop(held);
    let readers = [disk.lock_shared().unwrap(), disk.lock_shared().unwrap()];
    assert_eq!(disk.lock().unwrap_err().kind(), ErrorKind::Locked);
    drop(readers);
    disk.lock().unwrap();
}

#[test]
fn deleting_or_replacing_the_lock_file_lets_no_second_holder_in() {
    let directory = Directory::new("lock-file");
    let disk = OsDisk::new(&directory.0);
    disk.create_dir().unwrap();
    let held = disk.lock().unwrap();
    for change in 0..3 {
        match change {
            0 => fs::remove_file(directory.0.join("lock")).unwrap(),
            1 => fs::write(directory.0.join("lock"), "1 1\n").unwrap(),
            _ => fs::create_dir_all(directory.0.join("lock.old")).unwrap(),
        }
        let error = OsDisk::new(&directory.0).lock().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
        assert!(error.to_string().contains("in this process"), "{error}");
    }
    drop(held);
}

#[test]
fn a_directory_that_is_renamed_or_replaced_stays_the_one_that_was_met() {
    let directory = Directory::new("renamed");
    let (path, moved) = (directory.0.join("store"), directory.0.join("moved"));
    let disk = OsDisk::new(&path);
    disk.create_dir().unwrap();
    let file = disk.create("one").unwrap();
    let id = disk.identity("one").unwrap();
    assert_eq!(id, Some(file.identity().unwrap()));
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("one"), "another").unwrap();
    assert_eq!(disk.identity("one").unwrap(), id);
    disk.create("two").unwrap();
    disk.rename("two", "three").unwrap();
    disk.remove("one").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["three"]);
    assert!(moved.join("three").exists() && fs::read_to_string(path.join("one")).unwrap() == "another");
    fs::remove_dir_all(&moved).unwrap();
    assert_eq!((disk.identity("three").unwrap(), disk.list().unwrap().len()), (None, 0));
    assert_eq!(disk.create("four").unwrap_err().kind(), ErrorKind::Io);
    assert!(!path.join("four").exists());
}

#[test]
fn a_path_with_missing_and_dotted_parts_is_created() {
    let directory = Directory::new("dotted");
    let disk = OsDisk::new(directory.0.join("a/../b/./c/"));
    disk.create_dir().unwrap();
    disk.create("file").unwrap();
    assert!(directory.0.join("b/c/file").exists());
    std::os::unix::fs::symlink(directory.0.join("b"), directory.0.join("link")).unwrap();
    let through = OsDisk::new(directory.0.join("link/c"));
    assert_eq!(through.list().unwrap(), ["file"]);
}
