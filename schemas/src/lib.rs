//! What an event is: topics, positions, event types with their Avro schemas, the envelope and the codec.
//!
//! Everything here is a plain value or a plain function over values: no file, no clock (but for fresh ids), no network.
//! Never here: how events are stored or processed; that is the pipeline's.

mod binary;
mod catalog;
mod codec;
mod digest;
mod envelope;
mod event;
mod fingerprint;
mod headers;
mod id;
mod knowledge;
mod memory;
mod packed;
mod position;
mod share;
mod topic;
mod upcast;

pub use catalog::{SchemaVersion, catalog};
pub use codec::{
    DecodeError, EncodeError, MAX_BODY_BYTES, decode, encode, schema_of, single_object, split_confluent,
    split_single_object,
};
pub use digest::Digest;
pub use envelope::{AVRO_CONTENT_TYPE, Envelope, EnvelopeError, Trust, format_micros, parse_micros};
pub use event::{
    AttemptFailed, AttemptStarted, CallRequested, CallSettled, DeadLetterDiscarded, DeadLetterRedriven, Event,
    EventFailed, MessageAccepted, MessageEdited, MessageRouted, RedriveRequested, SchemaRegistered, SubscriptionAdded,
    SubscriptionRemoved, TextEmbedded, thread_key,
};
pub use fingerprint::fingerprint;
pub use headers::Headers;
pub use id::EventId;
pub use knowledge::{
    EntitiesMerged, EntitiesParted, EntityMentioned, FactStated, KnowledgeExtracted, SentenceWritten, ThreadSummarised,
};
pub use memory::{FactCorrected, InsightPinned, MemoryForgotten, RetentionSet, ThreadFiled};
pub use packed::{Packed, Packer, UnpackError};
pub use position::{Checkpoints, Offset, Partition, PartitionId, Position};
pub use share::{InvalidShare, PartitionShare};
pub use topic::{Topic, UnknownTopic};
