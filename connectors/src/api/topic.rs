//! Topics and their partitions, with the offsets they hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The topics of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicsView {
    /// Every topic.
    pub topics: Vec<TopicView>,
    /// What an acknowledgement promises.
    #[serde(default)]
    #[schema(required)]
    pub durability: Option<DurabilityView>,
    /// Whether the log takes events.
    #[serde(default)]
    #[schema(required)]
    pub log: Option<LogView>,
}

/// What the acknowledgement of a write promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DurabilityView {
    /// `always`: the disk confirms every write before it is acknowledged. `interval` and `none` are weaker.
    pub mode: String,
    /// In words, what survives which failure.
    pub promise: String,
}

/// How the log fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogView {
    /// `writing`; `full` while the disk has no room, after which it goes on by itself; or `stopped` until the server is
    /// started anew. It can be read in every state.
    pub state: String,
    /// Why it is not writing.
    #[schema(required)]
    pub reason: Option<String>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<PartitionView>,
    /// How long its events are kept, and what they take.
    #[serde(default)]
    pub retention: RetentionView,
}

/// How long the events of a topic are kept. An event is removed once it is too old, or once the topic is too large, but
/// never before every processor that reads the topic has read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// The age in seconds from which on events are removed; `null`: however old, they are kept.
    #[schema(required)]
    pub max_age_seconds: Option<u64>,
    /// The size in bytes above which the oldest events are removed; `null`: however many, they are kept.
    #[schema(required)]
    pub max_bytes: Option<u64>,
    /// The processors for whose sake events are kept that would be removed otherwise: they have yet to read them.
    pub held_by: Vec<String>,
    /// What the topic's events take, in bytes.
    pub bytes: u64,
}

/// The offsets that one partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    /// The partition's number, from 0.
    pub partition: u32,
    /// The offset of the first event that is kept.
    pub start: u64,
    /// The offset that the next event will get.
    pub end: u64,
}
