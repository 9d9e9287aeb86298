//! Projections: the stores that answer queries, and how far each has come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The projections that serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectionsView {
    /// Every projection.
    pub projections: Vec<ProjectionView>,
}

/// One projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectionView {
    /// Its name.
    pub name: String,
    /// The view version that serves.
    pub version: String,
    /// Whether this program makes another version than that: then one is built beside it, or somebody went back to it.
    #[serde(default)]
    #[schema(required)]
    pub outdated: bool,
    /// Every version that is there, the one that serves first.
    #[serde(default)]
    #[schema(required)]
    pub versions: Vec<VersionView>,
    /// What it is doing, such as `live`, `catching_up`, `rebuilding`, `retrying` or `stopped`.
    pub state: String,
    /// How many events it has yet to apply.
    pub lag_events: u64,
    /// The age in seconds of the oldest event it has yet to apply; 0 when there is none.
    pub lag_seconds: f64,
    /// With `digest=true`: what it holds, hashed; equal contents give equal digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One version of a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its name.
    pub name: String,
    /// What it is there for: `serving`, `kept` (it served before), `building` or `paused`.
    pub state: String,
    /// What its files take.
    pub bytes: u64,
}
