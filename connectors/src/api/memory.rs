//! Memory writes: what people write into the memory themselves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, PositionView, Timestamp, WaitLevel, default_space};

/// Something to remember, in these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInsight {
    /// The insight's own id, unique in its space: sent again, it has the new words. Without one it is given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The space that remembers it.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// The thread that it is for; without one, all of the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What is to be remembered.
    #[schema(min_length = 1)]
    pub text: String,
    /// The messages that it is from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Who wants it remembered.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// An insight that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Insight {
    /// Its id.
    pub insight_id: String,
    /// The space that remembers it.
    pub space: String,
    /// The thread that it is for; absent for all of the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What is to be remembered.
    pub text: String,
    /// The messages that it is from.
    pub sources: Vec<String>,
    /// Who wanted it remembered.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was pinned.
    pub pinned_at: Timestamp,
}

/// A fact is wrong, and this is right. What is not sent is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FactCorrection {
    /// The fact that is wrong.
    pub fact_id: String,
    /// Its space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// Whom or what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// What the relation leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// `affirmed` or `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polarity: Option<String>,
    /// Since when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// Who corrects it.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// A message is to say something else. What it said before stays readable in its history, the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageEdit {
    /// The message.
    pub message_id: String,
    /// Its space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// What it says from now on: up to 1 MiB of UTF-8, not blank.
    #[schema(min_length = 1, max_length = 1048576)]
    pub text: String,
    /// Who edits it.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// What a message said is to be shown nowhere any more. The message stays in its place, with what is left of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRedaction {
    /// The message.
    pub message_id: String,
    /// Its space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// What is left of its text; without it, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1048576)]
    pub text: Option<String>,
    /// Who redacts it.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// Something is to be in no answer any more. Exactly one of the things to forget has to be named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// The space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// A message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// All that was said in a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// All that an author said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by: Option<String>,
    /// A fact; the message that states it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact_id: Option<String>,
    /// An insight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insight_id: Option<String>,
    /// All that was said in the space.
    #[serde(default)]
    pub everything: bool,
    /// Of a thread, an author or everything: only what was taken in before this. Without it, what was taken in until now; what is
    /// said later is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Who wants it forgotten.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// How long the messages of a space are to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionRequest {
    /// The space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// For how many days after a message was taken in; null for ever. It has to be sent.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(minimum = 1, maximum = 36_500, required = true)]
    pub keep_days: Option<u16>,
    /// Who sets it.
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}

/// How long the messages of a space are remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpaceRetention {
    /// The space.
    pub space: String,
    /// For how many days after a message was taken in; null for ever.
    pub keep_days: Option<u16>,
    /// Who set it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was set.
    pub set_at: Timestamp,
}

/// A write into the memory is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryReceipt {
    /// The id of what was written: the insight, the fact that is right, or the event.
    pub id: String,
    /// Where it stands in the log.
    pub position: PositionView,
    /// How far it has come; absent where nothing was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<WaitLevel>,
}
