//! Messages: what clients send, what they get back for it, and what they read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, PositionView, SpokenTime, Timestamp, WaitLevel, default_space};

/// What an author is to a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks; a person, or an agent in a person's place.
    #[default]
    User,
    /// Answers.
    Assistant,
    /// Instructs.
    System,
    /// Reports what a tool returned.
    Tool,
}

impl Role {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System => "system",
            Role::Tool => "tool",
        }
    }
}

/// A message to be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The sender's own id for the message. It comes back as `source_id`; sending the same id again adds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub id: Option<String>,
    /// The set of threads that share memory, and the unit of access.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE), max_length = 512)]
    pub space: String,
    /// The conversation it belongs to; the id is the sender's own, unique within the space.
    #[schema(min_length = 1, max_length = 512)]
    pub thread: String,
    /// Who said it.
    #[schema(min_length = 1, max_length = 512)]
    pub author: String,
    /// What the author is to the thread.
    #[serde(default)]
    #[schema(default = json!(Role::User))]
    pub role: Role,
    /// When it was said. Absent: when it was taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// What was said: up to 1 MiB of UTF-8, not blank.
    #[schema(min_length = 1, max_length = 1048576)]
    pub text: String,
}

/// Says that a message is durable in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The message's id.
    pub id: String,
    /// The sender's own id, if one was given.
    #[schema(required)]
    pub source_id: Option<String>,
    /// Where the message stands in the log.
    pub position: PositionView,
    /// Whether it had been taken in before; then this is the receipt of the first time.
    pub duplicate: bool,
}

/// The answer to messages sent. Everything that has a receipt is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Accepted {
    /// The answer to a JSON lines body.
    Many(MessagesAccepted),
    /// The answer to a single message.
    One(MessageAccepted),
}

/// The answer to a single message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageAccepted {
    /// What says that the message is durable.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// With `wait`: how far the message had come when this was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<WaitLevel>,
}

/// The answer to a JSON lines body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessagesAccepted {
    /// A receipt for each message that was taken in, now or before, in the order of lines.
    pub receipts: Vec<Receipt>,
    /// The lines that were not taken in, in order: the first 1000 of them.
    pub errors: Vec<LineError>,
    /// How many messages were taken in now.
    pub accepted: u64,
    /// How many had been taken in before.
    pub duplicates: u64,
    /// How many lines were not taken in.
    pub rejected: u64,
    /// With `wait`: how far the last of the messages had come when this was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<WaitLevel>,
}

/// Why one line of a JSON lines body was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineError {
    /// The line's number in the body, from 1.
    pub line: u64,
    /// The stable name of the problem, as in problem documents.
    pub code: String,
    /// What was wrong.
    pub detail: String,
    /// The field that was wrong, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The sender's own id of the message, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
}

/// A message: who said it when, and what it says since it was edited last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// The message's id.
    pub message_id: String,
    /// The sender's own id, if one was given.
    #[schema(required)]
    pub source_id: Option<String>,
    /// The set of threads that share memory.
    pub space: String,
    /// The conversation it belongs to, unique within the space.
    pub thread_id: String,
    /// Who said it.
    pub author: String,
    /// What the author is to the thread: `user`, `assistant`, `system` or `tool`.
    pub role: String,
    /// When it was said.
    pub sent_at: Timestamp,
    /// When it was taken in.
    pub accepted_at: Timestamp,
    /// What it says; empty where it was redacted and nothing is left.
    pub text: String,
    /// The edit since which it says this; left out where it says what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// The times that it speaks of ("last Friday"), in the order of the text; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<SpokenTime>,
    /// Where the message stands in the log.
    pub position: PositionView,
}

/// The last edit of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Edited {
    /// `edited`, or `redacted`: what it said before is shown nowhere.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// Who edited it.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
}
