//! The steps of a transaction, each without a store: pages in memory, no log, no threads, no clock.

mod check;
mod commit;
mod execute;
mod find;
mod relate;

use super::transaction::Transaction;
use super::{Context, Outcome, Source, Stamp, WriterState, prefault};
use crate::records::{ApplyScratch, Records};
use crate::redo::{FrameBuilder, FrameHead, Redo};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use vellum_engine::StateMachine;
use vellum_engine::pages::{PageStore, Writer};
use vellum_engine::{Lsn, Options};
use vellum_sim::MemDisk;
use vellum_types::value::{Name, Timestamp, Value};
use vellum_types::{Action, Key, Mutation, Patch, RecordId, Result, Schema};

/// Companies with a unique domain, and people who refer to them and to each other.
const SCHEMA: &str = r#"{"objects":[
    {"key":"company","primary_key":["domain"],"attributes":[
        {"key":"domain","type":"text","required":true},
        {"key":"seats","type":"integer","min":0},
        {"key":"phase","type":"select","options":[{"key":"new"},{"key":"old"}],"default":"new"},
        {"key":"number","type":"autonumber"},
        {"key":"notes","type":"text"}],"max_record_bytes":4096},
    {"key":"person","attributes":[
        {"key":"name","type":"text","required":true},
        {"key":"employer","type":"reference","refers_to":["company"],"on_delete":"restrict"}]}]}"#;

/// Time and ids that follow from each other.
#[derive(Default)]
struct Steady {
    now: AtomicI64,
    ids: AtomicU64,
}

impl Source for Steady {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    fn new_id(&self, _: Timestamp) -> RecordId {
        id(self.ids.fetch_add(1, Ordering::Relaxed) as u8 + 100)
    }
}

/// A state, and what a transaction needs of a writer.
struct World {
    records: Records,
    pages: Writer,
    scratch: ApplyScratch,
    writer: WriterState,
    source: Steady,
}

fn id(number: u8) -> RecordId {
    RecordId::from_bytes([number; 16])
}

fn create(object: &str, values: Vec<(Name, Value)>) -> Mutation {
    mutation(object, Action::Create, None, Patch { set: values, ..Patch::default() })
}

fn mutation(object: &str, action: Action, key: Option<Key>, patch: Patch) -> Mutation {
    Mutation { object: object.into(), action, key, patch }
}

fn by_domain(domain: &str) -> Key {
    Key::Attributes(vec![("domain".into(), domain.into())])
}

impl World {
    fn new() -> World {
        let disk = Arc::new(MemDisk::new());
        let (pages, writer) = PageStore::create(disk, [7; 16], Options::default().keeping());
        let records = Records::new(Arc::new(pages), 1, Schema::default(), Lsn(0), 0);
        let (scratch, state) = (ApplyScratch::default(), WriterState::default());
        let source = Steady::default();
        let mut world = World { records, pages: writer, scratch, writer: state, source };
        let mut frame = FrameBuilder::default();
        frame.start(&FrameHead { commit_time: Timestamp(1), actor: 0 });
        frame.schema(&Schema::from_json(SCHEMA).unwrap().encode());
        world.apply(frame.body());
        world
    }

    fn apply(&mut self, redo: &[u8]) {
        let lsn = self.records.applied().next();
        self.records.apply(&mut self.pages, &mut self.scratch, lsn, Redo { bytes: redo }).unwrap();
    }

    /// Runs a step, or several, of a transaction; what it stages stays for the next call.
    fn step<R>(&mut self, step: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        let context = Context { records: &self.records, source: &self.source, actor: None };
        let (catalog, root) = (self.records.catalog(), self.records.pages.live());
        let state = &mut self.writer;
        step(&mut Transaction { state, context: &context, catalog: &catalog, root: &root, single: false })
    }

    fn execute(&mut self, mutation: &Mutation) -> Result<Outcome> {
        self.step(|txn| txn.execute(mutation))
    }

    /// Commits mutations, as the engine does it: prefault, then apply.
    fn commit(&mut self, mutations: &[Mutation]) -> Result<Vec<Outcome>> {
        let result = self.step(|txn| {
            let outcomes: Result<Vec<Outcome>> = mutations.iter().map(|one| txn.execute(one)).collect();
            let outcomes = outcomes?;
            Ok((outcomes, txn.prepare()?))
        });
        let result = result.and_then(|(mut outcomes, room)| {
            if room.is_some() {
                let (catalog, root) = (self.records.catalog().clone(), self.records.pages.live().clone());
                prefault(&self.records, &root, &catalog, &mut self.writer.stage)?;
                let redo = self.writer.frame.body().to_vec();
                self.apply(&redo);
            }
            outcomes.stamp(self.records.applied());
            Ok(outcomes)
        });
        self.writer.stage.clear();
        result
    }

    /// A state with this company.
    fn with_company(domain: &str, seats: i64) -> (World, RecordId) {
        let mut world = World::new();
        let values = crate::record! { "domain" => domain, "seats" => seats };
        let outcomes = world.commit(&[create("company", values)]).unwrap();
        (world, outcomes[0].id)
    }
}
