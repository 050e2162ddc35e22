//! Lines as a new store.

use super::history::{Past, is_entry};
use super::read::{self, End};
use crate::import::{self, Identity, StoreBuilder};
use crate::verify::verify_on;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use vellum::internal::Random;
use vellum_bytes::Crc32;
use vellum_disk::{Disk, OsDisk};
use vellum_engine::Lsn;
use vellum_types::{Error, ErrorKind, Result};

/// Longest line: ten of the largest values (16 MiB), and half as much again for escapes.
const LINE_LEN_MAX: u64 = 256 << 20;

/// What a load made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LoadReport {
    /// Records in the new store.
    pub record_count: u64,
    /// Its newest commit.
    pub lsn: Lsn,
}

/// Lines that are read, counted and summed.
struct Lines<'r> {
    input: &'r mut dyn BufRead,
    line: Vec<u8>,
    crc: Crc32,
    count: u64,
}

impl Lines<'_> {
    /// The next line without its end; `None` behind the last. What was read before is in the sum.
    fn next(&mut self) -> Result<Option<&str>> {
        self.crc.add(&self.line);
        self.line.clear();
        let read = (&mut *self.input).take(LINE_LEN_MAX).read_until(b'\n', &mut self.line);
        if read.map_err(|error| Error::io("reading", "the dump", error))? == 0 {
            return Ok(None);
        }
        self.count += 1;
        let Some(line) = self.line.strip_suffix(b"\n") else {
            return Err(Error::invalid_input("the line has no end: the dump was cut, or is none"));
        };
        let text = std::str::from_utf8(line);
        text.map(Some).map_err(|error| Error::invalid_input(format!("the line is not UTF-8: {error}")))
    }
}

/// Makes a store of a dump, in a directory that does not exist or is empty. It is verified before this
/// returns; after an error or a crash there is no store.
///
/// ```no_run
/// let mut dump = std::io::stdin().lock();
/// let report = vellum_admin::load(&mut dump, "crm.vellum")?;
/// println!("{} records", report.record_count);
/// # Ok::<(), vellum::Error>(())
/// ```
///
/// # Errors
/// `AlreadyExists`; `UnknownFormat` for a dump of a later format; `InvalidInput`, with the line, for a
/// file that is no dump, was cut or changed; what the disk says.
pub fn load(input: &mut dyn BufRead, into: impl AsRef<Path>) -> Result<LoadReport> {
    load_on(input, Arc::new(OsDisk::new(into.as_ref())))
}

/// [`load`] on another disk.
///
/// # Errors
/// As [`load`].
#[doc(hidden)]
pub fn load_on(input: &mut dyn BufRead, into: Arc<dyn Disk>) -> Result<LoadReport> {
    let mut lines = Lines { input, line: Vec::new(), crc: Crc32::new(), count: 0 };
    let head = lines
        .next()
        .and_then(|line| read::head(line.ok_or_else(|| Error::invalid_input("the dump is empty"))?));
    let head = head.map_err(|error| at_line(1, &error))?;
    let random = Random::new(None);
    let identity = Identity { store_id: random.draw_id(), lsn: Lsn(head.lsn), commit_time: head.commit_time };
    let mut build = StoreBuilder::begin(into.clone(), &identity, Some(&head.schema))?;
    if let Err(error) = fill(&mut build, &head.schema, &mut lines) {
        build.abandon();
        return Err(at_line(lines.count, &error));
    }
    let record_count = build.record_count();
    let lsn = build.finish(random.draw() as u32).inspect_err(|_| import::clear(&*into))?;
    let verified = verify_on(into.clone()).inspect_err(|_| import::clear(&*into))?;
    if let Some(finding) = verified.findings.first() {
        import::clear(&*into);
        let message = format!("the new store does not verify, and was removed: {finding}");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    import::settle(&*into);
    Ok(LoadReport { record_count, lsn })
}

fn fill(build: &mut StoreBuilder, schema: &vellum::Schema, lines: &mut Lines<'_>) -> Result<()> {
    let mut past = Past::default();
    loop {
        let before = lines.count;
        let Some(line) = lines.next()? else {
            return Err(Error::invalid_input("the dump ends without its last line: it was cut"));
        };
        match read::end(line) {
            None if is_entry(line) => past.add(build, schema, line)?,
            None => {
                let record = read::record(build, &mut past, schema, line)?;
                build.add(&record)?;
            }
            Some(end) => {
                let (end, sum) = (end?, lines.crc.sum());
                check_end(&end, before, sum)?;
                for (name, counter) in &end.counters {
                    build.raise_counter(schema.object(name)?.id(), *counter)?;
                }
                return match lines.next()? {
                    None => Ok(()),
                    Some(_) => Err(Error::invalid_input("there is something behind the dump's last line")),
                };
            }
        }
    }
}

fn check_end(end: &End, lines: u64, sum: u32) -> Result<()> {
    if end.lines != lines {
        return Err(Error::invalid_input(format!(
            "the dump had {} lines before this one, {lines} are left",
            end.lines
        )));
    }
    if end.crc32 != format!("{sum:08x}") {
        let message = format!("the dump was changed: its checksum is {}, computed {sum:08x}", end.crc32);
        return Err(Error::invalid_input(message));
    }
    Ok(())
}

#[cold]
fn at_line(line: u64, error: &Error) -> Error {
    match error.kind() {
        // These carry more than a sentence, or are about the new store.
        kind if !kind.is_refusal() || error.conflict().is_some() => error.clone(),
        kind => Error::new(kind, format!("dump line {line}: {error}")),
    }
}
