//! Summaries: what says most of a thread, how much was said, and which threads are put away.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, PositionView, Timestamp, default_space};

/// What says most of a thread, in words that were said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadSummary {
    /// The sentences, in the order of the thread, each with the message that it stands in.
    pub sentences: Vec<SummarySentence>,
    /// For how many messages it stands.
    pub turns: u64,
    /// Where the last message of the thread stands; absent where nothing is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<PositionView>,
    /// Whether the thread is in the archive.
    pub archived: bool,
}

/// A sentence that was said, or that a model wrote of what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SummarySentence {
    /// The sentence.
    pub text: String,
    /// The model that wrote it; not there for one that was said in these words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The message; of those that a model's sentence is from, the first.
    pub message_id: String,
    /// All messages that it is from.
    pub sources: Vec<String>,
    /// Where a sentence that was said begins in the message, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// Who said the message.
    pub author: String,
    /// What the author is to the thread.
    pub role: String,
    /// When the message was said.
    pub sent_at: Timestamp,
}

/// How much was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Their words; a character of a script without spaces is one.
    pub words: u64,
    /// The bytes of their texts, in UTF-8.
    pub bytes: u64,
}

impl Tally {
    /// Both together.
    pub fn and(self, other: Tally) -> Tally {
        Tally {
            messages: self.messages + other.messages,
            words: self.words + other.words,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// How much somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedTally {
    /// The author, or the role.
    pub name: String,
    /// How much.
    #[serde(flatten)]
    pub tally: Tally,
}

/// How much was said on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayTally {
    /// The day, in UTC.
    #[schema(value_type = String, example = "2025-05-07")]
    pub day: super::Day,
    /// How much.
    #[serde(flatten)]
    pub tally: Tally,
}

/// How much was said in a thread or in a space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// All of it.
    #[serde(flatten)]
    pub total: Tally,
    /// By role.
    pub roles: Vec<NamedTally>,
    /// By author: the 64 with the most messages, these first.
    pub authors: Vec<NamedTally>,
    /// How many authors there are besides.
    pub further_authors: u64,
    /// By day, the earliest first; the last thousand days on which something was said.
    pub days: Vec<DayTally>,
    /// When the first was said.
    pub first_at: Option<Timestamp>,
    /// When the last was said.
    pub last_at: Option<Timestamp>,
}

/// A thread, and when its last message was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadLast {
    /// The thread's id.
    pub thread_id: String,
    /// When its last message was said.
    pub last_at: Timestamp,
}

/// A thread is put into the archive, or taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// The space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// The thread.
    pub thread: String,
    /// Whether it is put in; `false` takes it out again.
    pub archived: bool,
    /// Who wants it.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}
