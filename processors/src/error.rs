//! What can go wrong in a store.

use std::path::PathBuf;

/// A store could not be opened, read or written. The store itself is disposable: the log holds everything it held.
#[derive(Debug, thiserror::Error)]
#[error("the {store} store at {} failed to {action}: {cause}", path.display())]
pub struct StoreError {
    /// The store's name: `threads`, `text`, `vectors`, `graph`, `summaries` or `calls`.
    pub store: &'static str,
    /// Its directory.
    pub path: PathBuf,
    /// What was being done, as a verb phrase.
    pub action: &'static str,
    /// What the storage library answered.
    pub cause: String,
}
