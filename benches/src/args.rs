//! Arguments of the form `--name value`, and a file or two without a name.

use crate::Result;
use std::path::PathBuf;
use vellum::Durability;

/// The arguments of this process.
#[derive(Debug)]
pub struct Args {
    named: Vec<(String, String)>,
    files: Vec<PathBuf>,
}

impl Args {
    /// Reads the process's arguments; `known` are the names that it takes, each with a value.
    ///
    /// # Errors
    /// An unknown name, or one without a value.
    pub fn from_env(known: &[&str]) -> Result<Args> {
        let mut args = Args { named: Vec::new(), files: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None => args.files.push(word.into()),
                Some(name) if known.contains(&name) => {
                    let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
                    args.named.push((name.to_string(), value));
                }
                Some(name) => {
                    return Err(format!("--{name} is no option; there are --{}", known.join(", --")).into());
                }
            }
        }
        Ok(args)
    }

    /// The value of a name; the last one counts.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number, with `_` or `,` between digits if it helps.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str, default: u64) -> Result<u64> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let digits = text.replace(['_', ','], "");
        digits.parse().map_err(|_| format!("--{name} {text} is no number").into())
    }

    /// The directory to work in: `--dir`, or the system's temporary one.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.text("dir").map_or_else(std::env::temp_dir, PathBuf::from)
    }

    /// `--durability`: sync, interval:MS or buffered, which is the default here.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn durability(&self) -> Result<Durability> {
        match self.text("durability").unwrap_or("buffered") {
            "sync" => Ok(Durability::Sync),
            "buffered" => Ok(Durability::Buffered),
            other => match other.strip_prefix("interval:").map(str::parse) {
                Some(Ok(ms)) => Ok(Durability::Interval(ms)),
                _ => Err(format!("{other:?} is none of sync, interval:MS, buffered").into()),
            },
        }
    }

    /// All words without a name.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The first file that was named.
    ///
    /// # Errors
    /// When there is none; `what` says what it should be.
    pub fn file(&self, what: &str) -> Result<&PathBuf> {
        self.files.first().ok_or_else(|| format!("name {what}").into())
    }
}
