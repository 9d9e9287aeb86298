//! Event types: what can have happened, one struct for each Avro schema's newest version.
//!
//! Owns: the typed form of every body, and which topic and ordering key each belongs to.
//! Never: old shapes. An event written with an older schema is brought up to these types by its upcaster.
//!
//! Fields stand in the order of their schema, for in that order they are written.

use serde::{Deserialize, Serialize};

use crate::{EventId, Topic, binary::records};

records! {
    /// A message was taken in; the event's id is the message's id. See `avro/messages/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct MessageAccepted {
        /// The id the message had where it came from; unique within the space.
        pub source_id: Option<String>,
        /// The set of threads that share memory.
        pub space: String,
        /// The thread's id, unique within the space.
        pub thread: String,
        /// Who said it.
        pub author: String,
        /// `user`, `assistant`, `system` or `tool`.
        pub role: String,
        /// When it was said, as the sender states; microseconds since the epoch.
        pub sent_at: i64,
        /// What was said.
        pub text: String,
    }

    /// A message is to be told to a recipient because of a subscription. See `avro/deliveries/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct MessageRouted {
        /// The message.
        pub message_id: EventId,
        /// Who is to be told.
        pub recipient: String,
        /// Because of which subscription.
        pub subscription_id: EventId,
        /// The message's space.
        pub space: String,
        /// The message's thread.
        pub thread: String,
    }

    /// The vector of a message, with what a filter may ask of it. See `avro/embeddings/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct TextEmbedded {
        /// The message.
        pub message_id: EventId,
        /// The message's space.
        pub space: String,
        /// The message's thread.
        pub thread: String,
        /// The message's author.
        pub author: String,
        /// The author's role.
        pub role: String,
        /// When the message was said; microseconds since the epoch.
        pub sent_at: i64,
        /// When the message was taken in; microseconds since the epoch.
        pub accepted_at: i64,
        /// Name and content hash of the model.
        pub model: String,
        /// Number of dimensions.
        pub dims: i32,
        /// BLAKE3 of the text as it was given to the model.
        #[serde(with = "serde_bytes")]
        pub content_hash: Vec<u8>,
        /// `dims` 32-bit floats, little-endian, of unit length.
        #[serde(with = "serde_bytes")]
        pub vector: Vec<u8>,
    }

    /// From now on the subscriber is to be told of messages that match. See `avro/registry/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SubscriptionAdded {
        /// The subscription's id.
        pub subscription_id: EventId,
        /// Who is to be told.
        pub subscriber: String,
        /// Messages of this space.
        pub space: String,
        /// Only messages of this thread.
        pub thread: Option<String>,
        /// Only messages of this author.
        pub author: Option<String>,
    }

    /// A subscription ends. See `avro/registry/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SubscriptionRemoved {
        /// The subscription's id.
        pub subscription_id: EventId,
    }

    /// A schema that events on this log are written with. See `avro/schemas/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SchemaRegistered {
        /// The schema's full name.
        pub name: String,
        /// Its version, from 1.
        pub version: i32,
        /// CRC-64-AVRO of the canonical form, 16 hexadecimal digits.
        pub fingerprint: String,
        /// The schema as JSON.
        pub schema: String,
    }

    /// A processor could not process an event, or holds it back behind one of the same key that it could not process.
    /// See `avro/dead-letters/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EventFailed {
        /// The processor.
        pub processor: String,
        /// Where the event stands: its topic.
        pub topic: String,
        /// Where the event stands: its partition.
        pub partition: i32,
        /// Where the event stands: its offset.
        pub offset: i64,
        /// Its ordering key, which the dead letter shares.
        pub key: String,
        /// The event's id; empty where its envelope could not be read.
        pub event_id: String,
        /// The event's type; empty where its envelope could not be read.
        pub event_type: String,
        /// `unreadable`, `permanent`, `exhausted` (retries used up), `crashed` (the program ended while it was at
        /// work), or `waiting` (behind the event at `head_offset`).
        pub class: String,
        /// What the processor answered.
        pub error: String,
        /// How often it was tried.
        pub attempts: i32,
        /// When the processor gave up; microseconds since the epoch, 0 where that was not written down (before v2).
        pub failed_at: i64,
        /// The offset, in the same partition, of the event that this one waits behind; -1 where it failed itself.
        pub head_offset: i64,
    }

    /// A person asks that the processor tries an event again. See `avro/dead-letters/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RedriveRequested {
        /// The processor.
        pub processor: String,
        /// Where the event stands: its topic.
        pub topic: String,
        /// Where the event stands: its partition.
        pub partition: i32,
        /// Where the event stands: its offset.
        pub offset: i64,
        /// Its ordering key.
        pub key: String,
    }

    /// The processor has processed an event after all. See `avro/dead-letters/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct DeadLetterRedriven {
        /// The processor.
        pub processor: String,
        /// Where the event stands: its topic.
        pub topic: String,
        /// Where the event stands: its partition.
        pub partition: i32,
        /// Where the event stands: its offset.
        pub offset: i64,
        /// Its ordering key.
        pub key: String,
        /// How often it was tried in all.
        pub attempts: i32,
    }

    /// A person has decided that the processor goes on without an event. See `avro/dead-letters/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct DeadLetterDiscarded {
        /// The processor.
        pub processor: String,
        /// Where the event stands: its topic.
        pub topic: String,
        /// Where the event stands: its partition.
        pub partition: i32,
        /// Where the event stands: its offset.
        pub offset: i64,
        /// Its ordering key.
        pub key: String,
        /// Who decided it.
        pub author: String,
        /// Why, in their words.
        pub reason: String,
    }
}

/// The body of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// On `messages`.
    MessageAccepted(MessageAccepted),
    /// On `deliveries`.
    MessageRouted(MessageRouted),
    /// On `embeddings`.
    TextEmbedded(TextEmbedded),
    /// On `registry`.
    SubscriptionAdded(SubscriptionAdded),
    /// On `registry`.
    SubscriptionRemoved(SubscriptionRemoved),
    /// On `schemas`.
    SchemaRegistered(SchemaRegistered),
    /// On `dead-letters`.
    EventFailed(EventFailed),
    /// On `dead-letters`.
    RedriveRequested(RedriveRequested),
    /// On `dead-letters`.
    DeadLetterRedriven(DeadLetterRedriven),
    /// On `dead-letters`.
    DeadLetterDiscarded(DeadLetterDiscarded),
}

impl Event {
    /// The topic that events of this type are written to.
    pub fn topic(&self) -> Topic {
        match self {
            Event::MessageAccepted(_) => Topic::Messages,
            Event::MessageRouted(_) => Topic::Deliveries,
            Event::TextEmbedded(_) => Topic::Embeddings,
            Event::SubscriptionAdded(_) | Event::SubscriptionRemoved(_) => Topic::Registry,
            Event::SchemaRegistered(_) => Topic::Schemas,
            Event::EventFailed(_)
            | Event::RedriveRequested(_)
            | Event::DeadLetterRedriven(_)
            | Event::DeadLetterDiscarded(_) => Topic::DeadLetters,
        }
    }

    /// The event's type as written in the envelope.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::MessageAccepted(_) => "meshlog.message.accepted",
            Event::MessageRouted(_) => "meshlog.message.routed",
            Event::TextEmbedded(_) => "meshlog.text.embedded",
            Event::SubscriptionAdded(_) => "meshlog.subscription.added",
            Event::SubscriptionRemoved(_) => "meshlog.subscription.removed",
            Event::SchemaRegistered(_) => "meshlog.schema.registered",
            Event::EventFailed(_) => "meshlog.event.failed",
            Event::RedriveRequested(_) => "meshlog.redrive.requested",
            Event::DeadLetterRedriven(_) => "meshlog.event.redriven",
            Event::DeadLetterDiscarded(_) => "meshlog.event.discarded",
        }
    }

    /// The ordering key.
    pub fn ordering_key(&self) -> String {
        match self {
            Event::MessageAccepted(body) => thread_key(&body.space, &body.thread),
            Event::TextEmbedded(body) => thread_key(&body.space, &body.thread),
            Event::MessageRouted(body) => body.recipient.clone(),
            Event::SubscriptionAdded(body) => body.subscription_id.to_string(),
            Event::SubscriptionRemoved(body) => body.subscription_id.to_string(),
            Event::SchemaRegistered(body) => body.name.clone(),
            Event::EventFailed(body) => body.key.clone(),
            Event::RedriveRequested(body) => body.key.clone(),
            Event::DeadLetterRedriven(body) => body.key.clone(),
            Event::DeadLetterDiscarded(body) => body.key.clone(),
        }
    }

    /// The space whose data the body holds, or `None` where it holds nobody's.
    pub fn space(&self) -> Option<&str> {
        match self {
            Event::MessageAccepted(body) => Some(&body.space),
            Event::MessageRouted(body) => Some(&body.space),
            Event::TextEmbedded(body) => Some(&body.space),
            Event::SubscriptionAdded(body) => Some(&body.space),
            Event::SubscriptionRemoved(_)
            | Event::SchemaRegistered(_)
            | Event::EventFailed(_)
            | Event::RedriveRequested(_)
            | Event::DeadLetterRedriven(_)
            | Event::DeadLetterDiscarded(_) => None,
        }
    }
}

/// The ordering key of everything about a thread. Thread ids are unique only within a space, so the space is part of it.
pub fn thread_key(space: &str, thread: &str) -> String {
    format!("{space}/{thread}")
}
