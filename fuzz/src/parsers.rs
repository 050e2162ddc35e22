//! Parsers of one room each: hostile bytes in, checked answers out.
//!
//! A function here feeds hostile bytes to one room, and asserts what must hold of whatever that room
//! accepts. An error is a right answer to hostile bytes; a panic, a hang or an allocation out of
//! proportion to the input is a finding. The targets decide what bytes these are.

use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::records::row_header;
use vellum::records::row_header::Header;
use vellum::redo;
use vellum_disk::Disk;
use vellum_engine::page::delta::Delta;
use vellum_engine::page::image::{self, ImageHead, ImageView, Kind};
use vellum_engine::page::slots::{self, Width};
use vellum_engine::page::{Columns, PageRead, bucket, varlen};
use vellum_engine::pages::node;
use vellum_engine::pages::superblock;
use vellum_engine::log::{self, Kind as FrameKind, Log, LogConfig, Resume, Scan};
use vellum_engine::{Address, GROUP_ROWS, Lsn, TreeId};
use vellum_engine::{Error, ErrorKind, Result};
use vellum_types::schema::Schema;

const STORE: [u8; 16] = *b"a store's own id";
const SALT: u32 = 0x5a17_0001;
/// The column of a text's slots, and of the first buffer of its heap.
const TEXT: u32 = 1 << 16;
const WIDTHS: [Width; 4] = [Width::Bit, Width::Four, Width::Eight, Width::Sixteen];

/// Takes memory from a pool of its own and gives it back, two bytes a step: a length, or which one to give back.
/// All that was taken stays as it was written, whatever else is taken.
///
/// # Panics
/// When memory is not aligned, or is handed out twice.
pub fn use_heap(steps: &[u8]) {
    vellum_memory::exercise(steps.chunks_exact(2).map(|step| u16::from_le_bytes([step[0], step[1]])));
}

/// An image of this payload, sealed as a checkpoint does it. The kind is one of 1 to 4.
///
/// # Panics
/// For another kind, or a payload longer than a page may be.
#[must_use]
pub fn seal_image(kind: u8, payload: &[u8]) -> Vec<u8> {
    let kinds = [Kind::Page, Kind::Delta, Kind::Node, Kind::Root];
    let head = ImageHead {
        kind: kinds[usize::from(kind) - 1],
        address: Address { tree: TreeId(3), number: 5, column: 0 },
        lsn: Lsn(7),
        rows: 1,
        payload_len: payload.len() as u32,
        store_tag: 9,
    };
    let mut out = Vec::new();
    image::encode(&head, payload, &mut out);
    out
}

/// Reads an image as a checkpoint's reader does: head, CRCs, then what its kind says. `other` is a heap
/// buffer beside it, and `probe` a hash and a place to look for.
///
/// # Errors
/// `Corrupt` for bytes that are no image, or whose content is none of its kind.
pub fn read_image(image: &[u8], other: &[u8], probe: u64) -> Result<()> {
    let view = ImageView::parse(image)?;
    view.verify_whole()?;
    let payload = &image[view.payload_range()];
    let mut again = Vec::new();
    image::encode(view.head(), payload, &mut again);
    assert_eq!(again, image, "an image that is valid and not the one that its content makes");
    match view.head().kind {
        Kind::Page => {
            read_headers(payload, probe);
            read_slots(payload, probe);
            read_bucket(payload, probe);
            read_text(payload, other, probe);
            read_schema(payload)
        }
        Kind::Delta => read_delta(payload, other, probe),
        Kind::Node => read_node(payload),
        Kind::Root => {
            let root = node::decode_root(payload)?;
            assert_eq!(node::decode_root(&node::encode_root(&root)).expect("just encoded"), root);
            Ok(())
        }
    }
}

fn read_headers(payload: &[u8], probe: u64) {
    let mut page = payload.to_vec();
    let slot = probe as u32 % GROUP_ROWS;
    let before = Header::read(&page, slot);
    let _ = row_header::read_next_free(&page, slot);
    row_header::touch(&mut page, slot, 3, 4, 5);
    if before.is_ok_and(|header| !header.is_free()) {
        let after = Header::read(&page, slot).expect("it was readable before it was touched");
        assert_eq!((after.version, after.updated_at, after.updated_by), (3, 4, 5));
    }
}

fn read_slots(payload: &[u8], probe: u64) {
    let slot = probe as u32 % GROUP_ROWS;
    for width in WIDTHS {
        let mut page = payload.to_vec();
        let mut cell = [0; 16];
        let _ = slots::read_fixed(&page, width, slot, &mut cell);
        let new = [probe as u8 & 1; 16];
        slots::set_fixed(&mut page, width, slot, &new[..width.cell_len()]);
        let len = slots::read_fixed(&page, width, slot, &mut cell).expect("a page in memory");
        assert_eq!(&cell[..len.expect("it was set")], &new[..width.cell_len()]);
        slots::clear(&mut page, width, slot);
        assert!(!slots::is_present(&page, slot).expect("a page in memory"));
    }
}

fn read_bucket(payload: &[u8], probe: u64) {
    let mut page = payload.to_vec();
    let mut entries = Vec::new();
    let walked = bucket::entries(&page, &mut |hash, value| {
        entries.push((hash, value));
        Ok(())
    });
    let _ = bucket::find(&page, probe, &mut |_| Ok(false));
    let _ = bucket::touch(&page, probe, 2);
    let sound = bucket::verify(&page).is_ok() && !bucket::is_incomplete(&page).unwrap_or(true);
    let has = |page: &Vec<u8>, hash, value| bucket::find(page, hash, &mut |found| Ok(found == value));
    if sound {
        walked.expect("verify walked the same");
        assert_eq!(bucket::count(&page).expect("verified"), entries.len() as u32);
        for (hash, value) in &entries {
            assert!(has(&page, *hash, *value).expect("verified"), "an entry that is not found");
        }
    }
    let inserted = bucket::insert(&mut page, probe, probe >> 7);
    if sound {
        inserted.expect("verified");
        bucket::verify(&page).expect("sound before, and so after an insertion");
        assert!(has(&page, probe, probe >> 7).expect("verified"));
        assert!(bucket::remove(&mut page, probe, probe >> 7).expect("verified"));
        bucket::verify(&page).expect("sound before, and so after a removal");
    }
    let mut moved = Vec::new();
    if bucket::split(&mut page, probe as u32 % 64, &mut moved).is_ok() && sound {
        let (kept, gone) = (bucket::count(&page), bucket::count(&moved));
        let both = kept.expect("sound") as usize + gone.expect("sound") as usize;
        assert_eq!(both, entries.len(), "a split lost entries");
    }
}

/// The pages of a group.
#[derive(Default)]
struct Pages(BTreeMap<u32, Vec<u8>>);

impl Columns for Pages {
    type Page = Vec<u8>;

    fn page(&self, column: u32) -> Option<&Vec<u8>> {
        self.0.get(&column)
    }

    fn page_mut(&mut self, column: u32) -> &mut Vec<u8> {
        self.0.entry(column).or_default()
    }

    fn remove(&mut self, column: u32) {
        self.0.remove(&column);
    }

    fn last_in(&self, first: u32, last: u32) -> Option<u32> {
        self.0.range(first..=last).next_back().map(|(column, _)| *column)
    }
}

fn read_text(views: &[u8], heap: &[u8], probe: u64) {
    let mut pages = Pages(BTreeMap::from([(TEXT, views.to_vec()), (TEXT + 1, heap.to_vec())]));
    let slot = probe as u32 % GROUP_ROWS;
    let mut value = Vec::new();
    if varlen::read(&pages, TEXT, slot, &mut value).is_ok_and(|found| found) {
        assert!(varlen::equals(&pages, TEXT, slot, &value).expect("it was read"), "a value unlike itself");
    }
    let _ = varlen::equals(&pages, TEXT, slot, b"thirteen bytes");
    let _ = varlen::verify(&pages, TEXT, slot + 1);
    let _ = varlen::touch(&pages, TEXT, slot);
    for len in [(probe >> 16) as usize % 64, (probe >> 32) as usize % 0x8000] {
        let new = vec![probe as u8; len];
        varlen::set(&mut pages, TEXT, slot, &new);
        value.clear();
        // Views that lie about their buffers may take the new value's with them: that is noticed.
        if let Ok(found) = varlen::read(&pages, TEXT, slot, &mut value) {
            assert!(found && value == new, "another value than was just set");
        }
    }
    varlen::clear(&mut pages, TEXT, slot);
    assert!(!varlen::read(&pages, TEXT, slot, &mut value).expect("it was just cleared"));
}

fn read_schema(payload: &[u8]) -> Result<()> {
    let schema = Schema::decode(payload).map_err(vellum_types::Error::into_storage)?;
    let again = Schema::decode(&schema.encode()).expect("what was just encoded");
    assert_eq!(schema.encode(), again.encode());
    Ok(())
}

fn read_delta(payload: &[u8], base: &[u8], probe: u64) -> Result<()> {
    let delta = Delta::decode(payload)?;
    let mut whole = base.to_vec();
    delta.apply_to(&mut whole);
    let mut encoded = Vec::new();
    delta.encode(&mut encoded);
    let mut again = base.to_vec();
    Delta::decode(&encoded).expect("what was just encoded").apply_to(&mut again);
    assert_eq!(whole, again, "a delta is another one when it is written and read");
    let offset = probe as usize % (whole.len() + 9);
    let mut part = [0; 24];
    base.to_vec().read(offset, &mut part)?;
    delta.overlay(offset, &mut part);
    let mut expected = [0; 24];
    whole.read(offset, &mut expected)?;
    assert_eq!(part, expected, "a range read through the delta, and out of the whole");
    Ok(())
}

/// A group node, or a list of references: the payload does not say which.
fn read_node(payload: &[u8]) -> Result<()> {
    if let Ok(group) = node::decode_group(payload) {
        assert_eq!(node::decode_group(&node::encode_group(&group)).expect("just encoded"), group);
    }
    let refs = node::decode_refs(payload, node::CHUNK_GROUPS)?;
    assert_eq!(node::decode_refs(&node::encode_refs(&refs), refs.len()).expect("just encoded"), refs);
    Ok(())
}

/// Reads both copies of a superblock. Returns each that is valid, encoded anew.
///
/// # Errors
/// As opening a store.
pub fn read_superblock(disk: &dyn Disk) -> Result<[Option<Vec<u8>>; 2]> {
    let found = superblock::read(disk)?;
    assert!(found.other.is_some() || found.damage.is_some(), "a copy is either valid or reported");
    if let Some(other) = &found.other {
        assert!(other.generation < found.live.generation, "the newer copy is the live one");
    }
    let mut copies = [None, None];
    for copy in [Some(&found.live), found.other.as_ref()].into_iter().flatten() {
        copies[(copy.generation % 2) as usize] = Some(copy.encode());
    }
    Ok(copies)
}

/// Walks the changes of a frame's body.
///
/// # Errors
/// `Corrupt` for bytes that are no body.
pub fn read_body(body: &[u8]) -> Result<usize> {
    let (_, mut changes) = redo::parse(body)?;
    let mut cell_count = 0;
    while let Some(change) = changes.next_change()? {
        if let redo::Change::Create { mut cells, .. } | redo::Change::Update { mut cells, .. } = change {
            while cells.next_cell()?.is_some() {
                cell_count += 1;
            }
        }
    }
    Ok(cell_count)
}

/// A frame for a log: a commit with this body, or a mark.
#[derive(Clone, Debug)]
pub struct LogFrame {
    /// `None` for a mark.
    pub body: Option<Vec<u8>>,
    /// The lsn that it calls durable, cut to what it may.
    pub durable: u64,
}

/// A frame as it lies in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedFrame {
    /// Its lsn.
    pub lsn: u64,
    /// The lsn that it calls durable; not known of frames that were read.
    pub durable: u64,
    /// `None` for a mark.
    pub body: Option<Vec<u8>>,
    /// Number of its file.
    pub file: u64,
    /// Offset in its file.
    pub offset: u64,
}

/// A log that is written or was read: where it goes on.
#[derive(Debug)]
pub struct LogEnd {
    resume: Resume,
    scan: Option<Scan>,
}

impl LogEnd {
    /// Whether something was cut behind the last frame.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.scan.as_ref().is_some_and(|scan| scan.torn.is_some())
    }
}

fn small_files(file_len: u64) -> LogConfig {
    LogConfig { file_len_first: file_len, file_len_min: file_len, file_len_max: 4 * file_len, mapped: true }
}

/// Starts a log with the first file of this length (whole blocks, at least two), and appends. Everything
/// before `after` is made durable and a new generation begun, if there is one.
///
/// # Errors
/// What the disk said.
pub fn write_log(
    disk: &Arc<dyn Disk>,
    file_len: u64,
    after: Option<&LogEnd>,
    frames: &[LogFrame],
) -> Result<Vec<PlacedFrame>> {
    let config = small_files(file_len);
    let mut log = match after {
        None => Log::create(disk.clone(), STORE, SALT, config)?,
        Some(end) => {
            if let Some(scan) = &end.scan {
                if let Some(torn) = &scan.torn {
                    log::keep_torn_tail(&**disk, torn)?;
                }
                log::make_durable(&**disk, scan.durable_until, end.resume.position)?;
            }
            Log::start_generation(disk.clone(), STORE, SALT + 1, &end.resume, config)?
        }
    };
    let mut placed = Vec::new();
    for frame in frames {
        let kind = if frame.body.is_some() { FrameKind::Commit } else { FrameKind::CheckpointMark };
        let last = log.resume_point().lsn;
        let (lsn, durable) = (kind.lsn_after(last), Lsn(frame.durable).min(last));
        let body = frame.body.as_deref().unwrap_or_default();
        log.reserve(body.len())?;
        let at = log.resume_point().position;
        log.append(kind, lsn, durable, body)?;
        let (lsn, durable, body) = (lsn.0, durable.0, frame.body.clone());
        placed.push(PlacedFrame { lsn, durable, body, file: at.file, offset: at.offset });
    }
    log.shared().sync_now()?;
    Ok(placed)
}

/// Reads a log from its beginning.
///
/// # Errors
/// `Corrupt` where something that was durable is missing.
pub fn read_log(disk: &dyn Disk) -> Result<(Vec<PlacedFrame>, LogEnd)> {
    let start = first_place(disk)?;
    let mut frames = Vec::new();
    let scan = log::scan(disk, STORE, &start, &log::Known::default(), &mut |frame| {
        if frame.kind == FrameKind::NextFile {
            // The log's own: no caller appends it.
            return Ok(());
        }
        let body = (frame.kind == FrameKind::Commit).then(|| frame.body.to_vec());
        let (file, offset) = (frame.position.file, frame.position.offset);
        frames.push(PlacedFrame { lsn: frame.lsn.0, durable: 0, body, file, offset });
        Ok(())
    })?;
    Ok((frames, LogEnd { resume: scan.end, scan: Some(scan) }))
}

/// What a superblock would say of where the log begins.
fn first_place(disk: &dyn Disk) -> Result<Resume> {
    let name = log::log_name(1);
    let file = disk.open(&name, vellum_disk::Access::Read)?;
    let (_, prev_crc) = log::FileHeader::read(&*file, STORE, 1)?;
    let position = log::Position { file: 1, offset: log::FRAMES_AT };
    Ok(Resume { position, lsn: Lsn(0), prev_crc, generation: 1 })
}

/// Whether an error is a right answer to damaged bytes.
#[must_use]
pub fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::NotAStore)
}
