//! A store in a directory of its own, removed at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use vellum::{Config, Durability, Schema, Store};

/// A directory that goes with the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vellum-it-{name}-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Dir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const COMPANIES: &str = r#"{"objects":[{"key":"company","primary_key":["country","number"],"attributes":[
    {"key":"country","type":"text","required":true},
    {"key":"number","type":"integer","required":true},
    {"key":"name","type":"text"},
    {"key":"domain","type":"text","unique":true},
    {"key":"status","type":"select","options":[{"key":"active"},{"key":"inactive"}]},
    {"key":"revenue","type":"decimal","decimals":2},
    {"key":"score","type":"number"},
    {"key":"listed","type":"boolean"},
    {"key":"founded","type":"date"},
    {"key":"seen","type":"timestamp"},
    {"key":"tag","type":"uuid"},
    {"key":"notes","type":"long_text"},
    {"key":"extra","type":"json"}]}]}"#;

pub fn companies() -> Schema {
    Schema::from_json(COMPANIES).expect("a valid schema")
}

pub fn quick() -> Config {
    Config::new().durability(Durability::Buffered)
}

pub fn create(dir: &Dir) -> Store {
    quick().create(dir.path(), &companies()).expect("an empty directory")
}

/// Tells threads to stop, also when the test fails.
pub struct StopAtEnd<'s>(pub &'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
