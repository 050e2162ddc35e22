//! Changes in the log behind a commit that is missing. A record's version goes up by one with each change:
//! where it does so from the record that is kept to the change that is read, none in between is missing.

use super::report::Losses;
use crate::import::{Refused, StoreBuilder};
use vellum::redo::{Change, parse};
use vellum_disk::Disk;
use vellum_engine::Lsn;
use vellum_engine::log::{self, Kind, Salvaged, log_name};
use vellum_types::{Error, Result};

/// Makes what changes can be proven to follow the state that ends at `end`.
///
/// # Errors
/// When the new store cannot be written.
pub(super) fn salvage(
    disk: &dyn Disk,
    store_id: [u8; 16],
    end: Lsn,
    build: &mut StoreBuilder,
    losses: &mut Losses,
) -> Result<()> {
    let mut last = end;
    log::salvage(disk, store_id, &mut |found| {
        let Salvaged::Frame(frame, _) = found else { return Ok(()) };
        if frame.kind != Kind::Commit || frame.lsn <= last {
            return Ok(());
        }
        if frame.lsn != last.next() {
            let (first, before) = (last.next(), Lsn(frame.lsn.0 - 1));
            let reason = format!(
                "commits {first} to {before} cannot be read: what they changed is not known, and records that were created behind them are counted anew"
            );
            losses.other(&Error::corrupt(log_name(frame.position.file), frame.position.offset, reason), "");
        }
        last = frame.lsn;
        let place = (log_name(frame.position.file), frame.position.offset);
        let lost =
            |error: &Error| Error::corrupt(&place.0, place.1, format!("commit {}: {error}", frame.lsn));
        let (head, mut changes) = match parse(frame.body) {
            Ok(parsed) => parsed,
            Err(error) => {
                losses.other(&lost(&error.into()), "");
                return Ok(());
            }
        };
        loop {
            match changes.next_change() {
                Ok(None) => return Ok(()),
                Ok(Some(change)) => apply(build, &head, &change, &lost, losses)?,
                Err(error) => {
                    losses.other(&lost(&error.into()), "");
                    return Ok(());
                }
            }
        }
    })
}

fn apply(
    build: &mut StoreBuilder,
    head: &vellum::redo::FrameHead,
    change: &Change<'_>,
    lost: &dyn Fn(&Error) -> Error,
    losses: &mut Losses,
) -> Result<()> {
    let refused = match build.follow(head, change) {
        Ok(()) => return Ok(()),
        Err(Refused::Failed(error)) => return Err(error),
        Err(refused) => Error::from(refused),
    };
    let target = match change {
        Change::Create { target, .. }
        | Change::Restore { target, .. }
        | Change::Update { target, .. }
        | Change::Delete { target } => target,
        Change::Schema { .. } => {
            losses.other(&lost(&refused), "a change of the schema");
            return Ok(());
        }
    };
    let schema = build.schema();
    let name = schema.object_by_id(target.object).map_or_else(String::new, |object| object.key().to_string());
    losses.record(&name, target.id, &[], &lost(&refused));
    Ok(())
}
