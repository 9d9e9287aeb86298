//! Verification: is a view what the log says?

use meshlog_schemas::Digest;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The projection.
    pub projection: String,
    /// The digest of the view that serves.
    pub live: Digest,
    /// The digest of a view built from the log in a scratch directory, at the same checkpoints.
    pub rebuilt: Digest,
}

impl Verdict {
    /// Whether the view is what the log says.
    pub fn is_equal(&self) -> bool {
        self.live == self.rebuilt
    }
}
