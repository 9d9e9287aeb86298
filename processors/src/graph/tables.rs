//! The tables of the store.
//!
//! ```text
//! messages    message id                                             -> MessageRow as JSON
//! threads     space | thread | message id                            -> nothing
//! authors     space | author | message id                            -> nothing
//! entities    space | entity id                                      -> EntityRow as JSON
//! names       space | later word? | most first | words | 0 | id      -> kind
//! timeline    entity id | sent_at | message or correction id         -> 0 or 1
//! pairs       entity id | entity id, the smaller first               -> messages that mention both
//! together    the same | sent_at | message id                        -> nothing
//! ranked      entity id | most first | other entity's id             -> the other's kind
//! facts       space | fact id                                        -> FactRow as JSON
//! statements  subject's id | relation | said_at | fact id            -> Edge
//! fact_lists  list's id | newest first | fact id                     -> Listed
//! corrections space | fact id                                        -> nothing
//! insights    space | insight id                                     -> Insight as JSON
//! pinned      space, or space | thread | newest first | insight id   -> nothing
//! links       space | entity id                                      -> LinkRow as JSON
//! forgotten   space | what                                           -> see `forgetting`
//! counts      space                                                  -> Counts as JSON
//! meta        "checkpoints"                                          -> Checkpoints as text
//! ```
//!
//! Names in keys have their length before them; ids are 16 bytes, hashed of the space and more (see `id`).
//!
//! Owns: the keyspaces, and what of them is held in memory: merges, and what is forgotten.
//! Never: outlives a failed write; they are opened again then (see `database`).

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use fjall::Readable;
use meshlog_schemas::{Checkpoints, Digest};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{
    change::Change,
    forgetting,
    links::Links,
    pending::Pending,
    row::{LinkRow, MessageRow},
    snapshot::Snapshot,
};
use crate::{
    Forgotten, StoreError,
    database::{self, Keyspace, Keyspaces},
};

/// Questions about a node that is named often look at hundreds of rows all over the tables.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// More threads than this wait for one another.
const MOST_SEARCHERS: usize = 4;

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Messages,
    Threads,
    Authors,
    Entities,
    Names,
    Timeline,
    Pairs,
    Together,
    Ranked,
    Facts,
    Statements,
    FactLists,
    Corrections,
    Insights,
    Pinned,
    Links,
    Forgotten,
    Counts,
}

/// All tables with their names, in the order of the enum.
const TABLES: [(Table, &str); 18] = [
    (Table::Messages, "messages"),
    (Table::Threads, "threads"),
    (Table::Authors, "authors"),
    (Table::Entities, "entities"),
    (Table::Names, "names"),
    (Table::Timeline, "timeline"),
    (Table::Pairs, "pairs"),
    (Table::Together, "together"),
    (Table::Ranked, "ranked"),
    (Table::Facts, "facts"),
    (Table::Statements, "statements"),
    (Table::FactLists, "fact_lists"),
    (Table::Corrections, "corrections"),
    (Table::Insights, "insights"),
    (Table::Pinned, "pinned"),
    (Table::Links, "links"),
    (Table::Forgotten, "forgotten"),
    (Table::Counts, "counts"),
];

/// An open database with its keyspaces.
pub(super) struct Tables {
    keyspaces: Keyspaces,
    /// In the order of [`TABLES`].
    tables: Vec<Keyspace>,
    /// What looks rows up that lie far from each other, for one question.
    pub(super) searchers: ThreadPool,
    /// Merges as they are stored. Replaced while a batch that changes them is committed.
    links: RwLock<Arc<Links>>,
    /// Only for who writes.
    forgotten: Mutex<Forgotten>,
}

impl database::Tables for Tables {
    const STORE: &'static str = "graph";

    fn open(path: &Path, gather: Option<usize>) -> io::Result<Self> {
        let keyspaces = Keyspaces::open(Self::STORE, path, CACHE_BYTES, gather)?;
        let tables = TABLES.iter().map(|(_, name)| keyspaces.keyspace(name)).collect::<io::Result<_>>()?;
        let empty = (RwLock::default(), Mutex::default());
        let searchers = ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads().min(MOST_SEARCHERS))
            .thread_name(|number| format!("graph-{number}"))
            .build()
            .map_err(io::Error::other)?;
        let this = Self { keyspaces, tables, searchers, links: empty.0, forgotten: empty.1 };
        this.load().map_err(io::Error::other)?;
        Ok(this)
    }

    fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

impl Tables {
    /// Takes in changes and moves the checkpoints.
    pub(super) fn apply(&self, changes: &[Change], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        let mut pending = Pending::new(self);
        changes.iter().try_for_each(|change| pending.take(change))?;
        pending.commit(checkpoints)
    }

    /// One moment of all tables and merges.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot { tables: self, snapshot: self.keyspaces.snapshot(), links: Arc::clone(&links) }
    }

    /// Commits a batch of rows; `None` removes one. New links are seen from the same moment on as the rows.
    pub(super) fn commit(
        &self,
        rows: impl IntoIterator<Item = ((Table, Vec<u8>), Option<Vec<u8>>)>,
        links: Option<Links>,
        checkpoints: &Checkpoints,
    ) -> Result<(), StoreError> {
        let mut batch = self.keyspaces.batch(&self.tables);
        for ((table, key), value) in rows {
            match value {
                Some(value) => batch.insert(self.table(table), key, value),
                None => batch.remove(self.table(table), key),
            }
        }
        let Some(links) = links else { return self.keyspaces.commit(batch, checkpoints) };
        let mut shown = self.links.write().unwrap_or_else(PoisonError::into_inner);
        self.keyspaces.commit(batch, checkpoints)?;
        *shown = Arc::new(links);
        Ok(())
    }

    /// The merges as they are stored.
    pub(super) fn links(&self) -> Arc<Links> {
        Arc::clone(&self.links.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is forgotten. It may be ahead of what is stored while a batch is made; if that fails, all is opened again.
    pub(super) fn forgotten(&self) -> MutexGuard<'_, Forgotten> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }

    pub(super) fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }

    pub(super) fn error(&self, action: &'static str, cause: impl std::fmt::Display) -> StoreError {
        self.keyspaces.error(action, cause)
    }

    /// A digest of everything, but for the times at which messages were taken in. `fixed` is called once it is decided what is in it; `is_awaited` says that
    /// it has to end.
    pub(super) fn digest(&self, fixed: &dyn Fn(), is_awaited: impl Fn() -> bool) -> Result<Digest, StoreError> {
        let action = "compute its digest";
        let mut digest = Digest::default();
        let snapshot = self.keyspaces.snapshot();
        fixed();
        for (table, name) in TABLES {
            for entry in snapshot.iter(self.table(table)) {
                if is_awaited() {
                    return Err(self.error(action, "it has to be opened again after a failed write; try again"));
                }
                let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
                // Not when a message was taken in, nor when a stage came to merge names.
                let value = match table {
                    Table::Messages => {
                        let mut row: MessageRow = self.keyspaces.read_json(&value)?;
                        row.readings.values_mut().for_each(|reading| reading.facets.accepted_at = 0);
                        self.keyspaces.to_json(&row)?
                    }
                    Table::Links => {
                        let row: LinkRow = self.keyspaces.read_json(&value)?;
                        self.keyspaces.to_json(&LinkRow { at: 0, ..row })?
                    }
                    _ => value.to_vec(),
                };
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    fn load(&self) -> Result<(), StoreError> {
        let action = "read what is merged and forgotten";
        let mut links = Links::default();
        for entry in self.table(Table::Links).range(..) {
            let (_, value) = entry.map_err(|cause| self.error(action, cause))?;
            links.set(&self.keyspaces.read_json(&value)?);
        }
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(links);
        let mut forgotten = self.forgotten();
        for entry in self.table(Table::Forgotten).range(..) {
            let (key, value) = entry.map_err(|cause| self.error(action, cause))?;
            let stored = forgetting::of_row(&key, &value).map_err(|cause| self.error(action, cause))?;
            stored.inspect(|forgetting| _ = forgotten.add(forgetting));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_where_they_are_looked_for() {
        assert!(TABLES.iter().enumerate().all(|(place, (table, _))| *table as usize == place));
    }
}
