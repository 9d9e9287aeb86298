//! Spoken times: which periods a message speaks of.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// A time that a message speaks of, resolved against the time at which it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpokenTime {
    /// The words, as they stand in the text.
    pub text: String,
    /// When the period begins.
    pub start: Timestamp,
    /// When the period ends: the first moment behind it.
    pub end: Timestamp,
    /// How exactly the time was told: `minute`, `hour`, `daypart`, `day`, `weekend`, `week`, `month`, `quarter`, `season`,
    /// `year`, `decade` or `century`.
    pub grain: String,
    /// How what is said relates to the period: `within` it; `since` the named time up to the message; `until` the end of the named
    /// time; `before` the period; `after` it.
    pub bound: String,
}
