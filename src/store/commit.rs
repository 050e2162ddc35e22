//! A commit that can be waited for or awaited.

use super::Engine;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use vellum_engine::{Durability, Lsn};
use vellum_types::Result;

/// A commit that is applied and may not be durable yet. Waiting for it, or awaiting it on any runtime,
/// promises what the store's [`Durability`] says. Dropping it changes nothing about the commit.
#[derive(Clone, Debug)]
#[must_use = "a commit that nobody waits for is not promised to be durable"]
pub struct Commit {
    engine: Arc<Engine>,
    lsn: Lsn,
}

impl Commit {
    pub(crate) fn new(engine: &Arc<Engine>, lsn: Lsn) -> Commit {
        Commit { engine: engine.clone(), lsn }
    }

    /// Its number.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Waits as the store's durability says. One sync serves all who wait.
    ///
    /// # Errors
    /// `Poisoned` when the log stopped: the commit may or may not be there after reopening.
    pub fn wait(&self) -> Result<()> {
        self.wait_for(self.engine.options.durability)
    }

    /// Waits as `durability` says, whatever the store's setting. An interval starts the sync at once in
    /// the background, so that it is over within that time.
    ///
    /// # Errors
    /// As [`Commit::wait`].
    pub fn wait_for(&self, durability: Durability) -> Result<()> {
        if matches!(durability, Durability::Interval(_))
            && !matches!(self.engine.options.durability, Durability::Interval(_))
        {
            let nobody = std::task::Waker::noop();
            if let Poll::Ready(result) = self.engine.poll_durable(self.lsn, nobody) {
                return Ok(result?);
            }
        }
        Ok(self.engine.wait(self.lsn, durability)?)
    }
}

impl Future for Commit {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.engine.options.durability {
            Durability::Sync => self.engine.poll_durable(self.lsn, context.waker()).map_err(Into::into),
            Durability::Interval(_) | Durability::Buffered => Poll::Ready(Ok(())),
        }
    }
}
