//! Why the house cannot be opened or served.

use std::net::SocketAddr;

use meshlog_pipeline::{LogError, PublishError};
use meshlog_processors::embedding::ModelError;
use meshlog_replay::{ReplayError, migrate::MigrateError};

/// The house cannot be opened or served.
#[derive(Debug)]
pub(crate) enum HouseError {
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system answered.
        cause: std::io::Error,
    },
    /// The log failed.
    Log(LogError),
    /// The log did not take an event.
    Publish(PublishError),
    /// The embedding model cannot be used.
    Model(ModelError),
    /// A view failed.
    Replay(ReplayError),
    /// A query node cannot be asked.
    Query(String),
    /// Models cannot be called as configured.
    Calls(String),
    /// A log could not be migrated.
    Migrate(MigrateError),
    /// The partitions cannot be shared out like this.
    Share(String),
    /// The system refused something the server needs.
    System(std::io::Error),
}

impl HouseError {
    /// What to do about it, where the error itself does not say.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            HouseError::Listen { cause, .. } if cause.kind() == std::io::ErrorKind::AddrInUse => {
                Some("another program listens there; stop it, or choose another address with --listen".to_owned())
            }
            HouseError::Listen { .. } => Some("choose another address with --listen".to_owned()),
            HouseError::Log(_)
            | HouseError::Publish(_)
            | HouseError::Model(_)
            | HouseError::Replay(_)
            | HouseError::Query(_)
            | HouseError::Migrate(_)
            | HouseError::Share(_) => None,
            HouseError::Calls(_) => Some("correct meshlog.toml; docs/gateway.md shows a whole one".to_owned()),
            HouseError::System(_) => Some("see the system's limits on threads and open files".to_owned()),
        }
    }
}

impl std::fmt::Display for HouseError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HouseError::Listen { address, cause } => write!(formatter, "cannot listen on {address}: {cause}"),
            HouseError::Log(error) => error.fmt(formatter),
            HouseError::Publish(error) => error.fmt(formatter),
            HouseError::Model(error) => error.fmt(formatter),
            HouseError::Replay(error) => error.fmt(formatter),
            HouseError::Query(error) | HouseError::Calls(error) | HouseError::Share(error) => error.fmt(formatter),
            HouseError::Migrate(error) => error.fmt(formatter),
            HouseError::System(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for HouseError {}

impl From<LogError> for HouseError {
    fn from(error: LogError) -> Self {
        HouseError::Log(error)
    }
}

impl From<PublishError> for HouseError {
    fn from(error: PublishError) -> Self {
        HouseError::Publish(error)
    }
}

impl From<ModelError> for HouseError {
    fn from(error: ModelError) -> Self {
        HouseError::Model(error)
    }
}

impl From<ReplayError> for HouseError {
    fn from(error: ReplayError) -> Self {
        HouseError::Replay(error)
    }
}

impl From<MigrateError> for HouseError {
    fn from(error: MigrateError) -> Self {
        HouseError::Migrate(error)
    }
}
