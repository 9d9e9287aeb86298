//! Causes: what went wrong inside the store, before the store's path and the attempted action are added.

use std::{fmt, io, path::Path};

use crate::StoreError;

/// The operator's way out of any damage: the log holds everything the store held.
const REMEDY: &str = "delete the directory, and it is rebuilt from the log";

/// Why an action on the store failed, in words.
#[derive(Debug)]
pub(super) struct Cause(String);

impl Cause {
    /// What was given, or what is stored, does not fit.
    pub(super) fn refused(reason: String) -> Self {
        Self(reason)
    }

    /// What is stored can only be replaced.
    pub(super) fn unusable(reason: String) -> Self {
        Self(format!("{reason}; {REMEDY}"))
    }

    /// What is stored cannot have been written by this code.
    pub(super) fn damaged(finding: String) -> Self {
        Self::unusable(format!("the data is damaged: {finding}"))
    }

    /// Adds where it happened and what was being done.
    pub(super) fn during(self, action: &'static str, directory: &Path) -> StoreError {
        StoreError { store: "vectors", path: directory.to_owned(), action, cause: self.0 }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<heed::Error> for Cause {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(
                heed::MdbError::Corrupted
                | heed::MdbError::Invalid
                | heed::MdbError::PageNotFound
                | heed::MdbError::VersionMismatch,
            ) => Self::damaged(error.to_string()),
            heed::Error::Mdb(heed::MdbError::MapFull) => {
                Self::refused(format!("{error}: raise the largest size of the data file"))
            }
            _ => Self(error.to_string()),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
