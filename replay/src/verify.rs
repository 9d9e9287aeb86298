//! Verification: is a view what the log says?

use meshlog_schemas::{Checkpoints, Digest};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The projection.
    pub projection: String,
    /// The digest of the view that serves.
    pub live: Digest,
    /// The digest of a view built from the log in a scratch directory, at the same checkpoints.
    pub rebuilt: Digest,
    /// The offsets that the log began with where that was not 0. A view that was filled before retention took away what
    /// stood there holds more than the log says, and differs.
    pub built_from: Checkpoints,
}

impl Verdict {
    /// Whether the view is what the log says.
    pub fn is_equal(&self) -> bool {
        self.live == self.rebuilt
    }
}
