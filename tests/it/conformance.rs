//! The schemas and setup records of every conformance case (tests/conformance) load, and read back as
//! they were given.

use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use vellum::text::parse_mutation;
use vellum::{Config, RecordId, Schema, Store};
use vellum_testkit::MemDisk;

fn cases() -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).unwrap())
    };
    let mut cases: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

/// What the placeholders of a case stand for.
struct Names {
    records: HashMap<String, RecordId>,
    actors: HashMap<String, Json>,
}

impl Names {
    fn of(case: &Json) -> Names {
        let mut records = HashMap::new();
        for (at, record) in setup(case).iter().enumerate() {
            let given = record["id"].as_str().map(|id| id.parse().unwrap());
            let id = given.unwrap_or_else(|| RecordId::from_bytes([at as u8 + 1; 16]));
            records.insert(record["as"].as_str().unwrap().to_string(), id);
        }
        let actors = case["actors"].as_array().into_iter().flatten().map(|actor| {
            let name = actor["as"].as_str().unwrap();
            let id = actor["id"].as_str().unwrap_or(name);
            (name.to_string(), json!({"kind": actor["kind"], "id": id}))
        });
        Names { records, actors: actors.collect() }
    }

    fn resolve(&self, value: &Json) -> Json {
        match value {
            Json::String(text) => self.text(text),
            Json::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.clone(), self.resolve(value)));
                Json::Object(members.collect())
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> Json {
        let Some(placeholder) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) else {
            assert!(!text.contains("{{"), "a placeholder inside {text:?}");
            return json!(text);
        };
        match placeholder.split_once(':').unwrap() {
            ("rec", name) => json!(self.records[name].to_string()),
            ("actor", name) => self.actors[name].clone(),
            ("pad", len) => json!("x".repeat(len.parse().unwrap())),
            _ => panic!("{text} has no meaning in a setup record"),
        }
    }
}

fn setup(case: &Json) -> &[Json] {
    case["setup"].as_array().map_or(&[], Vec::as_slice)
}

/// The case's schema. What setup records call `meta` is an attribute that an object has when it says so.
fn schema(case: &Json) -> Schema {
    let mut schema = case["schema"].clone();
    for record in setup(case).iter().filter(|record| record.get("meta").is_some()) {
        let objects = schema["objects"].as_array_mut().unwrap();
        let object = objects.iter_mut().find(|object| object["key"] == record["object"]).unwrap();
        object["metadata"] = json!(true);
    }
    Schema::from_json(&schema.to_string()).unwrap()
}

/// The values of a setup record: those listed, and the members beside them that are attributes.
fn values(record: &Json, names: &Names) -> Map<String, Json> {
    let Json::Object(mut values) = names.resolve(&record["values"]) else { panic!("values are an object") };
    let members = [
        ("name", "name"),
        ("external_id", "external_id"),
        ("owners", "owners"),
        ("followers", "followers"),
        ("meta", "metadata"),
    ];
    for (member, attribute) in members {
        if let Some(value) = record.get(member) {
            values.insert(attribute.to_string(), names.resolve(value));
        }
    }
    values
}

/// Equal up to the ways in which a number may be written, and an empty list being no value.
fn alike(given: &Json, read: Option<&Json>) -> bool {
    let number = |value: &Json| match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    match (given, read) {
        (Json::Array(items), None) => items.is_empty(),
        (_, None) => given.is_null(),
        (Json::Number(_), Some(read)) => number(given) == number(read),
        (Json::Array(a), Some(Json::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, Some(b)))
        }
        (Json::Object(a), Some(Json::Object(b))) => {
            a.len() == b.len() && a.iter().all(|(name, value)| alike(value, b.get(name)))
        }
        (given, Some(read)) => given == read,
    }
}

#[test]
fn every_schema_and_every_setup_record_of_the_cases_loads() {
    let cases = cases();
    assert_eq!(cases.len(), 96);
    let mut record_count = 0;
    for (case_name, case) in &cases {
        let schema = schema(case);
        assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema, "{case_name}");
        assert_eq!(Schema::decode(&schema.encode()).unwrap(), schema, "{case_name}");
        let config = Config::new().seed(7).background(false);
        let store = config.create_on(Arc::new(MemDisk::new()), &schema).unwrap();
        let names = Names::of(case);
        load(case_name, case, &store, &names);
        for record in setup(case) {
            let id = names.records[record["as"].as_str().unwrap()];
            let object = store.object(record["object"].as_str().unwrap()).unwrap();
            let read = object.get(id).unwrap().unwrap_or_else(|| panic!("{case_name}: {record}"));
            let read = Json::Object(read.to_json());
            for (attribute, value) in values(record, &names) {
                let found = read.get(&attribute);
                assert!(alike(&value, found), "{case_name}: {attribute} is {found:?}, given {value}");
            }
            record_count += 1;
        }
    }
    assert_eq!(record_count, 100);
}

fn load(case_name: &str, case: &Json, store: &Store, names: &Names) {
    let schema = store.schema();
    let lines = setup(case).iter().map(|record| {
        let id = names.records[record["as"].as_str().unwrap()].to_string();
        json!({"op": "create", "object": record["object"], "id": id, "values": values(record, names)})
    });
    let mutations: Vec<_> =
        lines.map(|line| parse_mutation(&schema, line.to_string().as_bytes()).unwrap()).collect();
    // In one transaction: records may refer to each other.
    store.apply_batch(&mutations).unwrap_or_else(|error| panic!("{case_name}: {error}"));
}
