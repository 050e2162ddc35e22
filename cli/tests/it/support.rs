//! A directory a test, the binary run in it, and what it answered.

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Objects of the tests: `item` has a primary key and a unique attribute, `entry` has neither, and
/// `pair` has a primary key of two attributes.
pub(crate) const SCHEMA: &str = r#"{"objects": [
  {"key": "item", "title": "Item", "primary_key": ["number"], "attributes": [
    {"key": "number", "type": "integer"}, {"key": "a", "type": "integer"}, {"key": "b", "type": "integer"},
    {"key": "note", "type": "text"}, {"key": "code", "type": "text", "unique": true},
    {"key": "price", "type": "decimal", "decimals": 2}, {"key": "day", "type": "date"},
    {"key": "state", "type": "select", "options": [{"key": "open"}, {"key": "done"}]},
    {"key": "extra", "type": "json"}, {"key": "ratio", "type": "number"}, {"key": "on", "type": "boolean"},
    {"key": "at", "type": "timestamp"}]},
  {"key": "entry", "attributes": [{"key": "note", "type": "text"}]},
  {"key": "pair", "primary_key": ["left", "right"], "attributes": [
    {"key": "left", "type": "text"}, {"key": "right", "type": "date"}, {"key": "n", "type": "integer"}]}
]}"#;

/// A directory of its own, removed when the test passes.
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// An empty one.
    pub(crate) fn empty() -> Dir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the directory for tests can be written");
        Dir(path)
    }

    /// One with a store named `store`.
    pub(crate) fn with_store() -> Dir {
        let dir = Dir::empty();
        dir.write("schema.json", SCHEMA);
        dir.run(&["init", "store", "--schema", "schema.json"]).done();
        dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("the directory for tests can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The command, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vellum"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        Answer::of(args, self.command(args).output().expect("the binary runs"))
    }

    /// The same with this text as stdin.
    pub(crate) fn feed(&self, args: &[&str], text: &str) -> Answer {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let text = text.to_string();
        // A thread, since the binary may write more than a pipe holds before it has read all; and it may
        // end before it has read all.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        let output = child.wait_with_output().expect("the binary ends");
        feeder.join().expect("the feeder does not panic");
        Answer::of(args, output)
    }

    /// All records of an object.
    pub(crate) fn export(&self, object: &str) -> Vec<Value> {
        let out = self.run(&["export", "store", object]).done().out;
        out.lines().map(|line| serde_json::from_str(line).expect("export writes JSON")).collect()
    }

    /// One attribute of all records of an object.
    pub(crate) fn column(&self, object: &str, name: &str) -> Vec<Value> {
        self.export(object).iter().map(|record| record["values"][name].clone()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

/// What the binary answered.
#[derive(Debug)]
pub(crate) struct Answer {
    command: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    fn of(args: &[&str], output: Output) -> Answer {
        Answer {
            command: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("stdout is text"),
            err: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Answer {
        assert_eq!(self.code, code, "vellum {}\n{}\n{}", self.command, self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn done(self) -> Answer {
        self.ends_with(0)
    }

    #[track_caller]
    pub(crate) fn refused(self) -> Answer {
        self.ends_with(1)
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Stderr as the one JSON object of an error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        let error: Value =
            serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(error["kind"].is_string() && error["message"].is_string(), "{error}");
        error
    }

    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Answer {
        for word in words {
            assert!(self.err.contains(word) || self.out.contains(word), "{word:?} is not in {self:?}");
        }
        self
    }
}

pub(crate) fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_ref()).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// Creates of items, one a line.
pub(crate) fn creates(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(create).collect()
}

pub(crate) fn create(number: u64) -> String {
    format!("{{\"op\":\"create\",\"object\":\"item\",\"values\":{{\"number\":{number},\"a\":{number}}}}}\n")
}

/// Numbers that follow from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
