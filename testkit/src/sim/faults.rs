//! Which calls fail in a session, by seed.

use vellum_sim::Rng;
use vellum_sim::{EIO, EMFILE, ENOMEM, ENOSPC, Event, Fault, MemDisk, Op};

/// What goes wrong in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// Nothing.
    None,
    /// Each call with a chance of one in so many.
    Any(usize),
    /// Calls of one kind: the one with this number, and if `sticky` all later ones.
    Nth { op: Op, number: usize, sticky: bool },
    /// The disk has room for so many more bytes.
    Full(u64),
}

impl Plan {
    pub(super) fn by_seed(rng: &mut Rng) -> Plan {
        match rng.below(16) {
            0..9 => Plan::None,
            9..12 => Plan::Any(*rng.pick(&[6, 20, 60, 200])),
            12..15 => {
                Plan::Nth { op: *rng.pick(&Op::FALLIBLE), number: rng.below(12), sticky: rng.one_in(2) }
            }
            _ => Plan::Full(rng.below(96) as u64 * 4096),
        }
    }

    /// Sets the disk up for it.
    pub(super) fn begin(self, disk: &MemDisk, rng: &mut Rng) {
        let mut rng = Rng::new(rng.draw());
        match self {
            Plan::None => {}
            Plan::Any(chance) => {
                disk.fail_with(move |event| {
                    let fails = !is_page_read(event) && rng.one_in(chance);
                    fails.then(|| fault(&mut rng, event))
                });
            }
            Plan::Nth { op, number, sticky } => {
                let mut left = number;
                disk.fail_with(move |event| {
                    if event.op != op || is_page_read(event) {
                        return None;
                    }
                    let fails = left == 0;
                    left = if fails && !sticky { usize::MAX } else { left.saturating_sub(1) };
                    fails.then(|| fault(&mut rng, event))
                });
            }
            Plan::Full(room) => disk.set_capacity(Some(disk.used_len() + room)),
        }
    }

    /// Everything works again.
    pub(super) fn end(disk: &MemDisk) {
        disk.heal();
        disk.set_capacity(None);
    }
}

/// A segment is read: of one that is mapped nothing would be asked. What is not read here is damage to the
/// engine, which tests of their own are about.
pub(super) fn is_page_read(event: &Event) -> bool {
    event.op == Op::Read && event.name.starts_with("seg-")
}

fn fault(rng: &mut Rng, event: &Event) -> Fault {
    match (event.op, rng.below(4)) {
        (Op::Write, 0) => Fault::InTwo,
        (Op::Write | Op::Allocate, 1) => Fault::Partly(*rng.pick(&[EIO, ENOSPC])),
        (Op::Sync, 0..2) => Fault::Partly(EIO),
        (Op::Create | Op::Allocate | Op::Write | Op::Sync | Op::Rename, 2) => Fault::Errno(ENOSPC),
        (Op::Open | Op::Create | Op::SyncDir | Op::List, 0..2) => Fault::Errno(EMFILE),
        (Op::Map, 0..2) => Fault::Errno(ENOMEM),
        _ => Fault::Errno(EIO),
    }
}
