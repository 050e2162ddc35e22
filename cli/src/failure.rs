//! What went wrong, with its exit code, for people and as one JSON object.
//!
//! ```json
//! {"kind":"unique_conflict","message":"…","line":17,"applied":16,
//!  "conflict":{"object":"flight","attributes":["date","carrier"],"key":["2013-01-01","UA"],"record":"…","version":3}}
//! ```
//!
//! | member            | with                                                                      |
//! |-------------------|---------------------------------------------------------------------------|
//! | `kind`            | always: a name of [`vellum::ErrorKind`], or one of those below            |
//! | `message`         | always: what, where, the way out                                          |
//! | `line`            | input that is read by lines: the line, from 1                             |
//! | `applied`         | `apply` and `import`: how many lines took effect before the end           |
//! | `conflict`        | `unique_conflict`                                                         |
//! | `place`           | `corrupt`: `file` in the store, byte `offset`, `reason`                   |
//! | `object`, `attribute` | an error about one attribute                                          |
//! | `current_version` | `precondition_failed`                                                     |
//! | `path`, `type`, `given`, `target`, `limit`, `records` | what the error knows beside its sentence (docs/mutations.md) |
//! | `errors`          | a mutation with several things wrong: each with `kind`, `path`, `reason`  |
//!
//! Kinds of the tool's own: `usage`, `damaged_input` (a .gz that is cut short or damaged), `rejected`
//! (`import` is done, but some lines are in the rejects file), `incomplete` (`repair` is done, but something
//! is lost).

use serde::Serialize;
use std::fmt::{self, Display};
use std::io;
use vellum::Error;

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const DAMAGE: u8 = 3;

/// What went wrong; one pointer wide.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug, Default, Serialize)]
struct Inner {
    #[serde(skip)]
    exit_code: u8,
    #[serde(skip)]
    is_quiet: bool,
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<Conflict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    value_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<OneOfSeveral>,
}

/// A limit and what passed it.
#[derive(Debug, Serialize)]
struct Limit {
    max: u64,
    given: u64,
}

/// One thing that is wrong with a mutation.
#[derive(Debug, Serialize)]
struct OneOfSeveral {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Conflict {
    object: String,
    attributes: Vec<String>,
    key: Vec<String>,
    record: String,
    version: u64,
}

/// A place in a file of the store where bytes were wrong.
#[derive(Debug, Serialize)]
struct Place {
    file: String,
    offset: u64,
    reason: String,
}

impl From<&vellum::Place> for Place {
    fn from(place: &vellum::Place) -> Place {
        Place { file: place.file.clone(), offset: place.offset, reason: place.reason.clone() }
    }
}

impl Failure {
    fn new(exit_code: u8, kind: &'static str, message: impl Into<String>) -> Failure {
        Failure(Box::new(Inner { exit_code, kind, message: message.into(), ..Inner::default() }))
    }

    /// The command line cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(USAGE, "usage", message)
    }

    /// Input that cannot be read as what it should be.
    pub(crate) fn invalid_input(message: impl Into<String>) -> Failure {
        Failure::from(Error::invalid_input(message))
    }

    /// A compressed file that ends early or does not decompress.
    pub(crate) fn damaged_input(message: impl Into<String>) -> Failure {
        Failure::new(DAMAGE, "damaged_input", message)
    }

    /// The work is done, but not for every line.
    pub(crate) fn rejected(message: impl Into<String>) -> Failure {
        Failure::new(REFUSED, "rejected", message)
    }

    /// A store was salvaged, but not all of it.
    pub(crate) fn incomplete(message: impl Into<String>) -> Failure {
        Failure::new(REFUSED, "incomplete", message)
    }

    /// No record has this key.
    pub(crate) fn record_not_found(object: &str, key: &str) -> Failure {
        let kind = vellum::ErrorKind::RecordNotFound.name();
        Failure::new(REFUSED, kind, format!("{object}: there is no record {key}"))
    }

    /// `vellum verify` found something wrong; the first place stands for all.
    pub(crate) fn damaged_store(message: impl Into<String>, place: Option<&vellum::Place>) -> Failure {
        let mut failure = Failure::new(DAMAGE, vellum::ErrorKind::Corrupt.name(), message);
        failure.0.place = place.map(Place::from);
        failure
    }

    /// A file of the user's cannot be read or written.
    pub(crate) fn io(doing: &str, file: impl Display, error: io::Error) -> Failure {
        let mut failure = Failure::from(Error::io(doing, file.to_string(), error));
        // `read_only` speaks of the store.
        if failure.0.kind == vellum::ErrorKind::ReadOnly.name() {
            failure.0.kind = vellum::ErrorKind::Io.name();
        }
        failure
    }

    /// The system gives no further thread, for want of memory or by a limit.
    pub(crate) fn thread(name: &str, error: io::Error) -> Failure {
        Failure::io("start a thread for", name, error)
            .hint("give the process more memory (`ulimit -v`) or more threads (`ulimit -u`)")
    }

    /// Writing to stdout failed. Where the reader just went away, as `head` does, that is no error.
    pub(crate) fn stdout(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            let mut failure = Failure::new(0, "closed", "standard output was closed");
            failure.0.is_quiet = true;
            return failure;
        }
        Failure::io("write to", "standard output", error)
    }

    /// A failure of this kind does matter, because work was left undone.
    pub(crate) fn loud(mut self) -> Failure {
        if self.0.is_quiet {
            self.0.is_quiet = false;
            self.0.exit_code = DAMAGE;
            self.0.kind = vellum::ErrorKind::Io.name();
        }
        self
    }

    /// The line of the input that it is about, from 1.
    pub(crate) fn at_line(mut self, line: u64) -> Failure {
        self.0.line = Some(line);
        self
    }

    /// How many lines took effect before.
    pub(crate) fn after(mut self, applied: u64) -> Failure {
        if !self.0.is_quiet {
            self.0.applied = Some(applied);
        }
        self
    }

    /// The way out, where the sentence does not tell it yet.
    pub(crate) fn hint(mut self, hint: &str) -> Failure {
        self.0.message.push_str("; ");
        self.0.message.push_str(hint);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.0.is_quiet
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a failure has text keys and plain values")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::from(&error)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        let exit_code = if error.kind().is_refusal() { REFUSED } else { DAMAGE };
        let mut failure = Failure::new(exit_code, error.kind().name(), error.to_string());
        failure.0.conflict = error.conflict().map(|conflict| Conflict {
            object: conflict.object.clone(),
            attributes: conflict.attributes.clone(),
            key: conflict.key.clone(),
            record: conflict.record.to_string(),
            version: conflict.version,
        });
        failure.0.place = error.place().map(Place::from);
        if let Some((object, attribute)) = error.attribute_path() {
            failure.0.object = Some(object.to_string());
            failure.0.attribute = Some(attribute.to_string());
        }
        failure.0.current_version = error.current_version();
        failure.0.path = error.path();
        failure.0.value_type = error.value_type();
        failure.0.given = error.given().map(ToString::to_string);
        failure.0.target = error.target().map(ToString::to_string);
        failure.0.limit = error.limit().map(|(max, given)| Limit { max, given });
        failure.0.records = error.records().iter().map(ToString::to_string).collect();
        if error.all().len() > 1 {
            let one = |error: &Error| OneOfSeveral {
                kind: error.kind().name(),
                path: error.path(),
                reason: error.reason(),
            };
            failure.0.errors = error.all().iter().map(one).collect();
        }
        failure
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.0.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.0.message)?;
        match self.0.applied {
            None => Ok(()),
            Some(0) => f.write_str("\nno line was applied"),
            Some(1) => f.write_str("\n1 line was applied before"),
            Some(count) => write!(f, "\n{count} lines were applied before"),
        }
    }
}
