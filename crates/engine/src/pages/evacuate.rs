//! Emptying segments: what of them is live moves with the checkpoint that empties them. A segment with a damaged
//! image that is still named is not emptied: the checkpoint takes place all the same, and the damage stays visible.

use super::checkpoint::Run;
use super::compact::Touched;
use super::node::ImageRef;
use super::segment::HEADER_LEN;
use super::{CHUNK_LEVEL, GROUP_LEVEL};
use crate::id::{Address, SegmentId};
use crate::page::Columns;
use crate::page::image::{self, ImageHead, Kind};
use vellum_bytes::{Error, ErrorKind, Result};

impl Run<'_> {
    /// A reference out of a victim's way. A damaged image stays where it is.
    pub(super) fn moved(&mut self, image: ImageRef) -> Result<ImageRef> {
        if !self.victims.contains(&image.segment) {
            return Ok(image);
        }
        let new = match self.store.resolve(image).and_then(|stored| self.writer.copy(&stored)) {
            Ok(new) => new,
            Err(error) => return stays(&error).map_or(Err(error), |()| Ok(image)),
        };
        self.loses(Some(image));
        self.gains(new);
        Ok(new)
    }

    /// Walks the images of a victim and notes what of it the page table still names. What lies behind a
    /// damaged head is not found, and stays.
    pub(super) fn find_live(&mut self, victim: SegmentId, touched: &mut Touched) -> Result<()> {
        let Some(segment) = self.store.segments.load().get(&victim).cloned() else { return Ok(()) };
        let mut offset = HEADER_LEN;
        while offset < segment.len() {
            let end = (offset + image::HEAD_LEN).min(segment.len());
            let parsed = segment.fetch(offset..end).and_then(|bytes| {
                image::parse_head(&bytes).map_err(|error| segment.placed(offset as u64, &error))
            });
            let (head, len) = match parsed {
                Ok(found) => found,
                Err(error) => return stays(&error).ok_or(error),
            };
            if let Err(error) = self.note_if_live(victim, offset as u64, &head, touched) {
                stays(&error).ok_or(error)?;
            }
            offset += len;
        }
        Ok(())
    }

    /// What is noted can be read: it is written again from memory.
    fn note_if_live(
        &self,
        victim: SegmentId,
        offset: u64,
        head: &ImageHead,
        touched: &mut Touched,
    ) -> Result<()> {
        let here =
            |image: Option<ImageRef>| image.is_some_and(|i| i.segment == victim && i.offset() == offset);
        let Address { tree, number, column } = head.address;
        match (head.kind, column) {
            (Kind::Page | Kind::Delta, _) => {
                if let Some(group) = self.store.group(self.root, tree, number)?
                    && let Some(page) = group.state.read().page(column)
                    && (here(page.stored().base) || here(page.stored().delta))
                {
                    touched.groups.insert((tree, number));
                }
            }
            (Kind::Node, GROUP_LEVEL) => {
                if here(self.group_node(tree, number)?)
                    && self.store.group(self.root, tree, number)?.is_some()
                {
                    touched.groups.insert((tree, number));
                }
            }
            (Kind::Node, CHUNK_LEVEL) => {
                if here(self.chunk_node(tree, number as usize)?)
                    && let Some(node) = self.root.tree(tree)
                    && self.chunk_of(node, number as usize)?.is_some()
                {
                    touched.chunks.insert((tree, number as usize));
                }
            }
            (Kind::Node, _) => {
                if let Some(node) = self.root.tree(tree)
                    && here(node.node.lock().as_ref().map(|stored| stored.image))
                {
                    self.store.chunks(node)?;
                    touched.trees.insert(tree);
                }
            }
            (Kind::Root, _) => {}
        }
        Ok(())
    }
}

/// Damage is no reason for a checkpoint to fail: what it keeps from moving stays, and keeps its segment.
/// `None` for other errors.
fn stays(error: &Error) -> Option<()> {
    if error.kind() != ErrorKind::Corrupt {
        return None;
    }
    tracing::warn!(%error, "compaction leaves a damaged image where it is");
    Some(())
}
