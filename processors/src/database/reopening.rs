//! Tables that are opened again after a failed write, in place, once there is space.
//!
//! Owns: that queries go on beside the one who writes, and that who writes goes on from the checkpoints that the tables came
//! back with. Commits are not fsynced: after a loss of power the whole store may stand at an earlier batch, from which the
//! log brings it forward.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use meshlog_pipeline::Reopenable;
use meshlog_schemas::Checkpoints;

use super::Keyspaces;
use crate::StoreError;

/// The tables of a store in one database.
pub(crate) trait Tables: Sized + Send + Sync + 'static {
    /// The store's name.
    const STORE: &'static str;

    /// Opens them in a directory, or makes new ones there. With `gather` they are to be filled, and may hold about so many bytes of rows
    /// until [`Keyspaces::settle`].
    fn open(path: &Path, gather: Option<usize>) -> io::Result<Self>;

    /// The database that they are in.
    fn keyspaces(&self) -> &Keyspaces;
}

/// Tables in a directory.
pub(crate) struct Reopening<T> {
    path: PathBuf,
    tables: Reopenable<T>,
}

impl<T: Tables> Reopening<T> {
    /// Opens the tables in `path`, or makes new ones there. With `gather` they are to be filled, see [`Tables::open`].
    pub(crate) fn open(path: &Path, gather: Option<usize>) -> Result<Self, StoreError> {
        let tables = T::open(path, gather).map_err(|cause| error::<T>(path, "open", &cause))?;
        let path = path.to_owned();
        let again = path.clone();
        Ok(Self { tables: Reopenable::new(&path, tables, move || T::open(&again, None)), path })
    }

    /// How far the data reflects the log.
    pub(crate) fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        // Without checkpoints nothing is applied, so nothing else would open what could not be opened again.
        if self.tables.is_closed() {
            self.recover()?;
        }
        self.stored_checkpoints()
    }

    /// Reads.
    ///
    /// # Errors
    /// What `read` says, or that the tables could not be opened again, as a failure of `action`.
    pub(crate) fn read<R>(
        &self,
        action: &'static str,
        read: impl FnOnce(&T) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.tables.read(read).unwrap_or_else(|closed| Err(error::<T>(&self.path, action, &closed)))
    }

    /// Writes a batch. After a failure the tables are opened again first, if there is space.
    ///
    /// # Errors
    /// Nothing has changed then, but that the tables may have come back at another batch than the last, so that they are to
    /// be gone on with from their checkpoints.
    pub(crate) fn apply(&self, apply: impl FnOnce(&T) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if self.tables.has_failed() {
            let before = self.stored_checkpoints().ok();
            self.recover()?;
            if before != Some(self.checkpoints()?) {
                let cause = "it was opened again, and is to be gone on with from its checkpoints";
                return Err(error::<T>(&self.path, "take the batch", &cause));
            }
        }
        self.tables.write(apply).unwrap_or_else(|closed| Err(error::<T>(&self.path, "commit", &closed)))
    }

    /// Writes what is gathered; see [`Keyspaces::settle`].
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.apply(|tables| tables.keyspaces().settle())
    }

    /// Whether they wait to be opened again for a read to end: a long one should break off.
    pub(crate) fn is_awaited(&self) -> bool {
        self.tables.is_awaited()
    }

    fn stored_checkpoints(&self) -> Result<Checkpoints, StoreError> {
        self.read("read its checkpoints", |tables| tables.keyspaces().checkpoints())
    }

    fn recover(&self) -> Result<(), StoreError> {
        self.tables.recover().map_err(|cause| error::<T>(&self.path, "go on after a failed write", &cause))
    }
}

fn error<T: Tables>(path: &Path, action: &'static str, cause: &dyn Display) -> StoreError {
    StoreError { store: T::STORE, path: path.to_owned(), action, cause: cause.to_string() }
}

#[cfg(test)]
impl<T: Tables> Reopening<T> {
    /// As after a write that failed.
    pub(crate) fn fail(&self) {
        self.tables.write(|_| Err::<(), _>("a full disk")).unwrap().unwrap_err();
    }
}
