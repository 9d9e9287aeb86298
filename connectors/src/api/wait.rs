//! Wait levels: how far a write is to have come before it is answered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a message has come on its way through the house. Later levels include the earlier ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitLevel {
    /// Durable in the log.
    #[default]
    Stored,
    /// Its vector is recorded.
    Embedded,
    /// Every projection that recall asks has applied it.
    Indexed,
}

impl WaitLevel {
    /// All levels, from the first that is reached to the last.
    pub const ALL: [WaitLevel; 3] = [WaitLevel::Stored, WaitLevel::Embedded, WaitLevel::Indexed];

    /// The name in URLs and answers.
    pub const fn name(self) -> &'static str {
        match self {
            WaitLevel::Stored => "stored",
            WaitLevel::Embedded => "embedded",
            WaitLevel::Indexed => "indexed",
        }
    }
}

impl fmt::Display for WaitLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no wait level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no wait level \"{0}\"; levels are stored, embedded, indexed")]
pub struct UnknownWaitLevel(pub String);

impl FromStr for WaitLevel {
    type Err = UnknownWaitLevel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        WaitLevel::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| UnknownWaitLevel(name.to_owned()))
    }
}
