//! Memory: what a gateway writes into it.

use meshlog_schemas::EventId;

use super::{Answer, PageRequest, Stored};
use crate::api::{Message, Page, SpaceRetention, Timestamp};

/// Takes writes into the memory.
pub trait Memory: Send + Sync {
    /// Appends what is written, and answers once it is durable. The id is that of the insight or of the fact that is right, else
    /// the event's.
    fn write(&self, write: MemoryWrite) -> Answer<'_, Stored>;

    /// How long spaces remember, in the order of their names: all for which that was set, or one.
    fn retention(&self, space: Option<String>, page: PageRequest) -> Answer<'_, Page<SpaceRetention>>;
}

/// Something is written into the memory of a space. Names have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryWrite {
    /// The space.
    pub space: String,
    /// Who writes.
    pub author: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// What.
    pub what: Written,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Something to remember.
    Insight {
        /// Its own id, if it was given one.
        id: Option<String>,
        /// The thread that it is for.
        thread: Option<String>,
        /// The words.
        text: String,
        /// The messages that it is from.
        sources: Vec<EventId>,
    },
    /// What is right in place of a fact.
    Correction {
        /// The fact that is wrong.
        corrects: EventId,
        /// What the subject is; empty for a plain phrase.
        subject_kind: String,
        /// Whom or what it is about.
        subject: String,
        /// What is said of it.
        relation: String,
        /// What the object is; empty for a plain phrase.
        object_kind: String,
        /// What the relation leads to.
        object: String,
        /// affirmed or denied.
        polarity: String,
        /// Since when it holds.
        valid_from: Option<Timestamp>,
        /// Until when it holds.
        valid_until: Option<Timestamp>,
    },
    /// What a message says from now on.
    Edit {
        /// The message as it was.
        message: Box<Message>,
        /// What it says; empty where it is redacted and nothing is left.
        text: String,
        /// Whether what it said before is to be shown nowhere.
        is_redacted: bool,
    },
    /// What is to be in no answer any more.
    Forgetting {
        /// message, thread, author, space, fact or insight.
        scope: &'static str,
        /// Which one.
        target: String,
        /// What was taken in before this; `None` for now.
        until: Option<Timestamp>,
        /// Of a message, the thread that it is of, if it is known: calls for that thread tell what it said.
        thread: Option<String>,
    },
    /// A thread is put into the archive, or taken out of it.
    Filing {
        /// The thread.
        thread: String,
        /// Whether it is put in.
        is_archived: bool,
    },
    /// How long the messages of the space are remembered.
    Retention {
        /// For how many days after they were taken in; `None` for ever.
        keep_days: Option<u16>,
    },
    /// Two names stand for one thing.
    Merge {
        /// What both are.
        kind: String,
        /// The name that is no longer one of its own.
        from: String,
        /// The name that it is.
        into: String,
    },
    /// They do so no longer.
    Parting {
        /// What both are.
        kind: String,
        /// The name that was merged.
        from: String,
        /// The name that it was merged into.
        into: String,
    },
}
