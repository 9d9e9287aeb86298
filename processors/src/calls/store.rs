//! The store itself: what it is asked. What becomes of its tables when a write fails, see `database`.

use std::path::Path;

use meshlog_schemas::{Checkpoints, Digest};
use uuid::Uuid;

use super::{
    keys::{self, List},
    row::{CallChange, CallRow},
    tables::Tables,
    usage::{Usage, UsageQuery},
};
use crate::{Micros, Page, PageLimit, StoreError, database::Reopening};

/// Which calls. An absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallSelection {
    /// Of this space.
    pub space: String,
    /// Only of this thread.
    pub thread: Option<String>,
    /// Only in this state: [`OPEN`](super::OPEN), or an outcome.
    pub state: Option<String>,
}

/// Calls and their usage in a directory.
pub struct CallStore {
    tables: Reopening<Tables>,
}

impl CallStore {
    /// Opens the store in `path`, or makes a new one there.
    ///
    /// # Errors
    /// The directory cannot be used, or what is in it is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// As [`Self::open`]; with `memory` to be filled: until [`Self::settle`] it may hold about so many bytes of rows, and queries do not
    /// see all of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { tables: Reopening::open(path, memory)? })
    }

    /// Ends the filling: writes what is gathered. From then on each batch is written when it comes.
    ///
    /// # Errors
    /// It could not be written; [`Self::checkpoints`] then says where to go on from.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.tables.settle()
    }

    /// How far the data reflects the log.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        self.tables.checkpoints()
    }

    /// Takes in changes and moves the checkpoints, atomically. A change that was taken in already changes nothing; a call is
    /// counted once, when it ends. After a failure the tables are opened again first, if there is space.
    ///
    /// # Errors
    /// The store cannot be read or written; nothing has changed then, but that it may have come back at another batch than the
    /// last, so that it is to be gone on from its checkpoints.
    pub fn apply(&self, changes: &[CallChange], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.tables.apply(|tables| tables.apply(changes, checkpoints))
    }

    /// A call.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn call(&self, id: Uuid) -> Result<Option<CallRow>, StoreError> {
        self.tables.read("read a row", |tables| tables.call(id))
    }

    /// Calls, the newest first by the time of their request, then by their id; from `cursor` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn calls(
        &self,
        selection: &CallSelection,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<CallRow>, StoreError> {
        self.tables.read("list calls", |tables| tables.calls(selection, limit, cursor))
    }

    /// What calls used that have ended; `None` if that were more groups than `most_groups`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, query: &UsageQuery, most_groups: usize) -> Result<Option<Usage>, StoreError> {
        self.tables.read("sum up usage", |tables| tables.usage(query, most_groups))
    }

    /// The cursor from which a list goes on with this call. Cursors order as the list does, in every store alike, so that
    /// lists of several stores can be merged.
    pub fn cursor_of(selection: &CallSelection, requested_at: Micros, id: Uuid) -> Vec<u8> {
        keys::placed(List::of(selection).1, requested_at, id)
    }

    /// Whether a cursor was given out by this list.
    pub fn is_cursor_of(selection: &CallSelection, cursor: &[u8]) -> bool {
        keys::is_placed(&List::of(selection).1, cursor)
    }

    /// A digest of all calls, lists and sums.
    ///
    /// # Errors
    /// The store cannot be read, or has to be opened again after a failed write.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.digest_telling(&|| ())
    }

    /// As there; `fixed` is called once what is digested is fixed.
    ///
    /// # Errors
    /// As there.
    pub fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, StoreError> {
        self.tables.read("compute its digest", |tables| tables.digest(fixed, || self.tables.is_awaited()))
    }
}
