//! Positions on the wire.

use meshlog_schemas::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an event stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PositionView {
    /// The topic's name.
    pub topic: String,
    /// The number of the partition within the topic, from 0.
    pub partition: u32,
    /// The number of the event within the partition, from 0.
    pub offset: u64,
}

impl From<Position> for PositionView {
    fn from(position: Position) -> Self {
        Self {
            topic: position.partition.topic.name().to_owned(),
            partition: position.partition.id,
            offset: position.offset,
        }
    }
}
