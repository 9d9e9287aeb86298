//! Topics and their partitions, with the offsets they hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The topics of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicsView {
    /// Every topic.
    pub topics: Vec<TopicView>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<PartitionView>,
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
