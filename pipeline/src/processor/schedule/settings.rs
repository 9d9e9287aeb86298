//! Settings: the bounds and counts of a stage, with their defaults.

use std::time::Duration;

use super::{Backoff, Load};

/// Bounds and counts of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many threads process events of different keys. 0: as many as the stage asks for.
    pub lanes: usize,
    /// What is held in memory at the most.
    pub window: Load,
    /// How many events of a partition above its checkpoint may be read and not done; and how many may be passed over before
    /// that is written down.
    pub span: u64,
    /// What a handler is given at once.
    pub batch: Load,
    /// What is at work, or waits to be committed, for each lane.
    pub at_work: Load,
    /// How often an event is tried.
    pub most_attempts: u32,
    /// How often an event may take the process down.
    pub most_starts: u32,
    /// What was at work when the process went down is not started at once: it waits this long for each time that it was
    /// started. A process that something else kills again and again does not live so long, so nothing is blamed for it.
    pub calm: Duration,
    /// How long retries wait.
    pub backoff: Backoff,
    /// How long what cannot be done now waits until it is looked at again.
    pub later: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: 0,
            window: Load { events: 4_096, bytes: 8 * 1024 * 1024 },
            span: 4_096,
            // Small, so that results do not come late; large enough that a model works at full speed.
            batch: Load { events: 32, bytes: 1024 * 1024 },
            at_work: Load { events: 64, bytes: 2 * 1024 * 1024 },
            most_attempts: 5,
            most_starts: 3,
            calm: Duration::from_millis(500),
            backoff: Backoff::default(),
            later: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// What may be at work in all lanes together.
    pub(crate) fn most_at_work(&self) -> Load {
        let lanes = self.lanes.max(1);
        Load { events: self.at_work.events * lanes, bytes: self.at_work.bytes * lanes }
    }
}
