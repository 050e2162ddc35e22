//! People, companies and badges: a schema with every kind of attribute that plans are about.

use crate::common::{Dir, quick};
use vellum::{Action, Key, Mutation, Outcome, Patch, Record, RecordId, Result, Schema, Store, Value};

pub const CRM: &str = r#"{"objects":[
  {"key":"company","primary_key":["domain"],"max_record_bytes":4000,"attributes":[
    {"key":"domain","type":"text"},
    {"key":"name","type":"text","required":true},
    {"key":"status","type":"select","options":[{"key":"lead"},{"key":"active"},{"key":"lost"}]},
    {"key":"seats","type":"integer","min":0},
    {"key":"price","type":"decimal","decimals":2},
    {"key":"score","type":"number"},
    {"key":"seen","type":"timestamp"},
    {"key":"since","type":"date"},
    {"key":"source","type":"text"},
    {"key":"code","type":"text","unique":true},
    {"key":"sealed","type":"text","read_only":true},
    {"key":"tags","type":"select","multi":true,"ordered":false,"max_values":3,
      "options":[{"key":"a"},{"key":"b"},{"key":"c"},{"key":"d"}]},
    {"key":"phases","type":"select","multi":true,"options":[{"key":"one"},{"key":"two"},{"key":"three"}]},
    {"key":"notes","type":"text","multi":true,"max_values":3},
    {"key":"aliases","type":"domain","multi":true,"unique":true},
    {"key":"boxes","type":"text_list","labels":["left","right"]},
    {"key":"meta","type":"json"},
    {"key":"parent","type":"reference","refers_to":["company"],"on_delete":"cascade"},
    {"key":"keeper","type":"reference","refers_to":["person"],"on_delete":"restrict"},
    {"key":"people","type":"reference","multi":true,"refers_to":["person"],
      "inverse":{"object":"person","attribute":"company"}}]},
  {"key":"person","attributes":[
    {"key":"email","type":"email","unique":true},
    {"key":"name","type":"text"},
    {"key":"company","type":"reference","refers_to":["company"],
      "inverse":{"object":"company","attribute":"people"}},
    {"key":"badge","type":"reference","refers_to":["badge"],"inverse":{"object":"badge","attribute":"holder"}},
    {"key":"friend","type":"reference","refers_to":["person"]}]},
  {"key":"badge","primary_key":["number"],"attributes":[
    {"key":"number","type":"integer"},
    {"key":"holder","type":"reference","refers_to":["person"],"inverse":{"object":"person","attribute":"badge"}}]}]}"#;

pub struct Crm {
    pub store: Store,
    pub dir: Dir,
}

impl Crm {
    pub fn new(name: &str) -> Crm {
        let dir = Dir::new(name);
        let schema = Schema::from_json(CRM).expect("a valid schema");
        Crm { store: quick().create(dir.path(), &schema).expect("an empty directory"), dir }
    }

    pub fn try_run(&self, object: &str, action: Action, key: Option<Key>, patch: Patch) -> Result<Outcome> {
        self.store.apply(&mutation(object, action, key, patch))
    }

    pub fn run(&self, object: &str, action: Action, key: Option<Key>, patch: Patch) -> Outcome {
        self.try_run(object, action, key, patch).expect("a sound mutation")
    }

    pub fn make(&self, object: &str, patch: Patch) -> RecordId {
        self.run(object, Action::Create, None, patch).id
    }

    pub fn update(&self, object: &str, id: RecordId, patch: Patch) -> Outcome {
        self.run(object, Action::Update, Some(Key::Id(id)), patch)
    }

    pub fn get(&self, object: &str, id: RecordId) -> Option<Record> {
        self.store.object(object).unwrap().get(id).unwrap()
    }

    pub fn value(&self, object: &str, id: RecordId, name: &str) -> Value {
        let record = self.get(object, id).expect("the record is there");
        record.get(name).cloned().unwrap_or_default()
    }

    /// Everything that the store shows, counters, versions, times and the newest LSN too, and how many
    /// entries its indexes have.
    pub fn fingerprint(&self) -> String {
        let mut dump = Vec::new();
        vellum_admin::dump(&self.store.snapshot().unwrap(), &mut dump).unwrap();
        let indexes: Vec<_> = self.store.stats().unwrap().objects.iter().map(|o| format!("{o:?}")).collect();
        format!("{}\n{}", String::from_utf8(dump).unwrap(), indexes.join("\n"))
    }

    /// The same store, closed and opened again.
    pub fn reopen(self) -> Crm {
        let Crm { store, dir } = self;
        store.close().unwrap();
        Crm { store: quick().open(dir.path()).unwrap(), dir }
    }
}

pub fn mutation(object: &str, action: Action, key: Option<Key>, patch: Patch) -> Mutation {
    Mutation { object: object.into(), action, key, patch }
}

pub fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).collect()
}

pub fn list(list: &[&str]) -> Value {
    Value::List(texts(list))
}

pub fn ids(ids: &[RecordId]) -> Value {
    Value::List(ids.iter().map(|id| Value::Reference(*id)).collect())
}
