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

use meshlog_schemas::{EventId, Position, Topic};
use uuid::Uuid;

use super::disk::is_full;
use crate::{
    identity_index::{IdentityIndex, named, remove},
    lock::lock,
    reopen::{Closed, Reopenable},
};

/// Identities and the positions of their records.
pub(super) type Known = HashMap<(Topic, EventId), Position>;

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
    entries: IdentityIndex,
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
        index.read(|index| index.entries.find(topic, id)).map_err(closed)?
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
        Ok(Self { entries: IdentityIndex::open(path)?, log })
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
        let state = self.entries.state().ok()??;
        let (log, journal) = state.split_at_checked(16)?;
        (log == self.log.as_bytes()).then_some(u64::from_le_bytes(journal.try_into().ok()?))
    }

    fn write(&self, known: &Known, journal: u64) -> io::Result<()> {
        let entries = known.iter().map(|((topic, id), position)| (*topic, *id, *position));
        self.entries.write(entries, &[&self.log.as_bytes()[..], &journal.to_le_bytes()].concat())
    }
}

fn closed(closed: Closed) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, format!("the index of identities: {closed}"))
}

/// Where the index stands within the log's directory.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("identities")
}
