//! Readiness: whether the server can do its work now.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the server can do its work now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it can.
    pub ready: bool,
    /// Why it cannot; empty when it can.
    pub reasons: Vec<String>,
}
