//! Requests under idempotency keys: new ones, ones that come again, and others under a key that is taken.

use super::{Checked, Run, same_kind};
use crate::compare::{compare_requests, ensure};
use crate::model::Asked;
use crate::ops::{self, dummy_id};
use std::time::Duration;
use vellum::{ErrorKind, Once};

impl Run<'_> {
    /// A request under one of a few keys: a new one, one that came before, or another under its key.
    pub(super) fn once(&mut self) -> Checked {
        let (key, now) = (format!("request {}", self.rng.below(9)), self.now());
        // One whose time was over before the clock went back may be gone or not.
        let is_open = |asked: &Asked| asked.expires_at > now && asked.expires_at <= self.latest;
        if self.model.requests.get(&key).is_some_and(is_open) {
            return Ok(());
        }
        self.latest = self.latest.max(now);
        let known = self.model.asked(&key, now).cloned();
        let again = known.as_ref().filter(|_| !self.rng.one_in(4)).map(|asked| asked.mutations.clone());
        let mutations =
            again.unwrap_or_else(|| vec![ops::mutation(&mut self.rng, &self.model, &self.graveyard)]);
        if known.is_none() && self.model.is_ambiguous(&mutations[0]) {
            return Ok(());
        }
        let keep = *self.rng.pick(&[Duration::from_millis(4), Duration::from_secs(3600)]);
        let result = self.store().apply_once(&Once::new(&key).keep_for(keep), &mutations);
        if let Some(asked) = known {
            self.count("request that came again", 1);
            let is_same = format!("{:?}", asked.mutations) == format!("{mutations:?}");
            return match result {
                Ok(_) if is_same => compare_requests(&self.store(), &self.model, self.latest),
                Err(error) if !is_same && error.kind() == ErrorKind::RequestConflict => Ok(()),
                result => Err(format!("{key}, the same: {is_same}, answered {result:?}")),
            };
        }
        let wanted =
            self.model.mutate_as(&mutations[0], result.as_ref().ok().map(|all| &all[0]), dummy_id(0));
        let committed = wanted.and_then(|wanted| {
            let expires_at = now.saturating_add(keep.as_nanos() as i64);
            self.model.ask(key, &mutations, std::slice::from_ref(&wanted), expires_at);
            self.model.commit(now).map(|lsn| (wanted, lsn))
        });
        match (result, committed) {
            (Ok(outcomes), Ok((wanted, lsn))) => {
                ensure!(outcomes[0].lsn.0 == lsn, "lsn {lsn} expected, {} found", outcomes[0].lsn);
                self.count("request", 1);
                self.count_mutation(&mutations[0], &wanted);
                self.same_outcome(&mutations[0], &wanted, &outcomes[0])
            }
            (Err(error), Err(kind)) => {
                self.model.abort();
                same_kind(&mutations[0], kind, &error)
            }
            (result, wanted) => Err(format!("{mutations:?}\nexpected {wanted:?}\nfound {result:?}")),
        }
    }
}
