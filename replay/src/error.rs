//! What can go wrong with views.

use std::path::PathBuf;

use meshlog_pipeline::{LogError, ProjectionError};

/// A view could not be kept, rebuilt or verified. The log is untouched by any of these.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no projection of this name.
    #[error("there is no projection \"{name}\"; projections are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The projection is being rebuilt or verified already.
    #[error("the projection {0} is being rebuilt or verified already; wait for it or cancel it")]
    Busy(String),
    /// The work broke off; the view that served before still serves.
    #[error("the work on the projection {0} broke off; this is a bug in Meshlog, its log on standard error says where")]
    Broken(&'static str),
    /// It was asked to end.
    #[error("it was cancelled")]
    Cancelled,
    /// A directory of views cannot be used.
    #[error("{} cannot be {action}: {cause}", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What was being done, as a participle.
        action: &'static str,
        /// What the system answered.
        cause: std::io::Error,
    },
    /// A store failed.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}
