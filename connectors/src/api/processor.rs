//! Processors: the stages, and how far each has come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The processors that run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessorsView {
    /// Every processor.
    pub processors: Vec<ProcessorView>,
}

/// One processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessorView {
    /// Its name.
    pub name: String,
    /// What it is: a `stage` appends events, a `projection` folds them into a store.
    pub kind: String,
    /// What it is doing, such as `running`, `stopped` or `failed`.
    pub state: String,
    /// The topics it reads.
    pub inputs: Vec<String>,
    /// How far it has read.
    pub checkpoint: Vec<CheckpointView>,
    /// How many events it has yet to read.
    pub lag_events: u64,
    /// The age in seconds of the oldest event it has yet to read; 0 when there is none.
    pub lag_seconds: f64,
    /// What went wrong last, if anything did.
    #[schema(required)]
    pub last_error: Option<String>,
    /// How many events it has processed since it was started.
    pub processed: u64,
    /// How many it has gone on without since it was started, because they could not be read or processed. A stage's stand
    /// on the topic `dead-letters`.
    #[serde(default)]
    pub skipped: u64,
}

/// How far one partition has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: u32,
    /// The offset of the next event to read.
    pub next: u64,
}
