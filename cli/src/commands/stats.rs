//! `vellum stats`: what a store holds and where its bytes are.

use crate::failure::Failure;
use crate::open;
use crate::output::{Output, bytes, columns, count, counted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use vellum::Stats;

/// Show records, bytes by page kind, live and dead bytes, log, index load and the last checkpoint
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the store
    store: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    objects: Vec<ObjectAnswer>,
    indexes: Vec<IndexAnswer>,
    segment_count: u64,
    segment_len: u64,
    live_len: u64,
    dead_len: u64,
    bytes_by_kind: BTreeMap<String, u64>,
    log_file_count: u64,
    log_len: u64,
    log_since_checkpoint: u64,
    applied_lsn: u64,
    durable_lsn: u64,
    checkpoint_lsn: u64,
    checkpoint_generation: u64,
    dirty_len: u64,
    memory_len: u64,
    checkpoint_written_len: u64,
    images_read: u64,
}

#[derive(Serialize)]
struct ObjectAnswer {
    name: String,
    records: u64,
    row_groups: u64,
}

#[derive(Serialize)]
struct IndexAnswer {
    name: String,
    entries: u64,
    buckets: u64,
    /// Entries a bucket.
    load: f64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let answer = Answer::from(open::read_only(&args.store, output)?.stats()?);
    let text = answer.described();
    output.answer(&answer, text)
}

impl From<Stats> for Answer {
    fn from(stats: Stats) -> Answer {
        let objects = stats.objects.into_iter().map(|object| ObjectAnswer {
            name: object.name,
            records: object.records,
            row_groups: object.row_groups,
        });
        let indexes = stats.indexes.into_iter().map(|index| IndexAnswer {
            load: index.entries as f64 / index.buckets.max(1) as f64,
            name: index.name,
            entries: index.entries,
            buckets: index.buckets,
        });
        Answer {
            objects: objects.collect(),
            indexes: indexes.collect(),
            segment_count: stats.segment_count,
            segment_len: stats.segment_len,
            live_len: stats.live_len,
            dead_len: stats.dead_len,
            bytes_by_kind: stats.bytes_by_kind.into_iter().collect(),
            log_file_count: stats.log_file_count,
            log_len: stats.log_len,
            log_since_checkpoint: stats.log_since_checkpoint,
            applied_lsn: stats.applied_lsn.0,
            durable_lsn: stats.durable_lsn.0,
            checkpoint_lsn: stats.checkpoint_lsn.0,
            checkpoint_generation: stats.checkpoint_generation,
            dirty_len: stats.dirty_len,
            memory_len: stats.memory_len,
            checkpoint_written_len: stats.checkpoint_written_len,
            images_read: stats.images_read,
        }
    }
}

impl Answer {
    fn described(&self) -> String {
        let objects = self.objects.iter().map(|object| {
            let (records, groups) =
                (counted(object.records, "record"), counted(object.row_groups, "row group"));
            (object.name.as_str(), format!("{records} in {groups}"))
        });
        let indexes = self.indexes.iter().map(|index| {
            let buckets = counted(index.buckets, "bucket");
            let text = format!("{} entries in {buckets}, {:.1} a bucket", count(index.entries), index.load);
            (index.name.as_str(), text)
        });
        let kinds = self.bytes_by_kind.iter().map(|(kind, len)| (kind.as_str(), bytes(*len)));
        let segments = [
            ("segments", format!("{}, {}", counted(self.segment_count, "file"), bytes(self.segment_len))),
            ("live", bytes(self.live_len)),
            ("dead", bytes(self.dead_len)),
        ];
        let log = [
            ("log", format!("{}, {}", counted(self.log_file_count, "file"), bytes(self.log_len))),
            ("since checkpoint", bytes(self.log_since_checkpoint)),
            (
                "last checkpoint",
                format!("lsn {}, number {}", self.checkpoint_lsn, self.checkpoint_generation),
            ),
            ("applied", format!("lsn {}, durable {}", self.applied_lsn, self.durable_lsn)),
        ];
        let memory = [("pages in memory", bytes(self.memory_len)), ("of these dirty", bytes(self.dirty_len))];
        let sections = [
            ("objects", columns("  ", objects)),
            ("indexes", columns("  ", indexes)),
            ("bytes by page kind", columns("  ", kinds)),
            ("space", columns("  ", segments)),
            ("log", columns("  ", log)),
            ("memory", columns("  ", memory)),
        ];
        let sections = sections.iter().filter(|(_, text)| !text.is_empty());
        sections.map(|(title, text)| format!("{title}\n{text}")).collect::<Vec<_>>().join("\n")
    }
}
