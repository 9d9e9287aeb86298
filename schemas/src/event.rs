//! Event types: what can have happened, one struct for each Avro schema's newest version.
//!
//! Owns: the typed form of every body, and which topic and ordering key each belongs to.
//! Never: old shapes. An event written with an older schema is brought up to these types by its upcaster.
//!
//! Fields stand in the order of their schema, for in that order they are written.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    EntitiesMerged, EntitiesParted, EventId, FactCorrected, InsightPinned, KnowledgeExtracted, MemoryForgotten,
    RetentionSet, ThreadFiled, ThreadSummarised, Topic, binary::records,
};

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

    /// A message says something else from now on. It has the message's key, and so stands behind it. See `avro/messages/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct MessageEdited {
        /// The message.
        pub message_id: EventId,
        /// The id the message had where it came from.
        pub source_id: Option<String>,
        /// The message's space.
        pub space: String,
        /// The message's thread.
        pub thread: String,
        /// Who said it.
        pub author: String,
        /// The author's role.
        pub role: String,
        /// When it was said; microseconds since the epoch.
        pub sent_at: i64,
        /// When it was taken in; microseconds since the epoch.
        pub accepted_at: i64,
        /// What it says from now on; may be empty where it is redacted.
        pub text: String,
        /// `edited`, or `redacted`: what it said before is not to be shown any more.
        pub kind: String,
        /// Who edited it.
        pub editor: String,
        /// Why, in their words; may be empty.
        pub reason: String,
        /// When; microseconds since the epoch.
        pub edited_at: i64,
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

    /// The vector of a message, with what a filter may ask of it; none where the message says nothing any more. See `avro/embeddings/`.
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
        /// Number of dimensions; 0 where there is no vector.
        pub dims: i32,
        /// BLAKE3 of the text as it was given to the model.
        #[serde(with = "serde_bytes")]
        pub content_hash: Vec<u8>,
        /// `dims` 32-bit floats, little-endian, of unit length.
        #[serde(with = "serde_bytes")]
        pub vector: Vec<u8>,
    }

    /// A model is to be called; the event's id is the call's id. See `avro/calls/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct CallRequested {
        /// The call's id, which is the event's.
        pub call_id: EventId,
        /// The space that the call is made for.
        pub space: String,
        /// The thread whose turn it is, if it is one.
        pub thread: Option<String>,
        /// The label of the key that the caller showed; empty where none was asked for.
        pub key_label: String,
        /// chat or embeddings.
        pub kind: String,
        /// The format of the request's body, such as `openai`.
        pub wire: String,
        /// The model's name, as the caller gave it.
        pub model: String,
        /// stream or whole: how the caller wants the answer.
        pub mode: String,
        /// The node whose caller waits, which alone may carry the call out; empty where any dispatcher may.
        pub owner: String,
        /// The caller's own.
        pub idempotency_key: Option<String>,
        /// The request, byte for byte, without what is meant for Meshlog.
        pub body: Bytes,
    }

    /// A provider is about to be asked. See `avro/calls/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct AttemptStarted {
        /// The call.
        pub call_id: EventId,
        /// The space that the call is made for.
        pub space: String,
        /// The thread whose turn it is, if it is one.
        pub thread: Option<String>,
        /// Counts the attempts of a call, from 1.
        pub number: i32,
        /// Who is asked.
        pub provider: String,
        /// The model's name at the provider.
        pub model: String,
        /// What the provider is given to know a repetition by; the same for all attempts at it.
        pub idempotency_key: Option<String>,
    }

    /// A provider did not answer as it should, before anything of its answer was given to the caller. See `avro/calls/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct AttemptFailed {
        /// The call.
        pub call_id: EventId,
        /// The space that the call is made for.
        pub space: String,
        /// The thread whose turn it is, if it is one.
        pub thread: Option<String>,
        /// Which attempt of the call, from 1.
        pub number: i32,
        /// Who is asked.
        pub provider: String,
        /// What kind of failure it was, such as rate_limited, timeout or malformed.
        pub class: String,
        /// The HTTP status; 0 where there was none.
        pub status: i32,
        /// How long the provider asks to be left alone; -1 where it does not say.
        pub retry_after_ms: i64,
        /// The provider's own words, or what went wrong on the way.
        pub message: String,
        /// What of the answer's headers is kept, as a JSON object.
        pub headers: String,
        /// What came of the answer, at most 64 KiB of it.
        #[serde(with = "serde_bytes")]
        pub body: Vec<u8>,
    }

    /// A call has ended, however it did. Of every call there is exactly one. See `avro/calls/`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct CallSettled {
        /// The call.
        pub call_id: EventId,
        /// The space that the call is made for.
        pub space: String,
        /// The thread whose turn it is, if it is one.
        pub thread: Option<String>,
        /// The label of the key that the caller showed; empty where none was asked for.
        pub key_label: String,
        /// `chat` or `embeddings`.
        pub kind: String,
        /// The model's name, as the caller gave it.
        pub asked_model: String,
        /// completed; truncated (the provider broke off after output was given); failed (no output); cancelled (the caller
        /// left); interrupted (the server ended meanwhile).
        pub outcome: String,
        /// What kind of failure it was; empty where there was none.
        pub error_class: String,
        /// What went wrong, in the words that the caller was given.
        pub error_message: String,
        /// The HTTP status that the caller was given; 0 where it was given none.
        pub status: i32,
        /// How often a provider was asked.
        pub attempts: i32,
        /// Who was asked last; empty where nobody was.
        pub provider: String,
        /// The model's name at the provider.
        pub model: String,
        /// The model's name in the answer.
        pub answered_model: String,
        /// Why the model stopped, in its own word; empty where it did not say.
        pub finish_reason: String,
        /// When the call was requested; microseconds since the epoch.
        pub requested_at: i64,
        /// From the request to the first output; -1 where there was none.
        pub first_output_micros: i64,
        /// From the request to the end.
        pub total_micros: i64,
        /// reported (by the provider), estimated (counted here), or none.
        pub usage_source: String,
        /// The usage as the provider reported it, JSON; empty where it did not.
        pub usage: String,
        /// Input that was neither read from nor written to the provider's cache.
        pub input_tokens: i64,
        /// Input that was written to the provider's cache.
        pub cache_write_tokens: i64,
        /// Input that was read from the provider's cache.
        pub cache_read_tokens: i64,
        /// Output without reasoning.
        pub output_tokens: i64,
        /// Output that the model thought and did not say.
        pub reasoning_tokens: i64,
        /// Billionths of a US dollar; -1 where the model has no price.
        pub cost_nanos: i64,
        /// Which prices these were: provider, model and date; empty where there are none.
        pub price_table: String,
        /// The provider's name for the request.
        pub request_id: Option<String>,
        /// What of the answer's headers is kept, as a JSON object.
        pub headers: String,
        /// The format of the answer's body, such as `openai`; empty where nobody was asked.
        pub wire: String,
        /// The answer's media type; empty where there was no answer.
        pub response_type: String,
        /// The answer's body as it came, byte for byte; as much as came, and at most 6 MiB of it. In the form that
        /// `response_encoding` says: [`CallSettled::answer`] reads it.
        pub response: Bytes,
        /// How long the body was; more than is kept of it where it was larger.
        pub response_bytes: i64,
        /// For each piece of the body, as two variable-length numbers (LEB128): microseconds since the piece before (the
        /// first: since the request), and bytes.
        pub timings: Bytes,
        /// The form of `response`: empty (as it came) or `lz4` (LZ4 frames, one behind another).
        pub response_encoding: String,
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

impl CallRequested {
    /// The event's type as written in the envelope, for those who look for it before they open the body.
    pub const KIND: &str = "meshlog.call.requested";
}

/// The body of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// On `messages`.
    MessageAccepted(MessageAccepted),
    /// On `messages`. Boxed, for it is much larger than the others.
    MessageEdited(Box<MessageEdited>),
    /// On `deliveries`.
    MessageRouted(MessageRouted),
    /// On `embeddings`.
    TextEmbedded(TextEmbedded),
    /// On `knowledge`.
    KnowledgeExtracted(KnowledgeExtracted),
    /// On `knowledge`.
    EntitiesMerged(EntitiesMerged),
    /// On `knowledge`.
    EntitiesParted(EntitiesParted),
    /// On `knowledge`.
    ThreadSummarised(ThreadSummarised),
    /// On `memory`.
    InsightPinned(InsightPinned),
    /// On `memory`.
    FactCorrected(FactCorrected),
    /// On `memory`.
    MemoryForgotten(MemoryForgotten),
    /// On `memory`.
    ThreadFiled(ThreadFiled),
    /// On `memory`.
    RetentionSet(RetentionSet),
    /// On `calls`.
    CallRequested(CallRequested),
    /// On `calls`.
    AttemptStarted(AttemptStarted),
    /// On `calls`.
    AttemptFailed(AttemptFailed),
    /// On `calls`. Boxed, for it is much larger than the others.
    CallSettled(Box<CallSettled>),
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
            Event::MessageAccepted(_) | Event::MessageEdited(_) => Topic::Messages,
            Event::MessageRouted(_) => Topic::Deliveries,
            Event::TextEmbedded(_) => Topic::Embeddings,
            Event::KnowledgeExtracted(_)
            | Event::EntitiesMerged(_)
            | Event::EntitiesParted(_)
            | Event::ThreadSummarised(_) => Topic::Knowledge,
            Event::InsightPinned(_)
            | Event::FactCorrected(_)
            | Event::MemoryForgotten(_)
            | Event::ThreadFiled(_)
            | Event::RetentionSet(_) => Topic::Memory,
            Event::CallRequested(_) | Event::AttemptStarted(_) | Event::AttemptFailed(_) | Event::CallSettled(_) => {
                Topic::Calls
            }
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
            Event::MessageEdited(_) => "meshlog.message.edited",
            Event::MessageRouted(_) => "meshlog.message.routed",
            Event::TextEmbedded(_) => "meshlog.text.embedded",
            Event::KnowledgeExtracted(_) => "meshlog.knowledge.extracted",
            Event::EntitiesMerged(_) => "meshlog.entities.merged",
            Event::EntitiesParted(_) => "meshlog.entities.parted",
            Event::ThreadSummarised(_) => "meshlog.thread.summarised",
            Event::InsightPinned(_) => "meshlog.insight.pinned",
            Event::FactCorrected(_) => "meshlog.fact.corrected",
            Event::MemoryForgotten(_) => "meshlog.memory.forgotten",
            Event::ThreadFiled(_) => "meshlog.thread.filed",
            Event::RetentionSet(_) => "meshlog.retention.set",
            Event::CallRequested(_) => CallRequested::KIND,
            Event::AttemptStarted(_) => "meshlog.attempt.started",
            Event::AttemptFailed(_) => "meshlog.attempt.failed",
            Event::CallSettled(_) => "meshlog.call.settled",
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
            Event::MessageEdited(body) => thread_key(&body.space, &body.thread),
            Event::TextEmbedded(body) => thread_key(&body.space, &body.thread),
            Event::KnowledgeExtracted(body) => thread_key(&body.space, &body.thread),
            Event::EntitiesMerged(body) => name_key(&body.space, &body.kind, &body.from),
            Event::EntitiesParted(body) => name_key(&body.space, &body.kind, &body.from),
            Event::ThreadSummarised(body) => thread_key(&body.space, &body.thread),
            Event::InsightPinned(body) => body.space.clone(),
            Event::FactCorrected(body) => body.space.clone(),
            Event::MemoryForgotten(body) => body.space.clone(),
            Event::ThreadFiled(body) => body.space.clone(),
            Event::RetentionSet(body) => body.space.clone(),
            Event::CallRequested(body) => call_key(&body.space, body.thread.as_deref(), body.call_id),
            Event::AttemptStarted(body) => call_key(&body.space, body.thread.as_deref(), body.call_id),
            Event::AttemptFailed(body) => call_key(&body.space, body.thread.as_deref(), body.call_id),
            Event::CallSettled(body) => call_key(&body.space, body.thread.as_deref(), body.call_id),
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
            Event::MessageEdited(body) => Some(&body.space),
            Event::MessageRouted(body) => Some(&body.space),
            Event::TextEmbedded(body) => Some(&body.space),
            Event::KnowledgeExtracted(body) => Some(&body.space),
            Event::EntitiesMerged(body) => Some(&body.space),
            Event::EntitiesParted(body) => Some(&body.space),
            Event::ThreadSummarised(body) => Some(&body.space),
            Event::InsightPinned(body) => Some(&body.space),
            Event::FactCorrected(body) => Some(&body.space),
            Event::MemoryForgotten(body) => Some(&body.space),
            Event::ThreadFiled(body) => Some(&body.space),
            Event::RetentionSet(body) => Some(&body.space),
            Event::CallRequested(body) => Some(&body.space),
            Event::AttemptStarted(body) => Some(&body.space),
            Event::AttemptFailed(body) => Some(&body.space),
            Event::CallSettled(body) => Some(&body.space),
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

/// The ordering key of everything about a call: its thread's, or its own where it belongs to none.
fn call_key(space: &str, thread: Option<&str>, call: EventId) -> String {
    thread.map_or_else(|| call.to_string(), |thread| thread_key(space, thread))
}

/// The ordering key of everything about the name of a thing.
fn name_key(space: &str, kind: &str, name: &str) -> String {
    format!("{space}/{kind}/{name}")
}
