//! Pages against plain byte arrays: writes, snapshots, checkpoints and compactions in any order, with
//! writes between a checkpoint's freeze and its end.

use super::{Checkpoint, Compaction, PageStore, View, Writer};
use crate::id::{Lsn, TreeId};
use crate::page::{Columns, PageRead, PageWrite};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum_disk::{Disk, OsDisk};

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Dir(std::env::temp_dir().join(format!("vellum-pages-{}-{count}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }
}

const TREES: [TreeId; 2] = [TreeId(3), TreeId(9)];
const GROUPS: u64 = 5;
const COLUMNS: [u32; 5] = [0, 1 << 16, 2 << 16, (2 << 16) + 1, 4 << 16];
const PAGE_LEN: usize = 20_000;

type Place = (TreeId, u64, u32);
/// Content of each page, zero-extended.
type Model = BTreeMap<Place, Vec<u8>>;

struct Checked {
    store: PageStore,
    writer: Writer,
    model: Model,
    snapshots: Vec<(View, Model)>,
    checkpoints: u64,
    _dir: Dir,
}

impl Checked {
    fn new(keep_len: u64) -> Checked {
        let dir = Dir::new();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(&dir.0));
        disk.create_dir().unwrap();
        let (store, writer) = PageStore::create(disk, [7; 16], keep_len);
        Checked { store, writer, model: Model::new(), snapshots: Vec::new(), checkpoints: 0, _dir: dir }
    }

    fn write(&mut self, rng: &mut Rng) {
        let (tree, number) = (TREES[rng.below(2)], rng.below(GROUPS as usize) as u64);
        let column = COLUMNS[rng.below(COLUMNS.len())];
        let group = self.store.group_mut(&mut self.writer, tree, number).unwrap();
        let mut state = group.state.write();
        let model = self.model.entry((tree, number, column)).or_default();
        let long = rng.below(40) == 0;
        let len = if long { rng.below(PAGE_LEN) } else { 1 + rng.below(24) };
        let bytes: Vec<u8> = (0..len).map(|_| rng.draw() as u8).collect();
        if rng.below(30) == 0 {
            state.page_mut(column).replace(bytes.clone());
            *model = bytes;
        } else if rng.below(60) == 0 && column != 0 {
            state.remove(column);
            self.model.remove(&(tree, number, column));
        } else {
            let offset = rng.below(PAGE_LEN - len);
            state.page_mut(column).write(offset, &bytes);
            let end = offset + len;
            model.resize(model.len().max(end), 0);
            model[offset..end].copy_from_slice(&bytes);
        }
    }

    fn writes(&mut self, rng: &mut Rng, most: usize) {
        for _ in 0..rng.below(most) {
            self.write(rng);
        }
    }

    fn check(&self, seed: u64) {
        let live = (self.store.read_view(), self.model.clone());
        for (number, (view, model)) in std::iter::once(&live).chain(&self.snapshots).enumerate() {
            for (place, expected) in model {
                let (tree, group, column) = *place;
                let group = self.store.group(&view.root, tree, group).unwrap().unwrap();
                let state = group.state.read();
                let page = state.page(column).unwrap();
                let whole = page.to_vec().unwrap();
                assert_eq!(whole.len(), expected.len(), "seed {seed}, state {number}, {place:?}");
                assert!(whole == *expected, "seed {seed}, state {number}, {place:?} differs");
                let (at, len) = (expected.len() / 3, expected.len().min(16));
                if let Some(run) = page.run(at.min(expected.len() - len), len).unwrap() {
                    assert_eq!(run, &expected[at.min(expected.len() - len)..][..len], "seed {seed}");
                }
            }
        }
    }

    /// A whole checkpoint, with writes and snapshots between its steps.
    fn checkpoint(&mut self, rng: &mut Rng) {
        let frozen = self.store.freeze(&mut self.writer);
        self.writes(rng, 40);
        self.maybe_snapshot(rng);
        self.writes(rng, 10);
        let compaction = [Compaction::Full, Compaction::Bounded, Compaction::Nothing][rng.below(3)];
        self.checkpoints += 1;
        let lsn = Lsn(self.checkpoints);
        let images_len_max = self.store.memory.images_len_max();
        let mut written: Checkpoint = self.store.write_checkpoint(&frozen, lsn, 0, compaction).unwrap();
        if compaction == Compaction::Nothing {
            // What was admitted for the images is enough for them; heads and table nodes come on top.
            let table_len = 512 * (self.model.len() as u64 + 4 * GROUPS + 20);
            let written_len = written.report.written_len;
            assert!(written_len <= images_len_max + table_len, "{written_len} of {images_len_max}");
        }
        self.writes(rng, 10);
        self.store.map_new(&written).unwrap();
        self.store.adopt(&written);
        loop {
            self.writes(rng, 5);
            if self.store.install(&mut self.writer, &mut written, 1 + rng.below(4)).unwrap() {
                break;
            }
        }
        drop(frozen);
        self.store.release_retired();
    }

    fn maybe_snapshot(&mut self, rng: &mut Rng) {
        if rng.below(3) == 0 {
            let view = self.store.snapshot(&mut self.writer);
            self.snapshots.push((view, self.model.clone()));
        }
        if self.snapshots.len() > rng.below(4) {
            self.snapshots.remove(rng.below(self.snapshots.len()));
            self.store.release_retired();
        }
    }
}

#[test]
fn pages_read_as_written_through_snapshots_checkpoints_and_compactions() {
    for seed in 0..60 {
        let mut rng = Rng(seed);
        // From no memory at all, where every page is forgotten at once, to more than is needed.
        let keep_len = [0, 20_000, 200_000, 4 << 20][seed as usize % 4];
        let mut checked = Checked::new(keep_len);
        for _ in 0..12 {
            checked.writes(&mut rng, 60);
            checked.maybe_snapshot(&mut rng);
            checked.checkpoint(&mut rng);
            checked.check(seed);
        }
    }
}
