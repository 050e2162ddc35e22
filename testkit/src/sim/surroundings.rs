//! What other programs do to the directory of an open store, and to the path that leads to it.
//!
//! A path that leads elsewhere changes nothing: the store goes on where it was, and the store that is at its path
//! now is left alone. A directory or file that was deleted or replaced stops the store before it reports another
//! commit durable; what was reported before is there once the files are back.

use super::clients::Checked;
use super::life::Life;
use crate::compare::ensure;
use std::collections::BTreeMap;
use vellum::{Durability, Schema};
use vellum_admin::verify_on;
use vellum_sim::Rng;
use vellum_sim::{MemDisk, Taken};

/// Stores that came to stand at a path while another one was open.
#[derive(Default)]
pub(super) struct Others(Vec<(MemDisk, BTreeMap<String, Vec<u8>>)>);

impl Others {
    /// They are as they were, and sound.
    pub(super) fn check(&self) -> Checked {
        for (disk, files) in &self.0 {
            ensure!(disk.files() == *files, "a store at the path of another one was changed");
            let report = verify_on(std::sync::Arc::new(disk.clone())).map_err(|error| error.to_string())?;
            ensure!(report.is_clean(), "a store at the path of another one: {report:?}");
        }
        Ok(())
    }
}

const SCHEMA: &str = r#"{"objects":[{"key":"other","attributes":[{"key":"number","type":"integer"}]}]}"#;

impl Life {
    /// One of these events, by seed.
    pub(super) fn surround(&mut self) -> Checked {
        if self.disk.is_dead() || self.clients().stopped || self.clients().faulty {
            return Ok(());
        }
        let (what, taken) = match self.rng.below(8) {
            0 => return self.rename_directory(),
            1 => {
                self.disk.unlink("lock");
                self.count("lock file deleted");
                return Ok(());
            }
            2 => ("directory deleted", self.disk.take_directory()),
            3 => ("superblock deleted", self.disk.take_files("superblock")),
            4 => ("log file deleted", self.disk.take_files("log-")),
            5 => ("superblock replaced", self.replace("superblock")?),
            6 => ("log file replaced", self.replace("log-")?),
            _ => ("superblock overwritten", self.overwrite()?),
        };
        self.stops(what)?;
        self.disk.bring_back(taken);
        self.count(what);
        Ok(())
    }

    fn other_store(&mut self) -> Result<MemDisk, String> {
        let disk = MemDisk::seeded(self.rng.draw(), vellum_sim::FileSystem::default());
        let schema = Schema::from_json(SCHEMA).map_err(|error| error.to_string())?;
        let made = self.config().create_on(std::sync::Arc::new(disk.clone()), &schema);
        made.and_then(|store| {
            store.object("other")?.create(vellum::record! { "number" => 1 })?;
            store.close()
        })
        .map_err(|error| error.to_string())?;
        Ok(disk)
    }

    fn rename_directory(&mut self) -> Checked {
        let other = self.other_store()?;
        self.path.lead_to(other.clone());
        self.others.0.push((other.clone(), other.files()));
        self.count("directory renamed");
        Ok(())
    }

    /// Files of another store in place of these.
    fn replace(&mut self, prefix: &str) -> Result<Taken, String> {
        let other = self.other_store()?.files();
        let taken = self.disk.take_files(prefix);
        let content = other.into_iter().find(|(name, _)| name.starts_with(prefix));
        let content = content.map(|(_, content)| content).ok_or("another store without such a file")?;
        for name in taken.names() {
            self.disk.edit(name, |bytes| bytes.clone_from(&content));
        }
        Ok(taken)
    }

    /// Another store's superblock, written over this one's: the same file, and not this store's any more.
    fn overwrite(&mut self) -> Result<Taken, String> {
        let other = self.other_store()?.files();
        let taken = self.disk.copy_away("superblock");
        self.disk.overwrite("superblock", &other["superblock"]);
        Ok(taken)
    }

    /// No commit is reported durable from here on, and the store stops.
    fn stops(&mut self, what: &str) -> Checked {
        let store = {
            let mut clients = self.clients();
            clients.faulty = true;
            clients.store()
        };
        let before = store.durable_lsn();
        self.clients().note_durable();
        for _ in 0..Rng::new(self.rng.draw()).below(3) {
            self.clients().commit(false)?;
        }
        let waiting: Vec<_> = self.clients().waiting.drain(..).collect();
        for commit in waiting {
            let result = commit.wait_for(Durability::Sync);
            ensure!(result.is_err() || commit.lsn() <= before, "{what}, and {} is durable", commit.lsn());
        }
        let checkpoint = store.checkpoint();
        ensure!(checkpoint.is_err(), "{what}, and a checkpoint was taken");
        ensure!(store.health().poisoned.is_some(), "{what}, and the store goes on");
        let after = store.durable_lsn();
        ensure!(after == before, "{what}: lsn {before} was durable before, {after} is now");
        self.clients().stopped = true;
        Ok(())
    }
}
