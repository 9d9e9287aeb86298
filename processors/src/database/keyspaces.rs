//! The keyspaces of a store: opened together, changed together with the checkpoints.
//!
//! Owns: how a database is opened, its `meta` keyspace with the checkpoints, how what is gathered is written, rows as JSON, and errors
//! that name the store.
//! Promises: a store that was cut off while gathered rows were written is empty when it is opened again; the log fills it.
//! Never: outlives a failed write; `reopening` then opens it again.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use fjall::{Database, KeyspaceCreateOptions, PersistMode, Snapshot, config::PartitioningPolicy};
use meshlog_pipeline::{fjall_io_error, start_in_background, wait_for_sealing};
use meshlog_schemas::Checkpoints;
use serde::{Deserialize, Serialize};

use super::{Batch, Keyspace, filling::Filling, gathered::Gathered};
use crate::StoreError;

const CHECKPOINTS: &str = "checkpoints";
/// In `meta` while gathered rows are written, which is not one step.
const FILLING: &str = "filling";
/// The cache of a store of which most questions ask for what was written last.
pub(crate) const SMALL_CACHE: u64 = 16 * 1024 * 1024;

/// An open database.
pub(crate) struct Keyspaces {
    store: &'static str,
    path: PathBuf,
    database: Database,
    meta: Keyspace,
    /// Those that were opened, `meta` first: the place of each is its number.
    opened: Mutex<Vec<fjall::Keyspace>>,
    filling: Arc<Filling>,
}

impl Keyspaces {
    /// Opens the database of a store in `path`, or makes a new one there. It holds so many bytes of blocks that were read. With `gather`
    /// it is to be filled and may hold about so many bytes of rows, until [`Keyspaces::settle`].
    pub(crate) fn open(store: &'static str, path: &Path, cache_bytes: u64, gather: Option<usize>) -> io::Result<Self> {
        let mut database = open(path, cache_bytes)?;
        let mut meta = keyspace(&database, "meta")?;
        if meta.contains_key(FILLING).map_err(fjall_io_error)? {
            drop((meta, database));
            std::fs::remove_dir_all(path)?;
            database = open(path, cache_bytes)?;
            meta = keyspace(&database, "meta")?;
        }
        let filling = Arc::new(Filling::new(gather));
        let opened = Mutex::new(vec![meta.clone()]);
        let meta = Keyspace::new(meta, 0, filling.clone());
        Ok(Self { store, path: path.to_owned(), database, meta, opened, filling })
    }

    /// Opens a keyspace, or makes a new one. Each is opened once.
    pub(crate) fn keyspace(&self, name: &str) -> io::Result<Keyspace> {
        let stored = keyspace(&self.database, name)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push(stored.clone());
        Ok(Keyspace::new(stored, opened.len() - 1, self.filling.clone()))
    }

    /// How far the data reflects the log.
    pub(crate) fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        let action = "read its checkpoints";
        let Some(text) = self.meta.get(CHECKPOINTS).map_err(|cause| self.error(action, cause))? else {
            return Ok(Checkpoints::default());
        };
        let checkpoints = std::str::from_utf8(&text).ok().and_then(Checkpoints::from_text);
        checkpoints.ok_or_else(|| self.error(action, "they are damaged"))
    }

    /// Begins a batch for these keyspaces. Waits while too much of them is in memory alone.
    pub(crate) fn batch<'a>(&'a self, keyspaces: impl IntoIterator<Item = &'a Keyspace>) -> Batch {
        if self.filling.is_on() {
            return Batch::Gathered(Vec::new());
        }
        wait_for_sealing(keyspaces.into_iter().chain([&self.meta]).map(AsRef::as_ref));
        Batch::Written(self.database.batch().durability(Some(PersistMode::Buffer)))
    }

    /// Commits a batch and moves the checkpoints, atomically. While the store is filled they may be gathered only: then they are lost,
    /// together, with whatever ends the process.
    pub(crate) fn commit(&self, mut batch: Batch, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        batch.insert(&self.meta, CHECKPOINTS, checkpoints.to_text());
        match batch {
            Batch::Written(batch) => batch.commit().map_err(|cause| self.error("commit", cause)),
            Batch::Gathered(changes) => {
                let Some(mut gathered) = self.filling.gathered() else {
                    return Err(self.error("commit", "the batch was begun before the store was settled; this is a bug"));
                };
                for (number, key, change) in changes {
                    gathered.put(number, key, change);
                }
                if gathered.bytes() < self.filling.memory {
                    return Ok(());
                }
                self.write(&mut gathered).map_err(|cause| self.error("write what it gathered", cause))
            }
        }
    }

    /// Writes what is gathered; from then on each batch is written when it comes. Nothing happens if the store is not filled.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let Some(mut gathered) = self.filling.gathered() else { return Ok(()) };
        self.write(&mut gathered).map_err(|cause| self.error("write what it gathered", cause))?;
        self.filling.end();
        Ok(())
    }

    /// One moment for all keyspaces: a batch is in it whole or not at all. What is gathered is not.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// A row.
    pub(crate) fn get_json<T: for<'a> Deserialize<'a>>(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = keyspace.get(key).map_err(|cause| self.error("read a row", cause))?;
        value.map(|bytes| self.read_json(&bytes)).transpose()
    }

    /// A row, from its bytes.
    pub(crate) fn read_json<T: for<'a> Deserialize<'a>>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(|cause| self.error("read a row", cause))
    }

    /// A row's bytes.
    pub(crate) fn to_json(&self, row: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(row).map_err(|cause| self.error("write a row", cause))
    }

    /// The store failed at something.
    pub(crate) fn error(&self, action: &'static str, cause: impl Display) -> StoreError {
        StoreError { store: self.store, path: self.path.clone(), action, cause: cause.to_string() }
    }

    /// From now on, until the mark is removed, whoever opens the store begins with an empty one.
    pub(super) fn mark_filling(&self) -> fjall::Result<()> {
        self.meta.as_ref().insert(FILLING, [])?;
        self.database.persist(PersistMode::SyncAll)
    }

    /// Writes what is gathered, keyspace by keyspace, each durably. A mark tells meanwhile that this is not over.
    fn write(&self, gathered: &mut Gathered) -> fjall::Result<()> {
        let mut keyspaces = gathered.take().into_iter();
        let meta = keyspaces.next().unwrap_or_default();
        self.mark_filling()?;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for (keyspace, changes) in opened.iter().skip(1).zip(keyspaces) {
            if changes.is_empty() {
                continue;
            }
            let mut ingestion = keyspace.start_ingestion()?;
            for (key, change) in changes {
                match change {
                    Some(value) => ingestion.write(key, value)?,
                    None => ingestion.write_tombstone(key)?,
                }
            }
            ingestion.finish()?;
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, change) in meta {
            match change {
                Some(value) => batch.insert(self.meta.as_ref(), key, value),
                None => batch.remove(self.meta.as_ref(), key),
            }
        }
        batch.remove(self.meta.as_ref(), FILLING);
        batch.commit()
    }
}

fn open(path: &Path, cache_bytes: u64) -> io::Result<Database> {
    std::fs::create_dir_all(path)?;
    let builder =
        Database::builder(path).cache_size(cache_bytes).max_journaling_size(64 * 1024 * 1024).worker_threads(1);
    start_in_background(|| builder.open())?.map_err(fjall_io_error)
}

fn keyspace(database: &Database, name: &str) -> io::Result<fjall::Keyspace> {
    let options = || {
        // A filter or an index is read in pieces: whole ones, of megabytes, would drive each other out of a small cache, and
        // every look at a row would read them again.
        KeyspaceCreateOptions::default()
            .max_memtable_size(4 * 1024 * 1024)
            .filter_block_partitioning_policy(PartitioningPolicy::all(true))
            .index_block_partitioning_policy(PartitioningPolicy::all(true))
    };
    database.keyspace(name, options).map_err(fjall_io_error)
}
