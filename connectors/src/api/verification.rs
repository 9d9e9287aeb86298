//! Verifications: whether a live projection holds what the log says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckpointView;

/// Asks for a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The projection's name. Absent: every projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyReport {
    /// One entry a projection.
    pub results: Vec<Verification>,
}

/// A live projection beside its rebuild from the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The projection's name.
    pub projection: String,
    /// The digest of what serves.
    pub live: String,
    /// The digest of what the log says.
    pub rebuilt: String,
    /// Whether the two are the same.
    pub equal: bool,
    /// Where the log began, for partitions of which retention had taken events away: what serves may hold them still, and
    /// then differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_from: Vec<CheckpointView>,
}
