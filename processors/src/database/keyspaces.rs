//! The keyspaces of a store: opened together, changed together with the checkpoints.
//!
//! Owns: how a database is opened, its `meta` keyspace with the checkpoints, rows as JSON, and errors that name the store.
//! Never: outlives a failed write; `reopening` then opens it again.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Snapshot, config::PartitioningPolicy,
};
use meshlog_pipeline::{fjall_io_error, start_in_background, wait_for_sealing};
use meshlog_schemas::Checkpoints;
use serde::{Deserialize, Serialize};

use crate::StoreError;

const CHECKPOINTS: &str = "checkpoints";
/// The cache of a store of which most questions ask for what was written last.
pub(crate) const SMALL_CACHE: u64 = 16 * 1024 * 1024;

/// An open database.
pub(crate) struct Keyspaces {
    store: &'static str,
    path: PathBuf,
    database: Database,
    meta: Keyspace,
}

impl Keyspaces {
    /// Opens the database of a store in `path`, or makes a new one there. It holds so many bytes of blocks that were read.
    pub(crate) fn open(store: &'static str, path: &Path, cache_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let builder =
            Database::builder(path).cache_size(cache_bytes).max_journaling_size(64 * 1024 * 1024).worker_threads(1);
        let database = start_in_background(|| builder.open())?.map_err(fjall_io_error)?;
        let meta = keyspace(&database, "meta")?;
        Ok(Self { store, path: path.to_owned(), database, meta })
    }

    /// Opens a keyspace, or makes a new one.
    pub(crate) fn keyspace(&self, name: &str) -> io::Result<Keyspace> {
        keyspace(&self.database, name)
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
    pub(crate) fn batch<'a>(&'a self, keyspaces: impl IntoIterator<Item = &'a Keyspace>) -> OwnedWriteBatch {
        wait_for_sealing(keyspaces.into_iter().chain([&self.meta]));
        self.database.batch().durability(Some(PersistMode::Buffer))
    }

    /// Commits a batch and moves the checkpoints, atomically.
    pub(crate) fn commit(&self, mut batch: OwnedWriteBatch, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        batch.insert(&self.meta, CHECKPOINTS, checkpoints.to_text());
        batch.commit().map_err(|cause| self.error("commit", cause))
    }

    /// One moment for all keyspaces: a batch is in it whole or not at all.
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
}

fn keyspace(database: &Database, name: &str) -> io::Result<Keyspace> {
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
