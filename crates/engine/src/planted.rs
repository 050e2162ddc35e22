//! Bugs on purpose: a build with `--cfg vellum_planted` has the one that the environment names, so that the
//! tests can be seen to fail. Any other build has none: [`planted`] is `false` at compile time there, and
//! the name of the variable is not in its binary (`.ci/run` looks).
//!
//! | name                | what it breaks                                                               |
//! |---------------------|------------------------------------------------------------------------------|
//! | `no_sync`           | commits are acknowledged without a sync                                      |
//! | `late_lsn`          | a sync acknowledges what was appended while it ran                           |
//! | `sync_error_ignored`| a failed sync of the log counts as one that went well                        |
//! | `no_dir_sync`       | the name of a new log file is not synced                                     |
//! | `no_file_check`     | files that were deleted or replaced while the store was open are not missed  |
//! | `no_attestation`    | what is reported durable is not recorded outside the log                     |
//! | `no_image_sync`     | the superblock is written before the images that it names are synced         |
//! | `no_superblock_sync`| a superblock is not synced before what only the older one names is removed   |
//! | `no_frame_crc`      | the body of a frame is not checked                                           |
//! | `no_rewrite`        | recovery shows what is in the page cache alone                               |
//! | `no_open_mark`      | a closed store takes frames without saying that it is open                   |
//! | `stale_superblock`  | recovery believes a superblock that is in the page cache alone               |
//! | `index_not_applied` | a changed key is not put into its index                                      |
//! | `torn_is_fine`      | a bad frame that a later one calls durable is cut like a torn tail           |
//! | `early_unlink`      | a segment goes while the older superblock still names it                     |
//! | `removes_too_much`  | a checkpoint that fails removes a segment that it did not make               |
//!
//! `tests/planted.sh` plants one after the other and shows which test finds each.

/// Whether this bug is planted.
#[cfg(not(vellum_planted))]
#[inline(always)]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Whether this bug is planted.
#[cfg(vellum_planted)]
pub fn planted(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("VELLUM_PLANTED").ok()).as_deref() == Some(name)
}
