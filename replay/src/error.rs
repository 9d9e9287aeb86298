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
    /// There is no version to go back to.
    #[error(
        "no earlier version of the projection {0} is kept; one is kept from a rebuild to the next, until it is dropped"
    )]
    NothingKept(String),
    /// The version cannot be dropped.
    #[error("{version} of the projection {name} cannot be dropped: {cause}")]
    NotDropped {
        /// The projection.
        name: String,
        /// The view.
        version: String,
        /// Why.
        cause: &'static str,
    },
    /// Another process keeps these views.
    #[error("the views in {} are kept by another process; stop it, or choose another data directory", .0.display())]
    InUse(PathBuf),
    /// The work broke off; the view that served before still serves.
    #[error("the work on the projection {0} broke off; this is a bug in Meshlog, its log on standard error says where")]
    Broken(&'static str),
    /// It was asked to end.
    #[error("it was cancelled")]
    Cancelled,
    /// It was asked to pause.
    #[error("it was paused")]
    Paused,
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
