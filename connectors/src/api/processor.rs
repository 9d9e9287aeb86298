//! Processors: the stages, and how far each has come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// The processors that run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessorsView {
    /// Every processor.
    pub processors: Vec<ProcessorView>,
}

/// One processor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// How many were taken away by retention before it had read them, since it was started. It went on behind them.
    #[serde(default)]
    pub missed_events: u64,
    /// Events a second, over the last ten seconds.
    #[serde(default)]
    pub rate: f64,
    /// Seconds until it has read what there is at this rate, when that can be said.
    #[serde(default)]
    #[schema(required)]
    pub eta_seconds: Option<f64>,
    /// Dead letters of this processor that nobody has redriven or discarded yet, with those that wait behind them.
    #[serde(default)]
    pub parked: u64,
    /// The age in seconds of the oldest of these; 0 when there is none.
    #[serde(default)]
    pub oldest_parked_seconds: f64,
    /// Events that failed and are tried again now.
    #[serde(default)]
    pub retrying: u64,
    /// How often its worker broke off and was started again since the server was started.
    #[serde(default)]
    pub restarts: u64,
    /// Events that have been read and are not yet settled.
    #[serde(default)]
    pub in_flight_events: u64,
    /// What these take in memory, in bytes.
    #[serde(default)]
    pub in_flight_bytes: u64,
    /// The most they may take: from there on nothing more is read. 0 when there is no such limit.
    #[serde(default)]
    pub in_flight_bytes_limit: u64,
    /// When something went wrong last.
    #[serde(default)]
    #[schema(required)]
    pub last_error_at: Option<Timestamp>,
    /// How far it has come in each partition of its inputs.
    #[serde(default)]
    pub partitions: Vec<PartitionProgress>,
}

/// How far a processor has come in one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartitionProgress {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: u32,
    /// The offset of the next event to read.
    pub next: u64,
    /// The offset that the next event appended to the partition will get.
    pub end: u64,
    /// How many events it has yet to read.
    pub lag_events: u64,
    /// The age in seconds of the oldest event it has yet to read; 0 when there is none.
    pub lag_seconds: f64,
    /// Whether it has events to read here and yet does not get on.
    pub stalled: bool,
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
