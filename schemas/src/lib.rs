//! What an event is: topics, positions, event types with their Avro schemas, the envelope and the codec.
//!
//! Everything here is a plain value or a plain function over values: no file, no clock, no network.

mod digest;
mod position;
mod topic;

pub use digest::Digest;
pub use position::{Checkpoints, Offset, Partition, PartitionId, Position};
pub use topic::{Topic, UnknownTopic};
