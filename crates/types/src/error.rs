//! The one public error: a kind for programs, a sentence for people, and the data behind both.
//!
//! An error says where, what was expected, what was found, and the way out when there is one.
//! It is one pointer wide, so that a `Result` on the hot path stays small.

use crate::id::RecordId;
use std::fmt;
use vellum_bytes::Place;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for programs. The names are stable; [`ErrorKind::name`] is what tools print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No object of this name.
    ObjectNotFound,
    /// No record with this id or key.
    RecordNotFound,
    /// The object has no attribute of this name.
    UnknownAttribute,
    /// A value does not fit its attribute.
    InvalidValue,
    /// A select has no option of this name.
    UnknownOption,
    /// A required attribute has no value at the end of the mutation.
    MissingRequired,
    /// The attribute or member is kept by the engine and cannot be written.
    NotWritable,
    /// Another record holds the key.
    UniqueConflict,
    /// The attributes named are no primary key and no unique attribute.
    MatchNotUnique,
    /// The values named are held by several records.
    MultipleMatches,
    /// Two members say which record.
    AmbiguousKey,
    /// Nothing says which record.
    MissingKey,
    /// A reference names a record that does not exist.
    ReferenceNotFound,
    /// A reference names a record of an object that the attribute does not allow.
    ReferenceNotAllowed,
    /// The record is referred to by another one, and the attribute there forbids that it goes.
    ReferenceRestricted,
    /// An attribute would have more values than it may.
    TooManyValues,
    /// A condition that cannot be judged: an unknown attribute, a value of another type.
    BadFilter,
    /// Intervals of one attribute's values overlap.
    HistoryOverlap,
    /// The attribute or object keeps no history.
    NotHistoric,
    /// A sequence cannot be set to this number.
    SequenceInvalid,
    /// An idempotency key was used for another request.
    RequestConflict,
    /// A size or count is over its limit.
    LimitExceeded,
    /// The record has another version, or other values, than the caller expected.
    PreconditionFailed,
    /// The schema, or a change to it, is not valid.
    InvalidSchema,
    /// Text that cannot be read: JSON, CSV, an id, a number.
    InvalidInput,
    /// A write through the store inside a transaction of the same thread.
    NestedWrite,
    /// The directory is no store.
    NotAStore,
    /// `create` met a store.
    AlreadyExists,
    /// The store has a format that this build does not read.
    UnknownFormat,
    /// Another process, or another handle in this one, has the store open.
    Locked,
    /// The store was opened for reading, or its files cannot be written.
    ReadOnly,
    /// There is no room for the log or for what a checkpoint needs.
    DiskFull,
    /// The operating system refused a call.
    Io,
    /// Bytes on disk are not what was written, or the disk cannot read them.
    Corrupt,
    /// A failed log write or sync stopped the store; reopen it.
    Poisoned,
    /// The store was closed.
    Closed,
    /// Something else is under way; try again.
    Busy,
}

impl ErrorKind {
    /// The stable name that tools and servers print.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::ObjectNotFound => "object_not_found",
            ErrorKind::RecordNotFound => "record_not_found",
            ErrorKind::UnknownAttribute => "unknown_attribute",
            ErrorKind::InvalidValue => "invalid_value",
            ErrorKind::UnknownOption => "unknown_option",
            ErrorKind::MissingRequired => "missing_required",
            ErrorKind::NotWritable => "not_writable",
            ErrorKind::UniqueConflict => "unique_conflict",
            ErrorKind::MatchNotUnique => "match_not_unique",
            ErrorKind::MultipleMatches => "multiple_matches",
            ErrorKind::AmbiguousKey => "ambiguous_key",
            ErrorKind::MissingKey => "missing_key",
            ErrorKind::ReferenceNotFound => "reference_not_found",
            ErrorKind::ReferenceNotAllowed => "reference_not_allowed",
            ErrorKind::ReferenceRestricted => "reference_restricted",
            ErrorKind::TooManyValues => "too_many_values",
            ErrorKind::BadFilter => "bad_filter",
            ErrorKind::HistoryOverlap => "history_overlap",
            ErrorKind::NotHistoric => "not_historic",
            ErrorKind::SequenceInvalid => "sequence_invalid",
            ErrorKind::RequestConflict => "request_conflict",
            ErrorKind::LimitExceeded => "limit_exceeded",
            ErrorKind::PreconditionFailed => "precondition_failed",
            ErrorKind::InvalidSchema => "invalid_schema",
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::NestedWrite => "nested_write",
            ErrorKind::NotAStore => "not_a_store",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::UnknownFormat => "unknown_format",
            ErrorKind::Locked => "locked",
            ErrorKind::ReadOnly => "read_only",
            ErrorKind::DiskFull => "disk_full",
            ErrorKind::Io => "io",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::Closed => "closed",
            ErrorKind::Busy => "busy",
        }
    }

    /// Whether the request was refused and the store is sound: a conflict, a missing record, bad
    /// input. The other kinds speak of the store, the disk or the machine.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        use ErrorKind as K;
        !matches!(
            self,
            K::NotAStore
                | K::AlreadyExists
                | K::UnknownFormat
                | K::Locked
                | K::ReadOnly
                | K::DiskFull
                | K::Io
                | K::Corrupt
                | K::Poisoned
                | K::Closed
                | K::Busy
        )
    }
}

/// A unique key that another record holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Name of the object.
    pub object: String,
    /// Names of the attributes that make the key, in the key's order.
    pub attributes: Vec<String>,
    /// The key as text, one entry an attribute.
    pub key: Vec<String>,
    /// The record that holds it.
    pub record: RecordId,
    /// That record's version.
    pub version: u64,
}

/// What an error knows beside its sentence; empty for most.
#[derive(Clone, Debug, Default)]
struct Facts {
    path: Option<String>,
    value_type: Option<&'static str>,
    given: Option<String>,
    target: Option<String>,
    records: Vec<RecordId>,
    limit: Option<(u64, u64)>,
}

#[derive(Clone, Debug)]
enum Detail {
    Text(String),
    Attribute {
        object: String,
        attribute: String,
        reason: String,
    },
    Several(Vec<Error>),
    Conflict(Conflict),
    Condition {
        object: String,
        record: RecordId,
        current: u64,
    },
    /// Records that are in the way of a change, as many as are named.
    Records {
        text: String,
        records: Vec<RecordId>,
    },
    Version {
        record: RecordId,
        expected: u64,
        current: u64,
    },
    /// The disk, the store or its bytes.
    Storage(vellum_bytes::Error),
}

/// What went wrong: [`Error::kind`] for programs, `Display` for people.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    detail: Detail,
    /// Which of a batch's mutations it is about. Most refusals know this and nothing else, so it is no fact.
    position: Option<usize>,
    facts: Option<Box<Facts>>,
}

impl Error {
    fn build(kind: ErrorKind, detail: Detail) -> Error {
        Error(Box::new(Inner { kind, detail, position: None, facts: None }))
    }

    fn facts_mut(&mut self) -> &mut Facts {
        self.0.facts.get_or_insert_default()
    }

    fn facts(&self) -> Option<&Facts> {
        self.0.facts.as_deref()
    }

    /// One error of all that is wrong with a mutation: its kind is that of the first.
    ///
    /// # Panics
    /// When there is none.
    pub fn several(mut errors: Vec<Error>) -> Error {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        let kind = errors.first().expect("an error is made of at least one").kind();
        Error::build(kind, Detail::Several(errors))
    }

    /// Says which type was expected.
    #[must_use]
    pub fn with_type(mut self, name: &'static str) -> Error {
        self.facts_mut().value_type = Some(name);
        self
    }

    /// Says what was given.
    #[must_use]
    pub fn with_given(mut self, given: impl Into<String>) -> Error {
        self.facts_mut().given = Some(given.into());
        self
    }

    /// Says what a reference pointed at.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Error {
        self.facts_mut().target = Some(target.into());
        self
    }

    /// Says which records it is about.
    #[must_use]
    pub fn with_records(mut self, records: Vec<RecordId>) -> Error {
        self.facts_mut().records = records;
        self
    }

    /// Says which limit was passed, and by what.
    #[must_use]
    pub fn with_limit(mut self, max: u64, given: u64) -> Error {
        self.facts_mut().limit = Some((max, given));
        self
    }

    /// Says which of a batch's mutations it is about, unless that is said already.
    #[must_use]
    pub fn at_position(mut self, position: usize) -> Error {
        self.0.position.get_or_insert(position);
        self
    }

    /// Says that it happened inside the value of an attribute.
    #[must_use]
    pub fn within(mut self, attribute: &str) -> Error {
        if let Detail::Several(errors) = &mut self.0.detail {
            let inner = std::mem::take(errors);
            *errors = inner.into_iter().map(|error| error.within(attribute)).collect();
            return self;
        }
        let path = self.path().map_or_else(|| attribute.to_string(), |path| format!("{attribute}.{path}"));
        self.facts_mut().path = Some(path);
        self
    }

    /// An error with a sentence of its own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::build(kind, Detail::Text(message.into()))
    }

    /// Text that cannot be read as what it should be.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, message)
    }

    /// Something is wrong with one attribute's value.
    pub fn attribute(
        kind: ErrorKind,
        object: impl Into<String>,
        attribute: impl Into<String>,
        reason: impl Into<String>,
    ) -> Error {
        let (object, attribute, reason) = (object.into(), attribute.into(), reason.into());
        Error::build(kind, Detail::Attribute { object, attribute, reason })
    }

    /// Records stand in the way of a change.
    pub fn in_the_way(kind: ErrorKind, text: String, records: Vec<RecordId>) -> Error {
        Error::build(kind, Detail::Records { text, records })
    }

    /// Another record holds the key.
    #[must_use]
    pub fn unique(conflict: Conflict) -> Error {
        Error::build(ErrorKind::UniqueConflict, Detail::Conflict(conflict))
    }

    /// The record has another version than the caller expected.
    #[must_use]
    pub fn version(record: RecordId, expected: u64, current: u64) -> Error {
        Error::build(ErrorKind::PreconditionFailed, Detail::Version { record, expected, current })
    }

    /// The record's values are not those that the caller wanted it to have.
    pub fn condition(object: &str, record: RecordId, current: u64) -> Error {
        let detail = Detail::Condition { object: object.to_string(), record, current };
        Error::build(ErrorKind::PreconditionFailed, detail).with_records(vec![record])
    }

    /// Bytes in `file` at `offset` are not what was written.
    #[must_use]
    pub fn corrupt(file: impl Into<String>, offset: u64, reason: impl Into<String>) -> Error {
        vellum_bytes::Error::corrupt(file, offset, reason).into()
    }

    /// A call to the operating system failed; a full disk, a missing right and a lock that is held have their own
    /// kinds.
    #[must_use]
    pub fn io(doing: impl Into<String>, file: impl Into<String>, source: std::io::Error) -> Error {
        vellum_bytes::Error::io(doing, file, source).into()
    }

    /// The error as storage reports it, for rooms that know bytes alone: stored bytes that are no value, or no
    /// schema, are damage there.
    #[must_use]
    pub fn into_storage(self) -> vellum_bytes::Error {
        match self.0.detail {
            Detail::Storage(error) => error,
            _ => vellum_bytes::Error::corrupt("", 0, self.to_string()),
        }
    }

    /// Changes the storage error that this one wraps; another one stays as it is.
    #[must_use]
    pub fn map_storage(mut self, change: impl FnOnce(vellum_bytes::Error) -> vellum_bytes::Error) -> Error {
        match self.0.detail {
            Detail::Storage(error) => {
                let error = change(error);
                self.0.kind = error.kind().into();
                self.0.detail = Detail::Storage(error);
                self
            }
            _ => self,
        }
    }

    /// What went wrong, for programs.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error whose kind, and so whose data, this one shows: where several are told, the first.
    fn shown(&self) -> &Error {
        self.all().first().unwrap_or(self)
    }

    /// The conflict behind [`ErrorKind::UniqueConflict`].
    #[must_use]
    pub fn conflict(&self) -> Option<&Conflict> {
        match &self.shown().0.detail {
            Detail::Conflict(conflict) => Some(conflict),
            _ => None,
        }
    }

    /// The place behind [`ErrorKind::Corrupt`].
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match &self.0.detail {
            Detail::Storage(error) => error.place(),
            _ => None,
        }
    }

    /// Object and attribute that an error about a value speaks of.
    #[must_use]
    pub fn attribute_path(&self) -> Option<(&str, &str)> {
        match &self.0.detail {
            Detail::Attribute { object, attribute, .. } => Some((object, attribute)),
            _ => None,
        }
    }

    /// Every error of a mutation that was judged as a whole; one that is alone is this one.
    #[must_use]
    pub fn all(&self) -> &[Error] {
        match &self.0.detail {
            Detail::Several(errors) => errors,
            _ => std::slice::from_ref(self),
        }
    }

    /// Where in the mutation: an attribute, or a way through nested mutations, as `carrier.name`.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        if let Some(path) = self.facts().and_then(|facts| facts.path.as_ref()) {
            return Some(path.clone());
        }
        match &self.0.detail {
            Detail::Attribute { attribute, .. } => Some(attribute.clone()),
            Detail::Conflict(conflict) => Some(conflict.attributes.join("+")),
            Detail::Several(errors) => errors.first().and_then(Error::path),
            _ => None,
        }
    }

    /// Why a value was refused, without the names before it.
    #[must_use]
    pub fn reason(&self) -> String {
        match &self.0.detail {
            Detail::Attribute { reason, .. } => reason.clone(),
            _ => self.to_string(),
        }
    }

    /// The type that a value should have had.
    #[must_use]
    pub fn value_type(&self) -> Option<&'static str> {
        self.shown().facts().and_then(|facts| facts.value_type)
    }

    /// What was given, as text: an unknown option, a value that does not fit.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        self.shown().facts().and_then(|facts| facts.given.as_deref())
    }

    /// What a reference pointed at.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.shown().facts().and_then(|facts| facts.target.as_deref())
    }

    /// The records that it is about: those that match, those that refer to the one that should go, those in
    /// the way of a change of the schema (some of them, where they are many).
    #[must_use]
    pub fn records(&self) -> &[RecordId] {
        match &self.0.detail {
            Detail::Records { records, .. } => records,
            _ => self.shown().facts().map_or(&[], |facts| &facts.records),
        }
    }

    /// The limit that was passed, and the size or count that passed it.
    #[must_use]
    pub fn limit(&self) -> Option<(u64, u64)> {
        self.shown().facts().and_then(|facts| facts.limit)
    }

    /// Which mutation of a batch it is about, counted from 0.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// The version that the record has, behind [`ErrorKind::PreconditionFailed`].
    #[must_use]
    pub fn current_version(&self) -> Option<u64> {
        match &self.shown().0.detail {
            Detail::Version { current, .. } | Detail::Condition { current, .. } => Some(*current),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.detail {
            Detail::Text(text) | Detail::Records { text, .. } => f.write_str(text),
            Detail::Attribute { object, attribute, reason } => write!(f, "{object}.{attribute}: {reason}"),
            Detail::Several(errors) => {
                for (place, error) in errors.iter().enumerate() {
                    write!(f, "{}{error}", if place == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Detail::Condition { object, record, current } => {
                write!(f, "{object}: record {record} at version {current} does not meet the condition")
            }
            Detail::Conflict(c) => {
                write!(f, "{}.{}: ", c.object, c.attributes.join("+"))?;
                write!(
                    f,
                    "key ({}) is held by record {} at version {}",
                    c.key.join(", "),
                    c.record,
                    c.version
                )
            }
            Detail::Version { record, expected, current } => {
                write!(
                    f,
                    "record {record} is at version {current}, not {expected}; read it again and decide anew"
                )
            }
            Detail::Storage(error) => error.fmt(f),
        }
    }
}

impl From<vellum_bytes::Error> for Error {
    #[cold]
    fn from(error: vellum_bytes::Error) -> Error {
        Error::build(error.kind().into(), Detail::Storage(error))
    }
}

impl From<vellum_bytes::ErrorKind> for ErrorKind {
    fn from(kind: vellum_bytes::ErrorKind) -> ErrorKind {
        use vellum_bytes::ErrorKind as S;
        match kind {
            S::LimitExceeded => ErrorKind::LimitExceeded,
            S::InvalidInput => ErrorKind::InvalidInput,
            S::NotAStore => ErrorKind::NotAStore,
            S::AlreadyExists => ErrorKind::AlreadyExists,
            S::UnknownFormat => ErrorKind::UnknownFormat,
            S::Locked => ErrorKind::Locked,
            S::ReadOnly => ErrorKind::ReadOnly,
            S::DiskFull => ErrorKind::DiskFull,
            S::Corrupt => ErrorKind::Corrupt,
            S::Poisoned => ErrorKind::Poisoned,
            S::Closed => ErrorKind::Closed,
            S::Busy => ErrorKind::Busy,
            S::NestedWrite => ErrorKind::NestedWrite,
            _ => ErrorKind::Io,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.detail {
            Detail::Storage(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}
