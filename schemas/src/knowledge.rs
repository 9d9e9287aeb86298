//! Knowledge events: what was found in messages, which names stand for one thing, and what threads are about.
//!
//! Owns: the bodies of the `knowledge` topic. See `avro/knowledge/`.
//! Never: a fact without the message that it is from.
//!
//! Confidences are in thousandths: whole numbers are the same everywhere, and nobody is surer than that.

use serde::{Deserialize, Serialize};

use crate::{EventId, binary::records};

records! {
    /// An extractor has read a message. What it found before in the same message no longer counts.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct KnowledgeExtracted {
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
        /// Who read it, with its version: `patterns-1`, or `model:` and the model's name.
        pub extractor: String,
        /// Whom and what it names, in order.
        pub mentions: Vec<EntityMentioned>,
        /// What it states, in order.
        pub facts: Vec<FactStated>,
    }

    /// A name in a message.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EntityMentioned {
        /// What is named: person, organisation, place, product, topic, url, code-symbol or quantity.
        pub kind: String,
        /// The name, as this mention tells it.
        pub name: String,
        /// Where it begins in the text, in bytes.
        pub start: i32,
        /// Where it ends.
        pub end: i32,
        /// How sure the extractor is, in thousandths.
        pub confidence: i32,
    }

    /// A statement in a message.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct FactStated {
        /// The fact's id: the same when the same message is read to say the same again.
        pub fact_id: EventId,
        /// Where it begins in the text, in bytes.
        pub start: i32,
        /// Where it ends.
        pub end: i32,
        /// What the subject is; empty for a plain phrase.
        pub subject_kind: String,
        /// Whom or what it is about.
        pub subject: String,
        /// What is said of it, such as `works-at`.
        pub relation: String,
        /// What the object is; empty for a plain phrase.
        pub object_kind: String,
        /// What the relation leads to.
        pub object: String,
        /// affirmed or denied.
        pub polarity: String,
        /// asserted, planned, wished or possible.
        pub modality: String,
        /// Since when, as the words say; microseconds since the epoch.
        pub valid_from: Option<i64>,
        /// Until when, as the words say; microseconds since the epoch.
        pub valid_until: Option<i64>,
        /// How sure the extractor is, in thousandths.
        pub confidence: i32,
    }

    /// Two names stand for one thing.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EntitiesMerged {
        /// The space.
        pub space: String,
        /// What both are.
        pub kind: String,
        /// The name that is no longer one of its own.
        pub from: String,
        /// The name that it is.
        pub into: String,
        /// Why: known-alias, first-name, surname, acronym, similarity or asked.
        pub reason: String,
        /// How sure that is, in thousandths.
        pub confidence: i32,
        /// Who merged them; empty where a stage did.
        pub author: String,
    }

    /// Two names do not stand for one thing after all.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EntitiesParted {
        /// The space.
        pub space: String,
        /// What both are.
        pub kind: String,
        /// The name that was merged.
        pub from: String,
        /// The name that it was merged into.
        pub into: String,
        /// Why, in the words of who parted them.
        pub reason: String,
        /// Who parted them; empty where a stage did.
        pub author: String,
    }

    /// A model has summed up a stretch of a thread. It counts as long as these turns are remembered and say what they said.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ThreadSummarised {
        /// The space.
        pub space: String,
        /// The thread.
        pub thread: String,
        /// What was summed up: 0, turns; above that, the summaries of the level below.
        pub level: i32,
        /// The first turn of the stretch, by its number in the thread; 0 is the first.
        pub from: i64,
        /// The number behind its last turn.
        pub until: i64,
        /// Where the thread's first message stands in its partition of messages.
        pub first_offset: i64,
        /// How many of the turns were remembered.
        pub turns: i64,
        /// Where the last edit of one of them stands in that partition.
        pub edited_offset: Option<i64>,
        /// The model, as it was asked for.
        pub model: String,
        /// When the turns were read that it was told; microseconds since the epoch.
        pub told_at: i64,
        /// The summary in its order; empty where the model gave none that could be used.
        pub sentences: Vec<SentenceWritten>,
    }

    /// A sentence of a summary.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SentenceWritten {
        /// What it says.
        pub text: String,
        /// The messages that say so; one at the least.
        pub sources: Vec<EventId>,
    }
}
