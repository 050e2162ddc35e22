//! How long log files are made.

use super::*;

#[test]
fn a_file_that_is_asked_for_late_is_short_enough_to_be_ready_in_time() {
    // Found by the comparison with other engines: a session that began near the end of a file of 64 MiB waited for
    // another one of 64 MiB with its first burst of commits.
    let config =
        LogConfig { file_len_first: 8192, file_len_min: 8192, file_len_max: 256 << 10, mapped: true };
    let (_memory, disk) = memory();
    let mut log = Log::create(Arc::clone(&disk), STORE, SALT, config).unwrap();
    let start = log.resume_point();
    let longest = |disk: &dyn Disk, number| disk.open(&log_name(number), vellum_disk::Access::Read)?.len();
    let in_longest = |log: &Log| longest(&*disk, log.resume_point().position.file).unwrap() == 256 << 10;
    while !(in_longest(&log) && log.resume_point().position.offset > 252 << 10) {
        commit(&mut log);
        log.shared().prepare_next().unwrap();
    }
    log.shared().sync_now().unwrap();
    let end = log.resume_point();
    drop(log);

    let mut log = Log::resume(Arc::clone(&disk), STORE, &end, config).unwrap();
    let mut lens = Vec::new();
    while lens.len() < 4 {
        let before = log.resume_point().position.file;
        commit(&mut log);
        log.shared().prepare_next().unwrap();
        let number = log.resume_point().position.file;
        if number != before {
            lens.push(longest(&*disk, number).unwrap());
        }
    }
    assert!(lens[0] <= 16 << 10, "{lens:?}: five times what was left, or the least length");
    assert!(lens.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{lens:?}: from there on it doubles");
    log.shared().sync_now().unwrap();
    assert_eq!(read_from(&*disk, &start, Lsn(0), None).unwrap().end, log.resume_point());
}
