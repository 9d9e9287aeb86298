//! Identities: which events that are stored once are on the log already, and where.
//!
//! Owns: the newest ones in memory, and the index of the older ones (fjall, in `identities/`). The index is a store like
//! any other: what it says is said by the records, and an index that is missing, damaged or behind is made again from them when
//! the log is opened.
//! Never: is needed to read the log; forgets what was not flushed, so that an index whose flush failed is behind, not wrong.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use meshlog_schemas::{EventId, Partition, Position, Topic};
use uuid::Uuid;

use super::disk::is_full;
use crate::{
    lock::lock,
    reopen::{Closed, Reopenable, fjall_io_error},
    unsealed::wait_for_sealing,
};

/// Identities and the positions of their records.
pub(super) type Known = HashMap<(Topic, EventId), Position>;

const STATE_KEY: &[u8] = b"state";
/// How many entries are written at once.
const CHUNK: usize = 10_000;

/// The identities of a log.
pub(super) struct Identities {
    /// Since the last flush. Only the writer changes it.
    recent: Mutex<Known>,
    /// Being written to the index.
    flushing: Mutex<Arc<Known>>,
    index: Option<Reopenable<Index>>,
    /// The journal before which the index holds everything.
    flushed: Arc<AtomicU64>,
}

struct Index {
    database: Database,
    entries: Keyspace,
    log: Uuid,
}

impl Identities {
    /// All in memory, read from the log at every start.
    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        Self { recent: Mutex::default(), flushing: Mutex::default(), index: None, flushed: Arc::default() }
    }

    /// With the index in `path`. The flag says whether it holds everything before `journal`; if not, it is empty, and
    /// must be filled from the records.
    pub(super) fn open(path: &Path, log: Uuid, journal: u64) -> Result<(Self, bool), String> {
        let opened = Index::open(path, log);
        let is_complete = opened.as_ref().is_ok_and(|index| index.reaches(journal));
        let index = match opened {
            Ok(index) if is_complete => index,
            // There is nothing wrong with it.
            Err(cause) if is_full(&cause) => return Err(cause.to_string()),
            other => {
                if let Err(cause) = other {
                    tracing::warn!(%cause, "the index of identities cannot be used and is made again from the records");
                }
                remove(path)?;
                Index::open(path, log).map_err(|error| error.to_string())?
            }
        };
        let flushed = Arc::new(AtomicU64::new(if is_complete { journal } else { 0 }));
        let index = Reopenable::new(path, index, {
            let (path, flushed) = (path.to_owned(), flushed.clone());
            move || Index::open_again(&path, log, flushed.load(Ordering::Acquire))
        });
        let (recent, flushing) = (Mutex::default(), Mutex::default());
        Ok((Self { recent, flushing, index: Some(index), flushed }, is_complete))
    }

    /// Whether there is an index to be kept up to date.
    pub(super) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// Where the record with this identity stands. While the index cannot be read, which is so at most until there is space
    /// again, the disk counts as full.
    pub(super) fn find(&self, topic: Topic, id: EventId) -> io::Result<Option<Position>> {
        if let Some(position) = lock(&self.recent).get(&(topic, id)) {
            return Ok(Some(*position));
        }
        if let Some(position) = lock(&self.flushing).get(&(topic, id)) {
            return Ok(Some(*position));
        }
        let Some(index) = &self.index else { return Ok(None) };
        index.read(|index| index.find(topic, id)).map_err(closed)?
    }

    /// Takes in the identities of records that were committed.
    pub(super) fn add(&self, known: impl IntoIterator<Item = ((Topic, EventId), Position)>) {
        lock(&self.recent).extend(known);
    }

    /// Begins a flush: what is known now is to be written by [`Identities::flush`].
    pub(super) fn begin_flush(&self) {
        if self.index.is_some() {
            let mut flushing = lock(&self.flushing);
            let mut recent = lock(&self.recent);
            if flushing.is_empty() {
                *flushing = Arc::new(std::mem::take(&mut *recent));
            } else {
                // The last flush failed: both are written by the next.
                let mut all = (**flushing).clone();
                all.extend(recent.drain());
                *flushing = Arc::new(all);
            }
        }
    }

    /// Writes what the flush was begun with to the index, durably: it then holds everything before `journal`. After a failure
    /// it may be called again; the index is then opened again first.
    pub(super) fn flush(&self, journal: u64) -> io::Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let written = lock(&self.flushing).clone();
        index.recover()?;
        index.write(|index| index.write(&written, journal)).map_err(closed)??;
        self.flushed.store(journal, Ordering::Release);
        let mut flushing = lock(&self.flushing);
        // If a flush was begun meanwhile, it holds more than was written.
        if Arc::ptr_eq(&flushing, &written) {
            *flushing = Arc::default();
        }
        Ok(())
    }

    /// Whether the last flush failed.
    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.index.as_ref().is_some_and(Reopenable::has_failed)
    }
}

impl Index {
    fn open(path: &Path, log: Uuid) -> io::Result<Self> {
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
        Ok(Self { database, entries, log })
    }

    /// Opens it below a log at work. What is found lost or damaged is not made again here: that takes a reading of all records,
    /// which the next start does.
    fn open_again(path: &Path, log: Uuid, journal: u64) -> io::Result<Self> {
        let index = Self::open(path, log).map_err(|error| {
            named("opened again (if it is damaged, a restart has it made again from the records)", error)
        })?;
        if !index.reaches(journal) {
            let cause = "entries are missing; after a restart the index is made again from the records";
            return Err(io::Error::other(format!("{}: {cause}", path.display())));
        }
        Ok(index)
    }

    /// Whether it holds everything before `journal`.
    fn reaches(&self, journal: u64) -> bool {
        self.journal().is_some_and(|known| known >= journal)
    }

    /// The journal before which it holds everything; `None` where it is new, or the index of another log.
    fn journal(&self) -> Option<u64> {
        let state = self.entries.get(STATE_KEY).ok()??;
        let (log, journal) = state.split_at_checked(16)?;
        (log == self.log.as_bytes()).then_some(u64::from_le_bytes(journal.try_into().ok()?))
    }

    fn find(&self, topic: Topic, id: EventId) -> io::Result<Option<Position>> {
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

    fn write(&self, known: &Known, journal: u64) -> io::Result<()> {
        let failed = |error| named("writing identities failed", fjall_io_error(error));
        let entries: Vec<_> = known.iter().collect();
        for chunk in entries.chunks(CHUNK) {
            wait_for_sealing([&self.entries]);
            let mut batch = self.database.batch();
            for ((topic, id), position) in chunk {
                let value = [&position.partition.id.to_le_bytes()[..], &position.offset.to_le_bytes()].concat();
                batch.insert(&self.entries, key(*topic, *id), value);
            }
            batch.commit().map_err(failed)?;
        }
        let state = [&self.log.as_bytes()[..], &journal.to_le_bytes()].concat();
        self.entries.insert(STATE_KEY, state).map_err(failed)?;
        self.database.persist(PersistMode::SyncAll).map_err(failed)
    }
}

fn closed(closed: Closed) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, format!("the index of identities: {closed}"))
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn key(topic: Topic, id: EventId) -> Vec<u8> {
    [id.0.as_bytes(), topic.name().as_bytes()].concat()
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Where the index stands within the log's directory.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("identities")
}
