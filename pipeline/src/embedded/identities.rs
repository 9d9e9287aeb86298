//! Identities: which events that are stored once are on the log already, and where.
//!
//! Owns: the newest ones in memory, and the index of the older ones (fjall, in `identities/`). The index is a store like
//! any other: what it says is said by the records, and an index that is missing, damaged or behind is made again from them.
//! Never: is needed to read the log.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use meshlog_schemas::{EventId, Partition, Position, Topic};
use uuid::Uuid;

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
    index: Option<Index>,
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
        Self { recent: Mutex::default(), flushing: Mutex::default(), index: None }
    }

    /// With the index in `path`. The flag says whether it holds everything before `journal`; if not, it is empty, and
    /// must be filled from the records.
    pub(super) fn open(path: &Path, log: Uuid, journal: u64) -> Result<(Self, bool), String> {
        let opened = Index::open(path, log);
        let is_complete = opened.as_ref().is_ok_and(|index| index.journal().is_some_and(|known| known >= journal));
        let index = match opened {
            Ok(index) if is_complete => index,
            other => {
                if let Err(cause) = other {
                    tracing::warn!(cause, "the index of identities cannot be used and is made again from the records");
                }
                remove(path)?;
                Index::open(path, log)?
            }
        };
        Ok((Self { recent: Mutex::default(), flushing: Mutex::default(), index: Some(index) }, is_complete))
    }

    /// Whether there is an index to be kept up to date.
    pub(super) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// Where the record with this identity stands.
    pub(super) fn find(&self, topic: Topic, id: EventId) -> Result<Option<Position>, String> {
        if let Some(position) = lock(&self.recent).get(&(topic, id)) {
            return Ok(Some(*position));
        }
        if let Some(position) = lock(&self.flushing).get(&(topic, id)) {
            return Ok(Some(*position));
        }
        self.index.as_ref().map_or(Ok(None), |index| index.find(topic, id))
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

    /// Writes what the flush was begun with to the index, durably: it then holds everything before `journal`.
    pub(super) fn flush(&self, journal: u64) -> Result<(), String> {
        let Some(index) = &self.index else { return Ok(()) };
        let flushing = lock(&self.flushing).clone();
        index.write(&flushing, journal)?;
        *lock(&self.flushing) = Arc::default();
        Ok(())
    }
}

impl Index {
    fn open(path: &Path, log: Uuid) -> Result<Self, String> {
        let failed = |error: fjall::Error| format!("{}: {error}", path.display());
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

    /// The journal before which it holds everything; `None` where it is new, or the index of another log.
    fn journal(&self) -> Option<u64> {
        let state = self.entries.get(STATE_KEY).ok()??;
        let (log, journal) = state.split_at_checked(16)?;
        (log == self.log.as_bytes()).then_some(u64::from_le_bytes(journal.try_into().ok()?))
    }

    fn find(&self, topic: Topic, id: EventId) -> Result<Option<Position>, String> {
        let stored =
            self.entries.get(key(topic, id)).map_err(|error| format!("reading an identity failed: {error}"))?;
        let Some(stored) = stored else { return Ok(None) };
        let damaged = || "a stored identity is damaged".to_owned();
        let (partition, offset) = stored.split_first_chunk::<4>().ok_or_else(damaged)?;
        let offset = offset.try_into().map_err(|_| damaged())?;
        let partition = Partition { topic, id: u32::from_le_bytes(*partition) };
        Ok(Some(Position { partition, offset: u64::from_le_bytes(offset) }))
    }

    fn write(&self, known: &Known, journal: u64) -> Result<(), String> {
        let failed = |error: fjall::Error| format!("writing identities failed: {error}");
        let entries: Vec<_> = known.iter().collect();
        for chunk in entries.chunks(CHUNK) {
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

fn key(topic: Topic, id: EventId) -> Vec<u8> {
    [id.0.as_bytes(), topic.name().as_bytes()].concat()
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the index stands within the log's directory.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("identities")
}
