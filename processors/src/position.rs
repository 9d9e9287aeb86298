//! Positions as rows keep them: topic name, partition and offset.

use meshlog_schemas::{Offset, Partition, PartitionId, Position};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// For `#[serde(with = "StoredPosition")]`.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredPosition(String, PartitionId, Offset);

impl StoredPosition {
    pub(crate) fn serialize<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
        let Partition { topic, id } = position.partition;
        Serialize::serialize(&Self(topic.name().to_owned(), id, position.offset), serializer)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Position, D::Error> {
        let Self(topic, id, offset) = Deserialize::deserialize(deserializer)?;
        let topic = topic.parse().map_err(D::Error::custom)?;
        Ok(Position { partition: Partition { topic, id }, offset })
    }
}
