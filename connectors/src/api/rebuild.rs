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
    /// Go back to the version that served before instead: it is brought up to date and switched in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
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
    /// What it is for: `rebuild`, `upgrade` (the program makes another version than the one that serves) or `rollback`.
    #[serde(default)]
    #[schema(required)]
    pub purpose: String,
    /// What it is doing, such as `waiting`, `catching_up`, `verifying`, `switching`, `done`, `paused`, `cancelled` or `failed`.
    pub phase: String,
    /// The version that it fills, once it has begun.
    #[serde(default)]
    #[schema(required)]
    pub version: Option<String>,
    /// How many events have been applied.
    pub done: u64,
    /// How many of them were there when it began: what was paused or cut off goes on where it was.
    #[serde(default)]
    #[schema(required)]
    pub resumed_from: u64,
    /// How many there are to apply, as far as is known now.
    pub total: u64,
    /// Events a second over the last ten; once it has ended, on average.
    pub rate: f64,
    /// Seconds left at this rate, when that can be said.
    #[schema(required)]
    pub eta_seconds: Option<f64>,
    /// How long it has been at work, in seconds.
    #[serde(default)]
    #[schema(required)]
    pub seconds: f64,
    /// Whether the new version was found equal to the one that it replaced; absent where they were not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equal: Option<bool>,
    /// Where the log began, for partitions of which retention had taken events away: the new view does not hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_from: Vec<CheckpointView>,
    /// What went wrong, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
