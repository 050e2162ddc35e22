//! Tests of the log as a whole.

use super::*;
use crate::disk::{Disk, OsDisk};
use crate::error::Result;
use std::sync::Arc;

const STORE: [u8; 16] = *b"a store's own id";

#[test]
fn what_was_appended_is_read_back() {
    let path = std::env::temp_dir().join(format!("vellum-wal-{}", std::process::id()));
    let os = OsDisk::new(&path);
    os.create_dir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(os);
    let config = LogConfig { file_len_min: 8192, file_len_max: 65536, mapped: true };
    let mut log = Log::create(Arc::clone(&disk), STORE, 7, config).unwrap();
    let start = log.resume_point();
    for number in 1..=2000u64 {
        let body = vec![number as u8; (number % 300) as usize];
        log.reserve(body.len()).unwrap();
        log.append(Kind::Commit, Lsn(number), log.shared().durable(), &body).unwrap();
        if number % 100 == 0 {
            log.shared().wait(Lsn(number)).unwrap();
        }
    }
    let mut count = 0;
    let found = scan(&*disk, STORE, &start, Lsn(0), None, &mut |frame| -> Result<()> {
        count += 1;
        assert_eq!(frame.lsn, Lsn(count));
        assert_eq!(frame.body, vec![count as u8; (count % 300) as usize]);
        Ok(())
    })
    .unwrap();
    assert_eq!(found.end, log.resume_point());
    assert_eq!(found.torn, None);
    std::fs::remove_dir_all(&path).unwrap();
}
