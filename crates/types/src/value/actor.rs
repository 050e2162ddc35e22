//! Who did something, or whom a value names: a kind and an id.
//!
//! # Cell form
//!
//! | part | size | meaning                                       |
//! |------|-----:|-----------------------------------------------|
//! | kind |    1 | 1 user, 2 api_token, 3 system, 4 app          |
//! | id   |    n | UTF-8, at most 255 bytes; empty for `system`  |

use crate::error::{Error, Result};
use crate::value::excerpt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most bytes of an actor's id.
pub const ACTOR_ID_LEN_MAX: usize = 255;

/// What kind of actor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActorKind {
    /// A person.
    User,
    /// A program with a token of its own.
    ApiToken,
    /// The system itself.
    System,
    /// An application that acts for somebody.
    App,
}

/// Someone who changes records, or whom a record names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// What kind.
    pub kind: ActorKind,
    /// Which one, in the caller's own numbering; empty where the kind says all.
    pub id: String,
}

impl ActorKind {
    /// Every kind, in the order of the cell form.
    pub const ALL: [ActorKind; 4] = [ActorKind::User, ActorKind::ApiToken, ActorKind::System, ActorKind::App];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::ApiToken => "api_token",
            ActorKind::System => "system",
            ActorKind::App => "app",
        }
    }
}

impl Actor {
    /// The actor of this kind with this id.
    #[must_use]
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Actor {
        Actor { kind, id: id.into() }
    }

    /// Reads `kind:id`, or a bare id, which is a user's; the reason when it is neither.
    pub fn read(text: &str) -> Result<Actor, String> {
        let (kind, id) = text.split_once(':').unwrap_or(("user", text));
        let actor = match ActorKind::ALL.into_iter().find(|known| known.name() == kind) {
            Some(kind) => Actor::new(kind, id),
            // An id may have a colon of its own.
            None => Actor::new(ActorKind::User, text),
        };
        actor.check().map(|()| actor)
    }

    /// Why this names nobody.
    pub fn check(&self) -> Result<(), String> {
        let len = self.id.len();
        if len > ACTOR_ID_LEN_MAX {
            return Err(format!("an actor's id has at most {ACTOR_ID_LEN_MAX} bytes, this one {len}"));
        }
        if self.id.chars().any(char::is_control) {
            return Err(format!("the actor's id {} has a control character", excerpt(&self.id)));
        }
        if self.id.is_empty() && self.kind != ActorKind::System {
            return Err(format!("an actor of kind {} needs an id", self.kind.name()));
        }
        Ok(())
    }

    /// Appends the cell.
    pub fn append_cell(&self, out: &mut Vec<u8>) {
        let kind = ActorKind::ALL.iter().position(|kind| *kind == self.kind).expect("ALL has every kind");
        out.push(kind as u8 + 1);
        out.extend_from_slice(self.id.as_bytes());
    }

    /// The actor of a cell; the reason when the bytes are none.
    pub fn of_cell(cell: &[u8]) -> Result<Actor, String> {
        let (kind, id) = cell.split_first().ok_or("an actor has no kind")?;
        let known = ActorKind::ALL.get(usize::from(*kind).wrapping_sub(1));
        let kind = *known.ok_or_else(|| format!("{kind} is no kind of actor"))?;
        let id = std::str::from_utf8(id).map_err(|error| format!("an actor's id is not UTF-8: {error}"))?;
        let actor = Actor::new(kind, id);
        actor.check().map(|()| actor)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.id)
    }
}

impl FromStr for Actor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Actor> {
        Actor::read(text).map_err(Error::invalid_input)
    }
}
