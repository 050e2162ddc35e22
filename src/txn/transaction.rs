//! A transaction: what it has staged so far, and the state of the store that it sees under it.

use super::{Context, WriterState};
use crate::records::Catalog;
use std::sync::Arc;
use vellum_engine::pages::Root;

/// A transaction that stages mutations. It reads pages and writes to its own buffers alone: what it leaves there is
/// a change, which the engine commits.
pub(crate) struct Transaction<'a> {
    /// Buffers of the writer, among them the stage.
    pub(crate) state: &'a mut WriterState,
    pub(crate) context: &'a Context<'a>,
    pub(crate) catalog: &'a Arc<Catalog>,
    /// The live state; under the writer lock it stays what it is until the commit is applied.
    pub(crate) root: &'a Root,
    /// Whether a single mutation is the whole transaction: no later one looks up the keys that it staged.
    pub(crate) single: bool,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Transaction<'_> {
    /// The same transaction, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Transaction<'_> {
        let Transaction { context, catalog, root, single, .. } = *self;
        Transaction { state: self.state, context, catalog, root, single }
    }
}
