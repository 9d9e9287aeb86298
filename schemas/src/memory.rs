//! Memory events: what people write into the memory themselves.
//!
//! Owns: the bodies of the `memory` topic. See `avro/memory/`.
//! Never: without who did it and why.

use serde::{Deserialize, Serialize};

use crate::{EventId, binary::records};

records! {
    /// Somebody wants something to be remembered, in these words. Pinned again, it has the new ones.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct InsightPinned {
        /// The insight.
        pub insight_id: EventId,
        /// The space that remembers it.
        pub space: String,
        /// The thread that it is for; none: all of the space.
        pub thread: Option<String>,
        /// What is to be remembered.
        pub text: String,
        /// The messages that it is from.
        pub sources: Vec<EventId>,
        /// Who pinned it.
        pub author: String,
        /// Why, in their words; may be empty.
        pub reason: String,
        /// When; microseconds since the epoch.
        pub pinned_at: i64,
    }

    /// A fact is wrong, and this is right.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct FactCorrected {
        /// The id of what is right.
        pub fact_id: EventId,
        /// The fact that is wrong.
        pub corrects: EventId,
        /// The space.
        pub space: String,
        /// What the subject is; empty for a plain phrase.
        pub subject_kind: String,
        /// Whom or what it is about.
        pub subject: String,
        /// What is said of it.
        pub relation: String,
        /// What the object is; empty for a plain phrase.
        pub object_kind: String,
        /// What the relation leads to.
        pub object: String,
        /// affirmed or denied.
        pub polarity: String,
        /// Since when; microseconds since the epoch.
        pub valid_from: Option<i64>,
        /// Until when; microseconds since the epoch.
        pub valid_until: Option<i64>,
        /// Who corrected it.
        pub author: String,
        /// Why, in their words; may be empty.
        pub reason: String,
        /// When; microseconds since the epoch.
        pub corrected_at: i64,
    }

    /// Something is to be in no answer any more.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct MemoryForgotten {
        /// The space.
        pub space: String,
        /// What is forgotten: message, thread, author, space, fact or insight; messages, those of a space and nothing that people wrote
        /// into the memory themselves; wording, what a message said before it was redacted; calls, the bodies of those that were made
        /// for a thread.
        pub scope: String,
        /// Which one: an id, a thread, an author's name; the space's name again.
        pub target: String,
        /// Of a thread, an author, a space or calls, what was taken in before this; microseconds since the epoch. What is said later
        /// is remembered. Of the others, everything.
        pub until: i64,
        /// Who wants it.
        pub author: String,
        /// Why, in their words; `retention` where its time was over.
        pub reason: String,
        /// When; microseconds since the epoch.
        pub forgotten_at: i64,
    }

    /// A thread is put into the archive, or taken out of it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ThreadFiled {
        /// The space.
        pub space: String,
        /// The thread.
        pub thread: String,
        /// archived or restored.
        pub state: String,
        /// Who did it.
        pub author: String,
        /// Why, in their words; may be empty.
        pub reason: String,
        /// When; microseconds since the epoch. What is said later restores the thread by itself.
        pub filed_at: i64,
    }

    /// How long the messages of a space are remembered. The last one of a space counts.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RetentionSet {
        /// The space.
        pub space: String,
        /// For how many days after a message was taken in; none: for ever.
        pub keep_days: Option<i32>,
        /// Who set it.
        pub author: String,
        /// Why, in their words; may be empty.
        pub reason: String,
        /// When; microseconds since the epoch.
        pub set_at: i64,
    }
}
