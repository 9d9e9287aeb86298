//! The identity index: where the records stand that are stored once, on disk (fjall), for engines that keep one beside their
//! records.
//!
//! Owns: the entries, and a state by which an engine tells how far they go.
//! Never: is the truth. What it says is said by the records, from which it can be made again.

use std::{io, path::Path};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use meshlog_schemas::{EventId, Partition, Position, Topic};

use crate::{reopen::fjall_io_error, unsealed::wait_for_sealing};

const STATE_KEY: &[u8] = b"state";
/// How many entries are written at once.
const CHUNK: usize = 10_000;

/// An index in a directory of its own.
pub(crate) struct IdentityIndex {
    database: Database,
    entries: Keyspace,
}

impl IdentityIndex {
    /// Opens the index in `path`, or makes an empty one.
    ///
    /// # Errors
    /// It is damaged, another process has it, or the disk is full.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let failed = |error| named(&path.display().to_string(), fjall_io_error(error));
        let database = Database::builder(path)
            .cache_size(8 * 1024 * 1024)
            .max_journaling_size(64 * 1024 * 1024)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let entries = database
            .keyspace("entries", || KeyspaceCreateOptions::default().max_memtable_size(8 * 1024 * 1024))
            .map_err(failed)?;
        Ok(Self { database, entries })
    }

    /// What was written last with entries; `None` if nothing was.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn state(&self) -> io::Result<Option<Vec<u8>>> {
        let state = self.entries.get(STATE_KEY).map_err(|error| named("reading the state", fjall_io_error(error)))?;
        Ok(state.map(|state| state.to_vec()))
    }

    /// Where the record with this identity stands.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn find(&self, topic: Topic, id: EventId) -> io::Result<Option<Position>> {
        let stored = self
            .entries
            .get(key(topic, id))
            .map_err(|error| named("reading an identity failed", fjall_io_error(error)))?;
        let Some(stored) = stored else { return Ok(None) };
        let damaged = || io::Error::other("a stored identity is damaged");
        let (partition, offset) = stored.split_first_chunk::<4>().ok_or_else(damaged)?;
        let offset = offset.try_into().map_err(|_| damaged())?;
        let partition = Partition { topic, id: u32::from_le_bytes(*partition) };
        Ok(Some(Position { partition, offset: u64::from_le_bytes(offset) }))
    }

    /// Writes entries, then `state`, durably. After a failure some of the entries may be there, never the state without
    /// them.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(
        &self,
        entries: impl Iterator<Item = (Topic, EventId, Position)>,
        state: &[u8],
    ) -> io::Result<()> {
        let failed = |error| named("writing identities failed", fjall_io_error(error));
        let mut entries = entries.peekable();
        while entries.peek().is_some() {
            wait_for_sealing([&self.entries]);
            let mut batch = self.database.batch();
            for (topic, id, position) in entries.by_ref().take(CHUNK) {
                let value = [&position.partition.id.to_le_bytes()[..], &position.offset.to_le_bytes()].concat();
                batch.insert(&self.entries, key(topic, id), value);
            }
            batch.commit().map_err(failed)?;
        }
        self.entries.insert(STATE_KEY, state).map_err(failed)?;
        self.database.persist(PersistMode::SyncAll).map_err(failed)
    }
}

/// Removes an index, so that it is made again.
///
/// # Errors
/// Its directory cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// The error, with what failed.
pub(crate) fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn key(topic: Topic, id: EventId) -> Vec<u8> {
    [id.0.as_bytes(), topic.name().as_bytes()].concat()
}
