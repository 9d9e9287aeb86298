//! A batch: changes of several keyspaces that are made together or not at all.
//!
//! Invariant: nobody sees a change before the batch is committed, not even who made it.

use fjall::{OwnedWriteBatch, Slice};

use super::{Keyspace, gathered::Change};

/// Changes that are not made yet.
pub(crate) enum Batch {
    /// To be written.
    Written(OwnedWriteBatch),
    /// To be gathered: the number of the keyspace, the key, the change.
    Gathered(Vec<(usize, Slice, Change)>),
}

impl Batch {
    /// Puts a row.
    pub(crate) fn insert(&mut self, keyspace: &Keyspace, key: impl Into<Slice>, value: impl Into<Slice>) {
        match self {
            Self::Written(batch) => batch.insert(keyspace.as_ref(), key, value),
            Self::Gathered(changes) => changes.push((keyspace.number(), key.into(), Some(value.into()))),
        }
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, keyspace: &Keyspace, key: impl Into<Slice>) {
        match self {
            Self::Written(batch) => batch.remove(keyspace.as_ref(), key),
            Self::Gathered(changes) => changes.push((keyspace.number(), key.into(), None)),
        }
    }
}
