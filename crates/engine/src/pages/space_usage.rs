//! Counting live bytes by what they are, from the page table alone.

use super::node::{CHUNK_GROUPS, Stored};
use super::tree::Root;
use super::{CHUNK_LEVEL, GROUP_LEVEL, PageStore, table_address};
use crate::id::TreeId;
use crate::page::image::Kind;
use std::collections::BTreeMap;
use vellum_bytes::Result;

/// What a page is for, by its tree and column; the caller knows.
pub type NamePage<'n> = &'n dyn Fn(TreeId, u32) -> &'static str;

impl PageStore {
    /// Bytes of the images on disk that `root` names, by the name that `name` gives a page. Reads the
    /// page table and keeps nothing of it in memory.
    pub fn bytes_by_kind(&self, root: &Root, name: NamePage<'_>) -> Result<Vec<(String, u64)>> {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut table_len = 0;
        for (id, tree) in &root.trees {
            table_len += tree.node.lock().as_ref().map_or(0, |stored| stored.image.image_len());
            for (index, slot) in self.chunks(tree)?.iter().enumerate() {
                let Some(chunk_image) = slot.stored() else { continue };
                table_len += chunk_image.image.image_len();
                let payload =
                    chunk_image.payload(Kind::Node, &table_address(*id, index as u64, CHUNK_LEVEL))?;
                for (place, image) in
                    super::node::decode_refs(&payload, CHUNK_GROUPS)?.into_iter().enumerate()
                {
                    let Some(image) = image else { continue };
                    table_len += image.image_len();
                    let stored = self.resolve(image)?;
                    let number = (index * CHUNK_GROUPS + place) as u64;
                    let payload = stored.payload(Kind::Node, &table_address(*id, number, GROUP_LEVEL))?;
                    for (column, page) in super::node::decode_group(&payload)? {
                        *counts.entry(name(*id, column)).or_default() += stored_len(&page);
                    }
                }
            }
        }
        counts.insert("page table", table_len);
        Ok(counts.into_iter().map(|(name, len)| (name.to_string(), len)).collect())
    }
}

fn stored_len(page: &Stored) -> u64 {
    [page.base, page.delta].into_iter().flatten().map(|image| image.image_len()).sum()
}
