//! Topics: the closed set of streams that events are written to.
//!
//! Owns: the topics' names and what orders the events on each.
//! Never: says how many partitions a topic has; that is the log's setting.

use std::{fmt, str::FromStr};

/// A stream of events. Events with the same ordering key are read in the order they were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Every schema that any event on this log was written with. Ordering key: the schema's name.
    Schemas,
    /// What was said. Ordering key: the thread.
    Messages,
    /// Who is to be told. Ordering key: the recipient.
    Deliveries,
    /// Vectors of messages. Ordering key: the thread.
    Embeddings,
    /// What messages name and state. Ordering key: the thread, or the name where names are merged.
    Knowledge,
    /// What people write into the memory themselves. Ordering key: the space.
    Memory,
    /// Calls of models. Ordering key: the thread, or the call where it belongs to none.
    Calls,
    /// Standing facts about the mesh (subscriptions now; clients, tokens, rules later). Ordering key: the entity's id.
    Registry,
    /// Events that a processor could not process. Ordering key: that of the event.
    DeadLetters,
}

impl Topic {
    /// All topics, in the order in which they are listed to people.
    pub const ALL: [Topic; 9] = [
        Topic::Schemas,
        Topic::Messages,
        Topic::Deliveries,
        Topic::Embeddings,
        Topic::Knowledge,
        Topic::Memory,
        Topic::Calls,
        Topic::Registry,
        Topic::DeadLetters,
    ];

    /// The name used in the log, in URLs and (prefixed with `meshlog.`) in Kafka.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Schemas => "schemas",
            Topic::Messages => "messages",
            Topic::Deliveries => "deliveries",
            Topic::Embeddings => "embeddings",
            Topic::Knowledge => "knowledge",
            Topic::Memory => "memory",
            Topic::Calls => "calls",
            Topic::Registry => "registry",
            Topic::DeadLetters => "dead-letters",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no topic \"{0}\"; topics are schemas, messages, deliveries, embeddings, knowledge, memory, calls, registry, \
     dead-letters"
)]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name).ok_or_else(|| UnknownTopic(name.to_owned()))
    }
}
