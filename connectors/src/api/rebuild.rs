//! Rebuilds: a projection made anew from the log while the old version serves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckpointView;

/// Asks for a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildRequest {
    /// The projection's name.
    #[schema(min_length = 1, max_length = 512)]
    pub projection: String,
}

/// The rebuilds since the server was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RebuildsView {
    /// Every rebuild, the newest first.
    pub rebuilds: Vec<RebuildView>,
}

/// One rebuild.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RebuildView {
    /// The rebuild's id.
    pub id: String,
    /// The projection's name.
    pub projection: String,
    /// What it is doing, such as `catching_up`, `switching`, `done`, `cancelled` or `failed`.
    pub phase: String,
    /// How many events have been applied.
    pub done: u64,
    /// How many there are to apply, as far as is known now.
    pub total: u64,
    /// Events a second, lately.
    pub rate: f64,
    /// Seconds left at this rate, when that can be said.
    #[schema(required)]
    pub eta_seconds: Option<f64>,
    /// Where the log began, for partitions of which retention had taken events away: the new view does not hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_from: Vec<CheckpointView>,
    /// What went wrong, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
